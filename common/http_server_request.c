#include "common/http_server_private.h"

#include <strings.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"

/* ---- life ---- */

void http_request_unref(struct http_request *r)
{
	if (atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	atomic_fetch_sub(&r->server->body_bytes, r->body_counted);
	if (r->response && !r->shared)
		MHD_destroy_response(r->response);
	http_target_release(&r->target);
	buf_release(&r->body);
	buf_release(&r->reply_headers);
	free(r->headers);
	free(r->header_memory);
	free(r->raw_target);
	http_server_unref(r->server);
	free(r);
}

void *http_request_line(void *server, const char *uri, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct http_connection *c = info->socket_context;
	struct http_request *r = mem_alloc(sizeof(*r));

	r->server = server;
	http_server_ref(r->server);
	r->connection = c;
	r->mhd = mhd;
	r->refs = 1;
	r->wildcard = "";
	r->raw_target = mem_strdup(uri);
	r->uid = c->uid;
	r->loopback = c->loopback;
	memcpy(r->peer, c->peer, sizeof(r->peer));
	http_request_drop(c);
	c->request = r;
	c->waiting_since_ms = clock_mono_ms();
	return r;
}

static void uncount(struct http_request *r)
{
	struct http_server *s = r->server;

	pthread_mutex_lock(&s->reply_lock);
	if (r->counted && --s->in_flight == 0)
		pthread_cond_broadcast(&s->idle);
	r->counted = false;
	pthread_mutex_unlock(&s->reply_lock);
}

/* Nobody else has the request any more. */
static void keep_spare(struct http_connection *c, struct http_request *r)
{
	if (!r->body.data || r->body.cap > HTTP_SPARE_MAX_BYTES)
		return;
	buf_release(&c->spare);
	c->spare = r->body;
	r->body = (struct buf){0};
}

void http_request_drop(struct http_connection *c)
{
	struct http_request *r = c->request;

	if (!r)
		return;
	c->request = NULL;
	http_stream_detach(r);
	uncount(r);
	if (atomic_load(&r->refs) == 1)
		keep_spare(c, r);
	http_request_unref(r);
}

void http_request_completed(void *server, struct MHD_Connection *mhd, void **request,
			    enum MHD_RequestTerminationCode why)
{
	struct http_request *r = *request;

	(void)server;
	(void)mhd;
	(void)why;
	if (!r)
		return;
	*request = NULL;
	r->connection->waiting_since_ms = clock_mono_ms();
	http_request_drop(r->connection);
}

/* ---- the header ---- */

struct header_copy {
	struct http_request *request;
	struct buf text;
	size_t n;
};

static enum MHD_Result copy_header(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct header_copy *copy = arg;

	(void)kind;
	if (copy->n++ >= HTTP_HEADERS_MAX)
		return MHD_NO;
	buf_add(&copy->text, name, strlen(name) + 1);
	value = value ? value : "";
	buf_add(&copy->text, value, strlen(value) + 1);
	return MHD_YES;
}

/* A late answer may come when the connection's own memory is gone. */
static int copy_headers(struct http_request *r, struct why *why)
{
	struct header_copy copy = {.request = r};

	MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, copy_header, &copy);
	bool too_large = copy.n > HTTP_HEADERS_MAX || copy.text.len > HTTP_HEADER_MAX_BYTES;
	r->header_memory = buf_detach(&copy.text);
	if (too_large)
		return why_set(why, ERR_TOO_LARGE, "header over %d bytes or %d fields",
			       HTTP_HEADER_MAX_BYTES, HTTP_HEADERS_MAX);
	const char *p = r->header_memory;
	r->headers = mem_calloc(copy.n, sizeof(*r->headers));
	for (; r->n_headers < copy.n; r->n_headers++) {
		const char *value = p + strlen(p) + 1;

		r->headers[r->n_headers] = (struct http_header){p, value};
		p = value + strlen(value) + 1;
	}
	return 0;
}

static size_t count_header(const struct http_request *r, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_headers; i++)
		n += strcasecmp(r->headers[i].name, name) == 0;
	return n;
}

