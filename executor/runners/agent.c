/* An external coding agent's command line on a pinned commit, in a cell, with the prompt as its
 * standard input. It sees no secret but its own key, reaches no host but those listed, and what it
 * leaves is only looked at as a diff, by the guard and then by whoever plans with it. */
#include "common/base.h"

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "executor/guard.h"
#include "executor/runners/git_private.h"
#include "executor/sandboxes/cell.h"
#include "executor/sandboxes/proxy.h"

enum {
	LIST_MAX = 32,
	AGENT_OUTPUT_BYTES = 32 << 10, /* kept of what it prints: its end */
	AGENT_DIFF_MS = 120000,
	AGENT_PATCH_BYTES = WIRE_PATCH_MAX,
};

#define PROMPT_FILE "in/prompt"

struct list {
	char *items[LIST_MAX + 1]; /* NULL-terminated */
	size_t n;
};

struct agent_spec {
	struct list argv, hosts, readonly, env;
	struct template *prompt;
	char *key_file, *key_env; /* NULL: it needs none */
};

/* Rendered; the spec lives as long as the catalogue. */
struct agent_job {
	const struct agent_spec *spec;
	struct git_job git;
	char *prompt;
};

/* ---- the tool ---- */

static void list_release(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	*l = (struct list){0};
}

static void *spec_new(void)
{
	return mem_alloc(sizeof(struct agent_spec));
}

static void spec_free(void *spec)
{
	struct agent_spec *s = spec;
	list_release(&s->argv);
	list_release(&s->hosts);
	list_release(&s->readonly);
	list_release(&s->env);
	free(s->key_file);
	free(s->key_env);
	free(s);
}

static int parse_list(struct list *out, const struct yaml_node *node, const char *what,
		      struct why *out_why)
{
	if (!node)
		return 0;
	if (node->type != YAML_LIST || node->count > LIST_MAX)
		return yaml_error(node, out_why, "%s: a list of at most %d texts", what, LIST_MAX);
	list_release(out);
	YAML_EACH(item, node)
	{
		const char *text = NULL;
		int rc = yaml_str(item, what, &text, out_why);
		if (!rc && (!*text || strstr(text, "{{")))
			rc = yaml_error(item, out_why, "%s: must be constant", what);
		if (rc)
			return rc;
		out->items[out->n++] = mem_strdup(text);
	}
	return 0;
}

static bool name_of_variable(const char *text)
{
	return *text && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(text) &&
	       !str_starts(text, "LD_") && !str_eq(text, "PATH");
}

static int parse_env(struct list *out, const struct yaml_node *node, struct why *out_why)
{
	if (node)
		list_release(out);
	YAML_EACH(item, node)
	{
		const char *text = NULL;
		int rc = yaml_str(item, "env", &text, out_why);
		if (!rc && (out->n == LIST_MAX || !name_of_variable(item->key)))
			rc = yaml_error(item, out_why, "env: %s may not be set", item->key);
		if (rc)
			return rc;
		out->items[out->n++] = mem_printf("%s=%s", item->key, text);
	}
	return 0;
}

static int parse_key(struct agent_spec *s, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"file", "env"};
	const char *file = NULL, *env = NULL;
	if (!node)
		return 0;
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = yaml_str(yaml_get(node, "file"), "file", &file, out_why);
	if (!rc)
		rc = yaml_str(yaml_get(node, "env"), "env", &env, out_why);
	if (!rc && (file[0] != '/' || !name_of_variable(env)))
		rc = yaml_error(node, out_why, "key: {file: /absolute/path, env: VARIABLE}");
	if (rc)
		return rc;
	free(s->key_file);
	free(s->key_env);
	s->key_file = mem_strdup(file);
	s->key_env = mem_strdup(env);
	return 0;
}

