#include "notifier/config.h"
#include "notifier/page.h"

#include "common/clock.h"
#include "common/http_text.h"

/* One question while the configuration is held. */
struct asking {
	struct stage *stage;
	const struct notifier_config *config;
	struct http_request *req;
	struct page_who *who;
};

/* ---- people ---- */

const struct person *person_by_token(const struct people *all, const char *token, size_t len)
{
	const struct person *found = NULL;
	for (size_t i = 0; i < all->n; i++)
		if (secret_equal(&all->items[i].token, token, len))
			found = &all->items[i];
	return found;
}

void person_proof(const struct person *p, uint8_t out[static DIGEST_BYTES])
{
	digest_sha256(p && p->token.data ? p->token.data : "", p ? p->token.len : 0, out);
}

static void found(struct asking *a, enum page_via via, const struct person *p)
{
	a->who->via = via;
	a->who->roles = 0;
	snprintf(a->who->person, sizeof(a->who->person), "%s", p ? p->name : "");
	for (unsigned role = ROLE_VIEWER; role <= ROLE_ADMIN; role <<= 1)
		if (!p || person_has(p, (enum role)role))
			a->who->roles |= role;
}

/* Is there another way in than being on this machine? */
static bool login_needed(const struct notifier_config *c)
{
	for (size_t i = 0; i < c->people.n; i++)
		if (c->people.items[i].token.data || (c->oidc_header && c->people.items[i].oidc))
			return true;
	return false;
}

/* ---- the ways in: 0, an error, or ERR_NOT_FOUND: not this way ---- */

static int by_token(struct asking *a, struct why *out_why)
{
	const char *authorization = http_header(a->req, "Authorization");
	auto_buf token = {0};
	if (!authorization)
		return ERR_NOT_FOUND;
	if (!http_origin_fits(http_header(a->req, "Origin"), http_header(a->req, "Host")))
		return why_set(out_why, ERR_DENIED, "a page of another origin may not ask this");
	const struct person *p =
		http_credentials(authorization, &token)
			? person_by_token(&a->config->people, buf_str(&token), token.len)
			: NULL;
	bool known = p || (token.data && http_token_known(a->req, buf_str(&token), token.len));
	if (token.data)
		explicit_bzero(token.data, token.len);
	if (!known) {
		http_reply_header(a->req, "WWW-Authenticate", "Bearer realm=\"healbus\"");
		return why_set(out_why, ERR_UNAUTHENTICATED, "a valid token is needed");
	}
	found(a, VIA_TOKEN, p);
	return 0;
}

static int by_session(struct asking *a, struct why *out_why UNUSED)
{
	auto_buf id = {0};
	struct session session;
	uint8_t proof[DIGEST_BYTES];
	struct sessions *all = page_sessions(page_of(a->stage));
	const char *name = page_cookie_name(page_is_secure(a->stage, a->req));
	if (!http_cookie(http_header(a->req, "Cookie"), name, &id) ||
	    !session_find(all, buf_str(&id), clock_mono_ms(), &session))
		return ERR_NOT_FOUND;
	const struct person *p =
		*session.person ? person_by(&a->config->people, "name", session.person) : NULL;
	person_proof(p, proof);
	if ((*session.person && !p) || !digest_equal(proof, session.proof, DIGEST_BYTES))
		return ERR_NOT_FOUND;
	found(a, VIA_SESSION, p);
	a->who->stale = session.stale;
	memcpy(a->who->csrf, session.csrf, sizeof(a->who->csrf));
	return 0;
}

static int by_proxy(struct asking *a, struct why *out_why)
{
	const struct notifier_config *c = a->config;
	const char *subject = c->oidc_header ? http_header(a->req, c->oidc_header) : NULL;
	if (!subject || !*subject || !proxies_have(&c->trusted_proxies, http_peer(a->req)))
		return ERR_NOT_FOUND;
	const struct person *p = person_by(&c->people, "oidc", subject);
	if (!p)
		return why_set(out_why, ERR_DENIED, "nobody in people: has this oidc subject");
	found(a, VIA_PROXY, p);
	auto_free char *tag = mem_printf("proxy:%s", p->name);
	sessions_csrf(page_sessions(page_of(a->stage)), tag, a->who->csrf);
	return 0;
}

