#include <setjmp.h>
#include "tests/unit/reasoner/proposals.h"

#include <cmocka.h>

#include "reasoner/proposal/plain.h"

static struct proposals world;

static int setup(void **state)
{
	(void)state;
	proposals_open(&world, proposals_incident);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	proposals_close(&world);
	return 0;
}

#define HEAD "{\"analysis\":\"why\",\"confidence\":0.5,"
#define STEP(tool, target, params)                                                                 \
	HEAD "\"steps\":[{\"tool\":\"" tool "\",\"target\":\"" target "\",\"params\":" params "}]" \
	     "}"
#define PARAM(name, value) STEP("service_restart", "web", "{\"" name "\":" value "}")

/* What is refused, and a word of the reason; NULL: it is taken. */
static const struct {
	const char *json;
	const char *error;
} answers[] = {
	{HEAD "\"give_up\":\"no idea\"}", NULL},
	{STEP("service_restart", "web", "{}"), NULL},
	{STEP("service_restart", "web", "[]"), NULL},
	{STEP("service_restart", "web", "null"), NULL},
	{STEP("service_restart", "db-1", "{}"), NULL},
	{STEP("service_restart", "web-2", "{}"), NULL},
	{STEP("service_restart", "octo-org_octo_repo", "{}"), NULL},
	{STEP("service_restart", "web", "[{\"name\":\"count\",\"value\":\"7\"}]"), NULL},
	{PARAM("count", "-3"), NULL},
	{PARAM("force", "true"), NULL},
	{PARAM("grace", "\"1h30m\""), NULL},
	{PARAM("mode", "\"hup\""), NULL},
	{PARAM("name", "\"web.example.org\""), NULL},
	{PARAM("peer", "\"[::1]:80\""), NULL},
	{PARAM("place", "\"/var/log/web/a.log\""), NULL},
	{PARAM("size", "\"500M\""), NULL},
	{PARAM("url", "\"https://web:8080/health\""), NULL},

	{"", "not a JSON object"},
	{"[]", "not a JSON object"},
	{"null", "not a JSON object"},
	{"{\"analysis\":", "not a JSON object"},
	{HEAD "\"give_up\":\"x\"} trailing", "not a JSON object"},
	{HEAD "\"give_up\":\"x\",\"give_up\":\"y\"}", "not a JSON object"},
	{HEAD "\"give_up\":\"a\\u0000b\"}", "not a JSON object"},
	{"{\"confidence\":1,\"edits\":\"\",\"give_up\":\"\"}", "analysis: missing"},
	{"{\"analysis\":\"x\",\"give_up\":\"y\"}", "confidence"},
	{"{\"analysis\":\"x\",\"confidence\":1.01,\"give_up\":\"y\"}", "confidence"},
	{"{\"analysis\":\"x\",\"confidence\":-1,\"give_up\":\"y\"}", "confidence"},
	{"{\"analysis\":\"x\",\"confidence\":\"1\",\"give_up\":\"y\"}", "confidence"},
	{"{\"analysis\":7,\"confidence\":1,\"give_up\":\"y\"}", "analysis: text wanted"},
	{HEAD "\"steps\":[]}", "nothing proposed"},
	{HEAD "\"edits\":\" \\n\"}", "nothing proposed"},
	{HEAD "\"steps\":{}}", "steps: a list"},
	{HEAD "\"steps\":[7]}", "steps[0]: tool and target"},
	{HEAD "\"level\":\"none\",\"give_up\":\"x\"}", "level: no such field"},
	{HEAD "\"branch\":\"main\",\"give_up\":\"x\"}", "branch: no such field"},
	{HEAD "\"repository\":\"a/b\",\"give_up\":\"x\"}", "repository: no such field"},
	{HEAD "\"approved_by\":\"boss\",\"give_up\":\"x\"}", "approved_by: no such field"},
	{HEAD "\"steps\":[{\"tool\":\"service_restart\",\"target\":\"web\",\"level\":\"none\"}]}",
	 "level: no such field"},
	{HEAD "\"steps\":[{\"tool\":\"service_restart\",\"target\":\"web\",\"timeout\":9}]}",
	 "timeout: no such field"},
	{HEAD "\"steps\":[{\"tool\":\"service_restart\",\"target\":\"web\","
	      "\"rollback\":{\"tool\":\"x\"}}]}",
	 "rollback: no such field"},
	{HEAD "\"steps\":[{\"tool\":\"service_restart\"}]}", "tool and target"},
	{STEP("rm", "web", "{}"), "\"rm\" is not in the catalogue"},
	{STEP("", "web", "{}"), "not in the catalogue"},
	{STEP("service_restart ", "web", "{}"), "not in the catalogue"},
	{STEP("database_drop", "web", "{}"), "forbidden"},
	{STEP("unlevelled", "web", "{}"), "forbidden"},
	{STEP("code_fix", "octo-org_octo_repo", "{}"), "not for a proposal"},
	{STEP("pull_request_merge", "octo-org_octo_repo", "{}"), "not for a proposal"},
	{STEP("service_restart", "vault", "{}"), "names no \"vault\""},
	{STEP("service_restart", "prod-db", "{}"), "names no \"prod-db\""},
	{STEP("service_restart", "critical", "{}"), "names no"},
	{STEP("service_restart", "we", "{}"), "names no"},
	{STEP("service_restart", "", "{}"), "names no"},
	{STEP("service_restart", "web;reboot", "{}"), "names no"},
	{STEP("service_restart", "web", "7"), "params: a list"},
	{STEP("service_restart", "web", "[{\"name\":\"count\"}]"), "a name and a value"},
	{STEP("service_restart", "web", "[{\"name\":\"count\",\"value\":1,\"x\":1}]"),
	 "x: no such"},
	{STEP("service_restart", "web",
	      "[{\"name\":\"count\",\"value\":1},{\"name\":\"count\",\"value\":2}]"),
	 "given twice"},
	{PARAM("other", "1"), "no such parameter"},
	{PARAM("coun", "1"), "no such parameter"},
	{PARAM("", "1"), "no such parameter"},
	{PARAM("count", "\"7 \""), "type int"},
	{PARAM("count", "7.5"), "type int"},
	{PARAM("count", "null"), "type int"},
	{PARAM("count", "true"), "type int"},
	{PARAM("force", "1"), "type bool"},
	{PARAM("force", "\"yes\""), "type bool"},
	{PARAM("size", "5"), "type string"},
	{PARAM("size", "[\"5\"]"), "type string"},
	{PARAM("size", "\"\""), "type string"},
	{PARAM("size", "\"-rf\""), "type string"},
	{PARAM("size", "\"$(reboot)\""), "type string"},
	{PARAM("size", "\"a;b\""), "type string"},
	{PARAM("size", "\"a b\""), "type string"},
	{PARAM("size", "\"a\\nb\""), "type string"},
	{PARAM("size", "\"`id`\""), "type string"},
	{PARAM("size", "\"a|b\""), "type string"},
	{PARAM("size", "\"{{ .x }}\""), "type string"},
	{PARAM("size", "\"\\u0430bc\""), "type string"},
	{PARAM("name", "\"../x\""), "type name"},
	{PARAM("mode", "\"a,b\""), "type enum"},
	{PARAM("peer", "\"a@b\""), "type host"},
	{PARAM("grace", "\"soon\""), "type duration"},
	{PARAM("grace", "60"), "type duration"},
	{PARAM("place", "\"/var/../etc/shadow\""), "type path"},
	{PARAM("place", "\"var/log\""), "type path"},
	{PARAM("place", "\"/var//log\""), "type path"},
	{PARAM("place", "\"/var/log/\\u202e\""), "type path"},
	{PARAM("url", "\"file:///etc/passwd\""), "type url"},
	{PARAM("url", "\"https://user@web/\""), "type url"},
	{PARAM("url", "\"https://web/?leak=1\""), "type url"},
	{PARAM("text", "\"anything\""), "type text"},
};

