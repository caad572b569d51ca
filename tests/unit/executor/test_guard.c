/* Small patches: those that must pass without a question, and those that must not, with the check
 * that says so. */
#include "executor/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/mem.h"

#include "tests/unit/executor/guard_patches.h"

static void add_diff(const struct row *row, struct buf *out)
{
	if (str_starts(row->body, "diff ")) {
		buf_add_str(out, row->body);
		return;
	}
	size_t old = count_marks(row->body, "- "), new = count_marks(row->body, "+ ");
	if (row->path[0] == '/')
		buf_printf(out, "--- %s\n+++ %s\n", row->path, row->path);
	else
		buf_printf(out, "diff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n", row->path, row->path,
			   row->path, row->path);
	buf_printf(out, "@@ -1,%zu +1,%zu @@\n%s", old, new, row->body);
}

static void review_text(const struct guard_policy *policy, const struct buf *diff,
			struct guard_report *out)
{
	struct guard_changes changes = {0};
	struct why why = {0};
	if (guard_changes_from_diff(diff->data, diff->len, &changes, &why))
		fail_msg("%s: %s", why.text, diff->data);
	guard_review(policy, changes.items, changes.n, out);
	guard_changes_release(&changes);
}

static void review_row(const struct guard_policy *policy, const struct row *row,
		       struct guard_report *out)
{
	auto_buf diff = {0};
	add_diff(row, &diff);
	review_text(policy, &diff, out);
}

static const struct guard_finding *find(const struct guard_report *r, const char *check)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_eq(r->findings[i].check, check))
			return &r->findings[i];
	return NULL;
}

/* True when the row is as it must be. */
static bool row_holds(size_t i)
{
	struct guard_report report;
	auto_buf text = {0};
	review_row(NULL, &rows[i], &report);
	guard_report_text(&report, &text);
	const char *check = rows[i].check;
	bool holds = check ? find(&report, check) != NULL : report.verdict == GUARD_ALLOW;
	if (!holds)
		print_error("row %zu: %s: expected %s\n%sfound %s\n", i,
			    rows[i].path ? rows[i].path : "", check ? check : "nothing",
			    rows[i].body, buf_str(&text));
	guard_report_release(&report);
	return holds;
}

static void test_table(void **state)
{
	size_t bad = 0;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		bad += !row_holds(i);
	print_message("%zu patches\n", ARRAY_SIZE(rows));
	assert_int_equal(bad, 0);
}

/* Every check is the one that some row of the table expects. */
static void test_covered(void **state)
{
	static const char *const elsewhere[] = {"size", "outside"};
	(void)state;
	for (size_t i = 0; guard_check_name(i); i++) {
		const char *name = guard_check_name(i);
		bool seen = str_eq(name, elsewhere[0]) || str_eq(name, elsewhere[1]);
		for (size_t k = 0; !seen && k < ARRAY_SIZE(rows); k++)
			seen = rows[k].check && str_eq(rows[k].check, name);
		if (!seen)
			fail_msg("no row expects %s", name);
	}
}

/* ---- whole patches ---- */

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void report_of(const size_t *order, size_t n, struct buf *out)
{
	struct guard_report report;
	auto_buf diff = {0};
	for (size_t i = 0; i < n; i++)
		add_diff(&rows[order[i]], &diff);
	review_text(NULL, &diff, &report);
	guard_report_text(&report, out);
	buf_printf(out, "%s %zu", guard_verdict_name(report.verdict), report.omitted);
	guard_report_release(&report);
}

/* Without git's header a file that follows one without a hunk would be taken for the same, under
 * two names, which is refused. */
static size_t any_row(uint32_t *seed)
{
	size_t i;
	do
		i = next_random(seed) % ARRAY_SIZE(rows);
	while (rows[i].path && rows[i].path[0] == '/');
	return i;
}

static void test_order(void **state)
{
	uint32_t seed = (uint32_t)time(NULL);
	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 50; round++) {
		size_t order[8];
		auto_buf first = {0};
		auto_buf second = {0};
		for (size_t i = 0; i < ARRAY_SIZE(order); i++)
			order[i] = any_row(&seed);
		report_of(order, ARRAY_SIZE(order), &first);
		for (size_t i = ARRAY_SIZE(order) - 1; i > 0; i--) {
			size_t k = next_random(&seed) % (i + 1), kept = order[i];
			order[i] = order[k];
			order[k] = kept;
		}
		report_of(order, ARRAY_SIZE(order), &second);
		assert_string_equal(buf_str(&first), buf_str(&second));
	}
}

