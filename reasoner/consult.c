#include "reasoner/consult.h"

#include <stdatomic.h>
#include <sys/random.h>

#include "common/clock.h"
#include "reasoner/case.h"
#include "reasoner/classify/classify.h"
#include "reasoner/context/context.h"
#include "reasoner/prompt/prompt.h"
#include "reasoner/proposal/proposal.h"
#include "reasoner/memory/statistics.h"

enum {
	SPECIALIST_TRIES = 2, /* so many failures, and somebody else has a go */
	COMPLEX_FILES = 20,   /* changed files that make a failure as complex as it gets */
};

static const char *label(const struct consultation *c, const char *name)
{
	const Healbus__Incident *i = c->ask->subject;
	return label_get(i->labels, i->n_labels, name);
}

/* ---- what it is, and who should fix it ---- */

static size_t failures_of(const struct consultation *c, const char *specialist)
{
	const Healbus__Incident *i = c->ask->subject;
	size_t n = 0;
	for (size_t k = 0; k < i->n_tried; k++)
		n += i->tried[k]->specialist && str_eq(i->tried[k]->specialist, specialist) &&
		     i->tried[k]->verdict != HEALBUS__VERDICT__VERDICT_EXPIRED;
	return n;
}

/* The likeliest other specialist that has not failed as often here; NULL when all have. */
static const char *somebody_else(const struct consultation *c)
{
	const Healbus__Diagnosis *g = c->diagnosis;
	const struct specialists *all = c->config->knowledge.specialists;
	for (size_t i = 0; i < g->n_considered; i++) {
		const char *name = g->considered[i]->specialist;
		if (name && failures_of(c, name) < SPECIALIST_TRIES)
			return name;
	}
	for (size_t i = specialists_count(all); i > 0; i--)
		if (failures_of(c, specialists_name(all, i - 1)) < SPECIALIST_TRIES)
			return specialists_name(all, i - 1);
	return NULL;
}

static void change_specialist(struct consultation *c)
{
	Healbus__Diagnosis *g = c->diagnosis;
	size_t failed = g->specialist ? failures_of(c, g->specialist) : 0;
	const char *other = failed >= SPECIALIST_TRIES ? somebody_else(c) : NULL;
	if (!other)
		return;
	g->route = arena_printf(c->arena, "%s failed here %zu times; %s takes over", g->specialist,
				failed, other);
	g->specialist = arena_strdup(c->arena, other);
}

static int judge(struct consultation *c, const struct context *ctx)
{
	const struct knowledge *k = &c->config->knowledge;
	const struct classify_input seen = {
		.log = ctx->log,
		.log_len = ctx->log_len,
		.workflow = *ctx->workflow ? ctx->workflow : label(c, "workflow"),
		.job = *ctx->job ? ctx->job : label(c, "job"),
		.step = ctx->step,
		.files = ctx->files,
		.n_files = ctx->n_files,
		.alertname = label(c, "alertname"),
	};
	struct route_input at = {.failures = k->failures, .seen = &seen};
	struct route_record *learned = NULL;
	int rc = classify(k->failures, &seen, c->arena, c->diagnosis);
	if (!rc)
		rc = memory_learned(c->memory, c->arena, &learned, &at.n_learned);
	if (rc)
		return rc;
	at.learned = learned;
	route(k->specialists, &at, c->arena, c->diagnosis);
	change_specialist(c);
	return 0;
}

/* ---- asking a model ---- */

static int tools_of(const struct consultation *c, struct store_txn *txn, struct prompt_input *in)
{
	struct store_val val;
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	int rc = store_get_str(txn, &table_catalogue, catalogue_row, &val);
	if (!rc)
		rc = wire_unpack(KIND_CONTROL, val.data, val.len, c->arena, &msg, &why);
	if (rc)
		return rc == ERR_NOT_FOUND ? 0 : rc;
	in->tools = ((Healbus__Control *)msg)->tools;
	in->n_tools = ((Healbus__Control *)msg)->n_tools;
	return 0;
}

