/* A cell in a container of a real Docker Engine, where one runs. */
#include "executor/sandboxes/archive.h"
#include "executor/sandboxes/place.h"
#include "tests/unit/executor/support.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct place_settings settings = {.docker = {.socket = (char *)"/var/run/docker.sock",
						    .image = (char *)"debian:bookworm-slim"}};

static struct http_client *http;
static bool there;

static long ask(const char *path, struct buf *out)
{
	struct http_answer a = {0};
	struct why why = {0};
	auto_free char *url = mem_printf("http://docker/v1.41%s", path);
	const struct http_call c = {.url = url, .unix_socket = settings.docker.socket};
	long status = http_client_call(http, &c, &a, &why) ? 0 : a.status;
	if (out)
		buf_add(out, buf_str(&a.body), a.body.len);
	http_answer_release(&a);
	return status;
}

static int setup(void **state)
{
	(void)state;
	if (http_client_new(&http))
		return -1;
	there = ask("/images/debian:bookworm-slim/json", NULL) == 200;
	if (!there)
		print_message("# skipped: no Docker Engine with debian:bookworm-slim\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_client_free(http);
	return 0;
}

struct ran {
	struct run_result r;
	char *dir;
};

static bool go_on(void *ctx)
{
	int *ticks = ctx;
	return ++*ticks != 3;
}

static struct ran run_with(const char *shell, int64_t timeout_ms, int *ticks)
{
	static char *const env[] = {(char *)"PATH=/usr/bin:/bin", NULL};
	char *const argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)shell, NULL};
	struct ran ran = {.dir = support_dir()};
	support_write(ran.dir, "a.txt", "one\n");
	const struct cell cell = {.dir = ran.dir, .room = {.disk_bytes = 8 << 20, .files = 500}};
	const struct sandbox_job job = {
		.argv = argv,
		.env = env,
		.bounds = {.memory_bytes = 128 << 20, .processes = 40, .open_files = 256}};
	const struct run_limits limits = {.timeout_ms = timeout_ms,
					  .output_limit_bytes = 10000,
					  .http = http,
					  .tick = ticks ? go_on : NULL,
					  .tick_ctx = ticks};
	place_docker.run(&settings, &cell, &job, &limits, &ran.r);
	return ran;
}

static struct ran run_script(const char *shell)
{
	return run_with(shell, 20000, NULL);
}

static void expect_nothing_left(const char *dir);

static void done(struct ran *ran)
{
	expect_nothing_left(ran->dir);
	buf_release(&ran->r.output);
	support_remove(ran->dir);
	free(ran->dir);
}

static void expect_file(const struct ran *ran, const char *name, const char *content)
{
	auto_free char *path = mem_printf("%s/%s", ran->dir, name);
	auto_buf text = {0};
	if (buf_read_file(&text, path, 10000))
		buf_add_str(&text, "(none)");
	if (!str_eq(buf_str(&text), content))
		fail_msg("%s: \"%s\": %s %s", name, text.data, ran->r.why.text,
			 buf_str(&ran->r.output));
}

/* What belongs to a cell says for which directory it is. */
static void expect_nothing_left(const char *dir)
{
	static const char *const kinds[] = {"/containers/json?all=true&", "/volumes?"};
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		auto_buf text = {0};
		auto_free char *path = mem_printf(
			"%sfilters=%%7B%%22label%%22%%3A%%5B%%22healbus%%3D%s%%22%%5D%%7D",
			kinds[i], dir);
		assert_int_equal(ask(path, &text), 200);
		if (strstr(buf_str(&text), "healbus-"))
			fail_msg("left: %s", text.data);
	}
}

static void test_comes_back(void **state)
{
	(void)state;
	if (!there)
		skip();
	struct ran ran =
		run_script("cat a.txt; echo two >>a.txt; mkdir -p n/d; echo y >n/d/c; exit 3");
	if (ran.r.state != RUN_ENDED)
		fail_msg("%s", ran.r.why.text);
	assert_int_equal(ran.r.exit_code, 3);
	assert_string_equal(buf_str(&ran.r.output), "one\n");
	expect_file(&ran, "a.txt", "one\ntwo\n");
	expect_file(&ran, "n/d/c", "y\n");
	done(&ran);
}

