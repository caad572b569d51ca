/* Real runs in the real sandboxes of this machine. */
#include "common/clock.h"
#include "executor/sandboxes/launcher.h"
#include "executor/sandboxes/sandbox.h"
#include "tests/unit/executor/support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const struct sandbox *const boxes[] = {&sandbox_bwrap, &sandbox_landlock};

struct ran {
	struct run_result r;
	int64_t took_ms;
};

static bool (*tick)(void *ctx);

static struct ran run_with(const struct sandbox *box, const struct sandbox_job *given,
			   int64_t timeout_ms, size_t limit)
{
	static char *const env[] = {(char *)"PATH=/usr/bin", (char *)"ONLY=this", NULL};
	struct ran ran = {0};
	struct sandbox_job job = *given;
	struct run_limits limits = {
		.timeout_ms = timeout_ms, .output_limit_bytes = limit, .tick = tick};
	job.env = env;
	int64_t began = clock_mono_ms();
	box->run(&job, &limits, &ran.r);
	ran.took_ms = clock_mono_ms() - began;
	return ran;
}

/* sh here is the test's own probe, with a constant script. */
static struct ran run_script(const struct sandbox *box, const char *script)
{
	char *const argv[] = {(char *)"/usr/bin/sh", (char *)"-c", (char *)script, NULL};
	struct sandbox_job job = {.argv = argv};
	return run_with(box, &job, 10000, 65536);
}

static void expect_output(const struct sandbox *box, const char *script, const char *text)
{
	struct ran ran = run_script(box, script);
	if (ran.r.state != RUN_ENDED || !strstr(buf_str(&ran.r.output), text))
		fail_msg("%s: %s: %s %s", box->name, script, ran.r.why.text,
			 buf_str(&ran.r.output));
	buf_release(&ran.r.output);
}

static void expect_failure(const struct sandbox *box, const char *script)
{
	struct ran ran = run_script(box, script);
	if (ran.r.state == RUN_ENDED && ran.r.exit_code == 0)
		fail_msg("%s: %s worked: %s", box->name, script, buf_str(&ran.r.output));
	buf_release(&ran.r.output);
}

static void test_probe(void **state)
{
	(void)state;
	sandbox_probe(SANDBOX_WISH_LANDLOCK);
	assert_int_equal(sandbox_level(), SANDBOX_LANDLOCK);
	sandbox_probe(SANDBOX_WISH_AUTO);
	assert_int_equal(sandbox_level(), SANDBOX_FULL);
}

static void test_contained(void **state)
{
	(void)state;
	static const char *const forbidden[] = {
		"cat /etc/shadow",
		"cat /etc/hostname",
		"ls /root",
		"ls /home",
		"ls /var/log",
		"echo x > /usr/x",
		"echo x > /etc/x",
		"echo x > /var/x",
		"mkdir /opt/x",
		"unshare -r true",
		"mount -t tmpfs x /mnt",
		"chmod 4755 /tmp/f || touch /tmp/f && chmod 4755 /tmp/f",
		"kill -0 $(cat /proc/sys/kernel/pid_max)",
		"exec 3<>/dev/tcp/127.0.0.1/4222",
		"curl -s --max-time 2 http://127.0.0.1:1/ -o /dev/null; [ $? = 28 ]",
		"dmesg",
		"hostname x",
	};
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++)
		for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
			expect_failure(boxes[b], forbidden[i]);
}

static void test_clean(void **state)
{
	(void)state;
	setenv("HEALBUS_SECRET", "canary", 1);
	expect_output(&sandbox_bwrap, "env | sort | tr '\\n' ' '", "ONLY=this PATH=/usr/bin");
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		expect_failure(boxes[b], "env | grep canary");
		/* Some programs begin by opening the directory they are in (sv, find). */
		expect_output(boxes[b], "ls . >/dev/null && echo here", "here");
	}
	expect_failure(&sandbox_bwrap, "cat /proc/*/environ | grep -a canary");
	expect_output(&sandbox_bwrap, "ls /proc/self/fd | wc -l", "4");
	expect_output(&sandbox_bwrap, "id -u; ls -d /proc/[0-9]* | wc -l", "65534");
	expect_output(&sandbox_bwrap, "grep NoNewPrivs /proc/self/status", "1");
	expect_output(&sandbox_bwrap, "grep CapEff /proc/self/status", "0000000000000000");
	expect_output(&sandbox_bwrap, "grep Seccomp: /proc/self/status", "2");
	expect_output(&sandbox_bwrap, "tail -n +3 /proc/net/dev | grep -vc lo:; true", "0");
}

