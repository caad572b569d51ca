/* Text, logs, archives and options of the context. */
#include "reasoner/context/source.h"

#include <setjmp.h>
#include <cmocka.h>
#include <zlib.h>

#define STAMP "2024-11-25T10:11:12.1234567Z "

/* ---- text ---- */

static void test_clean(void **state UNUSED)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"plain\ttext\n", "plain\ttext\n"},
		{"\033[31;1mred\033[0m", "red"},
		{"\033]8;;http://x\033\\link\033]8;;\a", "link"},
		{"10%\r20%\rdone\r\n", "10%\n20%\ndone\n"},
		{"a\001b", "a\\x01b"},
		{"bad \xff utf", "bad \\xff utf"},
		{"\xe2\x80\xaetxt", "\\u{202e}txt"},
		{"\033", ""},
		{"\033[", ""},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf out = {0};
		text_clean(rows[i].in, strlen(rows[i].in), &out);
		assert_string_equal(buf_str(&out), rows[i].out);
	}
}

static void test_cut(void **state UNUSED)
{
	auto_buf b = {0};

	buf_add_str(&b, "one\ntwo\nthree\n");
	text_cut(&b, 100);
	assert_string_equal(b.data, "one\ntwo\nthree\n");
	text_cut(&b, 10);
	assert_string_equal(b.data, "one\ntwo\n[6 of 14 bytes left out]\n");
	buf_reset(&b);
	buf_add_str(&b, "\xc3\xa4\xc3\xa4\xc3\xa4");
	text_cut(&b, 3);
	assert_string_equal(b.data, "\xc3\xa4\n[4 of 6 bytes left out]\n");
	auto_free char *line = text_line(NULL, "a\tb \033[1mpassword=hunter2\nnext", 100);
	assert_string_equal(line, "a b password=[REDACTED:password]");
	auto_free char *cut = text_line(NULL, "\xc3\xa4\xc3\xa4", 3);
	assert_string_equal(cut, "\xc3\xa4");
}

/* ---- logs ---- */

static void step(struct buf *log, const char *name, int lines, const char *last)
{
	buf_printf(log, STAMP "##[group]Run %s\n" STAMP "##[endgroup]\n", name);
	for (int i = 0; i < lines; i++)
		buf_printf(log, STAMP "%s line %d of some length\n", name, i);
	if (last)
		buf_printf(log, STAMP "%s\n", last);
}

static void test_log_keeps_the_failed_step(void **state UNUSED)
{
	auto_buf log = {0}, out = {0}, bare = {0};

	step(&log, "setup", 400, NULL);
	step(&log, "test", 400, "##[error]Process completed with exit code 1.");
	step(&log, "report", 400, NULL);
	buf_add_str(&log, STAMP "the end\n");
	size_t cut = job_log_keep(log.data, log.len, 16000, "", &out);
	assert_in_range(cut, log.len - 16000, log.len - 1);
	assert_in_range(out.len, 8000, 16000);
	assert_non_null(strstr(out.data, "setup line 0 "));
	assert_non_null(strstr(out.data, "##[group]Run test\n"));
	assert_non_null(strstr(out.data, "test line 399 "));
	assert_non_null(strstr(out.data, "##[error]Process completed"));
	assert_non_null(strstr(out.data, "the end\n"));
	assert_non_null(strstr(out.data, " bytes left out]\n"));
	assert_null(strstr(out.data, "report line 100 "));
	context_log_excerpt(log.data, log.len, 4000, &bare);
	assert_null(strstr(bare.data, STAMP));
	assert_in_range(bare.len, 2000, 4000);
	assert_non_null(strstr(bare.data, "##[error]Process completed"));
}

static void test_log_of_two_errors(void **state UNUSED)
{
	auto_buf log = {0}, named = {0}, last = {0};

	step(&log, "lint", 400, "##[error]lint failed, and goes on");
	step(&log, "test", 400, "##[error]Process completed with exit code 1.");
	step(&log, "report", 400, NULL);
	job_log_keep(log.data, log.len, 8000, "Run lint", &named);
	assert_non_null(strstr(named.data, "lint failed"));
	job_log_keep(log.data, log.len, 8000, "", &last);
	assert_null(strstr(last.data, "lint failed"));
	assert_non_null(strstr(last.data, "exit code 1"));
}

static void test_log_without_marks(void **state UNUSED)
{
	auto_buf log = {0}, out = {0};

	job_log_keep("short\n", 6, 100, "", &out);
	assert_string_equal(out.data, "short\n");
	for (int i = 0; i < 1000; i++)
		buf_printf(&log, "line %d\n", i);
	buf_reset(&out);
	size_t cut = job_log_keep(log.data, log.len, 1000, "", &out);
	assert_in_range(out.len, 500, 1000);
	assert_non_null(strstr(out.data, "line 0\n"));
	assert_non_null(strstr(out.data, "line 999\n"));
	assert_true(cut > 0);
	/* One line without an end. */
	memset(log.data, 'x', log.len);
	buf_reset(&out);
	job_log_keep(log.data, log.len, 1000, "", &out);
	assert_in_range(out.len, 500, 1000);
}

