/* Small valid messages, to be spoilt by tests of wire*.c. */
#ifndef TESTS_UNIT_WIRE_NEW_H
#define TESTS_UNIT_WIRE_NEW_H

#include "common/wire.h"

static inline Healbus__Plan *plan_new(struct arena *a, size_t n_steps)
{
	Healbus__Plan *p = arena_alloc(a, sizeof(*p));
	healbus__plan__init(p);
	p->id = arena_strdup(a, "p1");
	p->incident = arena_strdup(a, "i1");
	p->steps = arena_alloc(a, n_steps * sizeof(*p->steps));
	p->n_steps = n_steps;
	for (size_t i = 0; i < n_steps; i++) {
		p->steps[i] = arena_alloc(a, sizeof(Healbus__Step));
		healbus__step__init(p->steps[i]);
		p->steps[i]->tool = arena_strdup(a, "service-restart");
		p->steps[i]->target = arena_strdup(a, "web-1");
	}
	return p;
}

static inline Healbus__Event *event_new(struct arena *a)
{
	Healbus__Event *e = arena_alloc(a, sizeof(*e));
	healbus__event__init(e);
	e->id = arena_strdup(a, "e1");
	e->source = arena_strdup(a, "check");
	e->fingerprint = arena_strdup(a, "0123456789abcdef");
	e->labels = arena_alloc(a, 3 * sizeof(*e->labels));
	e->labels[0] = label_new(a, "alertname", "x");
	e->labels[1] = label_new(a, "service", "db");
	e->n_labels = 2;
	return e;
}

static inline Healbus__Control *control_new(struct arena *a, Healbus__ControlKind kind)
{
	Healbus__Control *c = arena_alloc(a, sizeof(*c));
	healbus__control__init(c);
	c->id = arena_strdup(a, "c1");
	SET(c, kind, kind);
	return c;
}

#endif