/* A port that accepts and says nothing. Caller closes. */
static int listen_somewhere(unsigned *out_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*out_port = ntohs(at.sin_port);
	return fd;
}

/* curl ends with 7 when nothing listens (or no socket can be made), with 28 when somebody took the
 * connection and stayed silent. Landlock's rules are for files and TCP; DNS works with network. */
static void test_network(void **state)
{
	(void)state;
	unsigned port = 0;
	auto_fd int listener = listen_somewhere(&port);
	assert_true(listener >= 0);
	auto_free char *url = mem_printf("http://127.0.0.1:%u/", port);
	char *const argv[] = {(char *)"/usr/bin/curl",
			      (char *)"-s",
			      (char *)"--max-time",
			      (char *)"1",
			      url,
			      NULL};
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		for (int network = 0; network < 2; network++) {
			struct sandbox_job job = {.argv = argv, .network = network};
			struct ran ran = run_with(boxes[b], &job, 10000, 1000);
			assert_int_equal(ran.r.exit_code, network ? 28 : 7);
			buf_release(&ran.r.output);
		}
	}
}

static int count_processes(const char *name)
{
	char command[128];
	snprintf(command, sizeof(command), "pgrep -fc '%s'", name);
	char *const argv[] = {(char *)"/usr/bin/pgrep", (char *)"-fc", (char *)name, NULL};
	struct sandbox_job job = {.argv = argv};
	struct ran ran = run_with(&sandbox_off, &job, 5000, 100);
	int n = (int)strtol(buf_str(&ran.r.output), NULL, 10);
	buf_release(&ran.r.output);
	return n;
}

/* Killed at the time-out, with what it put into the background and detached. */
static void test_timeout(void **state)
{
	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		char mark[64], script[300];
		snprintf(mark, sizeof(mark), "[s]leep 3%u%05d", (unsigned)b, getpid());
		snprintf(script, sizeof(script),
			 "(setsid setsid sleep 3%u%05d >/dev/null 2>&1 &) ; sleep 3%u%05d",
			 (unsigned)b, getpid(), (unsigned)b, getpid());
		char *const argv[] = {(char *)"/usr/bin/sh", (char *)"-c", script, NULL};
		struct sandbox_job job = {.argv = argv};
		struct ran ran = run_with(boxes[b], &job, 700, 1000);
		assert_int_equal(ran.r.state, RUN_FAILED);
		assert_non_null(strstr(ran.r.why.text, "timed out after 700 ms"));
		assert_true(ran.took_ms >= 700 && ran.took_ms < 5000);
		assert_int_equal(count_processes(mark), 0);
		buf_release(&ran.r.output);
	}
}

/* What it leaves behind when it ends by itself dies too. */
static void test_leftovers(void **state)
{
	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		char mark[64], script[200];
		snprintf(mark, sizeof(mark), "[s]leep 4%u%05d", (unsigned)b, getpid());
		snprintf(script, sizeof(script), "setsid sleep 4%u%05d & exit 7", (unsigned)b,
			 getpid());
		struct ran ran = run_script(boxes[b], script);
		assert_int_equal(ran.r.state, RUN_ENDED);
		assert_int_equal(ran.r.exit_code, 7);
		assert_true(ran.took_ms < 5000);
		assert_int_equal(count_processes(mark), 0);
		buf_release(&ran.r.output);
	}
}

