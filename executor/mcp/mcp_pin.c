#include "executor/mcp/mcp_pin.h"

#include "common/mem.h"
#include "executor/config.h"
#include "executor/runners/mcp_talk.h"
#include "executor/sandboxes/sandbox.h"

enum {
	EXIT_USAGE = 64,
	EXIT_AWAY = 69,
	EXIT_SETTINGS = 78,
	PIN_TIMEOUT_MS = 30000,
	SHOWN_MAX = 400,
	OUR_NAME_MAX = 30
};

/* One line of a stranger's text, for a comment. */
static void add_comment(struct buf *out, const char *what, const char *text)
{
	auto_buf shown = {0};
	size_t len = strlen(text);
	buf_add_printable(&shown, text, MIN(len, (size_t)SHOWN_MAX));
	for (char *c = shown.data; c && *c; c++)
		if (*c == '\n')
			*c = ' ';
	buf_printf(out, "# %s: %s%s\n", what, buf_str(&shown), len > SHOWN_MAX ? " ..." : "");
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	return text ? text : "";
}

static void add_enum(struct buf *out, const json_t *values)
{
	size_t i;
	json_t *value;
	buf_add_str(out, ", values: [");
	json_array_foreach(values, i, value)
	{
		const char *text = json_string_value(value);
		buf_add_str(out, i ? ", " : "");
		buf_add_json(out, text ? text : "", text ? strlen(text) : 0);
	}
	buf_add_str(out, "]");
}

static bool is_required(const json_t *schema, const char *name)
{
	size_t i;
	json_t *value;
	json_array_foreach(json_object_get(schema, "required"), i, value)
	{
		if (json_is_string(value) && str_eq(json_string_value(value), name))
			return true;
	}
	return false;
}

/* messageType becomes message_type. */
static void add_our_name(struct buf *out, const char *theirs)
{
	const char *c = theirs;
	if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z'))
		buf_add_str(out, "p_");
	for (size_t n = 0; *c && n < OUR_NAME_MAX; c++, n++) {
		bool upper = *c >= 'A' && *c <= 'Z';
		bool fits = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');
		if (upper && c > theirs)
			buf_add_char(out, '_');
		buf_add_char(out, upper ? (char)(*c - 'A' + 'a') : fits ? *c : '_');
	}
}

static void add_names(struct buf *out, const json_t *properties)
{
	const char *name;
	json_t *p, *other = json_object();
	json_object_foreach((json_t *)properties, name, p)
	{
		auto_buf ours = {0};
		add_our_name(&ours, name);
		if (!str_eq(buf_str(&ours), name))
			json_object_set_new(other, buf_str(&ours), json_string(name));
	}
	if (json_object_size(other)) {
		auto_free char *text = json_dumps(other, 0);
		buf_add_str(out, "names: ");
		buf_add_str(out, text);
		buf_add_char(out, '\n');
	}
	json_decref(other);
}

static void add_param(struct buf *out, const json_t *schema, const char *name, const json_t *p)
{
	static const char *const types[][2] = {
		{"integer", "int"}, {"number", "int"}, {"boolean", "bool"}, {"string", "text"}};
	const json_t *values = json_object_get(p, "enum");
	const char *type = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (str_eq(types[i][0], text_of(p, "type")))
			type = types[i][1];
	if (!type) {
		add_comment(out, "a parameter that cannot be given", name);
		return;
	}
	buf_add_str(out, "  ");
	add_our_name(out, name);
	buf_printf(out, ": {type: %s", json_is_array(values) ? "enum" : type);
	if (json_is_array(values))
		add_enum(out, values);
	if (!is_required(schema, name))
		buf_add_str(out, ", required: false");
	buf_add_str(out, "}\n");
}

static void add_tool(struct buf *out, const char *server, const json_t *tool)
{
	char pin[MCP_PIN_BYTES];
	const char *name, *tool_name = text_of(tool, "name");
	json_t *p;
	const json_t *schema = json_object_get(tool, "inputSchema");
	const json_t *properties = json_object_get(schema, "properties");
	auto_buf own = {0};
	buf_printf(&own, "%s_", server);
	for (const char *c = tool_name; *c && own.len < 64; c++)
		buf_add_char(&own, strchr("-", *c) ? '_' : *c);
	mcp_tool_pin(tool, pin);
	buf_printf(out, "name: %s\nsummary: TOOL of %s  # say what it does, in your own words\n",
		   token_valid(buf_str(&own)) ? buf_str(&own) : "choose_a_name", server);
	add_comment(out, "it says of itself", text_of(tool, "description"));
	buf_printf(out,
		   "level: hard  # or soft, none: what it may do is for you to judge\n"
		   "runner: mcp\nserver: %s\ntool: ",
		   server);
	buf_add_json(out, tool_name, strlen(tool_name));
	buf_printf(out, "\npin: sha256:%s\n", pin);
	add_names(out, properties);
	if (json_object_size(properties))
		buf_add_str(out, "params:\n");
	json_object_foreach((json_t *)properties, name, p)
	{
		add_param(out, schema, name, p);
	}
}

static int print_tools(const struct mcp_talk *t, const char *only)
{
	size_t i, shown = 0;
	json_t *tool;
	auto_buf out = {0};
	json_array_foreach(t->tools, i, tool)
	{
		if (only && !str_eq(only, text_of(tool, "name")))
			continue;
		buf_add_str(&out, shown++ ? "---\n" : "");
		add_tool(&out, t->server->name, tool);
	}
	fputs(buf_str(&out), stdout);
	if (!shown)
		fprintf(stderr, "healbus-executor: mcp pin: %s has no such tool\n",
			t->server->name);
	return shown ? 0 : EXIT_AWAY;
}

static int list_tools(const struct executor_config *config, const char *server, const char *only)
{
	struct run_limits limits = {.timeout_ms = PIN_TIMEOUT_MS, .config = config};
	struct mcp_talk t = {.server = mcp_server_find(&config->mcp_servers, server)};
	if (!t.server) {
		fprintf(stderr,
			"healbus-executor: mcp pin: mcp_servers of executor.yaml has no %s\n",
			server);
		return EXIT_USAGE;
	}
	if (t.server->transport == MCP_STDIO)
		sandbox_probe((enum sandbox_wish)config->sandbox);
	if (http_client_new(&limits.http))
		return EXIT_AWAY;
	mcp_talk_hold(&t, &limits);
	int rc = t.rc ? EXIT_AWAY : print_tools(&t, only);
	if (t.rc)
		fprintf(stderr, "healbus-executor: %s\n", t.why.text);
	http_client_free(limits.http);
	mcp_talk_release(&t);
	return rc;
}

static const char *environment(const char *name)
{
	return getenv(name);
}

int mcp_pin_command(int argc, char **argv, const char *config_dir)
{
	struct executor_config config = {0};
	struct why why = {0};
	if (argc < 3 || argc > 4 || !str_eq(argv[1], "pin")) {
		fprintf(stderr, "usage: healbus-executor [-c DIR] mcp pin SERVER [TOOL]\n");
		return EXIT_USAGE;
	}
	if (config_load(&executor_options, config_dir, environment, &config, &why)) {
		fprintf(stderr, "healbus-executor: %s\n", why.text);
		return EXIT_SETTINGS;
	}
	int rc = list_tools(&config, argv[2], argc == 4 ? argv[3] : NULL);
	config_release(&executor_options, &config);
	return rc;
}
