/*
 * Is it JSON? Says so, and where not, without building a tree (RFC 8259; about 1 us a KiB). The
 * door asks this of every body; the normaliser parses those that are stored.
 */
#ifndef MONITOR_JSON_TEXT_H
#define MONITOR_JSON_TEXT_H

#include "common/err.h"

enum { JSON_DEPTH_MAX = 128 };

/* 0, or ERR_INVALID "byte 17: ...". Also refuses invalid UTF-8 and nesting over JSON_DEPTH_MAX. */
int json_text_check(const char *data, size_t len, struct why *out_why);

#endif
