#include "reasoner/effect.h"

#include "reasoner/lesson.h"

enum { WINDOW_DEFAULT_MS = 30 * 60000 };

/* "4m" or "40s": for sentences, so that a fold needs no clock. */
static char *span_text(struct desk *d, int64_t ms)
{
	int64_t s = MAX(ms, 0) / 1000;
	if (s < 120)
		return arena_printf(&d->arena, "%" PRId64 "s", s);
	if (s < 7200)
		return arena_printf(&d->arena, "%" PRId64 "m", s / 60);
	return arena_printf(&d->arena, "%" PRId64 "h", s / 3600);
}

int effect_load(struct desk *d, const char *key, struct effect_row *out)
{
	struct store_val val;
	int rc = store_get_str(fold_txn(d->f), &table_effects, key, &val);
	*out = (struct effect_row){0};
	if (rc == ERR_NOT_FOUND)
		return 0;
	if (rc || val.len != sizeof(*out))
		return why_set(d->why, rc ? rc : ERR_CORRUPT, "effects: %s", key);
	memcpy(out, val.data, sizeof(*out));
	return 0;
}

void effect_save(struct desk *d, const char *key, const struct effect_row *e)
{
	int64_t now = fold_now_ms(d->f);
	int64_t window = e->window_ms ? e->window_ms : WINDOW_DEFAULT_MS;
	store_put_str(fold_txn(d->f), &table_effects, key, e, sizeof(*e));
	desk_timer(d, TIMER_QUIET, key, MAX(now + window, e->ready_ms));
}

int effect_plan_made(struct desk *d, const struct case_file *c)
{
	struct effect_row e;
	int rc = effect_load(d, c->incident->key, &e);
	if (rc)
		return rc;
	snprintf(e.plan, sizeof(e.plan), "%s", c->row.plan);
	snprintf(e.incident, sizeof(e.incident), "%s", c->incident->id);
	effect_save(d, c->incident->key, &e);
	return 0;
}

static const struct runbook *plan_runbook(const struct desk *d, const char *name)
{
	return name ? runbooks_find(d->settings->runbooks, name) : NULL;
}

int effect_plan_ended(struct desk *d, const Healbus__Plan *plan,
		      char out_waiting[static TOKEN_MAX + 8])
{
	struct effect_row e;
	const struct runbook *rb = plan_runbook(d, plan->runbook);
	int rc = effect_load(d, plan->incident_key, &e);
	if (rc)
		return rc;
	if (str_eq(e.plan, plan->id))
		e.plan[0] = 0;
	bool asked = plan->diagnosis || plan->memory;
	e.ready_ms = fold_now_ms(d->f) + (rb ? rb->cooldown_ms : 0);
	if (rb || asked)
		e.window_ms = rb ? rb->effective_window_ms : d->settings->effective_window_ms;
	bool other = e.incident[0] && !str_eq(e.incident, plan->incident);
	snprintf(out_waiting, TOKEN_MAX + 8, "%s", other ? e.incident : "");
	effect_save(d, plan->incident_key, &e);
	return 0;
}

int effect_healed(struct desk *d, const struct case_file *c)
{
	struct effect_row e;
	int rc = effect_load(d, c->incident->key, &e);
	if (rc)
		return rc;
	e.healed_ms = fold_now_ms(d->f);
	e.next = c->row.skip + c->row.attempt;
	snprintf(e.healed, sizeof(e.healed), "%s", c->incident->id);
	snprintf(e.runbook, sizeof(e.runbook), "%s", c->row.runbook);
	effect_save(d, c->incident->key, &e);
	return 0;
}

static void block_if_too_many(const struct desk *d, struct effect_row *e)
{
	e->useless++;
	if (e->useless >= (uint64_t)d->settings->ineffective_limit)
		e->blocked = 1;
}

/* The attempt that healed, from its own case; when that is gone, what the row still knows. */
static Healbus__Attempt *healed_attempt(struct desk *d, const struct effect_row *e)
{
	struct case_file old;
	Healbus__Attempt *a = arena_alloc(&d->arena, sizeof(*a));
	healbus__attempt__init(a);
	if (case_load(d, e->healed, &old) == 0 && old.incident->n_tried > 0) {
		*a = *old.incident->tried[old.incident->n_tried - 1];
		return a;
	}
	SET(a, number, 1);
	SET(a, verdict, HEALBUS__VERDICT__VERDICT_HEALED);
	a->runbook = arena_strdup(&d->arena, e->runbook);
	return a;
}

static char *return_reason(struct desk *d, const struct case_file *c, const struct effect_row *e)
{
	bool same = str_eq(e->healed, c->incident->id);
	bool never_left = same && c->row.since_ms <= e->healed_ms;
	int64_t until = never_left ? fold_now_ms(d->f) : c->row.since_ms;
	return arena_printf(
		&d->arena, "healed, but %s %s%s; fix %u of %" PRId64 " in a row that did not last",
		never_left ? "still firing" : "came back after", span_text(d, until - e->healed_ms),
		never_left ? " later" : "", e->useless, d->settings->ineffective_limit);
}

/* Writes the reason into the attempt that claimed success: this incident's last, or a new one. */
static void note_return(struct desk *d, struct case_file *c, const struct effect_row *e)
{
	bool same = str_eq(e->healed, c->incident->id) && c->incident->n_tried > 0;
	char *reason = return_reason(d, c, e);
	if (same) {
		Healbus__Attempt *last = c->incident->tried[c->incident->n_tried - 1];
		last->reason = reason;
		lesson_did_not_last(d, last);
		return;
	}
	Healbus__Attempt *a = healed_attempt(d, e);
	a->reason = reason;
	lesson_did_not_last(d, a);
	case_tried(d, c, a);
	c->row.skip = e->next;
	snprintf(c->row.runbook, sizeof(c->row.runbook), "%s", e->runbook);
}

int effect_returned(struct desk *d, struct case_file *c, struct effect_row *e)
{
	int rc = effect_load(d, c->incident->key, e);
	if (rc)
		return rc;
	snprintf(e->incident, sizeof(e->incident), "%s", c->incident->id);
	bool same = str_eq(e->healed, c->incident->id);
	bool in_window = c->row.since_ms <= e->healed_ms + e->window_ms;
	if (e->healed_ms && (same || in_window)) {
		block_if_too_many(d, e);
		note_return(d, c, e);
		e->healed_ms = 0;
	}
	effect_save(d, c->incident->key, e);
	return 0;
}

int effect_gave_up(struct desk *d, const struct case_file *c)
{
	struct effect_row e;
	int rc = effect_load(d, c->incident->key, &e);
	if (rc)
		return rc;
	block_if_too_many(d, &e);
	e.next = 0;
	effect_save(d, c->incident->key, &e);
	return 0;
}

int effect_reset(struct desk *d, const char *key)
{
	struct effect_row e;
	int rc = effect_load(d, key, &e);
	if (rc)
		return rc;
	e.useless = e.next = 0;
	e.blocked = 0;
	e.healed_ms = 0;
	effect_save(d, key, &e);
	return 0;
}

int effect_quiet(struct desk *d, const char *key)
{
	struct effect_row e;
	struct case_file c;
	int rc = effect_load(d, key, &e);
	if (rc)
		return rc;
	rc = e.incident[0] ? case_load(d, e.incident, &c) : ERR_NOT_FOUND;
	if (e.plan[0] || (rc == 0 && case_is_active(&c))) {
		effect_save(d, key, &e);
		return 0;
	}
	store_del_str(fold_txn(d->f), &table_effects, key);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}
