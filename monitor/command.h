/*
 * What the monitor's commands (record, replay) have in common: their command line, the names of
 * streams, a line of progress.
 */
#ifndef MONITOR_COMMAND_H
#define MONITOR_COMMAND_H

#include "common/base.h"

enum {
	COMMAND_OK = 0,
	COMMAND_FAILED = 1,
	COMMAND_USAGE = 64,
	COMMAND_NO_BUS = 69,
	COMMAND_HELPED = -1, /* --help was answered */
};

struct command_option {
	const char *name;                              /* "--from" */
	int (*take)(void *request, const char *value); /* 0, or it cannot be used */
	const char *wants;                             /* what value must be */
};

struct command {
	const char *name;
	const char *usage; /* printed by --help, and behind what is wrong */
	const struct command_option *options;
	size_t n_options;
};

/* Options with a value ("--from X", "--from=X") and exactly one word. 0, COMMAND_USAGE after saying
 * why, COMMAND_HELPED. */
int command_parse(const struct command *c, int argc, char **argv, void *request,
		  const char **out_word);
/* Says what is wrong and the usage; returns COMMAND_USAGE. */
int command_usage(const struct command *c, const char *what);
/* "healbus-monitor record: ..." on standard error; returns code. */
int command_fail(const struct command *c, int code, const char *what);

/* Bits of recording_streams from "all" (RAW, EVENTS, STORY), or names separated by commas; 0 when
 * it is neither. */
unsigned streams_parse(const char *text);

/* A line on standard error that is written over, at most twice a second; nothing without a
 * terminal. */
struct progress {
	bool terminal;
	int64_t shown_mono_ms;
};
void progress_begin(struct progress *p);
bool progress_due(struct progress *p);
void progress_end(const struct progress *p);

#endif
