/* The git runner on real repositories in the real sandbox: fixes that hold and do not, pushes that
 * a person's push beats, and repositories and checks that mean harm. */
#include "executor/action.h"
#include "executor/runners/git_private.h"
#include "executor/sandboxes/launcher.h"
#include "tests/unit/executor/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tests/unit/executor/git_world.h"

/* ---- fixing ---- */

static void a_wrong_fix_fails_its_check(void **state)
{
	(void)state;
	struct action_result r = fix("p1", wrong);
	assert_int_equal(r.end, ACTION_FAILED);
	assert_string_equal(r.why.text, "check 1 of 1 failed: /bin/sh test.sh: exit code 1");
	assert_int_equal(r.exit_code, 1);
	assert_false(r.not_tried);
	assert_non_null(
		strstr(r.output.data, "tests: 0 passed, 1 failed\nfailed: not ok 1 - adds"));
	assert_non_null(strstr(r.patch, "-\techo $(($1 - $2))\n+\techo $(($1 * $2))\n"));
	action_result_release(&r);
	expect_failed(act("p1", "code_fixed", PARAMS()), "no proven fix");
	expect_failed(push("p1", "fix/x", ""), "no proven fix");
}

static void a_right_fix_is_committed_and_pushed(void **state)
{
	(void)state;
	struct action_result r = fix("p1", right);
	if (r.end != ACTION_DONE)
		fail_msg("%s: %s", r.why.text, buf_str(&r.output));
	assert_non_null(strstr(r.output.data, "check 1 of 1 passed"));
	assert_true(str_starts(r.patch, "diff --git a/calc.sh b/calc.sh\n"));
	action_result_release(&r);
	expect_done(act("p1", "code_fixed", PARAMS()));
	expect_done(push("p1", "fix/x", ""));
	auto_free char *log = ask("git -C repo.git log -1 --format='%P %an %B' fix/x");
	auto_free char *wanted =
		mem_printf("%s healbus Add, do not subtract\n\n%s: inc1", base, GIT_TRAILER);
	assert_string_equal(log, wanted);
	auto_free char *files = ask("git -C repo.git diff --name-only main fix/x");
	assert_string_equal(files, "calc.sh");
	expect_done(act("p1", "code_pushed", PARAMS("branch=fix/x")));
	struct action_result again = push("p1", "fix/x", "");
	assert_non_null(strstr(again.output.data, "is there already"));
	expect_done(again);
}

static void a_persons_push_wins(void **state)
{
	(void)state;
	expect_done(fix("p1", right));
	sh("cd w && git checkout -q -b topic && echo x >x && git add x && git commit -qm person && "
	   "git push -q ../repo.git topic && git checkout -q main && "
	   "if [ $(id -u) = 0 ]; then chown -R nobody ../repo.git; fi");
	expect_failed(push("p1", "topic", ""), "a person pushed to topic");
	expect_failed(push("p1", "topic", base), "a person pushed to topic");
	auto_free char *now = ask("git -C repo.git log -1 --format=%s topic");
	assert_string_equal(now, "person");
	/* Where it is where it must be, it moves. */
	expect_done(push("p1", "main", base));
	expect_failed(act("p1", "code_pushed", PARAMS("branch=topic")), "it failed");
}

static void a_branch_of_ours_is_replaced(void **state)
{
	(void)state;
	expect_done(fix("p1", right));
	expect_done(push("p1", "fix/x", ""));
	expect_done(fix("p2", EDIT("calc.sh", "\techo $(($1 - $2))", "\techo $(($2 + $1))")));
	expect_done(push("p2", "fix/x", ""));
	auto_free char *text = ask("git -C repo.git show fix/x:calc.sh");
	assert_non_null(strstr(text, "$2 + $1"));
	/* Of another incident it is not ours. */
	auto_free char *sha = mem_printf("sha=%s", base);
	auto_free char *edits = mem_printf("edits=%s", right);
	expect_done(act("p3", "code_fix", PARAMS(sha, "incident=other", edits)));
	expect_failed(push("p3", "fix/x", ""), "a person pushed to fix/x");
}

static void edits_that_do_not_fit_say_why(void **state)
{
	(void)state;
	struct action_result r = fix("p1", EDIT("calc.sh", "\techo nothing", "\techo x"));
	assert_non_null(strstr(r.output.data, "its old lines are not in the file. Closest:"));
	expect_failed(r, "the edits do not apply");
	expect_failed(fix("p1", EDIT("calc.sh", "add() {", "add() {")), "the edits change nothing");
}

