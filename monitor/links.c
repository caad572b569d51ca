#include "monitor/state.h"

/* What must outlive its event: bodies that count only once, and what later events do not say. Each
 * row has a timer of its own. */

enum { LINK_KEEP_DAYS = 30 };
#define LINK_KEEP_MS (LINK_KEEP_DAYS * INT64_C(86400000))

static void row_timer_set(struct fold *f, const char *prefix, const char *id, int64_t keep_ms)
{
	char name[ID_BYTES + 2];

	snprintf(name, sizeof(name), "%s%s", prefix, id);
	fold_timer_set(f, name, fold_now_ms(f) + keep_ms);
}

bool body_again(struct fold *f, const Healbus__Event *e)
{
	const struct source_grouping *own =
		rules_grouping(monitor_rules(fold_config(f)), e->source);
	struct store_val val;
	char id[ID_BYTES];

	if (!own || !own->once_ms || !e->raw_id)
		return false;
	id_make(id, "body", e->source, e->raw_id);
	if (store_get_str(fold_txn(f), &table_bodies, id, &val) == 0)
		return true;
	store_put_str(fold_txn(f), &table_bodies, id, "", 0);
	row_timer_set(f, "b:", id, own->once_ms);
	return false;
}

int body_timer(struct fold *f, const char *id)
{
	store_del_str(fold_txn(f), &table_bodies, id);
	return 0;
}

void link_put(struct fold *f, struct link link, const char *value)
{
	char id[ID_BYTES];

	id_make(id, "link", link.kind, link.repository, link.name);
	store_put_str(fold_txn(f), &table_links, id, value, strlen(value));
	row_timer_set(f, "l:", id, LINK_KEEP_MS);
}

bool link_get(struct fold *f, struct link link, struct buf *out)
{
	struct store_val val;
	char id[ID_BYTES];

	id_make(id, "link", link.kind, link.repository, link.name);
	if (store_get_str(fold_txn(f), &table_links, id, &val))
		return false;
	buf_add(out, val.data, val.len);
	return true;
}

int link_timer(struct fold *f, const char *id)
{
	store_del_str(fold_txn(f), &table_links, id);
	return 0;
}
