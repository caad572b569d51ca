#include "notifier/ctl/ctl.h"

#include "common/mem.h"

/* ---- showing ---- */

static void line(struct ctl *c, const char *name, enum ctl_style style, const char *text)
{
	if (!*text)
		return;
	ctl_styled(c, STYLE_DIM, name);
	ctl_printf(c, "%*s", (int)(12 - strlen(name)), "");
	if (style == STYLE_PLAIN) {
		ctl_wrap(c, 12, 12, text);
		return;
	}
	ctl_styled(c, style, text);
	ctl_printf(c, "\n");
}

static void say_call(struct ctl *c, const char *what, const json_t *call)
{
	if (!call)
		return;
	auto_free char *text = ctl_step_text(call);
	size_t column = 15 + strlen(what);

	ctl_printf(c, "%15s%s", "", what);
	ctl_wrap(c, column, column, text);
}

static void say_steps(struct ctl *c, const json_t *plan)
{
	size_t i;
	const json_t *step;

	json_array_foreach(json_object_get(plan, "steps"), i, step)
	{
		auto_free char *text = ctl_step_text(step);

		ctl_styled(c, STYLE_DIM, i ? "            " : "steps       ");
		ctl_printf(c, "%zu. ", i + 1);
		ctl_wrap(c, 15, 15, text);
		say_call(c, "then check ", json_object_get(step, "verify"));
		say_call(c, "undo with ", json_object_get(step, "rollback"));
		if (!json_object_get(step, "rollback"))
			ctl_printf(c, "%15scannot be undone\n", "");
	}
	if (json_object_get(plan, "verify")) {
		auto_free char *text = ctl_step_text(json_object_get(plan, "verify"));

		line(c, "at the end", STYLE_PLAIN, text);
	}
}

static void say_list(struct ctl *c, const char *name, const json_t *list)
{
	size_t i;
	const json_t *item;

	json_array_foreach(list, i, item)
	{
		if (json_is_string(item))
			line(c, i ? "" : name, STYLE_PLAIN, json_string_value(item));
	}
}

static void say_approval(struct ctl *c, const json_t *approval)
{
	char when[WHEN_BYTES], ago[WHEN_BYTES];
	int64_t deadline = ji(approval, "deadline_ms");

	if (!approval)
		return;
	auto_free char *until =
		mem_printf("%s (%s)", ctl_clock(deadline, when), ctl_ago(deadline, ago));
	say_list(c, "asks because", json_object_get(approval, "reasons"));
	say_list(c, "will run", json_object_get(approval, "rendered"));
	say_list(c, "undo", json_object_get(approval, "rollback"));
	line(c, "answer by", STYLE_PLAIN, until);
}

static void say_decision(struct ctl *c, const json_t *decision)
{
	char when[WHEN_BYTES];

	if (!decision)
		return;
	auto_free char *text =
		mem_printf("%s by %s at %s%s%s", js(decision, "verdict"), js(decision, "by"),
			   ctl_clock(ji(decision, "at_ms"), when),
			   *js(decision, "reason") ? ": " : "", js(decision, "reason"));
	line(c, "decision", STYLE_PLAIN, text);
}

