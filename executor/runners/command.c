/* Runs a program in the sandbox. Every template is exactly one element of argv; no shell. */
#include "common/mem.h"
#include "executor/runners/runner.h"
#include "executor/sandboxes/sandbox.h"

enum { ARGV_MAX = 64, ENV_MAX = 32, BINDS_MAX = 16 };

struct bind_spec {
	struct template *path;
	struct template *at;
	bool writable;
};

struct env_spec {
	char *name;
	struct template *value;
};

struct command_spec {
	struct template *argv[ARGV_MAX];
	char *source[ARGV_MAX];
	size_t n_argv;
	struct env_spec env[ENV_MAX];
	size_t n_env;
	struct bind_spec binds[BINDS_MAX];
	size_t n_binds;
	struct template *user;
	bool network;
	bool unconfined;
};

struct command {
	char *argv[ARGV_MAX + 1];
	char *env[ENV_MAX + 8];
	struct sandbox_bind binds[BINDS_MAX];
	size_t n_binds;
	char *user;
	bool network;
	bool unconfined;
};

static void *spec_new(void)
{
	return mem_alloc(sizeof(struct command_spec));
}

static void argv_clear(struct command_spec *s)
{
	for (size_t i = 0; i < s->n_argv; i++)
		free(s->source[i]);
	s->n_argv = 0;
}

static void spec_free(void *spec)
{
	struct command_spec *s = spec;
	argv_clear(s);
	for (size_t i = 0; i < s->n_env; i++)
		free(s->env[i].name);
	free(s);
}

/* ---- parsing ---- */

static int parse_argv(struct command_spec *s, struct catalogue *cat, const struct yaml_node *node,
		      struct why *out_why)
{
	if (!node)
		return 0;
	if (node->type != YAML_LIST || node->count == 0 || node->count > ARGV_MAX)
		return yaml_error(node, out_why, "argv: a list of 1-%d elements", ARGV_MAX);
	argv_clear(s);
	YAML_EACH(item, node)
	{
		int rc = catalogue_template(cat, item, "argv", &s->argv[s->n_argv], out_why);
		if (rc)
			return rc;
		s->source[s->n_argv++] = mem_strdup(item->scalar);
	}
	return 0;
}

