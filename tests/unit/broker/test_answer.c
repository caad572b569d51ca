/* What of the Engine's answers goes back: who carries the label, no secrets, the end of a log. */
#include "executor/broker/answer.h"

#include <setjmp.h>
#include <cmocka.h>

#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static const char label[] = "healbus.manage=true";

static struct buf text_of(const char *text)
{
	struct buf b = {0};

	buf_add_str(&b, text);
	return b;
}

static void test_label(void **state)
{
#define WITH(labels)                                                                               \
	"{\"Id\":\"" ID64 "\",\"Name\":\"/web\",\"Config\":{\"Tty\":true,\"Labels\":" labels "}}"
	static const struct {
		const char *json;
		int rc;
	} rows[] = {
		{WITH("{\"healbus.manage\":\"true\",\"x\":\"y\"}"), 0},
		{WITH("{\"healbus.manage\":\"false\"}"), ERR_DENIED},
		{WITH("{\"healbus.manage\":\"True\"}"), ERR_DENIED},
		{WITH("{\"healbus.manage\":\"true \"}"), ERR_DENIED},
		{WITH("{\"healbus.manage\":true}"), ERR_DENIED},
		{WITH("{\"healbus.managed\":\"true\"}"), ERR_DENIED},
		{WITH("{\"healbus.manag\":\"true\"}"), ERR_DENIED},
		{WITH("{\"Healbus.manage\":\"true\"}"), ERR_DENIED},
		{WITH("{\"healbus.manage=true\":\"true\"}"), ERR_DENIED},
		{WITH("{}"), ERR_DENIED},
		{WITH("null"), ERR_DENIED},
		{WITH("[\"healbus.manage=true\"]"), ERR_DENIED},
		{WITH("{\"healbus.manage\":\"false\",\"healbus.manage\":\"true\"}"), ERR_REJECTED},
		{"{\"Id\":\"" ID64 "\"}", ERR_REJECTED},
		{"{\"Id\":\"../x\",\"Config\":{\"Labels\":{\"healbus.manage\":\"true\"}}}",
		 ERR_REJECTED},
		{"{\"Id\":\"" ID64 "0\",\"Config\":{\"Labels\":{\"healbus.manage\":\"true\"}}}",
		 ERR_REJECTED},
		{"{\"Config\":{\"Labels\":{\"healbus.manage\":\"true\"}}}", ERR_REJECTED},
		{"[]", ERR_REJECTED},
		{"", ERR_REJECTED},
		{"<html>", ERR_REJECTED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf text = text_of(rows[i].json);
		struct broker_container c = {.name = "untouched"};
		struct why why = {0};
		int rc = broker_container(&text, label, &c, &why);

		if (rc != rows[i].rc)
			fail_msg("%s: %s", rows[i].json, err_name(rc));
		assert_string_equal(c.name, rc ? "untouched" : "web");
		assert_true(rc || (c.tty && str_eq(c.id, ID64)));
	}
}

static void test_no_secret_goes_back(void **state)
{
	static const char inspection[] =
		"{\"Id\":\"" ID64
		"\",\"Name\":\"/web\",\"Path\":\"sh\",\"Args\":[\"--key=SECRET\"],"
		"\"State\":{\"Running\":true,\"Health\":{\"Status\":\"healthy\"}},"
		"\"RestartCount\":3,\"HostConfig\":{\"Memory\":5,\"Binds\":[\"/SECRET:/x\"]},"
		"\"GraphDriver\":{\"Data\":\"SECRET\"},"
		"\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/SECRET\",\"Destination\":\"/data\","
		"\"RW\":false}],"
		"\"NetworkSettings\":{\"Ports\":{\"80/tcp\":null},\"SandboxKey\":\"SECRET\"},"
		"\"Config\":{\"Image\":\"nginx\",\"Cmd\":[\"SECRET\"],\"Entrypoint\":[\"SECRET\"],"
		"\"Env\":[\"PASSWORD=SECRET=SECRET\",\"EMPTY=\",\"BARE\"],"
		"\"Healthcheck\":{\"Test\":[\"SECRET\"]},"
		"\"Labels\":{\"healbus.manage\":\"true\",\"com.docker.compose.project\":\"shop\","
		"\"traefik.basicauth\":\"SECRET\"}}}";
	static const char *const kept[] = {"\"Running\":true",
					   "\"Status\":\"healthy\"",
					   "\"RestartCount\":3",
					   "\"Memory\":5",
					   "\"Destination\":\"/data\"",
					   "\"RW\":false",
					   "80/tcp",
					   "\"Image\":\"nginx\"",
					   "\"PASSWORD=<removed>\"",
					   "\"EMPTY=<removed>\"",
					   "\"BARE=<removed>\"",
					   "\"healbus.manage\":\"true\"",
					   "\"com.docker.compose.project\":\"shop\""};
	auto_buf text = text_of(inspection), out = {0};
	struct why why = {0};

	(void)state;
	assert_int_equal(broker_answer(BROKER_INSPECT, &text, label, &out, &why), 0);
	assert_null(strstr(buf_str(&out), "SECRET"));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		if (!strstr(buf_str(&out), kept[i]))
			fail_msg("%s is not in %s", kept[i], buf_str(&out));
	}
}

