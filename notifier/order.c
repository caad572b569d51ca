#include "notifier/order.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "notifier/answer.h"
#include "notifier/config.h"
#include "notifier/control.h"
#include "notifier/render.h"
#include "notifier/rights.h"
#include "notifier/view.h"

static struct metric commands = METRIC_COUNTER(
	"healbus_commands_total", "Commands that people typed, by channel and what came of them.",
	"channel", "result");

/* One order on its way. */
struct carry {
	struct stage *stage;
	const struct order_in *in;
	const struct order *command;
	const struct person *person;
	struct buf *out;
	struct why *why;
};

typedef int run_func(struct carry *o);
static run_func run_help, run_status, run_incidents, run_story, run_ack, run_silence, run_pause,
	run_resume;

static const struct verb {
	const char *name, *usage;
	enum right right;
	run_func *run;
} verbs[ORDERS] = {
	[ORDER_HELP] = {"help", "/help", RIGHT_READ, run_help},
	[ORDER_STATUS] = {"status", "/status", RIGHT_READ, run_status},
	[ORDER_INCIDENTS] = {"incidents", "/incidents", RIGHT_READ, run_incidents},
	[ORDER_STORY] = {"story", "/story ID", RIGHT_READ, run_story},
	[ORDER_ACK] = {"ack", "/ack ID [why]", RIGHT_ACK, run_ack},
	[ORDER_SILENCE] = {"silence", "/silence service=\"db\" 2h", RIGHT_SILENCE, run_silence},
	[ORDER_PAUSE] = {"pause", "/pause [why]", RIGHT_PAUSE, run_pause},
	[ORDER_RESUME] = {"resume", "/resume [why]", RIGHT_PAUSE, run_resume},
};

/* ---- parsing ---- */

void order_release(struct order *c)
{
	free(c->memory);
	*c = (struct order){0};
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char *skip_space(char *s)
{
	while (is_space(*s))
		s++;
	return s;
}

/* Ends the word at *io and returns it; *io moves to the next one. */
static char *take_word(char **io)
{
	char *word = skip_space(*io), *end = word;
	while (*end && !is_space(*end))
		end++;
	*io = *end ? skip_space(end + 1) : end;
	*end = '\0';
	return word;
}

static void trim_end(char *s)
{
	size_t len = strlen(s);
	while (len && is_space(s[len - 1]))
		s[--len] = '\0';
}

/* The last word of s, cut off it; NULL when it is the only one. */
static char *take_last(char *s)
{
	size_t at = strlen(s);
	while (at && !is_space(s[at - 1]))
		at--;
	if (!at)
		return NULL;
	char *last = s + at;
	s[at - 1] = '\0';
	trim_end(s);
	return last;
}

static int usage(const struct verb *v, struct why *out_why)
{
	return why_set(out_why, ERR_INVALID, "write: %s", v->usage);
}

static int arguments(struct order *c, char *rest, struct why *out_why)
{
	const struct verb *v = &verbs[c->verb];
	trim_end(rest);
	if (c->verb == ORDER_STORY || c->verb == ORDER_ACK) {
		c->id = take_word(&rest);
		if (!token_valid(c->id))
			return usage(v, out_why);
	}
	c->rest = rest;
	if (c->verb == ORDER_SILENCE) {
		c->duration = take_last(rest);
		if (!c->duration || !*rest)
			return usage(v, out_why);
	}
	bool takes_rest = c->verb >= ORDER_ACK;
	return *rest && !takes_rest ? usage(v, out_why) : 0;
}

int order_parse(const char *text, struct order *out, struct why *out_why)
{
	size_t len = strlen(text);
	if (*text != '/' || len > ORDER_TEXT_MAX)
		return why_set(out_why, ERR_INVALID, "not a command: /help lists them");
	out->memory = mem_dup(text + 1, len - 1);
	char *rest = out->memory, *word = rest;
	if (!is_space(*rest))
		word = take_word(&rest);
	word[strcspn(word, "@")] = '\0';
	for (size_t i = 0; i < ORDERS; i++) {
		if (str_eq(verbs[i].name, word)) {
			out->verb = (enum order_verb)i;
			return arguments(out, rest, out_why);
		}
	}
	return why_set(out_why, ERR_INVALID, "no such command: /help lists them");
}

/* ---- reading ---- */

static struct store_txn *look(const struct carry *o)
{
	return store_begin_read(fold_store(stage_fold(o->stage, 0, 0)));
}

static void add_shown(struct buf *out, const char *s, size_t max)
{
	auto_free char *cut = wire_text(NULL, s ? s : "", strlen(s ? s : ""), max);
	for (char *c = cut; *c; c++)
		*c = *c == '\n' || *c == '\t' ? ' ' : *c;
	buf_add_printable(out, cut, strlen(cut));
}

static int run_help(struct carry *o)
{
	for (size_t i = 0; i < ORDERS; i++)
		buf_printf(o->out, "%s\n", verbs[i].usage);
	buf_printf(o->out, "You are %s: ", o->person->name);
	person_roles(o->person, o->out);
	return 0;
}

static const char *text_at(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));
	return text ? text : "";
}

