#include "notifier/ctl/ctl.h"

#include "common/clock.h"

static void say_row(struct ctl_table *t, const json_t *row, const char *name)
{
	static const char *const counts[] = {"exchanges", "cached", "errors", "prompt_tokens",
					     "answer_tokens"};
	char text[32];

	ctl_cell(t, STYLE_PLAIN, name);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		snprintf(text, sizeof(text), "%" PRId64, ji(row, counts[i]));
		ctl_cell(t, STYLE_PLAIN, text);
	}
	snprintf(text, sizeof(text), "$%.4f", (double)ji(row, "cost_micro_usd") / 1e6);
	ctl_cell(t, STYLE_PLAIN, text);
}

static void say_table(struct ctl *c, const json_t *j)
{
	static const char *const heads[] = {"WHAT",      "ASKED", "CACHED", "FAILED",
					    "TOKENS IN", "OUT",   "COST"};
	struct ctl_table t;
	const json_t *row;
	size_t i;

	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(json_object_get(j, "days"), i, row)
	{
		say_row(&t, row, js(row, "day"));
	}
	json_array_foreach(json_object_get(j, "models"), i, row)
	{
		auto_buf name = {0};
		buf_printf(&name, "%s %s", js(row, "provider"), js(row, "model"));
		say_row(&t, row, buf_str(&name));
	}
	say_row(&t, json_object_get(j, "total"), "all");
	ctl_table_end(&t);
}

static int cmd_models(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};
	const char *since = ctl_flag(c, "since");
	int64_t ms;
	char from[32];

	buf_add_str(&path, "/api/models");
	if (since && duration_parse(since, &ms))
		return ctl_fail(EXIT_USAGE, "say for instance 7d", "--since %s: not a time", since);
	if (since) {
		snprintf(from, sizeof(from), "%" PRId64, clock_real_ms() - ms);
		ctl_query(&path, "since_ms", from);
	}
	if (ctl_flag(c, "incident"))
		ctl_query(&path, "incident", ctl_flag(c, "incident"));
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	say_table(c, j);
	return EXIT_OK;
}

static const char help_models[] =
	"Adds up the exchanges with models of the last 7 days: by day, and by model; with "
	"--incident those of one incident.";

const struct ctl_command command_models = {
	.name = "models",
	.args = "",
	.summary = "what models were asked, and what it cost",
	.help = help_models,
	.run = cmd_models,
	.flags = {{"incident", 0, "ID", "Only of this one, however old."},
		  {"since", 0, "TIME", "So far back: 24h, 30d."}},
};
