#include "common/buf.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "common/err.h"
#include "common/mem.h"

#include <fcntl.h>

enum { FIRST_CAP_BYTES = 64, READ_BYTES = 65536 };

static const char hex_digits[] = "0123456789abcdef";

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

const char *buf_str(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_detach(struct buf *b)
{
	char *data = b->data ? b->data : mem_alloc(1);

	*b = (struct buf){0};
	return data;
}

/* Room for extra bytes and the NUL behind them. */
static void buf_reserve(struct buf *b, size_t extra)
{
	size_t need;

	if (__builtin_add_overflow(b->len, extra, &need) || need > SIZE_MAX / 4)
		abort();
	need++;
	if (need <= b->cap)
		return;
	b->cap = MAX(MAX(need, b->cap * 2), (size_t)FIRST_CAP_BYTES);
	b->data = mem_realloc(b->data, b->cap);
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	buf_reserve(b, len);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_reserve(b, 1);
	b->data[b->len++] = c;
	b->data[b->len] = '\0';
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_list again;
	size_t room;
	int n;

	buf_reserve(b, FIRST_CAP_BYTES);
	room = b->cap - b->len;
	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(b->data + b->len, room, fmt, args);
	if (n > 0 && (size_t)n >= room) {
		buf_reserve(b, (size_t)n);
		n = vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	va_end(args);
	b->len += n > 0 ? (size_t)n : 0;
	b->data[b->len] = '\0';
}

size_t utf8_sequence(const unsigned char *s, size_t len, uint32_t *out_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t point;

	if (n == 0 || s[0] > 0xf4 || n > len)
		return 0;
	point = n == 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (s[i] & 0x3fu);
	}
	if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*out_point = point;
	return n;
}

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Sets bits where a byte of x is zero; bytes above a zero one may be set too, which is harmless
 * for a yes or no. */
static uint64_t zero_bytes(uint64_t x)
{
	return (x - ONES) & ~x & HIGHS;
}

/* Sixteen at a time where the machine can; what is left, or all of it, the caller looks at. *out is
 * where to go on; true when the byte there is not plain. As signed numbers, bytes of UTF-8
 * sequences are below the space like control characters. */
static bool json_plain_wide(const char *s, size_t len, size_t *out)
{
	size_t i = 0;
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	for (; len - i >= sizeof(__m128i); i += sizeof(__m128i)) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
		__m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash));
		int mask = _mm_movemask_epi8(_mm_or_si128(stop, _mm_cmplt_epi8(x, space)));

		if (mask) {
			*out = i + (size_t)__builtin_ctz((unsigned)mask);
			return true;
		}
	}
#endif
	*out = i;
	return false;
}

size_t json_plain(const char *s, size_t len)
{
	size_t i;

	if (json_plain_wide(s, len, &i))
		return i;
	for (; len - i >= 8; i += 8) {
		uint64_t x;

		memcpy(&x, s + i, sizeof x);
		if ((x & HIGHS) | ((x - ONES * 0x20) & ~x & HIGHS) | zero_bytes(x ^ ONES * '"') |
		    zero_bytes(x ^ ONES * '\\'))
			break;
	}
	while (i < len && (unsigned char)s[i] >= 0x20 && (unsigned char)s[i] < 0x80 &&
	       s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

static void json_escape(struct buf *b, unsigned char c)
{
	static const char shorts[0x80] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
		['\t'] = 't', ['"'] = '"',  ['\\'] = '\\',
	};
	const char brief[] = {'\\', shorts[c]};
	const char full[] = {'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};

	if (shorts[c])
		buf_add(b, brief, sizeof brief);
	else
		buf_add(b, full, sizeof full);
}

void buf_add_json(struct buf *b, const char *s, size_t len)
{
	size_t done = 0;
	uint32_t point;

	buf_reserve(b, len + 2);
	buf_add_char(b, '"');
	for (size_t i = json_plain(s, len); i < len; i += json_plain(s + i, len - i)) {
		unsigned char c = (unsigned char)s[i];
		size_t n =
			c < 0x80 ? 0 : utf8_sequence((const unsigned char *)s + i, len - i, &point);

		if (n) {
			i += n;
			continue;
		}
		buf_add(b, s + done, i - done);
		if (c < 0x80)
			json_escape(b, c);
		else
			buf_add_str(b, "\xef\xbf\xbd");
		done = ++i;
	}
	buf_add(b, len ? s + done : "", len - done);
	buf_add_char(b, '"');
}

struct span {
	uint32_t first;
	uint32_t last;
};

/* What a terminal or chat does not show as a glyph, or what turns the text around. */
static const struct span hidden[] = {
	{0x0, 0x8},         {0xb, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},
	{0x34f, 0x34f},     {0x61c, 0x61c},     {0x115f, 0x1160}, {0x17b4, 0x17b5},
	{0x180b, 0x180e},   {0x200b, 0x200f},   {0x2028, 0x202e}, {0x2060, 0x206f},
	{0x3164, 0x3164},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0}, {0xfff9, 0xfffb},
	{0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

static bool is_hidden(uint32_t point)
{
	for (size_t i = 0; i < ARRAY_SIZE(hidden) && hidden[i].first <= point; i++)
		if (point <= hidden[i].last)
			return true;
	return false;
}

void buf_add_printable(struct buf *b, const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;

	for (size_t i = 0; i < len;) {
		uint32_t point = u[i];
		size_t n = utf8_sequence(u + i, len - i, &point);

		if (n == 0 || (is_hidden(point) && point < 0x80))
			buf_printf(b, "\\x%02x", u[i]);
		else if (is_hidden(point))
			buf_printf(b, "\\u{%04" PRIx32 "}", point);
		else
			buf_add(b, s + i, n);
		i += n ? n : 1;
	}
	buf_add(b, "", 0);
}

void buf_add_hex(struct buf *b, const void *data, size_t len)
{
	const unsigned char *u = data;

	buf_reserve(b, len * 2);
	for (size_t i = 0; i < len; i++) {
		b->data[b->len++] = hex_digits[u[i] >> 4];
		b->data[b->len++] = hex_digits[u[i] & 15];
	}
	b->data[b->len] = '\0';
}

static int read_all(struct buf *b, int fd, size_t limit_bytes)
{
	size_t start = b->len;

	for (;;) {
		size_t left = limit_bytes - (b->len - start);
		ssize_t n;

		buf_reserve(b, MIN(left, (size_t)READ_BYTES) + 1);
		n = read(fd, b->data + b->len, MIN(left, (size_t)READ_BYTES) + 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ERR_IO;
		if (n == 0)
			return 0;
		b->len += (size_t)n;
		if (b->len - start > limit_bytes)
			return ERR_TOO_LARGE;
	}
}

int buf_read_file(struct buf *b, const char *path, size_t limit_bytes)
{
	auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t start = b->len;
	int rc;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
	rc = read_all(b, fd, limit_bytes);
	if (rc)
		b->len = start;
	b->data[b->len] = '\0';
	return rc;
}

bool utf8_valid(const char *data, size_t len)
{
	const unsigned char *u = (const unsigned char *)data;
	size_t i = 0;
	uint32_t point;

	while (i < len) {
		uint64_t x = HIGHS;
		size_t n;

		if (len - i >= 8)
			memcpy(&x, u + i, sizeof x);
		n = x & HIGHS ? utf8_sequence(u + i, len - i, &point) : 8;
		if (n == 0)
			return false;
		i += n;
	}
	return true;
}
