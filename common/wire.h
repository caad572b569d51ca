/*
 * Packing, unpacking and checking of messages. Bytes from the bus are checked here once: sizes,
 * counts, ranges, tokens, UTF-8; after wire_unpack the rest of the code may rely on it. Layer 2.
 */
#ifndef COMMON_WIRE_H
#define COMMON_WIRE_H

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/topic.h"
#include "proto/healbus.pb-c.h"

enum {
	WIRE_MESSAGE_MAX_BYTES = 256 << 10,
	WIRE_RAW_MAX_BYTES = 1000 << 10, /* under the server's max_payload of 1 MiB */
	WIRE_LABELS_MAX = 64,
	WIRE_LABEL_NAME_MAX = 128,
	WIRE_LABEL_VALUE_MAX = 4096,
	WIRE_ANNOTATION_MAX = 64 << 10,
	WIRE_EVENTS_MAX = 16,
	WIRE_STEPS_MAX = 32,
	WIRE_PARAMS_MAX = 32,
	WIRE_ATTEMPTS_MAX = 16,
	WIRE_OUTPUT_MAX = 8192,
	WIRE_OUTPUT_SHORT_MAX = 1024,
	WIRE_LINE_MAX = 1024,
	WIRE_TEXT_MAX = 16384,
	WIRE_REASON_MAX = 1024,
	WIRE_TITLE_MAX = 256,
	WIRE_PATCH_MAX = 128 << 10, /* a patch, a model's answer */
	WIRE_PROMPT_MAX = 96 << 10,
	WIRE_DETAIL_MAX = 4096,
	WIRE_EDITS_SHORT_MAX = 8192,
	WIRE_EVIDENCE_MAX = 16,
	WIRE_CANDIDATES_MAX = 8,
	WIRE_RECALLED_MAX = 10,
	WIRE_SOURCES_MAX = 32,
	WIRE_REF_MAX = 256, /* what a vendor calls a message */
	/* Fields from this number on must not be overlooked by who does not know them. */
	WIRE_CRITICAL_FIELD = 1000,
	/* One message may take this and twice its size of the arena; more is ERR_TOO_LARGE. */
	WIRE_UNPACK_MIN_BYTES = 1 << 20,
};

/*
 * Unpacks into the arena and checks. The result is a Healbus__<Kind> (KIND_TICK: Healbus__Tick),
 * valid until the arena is reset; no call frees it. ERR_TOO_LARGE, ERR_INVALID or ERR_SCHEMA with
 * the field's path in out_why, e.g. "plan.steps[2].tool: not a token". What a newer release put
 * in is kept: unknown fields, and enum values, which read as unset (0). Packing brings it back,
 * behind the known fields. An unknown field from WIRE_CRITICAL_FIELD on is ERR_SCHEMA.
 * KIND_RAW: an Event from outside the house; what is there is checked alike, but id, source and
 * fingerprint may be missing. A full arena also is ERR_TOO_LARGE: give each batch room.
 */
int wire_unpack(enum kind kind, const void *data, size_t len, struct arena *arena,
		ProtobufCMessage **out, struct why *out_why);

/* The same checks on a message built here; emit() and bus publishers call it, so a bad output never
 * leaves. */
int wire_check(enum kind kind, const ProtobufCMessage *msg, struct why *out_why);

/* Appends the packed bytes. Deterministic: equal messages give equal bytes. */
void wire_pack(const ProtobufCMessage *msg, struct buf *out);

/* 0, ERR_SCHEMA for what this release cannot read, ERR_INVALID for SCHEMA_ANSWER. */
int wire_check_schema(unsigned schema, struct why *out_why);

/* 0 when a message that was unpacked from this subject may be there: a Control only where its kind
 * belongs, since who may say which kind is decided by subject. Kinds of later versions may be
 * anywhere; nobody here acts on them. ERR_INVALID. */
int wire_check_topic(const struct topic *topic, const ProtobufCMessage *msg, struct why *out_why);

/* SHA-256 of exactly these bytes. */
static inline void plan_digest(const void *packed, size_t len, uint8_t out[static DIGEST_BYTES])
{
	digest_sha256(packed, len, out);
}

/* Value of a label, NULL when absent. */
const char *label_get(Healbus__Label *const *labels, size_t n, const char *name);
/* The same with the matcher's signature; labels is a struct label_set. */
struct label_set {
	Healbus__Label *const *items;
	size_t n;
};
const char *label_set_lookup(const void *label_set, const char *name);

/* Allocates in the arena (NULL when that is full), or with mem_alloc when arena is NULL. */
Healbus__Label *label_new(struct arena *arena, const char *name, const char *value);
/* The same of texts that live as long as the arena; NULL when one is. */
Healbus__Label *label_of(struct arena *arena, char *name, char *value);
Healbus__Param *param_new_string(struct arena *arena, const char *name, const char *value);

/* Any message as JSON, field names as in the proto, enums as their names without prefix in lower
 * case, bytes as hex, labels and annotations as objects, parameters as an object; unset fields left
 * out, empty lists there as {} or [] (so that .events[] is never an error). For jq, healctl --json
 * and the API. New reference. */
#include <jansson.h>
json_t *wire_to_json(const ProtobufCMessage *msg);

/* Lower-case enum names without their prefix: verdict_name(VERDICT_HEALED) = "healed". Unknown
 * numbers: "unknown". */
const char *wire_enum_name(const ProtobufCEnumDescriptor *descriptor, int value);
/* The reverse; ERR_INVALID. */
int wire_enum_parse(const ProtobufCEnumDescriptor *descriptor, const char *name, int *out);

/* Cuts s to at most max bytes at a UTF-8 border and replaces control characters and invalid UTF-8;
 * into the arena (or mem_alloc when NULL). */
char *wire_text(struct arena *arena, const char *s, size_t len, size_t max);

/* Shorthands for optional scalar fields: SET(msg, field, value). */
#define SET(msg, field, value) ((msg)->has_##field = 1, (msg)->field = (value))

/* Ed25519 over the packed Decision without its signature (RFC 8032). Key files: PEM as openssl
 * genpkey -algorithm ed25519 writes. */
struct sign_key;   /* private */
struct verify_key; /* public */
int sign_key_load(const char *path, struct sign_key **out, struct why *out_why);
/* Creates path (0600) and path.pub when missing, then loads. */
int sign_key_load_or_create(const char *path, struct sign_key **out, struct why *out_why);
void sign_key_free(struct sign_key *k);
int verify_key_load(const char *path, struct verify_key **out, struct why *out_why);
void verify_key_free(struct verify_key *k);
/*
 * SHA-256 over what people were shown that would run, and how it would be undone: level, rendered,
 * rollback. The plan's digest binds to names; this binds to what they meant when it was asked.
 */
void approval_digest(const Healbus__ApprovalRequest *a, uint8_t out[static DIGEST_BYTES]);

/* Sets key_id and signature; the signature's memory is in the arena. */
int decision_sign(Healbus__Decision *d, const struct sign_key *key, struct arena *arena,
		  struct why *out_why);
/* The same for a Control, whose only readers hold the private key too. A signature of the one is
 * none of the other. */
int control_sign(Healbus__Control *c, const struct sign_key *key, struct arena *arena,
		 struct why *out_why);
int control_verify(const Healbus__Control *c, const struct sign_key *key, struct why *out_why);
/* 0, or ERR_UNAUTHENTICATED. */
int decision_verify(const Healbus__Decision *d, const struct verify_key *key, struct why *out_why);

#endif
