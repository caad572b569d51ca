/* A report of tests, written by hostile code: counting and naming ends, within its bounds. */
#include "executor/runners/git_private.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_BYTES = 500, LINE_BYTES = 1500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct test_results r = {0};
	auto_buf lines = {0};
	bool any = test_results_read((const char *)data, size, MAX_BYTES, &r, &lines);
	MUST(any || lines.len == 0);
	MUST(lines.len < MAX_BYTES + LINE_BYTES);
	MUST(r.passed + r.failed <= size);
	return 0;
}