static void another_commit_is_refused(void **state)
{
	(void)state;
	memset(base, 'a', GIT_SHA_LEN);
	expect_failed(fix("p1", right), "cannot");
	read_base();
	struct action a = {0};
	struct why why = {0};
	assert_int_equal(prepare("code_fix", PARAMS("sha=main", "edits=x"), &a, &why), ERR_INVALID);
	assert_int_equal(prepare("code_push", PARAMS("branch=--mirror"), &a, &why), ERR_INVALID);
	assert_int_equal(prepare("code_push", PARAMS("branch=a..b"), &a, &why), ERR_INVALID);
	auto_free char *sha = mem_printf("sha=%s", base);
	assert_int_equal(
		prepare("code_fix",
			PARAMS(sha, "edits=<<<<<<< SEARCH ../x\n=======\nx\n>>>>>>> REPLACE"), &a,
			&why),
		ERR_DENIED);
	reload("default_branch: main");
	auto_free char *edits = mem_printf("edits=%s", right);
	assert_int_equal(prepare("code_fix", PARAMS(sha, edits), &a, &why), ERR_CONFIG);
}

static void what_is_approved_is_all_there(void **state)
{
	(void)state;
	struct action a = {0};
	struct why why = {0};
	auto_free char *sha = mem_printf("sha=%s", base);
	auto_free char *edits = mem_printf("edits=%s", right);
	assert_int_equal(prepare("code_fix", PARAMS(sha, edits), &a, &why), 0);
	assert_non_null(strstr(a.text, base));
	assert_non_null(strstr(a.text, "change calc.sh; prove it by: /bin/sh test.sh"));
	assert_non_null(strstr(a.text, "sha256 "));
	assert_non_null(strstr(a.text, right));
	action_release(&a);
}

/* ---- harm from the repository ---- */

static void attributes_hooks_and_submodules_run_nothing(void **state)
{
	(void)state;
	sh("cd w && printf '* filter=evil diff=evil merge=evil\\n' >.gitattributes && "
	   "mkdir -p hooks .githooks && printf '#!/bin/sh\\ntouch /tmp/healbus-test-evil\\n' "
	   ">.githooks/post-checkout && chmod +x .githooks/post-checkout && "
	   "printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = ../repo.git\\n' >.gitmodules && "
	   "printf '[core]\\n\\tfsmonitor = touch /tmp/healbus-test-evil\\n\\thooksPath = "
	   ".githooks\\n[filter \"evil\"]\\n\\tclean = touch /tmp/healbus-test-evil\\n\\tsmudge = "
	   "touch /tmp/healbus-test-evil\\n' >.gitconfig && "
	   "git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),s && "
	   "true");
	sh(publish);
	read_base();
	expect_done(fix("p1", right));
	expect_done(push("p1", "fix/x", ""));
	assert_int_not_equal(access("/tmp/healbus-test-evil", F_OK), 0);
	auto_free char *files = ask("git -C repo.git diff --name-only main fix/x");
	assert_string_equal(files, "calc.sh");
}

static void links_lead_nowhere(void **state)
{
	(void)state;
	sh("cd w && ln -s /etc/passwd etc && ln -s .. up && ln -s ../../in/config conf");
	sh(publish);
	read_base();
	expect_failed(fix("p1", EDIT("etc", "root", "toor")), "symbolic link");
	expect_failed(fix("p1", "<<<<<<< SEARCH up/x\n=======\nx\n>>>>>>> REPLACE\n"),
		      "symbolic link");
	expect_failed(fix("p1", EDIT("conf", "[core]", "[evil]")), "symbolic link");
	expect_done(fix("p1", right));
}

/* ---- harm from the checks ---- */

static void checks_see_nothing_but_the_tree(void **state)
{
	(void)state;
	reload("checks: [[/bin/sh, -c, 'set -e; for f in .git ../git ../tree ../out "
	       "../record.json; "
	       "do test ! -e $f; done; test -z \"$(find / -name record.json -o -name config -path "
	       "\"*/in/*\" 2>/dev/null)\"; if env | grep -i -E \"git_|token|auth\"; then exit 1; "
	       "fi; "
	       "test $(ls /sys/class/net 2>/dev/null | wc -l) -le 1; "
	       "test \"$HOME\" = \"$TMPDIR\"; test \"$X\" = 1; touch $HOME/y; "
	       "test $(id -u) != 0']]\n      env: {X: \"1\"}");
	struct action_result r = fix("p1", right);
	expect_done(r);
}

