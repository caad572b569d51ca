/*
 * A model's edits: search/replace blocks or a unified diff, read into one form, and applied to a
 * directory: exactly first, then with blanks forgiven (at the ends of lines, CRLF, indentation);
 * what is looked for must be there once; all files or none. Paths cannot leave the directory:
 * they are relative, without "..", never into .git, and no symbolic link is followed. No clock, no
 * network; the parts above the line do no I/O. Any thread.
 *
 *     <<<<<<< SEARCH path/to/file          any number of blocks; an empty SEARCH part makes a new
 *     old lines                            file, an empty REPLACE part of a whole file's text
 *     =======                              deletes it; words between blocks are ignored
 *     new lines
 *     >>>>>>> REPLACE
 */
#ifndef EXECUTOR_EDITS_H
#define EXECUTOR_EDITS_H

#include "common/base.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"

enum {
	EDITS_MAX_BYTES = 128 << 10,
	EDITS_FILES_MAX = 200,
	EDITS_HUNKS_MAX = 2000, /* of one file */
	EDITS_PATH_MAX = 1024,
	EDITS_FILE_MAX_BYTES = 4 << 20, /* of a file that is changed */
	EDITS_REPORT_MAX_BYTES = 6 << 10,
};

enum edit_kind { EDIT_CHANGE, EDIT_CREATE, EDIT_DELETE, EDIT_RENAME };

/* Without its newline, not NUL-terminated. */
struct edit_line {
	const char *text;
	size_t len;
};

/* One block, or one hunk of a diff: `old` becomes `new`. */
struct edit_hunk {
	struct edit_line *old; /* context and removed lines */
	size_t n_old;
	struct edit_line *new; /* context and added lines */
	size_t n_new;
	size_t old_start; /* diff: where, 1-based; 0: not said */
	bool old_bare;    /* diff: the old text ends the file without a newline */
	bool new_bare;
	bool diff;
	size_t at; /* line of the edits' text where it begins, 1-based */
};

struct edit_file {
	char *path;
	char *old_path; /* EDIT_RENAME; else NULL */
	enum edit_kind kind;
	unsigned mode; /* 0: as it was, or 0644; else 0644 or 0755 */
	struct edit_hunk *hunks;
	size_t n_hunks;
};

struct edits {
	struct edit_file *files;
	size_t n;
	size_t n_blocks;
	char *text; /* what the lines point into */
};

/* Reads either form; a ``` fence around it is forgiven. ERR_INVALID, ERR_TOO_LARGE or ERR_DENIED
 * (a path, a symbolic link, a submodule, binary) with the line. Release in any case. */
int edits_parse(const char *text, size_t len, struct edits *out, struct why *out_why);
void edits_release(struct edits *e);

/* A path that edits may name: relative, no empty, "." or ".." component, none that some file system
 * takes for .git, no control character or backslash. */
bool edits_path_valid(const char *path);

/* The n-th difference of a hunk: a removed (out_removed) or an added line that the hunk does not
 * merely move past. For reviews: lines that occur at both ends of old and new are context. */
void edit_hunk_core(const struct edit_hunk *h, size_t *out_first, size_t *out_old_end,
		    size_t *out_new_end);

/*
 * Applies a file's hunks to its text (NULL, 0 for a new file). Adds the result to out; *out_gone:
 * nothing is left and the file goes. Problems go into report, each with its block, and what is
 * closest to what was looked for; then ERR_CONFLICT. ERR_INVALID: binary.
 */
struct edit_result {
	struct buf text;
	bool gone;
	struct buf *report; /* the caller's */
};
int edit_file_apply(const struct edit_file *f, const char *old, size_t len, struct edit_result *out,
		    struct why *out_why);

/* ---- with I/O ---- */

/*
 * All files or none, below the directory dir_fd. report (may not be NULL) tells of every block that
 * does not fit, at most EDITS_REPORT_MAX_BYTES, and of those that only fitted when blanks were
 * forgiven. ERR_CONFLICT (does not fit), ERR_NOT_FOUND, ERR_EXISTS, ERR_DENIED (a symbolic link in
 * the way, not a regular file), ERR_INVALID (binary), ERR_IO. After ERR_IO some may be written.
 */
int edits_apply(const struct edits *e, int dir_fd, struct buf *report, struct why *out_why);

#endif
