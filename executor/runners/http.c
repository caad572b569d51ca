/* Sends one HTTP request, to a host of the target's list or to the target's unix socket. */
#include "common/mem.h"
#include "common/secret.h"
#include "executor/runners/runner.h"

enum { HEADERS_MAX = 16 };

struct header_spec {
	char *name;
	struct template *value; /* or, for a secret header, the path of the file that holds it */
	bool secret;
};

struct http_spec {
	char *method;
	struct template *url;
	struct template *body;
	struct template *socket;
	struct header_spec headers[HEADERS_MAX];
	size_t n_headers;
};

struct request {
	char *method;
	char *url;
	char *body;
	char *socket;
	char *headers[HEADERS_MAX]; /* "Name: value"; for a secret one "Name" */
	char *files[HEADERS_MAX];   /* NULL: not secret */
	size_t n_headers;
};

static void *spec_new(void)
{
	struct http_spec *s = mem_alloc(sizeof(*s));
	s->method = mem_strdup("GET");
	return s;
}

static void spec_free(void *spec)
{
	struct http_spec *s = spec;
	free(s->method);
	for (size_t i = 0; i < s->n_headers; i++)
		free(s->headers[i].name);
	free(s);
}

/* ---- parsing ---- */

static int parse_template(struct catalogue *cat, const struct yaml_node *node, const char *what,
			  struct template **out, struct why *out_why)
{
	const struct yaml_node *value = yaml_get(node, what);
	return value ? catalogue_template(cat, value, what, out, out_why) : 0;
}

static int parse_method(struct http_spec *s, const struct yaml_node *node, struct why *out_why)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
	const char *text = NULL;
	if (!node)
		return 0;
	int rc = yaml_str(node, "method", &text, out_why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(known); i++) {
		if (!str_eq(text, known[i]))
			continue;
		free(s->method);
		s->method = mem_strdup(text);
		return 0;
	}
	return rc ? rc : yaml_error(node, out_why, "method: GET, HEAD, POST, PUT, PATCH or DELETE");
}

static int parse_headers(struct http_spec *s, struct catalogue *cat, const struct yaml_node *node,
			 bool secret, struct why *out_why)
{
	YAML_EACH(item, node)
	{
		if (s->n_headers == HEADERS_MAX)
			return yaml_error(item, out_why, "headers: at most %d", HEADERS_MAX);
		struct header_spec *h = &s->headers[s->n_headers];
		int rc = catalogue_template(cat, item, "headers", &h->value, out_why);
		if (rc)
			return rc;
		h->name = mem_strdup(item->key);
		h->secret = secret;
		s->n_headers++;
	}
	return 0;
}

static int parse(void *spec, struct catalogue *cat, const struct yaml_node *node,
		 struct why *out_why)
{
	struct http_spec *s = spec;
	int rc = parse_method(s, yaml_get(node, "method"), out_why);
	if (!rc)
		rc = parse_template(cat, node, "url", &s->url, out_why);
	if (!rc)
		rc = parse_template(cat, node, "body", &s->body, out_why);
	if (!rc)
		rc = parse_template(cat, node, "unix_socket", &s->socket, out_why);
	if (!rc)
		rc = parse_headers(s, cat, yaml_get(node, "headers"), false, out_why);
	return rc ? rc : parse_headers(s, cat, yaml_get(node, "header_files"), true, out_why);
}

static int check(const void *spec, struct why *out_why)
{
	const struct http_spec *s = spec;
	return s->url ? 0 : why_set(out_why, ERR_CONFIG, "url: missing");
}

/* ---- rendering ---- */

static void rendered_free(void *rendered)
{
	struct request *r = rendered;
	if (!r)
		return;
	free(r->method);
	free(r->url);
	free(r->body);
	free(r->socket);
	for (size_t i = 0; i < r->n_headers; i++) {
		free(r->headers[i]);
		free(r->files[i]);
	}
	free(r);
}

static int render_text(const struct render_input *in, struct template *t, char **out,
		       struct why *out_why)
{
	auto_buf text = {0};
	int rc = catalogue_render(in->cat, t, in->json, &text, out_why);
	if (!rc)
		*out = mem_strdup(buf_str(&text));
	return rc;
}

static int render_optional(const struct render_input *in, struct template *t, char **out,
			   struct why *out_why)
{
	return t ? render_text(in, t, out, out_why) : 0;
}

static int check_url(const struct request *r, const struct target *target, struct why *out_why)
{
	if (strpbrk(r->url, " \t\r\n\"\\"))
		return why_set(out_why, ERR_INVALID, "url: a character that may not be in it");
	if (r->socket)
		return 0;
	if (!target_allows_url(target, r->url))
		return why_set(out_why, ERR_DENIED, "url: its host is not one of the target's");
	return 0;
}

