#include "executor/sandboxes/rest.h"

#include "common/clock.h"
#include "common/http_text.h"
#include "common/mem.h"

enum {
	TRIES = 3,
	SLICE_MS = 200, /* between calls of limits->tick */
	RETRY_MS = 1000,
	RETRY_MAX_MS = 5000,
};

void rest_answer_release(struct rest_answer *a)
{
	buf_release(&a->text);
	json_decref(a->json);
	*a = (struct rest_answer){0};
}

static void sleep_ms(int64_t ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

/* Once. *out_again_ms: how long to wait before asking again; 0: do not. */
static int call_once(const struct rest *r, const struct http_call *c, struct rest_answer *out,
		     int64_t *out_again_ms, struct why *out_why)
{
	struct http_answer answer = {0};
	int rc = http_client_call(r->http, c, &answer, out_why);
	*out_again_ms = 0;
	/* What only looks is asked again by who looks. */
	if (!rc && answer.status == 429 && !str_eq(c->method, "GET"))
		*out_again_ms =
			answer.retry_after_ms ? MIN(answer.retry_after_ms, RETRY_MAX_MS) : RETRY_MS;
	out->sent = answer.sent;
	out->status = rc ? 0 : answer.status;
	buf_reset(&out->text);
	if (!rc)
		buf_add(&out->text, buf_str(&answer.body), answer.body.len);
	http_answer_release(&answer);
	return rc;
}

static int say(const struct rest_ask *ask, const struct rest_answer *a, struct why *out_why)
{
	const char *message = json_string_value(json_object_get(a->json, "message"));
	int path = (int)MIN(strcspn(ask->path, "?"), (size_t)120);
	return why_set(out_why, http_status_err(a->status), "%s %.*s: %ld%s%.250s", ask->method,
		       path, ask->path, a->status, message ? ": " : "", message ? message : "");
}

int rest_call(const struct rest *r, const struct rest_ask *ask, struct rest_answer *out,
	      struct why *out_why)
{
	static const char *const headers[] = {"Content-Type: application/json",
					      "Accept: application/json, text/plain", NULL};
	struct why own = {0};
	struct why *why = out_why ? out_why : &own;
	auto_free char *url = mem_printf("%s%s", r->url, ask->path);
	auto_free char *body = ask->body ? json_dumps(ask->body, JSON_COMPACT) : NULL;
	struct http_call c = {.method = ask->method,
			      .url = url,
			      .headers = headers,
			      .body = body,
			      .body_len = body ? strlen(body) : 0,
			      .timeout_ms = REST_CALL_MS,
			      .body_max_bytes = ask->max_bytes ? ask->max_bytes : REST_ANSWER_BYTES,
			      .ca_file = r->ca_file,
			      .bearer_file = r->token_file};
	json_decref(ask->body);
	int rc = 0;
	for (int i = 0; i < TRIES; i++) {
		int64_t again_ms = 0;
		rc = call_once(r, &c, out, &again_ms, why);
		if (!again_ms || i + 1 == TRIES)
			break;
		sleep_ms(again_ms);
	}
	if (rc)
		return why_prefix(why, rc, "%s %.*s", ask->method,
				  (int)MIN(strcspn(ask->path, "?"), (size_t)120), ask->path);
	out->json = json_loadb(buf_str(&out->text), out->text.len, 0, NULL);
	return out->status >= 200 && out->status < 300 ? 0 : say(ask, out, why);
}

int rest_check_url(const char *key, const char *url, struct why *out_why)
{
	if (!url || !*url)
		return why_set(out_why, ERR_CONFIG, "%s: not configured", key);
	bool plain = str_starts(url, "http://");
	if (!plain && !str_starts(url, "https://"))
		return why_set(out_why, ERR_CONFIG, "%s: begins with https://", key);
	const char *host = strstr(url, "://") + 3;
	auto_free char *name = mem_printf("%.*s", (int)strcspn(host, "/?#"), host);
	if (strchr(name, '@') || strpbrk(url, "?#"))
		return why_set(out_why, ERR_CONFIG, "%s: no user, query or fragment in it", key);
	if (plain && !http_host_is_loopback(name))
		return why_set(out_why, ERR_CONFIG, "%s: must be https, or this machine", key);
	return 0;
}

/* ---- waiting ---- */

static int pause_for(const struct run_limits *limits, int64_t ms, struct why *out_why)
{
	for (int64_t left = ms; left > 0; left -= SLICE_MS) {
		if (limits->tick && !limits->tick(limits->tick_ctx))
			return why_set(out_why, ERR_CLOSED, "stopped: the target's lock was lost");
		sleep_ms(MIN(left, SLICE_MS));
	}
	return 0;
}

int rest_follow(struct rest_watch *w, struct why *out_why)
{
	int64_t heard_ms = clock_mono_ms(), poll_ms = REST_POLL_MS;
	for (;;) {
		bool ended = false;
		struct why why = {0};
		int rc = w->look(w, &ended, &why);
		int64_t now = clock_mono_ms();
		bool silent = err_class(rc) == ERR_CLASS_TRANSIENT && rc != ERR_CLOSED;
		if (ended || (rc && !silent))
			return rc ? why_set(out_why, rc, "%s", why.text) : 0;
		if (!silent)
			heard_ms = now;
		if (silent && (now >= w->deadline_ms || now - heard_ms > REST_SILENCE_MS))
			return why_set(out_why, ERR_UNAVAILABLE, "%s", why.text);
		if (now >= w->deadline_ms)
			return why_set(out_why, ERR_TIMEOUT, "timed out after %" PRId64 " ms",
				       w->limits->timeout_ms);
		rc = pause_for(w->limits, MIN(poll_ms, MAX(w->deadline_ms - now, 1)), out_why);
		if (rc)
			return rc;
		poll_ms = MIN(poll_ms * 3 / 2, REST_POLL_MAX_MS);
	}
}