static int by_place(struct asking *a, struct why *out_why)
{
	if (login_needed(a->config))
		return why_set(out_why, ERR_UNAUTHENTICATED, "log in, or send a token");
	int rc = http_request_bearer(a->req, out_why);
	if (rc)
		return rc;
	found(a, VIA_LOCAL, NULL);
	sessions_csrf(page_sessions(page_of(a->stage)), "local", a->who->csrf);
	return 0;
}

int page_who(struct stage *s, struct http_request *req, struct page_who *out, struct why *out_why)
{
	static int (*const ways[])(struct asking *, struct why *) = {by_token, by_session, by_proxy,
								     by_place};
	const struct notifier_config *c = stage_config_get(s);
	struct asking a = {s, c, req, out};
	int rc = ERR_NOT_FOUND;
	*out = (struct page_who){0};
	for (size_t i = 0; i < ARRAY_SIZE(ways) && rc == ERR_NOT_FOUND; i++)
		rc = ways[i](&a, out_why);
	stage_config_put(s, c);
	return rc;
}

/* ---- browsers ---- */

static bool is_change(const struct http_request *req)
{
	return !str_eq(http_method(req), "GET") && !str_eq(http_method(req), "HEAD");
}

int page_same_origin(const struct http_request *req, struct why *out_why)
{
	const char *site = http_header(req, "Sec-Fetch-Site");
	bool foreign = site && !str_eq(site, "same-origin") && !str_eq(site, "none");
	if (foreign || !http_origin_fits(http_header(req, "Origin"), http_header(req, "Host")))
		return why_set(out_why, ERR_DENIED, "a page of another origin may not ask this");
	return 0;
}

/* A program on this machine carries nothing that a browser would send by itself. */
static bool is_browser(const struct http_request *req)
{
	return http_header(req, "Origin") || http_header(req, "Sec-Fetch-Site") ||
	       http_header(req, "Cookie");
}

static int csrf_check(const struct http_request *req, const struct page_who *who,
		      struct why *out_why)
{
	const char *given = http_header(req, "X-CSRF-Token");
	if (who->via == VIA_TOKEN)
		return 0; /* nothing but its holder sends it */
	int rc = page_same_origin(req, out_why);
	if (rc || !is_change(req) || (who->via == VIA_LOCAL && !is_browser(req)))
		return rc;
	if (given && strlen(given) == SESSION_TEXT - 1 &&
	    digest_equal(given, who->csrf, SESSION_TEXT - 1))
		return 0;
	return why_set(out_why, ERR_DENIED,
		       "X-CSRF-Token: must be the csrf of GET /api/session, to show that the page "
		       "itself asks");
}

/* ---- proxies ---- */

static bool from_proxy(struct stage *s, const struct http_request *req)
{
	const struct notifier_config *c = stage_config_get(s);
	bool trusted = proxies_have(&c->trusted_proxies, http_peer(req));
	stage_config_put(s, c);
	return trusted;
}

bool page_is_secure(struct stage *s, const struct http_request *req)
{
	const char *scheme = http_header(req, "X-Forwarded-Proto");
	return http_is_tls(req) || (scheme && str_eq(scheme, "https") && from_proxy(s, req));
}

bool page_is_private(struct stage *s, const struct http_request *req)
{
	return http_is_tls(req) || http_peer_is_loopback(req) || from_proxy(s, req);
}

void page_peer(struct stage *s, const struct http_request *req, char *out, size_t size)
{
	const char *list = http_header(req, "X-Forwarded-For"), *last = list;
	if (!list || !from_proxy(s, req)) {
		snprintf(out, size, "%s", http_peer(req));
		return;
	}
	for (const char *p = list; (p = strchr(p, ',')); last = p)
		p++;
	snprintf(out, size, "%s", last + strspn(last, " "));
}

const char *page_cookie_name(bool secure)
{
	return secure ? "__Host-healbus" : "healbus";
}

/* ---- the door ---- */

int page_authorize(struct stage *s, struct http_request *req, unsigned need, struct why *out_why)
{
	struct page_who who;
	enum right right = (enum right)(need - HTTP_AUTH_OWN);
	int rc = page_who(s, req, &who, out_why);
	if (!rc)
		rc = csrf_check(req, &who, out_why);
	if (rc)
		return rc;
	rc = right_check(right, who.person, who.roles, out_why);
	if (rc)
		return rc;
	http_request_set_user(req, who.person);
	return 0;
}
