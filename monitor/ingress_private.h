/*
 * What the door's files share: ingress.c reads and judges what is posted, ingress_wait.c stores it
 * and answers. Nobody else includes this.
 */
#ifndef MONITOR_INGRESS_PRIVATE_H
#define MONITOR_INGRESS_PRIVATE_H

#include "monitor/config.h"
#include "monitor/ingress.h"
#include "monitor/repeats.h"

struct slot;
struct remedy;

struct ingress {
	struct slot *slots;
	size_t n_slots;
	atomic_size_t next;
	atomic_size_t waiting;
	_Atomic(struct bus_outlet *) outlet; /* NULL while the bus is away */
	atomic_uint users;                   /* of the outlet, at this moment */
	_Atomic uint32_t jitter;
	struct repeats *repeats;
	struct http_fixed *repeat; /* the answer to one */
	_Atomic(struct remedy *)
		remedies; /* remediate.c: asked for and not yet seen by its thread */
	atomic_uint n_remedies;
	int remedies_bell; /* an eventfd: one has been asked for */
};

/* A body on its way in. */
struct posting {
	struct http_request *req;
	const struct source *source;
	const char *body;
	size_t len;
	const char *event; /* what the sender's header calls it; NULL */
	struct buf converted;
	bool protobuf;
	bool known;            /* authenticated, or the machine itself */
	bool identified;       /* every alert of the body is in ids */
	struct buf identities; /* struct identity, one an alert */
};

/* Stores the body and lets the request wait for the ack, or answers at once that it cannot. */
void ingress_store(struct ingress *in, struct posting *p);
/* Lets the request wait with a body under way; false when that one's fate is known by now. */
bool ingress_join(struct ingress *in, const struct posting *p, struct identity id, uint64_t token);
void ingress_answer_repeat(struct ingress *in, struct posting *p);
void ingress_answer_error(const struct posting *p, const char *source, unsigned status, int rc,
			  const struct why *why);
/* A JSON text of its own. */
void ingress_answer_text(const struct posting *p, unsigned status, const char *text);
/* Looks at one of GitHub's deliveries; true when it is answered, and is not to be stored. */
bool ingress_github(const struct monitor_config *c, struct posting *p);
/* 429 */
void ingress_answer_rate(const struct posting *p);

static inline const struct identity *posting_ids(const struct posting *p, size_t *out_n)
{
	*out_n = p->identities.len / sizeof(struct identity);
	return (const struct identity *)(const void *)p->identities.data;
}

#endif
