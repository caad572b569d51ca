/* Resources: what the bus last said about an incident, and the catalogue. */
#include "common/mem.h"
#include "executor/mcp/mcp_private.h"
#include "executor/mcp/mcp_schema.h"

static const enum kind story_kinds[] = {KIND_INCIDENT, KIND_PLAN, KIND_APPROVAL,
					KIND_DECISION, KIND_STEP, KIND_OUTCOME};

json_t *mcp_tools_json(const struct executor_config *config, size_t first, size_t max,
		       size_t *out_next)
{
	json_t *tools = json_array();
	size_t i = first;
	for (; i < catalogue_size(config->catalogue) && json_array_size(tools) < max; i++) {
		const struct tool *tool = catalogue_tool(config->catalogue, i);
		if (mcp_tool_offered(config, tool))
			json_array_append_new(tools, mcp_tool_json(config, tool));
	}
	*out_next = i < catalogue_size(config->catalogue) ? i : 0;
	return tools;
}

/* Adds what an ask brought; what is unreadable is left out. */
static void add_message(json_t *o, enum kind kind, struct bus_ask *ask)
{
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;
	if (ask->rc)
		return;
	if (wire_unpack(kind, ask->delivery.data, ask->delivery.len, &arena, &msg, NULL) == 0)
		json_object_set_new(o, kind_name(kind), wire_to_json(msg));
	bus_delivery_free(&ask->delivery);
	arena_release(&arena);
}

static int read_story(struct mcp *m, const char *id, const enum kind *kinds, size_t n, json_t **out)
{
	struct bus_ask asks[ARRAY_SIZE(story_kinds)] = {0};
	char subjects[ARRAY_SIZE(story_kinds)][SUBJECT_MAX + 1];
	for (size_t i = 0; i < n; i++)
		asks[i] = (struct bus_ask){.kind = BUS_ASK_LAST,
					   .bucket = STREAM_STORY,
					   .key = subject_story(subjects[i], kinds[i], id)};
	bus_ask(stage_bus(m->stage), asks, n);
	int rc = 0;
	json_t *o = json_object();
	for (size_t i = 0; i < n; i++) {
		if (asks[i].rc && asks[i].rc != ERR_NOT_FOUND)
			rc = asks[i].rc;
		add_message(o, kinds[i], &asks[i]);
	}
	if (!rc && json_object_size(o) == 0)
		rc = ERR_NOT_FOUND;
	if (rc)
		json_decref(o);
	else
		*out = o;
	return rc;
}

static int read_catalogue(struct mcp *m, json_t **out)
{
	size_t next = 0;
	const struct executor_config *config = stage_config_get(m->stage);
	*out = json_pack("{s:o}", "tools", mcp_tools_json(config, 0, TOOLS_MAX, &next));
	stage_config_put(m->stage, config);
	return 0;
}

static int read_uri(struct mcp *m, const char *uri, json_t **out)
{
	static const char incident[] = "incident://", story[] = "story://";
	if (str_eq(uri, "healbus://catalogue"))
		return read_catalogue(m, out);
	if (str_starts(uri, incident) && token_valid(uri + strlen(incident)))
		return read_story(m, uri + strlen(incident), story_kinds, 1, out);
	if (str_starts(uri, story) && token_valid(uri + strlen(story)))
		return read_story(m, uri + strlen(story), story_kinds, ARRAY_SIZE(story_kinds),
				  out);
	return ERR_NOT_FOUND;
}

int mcp_resources_read(struct mcp *m, struct mcp_job *job, json_t **out_result, struct why *out_why)
{
	const char *uri = json_string_value(json_object_get(job->message.params, "uri"));
	json_t *o = NULL;
	if (!uri)
		return why_set(out_why, ERR_INVALID, "uri: missing");
	int rc = read_uri(m, uri, &o);
	if (rc)
		return why_set(out_why, rc, "uri: %s",
			       rc == ERR_NOT_FOUND ? "no such resource" : err_name(rc));
	auto_free char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	*out_result = json_pack("{s:[{s:s, s:s, s:s}]}", "contents", "uri", uri, "mimeType",
				"application/json", "text", text);
	return 0;
}
