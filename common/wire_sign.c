#include "common/wire.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

enum { PUBLIC_BYTES = 32, SIGNATURE_BYTES = 64, KEY_ID_BYTES = 17 };

struct sign_key {
	EVP_PKEY *pkey;
	char id[KEY_ID_BYTES];
};

struct verify_key {
	EVP_PKEY *pkey;
	char id[KEY_ID_BYTES];
};

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

/* ---- keys ---- */

static int key_id(EVP_PKEY *pkey, char out[static KEY_ID_BYTES])
{
	uint8_t raw[PUBLIC_BYTES], digest[DIGEST_BYTES];
	size_t len = sizeof(raw);
	if (EVP_PKEY_get_raw_public_key(pkey, raw, &len) != 1 || len != sizeof(raw))
		return ERR_CONFIG;
	digest_sha256(raw, sizeof(raw), digest);
	hex_encode(digest, (KEY_ID_BYTES - 1) / 2, out);
	return 0;
}

static int open_file(const char *path, FILE **out, struct why *out_why)
{
	FILE *file = fopen(path, "re");
	if (!file) {
		int rc = err_from_errno(errno);
		return why_set(out_why, rc, "%s: %s", path, strerror(errno));
	}
	*out = file;
	return 0;
}

static int not_a_key(const char *path, const char *which, struct why *out_why)
{
	return why_set(out_why, ERR_CONFIG, "%s: not an Ed25519 %s key in PEM", path, which);
}

int sign_key_load(const char *path, struct sign_key **out, struct why *out_why)
{
	auto_file FILE *file = NULL;
	struct stat st;
	int rc = open_file(path, &file, out_why);
	if (rc)
		return rc;
	if (fstat(fileno(file), &st) || st.st_mode & S_IRWXO)
		return why_set(out_why, ERR_CONFIG, "%s: others may read it; chmod 600 it", path);
	auto_pkey *pkey = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	if (!pkey || EVP_PKEY_id(pkey) != EVP_PKEY_ED25519)
		return not_a_key(path, "private", out_why);
	struct sign_key *k = mem_alloc(sizeof(*k));
	rc = key_id(pkey, k->id);
	if (rc) {
		free(k);
		return not_a_key(path, "private", out_why);
	}
	k->pkey = pkey;
	pkey = NULL;
	*out = k;
	return 0;
}

void sign_key_free(struct sign_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

int verify_key_load(const char *path, struct verify_key **out, struct why *out_why)
{
	auto_file FILE *file = NULL;
	int rc = open_file(path, &file, out_why);
	if (rc)
		return rc;
	auto_pkey *pkey = PEM_read_PUBKEY(file, NULL, NULL, NULL);
	if (!pkey || EVP_PKEY_id(pkey) != EVP_PKEY_ED25519)
		return not_a_key(path, "public", out_why);
	struct verify_key *k = mem_alloc(sizeof(*k));
	rc = key_id(pkey, k->id);
	if (rc) {
		free(k);
		return not_a_key(path, "public", out_why);
	}
	k->pkey = pkey;
	pkey = NULL;
	*out = k;
	return 0;
}

void verify_key_free(struct verify_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

/* ---- creating ---- */

struct key_file {
	EVP_PKEY *pkey;
	mode_t mode;
	int (*write)(FILE *file, EVP_PKEY *pkey);
};

static int write_private(FILE *file, EVP_PKEY *pkey)
{
	return PEM_write_PrivateKey(file, pkey, NULL, NULL, 0, NULL, NULL);
}

static int write_public(FILE *file, EVP_PKEY *pkey)
{
	return PEM_write_PUBKEY(file, pkey);
}

static int write_new(const char *path, const struct key_file *key)
{
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, key->mode);
	if (fd < 0)
		return err_from_errno(errno);
	auto_file FILE *file = fdopen(fd, "w");
	if (!file)
		return ERR_IO;
	fd_take(&fd);
	bool ok = key->write(file, key->pkey) == 1 && fflush(file) == 0 && fsync(fileno(file)) == 0;
	return ok ? 0 : ERR_IO;
}

/* Whole or not at all; who comes second keeps what the first wrote. */
static int write_once(const char *path, const struct key_file *key, struct why *out_why)
{
	char random[ID_BYTES];
	id_random(random);
	auto_free char *temporary = mem_printf("%s.%s", path, random);
	int rc = write_new(temporary, key);
	if (!rc && link(temporary, path) && errno != EEXIST)
		rc = err_from_errno(errno);
	unlink(temporary);
	return rc ? why_set(out_why, rc, "%s: cannot create: %s", path, err_name(rc)) : 0;
}

static int create_private(const char *path, struct why *out_why)
{
	auto_pkey *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	if (!pkey)
		return why_set(out_why, ERR_INTERNAL, "cannot make an Ed25519 key");
	const struct key_file key = {pkey, 0600, write_private};
	return write_once(path, &key, out_why);
}

int sign_key_load_or_create(const char *path, struct sign_key **out, struct why *out_why)
{
	struct sign_key *k = NULL;
	int rc = access(path, F_OK) == 0 ? 0 : create_private(path, out_why);
	if (!rc)
		rc = sign_key_load(path, &k, out_why);
	if (rc)
		return rc;
	assert(k);
	auto_free char *public_path = mem_printf("%s.pub", path);
	const struct key_file key = {k->pkey, 0644, write_public};
	if (access(public_path, F_OK) != 0)
		rc = write_once(public_path, &key, out_why);
	if (rc)
		sign_key_free(k);
	else
		*out = k;
	return rc;
}

/* ---- decisions ---- */

/* The same Decision without its signature; borrows everything. */
static void signed_bytes(const Healbus__Decision *d, struct buf *out)
{
	Healbus__Decision bare = *d;
	bare.has_signature = 0;
	bare.signature = (ProtobufCBinaryData){0};
	wire_pack(&bare.base, out);
}

void approval_digest(const Healbus__ApprovalRequest *a, uint8_t out[static DIGEST_BYTES])
{
	auto_buf bytes = {0};
	Healbus__ApprovalRequest shown = HEALBUS__APPROVAL_REQUEST__INIT;
	SET(&shown, level, a->level);
	shown.rendered = a->rendered;
	shown.n_rendered = a->n_rendered;
	shown.rollback = a->rollback;
	shown.n_rollback = a->n_rollback;
	wire_pack(&shown.base, &bytes);
	digest_sha256(buf_str(&bytes), bytes.len, out);
}

static int sign_bytes(const struct buf *bytes, const struct sign_key *key, struct arena *arena,
		      ProtobufCBinaryData *out)
{
	uint8_t *signature = arena_alloc(arena, SIGNATURE_BYTES);
	auto_md *md = EVP_MD_CTX_new();
	size_t len = SIGNATURE_BYTES;
	if (!signature)
		return ERR_TOO_LARGE;
	if (!md || EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey) != 1 ||
	    EVP_DigestSign(md, signature, &len, (const uint8_t *)bytes->data, bytes->len) != 1)
		return ERR_INTERNAL;
	*out = (ProtobufCBinaryData){len, signature};
	return 0;
}

