#include "reasoner/repair.h"

#include "reasoner/ask.h"
#include "reasoner/proposal/plain.h"
#include "reasoner/plan.h"

enum {
	PLAN_WHY_MAX = 4096,
	SHA_SHORT = 8,
	STEPS_OF_A_FIX = 3,
	PARAMS_OF_A_STEP = 8,
	QUIET_MAX = 400,
	EVIDENCE_SHOWN = 2,
	SUGGESTED_MAX = 8 << 10, /* a longer proposal is not shown in a comment */
};

static const char comment_tool[] = "pull_request_comment";

#define AGENT_CONFIDENCE 0.5 /* it names none */

/* The inventory's id of a repository: every character outside [A-Za-z0-9_-] becomes "_". */
static char *repository_target(struct arena *arena, const char *repository)
{
	char *out = arena_strdup(arena, repository);
	for (char *c = out; *c; c++) {
		bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9') || *c == '_' || *c == '-';
		if (!plain)
			*c = '_';
	}
	return out;
}

/* ---- where a fix goes ---- */

struct place {
	const char *repository;
	const char *target;
	const char *sha;
	const char *branch; /* that failed */
	const char *push;   /* that gets the fix */
	const char *base;   /* of the pull request */
	bool own;           /* push is a branch of ours */
};

/* A pull request is fixed where it is; anything else by a branch and a pull request of its own. */
static int place_find(const struct repair *r, struct place *out, struct why *out_why)
{
	struct arena *arena = &r->desk->arena;
	const Healbus__Incident *i = r->file->incident;
	const char *pr = incident_says(i, "pr");
	const char *base = incident_says(i, "base");
	const char *type = r->diagnosis->failure_type;
	*out = (struct place){
		.repository = label_get(i->labels, i->n_labels, "repository"),
		.branch = label_get(i->labels, i->n_labels, "branch"),
		.sha = incident_says(i, "sha"),
	};
	if (!out->repository || !out->branch || !out->sha)
		return why_set(out_why, ERR_NOT_FOUND,
			       "edits are proposed, but the incident does not say which "
			       "repository, branch and commit they are for");
	out->target = repository_target(arena, out->repository);
	out->own = !pr;
	out->push = pr ? out->branch
		       : arena_printf(arena, "%s%s-%.*s", r->desk->settings->fix_branch_prefix,
				      type ? type : "failure", SHA_SHORT, out->sha);
	out->base = pr && base ? base : out->branch;
	return 0;
}

/* ---- steps ---- */

static Healbus__Step *step_new(const struct repair *r, const char *tool, const char *target)
{
	struct arena *arena = &r->desk->arena;
	Healbus__Step *s = arena_alloc(arena, sizeof(*s));
	healbus__step__init(s);
	s->tool = arena_strdup(arena, tool);
	s->target = arena_strdup(arena, target);
	s->params = arena_alloc(arena, PARAMS_OF_A_STEP * sizeof(*s->params));
	return s;
}

static void step_say(const struct repair *r, Healbus__Step *s, const char *name, const char *value)
{
	assert(s->n_params < PARAMS_OF_A_STEP);
	s->params[s->n_params++] = param_new_string(&r->desk->arena, name, value);
}

static void step_say_text(const struct repair *r, Healbus__Step *s, const char *name,
			  const char *value)
{
	Healbus__Param *p = arena_alloc(&r->desk->arena, sizeof(*p));
	assert(s->n_params < PARAMS_OF_A_STEP);
	healbus__param__init(p);
	p->name = arena_strdup(&r->desk->arena, name);
	p->text_value = arena_strdup(&r->desk->arena, value);
	s->params[s->n_params++] = p;
}

/* Words of outsiders (a line of the log, what a step printed) as one line that a forge does not
 * act upon; between backticks, too. */
static const char *quiet(const struct repair *r, const char *text, const char *fallback)
{
	char *out = plain_prose(&r->desk->arena, text ? text : "", QUIET_MAX, true);
	for (char *c = out; out && *c; c++)
		*c = *c == '`' ? '\'' : *c;
	return out && *out ? out : fallback;
}

