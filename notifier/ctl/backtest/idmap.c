#include "notifier/ctl/backtest/idmap.h"

#include "common/id.h"
#include "common/mem.h"

static struct idmap_slot hash(const char *key)
{
	size_t len = strlen(key);
	struct idmap_slot s = {
		.a = fnv1a(FNV_INIT, key, len),
		.b = fnv1a(FNV_INIT ^ UINT64_C(0x9e3779b97f4a7c15), key, len),
	};

	s.b += !s.a && !s.b;
	return s;
}

static struct idmap_slot *slot_of(const struct idmap *m, struct idmap_slot h)
{
	size_t i = (size_t)(h.a ^ (h.a >> 32)) & (m->cap - 1);

	while ((m->slots[i].a || m->slots[i].b) && (m->slots[i].a != h.a || m->slots[i].b != h.b))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void grow(struct idmap *m)
{
	struct idmap bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : 1024};

	bigger.slots = mem_calloc(bigger.cap, sizeof(*bigger.slots));
	for (size_t i = 0; i < m->cap; i++) {
		if (m->slots[i].a || m->slots[i].b)
			*slot_of(&bigger, m->slots[i]) = m->slots[i];
	}
	free(m->slots);
	*m = bigger;
}

uint64_t *idmap_at(struct idmap *m, const char *key)
{
	struct idmap_slot h = hash(key), *slot;

	if ((m->n + 1) * 4 > m->cap * 3)
		grow(m);
	slot = slot_of(m, h);
	if (!slot->a && !slot->b) {
		*slot = h;
		m->n++;
	}
	return &slot->value;
}

uint64_t *idmap_find(const struct idmap *m, const char *key)
{
	struct idmap_slot *slot = m->n ? slot_of(m, hash(key)) : NULL;

	return slot && (slot->a || slot->b) ? &slot->value : NULL;
}

void idmap_release(struct idmap *m)
{
	free(m->slots);
	*m = (struct idmap){0};
}
