#include "common/mem.h"
#include "notifier/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <cmocka.h>

static const struct token_claim approve = {
	.what = ANSWER_APPROVE, .subject = "abcdefghij234567klmn", .channel = "chat"};

static struct token_key *key_of(const char *secret)
{
	struct token_key *k = token_key_new(secret, strlen(secret));
	assert_non_null(k);
	return k;
}

static void test_says_what_it_answers(void **state)
{
	(void)state;
	struct token_key *k = key_of("0123456789abcdef0123456789abcdef");
	for (enum answer_what w = ANSWER_NONE + 1; w < ANSWERS; w++) {
		char token[TOKEN_TEXT], subject[TOKEN_SUBJECT_SHOWN + 1];
		enum answer_what what = ANSWER_NONE;
		struct token_claim claim = approve;
		claim.what = w;
		assert_true(token_read(token_make(k, &claim, token), &what, subject));
		assert_int_equal(what, w);
		assert_string_equal(subject, approve.subject);
		assert_true(token_proves(k, token, &claim));
		assert_int_equal(answer_what_parse(answer_what_name(w)), w);
		assert_true(strlen(token) < 64);
		assert_int_equal(strspn(token, "abcdefghijklmnopqrstuvwxyz234567."), strlen(token));
	}
	token_key_free(k);
}

/* Known from an independent HMAC: printf '7:approve20:abcdefghij234567klmn4:chat0:' |
 * openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | base32 */
static void test_is_hmac_sha256(void **state)
{
	(void)state;
	char token[TOKEN_TEXT];
	struct token_key *k = key_of("0123456789abcdef0123456789abcdef");
	assert_string_equal(token_make(k, &approve, token),
			    "yabcdefghij234567klmn.w23treldrpf7uttacbkp47ldgu");
	token_key_free(k);
}

static void test_proves_nothing_else(void **state)
{
	(void)state;
	struct token_key *k = key_of("0123456789abcdef0123456789abcdef");
	struct token_key *other = key_of("fedcba9876543210fedcba9876543210");
	char token[TOKEN_TEXT];
	token_make(k, &approve, token);
	struct token_claim wrong[5] = {approve, approve, approve, approve, approve};
	wrong[0].what = ANSWER_DENY;
	wrong[1].subject = "abcdefghij234567klmm";
	wrong[2].channel = "mail";
	wrong[3].person = "ann@example.org";
	wrong[4].subject = "abcdefghij234567klmn4"; /* the next part's length, moved */
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(token_proves(k, token, &wrong[i]));
	assert_false(token_proves(other, token, &approve));
	for (size_t i = strlen(token) - TOKEN_MAC_LEN; token[i]; i++) {
		char saved = token[i];
		token[i] = saved == 'a' ? 'b' : 'a';
		assert_false(token_proves(k, token, &approve));
		token[i] = saved;
	}
	assert_true(token_proves(k, token, &approve));
	token_key_free(other);
	token_key_free(k);
}

static void test_a_long_id_is_shown_by_its_beginning(void **state)
{
	(void)state;
	static const char longest[] =
		"a234567890123456789012345678901234567890123456789012345678901234";
	struct token_key *k = key_of("0123456789abcdef0123456789abcdef");
	struct token_claim claim = {.what = ANSWER_INFO, .subject = longest, .channel = "chat"};
	char token[TOKEN_TEXT], subject[TOKEN_SUBJECT_SHOWN + 1];
	enum answer_what what;
	assert_true(token_read(token_make(k, &claim, token), &what, subject));
	assert_int_equal(strlen(subject), TOKEN_SUBJECT_SHOWN);
	assert_true(str_starts(longest, subject));
	assert_true(token_proves(k, token, &claim));
	token_key_free(k);
}

static void test_what_is_no_token(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		".",
		"y",
		"yabc",
		"yabc.",
		"yabc.short",
		".abcdefghijklmnopqrstuvwxyz",
		"zabc.abcdefghijklmnopqrstuvwxyz",
		"y.abcdefghijklmnopqrstuvwxyz",
		"ya/c.abcdefghijklmnopqrstuvwxyz",
		"yabc.abcdefghijklmnopqrstuvwxyz2",
		"yabcabcabcabcabcabcabcabcabcabcabc.abcdefghijklmnopqrstuvwxyz"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char subject[TOKEN_SUBJECT_SHOWN + 1];
		enum answer_what what;
		assert_false(token_read(bad[i], &what, subject));
	}
}

static void test_the_key_is_made_once_and_private(void **state)
{
	(void)state;
	char dir[] = "/tmp/healbus-test-XXXXXX", first[TOKEN_TEXT], second[TOKEN_TEXT];
	struct why why = {0};
	struct stat st;
	assert_non_null(mkdtemp(dir));
	auto_free char *path = mem_printf("%s/token.key", dir);
	for (int i = 0; i < 2; i++) {
		struct token_key *k = NULL;
		assert_int_equal(token_key_load_or_create(path, &k, &why), 0);
		token_make(k, &approve, i ? second : first);
		token_key_free(k);
	}
	assert_string_equal(first, second);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	struct token_key *k = NULL;
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(token_key_load_or_create(path, &k, &why), ERR_CONFIG);
	assert_int_equal(truncate(path, 8), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(token_key_load_or_create(path, &k, &why), ERR_CONFIG);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says_what_it_answers),
		cmocka_unit_test(test_is_hmac_sha256),
		cmocka_unit_test(test_proves_nothing_else),
		cmocka_unit_test(test_a_long_id_is_shown_by_its_beginning),
		cmocka_unit_test(test_what_is_no_token),
		cmocka_unit_test(test_the_key_is_made_once_and_private),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
