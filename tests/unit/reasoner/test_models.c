/* Models without a network: what the configuration may say, the schema, answers, the books, the
 * cache. */
#include "common/buf.h"
#include "common/mem.h"
#include "reasoner/models/answer.h"
#include "reasoner/models/cache.h"
#include "reasoner/models/purse.h"
#include "reasoner/models/schema.h"
#include "reasoner/proposal.h"

#include <ftw.h>
#include <setjmp.h>
#include <cmocka.h>

/* ---- configuration ---- */

static int parse(const char *text, struct models_config *out, struct why *why)
{
	struct yaml_doc doc = {0};

	assert_int_equal(
		yaml_parse_text("/etc/healbus/reasoner.yaml", text, strlen(text), &doc, why), 0);
	int rc = models_parse(out, doc.root, why);
	yaml_release(&doc);
	return rc;
}

static void configuration(void **state)
{
	struct models_config c = {0};
	struct why why = {0};

	(void)state;
	assert_int_equal(models_parse(&c, NULL, &why), 0);
	assert_false(models_configured(&c));
	assert_false(models_configured(NULL));
	models_release(&c);
	assert_int_equal(
		parse("jitter: 1s\n"
		      "budget: {incident: {tokens: 5, usd: 0.25}, day: {usd: 0}}\n"
		      "cache: {ttl: 0s, entries: 7}\n"
		      "providers:\n"
		      "- {name: a, kind: anthropic, url: 'https://x/v1/messages', model: m, "
		      "key_file: "
		      "k,\n"
		      "   price_in: 0.15, price_out: 3, severity: error, complexity: 0.5,\n"
		      "   budget: {tokens: 9}}\n"
		      "- {name: b, kind: http, url: 'http://in.house/ask', model: n, request: .,\n"
		      "   response: .text}\n",
		      &c, &why),
		0);
	assert_true(models_configured(&c));
	assert_int_equal(c.n_providers, 2);
	assert_string_equal(c.providers[0].key_file, "/etc/healbus/k");
	assert_int_equal(c.providers[0].price_in, 150000);
	assert_int_equal(c.providers[0].severity, HEALBUS__SEVERITY__SEVERITY_ERROR);
	assert_int_equal(c.providers[0].day.tokens, 9);
	assert_int_equal(c.incident.tokens, 5);
	assert_int_equal(c.incident.micro_usd, 250000);
	assert_int_equal(c.day.micro_usd, 0);
	assert_int_equal(c.cache_ttl_ms, 0);
	models_release(&c);
}

#define PROVIDER "providers:\n- {name: a, kind: openai_chat, model: m, "
static const struct {
	const char *text, *wrong;
} bad_configurations[] = {
	{"provider: []", "provider"},
	{"providers: {}", "list"},
	{"jitter: 2h", "jitter"},
	{"budget: {week: {tokens: 1}}", "week"},
	{"budget: {day: {token: 1}}", "token"},
	{"cache: {size: 1}", "size"},
	{PROVIDER "url: 'https://x', modle: m}", "modle"},
	{PROVIDER "url: 'ftp://x'}", "https"},
	{PROVIDER "url: 'http://model.lan/', key_file: k}", "https"},
	{PROVIDER "url: 'http://127.0.0.1@model.lan/', key_file: k}", "password"},
	{PROVIDER "url: 'https://user:word@x/'}", "key_file"},
	{PROVIDER "url: 'https://x', request: .}", "http"},
	{PROVIDER "url: 'https://x', severity: high}", "severity"},
	{PROVIDER "url: 'https://x', complexity: 2}", "complexity"},
	{PROVIDER "url: 'https://x', timeout: 0s}", "timeout"},
	{PROVIDER "url: 'https://x', key_header: 'a: b'}", "key_header"},
	{PROVIDER
	 "url: 'https://x'}\n- {name: a, kind: http, url: 'https://x', model: m, request: ., "
	 "response: .}",
	 "twice"},
	{"providers:\n- {name: a, kind: gpt, url: 'https://x', model: m}", "gpt"},
	{"providers:\n- {name: a b, kind: http, url: 'https://x', model: m}", "name"},
	{"providers:\n- {name: a, kind: http, url: 'https://x', model: m, response: .}", "both"},
	{"providers:\n- {name: a, kind: http, url: 'https://x', model: m, request: '$ENV', "
	 "response: "
	 ".}",
	 "request"},
};