static int parse(void *spec, struct catalogue *cat, const struct yaml_node *node,
		 struct why *out_why)
{
	struct agent_spec *s = spec;
	const struct yaml_node *prompt = yaml_get(node, "prompt");
	int rc = parse_list(&s->argv, yaml_get(node, "argv"), "argv", out_why);
	if (!rc)
		rc = parse_list(&s->hosts, yaml_get(node, "hosts"), "hosts", out_why);
	if (!rc)
		rc = parse_list(&s->readonly, yaml_get(node, "readonly"), "readonly", out_why);
	if (!rc)
		rc = parse_env(&s->env, yaml_get(node, "env"), out_why);
	if (!rc)
		rc = parse_key(s, yaml_get(node, "key"), out_why);
	return rc || !prompt ? rc : catalogue_template(cat, prompt, "prompt", &s->prompt, out_why);
}

static int check_hosts(const struct agent_spec *s, struct why *out_why)
{
	const struct proxy_rules rules = {.hosts = (const char *const *)s->hosts.items,
					  .n_hosts = s->hosts.n};
	struct proxy *p = NULL;
	int fd = -1;
	int rc = proxy_open(&rules, &p, &fd, out_why);
	if (rc)
		return rc == ERR_IO ? 0 : rc;
	proxy_close(p);
	close(fd);
	return 0;
}

static int check(const void *spec, struct why *out_why)
{
	const struct agent_spec *s = spec;
	if (s->argv.n == 0 || s->argv.items[0][0] != '/')
		return why_set(out_why, ERR_CONFIG, "argv: must begin with an absolute path");
	if (!s->prompt)
		return why_set(out_why, ERR_CONFIG, "prompt: missing");
	for (size_t i = 0; i < s->readonly.n; i++)
		if (!path_is_plain(s->readonly.items[i]))
			return why_set(out_why, ERR_CONFIG, "readonly: \"%s\" is not a plain path",
				       s->readonly.items[i]);
	return check_hosts(s, out_why);
}

/* ---- rendering ---- */

static void rendered_free(void *rendered)
{
	struct agent_job *j = rendered;
	if (!j)
		return;
	git_target_release(&j->git.target);
	free(j->git.sha);
	free(j->git.branch);
	free(j->prompt);
	free(j);
}

static char *param(const struct render_input *in, const char *name)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(in->json, "params"), name));
	return mem_strdup(text ? text : "");
}

static void show(const struct agent_job *j, struct buf *out)
{
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	digest_sha256(j->prompt, strlen(j->prompt), digest);
	hex_encode(digest, sizeof(digest), hex);
	buf_add_str(out, "let");
	for (size_t i = 0; i < j->spec->argv.n; i++)
		buf_printf(out, " %s", j->spec->argv.items[i]);
	buf_printf(out, " change %s at %s; it may reach", j->git.target.repository, j->git.sha);
	for (size_t i = 0; i < j->spec->hosts.n; i++)
		buf_printf(out, " %s", j->spec->hosts.items[i]);
	buf_printf(out, "%s\nprompt (%zu bytes, sha256 %s):\n%s",
		   j->spec->hosts.n ? "" : " no host", strlen(j->prompt), hex, j->prompt);
}

static int fill(struct agent_job *j, const struct render_input *in, struct why *out_why)
{
	auto_buf prompt = {0};
	j->git.sha = param(in, "sha");
	j->git.branch = param(in, "branch");
	/* What it makes is only told: who plans with it has it weighed. */
	j->git.level = HEALBUS__LEVEL__LEVEL_HARD;
	if (!git_sha_valid(j->git.sha))
		return why_set(out_why, ERR_INVALID, "parameter sha: must be a full commit id");
	if (*j->git.branch && !git_branch_valid(j->git.branch))
		return why_set(out_why, ERR_INVALID, "parameter branch: not a branch's name");
	int rc = git_target_parse(json_object_get(in->json, "target"), &j->git.target, out_why);
	if (!rc)
		rc = catalogue_render(in->cat, j->spec->prompt, in->json, &prompt, out_why);
	if (!rc)
		j->prompt = mem_strdup(buf_str(&prompt));
	return rc;
}

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why)
{
	struct agent_job *j = mem_alloc(sizeof(*j));
	j->spec = spec;
	int rc = fill(j, in, out_why);
	if (rc) {
		rendered_free(j);
		return rc;
	}
	show(j, out_text);
	*out = j;
	return 0;
}

