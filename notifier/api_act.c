#include "common/clock.h"
#include "common/matcher.h"
#include "notifier/answer.h"
#include "notifier/api.h"
#include "notifier/approval.h"
#include "notifier/control.h"
#include "notifier/view.h"

static void fail(struct api_call *call, int rc, const char *text)
{
	struct why why = {0};
	why_set(&why, rc, "%s", text);
	api_fail(call, rc, &why);
}

/* Text of a person, made fit for the bus; in the call's arena. */
static char *words(struct api_call *call, const char *name)
{
	const char *text = api_str(call, name);
	return wire_text(&call->arena, text, strlen(text), WIRE_REASON_MAX);
}

/* ---- decisions ---- */

/* Which approval is meant: named itself, by its plan or by its incident. Answers when none. */
static int approval_named(struct api_call *call, char out[static TOKEN_MAX + 1])
{
	char id[TOKEN_MAX + 1];
	struct plan_row row;
	auto_txn txn = api_read(call);
	if (*api_str(call, "approval"))
		return api_find(call, txn, &table_approvals, api_str(call, "approval"), out);
	bool found = false;
	if (*api_str(call, "plan")) {
		if (api_find(call, txn, &table_plans, api_str(call, "plan"), id))
			return ERR_NOT_FOUND;
		found = row_struct(txn, &table_plans, id, &row, sizeof(row)) && *row.approval;
		if (found)
			token_copy(out, row.approval);
	} else if (*api_str(call, "incident")) {
		if (api_find(call, txn, &table_incidents, api_str(call, "incident"), id))
			return ERR_NOT_FOUND;
		found = view_approval_of(txn, id, out);
	} else {
		fail(call, ERR_INVALID, "name an approval, a plan or an incident");
		return ERR_INVALID;
	}
	if (!found)
		fail(call, ERR_NOT_FOUND, "no approval was asked for");
	return found ? 0 : ERR_NOT_FOUND;
}

/* Through the one door for all channels, and what came of it as JSON. */
static void answer(struct api_call *call, const struct answer_in *in)
{
	struct why why = {0};
	auto_answer out = {0};
	int rc = answer_give(call->stage, in, &out, &why);
	if (rc)
		api_fail(call, rc, &why);
	else if (out.decision)
		api_reply(call, 200,
			  json_pack("{s:o}", "decision", wire_to_json(&out.decision->base)));
	else
		api_reply(call, out.needed ? 202 : 200,
			  json_pack("{s:s,s:s,s:I,s:I}", "result", out.result, "text",
				    buf_str(&out.text), "votes", (json_int_t)out.votes, "needed",
				    (json_int_t)out.needed));
}

void api_decide(struct api_call *call)
{
	char approval[TOKEN_MAX + 1];
	const char *verdict = api_str(call, "verdict"), *by = api_by(call, api_str(call, "by"));
	if (!by)
		return;
	if (!str_eq(verdict, "approve") && !str_eq(verdict, "deny")) {
		fail(call, ERR_INVALID, "verdict: must be approve or deny");
		return;
	}
	if (approval_named(call, approval))
		return;
	answer(call, &(struct answer_in){
			     .id = approval,
			     .what = answer_what_parse(verdict),
			     .kind = "name",
			     .sender = by,
			     .channel = "api",
			     .reason = words(call, "reason"),
		     });
}

/* "Did the repair hold?" */
void api_feedback(struct api_call *call)
{
	char incident[TOKEN_MAX + 1];
	const json_t *held = json_object_get(call->body, "held");
	const char *by = api_by(call, api_str(call, "by"));
	if (!by)
		return;
	if (!json_is_boolean(held)) {
		fail(call, ERR_INVALID, "held: must be true or false");
		return;
	}
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_incidents, api_str(call, "incident"), incident))
		return;
	store_end(txn);
	txn = NULL;
	answer(call, &(struct answer_in){
			     .id = incident,
			     .what = json_is_true(held) ? ANSWER_HELD : ANSWER_NOT_HELD,
			     .kind = "name",
			     .sender = by,
			     .channel = "api",
			     .reason = words(call, "reason"),
		     });
}

void api_rehearse(struct api_call *call)
{
	char plan[TOKEN_MAX + 1];
	struct why why = {0};
	const char *by = api_by(call, api_str(call, "by"));
	if (!by)
		return;
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_plans, api_str(call, "plan"), plan))
		return;
	store_end(txn);
	txn = NULL;
	int rc = plan_rehearse(call->stage, call->key, plan, by, &call->arena, &why);
	if (rc)
		api_fail(call, rc, &why);
	else
		api_reply(call, 202, json_pack("{s:s}", "plan", plan));
}

/* ---- controls ---- */

/* Answers only on failure. */
static int publish(struct api_call *call, Healbus__Control *c, const char *token)
{
	struct why why = {0};
	int rc = control_publish(call->stage, c, token, &why);
	if (rc)
		api_fail(call, rc, &why);
	return rc;
}

