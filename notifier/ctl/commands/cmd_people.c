#include "notifier/ctl/ctl.h"

static void add_words(struct buf *out, const json_t *list)
{
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word)
	{
		const char *text = json_string_value(word);
		buf_printf(out, "%s%s", i ? ", " : "", text ? text : "");
	}
}

static void cell_words(struct ctl_table *t, const json_t *list, const char *none)
{
	auto_buf text = {0};

	add_words(&text, list);
	ctl_cell(t, STYLE_PLAIN, text.len ? buf_str(&text) : none);
}

static void say_rules(struct ctl *c, const json_t *rules)
{
	static const char *const heads[] = {"TOOLS", "TARGETS", "LEVELS", "YES FROM", "PEOPLE"};
	const json_t *r;
	struct ctl_table t;
	size_t i;

	if (json_array_size(rules) == 0)
		return;
	ctl_printf(c,
		   "\nWhose yes a plan needs; the first row that matches a step counts for it:\n");
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(rules, i, r)
	{
		cell_words(&t, json_object_get(r, "tools"), "all");
		cell_words(&t, json_object_get(r, "targets"), "all");
		cell_words(&t, json_object_get(r, "levels"), "all");
		ctl_cell(&t, STYLE_PLAIN, ji(r, "count") == 2 ? "2" : "1");
		cell_words(&t, json_object_get(r, "people"), "every approver");
	}
	ctl_table_end(&t);
}

static int cmd_people(struct ctl *c)
{
	static const char *const heads[] = {"NAME", "ROLES", "GROUPS", "KNOWN TO"};
	auto_json *j = NULL;
	const json_t *p;
	struct ctl_table t;
	size_t i;
	int rc = ctl_get(c, "/api/people", &j);

	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *people = json_object_get(j, "people");
	if (json_array_size(people) == 0) {
		ctl_printf(c, "Nobody is named in notifier.yaml: whoever holds a token of the API "
			      "may do everything.\n");
		return EXIT_OK;
	}
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(people, i, p)
	{
		ctl_cell(&t, STYLE_BOLD, js(p, "name"));
		cell_words(&t, json_object_get(p, "roles"), "-");
		cell_words(&t, json_object_get(p, "groups"), "-");
		cell_words(&t, json_object_get(p, "known_to"), "-");
	}
	ctl_table_end(&t);
	say_rules(c, json_object_get(j, "approvers"));
	return EXIT_OK;
}

static int cmd_info(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};

	buf_add_str(&path, "/api/info");
	ctl_segment(&path, c->args[0]);
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	ctl_text(c, js(j, "text"));
	return EXIT_OK;
}

static int cmd_feedback(struct ctl *c)
{
	auto_json *answer = NULL;
	const char *reason = ctl_flag(c, "reason"), *by = ctl_flag(c, "by");
	bool held = str_eq(c->args[1], "held");

	if (!held && !str_eq(c->args[1], "broken"))
		return ctl_fail(EXIT_USAGE, "healctl feedback INCIDENT held|broken",
				"%s: say held or broken", c->args[1]);
	json_t *body = json_pack("{s:s,s:b,s:s,s:s}", "incident", c->args[0], "held", held, "by",
				 by ? by : ctl_by(), "reason", reason ? reason : "");
	int rc = ctl_call(c, "POST", "/api/feedback", body, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_text(c, js(answer, "text"));
	ctl_printf(c, "\n");
	return EXIT_OK;
}

const struct ctl_command command_info = {
	.name = "info",
	.args = "APPROVAL",
	.summary = "all there is to know about a question before it is answered",
	.help = "The plan's own parameters, the diagnosis, a dry run if there was one, how "
		"it "
		"is taken back.",
	.run = cmd_info,
	CTL_ONE_OF(NAMES_APPROVAL),
};

const struct ctl_command command_feedback = {
	.name = "feedback",
	.args = "INCIDENT held|broken",
	.summary = "say whether a repair held",
	.help = "The first word about an incident counts for what is tried next time.",
	.run = cmd_feedback,
	.args_min = 2,
	.args_max = 2,
	.names = NAMES_INCIDENT,
	.flags = {CTL_REASON, CTL_BY},
};

const struct ctl_command command_people = {
	.name = "people",
	.args = "",
	.summary = "who may do what, and whose yes a plan needs",
	.help = "As notifier.yaml says under people and approvers.",
	.run = cmd_people,
};
