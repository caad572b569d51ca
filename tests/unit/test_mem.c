#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void test_allocations(void **state UNUSED)
{
	auto_free char *zero = mem_alloc(0);
	auto_free char *some = mem_calloc(3, 5);
	auto_free char *none = mem_calloc(0, 5);
	auto_free char *copy = mem_dup("a\0b", 3);
	auto_free char *text = mem_strdup("hello");
	auto_free char *printed = mem_printf("%s-%d", "x", 42);

	assert_non_null(zero);
	assert_non_null(none);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(some[i], 0);
	assert_memory_equal(copy, "a\0b\0", 4);
	assert_string_equal(text, "hello");
	assert_string_equal(printed, "x-42");
	assert_null(mem_strdup(NULL));
	some = mem_realloc(some, 100);
	assert_int_equal(some[14], 0);
}

static void test_overflow_aborts(void **state UNUSED)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		const struct rlimit none = {0};
		volatile size_t huge = SIZE_MAX / 2;

		setrlimit(RLIMIT_CORE, &none);
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		free(mem_calloc(huge, 3));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* A sanitizer ends the process in its own way. */
	assert_int_not_equal(status, 0);
}

static void test_arena_gives_aligned_zeroes(void **state UNUSED)
{
	struct arena a = {0};

	for (int round = 0; round < 3; round++) {
		for (size_t size = 0; size < 3000; size += 7) {
			unsigned char *p = arena_alloc(&a, size);

			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xff, size);
		}
		arena_reset(&a);
		assert_int_equal(a.used_bytes, 0);
	}
	arena_release(&a);
	assert_null(a.blocks);
	assert_non_null(arena_alloc(&a, 1));
	arena_release(&a);
}

static void test_arena_stops_at_its_ceiling(void **state UNUSED)
{
	struct arena a = {.limit_bytes = 1000};
	size_t n = 0;

	while (arena_alloc(&a, 100))
		n++;
	assert_int_equal(n, 1000 / 112);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX / 2));
	assert_non_null(arena_alloc(&a, 1));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 900));
	arena_release(&a);
	assert_null(arena_alloc(&a, ARENA_DEFAULT_LIMIT_BYTES + 1));
	assert_non_null(arena_alloc(&a, ARENA_DEFAULT_LIMIT_BYTES));
	/* A block this large is not kept. */
	arena_reset(&a);
	assert_null(a.blocks);
	arena_release(&a);
}

static void test_arena_text(void **state UNUSED)
{
	struct arena a = {.limit_bytes = 64};

	assert_string_equal(arena_strdup(&a, "abc"), "abc");
	assert_null(arena_strdup(&a, NULL));
	assert_string_equal(arena_printf(&a, "%d/%s", 7, "x"), "7/x");
	assert_null(arena_printf(&a, "%064d", 7));
	assert_null(arena_strdup(&a, "0123456789012345678901234567890123456789"));
	arena_release(&a);
}

static size_t resident_kib(void)
{
	char line[256];
	size_t kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			kib = strtoul(line + 6, NULL, 10);
	}
	fclose(f);
	return kib;
}

/* What was written stays, code still runs, and less is resident. */
static void test_settle(void **state)
{
	enum { BLOCKS = 4096, BYTES = 1024 };
	static char written[8192] = "mine";
	char *blocks[BLOCKS];
	size_t before;

	(void)state;
	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = memset(mem_alloc(BYTES), 7, BYTES);
	for (size_t i = 0; i + 1 < BLOCKS; i++)
		free(blocks[i]);
	before = resident_kib();
	mem_settle();
	assert_string_equal(written, "mine");
	assert_int_equal(blocks[BLOCKS - 1][BYTES - 1], 7);
	assert_true(resident_kib() < before);
	free(blocks[BLOCKS - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allocations),
		cmocka_unit_test(test_overflow_aborts),
		cmocka_unit_test(test_arena_gives_aligned_zeroes),
		cmocka_unit_test(test_arena_stops_at_its_ceiling),
		cmocka_unit_test(test_arena_text),
		cmocka_unit_test(test_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
