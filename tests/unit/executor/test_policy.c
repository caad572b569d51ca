/* Policy by table: who may do what, unasked, asked, or never. */
#include "executor/policy.h"
#include "tests/unit/executor/support.h"

static const char head[] =
	"targets:\n"
	"  - id: web\n"
	"    kind: service\n"
	"    tools: [service_*, truncate_log, http_probe, disk_usage, drop_caches]\n"
	"    manager: runit\n"
	"    paths: [/var/log/web]\n"
	"    read_paths: [/]\n"
	"    hosts: [127.0.0.1:80]\n"
	"    attributes: {service_dir: /etc/service/web}\n"
	"  - id: db\n"
	"    kind: database\n"
	"    tools: [service_*]\n"
	"    manager: runit\n"
	"    critical: true\n"
	"    attributes: {service_dir: /etc/service/db}\n"
	"  - id: octo_repo\n"
	"    kind: repository\n"
	"    tools: [code_fix]\n"
	"    attributes: {url: \"https://git.example/octo/repo\", checks: [[/usr/bin/true]]}\n";

struct row {
	const char *yaml; /* appended to head */
	const char *tool;
	const char *target;
	const char *params[3];
	bool untrusted;
	bool approved;
	bool unsandboxed;
	int64_t now_ms; /* 0: in time */
	enum policy_verdict verdict;
	const char *reason; /* NULL: none expected */
};

#define AUTO "autonomy: auto\n"
#define LOG                                                                                        \
	"truncate_log", "web",                                                                     \
	{                                                                                          \
		"path=/var/log/web/a"                                                              \
	}
#define RESTART                                                                                    \
	"service_restart", "web",                                                                  \
	{                                                                                          \
		NULL                                                                               \
	}
#define STATUS                                                                                     \
	"service_status", "web",                                                                   \
	{                                                                                          \
		NULL                                                                               \
	}
#define DB                                                                                         \
	"service_restart", "db",                                                                   \
	{                                                                                          \
		NULL                                                                               \
	}

#define FIX(path, text)                                                                            \
	"code_fix", "octo_repo",                                                                   \
	{                                                                                          \
		"sha=0123456789012345678901234567890123456789",                                    \
			"edits=<<<<<<< SEARCH " path "\nold\n=======\n" text "\n>>>>>>> REPLACE\n" \
	}
#define UNASKED "rules:\n  - {match: [], autonomy: auto, max_level: hard}\n"

