/*
 * Deliveries of GitHub, written here after its published schemas: a build of one commit as each
 * kind of event tells it.
 */
#ifndef TESTS_UNIT_MONITOR_GITHUB_BODIES_H
#define TESTS_UNIT_MONITOR_GITHUB_BODIES_H

#include "common/mem.h"

#define SHA1 "1111111111111111111111111111111111111111"
#define SHA2 "2222222222222222222222222222222222222222"

struct told {
	const char *sha;        /* NULL: SHA1 */
	const char *branch;     /* NULL: "main" */
	const char *name;       /* of job, workflow, app or context; NULL: "test", "Test", ... */
	const char *workflow;   /* of a job; NULL: "Test" */
	const char *conclusion; /* NULL: "failure" */
	const char *message;
	const char *sender; /* NULL: "ada" */
	const char *type;   /* of the sender; NULL: "User" */
	int minute;         /* past 12:00, when it began */
	int attempt;
	long run;           /* 0: 7000 */
	const char *action; /* of a run; NULL: "completed" */
	const char *owner;  /* of the head repository; NULL: "octo-org" */
};

#define OR(value, other) ((value) ? (value) : (other))

static inline char *told_frame(const struct told *t, const char *inner)
{
	return mem_printf(
		"{%s,\"repository\":{\"full_name\":\"octo-org/octo.repo\",\"default_branch\":"
		"\"main\"},\"sender\":{\"login\":\"%s\",\"type\":\"%s\"},\"installation\":{\"id\":"
		"42}}",
		inner, OR(t->sender, "ada"), OR(t->type, "User"));
}

static inline char *told_job(struct told t)
{
	auto_free char *inner = mem_printf(
		"\"action\":\"completed\",\"workflow_job\":{\"id\":9001,\"run_id\":%ld,"
		"\"run_attempt\":%d,\"name\":\"%s\",\"workflow_name\":\"%s\",\"head_branch\":\"%"
		"s\","
		"\"head_sha\":\"%s\",\"conclusion\":\"%s\",\"html_url\":\"https://github.com/"
		"octo-org/"
		"octo.repo/actions/runs/7000/job/9001\",\"started_at\":\"2026-11-21T12:%02d:10Z\","
		"\"completed_at\":\"2026-11-21T12:%02d:50Z\",\"steps\":[{\"name\":\"Set up job\","
		"\"conclusion\":\"success\"},{\"name\":\"Run tests\",\"conclusion\":\"%s\"}]}",
		t.run ? t.run : 7000, t.attempt + 1, OR(t.name, "test"), OR(t.workflow, "Test"),
		OR(t.branch, "main"), OR(t.sha, SHA1), OR(t.conclusion, "failure"), t.minute,
		t.minute, OR(t.conclusion, "failure"));

	return told_frame(&t, inner);
}

static inline char *told_run(struct told t)
{
	auto_free char *inner = mem_printf(
		"\"action\":\"%s\",\"workflow_run\":{\"id\":%ld,\"run_attempt\":%d,"
		"\"head_repository\":{\"full_name\":\"%s/octo.repo\"},"
		"\"name\":\"%s\",\"head_branch\":\"%s\",\"head_sha\":\"%s\",\"conclusion\":\"%s\","
		"\"html_url\":\"https://github.com/octo-org/octo.repo/actions/runs/7000\","
		"\"run_started_at\":\"2026-11-21T12:%02d:00Z\",\"updated_at\":"
		"\"2026-11-21T12:%02d:59Z\",\"head_commit\":{\"message\":\"%s\"},"
		"\"pull_requests\":[]}",
		OR(t.action, "completed"), t.run ? t.run : 7000, t.attempt + 1,
		OR(t.owner, "octo-org"), OR(t.name, "Test"), OR(t.branch, "main"), OR(t.sha, SHA1),
		OR(t.conclusion, "failure"), t.minute, t.minute,
		OR(t.message, "a change\\n\\nwith a body"));

	return told_frame(&t, inner);
}

