#include "reasoner/memories/memories.h"

#include "common/redact.h"
#include "reasoner/memory/signature.h"

static const struct memory_store_kind *const kinds[] = {
	&memory_chroma,
	&memory_openmemory,
};

const struct memory_store_kind *memory_kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (str_eq(kinds[i]->name, name))
			return kinds[i];
	}
	return NULL;
}

int memory_post(struct http_client *http, const struct memory_post *post, json_t **out,
		struct why *out_why)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	auto_free char *body = json_dumps(post->body, JSON_COMPACT);
	struct http_answer answer = {0};
	json_decref(post->body);
	struct http_call call = {
		.url = post->url,
		.headers = headers,
		.body = body,
		.body_len = body ? strlen(body) : 0,
		.timeout_ms = post->timeout_ms,
		.ca_file = post->ca_file,
		.bearer_file = post->token_file,
	};
	int rc = http_client_call(http, &call, &answer, out_why);
	if (!rc)
		rc = http_status_err(answer.status);
	if (rc && answer.status)
		why_set(out_why, rc, "%s answers %ld", post->url, answer.status);
	if (!rc && answer.body.len) {
		*out = json_loadb(answer.body.data, answer.body.len, JSON_REJECT_DUPLICATES, NULL);
		if (!*out)
			rc = why_set(out_why, ERR_INVALID, "%s answers what is no JSON", post->url);
	}
	http_answer_release(&answer);
	return rc;
}

/* ---- what is written there, and read back ---- */

static const char *text_or(const char *text, const char *other)
{
	return text && *text ? text : other;
}

/* What leaves the house holds no secrets, whoever let them into a label or a reason. */
static char *without_secrets(const char *text, struct arena *arena)
{
	auto_buf b = {0};
	redact(NULL, text, strlen(text), &b);
	return arena_strdup(arena, buf_str(&b));
}

/* A head of fields, an empty line, one line of what was done, an empty line, the signature. */
static char *memory_text_of(const Healbus__ModelExchange *memory, struct arena *arena)
{
	const Healbus__Recalled *r = memory->diagnosis->recalled[0];
	auto_buf b = {0};
	buf_printf(&b,
		   "incident: %s\ntype: %s\nspecialist: %s\nhealed: %s\ntook_ms: %" PRId64 "\n\n",
		   r->incident, text_or(r->failure_type, "-"), text_or(r->specialist, "-"),
		   r->healed ? "yes" : "no", r->took_ms);
	const char *what = without_secrets(text_or(r->what, "nothing was done"), arena);
	const char *signature = without_secrets(text_or(memory->answer, ""), arena);
	if (!what || !signature)
		return NULL;
	for (const char *s = what; *s; s++)
		buf_add_char(&b, *s == '\n' ? ' ' : *s);
	buf_printf(&b, "\n\n%s", signature);
	return arena_strdup(arena, buf_str(&b));
}

/* The field's value, in the arena, when it is a token; else NULL. */
static char *head_token(const char *text, const char *name, struct arena *arena)
{
	const char *end = strstr(text, "\n\n");
	auto_free char *head = mem_dup(text, end ? (size_t)(end - text) : strlen(text));
	char *rest = head, *line;
	size_t n = strlen(name);
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, name, n) == 0 && str_starts(line + n, ": "))
			return token_valid(line + n + 2) ? arena_strdup(arena, line + n + 2) : NULL;
	}
	return NULL;
}

static char *head_name(const char *text, const char *name, struct arena *arena)
{
	char *token = head_token(text, name, arena);
	return token && !str_eq(token, "-") ? token : NULL;
}

/* NULL when it is not one of ours. */
static Healbus__Recalled *recalled_of(const struct memory_answer *a, struct arena *arena)
{
	const char *what = strstr(a->text, "\n\n");
	char *incident = head_token(a->text, "incident", arena);
	Healbus__Recalled *r = arena_alloc(arena, sizeof(*r));
	if (!incident || !what || !r)
		return NULL;
	what += 2;
	healbus__recalled__init(r);
	r->incident = incident;
	r->failure_type = head_name(a->text, "type", arena);
	r->specialist = head_name(a->text, "specialist", arena);
	r->what = wire_text(arena, what, strcspn(what, "\n"), WIRE_LINE_MAX);
	const char *healed = head_token(a->text, "healed", arena);
	const char *took = head_token(a->text, "took_ms", arena);
	SET(r, healed, healed && str_eq(healed, "yes"));
	SET(r, took_ms, took ? MAX(strtoll(took, NULL, 10), 0) : 0);
	SET(r, similarity, MIN(MAX(a->similarity, 0), 1));
	return r;
}