static const struct row rows[] = {
	/* what the guard sees in a patch is asked, or refused, whatever the rules say */
	{AUTO, FIX("a.c", "new"), .verdict = POLICY_RUN},
	{UNASKED, FIX("a.py", "import requests"), .verdict = POLICY_ASK,
	 .reason = "network: a.py:4: reaches for the network"},
	{UNASKED, FIX("a.py", "import requests"), .approved = true, .verdict = POLICY_RUN},
	{UNASKED "guard: {verdicts: {network: allow}}\n", FIX("a.py", "import requests"),
	 .verdict = POLICY_RUN},
	{UNASKED "guard: {verdicts: {network: refuse}}\n", FIX("a.py", "import requests"),
	 .approved = true, .verdict = POLICY_REFUSE, .reason = "reaches for the network"},
	{UNASKED,
	 FIX("a.py", "k = \"gh"
		     "p_abcdefghijklmnopqrstuvwxyz0123456789AB\""),
	 .approved = true, .verdict = POLICY_REFUSE, .reason = "secret: a.py:4: a GitHub token"},
	{UNASKED "guard: {verdicts: {secret: allow}}\n",
	 FIX("a.py", "k = \"gh"
		     "p_abcdefghijklmnopqrstuvwxyz0123456789AB\""),
	 .verdict = POLICY_ASK, .reason = "a GitHub token"},
	{UNASKED, FIX(".github/workflows/ci.yml", "new"), .verdict = POLICY_ASK,
	 .reason = "says what CI runs"},
	/* the default is to ask */
	{"", RESTART, .verdict = POLICY_ASK, .reason = "autonomy is approve"},
	{"", RESTART, .approved = true, .verdict = POLICY_RUN},
	{"", STATUS, .verdict = POLICY_RUN},
	{"", STATUS, .untrusted = true, .verdict = POLICY_RUN},
	/* auto */
	{AUTO, RESTART, .verdict = POLICY_RUN},
	{AUTO, RESTART, .untrusted = true, .verdict = POLICY_ASK, .reason = "not authenticated"},
	{AUTO, RESTART, .untrusted = true, .approved = true, .verdict = POLICY_RUN},
	{AUTO, LOG, .verdict = POLICY_ASK, .reason = "above what runs unasked"},
	{AUTO, LOG, .approved = true, .verdict = POLICY_RUN},
	{AUTO, DB, .verdict = POLICY_ASK, .reason = "critical target"},
	{AUTO, DB, .approved = true, .verdict = POLICY_RUN},
	/* rules: the first match decides */
	{"rules:\n  - {match: ['target=\"web\"'], autonomy: auto}\n", RESTART,
	 .verdict = POLICY_RUN},
	{"rules:\n  - {match: ['target=\"web\"'], autonomy: auto}\n", LOG, .verdict = POLICY_ASK},
	{"rules:\n  - {match: ['target=\"web\"'], autonomy: auto, max_level: hard}\n", LOG,
	 .verdict = POLICY_RUN},
	{"rules:\n  - {match: ['target=\"web\"'], autonomy: auto, max_level: none}\n", RESTART,
	 .verdict = POLICY_ASK},
	{"rules:\n  - {match: ['kind=\"database\"'], autonomy: auto, max_level: hard}\n", DB,
	 .verdict = POLICY_RUN},
	{"rules:\n  - {match: ['env=\"prod\"'], autonomy: observe}\n"
	 "  - {match: [], autonomy: auto}\n",
	 RESTART, .verdict = POLICY_OBSERVE, .reason = "autonomy is observe"},
	{"rules:\n  - {match: ['env=\"test\"'], autonomy: auto}\n", RESTART, .verdict = POLICY_ASK},
	/* a label cannot pass for the target, the tool or the level */
	{"rules:\n  - {match: ['target=\"lab\"'], autonomy: auto, max_level: hard}\n", RESTART,
	 .verdict = POLICY_ASK},
	/* observe and dry-run hold whatever was approved */
	{"autonomy: observe\n", RESTART, .approved = true, .verdict = POLICY_OBSERVE},
	{"autonomy: observe\n", STATUS, .verdict = POLICY_OBSERVE},
	{"autonomy: dry-run\n", RESTART, .approved = true, .verdict = POLICY_REHEARSE},
	/* never */
	{AUTO,
	 "reboot",
	 "web",
	 {NULL},
	 .approved = true,
	 .verdict = POLICY_REFUSE,
	 .reason = "no tool reboot"},
	{AUTO,
	 "service_restart",
	 "cache",
	 {NULL},
	 .approved = true,
	 .verdict = POLICY_REFUSE,
	 .reason = "no target cache"},
	{AUTO,
	 "truncate_log",
	 "db",
	 {"path=/var/log/web/a"},
	 .approved = true,
	 .verdict = POLICY_REFUSE,
	 .reason = "not allowed on db"},
	{AUTO,
	 "truncate_log",
	 "web",
	 {"path=/etc/passwd"},
	 .approved = true,
	 .verdict = POLICY_REFUSE,
	 .reason = "outside the target's paths"},
	{AUTO, RESTART, .approved = true, .unsandboxed = true, .verdict = POLICY_REFUSE,
	 .reason = "no sandbox"},
	{AUTO,
	 "http_probe",
	 "web",
	 {"url=http://127.0.0.1/"},
	 .unsandboxed = true,
	 .verdict = POLICY_RUN},
	{AUTO,
	 "drop_caches",
	 "web",
	 {NULL},
	 .approved = true,
	 .verdict = POLICY_REFUSE,
	 .reason = "without a sandbox"},
	{AUTO "allow_unsandboxed: true\n", "drop_caches", "web", {NULL}, .verdict = POLICY_RUN},
	/* paths for reading are not for changing */
	{"", "disk_usage", "web", {"path=/"}, .verdict = POLICY_RUN},
	{AUTO,
	 "truncate_log",
	 "web",
	 {"path=/srv/x"},
	 .approved = true,
	 .verdict = POLICY_REFUSE,
	 .reason = "outside the target's paths"},
	/* too late */
	{AUTO, RESTART, .now_ms = INT64_C(4000000000001), .approved = true,
	 .verdict = POLICY_EXPIRED, .reason = "not_after"},
	{AUTO, RESTART, .now_ms = INT64_C(4000000000000), .verdict = POLICY_RUN},
};

static void add_labels(struct arena *arena, Healbus__Plan *p)
{
	p->labels = arena_alloc(arena, 2 * sizeof(*p->labels));
	p->labels[p->n_labels++] = label_new(arena, "env", "prod");
	p->labels[p->n_labels++] = label_new(arena, "target", "lab");
}

