#include "monitor/ingress_private.h"
#include "common/clock.h"
#include "monitor/normaliser.h"

/* In one body; with more of them it is stored whatever they say. */
enum { IDENTITIES_MAX = 1024 };

/* ---- who posts, and how much ---- */

bool rate_allow(_Atomic int64_t *next_ns, int64_t rate, int64_t burst, int64_t now_ns)
{
	int64_t step = INT64_C(1000000000) / rate;
	int64_t due = atomic_load(next_ns);

	for (;;) {
		int64_t from = MAX(due, now_ns);

		if (from - now_ns > step * burst)
			return false;
		if (atomic_compare_exchange_weak(next_ns, &due, from + step))
			return true;
	}
}

static bool token_given(const struct http_request *req, const struct secret *token)
{
	const char *header = http_header(req, "Authorization");

	if (!header || strncasecmp(header, "Bearer ", 7) != 0)
		return false;
	return secret_equal(token, header + 7, strlen(header + 7));
}

static bool signature_given(const struct http_request *req, const struct source *s)
{
	bool valid = false;

	for (size_t i = 0; i < s->n_hmac_lines; i++)
		valid |= http_hmac_valid(req, s->hmac_header, &s->hmac_lines[i]);
	return valid;
}

/* With a secret configured it must be shown; without one, only the machine itself is known. */
static int posting_authenticate(struct posting *p, struct why *why)
{
	const struct source *s = p->source;

	if (!s->token.len && !s->n_hmac_lines && (!s->format->sealed || s->insecure)) {
		p->known = http_peer_is_loopback(p->req);
		return 0;
	}
	p->known = (s->token.len && token_given(p->req, &s->token)) || signature_given(p->req, s);
	return p->known ? 0 : why_set(why, ERR_UNAUTHENTICATED, "no valid token or signature");
}

/* ---- what is posted ---- */

struct identifying {
	struct ingress *in;
	struct posting *p;
	struct identity_frame frame;
};

static void alert_identify(void *ctx, const struct alert_text *alert)
{
	struct identifying *i = ctx;
	struct identity id;

	if (!i->p->identified)
		return;
	i->p->identified = identity_make(i->in->repeats, &i->frame, alert, &id) &&
			   i->p->identities.len < IDENTITIES_MAX * sizeof(id);
	if (i->p->identified)
		buf_add(&i->p->identities, &id, sizeof(id));
}

/* Is it JSON, and does it say only what we can tell apart? */
static int alerts_check(struct ingress *in, const struct monitor_config *c, struct posting *p,
			struct why *why)
{
	struct identifying ctx = {
		.in = in,
		.p = p,
		.frame = {.source = p->source->name,
			  .trusted = p->known && p->source->trusted,
			  .generation = c->generation},
	};
	struct alerts_text alerts = {.visit = alert_identify, .ctx = &ctx};
	int rc;

	p->identified = true;
	rc = alerts_text_read(p->body, p->len, &alerts, why);
	if (rc == ERR_INVALID)
		return rc;
	p->identified = p->identified && rc == 0;
	/* It may change an alert that we remember, and we cannot see which. */
	if (!p->identified)
		repeats_forget(in->repeats);
	return 0;
}

static int posting_check(struct ingress *in, const struct monitor_config *c, struct posting *p,
			 struct why *why)
{
	const char *type = http_header(p->req, "Content-Type");

	p->protobuf = type && str_starts(type, CONTENT_TYPE_PROTOBUF);
	if (p->source->format == &format_cloudevents &&
	    cloudevent_structured(p->req, &p->converted)) {
		p->body = buf_str(&p->converted);
		p->len = p->converted.len;
	}
	if (p->len > WIRE_RAW_MAX_BYTES)
		return why_set(why, ERR_TOO_LARGE, "body: over %d bytes", WIRE_RAW_MAX_BYTES);
	if (!p->len)
		return why_set(why, ERR_INVALID, "body: empty");
	if (p->protobuf)
		return 0;
	if (p->source->format == &format_alertmanager && p->source->repeat_ms)
		return alerts_check(in, c, p, why);
	return json_text_check(p->body, p->len, why);
}

/* ---- repeats ---- */

/*
 * Every alert of the body is in the stream as it is here, or is under way in one other body: then
 * nothing is lost when this one is not stored. True when it is answered, or waits.
 */
static bool posting_is_repeat(struct ingress *in, struct posting *p)
{
	int64_t since_ms = clock_mono_ms() - p->source->repeat_ms;
	uint64_t under_way = 0, token = 0;
	size_t n, pending = 0;
	const struct identity *ids = posting_ids(p, &n), *last = NULL;

	for (size_t i = 0; i < n; i++) {
		enum repeat found = repeats_look(in->repeats, ids[i], since_ms, &token);

		if (found == REPEAT_NEW ||
		    (found == REPEAT_PENDING && pending && token != under_way))
			return false;
		if (found == REPEAT_STORED)
			continue;
		pending++;
		under_way = token;
		last = &ids[i];
	}
	if (pending && ingress_join(in, p, *last, under_way))
		return true;
	if (pending && repeats_look(in->repeats, *last, since_ms, &token) != REPEAT_STORED)
		return false;
	ingress_answer_repeat(in, p);
	return true;
}

/* ---- the handler ---- */

static void posting_take(struct ingress *in, const struct monitor_config *c, struct posting *p)
{
	const char *name = http_wildcard(p->req);
	struct why why = {0};
	auto_buf known = {0};

	p->source = source_find(c, name);
	if (!p->source || p->source->internal) {
		sources_print(c, false, &known);
		why_set(&why, 0, "no source \"%.64s\"; known: %s", name, buf_str(&known));
		ingress_answer_error(p, "unknown", 404, ERR_NOT_FOUND, &why);
		return;
	}
	if (posting_authenticate(p, &why)) {
		ingress_answer_error(p, p->source->name, 401, ERR_UNAUTHENTICATED, &why);
		return;
	}
	if (!rate_allow(p->source->next_ns, p->source->rate, p->source->burst,
			clock_mono_ms() * 1000000)) {
		ingress_answer_rate(p);
		return;
	}
	p->body = http_body(p->req, &p->len);
	if (posting_check(in, c, p, &why))
		ingress_answer_error(p, p->source->name, p->len > WIRE_RAW_MAX_BYTES ? 413 : 400,
				     p->len > WIRE_RAW_MAX_BYTES ? ERR_TOO_LARGE : ERR_INVALID,
				     &why);
	else if (p->source->format == &format_github && ingress_github(c, p))
		return;
	else if (!p->identified || !posting_is_repeat(in, p))
		ingress_store(in, p);
}

void ingress_webhook(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	const struct monitor_config *c = stage_config_get(s);
	struct posting p = {.req = req};

	posting_take(stage_data(s), c, &p);
	buf_release(&p.converted);
	buf_release(&p.identities);
	stage_config_put(s, c);
}
