/*
 * What the tests of the reasoner's cases share: a world whose only runbook has three ways, each
 * tried once.
 */
#ifndef TESTS_REASONER_CASES_KIT_H
#define TESTS_REASONER_CASES_KIT_H

#include "tests/unit/reasoner/world.h"

#define MINUTE 60000

static const char three_ways[] =
	"name: three\n"
	"description: three ways\n"
	"match: ['alertname=\"Down\"']\n"
	"target: '{{ .labels.service }}'\n"
	"attempts:\n"
	"  - {why: 'first', steps: [{tool: service_restart}]}\n"
	"  - {why: 'second', steps: [{tool: service_stop}]}\n"
	"  - {why: 'third', steps: [{tool: service_start}]}\n"
	"cooldown: 0\n"
	"effective_window: 30m\n"
	"resolve_within: 10m\n"
	"escalate: 'Ask {{ .labels.service }}. Tried {{ .tried | length }}.'\n";

static struct world w;

static UNUSED int setup(void **state)
{
	(void)state;
	world_open(&w, three_ways);
	return 0;
}

static UNUSED int teardown(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static UNUSED const char *plan_tool(int n)
{
	static char tool[64];
	json_t *plan = world_output(&w, KIND_PLAN, n);
	snprintf(tool, sizeof(tool), "%s",
		 plan ? text_of(json_array_get(json_object_get(plan, "steps"), 0), "tool") : "");
	json_decref(plan);
	return tool;
}

/* How many escalations; the last one's reason must contain `text`. */
static UNUSED void assert_escalated(size_t n, const char *text)
{
	assert_int_equal(world_outputs(&w, KIND_INCIDENT), n);
	json_t *told = world_output(&w, KIND_INCIDENT, -1);
	assert_string_equal(text_of(told, "state"), "escalated");
	assert_string_equal(text_of(told, "set_by"), "reasoner");
	if (!strstr(text_of(told, "reason"), text))
		fail_msg("\"%s\" is not in \"%s\"", text, text_of(told, "reason"));
	json_decref(told);
}

#endif
