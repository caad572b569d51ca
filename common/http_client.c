#include "common/http_client_private.h"

#include <pthread.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/secret.h"

enum {
	POLL_MS = 100, /* how soon a stop flag or a deadline is seen */
	HEADERS_MAX_BYTES = 64 << 10,
	RETRY_AFTER_MAX_MS = 3600000,
	URL_MAX_BYTES = 8192,
};

static const volatile int *stop_flag;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void http_client_stop_on(const volatile int *stop)
{
	__atomic_store_n(&stop_flag, stop, __ATOMIC_RELEASE);
}

static bool stopping(void)
{
	const volatile int *stop = __atomic_load_n(&stop_flag, __ATOMIC_ACQUIRE);

	return stop && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

static void init_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		abort();
}

int http_client_new(struct http_client **out)
{
	struct http_client *c = mem_alloc(sizeof(*c));

	pthread_once(&once, init_curl);
	c->easy = curl_easy_init();
	c->anywhere = curl_multi_init();
	c->public_only = curl_multi_init();
	if (!c->easy || !c->anywhere || !c->public_only)
		abort();
	*out = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->easy);
	curl_multi_cleanup(c->anywhere);
	curl_multi_cleanup(c->public_only);
	free(c);
}

void http_answer_release(struct http_answer *a)
{
	buf_release(&a->body);
	for (size_t i = 0; i < ARRAY_SIZE(a->kept); i++)
		free(a->kept[i]);
	*a = (struct http_answer){0};
}

/* ---- what libcurl calls ---- */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	if (t->sink) {
		t->enough = !t->sink(t->sink_ctx, data, size * n);
		return t->enough ? 0 : size * n;
	}
	if (!t->body)
		return size * n;
	if (t->body->len + size * n > t->body_max_bytes) {
		t->refused = ERR_TOO_LARGE;
		return 0;
	}
	buf_add(t->body, data, size * n);
	return size * n;
}

/* Of several headers of one name the last counts; those of an interim answer do not. */
static void keep_header(struct transfer *t, const char *line, size_t len)
{
	bool status = len > 5 && strncmp(line, "HTTP/", 5) == 0;

	while (len > 0 && strchr(" \t\r\n", line[len - 1]))
		len--;
	for (size_t i = 0; i < HTTP_CLIENT_KEEP_MAX && t->keep[i]; i++) {
		size_t name = strlen(t->keep[i]);
		bool is =
			len > name && line[name] == ':' && strncasecmp(line, t->keep[i], name) == 0;

		if (!is && !status)
			continue;
		free(t->kept[i]);
		t->kept[i] = NULL;
		if (status)
			continue;
		for (name++; name < len && (line[name] == ' ' || line[name] == '\t');)
			name++;
		t->kept[i] = mem_dup(line + name, len - name);
	}
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	if (t->keep)
		keep_header(t, data, size * n);
	t->header_bytes += size * n;
	if (t->header_bytes > HEADERS_MAX_BYTES) {
		t->refused = ERR_TOO_LARGE;
		return 0;
	}
	return size * n;
}

/* The address that is dialled is the one that is looked at, whatever the name resolves to next. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct transfer *t = arg;

	(void)purpose;
	if (t->public_only && !address_is_public(&a->addr)) {
		t->refused = ERR_DENIED;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- setting up ---- */

static bool has_control(const char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return true;
	}
	return false;
}

static void wipe_free(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

void transfer_release(struct transfer *t)
{
	wipe_free(t->headers);
	curl_slist_free_all(t->recipients);
}

void transfer_append(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	if (!longer)
		abort();
	*list = longer;
}

/* What holds for every transfer. */
void transfer_set_common(struct transfer *t, const char *url, const char *protocols,
			 const char *ca_file)
{
	CURL *e = t->easy;

	curl_easy_reset(e);
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, protocols);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->curl_error);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	if (ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, ca_file);
}

int transfer_check_url(const char *url, struct why *out_why)
{
	if (!url || !*url || strlen(url) > URL_MAX_BYTES || has_control(url))
		return why_set(out_why, ERR_INVALID,
			       "url: empty, too long or with control characters");
	return 0;
}

