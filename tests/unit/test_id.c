#include "common/id.h"
#include "common/err.h"

#include <setjmp.h>
#include <cmocka.h>

static void test_id_is_stable_and_unambiguous(void **state UNUSED)
{
	char a[ID_BYTES];
	char b[ID_BYTES];

	/* Vectors: a change of these breaks every stored incident. */
	id_make(a, "incident", "service=db", "0017");
	assert_string_equal(a, "o2dgrwnhju5ujd3enepl");
	id_derive(a, "plan", NULL, 0);
	assert_string_equal(a, "yudgidbr5n5qgrfmwpjr");

	id_make(a, "k", "ab", "c");
	id_make(b, "k", "a", "bc");
	assert_string_not_equal(a, b);
	id_make(b, "ka", "b", "c");
	assert_string_not_equal(a, b);
	id_make(b, "k", "ab", "c", "");
	assert_string_not_equal(a, b);
	id_make(a, "k", NULL);
	id_make(b, "k", "");
	assert_string_equal(a, b);
	assert_int_equal(strlen(a), ID_LEN);
	assert_int_equal(strspn(a, "abcdefghijklmnopqrstuvwxyz234567"), ID_LEN);
}

static void test_random_ids_differ(void **state UNUSED)
{
	char a[ID_BYTES];
	char b[ID_BYTES];

	id_random(a);
	for (int i = 0; i < 1000; i++) {
		id_random(b);
		assert_true(token_valid(b));
		assert_string_not_equal(a, b);
	}
}

static void test_tokens(void **state UNUSED)
{
	static const char *const good[] = {"a", "A-z_09", "-"};
	static const char *const bad[] = {"", "a.b", "a b", "a*", ">", "\xc3\xa9", "a\n", "a/b"};
	char longest[TOKEN_MAX + 2] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(token_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(token_valid(bad[i]));
	assert_false(token_valid(NULL));
	memset(longest, 'x', TOKEN_MAX);
	assert_true(token_valid(longest));
	longest[TOKEN_MAX] = 'x';
	assert_false(token_valid(longest));
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *expected)
{
	char hex[2 * DIGEST_BYTES + 1];

	hex_encode(bytes, len, hex);
	assert_string_equal(hex, expected);
}

static void test_digests(void **state UNUSED)
{
	uint8_t out[DIGEST_BYTES];
	uint8_t key[131];

	digest_sha256("abc", 3, out);
	assert_hex(out, sizeof out,
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_sha256("", 0, out);
	assert_hex(out, sizeof out,
		   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	/* RFC 4231, test cases 2 and 6 */
	digest_hmac("Jefe", 4, "what do ya want for nothing?", 28, out);
	assert_hex(out, sizeof out,
		   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof key);
	digest_hmac(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54,
		    out);
	assert_hex(out, sizeof out,
		   "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	digest_hmac(NULL, 0, "", 0, out);
	assert_hex(out, sizeof out,
		   "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
	assert_true(digest_equal("abc", "abc", 3));
	assert_false(digest_equal("abc", "abd", 3));
	assert_true(digest_equal("a", "b", 0));
}

static void test_hex(void **state UNUSED)
{
	static const char *const bad[] = {"", "0", "00f", "00fg", "00ff0", "00 f", "0x0f"};
	uint8_t out[2] = {1, 2};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(hex_decode(bad[i], out, 2), ERR_INVALID);
	assert_int_equal(out[0], 1);
	assert_int_equal(hex_decode("a0Ff", out, 2), 0);
	assert_int_equal(out[0], 0xa0);
	assert_int_equal(out[1], 0xff);
	assert_int_equal(hex_decode("", out, 0), 0);
}

static void test_crc32c(void **state UNUSED)
{
	uint8_t zeroes[32] = {0};
	uint8_t rising[32];
	uint8_t data[300];
	unsigned seed = 7;

	for (size_t i = 0; i < sizeof rising; i++)
		rising[i] = (uint8_t)i;
	/* RFC 3720 B.4 */
	assert_int_equal(crc32c(0, zeroes, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, rising, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)rand_r(&seed);
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; len < sizeof data - from; len++) {
			uint32_t whole = crc32c(5, data + from, len);
			size_t half = len / 3;

			assert_int_equal(whole, crc32c_portable(5, data + from, len));
			assert_int_equal(whole, crc32c(crc32c(5, data + from, half),
						       data + from + half, len - half));
		}
}

static void test_partitions(void **state UNUSED)
{
	static const struct {
		const char *key;
		unsigned part;
	} rows[] = {{"", 5},           {"db", 3},          {"payments", 6},         {"web-1", 15},
		    {"acme/shop", 12}, {"service-42", 13}, {"\xc3\xa9t\xc3\xa9", 7}};
	unsigned seen[PARTITIONS] = {0};

	assert_true(fnv1a(FNV_INIT, "", 0) == UINT64_C(0xcbf29ce484222325));
	assert_true(fnv1a(FNV_INIT, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(fnv1a(FNV_INIT, "foobar", 6) == UINT64_C(0x85944171f73967e8));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(partition_of(rows[i].key), rows[i].part);
	for (int i = 0; i < 16000; i++) {
		char key[32];

		(void)snprintf(key, sizeof key, "service-%d", i);
		seen[partition_of(key)]++;
	}
	for (size_t i = 0; i < PARTITIONS; i++)
		assert_in_range(seen[i], 800, 1200);
}

/* prometheus/common, model/signature_test.go: 5799056148416392346 */
static void test_fingerprint(void **state UNUSED)
{
	static const struct label_view labels[] = {{"fear", "love is not enough"},
						   {"name", "garland, briggs"}};
	char out[FINGERPRINT_LEN + 1];

	fingerprint_labels(labels, 2, out);
	assert_string_equal(out, "507a62d79ee76c9a");
	fingerprint_labels(NULL, 0, out);
	assert_string_equal(out, "cbf29ce484222325");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_id_is_stable_and_unambiguous),
		cmocka_unit_test(test_random_ids_differ),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_partitions),
		cmocka_unit_test(test_fingerprint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
