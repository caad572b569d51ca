#include "notifier/ctl/ctl.h"

#include "common/clock.h"

static void say_shifts(struct ctl *c, const json_t *rotations, const char *only)
{
	static const char *const heads[] = {"ROTATION", "ON CALL", "FROM", "UNTIL"};
	const json_t *rotation, *shift;
	size_t i, k;
	struct ctl_table t;
	char when[WHEN_BYTES];
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(rotations, i, rotation)
	{
		if (only && !str_eq(only, js(rotation, "name")))
			continue;
		json_array_foreach(json_object_get(rotation, "shifts"), k, shift)
		{
			ctl_cell(&t, STYLE_BOLD, k ? "" : js(rotation, "name"));
			auto_buf who = {0};
			buf_add_str(&who, js(shift, "person"));
			if (*js(shift, "override_by"))
				buf_printf(&who, " (put there by %s)", js(shift, "override_by"));
			ctl_cell(&t, k ? STYLE_PLAIN : STYLE_GOOD, buf_str(&who));
			ctl_cell(&t, STYLE_DIM, k ? ctl_clock(ji(shift, "from_ms"), when) : "now");
			ctl_cell(&t, STYLE_PLAIN, ctl_clock(ji(shift, "until_ms"), when));
		}
	}
	ctl_table_end(&t);
}

static void say_targets(const json_t *to, struct buf *out)
{
	const json_t *name;
	size_t i;
	json_array_foreach(to, i, name)
	{
		buf_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
	}
}

static void say_policies(struct ctl *c, const json_t *policies)
{
	static const char *const heads[] = {"POLICY", "AFTER", "WHAT", "TO"};
	const json_t *policy, *call;
	size_t i, k;
	struct ctl_table t;
	char after[DURATION_TEXT_BYTES];
	if (!json_array_size(policies))
		return;
	ctl_printf(c, "\n");
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(policies, i, policy)
	{
		json_array_foreach(json_object_get(policy, "calls"), k, call)
		{
			auto_buf to = {0};
			say_targets(json_object_get(call, "to"), &to);
			ctl_cell(&t, STYLE_BOLD, k ? "" : js(policy, "name"));
			ctl_cell(&t, STYLE_PLAIN, duration_format(ji(call, "after_ms"), after));
			ctl_cell(&t, STYLE_DIM, js(call, "kind"));
			ctl_cell(&t, STYLE_PLAIN, buf_str(&to));
		}
	}
	ctl_table_end(&t);
}

static bool is_there(const json_t *rotations, const char *name)
{
	const json_t *rotation;
	size_t i;
	json_array_foreach(rotations, i, rotation)
	{
		if (str_eq(name, js(rotation, "name")))
			return true;
	}
	return false;
}

static int cmd_oncall(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};
	const char *only = c->n_args ? c->args[0] : NULL;
	buf_add_str(&path, "/api/oncall");
	if (ctl_flag(c, "shifts"))
		ctl_query(&path, "shifts", ctl_flag(c, "shifts"));
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *rotations = json_object_get(j, "oncall");
	if (only && !is_there(rotations, only))
		return ctl_fail(EXIT_NO, "healctl oncall lists them", "no rotation is called %s",
				only);
	if (!json_array_size(rotations))
		ctl_printf(c, "No rotation: see oncall in notifier.yaml.\n");
	else
		say_shifts(c, rotations, only);
	if (!only)
		say_policies(c, json_object_get(j, "escalations"));
	return EXIT_OK;
}

static int cmd_oncall_override(struct ctl *c)
{
	auto_json *answer = NULL;
	char until[WHEN_BYTES];
	const char *from = ctl_flag(c, "from"), *end = ctl_flag(c, "until");
	const char *length = ctl_flag(c, "for"), *reason = ctl_flag(c, "reason");
	if (end && length)
		return ctl_fail(EXIT_USAGE, "healctl help oncall override",
				"give either --for or --until");
	json_t *body =
		json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "rotation", c->args[0], "person",
			  c->args[1], "from", from ? from : "", "until", end ? end : "", "duration",
			  end      ? ""
			  : length ? length
				   : "12h",
			  "reason", reason ? reason : "", "by", ctl_by());
	int rc = ctl_call(c, "POST", "/api/oncall", body, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_text(c, js(answer, "person"));
	ctl_printf(c, " is on call for ");
	ctl_text(c, js(answer, "rotation"));
	ctl_printf(c, " until %s\n", ctl_clock(ji(answer, "until_ms"), until));
	return EXIT_OK;
}

static int cmd_oncall_clear(struct ctl *c)
{
	auto_json *answer = NULL;
	auto_buf path = {0};
	buf_add_str(&path, "/api/oncall");
	ctl_segment(&path, c->args[0]);
	ctl_query(&path, "by", ctl_by());
	int rc = ctl_call(c, "DELETE", buf_str(&path), NULL, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_text(c, js(answer, "rotation"));
	ctl_printf(c, " is again as notifier.yaml says\n");
	return EXIT_OK;
}

const struct ctl_command command_oncall = {
	.name = "oncall",
	.args = "[ROTATION]",
	.summary = "who is on call, until when, and who is called when nobody answers",
	.help = "As notifier.yaml says under oncall and escalations. Times are local.",
	.run = cmd_oncall,
	.args_max = 1,
	.flags = {{"shifts", 0, "N", "So many shifts of each. Default: 4."}},
};

static const char help_override[] =
	"Said on the bus: every notifier knows it. Of overrides that overlap the one that "
	"was said last holds.";

const struct ctl_command command_oncall_override = {
	.name = "oncall override",
	.args = "ROTATION PERSON",
	.summary = "put somebody else on call for a while",
	.help = help_override,
	.run = cmd_oncall_override,
	.args_min = 2,
	.args_max = 2,
	.flags = {{"for", 0, "TIME", "How long: 8h, 2d. Default: 12h."},
		  {"from", 0, "WHEN", "From then on: 2026-12-24T09:00:00Z. Default: now."},
		  {"until", 0, "WHEN", "Until then, in place of --for."},
		  CTL_REASON},
};

const struct ctl_command command_oncall_clear = {
	.name = "oncall clear",
	.args = "ROTATION",
	.summary = "end what was changed about a rotation",
	.help = "Whom notifier.yaml says is on call again, from now on.",
	.run = cmd_oncall_clear,
	.args_min = 1,
	.args_max = 1,
};
