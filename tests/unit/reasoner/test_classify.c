/* The classifier on logs of our own, its data, and who is asked for which failure. */
#include "common/base.h"

#include "common/buf.h"
#include "reasoner/classify/classify_private.h"

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

/* ---- where a line stands ---- */

/* Classifies one text and keeps the answer until the next call. */
static const Healbus__Diagnosis *ask(const struct classify_input *in)
{
	static struct arena arena;
	static Healbus__Diagnosis d;
	arena_reset(&arena);
	healbus__diagnosis__init(&d);
	assert_int_equal(classify(failures, in, &arena, &d), 0);
	for (size_t i = 0; i < d.n_evidence; i++) {
		assert_true(strlen(d.evidence[i]->text) <= EVIDENCE_MAX_BYTES);
		assert_true(utf8_valid(d.evidence[i]->text, strlen(d.evidence[i]->text)));
	}
	for (size_t i = 0; i < d.n_considered; i++) {
		const Healbus__Candidate *c = d.considered[i];
		assert_string_not_equal(c->failure_type, d.failure_type);
		assert_true(c->confidence >= 0 && c->confidence <= d.confidence);
	}
	return &d;
}

static const Healbus__Diagnosis *ask_log(const char *log)
{
	return ask(&(struct classify_input){.log = log, .log_len = strlen(log)});
}

#define JEST "Test Suites: 1 failed, 3 passed, 4 total\n"
#define CARGO "error[E0308]: mismatched types\n"

static const struct {
	const char *what, *log, *type;
} places[] = {
	{"the command that failed, not the one that passed",
	 "$ npm test\n" JEST "The command \"npm test\" exited with 0.\n"
	 "$ cargo build\n" CARGO "The command \"cargo build\" exited with 101.\n",
	 "rust_compile"},
	{"and the other way round",
	 "$ cargo build\n" CARGO "The command \"cargo build\" exited with 0.\n"
	 "$ npm test\n" JEST "The command \"npm test\" exited with 1.\n",
	 "js_test"},
	{"a retry that succeeded later",
	 "$ fetch\ncurl: (6) Could not resolve host: a.example\n"
	 "The command \"fetch\" failed. Retrying, 2 of 3.\n"
	 "The command \"fetch\" exited with 0.\n$ go test ./...\n--- FAIL: TestA (0.0s)\n"
	 "The command \"go test ./...\" exited with 1.\n",
	 "go_test"},
	{"not what is done after the failure",
	 "travis_time:start:1\n$ go vet\nmain.go:1:2: undefined: x\n"
	 "The command \"go vet\" exited with 1.\ntravis_fold:start:after_failure\n"
	 "$ docker push x\ndenied: requested access to the resource is denied\n"
	 "npm ERR! code E404\n",
	 "go_build"},
	{"a step's text is no output",
	 "##[group]Run |\ncat <<END\nCONFLICT (content): Merge conflict in a\nEND\n"
	 "shell: /bin/bash\nenv:\n  X: fatal: not a git repository\n##[endgroup]\n"
	 "src/a.ts(2,3): error TS2307: Cannot find module\n"
	 "##[error]Process completed with exit code 2.\n",
	 "ts_type"},
	{"colours, times, carriage returns",
	 "2024-01-02T03:04:05.1234567Z progress 1%\rprogress 2%\r\n"
	 "2024-01-02T03:04:05Z \033[1m\033[31merror[E0502]\033[0m\033[1m: cannot borrow\033[0m\r\n",
	 "rust_compile"},
	{"the columns of gh run view",
	 "build\tRun tests\t2024-01-02T03:04:05.1Z --- FAIL: TestA (0.01s)\n"
	 "build\tRun tests\t2024-01-02T03:04:05.1Z FAIL\texample.org/a\t0.014s\n",
	 "go_test"},
	{"GitLab's streams", "2024-01-02T03:04:05.123456Z 00O --- FAIL: TestA (0.01s)\n",
	 "go_test"},
	{"which script of yarn it was",
	 "travis_time:start:1\n$ ./lint\n$ eslint a\n  3:8  error  'x' is not used  "
	 "no-unused-vars\n"
	 "error Command failed with exit code 1.\n$ rubocop\nDone in 3s.\n"
	 "The command \"./lint\" exited with 1.\n",
	 "js_lint"},
	{"a script that passed, however much it says",
	 "$ ./retry\nFAIL src/a.test.js\n" JEST "  3 failing\n"
	 "The command \"./retry\" exited with 0.\n$ ./build\na.go:1:2: undefined: x\n"
	 "The command \"./build\" exited with 1.\n",
	 "go_build"},
	{"that npm ran it is said often, and counts little",
	 "Build language: node_js\n$ npm test\nTLDR003 on page a: too long\n"
	 "    at check (/work/a/index.js:1:2)\nnpm ERR! code ELIFECYCLE\n"
	 "npm ERR! Test failed.  See above for more details.\n"
	 "The command \"npm test\" exited with 1.\n",
	 "docs_check"},
	{"what the failed script ran, when nothing says which part failed",
	 "travis_time:start:1\n$ ./all\n$ eslint a\n  3:8  error  'x' is not used  no-unused-vars\n"
	 "$ other\nit is done\nThe command \"./all\" exited with 1.\n",
	 "js_lint"},
	{"nothing", "", "unknown"},
	{"nothing but bytes", "\x80\xff\x01\033[", "unknown"},
};