static void pause_set(struct api_call *call, bool on)
{
	struct why why = {0};
	int64_t at_ms = 0;
	struct control_by who = {.by = api_by(call, api_str(call, "by"))};
	if (!who.by)
		return;
	who.reason = words(call, "reason");
	int rc = control_pause(call->stage, on, &who, &at_ms, &why);
	if (rc)
		api_fail(call, rc, &why);
	else
		api_reply(call, 200,
			  json_pack("{s:{s:b,s:s,s:I}}", "paused", "on", on, "by", who.by, "at_ms",
				    (json_int_t)at_ms));
}

void api_pause(struct api_call *call)
{
	pause_set(call, true);
}

void api_resume(struct api_call *call)
{
	pause_set(call, false);
}

/* A person looks after it: the reasoner plans no more, nobody is reminded. */
void api_ack(struct api_call *call)
{
	char incident[TOKEN_MAX + 1];
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.by = (char *)api_by(call, api_str(call, "by"));
	if (!c.by)
		return;
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_incidents, api_str(call, "incident"), incident))
		return;
	store_end(txn);
	txn = NULL;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_ACK);
	c.reason = words(call, "reason");
	c.incident = incident;
	if (json_is_true(json_object_get(call->body, "false_alarm")))
		SET(&c, false_alarm, 1);
	if (!publish(call, &c, incident))
		api_reply(call, 200, json_pack("{s:s,s:s}", "incident", incident, "by", c.by));
}

static bool change_undoable(struct store_txn *txn, const char *id, char *incident,
			    struct arena *arena)
{
	const Healbus__Outcome *o =
		row_get(txn, &table_changes, id, Healbus__Outcome, outcome, arena);
	if (!o || !o->n_changes || !o->changes[0]->undo)
		return false;
	token_copy(incident, o->incident);
	return !*str_or_empty(o->changes[0]->undone_by);
}

void api_undo(struct api_call *call)
{
	char change[TOKEN_MAX + 1], incident[TOKEN_MAX + 1] = "";
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.by = (char *)api_by(call, api_str(call, "by"));
	if (!c.by)
		return;
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_changes, api_str(call, "change"), change))
		return;
	bool undoable = change_undoable(txn, change, incident, &call->arena);
	store_end(txn);
	txn = NULL;
	if (!undoable) {
		fail(call, ERR_CONFLICT,
		     *incident ? "it was taken back already" : "it cannot be taken back");
		return;
	}
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_UNDO);
	c.reason = words(call, "reason");
	c.change = change;
	c.incident = incident;
	if (!publish(call, &c, incident))
		api_reply(call, 202,
			  json_pack("{s:s,s:s}", "change", change, "incident", incident));
}

/* ---- silences ---- */

static int silence_matchers(struct api_call *call, struct matchers *out, struct why *out_why)
{
	const json_t *list = json_object_get(call->body, "matchers"), *item;
	size_t i;
	int rc = 0;
	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);
		rc = text ? matchers_parse(text, out, out_why)
			  : why_set(out_why, ERR_INVALID, "matchers[%zu]: not a string", i);
		if (rc)
			return rc;
	}
	return rc;
}

static int silence_end(struct api_call *call, int64_t now_ms, int64_t *out, struct why *out_why)
{
	const json_t *ends = json_object_get(call->body, "ends_at");
	int64_t duration_ms = 0;
	int rc = 0;
	if (*api_str(call, "duration")) {
		rc = duration_parse(api_str(call, "duration"), &duration_ms);
		*out = now_ms + duration_ms;
	} else if (json_is_integer(ends)) {
		*out = json_integer_value(ends);
	} else {
		rc = time_parse(api_str(call, "ends_at"), out);
	}
	if (rc)
		return why_set(out_why, ERR_INVALID,
			       "give a duration (\"2h\") or ends_at in the future, at most a year");
	return 0;
}

void api_silence_add(struct api_call *call)
{
	char id[ID_BYTES];
	struct why why = {0};
	struct matchers m = {0};
	int64_t ends_at_ms = 0;
	struct control_by who = {.by = api_by(call, api_str(call, "by"))};
	if (!who.by)
		return;
	who.reason = words(call, "comment");
	int rc = silence_matchers(call, &m, &why);
	if (!rc)
		rc = silence_end(call, clock_real_ms(), &ends_at_ms, &why);
	if (!rc)
		rc = control_silence(call->stage, &m, ends_at_ms, &who, id, &why);
	if (rc)
		api_fail(call, rc, &why);
	else
		api_reply(call, 200,
			  json_pack("{s:s,s:I}", "id", id, "ends_at_ms", (json_int_t)ends_at_ms));
	matchers_release(&m);
}

void api_silence_expire(struct api_call *call)
{
	char id[TOKEN_MAX + 1];
	Healbus__Silence silence = HEALBUS__SILENCE__INIT;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	c.by = (char *)api_by(call, http_query(call->req, "by"));
	if (!c.by)
		return;
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_silences, http_wildcard(call->req), id))
		return;
	store_end(txn);
	txn = NULL;
	silence.id = id;
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE);
	c.silence = &silence;
	if (!publish(call, &c, "silence"))
		api_reply(call, 200, json_pack("{s:s}", "id", id));
}
