#include "common/log.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"

#include <math.h>
#include <stdatomic.h>

enum { STRING_MAX_BYTES = 1024 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static const char *_Atomic log_stage = "healbus";
static atomic_int log_least = LOG_INFO;
static atomic_int log_fd = STDERR_FILENO;

void log_init(const char *stage, enum log_level least)
{
	atomic_store(&log_stage, stage);
	log_set_level(least);
}

void log_set_level(enum log_level least)
{
	atomic_store(&log_least, (int)least);
}

void log_set_fd(int fd)
{
	atomic_store(&log_fd, fd);
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (str_eq(text, level_names[i])) {
			*out = (enum log_level)i;
			return 0;
		}
	return ERR_INVALID;
}

static void add_string(struct buf *line, const char *s)
{
	size_t len = s ? strnlen(s, STRING_MAX_BYTES + 1) : 0;

	if (!s) {
		buf_add_str(line, "null");
		return;
	}
	if (len > STRING_MAX_BYTES)
		/* Not in the middle of a character. */
		for (len = STRING_MAX_BYTES; len && ((unsigned char)s[len] & 0xc0) == 0x80; len--)
			;
	buf_add_json(line, s, len);
}

static void add_value(struct buf *line, const struct log_field *field)
{
	switch (field->type) {
	case LOG_STRING:
		add_string(line, field->s);
		break;
	case LOG_INT:
		buf_printf(line, "%" PRId64, field->i);
		break;
	case LOG_DOUBLE:
		if (isfinite(field->d))
			buf_printf(line, "%.15g", field->d);
		else
			buf_add_str(line, "null");
		break;
	case LOG_BOOL:
		buf_add_str(line, field->b ? "true" : "false");
		break;
	}
}

static void add_named(struct buf *line, const char *name, const char *value)
{
	buf_add_json(line, name, strlen(name));
	buf_add_char(line, ':');
	add_string(line, value);
	buf_add_char(line, ',');
}

/* The rest after a short write still belongs to this line; a descriptor that takes nothing loses
 * it, because a process must not stand still for its log. */
static void write_line(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

void log_write(enum log_level level, const char *msg, const struct log_field *fields)
{
	int saved_errno = errno;
	char at[TIME_TEXT_BYTES];
	auto_buf line = {0};

	if ((int)level < atomic_load(&log_least))
		return;
	buf_add_char(&line, '{');
	add_named(&line, "at", time_format(clock_real_ms(), at));
	add_named(&line, "level", level_names[level]);
	add_named(&line, "stage", atomic_load(&log_stage));
	add_named(&line, "msg", msg);
	for (const struct log_field *field = fields; field->name; field++) {
		buf_add_json(&line, field->name, strlen(field->name));
		buf_add_char(&line, ':');
		add_value(&line, field);
		buf_add_char(&line, ',');
	}
	line.len--;
	buf_add_str(&line, "}\n");
	write_line(atomic_load(&log_fd), line.data, line.len);
	errno = saved_errno;
}
