#include "common/log.h"
#include "common/clock.h"
#include "common/err.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <cmocka.h>

static int ends[2];

static int setup(void **state UNUSED)
{
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	log_set_fd(ends[1]);
	log_init("monitor", LOG_INFO);
	clock_fake(1795251832079, 1);
	return 0;
}

static int teardown(void **state UNUSED)
{
	clock_unfake();
	log_set_fd(2);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static const char *line_read(void)
{
	static char line[8192];
	ssize_t n = read(ends[0], line, sizeof line - 1);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

#define HEAD                                                                                       \
	"{\"at\":\"2026-11-21T09:03:52.079Z\",\"level\":\"info\",\"stage\":\"monitor\",\"msg\":"

static void test_line(void **state UNUSED)
{
	errno = ENOSPC;
	LOG(INFO, "decision made", S("incident", "a\"b\n\xff"), I("took_ms", -5), D("rate", 0.5),
	    B("dry", true), S("none", NULL), D("bad", (double)INFINITY), B("not", false));
	assert_int_equal(errno, ENOSPC);
	assert_string_equal(line_read(),
			    HEAD "\"decision made\",\"incident\":\"a\\\"b\\n\xef\xbf\xbd\","
				 "\"took_ms\":-5,\"rate\":0.5,\"dry\":true,\"none\":null,"
				 "\"bad\":null,\"not\":false}\n");
	LOG(INFO, "no fields");
	assert_string_equal(line_read(), HEAD "\"no fields\"}\n");
}

static void test_levels(void **state UNUSED)
{
	enum log_level level = LOG_WARN;

	LOG(DEBUG, "quiet");
	assert_string_equal(line_read(), "");
	log_set_level(LOG_DEBUG);
	LOG(DEBUG, "loud");
	assert_non_null(strstr(line_read(), "\"level\":\"debug\""));
	log_set_level(LOG_ERROR);
	LOG(WARN, "quiet");
	assert_string_equal(line_read(), "");
	LOG(ERROR, "loud");
	assert_non_null(strstr(line_read(), "\"level\":\"error\""));
	assert_int_equal(log_level_parse("info", &level), 0);
	assert_int_equal(level, LOG_INFO);
	assert_int_equal(log_level_parse("INFO", &level), ERR_INVALID);
	assert_int_equal(log_level_parse("", &level), ERR_INVALID);
	assert_int_equal(level, LOG_INFO);
}

static void test_long_values_are_cut_between_characters(void **state UNUSED)
{
	char value[3000];
	const char *line;

	memset(value, 'x', sizeof value);
	value[sizeof value - 1] = '\0';
	/* the two bytes of é at 1023 and 1024 */
	memcpy(value + 1023, "\xc3\xa9", 2);
	LOG(INFO, "m", S("v", value));
	line = line_read();
	assert_int_equal(strlen(line), strlen(HEAD "\"m\",\"v\":\"\"}\n") + 1023);
	assert_null(strstr(line, "\xc3"));
	value[1024] = '\0';
	value[1023] = 'y';
	LOG(INFO, "m", S("v", value));
	assert_non_null(strstr(line_read(), "y\"}\n"));
}

static void *writer(void *arg)
{
	const char *name = arg;

	for (int i = 0; i < 100; i++)
		LOG(INFO, "from a thread", S("name", name), I("i", i));
	return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state UNUSED)
{
	pthread_t threads[4];
	char *line = NULL;
	size_t cap = 0;
	size_t lines = 0;
	FILE *in = fdopen(dup(ends[0]), "r");

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, writer, (void *)(uintptr_t) "some name");
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	while (getline(&line, &cap, in) > 0) {
		assert_true(
			str_starts(line, HEAD "\"from a thread\",\"name\":\"some name\",\"i\":"));
		lines++;
	}
	assert_int_equal(lines, 400);
	free(line);
	fclose(in);
}

static void test_a_full_descriptor_does_not_stop_the_process(void **state UNUSED)
{
	char junk[4096] = {0};

	while (write(ends[1], junk, sizeof junk) > 0)
		;
	while (write(ends[1], junk, 1) > 0)
		;
	LOG(INFO, "lost");
	log_set_fd(-1);
	LOG(INFO, "lost too");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_values_are_cut_between_characters, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_lines_of_threads_do_not_mix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_descriptor_does_not_stop_the_process,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
