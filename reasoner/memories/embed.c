/* Vectors of signatures: built in, or by an OpenAI-compatible API. */
#include "reasoner/memories/memories.h"

#include <math.h>

enum { DIMENSIONS_MAX = 8192 };

static int vector_new(struct arena *arena, size_t n, struct memory_vector *out)
{
	*out = (struct memory_vector){arena_alloc(arena, n * sizeof(float)), n};
	return out->v ? 0 : ERR_TOO_LARGE;
}

static void vector_unit(struct memory_vector *v)
{
	double square = 0;
	for (size_t i = 0; i < v->n; i++)
		square += (double)v->v[i] * v->v[i];
	for (size_t i = 0; square > 0 && i < v->n; i++)
		v->v[i] = (float)(v->v[i] / sqrt(square));
}

/* Terms are not weighed here: what is stored elsewhere must not grow old. */
static int built_in(const struct memories *m, const char *signature, struct memory_vector *out)
{
	auto_free struct terms *t = mem_alloc(sizeof(*t));
	const struct frequencies none = {0};
	struct vector v;
	int rc = vector_new(m->arena, VECTOR_DIM, out);
	if (rc)
		return rc;
	terms_of(signature, t);
	vector_of(t, &none, &v);
	for (size_t i = 0; i < VECTOR_DIM; i++)
		out->v[i] = v.v[i];
	vector_unit(out);
	return 0;
}

/* {"data": [{"embedding": [..]}]} */
static int vector_read(const struct memories *m, const json_t *answer, struct memory_vector *out)
{
	const json_t *first = json_array_get(json_object_get(answer, "data"), 0);
	const json_t *list = json_object_get(first, "embedding");
	size_t n = json_array_size(list);
	if (!n || n > DIMENSIONS_MAX)
		return ERR_INVALID;
	int rc = vector_new(m->arena, n, out);
	for (size_t i = 0; !rc && i < n; i++) {
		const json_t *x = json_array_get(list, i);
		rc = json_is_number(x) ? 0 : ERR_INVALID;
		out->v[i] = (float)json_number_value(x);
	}
	if (!rc)
		vector_unit(out);
	return rc;
}

int memory_embed(const struct memories *m, const char *signature, struct memory_vector *out,
		 struct why *out_why)
{
	const struct memory_embeddings *e = &m->config->embeddings;
	json_t *answer = NULL;
	if (!e->url)
		return built_in(m, signature, out);
	char *url = arena_printf(m->arena, "%s/embeddings", e->url);
	struct memory_post post = {
		.url = url,
		.token_file = e->key_file,
		.ca_file = e->ca_file,
		.timeout_ms = e->timeout_ms,
		.body = json_pack("{s:s,s:s,s:s}", "model", e->model, "input",
				  *signature ? signature : "-", "encoding_format", "float"),
	};
	int rc = memory_post(m->http, &post, &answer, out_why);
	if (!rc)
		rc = vector_read(m, answer, out);
	json_decref(answer);
	return rc ? why_prefix(out_why, rc, "embeddings") : 0;
}