static int set_bearer(struct transfer *t, const char *file, struct why *out_why)
{
	struct secret token = {0};

	int rc = secret_read(&token, file, out_why);
	if (rc || token.len == 0)
		return rc;
	if (has_control(token.data)) {
		secret_release(&token);
		return why_set(out_why, ERR_CONFIG, "%s: a token has no control characters", file);
	}
	char *line = mem_printf("Authorization: Bearer %s", token.data);
	transfer_append(&t->headers, line);
	explicit_bzero(line, strlen(line));
	free(line);
	secret_release(&token);
	return 0;
}

static int set_headers(struct transfer *t, const struct http_call *call, struct why *out_why)
{
	for (size_t i = 0; call->headers && call->headers[i]; i++) {
		const char *h = call->headers[i];
		const char *colon = strchr(h, ':');

		if (i == HTTP_CLIENT_HEADERS_MAX || !colon || colon == h || has_control(h))
			return why_set(out_why, ERR_INVALID,
				       "header %zu: not \"Name: value\", or too many", i);
		transfer_append(&t->headers, h);
	}
	transfer_append(&t->headers, "Expect:"); /* no waiting for 100 Continue */
	int rc = set_bearer(t, call->bearer_file, out_why);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	return rc;
}

static int set_method(struct transfer *t, const struct http_call *call, struct why *out_why)
{
	const char *method = call->method;
	CURL *e = t->easy;

	if (!method)
		method = call->body ? "POST" : "GET";
	if (strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(method) || strlen(method) > 15 ||
	    !*method)
		return why_set(out_why, ERR_INVALID, "method: not a word of capitals");
	if (call->body || str_eq(method, "POST") || str_eq(method, "PUT")) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, call->body ? call->body : "");
	}
	if (str_eq(method, "HEAD"))
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
	/* libcurl sends a request again when a kept connection turns out dead; only what changes
	 * nothing may be sent twice. */
	if (!str_eq(method, "GET") && !str_eq(method, "HEAD"))
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	return 0;
}

/* ---- running ---- */

static const struct {
	CURLcode code;
	int rc;
} codes[] = {
	{CURLE_OK, 0},
	{CURLE_OPERATION_TIMEDOUT, ERR_TIMEOUT},
	{CURLE_URL_MALFORMAT, ERR_INVALID},
	{CURLE_UNSUPPORTED_PROTOCOL, ERR_INVALID},
	{CURLE_FILESIZE_EXCEEDED, ERR_TOO_LARGE},
	{CURLE_LOGIN_DENIED, ERR_UNAUTHENTICATED},
	{CURLE_SSL_CACERT_BADFILE, ERR_CONFIG},
	{CURLE_OUT_OF_MEMORY, ERR_INTERNAL},
};

static int code_err(CURLcode code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if (codes[i].code == code)
			return codes[i].rc;
	}
	return ERR_UNAVAILABLE;
}

static bool finished(struct transfer *t, CURLcode *out_code)
{
	int left;
	CURLMsg *m;

	while ((m = curl_multi_info_read(t->multi, &left))) {
		if (m->msg == CURLMSG_DONE && m->easy_handle == t->easy) {
			*out_code = m->data.result;
			return true;
		}
	}
	return false;
}

/* 0 when the transfer ended by itself, with its code; else why we end it. */
static int drive(struct transfer *t, CURLcode *out_code)
{
	for (;;) {
		int running;

		if (curl_multi_perform(t->multi, &running))
			return ERR_INTERNAL;
		if (finished(t, out_code))
			return 0;
		if (stopping())
			return ERR_CLOSED;
		int64_t left = t->deadline_ms - clock_mono_ms();
		if (left <= 0)
			return ERR_TIMEOUT;
		curl_multi_poll(t->multi, NULL, 0, (int)MIN(left, (int64_t)POLL_MS), NULL);
	}
}

