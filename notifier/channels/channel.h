/*
 * A channel is where a notice goes: one const struct of functions and one row in table.c a kind.
 * Sending runs on effect workers; each has sessions of its own, so nothing here is shared.
 */
#ifndef NOTIFIER_CHANNEL_H
#define NOTIFIER_CHANNEL_H

#include "common/http_client.h"
#include "common/wire.h"
#include "common/yaml.h"

struct channel;

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
	 * input ones give up. *out_retry_ms is set when the peer said when to come back. Blocks at
	 * most c->timeout_ms.
	 */
	int (*send)(const struct channel *c, void *session, struct http_client *http,
		    const Healbus__Notice *n, int64_t *out_retry_ms, struct why *out_why);
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
extern const struct channel_kind channel_email;

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

/* A POST with JSON; the answer's status as an error, Retry-After in *out_retry_ms. */
int channel_post(struct http_client *http, const struct http_call *call, int64_t *out_retry_ms,
		 struct why *out_why);

#endif
