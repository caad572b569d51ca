/* Edits as models write them: what is read, what fits, what is refused, and that it is all or
 * nothing. */
#include "executor/edits/edits.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <cmocka.h>

/* ---- text to text ---- */

static int apply_text(const char *edits, const char *old, char **out, struct buf *report)
{
	struct edits e;
	struct why why = {0};
	struct edit_result r = {.report = report};
	int rc = edits_parse(edits, strlen(edits), &e, &why);
	if (!rc)
		rc = edit_file_apply(&e.files[0], old, old ? strlen(old) : 0, &r, &why);
	else
		buf_add_str(report, why.text);
	*out = rc ? NULL : mem_strdup(r.gone ? "(gone)" : buf_str(&r.text));
	buf_release(&r.text);
	edits_release(&e);
	return rc;
}

#define BLOCK(old, new) "<<<<<<< SEARCH f.c\n" old "=======\n" new ">>>>>>> REPLACE\n"

static const struct {
	const char *name, *edits, *old, *new; /* new NULL: does not fit */
} fits[] = {
	{"exact", BLOCK("b\n", "B\n"), "a\nb\nc\n", "a\nB\nc\n"},
	{"with words around", "Here it is:\n" BLOCK("b\n", "B\n") "Done.\n", "a\nb\n", "a\nB\n"},
	{"fenced", "```\n" BLOCK("b\n", "B\n") "```\n", "a\nb\n", "a\nB\n"},
	{"two blocks", BLOCK("a\n", "A\n") BLOCK("c\n", "C\n"), "a\nb\nc\n", "A\nb\nC\n"},
	{"the second sees the first", BLOCK("a\n", "x\n") BLOCK("x\n", "y\n"), "a\n", "y\n"},
	{"insertion", BLOCK("a\n", "a\nb\n"), "a\nc\n", "a\nb\nc\n"},
	{"deletion", BLOCK("b\n", ""), "a\nb\nc\n", "a\nc\n"},
	{"the whole file goes", BLOCK("a\nb\n", ""), "a\nb\n", "(gone)"},
	{"a new file", BLOCK("", "a\n"), NULL, "a\n"},
	{"no newline at the end", BLOCK("b\n", "B\n"), "a\nb", "a\nB"},
	{"blanks at ends", BLOCK("b \n", "B\n"), "a\nb\t\nc\n", "a\nB\nc\n"},
	{"CRLF stays", BLOCK("b\nc\n", "B\nc\nd\n"), "a\r\nb\r\nc\r\n", "a\r\nB\r\nc\r\nd\r\n"},
	{"CRLF in the edits only", BLOCK("b\r\n", "B\r\n"), "a\nb\n", "a\nB\n"},
	{"indentation is the file's", BLOCK("if x:\n    y()\n", "if x:\n    y()\n    z()\n"),
	 "def f():\n    if x:\n        y()\n", "def f():\n    if x:\n        y()\n        z()\n"},
	{"spaces for tabs", BLOCK("    a;\n        b;\n", "    a;\n        B;\n"), "\ta;\n\t\tb;\n",
	 "\ta;\n\t\tB;\n"},
	{"deeper than known", BLOCK("  a {\n  }\n", "  a {\n    b;\n  }\n"), "\ta {\n\t}\n",
	 "\ta {\n\t  b;\n\t}\n"},
	{"indentation that cannot be both", BLOCK("a\nb\n", "A\nB\n"), " a\n  b\n", NULL},
	{"twice in the file", BLOCK("b\n", "B\n"), "b\na\nb\n", NULL},
	{"twice, but exactly once", BLOCK("b\n", "B\n"), " b\na\nb\n", " b\na\nB\n"},
	{"not in the file", BLOCK("z\n", "Z\n"), "a\nb\n", NULL},
	{"done already", BLOCK("old line\n", "new line\n"), "new line\n", NULL},
	{"longer than the file", BLOCK("a\nb\nc\n", "x\n"), "a\n", NULL},
	{"no place said", BLOCK("a\n", "A\n") BLOCK("", "b\n"), "a\n", NULL},
	{"a conflict is text", BLOCK("<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> topic\n", "y\n"),
	 "a\n<<<<<<< HEAD\nx\n=======\ny\n>>>>>>> topic\nb\n", "a\ny\nb\n"},
	{"diff", "--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n", "a\nb\nc\n",
	 "a\nB\nc\n"},
	{"diff with git's headers",
	 "diff --git a/f.c b/f.c\nindex 111..222 100644\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 "
	 "@@\n-a\n+A\n",
	 "a\n", "A\n"},
	{"wrong counts", "--- a/f.c\n+++ b/f.c\n@@ -9,9 +9,1 @@\n a\n-b\n+B\n", "a\nb\nc\n",
	 "a\nB\nc\n"},
	{"no counts", "--- f.c\n+++ f.c\n@@ @@\n a\n-b\n+B\n", "a\nb\n", "a\nB\n"},
	{"several hunks",
	 "--- a/f.c\n+++ b/f.c\n@@ -1,2 +1,3 @@\n+0\n a\n b\n@@ -4,2 +5,2 @@\n d\n-e\n+E\n",
	 "a\nb\nc\nd\ne\n", "0\na\nb\nc\nd\nE\n"},
	{"the place decides", "--- a/f.c\n+++ b/f.c\n@@ -3,1 +3,1 @@\n-b\n+B\n", "b\na\nb\n",
	 "b\na\nB\n"},
	{"the place, shifted by the first hunk",
	 "--- a/f.c\n+++ b/f.c\n@@ -1 +1,2 @@\n a\n+x\n@@ -3 +4 @@\n-b\n+B\n", "a\nb\nb\nb\n",
	 "a\nx\nb\nB\nb\n"},
	{"only adds", "--- a/f.c\n+++ b/f.c\n@@ -1,0 +2 @@\n+x\n", "a\nb\n", "a\nx\nb\n"},
	{"created", "--- /dev/null\n+++ b/f.c\n@@ -0,0 +1,2 @@\n+a\n+b\n", NULL, "a\nb\n"},
	{"created without newline",
	 "--- /dev/null\n+++ b/f.c\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n", NULL, "a"},
	{"a newline added at the end",
	 "--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n+b\n", "a",
	 "a\nb\n"},
	{"deleted", "--- a/f.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "a\n", "(gone)"},
	{"empty context lines", "--- a/f.c\n+++ b/f.c\n@@ -1,3 +1,3 @@\n a\n\n-b\n+B\n\n\n",
	 "a\n\nb\n", "a\n\nB\n"},
	{"removes what looks like a header", "--- a/f.c\n+++ b/f.c\n@@ -1,2 +1,1 @@\n a\n--- x\n",
	 "a\n-- x\n", "a\n"},
};

static void texts_fit_or_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		auto_buf report = {0};
		auto_free char *got = NULL;
		int rc = apply_text(fits[i].edits, fits[i].old, &got, &report);
		if (!fits[i].new) {
			if (rc != ERR_CONFLICT)
				fail_msg("%s: %d", fits[i].name, rc);
			assert_true(report.len > 0);
			continue;
		}
		if (rc || !str_eq(got, fits[i].new))
			fail_msg("%s: %d, \"%s\"; %s", fits[i].name, rc, got ? got : "",
				 buf_str(&report));
	}
}