static inline char *told_check(struct told t)
{
	auto_free char *inner = mem_printf(
		"\"action\":\"completed\",\"check_run\":{\"id\":9001,\"name\":\"%s\",\"head_sha\":"
		"\"%s\",\"conclusion\":\"%s\",\"started_at\":\"2026-11-21T12:%02d:11Z\","
		"\"completed_at\":\"2026-11-21T12:%02d:51Z\",\"details_url\":\"https://github.com/"
		"octo-org/octo.repo/actions/runs/%ld/job/9001\",\"app\":{\"slug\":"
		"\"github-actions\"},\"check_suite\":{\"id\":5,\"head_branch\":\"%s\"},"
		"\"pull_requests\":[{\"number\":12,\"base\":{\"ref\":\"main\"},\"head\":{\"ref\":"
		"\"%s\"}}]}",
		OR(t.name, "test"), OR(t.sha, SHA1), OR(t.conclusion, "failure"), t.minute,
		t.minute, t.run ? t.run : 7000, OR(t.branch, "main"), OR(t.branch, "main"));

	return told_frame(&t, inner);
}

static inline char *told_suite(struct told t)
{
	auto_free char *inner = mem_printf(
		"\"action\":\"completed\",\"check_suite\":{\"id\":5,\"head_branch\":\"%s\","
		"\"head_sha\":\"%s\",\"conclusion\":\"%s\",\"app\":{\"slug\":\"%s\"},\"updated_"
		"at\":"
		"\"2026-11-21T12:%02d:58Z\",\"pull_requests\":[]}",
		OR(t.branch, "main"), OR(t.sha, SHA1), OR(t.conclusion, "failure"),
		OR(t.name, "github-actions"), t.minute);

	return told_frame(&t, inner);
}

static inline char *told_status(struct told t)
{
	auto_free char *inner = mem_printf(
		"\"target_url\":\"https://github.com/octo-org/octo.repo/actions/runs/"
		"7000\",\"id\":77,\"sha\":\"%s\",\"context\":\"%s\",\"state\":\"%s\",\"updated_"
		"at\":"
		"\"2026-11-21T12:%02d:57Z\",\"commit\":{\"commit\":{\"message\":\"%s\"}},"
		"\"branches\":[{\"name\":\"%s\"}]",
		OR(t.sha, SHA1), OR(t.name, "ci/build"), OR(t.conclusion, "failure"), t.minute,
		OR(t.message, "a change"), OR(t.branch, "main"));

	return told_frame(&t, inner);
}

/* A comment on pull request 12. `association` is a JSON word such as OWNER. */
static inline char *told_comment(const char *login, const char *association, const char *text)
{
	const struct told t = {.sender = login, .type = strstr(login, "[bot]") ? "Bot" : "User"};
	auto_free char *inner = mem_printf(
		"\"action\":\"created\",\"issue\":{\"number\":12,\"pull_request\":{}},\"comment\":{"
		"\"id\":3,\"user\":{\"login\":\"%s\",\"type\":\"%s\"},\"author_association\":\"%"
		"s\","
		"\"body\":\"%s\"}",
		login, t.type, association, text);

	return told_frame(&t, inner);
}

static inline char *told_pull(const char *action, const char *branch, const char *head_repository)
{
	const struct told t = {0};
	auto_free char *inner = mem_printf(
		"\"action\":\"%s\",\"number\":12,\"pull_request\":{\"number\":12,\"merged\":true,"
		"\"closed_at\":\"2026-11-21T13:00:00Z\",\"head\":{\"ref\":\"%s\",\"sha\":\"" SHA1
		"\",\"repo\":{\"full_name\":\"%s\"}},\"base\":{\"ref\":\"main\"}}",
		action, branch, OR(head_repository, "octo-org/octo.repo"));

	return told_frame(&t, inner);
}

static inline char *told_push(struct told t)
{
	auto_free char *inner = mem_printf(
		"\"ref\":\"refs/heads/%s\",\"after\":\"%s\",\"deleted\":false,\"head_commit\":{"
		"\"message\":\"%s\"}",
		OR(t.branch, "main"), OR(t.sha, SHA1), OR(t.message, "a change"));

	return told_frame(&t, inner);
}

#endif
