/* What the readers of both forms (edits.c, edits_diff.c) and the matcher (edits_match.c) share. */
#ifndef EXECUTOR_EDITS_PRIVATE_H
#define EXECUTOR_EDITS_PRIVATE_H

#include "executor/edits/edits.h"

/* The text being read, line by line. */
struct edit_reader {
	struct edits *out;
	struct edit_line *lines;
	size_t n;
	size_t at; /* next line */
};

bool line_starts(const struct edit_line *l, const char *prefix);
/* Cuts at newlines; a final one makes no empty line. Returns how many; *out is the caller's. */
size_t lines_cut(const char *text, size_t len, struct edit_line **out);

/* A new file, or the one of that path when both change it. NULL when there are too many. */
struct edit_file *edits_file(struct edits *e, const char *path, enum edit_kind kind);
/* NULL when there are too many. */
struct edit_hunk *edit_file_hunk(struct edit_file *f);
void hunk_old(struct edit_hunk *h, struct edit_line line);
void hunk_new(struct edit_hunk *h, struct edit_line line);

int edits_bad(const struct edit_reader *r, struct why *out_why, const char *what);
int edits_bad_path(const struct edit_reader *r, struct why *out_why, const char *path);
int edits_parse_diff(struct edit_reader *r, struct why *out_why);

/* ---- matching ---- */

/* A file's text as lines; those made anew live in the arena. */
struct edit_text {
	struct edit_line *lines;
	size_t n;
	bool bare; /* its last line has no newline */
	bool crlf;
	struct arena arena;
	int64_t shift;   /* how many lines hunks so far have added */
	uint64_t effort; /* lines compared so far */
};

#endif
