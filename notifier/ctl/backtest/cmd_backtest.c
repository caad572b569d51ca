#include "notifier/ctl/backtest/backtest.h"
#include "notifier/ctl/ctl.h"

#include "common/clock.h"
#include "common/mem.h"

/* ---- for people ---- */

static const char *result_of(const struct bt_saying *s)
{
	if (!s->recorded)
		return "would have run";
	return s->result ? s->result : "no outcome recorded";
}

/* mark: "+" or "-" in a difference, else " ". */
static void say_saying(struct ctl *c, const char *mark, const struct bt_saying *s)
{
	char at[TIME_TEXT_BYTES];
	enum ctl_style style = *mark == '+' ? STYLE_GOOD : *mark == '-' ? STYLE_BAD : STYLE_PLAIN;

	ctl_printf(c, "  %s %s  ", mark, time_format(s->at_ms, at));
	if (s->kind == BT_ESCALATION) {
		ctl_styled(c, style, "a human was needed: ");
		ctl_wrap(c, 50, 6, s->reason);
		return;
	}
	ctl_printf(c, "attempt %u, ", s->attempt);
	ctl_styled(c, style, s->runbook);
	ctl_printf(c, ": ");
	ctl_text(c, s->what);
	ctl_printf(c, "  [");
	ctl_styled(c, s->recorded ? ctl_state_style(result_of(s)) : STYLE_CALM, result_of(s));
	ctl_printf(c, "]\n");
}

static void say_incident(struct ctl *c, const struct bt_incident *i)
{
	char at[TIME_TEXT_BYTES];
	const char *state = wire_enum_name(&healbus__incident_state__descriptor, (int)i->state);

	ctl_printf(c, "%s  ", time_format(i->opened_ms, at));
	ctl_styled(c, STYLE_BOLD, i->id);
	ctl_printf(c, "  ");
	ctl_text(c, i->title);
	ctl_printf(c, "  (");
	ctl_styled(c, ctl_state_style(state), state);
	ctl_printf(c, ")\n");
}

static void say_side(struct ctl *c, const char *mark, const struct bt_sayings *said)
{
	if (said->n == 0)
		ctl_printf(c, "  %s nothing\n", mark);
	for (size_t k = 0; k < said->n; k++)
		say_saying(c, mark, &said->items[k]);
}

/* One incident at a time, so that a long report does not lie in memory twice. */
static void say_all(struct ctl *c, const struct bt_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct bt_incident *one = &r->items[i];

		if (r->n_sides == 2 && bt_same(one))
			continue;
		say_incident(c, one);
		say_side(c, r->n_sides == 2 ? "-" : " ", &one->said[0]);
		if (r->n_sides == 2)
			say_side(c, "+", &one->said[1]);
		ctl_flush(c);
	}
}

/* ---- counting ---- */

struct counts {
	size_t plans, recorded, escalated, differ;
};

static struct counts count(const struct bt_report *r)
{
	struct counts n = {0};

	for (size_t i = 0; i < r->n; i++) {
		const struct bt_sayings *said = &r->items[i].said[0];

		n.differ += r->n_sides == 2 && !bt_same(&r->items[i]);
		for (size_t k = 0; k < said->n; k++) {
			n.plans += said->items[k].kind == BT_PLAN;
			n.recorded += said->items[k].recorded;
			n.escalated += said->items[k].kind == BT_ESCALATION;
		}
	}
	return n;
}

static void say_counts(struct ctl *c, const struct bt_report *r, const struct counts *n)
{
	ctl_printf(c, "%zu incidents, %zu plans (%zu as recorded), %zu times a human was needed\n",
		   r->n, n->plans, n->recorded, n->escalated);
	if (r->unmatched)
		ctl_printf(c,
			   "%" PRIu64 " recorded reports are about plans that were not made here: "
			   "left out\n",
			   r->unmatched);
	if (r->buried || r->bodies_refused)
		ctl_printf(c, "%" PRIu64 " messages could not be used\n",
			   r->buried + r->bodies_refused);
	if (r->n_sides == 2)
		ctl_printf(c, "%zu incidents differ\n", n->differ);
}

/* ---- for programs ---- */

static json_t *saying_json(const struct bt_saying *s)
{
	if (s->kind == BT_ESCALATION)
		return json_pack("{s:s,s:I,s:s}", "kind", "escalation", "at_ms",
				 (json_int_t)s->at_ms, "reason", s->reason);
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:s,s:s,s:s,s:b,s:s?}", "kind", "plan", "id", s->id,
			 "digest", s->digest, "at_ms", (json_int_t)s->at_ms, "attempt",
			 (json_int_t)s->attempt, "runbook", s->runbook, "what", s->what, "why",
			 s->reason, "recorded", s->recorded, "result", s->result);
}

static json_t *side_json(const struct bt_sayings *said)
{
	json_t *list = json_array();

	for (size_t k = 0; k < said->n; k++)
		json_array_append_new(list, saying_json(&said->items[k]));
	return list;
}

