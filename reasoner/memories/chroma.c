/*
 * Chroma, API v2. Every record is sent with its vector: some versions never answer again for a
 * collection that got one without. Vectors have length 1, so the squared distance that Chroma gives
 * unless told otherwise is 2 - 2 cos.
 */
#include "reasoner/memories/memories.h"

static char *collections_url(const struct memory_call *c)
{
	const struct memory_store *s = c->store;
	return arena_printf(c->arena, "%s/api/v2/tenants/%s/databases/%s/collections", s->url,
			    s->tenant, s->database);
}

static int post(const struct memory_call *c, const char *url, json_t *body, json_t **out)
{
	const struct memory_store *s = c->store;
	struct memory_post p = {url, s->token_file, s->ca_file, s->timeout_ms, body};
	return memory_post(c->http, &p, out, c->why);
}

/* The URL of our collection, which is made when it is missing. */
static int collection(const struct memory_call *c, char **out_url)
{
	char *url = collections_url(c);
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s,s:b}", "name", c->store->collection, "get_or_create", 1);
	int rc = post(c, url, body, &answer);
	const char *id = json_string_value(json_object_get(answer, "id"));
	if (!rc && (!id || !token_valid(id)))
		rc = why_set(c->why, ERR_INVALID, "%s answers without a collection's id", url);
	if (!rc)
		*out_url = arena_printf(c->arena, "%s/%s", url, id);
	json_decref(answer);
	return rc;
}

static json_t *vectors(const struct memory_vector *v)
{
	json_t *list = json_array();
	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(list, json_real(v->v[i]));
	return json_pack("[o]", list);
}

static int chroma_put(const struct memory_call *c, const struct memory_text *t)
{
	char *url = NULL;
	json_t *answer = NULL;
	int rc = collection(c, &url);
	if (rc)
		return rc;
	json_t *body = json_pack("{s:[s],s:o,s:[s],s:[{s:s,s:s}]}", "ids", t->incident,
				 "embeddings", vectors(&t->vector), "documents", t->text,
				 "metadatas", "incident", t->incident, "from", "healbus");
	rc = post(c, arena_printf(c->arena, "%s/upsert", url), body, &answer);
	json_decref(answer);
	return rc;
}

/* {"documents": [[text, ..]], "distances": [[number, ..]]} */
static size_t read_answer(const struct memory_call *c, const json_t *answer, size_t k,
			  struct memory_answer *out)
{
	const json_t *texts = json_array_get(json_object_get(answer, "documents"), 0);
	const json_t *distances = json_array_get(json_object_get(answer, "distances"), 0);
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(texts) && n < k; i++) {
		const char *text = json_string_value(json_array_get(texts, i));
		const json_t *distance = json_array_get(distances, i);
		char *copy = text && json_is_number(distance) ? arena_strdup(c->arena, text) : NULL;
		if (copy)
			out[n++] =
				(struct memory_answer){copy, 1 - json_number_value(distance) / 2};
	}
	return n;
}

static int chroma_ask(const struct memory_call *c, const struct memory_text *t,
		      struct memory_answer *out, size_t *out_n)
{
	char *url = NULL;
	json_t *answer = NULL;
	int rc = collection(c, &url);
	if (rc)
		return rc;
	json_t *body =
		json_pack("{s:o,s:I,s:[s,s]}", "query_embeddings", vectors(&t->vector), "n_results",
			  (json_int_t)t->k, "include", "documents", "distances");
	rc = post(c, arena_printf(c->arena, "%s/query", url), body, &answer);
	if (!rc)
		*out_n = read_answer(c, answer, t->k, out);
	json_decref(answer);
	return rc;
}

const struct memory_store_kind memory_chroma = {
	.name = "chroma",
	.vectors = true,
	.put = chroma_put,
	.ask = chroma_ask,
};
