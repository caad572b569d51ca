/*
 * User nkeys: how NATS writes Ed25519 keys (github.com/nats-io/nkeys). base32 (RFC 4648, without
 * padding) over prefix, key and CRC-16/XMODEM (little endian). A seed is a secret and proves who
 * one is by signing what the server sends; a public key stands in the server's configuration.
 * Layer 0. Any thread; nothing blocks but nkey_new for random bytes.
 */
#ifndef COMMON_NKEY_H
#define COMMON_NKEY_H

#include "common/err.h"

enum {
	NKEY_SEED_LEN = 58,   /* "SU..." */
	NKEY_PUBLIC_LEN = 56, /* "U..." */
	NKEY_RAW_BYTES = 32,
	NKEY_SIGNATURE_BYTES = 64,
};

/* A new pair of keys. Whoever calls wipes the seed. ERR_INTERNAL without random bytes. */
int nkey_new(char out_seed[static NKEY_SEED_LEN + 1], char out_public[static NKEY_PUBLIC_LEN + 1],
	     struct why *out_why);

/* The public key of a user's seed. ERR_INVALID for what is no seed, or not a user's; out_why never
 * holds any of it. */
int nkey_public(const char *seed, char out[static NKEY_PUBLIC_LEN + 1], struct why *out_why);

/* Signs data. Everything secret is wiped before it returns. ERR_INVALID, ERR_INTERNAL. */
int nkey_sign(const char *seed, const void *data, size_t len,
	      uint8_t out[static NKEY_SIGNATURE_BYTES], struct why *out_why);

/* True for a user's public key whose checksum is right. */
bool nkey_public_valid(const char *text);

#endif
