/* An incident and a catalogue for the tests of what a model may propose. */
#ifndef TESTS_REASONER_PROPOSALS_H
#define TESTS_REASONER_PROPOSALS_H

#include "reasoner/proposal/proposal.h"
#include "tests/json_msg.h"

static const char proposals_incident[] =
	"{\"id\":\"inc\",\"key\":\"k\",\"title\":\"web is down\",\"trusted\":true,"
	"\"labels\":{\"alertname\":\"ServiceDown\",\"service\":\"web\",\"instance\":\"db-1:9100\","
	"\"repository\":\"octo-org/octo.repo\",\"branch\":\"prod-db\",\"severity\":\"critical\"},"
	"\"events\":[{\"id\":\"e1\",\"trusted\":true,\"labels\":{\"host\":\"web-2\"}},"
	"{\"id\":\"e2\",\"trusted\":false,\"labels\":{\"host\":\"vault\"}}]}";

static const char *const proposals_params[] = {
	"count:int", "force:bool", "grace:duration", "mode:enum", "name:name",
	"peer:host", "place:path", "size:string",    "text:text", "url:url"};

struct proposals {
	struct arena arena;
	struct proposal_rules rules;
	Healbus__ToolInfo tools[5];
	Healbus__ToolInfo *list[5];
};

static UNUSED void proposals_open(struct proposals *p, const char *incident)
{
	static const struct {
		const char *name;
		Healbus__Level level;
	} tools[] = {{"service_restart", HEALBUS__LEVEL__LEVEL_SOFT},
		     {"database_drop", HEALBUS__LEVEL__LEVEL_FORBIDDEN},
		     {"code_fix", HEALBUS__LEVEL__LEVEL_SOFT},
		     {"pull_request_merge", HEALBUS__LEVEL__LEVEL_SOFT},
		     {"unlevelled", HEALBUS__LEVEL__LEVEL_UNKNOWN}};
	*p = (struct proposals){0};
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		Healbus__ToolInfo *t = &p->tools[i];
		healbus__tool_info__init(t);
		t->name = (char *)(uintptr_t)tools[i].name;
		t->summary = (char *)(uintptr_t) "Does what its name says";
		SET(t, level, tools[i].level);
		t->params = (char **)(uintptr_t)proposals_params;
		t->n_params = ARRAY_SIZE(proposals_params);
		p->list[i] = t;
	}
	json_t *json = json_loads(incident, 0, NULL);
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	int rc = message_from_json(&healbus__incident__descriptor, json, &p->arena, &msg, &why);
	if (rc) {
		fprintf(stderr, "incident of the test: %s\n", why.text);
		abort();
	}
	json_decref(json);
	p->rules = (struct proposal_rules){.incident = (Healbus__Incident *)msg,
					   .tools = p->list,
					   .n_tools = ARRAY_SIZE(tools)};
}

static UNUSED void proposals_close(struct proposals *p)
{
	arena_release(&p->arena);
}

#endif
