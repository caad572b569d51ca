#include "notifier/token.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/secret.h"

#include <fcntl.h>
#include <sys/random.h>

enum { SECRET_BYTES = 32, BASE32_BITS = 5 };

struct token_key {
	struct secret secret;
};

/* ---- what is answered ---- */

static const struct {
	const char *name;
	char letter;
} whats[ANSWERS] = {
	[ANSWER_APPROVE] = {"approve", 'y'}, [ANSWER_DENY] = {"deny", 'n'},
	[ANSWER_INFO] = {"info", 'i'},       [ANSWER_ACK] = {"ack", 'a'},
	[ANSWER_HELD] = {"held", 'h'},       [ANSWER_NOT_HELD] = {"not_held", 'x'},
};

const char *answer_what_name(enum answer_what what)
{
	return (unsigned)what < ANSWERS ? whats[what].name : NULL;
}

enum answer_what answer_what_parse(const char *name)
{
	for (enum answer_what w = ANSWER_NONE + 1; w < ANSWERS; w++)
		if (str_eq(whats[w].name, name))
			return w;
	return ANSWER_NONE;
}

/* ---- the key ---- */

/* Made under another name and linked into place: who starts second finds the first one's. */
static int key_create(const char *path, struct why *out_why)
{
	uint8_t raw[SECRET_BYTES];
	char hex[2 * SECRET_BYTES + 1], suffix[ID_BYTES];
	if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
		return why_set(out_why, ERR_INTERNAL, "no random bytes: %s", strerror(errno));
	hex_encode(raw, sizeof(raw), hex);
	id_random(suffix);
	auto_buf temp = {0};
	buf_printf(&temp, "%s.%s", path, suffix);
	auto_fd int fd = open(buf_str(&temp), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, hex, strlen(hex)) == (ssize_t)strlen(hex) && !fsync(fd);
	int error = errno;
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(hex, sizeof(hex));
	if (ok && link(buf_str(&temp), path) && errno != EEXIST) {
		ok = false;
		error = errno;
	}
	unlink(buf_str(&temp));
	return ok ? 0 : why_set(out_why, err_from_errno(error), "%s: %s", path, strerror(error));
}

int token_key_load_or_create(const char *path, struct token_key **out, struct why *out_why)
{
	int rc = access(path, F_OK) ? key_create(path, out_why) : 0;
	if (rc)
		return rc;
	struct token_key *k = mem_alloc(sizeof(*k));
	rc = secret_read(&k->secret, path, out_why);
	if (!rc && k->secret.len < SECRET_BYTES)
		rc = why_set(out_why, ERR_CONFIG, "%s: shorter than %d bytes; remove it", path,
			     SECRET_BYTES);
	if (rc)
		token_key_free(k);
	else
		*out = k;
	return rc;
}

struct token_key *token_key_new(const void *secret, size_t len)
{
	struct token_key *k = mem_alloc(sizeof(*k));
	if (!secret_set(&k->secret, secret, len))
		return k;
	free(k);
	return NULL;
}

void token_key_free(struct token_key *k)
{
	if (k)
		secret_release(&k->secret);
	free(k);
}

/* ---- tokens ---- */

static void add_part(struct buf *b, const char *part)
{
	size_t len = part ? strlen(part) : 0;
	buf_printf(b, "%zu:", len);
	buf_add(b, part ? part : "", len);
}

/* Each part with its length before it: no two claims give the same bytes. */
static void mac(const struct token_key *key, const struct token_claim *claim,
		char out[static TOKEN_MAC_LEN + 1])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint8_t digest[DIGEST_BYTES];
	auto_buf text = {0};
	add_part(&text, answer_what_name(claim->what));
	add_part(&text, claim->subject);
	add_part(&text, claim->channel);
	add_part(&text, claim->person);
	digest_hmac(key->secret.data, key->secret.len, text.data, text.len, digest);
	for (size_t i = 0; i < TOKEN_MAC_LEN; i++) {
		size_t bit = i * BASE32_BITS;
		unsigned two = (unsigned)digest[bit / 8] << 8 | digest[bit / 8 + 1];
		out[i] = alphabet[two >> (16 - BASE32_BITS - bit % 8) & 31];
	}
	out[TOKEN_MAC_LEN] = '\0';
}

const char *token_make(const struct token_key *key, const struct token_claim *claim,
		       char out[static TOKEN_TEXT])
{
	char proof[TOKEN_MAC_LEN + 1];
	assert(claim->what > ANSWER_NONE && claim->what < ANSWERS && token_valid(claim->subject));
	mac(key, claim, proof);
	snprintf(out, TOKEN_TEXT, "%c%.*s.%s", whats[claim->what].letter, TOKEN_SUBJECT_SHOWN,
		 claim->subject, proof);
	return out;
}

bool token_read(const char *token, enum answer_what *out_what,
		char out_subject[static TOKEN_SUBJECT_SHOWN + 1])
{
	const char *dot = strchr(token, '.');
	char subject[TOKEN_SUBJECT_SHOWN + 1] = "";
	size_t len = dot && dot > token ? (size_t)(dot - token - 1) : 0;
	if (len == 0 || len > TOKEN_SUBJECT_SHOWN || strlen(dot + 1) != TOKEN_MAC_LEN)
		return false;
	memcpy(subject, token + 1, len);
	for (enum answer_what w = ANSWER_NONE + 1; w < ANSWERS; w++) {
		if (whats[w].letter != token[0] || !token_valid(subject))
			continue;
		*out_what = w;
		memcpy(out_subject, subject, sizeof(subject));
		return true;
	}
	return false;
}

bool token_proves(const struct token_key *key, const char *token, const struct token_claim *claim)
{
	char proof[TOKEN_MAC_LEN + 1];
	const char *dot = strchr(token, '.');
	mac(key, claim, proof);
	return dot && strlen(dot + 1) == TOKEN_MAC_LEN &&
	       digest_equal(dot + 1, proof, TOKEN_MAC_LEN);
}
