#include "executor/runners/git_private.h"

#include "common/clock.h"
#include "common/mem.h"

static int bad(struct why *out_why, const char *attribute, const char *what)
{
	return why_set(out_why, ERR_CONFIG, "attributes.%s: %s", attribute, what);
}

void git_target_release(struct git_target *t)
{
	free(t->id);
	free(t->url);
	free(t->scheme);
	free(t->repository);
	free(t->default_branch);
	free(t->token_file);
	free(t->api);
	free(t->sandbox);
	for (size_t i = 0; i < t->n_checks; i++) {
		for (size_t k = 0; t->checks[i].argv[k]; k++)
			free(t->checks[i].argv[k]);
		free(t->checks[i].report);
	}
	for (size_t i = 0; t->env[i]; i++)
		free(t->env[i]);
	for (size_t i = 0; i < t->n_readonly; i++)
		free(t->readonly[i]);
	json_decref(t->guard);
	for (size_t i = 0; i < t->n_network; i++)
		free(t->network[i]);
	*t = (struct git_target){0};
}

/* ---- names ---- */

bool git_sha_valid(const char *sha)
{
	return strlen(sha) == GIT_SHA_LEN && strspn(sha, "0123456789abcdef") == GIT_SHA_LEN;
}

/* git-check-ref-format(1), and nothing that a shell, an option or a refspec could mistake. */
bool git_branch_valid(const char *name)
{
	size_t len = strlen(name);
	if (len == 0 || len > GIT_REF_MAX || strchr("-/.+", name[0]) || str_eq(name, "HEAD") ||
	    str_starts(name, "refs/"))
		return false;
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p))
			return false;
		bool slash = p[0] == '/' && (p[1] == '/' || p[1] == '.' || p[1] == 0);
		bool dots = p[0] == '.' && (p[1] == '.' || p[1] == '/' || p[1] == 0);
		if (slash || dots || (p[0] == '@' && p[1] == '{') || str_starts(p, ".lock/"))
			return false;
	}
	return len < 5 || !str_eq(name + len - 5, ".lock");
}

/* The host of a URL, without user and port. */
static char *host_of(const char *url)
{
	const char *start = url ? strstr(url, "://") : NULL;
	if (!start)
		return mem_strdup("");
	start += 3;
	size_t len = strcspn(start, "/?#");
	const char *at = memrchr(start, '@', len);
	if (at) {
		len -= (size_t)(at + 1 - start);
		start = at + 1;
	}
	size_t host = start[0] == '[' ? strcspn(start, "]") + 1 : strcspn(start, ":/?#");
	return mem_dup(start, MIN(host, len));
}

bool git_host_is_github(const char *url, const char *api_url)
{
	auto_free char *host = host_of(url);
	auto_free char *api = host_of(api_url);
	if (strcasecmp(api, "api.github.com") == 0)
		return strcasecmp(host, "github.com") == 0;
	return *host && strcasecmp(host, api) == 0;
}

/* ---- attributes ---- */

static int take_text(const json_t *target, const char *name, char **out, struct why *out_why)
{
	const json_t *value = json_object_get(target, name);
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value) || strpbrk(json_string_value(value), "\r\n"))
		return bad(out_why, name, "must be one line of text");
	*out = mem_strdup(json_string_value(value));
	return 0;
}

static int take_bytes(const json_t *target, const char *name, int64_t *out, struct why *out_why)
{
	const json_t *value = json_object_get(target, name);
	if (!value)
		return 0;
	if (json_is_integer(value) && json_integer_value(value) > 0) {
		*out = json_integer_value(value);
		return 0;
	}
	const char *text = json_string_value(value);
	if (!text || bytes_parse(text, out) || *out <= 0)
		return bad(out_why, name, "must be a size such as 4GiB");
	return 0;
}

