/*
 * The page's server side: who asks (page_auth.c), logging in (page_login.c), its files
 * (page_files.c) and what happens meanwhile (page_events.c).
 *
 * Who asks is found out before the body is read, in this order: a bearer token (a person's, or one
 * of http.token_file), the session's cookie, the header of a trusted proxy, and, when neither
 * tokens nor people with a way to log in are configured, a local peer. Whatever a browser sends
 * along by itself needs the CSRF token for every change, and never comes from a foreign page.
 */
#ifndef NOTIFIER_PAGE_H
#define NOTIFIER_PAGE_H

#include "notifier/api.h"
#include "notifier/rights.h"
#include "notifier/session.h"

/* What a route needs, as struct http_route.auth. */
#define PAGE_NEEDS(right) ((enum http_auth)(HTTP_AUTH_OWN + (right)))

struct page;
struct page *page_new(void);
/* After page_open. NULL is fine. */
void page_free(struct page *p);
/* Reads the files; those that are not there are answered with 404. Logs what is missing. */
void page_open(struct page *p, const char *web_dir);
struct page *page_of(struct stage *s); /* api.c */
struct sessions *page_sessions(struct page *p);

/* ---- page_auth.c ---- */

enum page_via {
	VIA_NOTHING,
	VIA_TOKEN,
	VIA_SESSION,
	VIA_PROXY,
	VIA_LOCAL,
};

struct page_who {
	enum page_via via;
	char person[HTTP_USER_MAX + 1]; /* "": nobody by name, with all roles */
	unsigned roles;
	char csrf[SESSION_TEXT];
	bool stale; /* the session's id is old */
};

/* struct stage_def.authorize */
int page_authorize(struct stage *s, struct http_request *req, unsigned need, struct why *out_why);
/* 0, ERR_DENIED, ERR_UNAUTHENTICATED. Any thread. */
int page_who(struct stage *s, struct http_request *req, struct page_who *out, struct why *out_why);
/* Does this come from a page of ours, as far as a browser says? */
int page_same_origin(const struct http_request *req, struct why *out_why);
/* HTTPS here or, as a trusted proxy says, in front of it. */
bool page_is_secure(struct stage *s, const struct http_request *req);
/* Nobody between the two can read along: HTTPS, this machine, or the way to a trusted proxy. */
bool page_is_private(struct stage *s, const struct http_request *req);
const char *page_cookie_name(bool secure);
/* Whose token this is; NULL: nobody's. Looks at all of them. */
const struct person *person_by_token(const struct people *all, const char *token, size_t len);
/* What a session is bound to: void when the person's token changes. */
void person_proof(const struct person *p, uint8_t out[static DIGEST_BYTES]);
/* The address that asks; behind a trusted proxy, the one it names. out holds ADDRESS_TEXT_BYTES. */
void page_peer(struct stage *s, const struct http_request *req, char *out, size_t size);

/* ---- routes ---- */

api_func page_login, page_logout, page_session;
/* On the server's threads; ctx is the struct stage. */
http_handler page_file, page_events;

/* ---- page_events.c ---- */

struct events *events_new(void);
void events_free(struct events *e); /* ends what is open */
struct events *page_events_of(struct page *p);
void page_events_run(struct stage *s); /* a thread of the stage */

/* ---- page_files.c ---- */

/* All that the page consists of: path, file, type; what is YAML and asked for as JSON is
 * turned into it. A path is looked up in this table, never in a
 * directory. */
#define PAGE_FILES(X)                                                                              \
	X("/", "index.html", PAGE_HTML)                                                            \
	X("/login", "login.html", PAGE_HTML)                                                       \
	X("/app.js", "app.js", PAGE_SCRIPT)                                                        \
	X("/approve.js", "approve.js", PAGE_SCRIPT)                                                \
	X("/charts.js", "charts.js", PAGE_SCRIPT)                                                  \
	X("/diff.js", "diff.js", PAGE_SCRIPT)                                                      \
	X("/dom.js", "dom.js", PAGE_SCRIPT)                                                        \
	X("/incidents.js", "incidents.js", PAGE_SCRIPT)                                            \
	X("/keys.js", "keys.js", PAGE_SCRIPT)                                                      \
	X("/login.js", "login.js", PAGE_SCRIPT)                                                    \
	X("/machine.js", "machine.js", PAGE_SCRIPT)                                                \
	X("/net.js", "net.js", PAGE_SCRIPT)                                                        \
	X("/story.js", "story.js", PAGE_SCRIPT)                                                    \
	X("/view.js", "view.js", PAGE_SCRIPT)                                                      \
	X("/style.css", "style.css", "text/css; charset=utf-8")                                    \
	X("/icons.svg", "icons.svg", "image/svg+xml")                                              \
	X("/openapi.yaml", "../openapi.yaml", "application/yaml")                                  \
	X("/openapi.json", "../openapi.yaml", "application/json")
#define PAGE_HTML "text/html; charset=utf-8"
#define PAGE_SCRIPT "text/javascript; charset=utf-8"

struct page_files *page_files_read(const char *dir);
void page_files_free(struct page_files *f);
struct page_files *page_files_of(struct page *p);

#endif
