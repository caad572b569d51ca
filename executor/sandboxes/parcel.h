/*
 * A cell's way to a machine that shares nothing with this one but an API, and back: the tree as a
 * compressed archive of bounded size, what came of it as numbered lines of a log. A line that
 * counts is "NONCE NUMBER KIND DATA"; the nonce is random, for each run, so that nothing else that
 * is in the log can be taken for one. Lines may come in any order and repeated, as log pipelines
 * deliver them; the last one says how many there are.
 *
 *     c EXIT_CODE    s BYTES_OF_OUTPUT    o OUTPUT    t TREE (gzip, base64, as many as it takes) e
 */
#ifndef EXECUTOR_PARCEL_H
#define EXECUTOR_PARCEL_H

#include "executor/sandboxes/archive.h"
#include "executor/sandboxes/cell.h"

enum {
	PARCEL_LINE = 3000, /* characters of DATA, at most */
	PARCEL_LINES_MAX = 4096,
	PARCEL_OUTPUT_BYTES = 256 << 10, /* of output that comes back, before compression */
	PARCEL_TREE_BYTES = 6 << 20, /* of the tree that comes back, compressed: a kubelet keeps 10
					MiB of a log, in which it is base64 */
};

/*
 * What the shell says there, after the program's end, as a part of a script: $0 is the nonce, $1
 * bytes of output, $2 "tail" or "head", $3 bytes of the tree and one more (0: none); the tree is
 * the working directory; text and code are the files with the program's output and exit code.
 * Takes GNU tar, gzip, base64, awk and sed.
 */
#define PARCEL_SAY(text, code)                                                                     \
	"chmod -R u+rwX . 2>/dev/null\n"                                                           \
	"{ printf 'c '; head -c 3 " code " | tr -cd 0-9; echo\n"                                   \
	"if [ -f " text " ] && [ ! -L " text " ]; then\n"                                          \
	"printf 's '; wc -c <" text "\n"                                                           \
	"\"$2\" -c \"$1\" " text " | gzip -c | base64 -w 3000 | sed 's/^/o /'; fi\n"               \
	"[ \"$3\" = 0 ] || tar -cf - --hard-dereference --ignore-failed-read . 2>/dev/null | "     \
	"gzip -c | head -c \"$3\" | base64 -w 3000 | sed 's/^/t /'; } | "                          \
	"awk -v n=\"$0\" '{print n, NR, $0} END {print n, NR + 1, \"e\"}'\n"

/* The tree of c as gzip'ed tar, added to out. ERR_TOO_LARGE: more than max_bytes then; why says
 * what to do. */
int parcel_pack(const struct cell *c, const struct archive_limits *limits, size_t max_bytes,
		struct buf *out, struct why *out_why);

/* What a log says; release in any case. */
struct parcel {
	size_t tree_max_bytes; /* given; 0: PARCEL_TREE_BYTES */
	int exit_code;
	int64_t output_bytes; /* there were; output has so many of them, or fewer */
	struct buf output, tree;
};
void parcel_release(struct parcel *p);

/*
 * ERR_NOT_FOUND: the last line has not come, or some before it have not: the log is cut, or not
 * complete yet. ERR_CORRUPT: the lines are not what a courier says, e.g. no exit code.
 * ERR_TOO_LARGE: the tree.
 */
int parcel_read(const struct buf *log, const char *nonce, struct parcel *out, struct why *out_why);

/* Puts output and exit code into the result and, unless c->discard, the tree in place of what is in
 * c->dir: all of it or, when it does not unpack, an error. */
int parcel_deliver(const struct parcel *p, const struct cell *c, const struct run_limits *limits,
		   struct run_result *result);

/* Standard base64, added to out; and back: false when it is none. */
void base64_add(struct buf *out, const void *data, size_t len);
bool base64_take(struct buf *out, const char *text, size_t len);

#endif