static void answers_are_taken_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct proposal p = {0};
		struct why why = {0};
		int rc = proposal_read(answers[i].json, &world.rules, &world.arena, &p, &why);
		const char *error = answers[i].error;
		if ((rc == 0) != (error == NULL) || (error && !strstr(why.text, error)))
			fail_msg("%s\n  gave %s \"%s\"", answers[i].json, err_name(rc), why.text);
	}
}

#define BLOCK(path) "<<<<<<< SEARCH " path "\nold\n=======\nnew\n>>>>>>> REPLACE\n"
#define DIFF(from, to)                                                                             \
	"diff --git " from " " to "\n--- " from "\n+++ " to "\n@@ -1 +1 @@\n-old\n+new\n"

static const struct {
	const char *edits;
	const char *error;
	bool ci;
} edits[] = {
	{BLOCK("src/lib.rs"), NULL, false},
	{BLOCK("src/a b.c") "\n" BLOCK(".gitignore"), NULL, false},
	{BLOCK("docs/übersicht.md"), NULL, false},
	{"\n" BLOCK("a"), NULL, false},
	{"<<<<<<< SEARCH a\r\nold\r\n=======\r\nnew\r\n>>>>>>> REPLACE\r\n", NULL, false},
	{"<<<<<<< SEARCH a\n=======\n--- a/../../x\n+++ b/.git/x\n>>>>>>> REPLACE", NULL, false},
	{DIFF("a/src/x.c", "b/src/x.c"), NULL, false},
	{DIFF("/dev/null", "b/src/x.c"), NULL, false},
	{"--- a/x\t2024-01-01\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", NULL, false},
	{BLOCK(".github/workflows/ci.yml"), NULL, true},

	{BLOCK(".github/workflows/ci.yml"), "a human changes it", false},
	{BLOCK(".GitHub/workflows/ci.yml"), "a human changes it", false},
	{BLOCK(".gitlab-ci.yml"), "a human changes it", false},
	{BLOCK("sub/.vscode/tasks.json"), "a human changes it", true},
	{BLOCK("CODEOWNERS"), "a human changes it", true},
	{BLOCK("AGENTS.md"), "a human changes it", true},
	{BLOCK(".git/config"), "belongs to git", true},
	{BLOCK(".GIT/hooks/pre-commit"), "belongs to git", false},
	{BLOCK("vendor/.git/config"), "belongs to git", false},
	{BLOCK(".git./config"), "belongs to git", false},
	{BLOCK("git~1/config"), "belongs to git", false},
	{BLOCK(".gitmodules"), "belongs to git", false},
	{BLOCK(".gitattributes"), "belongs to git", false},
	{BLOCK(".g\u200cit/config"), "invisible", false},
	{BLOCK("/etc/passwd"), "inside the repository", false},
	{BLOCK("../x"), "inside the repository", false},
	{BLOCK("a/../../x"), "inside the repository", false},
	{BLOCK("a//x"), "inside the repository", false},
	{BLOCK("a/."), "inside the repository", false},
	{BLOCK("a/"), "inside the repository", false},
	{BLOCK("a\\..\\x"), "no path needs", false},
	{BLOCK("C:x"), "no path needs", false},
	{"<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n", "SEARCH path", false},
	{"<<<<<<< SEARCH a\n<<<<<<< SEARCH b\n=======\n>>>>>>> REPLACE\n", "inside a block", false},
	{"<<<<<<< SEARCH a\nold\n=======\nnew\n", "does not end", false},
	{"<<<<<<< SEARCH a\nold\n>>>>>>> REPLACE\n", "did not begin", false},
	{"<<<<<<< HEAD\nold\n=======\nnew\n>>>>>>> main\n", "conflict", false},
	{BLOCK("a") "and this\n", "text outside", false},
	{"rm -rf /", "text outside", false},
	{DIFF("a/.git/config", "b/.git/config"), "belongs to git", false},
	{DIFF("a/x", "b/../x"), "inside the repository", false},
	{DIFF("a/x", "/etc/passwd"), "inside the repository", false},
	{DIFF("a/x", "b/.github/workflows/ci.yml"), "a human changes it", false},
	{"diff --git a/x b/x\nsimilarity index 100%\nrename from x\nrename to .git/x\n",
	 "belongs to git", false},
	{"diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n", "links", false},
	{"diff --git a/x b/x\nnew file mode 160000\n--- /dev/null\n+++ b/x\n", "submodules", false},
	{"diff --git a/x b/x\nGIT binary patch\nliteral 3\n", "binary", false},
	{"--- a/x\n+++ b/x\n@@ -1 +1 @@\n" BLOCK("y"), "inside a diff", false},
	{"diff --git a/x b/x\n", "neither", false},
	{"<<<<<<< SEARCH a\n=======\nx\u202ey\n>>>>>>> REPLACE\n", "U+202E", false},
	{"<<<<<<< SEARCH a\n=======\nx\U000e0041y\n>>>>>>> REPLACE\n", "U+E0041", false},
	{"<<<<<<< SEARCH a\n=======\nx\033[31my\n>>>>>>> REPLACE\n", "U+001B", false},
	{"<<<<<<< SEARCH a\n=======\nx\ry\n>>>>>>> REPLACE\n", "U+000D", false},
};

