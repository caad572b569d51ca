/*
 * Every shipped runbook: an alert as exporters really name it goes in; every plan, until a human is
 * told, must come out exactly as tests/golden/runbooks/<runbook>.txt says. HEALBUS_GOLDEN=write
 * writes those files anew; read them before you commit them.
 */
#include "tests/unit/reasoner/world.h"

static const struct example {
	const char *runbook;
	const char *labels; /* inner JSON */
} examples[] = {
	{"service-down", "\"alertname\":\"ApacheDown\",\"service\":\"apache2\""},
	{"service-down-http", "\"alertname\":\"BlackboxProbeFailed\",\"service\":\"shop\","
			      "\"instance\":\"https://shop.example/health\""},
	{"check-failed-http", "\"alertname\":\"front page\",\"check\":\"front page\",\"service\":"
			      "\"nginx\",\"instance\":\"http://127.0.0.1:8080/\""},
	{"check-failed-tcp", "\"alertname\":\"redis\",\"check\":\"redis\",\"service\":\"redis\","
			     "\"instance\":\"127.0.0.1:6379\""},
	{"disk-full", "\"alertname\":\"HostOutOfDiskSpace\",\"host\":\"db1\",\"service\":"
		      "\"node\",\"mountpoint\":\"/var\""},
	{"certificate-expiry", "\"alertname\":\"BlackboxSslCertificateWillExpireSoon\","
			       "\"service\":\"nginx\",\"domain\":\"shop.example\",\"instance\":"
			       "\"https://shop.example:8443/\",\"port\":\"8443\""},
	{"memory-pressure", "\"alertname\":\"HostOutOfMemory\",\"host\":\"app1\",\"suspect\":"
			    "\"worker\""},
	{"memory-leak", "\"alertname\":\"ProcessExporterHighMemoryUsage\",\"service\":\"api\""},
	{"redis-memory", "\"alertname\":\"RedisOutOfConfiguredMaxmemory\",\"service\":\"redis\""},
	{"connection-pool", "\"alertname\":\"PostgresqlTooManyConnections\",\"service\":"
			    "\"postgres\",\"client\":\"api\""},
	{"replication-lag", "\"alertname\":\"PostgresqlReplicationLag\",\"service\":\"postgres\","
			    "\"replica\":\"postgres-2\""},
	{"stuck-job", "\"alertname\":\"SystemdTimerMissedTrigger\",\"service\":\"batch\",\"name\":"
		      "\"backup.timer\""},
	{"crash-loop", "\"alertname\":\"SystemdServiceCrashLooping\",\"service\":\"api\","
		       "\"previous_version\":\"1.4.2\""},
	{"log-growth", "\"alertname\":\"LogFileTooLarge\",\"service\":\"api\",\"path\":"
		       "\"/var/log/api/api.log\""},
	{"dns-failure", "\"alertname\":\"CorednsPanicCount\",\"service\":\"coredns\",\"name\":"
			"\"internal.example\""},
	{"queue-backlog", "\"alertname\":\"RabbitmqTooManyMessagesInQueue\",\"service\":"
			  "\"rabbitmq\",\"queue\":\"orders\",\"consumer\":\"order-worker\""},
	{"clock-skew", "\"alertname\":\"HostClockSkew\",\"host\":\"app1\""},
	{"config-reload-failed", "\"alertname\":\"BlackboxConfigurationReloadFailure\","
				 "\"service\":\"blackbox\""},
	{"bad-deploy", "\"alertname\":\"HaproxyHighHttp5xxErrorRateBackend\",\"service\":"
		       "\"shop\",\"version\":\"2.0\",\"previous_version\":\"1.9\""},
	{"container-unhealthy", "\"alertname\":\"ContainerUnhealthy\",\"name\":\"web-1\""},
	{"service-saturated", "\"alertname\":\"Php-fpmMax-childrenReached\",\"service\":"
			      "\"php-fpm\""},
	{"dependency-unreachable",
	 "\"alertname\":\"EnvoyHighClusterUpstreamConnectionFailures\",\"service\":\"envoy\","
	 "\"dependency\":\"postgres\",\"dependency_host\":\"10.0.0.5\",\"dependency_port\":"
	 "\"5432\""},
};

