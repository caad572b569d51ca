#include "reasoner/models/exchange.h"

#include "common/clock.h"
#include "common/metrics.h"
#include "common/secret.h"
#include "common/wire.h"
#include "reasoner/models/answer.h"

enum {
	HEADERS_MAX = 5,
	LEAVE_ALONE_MS = 10000, /* a rate limit that does not say how long */
	NAME_SHOWN_BYTES = 256,
};

static struct metric exchanges = METRIC_COUNTER(
	"healbus_reasoner_model_exchanges_total",
	"Exchanges with models, by provider and end (ok, cached, failed, passed over).", "provider",
	"end");
static struct metric tokens =
	METRIC_COUNTER("healbus_reasoner_model_tokens_total",
		       "Tokens charged, by provider and direction.", "provider", "direction");
static struct metric costs = METRIC_COUNTER("healbus_reasoner_model_cost_usd_total",
					    "Money charged, by provider.", "provider");

void exchange_init(struct exchange *e, const struct model_question *q,
		   const struct model_call *call, size_t n)
{
	char at[64];

	*e = (struct exchange){.provider = call->provider,
			       .call = call,
			       .started_at_ms = clock_real_ms(),
			       .budget_permille = -1};
	snprintf(at, sizeof(at), "%" PRId64 "/%zu", e->started_at_ms, n);
	id_make(e->id, "exchange", q->incident, q->ask, q->purpose, e->provider->name, at);
}

void exchange_release(struct exchange *e)
{
	buf_release(&e->answer);
	json_decref(e->json);
}

/* ---- the call ---- */

struct request {
	const struct model_provider *provider;
	struct secret key;
	char *key_line;
	const char *headers[HEADERS_MAX];
};

static void request_release(struct request *r)
{
	if (r->key_line)
		explicit_bzero(r->key_line, strlen(r->key_line));
	free(r->key_line);
	secret_release(&r->key);
}
#define auto_request __attribute__((cleanup(request_release))) struct request

static int request_prepare(struct request *r, struct why *out_why)
{
	const struct model_provider *p = r->provider;
	const struct model_kind *kind = p->kind;
	size_t n = 0;
	int rc = secret_read(&r->key, p->key_file, out_why);

	if (rc)
		return rc;
	r->headers[n++] = "Content-Type: application/json";
	r->headers[n++] = "Accept: application/json";
	if (kind->extra)
		r->headers[n++] = kind->extra;
	if (r->key.len) {
		const char *name = p->key_header ? p->key_header : kind->key_header;
		bool bearer = str_eq(name, "Authorization");
		r->key_line = mem_printf("%s: %s%s", name, bearer ? "Bearer " : "", r->key.data);
		r->headers[n++] = r->key_line;
	}
	return 0;
}

/* ---- what came back ---- */

static bool wants_rest(const struct http_answer *a)
{
	return a->status == 429 || a->status == 529 || (a->status == 503 && a->retry_after_ms);
}

/* An answer that is no 2xx. What it says is shown to people, and to nobody else. */
static int judge_status(struct exchange *e, const struct http_answer *a)
{
	int rc = http_status_err(a->status);
	auto_buf words = {0};

	answer_error(&a->body, &words);
	e->unbilled = true;
	e->limited = wants_rest(a);
	if (e->limited)
		e->wait_ms = a->retry_after_ms ? a->retry_after_ms : LEAVE_ALONE_MS;
	e->up = e->limited || a->status == 400 || a->status == 413 || a->status == 422;
	/* ERR_SCHEMA would mean that asking again may help. */
	return why_set(&e->error, rc == ERR_SCHEMA || !rc ? ERR_REJECTED : rc, "HTTP %ld%s%s",
		       a->status, words.len ? ": " : "", buf_str(&words));
}

static int judge_reply(struct exchange *e, const struct model_reply *r)
{
	e->counted = (struct cost){r->tokens_in, r->tokens_out};
	if (r->end != MODEL_END_ANSWER) {
		e->up = true;
		return why_set(&e->error, ERR_REJECTED, "%s", model_end_text(r->end));
	}
	int rc = answer_json(&r->text, e->call->schema, &e->json, &e->error);
	e->up = !rc || rc == ERR_SCHEMA;
	return rc;
}

