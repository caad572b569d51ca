#include "reasoner/models/models.h"

#include <pthread.h>

#include "common/breaker.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/store.h"
#include "common/wire.h"
#include "reasoner/models/answer.h"
#include "reasoner/models/cache.h"
#include "reasoner/models/exchange.h"
#include "reasoner/models/schema.h"

enum {
	CALL_MIN_MS = 500,     /* with less than this left, nobody is asked */
	MAP_BYTES = 128 << 20, /* the books are small; a thousand answers of 128 KiB fit */
	DAY_MS = 24 * 3600 * 1000,
	REASONS_MAX_BYTES = WHY_TEXT_BYTES - 1,
	REASON_MAX_BYTES = 160,
	ASKED_AGAIN_BYTES = 4096, /* of a bad answer, in the question that asks to mend it */
};

/* How long a model thinks depends on the question: only a steep rise says something. */
static const struct breaker_options breaker_options = {.latency_factor_max = 30};

static struct metric breaker_open = METRIC_GAUGE(
	"healbus_breaker_open", "1 while a peer that failed too often is left alone.", "peer");

/* What we know of a provider, by name: it outlasts reloads. */
struct peer {
	char *name;
	struct breaker breaker;
	int64_t not_before_ms; /* by clock_mono_ms() */
};

/* Workers share the books and what is known of the providers; nothing waits for a network while it
 * holds the lock. */
struct models {
	pthread_mutex_t lock;
	struct store *store;
	struct peer *peers;
	size_t n_peers;
};

/* One models_ask() under way. */
struct asking {
	struct models *m;
	struct http_client *http;
	const struct model_question *q;
	struct arena *arena;
	struct model_answer *out;
	struct buf reasons;
	bool started; /* the jitter is behind us */
	bool mended;  /* one answer was asked to be mended; no more */
	bool limited[MODELS_PROVIDERS_MAX];
	size_t n_made, n_failed, n_denied, n_waiting;
	int64_t wait_ms; /* until the first that is rate limited may be asked */
};

bool models_configured(const struct models_config *config)
{
	return config && config->n_providers > 0;
}

