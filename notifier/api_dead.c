#include "common/clock.h"
#include "notifier/api.h"

/* A dead message is looked up by its number, newest first; what lies further back than this many
 * numbers is shown by number only. */
enum { DEAD_LIMIT_DEFAULT = 20, DEAD_LIMIT_MAX = 200 };

static Healbus__Dead *dead_get(struct api_call *call, uint64_t seq, struct why *out_why)
{
	struct bus_delivery d = {0};
	ProtobufCMessage *msg = NULL;
	int rc = bus_get(stage_bus(call->stage), STREAM_DEAD, seq, &d, out_why);
	if (rc)
		return NULL;
	arena_reset(&call->arena);
	rc = wire_unpack(KIND_DEAD, d.data, d.len, &call->arena, &msg, out_why);
	bus_delivery_free(&d);
	return rc ? NULL : (Healbus__Dead *)msg;
}

static json_t *dead_json(const Healbus__Dead *dead, uint64_t seq)
{
	return json_pack("{s:I,s:s,s:s,s:s,s:I,s:I}", "seq", (json_int_t)seq, "stage",
			 str_or_empty(dead->stage), "subject", str_or_empty(dead->subject), "error",
			 str_or_empty(dead->error), "at_ms", (json_int_t)dead->at_ms, "bytes",
			 (json_int_t)dead->data.len);
}

void api_dead(struct api_call *call)
{
	struct bus_stream_state state;
	struct why why = {0};
	size_t limit = api_limit(call, "limit", DEAD_LIMIT_DEFAULT, DEAD_LIMIT_MAX);
	int rc = bus_stream_state(stage_bus(call->stage), STREAM_DEAD, &state, &why);
	if (rc) {
		api_fail(call, rc, &why);
		return;
	}
	json_t *list = json_array();
	for (uint64_t seq = state.last_seq;
	     state.messages && seq >= state.first_seq && seq > 0 && json_array_size(list) < limit;
	     seq--) {
		const Healbus__Dead *dead = dead_get(call, seq, &why);
		if (dead)
			json_array_append_new(list, dead_json(dead, seq));
	}
	api_reply(call, 200, json_pack("{s:o}", "dead", list));
}

/* "12" or "12/requeue"; 0 when it is neither. */
static uint64_t seq_parse(const char *text, const char *suffix)
{
	char *end;
	if (*text < '1' || *text > '9')
		return 0;
	unsigned long long n = strtoull(text, &end, 10);
	return str_eq(end, suffix) ? (uint64_t)n : 0;
}

static Healbus__Dead *dead_named(struct api_call *call, const char *suffix, uint64_t *out_seq)
{
	struct why why = {0};
	*out_seq = seq_parse(http_wildcard(call->req), suffix);
	Healbus__Dead *dead = *out_seq ? dead_get(call, *out_seq, &why) : NULL;
	if (!dead) {
		why_set(&why, ERR_NOT_FOUND, "no dead message has this number");
		api_fail(call, ERR_NOT_FOUND, &why);
	}
	return dead;
}

void api_dead_one(struct api_call *call)
{
	uint64_t seq;
	const Healbus__Dead *dead = dead_named(call, "", &seq);
	if (!dead)
		return;
	auto_buf data = {0};
	const char *bytes = dead->data.data ? (const char *)dead->data.data : "";
	bool text = utf8_valid(bytes, dead->data.len) && !memchr(bytes, '\0', dead->data.len);
	if (text)
		buf_add(&data, bytes, dead->data.len);
	else
		buf_add_hex(&data, bytes, dead->data.len);
	json_t *out = dead_json(dead, seq);
	json_object_set_new(out, "message_id", json_string(str_or_empty(dead->message_id)));
	json_object_set_new(out, "encoding", json_string(text ? "text" : "hex"));
	json_object_set_new(out, "data", json_string(buf_str(&data)));
	api_reply(call, 200, out);
}

/* Only what came from outside may come again; a message of ours would overtake its successors. */
void api_dead_requeue(struct api_call *call)
{
	uint64_t seq;
	struct why why = {0};
	char id[96];
	const char *by = api_by(call, api_str(call, "by"));
	if (!by)
		return;
	const Healbus__Dead *dead = dead_named(call, "/requeue", &seq);
	if (!dead)
		return;
	if (!dead->subject || !str_starts(dead->subject, "raw.")) {
		why_set(&why, ERR_CONFLICT, "only messages of raw.* can be put back");
		api_fail(call, ERR_CONFLICT, &why);
		return;
	}
	int64_t now_ms = clock_real_ms();
	snprintf(id, sizeof(id), "requeue:%" PRIu64 ":%" PRId64, seq, now_ms);
	struct bus_msg msg = {
		.subject = dead->subject,
		.id = id,
		.cause = dead->message_id,
		/* Whether its sender was known, and what it called the event. */
		.content_type =
			dead->content_type && *dead->content_type ? dead->content_type : NULL,
		.time_ms = now_ms,
		.data = dead->data.data,
		.len = dead->data.len,
	};
	int rc = bus_publish(stage_bus(call->stage), &msg, BUS_REQUEST_TIMEOUT_MS, NULL, &why);
	if (rc)
		api_fail(call, rc, &why);
	else
		api_reply(call, 202, json_pack("{s:I,s:s}", "seq", (json_int_t)seq, "by", by));
}
