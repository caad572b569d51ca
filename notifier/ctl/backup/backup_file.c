#include "notifier/ctl/backup/backup.h"

#include "common/store.h"

const char backup_begin[] = "backup.begin", backup_end[] = "backup.end";
const char backup_consumer[] = "healctl";
const char *const backup_part_names[BACKUP_PARTS] = {STREAM_RAW,  STREAM_EVENTS, STREAM_STORY,
						     STREAM_DEAD, BUCKET_CLAIM,  "files"};

const char *const backup_filters[RECORDING_STREAMS] = {"raw.>", "event.>", "heal.>", "dead.>"};

/* ---- adding up ---- */

static void add_number(struct buf *b, uint64_t n)
{
	struct store_key64 k = store_key64(n);

	buf_add(b, &k, sizeof(k));
}

void backup_part_add(struct backup_part *p, const struct recording_record *r)
{
	auto_buf all = {0};

	buf_add(&all, p->digest, sizeof(p->digest));
	add_number(&all, r->seq);
	add_number(&all, (uint64_t)r->time_ms);
	buf_add(&all, r->subject, strlen(r->subject) + 1);
	buf_add(&all, r->id, strlen(r->id) + 1);
	buf_add(&all, r->cause, strlen(r->cause) + 1);
	buf_add(&all, r->content_type, strlen(r->content_type) + 1);
	buf_add(&all, r->data, r->len);
	digest_sha256(all.data, all.len, p->digest);
	p->first_seq = p->n++ ? p->first_seq : r->seq;
	p->last_seq = r->seq;
}

json_t *backup_parts_json(const struct backup_part parts[static BACKUP_PARTS])
{
	json_t *list = json_array();

	for (size_t i = 0; i < BACKUP_PARTS; i++) {
		char hex[2 * DIGEST_BYTES + 1];

		hex_encode(parts[i].digest, DIGEST_BYTES, hex);
		json_array_append_new(
			list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "name",
					backup_part_names[i], "records", (json_int_t)parts[i].n,
					"first_seq", (json_int_t)parts[i].first_seq, "last_seq",
					(json_int_t)parts[i].last_seq, "next_seq",
					(json_int_t)parts[i].next_seq, "digest", hex));
	}
	return list;
}

/* ---- checking ---- */

static int read_note(const struct recording_record *r, json_t **out, struct why *out_why)
{
	*out = json_loadb(r->data, r->len, 0, NULL);
	return json_is_object(*out)
		       ? 0
		       : why_set(out_why, ERR_CORRUPT, "the note %s is unreadable", r->subject);
}

static int check_begin(struct backup *b, const char *path, struct why *out_why)
{
	struct recording_record r;
	int rc = recording_next_any(b->file, &r, out_why);

	if (rc == ERR_NOT_FOUND || (!rc && !str_eq(r.subject, backup_begin)))
		return why_set(out_why, ERR_INVALID, "%s: a recording, not a backup", path);
	if (!rc)
		rc = read_note(&r, &b->begin, out_why);
	if (!rc && ji(b->begin, "format") != BACKUP_FORMAT)
		rc = why_set(out_why, ERR_SCHEMA,
			     "%s: format %" PRId64 " of healbus %s; this program knows %d", path,
			     ji(b->begin, "format"), js(b->begin, "healbus"), BACKUP_FORMAT);
	return rc;
}

static int check_part(struct backup_part *p, const json_t *said, size_t i, struct why *out_why)
{
	char hex[2 * DIGEST_BYTES + 1];

	hex_encode(p->digest, DIGEST_BYTES, hex);
	p->next_seq = (uint64_t)ji(said, "next_seq");
	if (str_eq(js(said, "name"), backup_part_names[i]) &&
	    p->n == (uint64_t)ji(said, "records") && str_eq(js(said, "digest"), hex))
		return 0;
	return why_set(out_why, ERR_CORRUPT,
		       "its %s are not what its end says: %" PRIu64 " records of %" PRId64
		       ", or with another content",
		       backup_part_names[i], p->n, ji(said, "records"));
}

static int check_end(struct backup *b, const struct recording_record *r, struct why *out_why)
{
	auto_json *end = NULL;
	int rc = read_note(r, &end, out_why);
	const json_t *parts = json_object_get(end, "parts");

	for (size_t i = 0; i < BACKUP_PARTS && !rc; i++)
		rc = check_part(&b->parts[i], json_array_get(parts, i), i, out_why);
	return rc;
}

static int check_all(struct backup *b, const char *path, struct why *out_why)
{
	struct recording_record r;
	int rc = check_begin(b, path, out_why);

	while (!rc) {
		rc = recording_next_any(b->file, &r, out_why);
		if (rc == ERR_NOT_FOUND)
			return why_set(out_why, ERR_CORRUPT,
				       "%s: it is cut short: its end is missing", path);
		if (!rc && r.stream == RECORDING_NOTE)
			break;
		if (!rc)
			backup_part_add(&b->parts[r.stream], &r);
	}
	if (!rc)
		rc = check_end(b, &r, out_why);
	if (!rc && recording_next_any(b->file, &r, NULL) != ERR_NOT_FOUND)
		rc = why_set(out_why, ERR_CORRUPT, "something stands behind its end");
	return rc;
}

int backup_open(const char *path, struct backup *out, struct why *out_why)
{
	*out = (struct backup){0};
	int rc = recording_open(path, &out->file, out_why);

	if (!rc)
		rc = check_all(out, path, out_why);
	if (!rc)
		rc = backup_rewind(out, out_why);
	if (rc)
		backup_close(out);
	return rc;
}

void backup_close(struct backup *b)
{
	recording_close(b->file);
	json_decref(b->begin);
	*b = (struct backup){0};
}

int backup_rewind(struct backup *b, struct why *out_why)
{
	return recording_seek(b->file, RECORDING_HEAD_BYTES, out_why);
}