static void wrong_configurations(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_configurations); i++) {
		struct models_config c = {0};
		struct why why = {0};

		assert_int_equal(parse(bad_configurations[i].text, &c, &why), ERR_CONFIG);
		if (!strstr(why.text, bad_configurations[i].wrong) ||
		    !strstr(why.text, "reasoner.yaml:"))
			fail_msg("%s: %s", bad_configurations[i].text, why.text);
		models_release(&c);
	}
}

/* ---- schema ---- */

static json_t *json_of(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

	if (!json)
		fail_msg("%s: %s", text, error.text);
	return json;
}

static const struct {
	const char *schema, *value, *wrong; /* NULL: good */
} schema_cases[] = {
	{"{}", "7", NULL},
	{"{'type':'integer'}", "7", NULL},
	{"{'type':'integer'}", "7.5", "type"},
	{"{'type':'number'}", "7", NULL},
	{"{'type':'boolean'}", "false", NULL},
	{"{'type':['string','null']}", "null", NULL},
	{"{'type':['string','null']}", "1", "type"},
	{"{'type':'object','required':['a']}", "{}", "a: missing"},
	{"{'properties':{'a':{'properties':{'b':{'type':'null'}}}}}", "{'a':{'b':1}}", "a.b: "},
	{"{'properties':{'a':{}},'additionalProperties':false}", "{'a':1}", NULL},
	{"{'properties':{'a':{}},'additionalProperties':false}", "{'b':1}", "b: nobody"},
	{"{'additionalProperties':false}", "{'b':1}", "b: nobody"},
	{"{'items':{'type':'string'}}", "['a',2]", "[1]: "},
	{"{'properties':{'s':{'items':{'required':['t']}}}}", "{'s':[{'t':1},{}]}",
	 "s[1].t: missing"},
	{"{'enum':['a',2,null]}", "2", NULL},
	{"{'enum':['a',2,null]}", "'b'", "none"},
	{"{'minLength':2,'maxLength':3}", "'\xe2\x82\xac\xe2\x82\xac'", NULL},
	{"{'maxLength':1}", "'\xe2\x82\xac\xe2\x82\xac'", "long"},
	{"{'minLength':1}", "''", "short"},
	{"{'minimum':0,'maximum':1}", "0.5", NULL},
	{"{'minimum':0}", "-0.1", "under"},
	{"{'maximum':1}", "2", "over"},
	{"{'maxItems':1}", "[1,2]", "many"},
	{"{'minItems':1}", "[]", "few"},
};

static char *quoted(const char *text)
{
	char *out = mem_strdup(text);

	for (char *c = out; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	return out;
}

static void schemas(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(schema_cases); i++) {
		auto_free char *s = quoted(schema_cases[i].schema);
		auto_free char *v = quoted(schema_cases[i].value);
		auto_json schema = json_of(s);
		auto_json value = json_of(v);
		struct why why = {0};

		assert_int_equal(schema_check(schema, &why), 0);
		int rc = schema_validate(schema, value, &why);
		if (rc != (schema_cases[i].wrong ? ERR_SCHEMA : 0) ||
		    (rc && !strstr(why.text, schema_cases[i].wrong)))
			fail_msg("%s against %s: %d %s", v, s, rc, why.text);
	}
}

static void schemas_that_nobody_would_hold_answers_to(void **state)
{
	static const char *const bad[] = {
		"7",
		"{'pattern':'a'}",
		"{'type':'text'}",
		"{'type':[]}",
		"{'required':'a'}",
		"{'required':[1]}",
		"{'enum':[]}",
		"{'maxLength':-1}",
		"{'additionalProperties':{}}",
		"{'properties':{'a':{'anyOf':[]}}}",
		"{'items':{'$ref':'#'}}",
		"{'items':true}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_free char *text = quoted(bad[i]);
		auto_json schema = json_of(text);
		struct why why = {0};

		if (schema_check(schema, &why) != ERR_INVALID)
			fail_msg("%s is taken", text);
	}
}

/* What the reasoner asks with is of that part, and strict. */
static void schema_of_proposals(void **state)
{
	auto_json schema = proposal_schema();
	struct why why = {0};

	(void)state;
	if (schema_check(schema, &why))
		fail_msg("%s", why.text);
	assert_true(schema_is_closed(schema));
}