static void check_row(size_t i)
{
	const struct row *row = &rows[i];
	struct executor_config config;
	struct arena arena = {0};
	struct prepared prepared;
	struct policy_result result;
	auto_free char *text = mem_printf("%s%s", head, row->yaml);
	support_config(&config, text, support_tools());
	Healbus__Plan *p = support_plan(&arena, row->tool, row->target, row->params);
	p->trusted = !row->untrusted;
	add_labels(&arena, p);
	plan_prepare(&config, p, &prepared);
	struct policy_input in = {.config = &config,
				  .plan = p,
				  .prepared = &prepared,
				  .now_ms = row->now_ms ? row->now_ms : 2000000,
				  .approved = row->approved,
				  .sandboxed = !row->unsandboxed};
	policy_decide(&in, &result);
	auto_free char *reasons = lines_join(&result.reasons, 1000);
	if (result.verdict != row->verdict)
		fail_msg("row %zu: %s (%s)", i, policy_verdict_name(result.verdict), reasons);
	if (row->reason && !strstr(reasons, row->reason))
		fail_msg("row %zu: \"%s\" lacks \"%s\"", i, reasons, row->reason);
	policy_result_release(&result);
	prepared_release(&prepared);
	arena_release(&arena);
	support_config_release(&config);
}

static char *small_tools;

/* Loading all shipped tools for each row would take most of the time. */
static int setup(void **state)
{
	static const char *const names[] = {"service_restart", "service_status", "truncate_log",
					    "http_probe",      "disk_usage",     "drop_caches",
					    "code_fix",        "code_fixed"};
	(void)state;
	small_tools = support_dir();
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_buf text = {0};
		auto_free char *from = mem_printf("%s/%s.yaml", support_tools(), names[i]);
		auto_free char *name = mem_printf("%s.yaml", names[i]);
		assert_int_equal(buf_read_file(&text, from, 65536), 0);
		support_write(small_tools, name, buf_str(&text));
	}
	setenv("HEALBUS_TOOLS", small_tools, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_remove(small_tools);
	free(small_tools);
	return 0;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(i);
}

static void test_bad_config(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *why;
	} bad[] = {
		{"targets:\n  - {id: a, colour: red}\n", "colour"},
		{"guard: {verdicts: {secrets: ask}}\n", "there is no check secrets"},
		{"targets:\n  - {id: a, kind: repository, attributes: {url: "
		 "\"https://g.example/o/r\", "
		 "guard: {paths: x}}}\n",
		 "target a: guard: paths"},
		{"targets:\n  - {id: a, kind: repository, attributes: {url: "
		 "\"https://g.example/o/r\", "
		 "sandbox: vm}}\n",
		 "there is no vm"},
		{"targets:\n  - {id: a, kind: repository, attributes: {url: "
		 "\"https://g.example/o/r\", "
		 "sandbox: docker}}\n",
		 "docker.socket"},
		{"targets:\n  - {id: a}\n  - {id: a}\n", "twice"},
		{"targets:\n  - {id: 'a b'}\n", "id"},
		{"targets:\n  - {id: a, paths: [var]}\n", "plain absolute path"},
		{"targets:\n  - {id: a, group: g}\n", "no group g"},
		{"groups:\n  - {id: g, min_healthy: 1}\ntargets:\n  - {id: a, group: g}\n",
		 "needs a check"},
		{"groups:\n  - {id: g, min_healthy: 101%}\n", "percentage"},
		{"targets:\n  - {id: a, tools: ['*'], check: {tool: truncate_log}}\n",
		 "not a read-only tool"},
		{"rules:\n  - {match: ['a'], autonomy: auto}\n", "executor.yaml:2"},
		{"rules:\n  - {autonomy: sometimes}\n", "sometimes"},
		{"autonomy: always\n", "always"},
		{"max_speed: 3\n", "max_speed"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct executor_config c = {0};
		struct why why = {0};
		auto_free char *dir = support_dir();
		support_write(dir, "executor.yaml", bad[i].yaml);
		int rc = config_load(&executor_options, dir, no_environment, &c, &why);
		if (!rc) {
			free(c.tools_dir);
			c.tools_dir = mem_strdup(support_tools());
			rc = executor_prepare(&c, &why);
			config_release(&executor_options, &c);
		}
		support_remove(dir);
		assert_int_equal(rc, ERR_CONFIG);
		if (!strstr(why.text, bad[i].why))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, why.text, bad[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
					   cmocka_unit_test(test_bad_config)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