/* No user or password in it: it is shown, and kept by git. */
static int check_url(struct git_target *t, struct why *out_why)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-._~:/[]%+";
	const char *colon = t->url ? strstr(t->url, "://") : NULL;
	if (!colon)
		return bad(out_why, "url", "must be https://..., http://... or file:///...");
	t->scheme = mem_dup(t->url, (size_t)(colon - t->url));
	bool file = str_eq(t->scheme, "file");
	if (!file && !str_eq(t->scheme, "https") && !str_eq(t->scheme, "http"))
		return bad(out_why, "url", "must be https://..., http://... or file:///...");
	if (strspn(t->url, plain) != strlen(t->url))
		return bad(out_why, "url", "holds a character that may not be in it (a user?)");
	if (file && !path_is_plain(colon + 3))
		return bad(out_why, "url", "must be file:// and a plain absolute path");
	return 0;
}

/* The last two parts of the path. */
static char *repository_of(const char *url)
{
	size_t len = strlen(url);
	if (len > 4 && str_eq(url + len - 4, ".git"))
		len -= 4;
	const char *slash = memrchr(url, '/', len);
	const char *before = slash ? memrchr(url, '/', (size_t)(slash - url)) : NULL;
	return before ? mem_dup(before + 1, len - (size_t)(before + 1 - url)) : mem_strdup("");
}

static int check_names(struct git_target *t, struct why *out_why)
{
	if (!t->repository)
		t->repository = repository_of(t->url);
	if (!github_repository_valid(t->repository))
		return bad(out_why, "repository", "must be owner/name");
	if (!t->default_branch)
		t->default_branch = mem_strdup("main");
	if (!git_branch_valid(t->default_branch))
		return bad(out_why, "default_branch", "is not a branch's name");
	if (t->token_file && t->token_file[0] != '/')
		return bad(out_why, "token_file", "must be an absolute path");
	return 0;
}

/* ---- checks ---- */

static int take_argv(const json_t *list, struct git_check *c, struct why *out_why)
{
	size_t n = json_array_size(list);
	if (n == 0 || n > CHECK_ARGS_MAX)
		return bad(out_why, "checks", "a check is a list of 1-64 arguments");
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (!text)
			return bad(out_why, "checks", "an argument must be text: quote it");
		c->argv[i] = mem_strdup(text);
	}
	return c->argv[0][0] == '/'
		       ? 0
		       : bad(out_why, "checks", "a check begins with an absolute program");
}

static bool inside(const char *path)
{
	auto_free char *rooted = mem_printf("/%s", path);
	return *path && path_is_plain(rooted);
}

static int take_check_map(const json_t *item, struct git_check *c, struct why *out_why)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)item, key, value)
	{
		if (str_eq(key, "argv"))
			continue;
		if (str_eq(key, "timeout") && json_is_string(value) &&
		    duration_parse(json_string_value(value), &c->timeout_ms) == 0 &&
		    c->timeout_ms > 0)
			continue;
		if (!str_eq(key, "report") || !json_is_string(value) ||
		    !inside(json_string_value(value)))
			return bad(out_why, "checks",
				   "a check is a list, or {argv, report (a path inside), timeout}");
		c->report = mem_strdup(json_string_value(value));
	}
	return take_argv(json_object_get(item, "argv"), c, out_why);
}

static int take_checks(const json_t *target, struct git_target *t, struct why *out_why)
{
	const json_t *list = json_object_get(target, "checks"), *item;
	size_t i;
	int rc = 0;
	if (list && !json_is_array(list))
		return bad(out_why, "checks", "must be a list of commands");
	json_array_foreach(list, i, item)
	{
		if (t->n_checks == CHECKS_MAX)
			return bad(out_why, "checks", "at most 16");
		struct git_check *c = &t->checks[t->n_checks++];
		c->timeout_ms = CHECK_TIMEOUT_MS;
		rc = json_is_object(item) ? take_check_map(item, c, out_why)
					  : take_argv(item, c, out_why);
		if (rc)
			return rc;
	}
	return rc;
}

