#include "tests/unit/notifier/bench.h"
#include "tests/unit/notifier/hostile.h"

#include "notifier/channels/discord_render.h"
#include "notifier/channels/slack_render.h"

static const struct chat_button buttons[] = {
	{"approve", "Approve", "tok-approve", CHAT_GOOD},
	{"deny", "Deny", "tok-deny", CHAT_BAD},
	{"info", "More info", "tok-info", CHAT_PLAIN},
};

static Healbus__Notice notice(const char *subject, const char *text)
{
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	n.id = (char *)"n1";
	n.incident = (char *)"abcdefghijkl";
	n.kind = (char *)"approval";
	n.subject = (char *)subject;
	n.text = (char *)text;
	return n;
}

static void slack(const char *subject, const char *text, struct chat_parts *out)
{
	Healbus__Notice n = notice(subject, text);
	struct chat_message m = {.notice = &n, .buttons = buttons, .n_buttons = 3, .confirm = true};
	slack_parts(&m, NULL, out);
}

static void discord(const char *subject, const char *text, struct chat_parts *out)
{
	Healbus__Notice n = notice(subject, text);
	struct chat_message m = {.notice = &n, .buttons = buttons, .n_buttons = 3};
	discord_parts(&m, CHAT_PARTS_MAX, out);
}

static size_t count(const char *s, const char *what)
{
	size_t n = 0;
	for (const char *p = s; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* Calls visit for every string under the keys that vendors show. */
static void texts_each(json_t *j, void (*visit)(const char *key, const char *text))
{
	const char *key;
	json_t *value;
	size_t i;
	if (json_is_array(j))
		json_array_foreach(j, i, value) texts_each(value, visit);
	json_object_foreach(j, key, value)
	{
		if (json_is_string(value))
			visit(key, json_string_value(value));
		else
			texts_each(value, visit);
	}
}

static void must_be_printable(const char *text)
{
	assert_true(utf8_valid(text, strlen(text)));
	for (const char *p = text; *p; p++)
		assert_true((unsigned char)*p >= ' ' || *p == '\n' || *p == '\t');
	assert_null(strstr(text, "\xe2\x80\xae"));
	assert_null(strstr(text, "\xe2\x80\x8b"));
}

static void must_be_entities(const char *text)
{
	for (const char *p = text; (p = strchr(p, '&')); p++)
		assert_true(str_starts(p, "&amp;") || str_starts(p, "&lt;") ||
			    str_starts(p, "&gt;"));
}

static void slack_text(const char *key UNUSED, const char *text)
{
	must_be_printable(text);
	assert_null(strpbrk(text, "<>"));
	must_be_entities(text);
	/* What is not between fences is plain text, where ticks are ticks. */
	assert_true(!str_starts(text, "```\n") || count(text, "```") == 2);
	assert_true(strlen(text) <= SLACK_SECTION_MAX);
}

static void test_slack_hostile(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		auto_parts p = {0};
		slack("fine", hostile[i], &p);
		assert_int_equal(p.n, 1);
		json_t *s = json_array_get(json_object_get(p.items[0], "blocks"), 1);
		const char *text =
			json_string_value(json_object_get(json_object_get(s, "text"), "text"));
		if (count(text, "```") != 2 || !str_starts(text, "```\n") ||
		    !str_eq(text + strlen(text) - 4, "\n```"))
			fail_msg("string %zu: %s", i, text);
		texts_each(p.items[0], slack_text);
		auto_parts q = {0};
		slack(hostile[i], "fine", &q);
		texts_each(q.items[0], slack_text);
		assert_int_equal(json_integer_value(json_object_get(q.items[0], "link_names")), 0);
	}
}

static void discord_text(const char *key, const char *text)
{
	must_be_printable(text);
	if (str_eq(key, "description"))
		assert_int_equal(count(text, "```"), 2);
	if (str_eq(key, "title"))
		for (const char *p = text; (p = strpbrk(p, "\\*_`~|[]<>#")); p += 2)
			assert_true(*p == '\\' && p[1]);
}

static void test_discord_hostile(void **state UNUSED)
{
	for (size_t i = 0; i < 2 * ARRAY_SIZE(hostile); i++) {
		auto_parts p = {0};
		const char *bad = hostile[i / 2];
		discord(i % 2 ? bad : "fine", i % 2 ? "fine" : bad, &p);
		assert_int_equal(p.n, 1);
		texts_each(p.items[0], discord_text);
		json_t *mentions = json_object_get(p.items[0], "allowed_mentions");
		assert_int_equal(json_array_size(json_object_get(mentions, "parse")), 0);
		assert_true(json_is_array(json_object_get(mentions, "parse")));
	}
}

/* The text of all fences, put together again. */
static void slack_fences(const struct chat_parts *p, struct buf *out)
{
	for (size_t i = 0; i < p->n; i++) {
		size_t b;
		json_t *block;
		json_array_foreach(json_object_get(p->items[i], "blocks"), b, block)
		{
			json_t *t = json_object_get(block, "text");
			const char *s = json_string_value(json_object_get(t, "text"));
			if (!s || !str_starts(s, "```\n"))
				continue;
			assert_true(strlen(s) <= SLACK_SECTION_MAX);
			must_be_printable(s);
			must_be_entities(s);
			buf_add(out, s + 4, strlen(s) - 8);
		}
		assert_true(b <= 50);
	}
}

static void without(struct buf *b, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] != c)
			b->data[n++] = b->data[i];
	b->len = n;
	b->data[n] = '\0';
}

