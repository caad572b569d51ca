/*
 * The first include of every file: the C library, a few macros, and the functions nobody may call.
 * Layer 0. Everything here is a macro or a type; there is nothing to link.
 */
#ifndef COMMON_BASE_H
#define COMMON_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Each argument may be evaluated twice: nothing that acts may stand there. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define WARN_UNUSED __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))

static inline void base_free_cleanup(void *p)
{
	free(*(void **)p);
}

static inline void base_fd_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Hands the descriptor over: the variable's cleanup leaves it alone. */
static inline int fd_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

static inline void base_file_cleanup(FILE **f)
{
	if (*f)
		fclose(*f);
}

/* Declarations carry their cleanup, so that every exit is an early return. */
#define auto_free __attribute__((cleanup(base_free_cleanup)))
#define auto_fd __attribute__((cleanup(base_fd_cleanup)))
#define auto_file __attribute__((cleanup(base_file_cleanup)))

static inline bool str_eq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* A call of one of these does not compile: each has a safe counterpart in buf.h, clock.h, mem.h or
 * err.h. */
#define BANNED(func) sorry_##func##_is_a_banned_function
#undef strcpy
#define strcpy(x, y) BANNED(strcpy)
#undef strcat
#define strcat(x, y) BANNED(strcat)
#undef strncpy
#define strncpy(x, y, n) BANNED(strncpy)
#undef strncat
#define strncat(x, y, n) BANNED(strncat)
#undef sprintf
#define sprintf(...) BANNED(sprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf)
#undef strtok
#define strtok(x, y) BANNED(strtok)
#undef atoi
#define atoi(x) BANNED(atoi)
#undef gmtime
#define gmtime(t) BANNED(gmtime)
#undef localtime
#define localtime(t) BANNED(localtime)
#undef system
#define system(c) BANNED(system)
#undef popen
#define popen(c, m) BANNED(popen)

#endif
