#include "common/recording.h"

#include "common/id.h"
#include "common/mem.h"

#include <fcntl.h>
#include <sys/stat.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little-endian");

enum {
	CHUNK_BYTES = 1 << 20,
	PREFIX_BYTES = 8, /* length and sum of a record */
};

static const char magic[8] = {'h', 'b', 'r', 'e', 'c', 'o', 'r', 'd'};

struct file_head {
	char magic[8];
	uint32_t version;
	uint32_t bytes;
	int64_t made_ms;
	uint32_t zero;
	uint32_t crc;
};

struct body_head {
	uint64_t seq;
	int64_t stream_ns;
	int64_t time_ms;
	uint32_t data_len;
	uint16_t text_bytes[4]; /* subject, id, cause, content type */
	uint8_t stream;
	uint8_t zero[3];
};
static_assert(sizeof(struct file_head) == RECORDING_HEAD_BYTES && sizeof(struct body_head) == 40,
	      "no padding");

const char *const recording_streams[RECORDING_STREAMS] = {STREAM_RAW, STREAM_EVENTS, STREAM_STORY,
							  STREAM_DEAD};
static const char *const prefixes[RECORDING_KINDS] = {"raw.",       "event.", "heal.",  "dead.",
						      "$KV.CLAIM.", "file.",  "backup."};

/* A plain recording holds streams only. */
static unsigned kinds_of(uint32_t version)
{
	return version == RECORDING_VERSION_BACKUP ? RECORDING_KINDS : RECORDING_STREAMS;
}

static uint32_t record_crc(uint32_t len, const void *body)
{
	return crc32c(crc32c(0, &len, sizeof(len)), body, len);
}

/* ---- writing ---- */

struct recording_writer {
	char *path;
	int fd;
	uint32_t version;
	struct buf out;
};

static int write_out(struct recording_writer *w, struct why *out_why)
{
	size_t done = 0;
	while (done < w->out.len) {
		ssize_t n = write(w->fd, w->out.data + done, w->out.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(out_why, err_from_errno(errno), "%s: %s", w->path,
				       strerror(errno));
		done += (size_t)n;
	}
	buf_reset(&w->out);
	return 0;
}

static int create(const char *path, const struct file_head *with, struct recording_writer **out,
		  struct why *out_why)
{
	struct file_head head = *with;
	memcpy(head.magic, magic, sizeof(magic));
	head.crc = crc32c(0, &head, offsetof(struct file_head, crc));
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_set(out_why, errno == EEXIST ? ERR_EXISTS : err_from_errno(errno),
			       "%s: %s", path, strerror(errno));
	struct recording_writer *w = mem_alloc(sizeof(*w));
	w->path = mem_strdup(path);
	w->fd = fd;
	w->version = head.version;
	buf_add(&w->out, &head, sizeof(head));
	*out = w;
	return 0;
}

int recording_create(const char *path, int64_t made_ms, struct recording_writer **out,
		     struct why *out_why)
{
	const struct file_head head = {
		.version = RECORDING_VERSION, .bytes = sizeof(head), .made_ms = made_ms};
	return create(path, &head, out, out_why);
}

int recording_create_backup(const char *path, int64_t made_ms, struct recording_writer **out,
			    struct why *out_why)
{
	const struct file_head head = {
		.version = RECORDING_VERSION_BACKUP, .bytes = sizeof(head), .made_ms = made_ms};
	return create(path, &head, out, out_why);
}

static int check_written(const struct recording_writer *w, const struct recording_record *r,
			 size_t texts[static 4], struct why *out_why)
{
	size_t total = sizeof(struct body_head) + r->len;
	const char *const text[] = {r->subject, r->id, r->cause, r->content_type};
	if (r->stream >= kinds_of(w->version) || !str_starts(r->subject, prefixes[r->stream]))
		return why_set(out_why, ERR_INVALID, "%s: not a subject of that stream",
			       r->subject);
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		texts[i] = strlen(text[i]) + 1;
		if (texts[i] > UINT16_MAX)
			return why_set(out_why, ERR_TOO_LARGE, "%.80s: a header is too long",
				       r->subject);
		total += texts[i];
	}
	if (total > RECORDING_RECORD_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "%s: %zu bytes are too many for a record",
			       r->subject, total);
	return 0;
}

