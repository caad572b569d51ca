#include "notifier/ctl/ctl.h"

#include "common/clock.h"

static const struct {
	const char *name, *words;
	enum ctl_style style;
} verdicts[] = {
	{"same", "a person let the same run", STYLE_GOOD},
	{"taken", "a person took it in hand", STYLE_GOOD},
	{"denied", "a person refused the same", STYLE_BAD},
	{"undone", "a person had the same taken back", STYLE_BAD},
	{"needless", "it went away by itself", STYLE_WARN},
	{"open", "nothing can be said yet", STYLE_PLAIN},
};

static enum ctl_style style_of(const char *verdict)
{
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		if (str_eq(verdicts[i].name, verdict))
			return verdicts[i].style;
	}
	return STYLE_PLAIN;
}

static void say_plans(struct ctl *c, const json_t *plans)
{
	static const char *const heads[] = {"WHEN", "INCIDENT", "RUNBOOK", "AGREED?", "WOULD HAVE"};
	const json_t *p;
	size_t i;
	struct ctl_table t;
	char when[WHEN_BYTES], id[WHEN_BYTES];

	if (json_array_size(plans) == 0)
		return;
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(plans, i, p)
	{
		ctl_cell(&t, STYLE_DIM, ctl_clock(ji(p, "at_ms"), when));
		ctl_cell(&t, STYLE_PLAIN, ctl_short_id(js(p, "incident"), id));
		ctl_cell(&t, STYLE_BOLD, js(p, "runbook"));
		ctl_cell(&t, style_of(js(p, "verdict")), js(p, "verdict"));
		ctl_cell(&t, STYLE_PLAIN, js(p, "what"));
	}
	ctl_table_end(&t);
	ctl_printf(c, "\n");
}

static void say_counts(struct ctl *c, const json_t *j)
{
	const json_t *counts = json_object_get(j, "counts"),
		     *rate = json_object_get(j, "agreement");

	ctl_printf(c, "%zu plans would have run\n", json_array_size(json_object_get(j, "plans")));
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		char text[32];
		int64_t n = ji(counts, verdicts[i].name);

		snprintf(text, sizeof(text), "%6" PRId64 " %-9s", n, verdicts[i].name);
		ctl_styled(c, n ? verdicts[i].style : STYLE_DIM, text);
		ctl_printf(c, " %s\n", verdicts[i].words);
	}
	if (!json_is_number(rate)) {
		ctl_printf(c, "agreement: nothing to judge by yet\n");
		return;
	}
	ctl_printf(c, "agreement: %.0f %% (%" PRId64 " of %" PRId64 ")\n",
		   100 * json_number_value(rate), ji(j, "agree"),
		   ji(j, "agree") + ji(j, "disagree"));
}

/* "7d" before now, in ms; EXIT_USAGE after saying why. */
static int time_flag(struct ctl *c, const char *name, const char *fallback, int64_t *out_ms)
{
	const char *text = ctl_flag(c, name);

	if (duration_parse(text ? text : fallback, out_ms) == 0)
		return EXIT_OK;
	return ctl_fail(EXIT_USAGE, "say for instance 12h or 7d", "--%s %s: no time", name, text);
}

static int cmd_shadow(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};
	int64_t since_ms, patience_ms;
	char text[24];
	int rc = time_flag(c, "since", "7d", &since_ms);

	if (!rc)
		rc = time_flag(c, "patience", "15m", &patience_ms);
	if (rc)
		return rc;
	buf_add_str(&path, "/api/shadow");
	snprintf(text, sizeof(text), "%" PRId64, MAX(clock_real_ms() - since_ms, 0));
	ctl_query(&path, "since_ms", text);
	snprintf(text, sizeof(text), "%" PRId64, patience_ms);
	ctl_query(&path, "patience_ms", text);
	rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	say_plans(c, json_object_get(j, "plans"));
	if (json_is_true(json_object_get(j, "limited")))
		ctl_printf(c, "only the newest are looked at; shorten it with --since\n");
	say_counts(c, j);
	return EXIT_OK;
}

static const char help_shadow[] =
	"For plans that ended as observed (autonomy observe or dry-run). Each is judged "
	"by what people did from then until its incident was over, by the first of these "
	"that holds:\n"
	"same, denied, undone: the latest word of a person about the same tool on the "
	"same target: a plan with it approved, or denied, or a change made with it taken "
	"back;\n"
	"taken: a person acknowledged the incident;\n"
	"needless: the incident was over within --patience though nobody did anything "
	"that healbus knows of;\n"
	"open: none of these, so nothing can be said: it lasts, or ended later than that "
	"and nobody said why.\n"
	"Agreement is (same + taken) of (same + taken + denied + undone + needless). "
	"What people do without healbus it cannot see: let them acknowledge what they "
	"repair.";

const struct ctl_command command_shadow = {
	.name = "shadow",
	.args = "",
	.summary = "what would have been done where healbus only observes, and who agreed",
	.help = help_shadow,
	.run = cmd_shadow,
	.flags = {{"since", 0, "TIME", "Plans made within so long: 12h, 30d. Default: 7d."},
		  {"patience", 0, "TIME",
		   "An incident that is over sooner went away by itself. Default: 15m."}},
};