static int parse_env(struct command_spec *s, struct catalogue *cat, const struct yaml_node *node,
		     struct why *out_why)
{
	YAML_EACH(item, node)
	{
		if (s->n_env == ENV_MAX)
			return yaml_error(item, out_why, "env: at most %d variables", ENV_MAX);
		if (strspn(item->key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") !=
			    strlen(item->key) ||
		    str_starts(item->key, "LD_") || str_eq(item->key, "PATH"))
			return yaml_error(item, out_why, "env: %s may not be set", item->key);
		struct env_spec *e = &s->env[s->n_env];
		int rc = catalogue_template(cat, item, "env", &e->value, out_why);
		if (rc)
			return rc;
		e->name = mem_strdup(item->key);
		s->n_env++;
	}
	return 0;
}

static int parse_bind(struct bind_spec *b, struct catalogue *cat, const struct yaml_node *item,
		      struct why *out_why)
{
	static const char *const keys[] = {"path", "at"};
	if (item->type == YAML_SCALAR)
		return catalogue_template(cat, item, "sandbox", &b->path, out_why);
	int rc = yaml_only_keys(item, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = catalogue_template(cat, yaml_get(item, "path"), "path", &b->path, out_why);
	const struct yaml_node *at = yaml_get(item, "at");
	return rc || !at ? rc : catalogue_template(cat, at, "at", &b->at, out_why);
}

static int parse_binds(struct command_spec *s, struct catalogue *cat, const struct yaml_node *node,
		       bool writable, struct why *out_why)
{
	YAML_EACH(item, node)
	{
		if (s->n_binds == BINDS_MAX)
			return yaml_error(item, out_why, "sandbox: at most %d paths", BINDS_MAX);
		struct bind_spec *b = &s->binds[s->n_binds++];
		*b = (struct bind_spec){.writable = writable};
		int rc = parse_bind(b, cat, item, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_sandbox(struct command_spec *s, struct catalogue *cat,
			 const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"writable", "readonly", "user"};
	if (!node)
		return 0;
	if (node->type == YAML_SCALAR && str_eq(node->scalar, "none")) {
		s->unconfined = true;
		return 0;
	}
	s->n_binds = 0;
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = parse_binds(s, cat, yaml_get(node, "writable"), true, out_why);
	if (!rc)
		rc = parse_binds(s, cat, yaml_get(node, "readonly"), false, out_why);
	const struct yaml_node *user = yaml_get(node, "user");
	return rc || !user ? rc : catalogue_template(cat, user, "user", &s->user, out_why);
}

static int parse(void *spec, struct catalogue *cat, const struct yaml_node *node,
		 struct why *out_why)
{
	struct command_spec *s = spec;
	int rc = parse_argv(s, cat, yaml_get(node, "argv"), out_why);
	if (!rc)
		rc = parse_env(s, cat, yaml_get(node, "env"), out_why);
	if (!rc)
		rc = parse_sandbox(s, cat, yaml_get(node, "sandbox"), out_why);
	const struct yaml_node *network = yaml_get(node, "network");
	return rc || !network ? rc : yaml_bool(network, "network", &s->network, out_why);
}

/* ---- what may be run at all ---- */

/* Programs that run other programs or text they are given: with any free argument they are a shell.
 */
static const char *const interpreters[] = {
	"sh",          "bash",     "dash",   "zsh",     "ksh",    "fish",   "csh",     "tcsh",
	"busybox",     "env",      "xargs",  "python",  "perl",   "ruby",   "node",    "nodejs",
	"php",         "lua",      "tclsh",  "awk",     "gawk",   "mawk",   "nawk",    "sed",
	"ed",          "vi",       "vim",    "ex",      "emacs",  "make",   "gdb",     "strace",
	"ssh",         "scp",      "rsync",  "tar",     "zip",    "git",    "docker",  "podman",
	"nsenter",     "unshare",  "chroot", "bwrap",   "su",     "sudo",   "runuser", "setpriv",
	"timeout",     "nice",     "nohup",  "ionice",  "chrt",   "stdbuf", "watch",   "script",
	"expect",      "psql",     "mysql",  "sqlite3", "jq",     "npx",    "npm",     "socat",
	"nc",          "parallel", "time",   "flock",   "setsid", "ld.so",  "dd",      "tee",
	"systemd-run", "crontab",  "at",     "batch"};

static const char *const find_actions[] = {"-exec", "-execdir", "-ok",      "-okdir",
					   "-fls",  "-fprint",  "-fprint0", "-fprintf"};

static bool is_interpreter(const char *program)
{
	const char *slash = strrchr(program, '/');
	const char *name = slash ? slash + 1 : program;
	/* python3.11, lua5.4: the version does not make it another program. */
	size_t len = strcspn(name, "0123456789.-");
	for (size_t i = 0; i < ARRAY_SIZE(interpreters); i++) {
		const char *known = interpreters[i];
		if (str_eq(name, known))
			return true;
		if (len > 2 && strlen(known) == len && strncmp(known, name, len) == 0)
			return true;
	}
	return strncmp(name, "ld-linux", 8) == 0 || strncmp(name, "ld.so", 5) == 0;
}

static int check_find(const struct command_spec *s, struct why *out_why)
{
	for (size_t i = 1; i < s->n_argv; i++)
		for (size_t k = 0; k < ARRAY_SIZE(find_actions); k++)
			if (str_eq(s->source[i], find_actions[k]))
				return why_set(out_why, ERR_CONFIG, "argv: find may not %s",
					       find_actions[k]);
	return 0;
}

static int check(const void *spec, struct why *out_why)
{
	const struct command_spec *s = spec;
	if (s->n_argv == 0)
		return why_set(out_why, ERR_CONFIG, "argv: missing");
	const char *program = s->source[0];
	if (!template_is_constant(s->argv[0]) || program[0] != '/')
		return why_set(out_why, ERR_CONFIG, "argv: must begin with an absolute path");
	bool constant = true;
	for (size_t i = 1; i < s->n_argv; i++)
		constant = constant && template_is_constant(s->argv[i]);
	if (is_interpreter(program) && !constant)
		return why_set(out_why, ERR_CONFIG,
			       "argv: %s runs what it is given, so its arguments must be constant",
			       program);
	const char *slash = strrchr(program, '/');
	return str_eq(slash + 1, "find") ? check_find(s, out_why) : 0;
}

/* ---- rendering ---- */

static void rendered_free(void *rendered)
{
	struct command *c = rendered;
	if (!c)
		return;
	for (size_t i = 0; c->argv[i]; i++)
		free(c->argv[i]);
	for (size_t i = 0; c->env[i]; i++)
		free(c->env[i]);
	for (size_t i = 0; i < c->n_binds; i++) {
		free(c->binds[i].path);
		free(c->binds[i].at);
	}
	free(c->user);
	free(c);
}

static int render_text(const struct render_input *in, struct template *t, char **out,
		       struct why *out_why)
{
	auto_buf text = {0};
	int rc = catalogue_render(in->cat, t, in->json, &text, out_why);
	if (!rc && memchr(buf_str(&text), 0, text.len))
		rc = why_set(out_why, ERR_INVALID, "a NUL in an argument");
	if (!rc)
		*out = mem_strdup(buf_str(&text));
	return rc;
}

static int render_env(const struct command_spec *s, const struct render_input *in,
		      struct command *c, struct why *out_why)
{
	static const char *const base[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
					   "HOME=/tmp", "TMPDIR=/tmp"};
	size_t n = 0;
	for (; n < ARRAY_SIZE(base); n++)
		c->env[n] = mem_strdup(base[n]);
	for (size_t i = 0; i < s->n_env; i++) {
		auto_free char *value = NULL;
		int rc = render_text(in, s->env[i].value, &value, out_why);
		if (rc)
			return rc;
		c->env[n++] = mem_printf("%s=%s", s->env[i].name, value);
	}
	return 0;
}

static int render_binds(const struct command_spec *s, const struct render_input *in,
			struct command *c, struct why *out_why)
{
	for (size_t i = 0; i < s->n_binds; i++) {
		struct sandbox_bind *b = &c->binds[c->n_binds++];
		b->writable = s->binds[i].writable;
		int rc = render_text(in, s->binds[i].path, &b->path, out_why);
		if (!rc && s->binds[i].at)
			rc = render_text(in, s->binds[i].at, &b->at, out_why);
		if (rc)
			return rc;
		const char *at = b->at ? b->at : b->path;
		/* "/host/" + "/" is how a tool shows a whole root elsewhere. */
		if (!path_is_plain(b->path) || at[0] != '/' || str_eq(at, "/"))
			return why_set(out_why, ERR_INVALID, "sandbox: \"%s\" is not a plain path",
				       b->path);
	}
	return 0;
}

static void show(const struct command *c, struct buf *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789_@%+=:,./-";
	for (size_t i = 0; c->argv[i]; i++) {
		const char *a = c->argv[i];
		if (i)
			buf_add_char(out, ' ');
		if (*a && strspn(a, plain) == strlen(a))
			buf_add_str(out, a);
		else
			buf_add_json(out, a, strlen(a));
	}
	if (c->user)
		buf_printf(out, "  (as %s)", c->user);
	if (c->unconfined)
		buf_add_str(out, "  (without a sandbox)");
}

static int fill(const struct command_spec *s, const struct render_input *in, struct command *c,
		struct why *out_why)
{
	c->network = s->network;
	c->unconfined = s->unconfined;
	int rc = 0;
	for (size_t i = 0; !rc && i < s->n_argv; i++)
		rc = render_text(in, s->argv[i], &c->argv[i], out_why);
	if (!rc && s->user)
		rc = render_text(in, s->user, &c->user, out_why);
	if (!rc)
		rc = render_env(s, in, c, out_why);
	return rc ? rc : render_binds(s, in, c, out_why);
}

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why)
{
	struct command *c = mem_alloc(sizeof(*c));
	int rc = fill(spec, in, c, out_why);
	if (rc) {
		rendered_free(c);
		return rc;
	}
	show(c, out_text);
	*out = c;
	return 0;
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	const struct command *c = rendered;
	struct sandbox_job job = {.argv = c->argv,
				  .env = c->env,
				  .binds = c->binds,
				  .n_binds = c->n_binds,
				  .user = c->user,
				  .network = c->network,
				  .unconfined = c->unconfined};
	sandbox_run(&job, limits, result);
}

static bool unconfined(const void *rendered)
{
	const struct command *c = rendered;
	return c->unconfined;
}

static const char *const keys[] = {"argv", "env", "sandbox", "network"};

const struct runner runner_command = {.name = "command",
				      .keys = keys,
				      .n_keys = ARRAY_SIZE(keys),
				      .confined = true,
				      .ticks = true,
				      .spec_new = spec_new,
				      .spec_free = spec_free,
				      .parse = parse,
				      .check = check,
				      .render = render,
				      .rendered_free = rendered_free,
				      .unconfined = unconfined,
				      .run = run};
