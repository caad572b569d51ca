#include "common/clock.h"
#include "notifier/api.h"
#include "notifier/view.h"

/* Asking takes a connection of its own: once a thread and connection. */
static json_t *bus_json(struct stage *s)
{
	static _Thread_local char version[32];
	static _Thread_local uint64_t asked;
	uint64_t epoch = bus_epoch(stage_bus(s));
	if (epoch && epoch != asked) {
		bus_server_version(stage_bus(s), version);
		asked = *version ? epoch : 0;
	}
	return json_pack("{s:b,s:s}", "connected", epoch != 0, "version", epoch ? version : "");
}

/* behind: messages on STORY that the projection has not read yet; absent while the bus is away. */
static json_t *lag_json(struct stage *s)
{
	struct stage_fold_state fold = stage_fold_state(s, 0, 0);
	struct bus_stream_state state;
	uint64_t applied = fold.applied_seq;
	json_t *lag = json_pack("{s:I,s:I}", "applied_seq", (json_int_t)applied, "outbox",
				(json_int_t)fold.unacked);
	if (bus_epoch(stage_bus(s)) &&
	    !bus_stream_state(stage_bus(s), STREAM_STORY, &state, NULL)) {
		uint64_t behind = state.last_seq > applied ? state.last_seq - applied : 0;
		json_object_set_new(lag, "stream_seq", json_integer((json_int_t)state.last_seq));
		json_object_set_new(lag, "behind", json_integer((json_int_t)behind));
	}
	return lag;
}

void api_status(struct api_call *call)
{
	json_t *lag = lag_json(call->stage);
	auto_txn txn = api_read(call);
	struct unsent_counts unsent = view_unsent_counts(txn, clock_real_ms());
	json_t *out =
		json_pack("{s:s,s:o,s:o,s:o,s:I,s:o,s:o,s:I}", "stage", stage_name(call->stage),
			  "paused", view_paused(txn), "bus", bus_json(call->stage), "incidents",
			  view_counts(txn), "approvals_pending", (json_int_t)view_pending(txn),
			  "lag", lag, "executors", view_executors(txn), "undelivered",
			  (json_int_t)unsent.queued + (json_int_t)unsent.failed);
	api_reply(call, 200, out);
}

static bool query_all(struct api_call *call)
{
	const char *all = http_query(call->req, "all");
	return all && str_eq(all, "1");
}

void api_incidents(struct api_call *call)
{
	const char *state = http_query(call->req, "state");
	size_t fallback = query_all(call) ? 0 : VIEW_LIMIT_DEFAULT;
	struct view_filter filter = {
		.state = state && *state ? state : NULL,
		.limit = api_limit(call, "limit", fallback, VIEW_LIMIT_MAX),
	};
	auto_txn txn = api_read(call);
	api_reply(call, 200, view_incidents(txn, &filter));
}

void api_incident(struct api_call *call)
{
	char id[TOKEN_MAX + 1];
	auto_txn txn = api_read(call);
	if (!api_find(call, txn, &table_incidents, http_wildcard(call->req), id))
		api_reply(call, 200, view_incident(txn, id));
}

void api_approvals(struct api_call *call)
{
	auto_txn txn = api_read(call);
	api_reply(call, 200, view_approvals(txn));
}

void api_tools(struct api_call *call)
{
	auto_txn txn = api_read(call);
	api_reply(call, 200, view_tools(txn));
}

void api_silences(struct api_call *call)
{
	bool all = query_all(call);
	auto_txn txn = api_read(call);
	api_reply(call, 200, view_silences(txn, all, clock_real_ms()));
}

void api_changes(struct api_call *call)
{
	size_t limit = api_limit(call, "limit", VIEW_LIMIT_DEFAULT, VIEW_LIMIT_MAX);
	auto_txn txn = api_read(call);
	api_reply(call, 200, view_changes(txn, limit));
}
