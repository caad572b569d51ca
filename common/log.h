/*
 * Logging: one JSON object a line on stderr, {"at":...,"level":...,"stage":...,"msg":...,fields}.
 * The message is constant; what varies is a typed field. Modules of common/ below stage.c do not
 * log, they return. One error, one line, by whoever decides what happens next. Layer 1.
 *
 *     LOG(INFO, "decision made", S("incident", id), I("took_ms", t));
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_type { LOG_STRING, LOG_INT, LOG_DOUBLE, LOG_BOOL };

struct log_field {
	const char *name;
	enum log_type type;
	union {
		const char *s;
		int64_t i;
		double d;
		bool b;
	};
};

#define S(field_name, value)                                                                       \
	((struct log_field){.name = (field_name), .type = LOG_STRING, .s = (value)})
#define I(field_name, value)                                                                       \
	((struct log_field){.name = (field_name), .type = LOG_INT, .i = (int64_t)(value)})
#define D(field_name, value)                                                                       \
	((struct log_field){.name = (field_name), .type = LOG_DOUBLE, .d = (value)})
#define B(field_name, value)                                                                       \
	((struct log_field){.name = (field_name), .type = LOG_BOOL, .b = (value)})

/* LOG(LEVEL, "constant message", fields...). Any thread; one write(2) a line. String values are cut
 * at 1 KiB. */
#define LOG(level, msg, ...)                                                                       \
	log_write(LOG_##level, msg, &((const struct log_field[]){{0}, ##__VA_ARGS__, {0}})[1])

/* Before the first LOG; stage is borrowed for ever. Defaults: "healbus", LOG_INFO, descriptor 2. */
void log_init(const char *stage, enum log_level least);
void log_set_level(enum log_level least);
void log_set_fd(int fd); /* for tests */

/* "debug", "info", "warn", "error"; 0 or ERR_INVALID. */
int log_level_parse(const char *text, enum log_level *out);

void log_write(enum log_level level, const char *msg, const struct log_field *fields);

#endif