static void closed_schemas(void **state)
{
	static const struct {
		const char *schema;
		bool closed;
	} cases[] = {
		{"{'type':'string'}", true},
		{"{'type':'object'}", false},
		{"{'type':['object','null']}", false},
		{"{'type':'object','properties':{'a':{}},'required':['a'],"
		 "'additionalProperties':false}",
		 true},
		{"{'type':'object','properties':{'a':{}},'additionalProperties':false}", false},
		{"{'type':'array','items':{'type':'object'}}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text = quoted(cases[i].schema);
		auto_json schema = json_of(text);

		if (schema_is_closed(schema) != cases[i].closed)
			fail_msg("%s", text);
	}
	auto_json schema = json_of("{\"properties\":{\"a\":{\"items\":{\"maxLength\":3}}}}");
	auto_json plain = schema_without_lengths(schema);
	auto_free char *text = json_dumps(plain, JSON_COMPACT);
	assert_string_equal(text, "{\"properties\":{\"a\":{\"items\":{}}}}");
}

/* ---- answers ---- */

static const struct {
	const char *text;
	int rc;
	const char *wrong;
} answers[] = {
	{"{\"a\":1}", 0, ""},
	{" \n{\"a\":1}\r\n ", 0, ""},
	{"```json\n{\"a\":1}\n```", 0, ""},
	{"```\n{\"a\":1}\n```\n", 0, ""},
	{"```{\"a\":1}```", ERR_INVALID, "no JSON"},
	{"```json\n{\"a\":1}", ERR_INVALID, "no JSON"},
	{"```json\n```", ERR_INVALID, "empty"},
	{"Here: {\"a\":1}", ERR_INVALID, "no JSON"},
	{"{\"a\":1} I hope this helps", ERR_INVALID, "no JSON"},
	{"{\"a\":1}{\"a\":2}", ERR_INVALID, "no JSON"},
	{"{\"a\":1,\"a\":2}", ERR_INVALID, "duplicate"},
	{"{\"a\":1", ERR_INVALID, "cut short"},
	{"{\"a\":\"\\u00", ERR_INVALID, "JSON"},
	{"", ERR_INVALID, "empty"},
	{"null", ERR_SCHEMA, "type"},
	{"{\"a\":\"1\"}", ERR_SCHEMA, "a: "},
	{"{}", ERR_SCHEMA, "a: missing"},
};

static void answers_of_models(void **state)
{
	auto_json schema = json_of("{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{"
				   "\"a\":{\"type\":\"integer\"}}}");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct buf text = {0};
		json_t *json = NULL;
		struct why why = {0};

		buf_add_str(&text, answers[i].text);
		int rc = answer_json(&text, schema, &json, &why);
		if (rc != answers[i].rc || (rc == 0) != (json != NULL) ||
		    !strstr(why.text, answers[i].wrong))
			fail_msg("%s: %d %s", answers[i].text, rc, why.text);
		json_decref(json);
		buf_release(&text);
	}
}

