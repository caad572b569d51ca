/* Memory for who diagnoses: in transactions of its own, and other memories beside it. */
#ifndef REASONER_MEMORY_WORKER_H
#define REASONER_MEMORY_WORKER_H

#include "reasoner/memories/memories.h"
#include "reasoner/route/route.h"

/* One worker's; http is borrowed. Release with memory_index_release(&w->index). */
struct memory_worker {
	struct store *store; /* the fold's */
	const struct memory_config *config;
	struct http_client *http;
	struct memory_index index;
};

/* How often whose fixes held, of every type, for route(). In the arena. */
int memory_learned(const struct memory_worker *w, struct arena *arena, struct route_record **out,
		   size_t *out_n);

/*
 * Fills io->recalled with the `memory.recall` most alike incidents (evidence and failure type of
 * *io count), and adds a line to io->missing for each memory that could not be asked; never fails
 * for those. Blocks up to the timeouts of the other memories.
 */
int memory_remind(struct memory_worker *w, const Healbus__Incident *incident, struct arena *arena,
		  Healbus__Diagnosis *io);

#endif