static json_t *incident_json(const struct bt_incident *i, size_t n_sides)
{
	json_t *out = json_pack(
		"{s:s,s:s,s:s,s:s,s:I,s:I,s:o}", "id", i->id, "title", i->title, "severity",
		wire_enum_name(&healbus__severity__descriptor, (int)i->severity), "state",
		wire_enum_name(&healbus__incident_state__descriptor, (int)i->state), "revision",
		(json_int_t)i->revision, "opened_at_ms", (json_int_t)i->opened_ms, "said",
		side_json(&i->said[0]));

	if (n_sides == 2)
		json_object_set_new(out, "against", side_json(&i->said[1]));
	return out;
}

static void print_json(struct ctl *c, const struct bt_report *r, const struct counts *n)
{
	json_t *list = json_array();
	uint64_t unusable = r->buried + r->bodies_refused;

	for (size_t i = 0; i < r->n; i++) {
		if (r->n_sides == 1 || !bt_same(&r->items[i]))
			json_array_append_new(list, incident_json(&r->items[i], r->n_sides));
	}
	auto_json *out = json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "incidents", list, "events",
				   (json_int_t)r->events, "plans", (json_int_t)n->plans, "recorded",
				   (json_int_t)n->recorded, "escalated", (json_int_t)n->escalated,
				   "unmatched", (json_int_t)r->unmatched, "unusable",
				   (json_int_t)unusable, "differ", (json_int_t)n->differ);
	ctl_as_json(c, out);
}

/* ---- the command ---- */

static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void say_speed(const struct bt_report *r, int64_t us)
{
	fprintf(stderr, "backtest: %" PRIu64 " events in %.3f s of CPU time: %.0f events/s\n",
		r->events, (double)us / 1e6, (double)r->events * 1e6 / (double)MAX(us, 1));
}

static int finish(struct ctl *c, struct bt_report *r)
{
	struct counts n = count(r);

	if (ctl_flag(c, "json")) {
		print_json(c, r, &n);
	} else {
		say_all(c, r);
		say_counts(c, r, &n);
	}
	ctl_flush(c);
	if (r->torn)
		return ctl_fail(EXIT_NO, "record that part again, if the bus still has it", "%s",
				r->torn_why.text);
	return n.differ ? EXIT_NO : EXIT_OK;
}

static int cmd_backtest(struct ctl *c)
{
	struct backtest_options o = {.file = c->args[0],
				     .config_dir = ctl_config_dir(c),
				     .from_raw = ctl_flag(c, "from-raw"),
				     .runbooks = {ctl_flag(c, "runbooks"), ctl_flag(c, "against")},
				     .n_sides = ctl_flag(c, "against") ? 2 : 1,
				     .write = ctl_flag(c, "write")};
	struct bt_report report = {0};
	struct why why = {0};
	int64_t began_us = cpu_us();
	const char *settle = ctl_flag(c, "settle");

	if (settle && duration_parse(settle, &o.settle_ms))
		return ctl_fail(EXIT_USAGE, "say for instance 90s or 10m", "--settle %s: no time",
				settle);
	int rc = backtest_run(&o, &report, &why);

	if (rc) {
		bt_report_release(&report);
		return ctl_fail(EXIT_NO,
				rc == ERR_CONFIG ? "repair it, or name other directories with -c "
						   "and --runbooks"
						 : "healctl help backtest",
				"%s", why.text[0] ? why.text : err_name(rc));
	}
	say_speed(&report, cpu_us() - began_us);
	rc = finish(c, &report);
	bt_report_release(&report);
	return rc;
}

static const char help_backtest[] =
	"Takes a recording (healbus-monitor record) through the monitor's and the "
	"reasoner's own logic, configured as in -c DIR, and says which plans would have "
	"been made for which incident. Needs no bus and no notifier; nothing runs. With "
	"--against the plans are made with two sets of runbooks, and only incidents that "
	"are answered differently are shown, the first set's answer with -, the other's "
	"with +; exit code 1 when there are any. A runbook of which only comments "
	"changed makes no difference.\n"
	"A plan that the recording has too, with the same steps, goes on as it did: its "
	"approval, steps and outcome are in the recording. Any other plan counts as only "
	"observed: nothing ran, no second attempt is made, and its incident goes on by "
	"the recorded alerts alone, which tell what happened after what was really done. "
	"Recorded reports on plans that are not made are left out and counted. Times are "
	"UTC. The same input gives the same output, byte for byte; events a second are "
	"told on standard error.";

const struct ctl_command command_backtest = {
	.name = "backtest",
	.args = "RECORDING",
	.summary = "what would have been planned, from a recording, without doing anything",
	.help = help_backtest,
	.run = cmd_backtest,
	CTL_ONE_OF(NAMES_FILE),
	.flags = {{"runbooks", 0, "DIR[,DIR]",
		   "Runbooks in place of those that reasoner.yaml names; those of the "
		   "second directory replace those of the first with the same name."},
		  {"against", 0, "DIR[,DIR]", "A second set, to compare with."},
		  {"from-raw", 0, NULL,
		   "Read the recorded raw bodies again, although the recording has the "
		   "events that were made of them."},
		  {"settle", 0, "TIME",
		   "Let time go on for so long after the last message, with nothing more "
		   "arriving: what waits then is told. Default: 0s."},
		  {"write", 0, "FILE",
		   "Also write what monitor and reasoner said into FILE, a recording."}},
};