int recording_add(struct recording_writer *w, const struct recording_record *r, struct why *out_why)
{
	size_t texts[4] = {0};
	int rc = check_written(w, r, texts, out_why);
	if (rc)
		return rc;
	struct body_head head = {.seq = r->seq,
				 .stream_ns = r->stream_ns,
				 .time_ms = r->time_ms,
				 .data_len = (uint32_t)r->len,
				 .stream = (uint8_t)r->stream};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		head.text_bytes[i] = (uint16_t)texts[i];
	size_t start = w->out.len;
	const uint32_t room[2] = {0};
	buf_add(&w->out, room, sizeof(room));
	buf_add(&w->out, &head, sizeof(head));
	buf_add(&w->out, r->subject, texts[0]);
	buf_add(&w->out, r->id, texts[1]);
	buf_add(&w->out, r->cause, texts[2]);
	buf_add(&w->out, r->content_type, texts[3]);
	buf_add(&w->out, r->data, r->len);
	uint32_t len = (uint32_t)(w->out.len - start - PREFIX_BYTES);
	const uint32_t prefix[2] = {len, record_crc(len, w->out.data + start + PREFIX_BYTES)};
	memcpy(w->out.data + start, prefix, sizeof(prefix));
	return w->out.len >= CHUNK_BYTES ? write_out(w, out_why) : 0;
}

int recording_finish(struct recording_writer *w, struct why *out_why)
{
	if (!w)
		return 0;
	int rc = write_out(w, out_why);
	if (rc == 0 && fsync(w->fd))
		rc = why_set(out_why, err_from_errno(errno), "%s: %s", w->path, strerror(errno));
	close(w->fd);
	buf_release(&w->out);
	free(w->path);
	free(w);
	return rc;
}

/* ---- reading ---- */

struct recording {
	char *path;
	int fd;
	uint32_t version;
	uint64_t bytes;
	uint64_t at; /* file offset of data[start] */
	char *data;
	size_t start, end, cap;
};

