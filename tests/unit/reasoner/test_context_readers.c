/* What is read out of each service's answers: literals as the vendors document them. */
#include "reasoner/context/source.h"

#include <setjmp.h>
#include <cmocka.h>

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *v = json_loads(text, 0, &error);

	if (!v)
		print_error("%s at %d\n", error.text, error.position);
	assert_non_null(v);
	return v;
}

static void check(void (*read)(const json_t *, struct buf *), const char *json, const char *want)
{
	auto_buf out = {0};
	json_t *v = parse(json);

	read(v, &out);
	assert_string_equal(buf_str(&out), want);
	json_decref(v);
}

/* Whatever comes, nothing is read that is not there. */
static void check_garbage(void (*read)(const json_t *, struct buf *))
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"[1,null,\"x\"]",
		"{\"data\":[]}",
		"{\"data\":{\"result\":[1,{}]}}",
		"{\"items\":[null,3,{}],\"status\":\"x\"}",
		"{\"status\":{\"containerStatuses\":[1,{\"state\":7}],\"conditions\":{}}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf out = {0};
		json_t *v = parse(rows[i]);
		read(v, &out);
		json_decref(v);
	}
	auto_buf out = {0};
	read(NULL, &out);
}

static void test_prometheus(void **state UNUSED)
{
	check(prometheus_read,
	      "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":["
	      "{\"metric\":{\"__name__\":\"up\",\"job\":\"web\"},\"value\":[1435781451.781,\"1\"]},"
	      "{\"metric\":{\"job\":\"db\"},\"value\":[1435781451.781,\"NaN\"]}]}}",
	      "up{job=\"web\"} 1\n{job=\"db\"} nan\n");
	check(prometheus_read,
	      "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":["
	      "{\"metric\":{\"__name__\":\"up\"},\"values\":[[1435781430,\"1\"],[1435781445,\"1\"],"
	      "[1435781460,\"0\"],[1435781475,\"0\"]]}]}}",
	      "up{} now 0, first 1, min 0, max 1, mean 0.5 of 4, last changed 20:11:00\n");
	check(prometheus_read,
	      "{\"data\":{\"resultType\":\"scalar\",\"result\":[1435781451.781,\"12.5\"]}}",
	      "12.5\n");
	check(prometheus_read, "{\"data\":{\"resultType\":\"vector\",\"result\":[]}}",
	      "no series\n");
	check_garbage(prometheus_read);
}

static void test_many_series(void **state UNUSED)
{
	auto_buf text = {0}, out = {0};

	buf_add_str(&text, "{\"data\":{\"resultType\":\"vector\",\"result\":[");
	for (int i = 0; i < 25; i++)
		buf_printf(&text, "%s{\"metric\":{\"i\":\"%d\"},\"value\":[1,\"%d\"]}",
			   i ? "," : "", i, i);
	buf_add_str(&text, "]}}");
	json_t *v = parse(text.data);
	prometheus_read(v, &out);
	assert_non_null(strstr(out.data, "{i=\"19\"} 19\n"));
	assert_non_null(strstr(out.data, "and 5 more series\n"));
	assert_null(strstr(out.data, "{i=\"20\"}"));
	json_decref(v);
}

static void test_loki(void **state UNUSED)
{
	auto_buf out = {0};
	json_t *v =
		parse("{\"status\":\"success\",\"data\":{\"resultType\":\"streams\",\"result\":["
		      "{\"stream\":{\"app\":\"web\"},\"values\":["
		      "[\"1732529473000000000\",\"second\"],[\"1732529472000000000\",\"first\"]]},"
		      "{\"stream\":{\"app\":\"db\"},\"values\":["
		      "[\"1732529474000000000\",\"third\\nwith more\"],[1,2],[]]}]}}");

	assert_int_equal(loki_read(v, 10, &out), 3);
	assert_string_equal(out.data, "10:11:12 first\n10:11:13 second\n10:11:14 third\n");
	buf_reset(&out);
	assert_int_equal(loki_read(v, 1, &out), 1);
	buf_reset(&out);
	assert_int_equal(loki_read(NULL, 5, &out), 0);
	json_decref(v);
}

static void test_argocd(void **state UNUSED)
{
	check(argocd_read,
	      "{\"spec\":{\"source\":{\"repoURL\":\"https://git/x\",\"path\":\"web\","
	      "\"targetRevision\":\"HEAD\"}},\"status\":{\"sync\":{\"status\":\"OutOfSync\","
	      "\"revision\":\"abc\"},\"health\":{\"status\":\"Degraded\",\"message\":\"no pods\"},"
	      "\"operationState\":{\"phase\":\"Failed\",\"message\":\"one resource failed\","
	      "\"syncResult\":{\"resources\":[{\"kind\":\"Deployment\",\"namespace\":\"prod\","
	      "\"name\":\"web\",\"status\":\"SyncFailed\",\"message\":\"invalid image\"},"
	      "{\"kind\":\"Service\",\"name\":\"web\",\"status\":\"Synced\"}]}},"
	      "\"conditions\":[{\"type\":\"SyncError\",\"message\":\"failed 5 times\"}],"
	      "\"resources\":[{\"kind\":\"Deployment\",\"namespace\":\"prod\",\"name\":\"web\","
	      "\"status\":\"OutOfSync\",\"health\":{\"status\":\"Degraded\"}},{\"kind\":"
	      "\"Service\","
	      "\"name\":\"web\",\"status\":\"Synced\",\"health\":{\"status\":\"Healthy\"}}],"
	      "\"history\":[{\"revision\":\"r1\",\"deployedAt\":\"t1\"},{\"revision\":\"r2\","
	      "\"deployedAt\":\"t2\"}]}}",
	      "sync OutOfSync, health Degraded (no pods)\n"
	      "revision abc of https://git/x web, target HEAD\n"
	      "last sync Failed: one resource failed\n"
	      "- Deployment prod/web: SyncFailed  invalid image\n"
	      "condition SyncError: failed 5 times\n"
	      "Deployment prod/web: OutOfSync, Degraded \n"
	      "deployed r2 at t2\ndeployed r1 at t1\n");
	check_garbage(argocd_read);
}

static void test_kubernetes(void **state UNUSED)
{
	check(kubernetes_read_pod,
	      "{\"spec\":{\"nodeName\":\"n1\"},\"status\":{\"phase\":\"Running\",\"startTime\":"
	      "\"t0\","
	      "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":"
	      "\"ContainersNotReady\","
	      "\"message\":\"web\"},{\"type\":\"PodScheduled\",\"status\":\"True\"}],"
	      "\"containerStatuses\":[{\"name\":\"web\",\"image\":\"web:1\",\"ready\":false,"
	      "\"restartCount\":5,\"state\":{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},"
	      "\"lastState\":{\"terminated\":{\"reason\":\"OOMKilled\",\"exitCode\":137}}}]}}",
	      "phase Running on node n1, since t0\nnot Ready: ContainersNotReady web\n"
	      "container web (web:1): waiting (CrashLoopBackOff), not ready, 5 restarts, before: "
	      "terminated (OOMKilled) exit 137\n");
	check(kubernetes_read_events,
	      "{\"kind\":\"EventList\",\"items\":[{\"type\":\"Normal\",\"reason\":\"Pulled\","
	      "\"count\":1,"
	      "\"message\":\"ok\",\"lastTimestamp\":\"t1\",\"involvedObject\":{\"kind\":\"Pod\","
	      "\"name\":"
	      "\"web\"}},{\"type\":\"Warning\",\"reason\":\"BackOff\",\"count\":9,\"message\":"
	      "\"restarting\",\"lastTimestamp\":null,\"eventTime\":\"t2\",\"involvedObject\":{"
	      "\"kind\":"
	      "\"Pod\",\"name\":\"web\"}}]}",
	      "t2 Warning Pod/web BackOff (9x): restarting\nt1 Normal Pod/web Pulled (1x): ok\n");
	check_garbage(kubernetes_read_pod);
	check_garbage(kubernetes_read_events);
}

static void test_grafana(void **state UNUSED)
{
	check(grafana_read_annotations,
	      "[{\"id\":1,\"time\":1732529472000,\"text\":\"deploy 4.2\\nby "
	      "ci\",\"tags\":[\"deploy\","
	      "\"web\"],\"newState\":\"\",\"prevState\":\"\"},{\"time\":1732529473000,\"text\":"
	      "\"cpu\","
	      "\"newState\":\"alerting\",\"prevState\":\"ok\"}]",
	      "10:11:12 deploy 4.2 #deploy #web\n10:11:13 cpu (ok to alerting)\n");
	check(grafana_read_alerts,
	      "[{\"labels\":{\"alertname\":\"HighLoad\",\"pod\":\"web-1\"},\"annotations\":{"
	      "\"summary\":"
	      "\"too much\"},\"startsAt\":\"t\",\"status\":{\"state\":\"active\"}}]",
	      "HighLoad active since t: pod=web-1: too much\n");
	check_garbage(grafana_read_annotations);
	check_garbage(grafana_read_alerts);
}

static void test_github_jobs(void **state UNUSED)
{
	auto_buf out = {0};
	json_t *jobs = parse("[{\"id\":1,\"name\":\"lint\",\"conclusion\":\"success\"},"
			     "{\"id\":2,\"name\":\"e2e\",\"conclusion\":\"cancelled\"},"
			     "{\"id\":3,\"name\":\"test\",\"workflow_name\":\"CI\",\"conclusion\":"
			     "\"failure\",\"steps\":["
			     "{\"number\":1,\"name\":\"Set up job\",\"conclusion\":\"success\"},"
			     "{\"number\":2,\"name\":\"Run make\",\"conclusion\":\"failure\"},"
			     "{\"number\":3,\"name\":\"Upload\",\"conclusion\":\"skipped\"}]}]");

	assert_int_equal(answer_number(github_failed_job(jobs, ""), "id"), 3);
	assert_int_equal(answer_number(github_failed_job(jobs, "e2e"), "id"), 2);
	assert_int_equal(answer_number(github_failed_job(jobs, "gone"), "id"), 3);
	assert_null(github_failed_job(NULL, ""));
	const json_t *job = github_failed_job(jobs, "");
	assert_string_equal(github_failed_step(job), "Run make");
	github_read_steps(job, &out);
	assert_string_equal(out.data, "job test of workflow CI: failure\n1. Set up job: success\n"
				      "2. Run make: failure\n");
	json_decref(jobs);
}

static void test_github(void **state UNUSED)
{
	check(github_read_annotations,
	      "[{\"path\":\"src/"
	      "a.c\",\"start_line\":12,\"annotation_level\":\"failure\",\"title\":\"\","
	      "\"message\":\"no such field\"}]",
	      "src/a.c:12: failure: no such field\n");
	check(github_read_diff,
	      "[{\"filename\":\"a.c\",\"status\":\"modified\",\"additions\":1,\"deletions\":1,"
	      "\"patch\":"
	      "\"@@ -1 +1 @@\\n-a\\n+b\"},{\"filename\":\"c.png\",\"status\":\"renamed\","
	      "\"previous_filename\":\"b.png\"}]",
	      "--- a.c (modified, +1 -1)\n@@ -1 +1 @@\n-a\n+b\n--- c.png (renamed, +0 -0) from "
	      "b.png\n");
	check(github_read_pull,
	      "{\"number\":7,\"title\":\"Add "
	      "x\",\"state\":\"open\",\"draft\":true,\"body\":null,\"user\":"
	      "{\"login\":\"jo\"},\"head\":{\"ref\":\"x\"},\"base\":{\"ref\":\"main\"},"
	      "\"additions\":3,"
	      "\"deletions\":1,\"changed_files\":2,\"mergeable_state\":\"dirty\"}",
	      "#7 Add x\nby jo, open draft, x into main, +3 -1 in 2 files\nmergeable: dirty\n\n\n");
	check(github_read_comments,
	      "[{\"user\":{\"login\":\"jo\"},\"created_at\":\"t\",\"body\":\"why?\"}]",
	      "jo at t:\nwhy?\n");
	check(github_read_commits,
	      "[{\"sha\":\"0123456789abcdef\",\"commit\":{\"message\":\"Fix\\n\\nlong\",\"author\":"
	      "{"
	      "\"name\":\"Jo\",\"date\":\"d\"}}}]",
	      "0123456789ab d Jo: Fix\n");
	check_garbage(github_read_annotations);
	check_garbage(github_read_diff);
	check_garbage(github_read_pull);
	check_garbage(github_read_comments);
	check_garbage(github_read_commits);
	check_garbage(github_read_steps);
}

static void test_paths_of_logs(void **state UNUSED)
{
	static const char log[] =
		"src/main.rs:12:5: error\n --> ./lib/a.rs:3:1\n"
		"  File \"tests/test_a.py\", line 44, in test\n"
		"web/app.ts(7,2): error TS2304\n/home/runner/work/repo/repo/go/x.go:9: no\n"
		"at 10:11:12 127.0.0.1:80 v1.2:3 node_modules/x/i.js:1 /usr/lib/y.py:2 ../z.c:4\n"
		"src/main.rs:99 again, no/line.c here, .github/workflows/ci.yml:3, big.c:0";
	static const struct named_file want[] = {
		{(char *)"src/main.rs", 12},     {(char *)"lib/a.rs", 3},
		{(char *)"tests/test_a.py", 44}, {(char *)"web/app.ts", 7},
		{(char *)"go/x.go", 9},          {(char *)".github/workflows/ci.yml", 3},
	};
	struct gathering *g = mem_alloc(sizeof(*g));

	github_read_log_paths(log, sizeof log - 1, g);
	assert_int_equal(g->n_named, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_string_equal(g->named[i].path, want[i].path);
		assert_int_equal(g->named[i].line, want[i].line);
	}
	gathering_release(g);
	free(g);
}

static void test_alerts(void **state UNUSED)
{
	check(github_read_dependabot,
	      "{\"dependency\":{\"package\":{\"ecosystem\":\"npm\",\"name\":\"left\"},"
	      "\"manifest_path\":\"package.json\"},\"security_advisory\":{\"ghsa_id\":\"GHSA-1\","
	      "\"cve_id\":null,\"summary\":\"Bad\",\"description\":\"Very bad.\"},"
	      "\"security_vulnerability\":{\"severity\":\"high\",\"vulnerable_version_range\":"
	      "\"< 2\",\"first_patched_version\":{\"identifier\":\"2.0\"}}}",
	      "package left (npm) in package.json, high: < 2\nfirst patched version: 2.0\n"
	      "GHSA-1 : Bad\n\nVery bad.\n");
	check(github_read_code_scanning,
	      "{\"tool\":{\"name\":\"CodeQL\"},\"rule\":{\"id\":\"js/x\",\"description\":\"d\","
	      "\"security_severity_level\":\"high\",\"help\":\"h\"},\"most_recent_instance\":{"
	      "\"message\":{\"text\":\"m\"},\"location\":{\"path\":\"a.js\",\"start_line\":3,"
	      "\"end_line\":4}}}",
	      "CodeQL js/x (high): d\na.js:3-4: m\n\nh\n");
	check(github_read_secret_scanning,
	      "{\"secret\":\"xyz\",\"secret_type_display_name\":\"AWS key\",\"state\":\"open\","
	      "\"validity\":\"active\",\"first_location_detected\":{\"path\":\"a.c\","
	      "\"start_line\":3}}",
	      "AWS key, open, validity active\na.c:3\n");
	check_garbage(github_read_dependabot);
	check_garbage(github_read_code_scanning);
	check_garbage(github_read_secret_scanning);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prometheus),  cmocka_unit_test(test_many_series),
		cmocka_unit_test(test_loki),        cmocka_unit_test(test_argocd),
		cmocka_unit_test(test_kubernetes),  cmocka_unit_test(test_grafana),
		cmocka_unit_test(test_github_jobs), cmocka_unit_test(test_paths_of_logs),
		cmocka_unit_test(test_alerts),      cmocka_unit_test(test_github),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