/* What the pull request says: what failed, what was tried, why this should help. */
static char *pull_request_body(const struct repair *r, const struct proposal *p)
{
	const Healbus__Incident *i = r->file->incident;
	const Healbus__Diagnosis *g = r->diagnosis;
	auto_buf b = {0};
	buf_printf(&b, "%s\n\n", p->analysis ? p->analysis : "");
	buf_printf(&b, "- Incident: `%s`, attempt %u\n- Failure: `%s`, specialist `%s`\n", i->id,
		   r->file->row.attempt + 1, g->failure_type ? g->failure_type : "unknown",
		   g->specialist ? g->specialist : "none");
	for (size_t n = 0; n < EVIDENCE_SHOWN && evidence_line(g, n); n++)
		buf_printf(&b, "- Evidence: `%s`\n", quiet(r, evidence_line(g, n), "?"));
	for (size_t n = 0; n < i->n_tried; n++)
		buf_printf(&b, "- Attempt %u did not help: %s\n", i->tried[n]->number,
			   quiet(r, i->tried[n]->reason, "no reason given"));
	buf_add_str(&b, "\nThe repository's own checks passed in a sandbox before this was "
			"pushed. Comment `/heal stop` to stop further attempts.\n");
	return wire_text(&r->desk->arena, buf_str(&b), b.len, WIRE_TEXT_MAX);
}

static char *title_of(const struct repair *r, const struct proposal *p)
{
	const char *type = r->diagnosis->failure_type ? r->diagnosis->failure_type : "failure";
	if (p->title && *p->title)
		return wire_text(&r->desk->arena, p->title, strlen(p->title), WIRE_TITLE_MAX / 2);
	return arena_printf(&r->desk->arena, "Fix %s", type);
}

static void plan_steps_of_edits(const struct repair *r, const struct proposal *p,
				const struct place *at, Healbus__Plan *plan)
{
	char *title = title_of(r, p);
	Healbus__Step *fix = step_new(r, "code_fix", at->target);
	Healbus__Step *push = step_new(r, "code_push", at->target);
	Healbus__Step *request = step_new(r, "pull_request_open", at->target);
	step_say(r, fix, "sha", at->sha);
	step_say(r, fix, "branch", at->branch);
	step_say(r, fix, "message", title);
	step_say(r, fix, "incident", r->file->incident->id);
	step_say_text(r, fix, "edits", p->edits);
	step_say(r, push, "branch", at->push);
	step_say(r, push, "expect", at->own ? "" : at->sha);
	step_say(r, request, "head", at->push);
	step_say(r, request, "base", at->base);
	step_say(r, request, "title", title);
	step_say_text(r, request, "body", pull_request_body(r, p));
	plan->steps = arena_alloc(&r->desk->arena, STEPS_OF_A_FIX * sizeof(*plan->steps));
	plan->steps[plan->n_steps++] = fix;
	plan->steps[plan->n_steps++] = push;
	plan->steps[plan->n_steps++] = request;
}

/* ---- a fork, where nothing may be pushed: what would have been done is said ---- */

static bool is_of_a_fork(const Healbus__Incident *i)
{
	const char *branch = label_get(i->labels, i->n_labels, "branch");
	return branch && strchr(branch, ':');
}

/* Longer than any run of backticks within, so that nothing within ends it. */
static char *fence_of(const struct repair *r, const char *text)
{
	size_t longest = 2;
	for (const char *c = text; *c;) {
		size_t run = strspn(c, "`");
		longest = MAX(longest, run);
		c += run ? run : 1;
	}
	char *fence = arena_alloc(&r->desk->arena, longest + 2);
	memset(fence, '`', longest + 1);
	return fence;
}

static void suggest(const struct repair *r, const char *edits, struct buf *out)
{
	size_t len = edits ? strlen(edits) : 0;
	if (len == 0)
		return;
	if (len > SUGGESTED_MAX) {
		buf_printf(out,
			   "\nA change is proposed, but with %zu bytes it is too long to show.\n",
			   len);
		return;
	}
	const char *fence = fence_of(r, edits);
	buf_printf(out,
		   "\nThis change might help. A model proposed it; it was not tried:\n\n"
		   "%s%s\n%s%s%s\n",
		   fence, str_starts(edits, "diff ") ? "diff" : "", edits,
		   edits[len - 1] == '\n' ? "" : "\n", fence);
}