/* Reads on until `want` bytes are there or the file ends. *out_have: how many there are. */
static int fill(struct recording *r, size_t want, size_t *out_have, struct why *out_why)
{
	if (r->start + want > r->cap) {
		memmove(r->data, r->data + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (want > r->cap) {
		r->cap = want;
		r->data = mem_realloc(r->data, r->cap);
	}
	while (r->end - r->start < want) {
		ssize_t n = read(r->fd, r->data + r->end, r->cap - r->end);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(out_why, err_from_errno(errno), "%s: %s", r->path,
				       strerror(errno));
		if (n == 0)
			break;
		r->end += (size_t)n;
	}
	*out_have = MIN(r->end - r->start, want);
	return 0;
}

static int read_head(struct recording *r, struct why *out_why)
{
	struct file_head head;
	size_t have = 0;
	int rc = fill(r, sizeof(head), &have, out_why);
	if (rc)
		return rc;
	if (have < sizeof(head) || memcmp(r->data, magic, sizeof(magic)) != 0)
		return why_set(out_why, ERR_INVALID, "%s: not a recording", r->path);
	memcpy(&head, r->data, sizeof(head));
	if (head.version != RECORDING_VERSION && head.version != RECORDING_VERSION_BACKUP)
		return why_set(out_why, ERR_SCHEMA,
			       "%s: a recording of version %u; this build reads versions %d and %d",
			       r->path, head.version, RECORDING_VERSION, RECORDING_VERSION_BACKUP);
	if (head.crc != crc32c(0, &head, offsetof(struct file_head, crc)) ||
	    head.bytes != sizeof(head))
		return why_set(out_why, ERR_CORRUPT, "%s: its first 32 bytes are damaged", r->path);
	r->version = head.version;
	r->start = r->at = sizeof(head);
	return 0;
}

int recording_open(const char *path, struct recording **out, struct why *out_why)
{
	struct stat st;
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return why_set(out_why, ERR_INVALID, "%s: not a file", path);
	struct recording *r = mem_alloc(sizeof(*r));
	r->path = mem_strdup(path);
	r->fd = fd_take(&fd);
	r->bytes = (uint64_t)st.st_size;
	r->cap = CHUNK_BYTES;
	r->data = mem_alloc(r->cap);
	int rc = read_head(r, out_why);
	if (rc)
		recording_close(r);
	else
		*out = r;
	return rc;
}

void recording_close(struct recording *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r->path);
	free(r->data);
	free(r);
}

uint64_t recording_offset(const struct recording *r)
{
	return r->at;
}

uint64_t recording_bytes(const struct recording *r)
{
	return r->bytes;
}

int recording_seek(struct recording *r, uint64_t offset, struct why *out_why)
{
	if (lseek(r->fd, (off_t)offset, SEEK_SET) < 0)
		return why_set(out_why, err_from_errno(errno), "%s: %s", r->path, strerror(errno));
	r->at = offset;
	r->start = r->end = 0;
	return 0;
}

static int torn(const struct recording *r, const char *what, struct why *out_why)
{
	return why_set(out_why, ERR_CORRUPT,
		       "%s: the record at byte %" PRIu64 " %s; what stands before it is whole",
		       r->path, r->at, what);
}

/* One of the four strings: exactly `bytes` long with its NUL. */
static const char *take_text(const char **at, const char *end, size_t bytes)
{
	const char *text = *at;
	if (bytes == 0 || bytes > (size_t)(end - text) ||
	    memchr(text, 0, bytes) != text + bytes - 1)
		return NULL;
	*at += bytes;
	return text;
}

static int parse_body(const char *body, size_t len, unsigned kinds, struct recording_record *out)
{
	struct body_head head;
	const char *at = body + sizeof(head), *end = body + len;
	memcpy(&head, body, sizeof(head));
	struct recording_record r = {.stream = head.stream,
				     .seq = head.seq,
				     .stream_ns = head.stream_ns,
				     .time_ms = head.time_ms,
				     .len = head.data_len};
	const char **const texts[] = {&r.subject, &r.id, &r.cause, &r.content_type};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		*texts[i] = take_text(&at, end, head.text_bytes[i]);
		if (!*texts[i])
			return ERR_CORRUPT;
	}
	r.data = at;
	if ((size_t)(end - at) != r.len || r.stream >= kinds || head.zero[0] || head.zero[1] ||
	    head.zero[2] || !str_starts(r.subject, prefixes[r.stream]))
		return ERR_CORRUPT;
	*out = r;
	return 0;
}

int recording_next_any(struct recording *r, struct recording_record *out, struct why *out_why)
{
	uint32_t prefix[2];
	size_t have = 0;
	int rc = fill(r, PREFIX_BYTES, &have, out_why);
	if (rc)
		return rc;
	if (have == 0)
		return ERR_NOT_FOUND;
	if (have < PREFIX_BYTES)
		return torn(r, "is cut short", out_why);
	memcpy(prefix, r->data + r->start, sizeof(prefix));
	uint32_t len = prefix[0];
	if (len < sizeof(struct body_head) || len > RECORDING_RECORD_MAX)
		return torn(r, "has an impossible length", out_why);
	rc = fill(r, PREFIX_BYTES + len, &have, out_why);
	if (rc)
		return rc;
	if (have < PREFIX_BYTES + len)
		return torn(r, "is cut short", out_why);
	const char *body = r->data + r->start + PREFIX_BYTES;
	if (record_crc(len, body) != prefix[1])
		return torn(r, "is damaged: its checksum is wrong", out_why);
	if (parse_body(body, len, kinds_of(r->version), out))
		return torn(r, "is not one of ours", out_why);
	r->start += PREFIX_BYTES + len;
	r->at += PREFIX_BYTES + len;
	return 0;
}

int recording_next(struct recording *r, struct recording_record *out, struct why *out_why)
{
	int rc = recording_next_any(r, out, out_why);
	while (!rc && out->stream >= RECORDING_STREAMS)
		rc = recording_next_any(r, out, out_why);
	return rc;
}

bool recording_is_backup(const struct recording *r)
{
	return r->version == RECORDING_VERSION_BACKUP;
}
