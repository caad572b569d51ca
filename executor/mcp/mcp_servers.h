/*
 * MCP servers of others, whose tools may join the catalogue: `mcp_servers:` of executor.yaml, a
 * list of {name, url, transport, token_file, ca_file} or {name, argv, user, network}.
 *
 *     mcp_servers:
 *       - {name: tickets, url: "https://mcp.example.com/mcp", token_file:
 * /etc/healbus/tickets.token}
 *       - {name: old, url: "https://old.example.com/sse", transport: sse}
 *       - {name: files, argv: [/usr/bin/mcp-files, --readonly]}      # stdio, in the sandbox
 *
 * Read-only after loading; any thread.
 */
#ifndef EXECUTOR_MCP_SERVERS_H
#define EXECUTOR_MCP_SERVERS_H

#include "common/base.h"

#include "common/yaml.h"

enum { MCP_SERVERS_MAX = 64, MCP_ARGV_MAX = 64 };

enum mcp_transport { MCP_HTTP, MCP_SSE, MCP_STDIO, MCP_TRANSPORTS };

struct mcp_server {
	char *name;
	enum mcp_transport transport;
	char *url;        /* NULL: stdio */
	char *token_file; /* NULL: none */
	char *ca_file;    /* NULL: the system's */
	char **argv;      /* NULL-terminated; NULL: not stdio */
	bool network;     /* a program's; default false */
};

struct mcp_servers {
	struct mcp_server *items;
	size_t n;
};

/* OPT_TREE parser of `mcp_servers:`. ERR_CONFIG with file:line. */
int mcp_servers_parse(void *field, const struct yaml_node *node, struct why *out_why);
void mcp_servers_release(void *field);
/* NULL when unknown. */
const struct mcp_server *mcp_server_find(const struct mcp_servers *all, const char *name);

#endif
