/* Label matchers: what is read prints to text that reads as the same matchers. */
#include "common/buf.h"
#include "common/matcher.h"
#include "tests/fuzz/fuzz.h"

static const char *lookup(const void *labels, const char *name)
{
	(void)labels;
	return str_eq(name, "a") ? "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!" : NULL;
}

static void reread(const struct matchers *m, bool matched)
{
	struct matchers again = {0};
	auto_buf first = {0};
	auto_buf second = {0};
	struct why why = {0};
	matchers_print(m, &first);
	if (matchers_parse(buf_str(&first), &again, &why)) {
		fprintf(stderr, "%s: %s\n", buf_str(&first), why.text);
		abort();
	}
	matchers_print(&again, &second);
	MUST(str_eq(buf_str(&first), buf_str(&second)));
	MUST(matchers_match(&again, lookup, NULL) == matched);
	matchers_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);
	struct matchers m = {0};
	struct why why = {0};
	if (matchers_parse(text, &m, &why))
		MUST(why.text[0]);
	else
		reread(&m, matchers_match(&m, lookup, NULL));
	matchers_release(&m);
	return 0;
}
