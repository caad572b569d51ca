#include "notifier/ctl/ctl.h"

#include "common/clock.h"

static void rate_text(const json_t *cell, const char *name, char out[static WHEN_BYTES])
{
	const json_t *rate = json_object_get(cell, name);
	if (json_is_number(rate))
		snprintf(out, WHEN_BYTES, "%.0f %%", 100 * json_number_value(rate));
	else
		snprintf(out, WHEN_BYTES, "-");
}

static void time_text(const json_t *cell, const char *name, char out[static WHEN_BYTES])
{
	char text[DURATION_TEXT_BYTES];
	if (!json_is_integer(json_object_get(cell, name)))
		snprintf(out, WHEN_BYTES, "-");
	else
		snprintf(out, WHEN_BYTES, "%s",
			 duration_format(ji(cell, name) / 1000 * 1000, text));
}

static void cost_text(const json_t *cell, char out[static WHEN_BYTES])
{
	const json_t *cost = json_object_get(cell, "cost_per_incident_micro_usd");
	if (json_is_number(cost))
		snprintf(out, WHEN_BYTES, "$%.4f", json_number_value(cost) / 1e6);
	else
		snprintf(out, WHEN_BYTES, "-");
}

static void say_overall(struct ctl *c, const json_t *o)
{
	char text[WHEN_BYTES], other[WHEN_BYTES];
	ctl_printf(c, "%" PRId64 " incidents, %" PRId64 " acted on\n", ji(o, "incidents"),
		   ji(o, "acted"));
	rate_text(o, "autonomous_resolution", text);
	ctl_printf(c, "autonomous resolution  %s (%" PRId64 " of %" PRId64 ")\n", text,
		   ji(o, "autonomous"), ji(o, "needed"));
	time_text(o, "time_to_heal_p50_ms", text);
	time_text(o, "time_to_heal_p90_ms", other);
	ctl_printf(c, "time to heal           half within %s, nine of ten within %s\n", text,
		   other);
	rate_text(o, "first_attempt_success", text);
	ctl_printf(c, "first attempt          %s (%" PRId64 " of %" PRId64 ")\n", text,
		   ji(o, "first_attempt_healed"), ji(o, "attempted"));
	rate_text(o, "false_positive_rate", text);
	ctl_printf(c, "false positives        %s (%" PRId64 " of %" PRId64 ")\n", text,
		   ji(o, "false_positives"), ji(o, "acted"));
	rate_text(o, "escalation_rate", text);
	ctl_printf(c, "escalated              %s (%" PRId64 " of %" PRId64 ")\n", text,
		   ji(o, "escalated"), ji(o, "incidents"));
	cost_text(o, text);
	ctl_printf(c, "cost                   %s an incident, $%.4f in all\n", text,
		   (double)ji(o, "cost_micro_usd") / 1e6);
}

static void step_row(struct ctl_table *t, const json_t *cell)
{
	static const char *const rates[] = {"autonomous_resolution", "first_attempt_success",
					    "false_positive_rate", "escalation_rate"};
	char text[TIME_TEXT_BYTES], word[WHEN_BYTES];
	time_format(ji(cell, "from_ms"), text);
	snprintf(word, sizeof(word), "%.10s %.5s", text, text + 11);
	ctl_cell(t, STYLE_DIM, word);
	snprintf(word, sizeof(word), "%" PRId64, ji(cell, "incidents"));
	ctl_cell(t, STYLE_BOLD, word);
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		rate_text(cell, rates[i], word);
		ctl_cell(t, STYLE_PLAIN, word);
	}
	time_text(cell, "time_to_heal_p50_ms", word);
	ctl_cell(t, STYLE_PLAIN, word);
	time_text(cell, "time_to_heal_p90_ms", word);
	ctl_cell(t, STYLE_PLAIN, word);
	cost_text(cell, word);
	ctl_cell(t, STYLE_PLAIN, word);
}

static void say_steps(struct ctl *c, const json_t *steps)
{
	static const char *const heads[] = {"FROM (UTC)", "INCIDENTS", "ALONE",   "FIRST", "FALSE",
					    "ESCALATED",  "HALF IN",   "90 % IN", "COST"};
	const json_t *cell;
	size_t i;
	struct ctl_table t;
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(steps, i, cell)
	{
		if (ji(cell, "incidents") || ctl_flag(c, "all"))
			step_row(&t, cell);
	}
	ctl_table_end(&t);
	ctl_printf(c, "\n");
}

static int cmd_kpis(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};
	char number[24];
	int64_t since_ms = 0, step_ms = 0;
	const char *since = ctl_flag(c, "since") ? ctl_flag(c, "since") : "30d";
	const char *step = ctl_flag(c, "step") ? ctl_flag(c, "step") : "1d";
	if (duration_parse(since, &since_ms))
		return ctl_fail(EXIT_USAGE, "say for instance 7d", "--since %s: no time", since);
	if (duration_parse(step, &step_ms) || step_ms < 1)
		return ctl_fail(EXIT_USAGE, "say for instance 1d", "--step %s: no time", step);
	/* Steps that begin at whole days, or whatever the step is. */
	int64_t from_ms = MAX(clock_real_ms() - since_ms, 0);
	from_ms -= from_ms % step_ms;
	buf_add_str(&path, "/api/kpis");
	snprintf(number, sizeof(number), "%" PRId64, from_ms);
	ctl_query(&path, "since_ms", number);
	ctl_query(&path, "step", step);
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	say_steps(c, json_object_get(j, "steps"));
	say_overall(c, json_object_get(j, "overall"));
	return EXIT_OK;
}

static const char help_kpis[] =
	"Over the incidents opened in the window, overall and per step:\nautonomous: "
	"resolved by a plan that healed, never escalated, no person took part; of those that "
	"ended and needed something (a step was started, it was escalated, or a person took "
	"part);\ntime to heal: from opened to resolved, where a plan healed; half, and nine "
	"of ten, took no longer;\nfirst attempt: the first plan that ran healed it;\nfalse "
	"positives: of those acted on, a person said false alarm (healctl ack "
	"--false-alarm), or it was over before the first step, or it ended by itself "
	"although the repair had failed;\nescalated: given up at any time; cost: what models "
	"were paid for it.\nA person takes part by a decision, an ack, an undo, or a command.";

const struct ctl_command command_kpis = {
	.name = "kpis",
	.args = "",
	.summary = "how well it works: resolved alone, time to heal, first attempt, cost",
	.help = help_kpis,
	.run = cmd_kpis,
	.flags = {{"since", 0, "TIME", "Incidents opened within so long. Default: 30d."},
		  {"step", 0, "TIME", "Also by steps of this length. Default: 1d."},
		  {"all", 0, NULL, "Also the steps in which nothing happened."}},
};