static void lines_count_by_where_they_stand(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const Healbus__Diagnosis *d = ask_log(places[i].log);
		if (!str_eq(d->failure_type, places[i].type))
			fail_msg("%s: %s", places[i].what, d->failure_type);
	}
}

static void evidence_names_the_line(void **state)
{
	const Healbus__Diagnosis *d = ask_log("a\nb\n\n2024-01-02T03:04:05Z " CARGO "c\n");
	(void)state;
	assert_true(d->n_evidence >= 1);
	assert_string_equal(d->evidence[0]->rule, "rustc_code");
	assert_string_equal(d->evidence[0]->source, "log");
	assert_string_equal(d->evidence[0]->text, "error[E0308]: mismatched types");
	assert_int_equal(d->evidence[0]->line, 4);
	d = ask_log("one\ntwo\nthree\nfour\nfive\n");
	assert_string_equal(d->failure_type, "unknown");
	assert_int_equal(d->n_evidence, LAST_LINES);
	assert_string_equal(d->evidence[LAST_LINES - 1]->text, "five");
	assert_string_equal(d->evidence[0]->rule, "last_lines");
}

static void what_stands_beside_the_log_counts(void **state)
{
	static const char *const files[] = {"docs/a.md", "web/a.tsx"};
	struct classify_input in = {.alertname = "SecretScanningAlert"};
	(void)state;
	assert_string_equal(ask(&in)->failure_type, "secret_leak");
	in.alertname = "DependabotAlert";
	assert_string_equal(ask(&in)->failure_type, "dependency_vulnerability");
	in = (struct classify_input){.workflow = "rust", .job = "lint", .step = "Run cargo clippy"};
	const Healbus__Diagnosis *d = ask(&in);
	assert_string_equal(d->failure_type, "rust_lint");
	assert_string_equal(d->evidence[0]->rule, "cargo_command");
	assert_string_equal(d->evidence[d->n_evidence - 1]->source, "workflow");
	in = (struct classify_input){
		.job = "frontend", .workflow = "frontend", .files = files, .n_files = 2};
	assert_string_equal(failures_label(failures, ask(&in)->failure_type), "frontend");
	/* The log knows better. */
	in.log = CARGO;
	in.log_len = sizeof(CARGO) - 1;
	assert_string_equal(ask(&in)->failure_type, "rust_compile");
}

/* ---- hostile logs ---- */

static void a_hostile_log_is_only_a_log(void **state)
{
	auto_buf log = {0};
	(void)state;
	/* One line that is longer than all that is read; lines on which patterns backtrack. */
	for (size_t i = 0; i < CLASSIFY_LOG_MAX_BYTES / 8; i++)
		buf_add_str(&log, "error[E0");
	buf_add_str(&log, "\n");
	for (size_t i = 0; i < 2000; i++) {
		buf_add_str(&log, "FAILED 1 failed test at ");
		for (size_t k = 0; k < 60; k++)
			buf_add_str(&log, "   error  a  b - found secret /x.js:1:1: ");
		buf_add_str(&log, "\n");
	}
	for (size_t i = 0; i < 20000; i++)
		buf_add_str(&log, "$ x\n##[group]Run y\n");
	buf_add_str(&log, "##[endgroup]\n" CARGO "##[error]Process completed with exit code 1.\n");
	const Healbus__Diagnosis *d =
		ask(&(struct classify_input){.log = log.data, .log_len = log.len});
	assert_string_equal(d->failure_type, "rust_compile");
}