/* How each specialist fared with this type: [{specialist, successes, failures}]; a new reference.
 */
static json_t *statistics_of(const struct consultation *c, struct store_txn *txn)
{
	struct statistic_record *records = NULL;
	size_t n = 0;
	json_t *out = json_array();
	if (statistics_for_type(txn, c->diagnosis->failure_type, NULL, c->arena, &records, &n))
		return out;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_pack("{s:s, s:I, s:I}", "specialist",
						     records[i].specialist, "successes",
						     (json_int_t)records[i].s.successes, "failures",
						     (json_int_t)records[i].s.failures));
	return out;
}

static const struct prompt_item *items_of(const struct consultation *c, const struct context *ctx)
{
	struct prompt_item *out = arena_alloc(c->arena, (ctx->n_items + 1) * sizeof(*out));
	for (size_t i = 0; out && i < ctx->n_items; i++)
		out[i] = (struct prompt_item){ctx->items[i].source, ctx->items[i].title,
					      ctx->items[i].text, ctx->items[i].len};
	return out;
}

/* Names the fences of what is quoted: nobody outside can guess it, and the same question asked
 * again by this process is the same text, which the cache of answers knows. */
static void nonce_make(const struct consultation *c, char out[static ID_BYTES])
{
	static _Atomic uint64_t salt;
	uint64_t fresh = 0, none = 0;
	char text[24];
	if (getrandom(&fresh, sizeof(fresh), 0) == sizeof(fresh) && fresh)
		atomic_compare_exchange_strong(&salt, &none, fresh);
	snprintf(text, sizeof(text), "%016" PRIx64, atomic_load(&salt));
	id_make(out, "nonce", text, c->ask->id);
}

static double complexity(const struct consultation *c, const struct context *ctx)
{
	double files = MIN(1, (double)ctx->n_files / COMPLEX_FILES);
	double tried = MIN(1, 0.5 * (double)c->ask->subject->n_tried);
	double doubt = 1 - c->diagnosis->confidence;
	return (files + tried + doubt) / 3;
}

static void refuse(struct consultation *c, const char *text)
{
	c->diagnosis->reason = wire_text(c->arena, text, strlen(text), WIRE_REASON_MAX);
}

/* What a model answered, in people's words, is the proposal. */
static void keep(struct consultation *c, const struct placeholders *p, struct model_answer *answer)
{
	struct why why = {0};
	c->diagnosis->exchange = arena_strdup(c->arena, answer->exchange);
	if (prompt_restore(p, answer->json, &why)) {
		refuse(c, why.text);
	} else {
		auto_free char *text = json_dumps(answer->json, JSON_COMPACT);
		c->diagnosis->proposal = wire_text(c->arena, text, strlen(text), WIRE_PATCH_MAX);
	}
	json_decref(answer->json);
}

static int ask(struct consultation *c, const struct context *ctx, const struct prompt_text *text,
	       struct model_answer *out)
{
	struct why why = {0};
	json_t *schema = proposal_schema();
	const struct model_question q = {
		.config = &c->config->models,
		.incident = c->ask->incident,
		.ask = c->ask->id,
		.attempt = c->ask->attempt,
		.purpose = "plan",
		.severity = c->ask->subject->severity,
		.complexity = complexity(c, ctx),
		.system = buf_str(&text->system),
		.prompt = buf_str(&text->user),
		.schema = schema,
		.deadline_ms = clock_mono_ms() + c->config->cases.answer_timeout_ms / 2,
		.say = c->say,
		.pause = c->pause,
		.ctx = c,
	};
	int rc = models_ask(c->models, c->http, &q, c->arena, out, &why);
	json_decref(schema);
	if (rc && rc != ERR_CLOSED)
		refuse(c, why.text);
	return rc;
}

static void task_write(struct consultation *c, const json_t *view)
{
	auto_prompt_text text = {0};
	auto_buf task = {0};
	struct why why = {0};
	if (prompt_render_agent(c->config->knowledge.prompts, c->diagnosis->specialist, view, &text,
				&why)) {
		refuse(c, why.text);
		return;
	}
	buf_add(&task, buf_str(&text.system), text.system.len);
	buf_add(&task, buf_str(&text.user), text.user.len);
	c->diagnosis->task = wire_text(c->arena, buf_str(&task), task.len, WIRE_PROMPT_MAX);
}

