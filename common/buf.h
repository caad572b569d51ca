/*
 * A growing byte string. Invariants: data is never NULL after the first add and always
 * NUL-terminated (the NUL is not counted in len); a zeroed struct is a valid empty buffer. Layer 0.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include "common/base.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
};

#define auto_buf __attribute__((cleanup(buf_release))) struct buf

void buf_release(struct buf *b);          /* frees; the buffer is empty and usable again */
void buf_reset(struct buf *b);            /* len = 0; keeps the memory */
const char *buf_str(const struct buf *b); /* never NULL: "" when empty */
char *buf_detach(struct buf *b);          /* hands the memory to the caller (free()); b is empty */

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Adds s as a JSON string with its quotes (RFC 8259 section 7); invalid UTF-8 becomes U+FFFD. */
void buf_add_json(struct buf *b, const char *s, size_t len);

/*
 * Adds text for a terminal or chat: control characters, escape sequences, bidi overrides and
 * zero-width characters are shown as \xNN or \u{NNNN}; \n and \t stay. What a person reads can then
 * not lie.
 */
void buf_add_printable(struct buf *b, const char *s, size_t len);

/* Lower-case hex of data. */
void buf_add_hex(struct buf *b, const void *data, size_t len);

/* Reads the file up to limit_bytes (one more byte: ERR_TOO_LARGE). Appends. 0, ERR_NOT_FOUND,
 * ERR_IO, ERR_TOO_LARGE. */
int buf_read_file(struct buf *b, const char *path, size_t limit_bytes);

/* How many bytes from s on are ASCII that a JSON string takes as it is: no quote, backslash or
 * control character. Looks at eight at a time. */
size_t json_plain(const char *s, size_t len);

/* Length of the well-formed UTF-8 sequence at s (RFC 3629: no surrogates, no overlong forms) and
 * the character in *out_point; 0 when there is none. len >= 1. */
size_t utf8_sequence(const unsigned char *s, size_t len, uint32_t *out_point);
/* True when data is well-formed UTF-8. */
bool utf8_valid(const char *data, size_t len);

#endif
