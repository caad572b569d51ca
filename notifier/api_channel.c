/* What the vendors of the channels send, and what is fetched from them. */
#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "notifier/api.h"
#include "notifier/channel_poll.h"
#include "notifier/config.h"

static struct metric received = METRIC_COUNTER(
	"healbus_channel_requests_total",
	"Requests to /channel/<name>, by channel and what came of them.", "channel", "result");

static const char *header_of(const void *ctx, const char *name)
{
	return http_header(ctx, name);
}

static const char *query_of(const void *ctx, const char *name)
{
	return http_query(ctx, name);
}

static void reply_release(struct channel_reply *r)
{
	buf_release(&r->body);
	arena_release(&r->arena);
}

/* What a browser is shown holds nothing that runs, is kept nowhere, and tells nobody its address.
 */
static void reply_send(struct api_call *call, const struct channel_reply *r)
{
	http_reply_header(call->req, "Cache-Control", "no-store");
	http_reply_header(call->req, "X-Content-Type-Options", "nosniff");
	http_reply_header(call->req, "Referrer-Policy", "no-referrer");
	http_reply_header(call->req, "Content-Security-Policy",
			  "default-src 'none'; form-action 'self'; frame-ancestors 'none'; "
			  "base-uri 'none'");
	http_reply(call->req, r->status ? r->status : 200,
		   r->content_type ? r->content_type : "application/json", buf_str(&r->body),
		   r->body.len);
}

static void give(struct stage *s, const struct channel *c, struct channel_reply *r)
{
	struct why why = {0};
	auto_answer out = {0};
	r->in.channel = c->name;
	answer_give(s, &r->in, &out, &why);
	c->kind->answered(c, &out, r);
}

static int receive(struct api_call *call, const struct channel *c, struct why *out_why)
{
	struct channel_request in = {
		.method = http_method(call->req),
		.now_ms = clock_real_ms(),
		.header = header_of,
		.query = query_of,
		.ctx = call->req,
		.stage = call->stage,
	};
	struct channel_reply reply = {0};
	in.body = http_body(call->req, &in.body_len);
	int rc = in.body_len > CHANNEL_BODY_MAX_BYTES
			 ? why_set(out_why, ERR_TOO_LARGE, "more than %d bytes",
				   CHANNEL_BODY_MAX_BYTES)
			 : c->kind->receive(c, &in, &reply, out_why);
	if (!rc && reply.give)
		give(call->stage, c, &reply);
	if (!rc)
		reply_send(call, &reply);
	reply_release(&reply);
	return rc;
}

void api_channel(struct api_call *call)
{
	struct why why = {0};
	const char *name = http_wildcard(call->req);
	const struct notifier_config *config = stage_config_get(call->stage);
	const struct channel *c = channel_find(&config->channels, name);
	bool takes = c && c->kind->receive;
	int rc = takes ? receive(call, c, &why)
		       : why_set(&why, ERR_NOT_FOUND, "no channel of this name takes requests");
	/* Once answered, the request and its texts are gone. */
	metric_add(&received, 1, takes ? c->name : "", rc ? err_name(rc) : "ok");
	if (rc) {
		LOG(WARN, "channel request refused", S("channel", name),
		    S("peer", http_peer(call->req)), S("why", why.text));
		http_reply_error(call->req, rc, &why);
	}
	stage_config_put(call->stage, config);
}