static void say_plan(struct ctl *c, const json_t *j)
{
	const json_t *plan = json_object_get(j, "plan"), *outcome = json_object_get(j, "outcome");
	char when[WHEN_BYTES];

	auto_free char *attempt = mem_printf("%" PRId64 " of %" PRId64, ji(plan, "attempt"),
					     ji(plan, "max_attempts"));
	auto_free char *from = mem_printf("%s %s", js(plan, "provenance"), js(plan, "runbook"));
	line(c, "plan", STYLE_BOLD, js(plan, "id"));
	line(c, "incident", STYLE_PLAIN, js(plan, "incident"));
	line(c, "state", ctl_state_style(js(j, "state")), js(j, "state"));
	line(c, "from", STYLE_PLAIN, from);
	line(c, "attempt", STYLE_PLAIN, attempt);
	line(c, "why", STYLE_PLAIN, js(plan, "why"));
	say_steps(c, plan);
	line(c, "not after", STYLE_PLAIN, ctl_clock(ji(plan, "not_after_ms"), when));
	line(c, "digest", STYLE_PLAIN, js(j, "digest"));
	say_approval(c, json_object_get(j, "approval"));
	say_decision(c, json_object_get(j, "decision"));
	if (outcome) {
		line(c, "outcome", ctl_state_style(js(outcome, "verdict")), js(outcome, "verdict"));
		line(c, "because", STYLE_PLAIN, js(outcome, "reason"));
	}
	if (str_eq(js(j, "state"), "pending"))
		ctl_printf(c, "\nhealctl approve %.12s   or   healctl deny %.12s\n", c->args[0],
			   c->args[0]);
}

static int rehearse(struct ctl *c, const json_t *plan)
{
	auto_json *answer = NULL;
	char id[WHEN_BYTES];
	json_t *body = json_pack("{s:s,s:s}", "plan", js(plan, "id"), "by", ctl_by());
	int rc = ctl_call(c, "POST", "/api/rehearse", body, &answer);

	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_printf(c,
		   "rehearsing; nothing is changed. What would be done appears in:\n"
		   "  healctl story %s --follow\n",
		   ctl_short_id(js(plan, "incident"), id));
	return EXIT_OK;
}

static int cmd_plan(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};

	buf_add_str(&path, "/api/plans");
	ctl_segment(&path, c->args[0]);
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc)
		return rc;
	if (ctl_flag(c, "dry-run"))
		return rehearse(c, json_object_get(j, "plan"));
	if (!ctl_as_json(c, j))
		say_plan(c, j);
	return EXIT_OK;
}

/* ---- approvals ---- */

static void say_request(struct ctl *c, const json_t *a)
{
	char id[WHEN_BYTES], incident[WHEN_BYTES];

	ctl_styled(c, STYLE_BOLD, ctl_short_id(js(a, "id"), id));
	ctl_printf(c, "  ");
	ctl_styled(c, ctl_state_style(js(a, "level")), js(a, "level"));
	ctl_printf(c, "  ");
	ctl_wrap(c, 16, 12, js(a, "title"));
	say_approval(c, a);
	line(c, "incident", STYLE_PLAIN, ctl_short_id(js(a, "incident"), incident));
	ctl_printf(c, "            healctl approve %s   or   healctl deny %s\n", id, id);
}

static int cmd_approvals(struct ctl *c)
{
	auto_json *j = NULL;
	const json_t *a;
	size_t i;
	int rc = ctl_get(c, "/api/approvals", &j);

	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *list = json_object_get(j, "approvals");
	if (json_array_size(list) == 0)
		ctl_printf(c, "nothing waits for an answer\n");
	json_array_foreach(list, i, a)
	{
		if (i)
			ctl_printf(c, "\n");
		say_request(c, a);
	}
	return EXIT_OK;
}

/* ---- deciding ---- */

static bool names(const json_t *approval, const char *prefix)
{
	return str_starts(js(approval, "id"), prefix) ||
	       str_starts(js(approval, "plan_id"), prefix) ||
	       str_starts(js(approval, "incident"), prefix);
}

/* The one waiting approval that the word names: by its own id, its plan's or its incident's. NULL
 * and EXIT_OK when none waits. */
static int find_waiting(struct ctl *c, const json_t *list, const json_t **out)
{
	size_t i;
	const json_t *a;

	*out = NULL;
	json_array_foreach(list, i, a)
	{
		if (!names(a, c->args[0]))
			continue;
		if (*out)
			return ctl_fail(EXIT_NO,
					"healctl approvals shows the ids; give more of one",
					"%s names more than one waiting approval", c->args[0]);
		*out = a;
	}
	return EXIT_OK;
}

