#include "tests/unit/notifier/bench.h"
#include "tests/unit/notifier/hostile.h"

#include "notifier/channels/fit.h"
#include "notifier/channels/telegram.h"
#include "notifier/channels/telegram_inbox.h"
#include "notifier/channels/telegram_poll.h"
#include "notifier/order.h"

#include <fcntl.h>
#include <sys/stat.h>

#define FIRE "\xf0\x9f\x94\xa5" /* one character, two units of UTF-16, four bytes */

/* UTF-16 units by another way than the code has: the leading bytes' sizes. */
static size_t units(const char *s)
{
	size_t n = 0;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		n += (c & 0xc0) != 0x80;
		n += c >= 0xf0;
	}
	return n;
}

static const char *str(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* ---- lengths ---- */

static void test_units(void **state UNUSED)
{
	static const struct {
		const char *text;
		size_t characters, utf16;
	} cases[] = {
		{"", 0, 0},   {"abc", 3, 3},        {"h\xc3\xa9", 2, 2}, {"\xe2\x82\xac", 1, 1},
		{FIRE, 1, 2}, {"a" FIRE "b", 3, 4}, {"\xff\xff", 2, 2},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t len = strlen(cases[i].text);
		assert_int_equal(fit_units(cases[i].text, len, FIT_CHARACTERS),
				 cases[i].characters);
		assert_int_equal(fit_units(cases[i].text, len, FIT_UTF16), cases[i].utf16);
	}
	assert_int_equal(fit_prefix("a" FIRE, 5, 2, FIT_UTF16), 1);
	assert_int_equal(fit_prefix("a" FIRE, 5, 3, FIT_UTF16), 5);
	auto_buf cut = {0};
	assert_true(fit_add(&cut, "abcdef", 4, "..."));
	assert_string_equal(buf_str(&cut), "a...");
	buf_reset(&cut);
	assert_false(fit_add(&cut, "abcd", 4, "..."));
	assert_string_equal(buf_str(&cut), "abcd");
}

/* Nothing is lost: what the parts hold, without their numbers, is what was to be said. */
static void check_parts(const struct telegram_parts *p, const char *want)
{
	auto_buf all = {0};
	for (size_t i = 0; i < p->n; i++) {
		assert_true(units(p->items[i].text) <= TELEGRAM_TEXT_MAX);
		assert_true(utf8_valid(p->items[i].text, strlen(p->items[i].text)));
		auto_free char *number = mem_printf("\n(%zu of %zu)", i + 1, p->n);
		const char *end = p->n > 1 ? strstr(p->items[i].text, number) : NULL;
		assert_true(p->n == 1 || end);
		size_t len = end ? (size_t)(end - p->items[i].text) : strlen(p->items[i].text);
		buf_add(&all, p->items[i].text, len);
	}
	assert_string_equal(buf_str(&all), want);
}

static void test_long_texts_are_split(void **state UNUSED)
{
	static const size_t sizes[] = {1, 4000, 4032, 4033, 4096, 4097, 9000, 20000};
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		auto_buf text = {0}, want = {0};
		auto_telegram_parts p = {0};
		for (size_t k = 0; k < sizes[i]; k++)
			buf_add_str(&text, k % 3 ? "x" : FIRE);
		telegram_split("head", buf_str(&text), &p);
		buf_printf(&want, "head\n%s", buf_str(&text));
		assert_int_equal(p.items[0].head, 4);
		check_parts(&p, buf_str(&want));
	}
	auto_buf lines = {0};
	auto_telegram_parts p = {0};
	for (int k = 0; k < 500; k++)
		buf_printf(&lines, "line %d of a long story\n", k);
	telegram_split("", buf_str(&lines), &p);
	assert_true(p.n > 1 && p.n <= TELEGRAM_PARTS_MAX);
	for (size_t k = 0; k < p.n; k++)
		assert_true(str_starts(p.items[k].text, "line "));
}

