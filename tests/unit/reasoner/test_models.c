/* Models without a network: what the configuration may say, the books, the cache. */
#include "common/buf.h"
#include "common/mem.h"
#include "reasoner/models/cache.h"
#include "reasoner/models/purse.h"

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
	{PROVIDER "url: 'https://x', temperature: 2.1}", "temperature"},
	{"providers:\n- {name: a, kind: anthropic, url: 'https://x', model: m, temperature: 1.5}",
	 "temperature"},
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

static void day_share(void **state)
{
	struct disk *d = *state;
	struct models_config none = {0}, c = {.incident = {.tokens = 1500},
					      .day = {.tokens = 10000, .micro_usd = 4000}};
	struct model_provider own = one;
	struct charge charge = {
		.provider = &own, .incident = "i1", .day = 30000, .plain = {900, 100}};
	struct why why = {0};

	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	assert_int_equal(purse_day_permille(d->store, &none, &charge, false), -1);
	/* money is fuller than tokens: 1801 of 4000 */
	assert_int_equal(purse_day_permille(d->store, &c, &charge, false), 450);
	/* and the provider's own budget fuller than both: 1000 of 1250 */
	own.day.tokens = 1250;
	assert_int_equal(purse_day_permille(d->store, &c, &charge, false), 800);
	assert_int_equal(purse_day_permille(d->store, &none, &charge, false), 800);
	/* refused for the incident's sake is not for the day's */
	own.day.tokens = 0;
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), ERR_DENIED);
	assert_int_equal(purse_day_permille(d->store, &c, &charge, true), 450);
	charge.incident = "i2";
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), 0);
	charge.incident = "i3";
	assert_int_equal(purse_reserve(d->store, &c, &charge, &why), ERR_DENIED);
	assert_int_equal(purse_day_permille(d->store, &c, &charge, false), 900);
	assert_int_equal(purse_day_permille(d->store, &c, &charge, true), 1000);
	/* more came of it than there is */
	c.day.tokens = 100;
	assert_int_equal(purse_day_permille(d->store, &c, &charge, false), 1000);
	charge.day++;
	assert_int_equal(purse_day_permille(d->store, &c, &charge, false), 0);
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
		cmocka_unit_test(arithmetic),
		cmocka_unit_test_setup_teardown(books, disk_open, disk_close),
		cmocka_unit_test_setup_teardown(day_share, disk_open, disk_close),
		cmocka_unit_test_setup_teardown(meter, disk_open, disk_close),
		cmocka_unit_test_setup_teardown(kept_answers, disk_open, disk_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
