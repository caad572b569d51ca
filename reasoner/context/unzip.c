#include "reasoner/context/source.h"

#include <zlib.h>

/* PKWARE APPNOTE 6.3: end of central directory 4.3.16, central directory 4.3.12, local header
 * 4.3.7. */
enum {
	END_BYTES = 22,
	COMMENT_MAX = 65535,
	CENTRAL_BYTES = 46,
	LOCAL_BYTES = 30,
	STORED = 0,
	DEFLATED = 8,
	FLAG_ENCRYPTED = 1,
	CHUNK_BYTES = 64 << 10,
	ZIP_ENTRIES_MAX = 1000,
	ZIP_NAME_MAX = 200,
};

struct zip_entry {
	char name[ZIP_NAME_MAX + 1];
	size_t at, packed, unpacked;
	unsigned method;
};

struct zip {
	const unsigned char *data;
	size_t len;
};

static unsigned get16(const struct zip *z, size_t at)
{
	return z->data[at] | (unsigned)z->data[at + 1] << 8;
}

static size_t get32(const struct zip *z, size_t at)
{
	return get16(z, at) | (size_t)get16(z, at + 2) << 16;
}

static bool signature_at(const struct zip *z, size_t at, const char *two)
{
	return z->data[at] == 'P' && z->data[at + 1] == 'K' && !memcmp(z->data + at + 2, two, 2);
}

static bool find_end(const struct zip *z, size_t *out)
{
	for (size_t back = END_BYTES; back <= z->len && back <= END_BYTES + COMMENT_MAX; back++) {
		if (signature_at(z, z->len - back, "\5\6")) {
			*out = z->len - back;
			return true;
		}
	}
	return false;
}

/* Returns the bytes it takes in the directory; 0 when it is none. */
static size_t read_central(const struct zip *z, size_t at, struct zip_entry *out)
{
	if (at > z->len || z->len - at < CENTRAL_BYTES || !signature_at(z, at, "\1\2"))
		return 0;
	size_t name = get16(z, at + 28);
	size_t whole = CENTRAL_BYTES + name + get16(z, at + 30) + get16(z, at + 32);
	if (z->len - at < whole)
		return 0;
	*out = (struct zip_entry){.method = get16(z, at + 8) & FLAG_ENCRYPTED ? UINT_MAX
									      : get16(z, at + 10),
				  .packed = get32(z, at + 20),
				  .unpacked = get32(z, at + 24),
				  .at = get32(z, at + 42)};
	name = MIN(name, (size_t)ZIP_NAME_MAX);
	memcpy(out->name, z->data + at + CENTRAL_BYTES, name);
	for (size_t i = 0; i < name; i++)
		out->name[i] = out->name[i] ? out->name[i] : '?';
	return whole;
}

/* Entries of a ZIP archive (PKWARE APPNOTE 6.3; no ZIP64, no encryption). ERR_INVALID. *out is the
 * caller's. */
static int zip_list(const void *data, size_t len, struct zip_entry **out, size_t *out_n)
{
	const struct zip z = {data, len};
	size_t end;

	if (len < END_BYTES || !find_end(&z, &end))
		return ERR_INVALID;
	size_t n = get16(&z, end + 10), at = get32(&z, end + 16), read = 0;
	if (n > ZIP_ENTRIES_MAX)
		n = ZIP_ENTRIES_MAX;
	struct zip_entry *entries = mem_calloc(MAX(n, (size_t)1), sizeof(*entries));
	while (read < n) {
		size_t step = read_central(&z, at, &entries[read]);
		if (step == 0)
			break;
		at += step;
		read++;
	}
	if (read < n) {
		free(entries);
		return ERR_INVALID;
	}
	*out = entries;
	*out_n = n;
	return 0;
}

