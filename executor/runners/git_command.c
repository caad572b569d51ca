/* One git command in the sandbox. Network only for commands that talk to the remote, the token only
 * in the environment of those; nothing of the system's or a user's configuration. */
#include "executor/runners/git_private.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "common/clock.h"
#include "common/mem.h"
#include "executor/sandboxes/proxy.h"

enum { ENV_MAX = 24, BINDS_MAX = 12, LAST_LINE_BYTES = 300 };

/* Everything that could make git run something, go elsewhere, or follow what the repository says.
 * Hooks, filters, textconv and drivers need configuration, and there is none but this. */
static const char configuration[] = "[core]\n"
				    "\thooksPath = /dev/null\n"
				    "\tattributesFile = /dev/null\n"
				    "\texcludesFile = /dev/null\n"
				    "\tfsmonitor = false\n"
				    "\tuntrackedCache = false\n"
				    "\tsymlinks = true\n"
				    "\tprotectHFS = true\n"
				    "\tprotectNTFS = true\n"
				    "\tautocrlf = false\n"
				    "\tpager = cat\n"
				    "[safe]\n"
				    "\tdirectory = *\n"
				    "\tbareRepository = explicit\n"
				    "[submodule]\n"
				    "\trecurse = false\n"
				    "[fetch]\n"
				    "\trecurseSubmodules = false\n"
				    "[push]\n"
				    "\trecurseSubmodules = no\n"
				    "\tgpgSign = false\n"
				    "[protocol]\n"
				    "\tallow = never\n"
				    "[http]\n"
				    "\tfollowRedirects = false\n"
				    "\tlowSpeedLimit = 1000\n"
				    "\tlowSpeedTime = 60\n"
				    "[credential]\n"
				    "\thelper =\n"
				    "[commit]\n"
				    "\tgpgSign = false\n"
				    "[gc]\n"
				    "\tauto = 0\n"
				    "[maintenance]\n"
				    "\tauto = false\n"
				    "[advice]\n"
				    "\tdetachedHead = false\n";

void git_said_release(struct git_said *s)
{
	buf_release(&s->text);
}

/* A value as git's configuration quotes it. */
static void add_quoted(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "\t%s = \"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			buf_add_char(out, '\\');
		if ((unsigned char)*value >= ' ')
			buf_add_char(out, *value);
	}
	buf_add_str(out, "\"\n");
}

int git_configure(struct git_work *w)
{
	const struct git_target *t = &w->job->target;
	const struct executor_config *c = w->limits->config;
	auto_buf text = {0};
	buf_add_str(&text, configuration);
	buf_printf(&text, "[protocol \"%s\"]\n\tallow = always\n", t->scheme);
	buf_add_str(&text, "[remote \"origin\"]\n");
	add_quoted(&text, "url", t->url);
	buf_add_str(&text, "[user]\n");
	add_quoted(&text, "name", c->git_name);
	add_quoted(&text, "email", c->git_email);
	if (c->git_ca_file && *c->git_ca_file) {
		buf_add_str(&text, "[http]\n");
		add_quoted(&text, "sslCAInfo", c->git_ca_file);
	}
	int rc = workspace_fresh(&w->ws, "in", 0, 0, &w->result->why);
	if (!rc)
		rc = workspace_write(&w->ws, "in/config", text.data, text.len, &w->result->why);
	return rc ? ERR_REJECTED : 0;
}

/* ---- credentials ---- */

/* Only to the host that they are for. */
static int read_token(struct git_work *w)
{
	const struct git_target *t = &w->job->target;
	const struct executor_config *c = w->limits->config;
	struct github_request req = {
		.http = w->limits->http, .repository = t->repository, .token_file = t->token_file};
	if (w->token.len || str_eq(t->scheme, "file"))
		return 0;
	bool own = t->token_file && *t->token_file;
	if (!own && (!c->github_client || !git_host_is_github(t->url, c->github.api_url)))
		return 0;
	if (own)
		return secret_read(&w->token, t->token_file, &w->result->why) ? ERR_REJECTED : 0;
	return github_token(c->github_client, &req, &w->token, &w->result->why) ? ERR_REJECTED : 0;
}

static char *authorization(const struct secret *token)
{
	auto_free char *pair = mem_printf("x-access-token:%s", token->data);
	size_t len = strlen(pair);
	auto_free unsigned char *text = mem_alloc((len + 2) / 3 * 4 + 1);
	EVP_EncodeBlock(text, (const unsigned char *)pair, (int)len);
	char *line = mem_printf("GIT_CONFIG_VALUE_0=Authorization: Basic %s", (const char *)text);
	explicit_bzero(pair, len);
	explicit_bzero(text, strlen((const char *)text));
	return line;
}

