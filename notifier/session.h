/*
 * Who is logged in at the page, and who tries too often. In memory only: a restart logs everybody
 * out. Ids are 32 random bytes of which only the digest is kept; an id is never taken from a
 * client. Any thread; times are of one clock that does not go back.
 */
#ifndef NOTIFIER_SESSION_H
#define NOTIFIER_SESSION_H

#include "common/id.h"

enum {
	SESSION_TEXT = 2 * DIGEST_BYTES + 1, /* hex */
	SESSION_PERSON_MAX = 64,
	SESSIONS_MAX = 1024,         /* the oldest goes first */
	SESSION_ROTATE_MS = 3600000, /* an id is good for so long, then it is changed */
	SESSION_OVERLAP_MS = 60000,  /* requests under way may still carry the old one */
	LOGIN_TRIES = 5,             /* wrong tokens from one address until it has to wait */
	LOGIN_WAIT_MS = 60000,       /* doubled with each further one */
	LOGIN_WAIT_MAX_MS = 3600000, /* up to this; all is forgotten after twice this without one */
	LOGIN_PEERS_MAX = 1024,
};

struct sessions;

struct session {
	char person[SESSION_PERSON_MAX + 1]; /* "": one of the API's tokens, nobody by name */
	uint8_t proof[DIGEST_BYTES]; /* of what was shown at the login: void when that changes */
	char csrf[SESSION_TEXT];     /* the same as long as the session lives */
	int64_t ends_ms;
	bool stale; /* time for session_rotate */
};

struct sessions *sessions_new(void);
void sessions_free(struct sessions *all);

/* What a page sends back to show that it could read our answer, for those who come without a
 * session of their own (`who` says which). */
void sessions_csrf(const struct sessions *all, const char *who, char out[static SESSION_TEXT]);

struct session_start {
	const char *person;
	const uint8_t *proof; /* DIGEST_BYTES */
	int64_t ttl_ms;
};
/* A new session under a new id. */
void session_begin(struct sessions *all, const struct session_start *start, int64_t now_ms,
		   char out_id[static SESSION_TEXT]);
bool session_find(struct sessions *all, const char *id, int64_t now_ms, struct session *out);
/* Another id for the same session; the old one is good for SESSION_OVERLAP_MS more. False: there is
 * no such session, or it was done just now. */
bool session_rotate(struct sessions *all, const char *id, int64_t now_ms,
		    char out_id[static SESSION_TEXT]);
void session_end(struct sessions *all, const char *id);

/* How long this address has to wait before it may try a token; 0: not at all. */
int64_t login_wait_ms(struct sessions *all, const char *peer, int64_t now_ms);
void login_failed(struct sessions *all, const char *peer, int64_t now_ms);
void login_succeeded(struct sessions *all, const char *peer);

#endif
