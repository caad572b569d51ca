#include "notifier/projection.h"

enum { CATALOGUES_MAX = 16 };

static void control_put(struct fold *f, const char *key, const Healbus__Control *c)
{
	row_put_message(fold_txn(f), &table_machinery, key, strlen(key), &c->base);
}

static void on_pause(struct fold *f, const Healbus__Control *c)
{
	control_put(f, "pause", c);
}

static void silence_put(struct fold *f, const Healbus__Silence *s)
{
	char timer[2 + TOKEN_MAX + 1];
	snprintf(timer, sizeof(timer), "s:%s", s->id);
	row_put_message(fold_txn(f), &table_silences, s->id, strlen(s->id), &s->base);
	fold_timer_set(f, timer, s->ends_at_ms + rules_of(fold_config(f))->retain_ms);
}

static void on_silence(struct fold *f, const Healbus__Control *c)
{
	if (c->silence && c->silence->id && token_valid(c->silence->id))
		silence_put(f, c->silence);
}

static void on_silence_expire(struct fold *f, const Healbus__Control *c)
{
	const char *id = c->silence ? str_or_empty(c->silence->id) : "";
	Healbus__Silence *s =
		row_get(fold_txn(f), &table_silences, id, Healbus__Silence, silence, fold_arena(f));
	if (!s)
		return;
	SET(s, ends_at_ms, MIN(s->ends_at_ms, fold_now_ms(f)));
	silence_put(f, s);
}

void silence_retire(struct fold *f, const char *id)
{
	store_del_str(fold_txn(f), &table_silences, id);
}

/* Executors come and go under new names; the oldest catalogues make room. */
static void catalogues_trim(struct fold *f)
{
	auto_keys keys = {0};
	keys_collect(fold_txn(f), &table_machinery, "tools:", 6, &keys);
	while (keys.n > CATALOGUES_MAX) {
		size_t oldest = 0;
		int64_t oldest_ms = INT64_MAX;
		for (size_t i = 0; i < keys.n; i++) {
			const Healbus__Control *c =
				row_get(fold_txn(f), &table_machinery, keys.items[i].bytes,
					Healbus__Control, control, fold_arena(f));
			if (c && c->at_ms < oldest_ms) {
				oldest_ms = c->at_ms;
				oldest = i;
			}
		}
		store_del_str(fold_txn(f), &table_machinery, keys.items[oldest].bytes);
		keys.items[oldest] = keys.items[--keys.n];
	}
}

static void on_catalogue(struct fold *f, const Healbus__Control *c)
{
	char key[6 + 200 + 1];
	snprintf(key, sizeof(key), "tools:%.200s", str_or_empty(c->executor));
	control_put(f, key, c);
	catalogues_trim(f);
}

static void on_ack(struct fold *f, const Healbus__Control *c)
{
	tell_acked(f, str_or_empty(c->incident));
	tell_taken(f, c);
}

/* The first yes of each is their vote, signed as those of people are. By whose key, and who may
 * vote, is asked when votes are counted. */
static void on_vote(struct fold *f, const Healbus__Control *c)
{
	const char *by = str_or_empty(c->by);
	if (!c->has_signature || !*by || strlen(by) > TOKEN_MAX ||
	    !token_valid(str_or_empty(c->approval)))
		return;
	struct key key = key_pair(c->approval, by);
	struct store_val val;
	if (store_get(fold_txn(f), &table_votes, key.bytes, key.len, &val))
		row_put_message(fold_txn(f), &table_votes, key.bytes, key.len, &c->base);
}

static void on_feedback(struct fold *f, const Healbus__Control *c)
{
	struct store_val val;
	const char *incident = str_or_empty(c->incident);
	if (token_valid(incident) && store_get_str(fold_txn(f), &table_feedback, incident, &val))
		row_put_message(fold_txn(f), &table_feedback, incident, strlen(incident), &c->base);
}

int project_control(struct fold *f, const struct fold_input *in, struct why *out_why UNUSED)
{
	static const struct {
		Healbus__ControlKind kind;
		void (*run)(struct fold *f, const Healbus__Control *c);
	} rows[] = {
		{HEALBUS__CONTROL_KIND__CONTROL_PAUSE, on_pause},
		{HEALBUS__CONTROL_KIND__CONTROL_RESUME, on_pause},
		{HEALBUS__CONTROL_KIND__CONTROL_SILENCE, on_silence},
		{HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE, on_silence_expire},
		{HEALBUS__CONTROL_KIND__CONTROL_CATALOGUE, on_catalogue},
		{HEALBUS__CONTROL_KIND__CONTROL_ACK, on_ack},
		{HEALBUS__CONTROL_KIND__CONTROL_VOTE, on_vote},
		{HEALBUS__CONTROL_KIND__CONTROL_FEEDBACK, on_feedback},
		{HEALBUS__CONTROL_KIND__CONTROL_ONCALL, duty_change},
	};
	const Healbus__Control *c = (const Healbus__Control *)in->msg;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].kind == c->kind)
			rows[i].run(f, c);
	return 0;
}