/* ---- one command ---- */

struct git_env {
	char *items[ENV_MAX + 1];
	size_t n;
};

static void env_add(struct git_env *e, char *item)
{
	assert(e->n < ENV_MAX);
	e->items[e->n++] = item;
}

static void env_release(struct git_env *e)
{
	for (size_t i = 0; i < e->n; i++) {
		explicit_bzero(e->items[i], strlen(e->items[i]));
		free(e->items[i]);
	}
}

static void fill_env(const struct git_work *w, enum git_reach reach, bool proxied,
		     struct git_env *e)
{
	static const char *const fixed[] = {"PATH=/usr/bin:/bin",       "LANG=C.UTF-8",
					    "HOME=/nonexistent",        "GIT_CONFIG_NOSYSTEM=1",
					    "GIT_ATTR_NOSYSTEM=1",      "GIT_TERMINAL_PROMPT=0",
					    "GIT_OPTIONAL_LOCKS=0",     "GIT_ASKPASS=/bin/false",
					    "GIT_PROTOCOL_FROM_USER=0", "GIT_LITERAL_PATHSPECS=1",
					    "GIT_NO_REPLACE_OBJECTS=1", "GIT_PAGER=cat"};
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		env_add(e, mem_strdup(fixed[i]));
	env_add(e, mem_printf("GIT_CONFIG_GLOBAL=%s/in/config", w->ws.path));
	env_add(e, mem_printf("GIT_ALLOW_PROTOCOL=%s",
			      reach == GIT_REMOTE ? w->job->target.scheme : "none"));
	if (proxied)
		env_add(e, mem_printf("https_proxy=http://127.0.0.1:%d", PROXY_PORT));
	if (reach != GIT_REMOTE || !w->token.len)
		return;
	env_add(e, mem_strdup("GIT_CONFIG_COUNT=1"));
	env_add(e, mem_printf("GIT_CONFIG_KEY_0=http.%s.extraHeader", w->job->target.url));
	env_add(e, authorization(&w->token));
}

struct git_binds {
	struct sandbox_bind items[BINDS_MAX];
	char *owned[BINDS_MAX];
	size_t n;
};

static void bind_add(struct git_binds *b, char *path, bool writable)
{
	assert(b->n < BINDS_MAX);
	b->owned[b->n] = path;
	b->items[b->n++] = (struct sandbox_bind){.path = path, .writable = writable};
}

