#include "tests/unit/notifier/bench.h"

#include "notifier/channels/interaction.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

#define NOW INT64_C(1700000000000)
#define BODY "payload=%7B%22type%22%3A%22x%22%7D"

/* python3: hmac.new(b"shhh", b"v0:1700000000:" + BODY, "sha256").hexdigest() */
#define MAC "299a3c590844216ef44c5b2eae5bc14e82d2a0d8ec8e520cc28ef80f237c69f1"

static int slack_at(const char *timestamp, const char *signature, const char *body, int64_t now_ms)
{
	struct secret key = {.data = (char *)"shhh", .len = 4};
	struct interaction_request r = {timestamp, signature, body, strlen(body), now_ms};
	struct why why = {0};
	int rc = slack_verify(&r, &key, &why);
	assert_true(!rc || why.text[0]);
	return rc;
}

static void test_slack_signature(void **state UNUSED)
{
	static const char good[] = "v0=" MAC;
	char flipped[sizeof(good)];
	memcpy(flipped, good, sizeof(good));
	flipped[10] = flipped[10] == '0' ? '1' : '0';
	assert_int_equal(slack_at("1700000000", good, BODY, NOW), 0);
	assert_int_equal(slack_at("1700000000", good, BODY, NOW + 300000), 0);
	assert_int_equal(slack_at("1700000000", good, BODY, NOW - 300000), 0);
	assert_int_equal(slack_at("1700000000", good, BODY, NOW + 300001), ERR_UNAUTHENTICATED);
	assert_int_equal(slack_at("1700000000", good, BODY, NOW - 300001), ERR_UNAUTHENTICATED);
	static const struct {
		const char *timestamp, *signature, *body;
	} bad[] = {
		{"1700000001", good, BODY},
		{"1700000000", good, BODY "x"},
		{"1700000000", "v0=", BODY},
		{"1700000000", MAC, BODY},
		{"1700000000", "v1=" MAC, BODY},
		{"1700000000", "v0=" MAC "0", BODY},
		{NULL, good, BODY},
		{"", good, BODY},
		{" 1700000000", good, BODY},
		{"+1700000000", good, BODY},
		{"-1", good, BODY},
		{"1700000000.0", good, BODY},
		{"99999999999999999999999", good, ""},
		{"1700000000", NULL, BODY},
		{"1700000000", "", BODY},
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (slack_at(bad[i].timestamp, bad[i].signature, bad[i].body, NOW) !=
		    ERR_UNAUTHENTICATED)
			fail_msg("case %zu", i);
	assert_int_equal(slack_at("1700000000", flipped, BODY, NOW), ERR_UNAUTHENTICATED);
	struct secret none = {0};
	struct interaction_request r = {"1700000000", good, BODY, strlen(BODY), NOW};
	assert_int_equal(slack_verify(&r, &none, NULL), ERR_UNAUTHENTICATED);
}

/* Signs timestamp || body with a new key; hex of 64 bytes. */
static void ed25519(const char *text, uint8_t key[static INTERACTION_KEY_BYTES],
		    char hex[static 129])
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t signature[64];
	size_t len = sizeof(signature), key_len = INTERACTION_KEY_BYTES;
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, signature, &len, (const uint8_t *)text, strlen(text)),
			 1);
	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key, &key_len), 1);
	hex_encode(signature, sizeof(signature), hex);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

