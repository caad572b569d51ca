/* The first byte chooses the kind of text. What people read is the text itself again, and no
 * character that hides or lies is left for a model. */
#include "reasoner/prompt/placeholder.h"
#include "reasoner/proposal/plain.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum text_kind kind = fuzz_take(&data, &size) % TEXT_KINDS;
	auto_free char *text = fuzz_text(data, size);
	auto_buf out = {0}, back = {0}, edits = {0};
	struct placeholders *p = placeholders_new("n");
	placeholders_know(p, text, strlen(text) / 2);
	placeholders_abstract(p, kind, text, strlen(text), &out);
	MUST(placeholders_restore(p, buf_str(&out), RESTORE_PEOPLE, &back, NULL) == 0);
	MUST(str_eq(buf_str(&back), text));
	if (kind != TEXT_CODE)
		MUST(!text_lies(buf_str(&out), out.len));
	if (kind == TEXT_CODE &&
	    placeholders_restore(p, buf_str(&out), RESTORE_EDITS, &edits, NULL) == 0)
		MUST(str_eq(buf_str(&edits), text));
	placeholders_free(p);
	return 0;
}
