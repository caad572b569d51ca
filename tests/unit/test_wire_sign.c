#include "common/wire.h"

#include <setjmp.h>
#include <cmocka.h>
#include <ftw.h>
#include <sys/stat.h>

#define auto_arena __attribute__((cleanup(arena_release))) struct arena

/* The private key of RFC 8032 section 7.1, test 1, as PKCS #8 (RFC 8410). */
#define RFC8032_PEM                                                                                \
	"-----BEGIN PRIVATE KEY-----\n"                                                            \
	"MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                       \
	"-----END PRIVATE KEY-----\n"
#define RFC8032_PUBLIC "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

struct fixture {
	char dir[40];
	char key[64];
	char pub[72];
	char other[64];
	char other_pub[72];
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));
	memcpy(f->dir, "/tmp/healbus-test-sign-XXXXXX", 30);
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->key, sizeof(f->key), "%s/key", f->dir);
	snprintf(f->pub, sizeof(f->pub), "%s/key.pub", f->dir);
	snprintf(f->other, sizeof(f->other), "%s/other", f->dir);
	snprintf(f->other_pub, sizeof(f->other_pub), "%s/other.pub", f->dir);
	*state = f;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
	return 0;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	auto_file FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(chmod(path, mode), 0);
}

static Healbus__Decision *decision_new(struct arena *a)
{
	Healbus__Decision *d = arena_alloc(a, sizeof(*d));
	healbus__decision__init(d);
	d->id = arena_strdup(a, "d1");
	d->incident = arena_strdup(a, "i1");
	d->plan_id = arena_strdup(a, "p1");
	d->by = arena_strdup(a, "ada");
	SET(d, plan_digest,
	    ((ProtobufCBinaryData){
		    32, (uint8_t *)arena_strdup(a, "0123456789abcdef0123456789abcdef")}));
	SET(d, plan_seq, 42);
	SET(d, verdict, HEALBUS__DECISION_VERDICT__DECISION_APPROVE);
	SET(d, deadline_ms, 1795262624477);
	return d;
}

struct pair {
	struct sign_key *sign;
	struct verify_key *verify;
};

static struct pair pair_make(const char *path, const char *pub)
{
	struct pair p = {0};
	struct why why = {0};
	if (sign_key_load_or_create(path, &p.sign, &why) || verify_key_load(pub, &p.verify, &why))
		fail_msg("%s", why.text);
	return p;
}

static void pair_free(struct pair *p)
{
	sign_key_free(p->sign);
	verify_key_free(p->verify);
}

static void test_signed_over_the_wire(void **state)
{
	struct fixture *f = *state;
	auto_arena a = {0};
	auto_buf bytes = {0};
	ProtobufCMessage *read = NULL;
	struct pair p = pair_make(f->key, f->pub);
	Healbus__Decision *d = decision_new(&a);
	assert_int_equal(decision_sign(d, p.sign, &a, NULL), 0);
	assert_int_equal(d->signature.len, 64);
	assert_int_equal(strlen(d->key_id), 16);
	assert_int_equal(wire_check(KIND_DECISION, &d->base, NULL), 0);
	wire_pack(&d->base, &bytes);
	buf_add(&bytes, "\xa2\x38\x03new", 6); /* a field of a newer build is signed, too */
	assert_int_equal(wire_unpack(KIND_DECISION, bytes.data, bytes.len, &a, &read, NULL), 0);
	assert_int_equal(decision_verify((Healbus__Decision *)read, p.verify, NULL),
			 ERR_UNAUTHENTICATED);
	assert_int_equal(wire_unpack(KIND_DECISION, bytes.data, bytes.len - 6, &a, &read, NULL), 0);
	assert_int_equal(decision_verify((Healbus__Decision *)read, p.verify, NULL), 0);
	pair_free(&p);
}