static char *comment_body(const struct repair *r, const char *analysis, const char *edits)
{
	const Healbus__Diagnosis *g = r->diagnosis;
	auto_buf b = {0};
	buf_printf(
		&b,
		"The build failed, and healbus looked into it. This branch is a fork's, where it "
		"pushes nothing.\n\n%s%s- Failure: `%s`\n",
		analysis ? analysis : "", analysis && *analysis ? "\n\n" : "",
		g->failure_type ? g->failure_type : "unknown");
	for (size_t n = 0; n < EVIDENCE_SHOWN && evidence_line(g, n); n++)
		buf_printf(&b, "- Evidence: `%s`\n", quiet(r, evidence_line(g, n), "?"));
	suggest(r, edits, &b);
	return wire_text(&r->desk->arena, buf_str(&b), b.len, WIRE_TEXT_MAX);
}

static int plan_comment(const struct repair *r, char *body, Healbus__Plan *plan,
			struct why *out_why)
{
	struct arena *arena = &r->desk->arena;
	const Healbus__Incident *i = r->file->incident;
	const char *repository = label_get(i->labels, i->n_labels, "repository");
	const char *pr = incident_says(i, "pr");
	int64_t number = pr ? strtoll(pr, NULL, 10) : 0;
	if (!repository || number <= 0)
		return why_set(out_why, ERR_NOT_FOUND,
			       "the branch is a fork's, where nothing may be pushed, and its pull "
			       "request is not known");
	Healbus__Step *s = step_new(r, comment_tool, repository_target(arena, repository));
	Healbus__Param *p = arena_alloc(arena, sizeof(*p));
	healbus__param__init(p);
	p->name = arena_strdup(arena, "number");
	SET(p, int_value, number);
	s->params[s->n_params++] = p;
	step_say(r, s, "key", i->id);
	step_say_text(r, s, "body", body);
	plan->steps = arena_alloc(arena, sizeof(*plan->steps));
	plan->steps[plan->n_steps++] = s;
	return 0;
}

bool plan_only_says(const Healbus__Plan *plan)
{
	return plan->diagnosis && plan->n_steps == 1 && str_eq(plan->steps[0]->tool, comment_tool);
}

/* ---- the plan around them ---- */

static void plan_begin(const struct repair *r, Healbus__Plan *plan, Healbus__Provenance provenance)
{
	plan_frame(r->desk, r->file, provenance, plan);
	plan->specialist = r->diagnosis->specialist;
	plan->failure_type = r->diagnosis->failure_type;
	plan->diagnosis = r->desk->answer->id;
}

/* Why, for people: what was seen, then what the model says, marked as its words. */
static char *why_of(const struct repair *r, const char *words, const char *whose)
{
	const Healbus__Diagnosis *g = r->diagnosis;
	const Healbus__Incident *i = r->file->incident;
	auto_buf b = {0};
	if (g->failure_type)
		buf_printf(&b, "%s, %.0f %% sure; %s (%s).", g->failure_type, g->confidence * 100,
			   g->specialist ? g->specialist : "no specialist",
			   g->route ? g->route : "no route");
	for (size_t n = 0; n < EVIDENCE_SHOWN && evidence_line(g, n); n++)
		buf_printf(&b, "\nEvidence: %s", evidence_line(g, n));
	for (size_t n = 0; n < g->n_missing; n++)
		buf_printf(&b, "\nNot to be had: %s", g->missing[n]);
	buf_printf(&b, "\n%s: %s", whose, words ? words : "nothing");
	for (size_t n = 0; n < i->n_tried; n++)
		buf_printf(&b, "\nTried before: %s: %s",
			   i->tried[n]->what ? i->tried[n]->what : "?",
			   i->tried[n]->reason ? i->tried[n]->reason : "no reason given");
	return wire_text(&r->desk->arena, buf_str(&b), b.len, PLAN_WHY_MAX);
}

static bool same_edits(const struct repair *r, const char *edits)
{
	const Healbus__Incident *i = r->file->incident;
	size_t len = MIN(strlen(edits), (size_t)WIRE_EDITS_SHORT_MAX);
	for (size_t n = 0; n < i->n_tried; n++) {
		const char *before = i->tried[n]->edits;
		/* Of a plan that expired nothing was run. */
		if (i->tried[n]->verdict == HEALBUS__VERDICT__VERDICT_EXPIRED)
			continue;
		if (before && strlen(before) == len && memcmp(before, edits, len) == 0)
			return true;
	}
	return false;
}