static void test_contained(void **state)
{
	static const char *const attempts[] = {
		"touch /usr/x /etc/x /x && echo ESCAPED",
		"mount -t tmpfs x /mnt && echo ESCAPED",
		"unshare -r true && echo ESCAPED",
		"[ $(id -u) = 65534 ] || echo ESCAPED",
		"grep -q '^CapEff:.0000000000000000' /proc/self/status || echo ESCAPED",
		"grep -q '^NoNewPrivs:.1' /proc/self/status || echo ESCAPED",
		"[ $(grep -c : /proc/net/dev) -le 1 ] || echo ESCAPED",
		"[ -e /var/run/docker.sock ] && echo ESCAPED",
		"grep -q '^Seccomp:.2' /proc/self/status || echo ESCAPED",
		"dd if=/dev/zero of=big bs=1M count=20 && echo ESCAPED; rm -f big",
		"dd if=/dev/zero of=/tmp/big bs=1M count=100 && echo ESCAPED",
		"i=0; while [ $i -lt 700 ] && : >f$i; do i=$((i+1)); done; [ $i -ge 700 ] && echo "
		"ESCAPED; rm -f f*",
		"for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do sleep 9 & done; "
		"done; "
		"[ $(ls -d /proc/[0-9]* | wc -l) -ge 80 ] && echo ESCAPED",
		"head -c 300000000 /dev/zero | tail -c 300000000 | wc -c | grep -q 300000000 && "
		"echo "
		"ESCAPED",
	};
	(void)state;
	if (!there)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		struct ran ran = run_script(attempts[i]);
		if (strstr(buf_str(&ran.r.output), "ESCAPED"))
			fail_msg("%s: %s", attempts[i], ran.r.output.data);
		done(&ran);
	}
}

static void test_hostile_tree(void **state)
{
	struct stat st;
	(void)state;
	if (!there)
		skip();
	struct ran ran =
		run_script("rm a.txt; ln -s /etc/shadow a.txt; mkfifo p; cp /bin/true s; "
			   "chmod 6755 s; ln -s / /work/root; rm -f /out/text; ln -s /etc/shadow "
			   "/out/text");
	auto_free char *a = mem_printf("%s/a.txt", ran.dir);
	auto_free char *p = mem_printf("%s/p", ran.dir);
	auto_free char *s = mem_printf("%s/s", ran.dir);
	if (ran.r.state != RUN_ENDED)
		fail_msg("%s", ran.r.why.text);
	assert_true(lstat(a, &st) == 0 && S_ISLNK(st.st_mode));
	assert_true(lstat(p, &st) != 0);
	assert_true(lstat(s, &st) == 0 && !(st.st_mode & 07000));
	assert_string_equal(buf_str(&ran.r.output), "");
	done(&ran);
}

/* A time-out, a lock that is lost, a flood of output: the end comes, and nothing is left. */
static void test_ended(void **state)
{
	int ticks = 0;
	(void)state;
	if (!there)
		skip();
	struct ran ran = run_with("trap '' TERM; echo two >a.txt; sleep 60", 700, NULL);
	assert_int_equal(ran.r.state, RUN_FAILED);
	assert_non_null(strstr(ran.r.why.text, "timed out"));
	expect_file(&ran, "a.txt", "one\n");
	done(&ran);
	ran = run_with("sleep 60", 20000, &ticks);
	assert_non_null(strstr(ran.r.why.text, "lock was lost"));
	done(&ran);
	ran = run_script("yes x | head -c 100000000; exit 0");
	assert_int_equal(ran.r.state, RUN_ENDED);
	assert_int_equal(ran.r.output.len, 10000);
	assert_true(ran.r.truncated);
	done(&ran);
}

static void test_no_engine(void **state)
{
	struct place_settings none = {
		.docker = {.socket = (char *)"/nonexistent", .image = (char *)"x"}};
	struct place_settings unset = {.docker = {0}};
	char *const argv[] = {(char *)"/bin/true", NULL};
	char *const env[] = {NULL};
	const struct cell cell = {.dir = "/nonexistent"};
	const struct sandbox_job job = {.argv = argv, .env = env};
	const struct run_limits limits = {.timeout_ms = 1000, .output_limit_bytes = 100};
	struct run_result r = {0};
	(void)state;
	place_docker.run(&none, &cell, &job, &limits, &r);
	assert_int_equal(r.state, RUN_FAILED);
	assert_non_null(strstr(r.why.text, "docker: did not start: "));
	assert_true(r.not_tried);
	r = (struct run_result){0};
	place_docker.run(&unset, &cell, &job, &limits, &r);
	assert_non_null(strstr(r.why.text, "not configured"));
	assert_non_null(place_find("docker"));
	assert_null(place_find("vm"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back), cmocka_unit_test(test_contained),
		cmocka_unit_test(test_hostile_tree), cmocka_unit_test(test_ended),
		cmocka_unit_test(test_no_engine)};

	return cmocka_run_group_tests_name("docker", tests, setup, teardown);
}
