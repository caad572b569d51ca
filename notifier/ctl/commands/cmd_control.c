#include "notifier/ctl/ctl.h"

#include "common/mem.h"

static json_t *by_and_reason(struct ctl *c)
{
	const char *reason = ctl_flag(c, "reason");

	return json_pack("{s:s,s:s}", "by", ctl_by(), "reason", reason ? reason : "");
}

static int cmd_pause(struct ctl *c)
{
	auto_json *answer = NULL;
	int rc = ctl_call(c, "POST", "/api/pause", by_and_reason(c), &answer);

	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_styled(c, STYLE_BAD, "paused");
	ctl_printf(c, ": no new action starts anywhere. What runs already runs to its end.\n"
		      "Go on with: healctl resume\n");
	return EXIT_OK;
}

static int cmd_resume(struct ctl *c)
{
	auto_json *answer = NULL;
	int rc = ctl_call(c, "POST", "/api/resume", by_and_reason(c), &answer);

	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_styled(c, STYLE_GOOD, "resumed");
	ctl_printf(c, ": actions may start again, those that waited too.\n");
	return EXIT_OK;
}

static int cmd_ack(struct ctl *c)
{
	auto_json *answer = NULL;
	json_t *body = by_and_reason(c);
	char incident[WHEN_BYTES];

	json_object_set_new(body, "incident", json_string(c->args[0]));
	if (ctl_flag(c, "false-alarm"))
		json_object_set_new(body, "false_alarm", json_true());
	int rc = ctl_call(c, "POST", "/api/ack", body, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_styled(c, STYLE_GOOD, "taken");
	ctl_printf(c, " by ");
	ctl_text(c, js(answer, "by"));
	ctl_printf(c, ": no further plan is made for %s, and nobody is reminded of it.\n",
		   ctl_short_id(js(answer, "incident"), incident));
	return EXIT_OK;
}

/* ---- changes ---- */

static const char *undo_word(const json_t *change)
{
	if (*js(change, "undone_by"))
		return "undone";
	return json_is_true(json_object_get(change, "undoable")) ? "yes" : "no";
}

static void say_row(struct ctl_table *t, const json_t *change)
{
	char id[WHEN_BYTES], incident[WHEN_BYTES], when[WHEN_BYTES];
	auto_free char *what = mem_printf("%s(%s)  %s", js(change, "tool"), js(change, "target"),
					  js(change, "what"));

	ctl_cell(t, STYLE_PLAIN, ctl_short_id(js(change, "id"), id));
	ctl_cell(t, STYLE_PLAIN, ctl_clock(ji(change, "at_ms"), when));
	ctl_cell(t, STYLE_PLAIN, ctl_short_id(js(change, "incident"), incident));
	ctl_cell(t, STYLE_PLAIN, undo_word(change));
	ctl_cell(t, STYLE_PLAIN, what);
}

static int cmd_changes(struct ctl *c)
{
	static const char *const heads[] = {"CHANGE", "WHEN", "INCIDENT", "UNDO", "WHAT"};
	auto_json *j = NULL;
	auto_buf path = {0};
	struct ctl_table t;
	const json_t *change;
	size_t i;

	buf_add_str(&path, "/api/changes");
	if (ctl_flag(c, "limit"))
		ctl_query(&path, "limit", ctl_flag(c, "limit"));
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *list = json_object_get(j, "changes");
	if (json_array_size(list) == 0) {
		ctl_printf(c, "nothing was changed\n");
		return EXIT_OK;
	}
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, change)
	{
		say_row(&t, change);
	}
	ctl_table_end(&t);
	return EXIT_OK;
}

static int cmd_undo(struct ctl *c)
{
	auto_json *answer = NULL;
	json_t *body = by_and_reason(c);
	char incident[WHEN_BYTES];

	json_object_set_new(body, "change", json_string(c->args[0]));
	int rc = ctl_call(c, "POST", "/api/undo", body, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_printf(
		c,
		"asked for. It becomes a plan of its own, with the same policy and approvals.\n");
	if (*js(answer, "incident"))
		ctl_printf(c, "healctl story %s --follow shows what happens\n",
			   ctl_short_id(js(answer, "incident"), incident));
	return EXIT_OK;
}

static const char help_ack[] =
	"The machine makes no further plan for it, and nobody is reminded of it. What runs "
	"already goes on to its end; a question that waits can still be answered.";

const struct ctl_command command_ack = {
	.name = "ack",
	.args = "INCIDENT",
	.summary = "say that you look after an incident",
	.help = help_ack,
	.run = cmd_ack,
	CTL_ONE_OF(NAMES_INCIDENT),
	.flags = {CTL_REASON,
		  {"false-alarm", 0, NULL,
		   "There was nothing to repair; counts in the key figures."}},
};

static const char help_pause[] =
	"The kill switch. Returns when the bus has stored it; executors look at it right "
	"before each action. Alerts are still received and told.";

const struct ctl_command command_pause = {
	.name = "pause",
	.args = "",
	.summary = "no new action starts anywhere",
	.help = help_pause,
	.run = cmd_pause,
	.flags = {CTL_REASON},
};

const struct ctl_command command_resume = {
	.name = "resume",
	.args = "",
	.summary = "allow actions again",
	.help = "Plans that waited and are not too old go on.",
	.run = cmd_resume,
	.flags = {CTL_REASON},
};

const struct ctl_command command_changes = {
	.name = "changes",
	.args = "",
	.summary = "what was changed, and what can be undone",
	.help = "The newest first.",
	.run = cmd_changes,
	.flags = {CTL_LIMIT},
};

const struct ctl_command command_undo = {
	.name = "undo",
	.args = "CHANGE",
	.summary = "take a change back",
	.help = "Becomes a plan of its own, with the same policy, approvals and checks.",
	.run = cmd_undo,
	CTL_ONE_OF(NAMES_CHANGE),
	.flags = {CTL_REASON},
};
