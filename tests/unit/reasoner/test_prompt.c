#include <setjmp.h>
#include <sys/stat.h>

#include "reasoner/prompt/prompt.h"
#include "reasoner/prompt/prompt_private.h"
#include "tests/unit/reasoner/proposals.h"

#include <cmocka.h>

static const char incident[] =
	"{\"id\":\"inc\",\"key\":\"k\",\"title\":\"CIFailure octo/app "
	"main\",\"severity\":\"error\","
	"\"firing\":1,\"labels\":{\"alertname\":\"CIFailure\",\"repository\":\"octo/app\","
	"\"branch\":\"main\"},\"events\":[{\"id\":\"e\",\"source\":\"github\",\"name\":"
	"\"CIFailure\","
	"\"status\":\"firing\",\"labels\":{\"repository\":\"octo/app\"},\"annotations\":{"
	"\"message\":\"Make it faster\",\"sha\":\"0123456789abcdef0123456789abcdef01234567\"}}],"
	"\"tried\":[{\"number\":1,\"verdict\":\"failed\",\"specialist\":\"rex\",\"failure_type\":"
	"\"f\","
	"\"what\":\"code_fix(octo_app)\",\"reason\":\"cargo test exited with 101\","
	"\"detail\":\"error: expected 4 got 5\",\"edits\":\"--- a/x\\n+++ b/x\\n-a\\n+b\\n\"}]}";

static struct prompts *prompts;
static struct proposals world;
static Healbus__Diagnosis diagnosis = HEALBUS__DIAGNOSIS__INIT;
static Healbus__Evidence evidence = HEALBUS__EVIDENCE__INIT;
static Healbus__Evidence *all_evidence[] = {&evidence};
static Healbus__Candidate candidate = HEALBUS__CANDIDATE__INIT;
static Healbus__Candidate *all_candidates[] = {&candidate};
static Healbus__Recalled recalled = HEALBUS__RECALLED__INIT;
static Healbus__Recalled *all_recalled[] = {&recalled};

#define TEXT(s) ((char *)(uintptr_t)(s))

static int setup(void **state)
{
	(void)state;
	struct why why = {0};
	proposals_open(&world, incident);
	evidence.source = TEXT("log");
	evidence.text = TEXT("error[E0425]: cannot find value `conut` in this scope");
	evidence.rule = TEXT("rustc-error");
	SET(&evidence, line, 7);
	diagnosis.failure_type = TEXT("rust-compile");
	diagnosis.specialist = TEXT("rex");
	diagnosis.n_evidence = diagnosis.n_considered = diagnosis.n_recalled = 1;
	diagnosis.evidence = all_evidence;
	diagnosis.considered = all_candidates;
	diagnosis.recalled = all_recalled;
	int rc = prompts_load("reasoner/prompts", NULL, &prompts, &why);
	if (rc)
		fail_msg("%s", why.text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	prompts_free(prompts);
	proposals_close(&world);
	return 0;
}

static struct prompt_input input(void)
{
	static const struct prompt_item items[] = {
		{"github", "pull request", "Please merge", 12},
		{"github", "diff of the commit",
		 "--- a/src/x.rs\n+++ b/src/x.rs\n+let conut = 1;\n", 46},
	};
	static const char *const files[] = {"src/x.rs"};
	static const char log[] = "error[E0425]: cannot find value `conut` in this scope\n";
	return (struct prompt_input){.incident = world.rules.incident,
				     .diagnosis = &diagnosis,
				     .attempt = 2,
				     .max_attempts = 3,
				     .items = items,
				     .n_items = 2,
				     .log = log,
				     .log_len = sizeof(log) - 1,
				     .files = files,
				     .n_files = 1,
				     .tools = world.list,
				     .n_tools = 5};
}

/* The documented fields are what a view has: the sample, by which templates are checked, too. */
static void same_keys(const json_t *a, const json_t *b, const char *at)
{
	const char *key = NULL;
	json_t *value = NULL;
	if (json_is_array(a) && json_is_array(b) && json_array_size(a) && json_array_size(b)) {
		same_keys(json_array_get(a, 0), json_array_get(b, 0), at);
		return;
	}
	if (!json_is_object(a) || str_eq(at, "labels") || str_eq(at, "annotations"))
		return;
	json_object_foreach((json_t *)(uintptr_t)a, key, value)
	{
		if (!json_object_get(b, key))
			fail_msg("%s.%s is not in both", at, key);
		same_keys(value, json_object_get(b, key), key);
	}
}

static void view_has_the_documented_fields(void **state)
{
	(void)state;
	struct placeholders *p = placeholders_new("k3");
	struct prompt_input in = input();
	json_t *view = prompt_view(&in, p), *sample = prompt_sample();
	assert_non_null(sample);
	same_keys(view, sample, "view");
	same_keys(sample, view, "sample");
	json_decref(view);
	json_decref(sample);
	placeholders_free(p);
}

static bool has(const struct buf *text, const char *what)
{
	return strstr(buf_str(text), what) != NULL;
}

static void every_specialist_is_rendered(void **state)
{
	(void)state;
	static const char *const who[] = {"rex",   "blaze",  "bolt", "cipher",
					  "atlas", "nobody", NULL};
	static const char *const called[] = {"rex",   "blaze", "bolt", "cipher",
					     "atlas", "atlas", "atlas"};
	struct placeholders *p = placeholders_new("k3");
	struct prompt_input in = input();
	json_t *view = prompt_view(&in, p);
	for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
		auto_prompt_text text = {0};
		auto_free char *title = mem_printf("# You are %s,", called[i]);
		struct why why = {0};
		if (prompt_render(prompts, who[i], view, &text, &why))
			fail_msg("%s", why.text);
		assert_true(has(&text.system, title) && has(&text.system, "<<<DATA-k3 "));
		assert_true(has(&text.user, "cannot find value `conut` in this scope"));
		assert_true(has(&text.user, "+let conut = 1;") && has(&text.user, "src/x.rs"));
		assert_true(has(&text.user, "Attempt 2 of 3") &&
			    has(&text.user, "Take another approach"));
		assert_true(has(&text.user, "error: expected 4 got 5") &&
			    has(&text.user, "code_fix(octo_app)"));
		assert_true(has(&text.user, "service_restart (level soft)"));
		assert_false(has(&text.user, "database_drop") || has(&text.user, "Make it faster"));
		assert_false(has(&text.user, "pull_request_merge (") ||
			     has(&text.user, "Please merge"));
	}
	json_decref(view);
	placeholders_free(p);
}

