/* Command line: how many schedules, from which seed, on how many processors. */
#include "common/id.h"
#include "common/log.h"
#include "tests/sim/sim.h"

#include <ftw.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { FAILURES_SHOWN = 10, WORKERS_MAX = 64 };

static const char usage[] =
	"usage: sim [--schedules N] [--seed N] [--jobs N] [--kind claim|fold|whole] [--plant "
	"NAME]\n"
	"           [-v] [--one SEED]\n"
	"Runs N schedules drawn from a seed. --one SEED repeats one schedule, -v shows it step by "
	"step.\n";

struct plan {
	uint64_t schedules, seed;
	unsigned jobs;
	int kind; /* -1: all */
	uint64_t one;
	bool only_one;
};

/* Shared by all workers. */
struct tally {
	_Atomic uint64_t done[SIM_KINDS], failures, steps;
};
static struct tally *tally;

/* ---- which ---- */

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Of a hundred: 89 of the protocol alone, 9 of the folds alone, 2 of the whole. */
static enum sim_kind kind_of(const struct plan *p, uint64_t seed)
{
	uint64_t n = mix(seed + 1) % 100;
	if (p->kind >= 0)
		return (enum sim_kind)p->kind;
	return n < 89 ? SIM_CLAIM : n < 98 ? SIM_FOLD : SIM_WHOLE;
}

static void run_one(const struct plan *p, uint64_t seed)
{
	char failure[512];
	enum sim_kind kind = kind_of(p, seed);
	int rc = world_run(seed, kind, failure);
	tally->done[kind]++;
	tally->steps += W->steps;
	if (!rc || tally->failures++ >= FAILURES_SHOWN)
		return;
	printf("FAILED %s: %s\n  repeat it: sim --one %" PRIu64 " --kind %s%s%s -v\n",
	       sim_kind_names[kind], failure, seed, sim_kind_names[kind],
	       sim.plant ? " --plant " : "", sim.plant ? sim.plant : "");
	fflush(stdout);
}

/* ---- workers ---- */

static int remove_entry(const char *path, const struct stat *st UNUSED, int type UNUSED,
			struct FTW *ftw UNUSED)
{
	return remove(path);
}

static void settle_in(char *dir)
{
	if (!mkdtemp(dir)) {
		perror(dir);
		exit(70);
	}
	sim.dir = dir;
	people_setup(dir);
	executors_setup(dir);
	sim_reasoner_setup(dir);
	sim_notifier_setup();
}

static void work(const struct plan *p, unsigned worker)
{
	char dir[64];
	bool memory = access("/dev/shm", W_OK) == 0;
	snprintf(dir, sizeof(dir), "%s/healbus-sim-XXXXXX", memory ? "/dev/shm" : "/tmp");
	settle_in(dir);
	if (p->only_one)
		run_one(p, p->one);
	for (uint64_t i = worker; !p->only_one && i < p->schedules; i += p->jobs) {
		run_one(p, mix(p->seed * UINT64_C(0x9e3779b97f4a7c15) + i));
		if (tally->failures && sim.plant)
			break;
	}
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int run_all(const struct plan *p)
{
	pid_t pids[WORKERS_MAX];
	int bad = 0;
	for (unsigned i = 0; i < p->jobs; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			work(p, i);
			fflush(stdout);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < p->jobs; i++) {
		int status = 0;
		waitpid(pids[i], &status, 0);
		bad |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	}
	return bad;
}

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int report(const struct plan *p, double seconds, int bad)
{
	uint64_t total = 0;
	for (size_t k = 0; k < SIM_KINDS; k++) {
		printf("%s %" PRIu64 ", ", sim_kind_names[k], tally->done[k]);
		total += tally->done[k];
	}
	printf("%" PRIu64 " steps, %.0f s, %.0f schedules/s, %.0f us of CPU a schedule\n",
	       tally->steps, seconds, (double)total / seconds,
	       cpu_seconds() * 1e6 / (double)MAX(total, 1));
	if (bad)
		printf("a worker died\n");
	printf("sim: schedules=%" PRIu64 " failures=%" PRIu64 " seed=%" PRIu64 "\n", total,
	       tally->failures, p->seed);
	return tally->failures || bad ? 1 : 0;
}

/* ---- the command line ---- */

static int kind_parse(const char *name)
{
	for (int k = 0; k < SIM_KINDS; k++)
		if (str_eq(sim_kind_names[k], name))
			return k;
	fputs(usage, stderr);
	exit(64);
}

static void parse(int argc, char **argv, struct plan *p)
{
	static const struct option options[] = {{"schedules", 1, NULL, 'n'}, {"seed", 1, NULL, 's'},
						{"jobs", 1, NULL, 'j'},      {"kind", 1, NULL, 'k'},
						{"plant", 1, NULL, 'p'},     {"one", 1, NULL, 'o'},
						{"verbose", 0, NULL, 'v'},   {NULL, 0, NULL, 0}};
	for (int c; (c = getopt_long(argc, argv, "v", options, NULL)) != -1;) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;
		if (c == 'n')
			p->schedules = n;
		else if (c == 's')
			p->seed = n;
		else if (c == 'j')
			p->jobs = (unsigned)MIN(MAX(n, 1), WORKERS_MAX);
		else if (c == 'k')
			p->kind = kind_parse(optarg);
		else if (c == 'p')
			sim.plant = optarg;
		else if (c == 'o')
			*p = (struct plan){.one = n, .only_one = true, .jobs = 1, .kind = p->kind};
		else if (c == 'v')
			sim.verbose = true;
		else
			exit((fputs(usage, stderr), 64));
	}
}

int main(int argc, char **argv)
{
	struct plan p = {.schedules = 10000, .kind = -1, .seed = (uint64_t)time(NULL)};
	struct timespec from, to;
	p.jobs = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	parse(argc, argv, &p);
	unsetenv("HOME"); /* libjq would read ~/.jq */
	log_init("sim", LOG_ERROR);
	if (!sim.verbose)
		log_set_fd(-1);
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (tally == MAP_FAILED)
		return 70;
	clock_gettime(CLOCK_MONOTONIC, &from);
	int bad = run_all(&p);
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds =
		(double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	return report(&p, MAX(seconds, 0.001), bad);
}
