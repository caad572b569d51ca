#include "notifier/ctl/ctl.h"

#include "common/matcher.h"
#include "common/mem.h"

/* Checked here too, so that a mistake is named before anything is asked of the notifier. */
static int read_matchers(struct ctl *c, json_t *list)
{
	struct why why = {0};

	for (size_t i = 0; i < c->n_args; i++) {
		struct matchers m = {0};
		int rc = matchers_parse(c->args[i], &m, &why);

		matchers_release(&m);
		if (rc)
			return ctl_fail(EXIT_USAGE,
					"healctl silence add 'service=\"db\"' 'env=~\"dev.*\"'",
					"%s: %s", c->args[i], why.text);
		json_array_append_new(list, json_string(c->args[i]));
	}
	return EXIT_OK;
}

static int cmd_silence_add(struct ctl *c)
{
	auto_json *answer = NULL;
	json_t *list = json_array();
	const char *duration = ctl_flag(c, "duration"), *comment = ctl_flag(c, "comment");
	char when[WHEN_BYTES];

	int rc = read_matchers(c, list);
	if (rc) {
		json_decref(list);
		return rc;
	}
	json_t *body = json_pack("{s:o,s:s,s:s,s:s}", "matchers", list, "duration",
				 duration ? duration : "2h", "by", ctl_by(), "comment",
				 comment ? comment : "");
	rc = ctl_call(c, "POST", "/api/silences", body, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_printf(c, "silenced");
	if (ji(answer, "ends_at_ms"))
		ctl_printf(c, " until %s", ctl_clock(ji(answer, "ends_at_ms"), when));
	ctl_printf(c, "; end it with: healctl silence expire ");
	ctl_text(c, js(answer, "id"));
	ctl_printf(c, "\n");
	return EXIT_OK;
}

static char *matchers_text(const json_t *list)
{
	static const struct {
		const char *op, *sign;
	} signs[] = {{"equal", "="}, {"not_equal", "!="}, {"regex", "=~"}, {"not_regex", "!~"}};
	struct buf b = {0};
	const json_t *m;
	size_t i;

	buf_add_str(&b, "");
	json_array_foreach(list, i, m)
	{
		const char *sign = "?";

		for (size_t k = 0; k < ARRAY_SIZE(signs); k++)
			sign = str_eq(signs[k].op, js(m, "op")) ? signs[k].sign : sign;
		buf_printf(&b, "%s%s%s\"%s\"", i ? " " : "", js(m, "name"), sign, js(m, "value"));
	}
	return b.data ? buf_detach(&b) : mem_strdup("");
}

static void say_row(struct ctl_table *t, const json_t *s)
{
	char id[WHEN_BYTES], ends[WHEN_BYTES];
	auto_free char *matchers = matchers_text(json_object_get(s, "matchers"));

	ctl_cell(t, STYLE_PLAIN, ctl_short_id(js(s, "id"), id));
	ctl_cell(t, STYLE_PLAIN, ctl_ago(ji(s, "ends_at_ms"), ends));
	ctl_cell(t, STYLE_PLAIN, js(s, "created_by"));
	ctl_cell(t, STYLE_BOLD, matchers);
	ctl_cell(t, STYLE_PLAIN, js(s, "comment"));
}

static int cmd_silence_ls(struct ctl *c)
{
	static const char *const heads[] = {"ID", "ENDS", "BY", "SILENCES", "COMMENT"};
	auto_json *j = NULL;
	struct ctl_table t;
	const json_t *s;
	size_t i;
	int rc = ctl_get(c, ctl_flag(c, "all") ? "/api/silences?all=1" : "/api/silences", &j);

	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *list = json_object_get(j, "silences");
	if (json_array_size(list) == 0) {
		ctl_printf(c, "nothing is silenced\n");
		return EXIT_OK;
	}
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, s)
	{
		say_row(&t, s);
	}
	ctl_table_end(&t);
	return EXIT_OK;
}

static int cmd_silence_expire(struct ctl *c)
{
	auto_json *answer = NULL;
	auto_buf path = {0};

	buf_add_str(&path, "/api/silences");
	ctl_segment(&path, c->args[0]);
	ctl_query(&path, "by", ctl_by());
	int rc = ctl_call(c, "DELETE", buf_str(&path), NULL, &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_printf(c, "ended\n");
	return EXIT_OK;
}

const struct ctl_command command_silence_add = {
	.name = "silence add",
	.args = "MATCHER...",
	.summary = "mute incidents whose labels match",
	.help = "Matchers as Alertmanager writes them: service=\"db\", env=~\"dev.*\", "
		"team!=\"x\". All must match.",
	.run = cmd_silence_add,
	.args_min = 1,
	.args_max = CTL_ARGS_MAX,
	.flags = {{"duration", 'd', "TIME", "How long: 30m, 2h, 1d. Default: 2h."},
		  {"comment", 0, "TEXT", "Why."}},
};

const struct ctl_command command_silence_ls = {
	.name = "silence ls",
	.args = "",
	.summary = "list silences",
	.help = "Those that are over are shown with --all.",
	.run = cmd_silence_ls,
	.flags = {{"all", 0, NULL, "Also those that are over."}},
};

const struct ctl_command command_silence_expire = {
	.name = "silence expire",
	.args = "SILENCE",
	.summary = "end a silence now",
	.help = "Incidents it muted open again when they still fire.",
	.run = cmd_silence_expire,
	CTL_ONE_OF(NAMES_SILENCE),
};