/* ---- archives ---- */

struct archive {
	struct buf data, central;
	unsigned n;
};

static void put(struct buf *b, size_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		buf_add_char(b, (char)(value >> (8 * i) & 0xff));
}

static void pack(const char *text, size_t len, struct buf *out)
{
	auto_free unsigned char *to = mem_alloc(compressBound(len) + 64);
	z_stream z = {.next_in = (unsigned char *)text,
		      .avail_in = (uInt)len,
		      .next_out = to,
		      .avail_out = (uInt)compressBound(len) + 64};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8, 0), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_add(out, to, z.total_out);
	deflateEnd(&z);
}

static void add_entry(struct archive *a, const char *name, const char *text, size_t len,
		      bool packed)
{
	auto_buf body = {0};
	size_t at = a->data.len;

	if (packed)
		pack(text, len, &body);
	else
		buf_add(&body, text, len);
	for (int central = 0; central < 2; central++) {
		struct buf *b = central ? &a->central : &a->data;
		buf_add(b, central ? "PK\1\2\24\0" : "PK\3\4", central ? 6 : 4);
		put(b, 20, 2);
		put(b, 0, 2);
		put(b, packed ? 8 : 0, 2);
		put(b, 0, 8); /* time, checksum: not looked at */
		put(b, body.len, 4);
		put(b, len, 4);
		put(b, strlen(name), 2);
		put(b, 0, 2);
		if (central) {
			put(b, 0, 10);
			put(b, at, 4);
		}
		buf_add_str(b, name);
	}
	buf_add(&a->data, buf_str(&body), body.len);
	a->n++;
}

static void end_archive(struct archive *a)
{
	size_t at = a->data.len;

	buf_add(&a->data, a->central.data, a->central.len);
	buf_add(&a->data, "PK\5\6\0\0\0\0", 8);
	put(&a->data, a->n, 2);
	put(&a->data, a->n, 2);
	put(&a->data, a->central.len, 4);
	put(&a->data, at, 4);
	put(&a->data, 0, 2);
}

static void archive_release(struct archive *a)
{
	buf_release(&a->data);
	buf_release(&a->central);
}

static void test_zip(void **state UNUSED)
{
	struct archive a = {0};
	auto_buf out = {0};

	add_entry(&a, "build/1_Set up job.txt", "step", 4, true);
	add_entry(&a, "0_build.txt", "fine\n", 5, false);
	add_entry(&a, "1_test (ubuntu, 20).txt", "x\n##[error]no\n", 14, true);
	end_archive(&a);
	assert_int_equal(zip_job_log(a.data.data, a.data.len, "test (ubuntu, 20)", 100, &out), 0);
	assert_string_equal(out.data, "x\n##[error]no\n");
	buf_reset(&out);
	assert_int_equal(zip_job_log(a.data.data, a.data.len, "build", 100, &out), 0);
	assert_string_equal(out.data, "fine\n");
	buf_reset(&out);
	assert_int_equal(zip_job_log(a.data.data, a.data.len, "", 100, &out), 0);
	assert_string_equal(out.data, "x\n##[error]no\n");
	buf_reset(&out);
	assert_int_equal(zip_job_log(a.data.data, a.data.len, "deploy", 100, &out), ERR_NOT_FOUND);
	assert_int_equal(zip_job_log(a.data.data, a.data.len, "build", 3, &out), ERR_TOO_LARGE);
	assert_string_equal(out.data, "fin");
	/* Cut off anywhere, it is refused or read within its bounds. */
	for (size_t len = 0; len < a.data.len; len++) {
		auto_free char *exact = mem_dup(a.data.data, len);
		buf_reset(&out);
		assert_int_not_equal(zip_job_log(exact, len, "build", 100, &out), 0);
	}
	archive_release(&a);
}

static void test_zip_bomb(void **state UNUSED)
{
	enum { BOMB = 64 << 20, LIMIT = 1 << 20 };
	struct archive a = {0};
	auto_buf out = {0};
	auto_free char *zeroes = mem_alloc(BOMB);

	memset(zeroes, 'a', BOMB);
	add_entry(&a, "0_build.txt", zeroes, BOMB, true);
	end_archive(&a);
	assert_in_range(a.data.len, 1, LIMIT);
	assert_int_equal(zip_job_log(a.data.data, a.data.len, "build", LIMIT, &out), ERR_TOO_LARGE);
	assert_int_equal(out.len, LIMIT);
	assert_in_range(out.cap, LIMIT, 4 * LIMIT);
	archive_release(&a);
}

/* ---- options ---- */

static int load(const char *text, struct context_config *out, struct why *why)
{
	struct yaml_doc doc = {0};
	int rc = yaml_parse_text("t.yaml", text, strlen(text), &doc, why);

	assert_int_equal(rc, 0);
	rc = context_parse(out, doc.root->type == YAML_MAP ? doc.root : NULL, why);
	yaml_release(&doc);
	return rc;
}