static void test_output(void **state)
{
	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		char *const argv[] = {(char *)"/usr/bin/head", (char *)"-c", (char *)"100000000",
				      (char *)"/dev/zero", NULL};
		struct sandbox_job job = {.argv = argv};
		struct ran ran = run_with(boxes[b], &job, 10000, 1000);
		assert_int_equal(ran.r.state, RUN_ENDED);
		assert_int_equal(ran.r.output.len, 1000);
		assert_true(ran.r.truncated);
		buf_release(&ran.r.output);
	}
	expect_output(&sandbox_bwrap, "echo out; echo err >&2", "out\nerr\n");
}

static bool stop_at_once(void *ctx)
{
	(void)ctx;
	return false;
}

static void test_tick(void **state)
{
	(void)state;
	char *const argv[] = {(char *)"/usr/bin/sleep", (char *)"60", NULL};
	struct sandbox_job job = {.argv = argv};
	tick = stop_at_once;
	struct ran ran = run_with(&sandbox_bwrap, &job, 30000, 100);
	tick = NULL;
	assert_int_equal(ran.r.state, RUN_FAILED);
	assert_non_null(strstr(ran.r.why.text, "lock"));
	assert_true(ran.took_ms < 5000);
	buf_release(&ran.r.output);
}

static void test_binds(void **state)
{
	(void)state;
	auto_free char *dir = support_dir();
	chmod(dir, 0777);
	support_write(dir, "f", "content\n");
	struct sandbox_bind bind = {.path = dir};
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		for (int writable = 0; writable < 2; writable++) {
			auto_free char *script = mem_printf(
				"cat %s/f; echo x > %s/new%zu && echo wrote", dir, dir, b);
			char *const argv[] = {(char *)"/usr/bin/sh", (char *)"-c", script, NULL};
			bind.writable = writable;
			struct sandbox_job job = {.argv = argv, .binds = &bind, .n_binds = 1};
			struct ran ran = run_with(boxes[b], &job, 10000, 1000);
			assert_non_null(strstr(buf_str(&ran.r.output), "content"));
			assert_int_equal(strstr(buf_str(&ran.r.output), "wrote") != NULL, writable);
			buf_release(&ran.r.output);
		}
	}
	support_remove(dir);
}

/* A tool's own program may lie outside /usr: what it may read it may run. */
static void test_own_program(void **state)
{
	(void)state;
	auto_free char *dir = support_dir();
	auto_free char *program = mem_printf("%s/program", dir);
	chmod(dir, 0755);
	support_write(dir, "program", "#!/usr/bin/cat\nown program\n");
	chmod(program, 0755);
	struct sandbox_bind bind = {.path = dir};
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		char *const argv[] = {program, NULL};
		struct sandbox_job job = {.argv = argv, .binds = &bind, .n_binds = 1};
		struct ran ran = run_with(boxes[b], &job, 10000, 1000);
		assert_non_null(strstr(buf_str(&ran.r.output), "own program"));
		buf_release(&ran.r.output);
	}
	support_remove(dir);
}

/* A link inside an allowed directory does not lead out of it. */
static void test_symlink(void **state)
{
	(void)state;
	struct why why = {0};
	auto_free char *dir = support_dir();
	auto_free char *link = mem_printf("%s/link", dir);
	auto_free char *below = mem_printf("%s/link/shadow", dir);
	auto_free char *file = mem_printf("%s/f", dir);
	assert_int_equal(symlink("/etc", link), 0);
	support_write(dir, "f", "x");
	char *paths[] = {dir};
	struct target t = {.paths = paths, .n_paths = 1};
	int fd = -1;
	assert_int_equal(target_open_path(&t, link, &fd, &why), ERR_DENIED);
	assert_int_equal(target_open_path(&t, below, &fd, &why), ERR_DENIED);
	assert_int_equal(target_open_path(&t, file, &fd, &why), 0);
	close(fd);
	support_remove(dir);
}

