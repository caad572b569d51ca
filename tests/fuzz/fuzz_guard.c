/* Any text as a diff, and what is one under the guard. */
#include "executor/guard.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guard_changes changes = {0};
	struct guard_report report;
	struct why why = {0};
	auto_buf text = {0};
	auto_free char *copy = fuzz_text(data, size);
	if (guard_changes_from_diff(copy, size, &changes, &why)) {
		MUST(why.text[0] && changes.n == 0);
		return 0;
	}
	for (size_t i = 0; i < changes.n; i++)
		MUST(changes.items[i].path && *changes.items[i].path);
	guard_review(NULL, changes.items, changes.n, &report);
	guard_report_text(&report, &text);
	MUST(report.n <= GUARD_FINDINGS_MAX);
	MUST((report.verdict == GUARD_ALLOW) == (report.n == 0));
	MUST(utf8_valid(buf_str(&text), text.len) && !strpbrk(buf_str(&text), "\x1b\x7f\r\b"));
	guard_report_release(&report);
	guard_changes_release(&changes);
	return 0;
}
