#include "notifier/ctl/ctl.h"

#include <pwd.h>
#include <sys/stat.h>

#include "common/mem.h"

enum { CALL_TIMEOUT_MS = 10000, ANSWER_MAX_BYTES = 64 << 20 };

const char *ctl_url(const struct ctl *c)
{
	const char *url = ctl_flag(c, "url");

	if (c->base)
		return c->base;
	if (!url)
		url = getenv("HEALBUS_URL");
	return url && *url ? url : "http://127.0.0.1:9098";
}

/* NULL: none. free(). */
static char *token_file(const struct ctl *c)
{
	const char *file = ctl_flag(c, "token-file"), *home = getenv("HOME");
	struct stat st;

	if (!file)
		file = getenv("HEALBUS_TOKEN_FILE");
	if (file && *file)
		return mem_strdup(file);
	if (!home)
		return NULL;
	char *path = mem_printf("%s/.config/healbus/token", home);
	if (stat(path, &st) == 0)
		return path;
	free(path);
	return NULL;
}

const char *ctl_by(void)
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *p = getpwuid(getuid());

	if (sudo && *sudo)
		return sudo;
	return p && p->pw_name && *p->pw_name ? p->pw_name : "unknown";
}

static void add_escaped(struct buf *b, const char *s)
{
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;
		bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			     (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '.';

		if (plain)
			buf_add_char(b, *s);
		else
			buf_printf(b, "%%%02X", ch);
	}
}

void ctl_segment(struct buf *path, const char *segment)
{
	buf_add_char(path, '/');
	/* "." and ".." would name another resource */
	if (str_eq(segment, ".") || str_eq(segment, ".."))
		buf_add_char(path, '_');
	add_escaped(path, segment);
}

void ctl_query(struct buf *path, const char *name, const char *value)
{
	buf_add_char(path, strchr(buf_str(path), '?') ? '&' : '?');
	buf_printf(path, "%s=", name);
	add_escaped(path, value);
}

/* ---- what to do about an answer ---- */

static const struct {
	long status;
	const char *next;
} hints[] = {
	{400, "healctl help COMMAND says what it takes"},
	{401, "give the notifier's token: --token-file FILE, or put it into "
	      "~/.config/healbus/token (mode 0600)"},
	{403, "healctl people says who may what; without tokens the notifier serves local "
	      "requests only"},
	{404, "healctl incidents --all, plan, approvals, changes or silence ls show the ids"},
	{409, "healctl story INCIDENT shows what happened; a longer prefix names one thing only"},
	{413, "send less"},
	{429, "wait a moment and try again"},
	{500, "the notifier's log says more"},
	{503, "the notifier runs but cannot do it now; healctl doctor says why"},
};

static const char *hint_of(long status)
{
	for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
		if (hints[i].status == status)
			return hints[i].next;
	}
	return status >= 500 ? "the notifier's log says more" : "healctl doctor";
}

static int refused(const struct http_answer *a)
{
	auto_json *j = json_loadb(buf_str(&a->body), a->body.len, 0, NULL);
	const char *reason = js(j, "reason"), *error = js(j, "error");
	auto_buf text = {0};
	size_t i;
	const json_t *candidate;

	buf_printf(&text, "%s", *reason ? reason : *error ? error : "no reason given");
	json_array_foreach(json_object_get(j, "candidates"), i, candidate)
	{
		if (json_is_string(candidate))
			buf_printf(&text, "\n  %s", json_string_value(candidate));
	}
	return ctl_fail(a->status == 503 ? EXIT_UNREACHABLE : EXIT_NO, hint_of(a->status),
			"%s (HTTP %ld)", buf_str(&text), a->status);
}

static int unreachable(const struct ctl *c, int rc, const struct why *why)
{
	const char *next = c->base ? "is healbus-reasoner running? --reasoner or "
				     "HEALBUS_REASONER_URL say where"
				   : "is healbus-notifier running? --url or HEALBUS_URL say where";

	if (rc == ERR_CONFIG)
		next = "the token file must exist and be readable by you only (chmod 600)";
	else if (rc == ERR_INVALID)
		next = "give --url as http://host:port";
	return ctl_fail(rc == ERR_CONFIG || rc == ERR_INVALID ? EXIT_USAGE : EXIT_UNREACHABLE, next,
			"%s: %s", ctl_url(c), why->text);
}

/* ---- calling ---- */

static int call(struct ctl *c, const char *method, const char *path, const json_t *body,
		struct http_answer *answer)
{
	static const char *const headers[] = {"Content-Type: application/json",
					      "Accept: application/json", NULL};
	size_t base = strlen(ctl_url(c));
	struct why why = {0};

	if (!c->client)
		http_client_new(&c->client);
	while (base > 0 && ctl_url(c)[base - 1] == '/')
		base--;
	auto_free char *url = mem_printf("%.*s%s", (int)base, ctl_url(c), path);
	auto_free char *token = token_file(c);
	auto_free char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct http_call http = {.method = method,
				 .url = url,
				 .headers = headers,
				 .body = text,
				 .body_len = text ? strlen(text) : 0,
				 .timeout_ms = CALL_TIMEOUT_MS,
				 .body_max_bytes = ANSWER_MAX_BYTES,
				 .bearer_file = token};
	int rc = http_client_call(c->client, &http, answer, &why);
	return rc ? unreachable(c, rc, &why) : EXIT_OK;
}

static int parse(const struct ctl *c, const struct http_answer *a, json_t **out)
{
	*out = json_loadb(buf_str(&a->body), a->body.len, 0, NULL);
	if (json_is_object(*out))
		return EXIT_OK;
	json_decref(*out);
	*out = NULL;
	return ctl_fail(EXIT_UNREACHABLE, "check --url and HEALBUS_URL",
			"%s: this is not a healbus notifier", ctl_url(c));
}

static int call_parse(struct ctl *c, const char *method, const char *path, json_t *body,
		      json_t **out, bool quiet_404)
{
	struct http_answer answer = {0};
	int rc = call(c, method, path, body, &answer);

	json_decref(body);
	*out = NULL;
	if (rc == EXIT_OK && http_status_err(answer.status) == 0)
		rc = parse(c, &answer, out);
	else if (rc == EXIT_OK && quiet_404 && answer.status == 404)
		rc = CTL_NOT_FOUND;
	else if (rc == EXIT_OK)
		rc = refused(&answer);
	http_answer_release(&answer);
	return rc;
}

int ctl_call(struct ctl *c, const char *method, const char *path, json_t *body, json_t **out)
{
	return call_parse(c, method, path, body, out, false);
}

int ctl_try(struct ctl *c, const char *method, const char *path, json_t *body, json_t **out)
{
	return call_parse(c, method, path, body, out, true);
}

int ctl_get(struct ctl *c, const char *path, json_t **out)
{
	return ctl_call(c, "GET", path, NULL, out);
}

/* ---- JSON ---- */

const char *js(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

int64_t ji(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : 0;
}

bool ctl_as_json(struct ctl *c, const json_t *j)
{
	/* Escapes keep a terminal safe; a program gets UTF-8. */
	size_t flags = JSON_INDENT(2) | JSON_SORT_KEYS | (c->terminal ? JSON_ENSURE_ASCII : 0);

	if (!ctl_flag(c, "json"))
		return false;
	auto_free char *text = json_dumps(j, flags);
	if (!text)
		abort();
	buf_add_str(&c->out, text);
	buf_add_char(&c->out, '\n');
	return true;
}