/* A test that moves to another file is not gone. */
static void test_moved(void **state)
{
	static const struct row there = {NULL, "tests/test_b.py",
					 "+def test_a():\n+    assert f(2) == 4\n"};
	static const struct row here = {NULL, "tests/test_a.py", "-def test_a():\n-    x = 4\n"};
	struct guard_report report;
	auto_buf diff = {0};
	(void)state;
	add_diff(&here, &diff);
	add_diff(&there, &diff);
	review_text(NULL, &diff, &report);
	assert_int_equal(report.verdict, GUARD_ALLOW);
	guard_report_release(&report);
}

static void test_size(void **state)
{
	struct guard_report report;
	auto_buf diff = {0};
	(void)state;
	for (int i = 0; i < GUARD_FILES + 1; i++)
		buf_printf(&diff, "--- a/f%d.c\n+++ b/f%d.c\n@@ -1 +1 @@\n-a\n+b\n", i, i);
	review_text(NULL, &diff, &report);
	assert_non_null(find(&report, "size"));
	assert_int_equal(report.verdict, GUARD_ASK);
	guard_report_release(&report);
	buf_reset(&diff);
	buf_printf(&diff, "--- a/f.c\n+++ b/f.c\n@@ -0,0 +1,%d @@\n", GUARD_LINES + 1);
	for (int i = 0; i < GUARD_LINES + 1; i++)
		buf_add_str(&diff, "+a\n");
	review_text(NULL, &diff, &report);
	assert_non_null(find(&report, "size"));
	guard_report_release(&report);
}

/* ---- policy ---- */

static void policy_of(const char *text, struct guard_policy *out)
{
	struct why why = {0};
	json_t *json = json_loads(text, 0, NULL);
	assert_non_null(json);
	if (guard_policy_parse(json, NULL, out, &why))
		fail_msg("%s", why.text);
	json_decref(json);
}

static enum guard_verdict verdict_under(const char *policy_text, const struct row *row)
{
	struct guard_policy policy = {0};
	struct guard_report report;
	policy_of(policy_text, &policy);
	review_row(&policy, row, &report);
	enum guard_verdict v = report.verdict;
	guard_report_release(&report);
	guard_policy_release(&policy);
	return v;
}

static void test_policy(void **state)
{
	static const struct row lint = {NULL, "a.ts", "+// @ts-ignore\n"};
	static const struct row secret = {NULL, "a.py",
					  "+K = \"AK"
					  "IAIOSFODNN7REALKEY\"\n"};
	static const struct row hook = {NULL, ".git/hooks/x", "+x\n"};
	static const struct row dep = {NULL, "Cargo.toml", "+serde_json = \"1.0\"\n"};
	static const struct row host = {NULL, "a.py", "+u = \"https://api.octo.dev/\"\n"};
	(void)state;
	assert_int_equal(verdict_under("{}", &lint), GUARD_ASK);
	assert_int_equal(verdict_under("{\"verdicts\": {\"lint_disabled\": \"allow\"}}", &lint),
			 GUARD_ALLOW);
	assert_int_equal(verdict_under("{\"verdicts\": {\"lint_disabled\": \"refuse\"}}", &lint),
			 GUARD_REFUSE);
	assert_int_equal(verdict_under("{\"verdicts\": {\"secret\": \"allow\"}}", &secret),
			 GUARD_ASK);
	assert_int_equal(verdict_under("{\"verdicts\": {\"git_path\": \"allow\"}}", &hook),
			 GUARD_REFUSE);
	assert_int_equal(verdict_under("{\"dependencies\": [\"serde*\"]}", &dep), GUARD_ALLOW);
	assert_int_equal(verdict_under("{\"hosts\": [\"api.octo.dev\"]}", &host), GUARD_ALLOW);
	assert_int_equal(verdict_under("{\"hosts\": [\"octo.dev\"]}", &host), GUARD_ASK);
	assert_int_equal(verdict_under("{\"paths\": [\"src/**\"], \"verdicts\": "
				       "{\"lint_disabled\": \"allow\"}}",
				       &lint),
			 GUARD_REFUSE);
	assert_int_equal(verdict_under("{\"paths\": [\"**/*.ts\"], \"verdicts\": "
				       "{\"lint_disabled\": \"allow\"}}",
				       &lint),
			 GUARD_ALLOW);
	assert_int_equal(verdict_under("{\"max_line_bytes\": 5}", &dep), GUARD_ASK);
}

static void test_policy_wrong(void **state)
{
	static const char *const wrong[] = {"[]",
					    "{\"x\": 1}",
					    "{\"verdicts\": {\"x\": \"allow\"}}",
					    "{\"verdicts\": {\"secret\": \"maybe\"}}",
					    "{\"verdicts\": 1}",
					    "{\"paths\": \"x\"}",
					    "{\"paths\": [1]}",
					    "{\"max_files\": 0}",
					    "{\"max_lines\": \"x\"}"};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct guard_policy policy = {0};
		struct why why = {0};
		json_t *json = json_loads(wrong[i], 0, NULL);
		assert_int_equal(guard_policy_parse(json, NULL, &policy, &why), ERR_CONFIG);
		assert_true(str_starts(why.text, "guard: "));
		json_decref(json);
	}
}