static void the_end_of_a_long_log_is_read(void **state)
{
	auto_buf log = {0};
	size_t lines = 0;
	(void)state;
	buf_add_str(&log, "CONFLICT (content): Merge conflict in a\n");
	for (; log.len <= CLASSIFY_LOG_MAX_BYTES; lines++)
		buf_add_str(&log, "a line of which there are many, and it says nothing at all\n");
	buf_add_str(&log, CARGO);
	const Healbus__Diagnosis *d =
		ask(&(struct classify_input){.log = log.data, .log_len = log.len});
	assert_string_equal(d->failure_type, "rust_compile");
	assert_int_equal(d->evidence[0]->line, lines + 2);
	for (size_t i = 0; i < d->n_considered; i++)
		assert_string_not_equal(d->considered[i]->failure_type, "merge_conflict");
}

static void a_full_arena_is_said(void **state)
{
	struct arena arena = {.limit_bytes = 64};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	struct classify_input in = {.log = CARGO, .log_len = sizeof(CARGO) - 1};
	(void)state;
	assert_int_equal(classify(failures, &in, &arena, &d), ERR_TOO_LARGE);
	arena_release(&arena);
}

/* ---- the data ---- */

#define FAMILY "family: x\nlabel: y\n"
#define TYPES "types:\n  z:\n    title: Z\n"

static const struct {
	const char *text;
	const char *error; /* NULL: loads */
} data[] = {
	{FAMILY TYPES, NULL},
	{FAMILY TYPES "    rules: [{name: a, words: [bc], weight: 1}]\n", NULL},
	{FAMILY TYPES "    rules: [{name: a, in: job, match: '^b', weight: -1}]\n", NULL},
	{"[]", "x.yaml:1: a family of failure types is a map"},
	{"label: y\n" TYPES, "x.yaml:1: family: missing"},
	{"family: x\n" TYPES, "x.yaml:1: label: missing"},
	{FAMILY, "types: a map of failure types wanted"},
	{FAMILY "colour: red\n" TYPES, "x.yaml:3: "},
	{FAMILY "base: much\n" TYPES, "x.yaml:3: base"},
	{FAMILY "types: {Z: {title: z}}\n", "x.yaml:3: Z: a-z 0-9 _ wanted"},
	{FAMILY "types: {z: {}}\n", "title: missing"},
	{FAMILY TYPES "    titel: x\n", "x.yaml:6: "},
	{FAMILY TYPES "    rules: [{words: [bc], weight: 1}]\n", "x.yaml:6: name: missing"},
	{FAMILY TYPES "    rules: [{name: a, weight: 1}]\n", "x.yaml:6: words: missing"},
	{FAMILY TYPES "    rules: [{name: a, in: job, weight: 1}]\n", "words or match: missing"},
	{FAMILY TYPES "    rules: [{name: a, words: [b], weight: 1}]\n", "2 to 64 bytes wanted"},
	{FAMILY TYPES "    rules: [{name: a, words: [bc]}]\n", "x.yaml:6: weight: missing"},
	{FAMILY TYPES "    rules: [{name: a, words: [bc], weight: 21}]\n", "x.yaml:6: weight"},
	{FAMILY TYPES "    rules: [{name: a, words: [bc], match: '(', weight: 1}]\n",
	 "x.yaml:6: match: "},
	{FAMILY TYPES "    rules: [{name: a, in: moon, words: [bc], weight: 1}]\n",
	 "x.yaml:6: in: log, error, command"},
	{FAMILY TYPES "    rules: [{name: a, words: [bc], wieght: 1}]\n", "x.yaml:6: "},
};

static void data_loads_or_says_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		auto_buf text = {0};
		struct why why = {0};
		struct failures *f = mem_alloc(sizeof(*f));
		f->words = words_new();
		buf_add_str(&text, data[i].text);
		int rc = failures_parse_text(f, "x.yaml", &text, &why);
		if (!data[i].error && rc)
			fail_msg("%s", why.text);
		if (data[i].error && (!rc || !strstr(why.text, data[i].error)))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, why.text, data[i].error);
		failures_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_is_told_by_its_log),
		cmocka_unit_test(lines_count_by_where_they_stand),
		cmocka_unit_test(evidence_names_the_line),
		cmocka_unit_test(what_stands_beside_the_log_counts),
		cmocka_unit_test(a_hostile_log_is_only_a_log),
		cmocka_unit_test(the_end_of_a_long_log_is_read),
		cmocka_unit_test(a_full_arena_is_said),
		cmocka_unit_test(data_loads_or_says_where),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