static void test_discord_signature(void **state UNUSED)
{
	uint8_t key[INTERACTION_KEY_BYTES], other[INTERACTION_KEY_BYTES];
	char hex[129], foreign[129];
	ed25519("1700000000{\"type\":1}", key, hex);
	ed25519("1700000000{\"type\":1}", other, foreign);
	struct interaction_request r = {"1700000000", hex, "{\"type\":1}", 10, NOW};
	assert_int_equal(discord_verify(&r, key, NULL), 0);
	assert_int_equal(discord_verify(&r, other, NULL), ERR_UNAUTHENTICATED);
	r.signature = foreign;
	assert_int_equal(discord_verify(&r, key, NULL), ERR_UNAUTHENTICATED);
	r.signature = hex;
	r.now_ms = NOW + 300001;
	assert_int_equal(discord_verify(&r, key, NULL), ERR_UNAUTHENTICATED);
	r.now_ms = NOW;
	r.len = 9;
	assert_int_equal(discord_verify(&r, key, NULL), ERR_UNAUTHENTICATED);
	r.len = 10;
	/* What is signed is timestamp || body: the border must not move. */
	r.timestamp = "170000000";
	r.body = "0{\"type\":1}";
	r.len = 11;
	assert_int_not_equal(discord_verify(&r, key, NULL), 0);
	r = (struct interaction_request){NULL, hex, "{\"type\":1}", 10, NOW};
	assert_int_equal(discord_verify(&r, key, NULL), ERR_UNAUTHENTICATED);
	r = (struct interaction_request){"1700000000", NULL, "{\"type\":1}", 10, NOW};
	assert_int_equal(discord_verify(&r, key, NULL), ERR_UNAUTHENTICATED);
	hex[127] = 'g';
	r.signature = hex;
	assert_int_equal(discord_verify(&r, key, NULL), ERR_UNAUTHENTICATED);
}

static void test_slack_click(void **state UNUSED)
{
	static const char good[] =
		"payload=%7B%22type%22:%22block_actions%22,%22trigger_id%22:%221.2.abc%22,"
		"%22user%22:{%22id%22:%22U1%22},%22channel%22:{%22id%22:%22C1%22},"
		"%22container%22:{%22thread_ts%22:%221.5%22},%22actions%22:[{%22action_id%22:"
		"%22approve%22,%22value%22:%22tok%22,%22action_ts%22:%221.6%22}]%7D";
	struct interaction i, again;
	struct why why = {0};
	assert_int_equal(slack_interaction(good, strlen(good), &i, &why), 0);
	assert_int_equal(i.kind, INTERACTION_CLICK);
	assert_string_equal(i.user, "U1");
	assert_string_equal(i.value, "tok");
	assert_string_equal(i.place, "C1");
	assert_string_equal(i.thread, "1.5");
	assert_int_equal(slack_interaction(good, strlen(good), &again, &why), 0);
	assert_string_equal(i.id, again.id);
	auto_buf twice = {0};
	buf_printf(&twice, "%s&%s", good, good);
	static const char *const bad[] = {
		"",
		"payload=",
		"payload=%7",
		"payload=%zz",
		"payload=[]",
		"other=1",
		"{\"type\":\"block_actions\"}",
		"payload={\"type\":\"block_actions\"}",
		"payload={\"type\":\"block_actions\",\"actions\":[{},{}]}",
		"payload={\"type\":\"block_actions\",\"actions\":[{\"value\":\"a b\"}]}",
		"payload={\"type\":\"block_actions\",\"actions\":[{\"value\":\"a\",\"action_ts\":"
		"\"1\"}],\"user\":{\"id\":7}}",
		"payload={\"type\":\"block_actions\",\"actions\":[{\"value\":\"a\",\"action_ts\":"
		"\"1\"}],\"user\":{\"id\":\"U1\"}}",
	};
	for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
		if (slack_interaction(bad[n], strlen(bad[n]), &i, &why) != ERR_INVALID)
			fail_msg("case %zu", n);
	assert_int_equal(slack_interaction(twice.data, twice.len, &i, &why), ERR_INVALID);
	static const char view[] = "payload={\"type\":\"view_submission\"}";
	assert_int_equal(slack_interaction(view, strlen(view), &i, &why), 0);
	assert_int_equal(i.kind, INTERACTION_OTHER);
}