/* Alerts that no runbook may answer by itself: a restart would do harm or nothing. */
static const char *const nobody[] = {
	"SnmpInterfaceDown",        "CephOsdDown",
	"RabbitmqClusterDown",      "DigitaloceanDropletDown",
	"HaproxyHttpSlowingDown",   "CassandraNodeDown",
	"PatroniHasNoLeader",       "ZfsOfflinePool",
	"ApcUpsBatteryNearlyEmpty", "HostSoftwareRaidDiskFailure",
	"RabbitmqClusterPartition",
};

static struct runbooks *shipped;

static int load_shipped(void **state)
{
	(void)state;
	struct why why = {0};
	const char *dirs[] = {"reasoner/runbooks"};
	if (runbooks_load(dirs, 1, &shipped, &why))
		fail_msg("%s", why.text);
	return 0;
}

static int release_shipped(void **state)
{
	(void)state;
	runbooks_free(shipped);
	return 0;
}

static void open_shipped(struct world *w)
{
	world_open(w, NULL);
	runbooks_free(w->config.cases.runbooks);
	w->config.cases.runbooks = shipped;
}

static void close_shipped(struct world *w)
{
	w->config.cases.runbooks = NULL;
	world_close(w);
}

/* tool(target, name=value, ...) */
static void add_call(struct buf *out, const json_t *call)
{
	const char *key;
	json_t *value;
	buf_printf(out, "%s(%s", text_of(call, "tool"), text_of(call, "target"));
	json_object_foreach(json_object_get(call, "params"), key, value)
	{
		auto_free char *text = json_dumps(value, JSON_ENCODE_ANY);
		buf_printf(out, ", %s=%s", key, text);
	}
	buf_add_str(out, ")");
	if (number_of(call, "timeout_ms"))
		buf_printf(out, " timeout %" PRId64 "s", number_of(call, "timeout_ms") / 1000);
}

static void add_check(struct buf *out, const char *indent, const json_t *check)
{
	if (!check)
		return;
	buf_printf(out, "%sverify ", indent);
	add_call(out, check);
	buf_printf(out, " within %" PRId64 "ms every %" PRId64 "ms\n",
		   number_of(check, "deadline_ms"), number_of(check, "interval_ms"));
}

static void add_plan(struct buf *out, const json_t *plan)
{
	size_t i;
	json_t *step;
	buf_printf(out, "attempt %" PRId64 " of %" PRId64 " by %s, at +%" PRId64 "s: %s\n",
		   number_of(plan, "attempt"), number_of(plan, "max_attempts"),
		   text_of(plan, "runbook"), (number_of(plan, "created_at_ms") - START_MS) / 1000,
		   text_of(plan, "why"));
	json_array_foreach(json_object_get(plan, "steps"), i, step)
	{
		json_t *rollback = json_object_get(step, "rollback");
		buf_add_str(out, "  ");
		add_call(out, step);
		if (json_is_true(json_object_get(step, "keep_going")))
			buf_add_str(out, " keep_going");
		if (json_is_true(json_object_get(step, "idempotent")))
			buf_add_str(out, " idempotent");
		buf_add_char(out, '\n');
		add_check(out, "    ", json_object_get(step, "verify"));
		if (rollback)
			buf_add_str(out, "    rollback ");
		if (rollback)
			add_call(out, rollback);
		if (rollback)
			buf_add_char(out, '\n');
	}
	add_check(out, "  ", json_object_get(plan, "verify"));
	if (json_is_true(json_object_get(plan, "rollback_on_failure")))
		buf_add_str(out, "  rollback on failure\n");
}

/* Fails every plan until there is no further one. */
static void play_out(struct world *w, struct buf *out)
{
	for (size_t seen = 0; world_outputs(w, KIND_PLAN) > seen && seen < 20;) {
		json_t *plan = world_output(w, KIND_PLAN, -1);
		seen = world_outputs(w, KIND_PLAN);
		add_plan(out, plan);
		json_decref(plan);
		world_outcome(w, "failed", "it did not work", "");
		world_tick(w, 3600000);
	}
	json_t *told = world_output(w, KIND_INCIDENT, -1);
	buf_printf(out, "escalated: %s\n", told ? text_of(told, "reason") : "never");
	json_decref(told);
}

