/* Small seams that the linker puts into the product (--wrap): a key that is read once, ids that are
 * the same for the same seed, and checks that a plant turns off. */
#include "common/id.h"
#include "tests/sim/sim.h"

int real_verify_key_load(const char *path, struct verify_key **out,
			 struct why *out_why) __asm__("__real_verify_key_load");
int wrap_verify_key_load(const char *path, struct verify_key **out,
			 struct why *out_why) __asm__("__wrap_verify_key_load");
void wrap_verify_key_free(struct verify_key *k) __asm__("__wrap_verify_key_free");
bool real_digest_equal(const void *a, const void *b, size_t len) __asm__("__real_digest_equal");
bool wrap_digest_equal(const void *a, const void *b, size_t len) __asm__("__wrap_digest_equal");
int real_decision_verify(const Healbus__Decision *d, const struct verify_key *key,
			 struct why *out_why) __asm__("__real_decision_verify");
int wrap_decision_verify(const Healbus__Decision *d, const struct verify_key *key,
			 struct why *out_why) __asm__("__wrap_decision_verify");
void wrap_id_random(char out[static ID_BYTES]) __asm__("__wrap_id_random");

/* The executor reads the file for every decision, which takes OpenSSL as long as a whole schedule
 * may. */
int wrap_verify_key_load(const char *path, struct verify_key **out, struct why *out_why)
{
	static struct verify_key *key;
	int rc = key ? 0 : real_verify_key_load(path, &key, out_why);
	if (!rc)
		*out = key;
	return rc;
}

void wrap_verify_key_free(struct verify_key *k UNUSED)
{
}

void wrap_id_random(char out[static ID_BYTES])
{
	char number[24];
	snprintf(number, sizeof(number), "%" PRIu64, W ? ++W->ids : 0);
	id_make(out, "random", number);
}

bool wrap_digest_equal(const void *a, const void *b, size_t len)
{
	return planted("ignore-digest") || real_digest_equal(a, b, len);
}

int wrap_decision_verify(const Healbus__Decision *d, const struct verify_key *key,
			 struct why *out_why)
{
	return planted("ignore-signature") ? 0 : real_decision_verify(d, key, out_why);
}
