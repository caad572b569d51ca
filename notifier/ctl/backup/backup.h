/*
 * Backups: one file with all that healbus knows, taken while it works, and put back into an empty
 * bus. The file is a recording (common/recording.h) of version 2: every record has its length and
 * CRC-32C; it begins with the note backup.begin (who made it, where the shared consumers were) and
 * ends with backup.end (for each part: count, first and last number, a digest over all of it). A
 * file without its end, or that does not add up to it, is refused before anything is touched.
 *
 * What is in it: the streams RAW, EVENTS, STORY and DEAD, the claims, and each executor's journal
 * and audit chain, the only state that the bus does not have. Not in it: locks and signs of life
 * (they expire within 30 s, and whoever held them is gone), the projections (rebuilt from the bus;
 * equal streams, equal states), keys, tokens and passwords (secrets: the folder of `healctl init`
 * and the notifier's *.key files are to be kept as secrets are), workspaces, caches, what models
 * cost so far today.
 *
 * Order. There is no one moment for a bus under load; there is an order in which nothing is missed:
 *
 *   1. where the shared consumers are: what is settled by then has left its effect on the bus;
 *      what is settled later is delivered again after a restore, and ids make that harmless
 *   2. the ends of DEAD, STORY, EVENTS, RAW: effects before causes, so that the cause of whatever
 *      lies before an end lies before one, too: no incident without the events that opened it.
 *      One edge leads back, silences (STORY to EVENTS): EVENTS ends before the first one that is
 *      younger than the end of STORY, and nothing in STORY can come from what lies behind it
 *   3. the claims: no outcome in STORY whose step has no claim
 *   4. the streams up to their ends
 *   5. the journals, last: a journal that is ahead of the claims knows more ends; one that is
 *      behind would leave more steps of which nobody knows the end
 *
 * After a restore: nothing runs twice. Between the backup and the loss the executors went on. What
 * they did then is in no backup, and stages that read the same streams come to the same plans
 * again. So the restore notes its time among the claims before anything can be read
 * (CLAIM_RESTORED), and executors begin no step of a plan from before it, nor for an incident that
 * was open then: unless claim or journal knows the end, it is unknown, for a check or a human
 * (executor/recall.h). New incidents are repaired as ever. And nothing that was acknowledged before
 * the backup is lost: it is in the streams, and settled no further than in 1.
 *
 * The restore goes: bucket CLAIM with its note and claims, DEAD, RAW, EVENTS, STORY (each with its
 * sequence numbers, common/bus_lay.h: projections and stories name messages by them), the shared
 * consumers at their places, the other buckets; then everything is read back and compared. It
 * wants a bus without streams, and stages that are stopped, with empty states: a fold that has read
 * further than the backup goes is no use to anybody, and refuses to start.
 */
#ifndef NOTIFIER_CTL_BACKUP_BACKUP_H
#define NOTIFIER_CTL_BACKUP_BACKUP_H

#include "common/bus.h"
#include "common/id.h"
#include "common/recording.h"
#include "notifier/ctl/ctl.h"

enum {
	BACKUP_FORMAT = 1,
	BACKUP_PARTS = RECORDING_NOTE, /* the four streams, claims, files */
	BACKUP_SILENCE_MS = 30000,     /* messages are due, and none comes */
};
extern const char backup_begin[], backup_end[]; /* subjects of the two notes */
extern const char *const backup_part_names[BACKUP_PARTS];
extern const char *const backup_filters[RECORDING_STREAMS]; /* "raw.>", ... */
extern const char backup_consumer[];                        /* of the operator, on each stream */

struct backup_part {
	uint64_t n, first_seq, last_seq;
	uint64_t next_seq; /* streams: what the next message would have got */
	uint8_t digest[DIGEST_BYTES];
};
void backup_part_add(struct backup_part *p, const struct recording_record *r);
json_t *backup_parts_json(const struct backup_part parts[static BACKUP_PARTS]);

/* ---- reading (backup_file.c) ---- */

struct backup {
	struct recording *file;
	json_t *begin;
	struct backup_part parts[BACKUP_PARTS];
};
/* Reads and checks all of it. ERR_CORRUPT, ERR_INVALID, ERR_SCHEMA, ERR_NOT_FOUND. */
int backup_open(const char *path, struct backup *out, struct why *out_why);
void backup_close(struct backup *b);
/* Back to the first record. */
int backup_rewind(struct backup *b, struct why *out_why);

/* ---- taking (backup_take.c, backup_state.c) ---- */

struct backup_taking {
	struct ctl *ctl;
	struct bus *bus;
	struct recording_writer *writer;
	struct backup_part parts[BACKUP_PARTS];
	struct bus_stream_state ends[RECORDING_STREAMS];
	int64_t story_ns; /* when STORY's last message came */
	json_t *consumers;
};
int backup_record(struct backup_taking *t, const struct recording_record *r, struct why *out_why);
/* The places and ends; then claims and streams. */
int backup_take_ends(struct backup_taking *t, struct why *out_why);
int backup_take_bus(struct backup_taking *t, struct why *out_why);
/* The journals of executors here (--executor) and elsewhere (--with). beside: a path for temporary
 * files to begin with. *out_n: of how many executors. */
int backup_take_state(struct backup_taking *t, const char *beside, unsigned *out_n,
		      struct why *out_why);

/* ---- giving back (backup_state.c, backup_lay.c, backup_compare.c) ---- */

/* Writes the files of the backup below dir, which is made: <n>/journal/data.mdb. */
int backup_extract(struct backup *b, const char *dir, unsigned *out_n, struct why *out_why);
/* Gives them to the executors of --executor. */
int backup_give_state(struct ctl *c, struct backup *b, struct why *out_why);
/* Each executor's audit chain, by its own program; adds one line for each to ctl's output.
 * ERR_NOT_FOUND: the program is not here. */
int backup_check_state(struct ctl *c, struct backup *b, struct why *out_why);
/* ERR_EXISTS: the bus is not empty. */
int backup_lay(struct bus *bus, struct backup *b, struct why *out_why);

struct backup_difference {
	uint64_t same, different, missing, gone; /* gone: older than what the bus still holds */
	char first[WHY_TEXT_BYTES];              /* the first one that is not the same */
};
int backup_compare(struct bus *bus, struct backup *b, struct backup_difference *out,
		   struct why *out_why);

#endif