/* Whatever the length, what goes in comes out: at the limits and one beside them, in long lines and
 * short ones, in letters, entities and characters of four bytes. */
static void test_slack_is_whole(void **state UNUSED)
{
	static const char *const units[] = {
		"x",     "&",         "\xf0\x9f\x94\xa5",
		"<a>\n", "0123456\n", "x\xf0\x9f\x94\xa5\xf0\x9f\x94\xa5"};
	static const size_t lengths[] = {1,    2990, 2991, 2992,  2993,  2994,  2995, 2996,
					 2999, 3000, 3001, 11968, 11969, 12000, 16000};
	for (size_t u = 0; u < ARRAY_SIZE(units) * ARRAY_SIZE(lengths); u++) {
		const char *unit = units[u % ARRAY_SIZE(units)];
		auto_buf text = {0}, want = {0}, got = {0};
		while (text.len + strlen(unit) <= MAX(lengths[u / ARRAY_SIZE(units)], 9U))
			buf_add_str(&text, unit);
		auto_parts p = {0};
		slack("s", buf_str(&text), &p);
		slack_fences(&p, &got);
		chat_plain_text(&want, buf_str(&text), true);
		without(&got, '\n');
		without(&want, '\n');
		assert_string_equal(buf_str(&got), buf_str(&want));
		json_t *last = json_object_get(p.items[p.n - 1], "blocks");
		size_t actions = json_array_size(last) - 2;
		assert_string_equal(
			json_string_value(json_object_get(json_array_get(last, actions), "type")),
			"actions");
	}
}

static void test_discord_is_whole(void **state UNUSED)
{
	static const size_t lengths[] = {1, 4080, 4087, 4088, 4089, 4096, 8176, 16000};
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		auto_buf text = {0}, got = {0};
		while (text.len < lengths[i])
			buf_add_char(&text, (char)('a' + text.len % 26));
		auto_parts p = {0};
		discord("s", buf_str(&text), &p);
		for (size_t k = 0; k < p.n; k++) {
			json_t *e = json_array_get(json_object_get(p.items[k], "embeds"), 0);
			const char *s = json_string_value(json_object_get(e, "description"));
			assert_true(strlen(s) <= DISCORD_DESCRIPTION_MAX);
			buf_add(&got, s + 4, strlen(s) - 8);
			assert_int_equal(json_array_size(json_object_get(p.items[k], "components")),
					 k + 1 == p.n);
		}
		assert_string_equal(buf_str(&got), buf_str(&text));
	}
}

/* What is too long even for all messages is counted and pointed to. */
static void test_more_is_pointed_to(void **state UNUSED)
{
	auto_buf text = {0};
	for (int i = 0; i < 30000; i++)
		buf_printf(&text, "line %d\n", i);
	auto_parts p = {0}, q = {0}, one = {0};
	slack("s", buf_str(&text), &p);
	auto_free char *body = json_dumps(p.items[p.n - 1], 0);
	assert_int_equal(p.n, CHAT_PARTS_MAX);
	assert_non_null(strstr(body, "more lines: healctl story abcdefgh"));
	assert_non_null(strstr(body, "tok-approve"));
	discord("s", buf_str(&text), &q);
	assert_int_equal(q.n, CHAT_PARTS_MAX);
	Healbus__Notice n = notice("", buf_str(&text));
	struct chat_message m = {.notice = &n};
	discord_parts(&m, 1, &one);
	assert_int_equal(one.n, 1);
	json_t *e = json_array_get(json_object_get(one.items[0], "embeds"), 0);
	const char *s = json_string_value(json_object_get(e, "description"));
	assert_true(strlen(s) <= DISCORD_DESCRIPTION_MAX);
	unsigned long left = strtoul(strstr(s, "```\n") + 4, NULL, 10);
	const char *end = strstr(s + 4, "```\n");
	assert_non_null(end);
	left = strtoul(end + 4, NULL, 10);
	assert_int_equal(left + count(s, "line "), 30000);
}

