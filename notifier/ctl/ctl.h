/*
 * healctl: the operator's program. One table of commands (commands.c) is the source of parsing,
 * help, completion and the man page; each command is a function on a struct ctl. Most speak to the
 * notifier's API; README.md says which do not, and where they are.
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

/* Texts of the table below that are longer than a few lines: command_help.c. */
extern const char help_backtest[], help_backup[], help_restore[], help_verify[], help_classify[],
	help_init[], help_shadow[], help_kpis[], help_story[], help_memory[], help_rates[],
	help_token[], help_doctor[], help_plan[], help_ack[], help_manual[], help_completion[],
	help_pause[], help_undelivered[], help_override[], help_publish[], help_models[];
extern const struct ctl_command ctl_commands[];
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

/* ---- commands ---- */

int cmd_status(struct ctl *c);
int cmd_incidents(struct ctl *c);
int cmd_story(struct ctl *c);
int cmd_plan(struct ctl *c);
int cmd_approvals(struct ctl *c);
int cmd_approve(struct ctl *c);
int cmd_deny(struct ctl *c);
int cmd_ack(struct ctl *c);
int cmd_info(struct ctl *c);
int cmd_feedback(struct ctl *c);
int cmd_people(struct ctl *c);
int cmd_tools(struct ctl *c);
int cmd_topics(struct ctl *c);
int cmd_publish(struct ctl *c);
int cmd_silence_add(struct ctl *c);
int cmd_silence_ls(struct ctl *c);
int cmd_silence_expire(struct ctl *c);
int cmd_pause(struct ctl *c);
int cmd_resume(struct ctl *c);
int cmd_changes(struct ctl *c);
int cmd_undo(struct ctl *c);
int cmd_dead_ls(struct ctl *c);
int cmd_dead_show(struct ctl *c);
int cmd_dead_requeue(struct ctl *c);
int cmd_backtest(struct ctl *c);
int cmd_classify(struct ctl *c);
int cmd_shadow(struct ctl *c);
int cmd_memory(struct ctl *c);
int cmd_rates(struct ctl *c);
int cmd_models(struct ctl *c);
int cmd_token(struct ctl *c);
int cmd_init(struct ctl *c);
int cmd_backup(struct ctl *c);
int cmd_restore(struct ctl *c);
int cmd_verify(struct ctl *c);
int cmd_doctor(struct ctl *c);
int cmd_completion(struct ctl *c);
int cmd_names(struct ctl *c);
int cmd_manual(struct ctl *c);
int cmd_kpis(struct ctl *c);
int cmd_oncall(struct ctl *c);
int cmd_oncall_override(struct ctl *c);
int cmd_oncall_clear(struct ctl *c);
int cmd_undelivered(struct ctl *c);
int cmd_help(struct ctl *c);
int cmd_version(struct ctl *c);

#endif