/* Every bit of the packed message counts. */
static void test_any_changed_bit_is_refused(void **state)
{
	struct fixture *f = *state;
	auto_arena a = {0};
	auto_buf bytes = {0};
	struct pair p = pair_make(f->key, f->pub);
	Healbus__Decision *d = decision_new(&a);
	size_t read_back = 0;
	assert_int_equal(decision_sign(d, p.sign, &a, NULL), 0);
	wire_pack(&d->base, &bytes);
	for (size_t bit = 0; bit < bytes.len * 8; bit++) {
		auto_arena b = {0};
		ProtobufCMessage *read = NULL;
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
		if (!wire_unpack(KIND_DECISION, bytes.data, bytes.len, &b, &read, NULL)) {
			read_back++;
			assert_int_equal(decision_verify((Healbus__Decision *)read, p.verify, NULL),
					 ERR_UNAUTHENTICATED);
		}
		bytes.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_true(read_back > 100);
	pair_free(&p);
}

static void test_unsigned_and_other_keys_are_refused(void **state)
{
	struct fixture *f = *state;
	auto_arena a = {0};
	struct why why = {0};
	struct pair p = pair_make(f->key, f->pub), q = pair_make(f->other, f->other_pub);
	Healbus__Decision *d = decision_new(&a);
	assert_int_equal(decision_verify(d, p.verify, &why), ERR_UNAUTHENTICATED);
	assert_int_equal(decision_sign(d, q.sign, &a, NULL), 0);
	assert_int_equal(decision_verify(d, q.verify, NULL), 0);
	assert_int_equal(decision_verify(d, p.verify, &why), ERR_UNAUTHENTICATED);
	char *other_id = d->key_id;
	assert_int_equal(decision_sign(d, p.sign, &a, NULL), 0);
	assert_string_not_equal(d->key_id, other_id);
	d->key_id = other_id;
	assert_int_equal(decision_verify(d, p.verify, NULL), ERR_UNAUTHENTICATED);
	assert_int_equal(decision_verify(d, q.verify, NULL), ERR_UNAUTHENTICATED);
	pair_free(&p);
	pair_free(&q);
}

static void test_signing_again_is_the_same(void **state)
{
	struct fixture *f = *state;
	auto_arena a = {0};
	struct pair p = pair_make(f->key, f->pub);
	Healbus__Decision *d = decision_new(&a);
	assert_int_equal(decision_sign(d, p.sign, &a, NULL), 0);
	const uint8_t *first = d->signature.data;
	assert_int_equal(decision_sign(d, p.sign, &a, NULL), 0);
	assert_ptr_not_equal(first, d->signature.data);
	assert_memory_equal(first, d->signature.data, 64);
	pair_free(&p);
}

static void test_key_id_is_of_the_public_key(void **state)
{
	struct fixture *f = *state;
	auto_arena a = {0};
	struct sign_key *k = NULL;
	uint8_t raw[32], digest[DIGEST_BYTES];
	char id[17];
	write_file(f->key, RFC8032_PEM, 0600);
	assert_int_equal(sign_key_load(f->key, &k, NULL), 0);
	Healbus__Decision *d = decision_new(&a);
	assert_int_equal(decision_sign(d, k, &a, NULL), 0);
	assert_int_equal(hex_decode(RFC8032_PUBLIC, raw, sizeof(raw)), 0);
	digest_sha256(raw, sizeof(raw), digest);
	hex_encode(digest, 8, id);
	assert_string_equal(d->key_id, id);
	sign_key_free(k);
}

static void test_created_files(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	struct pair p = pair_make(f->key, f->pub), again = pair_make(f->key, f->pub);
	auto_arena a = {0};
	Healbus__Decision *d = decision_new(&a);
	assert_int_equal(stat(f->key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(decision_sign(d, again.sign, &a, NULL), 0);
	assert_int_equal(decision_verify(d, p.verify, NULL), 0);
	pair_free(&p);
	pair_free(&again);
}

static void test_bad_key_files(void **state)
{
	struct fixture *f = *state;
	struct sign_key *k = NULL;
	struct verify_key *v = NULL;
	struct why why = {0};
	assert_int_equal(sign_key_load(f->key, &k, &why), ERR_NOT_FOUND);
	assert_int_equal(verify_key_load(f->pub, &v, &why), ERR_NOT_FOUND);
	write_file(f->key, "nonsense\n", 0600);
	assert_int_equal(sign_key_load(f->key, &k, &why), ERR_CONFIG);
	assert_int_equal(verify_key_load(f->key, &v, &why), ERR_CONFIG);
	assert_int_equal(sign_key_load_or_create(f->key, &k, &why), ERR_CONFIG);
	why = (struct why){0};
	write_file(f->key, RFC8032_PEM, 0644);
	assert_int_equal(sign_key_load(f->key, &k, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "chmod"));
	write_file(f->key, RFC8032_PEM, 0600);
	assert_int_equal(verify_key_load(f->key, &v, &why), ERR_CONFIG);
	assert_null(k);
	assert_null(v);
	sign_key_free(NULL);
	verify_key_free(NULL);
}

static void test_controls(void **state)
{
	struct fixture *f = *state;
	auto_arena a = {0};
	struct pair p = pair_make(f->key, f->pub), other = pair_make(f->other, f->other_pub);
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.id = (char *)"v1";
	c.by = (char *)"ann";
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_VOTE);
	assert_int_equal(control_verify(&c, p.sign, NULL), ERR_UNAUTHENTICATED);
	assert_int_equal(control_sign(&c, p.sign, &a, NULL), 0);
	assert_int_equal(control_verify(&c, p.sign, NULL), 0);
	assert_int_equal(control_verify(&c, other.sign, NULL), ERR_UNAUTHENTICATED);
	c.by = (char *)"bob";
	assert_int_equal(control_verify(&c, p.sign, NULL), ERR_UNAUTHENTICATED);
	pair_free(&p);
	pair_free(&other);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_signed_over_the_wire),
		T(test_any_changed_bit_is_refused),
		T(test_unsigned_and_other_keys_are_refused),
		T(test_signing_again_is_the_same),
		T(test_key_id_is_of_the_public_key),
		T(test_created_files),
		T(test_bad_key_files),
		T(test_controls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
