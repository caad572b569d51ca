/*
 * What the checks of the guard share (executor/guard.h). A check is a function over one file's
 * change or over the whole patch, and one row in the table of guard.c. It says what it sees; the
 * row and the policy say what that means.
 */
#ifndef EXECUTOR_GUARDS_H
#define EXECUTOR_GUARDS_H

#include "executor/guard.h"

struct guard_check;

/* One review under way. */
struct review {
	const struct guard_policy *policy;
	const struct guard_change *changes;
	size_t n;
	const struct guard_check *check; /* whose turn it is */
	size_t index;                    /* of that row */
	struct guard_report *report;
};

struct guard_check {
	const char *name;
	const char *about;
	enum guard_verdict usual;
	enum guard_verdict least; /* no configuration goes below */
	/* Either may be NULL. */
	void (*file)(struct review *r, const struct guard_change *c);
	void (*whole)(struct review *r);
};

/* Says what was seen; line NULL: about the file. The line is quoted unless it may hold a secret. */
void review_say(struct review *r, const struct guard_change *c, const struct guard_line *line,
		const char *fmt, ...) PRINTF_LIKE(4, 5);

/* ---- patterns (PCRE2, compiled once, with limits) ---- */

struct pattern {
	const char *text;
	bool caseless;
	_Atomic(void *) code;
};

#define PATTERN(t)                                                                                 \
	{                                                                                          \
		.text = t                                                                          \
	}
#define PATTERN_CASELESS(t)                                                                        \
	{                                                                                          \
		.text = t, .caseless = true                                                        \
	}

/* A part of a line. */
struct span {
	const char *text;
	size_t len;
};

/* True when it matches somewhere, or when a limit was reached (what cannot be told is suspect).
 * out_span (may be NULL): group 1 where the pattern has one that took part, else all of it. */
bool pattern_find(struct pattern *p, const char *text, size_t len, struct span *out_span);
static inline bool pattern_line(struct pattern *p, const struct guard_line *l)
{
	return pattern_find(p, l->text, l->len, NULL);
}
/* The same for a path. */
bool pattern_path(struct pattern *p, const char *path);

bool span_eq(struct span a, struct span b);

/* ---- what kind of file ---- */

enum language {
	LANGUAGE_NONE, /* prose and data */
	LANGUAGE_SHELL,
	LANGUAGE_PYTHON,
	LANGUAGE_JS,
	LANGUAGE_RUST,
	LANGUAGE_GO,
	LANGUAGE_JVM,
	LANGUAGE_C,
	LANGUAGE_RUBY,
	LANGUAGE_PHP,
	LANGUAGE_DOTNET,
	LANGUAGE_CONFIG, /* YAML, TOML, JSON, Makefile, Dockerfile: what may carry commands */
	LANGUAGES
};

enum language path_language(const char *path);
bool path_is_test(const char *path);
bool path_is_lock(const char *path); /* a lock file of a package manager */
/* A line that is only a comment, by the language's own mark. */
bool line_is_comment(enum language language, const struct guard_line *l);
/* The same text but for blanks at both ends is among the removed lines: it was moved. */
bool line_was_there(const struct guard_change *c, const struct guard_line *l);

/* '*' within a component, '**' across, '?'. */
bool glob_match(const char *glob, const char *text);
bool names_match(const struct guard_names *names, const char *text, size_t len);

/* A known kind of secret is in it: what to call it, else NULL. */
const char *secret_kind(const struct guard_line *l);

/* ---- the checks ---- */

void check_secret(struct review *r, const struct guard_change *c);
void check_entropy(struct review *r, const struct guard_change *c);
void check_hidden(struct review *r, const struct guard_change *c);
void check_homoglyph(struct review *r, const struct guard_change *c);
void check_git_path(struct review *r, const struct guard_change *c);
void check_symlink_out(struct review *r, const struct guard_change *c);
void check_symlink(struct review *r, const struct guard_change *c);
void check_submodule(struct review *r, const struct guard_change *c);
void check_attributes(struct review *r, const struct guard_change *c);
void check_workflow(struct review *r, const struct guard_change *c);
void check_permission(struct review *r, const struct guard_change *c);
void check_autorun(struct review *r, const struct guard_change *c);
void check_outside(struct review *r, const struct guard_change *c);
void check_binary(struct review *r, const struct guard_change *c);
void check_size(struct review *r);
void check_generated(struct review *r, const struct guard_change *c);
void check_license(struct review *r, const struct guard_change *c);
void check_shell_pipe(struct review *r, const struct guard_change *c);
void check_process(struct review *r, const struct guard_change *c);
void check_network(struct review *r, const struct guard_change *c);
void check_host(struct review *r, const struct guard_change *c);
void check_dependency(struct review *r, const struct guard_change *c);
void check_dependency_source(struct review *r, const struct guard_change *c);
void check_test_removed(struct review *r);
void check_test_replaced(struct review *r);
void check_test_skipped(struct review *r, const struct guard_change *c);
void check_test_weakened(struct review *r, const struct guard_change *c);
void check_test_shorter(struct review *r);
void check_silenced(struct review *r, const struct guard_change *c);
void check_threshold(struct review *r, const struct guard_change *c);
void check_lint_disabled(struct review *r, const struct guard_change *c);

#endif
