#include "common/secret.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <sys/stat.h>

static char path[64];

static int setup(void **state UNUSED)
{
	int fd;

	memcpy(path, "/tmp/test_secret.XXXXXX", sizeof "/tmp/test_secret.XXXXXX");
	fd = mkstemp(path);
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int teardown(void **state UNUSED)
{
	return unlink(path) && errno != ENOENT;
}

static void put(const char *text, size_t len)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void test_read(void **state UNUSED)
{
	struct secret s = {0};
	struct why why = {0};

	put("hunter2\n", 8);
	assert_int_equal(secret_read(&s, path, &why), 0);
	assert_string_equal(s.data, "hunter2");
	assert_int_equal(s.len, 7);
	assert_true(secret_equal(&s, "hunter2", 7));
	assert_false(secret_equal(&s, "hunter3", 7));
	assert_false(secret_equal(&s, "hunter2", 6));
	assert_false(secret_equal(&s, "hunter22", 8));
	secret_release(&s);
	assert_null(s.data);
	put("x\n\n", 3);
	assert_int_equal(secret_read(&s, path, &why), 0);
	assert_string_equal(s.data, "x\n");
	secret_release(&s);
	secret_release(NULL);
}

static void test_none(void **state UNUSED)
{
	struct secret s = {.len = 9};

	assert_int_equal(secret_read(&s, NULL, NULL), 0);
	assert_null(s.data);
	assert_int_equal(secret_read(&s, "", NULL), 0);
	assert_int_equal(s.len, 0);
	assert_false(secret_equal(&s, "", 0));
	secret_release(&s);
}

static void refused(const char *reason)
{
	struct secret s = {0};
	struct why why = {0};

	assert_int_equal(secret_read(&s, path, &why), ERR_CONFIG);
	assert_null(s.data);
	assert_non_null(strstr(why.text, reason));
	assert_true(str_starts(why.text, path));
}

static void test_refused(void **state UNUSED)
{
	static const mode_t modes[] = {0640, 0620, 0604, 0602, 0644};
	auto_free char *big = mem_alloc(SECRET_MAX_BYTES + 1);
	struct secret s = {0};

	refused("empty");
	put("\n", 1);
	refused("empty");
	put("a\0b", 3);
	refused("a NUL byte inside");
	memset(big, 'x', SECRET_MAX_BYTES + 1);
	put(big, SECRET_MAX_BYTES + 1);
	refused("more than 16384 bytes");
	put(big, SECRET_MAX_BYTES);
	assert_int_equal(secret_read(&s, path, NULL), 0);
	assert_int_equal(strlen(s.data), SECRET_MAX_BYTES);
	secret_release(&s);
	put("hunter2", 7);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		chmod(path, modes[i]);
		refused("lets group or others in; chmod 600 it");
	}
	unlink(path);
	refused("No such file");
}

/* The pages are marked so that a core dump leaves them out ("dd" in VmFlags). */
static void test_not_in_core_dumps(void **state UNUSED)
{
	struct secret s = {0};
	char line[512];
	FILE *maps;
	bool inside = false;
	bool marked = false;

	put("hunter2", 7);
	assert_int_equal(secret_read(&s, path, NULL), 0);
	maps = fopen("/proc/self/smaps", "re");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		uintptr_t from;
		uintptr_t to;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			inside = from <= (uintptr_t)s.data && (uintptr_t)s.data < to;
		if (inside && str_starts(line, "VmFlags:"))
			marked = strstr(line, " dd") != NULL;
	}
	fclose(maps);
	assert_true(marked);
	secret_release(&s);
}

/* As systemd's credentials and Kubernetes' secrets come. */
static void test_roots_file(void **state UNUSED)
{
	static const struct {
		mode_t mode;
		bool good;
	} rows[] = {{0440, true},  {0640, true},  {0400, false}, {0660, false},
		    {0644, false}, {0642, false}, {0604, false}};
	const gid_t group = 65534;

	if (geteuid() != 0)
		skip();
	put("hunter2", 7);
	assert_int_equal(chown(path, 0, group), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct secret s = {0};
		struct why why = {0};
		assert_int_equal(chmod(path, rows[i].mode), 0);
		assert_int_equal(setegid(group) || seteuid(65534), 0);
		int rc = secret_read(&s, path, &why);
		assert_int_equal(seteuid(0) || setegid(0), 0);
		assert_int_equal(rc, rows[i].good ? 0 : ERR_CONFIG);
		secret_release(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roots_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_in_core_dumps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