/* A model, if one is configured; where it proposes nothing, a task for an agent, if there is one.
 */
static int ask_with(struct consultation *c, const struct context *ctx, json_t *view,
		    const struct placeholders *p)
{
	auto_prompt_text text = {0};
	struct model_answer out = {0};
	struct why why = {0};
	int rc = ERR_NOT_FOUND;
	if (c->models && models_configured(&c->config->models)) {
		rc = prompt_render(c->config->knowledge.prompts, c->diagnosis->specialist, view,
				   &text, &why);
		if (rc)
			refuse(c, why.text);
		else
			rc = ask(c, ctx, &text, &out);
	}
	if (!rc)
		keep(c, p, &out);
	if (!c->diagnosis->proposal && c->config->cases.agent_tool)
		task_write(c, view);
	return rc == ERR_CLOSED ? rc : 0;
}

static int ask_about(struct consultation *c, const struct context *ctx, struct prompt_input *in)
{
	char nonce[ID_BYTES];
	auto_buf log = {0};
	nonce_make(c, nonce);
	struct placeholders *p = placeholders_new(nonce);
	context_log_excerpt(ctx->log, ctx->log_len, PROMPT_LOG_MAX_BYTES, &log);
	in->log = buf_str(&log);
	in->log_len = log.len;
	json_t *view = prompt_view(in, p);
	int rc = ask_with(c, ctx, view, p);
	json_decref(view);
	placeholders_free(p);
	return rc;
}

static int propose(struct consultation *c, const struct context *ctx)
{
	struct prompt_input in = {
		.incident = c->ask->subject,
		.diagnosis = c->diagnosis,
		.attempt = c->ask->attempt,
		.max_attempts = (uint32_t)c->config->cases.max_attempts,
		.items = items_of(c, ctx),
		.n_items = ctx->n_items,
		.files = ctx->files,
		.n_files = ctx->n_files,
		.ci_files = failure_is_of_ci(c->diagnosis->failure_type),
		.redactor = c->config->knowledge.redactor,
	};
	struct store_txn *txn = store_begin_read(c->memory->store);
	json_t *statistics = statistics_of(c, txn);
	int rc = tools_of(c, txn, &in);
	store_end(txn);
	in.statistics = statistics;
	if (!rc)
		rc = ask_about(c, ctx, &in);
	json_decref(statistics);
	return rc;
}

/* ---- all of it ---- */

static void tell_sources(struct consultation *c, const struct context *ctx)
{
	Healbus__Diagnosis *g = c->diagnosis;
	g->gathered = arena_alloc(c->arena, (ctx->n_gathered + 1) * sizeof(*g->gathered));
	g->missing = arena_alloc(c->arena, (ctx->n_missing + 1) * sizeof(*g->missing));
	for (size_t i = 0; i < ctx->n_gathered; i++)
		g->gathered[g->n_gathered++] = arena_strdup(c->arena, ctx->gathered[i]);
	for (size_t i = 0; i < ctx->n_missing; i++)
		g->missing[g->n_missing++] = arena_strdup(c->arena, ctx->missing[i]);
}

int consult(struct consultation *c, struct why *out_why)
{
	struct context ctx = {0};
	int rc = context_gather(&c->config->context, c->ask->subject, c->arena, &ctx);
	if (rc)
		return why_set(out_why, rc, "gathering context");
	tell_sources(c, &ctx);
	rc = judge(c, &ctx);
	if (!rc)
		rc = memory_remind(c->memory, c->ask->subject, c->arena, c->diagnosis);
	if (rc)
		return why_set(out_why, rc, "classifying");
	if (c->config->knowledge.prompts)
		return propose(c, &ctx);
	refuse(c, "no model is configured, and nothing that helped before is known");
	return 0;
}