static void test_cost(void **state)
{
	(void)state;
	char *const argv[] = {(char *)"/usr/bin/true", NULL};
	struct sandbox_job job = {.argv = argv};
	int64_t best = INT64_MAX;
	for (int i = 0; i < 20; i++) {
		struct ran ran = run_with(&sandbox_bwrap, &job, 10000, 100);
		best = MIN(best, ran.took_ms);
		buf_release(&ran.r.output);
	}
	printf("# best of 20 sandboxed runs: %" PRId64 " ms\n", best);
	assert_true(best < 100);
}

static bool with_launcher;

static void __attribute__((noreturn)) run_for_ever(const struct sandbox *box, const char *script)
{
	struct why why = {0};
	char *const argv[] = {(char *)"/usr/bin/sh", (char *)"-c", (char *)script, NULL};
	struct sandbox_job job = {.argv = argv};
	launcher_close();
	if (with_launcher && launcher_open(&why))
		_exit(1);
	run_with(box, &job, 600000, 100);
	_exit(0);
}

static bool becomes(const char *mark, bool running)
{
	for (int i = 0; i < 200; i++) {
		if ((count_processes(mark) > 0) == running)
			return true;
	}
	return false;
}

/* When the executor is killed, so is what it runs, however well that hides. */
static void test_dies_with_us(void **state)
{
	(void)state;
	for (size_t b = 0; b < ARRAY_SIZE(boxes); b++) {
		char mark[64], script[200];
		snprintf(mark, sizeof(mark), "[s]leep 5%u%05d", (unsigned)b, getpid());
		snprintf(script, sizeof(script), "setsid sleep 5%u%05d; true", (unsigned)b,
			 getpid());
		pid_t executor = fork();
		if (executor == 0)
			run_for_ever(boxes[b], script);
		assert_true(becomes(mark, true));
		kill(executor, SIGKILL);
		waitpid(executor, NULL, 0);
		assert_true(becomes(mark, false));
	}
}

static pid_t supervisor_of_next(void)
{
	struct ran ran = run_script(&sandbox_landlock, "echo $PPID");
	assert_int_equal(ran.r.state, RUN_ENDED);
	pid_t pid = (pid_t)strtol(buf_str(&ran.r.output), NULL, 10);
	buf_release(&ran.r.output);
	assert_true(pid > 0);
	return pid;
}

/* Who ended a job takes the next; not who had to be stopped; and one that died meanwhile is not
 * missed. */
static void test_supervisors_go_on(void **state)
{
	(void)state;
	char *const argv[] = {(char *)"/usr/bin/sleep", (char *)"60", NULL};
	struct sandbox_job job = {.argv = argv};
	pid_t first = supervisor_of_next();
	assert_true((supervisor_of_next() == first) == with_launcher);
	struct ran stopped = run_with(&sandbox_landlock, &job, 50, 100);
	assert_int_equal(stopped.r.state, RUN_FAILED);
	buf_release(&stopped.r.output);
	pid_t second = supervisor_of_next();
	assert_int_not_equal(second, first);
	kill(second, SIGKILL);
	for (int64_t until = clock_mono_ms() + 10000; kill(second, 0) == 0;)
		assert_true(clock_mono_ms() < until);
	assert_int_not_equal(supervisor_of_next(), second);
}

/* A launcher that is gone is done without. */
static void test_without_launcher(void **state)
{
	(void)state;
	launcher_close();
	expect_output(&sandbox_landlock, "echo still", "still");
}

static int run_all(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),           cmocka_unit_test(test_contained),
		cmocka_unit_test(test_clean),           cmocka_unit_test(test_network),
		cmocka_unit_test(test_timeout),         cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_output),          cmocka_unit_test(test_tick),
		cmocka_unit_test(test_binds),           cmocka_unit_test(test_own_program),
		cmocka_unit_test(test_symlink),         cmocka_unit_test(test_cost),
		cmocka_unit_test(test_dies_with_us),    cmocka_unit_test(test_supervisors_go_on),
		cmocka_unit_test(test_without_launcher)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Everything twice: supervised by children of this process, and by children of a launcher. */
int main(void)
{
	struct why why = {0};
	int failed = run_all();
	if (launcher_open(&why))
		fail_msg("%s", why.text);
	with_launcher = true;
	return failed + run_all();
}
