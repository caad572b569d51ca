/*
 * Writes one e-mail as it goes over the wire: RFC 5322 header, quoted-printable UTF-8 text (RFC
 * 2045), encoded-word subject (RFC 2047). Layer 0. Any thread.
 */
#ifndef COMMON_MAIL_H
#define COMMON_MAIL_H

#include "common/buf.h"
#include "common/err.h"

enum { MAIL_RECIPIENTS_MAX = 32 };

struct mail {
	const char *from;
	const char *const *to; /* NULL-terminated */
	const char *subject;
	const char *text;       /* lines end in \n */
	const char *message_id; /* without <> */
	int64_t at_ms;
};

/* Appends the message, lines ending in CRLF. ERR_INVALID for an address or message id that could
 * break out of its header, or no recipient. */
int mail_compose(const struct mail *mail, struct buf *out, struct why *out_why);

/* One addr-spec of printable ASCII without spaces, quotes, brackets, commas: what we send to. */
bool mail_address_valid(const char *address);

#endif
