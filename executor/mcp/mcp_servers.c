#include "executor/mcp/mcp_servers.h"

#include "common/id.h"
#include "common/mem.h"

static void server_release(struct mcp_server *s)
{
	free(s->name);
	free(s->url);
	free(s->token_file);
	free(s->ca_file);
	for (size_t i = 0; s->argv && s->argv[i]; i++)
		free(s->argv[i]);
	free(s->argv);
}

void mcp_servers_release(void *field)
{
	struct mcp_servers *all = field;
	for (size_t i = 0; i < all->n; i++)
		server_release(&all->items[i]);
	free(all->items);
	*all = (struct mcp_servers){0};
}

const struct mcp_server *mcp_server_find(const struct mcp_servers *all, const char *name)
{
	for (size_t i = 0; name && i < all->n; i++)
		if (str_eq(all->items[i].name, name))
			return &all->items[i];
	return NULL;
}

static int take_text(const struct yaml_node *map, const char *key, char **out, struct why *out_why)
{
	const struct yaml_node *node = yaml_get(map, key);
	const char *text = NULL;
	int rc = node ? yaml_str(node, key, &text, out_why) : 0;
	if (!rc && text)
		*out = mem_strdup(text);
	return rc;
}

static int take_argv(const struct yaml_node *node, struct mcp_server *s, struct why *out_why)
{
	size_t n = 0;
	if (node->type != YAML_LIST || node->count == 0 || node->count > MCP_ARGV_MAX)
		return yaml_error(node, out_why, "argv: must be a list of at most %d",
				  MCP_ARGV_MAX);
	s->argv = mem_calloc(node->count + 1, sizeof(*s->argv));
	YAML_EACH(item, node)
	{
		const char *text = NULL;
		int rc = yaml_str(item, "argv", &text, out_why);
		if (rc)
			return rc;
		s->argv[n++] = mem_strdup(text);
	}
	if (s->argv[0][0] != '/')
		return yaml_error(node, out_why, "argv: the program's path must be absolute");
	s->transport = MCP_STDIO;
	return 0;
}

static int take_transport(const struct yaml_node *map, struct mcp_server *s, struct why *out_why)
{
	const struct yaml_node *argv = yaml_get(map, "argv");
	const struct yaml_node *node = yaml_get(map, "transport");
	const char *text = "http";
	if (!argv == !s->url)
		return yaml_error(map, out_why, "a server has url or argv");
	if (argv)
		return node ? yaml_error(node, out_why, "transport: not with argv")
			    : take_argv(argv, s, out_why);
	if (!str_starts(s->url, "http://") && !str_starts(s->url, "https://"))
		return yaml_error(map, out_why, "url: must begin with https:// or http://");
	int rc = node ? yaml_str(node, "transport", &text, out_why) : 0;
	if (!rc && !str_eq(text, "http") && !str_eq(text, "sse"))
		rc = yaml_error(node, out_why, "transport: http or sse");
	s->transport = str_eq(text, "sse") ? MCP_SSE : MCP_HTTP;
	return rc;
}

static int parse_server(struct mcp_server *s, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"name",    "url",  "transport", "token_file",
					   "ca_file", "argv", "network"};
	const struct yaml_node *network = yaml_get(node, "network");
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = take_text(node, "name", &s->name, out_why);
	if (!rc && (!s->name || !token_valid(s->name)))
		rc = yaml_error(node, out_why, "name: must be 1-64 of [A-Za-z0-9_-]");
	if (!rc)
		rc = take_text(node, "url", &s->url, out_why);
	if (!rc)
		rc = take_text(node, "token_file", &s->token_file, out_why);
	if (!rc)
		rc = take_text(node, "ca_file", &s->ca_file, out_why);
	if (!rc && network)
		rc = yaml_bool(network, "network", &s->network, out_why);
	return rc ? rc : take_transport(node, s, out_why);
}

int mcp_servers_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct mcp_servers *all = field;
	if (!node || node->count == 0)
		return 0;
	if (node->type != YAML_LIST || node->count > MCP_SERVERS_MAX)
		return yaml_error(node, out_why, "mcp_servers: must be a list of at most %d",
				  MCP_SERVERS_MAX);
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		struct mcp_server *s = &all->items[all->n++];
		int rc = parse_server(s, item, out_why);
		if (rc)
			return rc;
		if (mcp_server_find(all, s->name) != s)
			return yaml_error(item, out_why, "name: %s is there twice", s->name);
	}
	return 0;
}
