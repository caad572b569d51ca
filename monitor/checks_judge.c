#include "monitor/checks.h"

bool check_judge(struct check_state *s, const struct check *c, const struct check_result *r,
		 int64_t real_ms, int64_t mono_ms)
{
	bool fires = s->firing, changed;

	s->failed = r->ok ? 0 : s->failed + 1;
	s->passed = r->ok ? s->passed + 1 : 0;
	snprintf(s->detail, sizeof(s->detail), "%s", r->detail);
	if (s->failed >= (uint32_t)c->failures)
		fires = true;
	if (s->passed >= (uint32_t)c->successes)
		fires = false;
	/* A check that fails for the first time has not decided yet. */
	if (!s->told && !fires && !r->ok)
		return false;
	changed = fires != s->firing || !s->told;
	if (changed && fires)
		s->starts_at_ms = real_ms;
	if (!changed && !(fires && mono_ms - s->told_ms >= c->repeat_ms))
		return false;
	s->firing = fires;
	s->told = true;
	s->told_ms = mono_ms;
	return true;
}

static int label_order(const void *a, const void *b)
{
	return strcmp((*(Healbus__Label *const *)a)->name, (*(Healbus__Label *const *)b)->name);
}

/* Configured labels never replace those that say which check this is. */
static void labels_fill(const struct check *c, struct arena *arena, Healbus__Event *e)
{
	const struct label_view own[] = {
		{"alertname", c->name},  {"check", c->name},        {"service", c->service},
		{"type", c->kind->name}, {"instance", c->instance},
	};

	e->labels = arena_alloc(arena, (c->n_labels + ARRAY_SIZE(own)) * sizeof(*e->labels));
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (own[i].value)
			e->labels[e->n_labels++] = label_new(arena, own[i].name, own[i].value);
	}
	for (size_t i = 0; i < c->n_labels; i++) {
		if (!label_get(e->labels, e->n_labels, c->label_names[i]))
			e->labels[e->n_labels++] =
				label_new(arena, c->label_names[i], c->label_values[i]);
	}
	qsort(e->labels, e->n_labels, sizeof(*e->labels), label_order);
}

static void fingerprint_fill(struct arena *arena, Healbus__Event *e)
{
	struct label_view *views = arena_alloc(arena, e->n_labels * sizeof(*views));

	for (size_t i = 0; i < e->n_labels; i++)
		views[i] = (struct label_view){e->labels[i]->name, e->labels[i]->value};
	e->fingerprint = arena_alloc(arena, FINGERPRINT_LEN + 1);
	fingerprint_labels(views, e->n_labels, e->fingerprint);
}

Healbus__Event *check_event(const struct check_state *s, const struct check *c, struct arena *arena)
{
	Healbus__Event *e = arena_alloc(arena, sizeof(*e));

	healbus__event__init(e);
	SET(e, status,
	    s->firing ? HEALBUS__STATUS__STATUS_FIRING : HEALBUS__STATUS__STATUS_RESOLVED);
	SET(e, severity, c->severity);
	SET(e, starts_at_ms, s->starts_at_ms);
	SET(e, trusted, true);
	e->source = arena_strdup(arena, "check");
	e->name = arena_strdup(arena, c->name);
	e->summary = wire_text(arena, c->summary ? c->summary : s->detail,
			       strlen(c->summary ? c->summary : s->detail), WIRE_LINE_MAX);
	labels_fill(c, arena, e);
	fingerprint_fill(arena, e);
	e->annotations = arena_alloc(arena, sizeof(*e->annotations));
	e->annotations[e->n_annotations++] = label_new(
		arena, "detail", wire_text(arena, s->detail, strlen(s->detail), WIRE_LINE_MAX));
	e->id = arena_alloc(arena, ID_BYTES);
	id_make(e->id, "check", c->name, s->firing ? "firing" : "resolved",
		arena_printf(arena, "%" PRId64, s->starts_at_ms));
	return e;
}