static void test_what_is_cut_says_so(void **state UNUSED)
{
	auto_buf text = {0};
	auto_telegram_parts p = {0}, empty = {0};
	for (int k = 0; k < 60000; k++)
		buf_add_char(&text, 'x');
	telegram_split("head", buf_str(&text), &p);
	assert_int_equal(p.n, TELEGRAM_PARTS_MAX);
	assert_non_null(strstr(p.items[p.n - 1].text, "cut; healctl story"));
	assert_true(units(p.items[p.n - 1].text) <= TELEGRAM_TEXT_MAX);
	telegram_split("", " \n ", &empty);
	assert_int_equal(empty.n, 1);
	assert_string_equal(empty.items[0].text, "(empty)");
}

/* ---- bodies ---- */

/* Every unit of the text is in one of two entities in which nothing means anything. */
static void check_entities(const json_t *body)
{
	static const char *const inert[] = {"code", "pre"};
	const json_t *all = json_object_get(body, "entities"), *one;
	size_t i, end = 0;
	json_array_foreach(all, i, one)
	{
		json_int_t offset = json_integer_value(json_object_get(one, "offset"));
		json_int_t length = json_integer_value(json_object_get(one, "length"));
		assert_true(str_eq(str(one, "type"), inert[0]) ||
			    str_eq(str(one, "type"), inert[1]));
		assert_true(length > 0 && (size_t)offset <= end + 1);
		end = (size_t)(offset + length);
	}
	assert_int_equal(end, units(str(body, "text")));
	assert_null(json_object_get(body, "parse_mode"));
	assert_true(json_is_true(
		json_object_get(json_object_get(body, "link_preview_options"), "is_disabled")));
}

static void test_hostile_texts_stay_text(void **state UNUSED)
{
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		for (int where = 0; where < 3; where++) {
			auto_telegram_parts p = {0};
			auto_buf shown = {0};
			telegram_split(where == 1 ? "ok" : hostile[i],
				       where == 0 ? "ok" : hostile[i], &p);
			json_t *body = telegram_message("-100", &p.items[0], NULL, 0);
			const char *text = str(body, "text");
			assert_non_null(text);
			check_entities(body);
			assert_true(utf8_valid(text, strlen(text)));
			buf_add_printable(&shown, text, strlen(text));
			assert_string_equal(buf_str(&shown), text);
			assert_null(strstr(text, "\xe2\x80\xae"));
			json_decref(body);
		}
	}
}

static struct token_key *key_new(void)
{
	return token_key_new("0123456789abcdef0123456789abcdef", 32);
}

static void test_buttons(void **state UNUSED)
{
	static const struct {
		const char *kind;
		bool decided;
		size_t buttons;
	} cases[] = {{"approval", false, 3},  {"approval", true, 0}, {"feedback", false, 2},
		     {"escalated", false, 1}, {"opened", false, 0},  {"decided", true, 0}};
	struct token_key *key = key_new();
	struct channel c = {.name = (char *)"phone"};
	Healbus__Decision decision = HEALBUS__DECISION__INIT;
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	n.incident = (char *)"inc1";
	n.approval = (char *)"abcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh";
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		n.kind = (char *)cases[i].kind;
		struct channel_job job = {.channel = &c, .notice = &n, .tokens = key};
		job.decision = cases[i].decided ? &decision : NULL;
		json_t *k = telegram_keyboard(&job), *one;
		const json_t *row = json_array_get(json_object_get(k, "inline_keyboard"), 0);
		size_t at;
		assert_int_equal(json_array_size(row), cases[i].buttons);
		json_array_foreach(row, at, one)
		{
			enum answer_what what;
			char subject[TOKEN_SUBJECT_SHOWN + 1];
			const char *data = str(one, "callback_data");
			assert_true(strlen(data) <= TELEGRAM_DATA_MAX);
			assert_true(token_read(data, &what, subject));
			bool of_incident = what == ANSWER_ACK || what == ANSWER_HELD ||
					   what == ANSWER_NOT_HELD;
			struct token_claim claim = {what, of_incident ? n.incident : n.approval,
						    "phone", NULL};
			assert_true(token_proves(key, data, &claim));
			claim.channel = "other";
			assert_false(token_proves(key, data, &claim));
		}
		json_decref(k);
		job.tokens = NULL;
		assert_null(telegram_keyboard(&job));
	}
	token_key_free(key);
}

