#include "tests/unit/reasoner/world.h"

#define HEAD "name: x\ndescription: d\nmatch: ['a=\"b\"']\ntarget: t\n"
#define STEPS "attempts: [{why: w, steps: [{tool: t}]}]\n"

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static int load(struct why *why)
{
	auto_free char *dir = mem_printf("%s/runbooks", w.dir);
	auto_free char *local = mem_printf("%s/local", w.dir);
	const char *dirs[] = {dir, access(local, R_OK) == 0 ? local : NULL};
	runbooks_free(w.config.cases.runbooks);
	w.config.cases.runbooks = NULL;
	return runbooks_load(dirs, 2, &w.config.cases.runbooks, why);
}

static const struct {
	const char *text;
	const char *error; /* must be in it; NULL: loads */
} rows[] = {
	{HEAD STEPS, NULL},
	{"name: x\ndescription: d\nwhen: 'true'\ntarget: t\n" STEPS, NULL},
	{"[]", "a runbook is a map"},
	{"name: x y\ndescription: d\n", "one.yaml:1: name: 1 to 64"},
	{"name: x\nmatch: []\n" STEPS, "description: missing"},
	{"name: x\ndescription: d\n" STEPS, "match: missing"},
	{HEAD "color: red\n" STEPS, "one.yaml:5: "},
	{HEAD "prioritty: 3\n" STEPS, "priority"},
	{HEAD "priority: 1001\n" STEPS, "one.yaml:5: priority"},
	{HEAD "confidence: 2\n" STEPS, "one.yaml:5: confidence"},
	{HEAD "severity: bad\n" STEPS, "one.yaml:5: severity: info, warning, error or critical"},
	{HEAD "max_attempts: 0\n" STEPS, "one.yaml:5: max_attempts"},
	{HEAD "cooldown: soon\n" STEPS, "one.yaml:5: cooldown"},
	{HEAD "when: '.a ='\n" STEPS, "one.yaml:5: "},
	{HEAD "escalate: '{{ .a'\n" STEPS, "one.yaml:5: "},
	{HEAD, "attempts: a list wanted"},
	{HEAD "attempts: []\n", "one.yaml:5: attempts: a list wanted"},
	{HEAD "attempts: [{why: w}]\n", "one.yaml:5: steps: a list of steps wanted"},
	{HEAD "attempts: [{steps: [{tool: t}]}]\n", "one.yaml:5: why: missing"},
	{HEAD "attempts: [{why: w, steps: [{tool: t}], veryfy: {tool: t}}]\n", "verify"},
	{HEAD "attempts: [{why: w, steps: [{target: t}]}]\n", "tool: name of a tool wanted"},
	{HEAD "attempts: [{why: w, steps: [{tool: 'rm -rf'}]}]\n", "tool: name of a tool"},
	{HEAD "attempts: [{why: w, steps: [{tool: t, params: [1]}]}]\n", "params: a map wanted"},
	{HEAD "attempts: [{why: w, steps: [{tool: t, params: {A: 1}}]}]\n",
	 "A: not a parameter name"},
	{HEAD "attempts: [{why: w, steps: [{tool: t, params: {a: [1]}}]}]\n",
	 "a: text, number or boolean wanted"},
	{HEAD "attempts: [{why: w, steps: [{tool: t, rollback: {tool: t, deadline: 1s}}]}]\n",
	 "deadline"},
	{HEAD "attempts: [{why: w, steps: [{tool: t, verify: {tool: t, timeout: 1s}}]}]\n",
	 "timeout"},
	{HEAD "attempts: [{why: w, steps: [{tool: t, params: {a: '{{ .a | }}'}}]}]\n",
	 "one.yaml:5: "},
	{"name: x\ndescription: d\nmatch: ['a']\ntarget: t\n" STEPS, "one.yaml:3: "},
	{"name: x\ndescription: d\nmatch: ['a=~\"(\"']\ntarget: t\n" STEPS, "one.yaml:3: "},
	{"name: x\ndescription: d\nmatch: ['a=\"b\"']\n" STEPS,
	 "target: missing here and in the runbook"},
	{HEAD "name: y\n" STEPS, "one.yaml:5: "},
};

static void loads_or_says_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct why why = {0};
		world_write(&w, "one.yaml", rows[i].text);
		int rc = load(&why);
		if (!rows[i].error && rc)
			fail_msg("row %zu: %s", i, why.text);
		if (rows[i].error && (rc != ERR_CONFIG || !strstr(why.text, rows[i].error)))
			fail_msg("row %zu: %s, wanted \"%s\"", i, rc ? why.text : "loaded",
				 rows[i].error);
	}
}

static void no_directory(void **state)
{
	(void)state;
	struct why why = {0};
	struct runbooks *set = NULL;
	const char *dirs[] = {"/nonexistent/healbus"};
	assert_int_equal(runbooks_load(dirs, 1, &set, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "/nonexistent/healbus"));
	runbooks_free(NULL);
}

