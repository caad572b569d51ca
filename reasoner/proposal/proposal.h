/*
 * What a model may propose: the schema of its answer, and the strict reading of it. A proposal is
 * words from outside: it names tools of the catalogue, targets that the incident itself names and
 * typed parameters, or edits to files of the repository, and nothing else. No field of it chooses a
 * level, a repository, a branch, a token, a time limit or a rollback. What passes here is checked
 * again by the executor (schema, inventory, policy, guard).
 *
 * Pure: no network, no clock, no file; equal input gives equal output, so the fold may call it. Any
 * thread.
 */
#ifndef REASONER_PROPOSAL_H
#define REASONER_PROPOSAL_H

#include "common/wire.h"

#include <jansson.h>

enum {
	PROPOSAL_JSON_MAX_BYTES = WIRE_PATCH_MAX,
	PROPOSAL_ANALYSIS_MAX_BYTES = 3500, /* longer prose is cut; goes into Plan.why */
	PROPOSAL_TITLE_MAX_BYTES = 120,
	PROPOSAL_GIVE_UP_MAX_BYTES = 900,
	PROPOSAL_EDITS_MAX_BYTES = 96 << 10,
	PROPOSAL_EDITS_MAX_LINES = 4000,
	PROPOSAL_FILES_MAX = 32,
	PROPOSAL_STEPS_MAX = 8,
};

struct proposal {
	const char *analysis;  /* plain text: no markup, links, mentions or invisible characters */
	double confidence;     /* 0-1, the model's own */
	const char *edits;     /* search/replace blocks or a unified diff; lines end in \n */
	const char *title;     /* one line, plain */
	Healbus__Step **steps; /* tool, target, params; nothing else is set */
	size_t n_steps;
	const char *give_up; /* plain text: why a human must do it */
};

struct proposal_rules {
	const Healbus__Incident *incident;
	Healbus__ToolInfo *const
		*tools; /* the catalogue; NULL or 0: steps are refused, edits are fine */
	size_t n_tools;
	bool ci_files; /* the failure is in a definition of the CI itself, so edits may touch those;
			  the executor's guard then asks a human */
};

/*
 * Reads an answer. Strings are in the arena, absent (or empty) ones NULL. Exactly one of edits,
 * steps and give_up is there. ERR_INVALID, ERR_UNKNOWN_KEY, ERR_TOO_LARGE, ERR_DENIED (a tool,
 * level, target or path that a model may not choose); out_why names the field.
 */
int proposal_read(const char *json, const struct proposal_rules *rules, struct arena *arena,
		  struct proposal *out, struct why *out_why);

/*
 * The schema of an answer, for structured output. Only words that every provider's strict mode
 * knows: type, properties, required, additionalProperties, items, description; every field is
 * required, "" and [] say that there is none. Parameters are a list of {name, value}, since strict
 * modes know no open objects; proposal_read also takes an object. New reference.
 */
json_t *proposal_schema(void);

/* Is the failure in a definition of the CI itself? Its fix may have to touch such a file. */
static inline bool failure_is_of_ci(const char *failure_type)
{
	return failure_type && str_eq(failure_type, "actions_platform");
}

/* The same strictness for steps from elsewhere (memory): their verify and rollback count, too.
 * At most WIRE_STEPS_MAX. */
int steps_check(Healbus__Step *const *steps, size_t n, const struct proposal_rules *rules,
		struct why *out_why);

/* Tools that only our own code puts into a plan (code_fix, code_push, pull_request_*, agent_fix):
 * no model and no memory may choose them. */
bool tool_is_ours(const char *name);

/* A target that the incident names: the value of a label that says what is broken (service, host,
 * container, ...; not branch, actor or other words of outsiders), its own or a trusted event's. For
 * "repository" the inventory's spelling (owner_name). */
bool incident_names_target(const Healbus__Incident *incident, const char *target);

#endif
