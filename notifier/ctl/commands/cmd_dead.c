#include "notifier/ctl/ctl.h"

static void say_row(struct ctl_table *t, const json_t *d)
{
	char seq[32], ago[WHEN_BYTES], bytes[32];

	snprintf(seq, sizeof(seq), "%" PRId64, ji(d, "seq"));
	snprintf(bytes, sizeof(bytes), "%" PRId64, ji(d, "bytes"));
	ctl_cell(t, STYLE_PLAIN, seq);
	ctl_cell(t, STYLE_PLAIN, ctl_ago(ji(d, "at_ms"), ago));
	ctl_cell(t, STYLE_PLAIN, js(d, "stage"));
	ctl_cell(t, STYLE_PLAIN, js(d, "subject"));
	ctl_cell(t, STYLE_PLAIN, bytes);
	ctl_cell(t, STYLE_PLAIN, js(d, "error"));
}

static int cmd_dead_ls(struct ctl *c)
{
	static const char *const heads[] = {"SEQ", "WHEN", "STAGE", "FROM", "BYTES", "ERROR"};
	auto_json *j = NULL;
	auto_buf path = {0};
	struct ctl_table t;
	const json_t *d;
	size_t i;

	buf_add_str(&path, "/api/dead");
	if (ctl_flag(c, "limit"))
		ctl_query(&path, "limit", ctl_flag(c, "limit"));
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *list = json_object_get(j, "dead");
	if (json_array_size(list) == 0) {
		ctl_printf(c, "no dead messages: everything that came could be read\n");
		return EXIT_OK;
	}
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, d)
	{
		say_row(&t, d);
	}
	ctl_table_end(&t);
	return EXIT_OK;
}

static int bad_seq(const char *text)
{
	if (*text && strspn(text, "0123456789") == strlen(text))
		return EXIT_OK;
	return ctl_fail(EXIT_USAGE, "healctl dead ls shows the numbers", "%s: not a number", text);
}

static int cmd_dead_show(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};
	char when[WHEN_BYTES];

	if (bad_seq(c->args[0]))
		return EXIT_USAGE;
	buf_add_str(&path, "/api/dead");
	ctl_segment(&path, c->args[0]);
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	ctl_printf(c, "from     ");
	ctl_text(c, js(j, "subject"));
	ctl_printf(c, "\nstage    ");
	ctl_text(c, js(j, "stage"));
	ctl_printf(c, "\nwhen     %s\nerror    ", ctl_clock(ji(j, "at_ms"), when));
	ctl_wrap(c, 9, 9, js(j, "error"));
	ctl_printf(c, "bytes    %" PRId64 "%s\n\n", ji(j, "bytes"),
		   str_eq(js(j, "encoding"), "hex") ? ", shown in hex" : "");
	ctl_text(c, js(j, "data"));
	ctl_printf(c, "\n");
	return EXIT_OK;
}

static int cmd_dead_requeue(struct ctl *c)
{
	auto_json *answer = NULL;
	auto_buf path = {0};

	if (bad_seq(c->args[0]))
		return EXIT_USAGE;
	buf_add_str(&path, "/api/dead");
	ctl_segment(&path, c->args[0]);
	buf_add_str(&path, "/requeue");
	int rc = ctl_call(c, "POST", buf_str(&path), json_pack("{s:s}", "by", ctl_by()), &answer);
	if (rc || ctl_as_json(c, answer))
		return rc;
	ctl_printf(c, "put back; if it still cannot be read, it comes back under a new number\n");
	return EXIT_OK;
}

const struct ctl_command command_dead_ls = {
	.name = "dead ls",
	.args = "",
	.summary = "list messages that could not be read",
	.help = "With the stage that refused it, and why.",
	.run = cmd_dead_ls,
	.flags = {CTL_LIMIT},
};

const struct ctl_command command_dead_show = {
	.name = "dead show",
	.args = "SEQ",
	.summary = "show one of them with its bytes",
	.help = "Text as text, other bytes in hex.",
	.run = cmd_dead_show,
	CTL_ONE_OF(NAMES_DEAD),
};

const struct ctl_command command_dead_requeue = {
	.name = "dead requeue",
	.args = "SEQ",
	.summary = "publish it again, after the cause is repaired",
	.help = "Only what came in from outside (raw.*).",
	.run = cmd_dead_requeue,
	CTL_ONE_OF(NAMES_DEAD),
};