static char *with_edits(const char *text)
{
	json_t *json =
		json_pack("{s:s, s:f, s:s}", "analysis", "why", "confidence", 0.5, "edits", text);
	assert_non_null(json);
	char *out = json_dumps(json, 0);
	json_decref(json);
	return out;
}

static void edits_stay_in_the_repository(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		struct proposal p = {0};
		struct why why = {0};
		struct proposal_rules rules = world.rules;
		rules.ci_files = edits[i].ci;
		auto_free char *json = with_edits(edits[i].edits);
		int rc = proposal_read(json, &rules, &world.arena, &p, &why);
		const char *error = edits[i].error;
		if ((rc == 0) != (error == NULL) || (error && !strstr(why.text, error)))
			fail_msg("%s\n  gave %s \"%s\"", edits[i].edits, err_name(rc), why.text);
		if (rc == 0)
			assert_null(strchr(p.edits, '\r'));
	}
}

static void too_much_is_refused(void **state)
{
	(void)state;
	auto_buf many = {0}, lines = {0};
	for (int i = 0; i <= PROPOSAL_FILES_MAX; i++)
		buf_printf(&many, BLOCK("f%d"), i);
	buf_add_str(&lines, "<<<<<<< SEARCH a\n=======\n");
	for (int i = 0; i < PROPOSAL_EDITS_MAX_LINES; i++)
		buf_add_str(&lines, "x\n");
	buf_add_str(&lines, ">>>>>>> REPLACE\n");
	auto_free char *huge = mem_alloc(PROPOSAL_EDITS_MAX_BYTES + 2);
	memset(huge, 'x', PROPOSAL_EDITS_MAX_BYTES + 1);
	const char *texts[] = {buf_str(&many), buf_str(&lines), huge};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct proposal p = {0};
		struct why why = {0};
		auto_free char *json = with_edits(texts[i]);
		assert_int_equal(proposal_read(json, &world.rules, &world.arena, &p, &why),
				 ERR_TOO_LARGE);
		assert_non_null(strstr(why.text, "edits: more than"));
	}
	auto_buf steps = {0};
	buf_add_str(&steps, HEAD "\"steps\":[");
	for (int i = 0; i <= PROPOSAL_STEPS_MAX; i++)
		buf_printf(&steps, "%s{\"tool\":\"service_restart\",\"target\":\"web\"}",
			   i ? "," : "");
	buf_add_str(&steps, "]}");
	struct proposal p = {0};
	assert_int_equal(proposal_read(buf_str(&steps), &world.rules, &world.arena, &p, NULL),
			 ERR_TOO_LARGE);
}

