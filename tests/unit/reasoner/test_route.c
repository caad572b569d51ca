/* Who is asked: the shipped table, the order of routes, and what was learned. */
#include "common/base.h"

#include "common/buf.h"
#include "reasoner/route/route.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

static struct failures *failures;
static struct specialists *shipped;

static int setup(void **state)
{
	struct why why = {0};
	(void)state;
	if (failures_load("reasoner/failures", &failures, &why) ||
	    specialists_load("reasoner/specialists.yaml", &shipped, &why))
		fail_msg("%s", why.text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	failures_free(failures);
	specialists_free(shipped);
	return 0;
}

static int load(const char *text, struct specialists **out, struct why *why)
{
	char path[64];
	auto_fd int fd = memfd_create("specialists", MFD_CLOEXEC);
	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return specialists_load(path, out, why);
}

/* Who is asked, and by which route. */
static void expect(const struct specialists *s, const struct route_input *in, const char *type,
		   const char *specialist, const char *by)
{
	struct arena arena = {0};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	d.failure_type = arena_strdup(&arena, type);
	assert_string_equal(route(s, in, &arena, &d), specialist);
	assert_string_equal(d.specialist, specialist);
	if (!strstr(d.route, by))
		fail_msg("%s: route \"%s\" lacks \"%s\"", type, d.route, by);
	arena_release(&arena);
}

static void shipped_routes(void **state)
{
	static const char *const rust[] = {"src/a.rs", "Cargo.toml"},
				 *const mixed[] = {"a.rs", "a.md"},
				 *const web[] = {"web/a.tsx", "web/a.css"},
				 *const charts[] = {"charts/shop/values.yaml"};
	static const struct {
		const char *type, *workflow;
		const char *const *files;
		size_t n_files;
		const char *specialist, *by;
	} rows[] = {
		{"rust_test", NULL, NULL, 0, "rex", "rust"},
		{"js_lint", "Rust", rust, 2, "blaze", "front-end"},
		{"terraform", NULL, NULL, 0, "bolt", "infrastructure"},
		{"disk_full", NULL, NULL, 0, "bolt", "infrastructure"},
		{"secret_leak", NULL, NULL, 0, "cipher", "security"},
		{"merge_conflict", NULL, NULL, 0, "atlas", "git"},
		{"network", NULL, NULL, 0, "atlas", "network"},
		{"python_test", "Frontend", web, 2, "atlas", "otherwise"},
		{"nobody_knows_it", NULL, NULL, 0, "atlas", "otherwise"},
		{"unknown", NULL, NULL, 0, "atlas", "otherwise"},
		{"unknown", "CI / cargo", NULL, 0, "rex", "unknown-rust-workflow"},
		{"unknown", "Terraform plan", rust, 2, "bolt", "unknown-infrastructure-workflow"},
		{"unknown", NULL, rust, 2, "rex", "unknown-rust-change"},
		{"unknown", NULL, mixed, 2, "atlas", "otherwise"},
		{"unknown", NULL, web, 2, "blaze", "unknown-front-end-change"},
		{"unknown", NULL, charts, 1, "bolt", "unknown-infrastructure-change"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct classify_input seen = {.workflow = rows[i].workflow,
					      .files = rows[i].files,
					      .n_files = rows[i].n_files};
		struct route_input in = {.failures = failures, .seen = &seen};
		expect(shipped, &in, rows[i].type, rows[i].specialist, rows[i].by);
	}
	assert_int_equal(specialists_count(shipped), 5);
	assert_string_equal(specialist_about(shipped, "rex"), "Rust");
}

#define HEAD "specialists: {a: x, b: y, c: z}\notherwise: a\n"

static void priority_order_and_patterns(void **state)
{
	static const char text[] =
		HEAD "routes:\n"
		     "- {name: low, priority: 1, specialist: b}\n"
		     "- {name: log, priority: 9, log: ['^boom$'], specialist: c}\n"
		     "- {name: job, priority: 9, jobs: ['deploy*'], specialist: b}\n";
	struct specialists *s = NULL;
	struct why why = {0};
	(void)state;
	assert_int_equal(load(text, &s, &why), 0);
	struct classify_input seen = {.log = "x\nboom\ny\n", .log_len = 9, .job = "Deploy it"};
	struct route_input in = {.failures = failures, .seen = &seen};
	expect(s, &in, "unknown", "c", "log");
	seen.log_len = 1;
	expect(s, &in, "unknown", "b", "job");
	seen.job = NULL;
	expect(s, &in, "unknown", "b", "low");
	specialists_free(s);
}

static void what_was_learned_overrules_visibly(void **state)
{
	struct route_record records[] = {
		{"blaze", "rust_test", 9, 1},   {"rex", "rust_test", 1, 7},
		{"nobody", "rust_test", 99, 0}, {"bolt", "secret_leak", 99, 0},
		{"rex", "js_lint", 4, 0},       {"bolt", "rust_lint", 9, 3},
		{"rex", "rust_lint", 6, 2}};
	struct classify_input seen = {0};
	struct route_input in = {.failures = failures,
				 .seen = &seen,
				 .learned = records,
				 .n_learned = ARRAY_SIZE(records)};
	(void)state;
	expect(shipped, &in, "rust_test", "blaze",
	       "rust says rex; learned: blaze healed rust_test 9 times of 10, rex 1 of 8");
	expect(shipped, &in, "secret_leak", "cipher", "security"); /* fixed */
	expect(shipped, &in, "js_lint", "blaze", "front-end");     /* too few trials */
	expect(shipped, &in, "rust_lint", "rex", "rust");          /* not better by enough */
	expect(shipped, &in, "rust_format", "rex", "rust");        /* nothing is known */
}

static void considered_types_have_specialists(void **state)
{
	struct arena arena = {0};
	struct classify_input seen = {0};
	struct route_input in = {.failures = failures, .seen = &seen};
	Healbus__Candidate c = HEALBUS__CANDIDATE__INIT;
	Healbus__Candidate *list[] = {&c};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	(void)state;
	d.failure_type = (char[]){"rust_test"};
	c.failure_type = (char[]){"helm"};
	d.considered = list;
	d.n_considered = 1;
	assert_string_equal(route(shipped, &in, &arena, &d), "rex");
	assert_string_equal(c.specialist, "bolt");
	arena_release(&arena);
}

static const struct {
	const char *text, *error;
} wrong[] = {
	{"[]", "a map of specialists"},
	{"otherwise: a\n", ":1: specialists: "},
	{"specialists: {a: x}\n", "otherwise: missing"},
	{"specialists: {a: x}\notherwise: b\n", ":2: otherwise: no specialist is called b"},
	{HEAD "colour: red\n", ":3: "},
	{HEAD "routes: {}\n", ":3: routes: a list"},
	{HEAD "routes:\n- {name: r}\n", ":4: specialist: missing"},
	{HEAD "routes:\n- {name: r, specialist: d}\n", ":4: specialist: no specialist is called d"},
	{HEAD "routes:\n- {name: r, specialist: a, file: [x]}\n", ":4: "},
	{HEAD "routes:\n- {name: r, specialist: a, files: []}\n", ":4: files: a list"},
	{HEAD "routes:\n- {name: r, specialist: a, log: ['(']}\n", ":4: log: \"(\" is no pattern"},
	{HEAD "routes:\n- {name: r, specialist: a, priority: 1001}\n", ":4: priority"},
	{HEAD "learned: {trials: -1}\n", ":3: trials"},
	{HEAD "learned: {gain: 2}\n", ":3: gain"},
};

static void errors_say_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct specialists *s = NULL;
		struct why why = {0};
		if (load(wrong[i].text, &s, &why) == 0)
			fail_msg("loaded: %s", wrong[i].text);
		if (!strstr(why.text, wrong[i].error))
			fail_msg("\"%s\" lacks \"%s\"", why.text, wrong[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shipped_routes),
		cmocka_unit_test(priority_order_and_patterns),
		cmocka_unit_test(what_was_learned_overrules_visibly),
		cmocka_unit_test(considered_types_have_specialists),
		cmocka_unit_test(errors_say_where),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