static void test_long_subject(void **state UNUSED)
{
	char subject[257];
	memset(subject, '<', 256);
	subject[256] = '\0';
	auto_parts p = {0}, q = {0};
	slack(subject, "x", &p);
	json_t *blocks = json_object_get(p.items[0], "blocks");
	const char *h = json_string_value(
		json_object_get(json_object_get(json_array_get(blocks, 0), "text"), "text"));
	assert_true(strlen(h) <= SLACK_HEADER_MAX);
	assert_non_null(strstr(h, "…"));
	const char *whole = json_string_value(
		json_object_get(json_object_get(json_array_get(blocks, 1), "text"), "text"));
	assert_int_equal(count(whole, "&lt;"), 256);
	discord(subject, "x", &q);
	json_t *e = json_array_get(json_object_get(q.items[0], "embeds"), 0);
	assert_true(strlen(json_string_value(json_object_get(e, "title"))) <= DISCORD_TITLE_MAX);
	assert_int_equal(count(json_string_value(json_object_get(e, "description")), "<"), 256);
}

static void test_buttons(void **state UNUSED)
{
	auto_parts p = {0}, q = {0};
	slack("s", "x", &p);
	json_t *blocks = json_object_get(p.items[0], "blocks"), *elements = NULL, *block;
	size_t i;
	json_array_foreach(blocks, i, block) if (json_object_get(block, "elements") && !elements)
		elements = json_object_get(block, "elements");
	assert_int_equal(json_array_size(elements), 3);
	json_t *yes = json_array_get(elements, 0), *no = json_array_get(elements, 1);
	assert_string_equal(json_string_value(json_object_get(yes, "value")), "tok-approve");
	assert_non_null(json_object_get(yes, "confirm"));
	assert_null(json_object_get(no, "confirm"));
	discord("s", "x", &q);
	json_t *row = json_array_get(json_object_get(q.items[0], "components"), 0);
	json_t *b = json_array_get(json_object_get(row, "components"), 2);
	assert_string_equal(json_string_value(json_object_get(b, "custom_id")), "tok-info");
}

static void test_mentions(void **state UNUSED)
{
	static const char *const who[] = {"U1", "7"};
	Healbus__Notice n = notice("s", "x");
	const struct chat_message m = {.notice = &n, .mentions = who, .n_mentions = 2};
	auto_parts p = {0}, q = {0};
	slack_parts(&m, NULL, &p);
	auto_free char *blocks = json_dumps(p.items[0], 0);
	assert_int_equal(count(blocks, "<@U1> <@7>"), 1);
	discord_parts(&m, CHAT_PARTS_MAX, &q);
	auto_free char *mentions = json_dumps(json_object_get(q.items[0], "allowed_mentions"),
					      JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(mentions, "{\"parse\":[],\"users\":[\"U1\",\"7\"]}");
	assert_string_equal(json_string_value(json_object_get(q.items[0], "content")),
			    "<@U1> <@7>");
}

static void test_slack_answers(void **state UNUSED)
{
	static const struct {
		const char *answer;
		int rc;
	} cases[] = {
		{"{\"ok\":true}", 0},
		{"{\"ok\":false,\"error\":\"ratelimited\"}", ERR_BUSY},
		{"{\"ok\":false,\"error\":\"internal_error\"}", ERR_TIMEOUT},
		{"{\"ok\":false,\"error\":\"not_authed\"}", ERR_UNAUTHENTICATED},
		{"{\"ok\":false,\"error\":\"missing_scope\"}", ERR_DENIED},
		{"{\"ok\":false,\"error\":\"channel_not_found\"}", ERR_REJECTED},
		{"{\"ok\":false,\"error\":\"msg_too_long\"}", ERR_REJECTED},
		{"{\"ok\":false,\"error\":\"message_not_found\"}", ERR_NOT_FOUND},
		{"{\"ok\":false,\"error\":\"new \\u001b[2J\"}", ERR_REJECTED},
		{"{\"ok\":\"true\"}", ERR_UNAVAILABLE},
		{"[]", ERR_UNAVAILABLE},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct why why = {0};
		auto_json *j = json_loads(cases[i].answer, 0, NULL);
		int rc = slack_answer(j, &why);
		if (rc != cases[i].rc)
			fail_msg("case %zu: %d %s", i, rc, why.text);
		assert_null(strchr(why.text, '\x1b'));
	}
	assert_int_equal(slack_answer(NULL, NULL), ERR_UNAVAILABLE);
}

static void test_plain(void **state UNUSED)
{
	auto_buf text = {0};
	for (int i = 0; i < 4000; i++)
		buf_add_str(&text, "a<b\n");
	Healbus__Notice n = notice("s", buf_str(&text));
	auto_parts p = {0};
	size_t all = 0;
	slack_plain_parts(&n, &p);
	for (size_t i = 0; i < p.n; i++) {
		const char *s = json_string_value(json_object_get(p.items[i], "text"));
		assert_true(strlen(s) <= SLACK_PLAIN_MAX);
		all += count(s, "a&lt;b\n");
	}
	assert_int_equal(all, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slack_hostile),
		cmocka_unit_test(test_discord_hostile),
		cmocka_unit_test(test_slack_is_whole),
		cmocka_unit_test(test_discord_is_whole),
		cmocka_unit_test(test_more_is_pointed_to),
		cmocka_unit_test(test_long_subject),
		cmocka_unit_test(test_buttons),
		cmocka_unit_test(test_slack_answers),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_mentions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