/* What the next attempt is told. */
static void a_misfit_says_what_is_closest(void **state)
{
	(void)state;
	auto_buf missing = {0}, twice = {0}, done = {0};
	auto_free char *got = NULL, *got2 = NULL, *got3 = NULL;
	apply_text(BLOCK("int add(int a, int b)\n{\n\treturn a - b;\n}\n", "x\n"),
		   "#include <x.h>\n\nint add(int a, int c)\n{\n\treturn a + c;\n}\n", &got,
		   &missing);
	assert_non_null(strstr(missing.data, "f.c (the block at line 1 of the edits): its old "
					     "lines are not in the file. Closest:\n"));
	assert_non_null(strstr(missing.data, "  3: int add(int a, int c)\n"));
	apply_text(BLOCK("b\n", "B\n"), "b\na\nb\n", &got2, &twice);
	assert_non_null(strstr(twice.data, "2 times, at lines 1 3: add lines around them"));
	apply_text(BLOCK("old line\n", "new line\n"), "new line\n", &got3, &done);
	assert_non_null(strstr(done.data, "is there already, at line 1"));
}

/* ---- what is not read at all ---- */

static void texts_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{"", ERR_INVALID},
		{"just words\n", ERR_INVALID},
		{"<<<<<<< SEARCH f.c\na\n", ERR_INVALID},
		{"<<<<<<< SEARCH f.c\na\n=======\nb\n", ERR_INVALID},
		{"<<<<<<< SEARCH f.c\na\n>>>>>>> REPLACE\n", ERR_INVALID},
		{"<<<<<<< SEARCH f.c\na\n<<<<<<< SEARCH g.c\n=======\n>>>>>>> REPLACE\n",
		 ERR_INVALID},
		{BLOCK("a\n", "b\n") "=======\n", ERR_INVALID},
		{"<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"<<<<<<< SEARCH ../f.c\na\n=======\nb\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"@@ -1 +1 @@\n-a\n+b\n", ERR_INVALID},
		{"--- a/f.c\n+++ b/g.c\n@@ -1 +1 @@\n-a\n+b\n", ERR_INVALID},
		{"--- a/../f.c\n+++ b/../f.c\n@@ -1 +1 @@\n-a\n+b\n", ERR_DENIED},
		{"--- a/.git/config\n+++ b/.git/config\n@@ -1 +1 @@\n-a\n+b\n", ERR_DENIED},
		{"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 "
		 "@@\n+/etc/passwd\n",
		 ERR_DENIED},
		{"diff --git a/s b/s\nnew file mode 160000\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 "
		 "@@\n+Subproject commit 1\n",
		 ERR_DENIED},
		{"diff --git a/l b/l\nindex 11..22 120000\n--- a/l\n+++ b/l\n@@ -1 +1 @@\n-a\n+b\n",
		 ERR_DENIED},
		{"diff --git a/b b/b\nGIT binary patch\nliteral 1\n", ERR_DENIED},
		{"diff --git a/b b/b\nBinary files a/b and b/b differ\n", ERR_DENIED},
		{"diff --git a/a b/b\nsimilarity index 90%\ncopy from a\ncopy to b\n", ERR_INVALID},
		{"diff --git a/x b/x\nrename from x\nrename to ../y\n", ERR_DENIED},
		{"--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 "
		 "@@\n-a\n",
		 ERR_INVALID},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct edits e;
		struct why why = {0};
		int rc = edits_parse(rows[i].text, strlen(rows[i].text), &e, &why);
		if (rc != rows[i].rc)
			fail_msg("row %zu: %d %s", i, rc, why.text);
		assert_true(strlen(why.text) > 0);
		edits_release(&e);
	}
	struct edits e;
	auto_free char *big = mem_alloc(EDITS_MAX_BYTES + 1);
	assert_int_equal(edits_parse(big, EDITS_MAX_BYTES + 1, &e, NULL), ERR_TOO_LARGE);
	edits_release(&e);
	assert_int_equal(edits_parse("a\0b", 3, &e, NULL), ERR_INVALID);
	edits_release(&e);
}