/* However small it was packed: never more than limit bytes of it. */
static int inflate_to(const unsigned char *from, size_t len, size_t limit, struct buf *out)
{
	z_stream z = {.next_in = (unsigned char *)from, .avail_in = (uInt)len};
	auto_free unsigned char *chunk = mem_alloc(CHUNK_BYTES);
	size_t got = 0;
	int rc = Z_OK;

	if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
		return ERR_INTERNAL;
	while (rc == Z_OK && got < limit) {
		z.next_out = chunk;
		z.avail_out = CHUNK_BYTES;
		rc = inflate(&z, Z_NO_FLUSH);
		size_t n = MIN(CHUNK_BYTES - (size_t)z.avail_out, limit - got);
		buf_add(out, chunk, n);
		got += n;
		if (n == 0 && rc == Z_OK)
			rc = Z_BUF_ERROR;
	}
	bool whole = rc == Z_STREAM_END && z.total_out <= limit;
	inflateEnd(&z);
	if (whole)
		return 0;
	return got >= limit ? ERR_TOO_LARGE : ERR_INVALID;
}

/* Adds an entry's content, at most limit bytes of it: then ERR_TOO_LARGE. ERR_INVALID,
 * ERR_UNSUPPORTED. */
static int zip_read(const void *data, size_t len, const struct zip_entry *entry, size_t limit,
		    struct buf *out)
{
	const struct zip z = {data, len};

	if (entry->at > len || len - entry->at < LOCAL_BYTES ||
	    !signature_at(&z, entry->at, "\3\4"))
		return ERR_INVALID;
	size_t from =
		entry->at + LOCAL_BYTES + get16(&z, entry->at + 26) + get16(&z, entry->at + 28);
	if (from > len || len - from < entry->packed)
		return ERR_INVALID;
	if (entry->method == DEFLATED)
		return inflate_to(z.data + from, entry->packed, limit, out);
	if (entry->method != STORED)
		return ERR_UNSUPPORTED;
	buf_add(out, z.data + from, MIN(entry->packed, limit));
	return entry->packed > limit ? ERR_TOO_LARGE : 0;
}

/* ---- the archive of a run: "0_build.txt" for each job, "build/1_Set up job.txt" for each step
 * ----
 */

/* Signs are written differently in names of files: letters and digits must agree. */
static bool names_agree(const char *a, size_t a_len, const char *b)
{
	size_t i = 0;

	for (;; i++, b++) {
		while (i < a_len && !((a[i] | 0x20) >= 'a' && (a[i] | 0x20) <= 'z') &&
		       !(a[i] >= '0' && a[i] <= '9'))
			i++;
		while (*b && !((*b | 0x20) >= 'a' && (*b | 0x20) <= 'z') &&
		       !(*b >= '0' && *b <= '9'))
			b++;
		if (i >= a_len || !*b)
			return i >= a_len && !*b;
		if (a[i] != *b)
			return false;
	}
}

static bool is_job(const char *name)
{
	size_t len = strlen(name);

	return !strchr(name, '/') && len > 4 && str_eq(name + len - 4, ".txt");
}

static bool is_this_job(const char *name, const char *job)
{
	const char *behind = name + strspn(name, "0123456789");

	behind += *behind == '_';
	return names_agree(behind, strlen(behind) - 4, job);
}

int zip_job_log(const void *data, size_t len, const char *job, size_t limit, struct buf *out)
{
	struct zip_entry *entries = NULL;
	size_t n = 0;
	int rc = zip_list(data, len, &entries, &n), found = ERR_NOT_FOUND;

	for (size_t i = 0; !rc && i < n && found == ERR_NOT_FOUND; i++) {
		size_t before = out->len;
		if (!is_job(entries[i].name) || (*job && !is_this_job(entries[i].name, job)))
			continue;
		found = zip_read(data, len, &entries[i], limit, out);
		bool failed = *job || !out->len ||
			      memmem(out->data + before, out->len - before, "##[error]", 9);
		if (failed)
			continue;
		out->len = before;
		found = ERR_NOT_FOUND;
	}
	free(entries);
	return rc ? rc : found;
}
