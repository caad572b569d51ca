#include "notifier/ctl/ctl.h"

#include "common/clock.h"

static void say_row(struct ctl_table *t, const json_t *i)
{
	char id[WHEN_BYTES], ago[WHEN_BYTES];
	int64_t opened = ji(i, "opened_at_ms");

	ctl_cell(t, STYLE_PLAIN, ctl_short_id(js(i, "id"), id));
	ctl_cell(t, ctl_state_style(js(i, "state")), js(i, "state"));
	ctl_cell(t, ctl_state_style(js(i, "severity")), js(i, "severity"));
	ctl_cell(t, STYLE_PLAIN, ctl_ago(opened, ago));
	ctl_cell(t, STYLE_PLAIN, js(i, "title"));
}

static int say_table(struct ctl *c, const json_t *list)
{
	static const char *const heads[] = {"ID", "STATE", "SEVERITY", "OPENED", "WHAT"};
	struct ctl_table t;
	const json_t *incident;
	size_t i;

	if (json_array_size(list) == 0) {
		ctl_printf(c, "no incidents\n");
		return EXIT_OK;
	}
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, incident)
	{
		say_row(&t, incident);
	}
	ctl_table_end(&t);
	return EXIT_OK;
}

static int cmd_incidents(struct ctl *c)
{
	auto_json *j = NULL;
	auto_buf path = {0};

	if (ctl_flag(c, "search") && (ctl_flag(c, "all") || ctl_flag(c, "state")))
		return ctl_fail(EXIT_USAGE, "leave out --all and --state",
				"--search looks through all of them");

	buf_add_str(&path, ctl_flag(c, "search") ? "/api/search" : "/api/incidents");
	if (ctl_flag(c, "search"))
		ctl_query(&path, "q", ctl_flag(c, "search"));
	if (ctl_flag(c, "all"))
		ctl_query(&path, "all", "1");
	if (ctl_flag(c, "state"))
		ctl_query(&path, "state", ctl_flag(c, "state"));
	if (ctl_flag(c, "limit"))
		ctl_query(&path, "limit", ctl_flag(c, "limit"));
	int rc = ctl_get(c, buf_str(&path), &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	return say_table(c, json_object_get(j, "incidents"));
}

const struct ctl_command command_incidents = {
	.name = "incidents",
	.args = "",
	.summary = "list incidents, newest first",
	.help = "Ids are shown as prefixes; every command takes any prefix that names one "
		"thing only.",
	.run = cmd_incidents,
	.flags = {{"all", 0, NULL, "All of them, however old."},
		  {"state", 0, "STATE", "Only open, escalated, suppressed or resolved ones."},
		  {"search", 0, "WORDS",
		   "Those that hold all of these words, in any letter case: in titles, "
		   "labels, summaries."},
		  CTL_LIMIT},
};