static void paths_are_looked_at(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a",          "a/b.c", ".github/x.yml", "a..b",         "..b",
		".gitignore", "git",   "x/.gitkeep",    "\xc3\xa4.txt", "a b"};
	static const char *const bad[] = {"",
					  "/a",
					  "a/",
					  "a//b",
					  ".",
					  "..",
					  "a/../b",
					  "./a",
					  ".git",
					  ".git/x",
					  "a/.git/x",
					  ".GIT/config",
					  ".git./x",
					  ".git /x",
					  "git~1/x",
					  "GIT~2",
					  "a\\b",
					  "a\nb",
					  ".git:x",
					  ".git::$INDEX_ALLOCATION/x",
					  ".g\xe2\x80\x8cit/x",
					  "\xef\xbb\xbf.git/x",
					  "a\x7f"};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!edits_path_valid(good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (edits_path_valid(bad[i]))
			fail_msg("%s", bad[i]);
}

/* Comparing is bounded: nobody can make it take minutes. */
static void repetition_is_bounded(void **state)
{
	(void)state;
	auto_buf edits = {0}, old = {0}, report = {0};
	auto_free char *got = NULL;
	buf_add_str(&edits, "<<<<<<< SEARCH f.c\n");
	for (int i = 0; i < 60000; i++)
		buf_add_char(&edits, '\n');
	buf_add_str(&edits, "x\n=======\ny\n>>>>>>> REPLACE\n");
	for (int i = 0; i < 2000000; i++)
		buf_add_char(&old, '\n');
	assert_int_equal(apply_text(buf_str(&edits), buf_str(&old), &got, &report), ERR_CONFLICT);
}

