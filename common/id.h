/*
 * Digests, deterministic ids and checksums. An id is a hash of what opened the thing, so a stage
 * that starts over gives the same ids. Layer 0. All functions: any thread.
 */
#ifndef COMMON_ID_H
#define COMMON_ID_H

#include "common/base.h"

enum {
	ID_LEN = 20, /* characters: base32 (a-z2-7) of the first 100 bits of a SHA-256 */
	ID_BYTES = ID_LEN + 1,
	DIGEST_BYTES = 32,
	FINGERPRINT_LEN = 16, /* hex digits */
	TOKEN_MAX = 64,       /* longest subject token or id from outside */
	PARTITIONS = 16,      /* of the EVENTS stream; fixed for the life of a bus */
};

/* The id of (kind, parts...): unambiguous whatever the parts contain (each is length-prefixed).
 * NULL counts as "". */
void id_derive(char out[static ID_BYTES], const char *kind, const char *const *parts, size_t n);

/* id_make(out, "incident", key, event_id): the same with strings as arguments. */
#define id_make(out, kind, ...)                                                                    \
	id_derive(out, kind, (const char *const[]){__VA_ARGS__},                                   \
		  sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* Unpredictable, from the kernel. For boot ids, tokens and keys; never in a fold. */
void id_random(char out[static ID_BYTES]);

/* True for [A-Za-z0-9_-]{1,64}. */
bool token_valid(const char *s);

/* SHA-256 (FIPS 180-4). */
void digest_sha256(const void *data, size_t len, uint8_t out[static DIGEST_BYTES]);

/* HMAC-SHA-256 (RFC 2104). */
void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
		 uint8_t out[static DIGEST_BYTES]);

/* Constant-time comparison. */
bool digest_equal(const void *a, const void *b, size_t len);

/* Lower-case hex; out holds 2 * len + 1. */
void hex_encode(const void *data, size_t len, char *out);
/* 0 or ERR_INVALID; text must have exactly 2 * len hex digits. */
int hex_decode(const char *text, void *out, size_t len);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4); start with crc = 0. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The same without SSE 4.2, which crc32c() uses where the machine has it. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

/* 64-bit FNV-1a; start with FNV_INIT. */
#define FNV_INIT UINT64_C(14695981039346656037)
uint64_t fnv1a(uint64_t hash, const void *data, size_t len);

/* Partition of a key: FNV-1a mod PARTITIONS. Vectors in tests/unit/test_id.c; never to change. */
unsigned partition_of(const char *key);

struct label_view {
	const char *name;
	const char *value;
};

/*
 * Prometheus' label fingerprint: FNV-1a over name, 0xff, value, 0xff of the labels sorted by name
 * (prometheus/common model.LabelSet.Fingerprint). The labels must be sorted. 16 hex digits.
 */
void fingerprint_labels(const struct label_view *labels, size_t n,
			char out[static FINGERPRINT_LEN + 1]);

#endif
