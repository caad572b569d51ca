#include "notifier/ctl/ctl.h"

static void say_channels(struct ctl *c, const json_t *channels)
{
	const json_t *channel;
	size_t i;
	char ago[WHEN_BYTES];
	json_array_foreach(channels, i, channel)
	{
		if (json_is_true(json_object_get(channel, "up")))
			continue;
		ctl_styled(c, STYLE_BAD, js(channel, "name"));
		ctl_printf(c, " takes nothing, since %s (%" PRId64 " times): ",
			   ctl_ago(ji(channel, "failing_ms"), ago), ji(channel, "failures"));
		ctl_text(c, js(channel, "error"));
		ctl_printf(c, "\n");
	}
}

static void say_names(const json_t *names, struct buf *out)
{
	const json_t *name;
	size_t i;
	json_array_foreach(names, i, name)
	{
		buf_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
	}
}

static void say_row(struct ctl_table *t, const json_t *n)
{
	char id[WHEN_BYTES], ago[WHEN_BYTES];
	auto_buf channels = {0};
	say_names(json_object_get(n, "channels"), &channels);
	ctl_cell(t, STYLE_PLAIN, ctl_ago(ji(n, "since_ms"), ago));
	ctl_cell(t, ctl_state_style(js(n, "state")), js(n, "state"));
	ctl_cell(t, STYLE_PLAIN, buf_str(&channels));
	ctl_cell(t, STYLE_PLAIN, js(n, "kind"));
	ctl_cell(t, STYLE_DIM, ctl_short_id(js(n, "incident"), id));
	ctl_cell(t, STYLE_PLAIN, js(n, "subject"));
}

static int cmd_undelivered(struct ctl *c)
{
	static const char *const heads[] = {"SINCE", "STATE",    "CHANNEL",
					    "KIND",  "INCIDENT", "SUBJECT"};
	auto_json *j = NULL;
	auto_buf path = {0};
	struct ctl_table t;
	const json_t *n;
	size_t i;
	buf_add_str(&path, "/api/undelivered");
	if (ctl_flag(c, "limit"))
		ctl_query(&path, "limit", ctl_flag(c, "limit"));
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	say_channels(c, json_object_get(j, "channels"));
	const json_t *list = json_object_get(j, "undelivered");
	if (json_array_size(list) == 0) {
		ctl_printf(c, "Everything that was to be told was told.\n");
		return EXIT_OK;
	}
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, n)
	{
		say_row(&t, n);
	}
	ctl_table_end(&t);
	return EXIT_OK;
}

static const char help_undelivered[] =
	"Queued notices are under way; what every channel of its receiver failed to take is "
	"said anew by itself, until one takes it.";

const struct ctl_command command_undelivered = {
	.name = "undelivered",
	.args = "",
	.summary = "what nobody has been told yet, and which channels take nothing",
	.help = help_undelivered,
	.run = cmd_undelivered,
	.flags = {CTL_LIMIT},
};
