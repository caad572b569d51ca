/*
 * Recordings: messages of the bus in a file, to be replayed into a bus or given to the folds
 * without one. Layer 2; knows no network.
 *
 * The file is little-endian: a head of 32 bytes {magic "hbrecord", version, bytes of the head, when
 * it was made, 0, CRC-32C of what stands before it}, then records {length, CRC-32C, body}. The sum
 * covers length and body. A body is {sequence, stream time in ns, message time in ms, bytes of the
 * payload, bytes of subject, id, cause and content type (each with its NUL), stream, 0}, the four
 * strings, the payload. Records stand in the order of the stream's time; those of one stream in
 * that of their sequence numbers. There is no index and no end mark: a file whose writer died is
 * good up to its last whole record.
 *
 * A backup (notifier/ctl/backup/backup.h) is a recording of version 2: it also has records of three
 * more kinds, which recording_next() passes over, and its streams stand one behind the other.
 */
#ifndef COMMON_RECORDING_H
#define COMMON_RECORDING_H

#include "common/err.h"
#include "common/topic.h"

enum {
	RECORDING_VERSION = 1,
	RECORDING_VERSION_BACKUP = 2,
	RECORDING_RECORD_MAX = 2 << 20, /* bytes of one body; the bus takes 1 MiB */
	RECORDING_STREAMS = 4,
	/* more kinds, in backups only, in the place of a stream's number */
	RECORDING_CLAIM = 4, /* $KV.CLAIM.<key>: a claim's value; seq: its revision */
	RECORDING_FILE = 5,  /* file.<n>: part n of a file, id: its name; parts come in order */
	RECORDING_NOTE = 6,  /* backup.begin, backup.end: JSON */
	RECORDING_KINDS = 7,
	RECORDING_PART_MAX = 1 << 20, /* bytes of one part of a file */
	RECORDING_HEAD_BYTES = 32,    /* where the first record begins */
};

/* RAW, EVENTS, STORY, DEAD: their numbers in the file. */
extern const char *const recording_streams[RECORDING_STREAMS];

struct recording_record {
	unsigned stream; /* index of recording_streams, or one of the kinds above */
	uint64_t seq;
	int64_t stream_ns; /* when the stream took it */
	int64_t time_ms;   /* its own time, never later than the stream's */
	const char *subject;
	const char *id; /* "" when absent, as the next two */
	const char *cause;
	const char *content_type;
	const void *data;
	size_t len;
};

/* ---- writing ---- */

struct recording_writer;
/* A new file, mode 0600. ERR_EXISTS when there is one of this name. made_ms: now. */
int recording_create(const char *path, int64_t made_ms, struct recording_writer **out,
		     struct why *out_why);
/* The same, for a backup. */
int recording_create_backup(const char *path, int64_t made_ms, struct recording_writer **out,
			    struct why *out_why);
/* ERR_INVALID or ERR_TOO_LARGE for what the reader would not take; ERR_IO, ERR_FULL. */
int recording_add(struct recording_writer *w, const struct recording_record *record,
		  struct why *out_why);
/* Writes out, syncs and closes; w is gone whatever it returns. NULL is fine. */
int recording_finish(struct recording_writer *w, struct why *out_why);

/* ---- reading ---- */

struct recording;
/* ERR_NOT_FOUND, ERR_IO; ERR_INVALID: not a recording; ERR_SCHEMA: of a later version. */
int recording_open(const char *path, struct recording **out, struct why *out_why);
void recording_close(struct recording *r);
/*
 * The next record, borrowed until the next call. ERR_NOT_FOUND at the end; ERR_CORRUPT, with the
 * file's name, the offset and what is wrong, for a record that is cut short or damaged: what comes
 * behind it cannot be read.
 */
int recording_next(struct recording *r, struct recording_record *out, struct why *out_why);
/* The same, without passing over anything. */
int recording_next_any(struct recording *r, struct recording_record *out, struct why *out_why);
bool recording_is_backup(const struct recording *r);
/* Where the next record begins; recording_seek() goes back there. */
uint64_t recording_offset(const struct recording *r);
int recording_seek(struct recording *r, uint64_t offset, struct why *out_why);
uint64_t recording_bytes(const struct recording *r); /* the file's size when it was opened */

#endif