/* What they do to the tree, or leave for us to read, changes nothing of what is pushed. */
static void what_checks_write_is_not_pushed(void **state)
{
	(void)state;
	reload("checks: [{argv: [/bin/sh, -c, 'echo evil >calc.sh; git init -q . 2>/dev/null; "
	       "ln -s /etc/shadow report.xml; rm -f test.sh; ln -s /etc/passwd test.sh; "
	       "mkdir -p a; chmod 000 a; mkfifo b; true'], report: report.xml}]");
	expect_done(fix("p1", right));
	expect_done(push("p1", "fix/x", ""));
	auto_free char *files = ask("git -C repo.git diff --name-only main fix/x");
	assert_string_equal(files, "calc.sh");
	auto_free char *text = ask("git -C repo.git show fix/x:calc.sh");
	assert_null(strstr(text, "evil"));
	workspace_remove(config.stage.state_dir, "p1");
	auto_free char *left = ask("ls state/work");
	assert_string_equal(left, "");
}

static void a_report_is_read_without_links(void **state)
{
	(void)state;
	reload("checks: [{argv: [/bin/sh, -c, 'ln -s /etc/passwd r.xml; exit 3'], report: r.xml}]");
	struct action_result r = fix("p1", right);
	assert_non_null(strstr(r.output.data,
			       "report not read: check/r.xml: a symbolic link is in the way"));
	assert_null(strstr(r.output.data, "root:"));
	expect_failed(r, "exit code 3");
	reload("checks: [{argv: [/bin/sh, -c, 'echo \"<testsuite><testcase classname=\\\"c\\\" "
	       "name=\\\"t\\\"><failure message=\\\"1 &lt; 2\\\"/></testcase></testsuite>\" "
	       ">r.xml; "
	       "exit 3'], report: r.xml}]");
	r = fix("p1", right);
	assert_non_null(strstr(r.output.data, "failed: c.t: 1 < 2\n"));
	expect_failed(r, "exit code 3");
}

static void checks_are_bounded(void **state)
{
	(void)state;
	reload("checks: [{argv: [/bin/sh, -c, 'sleep 60 & wait'], timeout: 500ms}]");
	expect_failed(fix("p1", right), "timed out after 500 ms");
	reload("checks: [[/bin/sh, -c, 'yes | head -c 60000000; echo the end; exit 1']]");
	struct action_result r = fix("p1", right);
	assert_true(r.truncated);
	assert_true(r.output.len < 2 * CHECK_TEXT_BYTES);
	assert_non_null(strstr(r.output.data, "the end"));
	expect_failed(r, "exit code 1");
	reload("checks: [[/bin/sh, -c, 'i=0; while head -c 4000000 /dev/zero >f$i; do i=$((i+1)); "
	       "done; exit 1']]\n      disk: 20MiB");
	r = fix("p1", right);
	assert_non_null(strstr(r.output.data, "No space left on device"));
	expect_failed(r, "exit code 1");
	reload("checks: [[/bin/sh, -c, 'x=$(head -c 200000000 /dev/zero | tr \"\\\\0\" a); "
	       "echo got ${#x}']]\n      memory: 100MiB");
	expect_failed(fix("p1", right), "exit code");
}

/* A remote that is away says nothing against a fix, before or after it was proven. */
static void a_remote_that_is_away_blames_nobody(void **state)
{
	(void)state;
	struct action_result r = fix("p1", right);
	assert_true(r.end == ACTION_DONE && !r.not_tried);
	action_result_release(&r);
	sh("mv repo.git away.git");
	struct action_result pushed = push("p1", "fix/away", "");
	struct action_result fixed = fix("p2", right);
	sh("mv away.git repo.git");
	assert_true(pushed.end == ACTION_FAILED && pushed.not_tried);
	assert_true(fixed.end == ACTION_FAILED && fixed.not_tried);
	action_result_release(&pushed);
	action_result_release(&fixed);
}

