/* What the files of the classifier share. */
#ifndef REASONER_CLASSIFY_PRIVATE_H
#define REASONER_CLASSIFY_PRIVATE_H

#include "common/buf.h"
#include "reasoner/classify/classify.h"
#include "reasoner/classify/words.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
	FAILURE_TYPES_MAX = 256,
	FAILURE_FAMILIES_MAX = 64,
	FAILURE_RULES_MAX = 4096,
	/* A pattern that asks for more steps on one line does not match it. */
	RULE_STEPS_MAX = 5000,
	RULE_DEPTH_MAX = 250,
	RULE_HEAP_MAX_KIB = 64,
	/* After so many lines on which it reached a limit, a rule is not asked again in this log.
	 */
	RULE_OVERRUNS_MAX = 16,
	SECTIONS_MAX = 8192,
	HITS_MAX = 65536,
	COMMAND_MAX_BYTES = 2048,
	HEADER_LINES_MAX = 200,
	EVIDENCE_MAX_BYTES = 512,
	LAST_LINES = 4,
	EVIDENCE_ENOUGH = 3, /* lines of the log */
};

/* Where a rule looks. */
enum place {
	PLACE_LOG,
	PLACE_ERROR,   /* a line of the log that the runner shows as the error */
	PLACE_COMMAND, /* the command whose failure ended the job */
	PLACE_WORKFLOW,
	PLACE_JOB,
	PLACE_STEP,
	PLACE_FILES,
	PLACE_ALERT,
	PLACES
};
extern const char *const place_names[PLACES];

struct rule {
	const char *name;
	const char **words; /* one of them must occur, whatever its case; none: every text */
	size_t n_words;
	pcre2_code *regex; /* NULL: the word is enough */
	double weight;
	enum place place;
	bool anywhere;  /* counts in full wherever in the log it stands */
	uint16_t owner; /* a type, or with of_family a family: then it speaks for all its types */
	bool of_family;
};

struct failure_type {
	const char *name;
	const char *title;
	double base; /* what speaks for it before anything is read */
	uint16_t family;
};

struct family {
	const char *name;
	double base; /* what speaks for each of its types */
	const char *label;
	const char *file;
};

struct failures {
	struct arena arena;
	struct words *words;
	struct rule *rules;
	size_t n_rules;
	uint16_t *error_rules; /* those of PLACE_ERROR */
	size_t n_error_rules;
	struct failure_type *types;
	size_t n_types;
	struct family *families;
	size_t n_families;
};

/* Adds one file's text. ERR_CONFIG with file:line. */
int failures_parse_text(struct failures *f, const char *name, const struct buf *text,
			struct why *out_why);

/* ---- one line (classify_text.c) ---- */

/* What a line tells about the job's course. */
enum mark {
	MARK_NONE,
	MARK_START,      /* the next command is not run by another one that is shown */
	MARK_COMMAND,    /* a command begins; its text follows */
	MARK_HEADER_END, /* what follows is the command's output; before it stood its text */
	MARK_END,        /* the command's output ends */
	MARK_FAILED,     /* the command before this failed */
	MARK_PASSED,
	MARK_ERROR, /* the runner shows this line as the error */
	MARK_POST,  /* from here on only what is done after the failure */
	MARK_NOISE, /* says nothing */
};

struct line {
	const char *text; /* without time, colours and markers; at most CLASSIFY_LINE_MAX_BYTES */
	size_t len;
	enum mark mark;
	char storage[CLASSIFY_LINE_MAX_BYTES];
};

/* raw: one line without its end. out->text may point into raw. */
void line_read(const char *raw, size_t len, struct line *out);

/* ---- the pass (classify_scan.c) ---- */

enum outcome { OUTCOME_UNKNOWN, OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_AROUND, OUTCOME_POST };

/*
 * The output of one command. One that runs others, and shows them, has several sections: they have
 * the first one's number as their group. When such a command fails and does not say which of the
 * others did, all that did not pass failed; when it says so, the rest of them is around that.
 */
struct section {
	size_t group;
	uint32_t first_line, last_line; /* 1-based; last_line of a failed one: where it says so */
	enum outcome outcome;
	char *command; /* NULL: none */
};

/* A rule's matches in one section. */
struct hit {
	uint16_t rule;
	uint32_t section;
	uint32_t first_line, last_line;
	const char *first, *last; /* raw, in the log */
	uint32_t first_len, last_len;
	bool marked; /* the runner shows one of the lines as the error */
};

/* A line of the log, as it stands there. */
struct raw_line {
	const char *text;
	uint32_t len, line;
};

/* The last lines before a point, the oldest at n % LAST_LINES once there are more. */
struct last_lines {
	struct raw_line items[LAST_LINES];
	size_t n;
};

struct asker;
struct scan {
	const struct failures *failures;
	struct section *sections;
	size_t n_sections, cap_sections;
	struct hit *hits;
	size_t n_hits, cap_hits;
	struct last_lines last; /* of the first that failed; else of the log */
	struct asker *asker;
	uint32_t *current; /* by rule: its hit in this section, 1-based */
};

/* Reads the log's end, at most CLASSIFY_LOG_MAX_BYTES. Release with scan_release. */
void scan_log(struct scan *s, const struct failures *f, const char *log, size_t len);
void scan_release(struct scan *s);
/* Does the rule, of a place other than the log, match the text? */
bool scan_text(struct scan *s, uint16_t rule, const char *text);

#endif