static void fill_binds(const struct git_work *w, enum git_reach reach, struct git_binds *b)
{
	static const char *const writable[] = {"git", "tree", "check", "out"};
	const struct executor_config *c = w->limits->config;
	const struct git_target *t = &w->job->target;
	for (size_t i = 0; i < ARRAY_SIZE(writable); i++)
		if (faccessat(w->ws.fd, writable[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			bind_add(b, mem_printf("%s/%s", w->ws.path, writable[i]), true);
	bind_add(b, mem_printf("%s/in", w->ws.path), false);
	if (reach == GIT_REMOTE && str_eq(t->scheme, "file"))
		bind_add(b, mem_strdup(t->url + strlen("file://")), w->job->what == GIT_DO_PUSH);
	if (c->git_ca_file && *c->git_ca_file)
		bind_add(b, mem_strdup(c->git_ca_file), false);
}

static void run_sandboxed(struct git_work *w, const struct sandbox_job *job, struct run_result *out)
{
	struct run_limits own = *w->limits;
	own.timeout_ms = git_left_ms(w);
	own.output_limit_bytes = GIT_OUTPUT_BYTES;
	own.keep_end = true;
	own.target = NULL;
	if (own.timeout_ms > 0)
		sandbox_run(job, &own, out);
	else
		why_set(&out->why, ERR_TIMEOUT, "timed out after %" PRId64 " ms",
			w->limits->timeout_ms);
}

/* "host:port" of the remote. */
static char *remote_host(const char *url)
{
	const char *start = strstr(url, "://") + 3;
	size_t len = strcspn(start, "/");
	bool port = memchr(start, ':', len) && start[len - 1] != ']';
	return mem_printf("%.*s%s", (int)len, start, port ? "" : ":443");
}

/* The way out to the remote, and to nothing else, where the sandbox has a network of its own to
 * put it in. Plain http does not go through it: that is for tests on loopback. */
static int open_way_out(struct git_work *w, enum git_reach reach, struct proxy **out, int *out_fd)
{
	const struct git_target *t = &w->job->target;
	if (reach != GIT_REMOTE || !str_eq(t->scheme, "https") || sandbox_level() != SANDBOX_FULL)
		return 0;
	auto_free char *host = remote_host(t->url);
	const char *hosts[] = {host};
	struct proxy_rules rules = {.hosts = hosts, .n_hosts = 1, .any_address = true};
	return proxy_open(&rules, out, out_fd, &w->result->why) ? ERR_REJECTED : 0;
}

int git_command(struct git_work *w, enum git_reach reach, const char *const *args,
		struct git_said *out)
{
	struct proxy *proxy = NULL;
	int way_out = 0;
	char *argv[GIT_ARGS_MAX + 4] = {(char *)GIT_PROGRAM};
	struct git_env env = {0};
	struct git_binds binds = {0};
	struct run_result r = {.state = RUN_FAILED};
	size_t n = 3;
	if (reach == GIT_REMOTE && read_token(w))
		return ERR_REJECTED;
	if (open_way_out(w, reach, &proxy, &way_out))
		return ERR_REJECTED;
	auto_free char *git_dir = mem_printf("--git-dir=%s/git", w->ws.path);
	auto_free char *work_tree = mem_printf("--work-tree=%s/tree", w->ws.path);
	argv[1] = git_dir;
	argv[2] = work_tree;
	for (; *args; args++) {
		assert(n < GIT_ARGS_MAX + 3);
		argv[n++] = (char *)*args;
	}
	fill_env(w, reach, proxy != NULL, &env);
	fill_binds(w, reach, &binds);
	auto_free char *cwd = mem_printf("%s/tree", w->ws.path);
	struct sandbox_job job = {.argv = argv,
				  .env = env.items,
				  .binds = binds.items,
				  .n_binds = binds.n,
				  .cwd = cwd,
				  .proxy = way_out,
				  .network = reach == GIT_REMOTE && !proxy &&
					     !str_eq(w->job->target.scheme, "file")};
	run_sandboxed(w, &job, &r);
	proxy_close(proxy);
	if (proxy)
		close(way_out);
	env_release(&env);
	for (size_t i = 0; i < binds.n; i++)
		free(binds.owned[i]);
	if (out)
		*out = (struct git_said){.text = r.output, .exit_code = r.exit_code};
	else
		buf_release(&r.output);
	return r.state == RUN_ENDED ? 0 : git_fail(w, "git: %s", r.why.text);
}

const char *git_last_line(struct git_said *s)
{
	char *text = s->text.data;
	size_t len = s->text.len;
	while (len > 0 && strchr("\r\n\t ", text[len - 1]))
		len--;
	if (len == 0)
		return "it said nothing";
	text[len] = 0;
	const char *line = memrchr(text, '\n', len);
	line = line ? line + 1 : text;
	return strlen(line) > LAST_LINE_BYTES ? line + strlen(line) - LAST_LINE_BYTES : line;
}

int git_must(struct git_work *w, enum git_reach reach, const char *what, const char *const *args)
{
	auto_git_said said = {0};
	int rc = git_command(w, reach, args, &said);
	if (rc)
		return why_prefix(&w->result->why, rc, "%s", what);
	if (said.exit_code == 0)
		return 0;
	buf_add(&w->result->output, buf_str(&said.text), said.text.len);
	return git_fail(w, "%s: %s", what, git_last_line(&said));
}

int git_remote_head(struct git_work *w, const char *branch, char out[static GIT_SHA_LEN + 1])
{
	auto_git_said said = {0};
	auto_free char *ref = mem_printf("refs/heads/%s", branch);
	int rc = GIT(w, GIT_REMOTE, &said, "ls-remote", "--quiet", "origin", ref);
	if (rc)
		return rc;
	if (said.exit_code != 0)
		return git_fail(w, "the remote does not tell where %s is: %s", branch,
				git_last_line(&said));
	out[0] = 0;
	/* Warnings may stand before it: the line is an id, a tab and the very name. */
	auto_free char *end = mem_printf("\t%s", ref);
	const char *found = said.text.len ? strstr(said.text.data, end) : NULL;
	if (!found || found - said.text.data < GIT_SHA_LEN)
		return 0;
	memcpy(out, found - GIT_SHA_LEN, GIT_SHA_LEN);
	out[GIT_SHA_LEN] = 0;
	if (!git_sha_valid(out))
		out[0] = 0;
	return 0;
}