static int post_decision(struct ctl *c, const char *key, const char *id, const char *verdict,
			 json_t **out)
{
	const char *reason = ctl_flag(c, "reason"), *by = ctl_flag(c, "by");
	json_t *body = json_pack("{s:s,s:s,s:s,s:s}", key, id, "verdict", verdict, "by",
				 by ? by : ctl_by(), "reason", reason ? reason : "");

	return ctl_try(c, "POST", "/api/decisions", body, out);
}

/* Nothing waits under that name; the notifier knows what became of it. */
static int decide_unlisted(struct ctl *c, const char *verdict, json_t **out)
{
	static const char *const keys[] = {"approval", "plan", "incident"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		int rc = post_decision(c, keys[i], c->args[0], verdict, out);

		if (rc != CTL_NOT_FOUND)
			return rc;
	}
	return ctl_fail(EXIT_NO, "healctl approvals shows what waits",
			"%s: nothing waits for an answer under this id", c->args[0]);
}

static int decide(struct ctl *c, const char *verdict)
{
	auto_json *j = NULL, *answer = NULL;
	const json_t *waiting;
	char id[WHEN_BYTES];
	int rc = ctl_get(c, "/api/approvals", &j);

	if (!rc)
		rc = find_waiting(c, json_object_get(j, "approvals"), &waiting);
	if (rc)
		return rc;
	if (!waiting)
		rc = decide_unlisted(c, verdict, &answer);
	else
		rc = post_decision(c, "approval", js(waiting, "id"), verdict, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	const json_t *decision = json_object_get(answer, "decision");
	if (!decision) { /* a vote, and one is not enough */
		ctl_text(c, js(answer, "text"));
		ctl_printf(c, "\n");
		return EXIT_OK;
	}
	ctl_styled(c, ctl_state_style(verdict), str_eq(verdict, "approve") ? "approved" : "denied");
	ctl_printf(c, " by ");
	ctl_text(c, js(decision, "by"));
	ctl_printf(c, "\n");
	say_list(c, "runs now",
		 str_eq(verdict, "approve") && waiting ? json_object_get(waiting, "rendered")
						       : NULL);
	ctl_printf(c, "healctl story %s --follow shows what happens\n",
		   ctl_short_id(js(decision, "incident"), id));
	return EXIT_OK;
}

static int cmd_approve(struct ctl *c)
{
	return decide(c, "approve");
}

static int cmd_deny(struct ctl *c)
{
	return decide(c, "deny");
}

static const char help_plan[] =
	"For an incident its last plan is shown. With --dry-run the executor goes through "
	"the plan and says in the story what it would do; nothing is changed.";

const struct ctl_command command_plan = {
	.name = "plan",
	.args = "PLAN|INCIDENT",
	.summary = "show a plan: steps, why, approval, outcome",
	.help = help_plan,
	.run = cmd_plan,
	CTL_ONE_OF(NAMES_PLAN),
	.flags = {{"dry-run", 0, NULL, "Rehearse it; nothing is changed."}},
};

const struct ctl_command command_approvals = {
	.name = "approvals",
	.args = "",
	.summary = "what waits for an answer, with the exact commands that would run",
	.help = "No answer until the deadline means no.",
	.run = cmd_approvals,
};

const struct ctl_command command_approve = {
	.name = "approve",
	.args = "APPROVAL|PLAN|INCIDENT",
	.summary = "let a plan run",
	.help = "The answer is bound to the plan's exact bytes. The first answer wins; a "
		"second "
		"one is told who decided.",
	.run = cmd_approve,
	CTL_ONE_OF(NAMES_APPROVAL),
	.flags = {CTL_REASON, CTL_BY},
};

const struct ctl_command command_deny = {
	.name = "deny",
	.args = "APPROVAL|PLAN|INCIDENT",
	.summary = "do not let a plan run",
	.help = "The incident is escalated: the machine does not try something else.",
	.run = cmd_deny,
	CTL_ONE_OF(NAMES_APPROVAL),
	.flags = {CTL_REASON, CTL_BY},
};