static int take_env(const json_t *target, struct git_target *t, struct why *out_why)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	const char *key;
	json_t *value;
	size_t n = 0;
	json_object_foreach(json_object_get(target, "env"), key, value)
	{
		bool name = *key && strspn(key, letters) == strlen(key) && !str_starts(key, "LD_");
		if (!name || !json_is_string(value) || n == CHECK_ENV_MAX)
			return bad(out_why, "env",
				   "must be a map of at most 32 texts, keys A-Z0-9_");
		t->env[n++] = mem_printf("%s=%s", key, json_string_value(value));
	}
	return 0;
}

static int take_readonly(const json_t *target, struct git_target *t, struct why *out_why)
{
	const json_t *item;
	size_t i;
	json_array_foreach(json_object_get(target, "readonly"), i, item)
	{
		const char *path = json_string_value(item);
		if (!path || !path_is_plain(path) || str_eq(path, "/") ||
		    t->n_readonly == CHECK_BINDS_MAX)
			return bad(out_why, "readonly", "must be a list of at most 8 plain paths");
		t->readonly[t->n_readonly++] = mem_strdup(path);
	}
	return 0;
}

static int take_network(const json_t *target, struct git_target *t, struct why *out_why)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789.-:";
	const json_t *item;
	size_t i;
	json_array_foreach(json_object_get(target, "network"), i, item)
	{
		const char *host = json_string_value(item);
		if (!host || !*host || strspn(host, plain) != strlen(host) ||
		    t->n_network == CHECK_HOSTS_MAX)
			return bad(out_why, "network", "must be a list of at most 32 host[:port]");
		t->network[t->n_network++] = mem_strdup(host);
	}
	return 0;
}

static int take_bounds(const json_t *target, struct git_target *t, struct why *out_why)
{
	t->memory_bytes = CHECK_MEMORY_BYTES;
	t->disk_bytes = CHECK_DISK_BYTES;
	t->processes = CHECK_PROCESSES;
	const json_t *processes = json_object_get(target, "processes");
	if (processes && json_integer_value(processes) <= 0)
		return bad(out_why, "processes", "must be a number");
	if (processes)
		t->processes = json_integer_value(processes);
	int rc = take_bytes(target, "memory", &t->memory_bytes, out_why);
	return rc ? rc : take_bytes(target, "disk", &t->disk_bytes, out_why);
}

int git_target_parse(const json_t *target, struct git_target *out, struct why *out_why)
{
	static const struct {
		const char *name;
		size_t offset;
	} texts[] = {{"id", offsetof(struct git_target, id)},
		     {"url", offsetof(struct git_target, url)},
		     {"repository", offsetof(struct git_target, repository)},
		     {"default_branch", offsetof(struct git_target, default_branch)},
		     {"token_file", offsetof(struct git_target, token_file)},
		     {"api", offsetof(struct git_target, api)},
		     {"sandbox", offsetof(struct git_target, sandbox)}};
	const char *kind = json_string_value(json_object_get(target, "kind"));
	int rc = kind && str_eq(kind, "repository")
			 ? 0
			 : why_set(out_why, ERR_CONFIG, "the target's kind is not repository");
	for (size_t i = 0; !rc && i < ARRAY_SIZE(texts); i++)
		rc = take_text(target, texts[i].name, (char **)((char *)out + texts[i].offset),
			       out_why);
	if (!rc && out->sandbox && !place_find(out->sandbox))
		rc = why_set(out_why, ERR_CONFIG, "attributes.sandbox: there is no %s",
			     out->sandbox);
	out->guard = json_incref(json_object_get(target, "guard"));
	if (!rc)
		rc = check_url(out, out_why);
	if (!rc)
		rc = check_names(out, out_why);
	if (!rc)
		rc = take_checks(target, out, out_why);
	if (!rc)
		rc = take_env(target, out, out_why);
	if (!rc)
		rc = take_readonly(target, out, out_why);
	if (!rc)
		rc = take_network(target, out, out_why);
	if (!rc && out->sandbox && (out->n_network || out->n_readonly))
		rc = why_set(out_why, ERR_CONFIG,
			     "attributes.sandbox: %s has no network and no readonly", out->sandbox);
	return rc ? rc : take_bounds(target, out, out_why);
}
