/*
 * A channel is where a notice goes: one const struct of functions and one row in table.c a kind.
 * Sending runs on effect workers; each has sessions of its own, so nothing here is shared.
 */
#ifndef NOTIFIER_CHANNEL_H
#define NOTIFIER_CHANNEL_H

#include "common/http_client.h"
#include "common/wire.h"
#include "common/yaml.h"
#include "notifier/answer.h"

struct channel;
struct people;
struct stage;

enum {
	CHANNEL_REF_MAX = WIRE_REF_MAX,
	CHANNEL_BODY_MAX_BYTES = 256 << 10, /* of a request to /channel/<name> */
	CHANNEL_SENDER_MAX = 128,           /* an id at a vendor */
	CHANNEL_REASON_MAX = WIRE_REASON_MAX,
};

/* What is to be sent. Borrowed for the call. */
struct channel_job {
	const struct channel *channel;
	void *session;
	struct http_client *http;
	const Healbus__Notice *notice; /* channel, subject and text are never NULL */
	/* What notice->approval names, as the projection knows it; NULL: none, or aged out. */
	const Healbus__ApprovalRequest *approval;
	const Healbus__Decision *decision; /* the answer to it; NULL: still open */
	const struct token_key *tokens;    /* for token_make(); NULL: no buttons, no links */
	const struct people *people;       /* whom notice->to names; NULL: nobody is known */
};

/* What became of it. Zeroed. */
struct channel_result {
	int64_t retry_ms; /* the peer said when to come back */
	/* What the vendor calls the message: what later notices get as update_of. "": nothing. */
	char ref[CHANNEL_REF_MAX + 1];
	bool partly; /* it failed, but some of it can be read there */
};

/* A request of the vendor's (or of a link's reader) to /channel/<name>. Borrowed for the call. */
struct channel_request {
	const char *method; /* "POST" or "GET" */
	const char *body;   /* raw, NUL-terminated */
	size_t body_len;
	int64_t now_ms; /* by this machine's clock; for the age of signatures */
	const char *(*header)(const void *ctx, const char *name); /* NULL when absent */
	const char *(*query)(const void *ctx, const char *name);  /* NULL when absent */
	const void *ctx;
	struct stage *stage; /* NULL in unit tests */
};

/* The answer, and at most one answer of a person to be given before it. Zeroed; released by the
 * dispatcher. */
struct channel_reply {
	unsigned status;          /* 0: 200 */
	const char *content_type; /* static; NULL: application/json */
	struct buf body;
	bool give;           /* `in` is to be given: then `answered` makes the body */
	struct answer_in in; /* its texts in `arena` */
	struct arena arena;  /* valid until the reply is out */
	void *state;         /* the kind's own, from receive to answered; in `arena` */
};

struct channel_kind {
	const char *name; /* `type` in the configuration */
	/* Reads the entry's own keys into channel->settings (set, zeroed; settings_size bytes). */
	int (*parse)(struct channel *c, const struct yaml_node *node, struct why *out_why);
	void (*release)(void *settings);
	size_t settings_size;
	/* Per worker, what one thread must own; NULL: nothing. */
	int (*open)(const struct channel *c, void **out_session, struct why *out_why);
	void (*close)(void *session);
	/*
	 * Sends, or says why not: transient and internal classes are tried again, permanent and
	 * input ones give up. Blocks at most c->timeout_ms.
	 */
	int (*send)(const struct channel_job *job, struct channel_result *out, struct why *out_why);
	/* Does this session go on in the middle of that notice? NULL: sends always begin anew. */
	bool (*resumes)(const void *session, const Healbus__Notice *n);
	/*
	 * Reads a request to /channel/<name>; NULL: the kind takes none (404). It verifies who asks
	 * (a signature over the raw body) before anything else. 0: out is filled. An error becomes
	 * the HTTP status of its class, and is counted: ERR_UNAUTHENTICATED 401, ERR_DENIED 403,
	 * ERR_INVALID 400. An API thread; must not block but for what `stage` is used for.
	 */
	int (*receive)(const struct channel *c, const struct channel_request *in,
		       struct channel_reply *out, struct why *out_why);
	/* With reply->give: says at the channel what came of it (status and body). */
	void (*answered)(const struct channel *c, const struct answer_out *what,
			 struct channel_reply *reply);
	/*
	 * For channels that are asked rather than told (long polling): a round of at most
	 * POLL_ROUND_MS, on a thread of the channel's own, again and again until the stage stops or
	 * the configuration changes. An error: a pause that grows. NULL: nothing to poll.
	 */
	int (*poll)(struct stage *s, const struct channel *c, void **io_state, struct why *out_why);
	void (*poll_end)(void *state); /* frees what poll put there; NULL: nothing */
	/* Does this channel want to be polled? NULL: all of the kind do. */
	bool (*polls)(const struct channel *c);
	bool answers_commands; /* hears of commands like `/heal status`: notices of kind status */
};

struct channel {
	char *name;
	const struct channel_kind *kind;
	void *settings;
	int64_t timeout_ms;
};

struct channels {
	struct channel *items;
	size_t n;
};

extern const struct channel_kind channel_terminal;
extern const struct channel_kind channel_webhook;
extern const struct channel_kind channel_slack;
extern const struct channel_kind channel_discord;
extern const struct channel_kind channel_email;
extern const struct channel_kind channel_telegram;
extern const struct channel_kind channel_pagerduty;
extern const struct channel_kind channel_opsgenie;
extern const struct channel_kind channel_github;

/* OPT_TREE hooks; field is a struct channels. */
int channels_parse(void *field, const struct yaml_node *node, struct why *out_why);
void channels_release(void *field);
const struct channel *channel_find(const struct channels *all, const char *name);

/* ---- for the kinds ---- */

/* An address given in the file or, when it is a secret itself, in a file of its own. */
struct channel_url {
	char *url;
	char *file;
};
int channel_url_parse(const struct yaml_node *node, struct channel_url *out, struct why *out_why);
void channel_url_release(struct channel_url *u);
/* The address as of now, appended. ERR_CONFIG. */
int channel_url_read(const struct channel_url *u, struct buf *out, struct why *out_why);

/* The common keys (name, type, timeout) and the kind's own; ERR_CONFIG names another. */
int channel_keys(const struct yaml_node *node, const char *const *own, size_t n,
		 struct why *out_why);
/* Sets *io to a copy of the string or path under key; stays as it is when there is none. */
int channel_str(const struct yaml_node *node, const char *key, char **io, struct why *out_why);
int channel_path(const struct yaml_node *node, const char *key, char **io, struct why *out_why);

/* http_client_call; ERR_TIMEOUT where the whole request left and no whole answer came, or a gateway
 * got none: it may be there, and a later one is a repeat. ERR_UNAVAILABLE: it is not. */
int channel_call(struct http_client *http, const struct http_call *call, struct http_answer *out,
		 struct why *out_why);
/* A POST with JSON; the answer's status as an error, Retry-After in *out_retry_ms. */
int channel_post(struct http_client *http, const struct http_call *call, int64_t *out_retry_ms,
		 struct why *out_why);
/* The same with a JSON body, besides what call says. */
int channel_post_json(struct http_client *http, const struct http_call *call, const json_t *body,
		      int64_t *out_retry_ms, struct why *out_why);

#endif
