#include "monitor/state.h"

/* Which group an alert belongs to. */

static const struct rules *rules_of(struct fold *f)
{
	return monitor_rules(fold_config(f));
}

static bool group_live(struct fold *f, const char *key)
{
	struct store_val val;

	return store_get_str(fold_txn(f), &table_agreed, key, &val) == 0;
}

static int64_t storm_window(struct fold *f)
{
	return fold_now_ms(f) - fold_now_ms(f) % rules_of(f)->storm_window_ms;
}

static bool storm_rages(struct fold *f)
{
	const struct rules *r = rules_of(f);
	struct meta m = meta_get(f);

	return r->storm_threshold && m.storm_window_ms == storm_window(f) &&
	       m.storm_opens >= (uint64_t)r->storm_threshold;
}

void storm_count(struct fold *f)
{
	struct meta m;

	if (!rules_of(f)->storm_threshold)
		return;
	m = meta_get(f);
	if (m.storm_window_ms != storm_window(f)) {
		m.storm_window_ms = storm_window(f);
		m.storm_opens = 0;
	}
	m.storm_opens++;
	meta_put(f, &m);
}

struct group_names {
	const char *const *items;
	size_t n;
};

static struct group_names group_names(const struct rules *r, const char *source)
{
	const struct source_grouping *own = rules_grouping(r, source);
	struct group_names names = {(const char *const *)r->group_by.items, r->group_by.n};

	if (!own)
		return names;
	names = (struct group_names){.items = own->by};
	while (names.items[names.n])
		names.n++;
	return names;
}

void grouping_key(const struct rules *r, const Healbus__Event *e, struct labels labels,
		  char out[static ID_BYTES])
{
	struct group_names by = group_names(r, e->source);
	auto_free const char **values = mem_calloc(by.n + 1, sizeof(*values));

	values[0] = e->partition_key;
	for (size_t i = 0; i < by.n; i++)
		values[i + 1] = labels_lookup(&labels, by.items[i]);
	id_derive(out, "key", values, by.n + 1);
}

void group_key(struct fold *f, const Healbus__Event *e, struct labels labels,
	       char out[static ID_BYTES])
{
	char part[8];

	grouping_key(rules_of(f), e, labels, out);
	if (group_live(f, out) || !storm_rages(f))
		return;
	snprintf(part, sizeof(part), "%u", fold_partition(f));
	id_make(out, "key", "storm", part, e->name);
}
