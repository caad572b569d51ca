/*
 * Memory for people and for other memories: GET /memory (?like=TEXT&k=N, and &others=1 to
 * ask the other memories, too), /memory/<incident> and
 * /statistics on the reasoner's HTTP server, and a thread that tells the stores of `memory.stores`
 * what was learned.
 */
#ifndef REASONER_MEMORY_API_H
#define REASONER_MEMORY_API_H

#include "common/stage.h"

/* Rows for the stage's routes and threads. */
#define MEMORY_ROUTES                                                                              \
	{.method = "GET", .path = "/memory", .handler = memory_api_enqueue},                       \
		{.method = "GET", .path = "/memory/*", .handler = memory_api_enqueue},             \
	{                                                                                          \
		.method = "GET", .path = "/statistics", .handler = memory_api_enqueue              \
	}
#define MEMORY_THREADS                                                                             \
	{"memory", memory_api_run},                                                                \
	{                                                                                          \
		"memories", memory_feed_run                                                        \
	}

http_handler memory_api_enqueue;
void memory_api_run(struct stage *s);
/*
 * Tells each store every memory, in order. How far it is stands in <state_dir>/memories/<name>: a
 * new store gets all that is known, and one that was away what it missed.
 */
void memory_feed_run(struct stage *s);

/* From the stage's start and stop: the pipe through which requests reach the thread. */
struct memory_api;
int memory_api_open(struct memory_api **out, struct why *out_why);
void memory_api_close(struct memory_api *api);

#endif
