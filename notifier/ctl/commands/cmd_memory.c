#include "notifier/ctl/ctl.h"

#include "common/id.h"
#include "common/mem.h"

/* Memory is the reasoner's, and so is the API that knows it. */
static void ask_reasoner(struct ctl *c)
{
	const char *url = ctl_flag(c, "reasoner");

	if (!url)
		url = getenv("HEALBUS_REASONER_URL");
	c->base = url && *url ? url : "http://127.0.0.1:9096";
}

static double real(const json_t *j, const char *name)
{
	return json_number_value(json_object_get(j, name));
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static void similarity_cell(struct ctl_table *t, const json_t *m)
{
	char text[16] = "";

	if (json_object_get(m, "similarity"))
		snprintf(text, sizeof(text), "%.2f", real(m, "similarity"));
	ctl_cell(t, STYLE_PLAIN, text);
}

static void say_list(struct ctl *c, const json_t *list)
{
	static const char *const heads[] = {"WHEN", "INCIDENT", "ALIKE", "FAILURE", "END", "WHAT"};
	const json_t *m;
	size_t i;
	struct ctl_table t;
	char when[WHEN_BYTES], id[WHEN_BYTES];

	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, m)
	{
		bool healed = json_is_true(json_object_get(m, "healed"));

		ctl_cell(&t, STYLE_DIM, ji(m, "at_ms") ? ctl_clock(ji(m, "at_ms"), when) : "-");
		ctl_cell(&t, STYLE_PLAIN, ctl_short_id(js(m, "incident"), id));
		similarity_cell(&t, m);
		ctl_cell(&t, STYLE_PLAIN, or_dash(js(m, "failure_type")));
		ctl_cell(&t, healed ? STYLE_GOOD : STYLE_BAD, healed ? "healed" : "not healed");
		ctl_cell(&t, STYLE_PLAIN, js(m, "what"));
	}
	ctl_table_end(&t);
}

static void say_missing(struct ctl *c, const json_t *missing)
{
	const json_t *line;
	size_t i;

	json_array_foreach(missing, i, line)
	{
		ctl_text(c, json_string_value(line));
		ctl_printf(c, "\n");
	}
}