static void compare(const char *name, const struct buf *got)
{
	auto_free char *path = mem_printf("tests/golden/runbooks/%s.txt", name);
	auto_buf want = {0};
	const char *mode = getenv("HEALBUS_GOLDEN");
	if (mode && str_eq(mode, "write")) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fputs(buf_str(got), f);
		fclose(f);
	}
	if (buf_read_file(&want, path, 1 << 20))
		fail_msg("%s is missing", path);
	assert_string_equal(buf_str(got), buf_str(&want));
}

static void exact_plans(void **state)
{
	const struct example *e = *state;
	struct world w;
	auto_buf text = {0};
	auto_free char *more = mem_printf(",\"labels\":{%s}", e->labels);
	open_shipped(&w);
	world_incident(&w, "i1", "k1", "open", 1, more);
	json_t *plan = world_output(&w, KIND_PLAN, 0);
	json_t *told = world_output(&w, KIND_INCIDENT, 0);
	if (!plan)
		fail_msg("%s: no plan: %s", e->runbook, text_of(told, "reason"));
	assert_string_equal(text_of(plan, "runbook"), e->runbook);
	json_decref(plan);
	play_out(&w, &text);
	compare(e->runbook, &text);
	close_shipped(&w);
}

static void every_runbook_has_an_example(void **state)
{
	(void)state;
	for (size_t i = 0; i < runbooks_count(shipped); i++) {
		size_t found = 0;
		for (size_t k = 0; k < ARRAY_SIZE(examples); k++)
			found += str_eq(examples[k].runbook, runbooks_at(shipped, i)->name);
		if (!found)
			fail_msg("%s has no example", runbooks_at(shipped, i)->name);
	}
}

/* The executor's own description of a tool, as data. */
static void load_tool(const struct runbook *rb, const struct runbook_call *call,
		      struct yaml_doc *out)
{
	struct why why = {0};
	auto_free char *path = mem_printf("executor/tools/%s.yaml", call->tool);
	if (yaml_parse_file(path, out, &why))
		fail_msg("%s: %s", rb->name, why.text);
}

static void check_call(const struct runbook *rb, const struct runbook_call *call, bool reads_only)
{
	struct yaml_doc doc = {0};
	load_tool(rb, call, &doc);
	const struct yaml_node *params = yaml_get(doc.root, "params");
	for (size_t i = 0; i < call->n_params; i++) {
		if (!yaml_get(params, call->params[i].name))
			fail_msg("%s: %s has no parameter %s", rb->name, call->tool,
				 call->params[i].name);
	}
	YAML_EACH(p, params)
	{
		bool given = yaml_get(p, "default") != NULL;
		for (size_t i = 0; i < call->n_params; i++)
			given |= str_eq(call->params[i].name, p->key);
		if (!given)
			fail_msg("%s: %s needs %s", rb->name, call->tool, p->key);
	}
	if (reads_only && !str_eq(yaml_get(doc.root, "level")->scalar, "none"))
		fail_msg("%s: verify with %s, which changes something", rb->name, call->tool);
	yaml_release(&doc);
}

static bool unsandboxed(const struct yaml_node *node)
{
	const struct yaml_node *sandbox = yaml_get(node, "sandbox");
	return sandbox && sandbox->type == YAML_SCALAR && str_eq(sandbox->scalar, "none");
}

/* allow_unsandboxed is false by default, and one such step refuses the whole plan. */
static void check_sandboxed(const struct runbook *rb, const struct runbook_call *call,
			    bool reads_only UNUSED)
{
	struct yaml_doc doc = {0};
	load_tool(rb, call, &doc);
	bool bare = unsandboxed(doc.root);
	YAML_EACH(variant, yaml_get(doc.root, "variants"))
	{
		bare |= unsandboxed(variant);
	}
	if (bare)
		fail_msg("%s: %s runs without a sandbox", rb->name, call->tool);
	yaml_release(&doc);
}