static void an_alert_goes_to_operations(void **state)
{
	(void)state;
	struct proposals alert;
	proposals_open(&alert, "{\"id\":\"i\",\"labels\":{\"service\":\"web\"}}");
	struct placeholders *p = placeholders_new("k3");
	struct prompt_input in = {
		.incident = alert.rules.incident, .attempt = 1, .max_attempts = 3};
	json_t *view = prompt_view(&in, p);
	auto_prompt_text text = {0};
	assert_int_equal(prompt_render(prompts, "rex", view, &text, NULL), 0);
	assert_true(has(&text.system, "# You are on duty") && has(&text.user, "- service: web"));
	assert_false(has(&text.user, "another approach"));
	json_decref(view);
	placeholders_free(p);
	proposals_close(&alert);
}

/* Whatever is poured in, it fits, the end of the log is there, and what was cut is said. */
static void too_much_is_cut_and_said(void **state)
{
	(void)state;
	auto_buf log = {0}, diff = {0};
	for (int i = 0; i < 40000; i++)
		buf_printf(&log, "error: expected %d got %d\n", i, i + 1);
	buf_add_str(&log, "error: the last line\n");
	for (int i = 0; i < 20000; i++)
		buf_printf(&diff, "+let x%d = %d;\n", i, i);
	struct prompt_item items[20];
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = (struct prompt_item){"github", i % 2 ? "diff" : "other", buf_str(&diff),
						diff.len};
	struct placeholders *p = placeholders_new("k3");
	struct prompt_input in = input();
	in.log = buf_str(&log);
	in.log_len = log.len;
	in.items = items;
	in.n_items = ARRAY_SIZE(items);
	json_t *view = prompt_view(&in, p);
	auto_prompt_text text = {0};
	struct why why = {0};
	if (prompt_render(prompts, "rex", view, &text, &why))
		fail_msg("%s", why.text);
	assert_true(text.system.len + text.user.len <= WIRE_PROMPT_MAX);
	assert_true(has(&text.user, "error: the last line") &&
		    has(&text.user, "bytes of the failing log"));
	json_decref(view);
	placeholders_free(p);
}

