/* HEALBUS_CORPORA: every payload of GitHub's webhooks gives an event or a reason, and each failure
 * opens exactly one incident. */
#include "tests/unit/monitor/kit.h"

static bool is_failure(const json_t *row)
{
	const char *conclusion = json_string_value(json_object_get(row, "conclusion"));

	return conclusion &&
	       (str_eq(conclusion, "failure") || str_eq(conclusion, "timed_out") ||
		str_eq(conclusion, "startup_failure") || str_eq(conclusion, "action_required"));
}

struct tally {
	size_t read, events, ignored, refused, failures, opened;
};

static void corpus_file(struct tally *t, const char *dir, const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "file"));
	const char *event = json_string_value(json_object_get(row, "event"));
	auto_free char *path = mem_printf("%s/%s", dir, name);
	struct kit *k = kit_new("group_wait: 0s\ngithub:\n  failures: [failure, timed_out, "
				"startup_failure, action_required]\n");
	struct arena arena = {0};
	auto_buf body = {0};
	struct why why = {0};
	int rc;

	if (buf_read_file(&body, path, 1 << 20))
		fail_msg("%s: cannot be read", path);
	struct reading r = {.source = "github",
			    .rules = &k->config.rules,
			    .data = buf_str(&body),
			    .len = body.len,
			    .kind = event,
			    .trusted = true,
			    .raw_id = "raw-1",
			    .time_ms = k->now_ms,
			    .arena = &arena};
	rc = reading_run(&r, &format_github, &why);
	if (rc || r.refused) {
		t->refused++;
		if (!why.text[0] && !r.refused_why.text[0])
			fail_msg("%s: refused without a reason", name);
		print_message("# %s: refused: %s%s\n", name, why.text, r.refused_why.text);
	} else if (r.ignored) {
		t->ignored++;
	} else if (r.n != 1) {
		fail_msg("%s: %zu events and no reason", name, r.n);
	}
	t->read++;
	t->events += r.n;
	for (size_t i = 0; i < r.n; i++)
		kit_apply(k, "event.00.github", r.events[i]->id, &r.events[i]->base);
	if (is_failure(row)) {
		t->failures++;
		t->opened += k->n;
		if (k->n != 1 || kit_last(k)->state != OPEN)
			fail_msg("%s: %zu incidents", name, k->n);
	}
	reading_release(&r);
	arena_release(&arena);
	kit_free(k);
}

static void test_corpus(void **state)
{
	const char *corpora = getenv("HEALBUS_CORPORA");
	auto_free char *dir =
		mem_printf("%s/github-webhooks", corpora ? corpora : "../shared/corpora");
	auto_free char *path = mem_printf("%s/index.json", dir);
	json_t *index = json_load_file(path, 0, NULL);
	struct tally t = {0};
	const json_t *row;
	size_t i;

	(void)state;
	if (!index) {
		print_message("# skipped: no corpus\n");
		return;
	}
	json_array_foreach(index, i, row) corpus_file(&t, dir, row);
	json_decref(index);
	print_message("# %zu payloads: %zu events, %zu ignored, %zu refused; %zu failures opened "
		      "%zu incidents\n",
		      t.read, t.events, t.ignored, t.refused, t.failures, t.opened);
	assert_true(t.read > 200 && t.failures >= 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
