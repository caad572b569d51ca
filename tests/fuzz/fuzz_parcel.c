/* Any bytes as the log of a cell that ran elsewhere. */
#include "executor/sandboxes/parcel.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parcel p = {.tree_max_bytes = 1 << 16};
	struct why why = {0};
	auto_buf log = {0};
	buf_add(&log, data, size);
	int rc = parcel_read(&log, "abc", &p, &why);
	MUST(rc == 0 || why.text[0]);
	MUST(rc || (p.exit_code >= 0 && p.exit_code <= 255 && p.tree.len <= 1 << 16));
	MUST(p.output.len <= PARCEL_OUTPUT_BYTES);
	parcel_release(&p);
	return 0;
}
