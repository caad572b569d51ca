#include "executor/sandboxes/parcel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include "common/mem.h"

enum {
	GZIP = 15 + 16, /* zlib's windowBits for a gzip header */
	CHUNK_BYTES = 64 << 10,
};

static int scratch(const struct cell *c)
{
	const char *dir = c->scratch_dir ? c->scratch_dir : "/var/tmp";
	return open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

static struct archive_limits limits_of(const struct cell *c)
{
	return (struct archive_limits){.bytes = c->room.disk_bytes ? c->room.disk_bytes
								   : CELL_DISK_BYTES,
				       .files = (c->room.files ? c->room.files : CELL_FILES) + 1};
}

/* ---- base64 (RFC 4648) ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_add(struct buf *out, const void *data, size_t len)
{
	const uint8_t *from = data;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		uint32_t v = (uint32_t)from[i] << 16;
		if (n > 1)
			v |= (uint32_t)from[i + 1] << 8;
		if (n > 2)
			v |= from[i + 2];
		const char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
				      n > 1 ? digits[v >> 6 & 63] : '=',
				      n > 2 ? digits[v & 63] : '='};
		buf_add(out, four, sizeof(four));
	}
}

static int digit(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

bool base64_take(struct buf *out, const char *text, size_t len)
{
	size_t pad = 0;
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	if (len % 4)
		return false;
	uint32_t v = 0;
	for (size_t i = 0; i < len; i++) {
		int d = i >= len - pad ? 0 : digit(text[i]);
		if (d < 0)
			return false;
		v = v << 6 | (uint32_t)d;
		if (i % 4 != 3)
			continue;
		const char three[3] = {(char)(v >> 16 & 255), (char)(v >> 8 & 255),
				       (char)(v & 255)};
		buf_add(out, three, i == len - 1 ? 3 - pad : 3);
		v = 0;
	}
	return true;
}

/* ---- there ---- */

/* Deflates the file into out, up to max_bytes. */
static int compress_file(int fd, size_t max_bytes, struct buf *out)
{
	char in[CHUNK_BYTES], packed[CHUNK_BYTES];
	z_stream z = {0};
	ssize_t n = 0;
	int rc = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY)
			 ? ERR_INTERNAL
			 : 0;
	do {
		n = rc ? -1 : read(fd, in, sizeof(in));
		z.next_in = (Bytef *)in;
		z.avail_in = n > 0 ? (uInt)n : 0;
		do {
			z.next_out = (Bytef *)packed;
			z.avail_out = sizeof(packed);
			if (n >= 0)
				deflate(&z, n ? Z_NO_FLUSH : Z_FINISH);
			buf_add(out, packed, sizeof(packed) - z.avail_out);
		} while (n >= 0 && z.avail_out == 0);
		if (out->len > max_bytes)
			rc = ERR_TOO_LARGE;
	} while (n > 0 && !rc);
	deflateEnd(&z);
	return rc ? rc : n < 0 ? ERR_IO : 0;
}

int parcel_pack(const struct cell *c, const struct archive_limits *limits, size_t max_bytes,
		struct buf *out, struct why *out_why)
{
	auto_fd int file = scratch(c);
	auto_fd int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf packed = {0};
	if (file < 0 || dir < 0)
		return why_set(out_why, ERR_IO, "%s: %s", c->dir, strerror(errno));
	int rc = archive_pack(dir, file, limits, NULL, out_why);
	if (!rc && lseek(file, 0, SEEK_SET) != 0)
		rc = ERR_IO;
	if (!rc)
		rc = compress_file(file, max_bytes, &packed);
	if (rc == ERR_TOO_LARGE)
		return why_set(out_why, rc,
			       "the tree is too large for this place: more than %zu KiB packed; "
			       "check it in this machine's own sandbox or docker",
			       max_bytes >> 10);
	if (!rc)
		buf_add(out, buf_str(&packed), packed.len);
	return rc;
}

/* ---- and back ---- */

struct row {
	char kind;
	const char *data;
	size_t len;
};

struct rows {
	struct row *at; /* by number; PARCEL_LINES_MAX of them */
	size_t last;    /* the number of the e; 0: it has not come */
};

void parcel_release(struct parcel *p)
{
	buf_release(&p->output);
	buf_release(&p->tree);
	*p = (struct parcel){0};
}

/* "NUMBER KIND DATA" of one line. */
static void take_row(struct rows *rows, const char *text, size_t len)
{
	size_t number = 0, i = 0;
	for (; i < len && i < 6 && text[i] >= '0' && text[i] <= '9'; i++)
		number = number * 10 + (size_t)(text[i] - '0');
	if (i == 0 || len < i + 2 || text[i] != ' ' || number == 0 || number > PARCEL_LINES_MAX)
		return;
	struct row *r = &rows->at[number - 1];
	if (r->kind)
		return; /* repeated */
	r->kind = text[i + 1];
	r->data = text + MIN(i + 3, len);
	r->len = len - MIN(i + 3, len);
	if (r->kind == 'e')
		rows->last = number;
}

static void find_rows(const struct buf *log, const char *nonce, struct rows *rows)
{
	const char *p = buf_str(log), *end = p + log->len;
	size_t prefix = strlen(nonce);
	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((stop ? stop : end) - p);
		if (len > 0 && p[len - 1] == '\r')
			len--;
		if (len > prefix && memcmp(p, nonce, prefix) == 0 && p[prefix] == ' ')
			take_row(rows, p + prefix + 1, len - prefix - 1);
		p = stop ? stop + 1 : end;
	}
}