static void test_plan_paths(void **state)
{
	static const struct row row = {NULL, "src/[id].c", "-a\n+b\n"};
	struct guard_policy policy = {0};
	struct guard_report report;
	(void)state;
	guard_policy_plan(&policy, "src/*.c"); /* the name of a file, no glob */
	review_row(&policy, &row, &report);
	assert_non_null(find(&report, "outside"));
	guard_report_release(&report);
	guard_policy_plan(&policy, "src/[id].c");
	review_row(&policy, &row, &report);
	assert_int_equal(report.verdict, GUARD_ALLOW);
	guard_report_release(&report);
	guard_policy_release(&policy);
}

/* The line that holds a secret is in no message, whatever other check found it. */
static void test_not_repeated(void **state)
{
	static const struct row row = {NULL, "a.py",
				       "+os.system(\"x gh"
				       "p_abcdefghijklmnopqrstuvwxyz0123456789AB\")\n"};
	struct guard_report report;
	auto_buf text = {0};
	(void)state;
	review_row(NULL, &row, &report);
	guard_report_text(&report, &text);
	assert_non_null(find(&report, "secret"));
	assert_non_null(find(&report, "process"));
	assert_null(strstr(buf_str(&text), "abcdefghij"));
	assert_non_null(strstr(buf_str(&text), "refuse: secret: a.py:1: a GitHub token\n"));
	guard_report_release(&report);
}

/* ---- diffs ---- */

static void test_diff(void **state)
{
	static const char text[] =
		"diff --git a/old.c b/new.c\nsimilarity index 90%\nrename from old.c\nrename to "
		"new.c\nindex 0123456..789abcd 100644\n--- a/old.c\n+++ b/new.c\n@@ -3,3 +3,4 @@ "
		"f\n a\n-b\n+c\n"
		"+--- not a header\n d\n"
		"diff --git \"a/t\\303\\244st\" \"b/t\\303\\244st\"\nnew file mode 100755\nindex "
		"0000000..789abcd\n--- /dev/null\n+++ \"b/t\\303\\244st\"\n@@ -0,0 +1 @@\n+x\n\\ "
		"No "
		"newline at end of file\n"
		"diff --git a/with space b/with space\ndeleted file mode 100644\nindex "
		"789abcd..0000000\n";
	struct guard_changes c = {0};
	struct why why = {0};
	(void)state;
	if (guard_changes_from_diff(text, strlen(text), &c, &why))
		fail_msg("%s", why.text);
	assert_int_equal(c.n, 3);
	assert_string_equal(c.items[0].path, "new.c");
	assert_string_equal(c.items[0].old_path, "old.c");
	assert_int_equal(c.items[0].kind, GUARD_RENAME);
	assert_int_equal(c.items[0].n_added, 2);
	assert_int_equal(c.items[0].added[1].number, 5);
	assert_int_equal(c.items[0].removed[0].number, 4);
	assert_string_equal(c.items[1].path, "t\xc3\xa4st");
	assert_int_equal(c.items[1].kind, GUARD_ADD);
	assert_int_equal(c.items[1].new_mode, 0100755);
	assert_string_equal(c.items[2].path, "with space");
	assert_int_equal(c.items[2].kind, GUARD_DELETE);
	guard_changes_release(&c);
}

static void test_diff_wrong(void **state)
{
	static const char *const wrong[] = {
		"hello\n",
		"+++ b/x\n",
		"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n",
		"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+c\n",
		"--- a/x\n+++ b/x\n@@ -1,2 @@\n",
		"--- a/x\n@@ -1 +1 @@\n-a\n+b\n",
		"@@ -1 +1 @@\n-a\n+b\n",
		"--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
		"diff --git a/x b/y\nold mode 100644\nnew mode 100755\n",
		"diff --git a/x b/x\nnew mode 9\n",
		"diff --git a/x b/x\n--- a/x\n+++ b/y\n@@ -1 +1 @@\n-a\n+b\n",
		"diff --git a/x b/x\n--- a/z\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct guard_changes c = {0};
		struct why why = {0};
		if (guard_changes_from_diff(wrong[i], strlen(wrong[i]), &c, &why) != ERR_INVALID)
			fail_msg("read: %s", wrong[i]);
		assert_true(str_starts(why.text, "diff: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),        cmocka_unit_test(test_covered),
		cmocka_unit_test(test_order),        cmocka_unit_test(test_moved),
		cmocka_unit_test(test_size),         cmocka_unit_test(test_policy),
		cmocka_unit_test(test_policy_wrong), cmocka_unit_test(test_plan_paths),
		cmocka_unit_test(test_not_repeated), cmocka_unit_test(test_diff),
		cmocka_unit_test(test_diff_wrong)};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
