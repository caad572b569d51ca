/* The classifier on logs of our own, its data, and who is asked for which failure. */
#include "common/base.h"

#include "common/buf.h"
#include "reasoner/classify_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>

static struct failures *failures;

static int setup(void **state)
{
	struct why why = {0};
	(void)state;
	if (failures_load("reasoner/failures", &failures, &why))
		fail_msg("%s", why.text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	failures_free(failures);
	return 0;
}

/* ---- one log for each type ---- */

/* What goes before and after a failure in many logs, and is not the failure. */
static const char before[] =
	"##[group]Run actions/checkout@v4\n"
	"with:\n  repository: octo-org/shop\n##[endgroup]\n"
	"[command]/usr/bin/git checkout --progress --force -B main refs/remotes/origin/main\n"
	"##[group]Run ./ci/prepare\n##[endgroup]\n"
	"Client: Docker Engine - Community\n Version: 24.0.5\n"
	"npm WARN deprecated left-thing@1.0.0: use another\n"
	"found 3 vulnerabilities (1 low, 2 high)\n"
	"  run `npm audit fix` to fix them\n"
	"warning: unused variable: `x`\n"
	"CVE-2020-1234 is fixed in this base image\n"
	"Merge conflict resolution: none needed\n"
	"helm v3.14.0, kubectl v1.29.1, terraform v1.7.2\n"
	"0 failed, 12 passed\n"
	"test result: ok. 40 passed; 0 failed; 0 ignored\n"
	"Error: attempt 1 of 3 failed, trying again: connection reset by peer\n"
	"attempt 2 succeeded\n";
static const char after[] = "Post job cleanup.\n"
			    "[command]/usr/bin/git config --local --unset-all http.extraheader\n"
			    "fatal: not a git repository\n"
			    "npm ERR! code E404\n"
			    "Error response from daemon: No such container: cache\n"
			    "Cleaning up orphan processes\n";

struct seen {
	size_t logs, wrong;
	bool types[FAILURE_TYPES_MAX];
};

static const char *type_of(const char *log, size_t len, struct arena *arena, double *confidence)
{
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	struct classify_input in = {.log = log, .log_len = len};
	assert_int_equal(classify(failures, &in, arena, &d), 0);
	assert_true(d.confidence > 0 && d.confidence <= 1);
	*confidence = d.confidence;
	return d.failure_type;
}

static void expect(const char *type, const struct buf *log, const char *how, struct seen *seen)
{
	struct arena arena = {0};
	double confidence;
	const char *got = type_of(buf_str(log), log->len, &arena, &confidence);
	if (!str_eq(got, type)) {
		print_message("# %s %s: taken for %s (%.2f)\n", type, how, got, confidence);
		seen->wrong++;
	}
	arena_release(&arena);
}

static void try_log(const char *type, const struct buf *log, struct seen *seen)
{
	auto_buf noisy = {0};
	seen->logs++;
	for (size_t i = 0; i < failures_count(failures); i++)
		seen->types[i] |= str_eq(failures_name(failures, i), type);
	assert_non_null(failures_title(failures, type));
	expect(type, log, "alone", seen);
	buf_add_str(&noisy, before);
	buf_add(&noisy, log->data, log->len);
	buf_add_str(&noisy, after);
	expect(type, &noisy, "among distractors", seen);
}

/* A file of logs: each begins with a line "=== type". */
static void try_file(const char *path, struct seen *seen)
{
	auto_buf text = {0}, log = {0};
	char *type = NULL;
	assert_int_equal(buf_read_file(&text, path, 1 << 20), 0);
	char *rest = text.data;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (!str_starts(line, "=== ") && rest) {
			buf_printf(&log, "%s\n", line);
			continue;
		}
		if (type)
			try_log(type, &log, seen);
		buf_reset(&log);
		type = line + (rest ? 4 : 0);
	}
}

static void each_type_is_told_by_its_log(void **state)
{
	struct seen seen = {0};
	struct dirent *entry;
	DIR *dir = opendir("tests/golden/failures");
	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		auto_free char *path = mem_printf("tests/golden/failures/%s", entry->d_name);
		if (entry->d_name[0] != '.')
			try_file(path, &seen);
	}
	closedir(dir);
	for (size_t i = 0; i < failures_count(failures); i++) {
		if (!seen.types[i])
			fail_msg("%s: no log in tests/golden/failures", failures_name(failures, i));
	}
	print_message("# %zu logs, %zu types\n", seen.logs, failures_count(failures));
	assert_true(failures_count(failures) >= 25);
	assert_int_equal(seen.wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_is_told_by_its_log),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
