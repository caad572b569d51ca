/*
 * The projection's tables and typed access to their rows. Rows are packed messages or the small
 * structs below. The fold writes them; the API reads them in read transactions of its own.
 */
#ifndef NOTIFIER_TABLES_H
#define NOTIFIER_TABLES_H

#include "common/fold.h"

extern const struct store_table table_incidents; /* incident id -> Incident, as of now */
extern const struct store_table table_by_time;   /* opened_at_ms (8 bytes), incident id -> "" */
extern const struct store_table table_counts;    /* state (1 byte) -> uint64_t incidents in it */
extern const struct store_table table_story;     /* incident id, 0, seq (8) -> struct story_row */
extern const struct store_table table_refs;  /* incident id, 0, tag, rest -> what belongs to it */
extern const struct store_table table_plans; /* plan id -> struct plan_row */
extern const struct store_table table_approvals; /* approval id -> ApprovalRequest */
extern const struct store_table table_pending;   /* approval id -> "" */
extern const struct store_table table_decisions; /* approval id -> the first Decision */
extern const struct store_table table_changes;   /* change id -> Outcome with just that change */
extern const struct store_table table_changes_by_time; /* at_ms (8), change id -> "" */
extern const struct store_table table_silences;        /* silence id -> Silence */
extern const struct store_table table_notices;         /* notice id -> Notice, as of now */
extern const struct store_table table_notice_meta;     /* notice id -> struct notice_row */
extern const struct store_table table_groups;          /* group id -> struct group_row */
extern const struct store_table table_items;     /* group id, 0, incident id -> struct item_row */
extern const struct store_table table_throttles; /* receiver -> struct throttle */
extern const struct store_table table_machinery; /* "pause", "tools:<executor>" -> Control */

extern const struct store_table table_briefs;   /* plan id -> Plan: who wanted what of whom */
extern const struct store_table table_votes;    /* approval id, 0, person -> Control{VOTE} */
extern const struct store_table table_feedback; /* incident id -> the first Control{FEEDBACK} */
extern const struct store_table table_messages; /* incident id, 0, channel -> first message's ref */

extern const struct store_table table_ladders; /* "i:" incident or "a:" approval -> ladder_row */
extern const struct store_table
	table_diagnoses;                      /* incident id -> Diagnosis, the latest, in short */
extern const struct store_table table_kpis;   /* incident id -> struct kpi_row of kpi.h */
extern const struct store_table table_health; /* fold_health.c's rows */
/* UNSENT_QUEUED and a notice's id -> "": under way. UNSENT_KEPT and what is said (notice_row.base)
 * -> struct unsent_row: every channel failed, it will be said anew. */
extern const struct store_table table_unsent;
#define UNSENT_QUEUED "q:"
#define UNSENT_KEPT "u:"
enum { UNSENT_KEY_BYTES = 2 + TOKEN_MAX + 1 };

struct story_row {
	uint64_t id_hash; /* FNV-1a of the message's id: a bus that lost its tail reuses numbers */
	int64_t time_ms;
	uint32_t kind;
	uint32_t reserved;
};

struct plan_row {
	uint64_t seq, approval_seq, decision_seq, outcome_seq; /* on STORY; 0: none */
	int64_t at_ms;
	uint8_t digest[DIGEST_BYTES];
	uint32_t attempt;
	uint32_t verdict;  /* Verdict, valid with outcome_seq */
	uint32_t decision; /* DecisionVerdict, valid with decision_seq */
	uint32_t started;  /* an act has begun */
	char incident[TOKEN_MAX + 1];
	char approval[TOKEN_MAX + 1];
	char undoes[TOKEN_MAX + 1];
};

struct notice_row {
	char receiver[TOKEN_MAX + 1];
	char base[ID_BYTES]; /* the same for all channels one notice goes to */
};

struct group_row {
	int64_t flushed_ms; /* 0: never */
	int64_t due_ms;
	uint32_t pending;  /* something new is to be told at due_ms */
	uint32_t overflow; /* collects what a throttle held back */
	char route[ID_BYTES];
	char receiver[TOKEN_MAX + 1];
};

/* What is to be told about an incident: bits. */
enum {
	TELL_OPENED = 1 << 0,
	TELL_OUTCOME = 1 << 1,
	TELL_RESOLVED = 1 << 2,
	TELL_ESCALATED = 1 << 3,
};

