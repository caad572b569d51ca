#include "notifier/config.h"
#include "notifier/page.h"

#include "common/address.h"
#include "common/clock.h"
#include "common/http_text.h"
#include "common/log.h"
#include "common/metrics.h"

static struct metric logins =
	METRIC_COUNTER("healbus_logins_total", "Logins at the page.", "result");

struct page {
	struct sessions *sessions;
	struct events *events;
	struct page_files *files;
};

struct page *page_new(void)
{
	struct page *p = mem_alloc(sizeof(*p));
	p->sessions = sessions_new();
	p->events = events_new();
	return p;
}

void page_open(struct page *p, const char *web_dir)
{
	p->files = page_files_read(web_dir);
}

void page_free(struct page *p)
{
	if (!p)
		return;
	events_free(p->events);
	sessions_free(p->sessions);
	page_files_free(p->files);
	free(p);
}

struct sessions *page_sessions(struct page *p)
{
	return p->sessions;
}

struct events *page_events_of(struct page *p)
{
	return p->events;
}

struct page_files *page_files_of(struct page *p)
{
	return p->files;
}

/* ---- cookies ---- */

static void cookie_set(struct api_call *call, const char *id, int64_t max_age_s)
{
	bool secure = page_is_secure(call->stage, call->req);
	auto_free char *value =
		mem_printf("%s=%s; Path=/; Max-Age=%" PRId64 "; HttpOnly; SameSite=Strict%s",
			   page_cookie_name(secure), id, max_age_s, secure ? "; Secure" : "");
	http_reply_header(call->req, "Set-Cookie", value);
}

static bool cookie_get(struct api_call *call, struct buf *out)
{
	const char *name = page_cookie_name(page_is_secure(call->stage, call->req));
	return http_cookie(http_header(call->req, "Cookie"), name, out);
}

/* ---- logging in ---- */

/* Whether it may be tried at all; answers when not. */
static bool login_allowed(struct api_call *call, const char *peer)
{
	struct why why = {0};
	const char *type = http_header(call->req, "Content-Type");
	int64_t wait_ms = login_wait_ms(page_sessions(page_of(call->stage)), peer, clock_mono_ms());
	int rc = page_same_origin(call->req, &why);
	if (!rc && (!type || !str_starts(type, "application/json")))
		rc = why_set(&why, ERR_INVALID, "Content-Type: must be application/json");
	if (!rc && !page_is_private(call->stage, call->req))
		rc = why_set(
			&why, ERR_DENIED,
			"tokens are taken over HTTPS only: set http.tls_cert_file, or name the "
			"proxy in front in trusted_proxies");
	if (rc) {
		api_fail(call, rc, &why);
		return false;
	}
	if (wait_ms > 0) {
		metric_add(&logins, 1, "locked_out");
		http_reply_retry(call->req, 429, (unsigned)(wait_ms / 1000 + 1),
				 "too many wrong tokens from this address");
		return false;
	}
	return true;
}

/* Tokens of people and those of http.token_file, which stand for nobody by name. */
static bool token_accept(struct api_call *call, const char *token,
			 char person[static SESSION_PERSON_MAX + 1],
			 uint8_t proof[static DIGEST_BYTES])
{
	const struct notifier_config *c = stage_config_get(call->stage);
	size_t len = strlen(token);
	const struct person *p = person_by_token(&c->people, token, len);
	bool ok = p || http_token_known(call->req, token, len);
	snprintf(person, SESSION_PERSON_MAX + 1, "%s", p ? p->name : "");
	person_proof(p, proof);
	stage_config_put(call->stage, c);
	return ok;
}

static void login_refuse(struct api_call *call, const char *peer)
{
	struct why why = {0};
	login_failed(page_sessions(page_of(call->stage)), peer, clock_mono_ms());
	metric_add(&logins, 1, "refused");
	LOG(WARN, "login refused", S("peer", peer));
	why_set(&why, ERR_UNAUTHENTICATED, "this token is not known");
	api_fail(call, ERR_UNAUTHENTICATED, &why);
}

/* A session that the browser brought along ends here: whoever put it there cannot use it. */
static void session_replace(struct api_call *call, const char *person, const uint8_t *proof)
{
	auto_buf old = {0};
	char id[SESSION_TEXT];
	struct sessions *all = page_sessions(page_of(call->stage));
	const struct notifier_config *c = stage_config_get(call->stage);
	struct session_start start = {person, proof, c->session_ttl_ms};
	stage_config_put(call->stage, c);
	if (cookie_get(call, &old))
		session_end(all, buf_str(&old));
	session_begin(all, &start, clock_mono_ms(), id);
	cookie_set(call, id, start.ttl_ms / 1000);
}

void page_login(struct api_call *call)
{
	char peer[ADDRESS_TEXT_BYTES], person[SESSION_PERSON_MAX + 1];
	uint8_t proof[DIGEST_BYTES];
	page_peer(call->stage, call->req, peer, sizeof(peer));
	if (!login_allowed(call, peer))
		return;
	if (!token_accept(call, api_str(call, "token"), person, proof)) {
		login_refuse(call, peer);
		return;
	}
	login_succeeded(page_sessions(page_of(call->stage)), peer);
	session_replace(call, person, proof);
	metric_add(&logins, 1, "accepted");
	LOG(INFO, "logged in", S("person", *person ? person : "(a token of the API)"),
	    S("peer", peer));
	api_reply(call, 200, json_pack("{s:s?}", "person", *person ? person : NULL));
}

void page_logout(struct api_call *call)
{
	auto_buf id = {0};
	if (cookie_get(call, &id))
		session_end(page_sessions(page_of(call->stage)), buf_str(&id));
	cookie_set(call, "", 0);
	api_reply(call, 200, json_pack("{s:b}", "logged_out", 1));
}

/* ---- who am I ---- */

static json_t *roles_json(unsigned roles)
{
	json_t *list = json_array();
	for (unsigned role = ROLE_VIEWER; role <= ROLE_ADMIN; role <<= 1)
		if (roles & role)
			json_array_append_new(list, json_string(role_name(role)));
	return list;
}

static json_t *rights_json(unsigned roles)
{
	json_t *list = json_array();
	for (enum right right = 0; right < RIGHTS; right++)
		if (right_held(right, roles))
			json_array_append_new(list, json_string(right_name(right)));
	return list;
}

void page_session(struct api_call *call)
{
	static const char *const via[] = {"", "token", "session", "proxy", "local"};
	auto_buf old = {0};
	char id[SESSION_TEXT];
	struct page_who who;
	struct why why = {0};
	int rc = page_who(call->stage, call->req, &who, &why);
	if (rc) {
		api_fail(call, rc, &why);
		return;
	}
	const struct notifier_config *c = stage_config_get(call->stage);
	int64_t ttl_ms = c->session_ttl_ms;
	stage_config_put(call->stage, c);
	if (who.stale && cookie_get(call, &old) &&
	    session_rotate(page_sessions(page_of(call->stage)), buf_str(&old), clock_mono_ms(), id))
		cookie_set(call, id, ttl_ms / 1000);
	api_reply(call, 200,
		  json_pack("{s:s?,s:o,s:o,s:s,s:s}", "person", *who.person ? who.person : NULL,
			    "roles", roles_json(who.roles), "may", rights_json(who.roles), "csrf",
			    who.csrf, "via", via[who.via]));
}