/* ---- asking ---- */

static void miss(struct memories *m, const char *store, int rc, const struct why *why)
{
	if (m->n_missing < ARRAY_SIZE(m->missing))
		m->missing[m->n_missing++] = arena_printf(m->arena, "memory %s: %s", store,
							  *why->text ? why->text : err_name(rc));
}

static int ask_store(struct memories *m, const struct memory_store *s, struct memory_text *t,
		     struct memory_answer *out)
{
	struct why why = {0};
	size_t n = 0;
	struct memory_call c = {s, m->http, m->arena, &why};
	int rc = 0;
	if (s->kind->vectors && !t->vector.n)
		rc = memory_embed(m, t->text, &t->vector, &why);
	if (!rc)
		rc = s->kind->ask(&c, t, out, &n);
	if (rc)
		miss(m, s->name, rc, &why);
	return rc ? 0 : (int)n;
}

struct merge {
	Healbus__Recalled **list;
	size_t n, max;
	const struct memory_query *q;
};

static bool is_new(const struct merge *m, const char *incident)
{
	if (m->q->incident && str_eq(m->q->incident->id, incident))
		return false;
	for (size_t i = 0; i < m->n; i++) {
		if (str_eq(m->list[i]->incident, incident))
			return false;
	}
	return true;
}

static void merge(struct merge *m, Healbus__Recalled *r)
{
	if (!r || r->similarity <= m->q->least || !is_new(m, r->incident))
		return;
	size_t at = m->n;
	while (at > 0 && m->list[at - 1]->similarity < r->similarity)
		at--;
	if (at == m->max)
		return;
	m->n = MIN(m->n + 1, m->max);
	memmove(m->list + at + 1, m->list + at, (m->n - at - 1) * sizeof(Healbus__Recalled *));
	m->list[at] = r;
}

static char *question_of(const struct memory_query *q, struct arena *arena)
{
	auto_buf signature = {0};
	if (q->incident)
		signature_of(q->incident, q->diagnosis, &signature);
	else
		signature_of_text(q->text ? q->text : "", &signature);
	return without_secrets(buf_str(&signature), arena);
}

void memories_recall(struct memories *m, const struct memory_query *q, Healbus__Recalled ***io,
		     size_t *io_n)
{
	size_t k = q->k ? MIN(q->k, WIRE_RECALLED_MAX) : WIRE_RECALLED_MAX;
	struct memory_answer answers[WIRE_RECALLED_MAX];
	struct merge all = {arena_alloc(m->arena, k * sizeof(Healbus__Recalled *)), 0, k, q};
	struct memory_text t = {.text = question_of(q, m->arena), .k = k};
	if (!m->config->stores.n || !all.list || !t.text)
		return;
	all.n = MIN(*io_n, k);
	if (all.n)
		memcpy(all.list, *io, all.n * sizeof(Healbus__Recalled *));
	for (size_t i = 0; i < m->config->stores.n; i++) {
		int n = ask_store(m, &m->config->stores.items[i], &t, answers);
		for (int j = 0; j < n; j++)
			merge(&all, recalled_of(&answers[j], m->arena));
	}
	*io = all.list;
	*io_n = all.n;
}

int memories_put(struct memories *m, const struct memory_store *store,
		 const Healbus__ModelExchange *memory, struct why *out_why)
{
	struct memory_call c = {store, m->http, m->arena, out_why};
	struct memory_text t = {.incident = memory->incident,
				.text = memory_text_of(memory, m->arena)};
	const char *signature = without_secrets(text_or(memory->answer, ""), m->arena);
	int rc = t.text && signature ? 0 : ERR_TOO_LARGE;
	if (!rc && store->kind->vectors)
		rc = memory_embed(m, signature, &t.vector, out_why);
	return rc ? rc : store->kind->put(&c, &t);
}
