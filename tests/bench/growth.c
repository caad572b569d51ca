/*
 * growth: what one event costs the correlator as it remembers more. Drives the real fold in this
 * process, without a bus, without fsync and without the bound on what stays resident, so that what
 * grows is its own work.
 *
 *     growth [-d directory] [-n events] fingerprints|incidents SIZE...
 *
 * SIZEs rise; each is reached by firing new alerts. fingerprints: they share 1,000 incidents.
 * incidents: each is one of its own, open. Then `n` events are applied in batches: of ten, nine
 * repeat a random alert's present state and one resolves a random alert or fires it again, so that
 * the size stays. Then 2,000 more, one a batch, for the latency.
 *
 * Prints a line a size: size, events_s, cpu_us (per event), p50_us and p99_us of a batch of one,
 * fill_s (alerts a second while growing), store_mb, rss_mb.
 */
#include "tests/bench/bench.h"
#include "tests/bench/event.h"

#include "monitor/config.h"
#include "monitor/correlator.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

enum { SINGLE_EVENTS = 2000, SHARED_INCIDENTS = 1000, START_MS_STEP = 1 };

static const int64_t FIRST_MS = 1790000000000;
static const int64_t MAP_BYTES = INT64_C(1) << 30; /* it grows to 64 times this */

#define RULES                                                                                      \
	"group_wait: 0s\n"                                                                         \
	"group_by: [alertname, %s]\n"                                                              \
	"storm_threshold: 0\n"                                                                     \
	"flap_threshold: 0\n"

struct growth {
	struct monitor_config config;
	char dir[128];
	struct fold *fold;
	uint32_t services; /* of all alerts */
	uint64_t size;
	bool *resolved; /* by alert */
	int64_t *starts_ms;
	uint64_t random;
	uint64_t seq;
	int64_t now_ms;
	uint64_t row; /* of the outbox: next one to be acknowledged */
};

/* A batch that is ready to be applied: making it is not part of the measure. */
struct batch {
	struct fold_message msgs[FOLD_BATCH_MAX];
	struct buf packed[FOLD_BATCH_MAX];
	char ids[FOLD_BATCH_MAX][32];
	size_t n;
};

static uint64_t draw(struct growth *g)
{
	uint64_t z = (g->random += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* ---- the fold ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void open_fold(struct growth *g, const char *directory, const char *group_by)
{
	struct why why = {0};
	snprintf(g->dir, sizeof(g->dir), "%s/healbus-growth.XXXXXX", directory);
	if (!mkdtemp(g->dir))
		die("%s: %s", g->dir, strerror(errno));
	auto_free char *path = mem_printf("%s/monitor.yaml", g->dir);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, RULES, group_by) < 0)
		die("%s: %s", path, strerror(errno));
	struct fold_options options = {
		.dir = g->dir, .config = &g->config, .map_bytes = MAP_BYTES, .no_sync = true};
	if (config_load(&monitor_option_table, g->dir, NULL, &g->config, &why) ||
	    monitor_prepare(&g->config, &why) || fold_open(&correlator, &options, &g->fold, &why))
		die("%s", why.text);
}

static void close_fold(struct growth *g)
{
	fold_close(g->fold);
	monitor_unprepare(&g->config);
	config_release(&monitor_option_table, &g->config);
	nftw(g->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(g->resolved);
	free(g->starts_ms);
}

/* ---- batches ---- */

static void add(struct growth *g, struct batch *b, uint64_t alert)
{
	struct buf *packed = &b->packed[b->n];
	g->now_ms += START_MS_STEP;
	struct bench_event e = {.alert = alert,
				.services = g->services,
				.resolved = g->resolved[alert],
				.starts_ms = g->starts_ms[alert],
				.ends_ms = g->resolved[alert] ? g->now_ms : 0};
	buf_reset(packed);
	bench_event_pack(&e, packed);
	snprintf(b->ids[b->n], sizeof(b->ids[b->n]), "growth-%" PRIu64, ++g->seq);
	b->msgs[b->n] = (struct fold_message){.subject = "event.00.alertmanager",
					      .id = b->ids[b->n],
					      .time_ms = g->now_ms,
					      .stream_ns = g->now_ms * 1000000,
					      .seq = g->seq,
					      .data = packed->data,
					      .len = packed->len};
	b->n++;
}

/* Starts and ends of an episode of the same alert are told apart by their times. */
static void add_mixed(struct growth *g, struct batch *b)
{
	uint64_t alert = draw(g) % g->size;
	if (draw(g) % 10 == 0) {
		g->resolved[alert] = !g->resolved[alert];
		if (!g->resolved[alert])
			g->starts_ms[alert] = g->now_ms + 1;
	}
	add(g, b, alert);
}

static int acknowledge(void *ctx, const struct fold_row *row)
{
	struct growth *g = ctx;
	fold_outbox_acked(g->fold, row->row, g->now_ms);
	return 0;
}

/* As stage.c does: apply, then what the bus has taken is acknowledged. */
static void apply(struct growth *g, struct batch *b)
{
	struct why why = {0};
	if (fold_apply(g->fold, b->msgs, b->n, &why))
		die("apply: %s", why.text);
	fold_outbox_each(g->fold, g->row, acknowledge, g);
	g->row = fold_outbox_next(g->fold);
	b->n = 0;
}

/* ---- measuring ---- */

static double thread_cpu_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fingerprint_order(const void *a, const void *b)
{
	uint64_t x = bench_event_fingerprint(*(const uint64_t *)a);
	uint64_t y = bench_event_fingerprint(*(const uint64_t *)b);
	return x < y ? -1 : x > y;
}

/* New alerts until there are `size`; how many a second. In the order of their keys, which costs
 * least: only what follows is measured. */
static double fill(struct growth *g, struct batch *b, uint64_t size)
{
	uint64_t n = size - g->size;
	uint64_t *alerts = must(malloc(n * sizeof(*alerts)));
	g->resolved = must(realloc(g->resolved, size * sizeof(*g->resolved)));
	g->starts_ms = must(realloc(g->starts_ms, size * sizeof(*g->starts_ms)));
	for (uint64_t i = 0; i < n; i++)
		alerts[i] = g->size + i;
	qsort(alerts, n, sizeof(*alerts), fingerprint_order);
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < n; i++) {
		g->resolved[alerts[i]] = false;
		g->starts_ms[alerts[i]] = g->now_ms;
		add(g, b, alerts[i]);
		if (b->n == FOLD_BATCH_MAX || i + 1 == n)
			apply(g, b);
	}
	g->size = size;
	free(alerts);
	return (double)n / ((double)(now_ns() - start) / 1e9);
}

