/*
 * A client of GitHub's REST API: token or GitHub App, rate limits, pages, errors as GitHub words
 * them. Layer 2. A struct github is shared by all threads of a process; each call brings the
 * calling thread's own http_client. Tokens appear in no log, error or answer. Source:
 * https://docs.github.com/rest (API version 2022-11-28).
 */
#ifndef COMMON_GITHUB_H
#define COMMON_GITHUB_H

#include "common/base.h"

#include <jansson.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/http_client.h"
#include "common/secret.h"

#define GITHUB_API_URL "https://api.github.com"

enum {
	GITHUB_BODY_MAX_BYTES = 8 << 20, /* of an answer in JSON */
	GITHUB_PAGE = 100,               /* entries a page; the API's most */
	GITHUB_RETRY_MAX_MS = 3600000,   /* longest wait that is believed */
	GITHUB_SECONDARY_MS = 60000,     /* wait after a secondary limit that names none */
	GITHUB_TOKEN_EARLY_MS =
		300000, /* an installation's token is renewed so long before its end */
};

/* The keys below `github:` of a stage; see GITHUB_OPTIONS. Neither token_file nor app_id: calls go
 * without credentials. */
struct github_config {
	char *api_url;
	char *token_file;
	char *app_id; /* with app_key_file: a GitHub App */
	char *app_key_file;
	char *ca_file;
};

/* Rows of an option table; T has a member `f` of struct github_config. Needs common/config.h. */
#define GITHUB_OPTIONS(T, f)                                                                       \
	OPT_STRING(T, f.api_url, "github.api_url", GITHUB_API_URL,                                 \
		   "GitHub's REST API; https://HOST/api/v3 of a GitHub Enterprise Server."),       \
		OPT_PATH(T, f.token_file, "github.token_file", NULL,                               \
			 "File (mode 0600) with a token, fine-grained where possible. Not with "   \
			 "app_id."),                                                               \
		OPT_STRING(T, f.app_id, "github.app_id", NULL,                                     \
			   "Id of a GitHub App: its installation's tokens are made as needed, "    \
			   "each for one repository."),                                            \
		OPT_PATH(T, f.app_key_file, "github.app_key_file", NULL,                           \
			 "Private key (PEM, mode 0600) of the GitHub App."),                       \
		OPT_PATH(T, f.ca_file, "github.ca_file", NULL,                                     \
			 "Certificates (PEM) that api_url may show; default: the system's.")

struct github;

/* Copies the configuration. ERR_CONFIG: api_url is no http(s) URL, app_id without its key or with
 * token_file. */
int github_new(const struct github_config *config, struct github **out, struct why *out_why);
void github_free(struct github *g);
/* False: nothing is configured that could write. */
bool github_has_credentials(const struct github *g);

struct github_request {
	struct http_client *http; /* the calling thread's */
	const char *method;       /* NULL: GET, or POST with json */
	const char *path;         /* "/repos/o/r/pulls?state=open": github_path makes it */
	const json_t *json;       /* body; NULL: none */
	const char *accept;       /* NULL: application/vnd.github+json */
	const char *repository;   /* "owner/name": whose installation's token; NULL: from path */
	int64_t installation_id;  /* 0: asked by repository */
	int64_t timeout_ms;       /* whole call; 0: HTTP_CLIENT_TIMEOUT_MS */
	size_t max_bytes;         /* of the answer; 0: GITHUB_BODY_MAX_BYTES */
	bool download;          /* the answer may be one redirect to another host (logs, archives):
				   followed once, by GET, without credentials; the bytes are in raw */
	const char *token_file; /* instead of the configured credentials; NULL: those */
	const char *api_url;    /* instead of the configured one, and then only with a token_file of
				   its own; NULL: that */
};

/* Zeroed is empty; release it after every call. */
struct github_answer {
	long status;
	json_t *json;     /* NULL when the body is none */
	struct buf raw;   /* what came; with ERR_TOO_LARGE its beginning */
	char *next;       /* path of the next page; NULL: this was the last */
	int64_t retry_ms; /* with ERR_BUSY: when to come back */
	bool sent;        /* the request may have had its effect, whatever the error */
};

void github_answer_release(struct github_answer *a);
#define auto_github_answer __attribute__((cleanup(github_answer_release))) struct github_answer

/*
 * 0 for 2xx. ERR_BUSY with retry_ms: a primary or secondary rate limit, also one that an earlier
 * call met, in which case nothing is sent. Otherwise as http_client_call and http_status_err say,
 * with GitHub's own message in out_why. ERR_REJECTED: 422. Blocks up to timeout_ms, three times
 * that when an installation's token has to be made.
 */
int github_call(struct github *g, const struct github_request *req, struct github_answer *out,
		struct why *out_why);

/*
 * All entries of a list, over its pages, at most `max`. member: where in an answer they are
 * ("check_runs"); NULL: the answer is the list. *out is the caller's (json_decref). *out_retry_ms
 * may be NULL.
 */
struct github_list {
	const char *member;
	size_t max;
	int64_t *out_retry_ms;
};
int github_all(struct github *g, const struct github_request *req, const struct github_list *list,
	       json_t **out, struct why *out_why);

/* The token that calls for this repository use, for git over https as user x-access-token; empty
 * without credentials. req: http, repository, installation_id, token_file, timeout_ms count. */
int github_token(struct github *g, const struct github_request *req, struct secret *out,
		 struct why *out_why);

/*
 * Adds pattern, "{}" replaced by the next value percent-encoded, "{+}" likewise but with its "/"
 * left ("owner/name", "heads/a/b"). Values are "" when there are too few.
 */
#define github_path(out, pattern, ...)                                                             \
	github_path_add(out, pattern, (const char *const[]){__VA_ARGS__, NULL})
void github_path_add(struct buf *out, const char *pattern, const char *const *values);

/* "owner/name": both of [A-Za-z0-9._-], neither "." nor "..". */
bool github_repository_valid(const char *name);

/* ---- for tests: the pure parts ---- */

/* A JSON web token (RFC 7519, RS256) for app_id, valid from a minute before now_ms for nine
 * minutes. */
int github_jwt(const char *app_id, const char *key_file, int64_t now_ms, struct buf *out,
	       struct why *out_why);

/* What an answer says of limits. Values as sent; NULL: absent. */
struct github_limits {
	long status;
	const char *retry_after; /* seconds */
	const char *remaining;
	const char *reset;   /* seconds since 1970 */
	const char *message; /* of the body */
};
/* How long nothing may be sent: 0 when there is no limit in it. *out_limited: the call itself was
 * refused by one. */
int64_t github_limit_ms(const struct github_limits *l, int64_t now_ms, bool *out_limited);

/* The URL of rel="next" in a Link header (RFC 8288), copied; NULL: none. */
char *github_next_url(const char *link);

#endif
