/*
 * The catalogue as agents see it: each tool with a JSON Schema of its parameters, of the targets
 * that allow it, and of the incident it is for; and an agent's arguments as the parameters of a
 * step. The schema is help for the agent; params.h checks again. Pure; any thread.
 */
#ifndef EXECUTOR_MCP_SCHEMA_H
#define EXECUTOR_MCP_SCHEMA_H

#include "executor/config.h"

enum { MCP_PAGE_TOOLS = 32, MCP_TARGETS_SHOWN = 100 };

/* Names of arguments that are not parameters. A tool with a parameter of such a name is not
 * offered. */
#define MCP_ARG_TARGET "target"
#define MCP_ARG_INCIDENT "incident"

/* Not forbidden, and some target allows it. */
bool mcp_tool_offered(const struct executor_config *config, const struct tool *tool);
/* The only target that allows it; NULL: none, or several. */
const struct target *mcp_only_target(const struct executor_config *config, const struct tool *tool);
/* {name, description, inputSchema, annotations}; new reference. */
json_t *mcp_tool_json(const struct executor_config *config, const struct tool *tool);

/* One call as an agent asks for it. All borrowed. */
struct mcp_ask {
	const struct executor_config *config;
	const struct tool *tool;
	const json_t *arguments; /* an object, or NULL */
	struct arena *arena;
	/* out */
	Healbus__Step *step;  /* in the arena */
	const char *incident; /* NULL: none is named */
};
/* ERR_INVALID naming the argument. */
int mcp_step(struct mcp_ask *ask, struct why *out_why);

#endif