static void test_discord_click(void **state UNUSED)
{
	static const char click[] = "{\"type\":3,\"id\":\"77\",\"channel_id\":\"5\",\"data\":{"
				    "\"component_type\":2,\"custom_id\":\"tok\"},\"member\":{"
				    "\"user\":{\"id\":\"9\"}},\"user\":{\"id\":\"8\"}}";
	static const char direct[] = "{\"type\":3,\"id\":\"77\",\"data\":{\"custom_id\":\"tok\"},"
				     "\"user\":{\"id\":\"8\"}}";
	struct interaction i;
	struct why why = {0};
	assert_int_equal(discord_interaction("{\"type\":1}", 10, &i, &why), 0);
	assert_int_equal(i.kind, INTERACTION_PING);
	assert_int_equal(discord_interaction(click, strlen(click), &i, &why), 0);
	assert_int_equal(i.kind, INTERACTION_CLICK);
	assert_string_equal(i.user, "9");
	assert_string_equal(i.value, "tok");
	assert_string_equal(i.id, "77");
	assert_int_equal(discord_interaction(direct, strlen(direct), &i, &why), 0);
	assert_string_equal(i.user, "8");
	assert_int_equal(discord_interaction("{\"type\":2}", 10, &i, &why), 0);
	assert_int_equal(i.kind, INTERACTION_OTHER);
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"type\":\"1\"}",
		"{\"type\":3}",
		"{\"type\":3,\"id\":\"7\",\"data\":{\"custom_id\":\"t\"}}",
		"{\"type\":3,\"user\":{\"id\":\"8\"},\"data\":{\"custom_id\":\"t\"}}",
	};
	for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
		if (discord_interaction(bad[n], strlen(bad[n]), &i, &why) != ERR_INVALID)
			fail_msg("case %zu", n);
	/* Deep enough for anything Discord sends. */
	auto_buf nested = {0};
	buf_add_str(&nested, "{\"type\":1,\"a\":");
	for (int n = 0; n < 60; n++)
		buf_add_char(&nested, '[');
	for (int n = 0; n < 60; n++)
		buf_add_char(&nested, ']');
	buf_add_char(&nested, '}');
	assert_int_equal(discord_interaction(nested.data, nested.len, &i, &why), 0);
	auto_buf deep = {0};
	for (int n = 0; n < 100000; n++)
		buf_add_str(&deep, "{\"a\":");
	assert_int_equal(discord_interaction(deep.data, deep.len, &i, &why), ERR_INVALID);
}

static void test_replay(void **state UNUSED)
{
	static struct interaction_seen seen;
	char id[32];
	assert_int_equal(interaction_is_new(&seen, "one", NOW, NULL), 0);
	assert_int_equal(interaction_is_new(&seen, "one", NOW, NULL), ERR_CONFLICT);
	assert_int_equal(interaction_is_new(&seen, "one", NOW + 600000, NULL), ERR_CONFLICT);
	assert_int_equal(interaction_is_new(&seen, "two", NOW, NULL), 0);
	/* Long after the window it cannot come with a fresh signature; the place is free again. */
	assert_int_equal(interaction_is_new(&seen, "one", NOW + 700000, NULL), 0);
	unsigned taken = 0, refused = 0;
	for (int i = 0; i < INTERACTION_SEEN_MAX * 2; i++) {
		snprintf(id, sizeof(id), "id-%d", i);
		int rc = interaction_is_new(&seen, id, NOW + 700000, NULL);
		taken += rc == 0;
		refused += rc == ERR_BUSY;
		/* What was taken is never forgotten early. */
		if (!rc)
			assert_int_equal(interaction_is_new(&seen, id, NOW + 700001, NULL),
					 ERR_CONFLICT);
	}
	assert_true(taken > INTERACTION_SEEN_MAX / 2 && refused > 0);
	assert_int_equal(interaction_is_new(&seen, "id-0", NOW + 800000, NULL), ERR_CONFLICT);
	snprintf(id, sizeof(id), "id-%d", INTERACTION_SEEN_MAX * 2 - 1);
	assert_int_equal(interaction_is_new(&seen, id, NOW + 2000000, NULL), 0);
}

static struct interaction_seen shared;
static atomic_uint accepted;

static void *press(void *arg UNUSED)
{
	char id[32];
	for (int i = 0; i < 500; i++) {
		snprintf(id, sizeof(id), "click-%d", i);
		accepted += interaction_is_new(&shared, id, NOW, NULL) == 0;
	}
	return NULL;
}

static void test_replay_at_once(void **state UNUSED)
{
	pthread_t threads[4];
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, press, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(accepted, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slack_signature), cmocka_unit_test(test_discord_signature),
		cmocka_unit_test(test_slack_click),     cmocka_unit_test(test_discord_click),
		cmocka_unit_test(test_replay),          cmocka_unit_test(test_replay_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
