/* A tool's YAML, as the executor's catalogue reads it. */
#include "executor/catalogue_parse.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);
	struct catalogue *cat = NULL;
	struct yaml_doc doc = {0};
	struct tool tool = {0};
	struct why why = {0};
	if (yaml_parse_text("tool.yaml", text, size, &doc, &why))
		return 0;
	/* A directory without tools: an empty catalogue to compile into. */
	MUST(catalogue_load("tests/fuzz/corpus", &cat, &why) == 0);
	if (tool_parse(cat, doc.root, &tool, &why))
		MUST(why.text[0]);
	else
		MUST(tool.n_calls && token_valid(tool.name));
	tool_release(&tool);
	catalogue_free(cat);
	yaml_release(&doc);
	return 0;
}
