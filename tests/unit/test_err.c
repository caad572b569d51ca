#include "common/err.h"

#include <setjmp.h>
#include <cmocka.h>

static const int codes[] = {
	ERR_INVALID,     ERR_TOO_LARGE,   ERR_UNKNOWN_KEY, ERR_SCHEMA,  ERR_TIMEOUT,
	ERR_UNAVAILABLE, ERR_BUSY,        ERR_CONFLICT,    ERR_CLOSED,  ERR_NOT_FOUND,
	ERR_EXISTS,      ERR_UNSUPPORTED, ERR_REJECTED,    ERR_DENIED,  ERR_UNAUTHENTICATED,
	ERR_EXPIRED,     ERR_IO,          ERR_FULL,        ERR_CORRUPT, ERR_CONFIG,
	ERR_INTERNAL,
};

static void test_names_are_known_and_distinct(void **state UNUSED)
{
	assert_string_equal(err_name(0), "ok");
	assert_string_equal(err_name(-999), "unknown");
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		assert_string_not_equal(err_name(codes[i]), "unknown");
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(err_name(codes[i]), err_name(codes[j]));
	}
}

static void test_class_follows_the_tens(void **state UNUSED)
{
	static const enum err_class by_tens[] = {ERR_CLASS_INPUT, ERR_CLASS_TRANSIENT,
						 ERR_CLASS_PERMANENT, ERR_CLASS_DENIED,
						 ERR_CLASS_INTERNAL};

	assert_int_equal(err_class(0), ERR_CLASS_NONE);
	assert_int_equal(err_class(-999), ERR_CLASS_INTERNAL);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		assert_int_equal(err_class(codes[i]), by_tens[-codes[i] / 10]);
	assert_string_equal(err_class_name(ERR_CLASS_INPUT), "input");
	assert_string_equal(err_class_name(ERR_CLASS_TRANSIENT), "transient");
	for (int class = ERR_CLASS_NONE; class <= ERR_CLASS_INTERNAL + 1; class ++)
		assert_true(strlen(err_recovery((enum err_class) class)) > 5);
}

static void test_errno(void **state UNUSED)
{
	assert_int_equal(err_from_errno(ENOSPC), ERR_FULL);
	assert_int_equal(err_from_errno(ETIMEDOUT), ERR_TIMEOUT);
	assert_int_equal(err_from_errno(ENOENT), ERR_NOT_FOUND);
	assert_int_equal(err_from_errno(ECONNREFUSED), ERR_UNAVAILABLE);
	assert_int_equal(err_from_errno(EIO), ERR_IO);
	assert_int_equal(err_from_errno(0), ERR_IO);
}

static void test_why(void **state UNUSED)
{
	struct why why = {0};
	char big[2 * WHY_TEXT_BYTES];

	assert_int_equal(why_set(NULL, ERR_IO, "x"), ERR_IO);
	assert_int_equal(why_prefix(NULL, ERR_IO, "x"), ERR_IO);
	assert_int_equal(why_set(&why, ERR_INVALID, "bad \x1b[1m%s\n", "label"), ERR_INVALID);
	assert_string_equal(why.text, "bad ?[1mlabel?");
	why_set(&why, ERR_IO, "the outer one");
	assert_string_equal(why.text, "bad ?[1mlabel?");
	assert_int_equal(why_prefix(&why, ERR_INVALID, "labels[%d]", 3), ERR_INVALID);
	assert_string_equal(why.text, "labels[3]: bad ?[1mlabel?");

	memset(big, 'x', sizeof big);
	big[sizeof big - 1] = '\0';
	why_prefix(&why, ERR_INVALID, "%s", big);
	assert_true(strlen(why.text) < WHY_TEXT_BYTES);
	why = (struct why){0};
	why_set(&why, ERR_INVALID, "%s", big);
	assert_int_equal(strlen(why.text), WHY_TEXT_BYTES - 1);
	why_prefix(&why, ERR_INVALID, "a");
	assert_int_equal(strlen(why.text), WHY_TEXT_BYTES - 1);
	assert_true(str_starts(why.text, "a: xxx"));
	why = (struct why){0};
	why_prefix(&why, ERR_INVALID, "alone");
	assert_string_equal(why.text, "alone");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_known_and_distinct),
		cmocka_unit_test(test_class_follows_the_tens),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
