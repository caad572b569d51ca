/*
 * Secrets: read from files, held in memory that is left out of core dumps and wiped on release,
 * never printed. Layer 1.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include "common/err.h"

enum { SECRET_MAX_BYTES = 16384 };

struct secret {
	char *data; /* NUL-terminated; NULL: none */
	size_t len;
};

/*
 * Reads path; one trailing newline is dropped. path NULL or "" gives an empty secret and 0.
 * ERR_CONFIG when the file is missing, empty, too large, or lets group or others in; a file of
 * root's may let a group read it, where we are not root: so systemd and Kubernetes hand secrets to
 * services.
 */
int secret_read(struct secret *out, const char *path, struct why *out_why);
/* A copy of text that came otherwise than from a file. ERR_TOO_LARGE. */
int secret_set(struct secret *out, const char *text, size_t len);
void secret_release(struct secret *s);
#define auto_secret __attribute__((cleanup(secret_release))) struct secret

/* The lines of text that are not empty, as secrets that point into it: text is cut up, and must
 * outlive them. *out is the caller's (free()); returns how many. */
size_t secret_lines(struct secret *text, struct secret **out);

/* Constant-time; an empty secret equals nothing. */
bool secret_equal(const struct secret *s, const char *text, size_t len);

#endif