static void without_a_catalogue_only_edits(void **state)
{
	(void)state;
	struct proposal p = {0};
	struct why why = {0};
	struct proposal_rules rules = {.incident = world.rules.incident};
	auto_free char *json = with_edits(BLOCK("a"));
	assert_int_equal(proposal_read(json, &rules, &world.arena, &p, &why), 0);
	assert_int_equal(
		proposal_read(STEP("service_restart", "web", "{}"), &rules, &world.arena, &p, &why),
		ERR_DENIED);
	assert_non_null(p.edits);
}

/* Values get the type that the catalogue says, and nothing but tool, target and params is set. */
static void steps_are_typed(void **state)
{
	(void)state;
	struct proposal p = {0};
	struct why why = {0};
	const char *json = STEP("service_restart", "web",
				"[{\"name\":\"count\",\"value\":\"7\"},{\"name\":\"force\","
				"\"value\":\"true\"},{\"name\":\"size\",\"value\":\"5M\"}]");
	assert_int_equal(proposal_read(json, &world.rules, &world.arena, &p, &why), 0);
	assert_int_equal(p.n_steps, 1);
	const Healbus__Step *s = p.steps[0];
	assert_int_equal(s->n_params, 3);
	assert_true(s->params[0]->has_int_value && s->params[0]->int_value == 7);
	assert_true(s->params[1]->has_bool_value && s->params[1]->bool_value);
	assert_string_equal(s->params[2]->string_value, "5M");
	assert_true(!s->has_timeout_ms && !s->verify && !s->rollback && !s->has_keep_going &&
		    !s->has_idempotent);
	assert_null(p.edits);
	assert_null(p.give_up);
}

