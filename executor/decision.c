#include "executor/decision.h"

#include "common/clock.h"
#include "common/log.h"
#include "executor/report.h"

enum { BUS_WAIT_MS = 2000 };

static bool is_no(const Healbus__Decision *d)
{
	return d->verdict == HEALBUS__DECISION_VERDICT__DECISION_DENY ||
	       d->verdict == HEALBUS__DECISION_VERDICT__DECISION_EXPIRED;
}

static bool is_known(const Healbus__Decision *d)
{
	return is_no(d) || d->verdict == HEALBUS__DECISION_VERDICT__DECISION_APPROVE ||
	       d->verdict == HEALBUS__DECISION_VERDICT__DECISION_REHEARSE;
}

/* The checks that need no bus. now_ms: the message's time. 0, ERR_UNAUTHENTICATED, ERR_EXPIRED,
 * ERR_INVALID. */
static int decision_check(const Healbus__Decision *d, const struct verify_key *key, int64_t now_ms,
			  struct why *out_why)
{
	if (!is_known(d))
		return why_set(out_why, ERR_INVALID, "the decision has no known verdict");
	if (is_no(d))
		return 0;
	if (!key)
		return why_set(out_why, ERR_UNAUTHENTICATED,
			       "this executor has no key to check decisions with");
	struct why why = {0};
	if (decision_verify(d, key, &why))
		return why_set(out_why, ERR_UNAUTHENTICATED, "the decision's signature: %s",
			       why.text);
	if (d->verdict == HEALBUS__DECISION_VERDICT__DECISION_REHEARSE)
		return 0;
	if (d->deadline_ms <= 0 || d->at_ms > d->deadline_ms || now_ms > d->deadline_ms)
		return why_set(out_why, ERR_EXPIRED, "the approval came after its deadline");
	return 0;
}

/* Not believed: said on the bus under the decision's own incident, and in the audit. */
static enum plan_end refuse(struct decision_job *job, const char *reason)
{
	const Healbus__Decision *d = job->decision;
	char id[BUS_ID_MAX], step_id[ID_BYTES];
	struct why why = {0};
	Healbus__StepReport r = HEALBUS__STEP_REPORT__INIT;
	struct audit_entry e = {.what = "refused",
				.incident = d->incident,
				.plan = d->plan_id,
				.who = d->by,
				.text = reason};
	id_make(step_id, "step", d->plan_id, "decision", job->id);
	snprintf(id, sizeof(id), "%s:refused", step_id);
	r.incident = d->incident;
	r.plan_id = d->plan_id;
	r.step_id = step_id;
	r.reason = (char *)reason;
	r.executor = (char *)job->ex->instance;
	SET(&r, phase, HEALBUS__PHASE__PHASE_POLICY);
	SET(&r, state, HEALBUS__STEP_STATE__STEP_REFUSED);
	SET(&r, started_at_ms, clock_real_ms());
	LOG(WARN, "decision refused", S("plan", d->plan_id), S("by", d->by), S("why", reason));
	int rc = journal_write(job->ex->journal, NULL, &e, &why);
	if (!rc)
		rc = report_publish(job->ex, KIND_STEP, d->incident, &r.base, id, job->id, &why);
	if (!rc)
		return PLAN_SETTLED;
	job->wait_ms = BUS_WAIT_MS;
	job->wait = why;
	return PLAN_WAIT;
}

/* The plan the decision names, as it lies on the bus: the very bytes that were decided upon. */
static int read_plan(const Healbus__Decision *d, const struct bus_delivery *message,
		     struct arena *arena, const Healbus__Plan **out, struct why *out_why)
{
	struct topic topic;
	uint8_t digest[DIGEST_BYTES];
	ProtobufCMessage *msg = NULL;
	if (topic_parse(message->subject, &topic) || topic.kind != KIND_PLAN)
		return why_set(out_why, ERR_INVALID,
			       "the decision names a message that is no plan");
	if (message->schema > SCHEMA_NUMBER)
		return why_set(out_why, ERR_SCHEMA, "the plan is of schema %u, and is not read",
			       message->schema);
	plan_digest(message->data, message->len, digest);
	if (d->plan_digest.len != sizeof(digest) ||
	    !digest_equal(digest, d->plan_digest.data, sizeof(digest)))
		return why_set(out_why, ERR_INVALID,
			       "the plan's bytes are not the ones that were decided upon");
	int rc = wire_unpack(KIND_PLAN, message->data, message->len, arena, &msg, out_why);
	if (rc)
		return rc;
	*out = (const Healbus__Plan *)msg;
	if (!str_eq((*out)->id, d->plan_id) || !str_eq((*out)->incident, d->incident))
		return why_set(out_why, ERR_INVALID, "the decision is for another plan");
	return 0;
}

static enum plan_end run_plan(struct decision_job *job, const Healbus__Plan *plan,
			      const struct bus_delivery *message)
{
	struct plan_run run = {.ex = job->ex,
			       .arena = job->arena,
			       .plan = plan,
			       .decision = job->decision,
			       .cause = job->id,
			       .seq = message->seq,
			       .again = message->again};
	bool rehearse = job->decision->verdict == HEALBUS__DECISION_VERDICT__DECISION_REHEARSE;
	plan_run_init(&run, message->data, message->len);
	report_audit(&run, "decision", job->decision->by,
		     wire_enum_name(&healbus__decision_verdict__descriptor,
				    (int)job->decision->verdict));
	enum plan_end end = rehearse ? plan_rehearse(&run) : plan_decided(&run);
	job->wait_ms = run.wait_ms;
	job->wait = run.wait;
	plan_run_release(&run);
	return end;
}

enum plan_end decision_arrived(struct decision_job *job)
{
	const Healbus__Decision *d = job->decision;
	struct bus_delivery message = {0};
	const Healbus__Plan *plan = NULL;
	struct why why = {0};
	/* Read each time: the notifier makes it at its first start, and may make another. */
	struct verify_key *key = NULL;
	const char *key_file = job->ex->config->decision_key_file;
	if (key_file)
		verify_key_load(key_file, &key, &why);
	int rc = decision_check(d, key, job->time_ms, &why);
	verify_key_free(key);
	if (rc)
		return refuse(job, why.text);
	rc = bus_get(job->ex->bus, STREAM_STORY, d->plan_seq, &message, &why);
	if (rc == ERR_NOT_FOUND)
		return refuse(job, "the plan it names is not on the bus");
	if (rc) {
		job->wait_ms = BUS_WAIT_MS;
		job->wait = why;
		return PLAN_WAIT;
	}
	rc = read_plan(d, &message, job->arena, &plan, &why);
	enum plan_end end = rc ? refuse(job, why.text) : run_plan(job, plan, &message);
	bus_delivery_free(&message);
	return end;
}