static void test_list_and_version(void **state)
{
	auto_buf list = text_of("[{\"Id\":\"a\",\"Names\":[\"/a\"],\"Command\":\"SECRET\","
				"\"State\":\"running\",\"Labels\":{\"healbus.manage\":\"true\"}},"
				"{\"Id\":\"b\",\"Labels\":{}},{\"Id\":\"c\"},5]");
	auto_buf version = text_of("{\"Version\":\"20.10\",\"KernelVersion\":\"SECRET\"}");
	auto_buf out = {0};
	struct why why = {0};

	(void)state;
	assert_int_equal(broker_answer(BROKER_LIST, &list, label, &out, &why), 0);
	assert_string_equal(buf_str(&out),
			    "[{\"Id\":\"a\",\"Names\":[\"/a\"],\"State\":\"running\","
			    "\"Labels\":{\"healbus.manage\":\"true\"}}]\n");
	buf_reset(&out);
	assert_int_equal(broker_answer(BROKER_VERSION, &version, label, &out, &why), 0);
	assert_string_equal(buf_str(&out), "{\"Version\":\"20.10\"}\n");
	assert_int_equal(broker_answer(BROKER_LIST, &version, label, &out, &why), ERR_REJECTED);
	assert_int_equal(broker_answer(BROKER_VERSION, &list, label, &out, &why), ERR_REJECTED);
	assert_int_equal(broker_answer(BROKER_INSPECT, &list, label, &out, &why), ERR_REJECTED);
}

static void test_messages(void **state)
{
	auto_buf said = text_of("{\"message\":\"No such\\ncontainer: x\"}");
	auto_buf unsaid = text_of("{\"message\":5}"), out = {0};

	(void)state;
	broker_message(&said, &out);
	assert_true(str_starts(buf_str(&out), "No such"));
	buf_reset(&out);
	broker_message(&unsaid, &out);
	assert_int_equal(out.len, 0);
}

/* ---- logs ---- */

static void add_frame(struct buf *b, char stream, const char *text)
{
	size_t len = strlen(text);
	const char head[8] = {stream, 0, 0, 0, 0, 0, (char)(len >> 8), (char)len};

	buf_add(b, head, sizeof(head));
	buf_add_str(b, text);
}

static void feed(struct broker_log *log, const struct buf *b, size_t piece)
{
	for (size_t at = 0; at < b->len; at += piece)
		broker_log_take(log, b->data + at, MIN(piece, b->len - at));
	broker_log_end(log);
}

static void test_log_in_any_pieces(void **state)
{
	auto_buf b = {0};

	(void)state;
	add_frame(&b, 1, "one\n");
	add_frame(&b, 2, "");
	add_frame(&b, 2, "two\n");
	add_frame(&b, 1, "three\n");
	for (size_t piece = 1; piece <= b.len; piece++) {
		struct broker_log log = {.max_bytes = 1000};

		feed(&log, &b, piece);
		assert_string_equal(buf_str(&log.text), "one\ntwo\nthree\n");
		assert_false(log.broken || log.cut);
		broker_log_release(&log);
	}
}

static void test_log_keeps_its_end(void **state)
{
	auto_buf b = {0};
	struct broker_log log = {.max_bytes = 100};
	char line[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "line %d\n", i);
		add_frame(&b, 1, line);
	}
	feed(&log, &b, 61);
	assert_true(log.cut);
	assert_true(log.text.len <= 100 && log.text.len > 80);
	assert_true(str_starts(buf_str(&log.text), "line 9"));
	assert_non_null(strstr(buf_str(&log.text), "\nline 999\n"));
	broker_log_release(&log);
}

static void test_log_that_is_none(void **state)
{
	auto_buf bad = text_of("\x01\x01garbage and more of it");
	auto_buf raw = text_of("of a terminal\r\n");
	struct broker_log log = {.max_bytes = 100}, tty = {.tty = true, .max_bytes = 100},
			  empty = {.max_bytes = 100};

	(void)state;
	feed(&log, &bad, 3);
	assert_true(log.broken);
	feed(&tty, &raw, 3);
	assert_string_equal(buf_str(&tty.text), "of a terminal\r\n");
	broker_log_end(&empty);
	assert_string_equal(buf_str(&empty.text), "");
	broker_log_release(&log);
	broker_log_release(&tty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_label),
		cmocka_unit_test(test_no_secret_goes_back),
		cmocka_unit_test(test_list_and_version),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_log_in_any_pieces),
		cmocka_unit_test(test_log_keeps_its_end),
		cmocka_unit_test(test_log_that_is_none),
	};

	return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