static void test_options(void **state UNUSED)
{
	struct context_config c = {0};
	struct why why = {0};
	const char *secrets[CONTEXT_SECRETS_MAX + 1];

	assert_int_equal(load("", &c, &why), 0);
	assert_int_equal(c.timeout_ms, 20000);
	assert_int_equal(c.services[CONTEXT_LOKI].timeout_ms, 10000);
	assert_null(c.services[CONTEXT_LOKI].url);
	assert_true(c.github_enabled);
	context_release(&c);
	assert_int_equal(
		load("source_timeout: 3s\nmax_bytes: 64KiB\ngithub: {enabled: false}\n"
		     "prometheus:\n  url: http://p:9090/\n  token_file: /t\n  queries:\n"
		     "    - {name: up, query: 'up{job=\"{{ .labels.job }}\"}', range: 30m}\n"
		     "loki: {url: 'http://l', timeout: 1s}\n",
		     &c, &why),
		0);
	assert_false(c.github_enabled);
	assert_int_equal(c.max_bytes, 64 << 10);
	assert_string_equal(c.services[CONTEXT_PROMETHEUS].url, "http://p:9090");
	assert_int_equal(c.services[CONTEXT_PROMETHEUS].timeout_ms, 3000);
	assert_int_equal(c.services[CONTEXT_LOKI].timeout_ms, 1000);
	assert_int_equal(c.services[CONTEXT_PROMETHEUS].n_queries, 1);
	assert_int_equal(c.services[CONTEXT_PROMETHEUS].queries[0].step_ms, 30000);
	context_secret_files(&c, secrets);
	assert_string_equal(secrets[0], "/t");
	assert_null(secrets[1]);
	context_release(&c);
	context_release(&c);
}

static void test_wrong_options(void **state UNUSED)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{"lokki: {}", "lokki"},
		{"loki: x", "loki: expected a map"},
		{"argocd: {token: x}", "t.yaml:1: unknown key \"token\""},
		{"loki: {url: 'ftp://x'}", "url: an http or https URL is needed"},
		{"loki: {url: 'http://x', application: y}", "application"},
		{"loki: {url: 'http://x', queries: [{name: a}]}", "name and query are needed"},
		{"loki: {url: 'http://x', queries: [{name: a, query: '{{ ( }}'}]}", "query: "},
		{"loki: {url: 'http://x', queries: [{name: a, query: x, range: 0}]}", "range"},
		{"max_bytes: 12", "max_bytes: \"12\" is not a size"},
		{"timeout: 1h", "timeout"},
		{"grafana: {url: 'http://x', queries: []}", "queries"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct context_config c = {0};
		struct why why = {0};
		assert_int_equal(load(rows[i].text, &c, &why), ERR_CONFIG);
		if (!strstr(why.text, rows[i].error))
			print_error("%s: %s\n", rows[i].text, why.text);
		assert_non_null(strstr(why.text, rows[i].error));
		context_release(&c);
	}
}

/* ---- queries ---- */

static void test_queries_of_hostile_labels(void **state UNUSED)
{
	struct context_config c = {0};
	struct context_ask ask;
	Healbus__Incident incident = HEALBUS__INCIDENT__INIT;
	struct arena arena = {0};
	Healbus__Label *labels[] = {
		label_new(&arena, "job", "a\"} or vector(1) #{"),
		label_new(&arena, "repository", "octo/../repo"),
		label_new(&arena, "run_id", "12x"),
	};

	incident.labels = labels;
	incident.n_labels = ARRAY_SIZE(labels);
	assert_int_equal(load("prometheus: {url: 'http://p', queries: [\n"
			      "  {name: a, query: 'up{job=\"{{ .labels.job }}\"}'},\n"
			      "  {name: b, query: 'up{pod=\"{{ .labels.pod }}\"}'},\n"
			      "  {name: c, query: 'up'}]}\n"
			      "kubernetes: {url: 'http://k'}\n",
			      &c, NULL),
			 0);
	context_ask_read(&c, &incident, 1000, &ask);
	assert_int_equal(ask.n_queries, 3);
	assert_string_equal(ask.queries[0].text, "up{job=\"a__ or vector(1) #_\"}");
	assert_string_equal(ask.queries[1].text, "");
	assert_string_equal(ask.queries[2].text, "up");
	assert_string_equal(ask.texts[CONTEXT_KUBERNETES][0], "");
	assert_string_equal(ask.repository, "");
	assert_int_equal(ask.run_id, 0);
	context_ask_release(&ask);
	context_release(&c);
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_log_keeps_the_failed_step),
		cmocka_unit_test(test_log_of_two_errors),
		cmocka_unit_test(test_log_without_marks),
		cmocka_unit_test(test_zip),
		cmocka_unit_test(test_zip_bomb),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_wrong_options),
		cmocka_unit_test(test_queries_of_hostile_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
