#include "common/clock.h"
#include "notifier/api.h"
#include "notifier/channel_state.h"
#include "notifier/config.h"
#include "notifier/view.h"

static json_t *channels_json(struct stage *s)
{
	struct channel_state states[CHANNEL_STATES_MAX];
	const struct notifier_config *config = stage_config_get(s);
	int64_t dead_ms = config->channel_dead_after_ms;
	stage_config_put(s, config);
	size_t n = channel_states(states);
	json_t *out = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct channel_state *c = &states[i];
		json_array_append_new(out,
				      json_pack("{s:s,s:b,s:b,s:I,s:I,s:I,s:s}", "name", c->name,
						"up", !c->failing_ms, "dead",
						channel_state_dead(c, clock_real_ms(), dead_ms),
						"ok_ms", (json_int_t)c->ok_ms, "failing_ms",
						(json_int_t)c->failing_ms, "failures",
						(json_int_t)c->failures, "error", c->error));
	}
	return out;
}

/* GET /api/undelivered?limit=: what nobody has got yet, and how the channels are, as this notifier
 * sees them. */
void api_undelivered(struct api_call *call)
{
	size_t limit = api_limit(call, "limit", VIEW_LIMIT_DEFAULT, VIEW_LIMIT_MAX);
	auto_txn txn = api_read(call);
	json_t *out = view_unsent(txn, limit);
	json_object_set_new(out, "channels", channels_json(call->stage));
	api_reply(call, 200, out);
}
