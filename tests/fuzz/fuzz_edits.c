/* A model's edits: whatever is read names only paths inside, and applying it to a text that they
 * were made for, or to any other, ends. What comes before the first NUL is the edits, what follows
 * it the file. */
#include "executor/edits/edits.h"
#include "tests/fuzz/fuzz.h"

static void check_file(const struct edit_file *f, const char *text, size_t len)
{
	auto_buf report = {0};
	struct why why = {0};
	struct edit_result r = {.report = &report};
	MUST(edits_path_valid(f->path));
	MUST(!f->old_path || edits_path_valid(f->old_path));
	MUST(f->mode == 0 || f->mode == 0644 || f->mode == 0755);
	int rc = edit_file_apply(f, text, len, &r, &why);
	MUST(rc == 0 || rc == ERR_CONFLICT || rc == ERR_INVALID);
	MUST(rc != ERR_CONFLICT || report.len > 0);
	buf_release(&r.text);
	for (size_t i = 0; i < f->n_hunks; i++) {
		size_t first = 0, old_end = 0, new_end = 0;
		edit_hunk_core(&f->hunks[i], &first, &old_end, &new_end);
		MUST(first <= old_end && old_end <= f->hunks[i].n_old);
		MUST(first <= new_end && new_end <= f->hunks[i].n_new);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *nul = size ? memchr(data, 0, size) : NULL;
	size_t len = nul ? (size_t)(nul - text) : size;
	struct edits e;
	struct why why = {0};
	if (edits_parse(text, len, &e, &why) == 0)
		for (size_t i = 0; i < e.n; i++)
			check_file(&e.files[i], nul ? nul + 1 : "", nul ? size - len - 1 : 0);
	else
		MUST(why.text[0]);
	edits_release(&e);
	return 0;
}