int models_open(const char *state_dir, struct models **out, struct why *out_why)
{
	static const struct store_table *const tables[] = {&purse_spent, &purse_meters,
							   &cache_answers, &cache_ages};
	auto_free char *dir = mem_printf("%s/models", state_dir);
	struct store_options options = {.dir = dir,
					.tables = tables,
					.n_tables = ARRAY_SIZE(tables),
					.map_bytes = MAP_BYTES,
					.map_limit_bytes = 4 * (int64_t)MAP_BYTES};
	struct store *store = NULL;
	int rc = store_open(&options, &store, out_why);

	if (rc)
		return rc;
	struct models *m = mem_alloc(sizeof(*m));
	m->store = store;
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

void models_close(struct models *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_peers; i++)
		free(m->peers[i].name);
	free(m->peers);
	store_close(m->store);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Locked. */
static struct peer *peer_of(struct models *m, const char *name)
{
	for (size_t i = 0; i < m->n_peers; i++) {
		if (str_eq(m->peers[i].name, name))
			return &m->peers[i];
	}
	m->peers = mem_realloc(m->peers, (m->n_peers + 1) * sizeof(*m->peers));
	struct peer *p = &m->peers[m->n_peers++];
	*p = (struct peer){.name = mem_strdup(name)};
	breaker_init(&p->breaker, &breaker_options);
	return p;
}

/* ---- may it be asked? ---- */

/* Reaching one of the thresholds that are set is enough. */
static bool deserves(const struct model_provider *p, const struct model_question *q)
{
	if (!p->severity && p->complexity < 0)
		return true;
	return (p->severity && (int)q->severity >= p->severity) ||
	       (p->complexity >= 0 && q->complexity >= p->complexity);
}

static int64_t time_left_ms(const struct model_question *q)
{
	return q->deadline_ms ? q->deadline_ms - clock_mono_ms() : INT64_MAX;
}

/* Locked. Books the estimate; then the provider's breaker has the last word. */
static int admit_locked(struct asking *a, struct charge *charge, struct exchange *e)
{
	struct models *m = a->m;
	int64_t now_ms = clock_mono_ms(), wait_ms = 0;
	struct peer *peer = peer_of(m, charge->provider->name);

	if (now_ms < peer->not_before_ms) {
		e->limited = true;
		e->wait_ms = peer->not_before_ms - now_ms;
		return why_set(&e->error, ERR_BUSY, "rate limited for another %" PRId64 " s",
			       (e->wait_ms + 999) / 1000);
	}
	int rc = purse_reserve(m->store, a->q->config, charge, &e->error);
	if (rc) {
		e->budget_permille = purse_day_permille(m->store, a->q->config, charge, true);
		return rc;
	}
	if (breaker_allow(&peer->breaker, now_ms, &wait_ms))
		return 0;
	(void)purse_settle(m->store, charge, &(struct cost){0});
	e->left_alone = true;
	return why_set(&e->error, ERR_BUSY, "failed too often; left alone for %" PRId64 " s",
		       (wait_ms + 999) / 1000);
}

static int admit(struct asking *a, struct charge *charge, struct exchange *e)
{
	if (time_left_ms(a->q) < CALL_MIN_MS)
		return why_set(&e->error, ERR_TIMEOUT, "no time left");
	pthread_mutex_lock(&a->m->lock);
	int rc = admit_locked(a, charge, e);
	pthread_mutex_unlock(&a->m->lock);
	return rc;
}

/* What it came to: as the provider counts, or all that was booked when it may have cost. */
static void settle(struct asking *a, struct exchange *e, const struct charge *charge)
{
	struct models *m = a->m;

	e->charged = charge->reserved;
	if (e->unbilled)
		e->charged = (struct cost){0};
	if (e->counted.tokens_in && e->counted.tokens_out)
		e->charged = e->counted;
	pthread_mutex_lock(&m->lock);
	struct peer *peer = peer_of(m, e->provider->name);
	int64_t now_ms = clock_mono_ms();
	breaker_record(&peer->breaker, now_ms, e->up, e->took_ms);
	metric_set(&breaker_open, peer->breaker.state == BREAKER_OPEN, e->provider->name);
	if (e->limited)
		peer->not_before_ms = now_ms + e->wait_ms;
	(void)purse_settle(m->store, charge, &e->charged);
	e->budget_permille = purse_day_permille(m->store, a->q->config, charge, false);
	pthread_mutex_unlock(&m->lock);
}

/* ---- the cache ---- */

static struct cache cache_of(const struct asking *a)
{
	const struct models_config *c = a->q->config;

	return (struct cache){a->m->store, c->cache_ttl_ms, c->cache_entries};
}

static bool cached(struct asking *a, struct exchange *e)
{
	struct cache cache = cache_of(a);
	uint8_t key[DIGEST_BYTES];

	if (!cache.ttl_ms)
		return false;
	cache_key(e->call, key);
	pthread_mutex_lock(&a->m->lock);
	int rc = cache_get(&cache, key, clock_real_ms(), &e->answer);
	pthread_mutex_unlock(&a->m->lock);
	if (rc || answer_json(&e->answer, e->call->schema, &e->json, NULL)) {
		buf_reset(&e->answer);
		return false;
	}
	e->cached = true;
	e->asked = true;
	return true;
}

/* Under the question as it was first asked, mended or not. */
static void remember(struct asking *a, const struct exchange *e)
{
	struct cache cache = cache_of(a);
	struct model_call first = *e->call;
	uint8_t key[DIGEST_BYTES];

	if (!cache.ttl_ms)
		return;
	first.prompt = a->q->prompt;
	cache_key(&first, key);
	pthread_mutex_lock(&a->m->lock);
	cache_put(&cache, key, clock_real_ms(), &e->answer);
	pthread_mutex_unlock(&a->m->lock);
}

/* ---- one provider ---- */

/* Many workers that saw the same storm do not ask at the same moment. */
static int start_jittered(struct asking *a)
{
	const struct model_question *q = a->q;
	int64_t most = MIN(q->config->jitter_ms, MAX(time_left_ms(q) - CALL_MIN_MS, 0));

	if (a->started || !q->pause || most <= 0)
		return 0;
	a->started = true;
	return q->pause(q->ctx, (int64_t)arc4random_uniform((uint32_t)most + 1)) ? ERR_CLOSED : 0;
}

static int ask_network(struct asking *a, struct exchange *e)
{
	const struct model_provider *p = e->provider;
	auto_json request = NULL;
	int rc = p->kind->request(e->call, &request, &e->error);

	if (rc)
		return rc == ERR_SCHEMA ? ERR_INVALID : rc;
	auto_free char *body = json_dumps(request, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!body)
		return why_set(&e->error, ERR_INVALID, "the request cannot be written as JSON");
	rc = start_jittered(a);
	if (rc)
		return why_set(&e->error, rc, "stopping");
	struct charge charge = {.provider = p,
				.incident = a->q->incident,
				.day = clock_real_ms() / DAY_MS,
				.plain = cost_estimate(p, strlen(body))};
	rc = admit(a, &charge, e);
	if (rc)
		return rc;
	rc = exchange_make(e, a->http, body, MIN(p->timeout_ms, time_left_ms(a->q)));
	settle(a, e, &charge);
	return rc;
}

static void accept(struct asking *a, struct exchange *e)
{
	*a->out = (struct model_answer){
		.json = e->json,
		.exchange = arena_strdup(a->arena, e->id),
		.provider = arena_strdup(a->arena, e->provider->name),
		.model = arena_strdup(a->arena, e->provider->model),
		.cached = e->cached,
	};
	e->json = NULL;
}

static void ask_to_mend(const struct model_question *q, const struct exchange *e, struct buf *out)
{
	auto_free char *error = wire_text(NULL, e->error.text, strlen(e->error.text), SIZE_MAX);
	auto_free char *answer =
		wire_text(NULL, buf_str(&e->answer), e->answer.len, ASKED_AGAIN_BYTES);

	buf_printf(out,
		   "%s\n\nYour last answer was not accepted: %s.\nIt was:\n%s\n\n"
		   "Answer again, with nothing but JSON that meets the schema.",
		   q->prompt, error, answer);
}

static void note_failure(struct asking *a, const struct exchange *e, int rc)
{
	a->n_denied += rc == ERR_DENIED && !e->asked;
	a->n_waiting += rc == ERR_BUSY && !e->asked;
	a->n_failed += e->asked;
	if (e->limited)
		a->wait_ms = a->wait_ms ? MIN(a->wait_ms, e->wait_ms) : e->wait_ms;
	buf_printf(&a->reasons, "%s%s: %.*s", a->reasons.len ? "; " : "", e->provider->name,
		   REASON_MAX_BYTES, e->error.text);
}

/* One exchange: from the cache, or asked. *out_mend: the question that asks to mend the answer. */
static int ask_once(struct asking *a, const struct model_call *call, struct buf *out_mend,
		    bool *out_limited)
{
	struct exchange e;
	int rc = 0;

	exchange_init(&e, a->q, call, a->n_made++);
	if (!cached(a, &e)) {
		rc = ask_network(a, &e);
		if (!rc)
			remember(a, &e);
	}
	exchange_say(&e, a->q);
	if (rc == 0)
		accept(a, &e);
	else
		note_failure(a, &e, rc);
	if (rc == ERR_SCHEMA)
		ask_to_mend(a->q, &e, out_mend);
	*out_limited = e.limited;
	exchange_release(&e);
	return rc;
}

static int ask_provider(struct asking *a, size_t i)
{
	const struct model_question *q = a->q;
	struct model_call call = {&q->config->providers[i], q->system, q->prompt, q->schema};
	auto_buf mend = {0};
	int rc = ask_once(a, &call, &mend, &a->limited[i]);

	if (rc != ERR_SCHEMA || a->mended)
		return rc;
	a->mended = true;
	call.prompt = buf_str(&mend);
	auto_buf again = {0};
	return ask_once(a, &call, &again, &a->limited[i]);
}

/* ---- all of them ---- */

static int ask_all(struct asking *a, bool only_limited)
{
	const struct models_config *c = a->q->config;
	int rc = ERR_NOT_FOUND;

	for (size_t i = 0; i < c->n_providers; i++) {
		if (!deserves(&c->providers[i], a->q) || (only_limited && !a->limited[i]))
			continue;
		rc = ask_provider(a, i);
		if (rc == 0 || rc == ERR_CLOSED || rc == ERR_FULL || rc == ERR_CORRUPT)
			return rc;
	}
	return rc;
}

/* Nobody answered, but a rate limit ends in time: once, that is waited for. */
static int ask_patiently(struct asking *a)
{
	const struct model_question *q = a->q;
	int rc = ask_all(a, false);

	if (rc == 0 || rc == ERR_CLOSED || !a->wait_ms || !q->pause || !q->deadline_ms ||
	    a->wait_ms + CALL_MIN_MS > time_left_ms(q))
		return rc;
	if (q->pause(q->ctx, a->wait_ms))
		return ERR_CLOSED;
	a->n_waiting = 0;
	return ask_all(a, true);
}

static int verdict(struct asking *a, int rc, struct why *out_why)
{
	if (rc == 0)
		return 0;
	if (rc == ERR_NOT_FOUND && !a->reasons.len)
		return why_set(out_why, ERR_NOT_FOUND,
			       "no model is configured for a question of this severity and "
			       "complexity");
	if (rc == ERR_CLOSED || rc == ERR_FULL || rc == ERR_CORRUPT)
		;
	else if (time_left_ms(a->q) < CALL_MIN_MS)
		rc = ERR_TIMEOUT;
	else if (a->n_failed)
		rc = ERR_UNAVAILABLE;
	else if (a->n_denied)
		rc = ERR_DENIED;
	else
		rc = a->n_waiting ? ERR_BUSY : ERR_UNAVAILABLE;
	return why_set(out_why, rc, "%.*s", REASONS_MAX_BYTES, buf_str(&a->reasons));
}

static int check_question(const struct model_question *q, struct why *out_why)
{
	size_t len = strlen(q->prompt) + (q->system ? strlen(q->system) : 0);

	if (!token_valid(q->incident))
		return why_set(out_why, ERR_INVALID, "question: the incident is no id");
	if (len > MODELS_PROMPT_MAX_BYTES)
		return why_set(out_why, ERR_INVALID, "question: over %d bytes",
			       MODELS_PROMPT_MAX_BYTES);
	if (!utf8_valid(q->prompt, strlen(q->prompt)))
		return why_set(out_why, ERR_INVALID, "question: not UTF-8");
	const char *type = json_text(q->schema, "type");
	if (!type || !str_eq(type, "object"))
		return why_set(out_why, ERR_INVALID, "question: the schema is of no object");
	return schema_check(q->schema, out_why);
}

int models_ask(struct models *m, struct http_client *http, const struct model_question *q,
	       struct arena *arena, struct model_answer *out, struct why *out_why)
{
	struct asking a = {.m = m, .http = http, .q = q, .arena = arena, .out = out};

	if (!models_configured(q->config))
		return why_set(out_why, ERR_NOT_FOUND, "no model is configured");
	int rc = check_question(q, out_why);
	if (rc)
		return rc;
	rc = verdict(&a, ask_patiently(&a), out_why);
	buf_release(&a.reasons);
	return rc;
}