/* This one's engine is not there, and that is what is told. */
static void checks_run_where_the_target_says(void **state)
{
	(void)state;
	reload("checks: [[/bin/sh, test.sh]]\n      sandbox: docker\n"
	       "docker: {socket: /nonexistent, image: debian}");
	struct action_result r = fix("p1", right);
	assert_true(r.not_tried);
	expect_failed(r, "check 1 of 1 could not be run: /bin/sh test.sh: docker: did not start");
	reload(plain_checks);
}

/* What the edits say is refused before anything is cloned. */
static void the_guard_reads_the_edits(void **state)
{
	static const char edits[] = EDIT("calc.sh", "add() {",
					 "add() {\n\tsecret=gh"
					 "p_16C7e42F292c6912E7710c838347Ae178B4a");
	struct action a = {0};
	struct why why = {0};
	(void)state;
	auto_free char *sha = mem_printf("sha=%s", base);
	auto_free char *text = mem_printf("edits=%s", edits);
	assert_int_equal(prepare("code_fix", PARAMS(sha, text), &a, &why), ERR_DENIED);
	assert_string_equal(why.text, "refuse: secret: calc.sh:5: a GitHub token");
}

/* That a file of tests is gone is seen in the result only. */
static void the_guard_has_the_last_word(void **state)
{
	static const char edits[] =
		"<<<<<<< SEARCH test.sh\n. ./calc.sh\n[ \"$(add 2 3)\" = 5 ] || { "
		"echo \"not ok 1 - adds\"; exit 1; }\necho \"ok 1 - adds\"\n"
		"=======\n>>>>>>> REPLACE\n";
	(void)state;
	struct action_result r = fix("p1", edits);
	assert_non_null(
		strstr(r.output.data, "refuse: test_removed: test.sh: a file of tests goes"));
	expect_failed(r, "the guard refuses the patch");
}

/* ---- workspaces ---- */

static void deep_and_old_workspaces_go(void **state)
{
	(void)state;
	struct why why = {0};
	auto_workspace w = WORKSPACE_NONE;
	assert_int_equal(workspace_open(config.stage.state_dir, "deep", &w, &why), 0);
	sh("cd state/work/deep && i=0; while [ $i -lt 300 ]; do mkdir d && cd d && touch f; "
	   "i=$((i+1)); done; chmod 500 . .. || true");
	workspace_sweep(config.stage.state_dir, 0);
	assert_int_equal(faccessat(w.fd, "d", F_OK, 0), 0);
	workspace_remove(config.stage.state_dir, "deep");
	auto_free char *left = ask("ls state/work");
	assert_string_equal(left, "");
	sh("mkdir -p state/work/old && touch -d '3 days ago' state/work/old");
	workspace_sweep(config.stage.state_dir, (int64_t)time(NULL) * 1000);
	auto_free char *none = ask("ls state/work");
	assert_string_equal(none, "");
	auto_workspace bad = WORKSPACE_NONE;
	assert_int_equal(workspace_open(config.stage.state_dir, "../x", &bad, &why), ERR_INVALID);
}

/* ---- reports ---- */

static void reports_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *text, *lines;
		size_t passed, failed;
		bool any;
	} rows[] = {
		{"", "", 0, 0, false},
		{"hello\nworld\n", "", 0, 0, false},
		{"ok 1\nnot ok 2 - b\nnot ok 3 # TODO\nok\n", "failed: not ok 2 - b\n", 2, 1, true},
		{"okay\nnot okay\n", "", 0, 0, false},
		{"<testsuite><testcase name='a'/><testcase classname=\"C\" "
		 "name=\"b&gt;1\"><failure "
		 "message='x > y'/></testcase><testcase "
		 "name=\"s\"><skipped/></testcase></testsuite>",
		 "failed: C.b>1: x > y\n", 1, 1, true},
		{"<testsuite><testcase name=\"e\"><error>boom</error></testcase></testsuite>",
		 "failed: e\n", 0, 1, true},
		{"<testsuite><testcase name=\"cut", "", 1, 0, true},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct test_results r = {0};
		auto_buf lines = {0};
		bool any = test_results_read(rows[i].text, strlen(rows[i].text), 500, &r, &lines);
		assert_int_equal(any, rows[i].any);
		assert_string_equal(buf_str(&lines), rows[i].lines);
		assert_int_equal(r.passed, rows[i].passed);
		assert_int_equal(r.failed, rows[i].failed);
	}
}

/* ---- names ---- */

