#include "notifier/ctl/ctl.h"

#include "common/topic.h"

static void row(struct ctl *c, const char *name)
{
	ctl_styled(c, STYLE_DIM, name);
	ctl_printf(c, "%*s", (int)(12 - strlen(name)), "");
}

static void say_paused(struct ctl *c, const json_t *paused)
{
	char ago[WHEN_BYTES];
	bool on = json_is_true(json_object_get(paused, "on"));

	row(c, "actions");
	if (!on) {
		ctl_styled(c, STYLE_GOOD, "allowed");
		ctl_printf(c, "\n");
		return;
	}
	ctl_styled(c, STYLE_BAD, "PAUSED");
	ctl_printf(c, " by ");
	ctl_text(c, js(paused, "by"));
	ctl_printf(c, ", %s", ctl_ago(ji(paused, "at_ms"), ago));
	if (*js(paused, "reason")) {
		ctl_printf(c, ": ");
		ctl_text(c, js(paused, "reason"));
	}
	ctl_printf(c, "\n            no new action starts; go on with: healctl resume\n");
}

static void say_bus(struct ctl *c, const json_t *bus)
{
	bool connected = json_is_true(json_object_get(bus, "connected"));

	row(c, "bus");
	ctl_styled(c, connected ? STYLE_GOOD : STYLE_BAD,
		   connected ? "connected" : "NOT CONNECTED");
	if (connected)
		ctl_printf(c, ", nats-server ");
	ctl_text(c, js(bus, "version"));
	ctl_printf(c, "\n");
}

static void say_count(struct ctl *c, const json_t *counts, const char *state, const char *separator)
{
	int64_t n = ji(counts, state);
	char text[64];

	snprintf(text, sizeof(text), "%" PRId64 " %s", n, state);
	ctl_styled(c, n ? ctl_state_style(state) : STYLE_PLAIN, text);
	ctl_printf(c, "%s", separator);
}

static void say_executors(struct ctl *c, const json_t *executors)
{
	size_t i;
	const json_t *e;
	char ago[WHEN_BYTES];

	if (json_array_size(executors) == 0) {
		row(c, "executors");
		ctl_styled(c, STYLE_WARN, "none has said what it can do");
		ctl_printf(c, "; is healbus-executor running?\n");
	}
	json_array_foreach(executors, i, e)
	{
		row(c, i ? "" : "executors");
		ctl_text(c, js(e, "executor"));
		ctl_printf(c, ", %" PRId64 " tools, loaded %s\n", ji(e, "tools"),
			   ctl_ago(ji(e, "at_ms"), ago));
	}
}

static int cmd_status(struct ctl *c)
{
	auto_json *j = NULL;
	int rc = ctl_get(c, "/api/status", &j);

	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *counts = json_object_get(j, "incidents"), *lag = json_object_get(j, "lag");
	row(c, "incidents");
	say_count(c, counts, "open", ", ");
	say_count(c, counts, "escalated", ", ");
	say_count(c, counts, "suppressed", ", ");
	say_count(c, counts, "resolved", "\n");
	row(c, "approvals");
	int64_t pending = ji(j, "approvals_pending");
	if (pending)
		ctl_printf(c, "%" PRId64 " waiting for an answer: healctl approvals\n", pending);
	else
		ctl_printf(c, "none waiting\n");
	if (ji(j, "undelivered")) {
		char text[64];
		row(c, "notices");
		snprintf(text, sizeof(text), "%" PRId64 " not delivered", ji(j, "undelivered"));
		ctl_styled(c, STYLE_BAD, text);
		ctl_printf(c, ": healctl undelivered\n");
	}
	say_paused(c, json_object_get(j, "paused"));
	say_bus(c, json_object_get(j, "bus"));
	if (json_object_get(lag, "behind")) {
		row(c, "lag");
		ctl_printf(c, "%" PRId64 " messages\n", ji(lag, "behind"));
	}
	say_executors(c, json_object_get(j, "executors"));
	return EXIT_OK;
}

static int cmd_tools(struct ctl *c)
{
	static const char *const heads[] = {"TOOL", "LEVEL",      "RUNNER",
					    "UNDO", "PARAMETERS", "WHAT"};
	auto_json *j = NULL;
	const json_t *tool, *param;
	size_t i, k;
	struct ctl_table t;
	int rc = ctl_get(c, "/api/tools", &j);

	if (rc || ctl_as_json(c, j))
		return rc;
	const json_t *tools = json_object_get(j, "tools");
	if (json_array_size(tools) == 0)
		return ctl_fail(EXIT_NO,
				"start healbus-executor; it says what it can do when it starts",
				"no executor has published its tools");
	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(tools, i, tool)
	{
		auto_buf params = {0};

		json_array_foreach(json_object_get(tool, "params"), k, param)
		{
			buf_printf(&params, "%s%s", k ? " " : "",
				   json_is_string(param) ? json_string_value(param) : "?");
		}
		ctl_cell(&t, STYLE_BOLD, js(tool, "name"));
		ctl_cell(&t, ctl_state_style(js(tool, "level")), js(tool, "level"));
		ctl_cell(&t, STYLE_PLAIN, js(tool, "runner"));
		ctl_cell(&t, STYLE_PLAIN,
			 json_is_true(json_object_get(tool, "can_undo")) ? "yes" : "no");
		ctl_cell(&t, STYLE_PLAIN, buf_str(&params));
		ctl_cell(&t, STYLE_PLAIN, js(tool, "summary"));
	}
	ctl_table_end(&t);
	return EXIT_OK;
}

static int cmd_topics(struct ctl *c)
{
	if (ctl_flag(c, "nats-users"))
		topic_print_nats_users(&c->out);
	else
		topic_print(&c->out);
	return EXIT_OK;
}

const struct ctl_command command_status = {
	.name = "status",
	.args = "",
	.summary = "one look at everything: incidents, approvals, pause, bus, executors",
	.help = "Says how many incidents there are in each state, how many approvals wait "
		"for "
		"an answer, whether actions are paused, and what is connected.",
	.run = cmd_status,
};

const struct ctl_command command_tools = {
	.name = "tools",
	.args = "",
	.summary = "what the executors can do",
	.help = "Level none only reads, soft can be undone, hard interrupts or destroys.",
	.run = cmd_tools,
};

const struct ctl_command command_topics = {
	.name = "topics",
	.args = "",
	.summary = "print the contract: streams, subjects, consumers, who may what",
	.help = "Needs neither the notifier nor the bus.",
	.run = cmd_topics,
	.flags = {{"nats-users", 0, NULL,
		   "As an accounts block for nats-server, with one user a stage and its "
		   "allow-list."}},
};
