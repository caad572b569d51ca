/*
 * healctl: the operator's program. A command is a function on a struct ctl, a const struct beside
 * it that says what it takes, and a row in commands.c: the source of parsing, help, completion and
 * the man page. Most speak to the notifier's API; README.md says which do not, and where they are.
 */
#ifndef NOTIFIER_CTL_CTL_H
#define NOTIFIER_CTL_CTL_H

#include "common/buf.h"
#include "common/err.h"
#include "common/http_client.h"

#include <jansson.h>

/* Exit codes, part of the interface: healctl.1. */
enum {
	EXIT_OK = 0,
	EXIT_NO = 1,           /* it said no, nothing was found, or a check failed */
	EXIT_USAGE = 64,       /* sysexits.h EX_USAGE */
	EXIT_UNREACHABLE = 69, /* EX_UNAVAILABLE: the notifier or the bus cannot be reached */
};

enum { CTL_FLAGS_MAX = 8, CTL_ARGS_MAX = 64 };

struct ctl;

/* An option of a command, or of all. */
struct ctl_flag {
	const char *name; /* without the dashes */
	char letter;      /* 0: none */
	const char *arg;  /* what it takes, in capitals; NULL: nothing; "X...": may be given again,
			     the values are joined by commas */
	const char *help;
};

/* What a word of a command names, for completion. */
enum ctl_names {
	NAMES_NOTHING,
	NAMES_FILE,
	NAMES_INCIDENT,
	NAMES_PLAN,
	NAMES_APPROVAL,
	NAMES_CHANGE,
	NAMES_SILENCE,
	NAMES_DEAD,
	NAMES_SHELL
};

struct ctl_command {
	const char *name;    /* "silence add" */
	const char *args;    /* "MATCHER..."; "" */
	const char *summary; /* one line */
	const char *help;    /* paragraphs; what to know before using it */
	int (*run)(struct ctl *c);
	unsigned args_min, args_max;
	enum ctl_names names;
	struct ctl_flag flags[CTL_FLAGS_MAX]; /* ends at a zeroed one */
};

/* Flags that several commands have. CTL_BY: with people in notifier.yaml it must be one of them. */
#define CTL_BY                                                                                     \
	{                                                                                          \
		"by", 0, "NAME", "Who you are; without it your login name."                        \
	}
#define CTL_REASON                                                                                 \
	{                                                                                          \
		"reason", 0, "TEXT", "Why; it is kept in the story."                               \
	}
#define CTL_LIMIT                                                                                  \
	{                                                                                          \
		"limit", 0, "N", "At most so many, the newest first."                              \
	}
/* One word, which names such a thing. */
#define CTL_ONE_OF(what) .args_min = 1, .args_max = 1, .names = (what)

/* All of them, in the order in which help lists them. */
extern const struct ctl_command *const ctl_commands[];
extern const size_t ctl_commands_n;
extern const struct ctl_flag ctl_global_flags[];
extern const size_t ctl_global_flags_n;

struct ctl {
	const struct ctl_command *command;
	size_t name_words; /* of the command line that name the command */
	const char *args[CTL_ARGS_MAX];
	size_t n_args;
	const char *values[CTL_FLAGS_MAX]; /* of command->flags, by index; NULL: not given */
	const char *globals[CTL_FLAGS_MAX];
	char *joined[CTL_FLAGS_MAX]; /* values that were given several times */
	const char *base;            /* address, when it is not the notifier's */
	struct http_client *client;
	struct buf out; /* standard output, written by ctl_flush and at the end */
	bool terminal;  /* standard output is one */
	bool colour;
	unsigned width;
};

/* ---- command line (args.c) ---- */

/* Fills c from argv. EXIT_OK, or EXIT_USAGE after saying what is wrong and what to do. --help and
 * --version become the commands help and version. */
int ctl_parse(struct ctl *c, int argc, char **argv);
void ctl_parse_release(struct ctl *c);
/* The value of an option of the command or of all; "" for one without a value; NULL: not given. */
const char *ctl_flag(const struct ctl *c, const char *name);
/* NULL when there is no such command. */
const struct ctl_command *ctl_command_find(const char *name);

/* ---- saying things (term.c) ---- */