static void order_and_overrides(void **state)
{
	(void)state;
	struct why why = {0};
	auto_free char *local = mem_printf("%s/local", w.dir);
	assert_int_equal(mkdir(local, 0700), 0);
	world_write(&w, "a.yaml",
		    "name: a\ndescription: shipped\npriority: 5\nwhen: 'true'\n"
		    "target: t\n" STEPS);
	world_write(&w, "b.yaml", "name: b\ndescription: d\nwhen: 'true'\ntarget: t\n" STEPS);
	world_write(&w, "c.yaml",
		    "name: c\ndescription: d\nenabled: false\nwhen: 'true'\n"
		    "target: t\n" STEPS);
	world_write(&w, ".hidden.yaml", "nonsense");
	world_write(&w, "notes.txt", "nonsense");
	world_write(&w, "../local/a.yaml",
		    "name: a\ndescription: mine\npriority: 500\n"
		    "when: 'true'\ntarget: t\n" STEPS);
	if (load(&why))
		fail_msg("%s", why.text);
	const struct runbooks *set = w.config.cases.runbooks;
	assert_int_equal(runbooks_count(set), 2);
	assert_string_equal(runbooks_at(set, 0)->description, "mine");
	assert_string_equal(runbooks_at(set, 1)->name, "b");
	assert_null(runbooks_find(set, "c"));
	world_write(&w, "z.yaml", "name: b\ndescription: d\nwhen: 'true'\ntarget: t\n" STEPS);
	assert_int_equal(load(&why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "z.yaml:1: name: b is taken by "));
}

/* An incident from JSON, into the arena. */
static Healbus__Incident *incident(struct arena *a, const char *json)
{
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	json_t *j = json_loads(json, 0, NULL);
	assert_non_null(j);
	if (message_from_json(&healbus__incident__descriptor, j, a, &msg, &why))
		fail_msg("%s", why.text);
	json_decref(j);
	return (Healbus__Incident *)msg;
}

static void matching(void **state)
{
	(void)state;
	struct arena a = {0};
	struct why why = {0};
	world_write(&w, "one.yaml",
		    "name: x\ndescription: d\nmatch: ['alertname=~\"Disk.*\"', "
		    "'env!=\"dev\"']\nseverity: warning\n"
		    "when: '.firing > 2'\ntarget: t\n" STEPS);
	assert_int_equal(load(&why), 0);
	const struct runbook *rb = runbooks_at(w.config.cases.runbooks, 0);
	static const struct {
		const char *json;
		bool matches;
		bool wanted;
	} cases[] = {
		{"{\"severity\":\"error\",\"firing\":3,\"labels\":{\"alertname\":\"DiskFull\"}}",
		 true, true},
		{"{\"severity\":\"error\",\"firing\":2,\"labels\":{\"alertname\":\"DiskFull\"}}",
		 true, false},
		{"{\"severity\":\"info\",\"labels\":{\"alertname\":\"DiskFull\"}}", false, false},
		{"{\"severity\":\"error\",\"labels\":{\"alertname\":\"DiskFull\",\"env\":\"dev\"}}",
		 false, false},
		{"{\"severity\":\"error\",\"labels\":{\"alertname\":\"NoDisk\"}}", false, false},
		{"{\"severity\":\"error\",\"events\":[{\"id\":\"e\",\"source\":\"s\",\"name\":"
		 "\"DiskSlow\"}]}",
		 true, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		Healbus__Incident *in = incident(&a, cases[i].json);
		json_t *view = runbook_view(in, 1);
		assert_int_equal(runbook_matches(rb, in), cases[i].matches);
		assert_int_equal(runbook_wanted(rb, view, &why), cases[i].wanted);
		json_decref(view);
	}
	arena_release(&a);
}

static void when_that_fails(void **state)
{
	(void)state;
	struct arena a = {0};
	struct why why = {0};
	world_write(&w, "one.yaml",
		    "name: x\ndescription: d\nwhen: '.labels.n | tonumber > 3'\n"
		    "target: t\n" STEPS);
	assert_int_equal(load(&why), 0);
	const struct runbook *rb = runbooks_at(w.config.cases.runbooks, 0);
	json_t *view = runbook_view(incident(&a, "{\"labels\":{\"n\":\"four\"}}"), 1);
	assert_true(runbook_wanted(rb, view, &why) < 0);
	json_decref(view);
	world_incident(&w, "i1", "k1", "open", 1, ",\"labels\":{\"n\":\"four\"}");
	json_t *told = world_output(&w, KIND_INCIDENT, 0);
	assert_non_null(
		strstr(text_of(told, "reason"), "no runbook can answer: runbook x: when: "));
	json_decref(told);
	arena_release(&a);
}

static void values_keep_their_types(void **state)
{
	(void)state;
	struct arena a = {0};
	struct why why = {0};
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	world_write(&w, "one.yaml",
		    HEAD
		    "attempts:\n- why: 'w {{ .labels.s }}'\n  steps:\n  - tool: t\n    params:\n"
		    "      int: 7\n      neg: -7\n      real: 1.5\n      yes_no: true\n"
		    "      quoted: '7'\n      text: 'a{{ .labels.s }}b'\n"
		    "      jq_int: '{{ .labels.n | tonumber }}'\n"
		    "      jq_bool: '{{ .labels.n == \"5\" }}'\n      jq_text: '{{ .labels.s }}'\n"
		    "      jq_real: '{{ 2.5 }}'\n      two: '{{ .labels.s }}{{ .labels.n }}'\n"
		    "      absent: '{{ .labels.nothing }}'\n      plain: word\n"
		    "    rollback: {tool: r, timeout: 3s, params: {p: 1}}\n"
		    "    verify: {tool: v, target: other, deadline: 9s, interval: 1s}\n"
		    "    timeout: 4s\n    keep_going: true\n    idempotent: true\n"
		    "  rollback_on_failure: true\n  verify: {tool: v}\n");
	if (load(&why))
		fail_msg("%s", why.text);
	json_t *view =
		runbook_view(incident(&a, "{\"labels\":{\"n\":\"5\",\"s\":\"{{ .evil }}\"}}"), 1);
	const struct runbook *rb = runbooks_at(w.config.cases.runbooks, 0);
	if (runbook_render(rb, 7, view, &a, &plan, &why))
		fail_msg("%s", why.text);
	json_t *json = wire_to_json(&plan.base);
	auto_free char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text,
			    "{\"why\":\"w {{ .evil }}\",\"steps\":[{\"tool\":\"t\",\"target\":\"t"
			    "\",\"params\":{\"int\":7,\"neg\":-7,\"real\":1.5,\"yes_no\":true,\"q"
			    "uoted\":\"7\",\"text\":\"a{{ .evil }}b\",\"jq_int\":5,\"jq_bool\":tr"
			    "ue,\"jq_text\":\"{{ .evil }}\",\"jq_real\":2.5,\"two\":\"{{ .evil }}"
			    "5\",\"plain\":\"word\"},\"timeout_ms\":4000,\"verify\":{\"tool\":\"v"
			    "\",\"target\":\"other\",\"params\":{},\"deadline_ms\":9000,\"interva"
			    "l_ms\":1000},\"rollback\":{\"tool\":\"r\",\"target\":\"t\",\"params\""
			    ":{\"p\":1},\"timeout_ms\":3000},\"idempotent\":true,\"keep_going\":t"
			    "rue}],\"verify\":{\"tool\":\"v\",\"target\":\"t\",\"params\":{},\"de"
			    "adline_ms\":30000,\"interval_ms\":2000},\"labels\":{},\"tried\":[],\""
			    "rollback_on_failure\":true}");
	json_decref(json);
	json_decref(view);
	arena_release(&a);
}

