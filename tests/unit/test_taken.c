/* What one process had in hand, the next one finds; whatever lies in the file. */
#include "common/taken.h"

#include "common/buf.h"
#include "common/mem.h"

#include <setjmp.h>
#include <sys/stat.h>
#include <cmocka.h>

static char dir[64];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/healbus-taken-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	auto_free char *path = mem_printf("%s/taken-plans", dir);
	unlink(path);
	return rmdir(dir);
}

static struct taken *open_rows(size_t rows)
{
	struct taken *t = NULL;
	struct why why = {0};
	if (taken_open(dir, "plans", rows, &t, &why))
		fail_msg("%s", why.text);
	return t;
}

static void test_the_next_process_finds_them(void **state)
{
	(void)state;
	char reply[TAKEN_REPLY_MAX];
	size_t row;
	struct taken *t = open_rows(3);
	assert_int_equal(taken_left(t), 0);
	assert_false(taken_next(t, reply, &row));
	size_t a = taken_put(t, "$JS.ACK.a"), b = taken_put(t, "$JS.ACK.b");
	taken_put(t, "$JS.ACK.c");
	assert_int_equal(taken_put(t, "$JS.ACK.d"), TAKEN_NONE); /* no room: not noted */
	taken_drop(t, b);
	assert_int_not_equal(a, b);
	taken_close(t);

	t = open_rows(1); /* fewer workers than before: nothing is forgotten */
	assert_int_equal(taken_left(t), 2);
	assert_true(taken_next(t, reply, &row));
	assert_string_equal(reply, "$JS.ACK.a");
	taken_drop(t, row);
	assert_true(taken_next(t, reply, &row));
	assert_string_equal(reply, "$JS.ACK.c");
	assert_false(taken_next(t, reply, &row));
	assert_int_not_equal(taken_put(t, "$JS.ACK.e"), row); /* c's row is still in use */
	taken_close(t);

	t = open_rows(8); /* it died again with c and e in hand */
	assert_int_equal(taken_left(t), 2);
	taken_close(t);
}

static void test_what_kills_is_given_up(void **state)
{
	(void)state;
	char reply[TAKEN_REPLY_MAX];
	size_t row;
	struct taken *t = open_rows(1);
	taken_put(t, "$JS.ACK.poison");
	for (int life = 0; life < TAKEN_TRIES; life++) {
		taken_close(t);
		t = open_rows(1);
		assert_true(taken_next(t, reply, &row));
	}
	taken_close(t);
	t = open_rows(1);
	assert_int_equal(taken_left(t), 0);
	assert_int_equal(taken_put(t, "$JS.ACK.next"), 0);
	taken_close(t);
	t = open_rows(1);
	assert_true(taken_next(t, reply, &row)); /* the row's new user starts from none */
	taken_close(t);
}

static void test_one_process_at_a_time(void **state)
{
	(void)state;
	struct why why = {0};
	struct taken *t = open_rows(1), *other = NULL;
	assert_int_equal(taken_open(dir, "plans", 1, &other, &why), ERR_BUSY);
	assert_null(other);
	taken_close(t);
}

static void test_what_cannot_be_noted(void **state)
{
	(void)state;
	char reply[TAKEN_REPLY_MAX], text[300];
	size_t row;
	struct taken *t = open_rows(2);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	assert_int_equal(taken_put(t, text), TAKEN_NONE);
	assert_int_equal(taken_put(t, ""), TAKEN_NONE);
	assert_int_equal(taken_put(NULL, "$JS.ACK.a"), TAKEN_NONE);
	assert_false(taken_next(NULL, reply, &row));
	taken_drop(NULL, 0);
	taken_drop(t, TAKEN_NONE);
	taken_close(t);
}

static void test_garbage_is_passed_over(void **state)
{
	(void)state;
	char reply[TAKEN_REPLY_MAX];
	size_t row;
	auto_free char *path = mem_printf("%s/taken-plans", dir);
	struct taken *t = open_rows(2);
	taken_put(t, "$JS.ACK.a");
	taken_put(t, "$JS.ACK.b");
	taken_close(t);
	FILE *f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, 20, SEEK_SET), 0); /* inside the first reply */
	fputc('!', f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	fputs("half a row", f);
	fclose(f);
	t = open_rows(2);
	assert_int_equal(taken_left(t), 1);
	assert_true(taken_next(t, reply, &row));
	assert_string_equal(reply, "$JS.ACK.b");
	taken_close(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_next_process_finds_them, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_kills_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_process_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_noted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage_is_passed_over, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
