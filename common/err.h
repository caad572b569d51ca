/*
 * The error taxonomy. Every function that can fail returns 0 or a negative `enum err`; where a
 * person must read why, its last parameter is a `struct why *`. Codes are stable: they appear in
 * logs, metrics and on the bus, so numbers are never reused. A class says what recovers it, for
 * code and for people. Layer 0.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include "common/base.h"

enum err {
	/* input: the sender must change something */
	ERR_INVALID = -1,     /* malformed or out of range */
	ERR_TOO_LARGE = -2,   /* over a size or count limit */
	ERR_UNKNOWN_KEY = -3, /* a field, key or name nobody defined */
	ERR_SCHEMA = -4,      /* a message of a version or type this build cannot read */
	/* transient: the same call may work later */
	ERR_TIMEOUT = -10,
	ERR_UNAVAILABLE = -11, /* bus, peer or service away */
	ERR_BUSY = -12,        /* lock held, rate reached, queue full */
	ERR_CONFLICT = -13,    /* compare-and-set lost; read again */
	ERR_CLOSED = -14,      /* shutting down or connection gone */
	/* permanent: the same call will never work */
	ERR_NOT_FOUND = -20,
	ERR_EXISTS = -21,
	ERR_UNSUPPORTED = -22,
	ERR_REJECTED = -23, /* the peer understood and refused */
	/* denied */
	ERR_DENIED = -30, /* policy, permission or human said no */
	ERR_UNAUTHENTICATED = -31,
	ERR_EXPIRED = -32, /* a deadline, signature or certificate is over */
	/* internal: operator or developer must act */
	ERR_IO = -40,      /* disk or descriptor */
	ERR_FULL = -41,    /* disk or map full */
	ERR_CORRUPT = -42, /* stored data fails its check */
	ERR_CONFIG = -43,
	ERR_INTERNAL = -44,
};

enum err_class {
	ERR_CLASS_NONE,
	ERR_CLASS_INPUT,     /* refuse, keep in dead.*, tell the sender the field */
	ERR_CLASS_TRANSIENT, /* retry with back-off, within the deadline */
	ERR_CLASS_PERMANENT, /* give up, try something else */
	ERR_CLASS_DENIED,    /* stop, record in the audit, tell a human */
	ERR_CLASS_INTERNAL,  /* alarm; recovers after a repair by the operator */
};

enum { WHY_TEXT_BYTES = 512 };

/* Why something failed, for a person. The caller's; starts zeroed; the innermost writer wins. */
struct why {
	char text[WHY_TEXT_BYTES];
};

/* Stable lower-case name, e.g. "timeout"; "ok" for 0; never NULL. Any thread. */
const char *err_name(int rc);

/* The class of a code; ERR_CLASS_NONE for 0; ERR_CLASS_INTERNAL for codes it does not know. */
enum err_class err_class(int rc);

/* "input", "transient", ... */
const char *err_class_name(enum err_class class);

/* One sentence that says what recovers this class, for logs and healctl. */
const char *err_recovery(enum err_class class);

/* Maps an errno value to a code (ENOSPC -> ERR_FULL, ETIMEDOUT -> ERR_TIMEOUT, ... else ERR_IO). */
int err_from_errno(int errnum);

/*
 * Writes the reason (truncated to fit; control characters become '?') and returns rc, so that
 * `return why_set(out_why, ERR_INVALID, "labels[%zu]: no name", i);` is one line. out_why may be
 * NULL.
 */
int why_set(struct why *out_why, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before what is there, for context on the way up. Returns rc. */
int why_prefix(struct why *why, int rc, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
