#include "common/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <cmocka.h>

static const double three[] = {0.1, 1, 10};
static struct metric incidents =
	METRIC_COUNTER("healbus_test_incidents_total", "Incidents opened.", "severity");
static struct metric depth = METRIC_GAUGE("healbus_test_depth", "Depth \\ of\nthe queue.");
static struct metric took = {
	.name = "healbus_test_took_seconds",
	.help = "How long.",
	.type = METRIC_TYPE_HISTOGRAM,
	.labels = {"op"},
	.buckets = three,
	.n_buckets = 3,
};
static struct metric plain = METRIC_HISTOGRAM("healbus_test_plain_seconds", "Default buckets.");
static struct metric wide =
	METRIC_COUNTER("healbus_test_wide_total", "Three labels.", "a", "b", "c");

static int reset(void **state)
{
	(void)state;
	metrics_reset();
	return 0;
}

static void assert_has(const struct buf *b, const char *text)
{
	if (!strstr(buf_str(b), text))
		fail_msg("no <%s> in:\n%s", text, buf_str(b));
}

static void test_render(void **state)
{
	auto_buf b = {0};

	(void)state;
	metric_add(&incidents, 1, "warning");
	metric_add(&incidents, 2, "critical");
	metric_add(&incidents, 1, "warning");
	metric_set(&depth, 2.5);
	metric_add(&wide, 1, "x\"y", "back\\slash", "new\nline");
	metrics_render(&b);
	assert_has(&b, "# HELP healbus_test_incidents_total Incidents opened.\n"
		       "# TYPE healbus_test_incidents_total counter\n"
		       "healbus_test_incidents_total{severity=\"critical\"} 2\n"
		       "healbus_test_incidents_total{severity=\"warning\"} 2\n");
	assert_has(&b, "# HELP healbus_test_depth Depth \\\\ of\\nthe queue.\n"
		       "# TYPE healbus_test_depth gauge\nhealbus_test_depth 2.5\n");
	assert_has(&b, "healbus_test_wide_total{a=\"x\\\"y\",b=\"back\\\\slash\",c=\"new\\nline\"} "
		       "1\n");
	assert_true(strstr(buf_str(&b), "healbus_test_depth") <
		    strstr(buf_str(&b), "healbus_test_incidents_total"));
	assert_true(metric_total(&incidents) > 3.9 && metric_total(&incidents) < 4.1);
}

static void test_histogram(void **state)
{
	auto_buf b = {0};

	(void)state;
	metric_observe(&took, 0.05, "get");
	metric_observe(&took, 0.1, "get"); /* le: the bound itself belongs to its bucket */
	metric_observe(&took, 5, "get");
	metric_observe(&took, 50, "get");
	metrics_render(&b);
	assert_has(&b, "healbus_test_took_seconds_bucket{op=\"get\",le=\"0.1\"} 2\n"
		       "healbus_test_took_seconds_bucket{op=\"get\",le=\"1\"} 2\n"
		       "healbus_test_took_seconds_bucket{op=\"get\",le=\"10\"} 3\n"
		       "healbus_test_took_seconds_bucket{op=\"get\",le=\"+Inf\"} 4\n"
		       "healbus_test_took_seconds_sum{op=\"get\"} 55.15\n"
		       "healbus_test_took_seconds_count{op=\"get\"} 4\n");
}

static void test_series_limit(void **state)
{
	auto_buf b = {0};
	char value[32];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(value, sizeof(value), "v%d", i);
		metric_add(&incidents, 1, value);
	}
	metrics_render(&b);
	assert_has(&b, "healbus_test_incidents_total{severity=\"other\"} 745\n");
	assert_true(metric_total(&incidents) > 999.9 && metric_total(&incidents) < 1000.1);
}

static void test_unused_is_not_shown(void **state)
{
	auto_buf b = {0};

	(void)state;
	metrics_render(&b);
	assert_null(strstr(buf_str(&b), "healbus_test"));
	assert_has(&b, "\nprocess_resident_memory_bytes ");
	assert_has(&b, "\nprocess_open_fds ");
	assert_has(&b, "\nprocess_start_time_seconds 1");
	assert_null(strstr(buf_str(&b), "process_resident_memory_bytes 0\n"));
}

static void *add_many(void *arg)
{
	char value[8];

	(void)arg;
	for (int i = 0; i < 20000; i++) {
		snprintf(value, sizeof(value), "%d", i % 20);
		metric_add(&incidents, 1, value);
		metric_observe(&plain, 0.01);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	auto_buf b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (int i = 0; i < 20; i++) {
		buf_reset(&b);
		metrics_render(&b);
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_true(metric_total(&incidents) > 79999.9 && metric_total(&incidents) < 80000.1);
	buf_reset(&b);
	metrics_render(&b);
	assert_has(&b, "healbus_test_plain_seconds_count 80000\n");
}

/* fork and exec: what the shell would do, without a shell. */
static int promtool(const char *path)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (!freopen(path, "r", stdin))
			_exit(126);
		execlp("promtool", "promtool", "check", "metrics", (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_promtool(void **state)
{
	auto_buf b = {0};
	char path[] = "/tmp/healbus-metrics-XXXXXX";

	(void)state;
	test_render(state);
	test_histogram(state);
	metrics_render(&b);
	auto_fd int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, b.data, b.len), (ssize_t)b.len);
	int rc = promtool(path);
	unlink(path);
	if (rc == 127)
		skip();
	assert_int_equal(rc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_render, reset),
		cmocka_unit_test_setup(test_histogram, reset),
		cmocka_unit_test_setup(test_series_limit, reset),
		cmocka_unit_test_setup(test_unused_is_not_shown, reset),
		cmocka_unit_test_setup(test_threads, reset),
		cmocka_unit_test_setup_teardown(test_promtool, reset, reset),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