static int verify_bytes(const struct buf *bytes, EVP_PKEY *pkey,
			const ProtobufCBinaryData *signature)
{
	auto_md *md = EVP_MD_CTX_new();
	if (!md || EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) != 1)
		return ERR_INTERNAL;
	return EVP_DigestVerify(md, signature->data, signature->len, (const uint8_t *)bytes->data,
				bytes->len) == 1
		       ? 0
		       : ERR_UNAUTHENTICATED;
}

int decision_sign(Healbus__Decision *d, const struct sign_key *key, struct arena *arena,
		  struct why *out_why)
{
	ProtobufCBinaryData signature;
	auto_buf bytes = {0};
	d->key_id = arena_strdup(arena, key->id);
	if (!d->key_id)
		return why_set(out_why, ERR_TOO_LARGE, "no room for a signature");
	signed_bytes(d, &bytes);
	int rc = sign_bytes(&bytes, key, arena, &signature);
	if (rc)
		return why_set(out_why, rc, "cannot sign");
	SET(d, signature, signature);
	return 0;
}

int decision_verify(const Healbus__Decision *d, const struct verify_key *key, struct why *out_why)
{
	if (!d->has_signature || d->signature.len != SIGNATURE_BYTES)
		return why_set(out_why, ERR_UNAUTHENTICATED, "the decision is not signed");
	if (!d->key_id || !str_eq(d->key_id, key->id))
		return why_set(out_why, ERR_UNAUTHENTICATED,
			       "the decision is signed with key %.16s, not with %s",
			       d->key_id ? d->key_id : "(none)", key->id);
	auto_buf bytes = {0};
	signed_bytes(d, &bytes);
	int rc = verify_bytes(&bytes, key->pkey, &d->signature);
	return rc ? why_set(out_why, rc, "the decision's signature is wrong") : 0;
}

/* ---- controls ---- */

/* No packed message begins with a NUL: what is signed here is never a Decision's bytes. */
static void control_bytes(const Healbus__Control *c, struct buf *out)
{
	static const char domain[] = "\0healbus control";
	Healbus__Control bare = *c;
	auto_buf packed = {0};
	bare.has_signature = 0;
	bare.signature = (ProtobufCBinaryData){0};
	wire_pack(&bare.base, &packed);
	buf_add(out, domain, sizeof(domain));
	buf_add(out, packed.data, packed.len);
}

int control_sign(Healbus__Control *c, const struct sign_key *key, struct arena *arena,
		 struct why *out_why)
{
	ProtobufCBinaryData signature;
	auto_buf bytes = {0};
	c->key_id = arena_strdup(arena, key->id);
	if (!c->key_id)
		return why_set(out_why, ERR_TOO_LARGE, "no room for a signature");
	control_bytes(c, &bytes);
	int rc = sign_bytes(&bytes, key, arena, &signature);
	if (rc)
		return why_set(out_why, rc, "cannot sign");
	SET(c, signature, signature);
	return 0;
}

int control_verify(const Healbus__Control *c, const struct sign_key *key, struct why *out_why)
{
	auto_buf bytes = {0};
	if (!c->has_signature || c->signature.len != SIGNATURE_BYTES || !c->key_id ||
	    !str_eq(c->key_id, key->id))
		return why_set(out_why, ERR_UNAUTHENTICATED, "not signed with key %s", key->id);
	control_bytes(c, &bytes);
	int rc = verify_bytes(&bytes, key->pkey, &c->signature);
	return rc ? why_set(out_why, rc, "the signature is wrong") : 0;
}