struct item_row {
	uint32_t tell; /* not yet told */
	uint32_t told;
	uint32_t acked; /* a human has it: no repeats */
	uint32_t reserved;
};

/* An escalation under way, or why there is none. */
struct ladder_row {
	int64_t began_ms; /* its beats count from here */
	uint32_t next;    /* index of the next beat */
	uint32_t held;    /* why nobody is called, in fold_escalation.c; 0: somebody is */
	char policy[TOKEN_MAX + 1];
	char route[ID_BYTES];
	char incident[TOKEN_MAX + 1];
};

/* How often a tool acted for an incident, and how often that was done. */
struct tool_row {
	uint32_t runs, done;
};

/* A saying that every channel failed to take. */
struct unsent_row {
	int64_t since_ms;
	int64_t due_ms; /* 0: it is being said anew */
	uint32_t round;
	uint32_t reserved;
	char receiver[TOKEN_MAX + 1];
	char notice[ID_BYTES]; /* the last that failed */
};

/* A key of several parts. */
struct key {
	size_t len;
	char bytes[256];
};
struct key key_pair(const char *owner, const char *name);             /* owner, 0, name */
struct key key_owner(const char *owner);                              /* owner, 0: a prefix */
struct key key_story(const char *incident, uint64_t seq);             /* incident, 0, seq */
struct key key_ref(const char *incident, char tag, const char *name); /* incident, 0, tag, name */
struct key key_ref_seq(const char *incident, char tag, uint64_t seq); /* incident, 0, tag, seq */
struct key key_time(int64_t ms, const char *id);                      /* ms, id */

/* Tags of table_refs. */
enum {
	REF_PLAN = 'p',     /* seq -> plan id */
	REF_ATTEMPT = 'o',  /* seq -> Attempt: how a plan ended */
	REF_APPROVAL = 'a', /* approval id -> "" */
	REF_CHANGE = 'c',   /* change id -> "" */
	REF_NOTICE = 'n',   /* notice id -> "" */
	REF_TOOL = 't',     /* tool -> struct tool_row */
	REF_GROUP = 'g',    /* group id -> "": groups that hold it */
};

enum { CHANNEL_MESSAGE_MAX = WIRE_REF_MAX };
/* What the channel calls the incident's first message there; false when there is none. */
bool message_ref(struct store_txn *txn, const char *incident, const char *channel,
		 char out[static CHANNEL_MESSAGE_MAX + 1]);

/* The message in the arena, or NULL when there is none. */
ProtobufCMessage *row_message(struct store_txn *txn, const struct store_table *table,
			      const char *id, const ProtobufCMessageDescriptor *type,
			      struct arena *arena);
#define row_get(txn, table, id, Type, lower, arena)                                                \
	((Type *)row_message(txn, table, id, &healbus__##lower##__descriptor, arena))
/* The same from bytes in hand. */
ProtobufCMessage *row_unpack(struct store_val val, const ProtobufCMessageDescriptor *type,
			     struct arena *arena);
void row_put_message(struct store_txn *txn, const struct store_table *table, const void *key,
		     size_t key_len, const ProtobufCMessage *msg);

/* Fixed structs: true and *out when there is a row of that size. */
bool row_struct(struct store_txn *txn, const struct store_table *table, const char *id, void *out,
		size_t size);

uint64_t count_get(struct store_txn *txn, int state);
void count_add(struct store_txn *txn, int state, int by);

/* Collects the keys of a range, so that they can be changed after the walk. */
struct keys {
	struct key *items;
	size_t n, cap;
};
void keys_collect(struct store_txn *txn, const struct store_table *table, const void *prefix,
		  size_t prefix_len, struct keys *out);
void keys_release(struct keys *k);
#define auto_keys __attribute__((cleanup(keys_release))) struct keys

/* The rest of a key behind its owner's NUL, as a string valid as long as the key. */
const char *key_name(const struct key *k);

/*
 * The one id in the table that starts with prefix. 0; ERR_NOT_FOUND; ERR_CONFLICT when several do
 * (out_candidates holds up to 10 of them, comma-separated). An exact match wins over longer ones.
 */
int id_find(struct store_txn *txn, const struct store_table *table, const char *prefix,
	    char out[static TOKEN_MAX + 1], struct buf *out_candidates);

/* Copies a token that wire.c has checked; NULL gives "". */
void token_copy(char out[static TOKEN_MAX + 1], const char *token);

static inline const char *str_or_empty(const char *s)
{
	return s ? s : "";
}

#endif
