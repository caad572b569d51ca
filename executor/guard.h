/*
 * The guard: every patch, whatever its confidence and whoever wrote it, is looked at before
 * anything leaves the machine. Each check is one row of a table (name, function, usual verdict, the
 * verdict below which no configuration may put it); a patch's verdict is the gravest of its
 * findings. Pure: no file, no network, no clock. Any thread.
 *
 * A repository's target sets its own ways under the attribute `guard` (executor.yaml's `guard:`
 * holds for those that say nothing):
 *
 *     guard:
 *       verdicts: {lint_disabled: allow, workflow: refuse}  # allow, ask, refuse
 *       paths: [Cargo.toml, "src**"]        # a patch stays within; default: anywhere. Globs: a
 *                                           # star within a component, two across
 *       dependencies: ["serde*", left-pad]  # new ones that need no question
 *       hosts: [api.example.net]            # new URLs in code that need no question
 *       max_files: 20
 *       max_lines: 500
 *       max_line_bytes: 1000
 */
#ifndef EXECUTOR_GUARD_H
#define EXECUTOR_GUARD_H

#include "common/base.h"

#include <jansson.h>

#include "common/buf.h"
#include "common/err.h"
#include "executor/lines.h"
#include "proto/healbus.pb-c.h"

enum {
	GUARD_CHECKS_MAX = 40,
	GUARD_FILES = 20,        /* default of max_files */
	GUARD_LINES = 500,       /* default of max_lines: added and removed together */
	GUARD_LINE_BYTES = 1000, /* default of max_line_bytes */
	GUARD_FINDINGS_MAX = 200,
	GUARD_NAMES_MAX = 256, /* entries of each list of a policy */
};

/* In order of gravity. */
enum guard_verdict { GUARD_ALLOW, GUARD_ASK, GUARD_REFUSE };

enum guard_kind { GUARD_MODIFY, GUARD_ADD, GUARD_DELETE, GUARD_RENAME, GUARD_COPY, GUARD_MODE };

/* Not NUL-terminated; without its newline. */
struct guard_line {
	const char *text;
	size_t len;
	size_t number; /* of an added line in the new file, of a removed one in the old; from 1 */
};

struct guard_change {
	const char *path;     /* relative to the repository's root */
	const char *old_path; /* of a rename or copy; else NULL */
	enum guard_kind kind;
	bool binary;
	unsigned old_mode; /* as git writes it, e.g. 0100644, 0120000; 0: not said */
	unsigned new_mode;
	struct guard_line *added;
	size_t n_added;
	struct guard_line *removed;
	size_t n_removed;
};

/* A list of changes that owns its texts. */
struct guard_changes {
	struct guard_change *items;
	size_t n;
	char *text; /* what lines point into */
};

/*
 * Reads a unified diff, with git's headers or without. Any text that is not exactly one is refused:
 * what the guard cannot read it cannot judge. ERR_INVALID with the line. Caller frees with
 * guard_changes_release.
 */
int guard_changes_from_diff(const char *text, size_t len, struct guard_changes *out,
			    struct why *out_why);
void guard_changes_release(struct guard_changes *c);

/*
 * The same of a model's edits (edits.h), before they are applied: what can be said at the time a
 * plan is weighed. Line numbers are those of the edits' own text. The lines point into e. What
 * counts in the end is the diff of the result: fuzzy matching, modes and whole files that go are
 * only seen there.
 */
struct edits;
void guard_changes_from_edits(const struct edits *e, struct guard_changes *out);

/* ---- policy ---- */

struct guard_names {
	char **items;
	size_t n;
};

/* Zeroed: everything as usual. */
struct guard_policy {
	uint8_t verdicts[GUARD_CHECKS_MAX]; /* 0: the check's own; else enum guard_verdict + 1 */
	struct guard_names paths;           /* globs; none: anywhere */
	struct guard_names plan;            /* paths the plan named, no globs; none: any */
	struct guard_names dependencies;    /* globs */
	struct guard_names hosts;
	int64_t max_files; /* 0: the default, likewise below */
	int64_t max_lines;
	int64_t max_line_bytes;
};

/*
 * Fills *out (zeroed) from the object above; keys that it does not have are taken from base (may
 * be NULL). ERR_CONFIG names the key. json NULL or null: a copy of base.
 */
int guard_policy_parse(const json_t *json, const struct guard_policy *base,
		       struct guard_policy *out, struct why *out_why);
void guard_policy_release(struct guard_policy *p);
/* Adds a path to the plan's list. */
void guard_policy_plan(struct guard_policy *p, const char *path);

/* ---- review ---- */

struct guard_finding {
	const char *check; /* the row's name */
	enum guard_verdict verdict;
	char *path;
	size_t line; /* 0: the whole file */
	char *text;  /* the reason; never a secret, nor a line that holds one */
};

struct guard_report {
	enum guard_verdict verdict;
	struct guard_finding *findings; /* gravest first, then by path and line */
	size_t n;
	size_t omitted; /* beyond GUARD_FINDINGS_MAX */
};

/* Never fails. The order of changes does not matter. policy NULL: as usual. */
void guard_review(const struct guard_policy *policy, const struct guard_change *changes, size_t n,
		  struct guard_report *out);
void guard_report_release(struct guard_report *r);

/* "refuse: secret: src/a.c:3: an AWS access key" a line, for people and for the next attempt's
 * prompt. Appends; "" when there is nothing to say. */
void guard_report_text(const struct guard_report *r, struct buf *out);

const char *guard_verdict_name(enum guard_verdict v);

/* What a runner's inspect says of a report: each finding is a line; nothing found: LEVEL_NONE, to
 * ask: LEVEL_HARD, to refuse: LEVEL_FORBIDDEN. */
Healbus__Level guard_report_level(const struct guard_report *r, struct lines *out);

/* The rows, for documentation and tests. NULL behind the last. */
const char *guard_check_name(size_t i);

#endif
