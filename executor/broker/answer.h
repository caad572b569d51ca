/*
 * What the Engine answers, and what of it goes back: whether a container carries the label, the
 * fields of an answer that tell no secrets, the text of a log. Pure.
 */
#ifndef EXECUTOR_BROKER_ANSWER_H
#define EXECUTOR_BROKER_ANSWER_H

#include "common/buf.h"
#include "common/err.h"
#include "executor/broker/judge.h"

enum {
	BROKER_ID_LEN = 64,
	BROKER_MESSAGE_MAX = 300, /* bytes of the Engine's own words that go back */
};

/* A container as the Engine's inspection says it is. */
struct broker_container {
	char id[BROKER_ID_LEN + 1];
	char name[BROKER_CONTAINER_MAX + 1];
	bool tty; /* its log has no frames */
};

/* Reads an inspection. label: "name=value", what the container must carry. ERR_DENIED: it does not.
 * ERR_REJECTED: this is no inspection. */
int broker_container(const struct buf *text, const char *label, struct broker_container *out,
		     struct why *out_why);

/*
 * Adds what of an answer goes back, as JSON: for an inspection the state, names of variables
 * without their values, where mounts are seen, and labels that say what the container is; of a list
 * those that carry the label, each the same way. Commands, values, sources of mounts and all else
 * stay behind. ERR_REJECTED: it is no such answer.
 */
int broker_answer(enum broker_action action, const struct buf *text, const char *label,
		  struct buf *out, struct why *out_why);

/* Adds the field `message` of an error of the Engine's, at most BROKER_MESSAGE_MAX bytes. */
void broker_message(const struct buf *text, struct buf *out);

/* The text of a log, as it comes: standard output and error in their order, the last max_bytes. */
struct broker_log {
	bool tty;
	size_t max_bytes;
	struct buf text;
	unsigned char head[8];
	size_t n_head;
	uint32_t left; /* of the frame's payload */
	bool broken;   /* that was no frame */
	bool cut;      /* there was more than max_bytes */
};
/* Always true, but once it is broken. */
bool broker_log_take(struct broker_log *log, const char *data, size_t len);
/* Drops what is over max_bytes, and the rest of the line it stood in. */
void broker_log_end(struct broker_log *log);
void broker_log_release(struct broker_log *log);

#endif
