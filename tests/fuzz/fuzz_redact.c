/* Any text: what is known is gone, and nothing but what was redacted is. */
#include "common/redact.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char known[] = "k\"nown/val ue";
	struct redactor *r = NULL;
	auto_buf out = {0};

	MUST(redactor_new(NULL, fuzz_take(&data, &size) % 4, &r, NULL) == 0);
	redactor_add(r, known, sizeof known - 1);
	auto_free char *text = fuzz_text(data, size);
	size_t n = redact(r, text, size, &out);
	MUST(n || (out.len == size && (size == 0 || memcmp(out.data, text, size) == 0)));
	MUST(!out.data || !memmem(out.data, out.len, known, sizeof known - 1));
	redactor_free(r);
	return 0;
}
