#include "common/base.h"

#include "common/mem.h"
#include "reasoner/classify/words.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { WORDS = 12, ROUNDS = 400, TEXT_BYTES = 60 };

struct tally {
	unsigned n[WORDS];
};

static void count(void *ctx, uint16_t id)
{
	struct tally *t = ctx;
	t->n[id]++;
}

static unsigned occurrences(const char *text, const char *word)
{
	unsigned n = 0;
	for (const char *at = text; (at = strcasestr(at, word)) != NULL; at++)
		n++;
	return n;
}

static void fill(char *out, size_t len, unsigned *seed)
{
	static const char letters[] = "abABc-";
	for (size_t i = 0; i < len; i++)
		out[i] = letters[(size_t)rand_r(seed) % (sizeof(letters) - 1)];
	out[len] = '\0';
}

/* Few letters, so that words overlap, contain and begin one another. */
static void finds_what_a_plain_search_finds(void **state)
{
	unsigned seed = 20240617;
	(void)state;
	print_message("# seed %u\n", seed);
	for (int round = 0; round < ROUNDS; round++) {
		char words[WORDS][8], text[TEXT_BYTES + 1];
		struct words *w = words_new();
		for (uint16_t i = 0; i < WORDS; i++) {
			fill(words[i], 2 + (size_t)rand_r(&seed) % 5, &seed);
			assert_int_equal(words_add(w, words[i], i), 0);
		}
		words_build(w);
		for (int k = 0; k < 5; k++) {
			struct tally t = {0};
			fill(text, TEXT_BYTES, &seed);
			words_find(w, text, TEXT_BYTES, count, &t);
			for (size_t i = 0; i < WORDS; i++)
				assert_int_equal(t.n[i], occurrences(text, words[i]));
		}
		words_free(w);
	}
}

static void refuses_what_is_too_short_or_long(void **state)
{
	char longest[WORD_MAX_BYTES + 2];
	struct words *w = words_new();
	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(words_add(w, "x", 0), ERR_INVALID);
	assert_int_equal(words_add(w, longest, 0), ERR_INVALID);
	assert_int_equal(words_add(w, longest + 1, 0), 0);
	words_free(w);
}

static void finds_nothing_without_words(void **state)
{
	struct tally t = {0};
	struct words *w = words_new();
	(void)state;
	words_build(w);
	words_find(w, "anything", 8, count, &t);
	assert_int_equal(t.n[0], 0);
	words_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_a_plain_search_finds),
		cmocka_unit_test(refuses_what_is_too_short_or_long),
		cmocka_unit_test(finds_nothing_without_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