/* A value that cannot be a parameter stops this runbook, not the program. */
static void value_that_cannot_be(void **state)
{
	(void)state;
	struct arena a = {0};
	struct why why = {0};
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	world_write(&w, "one.yaml",
		    HEAD "attempts:\n- why: w\n  steps:\n  - tool: t\n    params:\n"
			 "      list: '{{ .labels }}'\n");
	assert_int_equal(load(&why), 0);
	json_t *view = runbook_view(incident(&a, "{\"labels\":{\"n\":\"5\"}}"), 1);
	const struct runbook *rb = runbooks_at(w.config.cases.runbooks, 0);
	assert_int_equal(runbook_render(rb, 0, view, &a, &plan, &why), ERR_INVALID);
	assert_string_equal(why.text, "steps[0]: t: list: neither text, number nor boolean");
	assert_string_equal(runbook_advice(rb, view, &a), "");
	json_decref(view);
	arena_release(&a);
}

static void tried_is_seen(void **state)
{
	(void)state;
	struct arena a = {0};
	struct why why = {0};
	Healbus__Plan plan = HEALBUS__PLAN__INIT;
	world_write(&w, "one.yaml",
		    HEAD "attempts: [{why: '{{ .attempt }}: {{ .tried | map(.reason) | join(\", \")"
			 " }}', steps: [{tool: t}]}]\n");
	assert_int_equal(load(&why), 0);
	json_t *view = runbook_view(incident(&a, "{\"tried\":[{\"reason\":\"one\"},{\"reason\":"
						 "\"two\"}]}"),
				    3);
	const struct runbook *rb = runbooks_at(w.config.cases.runbooks, 0);
	assert_int_equal(runbook_render(rb, 0, view, &a, &plan, &why), 0);
	assert_string_equal(plan.why, "3: one, two");
	json_decref(view);
	arena_release(&a);
}

static const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	TEST(loads_or_says_where),  TEST(no_directory),
	TEST(order_and_overrides),  TEST(matching),
	TEST(when_that_fails),      TEST(values_keep_their_types),
	TEST(value_that_cannot_be), TEST(tried_is_seen),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