static int plan_of_edits(const struct repair *r, const struct proposal *p, Healbus__Plan *plan,
			 struct why *out_why)
{
	struct place at;
	if (same_edits(r, p->edits))
		return why_set(out_why, ERR_NOT_FOUND,
			       "what is proposed was tried before, and did not help");
	if (is_of_a_fork(r->file->incident))
		return plan_comment(r, comment_body(r, p->analysis, p->edits), plan, out_why);
	int rc = place_find(r, &at, out_why);
	if (!rc)
		plan_steps_of_edits(r, p, &at, plan);
	return rc;
}

static int plan_proposed(const struct repair *r, const char *json, const char *whose,
			 Healbus__Plan *plan, struct why *out_why)
{
	struct proposal p = {0};
	int rc = proposal_read(json, r->rules, &r->desk->arena, &p, out_why);
	if (rc)
		return why_prefix(out_why, rc, "the proposal is refused");
	bool edits = p.edits && *p.edits;
	if (!edits && p.n_steps == 0)
		return why_set(out_why, ERR_NOT_FOUND, "the model gives up: %s",
			       p.give_up ? p.give_up : "it proposes nothing");
	plan_begin(r, plan, HEALBUS__PROVENANCE__PROVENANCE_MODEL);
	SET(plan, confidence, p.confidence);
	plan->why = why_of(r, p.analysis, whose);
	if (edits)
		return plan_of_edits(r, &p, plan, out_why);
	plan->steps = p.steps;
	plan->n_steps = p.n_steps;
	return 0;
}

int repair_proposed(const struct repair *r, Healbus__Plan *plan, struct why *out_why)
{
	return plan_proposed(r, r->diagnosis->proposal, "The model says", plan, out_why);
}

/* Read as strictly as a model's answer. */
int repair_patched(const struct repair *r, const char *patch, Healbus__Plan *plan,
		   struct why *out_why)
{
	json_t *json =
		json_pack("{s:s, s:f, s:s, s:s, s:[], s:s}", "analysis",
			  "an external coding agent left this patch", "confidence",
			  AGENT_CONFIDENCE, "edits", patch, "title", "", "steps", "give_up", "");
	if (!json)
		return why_set(out_why, ERR_INVALID, "the agent's patch is not UTF-8");
	auto_free char *text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return plan_proposed(r, text, "The agent", plan, out_why);
}

int repair_by_agent(const struct repair *r, Healbus__Plan *plan, struct why *out_why)
{
	struct place at;
	int rc = place_find(r, &at, out_why);
	if (rc)
		return rc;
	if (is_of_a_fork(r->file->incident)) {
		plan_begin(r, plan, HEALBUS__PROVENANCE__PROVENANCE_MODEL);
		plan->why = why_of(r, "nothing is pushed to a fork", "It is only said");
		return plan_comment(r, comment_body(r, NULL, NULL), plan, out_why);
	}
	Healbus__Step *s = step_new(r, r->desk->settings->agent_tool, at.target);
	step_say(r, s, "sha", at.sha);
	step_say(r, s, "branch", at.branch);
	step_say_text(r, s, "task", r->diagnosis->task);
	plan_begin(r, plan, HEALBUS__PROVENANCE__PROVENANCE_MODEL);
	SET(plan, confidence, AGENT_CONFIDENCE);
	plan->why = why_of(r, r->diagnosis->reason ? r->diagnosis->reason : "no model is asked",
			   "An agent is asked");
	plan->steps = arena_alloc(&r->desk->arena, sizeof(*plan->steps));
	plan->steps[plan->n_steps++] = s;
	return 0;
}

int repair_recalled(const struct repair *r, const Healbus__Recalled *memory, Healbus__Plan *plan,
		    struct why *out_why)
{
	int rc = steps_check(memory->steps, memory->n_steps, r->rules, out_why);
	if (rc)
		return why_prefix(out_why, rc, "what helped %s cannot be done again",
				  memory->incident);
	plan_begin(r, plan, HEALBUS__PROVENANCE__PROVENANCE_MEMORY);
	SET(plan, confidence, memory->similarity);
	plan->memory = memory->incident;
	plan->why = why_of(r, memory->what, "This helped an incident much like it");
	plan->steps = memory->steps;
	plan->n_steps = memory->n_steps;
	return 0;
}
