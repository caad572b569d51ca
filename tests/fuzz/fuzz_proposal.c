/* A model's answer: what is taken names tools, targets and paths that it may, and its prose is
 * plain. */
#include "reasoner/proposal/plain.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/reasoner/proposals.h"

static struct proposals world;

static void prose_check(const char *text, size_t max)
{
	if (!text)
		return;
	MUST(strlen(text) <= max && !text_lies(text, strlen(text)));
	MUST(!strstr(text, "<script") && !strstr(text, "![") && !strstr(text, "https://"));
	for (const char *c = text; *c; c++)
		MUST((unsigned char)*c >= 0x20 || *c == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct proposal p = {0};
	struct why why = {0};
	if (!world.rules.incident)
		proposals_open(&world, proposals_incident);
	auto_free char *json = fuzz_text(data, size);
	if (proposal_read(json, &world.rules, &arena, &p, &why)) {
		MUST(why.text[0] && !p.analysis && !p.edits && !p.steps);
	} else {
		prose_check(p.analysis, PROPOSAL_ANALYSIS_MAX_BYTES);
		prose_check(p.title, PROPOSAL_TITLE_MAX_BYTES);
		prose_check(p.give_up, PROPOSAL_GIVE_UP_MAX_BYTES);
		MUST(!p.title || !strchr(p.title, '\n'));
		MUST((p.edits != NULL) + (p.n_steps > 0) + (p.give_up != NULL) == 1);
		MUST(!p.edits || (!strstr(p.edits, "\n<<<<<<< SEARCH .git/") &&
				  !strstr(p.edits, "\n<<<<<<< SEARCH /")));
		for (size_t i = 0; i < p.n_steps; i++) {
			MUST(str_eq(p.steps[i]->tool, "service_restart"));
			MUST(incident_names_target(world.rules.incident, p.steps[i]->target));
		}
	}
	arena_release(&arena);
	return 0;
}