static int judge_body(struct exchange *e, const struct buf *body, const struct secret *key)
{
	struct model_reply r = {0};
	auto_json json = NULL;
	int rc = answer_body(body, &json, &e->error);

	if (!rc)
		rc = e->provider->kind->reply(e->provider, json, &r, &e->error);
	if (rc)
		rc = ERR_REJECTED; /* not for the model to mend */
	answer_hide(&r.text, key);
	if (!rc)
		rc = judge_reply(e, &r);
	e->answer = r.text;
	return rc;
}

int exchange_make(struct exchange *e, struct http_client *http, const char *body,
		  int64_t timeout_ms)
{
	auto_request r = {.provider = e->provider};
	struct http_answer a = {0};
	int rc = request_prepare(&r, &e->error);

	e->asked = true;
	e->unbilled = true;
	if (rc)
		return rc;
	struct http_call call = {
		.url = e->provider->url,
		.headers = r.headers,
		.body = body,
		.body_len = strlen(body),
		.timeout_ms = timeout_ms,
		.body_max_bytes = MODELS_BODY_MAX_BYTES,
		.ca_file = e->provider->ca_file,
	};
	rc = http_client_call(http, &call, &a, &e->error);
	e->took_ms = a.took_ms;
	e->unbilled = rc && !a.sent;
	answer_hide(&a.body, &r.key);
	if (!rc && (a.status < 200 || a.status > 299))
		rc = judge_status(e, &a);
	else if (!rc)
		rc = judge_body(e, &a.body, &r.key);
	http_answer_release(&a);
	return rc;
}

/* ---- telling ---- */

static char *shown(const char *text, size_t max)
{
	return wire_text(NULL, text, strlen(text), max);
}

/* System and prompt as one text: both were sent. */
static char *shown_prompt(const struct exchange *e, const struct model_question *q)
{
	auto_buf all = {0};

	if (!e->asked)
		return mem_strdup("");
	if (q->system)
		buf_printf(&all, "%s\n\n", q->system);
	buf_add_str(&all, e->call->prompt);
	return shown(buf_str(&all), WIRE_PROMPT_MAX);
}

static void fill_numbers(Healbus__ModelExchange *m, const struct exchange *e)
{
	SET(m, prompt_tokens, (uint32_t)e->charged.tokens_in);
	SET(m, answer_tokens, (uint32_t)e->charged.tokens_out);
	SET(m, cost_micro_usd, cost_micro_usd(e->provider, &e->charged));
	SET(m, started_at_ms, e->started_at_ms);
	SET(m, took_ms, e->took_ms);
	SET(m, cached, e->cached);
	SET(m, state, HEALBUS__MODEL_STATE__MODEL_EXCHANGED);
	if (e->budget_permille >= 0)
		SET(m, budget_permille, (uint32_t)e->budget_permille);
	if (e->left_alone)
		SET(m, left_alone, 1);
}

static void count(const struct exchange *e)
{
	const char *provider = e->provider->name;
	const char *end = e->error.text[0] ? (e->asked ? "failed" : "passed") : "ok";

	metric_add(&exchanges, 1, provider, e->cached ? "cached" : end);
	metric_add(&tokens, (double)e->charged.tokens_in, provider, "in");
	metric_add(&tokens, (double)e->charged.tokens_out, provider, "out");
	metric_add(&costs, (double)cost_micro_usd(e->provider, &e->charged) / 1e6, provider);
}

void exchange_say(const struct exchange *e, const struct model_question *q)
{
	Healbus__ModelExchange m = HEALBUS__MODEL_EXCHANGE__INIT;
	auto_free char *provider = shown(e->provider->name, NAME_SHOWN_BYTES);
	auto_free char *model = shown(e->provider->model, NAME_SHOWN_BYTES);
	auto_free char *purpose = shown(q->purpose ? q->purpose : "", NAME_SHOWN_BYTES);
	auto_free char *prompt = shown_prompt(e, q);
	auto_free char *answer = shown(buf_str(&e->answer), WIRE_PATCH_MAX);
	auto_free char *error = shown(e->error.text, WIRE_REASON_MAX);
	auto_free char *id = mem_strdup(e->id);
	auto_free char *incident = mem_strdup(q->incident);
	auto_free char *ask = mem_strdup(q->ask);

	count(e);
	if (!q->say)
		return;
	m.id = id;
	m.incident = incident;
	m.ask = ask;
	m.provider = provider;
	m.model = model;
	m.purpose = purpose;
	m.prompt = *prompt ? prompt : NULL;
	m.answer = *answer ? answer : NULL;
	m.error = *error ? error : NULL;
	SET(&m, attempt, q->attempt);
	fill_numbers(&m, e);
	q->say(q->ctx, &m);
}
