/* OpenMemory's REST API: POST /memory/add and /memory/query. It makes its own vectors. */
#include "reasoner/memories/memories.h"

static int post(const struct memory_call *c, const char *path, json_t *body, json_t **out)
{
	const struct memory_store *s = c->store;
	char *url = arena_printf(c->arena, "%s%s", s->url, path);
	struct memory_post p = {url, s->token_file, s->ca_file, s->timeout_ms, body};
	return memory_post(c->http, &p, out, c->why);
}

static int openmemory_put(const struct memory_call *c, const struct memory_text *t)
{
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s,s:[s],s:{s:s},s:s}", "content", t->text, "tags", "healbus",
				 "metadata", "incident", t->incident, "user_id", c->store->user);
	int rc = post(c, "/memory/add", body, &answer);
	json_decref(answer);
	return rc;
}

/* {"matches": [{"content": text, "score": number}]} */
static size_t read_answer(const struct memory_call *c, const json_t *answer, size_t k,
			  struct memory_answer *out)
{
	const json_t *matches = json_object_get(answer, "matches");
	size_t n = 0;
	for (size_t i = 0; i < json_array_size(matches) && n < k; i++) {
		const json_t *match = json_array_get(matches, i);
		const char *text = json_string_value(json_object_get(match, "content"));
		const json_t *score = json_object_get(match, "score");
		char *copy = text && json_is_number(score) ? arena_strdup(c->arena, text) : NULL;
		if (copy)
			out[n++] = (struct memory_answer){copy, json_number_value(score)};
	}
	return n;
}

static int openmemory_ask(const struct memory_call *c, const struct memory_text *t,
			  struct memory_answer *out, size_t *out_n)
{
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s,s:I,s:{s:s}}", "query", *t->text ? t->text : "-", "k",
				 (json_int_t)t->k, "filters", "user_id", c->store->user);
	int rc = post(c, "/memory/query", body, &answer);
	if (!rc)
		*out_n = read_answer(c, answer, t->k, out);
	json_decref(answer);
	return rc;
}

const struct memory_store_kind memory_openmemory = {
	.name = "openmemory",
	.vectors = false,
	.put = openmemory_put,
	.ask = openmemory_ask,
};