static bool number_of(const struct row *r, int64_t max, int64_t *out)
{
	int64_t n = 0;
	for (size_t i = 0; i < r->len; i++) {
		bool digit_there = r->data[i] >= '0' && r->data[i] <= '9';
		if (!digit_there || n > max / 10)
			return false;
		n = n * 10 + (r->data[i] - '0');
	}
	*out = n;
	return r->len > 0 && n <= max;
}

/* Compressed bytes of all lines of a kind. */
static bool collect(const struct rows *rows, char kind, struct buf *out)
{
	auto_buf text = {0};
	for (size_t i = 0; i < rows->last; i++)
		if (rows->at[i].kind == kind)
			buf_add(&text, rows->at[i].data, rows->at[i].len);
	return base64_take(out, buf_str(&text), text.len);
}

/* Inflates gzip'ed data, to the file when fd >= 0, else to out. */
static int expand(const struct buf *packed, int64_t max_bytes, int fd, struct buf *out)
{
	char plain[CHUNK_BYTES];
	z_stream z = {.next_in = (Bytef *)(uintptr_t)buf_str(packed),
		      .avail_in = (uInt)packed->len};
	int64_t total = 0;
	int code = inflateInit2(&z, GZIP), rc = code ? ERR_INTERNAL : 0;
	while (!rc && code == Z_OK) {
		z.next_out = (Bytef *)plain;
		z.avail_out = sizeof(plain);
		code = inflate(&z, Z_NO_FLUSH);
		size_t n = sizeof(plain) - z.avail_out;
		total += (int64_t)n;
		if (total > max_bytes)
			rc = ERR_TOO_LARGE;
		else if (fd >= 0 && write(fd, plain, n) != (ssize_t)n)
			rc = ERR_IO;
		else if (fd < 0)
			buf_add(out, plain, n);
	}
	inflateEnd(&z);
	return rc ? rc : code == Z_STREAM_END ? 0 : ERR_CORRUPT;
}

static int take_rows(const struct rows *rows, struct parcel *out, struct why *out_why)
{
	int64_t code = -1, bytes = 0;
	bool good = true;
	auto_buf packed = {0};
	for (size_t i = 0; i < rows->last; i++) {
		const struct row *r = &rows->at[i];
		if (!r->kind)
			return why_set(out_why, ERR_NOT_FOUND,
				       "the log is cut: line %zu of %zu is "
				       "not in it",
				       i + 1, rows->last);
		if (r->kind == 'c')
			good = good && number_of(r, 255, &code);
		else if (r->kind == 's')
			good = good && number_of(r, INT64_MAX / 10 - 1, &bytes);
	}
	if (!good || code < 0)
		return why_set(out_why, ERR_CORRUPT, "what came back says no exit code");
	if (!collect(rows, 'o', &packed) || !collect(rows, 't', &out->tree) ||
	    (packed.len && expand(&packed, PARCEL_OUTPUT_BYTES, -1, &out->output)))
		return why_set(out_why, ERR_CORRUPT, "what came back is damaged");
	size_t max = out->tree_max_bytes ? out->tree_max_bytes : PARCEL_TREE_BYTES;
	if (out->tree.len > max)
		return why_set(out_why, ERR_TOO_LARGE,
			       "the tree that the program left is more than %zu KiB packed",
			       max >> 10);
	out->exit_code = (int)code;
	out->output_bytes = bytes;
	return 0;
}

int parcel_read(const struct buf *log, const char *nonce, struct parcel *out, struct why *out_why)
{
	struct rows rows = {.at = mem_calloc(PARCEL_LINES_MAX, sizeof(struct row))};
	find_rows(log, nonce, &rows);
	int rc = rows.last ? take_rows(&rows, out, out_why)
			   : why_set(out_why, ERR_NOT_FOUND,
				     "the log is cut: the last line is not in it");
	free(rows.at);
	return rc;
}

/* The archive is whole before anything of the directory goes. */
static int unpack(const struct parcel *p, const struct cell *c, struct why *out_why)
{
	struct archive_limits limits = limits_of(c);
	struct stat st;
	auto_fd int file = scratch(c);
	auto_fd int dir = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0 || dir < 0)
		return why_set(out_why, ERR_IO, "%s: %s", c->dir, strerror(errno));
	int rc = expand(&p->tree, limits.bytes + limits.files * 1024 + (1 << 20), file, NULL);
	if (rc || lseek(file, 0, SEEK_SET) != 0)
		return why_set(out_why, rc ? rc : ERR_IO, "the tree did not come back whole");
	/* Whoever had the directory can go on with what is in it. */
	limits.chown = geteuid() == 0 && fstat(dir, &st) == 0;
	limits.owner = limits.chown ? st.st_uid : 0;
	limits.group = limits.chown ? st.st_gid : 0;
	rc = archive_clear(dir, out_why);
	return rc ? rc : archive_extract(file, dir, &limits, NULL, out_why);
}

int parcel_deliver(const struct parcel *p, const struct cell *c, const struct run_limits *limits,
		   struct run_result *result)
{
	size_t max = limits->output_limit_bytes, len = p->output.len;
	size_t cut = len > max ? len - max : 0;
	int rc = c->discard ? 0 : unpack(p, c, &result->why);
	if (rc)
		return rc;
	buf_add(&result->output, buf_str(&p->output) + (limits->keep_end ? cut : 0), len - cut);
	result->truncated = cut > 0 || p->output_bytes > (int64_t)len;
	result->exit_code = p->exit_code;
	return 0;
}