static int run_status(struct carry *o)
{
	auto_txn txn = look(o);
	json_t *paused = view_paused(txn), *counts = view_counts(txn), *value;
	const char *state;
	if (json_is_true(json_object_get(paused, "on"))) {
		buf_add_str(o->out, "PAUSED by ");
		add_shown(o->out, text_at(paused, "by"), 128);
		buf_add_str(o->out, *text_at(paused, "reason") ? ": " : "");
		add_shown(o->out, text_at(paused, "reason"), 200);
	} else {
		buf_add_str(o->out, "Healing is on.");
	}
	buf_add_str(o->out, "\nIncidents:");
	json_object_foreach(counts, state, value)
	{
		buf_printf(o->out, " %" JSON_INTEGER_FORMAT " %s", json_integer_value(value),
			   state);
	}
	buf_printf(o->out, "\nApprovals that wait: %zu\n", view_pending(txn));
	json_decref(paused);
	json_decref(counts);
	return 0;
}

/* Returns whether it was one that is still somebody's concern. */
static bool add_incident(struct carry *o, const json_t *i)
{
	const char *state = text_at(i, "state");
	if (!str_eq(state, "open") && !str_eq(state, "escalated"))
		return false;
	buf_printf(o->out, "%.8s [%s] %s: ", text_at(i, "id"), text_at(i, "severity"), state);
	add_shown(o->out, text_at(i, "title"), 160);
	buf_add_char(o->out, '\n');
	return true;
}

static int run_incidents(struct carry *o)
{
	struct view_filter filter = {.limit = VIEW_LIMIT_DEFAULT};
	auto_txn txn = look(o);
	json_t *view = view_incidents(txn, &filter), *one;
	size_t i, shown = 0;
	uint64_t open = count_get(txn, HEALBUS__INCIDENT_STATE__INCIDENT_OPEN) +
			count_get(txn, HEALBUS__INCIDENT_STATE__INCIDENT_ESCALATED);
	json_array_foreach(json_object_get(view, "incidents"), i, one)
	{
		if (shown < ORDER_SHOWN_MAX && add_incident(o, one))
			shown++;
	}
	json_decref(view);
	if (open > shown)
		buf_printf(o->out, "and %" PRIu64 " more: healctl incidents\n", open - shown);
	if (!open)
		buf_add_str(o->out, "No incident is open.\n");
	return 0;
}

static int incident_find(struct carry *o, struct store_txn *txn, char out[static TOKEN_MAX + 1])
{
	auto_buf candidates = {0};
	int rc = id_find(txn, &table_incidents, o->command->id, out, &candidates);
	if (rc == ERR_CONFLICT)
		return why_set(o->why, rc, "ambiguous: %s", buf_str(&candidates));
	return rc ? why_set(o->why, rc, "no incident begins with %.64s", o->command->id) : 0;
}

struct attempts {
	Healbus__Attempt *items[ORDER_SHOWN_MAX];
	size_t n, total;
	struct arena arena;
};

static int attempt_visit(void *ctx, const void *key UNUSED, size_t key_len UNUSED,
			 struct store_val val)
{
	struct attempts *a = ctx;
	Healbus__Attempt *one =
		(Healbus__Attempt *)row_unpack(val, &healbus__attempt__descriptor, &a->arena);
	if (one && a->n < ORDER_SHOWN_MAX)
		a->items[a->n++] = one;
	a->total++;
	return 0;
}