/* ---- running ---- */

/* One run of an agent. */
struct agent_run {
	const struct agent_job *job;
	struct git_work work;
	struct secret key;
	struct proxy *proxy;
	int proxy_fd; /* 0: no network at all */
	char *env[LIST_MAX + 12];
	struct sandbox_bind binds[LIST_MAX];
};

static void fill_env(struct agent_run *a)
{
	size_t n = 0;
	a->env[n++] = mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin");
	a->env[n++] = mem_strdup("LANG=C.UTF-8");
	a->env[n++] = mem_strdup("HOME=/tmp");
	a->env[n++] = mem_strdup("TMPDIR=/tmp");
	a->env[n++] = mem_strdup("CI=true");
	if (a->proxy_fd) {
		a->env[n++] = mem_printf("HTTPS_PROXY=http://127.0.0.1:%d", PROXY_PORT);
		a->env[n++] = mem_printf("https_proxy=http://127.0.0.1:%d", PROXY_PORT);
	}
	for (size_t i = 0; i < a->job->spec->env.n; i++)
		a->env[n++] = mem_strdup(a->job->spec->env.items[i]);
	if (a->key.len)
		a->env[n++] = mem_printf("%s=%s", a->job->spec->key_env, a->key.data);
}

/* The key's text is in the environment that was copied: it must not stay in freed memory. */
static void release(struct agent_run *a)
{
	for (size_t i = 0; a->env[i]; i++) {
		explicit_bzero(a->env[i], strlen(a->env[i]));
		free(a->env[i]);
	}
	proxy_close(a->proxy);
	if (a->proxy_fd)
		close(a->proxy_fd);
	secret_release(&a->key);
	secret_release(&a->work.token);
	workspace_close(&a->work.ws);
}

static int open_ways(struct agent_run *a, struct why *out_why)
{
	const struct agent_spec *s = a->job->spec;
	const struct proxy_rules rules = {.hosts = (const char *const *)s->hosts.items,
					  .n_hosts = s->hosts.n};
	int rc = secret_read(&a->key, s->key_file, out_why);
	if (!rc && s->hosts.n)
		rc = proxy_open(&rules, &a->proxy, &a->proxy_fd, out_why);
	if (!rc)
		fill_env(a);
	return rc;
}

/* Where the key stood in what the agent printed. */
static void hide_key(const struct secret *key, struct buf *text)
{
	for (char *at; key->len && text->len >= key->len &&
		       (at = memmem(text->data, text->len, key->data, key->len));)
		memset(at, '*', key->len);
}

static int run_program(struct agent_run *a, const char *tree)
{
	const struct agent_spec *s = a->job->spec;
	struct git_work *w = &a->work;
	auto_free char *prompt = mem_printf("%s/%s", w->ws.path, PROMPT_FILE);
	const struct cell cell = {.dir = tree,
				  .scratch_dir = w->ws.path,
				  .input = prompt,
				  .room = {.disk_bytes = w->job->target.disk_bytes}};
	struct sandbox_job job = {.argv = s->argv.items,
				  .env = a->env,
				  .binds = a->binds,
				  .n_binds = s->readonly.n,
				  .proxy = a->proxy_fd,
				  .bounds = {.memory_bytes = w->job->target.memory_bytes,
					     .processes = w->job->target.processes}};
	struct run_limits own = *w->limits;
	struct run_result r = {0};
	for (size_t i = 0; i < s->readonly.n; i++)
		a->binds[i].path = s->readonly.items[i];
	own.timeout_ms = MAX(git_left_ms(w), 1);
	own.output_limit_bytes = AGENT_OUTPUT_BYTES;
	own.keep_end = true;
	own.target = NULL;
	cell_run(&cell, &job, &own, &r);
	hide_key(&a->key, &r.output);
	buf_add(&w->result->output, buf_str(&r.output), r.output.len);
	w->result->truncated = r.truncated;
	w->result->exit_code = r.exit_code;
	buf_release(&r.output);
	w->result->not_tried = r.not_tried;
	if (r.state != RUN_ENDED)
		return git_fail(w, "the agent: %.400s", r.why.text);
	return r.exit_code ? git_fail(w, "the agent ended with exit code %d", r.exit_code) : 0;
}