static bool is_token_char(char c)
{
	char lower = (char)(c | 0x20);

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* A token (RFC 9110 section 5.6.2), and none that begins as what frames a body does: of a line that
 * is folded, libmicrohttpd 0.9.75 makes the next one a part of the name. */
static bool name_ok(const char *name)
{
	static const char *const framing[] = {"Content-Length", "Transfer-Encoding"};
	size_t len = 0;

	while (is_token_char(name[len]))
		len++;
	for (size_t i = 0; i < ARRAY_SIZE(framing); i++) {
		size_t n = strlen(framing[i]);

		if (strncasecmp(name, framing[i], n) == 0 && name[n])
			return false;
	}
	return len > 0 && name[len] == 0;
}

static int check_names(const struct http_request *r, struct why *why)
{
	for (size_t i = 0; i < r->n_headers; i++) {
		if (!name_ok(r->headers[i].name))
			return why_set(why, ERR_INVALID, "a header whose name is none");
	}
	return 0;
}

/* What two readers could understand in two ways is refused (RFC 9112 section 6.3). */
static int check_framing(const struct http_request *r, struct why *why)
{
	const char *coding = http_header(r, "Transfer-Encoding");
	const char *length = http_header(r, "Content-Length");

	if (count_header(r, "Content-Length") + count_header(r, "Transfer-Encoding") > 1 ||
	    count_header(r, "Host") > 1 || count_header(r, "Authorization") > 1 ||
	    count_header(r, "Cookie") > 1 || count_header(r, "Origin") > 1)
		return why_set(why, ERR_INVALID,
			       "Content-Length, Transfer-Encoding, Host, Authorization, Cookie or "
			       "Origin twice");
	if (coding && strcasecmp(coding, "chunked") != 0)
		return why_set(why, ERR_INVALID, "Transfer-Encoding other than chunked");
	if (!length)
		return 0;
	size_t digits = strspn(length, "0123456789");
	if (digits == 0 || length[digits])
		return why_set(why, ERR_INVALID, "Content-Length is no number");
	if (digits > 18 || strtoull(length, NULL, 10) > r->server->body_max_bytes)
		return why_set(why, ERR_TOO_LARGE, "body over %zu bytes",
			       r->server->body_max_bytes);
	return 0;
}

/* ---- who may ---- */

bool http_token_known(const struct http_request *r, const char *token, size_t len)
{
	const struct http_server *s = r->server;
	bool known = false;

	for (size_t i = 0; i < s->n_tokens; i++)
		known |= secret_equal(&s->tokens[i], token, len);
	return known;
}

/* Without tokens the machine's own users are trusted, but not what a browser or a proxy on it
 * passes on for others. */
static bool is_local(const struct http_request *r)
{
	return r->loopback && http_host_is_loopback(http_header(r, "Host")) &&
	       !http_header(r, "Forwarded") && !http_header(r, "X-Forwarded-For") &&
	       !http_header(r, "X-Real-IP");
}

int http_request_bearer(struct http_request *r, struct why *why)
{
	if (!http_origin_fits(http_header(r, "Origin"), http_header(r, "Host")))
		return why_set(why, ERR_DENIED, "a page of another origin may not ask this");
	if (r->server->n_tokens == 0 && is_local(r))
		return 0;
	if (r->server->n_tokens == 0)
		return why_set(why, ERR_DENIED,
			       "without http.token_file only local requests are served");
	auto_buf token = {0};
	const char *authorization = http_header(r, "Authorization");
	bool ok = authorization && http_credentials(authorization, &token) &&
		  http_token_known(r, buf_str(&token), token.len);
	if (token.data)
		explicit_bzero(token.data, token.len);
	if (ok)
		return 0;
	http_reply_header(r, "WWW-Authenticate", "Bearer realm=\"healbus\"");
	return why_set(why, ERR_UNAUTHENTICATED, "a valid token is needed");
}

int http_request_authenticate(struct http_request *r, struct why *why)
{
	const struct http_server *s = r->server;

	if (r->route->auth == HTTP_AUTH_NONE || r->route->auth == HTTP_AUTH_HANDLER)
		return 0;
	if (r->route->auth == HTTP_AUTH_BEARER)
		return http_request_bearer(r, why);
	return s->authorize ? s->authorize(s->authorize_ctx, r, r->route->auth, why)
			    : why_set(why, ERR_DENIED, "nobody may ask this");
}

/* ---- where to ---- */

static bool method_fits(const char *wanted, const char *method)
{
	return !wanted || str_eq(wanted, method) ||
	       (str_eq(method, "HEAD") && str_eq(wanted, "GET"));
}

static void add_allowed(struct buf *allow, const char *method)
{
	if (!method || strstr(buf_str(allow), method))
		return;
	buf_printf(allow, "%s%s", allow->len ? ", " : "", method);
	if (str_eq(method, "GET"))
		buf_add_str(allow, ", HEAD");
}

/* No route takes this method: the answer names those that one of them takes. */
static unsigned refuse_method(struct http_request *r)
{
	auto_buf allow = {0};

	for (size_t i = 0; i < r->server->n_routes; i++) {
		const struct http_route *route = &r->server->routes[i];
		const char *wildcard;

		if (http_route_fit(route->path, r->target.path, &wildcard))
			add_allowed(&allow, route->method);
	}
	if (allow.len == 0)
		return MHD_HTTP_NOT_FOUND;
	http_reply_header(r, "Allow", buf_str(&allow));
	return MHD_HTTP_METHOD_NOT_ALLOWED;
}

/* The closest pattern wins, among the equally close ones the first. 0, or the status. */
static unsigned find_route(struct http_request *r)
{
	unsigned best = 0;

	for (size_t i = 0; i < r->server->n_routes; i++) {
		const struct http_route *route = &r->server->routes[i];
		const char *wildcard;
		unsigned fit = http_route_fit(route->path, r->target.path, &wildcard);

		if (fit <= best || !method_fits(route->method, r->method))
			continue;
		best = fit;
		r->route = route;
		r->wildcard = wildcard;
	}
	return best ? 0 : refuse_method(r);
}

/* ---- answering ---- */

/* In the connection's thread. The response is there and nobody else touches it any more. */
static enum MHD_Result queue(struct http_request *r)
{
	r->connection->waiting_since_ms = clock_mono_ms();
	return MHD_queue_response(r->mhd, r->status, r->response);
}

/* An answer of our own, before any handler. */
static enum MHD_Result answer(struct http_request *r, unsigned status, int rc,
			      const struct why *why)
{
	atomic_fetch_add(&r->refs, 1);
	r->state = REQUEST_RUNNING;
	if (status)
		http_reply(r, status, "text/plain; charset=utf-8",
			   status == MHD_HTTP_NOT_FOUND ? "not found\n" : "method not allowed\n",
			   status == MHD_HTTP_NOT_FOUND ? 10 : 19);
	else
		http_reply_error(r, rc, why);
	return queue(r);
}

/* ---- the callbacks ---- */

static int check_header(struct http_request *r, struct why *why)
{
	int rc = copy_headers(r, why);

	if (!rc)
		rc = check_names(r, why);
	if (!rc)
		rc = check_framing(r, why);
	if (!rc)
		rc = http_target_parse(r->raw_target, &r->target, why);
	if (!rc && strlen(r->target.path) > HTTP_PATH_MAX)
		rc = why_set(why, ERR_TOO_LARGE, "path over %d bytes", HTTP_PATH_MAX);
	if (!rc && r->server->draining)
		rc = why_set(why, ERR_CLOSED, "shutting down");
	return rc;
}

static enum MHD_Result begin(struct http_request *r, const char *method)
{
	struct why why = {0};

	snprintf(r->method, sizeof(r->method), "%s", method);
	r->state = REQUEST_BODY;
	int rc = check_header(r, &why);
	unsigned status = rc ? 0 : find_route(r);
	if (!rc && !status)
		rc = http_request_authenticate(r, &why);
	return rc || status ? answer(r, status, rc, &why) : MHD_YES;
}

static void add_body(struct http_request *r, const char *data, size_t len)
{
	struct http_server *s = r->server;

	if (r->refused)
		return;
	if (!r->body.data) {
		r->body = r->connection->spare;
		r->connection->spare = (struct buf){0};
		buf_reset(&r->body);
	}
	if (r->body.len + len > s->body_max_bytes) {
		r->refused = ERR_TOO_LARGE;
	} else if (atomic_fetch_add(&s->body_bytes, len) + len > HTTP_BODIES_MAX_BYTES) {
		atomic_fetch_sub(&s->body_bytes, len);
		r->refused = ERR_BUSY;
	} else {
		r->body_counted += len;
		buf_add(&r->body, data, len);
	}
	if (r->refused)
		buf_release(&r->body);
}

/* The handler has returned: answer at once, or let the connection wait for http_reply. */
static enum MHD_Result settle(struct http_request *r)
{
	struct http_server *s = r->server;

	pthread_mutex_lock(&s->reply_lock);
	bool replied = r->state == REQUEST_REPLIED;
	if (!replied) {
		MHD_suspend_connection(r->mhd);
		r->state = REQUEST_SUSPENDED;
		r->next = s->suspended;
		if (r->next)
			r->next->prev = r;
		s->suspended = r;
	}
	pthread_mutex_unlock(&s->reply_lock);
	return replied ? queue(r) : MHD_YES;
}

static enum MHD_Result run(struct http_request *r)
{
	struct http_server *s = r->server;

	if (r->refused) {
		struct why why = {0};

		why_set(&why, r->refused, "%s",
			r->refused == ERR_BUSY ? "too many bodies under way" : "body too large");
		return answer(r, 0, r->refused, &why);
	}
	atomic_fetch_add(&r->refs, 1);
	r->connection->waiting_since_ms = 0;
	pthread_mutex_lock(&s->reply_lock);
	r->state = REQUEST_RUNNING;
	r->counted = true;
	s->in_flight++;
	pthread_mutex_unlock(&s->reply_lock);
	r->route->handler(r->route->ctx, r);
	return settle(r);
}

enum MHD_Result http_request_access(void *server, struct MHD_Connection *mhd, const char *url,
				    const char *method, const char *version,
				    const char *upload_data, size_t *upload_data_size,
				    void **request)
{
	struct http_server *s = server;
	struct http_request *r = *request;

	(void)mhd;
	(void)url;
	(void)version;
	pthread_mutex_lock(&s->reply_lock);
	enum request_state state = r->state;
	pthread_mutex_unlock(&s->reply_lock);
	if (state == REQUEST_NEW)
		return begin(r, method);
	if (state != REQUEST_BODY)
		return queue(r);
	if (*upload_data_size == 0)
		return run(r);
	add_body(r, upload_data, *upload_data_size);
	*upload_data_size = 0;
	return MHD_YES;
}
