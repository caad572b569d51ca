/* Lines of logs, as they become signatures and terms. */
#include "reasoner/memory/signature.h"
#include "reasoner/memory/vector.h"
#include "tests/fuzz/fuzz.h"

enum { GROWTH = 4 }; /* "a/" is shorter than "<path>" */

static void is_normal(const struct buf *out)
{
	for (size_t i = 0; i < out->len; i++) {
		MUST(out->data[i] != '\n' && out->data[i] != '\t' && out->data[i] != 0x1b);
		MUST(out->data[i] < 'A' || out->data[i] > 'Z');
	}
	MUST(!out->len || (out->data[0] != ' ' && out->data[out->len - 1] != ' '));
}

static void are_terms(const struct terms *t)
{
	MUST(t->n <= TERMS_MAX);
	for (size_t i = 0; i < t->n; i++)
		MUST(t->weight[i] > 0 && (i == 0 || t->hash[i - 1] < t->hash[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_buf line = {0}, signature = {0};
	auto_free char *text = mem_dup(data, len);
	struct terms t;
	signature_normalise(text, len, &line);
	MUST(line.len <= len * GROWTH + GROWTH);
	is_normal(&line);
	signature_of_text(text, &signature);
	MUST(signature.len <= SIGNATURE_MAX_BYTES);
	terms_of(buf_str(&signature), &t);
	are_terms(&t);
	terms_of(text, &t);
	are_terms(&t);
	return 0;
}
