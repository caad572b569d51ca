#include "monitor/state.h"

/* Silences are kept as the Control that set them, until they end. */

static const Healbus__Silence *silence_unpack(struct arena *arena, struct store_val val)
{
	ProtobufCMessage *msg;

	if (wire_unpack(KIND_CONTROL, val.data, val.len, arena, &msg, NULL))
		return NULL;
	return ((Healbus__Control *)msg)->silence;
}

static bool silence_matches(const Healbus__Silence *s, struct labels labels)
{
	struct matchers m = {0};
	bool matches = s->n_matchers > 0;

	for (size_t i = 0; i < s->n_matchers && matches; i++) {
		const Healbus__Matcher *one = s->matchers[i];

		matches = matchers_add(&m, one->name, (enum matcher_op)one->op,
				       one->value ? one->value : "", NULL) == 0;
	}
	matches = matches && matchers_match(&m, labels_lookup, &labels);
	matchers_release(&m);
	return matches;
}

struct search {
	struct labels labels;
	int64_t now_ms;
	char *out;
	bool found;
};

static int silence_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct search *search = ctx;
	struct arena arena = {0};
	const Healbus__Silence *s = silence_unpack(&arena, val);

	if (s && s->starts_at_ms <= search->now_ms && search->now_ms < s->ends_at_ms &&
	    silence_matches(s, search->labels)) {
		snprintf(search->out, TOKEN_MAX + 1, "%.*s", (int)key_len, (const char *)key);
		search->found = true;
	}
	arena_release(&arena);
	return search->found;
}

bool silence_by(struct fold *f, struct labels labels, char out[static TOKEN_MAX + 1])
{
	struct search search = {.labels = labels, .now_ms = fold_now_ms(f), .out = out};

	if (store_count(fold_txn(f), &table_silences))
		store_each(fold_txn(f), &table_silences, NULL, silence_visit, &search);
	return search.found;
}

static void silence_timer_set(struct fold *f, const char *id, int64_t due_ms)
{
	char name[TOKEN_MAX + 3];

	snprintf(name, sizeof(name), "s:%s", id);
	fold_timer_set(f, name, due_ms);
}

static int silence_remove(struct fold *f, const char *id)
{
	char name[TOKEN_MAX + 3];

	snprintf(name, sizeof(name), "s:%s", id);
	fold_timer_cancel(f, name);
	store_del_str(fold_txn(f), &table_silences, id);
	return muting_review_all(f);
}

static int silence_add(struct fold *f, const struct fold_input *in, const Healbus__Silence *s)
{
	int64_t now = fold_now_ms(f);

	if (s->ends_at_ms <= now)
		return silence_remove(f, s->id);
	store_put_str(fold_txn(f), &table_silences, s->id, in->data, in->len);
	silence_timer_set(f, s->id, s->starts_at_ms > now ? s->starts_at_ms : s->ends_at_ms);
	return muting_review_all(f);
}

int silence_apply(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	const Healbus__Control *c = (const Healbus__Control *)in->msg;
	const Healbus__Silence *s = c->silence;

	if (c->kind != HEALBUS__CONTROL_KIND__CONTROL_SILENCE &&
	    c->kind != HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE)
		return 0;
	if (!s || !s->id || !token_valid(s->id))
		return why_set(out_why, ERR_INVALID, "control.silence.id: missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE)
		return silence_remove(f, s->id);
	if (!s->n_matchers)
		return why_set(out_why, ERR_INVALID, "control.silence.matchers: none");
	return silence_add(f, in, s);
}

int silence_timer(struct fold *f, const char *id)
{
	struct arena arena = {0};
	const Healbus__Silence *s;
	struct store_val val;
	int64_t ends;

	if (store_get_str(fold_txn(f), &table_silences, id, &val))
		return 0;
	s = silence_unpack(&arena, val);
	ends = s ? s->ends_at_ms : 0;
	arena_release(&arena);
	if (ends <= fold_now_ms(f))
		store_del_str(fold_txn(f), &table_silences, id);
	else
		silence_timer_set(f, id, ends);
	return muting_review_all(f);
}
