/*
 * launch: the least that starting programs costs: posix_spawn and wait, nothing else. The limit of
 * actions a second.
 *
 *     launch [-w workers] [-d seconds] program argument...
 *
 * Each worker is a thread that starts the program again when it has ended. Prints rate, n, bad
 * (ended with anything but 0), latencies from launch to reaped, cpu_us (per launch, children
 * included).
 */
#include "tests/bench/bench.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { WORKERS_MAX = 64 };

extern char **environ;

struct worker {
	pthread_t thread;
	char **argv;
	struct samples took;
	uint64_t bad;
};

static atomic_bool stop;

static bool launch_one(char **argv)
{
	pid_t pid;
	int status = 0;
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void *work(void *closure)
{
	struct worker *w = closure;
	while (!atomic_load(&stop)) {
		uint64_t start = now_ns();
		w->bad += !launch_one(w->argv);
		sample_add(&w->took, now_ns() - start);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct worker workers[WORKERS_MAX];
	struct samples all = {0};
	size_t n = 1;
	double seconds = 2;
	uint64_t bad = 0;
	int letter;
	while ((letter = getopt(argc, argv, "+w:d:")) > 0) {
		if (letter == 'w')
			n = MIN(option_number(optarg, 1), (uint64_t)WORKERS_MAX);
		else if (letter == 'd')
			seconds = option_real(optarg);
		else
			return 64;
	}
	if (optind == argc)
		return 64;
	uint64_t start = now_ns();
	for (size_t i = 0; i < n; i++) {
		workers[i].argv = argv + optind;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("no thread");
	}
	usleep((useconds_t)(seconds * 1e6));
	atomic_store(&stop, true);
	for (size_t i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		bad += workers[i].bad;
		for (size_t k = 0; k < workers[i].took.n; k++)
			sample_add(&all, workers[i].took.ns[k]);
	}
	double secs = (double)(now_ns() - start) / 1e9;
	double cpu = cpu_s(RUSAGE_SELF) + cpu_s(RUSAGE_CHILDREN);
	printf("rate=%.1f n=%zu bad=%" PRIu64 " ", (double)all.n / secs, all.n, bad);
	samples_print(&all);
	printf(" cpu_us=%.1f\n", all.n ? cpu * 1e6 / (double)all.n : 0);
	return 0;
}
