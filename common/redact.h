/*
 * Takes secrets out of text before it goes into a prompt, a message or a log. Each is replaced by
 * [REDACTED:kind]. Found are: values known from the secret files (also their lines, and as base64,
 * URL-encoded or in a JSON string), the shapes of well-known tokens (AWS, GCP, GitHub, GitLab,
 * Slack, Stripe, npm, PyPI and more), JWTs, private keys in PEM, passwords in URLs, Authorization
 * and Cookie headers, values assigned to names that say password, secret or token, and words that
 * look random. What must stay readable stays: commit ids, UUIDs, digests, package checksums, public
 * certificates, placeholders, code.
 *
 * One pass, linear in len whatever the text: 10 MiB take a fraction of a second. A secret that only
 * its owner could know to be one (an ordinary word, six digits) is found only when it is known or
 * stands behind such a name. Layer 2.
 */
#ifndef COMMON_REDACT_H
#define COMMON_REDACT_H

#include "common/buf.h"
#include "common/err.h"

enum {
	/* A known value, or a line of one, below this is not looked for: too many words contain it.
	 */
	REDACT_KNOWN_MIN_BYTES = 6,
	REDACT_SECRET_FILE_MAX_BYTES = 64 << 10,
};

enum redact_flag {
	REDACT_EMAILS = 1,    /* kind "email" */
	REDACT_ADDRESSES = 2, /* IPv4 and IPv6; kind "address" */
};

struct redactor;

/*
 * secret_files: paths, NULL-terminated; may be NULL. flags: REDACT_* or 0. 0 or ERR_CONFIG with the
 * path. The contents are kept until redactor_free, which wipes them. Reads files; main thread.
 */
int redactor_new(const char *const *secret_files, unsigned flags, struct redactor **out,
		 struct why *out_why);
void redactor_free(struct redactor *r);

/* One more known value (a token minted while running). Before the redactor is shared by threads. */
void redactor_add(struct redactor *r, const char *value, size_t len);

/*
 * Appends text without its secrets. r NULL: patterns only. Returns how many were replaced. Any
 * thread: a redactor is only read.
 */
size_t redact(const struct redactor *r, const char *text, size_t len, struct buf *out);

#endif
