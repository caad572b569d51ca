#include "common/err.h"

struct err_row {
	int code;
	enum err_class class;
	const char *name;
};

static const struct err_row rows[] = {
	{0, ERR_CLASS_NONE, "ok"},
	{ERR_INVALID, ERR_CLASS_INPUT, "invalid"},
	{ERR_TOO_LARGE, ERR_CLASS_INPUT, "too_large"},
	{ERR_UNKNOWN_KEY, ERR_CLASS_INPUT, "unknown_key"},
	{ERR_SCHEMA, ERR_CLASS_INPUT, "schema"},
	{ERR_TIMEOUT, ERR_CLASS_TRANSIENT, "timeout"},
	{ERR_UNAVAILABLE, ERR_CLASS_TRANSIENT, "unavailable"},
	{ERR_BUSY, ERR_CLASS_TRANSIENT, "busy"},
	{ERR_CONFLICT, ERR_CLASS_TRANSIENT, "conflict"},
	{ERR_CLOSED, ERR_CLASS_TRANSIENT, "closed"},
	{ERR_NOT_FOUND, ERR_CLASS_PERMANENT, "not_found"},
	{ERR_EXISTS, ERR_CLASS_PERMANENT, "exists"},
	{ERR_UNSUPPORTED, ERR_CLASS_PERMANENT, "unsupported"},
	{ERR_REJECTED, ERR_CLASS_PERMANENT, "rejected"},
	{ERR_DENIED, ERR_CLASS_DENIED, "denied"},
	{ERR_UNAUTHENTICATED, ERR_CLASS_DENIED, "unauthenticated"},
	{ERR_EXPIRED, ERR_CLASS_DENIED, "expired"},
	{ERR_IO, ERR_CLASS_INTERNAL, "io"},
	{ERR_FULL, ERR_CLASS_INTERNAL, "full"},
	{ERR_CORRUPT, ERR_CLASS_INTERNAL, "corrupt"},
	{ERR_CONFIG, ERR_CLASS_INTERNAL, "config"},
	{ERR_INTERNAL, ERR_CLASS_INTERNAL, "internal"},
};

struct class_row {
	const char *name;
	const char *recovery;
};

static const struct class_row classes[] = {
	[ERR_CLASS_NONE] = {"none", "Nothing to do."},
	[ERR_CLASS_INPUT] = {"input",
			     "The sender must change what it sends; the input is kept in dead.*."},
	[ERR_CLASS_TRANSIENT] = {"transient",
				 "It is tried again with back-off until its deadline."},
	[ERR_CLASS_PERMANENT] = {"permanent",
				 "Trying again does not help; something else must be tried."},
	[ERR_CLASS_DENIED] = {"denied", "It stays undone and is in the audit; a human may allow it "
					"with a new plan."},
	[ERR_CLASS_INTERNAL] = {"internal", "An operator must repair disk, configuration or "
					    "program; work resumes by itself after that."},
};

struct errno_row {
	int errnum;
	int code;
};

static const struct errno_row errnos[] = {
	{ENOSPC, ERR_FULL},
	{EDQUOT, ERR_FULL},
	{ETIMEDOUT, ERR_TIMEOUT},
	{ENOENT, ERR_NOT_FOUND},
	{ENOTDIR, ERR_NOT_FOUND},
	{EEXIST, ERR_EXISTS},
	{EACCES, ERR_DENIED},
	{EPERM, ERR_DENIED},
	{EINVAL, ERR_INVALID},
	{E2BIG, ERR_TOO_LARGE},
	{EFBIG, ERR_TOO_LARGE},
	{EMSGSIZE, ERR_TOO_LARGE},
	{ENAMETOOLONG, ERR_TOO_LARGE},
	{EAGAIN, ERR_BUSY},
	{EBUSY, ERR_BUSY},
	{EMFILE, ERR_BUSY},
	{ENFILE, ERR_BUSY},
	{ECONNREFUSED, ERR_UNAVAILABLE},
	{ECONNRESET, ERR_UNAVAILABLE},
	{EHOSTUNREACH, ERR_UNAVAILABLE},
	{ENETUNREACH, ERR_UNAVAILABLE},
	{EHOSTDOWN, ERR_UNAVAILABLE},
	{ENETDOWN, ERR_UNAVAILABLE},
	{EPIPE, ERR_CLOSED},
	{ENOTCONN, ERR_CLOSED},
	{ECANCELED, ERR_CLOSED},
	{ENOSYS, ERR_UNSUPPORTED},
	{EOPNOTSUPP, ERR_UNSUPPORTED},
	{EAFNOSUPPORT, ERR_UNSUPPORTED},
};

static const struct err_row *row_of(int rc)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].code == rc)
			return &rows[i];
	return NULL;
}

const char *err_name(int rc)
{
	const struct err_row *row = row_of(rc);

	return row ? row->name : "unknown";
}

enum err_class err_class(int rc)
{
	const struct err_row *row = row_of(rc);

	return row ? row->class : ERR_CLASS_INTERNAL;
}

static const struct class_row *class_row_of(enum err_class class)
{
	return &classes[(size_t) class < ARRAY_SIZE(classes) ? class : ERR_CLASS_INTERNAL];
}

const char *err_class_name(enum err_class class)
{
	return class_row_of(class)->name;
}

const char *err_recovery(enum err_class class)
{
	return class_row_of(class)->recovery;
}

int err_from_errno(int errnum)
{
	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++)
		if (errnos[i].errnum == errnum)
			return errnos[i].code;
	return ERR_IO;
}

static void plain_text(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

int why_set(struct why *out_why, int rc, const char *fmt, ...)
{
	va_list args;

	if (!out_why || out_why->text[0])
		return rc;
	va_start(args, fmt);
	(void)vsnprintf(out_why->text, sizeof out_why->text, fmt, args);
	va_end(args);
	plain_text(out_why->text);
	return rc;
}

int why_prefix(struct why *why, int rc, const char *fmt, ...)
{
	struct why old;
	va_list args;
	size_t len;
	size_t room;

	if (!why)
		return rc;
	old = *why;
	va_start(args, fmt);
	(void)vsnprintf(why->text, sizeof why->text - 2, fmt, args);
	va_end(args);
	len = strlen(why->text);
	if (old.text[0]) {
		memcpy(why->text + len, ": ", 2);
		len += 2;
		room = MIN(strlen(old.text), sizeof why->text - 1 - len);
		memcpy(why->text + len, old.text, room);
		why->text[len + room] = '\0';
	}
	plain_text(why->text);
	return rc;
}