static const struct {
	const char *text;
	const char *plain;
} prose[] = {
	{"The cause is `x`.\nSo y.", "The cause is `x`.\nSo y."},
	{"  a\t\tb \n\n", "a  b"},
	{"<script>alert(1)</script>", "‹script›alert(1)‹/script›"},
	{"<!-- hidden -->", "‹!-- hidden --›"},
	{"a < b && c > d", "a < b && c > d"},
	{"Vec<String> -> x", "Vec‹String› -> x"},
	{"![x](https://evil.example/?leak)", "! [x]((link))"},
	{"see https://evil.example/a?b=c now", "see (link) now"},
	{"HTTPS://EVIL.example", "(link)"},
	{"javascript:alert(1) data:text/html,x", "(link)) (link)"},
	{"@octocat and fixes #12", "@ octocat and fixes # 12"},
	{"a@b.c @@x ##1 !![", "a@ b.c @@ x ## 1 !! ["},
	{"ht\u200btps://x.y", "(link)"},
	{"<@U123> <!channel>", "‹@ U123› ‹!channel›"},
	{"a\u202eb\u200bc\U000e0041d", "abcd"},
	{"a\033[31mb\x7f", "a [31mb"},
};

static void prose_is_plain(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prose); i++) {
		const char *plain = plain_prose(&world.arena, prose[i].text, 200, false);
		if (!str_eq(plain, prose[i].plain))
			fail_msg("%s\n  gave %s", prose[i].text, plain);
	}
	assert_string_equal(plain_prose(&world.arena, "a\nb", 200, true), "a b");
	assert_string_equal(plain_prose(&world.arena, "abcdefghij", 8, true), "abcde...");
	assert_string_equal(plain_prose(&world.arena, "äöüäöü", 8, true), "äö...");
}

/* Memory's steps: verify and rollback are held to the same. */
static void recalled_steps_are_checked(void **state)
{
	(void)state;
	Healbus__Step step = HEALBUS__STEP__INIT, *steps[] = {&step};
	Healbus__Rollback rollback = HEALBUS__ROLLBACK__INIT;
	Healbus__Check verify = HEALBUS__CHECK__INIT;
	char restart[] = "service_restart", drop[] = "database_drop", web[] = "web",
	     other[] = "other";
	struct why why = {0};
	step.tool = verify.tool = rollback.tool = restart;
	step.target = verify.target = rollback.target = web;
	step.verify = &verify;
	step.rollback = &rollback;
	assert_int_equal(steps_check(steps, 1, &world.rules, &why), 0);
	verify.target = other;
	assert_int_equal(steps_check(steps, 1, &world.rules, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "steps[0]: verify: target"));
	verify.target = web;
	rollback.tool = drop;
	why = (struct why){0};
	assert_int_equal(steps_check(steps, 1, &world.rules, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "rollback: tool: database_drop is forbidden"));
}

/* Strict modes want every property required and nothing else allowed, all the way down. */
static void check_strict(const json_t *schema)
{
	const char *type = json_string_value(json_object_get(schema, "type")), *key = NULL;
	json_t *value = NULL;
	assert_non_null(type);
	if (str_eq(type, "array"))
		check_strict(json_object_get(schema, "items"));
	const json_t *properties = json_object_get(schema, "properties");
	if (!str_eq(type, "object"))
		return;
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	assert_int_equal(json_array_size(json_object_get(schema, "required")),
			 json_object_size(properties));
	json_object_foreach((json_t *)(uintptr_t)properties, key, value) check_strict(value);
}

static void schema_is_strict(void **state)
{
	(void)state;
	json_t *schema = proposal_schema();
	assert_non_null(schema);
	check_strict(schema);
	json_decref(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_taken_or_refused),
		cmocka_unit_test(edits_stay_in_the_repository),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(without_a_catalogue_only_edits),
		cmocka_unit_test(steps_are_typed),
		cmocka_unit_test(prose_is_plain),
		cmocka_unit_test(recalled_steps_are_checked),
		cmocka_unit_test(schema_is_strict),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