static void names_are_checked(void **state)
{
	(void)state;
	static const char *const good[] = {
		"main", "fix/rust-test-0123abcd", "a.b", "v1+x", "user@x", "\xc3\xa4"};
	static const char *const bad[] = {
		"",     "-x", "/a",   "a/",    "a//b", "a..b",         "a.lock", "a.lock/b",
		"a/.b", ".a", "a.",   "a b",   "a~1",  "a^",           "a:b",    "a?",
		"a*",   "a[", "a\\b", "a@{1}", "HEAD", "refs/heads/x", "+a",     "a\n"};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!git_branch_valid(good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (git_branch_valid(bad[i]))
			fail_msg("%s", bad[i]);
	static const struct {
		const char *url, *api;
		bool same;
	} hosts[] = {{"https://github.com/o/r", "https://api.github.com", true},
		     {"https://github.com.evil/o/r", "https://api.github.com", false},
		     {"https://evil/github.com", "https://api.github.com", false},
		     {"https://api.github.com@evil/o/r", "https://api.github.com", false},
		     {"https://ghe.corp/o/r", "https://ghe.corp/api/v3", true},
		     {"http://127.0.0.1:1/o/r", "http://127.0.0.1:2", true},
		     {"file:///o/r", "https://api.github.com", false}};
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		assert_int_equal(git_host_is_github(hosts[i].url, hosts[i].api), hosts[i].same);
}

static void targets_are_checked(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{\"kind\":\"service\",\"url\":\"https://h/o/r\"}",
		"{\"kind\":\"repository\"}",
		"{\"kind\":\"repository\",\"url\":\"ssh://h/o/r\"}",
		"{\"kind\":\"repository\",\"url\":\"https://user:pw@h/o/r\"}",
		"{\"kind\":\"repository\",\"url\":\"file://rel/o/r\"}",
		"{\"kind\":\"repository\",\"url\":\"https://h/r\",\"repository\":\"r\"}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"default_branch\":\"-x\"}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"checks\":\"make\"}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"checks\":[[\"make\"]]}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"checks\":[[\"/bin/x\",1]]}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"checks\":[{\"argv\":[\"/x\"],"
		"\"report\":\"../x\"}]}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/"
		"r\",\"env\":{\"LD_PRELOAD\":\"x\"}}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"readonly\":[\"/\"]}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"memory\":\"much\"}",
		"{\"kind\":\"repository\",\"url\":\"https://h/o/r\",\"token_file\":\"t\"}"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct git_target t = {0};
		struct why why = {0};
		json_t *o = json_loads(bad[i], 0, NULL);
		if (git_target_parse(o, &t, &why) != ERR_CONFIG)
			fail_msg("%s", bad[i]);
		git_target_release(&t);
		json_decref(o);
	}
}

#define REPO(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	struct why why = {0};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(reports_are_read),
		cmocka_unit_test(targets_are_checked),
		REPO(a_wrong_fix_fails_its_check),
		REPO(a_right_fix_is_committed_and_pushed),
		REPO(a_persons_push_wins),
		REPO(a_branch_of_ours_is_replaced),
		REPO(edits_that_do_not_fit_say_why),
		REPO(another_commit_is_refused),
		REPO(what_is_approved_is_all_there),
		REPO(attributes_hooks_and_submodules_run_nothing),
		REPO(links_lead_nowhere),
		REPO(checks_see_nothing_but_the_tree),
		REPO(what_checks_write_is_not_pushed),
		REPO(a_report_is_read_without_links),
		REPO(checks_are_bounded),
		REPO(a_remote_that_is_away_blames_nobody),
		REPO(checks_run_where_the_target_says),
		REPO(the_guard_reads_the_edits),
		REPO(the_guard_has_the_last_word),
		REPO(deep_and_old_workspaces_go),
	};
	const struct CMUnitTest without_namespaces[] = {
		REPO(a_wrong_fix_fails_its_check),
		REPO(a_right_fix_is_committed_and_pushed),
		REPO(attributes_hooks_and_submodules_run_nothing),
		REPO(links_lead_nowhere),
		REPO(what_checks_write_is_not_pushed),
		REPO(a_report_is_read_without_links),
	};
	if (launcher_open(&why))
		fail_msg("%s", why.text);
	sandbox_probe(SANDBOX_WISH_AUTO);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	sandbox_probe(SANDBOX_WISH_LANDLOCK);
	return failed + cmocka_run_group_tests(without_namespaces, NULL, NULL);
}
