/*
 * healctl init: a folder with all that a bus of one's own needs and nobody else may know: keys,
 * certificates, tokens, and the server's configuration. Made once; a second run adds what is
 * missing. Everything is written whole or not at all, synced, for its owner only.
 */
#ifndef NOTIFIER_CTL_INIT_INIT_H
#define NOTIFIER_CTL_INIT_INIT_H

#include "notifier/ctl/ctl.h"

enum {
	INIT_NODES_MAX = 9,
	INIT_SERVER_DAYS = 365, /* the server's certificate; doctor warns INIT_WARN_DAYS before */
	INIT_CA_DAYS = 3650,
	INIT_WARN_DAYS = 30,
};

/* What was asked for; words are borrowed from the command line. */
struct init {
	struct ctl *ctl;
	const char *dir;
	char *path;          /* dir, absolute */
	const char *sources; /* comma-separated; NULL */
	const char *hosts;   /* likewise */
	const char *listen;  /* "127.0.0.1:4222" */
	const char *store;   /* NULL: DIR/jetstream */
	unsigned nodes;      /* of a cluster; 0: none */
	bool syncs;          /* this host's nats-server knows sync_interval */
	char server[32];     /* how that is known, for people */
	bool chown;          /* to owner:group */
	uid_t owner;
	gid_t group;
	json_t *made; /* array of {file, what} */
	struct why why;
};

/* ---- files (init_file.c); names are relative to the folder ---- */

char *init_path(const struct init *in, const char *name); /* free() */
bool init_has(const struct init *in, const char *name);
int init_folder(struct init *in, const char *name);
/* Never over what is there: ERR_EXISTS then, without a word. `what` is told to the user. */
int init_write(struct init *in, const char *name, const struct buf *text, const char *what);
/* Over what is there, unless that is the same. */
int init_replace(struct init *in, const char *name, const struct buf *text, const char *what);
int init_read(struct init *in, const char *name, struct buf *out);
/* Something was made otherwise: told, and given to the owner. */
int init_made(struct init *in, const char *name, const char *what);

/* ---- who is who (init_keys.c) ---- */

int init_users(struct init *in);   /* keys/USER.nk and .pub, nats/users.conf */
int init_secrets(struct init *in); /* keys/decision.key, keys/token.key, tokens/STAGE */

/* ---- certificates (init_cert.c) ---- */

int init_certificates(struct init *in); /* tls/ca.pem, ca.key, nats.pem, nats.key */
int init_renew(struct init *in);        /* tls/nats.pem anew, for its names and in->hosts */
/* When the first certificate of a PEM file ends. ERR_NOT_FOUND, ERR_CONFIG. */
int cert_ends_ms(const char *path, int64_t *out_ms, struct why *out_why);

/* ---- the server's configuration (init_nats.c) ---- */

int init_server(struct init *in); /* nats/nats-server.conf, stack.conf, stack-N.conf; bus.yaml */

#endif
