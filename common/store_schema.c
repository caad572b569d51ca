#include "common/store_impl.h"

const struct store_table store_schema_table = {"store_schema", 1};

/* One table on its way to its version. */
struct upgrade {
	const struct store_options *options;
	const struct store_table *table;
	MDB_txn *txn;
	MDB_dbi dbi, notes; /* the table's, and that of store_schema */
	struct why *why;
	struct buf value; /* the next one of the row, and with its header */
	struct buf sealed;
};

/* ---- what the file notes ---- */

static MDB_val note_key(const struct upgrade *u)
{
	return (MDB_val){strlen(u->table->name), (void *)(uintptr_t)u->table->name};
}

/* 0 in *out: nothing is noted. */
static int read_note(const struct upgrade *u, uint16_t *out)
{
	MDB_val key = note_key(u), stored;
	struct store_val val;
	int rc = mdb_get(u->txn, u->notes, &key, &stored);
	*out = 0;
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : store_rc(rc);
	rc = store_open_value(&store_schema_table, &key, &stored, &val);
	if (rc || val.len != sizeof(*out))
		return rc ? rc : ERR_CORRUPT;
	memcpy(out, val.data, sizeof(*out));
	return 0;
}

static int write_note(struct upgrade *u)
{
	MDB_val key = note_key(u);
	const struct store_val val = {&u->table->version, sizeof(u->table->version)};
	buf_reset(&u->sealed);
	store_seal_value(&store_schema_table, &key, &val, &u->sealed);
	MDB_val stored = {u->sealed.len, u->sealed.data};
	return store_rc(mdb_put(u->txn, u->notes, &key, &stored, 0));
}

/* ---- rows ---- */

static int refuse_newer(const struct upgrade *u, unsigned version)
{
	return why_set(u->why, ERR_UNSUPPORTED,
		       "a later release wrote it (table %s has version %u, this program knows %u). "
		       "Install that release again, or restore a backup that was made before it",
		       u->table->name, version, u->table->version);
}

static const struct store_migration *find_step(const struct upgrade *u, uint16_t from)
{
	for (size_t i = 0; i < u->options->n_migrations; i++) {
		const struct store_migration *m = &u->options->migrations[i];
		if (str_eq(m->table, u->table->name) && m->from == from)
			return m;
	}
	return NULL;
}

/* Leads row->val, which may lie in u->value, one step on. */
static int convert_step(struct upgrade *u, struct store_row *row, uint16_t *version)
{
	const struct store_migration *m = find_step(u, *version);
	if (!m)
		return why_set(u->why, ERR_SCHEMA,
			       "an earlier release wrote it (table %s has version %u, wanted %u), "
			       "and there is no migration",
			       u->table->name, *version, u->table->version);
	assert(m->to > m->from && m->to <= u->table->version);
	auto_buf next = {0};
	int rc = m->convert(row, &next, u->why);
	if (rc)
		return rc;
	buf_reset(&u->value);
	buf_add(&u->value, next.data, next.len);
	row->val = (struct store_val){u->value.data, u->value.len};
	*version = m->to;
	return 0;
}

static int replace(struct upgrade *u, MDB_cursor *cursor, const struct store_row *row)
{
	char key_copy[STORE_KEY_MAX];
	memcpy(key_copy, row->key, row->key_len);
	MDB_val key = {row->key_len, key_copy};
	buf_reset(&u->sealed);
	store_seal_value(u->table, &key, &row->val, &u->sealed);
	MDB_val stored = {u->sealed.len, u->sealed.data};
	return store_rc(mdb_cursor_put(cursor, &key, &stored, MDB_CURRENT));
}

static int upgrade_row(struct upgrade *u, MDB_cursor *cursor, const MDB_val *key,
		       const MDB_val *stored)
{
	uint16_t version;
	int rc = store_value_version(key, stored, &version);
	if (rc)
		return why_set(u->why, rc, "a row of table %s is damaged", u->table->name);
	if (version == u->table->version)
		return 0;
	if (version > u->table->version)
		return refuse_newer(u, version);
	struct store_row row = {.key = key->mv_data, .key_len = key->mv_size};
	const struct store_table then = {u->table->name, version};
	rc = store_open_value(&then, key, stored, &row.val);
	while (!rc && version < u->table->version)
		rc = convert_step(u, &row, &version);
	if (rc == ERR_NOT_FOUND)
		return store_rc(mdb_cursor_del(cursor, 0));
	return rc ? rc : replace(u, cursor, &row);
}

static int upgrade_rows(struct upgrade *u)
{
	MDB_cursor *cursor;
	MDB_val key, stored;
	int rc = mdb_cursor_open(u->txn, u->dbi, &cursor);
	if (rc)
		return store_rc(rc);
	int found = mdb_cursor_get(cursor, &key, &stored, MDB_FIRST);
	while (!rc && !found) {
		rc = upgrade_row(u, cursor, &key, &stored);
		if (!rc)
			found = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc || found == MDB_NOTFOUND ? rc : store_rc(found);
}

/* Rows of a file that notes nothing yet are looked at one by one. */
static int upgrade_table(struct upgrade *u)
{
	uint16_t noted;
	int rc = read_note(u, &noted);
	if (rc || noted == u->table->version)
		return rc;
	if (noted > u->table->version)
		return refuse_newer(u, noted);
	rc = upgrade_rows(u);
	return rc ? rc : write_note(u);
}

int store_schema_apply(struct store *s, MDB_txn *txn, const struct store_options *options,
		       struct why *out_why)
{
	struct upgrade u = {
		.options = options, .txn = txn, .notes = s->dbis[s->n_tables - 1], .why = out_why};
	int rc = 0;
	for (size_t i = 0; i < options->n_tables && !rc; i++) {
		u.table = s->tables[i];
		u.dbi = s->dbis[i];
		rc = upgrade_table(&u);
	}
	buf_release(&u.value);
	buf_release(&u.sealed);
	return rc;
}
