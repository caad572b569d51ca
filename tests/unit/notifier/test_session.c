#include "notifier/proxies.h"
#include "notifier/session.h"

#include <setjmp.h>
#include <cmocka.h>

enum { TTL_MS = 12 * 3600 * 1000 };

static const uint8_t proof[DIGEST_BYTES] = {1, 2, 3};
static const struct session_start ann = {"ann", proof, TTL_MS};

static int setup(void **state)
{
	*state = sessions_new();
	return 0;
}

static int teardown(void **state)
{
	sessions_free(*state);
	return 0;
}

static void test_life(void **state)
{
	struct sessions *all = *state;
	struct session s;
	char id[SESSION_TEXT], other[SESSION_TEXT];

	session_begin(all, &ann, 1000, id);
	session_begin(all, &ann, 1000, other);
	assert_string_not_equal(id, other);
	assert_int_equal(strlen(id), SESSION_TEXT - 1);
	assert_true(session_find(all, id, 1000, &s));
	assert_string_equal(s.person, "ann");
	assert_memory_equal(s.proof, proof, sizeof(proof));
	assert_int_equal(s.ends_ms, 1000 + TTL_MS);
	assert_false(s.stale);
	assert_string_not_equal(s.csrf, id);
	assert_false(session_find(all, "", 1000, &s));
	assert_false(session_find(all, "ann", 1000, &s));
	id[0] = id[0] == 'a' ? 'b' : 'a';
	assert_false(session_find(all, id, 1000, &s));
	assert_true(session_find(all, other, 999 + TTL_MS, &s));
	assert_false(session_find(all, other, 1000 + TTL_MS, &s));
}

static void test_rotation(void **state)
{
	struct sessions *all = *state;
	struct session before, after;
	char old[SESSION_TEXT], fresh[SESSION_TEXT], none[SESSION_TEXT] = "";
	int64_t later = 1000 + SESSION_ROTATE_MS;

	session_begin(all, &ann, 1000, old);
	assert_false(session_rotate(all, old, later - 1, none));
	assert_true(session_find(all, old, later, &before));
	assert_true(before.stale);
	assert_true(session_rotate(all, old, later, fresh));
	/* Requests under way carry the old id for a while; it gives no third one. */
	assert_true(session_find(all, old, later + SESSION_OVERLAP_MS - 1, &after));
	assert_false(session_rotate(all, old, later + 1, none));
	assert_false(session_find(all, old, later + SESSION_OVERLAP_MS, &after));
	assert_true(session_find(all, fresh, later + SESSION_OVERLAP_MS, &after));
	assert_string_equal(after.csrf, before.csrf);
	assert_int_equal(after.ends_ms, before.ends_ms);
	session_end(all, fresh);
	assert_false(session_find(all, fresh, later, &after));
	assert_false(session_find(all, old, later, &after));
}

static void test_the_oldest_goes(void **state)
{
	struct sessions *all = *state;
	struct session s;
	char first[SESSION_TEXT], second[SESSION_TEXT], id[SESSION_TEXT];

	session_begin(all, &ann, 1000, first);
	session_begin(all, &ann, 1001, second);
	for (int i = 0; i < SESSIONS_MAX - 1; i++)
		session_begin(all, &ann, 2000, id);
	assert_false(session_find(all, first, 2000, &s));
	assert_true(session_find(all, second, 2000, &s));
	assert_true(session_find(all, id, 2000, &s));
}

static void test_tries(void **state)
{
	struct sessions *all = *state;
	int64_t now = 5000;

	for (int i = 0; i < LOGIN_TRIES; i++) {
		assert_int_equal(login_wait_ms(all, "192.0.2.1", now), 0);
		login_failed(all, "192.0.2.1", now);
	}
	assert_int_equal(login_wait_ms(all, "192.0.2.1", now), LOGIN_WAIT_MS);
	assert_int_equal(login_wait_ms(all, "192.0.2.2", now), 0);
	now += LOGIN_WAIT_MS;
	assert_int_equal(login_wait_ms(all, "192.0.2.1", now), 0);
	login_failed(all, "192.0.2.1", now);
	assert_int_equal(login_wait_ms(all, "192.0.2.1", now), 2 * LOGIN_WAIT_MS);
	for (int i = 0; i < 40; i++)
		login_failed(all, "192.0.2.1", now);
	assert_int_equal(login_wait_ms(all, "192.0.2.1", now), LOGIN_WAIT_MAX_MS);
	login_succeeded(all, "192.0.2.1");
	assert_int_equal(login_wait_ms(all, "192.0.2.1", now), 0);
	login_failed(all, "192.0.2.1", now);
	assert_int_equal(login_wait_ms(all, "192.0.2.1", now), 0);
}

static void test_csrf(void **state)
{
	char a[SESSION_TEXT], b[SESSION_TEXT], again[SESSION_TEXT];

	sessions_csrf(*state, "local", a);
	sessions_csrf(*state, "proxy:ann", b);
	sessions_csrf(*state, "local", again);
	assert_string_equal(a, again);
	assert_string_not_equal(a, b);
}

static void test_proxies(void **state)
{
	static const struct {
		const char *nets, *address;
		bool in;
	} t[] = {
		{"[192.0.2.7]", "192.0.2.7", true},
		{"[192.0.2.7]", "192.0.2.8", false},
		{"[10.0.0.0/8, 192.0.2.0/25]", "10.255.0.1", true},
		{"[10.0.0.0/8, 192.0.2.0/25]", "192.0.2.127", true},
		{"[10.0.0.0/8, 192.0.2.0/25]", "192.0.2.128", false},
		{"[10.0.0.0/8]", "11.0.0.1", false},
		{"['2001:db8::/33']", "2001:db8:7fff::1", true},
		{"['2001:db8::/33']", "2001:db8:8000::1", false},
		{"['::1']", "::1", true},
		{"['::1']", "127.0.0.1", false},
		{"['0.0.0.0/0']", "192.0.2.1", true},
		{"['0.0.0.0/0']", "2001:db8::1", false},
		{"[]", "192.0.2.1", false},
		{"['::/0']", "?", false},
		{"['::/0']", "", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct why why = {0};
		struct proxies all = {0};
		struct yaml_doc doc = {0};
		assert_int_equal(yaml_parse_text("t", t[i].nets, strlen(t[i].nets), &doc, &why), 0);
		if (proxies_parse(&all, doc.root, &why))
			fail_msg("%s: %s", t[i].nets, why.text);
		if (proxies_have(&all, t[i].address) != t[i].in)
			fail_msg("%s: %s", t[i].nets, t[i].address);
		proxies_release(&all);
		yaml_release(&doc);
	}
}

static void test_bad_proxies(void **state)
{
	static const char *const t[] = {
		"[proxy.example]", "[10.0.0.0/33]", "[10.0.0.0/]", "[10.0.0.0/x]", "['::/129']",
		"[10.0.0]",        "[10.0.0.0/-1]", "x",           "[{}]"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct why why = {0};
		struct proxies all = {0};
		struct yaml_doc doc = {0};
		assert_int_equal(yaml_parse_text("t", t[i], strlen(t[i]), &doc, &why), 0);
		if (proxies_parse(&all, doc.root, &why) != ERR_CONFIG)
			fail_msg("%s was taken", t[i]);
		proxies_release(&all);
		yaml_release(&doc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_oldest_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_csrf, setup, teardown),
		cmocka_unit_test(test_proxies),
		cmocka_unit_test(test_bad_proxies),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