typedef void call_check(const struct runbook *rb, const struct runbook_call *call, bool reads_only);

static void alternative_calls(const struct runbook *rb, const struct runbook_alternative *alt,
			      call_check *check)
{
	if (alt->verify)
		check(rb, alt->verify, true);
	for (size_t n = 0; n < alt->n_steps; n++) {
		const struct runbook_step *step = &alt->steps[n];
		check(rb, &step->act, false);
		if (step->verify)
			check(rb, step->verify, true);
		if (step->rollback)
			check(rb, step->rollback, false);
	}
}

static void each_call(call_check *check)
{
	for (size_t i = 0; i < runbooks_count(shipped); i++) {
		const struct runbook *rb = runbooks_at(shipped, i);
		for (size_t k = 0; k < rb->n_alternatives; k++)
			alternative_calls(rb, &rb->alternatives[k], check);
	}
}

static void tools_exist(void **state)
{
	(void)state;
	each_call(check_call);
}

static void tools_are_sandboxed(void **state)
{
	(void)state;
	each_call(check_sandboxed);
}

static void some_alerts_need_a_human(void **state)
{
	(void)state;
	struct world w;
	open_shipped(&w);
	for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
		auto_free char *id = mem_printf("i%zu", i);
		auto_free char *more = mem_printf(",\"labels\":{\"alertname\":\"%s\",\"service\":"
						  "\"x\",\"instance\":\"10.0.0.1:9100\"}",
						  nobody[i]);
		world_incident(&w, id, id, "open", 1, more);
		if (world_outputs(&w, KIND_PLAN))
			fail_msg("%s is answered", nobody[i]);
	}
	close_shipped(&w);
}

/* Real alert names: with a service label, either no plan or one whose every value is rendered. */
static void corpus_of_alerts(void **state)
{
	(void)state;
	const char *dir = getenv("HEALBUS_CORPORA");
	auto_free char *path =
		mem_printf("%s/alert-rules/rules.jsonl", dir ? dir : "../shared/corpora");
	FILE *f = fopen(path, "r");
	if (!f) {
		print_message("skipped: no corpus\n");
		skip();
	}
	struct world w;
	open_shipped(&w);
	w.config.cases.max_open_plans = 10000;
	auto_free char *line = NULL;
	size_t cap = 0;
	size_t n = 0;
	while (getline(&line, &cap, f) > 0) {
		json_t *rule = json_loads(line, 0, NULL);
		auto_free char *id = mem_printf("i%zu", n++);
		json_t *labels =
			json_pack("{s:s, s:s, s:s}", "alertname", text_of(rule, "alert"),
				  "instance", "10.0.0.1:9100", "service", text_of(rule, "service"));
		auto_free char *text = json_dumps(labels, 0);
		auto_free char *more = mem_printf(",\"labels\":%s", text);
		world_incident(&w, id, id, "open", 1, more);
		json_decref(labels);
		json_decref(rule);
	}
	fclose(f);
	size_t plans = world_outputs(&w, KIND_PLAN);
	printf("# %zu alerts of the corpus: %zu plans, %zu for a human\n", n, plans,
	       world_outputs(&w, KIND_INCIDENT));
	assert_int_equal(plans + world_outputs(&w, KIND_INCIDENT), n);
	assert_true(plans >= 60);
	close_shipped(&w);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(examples) + 5] = {
		cmocka_unit_test(every_runbook_has_an_example),
		cmocka_unit_test(tools_exist),
		cmocka_unit_test(tools_are_sandboxed),
		cmocka_unit_test(some_alerts_need_a_human),
		cmocka_unit_test(corpus_of_alerts),
	};
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
		tests[i + 5] = (struct CMUnitTest){
			.name = examples[i].runbook,
			.test_func = exact_plans,
			.initial_state = (void *)(uintptr_t)&examples[i],
		};
	return cmocka_run_group_tests(tests, load_shipped, release_shipped);
}
