#include "monitor/ingress_private.h"
#include "monitor/normaliser.h"

/*
 * GitHub shows the answer to whoever set up the webhook, and sends a delivery again by hand only.
 * So a body is read here already: what is wrong with it, or why it is of no interest, is in the
 * answer, and only what will become an event is stored.
 */

static void answer(const struct posting *p, unsigned status, const char *name, const char *value)
{
	auto_buf body = {0};

	buf_printf(&body, "{\"%s\":", name);
	buf_add_json(&body, value, strlen(value));
	buf_add_str(&body, "}\n");
	ingress_answer_text(p, status, buf_str(&body));
}

static int header_check(struct posting *p, struct why *out_why)
{
	const char *type = http_header(p->req, "Content-Type");

	p->event = http_header(p->req, "X-GitHub-Event");
	if (!p->event || !token_valid(p->event))
		return why_set(out_why, ERR_INVALID, "X-GitHub-Event: %s",
			       p->event ? "not a word" : "missing");
	if (type && strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0)
		return why_set(out_why, ERR_INVALID,
			       "Content-Type: set the webhook's content type to application/json");
	return 0;
}

/* 0 with *out_ignored NULL for a body that gives an event. */
static int body_judge(const struct monitor_config *c, const struct posting *p,
		      const char **out_ignored, struct why *out_why)
{
	struct arena arena = {0};
	struct reading r = {
		.source = p->source->name,
		.rules = &c->rules,
		.data = p->body,
		.len = p->len,
		.kind = p->event,
		.trusted = p->known && p->source->trusted,
		.time_ms = 1,
		.arena = &arena,
	};
	int rc = reading_run(&r, p->source->format, out_why);

	if (!rc && r.refused)
		rc = why_set(out_why, ERR_INVALID, "%s", r.refused_why.text);
	*out_ignored = rc ? NULL : r.ignored;
	reading_release(&r);
	arena_release(&arena);
	return rc;
}

bool ingress_github(const struct monitor_config *c, struct posting *p)
{
	const char *ignored = NULL;
	struct why why = {0};
	int rc = header_check(p, &why);

	if (!rc && str_eq(p->event, "ping")) {
		answer(p, 200, "pong", p->source->name);
		return true;
	}
	if (!rc)
		rc = body_judge(c, p, &ignored, &why);
	if (rc) {
		ingress_answer_error(p, p->source->name, 400, ERR_INVALID, &why);
		return true;
	}
	if (!ignored)
		return false;
	normaliser_count_ignored(p->source->name, ignored);
	answer(p, 202, "ignored", ignored);
	return true;
}
