#include "common/address.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		bool is_public, is_loopback;
	} t[] = {
		{"8.8.8.8", true, false},
		{"127.0.0.1", false, true},
		{"127.255.0.9", false, true},
		{"10.1.2.3", false, false},
		{"172.15.0.1", true, false},
		{"172.16.0.1", false, false},
		{"172.31.255.255", false, false},
		{"172.32.0.1", true, false},
		{"192.168.1.1", false, false},
		{"169.254.169.254", false, false},
		{"100.64.0.1", false, false},
		{"100.63.255.255", true, false},
		{"100.128.0.1", true, false},
		{"0.0.0.0", false, false},
		{"224.0.0.1", false, false},
		{"255.255.255.255", false, false},
		{"198.18.0.1", false, false},
		{"198.20.0.1", true, false},
		{"2606:4700::1111", true, false},
		{"::1", false, true},
		{"::", false, false},
		{"fe80::1", false, false},
		{"fd00:ec2::254", false, false},
		{"ff02::1", false, false},
		{"::ffff:127.0.0.1", false, true},
		{"::ffff:10.0.0.1", false, false},
		{"::ffff:8.8.8.8", true, false},
		{"::127.0.0.1", false, false},
		{"64:ff9b::a9fe:a9fe", false, false},
		{"64:ff9b::808:808", true, false},
		{"2002:7f00:1::", false, false},
		{"2002:808:808::", true, false},
		{"2001:db8::1", false, false},
		{"2001::1", false, false},
		{"100::1", false, false},
		{"fec0::1", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct addrinfo *a, hints = {.ai_flags = AI_NUMERICHOST};

		assert_int_equal(getaddrinfo(t[i].text, NULL, &hints, &a), 0);
		if (address_is_public(a->ai_addr) != t[i].is_public ||
		    address_is_loopback(a->ai_addr) != t[i].is_loopback)
			fail_msg("%s", t[i].text);
		freeaddrinfo(a);
	}
}

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int rc = connect(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return rc;
}

static void test_unix_sockets(void **state)
{
	char dir[] = "/tmp/test_address.XXXXXX", path[64], file[64], target[200];
	struct address_unix where = {.path = path, .mode = 0620, .gid = (int64_t)getegid()};
	struct why why = {0};
	struct stat st;
	int fd = -1, again = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	assert_int_equal(address_listen_unix(&where, &fd, &why), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0620);
	assert_int_equal(dial(path), 0);
	assert_int_equal(address_listen_unix(&where, &again, &why), ERR_BUSY);
	close(fd);
	/* A process that died leaves its file: it is in nobody's way. */
	assert_int_equal(dial(path), -1);
	assert_int_equal(address_listen_unix(&where, &fd, &why), 0);
	assert_int_equal(dial(path), 0);
	close(fd);
	fd = creat(file, 0600);
	close(fd);
	where.path = file;
	assert_int_equal(address_listen_unix(&where, &again, &why), ERR_EXISTS);
	where.path = "relative";
	assert_int_equal(address_listen_unix(&where, &again, &why), ERR_INVALID);
	where.path = target;
	memset(target, 'x', sizeof(target) - 1);
	target[0] = '/';
	target[sizeof(target) - 1] = 0;
	assert_int_equal(address_listen_unix(&where, &again, &why), ERR_INVALID);
	where.path = "/tmp/there/is/no/such/directory";
	assert_int_equal(address_listen_unix(&where, &again, &why), ERR_UNAVAILABLE);
	assert_int_equal(again, -1);
	unlink(path);
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses),
					   cmocka_unit_test(test_unix_sockets)};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