struct cost {
	double events_s;
	double cpu_us;
};

static struct cost run_batches(struct growth *g, struct batch *b, uint64_t events)
{
	uint64_t wall_ns = 0;
	double cpu = 0;
	for (uint64_t done = 0; done < events; done += FOLD_BATCH_MAX) {
		while (b->n < FOLD_BATCH_MAX)
			add_mixed(g, b);
		uint64_t start = now_ns();
		double cpu_start = thread_cpu_s();
		apply(g, b);
		cpu += thread_cpu_s() - cpu_start;
		wall_ns += now_ns() - start;
	}
	uint64_t batches = (events + FOLD_BATCH_MAX - 1) / FOLD_BATCH_MAX;
	double n = (double)(batches * FOLD_BATCH_MAX);
	return (struct cost){n / ((double)wall_ns / 1e9), cpu * 1e6 / n};
}

static void run_singles(struct growth *g, struct batch *b, struct samples *took)
{
	for (int i = 0; i < SINGLE_EVENTS; i++) {
		add_mixed(g, b);
		uint64_t start = now_ns();
		apply(g, b);
		sample_add(took, now_ns() - start);
	}
	samples_sort(took);
}

static double store_mb(const struct growth *g)
{
	struct stat st;
	auto_free char *path = mem_printf("%s/data.mdb", g->dir);
	return stat(path, &st) ? 0 : (double)st.st_blocks * 512 / 1e6;
}

static double rss_mb(void)
{
	char text[128] = "";
	auto_fd int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 0;
	const char *second = strchr(text, ' ');
	return second ? strtod(second, NULL) * (double)sysconf(_SC_PAGESIZE) / 1e6 : 0;
}

static void measure(struct growth *g, uint64_t size, uint64_t events)
{
	static struct batch batch;
	struct samples took = {0};
	double fill_s = fill(g, &batch, size);
	run_batches(g, &batch, events / 10); /* the pages it needs are there */
	struct cost c = run_batches(g, &batch, events);
	run_singles(g, &batch, &took);
	printf("size=%" PRIu64 " events_s=%.0f cpu_us=%.2f p50_us=%.1f p99_us=%.1f fill_s=%.0f "
	       "store_mb=%.0f rss_mb=%.0f\n",
	       size, c.events_s, c.cpu_us, sample_us(&took, .5), sample_us(&took, .99), fill_s,
	       store_mb(g), rss_mb());
	fflush(stdout);
	free(took.ns);
}

int main(int argc, char **argv)
{
	static struct growth g = {.random = 42, .now_ms = FIRST_MS};
	const char *directory = getenv("TMPDIR");
	uint64_t events = 50000;
	int letter;
	while ((letter = getopt(argc, argv, "+d:n:")) > 0) {
		if (letter == 'd')
			directory = optarg;
		else if (letter == 'n')
			events = option_number(optarg, 1);
		else
			return 64;
	}
	if (argc - optind < 2)
		return 64;
	bool apart = str_eq(argv[optind], "incidents");
	g.services = SHARED_INCIDENTS;
	open_fold(&g, directory ? directory : "/tmp", apart ? "instance" : "service");
	for (int i = optind + 1; i < argc; i++)
		measure(&g, option_number(argv[i], g.size + 1), events);
	close_fold(&g);
	return 0;
}