static void test_other_bodies(void **state UNUSED)
{
	struct telegram_part part = {(char *)"a\nb", 1};
	json_t *edit = telegram_edit("@ops", 7, &part), *bare = telegram_bare("-5", 8);
	auto_buf wide = {0};
	for (int i = 0; i < 300; i++)
		buf_add_str(&wide, "\xc3\xa9");
	json_t *answer = telegram_answer("q1", buf_str(&wide), true);
	assert_string_equal(str(edit, "chat_id"), "@ops");
	assert_int_equal(json_array_size(json_object_get(json_object_get(edit, "reply_markup"),
							 "inline_keyboard")),
			 0);
	assert_int_equal(json_integer_value(json_object_get(bare, "chat_id")), -5);
	assert_int_equal(units(str(answer, "text")), TELEGRAM_ANSWER_MAX);
	assert_non_null(strstr(str(answer, "text"), "\xe2\x80\xa6"));
	json_decref(edit);
	json_decref(bare);
	json_decref(answer);
	char ref[CHANNEL_REF_MAX + 1];
	int64_t first = 0, last = 0;
	telegram_ref(12, 15, ref);
	assert_true(telegram_ref_read(ref, &first, &last) && first == 12 && last == 15);
	telegram_ref(12, 12, ref);
	assert_string_equal(ref, "12");
	assert_true(telegram_ref_read(ref, &first, &last) && last == 12);
	assert_false(telegram_ref_read("x", &first, &last));
	assert_false(telegram_ref_read(NULL, &first, &last));
	assert_false(telegram_ref_read("-4", &first, &last));
}

/* ---- updates ---- */

static void test_updates(void **state UNUSED)
{
#define FROM "\"from\":{\"id\":42,\"is_bot\":false}"
#define CHAT "\"chat\":{\"id\":-100}"
	static const struct {
		const char *json;
		int rc;
		enum telegram_kind kind;
	} cases[] = {
		{"{\"update_id\":1,\"callback_query\":{\"id\":\"q\"," FROM ",\"data\":\"tok\","
		 "\"message\":{\"message_id\":9," CHAT "}}}",
		 0, TELEGRAM_BUTTON},
		{"{\"update_id\":1,\"message\":{\"message_id\":9," FROM "," CHAT
		 ",\"text\":\"/status\"}}",
		 0, TELEGRAM_COMMAND},
		{"{\"update_id\":1,\"message\":{\"message_id\":9," FROM "," CHAT
		 ",\"text\":\"hello /status\"}}",
		 0, TELEGRAM_OTHER},
		{"{\"update_id\":1,\"message\":{\"message_id\":9,\"from\":{\"id\":42,\"is_bot\":"
		 "true}," CHAT ",\"text\":\"/pause\"}}",
		 0, TELEGRAM_OTHER},
		{"{\"update_id\":1,\"message\":{\"message_id\":9," FROM "," CHAT
		 ",\"sender_chat\":{\"id\":-100},\"text\":\"/pause\"}}",
		 0, TELEGRAM_OTHER},
		{"{\"update_id\":1,\"message\":{\"message_id\":9," FROM "," CHAT
		 ",\"forward_origin\":{},\"text\":\"/pause\"}}",
		 0, TELEGRAM_OTHER},
		{"{\"update_id\":1,\"message\":{\"message_id\":9," CHAT ",\"text\":\"/pause\"}}", 0,
		 TELEGRAM_OTHER},
		{"{\"update_id\":1,\"edited_message\":{}}", 0, TELEGRAM_OTHER},
		{"{\"update_id\":1,\"callback_query\":{\"id\":7," FROM "}}", 0, TELEGRAM_OTHER},
		{"{\"update_id\":1,\"callback_query\":[1]}", 0, TELEGRAM_OTHER},
		{"{\"update_id\":\"1\"}", ERR_INVALID, 0},
		{"{}", ERR_INVALID, 0},
		{"[]", ERR_INVALID, 0},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct telegram_update u = {0};
		json_t *json = json_loads(cases[i].json, 0, NULL);
		assert_non_null(json);
		assert_int_equal(telegram_update_read(json, &u, NULL), cases[i].rc);
		assert_int_equal(u.kind, cases[i].kind);
		if (u.kind != TELEGRAM_OTHER)
			assert_true(u.from == 42 && u.chat == -100 && u.message == 9);
		json_decref(json);
	}
}

