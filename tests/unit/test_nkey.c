#include "common/nkey.h"

#include <setjmp.h>
#include <cmocka.h>
#include <nats/nats.h>
#include <openssl/evp.h>

/* The pair that NATS' own documentation shows. */
static const char known_seed[] = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
static const char known_public[] = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

static void test_known_pair(void **state)
{
	(void)state;
	char public[NKEY_PUBLIC_LEN + 1];
	assert_int_equal(nkey_public(known_seed, public, NULL), 0);
	assert_string_equal(public, known_public);
	assert_true(nkey_public_valid(known_public));
	assert_false(nkey_public_valid(known_seed));
}

/* libnats signs with code of its own. */
static void test_signs_as_libnats(void **state)
{
	(void)state;
	static const char *const nonces[] = {"a", "PXoWU7zWAMt75FY", "0123456789abcdef0123456789"};
	for (size_t i = 0; i < ARRAY_SIZE(nonces); i++) {
		uint8_t ours[NKEY_SIGNATURE_BYTES];
		unsigned char *theirs = NULL;
		int len = 0;
		assert_int_equal(nkey_sign(known_seed, nonces[i], strlen(nonces[i]), ours, NULL),
				 0);
		assert_int_equal(nats_Sign(known_seed, nonces[i], &theirs, &len), NATS_OK);
		assert_int_equal(len, NKEY_SIGNATURE_BYTES);
		assert_memory_equal(ours, theirs, sizeof(ours));
		free(theirs);
	}
}

static void test_new_pairs(void **state)
{
	(void)state;
	char last[NKEY_SEED_LEN + 1] = "";
	for (int i = 0; i < 200; i++) {
		char seed[NKEY_SEED_LEN + 1], public[NKEY_PUBLIC_LEN + 1],
			again[NKEY_PUBLIC_LEN + 1];
		unsigned char *theirs = NULL;
		uint8_t ours[NKEY_SIGNATURE_BYTES];
		int len = 0;
		assert_int_equal(nkey_new(seed, public, NULL), 0);
		assert_int_equal(strlen(seed), NKEY_SEED_LEN);
		assert_int_equal(strlen(public), NKEY_PUBLIC_LEN);
		assert_memory_equal(seed, "SU", 2);
		assert_int_equal(public[0], 'U');
		assert_string_not_equal(seed, last);
		assert_true(nkey_public_valid(public));
		assert_int_equal(nkey_public(seed, again, NULL), 0);
		assert_string_equal(public, again);
		assert_int_equal(nkey_sign(seed, "nonce", 5, ours, NULL), 0);
		assert_int_equal(nats_Sign(seed, "nonce", &theirs, &len), NATS_OK);
		assert_memory_equal(ours, theirs, sizeof(ours));
		free(theirs);
		memcpy(last, seed, sizeof(last));
	}
}

/* No other text within one character of a key is one: the checksum and the one spelling. */
static void test_every_single_change_is_noticed(void **state)
{
	(void)state;
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567a0189 =";
	for (size_t i = 0; i < NKEY_SEED_LEN; i++) {
		char seed[sizeof(known_seed)], public[sizeof(known_public)],
			out[NKEY_PUBLIC_LEN + 1];
		memcpy(seed, known_seed, sizeof(seed));
		memcpy(public, known_public, sizeof(public));
		for (const char *c = letters; *c; c++) {
			seed[i] = *c;
			if (*c != known_seed[i])
				assert_int_equal(nkey_public(seed, out, NULL), ERR_INVALID);
			if (i >= NKEY_PUBLIC_LEN)
				continue;
			public[i] = *c;
			assert_int_equal(nkey_public_valid(public), *c == known_public[i]);
		}
	}
}

static void test_what_is_no_seed(void **state)
{
	(void)state;
	static const char *const no[] = {
		"",
		"SU",
		"UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4",
		/* an account's and a server's seed: right checksums, wrong kind */
		"SAAOBLKDHLEQOKRIYPVUDBZTCYIVDPBVEFEYOYB2EXCD7ITOXYPI2XV5FY",
		"SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VYA",
		"suacssl3uahudxkfsnvuzrf5uhpmwz6bfdtj7m6usdxiednppqyyycu3vy",
	};
	for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
		char out[NKEY_PUBLIC_LEN + 1] = "untouched";
		uint8_t signature[NKEY_SIGNATURE_BYTES];
		struct why why = {0};
		assert_int_equal(nkey_public(no[i], out, &why), ERR_INVALID);
		assert_string_equal(out, "untouched");
		assert_int_equal(nkey_sign(no[i], "x", 1, signature, NULL), ERR_INVALID);
		if (strlen(no[i]) > 8)
			assert_null(strstr(why.text, no[i]));
	}
}

/* The library's table of base32 digits is made then. */
static int setup(void **state)
{
	(void)state;
	return nats_Open(-1) == NATS_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nats_CloseAndWait(2000) == NATS_OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_pair),
		cmocka_unit_test(test_signs_as_libnats),
		cmocka_unit_test(test_new_pairs),
		cmocka_unit_test(test_every_single_change_is_noticed),
		cmocka_unit_test(test_what_is_no_seed),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
