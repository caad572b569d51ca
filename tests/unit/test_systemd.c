#include "common/systemd.h"
#include "common/err.h"

#include <setjmp.h>
#include <cmocka.h>

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	memcpy(a.sun_path, path, strlen(path));
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, path[0] == '@' ? len : len + 1), 0);
	return fd;
}

static void test_datagrams(void **state UNUSED)
{
	char path[64], abstract[64], got[64] = "";
	snprintf(path, sizeof(path), "/tmp/healbus-notify-%d", (int)getpid());
	snprintf(abstract, sizeof(abstract), "@healbus-notify-%d", (int)getpid());
	const char *names[] = {path, abstract};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct systemd sd;
		auto_fd int fd = listen_at(names[i]);
		setenv("NOTIFY_SOCKET", names[i], 1);
		systemd_open(&sd);
		assert_true(sd.listens);
		assert_null(getenv("NOTIFY_SOCKET"));
		assert_int_equal(systemd_notify(&sd, "READY=1\nSTATUS=x\n"), 0);
		assert_int_equal(recv(fd, got, sizeof(got), 0), 17);
		assert_memory_equal(got, "READY=1\nSTATUS=x\n", 17);
		systemd_close(&sd);
		assert_int_equal(systemd_notify(&sd, "READY=1"), 0);
	}
	unlink(path);
}

static void test_never_blocks(void **state UNUSED)
{
	char abstract[64], byte;
	struct systemd sd;
	int sent = 0;
	snprintf(abstract, sizeof(abstract), "@healbus-full-%d", (int)getpid());
	auto_fd int fd = listen_at(abstract);
	setenv("NOTIFY_SOCKET", abstract, 1);
	systemd_open(&sd);
	while (sent < 100000 && systemd_notify(&sd, "WATCHDOG=1") == 0)
		sent++;
	assert_in_range(sent, 1, 99999);
	assert_int_equal(systemd_notify(&sd, "WATCHDOG=1"), ERR_UNAVAILABLE);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(systemd_notify(&sd, "WATCHDOG=1"), 0);
	systemd_close(&sd);
}

static void test_environment(void **state UNUSED)
{
	char own[24], long_name[200];
	snprintf(own, sizeof(own), "%d", (int)getpid());
	memset(long_name, 'x', sizeof(long_name));
	long_name[0] = '/';
	long_name[sizeof(long_name) - 1] = '\0';
	const struct row {
		const char *socket, *usec, *pid;
		bool listens;
		int64_t watchdog_ms;
	} rows[] = {
		{NULL, "4000000", NULL, false, 0},
		{"@here", NULL, NULL, true, 0},
		{"@here", "4000000", NULL, true, 4000},
		{"@here", "4000000", own, true, 4000},
		{"@here", "4000000", "1", true, 0},
		{"@here", "-4000000", own, true, 0},
		{"@here", "4000000x", own, true, 0},
		{"@here", "99999999999999999999", own, true, 0},
		{"@here", "", own, true, 0},
		{"vsock:2:1", "4000000", own, false, 0},
		{"relative", "4000000", own, false, 0},
		{"", "4000000", own, false, 0},
		{long_name, "4000000", own, false, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct systemd sd;
		const char *set[][2] = {{"NOTIFY_SOCKET", rows[i].socket},
					{"WATCHDOG_USEC", rows[i].usec},
					{"WATCHDOG_PID", rows[i].pid}};
		for (size_t k = 0; k < ARRAY_SIZE(set); k++)
			if (set[k][1])
				setenv(set[k][0], set[k][1], 1);
		systemd_open(&sd);
		assert_int_equal(sd.listens, rows[i].listens);
		assert_int_equal(sd.watchdog_ms, rows[i].watchdog_ms);
		for (size_t k = 0; k < ARRAY_SIZE(set); k++)
			assert_null(getenv(set[k][0]));
		systemd_close(&sd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_never_blocks),
		cmocka_unit_test(test_environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
