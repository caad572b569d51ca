#include "common/yaml.h"
#include "common/buf.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <sys/stat.h>

static int parse(const char *text, struct yaml_doc *doc, struct why *why)
{
	*why = (struct why){0};
	return yaml_parse_text("t.yaml", text, strlen(text), doc, why);
}

struct row {
	const char *yaml;
	const char *json;
};

static void test_to_json(void **state UNUSED)
{
	static const struct row rows[] = {
		{"", "null"},
		{"# only a comment\n", "null"},
		{"a: 1\nb: [x, \"y\", ~, null, ]\n", "{\"a\":1,\"b\":[\"x\",\"y\",null,null]}"},
		{"a:\nb: \"\"\nc: ''\n", "{\"a\":null,\"b\":\"\",\"c\":\"\"}"},
		{"a: True\nb: 'true'\nc: FALSE\nd: yes\n",
		 "{\"a\":true,\"b\":\"true\",\"c\":false,\"d\":\"yes\"}"},
		{"[1, -1, 1.5e3, 007, +1, .5, 1., 0x10, 1e999, 99999999999999999999, '5']",
		 "[1,-1,1.5e3,\"007\",\"+1\",\".5\",\"1.\",\"0x10\",\"1e999\","
		 "\"99999999999999999999\",\"5\"]"},
		{"{\"a\": {\"b\": [1, {\"c\": \"\\u00e9\\n\"}]}}",
		 "{\"a\":{\"b\":[1,{\"c\":\"\xc3\xa9\\n\"}]}}"},
		{"a: |\n  x\n   y\n\n  z\nb: >-\n  one\n  two\n",
		 "{\"a\":\"x\\n y\\n\\nz\\n\",\"b\":\"one two\"}"},
		{"a: &x {k: [1, 2]}\nb: *x\nc: [*x]\n",
		 "{\"a\":{\"k\":[1,2]},\"b\":{\"k\":[1,2]},\"c\":[{\"k\":[1,2]}]}"},
		{"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
		{"a: !!str 5\n", "{\"a\":\"5\"}"},
		{"? a\n: b\n", "{\"a\":\"b\"}"},
		{"\"<<\": 1\n", "{\"<<\":1}"},
		{"\xef\xbb\xbf"
		 "a: 1\r\nb: 2\r\n",
		 "{\"a\":1,\"b\":2}"},
		{"--- [a]\n...\n", "[\"a\"]"},
		{"a: |\n", "{\"a\":\"\"}"},
		{"a: |9\n", "{\"a\":\"\"}"},
		{"a: -- x: # y\nb: x#y\n", NULL},
		{"just text", "\"just text\""},
		{"a:\n  - |\n\n    x\n   \n  - b: |\n     y\n    c: |2\n       z\ne: |+\n\n",
		 "{\"a\":[\"\\nx\\n\",{\"b\":\"y\\n\",\"c\":\" z\\n\"}],\"e\":\"\\n\"}"},
		/* libfyaml 0.7.12 alone loses what stands behind two '' that touch */
		{"['', '''', 'x''''y', '''''', 'a''b''c''''d ', 'it''s: #']",
		 "[\"\",\"'\",\"x''y\",\"''\",\"a'b'c''d \",\"it's: #\"]"},
		{"a: 'one \t\n  two\n\n\n  three\r\n  four'\n'k''': \"x\\\n  y\"\n",
		 "{\"a\":\"one two\\n\\nthree four\",\"k'\":\"xy\"}"},
		{"\xef\xbb\xbf"
		 "# \xc3\xa9\r\na: 'x'\r\nb: &y 'y'\r\nc: !!str 'z'\r\n",
		 "{\"a\":\"x\",\"b\":\"y\",\"c\":\"z\"}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct yaml_doc doc = {0};
		struct why why;
		auto_buf json = {0};
		int rc = parse(rows[i].yaml, &doc, &why);

		assert_int_equal(rc, rows[i].json ? 0 : ERR_CONFIG);
		if (rc)
			continue;
		assert_string_equal(why.text, "");
		yaml_to_json(doc.root, &json);
		assert_string_equal(json.data, rows[i].json);
		yaml_release(&doc);
		assert_null(doc.root);
	}
}

static void test_errors_have_a_place(void **state UNUSED)
{
	static const struct row rows[] = {
		{"a: 1\nb: 2\na: 3\n", "t.yaml:3: duplicate key \"a\", first on line 1"},
		{"a: 1\nb: {x: 1, \"x\": 2}\n", "t.yaml:2: duplicate key \"x\", first on line 2"},
		{"a:\n\tb: 1\n", "t.yaml:2: tab character may not be used as indentation"},
		{"a: [1, 2\n", "t.yaml:2: flow sequence without a closing bracket"},
		{"x: 1\na: b: c\n", "t.yaml:2: invalid nested block mapping on the same line"},
		{"a: &x [*x]\n", "t.yaml:1: an alias inside its own anchor"},
		{"a: *x\nb: &x 1\n", "t.yaml:1: an alias of an anchor that is not defined above"},
		{"\n? [a]\n: b\n", "t.yaml:2: a key must be a plain or quoted text"},
		{"a: 1\n---\nb: 2\n", "t.yaml:2: a second document (---) in one file"},
		{"a: !foo b\n", "t.yaml:1: tags other than !!str are not supported"},
		{"a: !!map {}\n", "t.yaml:1: tags other than !!str are not supported"},
		{"a: &x 1\n<<: *x\n", "t.yaml:2: merge keys (<<) are not supported"},
		{"&a k: 1\n", "t.yaml:1: an anchor on a key is not supported"},
		{"a: &x 1\n*x : 1\n", "t.yaml:2: an alias as a key is not supported"},
		{"a: \"x\\0y\"\n", "t.yaml:1: a NUL character in a string"},
		{"a:\n  |\n  x\n   y\n", "t.yaml:3: a block must start on the line of its key"},
		/* the library takes the key as text of the block */
		{"a:\n  b: |\n  c: 1\n",
		 "t.yaml:3: a block must be indented more than its key; an empty one is \"\""},
		{"- >-\n  x\n-\n  >-\n  x\n",
		 "t.yaml:5: a block must start on the line of its key"},
		{"a: 1\nb: \xff\n", "t.yaml:2: not UTF-8"},
		{"a: 1\nb: \x01\n", "t.yaml:2: a control character"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct yaml_doc doc = {0};
		struct why why;

		assert_int_equal(parse(rows[i].yaml, &doc, &why), ERR_CONFIG);
		assert_string_equal(why.text, rows[i].json);
		assert_null(doc.root);
		assert_null(doc.storage);
	}
}

/* The library must not speak to the terminal: whatever it has to say is in why. */
static void test_nothing_on_stderr(void **state UNUSED)
{
	char path[] = "/tmp/test_yaml.XXXXXX";
	int fd = mkstemp(path);
	int saved = dup(STDERR_FILENO);
	struct yaml_doc doc = {0};
	struct why why;
	struct stat st;

	dup2(fd, STDERR_FILENO);
	assert_int_equal(parse("a: [1, 2\n", &doc, &why), ERR_CONFIG);
	assert_int_equal(parse("a: @x\n", &doc, &why), ERR_CONFIG);
	dup2(saved, STDERR_FILENO);
	fstat(fd, &st);
	close(saved);
	close(fd);
	unlink(path);
	assert_int_equal(st.st_size, 0);
}

static void repeat(struct buf *b, const char *text, size_t n)
{
	while (n--)
		buf_add_str(b, text);
}

static void assert_too_large(struct buf *text, const char *reason)
{
	struct yaml_doc doc = {0};
	struct why why = {0};

	assert_int_equal(yaml_parse_text("t.yaml", buf_str(text), text->len, &doc, &why),
			 ERR_TOO_LARGE);
	assert_non_null(strstr(why.text, reason));
	buf_reset(text);
}

static void test_limits(void **state UNUSED)
{
	auto_buf text = {0};
	struct yaml_doc doc = {0};

	repeat(&text, "[", YAML_DEPTH_MAX);
	repeat(&text, "]", YAML_DEPTH_MAX);
	assert_int_equal(yaml_parse_text("t", text.data, text.len, &doc, NULL), 0);
	yaml_release(&doc);
	buf_reset(&text);
	repeat(&text, "[", YAML_DEPTH_MAX + 1);
	repeat(&text, "]", YAML_DEPTH_MAX + 1);
	assert_too_large(&text, "nested too deep");
	repeat(&text, "[", 1 << 20);
	assert_too_large(&text, "nested too deep");
	repeat(&text, "- ", 100);
	assert_too_large(&text, "nested too deep");

	repeat(&text, "- 1\n", YAML_NODES_MAX);
	assert_too_large(&text, "too many nodes");
	repeat(&text, "\n", YAML_FILE_MAX_BYTES + 1);
	assert_too_large(&text, "more than 4 MiB");
	repeat(&text, "- &a x\n", 1001);
	assert_too_large(&text, "too many anchors");

	/* Ten lines that would be three billion nodes. */
	buf_add_str(&text, "a: &a [x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c < 'k'; c++) {
		buf_printf(&text, "%c: &%c [", c, c);
		for (int i = 0; i < 9; i++)
			buf_printf(&text, "%s*%c", i ? "," : "", c - 1);
		buf_add_str(&text, "]\n");
	}
	assert_too_large(&text, "too many nodes");

	/* Depth through aliases. */
	buf_add_str(&text, "a0: &a0 [x]\n");
	for (int i = 1; i < 40; i++)
		buf_printf(&text, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	assert_too_large(&text, "nested too deep");
}

static void test_long_keys(void **state UNUSED)
{
	auto_buf text = {0};
	struct yaml_doc doc = {0};
	struct why why = {0};

	repeat(&text, "k", 512);
	buf_add_str(&text, ": 1\n");
	assert_int_equal(yaml_parse_text("t", text.data, text.len, &doc, NULL), 0);
	yaml_release(&doc);
	buf_reset(&text);
	repeat(&text, "k", 513);
	buf_add_str(&text, ": 1\n");
	assert_int_equal(yaml_parse_text("t", text.data, text.len, &doc, &why), ERR_CONFIG);
	assert_string_equal(why.text, "t:1: a key of more than 512 bytes");
}

static void test_nodes_know_their_line(void **state UNUSED)
{
	struct yaml_doc doc = {0};
	struct why why;
	const struct yaml_node *list;

	assert_int_equal(
		parse("a:\n  b: 1\nlist:\n  - x\n  - y: 1\n    z:\nend: |\n  t\n", &doc, &why), 0);
	list = yaml_get(doc.root, "list");
	assert_int_equal(doc.root->count, 3);
	assert_int_equal(yaml_get(doc.root, "a")->line, 1);
	assert_int_equal(yaml_get(yaml_get(doc.root, "a"), "b")->line, 2);
	assert_int_equal(list->line, 3);
	assert_int_equal(list->count, 2);
	assert_int_equal(list->child->line, 4);
	assert_int_equal(yaml_get(list->child->next, "z")->line, 6);
	assert_int_equal(yaml_get(doc.root, "end")->line, 7);
	assert_string_equal(list->file, "t.yaml");
	assert_null(yaml_get(doc.root, "none"));
	assert_null(yaml_get(NULL, "none"));
	assert_null(yaml_get(list, "x"));
	yaml_release(&doc);
	yaml_release(NULL);
}

static void test_readers(void **state UNUSED)
{
	struct yaml_doc doc = {0};
	struct why why;
	const char *s = NULL;
	int64_t i = 5;
	double d = 1.5;
	bool b = true;

	assert_int_equal(parse("s: text\ni: -7\nd: 2.5\nb: false\nt: 1m30s\n", &doc, &why), 0);
	assert_int_equal(yaml_str(yaml_get(doc.root, "s"), "s", &s, &why), 0);
	assert_string_equal(s, "text");
	assert_int_equal(yaml_int(yaml_get(doc.root, "i"), "i", -7, 7, &i, &why), 0);
	assert_int_equal(i, -7);
	assert_int_equal(yaml_double(yaml_get(doc.root, "d"), "d", 0, 3, &d, &why), 0);
	assert_true(d > 2.4 && d < 2.6);
	assert_int_equal(yaml_bool(yaml_get(doc.root, "b"), "b", &b, &why), 0);
	assert_false(b);
	assert_int_equal(yaml_duration_ms(yaml_get(doc.root, "t"), "t", 0, 90000, &i, &why), 0);
	assert_int_equal(i, 90000);
	/* absent: what the caller had */
	assert_int_equal(yaml_str(NULL, "x", &s, &why), 0);
	assert_int_equal(yaml_int(NULL, "x", 0, 1, &i, &why), 0);
	assert_int_equal(yaml_double(NULL, "x", 0, 1, &d, &why), 0);
	assert_int_equal(yaml_bool(NULL, "x", &b, &why), 0);
	assert_int_equal(yaml_duration_ms(NULL, "x", 0, 1, &i, &why), 0);
	assert_string_equal(s, "text");
	assert_int_equal(i, 90000);
	s = NULL;
	assert_int_equal(yaml_str(NULL, "x", &s, &why), ERR_CONFIG);
	assert_string_equal(why.text, "x: missing");
	yaml_release(&doc);
}

struct refusal {
	char reader;
	const char *value;
	const char *why;
};

static int read_as(char reader, const struct yaml_node *node, struct why *why)
{
	const char *s = NULL;
	int64_t i;
	double d;
	bool b;

	switch (reader) {
	case 's':
		return yaml_str(node, "k", &s, why);
	case 'i':
		return yaml_int(node, "k", -10, 10, &i, why);
	case 'd':
		return yaml_double(node, "k", 0, 1, &d, why);
	case 'b':
		return yaml_bool(node, "k", &b, why);
	default:
		return yaml_duration_ms(node, "k", 1000, 3600000, &i, why);
	}
}

static void test_readers_refuse(void **state UNUSED)
{
	static const struct refusal rows[] = {
		{'s', "[a]", "k: expected text, found a list"},
		{'s', "", "k: expected text, found nothing"},
		{'s', "{a: 1}", "k: expected text, found a map"},
		{'i', "five", "k: expected a whole number, found \"five\""},
		{'i', "1.5", "k: expected a whole number, found \"1.5\""},
		{'i', "11", "k: 11 is not in -10..10"},
		{'i', "0x5", "k: expected a whole number, found \"0x5\""},
		{'i', "99999999999999999999",
		 "k: expected a whole number, found \"99999999999999999999\""},
		{'d', "nan", "k: expected a number, found \"nan\""},
		{'d', "1e999", "k: expected a number, found \"1e999\""},
		{'d', "1e", "k: expected a number, found \"1e\""},
		{'d', "1.x", "k: expected a number, found \"1.x\""},
		{'d', "1.5", "k: 1.5 is not in 0..1"},
		{'b', "yes", "k: expected true or false, found \"yes\""},
		{'b', "[true]", "k: expected true or false, found a list"},
		{'t', "30", "k: expected a duration such as 30s, 5m or 1h30m, found \"30\""},
		{'t', "2h", "k: 2h is not in 1s..1h"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *text = mem_printf("\nk: %s\n", rows[i].value);
		auto_free char *expected = mem_printf("t.yaml:2: %s", rows[i].why);
		struct yaml_doc doc = {0};
		struct why why;

		assert_int_equal(parse(text, &doc, &why), 0);
		assert_int_equal(read_as(rows[i].reader, yaml_get(doc.root, "k"), &why),
				 ERR_CONFIG);
		assert_string_equal(why.text, expected);
		yaml_release(&doc);
	}
}

static void test_only_keys(void **state UNUSED)
{
	static const char *const keys[] = {"matchers", "when", "steps", "attempts"};
	static const struct row rows[] = {
		{"matchers: 1\nsteps: 2\n", NULL},
		{"", NULL},
		{"matchers: 1\nstep: 2\n",
		 "t.yaml:2: unknown key \"step\"; did you mean \"steps\"?"},
		{"atempts: 1\n", "t.yaml:1: unknown key \"atempts\"; did you mean \"attempts\"?"},
		{"colour: 1\n", "t.yaml:1: unknown key \"colour\""},
		{"[a]\n", "t.yaml:1: expected keys and values, found a list"},
	};
	auto_buf big = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct yaml_doc doc = {0};
		struct why why;

		assert_int_equal(parse(rows[i].yaml, &doc, &why), 0);
		assert_int_equal(yaml_only_keys(doc.root, keys, ARRAY_SIZE(keys), &why),
				 rows[i].json ? ERR_CONFIG : 0);
		assert_string_equal(why.text, rows[i].json ? rows[i].json : "");
		yaml_release(&doc);
	}
	assert_int_equal(yaml_only_keys(NULL, keys, 4, NULL), 0);
	repeat(&big, "w", 100);
	assert_null(yaml_nearest(big.data, keys, 4));
	assert_string_equal(yaml_nearest("wehn", keys, 4), "when");
}

static void test_files(void **state UNUSED)
{
	char path[] = "/tmp/test_yaml.XXXXXX";
	auto_fd int fd = mkstemp(path);
	struct yaml_doc doc = {0};
	struct why why = {0};

	assert_int_equal(write(fd, "a: [1]\n", 7), 7);
	assert_int_equal(yaml_parse_file(path, &doc, &why), 0);
	assert_string_equal(doc.root->file, path);
	yaml_release(&doc);
	assert_int_equal(ftruncate(fd, YAML_FILE_MAX_BYTES + 1), 0);
	assert_int_equal(yaml_parse_file(path, &doc, &why), ERR_TOO_LARGE);
	unlink(path);
	why = (struct why){0};
	assert_int_equal(yaml_parse_file(path, &doc, &why), ERR_NOT_FOUND);
	assert_non_null(strstr(why.text, "cannot read: No such file"));
	assert_int_equal(yaml_parse_file("/tmp", &doc, NULL), ERR_IO);
}

static void test_print(void **state UNUSED)
{
	static const char text[] = "a: 1\n"
				   "b: \"1\"\n"
				   "empty: []\n"
				   "none: null\n"
				   "\"odd key\": -5\n"
				   "script: |\n"
				   "  one\n"
				   "\n"
				   "    two\n"
				   "steps:\n"
				   "  - tool: x\n"
				   "    with: {}\n"
				   "  - - 1\n"
				   "    - |-\n"
				   "      p\n"
				   "      q\n";
	struct yaml_doc doc = {0};
	struct why why;
	auto_buf out = {0};

	assert_int_equal(parse(text, &doc, &why), 0);
	yaml_print(doc.root, 0, &out);
	assert_string_equal(out.data, text);
	yaml_release(&doc);
}

static void test_quoted(void **state UNUSED)
{
	static const struct row rows[] = {
		{"", "\"\""},
		{"a \"b\"\n", "\"a \\\"b\\\"\\n\""},
		{"\x7f\xc2\x85\xc2\xa0", "\"\\u007f\\u0085\xc2\xa0\""},
		{"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\"\\u2028\\u2029\xe2\x80\xaa\""},
		{"\xef\xbb\xbf\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd",
		 "\"\\ufeff\\ufffe\\uffff\xef\xbf\xbd\""},
	};
	auto_buf out = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_reset(&out);
		yaml_print_quoted(rows[i].yaml, &out);
		assert_string_equal(out.data, rows[i].json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_to_json),
		cmocka_unit_test(test_errors_have_a_place),
		cmocka_unit_test(test_nothing_on_stderr),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_long_keys),
		cmocka_unit_test(test_nodes_know_their_line),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_readers_refuse),
		cmocka_unit_test(test_only_keys),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