static int render_headers(const struct http_spec *s, const struct render_input *in,
			  struct request *r, struct why *out_why)
{
	for (size_t i = 0; i < s->n_headers; i++) {
		const struct header_spec *h = &s->headers[i];
		auto_free char *value = NULL;
		int rc = render_text(in, h->value, &value, out_why);
		if (rc)
			return rc;
		if (strpbrk(value, "\r\n"))
			return why_set(out_why, ERR_INVALID, "header %s: a line break", h->name);
		r->headers[i] =
			h->secret ? mem_strdup(h->name) : mem_printf("%s: %s", h->name, value);
		r->files[i] = h->secret ? mem_strdup(value) : NULL;
		r->n_headers = i + 1;
	}
	return 0;
}

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why)
{
	const struct http_spec *s = spec;
	struct request *r = mem_alloc(sizeof(*r));
	r->method = mem_strdup(s->method);
	int rc = render_text(in, s->url, &r->url, out_why);
	if (!rc)
		rc = render_optional(in, s->body, &r->body, out_why);
	if (!rc)
		rc = render_optional(in, s->socket, &r->socket, out_why);
	if (!rc)
		rc = check_url(r, in->target, out_why);
	if (!rc)
		rc = render_headers(s, in, r, out_why);
	if (rc) {
		rendered_free(r);
		return rc;
	}
	buf_printf(out_text, "%s %s", r->method, r->url);
	if (r->socket)
		buf_printf(out_text, " over %s", r->socket);
	if (r->body)
		buf_printf(out_text, " %s", r->body);
	*out = r;
	return 0;
}

/* ---- running ---- */

static int build_headers(const struct request *r, const char **list, char **owned,
			 struct why *out_why)
{
	for (size_t i = 0; i < r->n_headers; i++) {
		list[i] = r->headers[i];
		if (!r->files[i])
			continue;
		struct secret secret = {0};
		int rc = secret_read(&secret, r->files[i], out_why);
		if (!rc && secret.data)
			list[i] = owned[i] = mem_printf("%s: %s", r->headers[i], secret.data);
		secret_release(&secret);
		if (rc)
			return rc;
	}
	return 0;
}

/* A gateway, or our own broker, says that it asked and does not know what came of it (RFC 9110,
 * sections 15.6.3 and 15.6.5). */
static bool between(long status)
{
	return status == 502 || status == 504;
}

static void call(const struct request *r, const char *const *headers,
		 const struct run_limits *limits, struct run_result *result)
{
	struct http_call c = {.method = r->method,
			      .url = r->url,
			      .headers = headers,
			      .body = r->body,
			      .body_len = r->body ? strlen(r->body) : 0,
			      .timeout_ms = limits->timeout_ms,
			      .body_max_bytes = limits->output_limit_bytes,
			      .unix_socket = r->socket};
	struct http_answer answer = {0};
	int rc = http_client_call(limits->http, &c, &answer, &result->why);
	bool reads = str_eq(r->method, "GET") || str_eq(r->method, "HEAD");
	bool lost = rc == 0 ? between(answer.status) : answer.sent;
	result->state = lost && !reads ? RUN_UNKNOWN : rc == 0 ? RUN_ENDED : RUN_FAILED;
	if (rc == 0 && result->state == RUN_UNKNOWN)
		why_set(&result->why, ERR_UNAVAILABLE,
			"the answer was %ld: who stands in between got none", answer.status);
	result->exit_code = (int)answer.status;
	buf_add(&result->output, buf_str(&answer.body), answer.body.len);
	result->truncated = rc == ERR_TOO_LARGE;
	http_answer_release(&answer);
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	const struct request *r = rendered;
	const char *list[HEADERS_MAX + 1] = {0};
	char *owned[HEADERS_MAX] = {0};
	result->state = RUN_FAILED;
	if (build_headers(r, list, owned, &result->why) == 0)
		call(r, list, limits, result);
	for (size_t i = 0; i < HEADERS_MAX; i++) {
		if (owned[i])
			explicit_bzero(owned[i], strlen(owned[i]));
		free(owned[i]);
	}
}

static const char *const keys[] = {"method",      "url",     "body",
				   "unix_socket", "headers", "header_files"};

const struct runner runner_http = {.name = "http",
				   .keys = keys,
				   .n_keys = ARRAY_SIZE(keys),
				   .spec_new = spec_new,
				   .spec_free = spec_free,
				   .parse = parse,
				   .check = check,
				   .render = render,
				   .rendered_free = rendered_free,
				   .run = run};