static void test_an_update_counts_once(void **state UNUSED)
{
	char dir[] = "/tmp/healbus-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	auto_free char *path = mem_printf("%s/seen", dir);
	struct telegram_inbox *b = telegram_inbox_new();
	assert_int_equal(telegram_inbox_open(b, path, NULL), 0);
	assert_int_equal(telegram_inbox_offset(b), 0);
	/* Webhooks may overtake each other. */
	static const int64_t order[] = {10, 12, 11};
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(telegram_inbox_take(b, order[i], NULL), 0);
	assert_int_equal(telegram_inbox_take(b, 11, NULL), ERR_EXISTS);
	telegram_inbox_free(b);
	b = telegram_inbox_new();
	assert_int_equal(telegram_inbox_open(b, path, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		assert_int_equal(telegram_inbox_take(b, order[i], NULL), ERR_EXISTS);
	assert_int_equal(telegram_inbox_offset(b), 13);
	for (int64_t id = 13; id < 13 + INBOX_KEPT; id++)
		assert_int_equal(telegram_inbox_take(b, id, NULL), 0);
	assert_int_equal(telegram_inbox_take(b, 5, NULL), ERR_EXISTS);
	telegram_inbox_free(b);
	auto_fd int fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "12x\n", 4), 4);
	b = telegram_inbox_new();
	struct why why = {0};
	assert_int_equal(telegram_inbox_open(b, path, &why), ERR_CORRUPT);
	assert_non_null(strstr(why.text, "move it away"));
	telegram_inbox_free(b);
	nftw(dir, bench_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_the_queue_is_bounded(void **state UNUSED)
{
	struct telegram_inbox *b = telegram_inbox_new();
	assert_null(telegram_inbox_get(b, 0));
	for (int i = 0; i < INBOX_WAITING_MAX; i++)
		assert_int_equal(telegram_inbox_put(b, i ? "b" : "a", 1), 0);
	assert_int_equal(telegram_inbox_put(b, "c", 1), ERR_BUSY);
	auto_free char *first = telegram_inbox_get(b, 0);
	assert_string_equal(first, "a");
	assert_int_equal(telegram_inbox_put(b, "c", 1), 0);
	telegram_inbox_free(b);
}

/* ---- the webhook's door ---- */

static const char *header_of(const void *ctx, const char *name)
{
	return str_eq(name, "X-Telegram-Bot-Api-Secret-Token") ? ctx : NULL;
}

static void test_the_webhook_wants_its_secret(void **state UNUSED)
{
	static const char body[] = "{\"update_id\":1}";
	static const struct {
		const char *secret, *body;
		int rc;
	} cases[] = {
		{NULL, body, ERR_UNAUTHENTICATED},       {"", body, ERR_UNAUTHENTICATED},
		{"s3cre", body, ERR_UNAUTHENTICATED},    {"s3crets", body, ERR_UNAUTHENTICATED},
		{"S3cret", "junk", ERR_UNAUTHENTICATED}, {"s3cret", "junk", ERR_INVALID},
		{"s3cret", "{}", ERR_INVALID},           {"s3cret", body, 0},
	};
	char path[] = "/tmp/healbus-test-XXXXXX";
	auto_fd int fd = mkstemp(path);
	assert_int_equal(write(fd, "s3cret\n", 7), 7);
	struct telegram bot = {
		.secret_file = path, .mode = TELEGRAM_WEBHOOK, .inbox = telegram_inbox_new()};
	struct channel c = {.name = (char *)"phone", .settings = &bot};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct channel_reply reply = {0};
		struct why why = {0};
		struct channel_request in = {.method = "POST",
					     .body = cases[i].body,
					     .body_len = strlen(cases[i].body),
					     .header = header_of,
					     .ctx = cases[i].secret};
		assert_int_equal(telegram_receive(&c, &in, &reply, &why), cases[i].rc);
		assert_null(strstr(why.text, "s3cret"));
		buf_release(&reply.body);
	}
	auto_free char *one = telegram_inbox_get(bot.inbox, 0);
	assert_string_equal(one, body);
	assert_null(telegram_inbox_get(bot.inbox, 0));
	telegram_inbox_free(bot.inbox);
	unlink(path);
}

/* ---- commands ---- */

static void test_commands(void **state UNUSED)
{
	static const struct {
		const char *text;
		int rc;
		enum order_verb verb;
		const char *id, *rest, *duration;
	} cases[] = {
		{"/status", 0, ORDER_STATUS, NULL, "", NULL},
		{"/status@heal_bot", 0, ORDER_STATUS, NULL, "", NULL},
		{"/status now", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/Status", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/ status", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/statuses", ERR_INVALID, 0, NULL, NULL, NULL},
		{"status", ERR_INVALID, 0, NULL, NULL, NULL},
		{"", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/story", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/story a/b", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/story  abc \n", 0, ORDER_STORY, "abc", "", NULL},
		{"/story abc def", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/ack abc I am on it", 0, ORDER_ACK, "abc", "I am on it", NULL},
		{"/ack abc", 0, ORDER_ACK, "abc", "", NULL},
		{"/silence service=\"db x\", a=~\"b\" 2h", 0, ORDER_SILENCE, NULL,
		 "service=\"db x\", a=~\"b\"", "2h"},
		{"/silence 2h", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/silence", ERR_INVALID, 0, NULL, NULL, NULL},
		{"/pause", 0, ORDER_PAUSE, NULL, "", NULL},
		{"/pause deploy of 5.2", 0, ORDER_PAUSE, NULL, "deploy of 5.2", NULL},
		{"/resume@heal_bot done", 0, ORDER_RESUME, NULL, "done", NULL},
		{"/help", 0, ORDER_HELP, NULL, "", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_order c = {0};
		struct why why = {0};
		print_message("# %s\n", cases[i].text);
		assert_int_equal(order_parse(cases[i].text, &c, &why), cases[i].rc);
		if (cases[i].rc) {
			assert_true(*why.text);
			continue;
		}
		assert_int_equal(c.verb, cases[i].verb);
		assert_string_equal(c.rest, cases[i].rest);
		if (cases[i].id)
			assert_string_equal(c.id, cases[i].id);
		if (cases[i].duration)
			assert_string_equal(c.duration, cases[i].duration);
	}
	auto_order c = {0};
	char *huge = mem_alloc(ORDER_TEXT_MAX + 2);
	memset(huge, 'a', ORDER_TEXT_MAX + 1);
	*huge = '/';
	assert_int_equal(order_parse(huge, &c, NULL), ERR_INVALID);
	free(huge);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_long_texts_are_split),
		cmocka_unit_test(test_what_is_cut_says_so),
		cmocka_unit_test(test_hostile_texts_stay_text),
		cmocka_unit_test(test_buttons),
		cmocka_unit_test(test_other_bodies),
		cmocka_unit_test(test_updates),
		cmocka_unit_test(test_an_update_counts_once),
		cmocka_unit_test(test_the_queue_is_bounded),
		cmocka_unit_test(test_the_webhook_wants_its_secret),
		cmocka_unit_test(test_commands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
