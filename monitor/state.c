#include "monitor/state.h"

const struct store_table table_alerts = {"alerts", 1};
const struct store_table table_firing = {"firing", 1};
const struct store_table table_groups = {"groups", 1};
const struct store_table table_agreed = {"agreed", 1};
const struct store_table table_slots = {"slots", 1};
const struct store_table table_silences = {"silences", 1};
const struct store_table table_inhibit = {"inhibit", 1};
const struct store_table table_meta = {"meta", 1};
const struct store_table table_bodies = {"bodies", 1};
const struct store_table table_links = {"links", 1};
const struct store_table table_commands = {"commands", 1};

const struct store_table *const monitor_tables[] = {
	&table_alerts, &table_firing,   &table_groups,   &table_agreed,
	&table_slots,  &table_silences, &table_inhibit,  &table_meta,
	&table_bodies, &table_links,    &table_commands,
};
static_assert(ARRAY_SIZE(monitor_tables) == MONITOR_TABLES, "the fold's definition counts them");
const size_t monitor_tables_n = ARRAY_SIZE(monitor_tables);

/* ---- labels ---- */

/* One pair; false at the end. */
static bool labels_next(struct labels *rest, const char **name, const char **value)
{
	size_t name_len, value_len;

	if (!rest->len)
		return false;
	*name = rest->data;
	name_len = strlen(*name) + 1;
	*value = rest->data + name_len;
	value_len = strlen(*value) + 1;
	rest->data += name_len + value_len;
	rest->len -= name_len + value_len;
	return true;
}

const char *labels_lookup(const void *labels, const char *name)
{
	struct labels rest = *(const struct labels *)labels;
	const char *n, *v;

	while (labels_next(&rest, &n, &v)) {
		if (str_eq(n, name))
			return v;
	}
	return NULL;
}

static void labels_add(struct buf *out, const char *name, const char *value)
{
	buf_add(out, name, strlen(name) + 1);
	buf_add(out, value, strlen(value) + 1);
}

void labels_pack(struct buf *out, Healbus__Label *const *labels, size_t n)
{
	for (size_t i = 0; i < n; i++)
		labels_add(out, labels[i]->name, labels[i]->value ? labels[i]->value : "");
}

bool labels_intersect(struct labels a, struct labels b, struct buf *out)
{
	struct labels rest = a;
	const char *name, *value;

	while (labels_next(&rest, &name, &value)) {
		const char *other = labels_lookup(&b, name);

		if (other && str_eq(other, value))
			labels_add(out, name, value);
	}
	return out->len < a.len;
}

void labels_unite(struct labels a, struct labels b, struct buf *out)
{
	struct labels x = a, y = b;
	const char *xn = "", *xv = "", *yn = "", *yv = "";
	bool has_x = labels_next(&x, &xn, &xv), has_y = labels_next(&y, &yn, &yv);

	while (has_x || has_y) {
		int order = !has_x ? 1 : (!has_y ? -1 : strcmp(xn, yn));

		labels_add(out, order <= 0 ? xn : yn, order <= 0 ? xv : yv);
		has_y = order >= 0 ? labels_next(&y, &yn, &yv) : has_y;
		has_x = order <= 0 ? labels_next(&x, &xn, &xv) : has_x;
	}
}

void labels_fit(struct buf *labels, size_t limit)
{
	while (labels->len > limit) {
		struct labels rest = {labels->data, labels->len};
		const char *name, *value, *at = NULL;
		size_t longest = 0;

		while (labels_next(&rest, &name, &value)) {
			size_t len = strlen(name) + strlen(value) + 2;

			if (len > longest) {
				longest = len;
				at = name;
			}
		}
		if (!at)
			return;
		memmove(labels->data + (at - labels->data), at + longest,
			labels->len - longest - (size_t)(at - labels->data));
		labels->len -= longest;
	}
}

/* ---- alerts ---- */

int alert_get_labels(struct fold *f, const char *fp, struct alert *out, struct buf *text)
{
	struct store_val val;
	int rc = store_get_str(fold_txn(f), &table_alerts, fp, &val);

	if (rc)
		return rc;
	if (val.len < sizeof(*out))
		return ERR_CORRUPT;
	memcpy(out, val.data, sizeof(*out));
	if (text)
		buf_add(text, (const char *)val.data + sizeof(*out), val.len - sizeof(*out));
	return 0;
}

int alert_get(struct fold *f, const char *fp, struct alert *out)
{
	return alert_get_labels(f, fp, out, NULL);
}

void alert_put(struct fold *f, const char *fp, const struct alert *a, struct labels labels)
{
	auto_buf row = {0};

	buf_add(&row, a, sizeof(*a));
	buf_add(&row, labels.data, labels.len);
	store_put_str(fold_txn(f), &table_alerts, fp, row.data, row.len);
}

void alert_forget(struct fold *f, const char *fp)
{
	store_del_str(fold_txn(f), &table_alerts, fp);
}

void alert_set_firing(struct fold *f, const char *fp, bool firing)
{
	if (firing)
		store_put_str(fold_txn(f), &table_firing, fp, "", 0);
	else
		store_del_str(fold_txn(f), &table_firing, fp);
}

static int firing_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	(void)val;
	buf_add(ctx, key, key_len);
	return 0;
}

void alerts_firing(struct fold *f, struct buf *out)
{
	store_each(fold_txn(f), &table_firing, NULL, firing_visit, out);
}

/* ---- groups ---- */

int group_read(struct store_txn *txn, const char *key, struct group *out)
{
	struct store_val val;
	int rc = store_get_str(txn, &table_groups, key, &val);

	if (rc)
		return rc;
	if (val.len != sizeof(*out))
		return ERR_CORRUPT;
	memcpy(out, val.data, sizeof(*out));
	return 0;
}

int group_get(struct fold *f, const char *key, struct group *out)
{
	return group_read(fold_txn(f), key, out);
}

void group_put(struct fold *f, const char *key, const struct group *g)
{
	store_put_str(fold_txn(f), &table_groups, key, g, sizeof(*g));
}

/* ---- meta ---- */

struct meta meta_get(struct fold *f)
{
	struct store_val val;
	struct meta m = {0};

	if (store_get_str(fold_txn(f), &table_meta, "meta", &val) == 0 && val.len == sizeof(m))
		memcpy(&m, val.data, sizeof(m));
	return m;
}

void meta_put(struct fold *f, const struct meta *m)
{
	store_put_str(fold_txn(f), &table_meta, "meta", m, sizeof(*m));
}