static int one_memory(struct ctl *c)
{
	auto_json *j = NULL;
	const json_t *a;
	size_t i;

	if (!token_valid(c->args[0]))
		return ctl_fail(EXIT_USAGE, "healctl memory", "%s: not an incident's id",
				c->args[0]);
	auto_free char *path = mem_printf("/memory/%s", c->args[0]);
	int rc = ctl_get(c, path, &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	ctl_text(c, js(j, "title"));
	ctl_printf(c, "\n%s after %" PRId64 " s: ",
		   json_is_true(json_object_get(j, "healed")) ? "healed" : "not healed",
		   ji(j, "took_ms") / 1000);
	ctl_text(c, js(j, "what"));
	json_array_foreach(json_object_get(j, "tried"), i, a)
	{
		ctl_printf(c, "\n%s: ", js(a, "verdict"));
		ctl_text(c, js(a, "what"));
		ctl_printf(c, "%s", *js(a, "reason") ? ": " : "");
		ctl_text(c, js(a, "reason"));
	}
	ctl_printf(c, "\n\n");
	ctl_text(c, js(j, "signature"));
	return EXIT_OK;
}

static char *list_path(const struct ctl *c)
{
	const char *like = ctl_flag(c, "like"), *limit = ctl_flag(c, "limit");
	auto_buf path = {0};

	buf_add_str(&path, "/memory");
	if (like)
		ctl_query(&path, "like", like);
	if (limit)
		ctl_query(&path, "k", limit);
	if (ctl_flag(c, "others"))
		ctl_query(&path, "others", "1");
	return buf_detach(&path);
}

static int cmd_memory(struct ctl *c)
{
	auto_json *j = NULL;

	ask_reasoner(c);
	if (c->n_args)
		return one_memory(c);
	auto_free char *path = list_path(c);
	int rc = ctl_get(c, path, &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	if (json_array_size(json_object_get(j, "memories")))
		say_list(c, json_object_get(j, "memories"));
	ctl_printf(c, "%" PRId64 " incidents are remembered\n", ji(j, "count"));
	say_missing(c, json_object_get(j, "missing"));
	return EXIT_OK;
}

static void say_rates(struct ctl *c, const json_t *list)
{
	static const char *const heads[] = {"FAILURE", "SPECIALIST", "TOOL",
					    "HEALED",  "RATE",       "AT LEAST"};
	const json_t *r;
	size_t i;
	struct ctl_table t;
	char text[48];

	ctl_table_begin(&t, c, ARRAY_SIZE(heads), heads);
	json_array_foreach(list, i, r)
	{
		int64_t good = ji(r, "successes");

		ctl_cell(&t, STYLE_PLAIN, or_dash(js(r, "failure_type")));
		ctl_cell(&t, STYLE_PLAIN, or_dash(js(r, "specialist")));
		ctl_cell(&t, STYLE_BOLD, or_dash(js(r, "tool")));
		snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64, good,
			 good + ji(r, "failures"));
		ctl_cell(&t, STYLE_PLAIN, text);
		snprintf(text, sizeof(text), "%.0f %%", 100 * real(r, "mean"));
		ctl_cell(&t, STYLE_PLAIN, text);
		snprintf(text, sizeof(text), "%.0f %%", 100 * real(r, "lower"));
		ctl_cell(&t, STYLE_PLAIN, text);
	}
	ctl_table_end(&t);
}

static int cmd_rates(struct ctl *c)
{
	auto_json *j = NULL;
	const json_t *m;
	size_t i;

	ask_reasoner(c);
	int rc = ctl_get(c, "/statistics", &j);
	if (rc || ctl_as_json(c, j))
		return rc;
	if (json_array_size(json_object_get(j, "statistics")))
		say_rates(c, json_object_get(j, "statistics"));
	else
		ctl_printf(c, "nothing was tried yet\n");
	json_array_foreach(json_object_get(j, "misrouted"), i, m)
	{
		auto_free char *line = mem_printf(
			"%s went to %s and was healed by %s, times: %" PRId64 "\n",
			js(m, "failure_type"), js(m, "routed"), js(m, "healed_by"), ji(m, "times"));
		ctl_text(c, line);
	}
	return EXIT_OK;
}

static const char help_memory[] =
	"Asks the reasoner itself, which serves local requests and those with a token "
	"(http.token_file in reasoner.yaml). With --like, words of a log line or a title; "
	"numbers, paths, hosts and ids do not matter. With an incident, all that is "
	"remembered of it.";

const struct ctl_command command_memory = {
	.name = "memory",
	.args = "[INCIDENT]",
	.summary = "what earlier incidents taught: the latest, those like a text, or one",
	.help = help_memory,
	.run = cmd_memory,
	.args_max = 1,
	.names = NAMES_INCIDENT,
	.flags = {{"like", 0, "TEXT", "The most alike first."},
		  {"others", 0, NULL, "Also ask the memories of memory.stores."},
		  {"limit", 'n', "N", "How many. Default: 10."},
		  {"reasoner", 0, "URL",
		   "The reasoner's address. Default: $HEALBUS_REASONER_URL, else "
		   "http://127.0.0.1:9096."}},
};

static const char help_rates[] =
	"The rate is what can be expected of the next time, given what was seen; it is at "
	"least the lower bound with 95 percent probability (memory.prior in reasoner.yaml). "
	"Rows without a tool count whole plans. Also tells which failures were healed by "
	"another specialist than the one first asked.";

const struct ctl_command command_rates = {
	.name = "rates",
	.args = "",
	.summary = "what worked: success rates by failure type, specialist and tool",
	.help = help_rates,
	.run = cmd_rates,
	.flags = {{"reasoner", 0, "URL",
		   "The reasoner's address. Default: $HEALBUS_REASONER_URL, else "
		   "http://127.0.0.1:9096."}},
};
