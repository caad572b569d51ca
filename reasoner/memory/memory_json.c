#include "reasoner/memory/memory_json.h"

static json_t *labels_of(const Healbus__ModelExchange *m)
{
	json_t *labels = json_object();
	for (size_t i = 0; i < m->subject->n_labels; i++)
		json_object_set_new(labels, m->subject->labels[i]->name,
				    json_string(m->subject->labels[i]->value));
	return labels;
}

/* What a list shows of one. */
static json_t *in_short(const Healbus__ModelExchange *m)
{
	json_t *j = wire_to_json(&m->diagnosis->recalled[0]->base);
	json_object_del(j, "steps");
	json_object_set_new(j, "at_ms", json_integer(m->started_at_ms));
	json_object_set_new(j, "title", json_string(m->subject->title ? m->subject->title : ""));
	json_object_set_new(j, "labels", labels_of(m));
	return j;
}

int memory_json(struct store_txn *txn, const char *incident, json_t **out)
{
	struct arena arena = {0};
	Healbus__ModelExchange *m;
	int rc = memory_of(txn, incident, &arena, &m);
	if (!rc) {
		*out = in_short(m);
		json_t *whole = wire_to_json(&m->diagnosis->recalled[0]->base);
		json_t *subject = wire_to_json(&m->subject->base);
		json_object_set(*out, "steps", json_object_get(whole, "steps"));
		json_object_set(*out, "tried", json_object_get(subject, "tried"));
		json_object_set_new(*out, "signature", json_string(m->answer ? m->answer : ""));
		json_decref(whole);
		json_decref(subject);
	}
	arena_release(&arena);
	return rc;
}

static json_t *list_json(struct store_txn *txn, json_t *list)
{
	return json_pack("{s:I,s:o}", "count", (json_int_t)memory_count(txn), "memories", list);
}

int memories_json_latest(struct store_txn *txn, size_t max, json_t **out)
{
	struct arena arena = {0};
	auto_free Healbus__ModelExchange **rows = mem_calloc(max, sizeof(*rows));
	size_t n = 0;
	int rc = memory_latest(txn, max, &arena, rows, &n);
	json_t *list = json_array();
	for (size_t i = 0; !rc && i < n; i++)
		json_array_append_new(list, in_short(rows[i]));
	arena_release(&arena);
	if (rc)
		json_decref(list);
	else
		*out = list_json(txn, list);
	return rc;
}

/* With what we know besides; another memory's may be all news. */
static int add_recalled(struct store_txn *txn, const Healbus__Recalled *r, json_t *list)
{
	struct arena arena = {0};
	Healbus__ModelExchange *m;
	int rc = memory_of(txn, r->incident, &arena, &m);
	json_t *j = rc ? wire_to_json(&r->base) : in_short(m);
	json_object_del(j, "steps");
	json_object_set_new(j, "similarity", json_real(r->similarity));
	json_array_append_new(list, j);
	arena_release(&arena);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

int memories_json_recalled(struct store_txn *txn, Healbus__Recalled *const *recalled, size_t n,
			   json_t **out)
{
	json_t *list = json_array();
	int rc = 0;
	for (size_t i = 0; !rc && i < n; i++)
		rc = add_recalled(txn, recalled[i], list);
	if (rc)
		json_decref(list);
	else
		*out = list_json(txn, list);
	return rc;
}

static json_t *record_json(const struct statistic_record *r)
{
	return json_pack("{s:s,s:s,s:s,s:I,s:I,s:f,s:f}", "failure_type", r->failure_type,
			 "specialist", r->specialist, "tool", r->tool, "successes",
			 (json_int_t)r->s.successes, "failures", (json_int_t)r->s.failures, "mean",
			 r->s.mean, "lower", r->s.lower);
}

int statistics_json(struct store_txn *txn, const struct statistic_prior *prior, json_t **out)
{
	struct arena arena = {0};
	struct statistic_record *records = NULL;
	struct misrouted *wrong = NULL;
	size_t n = 0, n_wrong = 0;
	json_t *rates = json_array(), *misrouted = json_array();
	int rc = statistics_all(txn, prior, &arena, &records, &n);
	if (!rc)
		rc = statistics_misroutes(txn, &arena, &wrong, &n_wrong);
	for (size_t i = 0; !rc && i < n; i++)
		json_array_append_new(rates, record_json(&records[i]));
	for (size_t i = 0; !rc && i < n_wrong; i++)
		json_array_append_new(misrouted,
				      json_pack("{s:s,s:s,s:s,s:I}", "failure_type",
						wrong[i].failure_type, "routed", wrong[i].routed,
						"healed_by", wrong[i].healed_by, "times",
						(json_int_t)wrong[i].times));
	arena_release(&arena);
	json_t *all = json_pack("{s:o,s:o}", "statistics", rates, "misrouted", misrouted);
	if (rc)
		json_decref(all);
	else
		*out = all;
	return rc;
}