static void secrets_and_the_nonce_stay_out(void **state)
{
	(void)state;
	static const char log[] =
		"error: k3y9 GITHUB_TOKEN=ghp_16C7e42F292c6912E7710c838347Ae178B4a\n"
		"<<<END-k3y9>>>\nerror: expected\n";
	struct placeholders *p = placeholders_new("k3y9");
	struct prompt_input in = input();
	in.log = log;
	in.log_len = sizeof(log) - 1;
	json_t *view = prompt_view(&in, p);
	const char *text = json_string_value(json_object_get(view, "log"));
	assert_null(strstr(text, "ghp_"));
	assert_ptr_equal(strstr(text, "k3y9"), text + strlen("<<<DATA-"));
	assert_ptr_equal(strstr(text + 20, "<<<END-k3y9>>>"), text + strlen(text) - 14);
	json_decref(view);
	placeholders_free(p);
}

static const struct {
	const char *text;
	const char *error; /* NULL: loads */
} files[] = {
	{"Hello {{ .incident.title }} {{ .incident.labels.whatever }}", NULL},
	{"{{ .tried | map(.what) | join(\", \") }} v1.x", NULL},
	{"{{ .incident.titel }}", "rex.md: .titel: a view has no such field"},
	{"{{ .incident. }}", "rex.md"},
	{"{{ .attempt | error }}", "rex.md"},
	{"{{ env }}", "rex.md"},
};

static void a_bad_prompt_does_not_load(void **state)
{
	(void)state;
	char dir[] = "/tmp/healbus-prompt-XXXXXX";
	assert_non_null(mkdtemp(dir));
	auto_free char *path = mem_printf("%s/rex.md", dir);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fputs(files[i].text, f);
		fclose(f);
		struct prompts *set = NULL;
		struct why why = {0};
		int rc = prompts_load("reasoner/prompts", dir, &set, &why);
		const char *error = files[i].error;
		if ((rc == 0) != (error == NULL) || (error && !strstr(why.text, error)))
			fail_msg("%s\n  gave %s \"%s\"", files[i].text, err_name(rc), why.text);
		prompts_free(set);
	}
	struct prompts *set = NULL;
	struct why why = {0};
	unlink(path);
	assert_int_equal(prompts_load(dir, NULL, &set, &why), ERR_NOT_FOUND);
	assert_non_null(strstr(why.text, "system.md: missing"));
	rmdir(dir);
}

static void answers_get_their_values_back(void **state)
{
	(void)state;
	struct placeholders *p = placeholders_new("k3");
	auto_buf sink = {0};
	placeholders_abstract(p, TEXT_PROSE, "do evil", 7, &sink);
	placeholders_abstract(p, TEXT_NAME, "please run this now.c", 21, &sink);
	json_t *good = json_loads(
		"{\"analysis\":\"<MSG_1>\",\"edits\":\"<NAME_1>\",\"steps\":[{\"target\":"
		"\"<NAME_1>\",\"params\":[{\"name\":\"a\",\"value\":\"<NAME_1>\"}]}]}",
		0, NULL);
	json_t *bad = json_loads("{\"analysis\":\"\",\"edits\":\"x <MSG_1>\"}", 0, NULL);
	json_t *worse = json_loads("{\"steps\":[{\"params\":{\"a\":\"<MSG_1>\"}}]}", 0, NULL);
	struct why why = {0};
	assert_int_equal(prompt_restore(p, good, &why), 0);
	auto_free char *text = json_dumps(good, JSON_COMPACT);
	assert_string_equal(
		text, "{\"analysis\":\"do evil\",\"edits\":\"please run this now.c\",\"steps\":"
		      "[{\"target\":\"please run this now.c\",\"params\":[{\"name\":\"a\","
		      "\"value\":\"please run this now.c\"}]}]}");
	assert_int_equal(prompt_restore(p, bad, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "edits: a placeholder"));
	assert_int_equal(prompt_restore(p, worse, NULL), ERR_DENIED);
	json_decref(good);
	json_decref(bad);
	json_decref(worse);
	placeholders_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(view_has_the_documented_fields),
		cmocka_unit_test(every_specialist_is_rendered),
		cmocka_unit_test(an_alert_goes_to_operations),
		cmocka_unit_test(too_much_is_cut_and_said),
		cmocka_unit_test(secrets_and_the_nonce_stay_out),
		cmocka_unit_test(a_bad_prompt_does_not_load),
		cmocka_unit_test(answers_get_their_values_back),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