static void errors_of_providers(void **state)
{
	static const char *const bodies[][2] = {
		{"{\"error\":{\"message\":\"a\\nb\"}}", "a b"},
		{"{\"error\":\"c\"}", "c"},
		{"{\"detail\":\"d\"}", "d"},
		{"<h1>\x1b[31m</h1>", "<h1>\\x1b[31m</h1>"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		auto_buf body = {0};
		auto_buf out = {0};

		buf_add_str(&body, bodies[i][0]);
		answer_error(&body, &out);
		assert_string_equal(buf_str(&out), bodies[i][1]);
	}
	auto_buf text = {0};
	struct secret key = {.data = (char[]){"k1"}, .len = 2};
	buf_add_str(&text, "k1k1 k k1");
	answer_hide(&text, &key);
	assert_string_equal(text.data, "**** k **");
}

/* ---- on disk ---- */

struct disk {
	char dir[64];
	struct store *store;
};

static const struct store_table *const tables[] = {&purse_spent, &purse_meters, &cache_answers,
						   &cache_ages};

static int disk_open(void **state)
{
	static struct disk d;
	struct why why = {0};

	d = (struct disk){.dir = "/tmp/healbus-test-models-XXXXXX"};
	struct store_options options = {.dir = mkdtemp(d.dir),
					.tables = tables,
					.n_tables = ARRAY_SIZE(tables),
					.map_bytes = 1 << 20,
					.no_sync = true};
	*state = &d;
	return store_open(&options, &d.store, &why);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int disk_close(void **state)
{
	struct disk *d = *state;

	store_close(d->store);
	return nftw(d->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct model_provider one = {.name = (char[]){"one"},
				    .max_tokens = 100,
				    .bytes_per_token = 2,
				    .price_in = 2000000, /* 2 micro-USD a token */
				    .price_out = 1};

static void arithmetic(void **state)
{
	(void)state;
	struct cost c = cost_estimate(&one, 1000);
	assert_int_equal(c.tokens_in, 500 + 512);
	assert_int_equal(c.tokens_out, 100);
	assert_int_equal(cost_micro_usd(&one, &(struct cost){10, 0}), 20);
	assert_int_equal(cost_micro_usd(&one, &(struct cost){0, 1}), 1);
	assert_int_equal(cost_micro_usd(&one, &(struct cost){0, 1000000}), 1);
	assert_int_equal(cost_micro_usd(&one, &(struct cost){0, 0}), 0);
}

static void books(void **state)
{
	struct disk *d = *state;
	struct models_config c = {.incident = {.tokens = 2000}, .day = {.micro_usd = 5000}};
	struct charge charge = {
		.provider = &one, .incident = "i1", .day = 20000, .plain = {900, 100}};
	struct why why = {0};

	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "this incident"));
	/* what is settled is free again, for all but what it cost */
	assert_int_equal(purse_settle(d->store, &charge, &(struct cost){300, 50}), 0);
	assert_int_equal(purse_read(d->store, "i1", 0, NULL).tokens, 1350);
	assert_int_equal(purse_read(d->store, NULL, 20000, NULL).micro_usd, 1801 + 601);
	assert_int_equal(purse_read(d->store, NULL, 20000, "one").tokens, 1350);
	/* another incident meets the day's limit */
	charge.incident = "i2";
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	charge.incident = "i3";
	why = (struct why){0};
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "the day"));
	/* the next day is a new one; long after, an incident's book is gone */
	charge.day++;
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	charge.day += 100;
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(purse_read(d->store, "i1", 0, NULL).tokens, 0);
	assert_int_equal(purse_read(d->store, "i3", 0, NULL).tokens, 2000);
}

static void meter(void **state)
{
	struct disk *d = *state;
	struct models_config c = {0};
	struct charge charge = {
		.provider = &one, .incident = "i1", .day = 20000, .plain = {900, 100}};
	struct why why = {0};

	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(purse_settle(d->store, &charge, &(struct cost){2400, 100}), 0);
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(charge.reserved.tokens_in + charge.reserved.tokens_out, 2500);
	assert_int_equal(purse_settle(d->store, &charge, &(struct cost){1, 1}), 0);
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(charge.reserved.tokens_in, 2250);
}

static void kept_answers(void **state)
{
	struct disk *d = *state;
	struct cache c = {.store = d->store, .ttl_ms = 1000, .entries_max = 3};
	uint8_t key[DIGEST_BYTES] = {0};
	struct buf answer = {0};

	buf_add_str(&answer, "{}");
	for (uint8_t i = 0; i < 5; i++) {
		key[0] = i;
		cache_put(&c, key, 1000 + i, &answer);
		cache_put(&c, key, 1000 + i, &answer);
	}
	for (uint8_t i = 0; i < 5; i++) {
		auto_buf got = {0};

		key[0] = i;
		assert_int_equal(cache_get(&c, key, 2000, &got), i < 2 ? ERR_NOT_FOUND : 0);
		assert_string_equal(buf_str(&got), i < 2 ? "" : "{}");
		assert_int_equal(cache_get(&c, key, 2005, &got), ERR_NOT_FOUND);
	}
	buf_release(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configuration),
		cmocka_unit_test(wrong_configurations),
		cmocka_unit_test(schemas),
		cmocka_unit_test(schemas_that_nobody_would_hold_answers_to),
		cmocka_unit_test(closed_schemas),
		cmocka_unit_test(schema_of_proposals),
		cmocka_unit_test(answers_of_models),
		cmocka_unit_test(errors_of_providers),
		cmocka_unit_test(arithmetic),
		cmocka_unit_test_setup_teardown(books, disk_open, disk_close),
		cmocka_unit_test_setup_teardown(meter, disk_open, disk_close),
		cmocka_unit_test_setup_teardown(kept_answers, disk_open, disk_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