/* ---- files ---- */

static int root = -1;
static char dir[] = "/tmp/healbus-edits-XXXXXX";

static void put_file(const char *path, const char *text)
{
	auto_fd int fd = openat(root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static char *get_file(const char *path)
{
	auto_fd int fd = openat(root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[4096] = "";
	if (fd < 0)
		return mem_strdup("(none)");
	ssize_t n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	return mem_strdup(text);
}

static void expect_file(const char *path, const char *text)
{
	auto_free char *got = get_file(path);
	assert_string_equal(got, text);
}

static int apply(const char *text, struct buf *report, struct why *why)
{
	struct edits e;
	int rc = edits_parse(text, strlen(text), &e, why);
	if (!rc)
		rc = edits_apply(&e, root, report, why);
	edits_release(&e);
	return rc;
}

static int make_root(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(root, "sub", 0755);
	put_file("a.txt", "one\ntwo\n");
	put_file("sub/b.txt", "three\n");
	put_file("run.sh", "#!/bin/sh\n");
	put_file("outside", "kept\n");
	return fchmodat(root, "run.sh", 0755, 0) || symlinkat("sub", root, "link") ||
	       symlinkat("outside", root, "file-link");
}

static int remove_root(void **state)
{
	(void)state;
	static const char *const files[] = {"a.txt",     "sub/b.txt", "run.sh",  "outside",
					    "link",      "file-link", "new.txt", "deep/er/c.txt",
					    "moved.txt", "bin"};
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlinkat(root, files[i], 0);
	unlinkat(root, "deep/er", AT_REMOVEDIR);
	unlinkat(root, "deep", AT_REMOVEDIR);
	unlinkat(root, "sub", AT_REMOVEDIR);
	close(root);
	int rc = rmdir(dir);
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	return rc;
}

static void files_are_changed_made_moved_deleted(void **state)
{
	(void)state;
	auto_buf report = {0};
	struct why why = {0};
	static const char text[] =
		"diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n "
		"one\n-two\n+TWO\n"
		"diff --git a/sub/b.txt b/moved.txt\nrename from sub/b.txt\nrename to moved.txt\n"
		"diff --git a/deep/er/c.txt b/deep/er/c.txt\nnew file mode 100755\n--- /dev/null\n"
		"+++ b/deep/er/c.txt\n@@ -0,0 +1 @@\n+c\n"
		"diff --git a/run.sh b/run.sh\n--- a/run.sh\n+++ b/run.sh\n@@ -1 +1,2 @@\n "
		"#!/bin/sh\n+true\n"
		"diff --git a/outside b/outside\ndeleted file mode 100644\n--- a/outside\n+++ "
		"/dev/null\n"
		"@@ -1 +0,0 @@\n-kept\n";
	int rc = apply(text, &report, &why);
	if (rc)
		fail_msg("%d %s: %s", rc, why.text, buf_str(&report));
	expect_file("a.txt", "one\nTWO\n");
	expect_file("sub/b.txt", "(none)");
	expect_file("moved.txt", "three\n");
	expect_file("deep/er/c.txt", "c\n");
	expect_file("outside", "(none)");
	struct stat st;
	assert_int_equal(fstatat(root, "run.sh", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(fstatat(root, "deep/er/c.txt", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
}

static void one_misfit_and_nothing_is_changed(void **state)
{
	(void)state;
	auto_buf report = {0};
	struct why why = {0};
	static const char text[] =
		"<<<<<<< SEARCH a.txt\none\n=======\nONE\n>>>>>>> REPLACE\n"
		"<<<<<<< SEARCH new.txt\n=======\nnew\n>>>>>>> REPLACE\n"
		"<<<<<<< SEARCH sub/b.txt\nfour\n=======\nFOUR\n>>>>>>> REPLACE\n"
		"<<<<<<< SEARCH gone.txt\nx\n=======\ny\n>>>>>>> REPLACE\n";
	assert_int_equal(apply(text, &report, &why), ERR_CONFLICT);
	assert_non_null(strstr(report.data, "sub/b.txt (the block at line"));
	assert_non_null(strstr(report.data, "gone.txt: there is no such file\n"));
	expect_file("a.txt", "one\ntwo\n");
	expect_file("new.txt", "(none)");
}

static void links_and_odd_files_are_left_alone(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
	} rows[] = {
		{"<<<<<<< SEARCH link/b.txt\nthree\n=======\nx\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"<<<<<<< SEARCH link/new.txt\n=======\nx\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"<<<<<<< SEARCH file-link\nkept\n=======\nx\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"<<<<<<< SEARCH file-link\n=======\nx\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"<<<<<<< SEARCH sub\na\n=======\nx\n>>>>>>> REPLACE\n", ERR_DENIED},
		{"<<<<<<< SEARCH a.txt/x\n=======\nx\n>>>>>>> REPLACE\n", ERR_IO},
		{"<<<<<<< SEARCH a.txt\n=======\nx\n>>>>>>> REPLACE\n", ERR_EXISTS},
		{"<<<<<<< SEARCH bin\na\n=======\nx\n>>>>>>> REPLACE\n", ERR_INVALID},
	};
	auto_fd int fd = openat(root, "bin", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "a\0\n", 3), 3);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf report = {0};
		struct why why = {0};
		int rc = apply(rows[i].text, &report, &why);
		if (rc != rows[i].rc && !(rows[i].rc == ERR_IO && rc == ERR_NOT_FOUND))
			fail_msg("row %zu: %d %s", i, rc, why.text);
	}
	expect_file("outside", "kept\n");
	expect_file("a.txt", "one\ntwo\n");
	expect_file("sub/b.txt", "three\n");
}

static void a_hunks_core_is_what_differs(void **state)
{
	(void)state;
	struct edits e;
	static const char text[] =
		"<<<<<<< SEARCH f\na\nb\nc\n=======\na\nB\nB2\nc\n>>>>>>> REPLACE\n";
	assert_int_equal(edits_parse(text, strlen(text), &e, NULL), 0);
	size_t first = 0, old_end = 0, new_end = 0;
	edit_hunk_core(&e.files[0].hunks[0], &first, &old_end, &new_end);
	assert_int_equal(first, 1);
	assert_int_equal(old_end, 2);
	assert_int_equal(new_end, 3);
	edits_release(&e);
}

#define ROOTED(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_fit_or_not),
		cmocka_unit_test(a_misfit_says_what_is_closest),
		cmocka_unit_test(texts_are_refused),
		cmocka_unit_test(paths_are_looked_at),
		cmocka_unit_test(repetition_is_bounded),
		cmocka_unit_test(a_hunks_core_is_what_differs),
		ROOTED(files_are_changed_made_moved_deleted),
		ROOTED(one_misfit_and_nothing_is_changed),
		ROOTED(links_and_odd_files_are_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