/* What a notice about it would say now. */
static int run_story(struct carry *o)
{
	char id[TOKEN_MAX + 1], at[TIME_TEXT_BYTES];
	struct attempts a = {0};
	auto_notice_text text = {0};
	auto_txn txn = look(o);
	int rc = incident_find(o, txn, id);
	if (rc)
		return rc;
	Healbus__Incident *i =
		row_get(txn, &table_incidents, id, Healbus__Incident, incident, &a.arena);
	struct key prefix = key_ref(id, REF_ATTEMPT, "");
	struct store_range range = {.prefix = prefix.bytes, .prefix_len = prefix.len};
	store_each(txn, &table_refs, &range, attempt_visit, &a);
	if (i) {
		struct render_incident r = {i, a.items, a.n, 0};
		render_incident(&r, &text);
		buf_printf(o->out, "%s\n%s", buf_str(&text.subject), buf_str(&text.text));
		buf_printf(o->out, "State: %s, last change %s\n",
			   wire_enum_name(&healbus__incident_state__descriptor, (int)i->state),
			   time_format(i->updated_at_ms, at));
	}
	arena_release(&a.arena);
	return 0;
}

/* ---- acting ---- */

static int run_ack(struct carry *o)
{
	auto_answer out = {0};
	struct answer_in in = {
		.id = o->command->id,
		.what = ANSWER_ACK,
		.kind = o->in->kind,
		.sender = o->in->sender,
		.channel = o->in->channel,
		.reason = o->command->rest,
	};
	int rc = answer_give(o->stage, &in, &out, o->why);
	buf_add(o->out, buf_str(&out.text), out.text.len);
	return rc;
}

static int run_silence(struct carry *o)
{
	char id[ID_BYTES], at[TIME_TEXT_BYTES];
	struct matchers m = {0};
	int64_t duration_ms = 0, now_ms = clock_real_ms();
	auto_free char *comment = mem_printf("from %s", o->in->channel);
	struct control_by who = {o->person->name, comment, o->in->channel};
	if (duration_parse(o->command->duration, &duration_ms))
		return usage(&verbs[ORDER_SILENCE], o->why);
	int rc = matchers_parse(o->command->rest, &m, o->why);
	if (!rc)
		rc = control_silence(o->stage, &m, now_ms + duration_ms, &who, id, o->why);
	if (!rc) {
		buf_add_str(o->out, "Silenced ");
		add_shown(o->out, o->command->rest, ORDER_TEXT_MAX);
		buf_printf(o->out, " until %s: silence %.8s", time_format(now_ms + duration_ms, at),
			   id);
	}
	matchers_release(&m);
	return rc;
}

static int set_pause(struct carry *o, bool on)
{
	int64_t at_ms = 0;
	auto_free char *reason =
		wire_text(NULL, o->command->rest, strlen(o->command->rest), WIRE_REASON_MAX);
	struct control_by who = {o->person->name, reason, o->in->channel};
	int rc = control_pause(o->stage, on, &who, &at_ms, o->why);
	if (!rc)
		buf_printf(o->out,
			   on ? "Paused by %s: no plan starts until /resume." : "Resumed by %s.",
			   o->person->name);
	return rc;
}

static int run_pause(struct carry *o)
{
	return set_pause(o, true);
}

static int run_resume(struct carry *o)
{
	return set_pause(o, false);
}

/* ---- the door ---- */

static int give(struct carry *o, const struct people *people, struct order *parsed)
{
	o->person = person_by(people, o->in->kind, o->in->sender);
	if (!o->person)
		return why_set(o->why, ERR_DENIED,
			       "%s %.64s is nobody in this notifier's `people:`; ask an "
			       "administrator",
			       o->in->kind, o->in->sender);
	int rc = order_parse(o->in->text, parsed, o->why);
	if (rc)
		return rc;
	const struct verb *v = &verbs[parsed->verb];
	rc = right_check(v->right, o->person->name, o->person->roles, o->why);
	return rc ? rc : v->run(o);
}

int order_give(struct stage *s, const struct order_in *in, struct buf *out_text,
	       struct why *out_why)
{
	auto_order parsed = {0};
	struct carry o = {
		.stage = s, .in = in, .command = &parsed, .out = out_text, .why = out_why};
	const struct notifier_config *config = stage_config_get(s);
	int rc = give(&o, &config->people, &parsed);
	if (rc)
		LOG(WARN, "command refused", S("channel", in->channel), S("sender", in->sender),
		    S("why", out_why->text));
	metric_add(&commands, 1, in->channel, rc ? err_name(rc) : "done");
	stage_config_put(s, config);
	return rc;
}
