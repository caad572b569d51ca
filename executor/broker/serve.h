/*
 * The broker at work: the socket, a bounded queue, a few workers. Every request ends in one line of
 * the log: who (the user that the kernel names), what, which container, which answer.
 */
#ifndef EXECUTOR_BROKER_SERVE_H
#define EXECUTOR_BROKER_SERVE_H

#include "executor/broker/config.h"

enum { BROKER_QUEUE_MAX = 64 };

struct broker;

/* config is borrowed until broker_close. Binds, then starts threads. */
int broker_open(const struct broker_config *config, struct broker **out, struct why *out_why);
/*
 * From now on requests are judged and passed on by this one, which is moved out of *config; those
 * under way go by the one that they began with. What is chosen at start (listen, group, allow_root,
 * http.listen, workers) stays as it was, which the log says. Other rates begin to count anew. One
 * thread.
 */
void broker_reload(struct broker *b, struct broker_config *config);
/* Answers what is under way first, for as long as that may take by the configuration. */
void broker_close(struct broker *b);

#endif
