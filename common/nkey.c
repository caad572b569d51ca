#include "common/nkey.h"

#include <openssl/evp.h>
#include <sys/random.h>

enum {
	PREFIX_SEED = 18 << 3, /* 'S' */
	PREFIX_USER = 20 << 3, /* 'U' */
	CRC_BYTES = 2,
	SEED_BYTES = 2 + NKEY_RAW_BYTES + CRC_BYTES,
	PUBLIC_BYTES = 1 + NKEY_RAW_BYTES + CRC_BYTES,
	BASE32_BITS = 5,
};

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static void pkey_cleanup(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}
#define auto_pkey __attribute__((cleanup(pkey_cleanup))) EVP_PKEY

static void md_cleanup(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}
#define auto_md __attribute__((cleanup(md_cleanup))) EVP_MD_CTX

/* ---- text ---- */

static uint16_t crc16(const uint8_t *data, size_t len)
{
	unsigned crc = 0;
	for (size_t i = 0; i < len; i++) {
		crc ^= (unsigned)data[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1 & 0xffff;
	}
	return (uint16_t)crc;
}

/* Fills in the checksum at the end of raw, then writes (8 * len + 4) / 5 characters and a NUL. */
static void encode(uint8_t *raw, size_t len, char *out)
{
	uint16_t crc = crc16(raw, len - CRC_BYTES);
	unsigned bits = 0, n = 0;
	raw[len - 2] = (uint8_t)(crc & 0xff);
	raw[len - 1] = (uint8_t)(crc >> 8);
	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | raw[i]) & 0xfff;
		for (n += 8; n >= BASE32_BITS; n -= BASE32_BITS)
			*out++ = alphabet[bits >> (n - BASE32_BITS) & 31];
	}
	if (n)
		*out++ = alphabet[bits << (BASE32_BITS - n) & 31];
	*out = '\0';
}

static bool decode_digits(const char *text, uint8_t *raw, size_t len)
{
	unsigned bits = 0, n = 0;
	size_t at = 0;
	for (; *text; text++) {
		const char *digit = memchr(alphabet, *text, sizeof(alphabet) - 1);
		if (!digit)
			return false;
		bits = (bits << BASE32_BITS | (unsigned)(digit - alphabet)) & 0xfff;
		n += BASE32_BITS;
		if (n < 8)
			continue;
		n -= 8;
		if (at == len)
			return false;
		raw[at++] = (uint8_t)(bits >> n);
	}
	/* What is left of the last digit is zero: one key has one spelling. */
	return at == len && (bits & ((1U << n) - 1)) == 0;
}

/* Exactly len bytes with a right checksum. */
static bool decode(const char *text, uint8_t *raw, size_t len)
{
	if (strlen(text) != (len * 8 + BASE32_BITS - 1) / BASE32_BITS ||
	    !decode_digits(text, raw, len))
		return false;
	uint16_t crc = crc16(raw, len - CRC_BYTES);
	return raw[len - 2] == (crc & 0xff) && raw[len - 1] == crc >> 8;
}

static void encode_public(const uint8_t key[static NKEY_RAW_BYTES], char *out)
{
	uint8_t raw[PUBLIC_BYTES] = {PREFIX_USER};
	memcpy(raw + 1, key, NKEY_RAW_BYTES);
	encode(raw, sizeof(raw), out);
}

bool nkey_public_valid(const char *text)
{
	uint8_t raw[PUBLIC_BYTES];
	return decode(text, raw, sizeof(raw)) && raw[0] == PREFIX_USER;
}

/* ---- keys ---- */

static int key_open(const char *seed, EVP_PKEY **out, struct why *out_why)
{
	/* The seed's two prefixes share two bytes: five bits of the first, then the user's. */
	uint8_t raw[SEED_BYTES];
	bool ok = decode(seed, raw, sizeof(raw)) && (raw[0] & 0xf8) == PREFIX_SEED &&
		  ((raw[0] & 7) << 5 | raw[1] >> 3) == PREFIX_USER;
	EVP_PKEY *pkey =
		ok ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw + 2, NKEY_RAW_BYTES)
		   : NULL;
	explicit_bzero(raw, sizeof(raw));
	if (!ok)
		return why_set(out_why, ERR_INVALID,
			       "not the seed of a user's nkey (SU and 56 more characters, with a "
			       "checksum)");
	if (!pkey)
		return why_set(out_why, ERR_INTERNAL, "cannot make an Ed25519 key");
	*out = pkey;
	return 0;
}

int nkey_public(const char *seed, char out[static NKEY_PUBLIC_LEN + 1], struct why *out_why)
{
	auto_pkey *pkey = NULL;
	uint8_t key[NKEY_RAW_BYTES];
	size_t len = sizeof(key);
	int rc = key_open(seed, &pkey, out_why);
	if (rc)
		return rc;
	if (EVP_PKEY_get_raw_public_key(pkey, key, &len) != 1 || len != sizeof(key))
		return why_set(out_why, ERR_INTERNAL, "no public half of an Ed25519 key");
	encode_public(key, out);
	return 0;
}

int nkey_sign(const char *seed, const void *data, size_t len,
	      uint8_t out[static NKEY_SIGNATURE_BYTES], struct why *out_why)
{
	auto_pkey *pkey = NULL;
	size_t n = NKEY_SIGNATURE_BYTES;
	int rc = key_open(seed, &pkey, out_why);
	if (rc)
		return rc;
	auto_md *md = EVP_MD_CTX_new();
	if (!md || EVP_DigestSignInit(md, NULL, NULL, NULL, pkey) != 1 ||
	    EVP_DigestSign(md, out, &n, data, len) != 1)
		return why_set(out_why, ERR_INTERNAL, "cannot sign");
	return 0;
}

int nkey_new(char out_seed[static NKEY_SEED_LEN + 1], char out_public[static NKEY_PUBLIC_LEN + 1],
	     struct why *out_why)
{
	uint8_t raw[SEED_BYTES] = {PREFIX_SEED | PREFIX_USER >> 5, (PREFIX_USER & 31) << 3};
	if (getrandom(raw + 2, NKEY_RAW_BYTES, 0) != NKEY_RAW_BYTES)
		return why_set(out_why, ERR_INTERNAL, "no random bytes: %s", strerror(errno));
	encode(raw, sizeof(raw), out_seed);
	explicit_bzero(raw, sizeof(raw));
	return nkey_public(out_seed, out_public, out_why);
}
