/*
 * Calls a tool of an MCP server of somebody else (mcp_servers.h) under our policy: our level, our
 * parameters, and only while the tool is what its pin says. Exit code 0: it says that it worked; 1:
 * that it did not.
 */
#include "common/mem.h"
#include "executor/config.h"
#include "executor/runners/mcp_talk.h"

struct mcp_spec {
	char *server;
	char *tool;
	char *pin;                   /* sha256:hex */
	char *ours[WIRE_PARAMS_MAX]; /* parameters that the server calls by another name */
	char *theirs[WIRE_PARAMS_MAX];
	size_t n_names;
};

struct remote_call {
	const struct mcp_spec *spec; /* the catalogue outlives it */
	json_t *arguments;
};

static void *spec_new(void)
{
	return mem_alloc(sizeof(struct mcp_spec));
}

static void spec_free(void *spec)
{
	struct mcp_spec *s = spec;
	free(s->server);
	free(s->tool);
	free(s->pin);
	for (size_t i = 0; i < s->n_names; i++) {
		free(s->ours[i]);
		free(s->theirs[i]);
	}
	free(s);
}

const char *mcp_spec_server(const void *spec)
{
	return ((const struct mcp_spec *)spec)->server;
}

static int take(const struct yaml_node *node, const char *key, char **out, struct why *out_why)
{
	const char *text = NULL;
	const struct yaml_node *value = yaml_get(node, key);
	int rc = value ? yaml_str(value, key, &text, out_why) : 0;
	if (rc || !text)
		return rc;
	free(*out);
	*out = mem_strdup(text);
	return 0;
}

static int take_names(struct mcp_spec *s, const struct yaml_node *node, struct why *out_why)
{
	YAML_EACH(item, node)
	{
		const char *text = NULL;
		int rc = yaml_str(item, "names", &text, out_why);
		if (rc)
			return rc;
		if (s->n_names == WIRE_PARAMS_MAX)
			return yaml_error(item, out_why, "names: at most %d", WIRE_PARAMS_MAX);
		s->ours[s->n_names] = mem_strdup(item->key);
		s->theirs[s->n_names++] = mem_strdup(text);
	}
	return 0;
}

static int parse(void *spec, struct catalogue *cat UNUSED, const struct yaml_node *node,
		 struct why *out_why)
{
	struct mcp_spec *s = spec;
	int rc = take(node, "server", &s->server, out_why);
	if (!rc)
		rc = take(node, "tool", &s->tool, out_why);
	if (!rc)
		rc = take(node, "pin", &s->pin, out_why);
	return rc ? rc : take_names(s, yaml_get(node, "names"), out_why);
}

static bool is_digest(const char *text)
{
	return strlen(text) == MCP_PIN_BYTES - 1 &&
	       strspn(text, "0123456789abcdef") == MCP_PIN_BYTES - 1;
}

static int check(const void *spec, struct why *out_why)
{
	static const char prefix[] = "sha256:";
	const struct mcp_spec *s = spec;
	if (!s->server || !s->tool)
		return why_set(out_why, ERR_CONFIG, "server, tool: missing");
	if (!s->pin || !str_starts(s->pin, prefix) || !is_digest(s->pin + strlen(prefix)))
		return why_set(out_why, ERR_CONFIG,
			       "pin: must be sha256: and 64 hex digits; healbus-executor mcp pin "
			       "%s prints it",
			       s->server);
	return 0;
}

static void rendered_free(void *rendered)
{
	struct remote_call *c = rendered;
	if (!c)
		return;
	json_decref(c->arguments);
	free(c);
}

static const char *their_name(const struct mcp_spec *s, const char *ours)
{
	for (size_t i = 0; i < s->n_names; i++)
		if (str_eq(s->ours[i], ours))
			return s->theirs[i];
	return ours;
}

/* What was not given is not sent. */
static json_t *arguments_of(const struct mcp_spec *s, const json_t *params)
{
	const char *name;
	json_t *value, *o = json_object();
	json_object_foreach((json_t *)params, name, value)
	{
		if (!json_is_null(value))
			json_object_set_new(o, their_name(s, name), json_deep_copy(value));
	}
	return o;
}

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why UNUSED)
{
	const struct mcp_spec *s = spec;
	struct remote_call *c = mem_alloc(sizeof(*c));
	c->spec = s;
	c->arguments = arguments_of(s, json_object_get(in->json, "params"));
	auto_free char *text = json_dumps(c->arguments, JSON_COMPACT | JSON_SORT_KEYS);
	buf_printf(out_text, "mcp %s %s ", s->server, s->tool);
	buf_add_str(out_text, text);
	buf_printf(out_text, "  (%s)", s->pin);
	*out = c;
	return 0;
}

static void tell(const struct mcp_talk *t, const struct run_limits *limits,
		 struct run_result *result)
{
	if (t->rc || !t->result) {
		/* Once the call is on its way, only the server knows, unless it said no. */
		bool lost = err_class(t->rc) == ERR_CLASS_TRANSIENT || t->rc == ERR_TOO_LARGE;
		result->state = t->called && lost ? RUN_UNKNOWN : RUN_FAILED;
		result->why = t->why;
		return;
	}
	result->state = RUN_ENDED;
	result->exit_code = json_is_true(json_object_get(t->result, "isError")) ? 1 : 0;
	mcp_result_text(t->result, &result->output, limits->output_limit_bytes);
	result->truncated = result->output.len == limits->output_limit_bytes;
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	const struct remote_call *c = rendered;
	struct mcp_talk t = {.server =
				     mcp_server_find(&limits->config->mcp_servers, c->spec->server),
			     .tool = c->spec->tool,
			     .pin = strchr(c->spec->pin, ':') + 1,
			     .arguments = c->arguments};
	result->state = RUN_FAILED;
	if (!t.server) {
		why_set(&result->why, ERR_CONFIG, "mcp_servers: no %s", c->spec->server);
		return;
	}
	mcp_talk_hold(&t, limits);
	tell(&t, limits, result);
	mcp_talk_release(&t);
}

static const char *const keys[] = {"server", "tool", "pin", "names"};

const struct runner runner_mcp = {.name = "mcp",
				  .keys = keys,
				  .n_keys = ARRAY_SIZE(keys),
				  .takes_texts = true,
				  .spec_new = spec_new,
				  .spec_free = spec_free,
				  .parse = parse,
				  .check = check,
				  .render = render,
				  .rendered_free = rendered_free,
				  .run = run};