static int take_diff(struct agent_run *a, const char *tree)
{
	struct git_work *w = &a->work;
	auto_free char *git_dir = mem_printf("%s/git", w->ws.path);
	const struct cell_tree t = {.dir = tree,
				    .git_dir = git_dir,
				    .timeout_ms = AGENT_DIFF_MS,
				    .limit_bytes = AGENT_PATCH_BYTES};
	auto_buf patch = {0};
	struct why why = {0};
	if (cell_diff(&t, &patch, &why))
		return git_fail(w, "what the agent did cannot be taken: %.400s", why.text);
	if (patch.len == 0)
		return git_fail(w, "the agent changed nothing");
	if (a->key.len && memmem(patch.data, patch.len, a->key.data, a->key.len))
		return git_fail(w, "the agent wrote its own key into the patch");
	if (memchr(patch.data, 0, patch.len) || !utf8_valid(patch.data, patch.len))
		return git_fail(w, "the agent's patch is not text");
	int rc = git_review(w, &patch);
	if (!rc)
		w->result->patch = mem_strdup(patch.data);
	return rc;
}

static void tell_refused(struct agent_run *a)
{
	auto_buf hosts = {0};
	if (a->proxy)
		proxy_refused(a->proxy, &hosts);
	if (hosts.len)
		buf_printf(&a->work.result->output, "\nhosts that are not listed: %s\n",
			   buf_str(&hosts));
}

static void act(struct agent_run *a)
{
	struct git_work *w = &a->work;
	int rc = git_clone(w);
	auto_free char *tree = mem_printf("%s/tree", w->ws.path ? w->ws.path : "");
	if (!rc && workspace_write(&w->ws, PROMPT_FILE, a->job->prompt, strlen(a->job->prompt),
				   &w->result->why))
		rc = ERR_REJECTED;
	if (!rc)
		rc = run_program(a, tree);
	tell_refused(a);
	if (!rc)
		rc = take_diff(a, tree);
	if (!rc)
		w->result->state = RUN_ENDED;
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	const struct agent_job *j = rendered;
	struct agent_run a = {.job = j,
			      .work = {.job = &j->git,
				       .limits = limits,
				       .ws = WORKSPACE_NONE,
				       .deadline_mono_ms = clock_mono_ms() + limits->timeout_ms,
				       .result = result}};
	result->state = RUN_FAILED;
	result->not_tried = true;
	if (sandbox_level() == SANDBOX_NONE)
		why_set(&result->why, ERR_DENIED, "no sandbox: refused");
	else if (sandbox_user(NULL, &a.work.ids, &result->why) == 0 &&
		 open_ways(&a, &result->why) == 0)
		act(&a);
	release(&a);
}

static const char *const keys[] = {"argv", "prompt", "hosts", "readonly", "env", "key"};

const struct runner runner_agent = {.name = "agent",
				    .keys = keys,
				    .n_keys = ARRAY_SIZE(keys),
				    .takes_texts = true,
				    .confined = true,
				    .ticks = true,
				    .spec_new = spec_new,
				    .spec_free = spec_free,
				    .parse = parse,
				    .check = check,
				    .render = render,
				    .rendered_free = rendered_free,
				    .run = run};
