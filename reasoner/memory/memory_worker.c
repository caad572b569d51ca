#include "reasoner/memory/memory_worker.h"

int memory_learned(const struct memory_worker *w, struct arena *arena, struct route_record **out,
		   size_t *out_n)
{
	struct statistic_record *records = NULL;
	size_t n = 0;
	struct store_txn *txn = store_begin_read(w->store);
	int rc = statistics_for_type(txn, NULL, &w->config->prior, arena, &records, &n);
	store_end(txn);
	struct route_record *list = rc ? NULL : arena_alloc(arena, (n + 1) * sizeof(*list));
	if (!list)
		return rc ? rc : ERR_TOO_LARGE;
	*out_n = 0;
	for (size_t i = 0; i < n; i++) {
		/* Runbooks have no specialist. */
		if (!*records[i].specialist)
			continue;
		list[(*out_n)++] = (struct route_record){
			.specialist = records[i].specialist,
			.failure_type = records[i].failure_type,
			.successes = (uint32_t)MIN(records[i].s.successes, UINT32_MAX),
			.failures = (uint32_t)MIN(records[i].s.failures, UINT32_MAX),
		};
	}
	*out = list;
	return 0;
}

static int add_missing(const struct memories *m, Healbus__Diagnosis *io)
{
	size_t n = MIN(io->n_missing + m->n_missing, WIRE_SOURCES_MAX);
	char **list = arena_alloc(m->arena, (n + 1) * sizeof(char *));
	if (!list)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < n; i++)
		list[i] = i < io->n_missing ? io->missing[i] : m->missing[i - io->n_missing];
	io->missing = list;
	io->n_missing = n;
	return 0;
}

int memory_remind(struct memory_worker *w, const Healbus__Incident *incident, struct arena *arena,
		  Healbus__Diagnosis *io)
{
	struct memory_query q = {
		.incident = incident,
		.diagnosis = io,
		.k = (size_t)w->config->recall,
		.least = w->config->least,
		.index = &w->index,
	};
	struct memories others = {.config = w->config, .http = w->http, .arena = arena};
	Healbus__Recalled **list = NULL;
	size_t n = 0;
	if (!w->config->recall)
		return 0;
	struct store_txn *txn = store_begin_read(w->store);
	int rc = memory_recall(txn, &q, arena, &list, &n);
	store_end(txn);
	if (rc)
		return rc;
	memories_recall(&others, &q, &list, &n);
	io->recalled = list;
	io->n_recalled = n;
	return others.n_missing ? add_missing(&others, io) : 0;
}