void ctl_flush(struct ctl *c);
/* Untrusted text, made printable. NULL is "". */
void ctl_text(struct ctl *c, const char *s);
/* The program's own words. */
void ctl_printf(struct ctl *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

enum ctl_style {
	STYLE_PLAIN,
	STYLE_BOLD,
	STYLE_DIM,
	STYLE_GOOD,
	STYLE_WARN,
	STYLE_BAD,
	STYLE_CALM
};
/* Untrusted text in a colour, where there are colours. */
void ctl_styled(struct ctl *c, enum ctl_style style, const char *s);

/*
 * Adds untrusted text, wrapped at the width: the first line starts at `column` (which the caller
 * has reached), the others are indented by `indent`. Ends the line. Newlines in it are kept.
 */
void ctl_wrap(struct ctl *c, size_t column, size_t indent, const char *text);
/* Columns that text takes on a terminal, by code points. */
size_t ctl_columns(const char *text);

/* A table: rows are added cell by cell, cells are untrusted; printed by ctl_table_end with the last
 * column cut to the width. */
struct ctl_table {
	struct ctl *ctl;
	size_t columns;
	char **cells;
	enum ctl_style *styles;
	size_t n;
};
void ctl_table_begin(struct ctl_table *t, struct ctl *c, size_t columns, const char *const *heads);
void ctl_cell(struct ctl_table *t, enum ctl_style style, const char *text);
void ctl_table_end(struct ctl_table *t);

enum { WHEN_BYTES = 64 };
/* "14:03:52", with the date before it when that is not today; local time. "-" for 0. */
const char *ctl_clock(int64_t ms, char out[static WHEN_BYTES]);
/* "just now", "3 min ago", "in 2 h"; "-" for 0. */
const char *ctl_ago(int64_t ms, char out[static WHEN_BYTES]);
/* "+0.4s", "+42s", "+2m05s", "+1h03m". */
const char *ctl_offset(int64_t ms, char out[static WHEN_BYTES]);
/* An id cut to a prefix that is easily typed. */
const char *ctl_short_id(const char *id, char out[static WHEN_BYTES]);

/* ---- errors (term.c) ---- */

/* "healctl: what went wrong" and "  do: what to do next" on standard error. Returns exit_code. */
int ctl_fail(int exit_code, const char *next, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- the notifier's API (api.c) ---- */

/* Calls and gives the answer of a 2xx; else says why and what to do, and returns the exit code.
 * body is stolen; NULL: none. */
int ctl_call(struct ctl *c, const char *method, const char *path, json_t *body, json_t **out);
/* The same, but a 404 is returned as CTL_NOT_FOUND without a word. */
enum { CTL_NOT_FOUND = -1 };
int ctl_try(struct ctl *c, const char *method, const char *path, json_t *body, json_t **out);
int ctl_get(struct ctl *c, const char *path, json_t **out);
/* Adds name=value to a path, escaped. */
void ctl_query(struct buf *path, const char *name, const char *value);
/* Adds one path segment, escaped. */
void ctl_segment(struct buf *path, const char *segment);
const char *ctl_url(const struct ctl *c);
/* Who is asking, for the story: the login name. */
const char *ctl_by(void);

#define auto_json __attribute__((cleanup(ctl_json_release))) json_t
static inline void ctl_json_release(json_t **j)
{
	json_decref(*j);
}

/* Members; "" and 0 when absent or of another type. */
const char *js(const json_t *o, const char *name);
int64_t ji(const json_t *o, const char *name);
/* With --json: prints it and is true. */
bool ctl_as_json(struct ctl *c, const json_t *j);

/* ---- words for things (words.c) ---- */

/* "restart_service(nginx)" of a Step, Check or Rollback; free(). */
char *ctl_step_text(const json_t *step);
enum ctl_style ctl_state_style(const char *state);
/* "a=b c=d" of an object of strings; free(). */
char *ctl_labels_text(const json_t *labels);

/* ---- the bus (commands/cmd_bus.c) ---- */

struct bus;
const char *ctl_config_dir(const struct ctl *c);
/* Connected as the operator, or an exit code after saying why. */
int ctl_bus(struct ctl *c, struct bus **out);

/* ---- commands: each at the end of the file that carries it out ---- */

extern const struct ctl_command command_status, command_incidents, command_story, command_plan,
	command_approvals, command_approve, command_deny, command_info, command_feedback,
	command_people, command_ack, command_tools, command_topics, command_publish,
	command_silence_add, command_silence_ls, command_silence_expire, command_pause,
	command_resume, command_changes, command_undo, command_dead_ls, command_dead_show,
	command_dead_requeue, command_shadow, command_kpis, command_oncall, command_oncall_override,
	command_oncall_clear, command_undelivered, command_backtest, command_classify,
	command_memory, command_rates, command_models, command_token, command_backup,
	command_restore, command_verify, command_init, command_doctor, command_completion,
	command_manual, command_help, command_version, command_names;

#endif
