#include "executor/policy.h"

/* What matchers of a rule see of one step. */
struct facts {
	const Healbus__Plan *plan;
	const struct action *action;
};

static const char *fact_tool(const struct facts *f)
{
	return f->action->tool->name;
}

static const char *fact_target(const struct facts *f)
{
	return f->action->target->id;
}

static const char *fact_kind(const struct facts *f)
{
	return f->action->target->kind;
}

static const char *fact_group(const struct facts *f)
{
	return f->action->target->group;
}

static const char *fact_level(const struct facts *f)
{
	return wire_enum_name(&healbus__level__descriptor, (int)f->action->level);
}

static const char *fact_severity(const struct facts *f)
{
	return wire_enum_name(&healbus__severity__descriptor, (int)f->plan->severity);
}

static const char *fact_provenance(const struct facts *f)
{
	return wire_enum_name(&healbus__provenance__descriptor, (int)f->plan->provenance);
}

static const char *fact_runbook(const struct facts *f)
{
	return f->plan->runbook;
}

/* These names win over labels of the same name: an alert cannot dress up as another target. */
static const struct {
	const char *name;
	const char *(*get)(const struct facts *f);
} fact_rows[] = {{"tool", fact_tool},
		 {"target", fact_target},
		 {"kind", fact_kind},
		 {"group", fact_group},
		 {"level", fact_level},
		 {"severity", fact_severity},
		 {"provenance", fact_provenance},
		 {"runbook", fact_runbook}};

static const char *facts_lookup(const void *facts, const char *name)
{
	const struct facts *f = facts;
	for (size_t i = 0; i < ARRAY_SIZE(fact_rows); i++)
		if (str_eq(fact_rows[i].name, name))
			return fact_rows[i].get(f);
	return label_get(f->plan->labels, f->plan->n_labels, name);
}

static struct rule rule_for(const struct policy_input *in, const struct action *a)
{
	struct facts facts = {.plan = in->plan, .action = a};
	const struct rules *rules = &in->config->rules;
	for (size_t i = 0; i < rules->n; i++)
		if (matchers_match(&rules->items[i].match, facts_lookup, &facts))
			return rules->items[i];
	return (struct rule){.autonomy = (enum autonomy)in->config->autonomy,
			     .max_level = HEALBUS__LEVEL__LEVEL_SOFT};
}

static void say(struct policy_result *out, const struct action *a, const char *what)
{
	char text[256];
	snprintf(text, sizeof(text), "%s(%s): %s", a->tool->name, a->target->id, what);
	lines_add_once(&out->reasons, text);
}

static void raise(struct policy_result *out, enum policy_verdict verdict)
{
	if (verdict > out->verdict)
		out->verdict = verdict;
}

/* A reason to ask becomes none once somebody has answered. */
static void ask(const struct policy_input *in, struct policy_result *out, const struct action *a,
		const char *why)
{
	if (in->approved)
		return;
	raise(out, POLICY_ASK);
	say(out, a, why);
}

static void weigh_change(const struct policy_input *in, struct policy_result *out,
			 const struct action *a, const struct rule *rule)
{
	if (rule->autonomy == AUTONOMY_APPROVE)
		ask(in, out, a, "autonomy is approve");
	else if (!in->plan->trusted)
		ask(in, out, a, "the incident comes from a source that was not authenticated");
	else if (a->level > rule->max_level)
		ask(in, out, a,
		    a->target->critical ? "critical target: its level is raised"
					: "its level is above what runs unasked");
	/* No rule lets these pass unasked. */
	for (size_t i = 0; i < a->concerns.n; i++)
		ask(in, out, a, a->concerns.items[i]);
}

static void weigh_sandbox(const struct policy_input *in, struct policy_result *out,
			  const struct action *a)
{
	const struct runner *runner = a->call->runner;
	bool bare = runner->unconfined && runner->unconfined(a->rendered);
	if (bare && !in->config->allow_unsandboxed) {
		raise(out, POLICY_REFUSE);
		say(out, a, "it runs without a sandbox, and allow_unsandboxed is false");
	} else if (!bare && runner->confined && !in->sandboxed) {
		raise(out, POLICY_REFUSE);
		say(out, a, "this machine has no sandbox for commands");
	}
}

static void weigh(const struct policy_input *in, struct policy_result *out, const struct action *a)
{
	if (!a->tool)
		return;
	out->level = MAX(out->level, a->level);
	struct rule rule = rule_for(in, a);
	weigh_sandbox(in, out, a);
	if (rule.autonomy == AUTONOMY_OBSERVE) {
		raise(out, POLICY_OBSERVE);
		say(out, a, "autonomy is observe");
	} else if (rule.autonomy == AUTONOMY_DRY_RUN) {
		raise(out, POLICY_REHEARSE);
		say(out, a, "autonomy is dry-run");
	} else if (a->level > HEALBUS__LEVEL__LEVEL_NONE) {
		weigh_change(in, out, a, &rule);
	}
}

static void weigh_plan(const struct policy_input *in, struct policy_result *out)
{
	const struct prepared *p = in->prepared;
	for (size_t i = 0; i < p->refusals.n; i++) {
		raise(out, POLICY_REFUSE);
		lines_add_once(&out->reasons, p->refusals.items[i]);
	}
	if (in->plan->not_after_ms <= 0) {
		raise(out, POLICY_REFUSE);
		lines_add(&out->reasons, "the plan says no time after which it must not start");
	} else if (in->now_ms > in->plan->not_after_ms) {
		raise(out, POLICY_EXPIRED);
		lines_add(&out->reasons, "the plan is older than its not_after");
	}
}

void policy_decide(const struct policy_input *in, struct policy_result *out)
{
	const struct prepared *p = in->prepared;
	*out = (struct policy_result){.verdict = POLICY_RUN, .level = HEALBUS__LEVEL__LEVEL_NONE};
	weigh_plan(in, out);
	for (size_t i = 0; i < p->n; i++) {
		weigh(in, out, &p->steps[i].act);
		weigh(in, out, &p->steps[i].verify.action);
		/* Undoing by a human's wish is a plan of its own, weighed then. */
		if (in->plan->rollback_on_failure)
			weigh(in, out, &p->steps[i].rollback);
	}
	weigh(in, out, &p->verify.action);
}

void policy_result_release(struct policy_result *r)
{
	lines_release(&r->reasons);
}

const char *policy_verdict_name(enum policy_verdict v)
{
	static const char *const names[] = {"run",     "ask",     "dry-run",
					    "observe", "expired", "refuse"};
	return names[v];
}
