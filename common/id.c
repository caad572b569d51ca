#include "common/id.h"
#include "common/err.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <sys/random.h>
#ifdef __x86_64__
#include <nmmintrin.h>
#endif

enum { ID_HASHED_BYTES = 13 }; /* 100 bits and a bit */

static const EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* Fetched once: an implicit fetch at every digest costs more than the digest, and a lock. */
static void sha256_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!sha256)
		abort();
}

static EVP_MD_CTX *hash_new(void)
{
	EVP_MD_CTX *ctx;

	pthread_once(&sha256_once, sha256_fetch);
	ctx = EVP_MD_CTX_new();
	if (!ctx || !EVP_DigestInit_ex(ctx, sha256, NULL))
		abort();
	return ctx;
}

static void hash_finish(EVP_MD_CTX *ctx, uint8_t out[static DIGEST_BYTES])
{
	if (!EVP_DigestFinal_ex(ctx, out, NULL))
		abort();
	EVP_MD_CTX_free(ctx);
}

void digest_sha256(const void *data, size_t len, uint8_t out[static DIGEST_BYTES])
{
	EVP_MD_CTX *ctx = hash_new();

	if (!EVP_DigestUpdate(ctx, data, len))
		abort();
	hash_finish(ctx, out);
}

void digest_hmac(const void *key, size_t key_len, const void *data, size_t len,
		 uint8_t out[static DIGEST_BYTES])
{
	pthread_once(&sha256_once, sha256_fetch);
	assert(key_len <= INT_MAX);
	if (!HMAC(sha256, key_len ? key : "", (int)key_len, data, len, out, NULL))
		abort();
}

bool digest_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

static void base32_id(const uint8_t *bytes, char out[static ID_BYTES])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

	for (size_t i = 0; i < ID_LEN; i++) {
		size_t bit = i * 5;
		unsigned pair = (unsigned)bytes[bit / 8] << 8;

		if (bit / 8 + 1 < ID_HASHED_BYTES)
			pair |= bytes[bit / 8 + 1];
		out[i] = alphabet[pair >> (11 - bit % 8) & 31];
	}
	out[ID_LEN] = '\0';
}

static void hash_part(EVP_MD_CTX *ctx, const char *part)
{
	size_t len = part ? strlen(part) : 0;
	uint8_t prefix[8];

	for (size_t i = 0; i < sizeof prefix; i++)
		prefix[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	if (!EVP_DigestUpdate(ctx, prefix, sizeof prefix) ||
	    !EVP_DigestUpdate(ctx, part ? part : "", len))
		abort();
}

void id_derive(char out[static ID_BYTES], const char *kind, const char *const *parts, size_t n)
{
	EVP_MD_CTX *ctx = hash_new();
	uint8_t digest[DIGEST_BYTES];

	hash_part(ctx, kind);
	for (size_t i = 0; i < n; i++)
		hash_part(ctx, parts[i]);
	hash_finish(ctx, digest);
	base32_id(digest, out);
}

void id_random(char out[static ID_BYTES])
{
	uint8_t bytes[ID_HASHED_BYTES];

	/* Up to 256 bytes come whole once the pool is ready; only waiting for that can be
	 * interrupted. */
	while (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		if (errno != EINTR)
			abort();
	base32_id(bytes, out);
}

bool token_valid(const char *s)
{
	static const bool allowed[256] = {
		['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true,
		['_'] = true,         ['-'] = true,
	};
	size_t len = 0;

	while (s && len <= TOKEN_MAX && allowed[(uint8_t)s[len]])
		len++;
	return len >= 1 && len <= TOKEN_MAX && s[len] == '\0';
}

void hex_encode(const void *data, size_t len, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

/* Of a hex digit. */
static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

int hex_decode(const char *text, void *out, size_t len)
{
	uint8_t *bytes = out;

	if (strlen(text) != 2 * len || strspn(text, "0123456789abcdefABCDEF") != 2 * len)
		return ERR_INVALID;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
	return 0;
}

/* Slicing by eight (Intel): one table per byte of a 64-bit step. */
static uint32_t crc_tables[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_tables_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
		crc_tables[0][i] = crc;
	}
	for (size_t t = 1; t < 8; t++)
		for (size_t i = 0; i < 256; i++)
			crc_tables[t][i] = crc_tables[t - 1][i] >> 8 ^
					   crc_tables[0][crc_tables[t - 1][i] & 0xff];
}

static uint32_t crc_step_8(uint32_t crc, const uint8_t *p)
{
	crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	return crc_tables[7][crc & 0xff] ^ crc_tables[6][crc >> 8 & 0xff] ^
	       crc_tables[5][crc >> 16 & 0xff] ^ crc_tables[4][crc >> 24] ^ crc_tables[3][p[4]] ^
	       crc_tables[2][p[5]] ^ crc_tables[1][p[6]] ^ crc_tables[0][p[7]];
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	pthread_once(&crc_once, crc_tables_fill);
	crc = ~crc;
	for (; len >= 8; len -= 8, p += 8)
		crc = crc_step_8(crc, p);
	for (; len; len--, p++)
		crc = crc >> 8 ^ crc_tables[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *p,
							       size_t len)
{
	uint64_t wide = ~crc;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t chunk;

		memcpy(&chunk, p, sizeof chunk);
		wide = _mm_crc32_u64(wide, chunk);
	}
	for (; len; len--, p++)
		wide = _mm_crc32_u8((uint32_t)wide, *p);
	return ~(uint32_t)wide;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, len);
	return crc32c_portable(crc, data, len);
}
#else
uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	return crc32c_portable(crc, data, len);
}
#endif

uint64_t fnv1a(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * UINT64_C(1099511628211);
	return hash;
}

unsigned partition_of(const char *key)
{
	return (unsigned)(fnv1a(FNV_INIT, key, strlen(key)) % PARTITIONS);
}

void fingerprint_labels(const struct label_view *labels, size_t n,
			char out[static FINGERPRINT_LEN + 1])
{
	static const uint8_t separator = 0xff;
	uint64_t hash = FNV_INIT;

	for (size_t i = 0; i < n; i++) {
		hash = fnv1a(hash, labels[i].name, strlen(labels[i].name));
		hash = fnv1a(hash, &separator, 1);
		hash = fnv1a(hash, labels[i].value, strlen(labels[i].value));
		hash = fnv1a(hash, &separator, 1);
	}
	(void)snprintf(out, FINGERPRINT_LEN + 1, "%016" PRIx64, hash);
}