static int describe(struct transfer *t, int rc, CURLcode code, struct why *out_why)
{
	static const struct {
		int rc;
		const char *text;
	} ours[] = {
		{ERR_CLOSED, "shutting down"},
		{ERR_TIMEOUT, "no complete answer before the deadline"},
		{ERR_DENIED, "the name resolves to an address that is not public"},
		{ERR_TOO_LARGE, "the answer is too large"},
	};

	if (rc == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		if (ours[i].rc == rc)
			return why_set(out_why, rc, "%s", ours[i].text);
	}
	return why_set(out_why, rc, "%s",
		       t->curl_error[0] ? t->curl_error : curl_easy_strerror(code));
}

int transfer_run(struct transfer *t, struct why *out_why)
{
	CURLcode code = CURLE_OK;

	if (curl_multi_add_handle(t->multi, t->easy))
		return why_set(out_why, ERR_INTERNAL, "libcurl refuses the handle");
	int rc = drive(t, &code);
	if (rc == 0 && !t->enough)
		rc = t->refused ? t->refused : code_err(code);
	return describe(t, rc, code, out_why);
}

void transfer_end(struct transfer *t)
{
	curl_multi_remove_handle(t->multi, t->easy);
	curl_easy_reset(t->easy); /* before what it borrowed goes */
}

static void read_answer(struct transfer *t, const struct http_call *call, struct http_answer *out)
{
	curl_off_t seconds = 0, uploaded = 0;
	long requested = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &out->status);
	curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &seconds);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &requested);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &uploaded);
	out->retry_after_ms = MIN(MAX(seconds, 0), RETRY_AFTER_MAX_MS / 1000) * 1000;
	out->sent = requested > 0 && (size_t)uploaded >= call->body_len;
}

static int prepare(struct http_client *c, struct transfer *t, const struct http_call *call,
		   struct why *out_why)
{
	int rc = transfer_check_url(call->url, out_why);

	if (rc)
		return rc;
	if (call->public_only && call->unix_socket)
		return why_set(out_why, ERR_DENIED, "a unix socket is not public");
	t->easy = c->easy;
	t->multi = call->public_only ? c->public_only : c->anywhere;
	t->public_only = call->public_only;
	t->body_max_bytes =
		call->body_max_bytes ? call->body_max_bytes : HTTP_CLIENT_BODY_MAX_BYTES;
	transfer_set_common(t, call->url, "http,https", call->ca_file);
	if (call->unix_socket)
		curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket);
	rc = set_method(t, call, out_why);
	return rc ? rc : set_headers(t, call, out_why);
}

int http_client_call(struct http_client *c, const struct http_call *call, struct http_answer *out,
		     struct why *out_why)
{
	int64_t began_ms = clock_mono_ms();
	int64_t timeout_ms = call->timeout_ms > 0 ? call->timeout_ms : HTTP_CLIENT_TIMEOUT_MS;
	auto_transfer t = {.body = &out->body,
			   .sink = call->sink,
			   .sink_ctx = call->sink_ctx,
			   .keep = call->keep,
			   .kept = out->kept,
			   .deadline_ms = began_ms + timeout_ms};

	*out = (struct http_answer){0};
	int rc = prepare(c, &t, call, out_why);
	if (rc)
		return rc;
	rc = transfer_run(&t, out_why);
	read_answer(&t, call, out);
	if (rc == ERR_INVALID && out->sent)
		rc = ERR_UNAVAILABLE; /* what came back is no HTTP */
	transfer_end(&t);
	out->took_ms = clock_mono_ms() - began_ms;
	return rc;
}

int http_status_err(long status)
{
	static const struct {
		long status;
		int rc;
	} known[] = {
		{401, ERR_UNAUTHENTICATED}, {403, ERR_DENIED},    {404, ERR_NOT_FOUND},
		{408, ERR_UNAVAILABLE},     {409, ERR_CONFLICT},  {410, ERR_NOT_FOUND},
		{412, ERR_CONFLICT},        {413, ERR_TOO_LARGE}, {429, ERR_BUSY},
		{501, ERR_UNSUPPORTED},     {503, ERR_BUSY},
	};

	if (status >= 200 && status < 300)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (known[i].status == status)
			return known[i].rc;
	}
	return status >= 500 ? ERR_UNAVAILABLE : ERR_REJECTED;
}
