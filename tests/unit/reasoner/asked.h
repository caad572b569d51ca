/* A reasoner that was told of a failed build, and the worker that answers its questions: a test's.
 */
#ifndef TESTS_REASONER_ASKED_H
#define TESTS_REASONER_ASKED_H

#include "tests/unit/reasoner/world.h"

#define MINUTE 60000

static struct world w;

static int setup(void **state)
{
	(void)state;
	world_open(&w, NULL);
	w.config.cases.diagnose = DIAGNOSE_REPOSITORIES;
	w.config.cases.answer_timeout_ms = 15 * MINUTE;
	w.config.cases.max_attempts = 3;
	w.config.cases.resolve_within_ms = 60 * MINUTE;
	w.config.cases.effective_window_ms = 30 * MINUTE;
	w.config.cases.recall_min = 0.9;
	w.config.cases.fix_branch_prefix = (char *)"fix/";
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* A failed build as the monitor tells it; annotations is `"sha":"...", ...`, more as in world.h. */
static UNUSED void build_failed(const char *state, int revision, const char *annotations,
				const char *more)
{
	auto_free char *id = mem_printf("ci-%d", revision);
	auto_free char *json = mem_printf(
		"{\"id\":\"i1\",\"key\":\"k1\",\"state\":\"%s\",\"revision\":%d,\"trusted\":true,"
		"\"severity\":\"error\",\"set_by\":\"monitor\",\"title\":\"build failed\","
		"\"labels\":{\"alertname\":\"CIFailure\",\"branch\":\"topic\","
		"\"repository\":\"octo-org/octo.repo\"},\"events\":[{\"id\":\"e%d\","
		"\"source\":\"github\",\"fingerprint\":\"0123456789abcdef\",\"status\":\"firing\","
		"\"annotations\":{%s}}]%s}",
		state, revision, revision, annotations, more);
	world_send(&w, "incident", id, json);
}

static UNUSED void first_failure(void)
{
	build_failed("open", 1, "\"sha\":\"aaaaaaaaaaaa\",\"pr\":\"7\",\"base\":\"main\"", "");
}

/* The worker answers the last question. */
static UNUSED void answer(const char *diagnosis)
{
	json_t *ask = world_output(&w, KIND_MODEL, -1);
	assert_non_null(ask);
	auto_free char *id = mem_printf("answer-%s", text_of(ask, "id"));
	auto_free char *json = mem_printf(
		"{\"id\":\"%s\",\"incident\":\"i1\",\"state\":\"answered\",\"ask\":\"%s\","
		"\"diagnosis\":{\"failure_type\":\"c_compile\",\"specialist\":\"atlas\","
		"\"confidence\":0.9,\"evidence\":[{\"source\":\"log\",\"line\":3,"
		"\"text\":\"a.c:1: error: `</a> @kim #1\"}]%s}}",
		id, text_of(ask, "id"), diagnosis);
	json_decref(ask);
	world_send(&w, "model", id, json);
}

/* The model wants x to be `value`. */
static UNUSED void propose(int value)
{
	auto_free char *more = mem_printf(
		",\"proposal\":\"{\\\"analysis\\\":\\\"x is wrong\\\",\\\"confidence\\\":0.5,"
		"\\\"edits\\\":\\\"<<<<<<< SEARCH a.c\\\\nint x = 1;\\\\n=======\\\\nint x = "
		"%d;\\\\n>>>>>>> REPLACE\\\\n\\\",\\\"title\\\":\\\"Set x\\\",\\\"steps\\\":[],"
		"\\\"give_up\\\":\\\"\\\"}\"",
		value);
	answer(more);
}

static UNUSED const char *last_reason(void)
{
	static char reason[1100];
	json_t *told = world_output(&w, KIND_INCIDENT, -1);
	snprintf(reason, sizeof(reason), "%s", told ? text_of(told, "reason") : "");
	json_decref(told);
	return reason;
}

static UNUSED void assert_reason_has(const char *text)
{
	if (!strstr(last_reason(), text))
		fail_msg("\"%s\" is not in \"%s\"", text, last_reason());
}

static UNUSED const char *param(const json_t *plan, size_t step, const char *name)
{
	json_t *s = json_array_get(json_object_get(plan, "steps"), step);
	return text_of(json_object_get(s, "params"), name);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
