/*
 * PagerDuty's Events API v2: one alert an incident (dedup_key), triggered by what is told,
 * acknowledged when a human has it, resolved when it is over. Source:
 * https://developer.pagerduty.com/docs/events-api-v2-overview
 */
#include "common/clock.h"
#include "common/secret.h"
#include "notifier/channels/channel.h"
#include "notifier/channels/fit.h"

#define EVENTS_URL "https://events.pagerduty.com/v2/enqueue"

enum { SUMMARY_MAX = 1024 };

struct pagerduty {
	char *url;
	char *routing_key_file;
	char *source;
	char *links_url;
	char *ca_file;
};

static int pagerduty_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url", "routing_key_file", "source", "links_url",
					   "ca_file"};
	struct pagerduty *p = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = channel_str(node, "url", &p->url, out_why);
	if (!rc)
		rc = channel_path(node, "routing_key_file", &p->routing_key_file, out_why);
	if (!rc)
		rc = channel_str(node, "source", &p->source, out_why);
	if (!rc)
		rc = channel_str(node, "links_url", &p->links_url, out_why);
	if (!rc)
		rc = channel_path(node, "ca_file", &p->ca_file, out_why);
	if (!rc && !p->routing_key_file)
		rc = yaml_error(node, out_why,
				"channels: %s: a pagerduty channel needs routing_key_file, a file "
				"with the integration's key",
				c->name);
	return rc;
}

static void pagerduty_release(void *settings)
{
	struct pagerduty *p = settings;
	free(p->url);
	free(p->routing_key_file);
	free(p->source);
	free(p->links_url);
	free(p->ca_file);
}

static const char *action_of(const char *kind)
{
	static const struct {
		const char *kind, *action;
	} rows[] = {
		{"resolved", "resolve"}, {"acked", "acknowledge"}, {"decided", "acknowledge"},
		{"feedback", NULL},      {"status", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (str_eq(rows[i].kind, kind))
			return rows[i].action;
	return "trigger";
}

static json_t *details(const Healbus__Notice *n)
{
	json_t *labels = json_object();
	for (size_t i = 0; i < n->n_labels; i++)
		json_object_set_new(labels, n->labels[i]->name,
				    json_string(n->labels[i]->value ? n->labels[i]->value : ""));
	auto_buf text = {0};
	buf_add_printable(&text, n->text, strlen(n->text));
	return json_pack("{s:s,s:s,s:o}", "text", buf_str(&text), "kind", n->kind, "labels",
			 labels);
}

static json_t *payload(const struct pagerduty *p, const Healbus__Notice *n)
{
	char at[TIME_TEXT_BYTES];
	auto_buf shown = {0}, summary = {0};
	buf_add_printable(&shown, n->subject, strlen(n->subject));
	fit_add(&summary, buf_str(&shown), SUMMARY_MAX, "\xe2\x80\xa6");
	const char *severity =
		n->severity ? wire_enum_name(&healbus__severity__descriptor, (int)n->severity)
			    : "error";
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o}", "summary", buf_str(&summary), "source",
			 p->source ? p->source : "healbus", "severity", severity, "timestamp",
			 time_format(n->at_ms, at), "class", n->kind, "custom_details", details(n));
}

/* A digest is of several incidents: an alert of its own, which nobody resolves but a human. */
static const char *dedup_key(const Healbus__Notice *n)
{
	return n->n_incidents > 1 ? n->id : n->incident;
}

static json_t *event_of(const struct pagerduty *p, const Healbus__Notice *n, const char *action,
			const struct secret *key)
{
	json_t *event = json_pack("{s:s,s:s,s:s}", "routing_key", key->data, "event_action", action,
				  "dedup_key", dedup_key(n));
	if (!str_eq(action, "trigger"))
		return event;
	json_object_set_new(event, "payload", payload(p, n));
	json_object_set_new(event, "client", json_string("healbus"));
	if (p->links_url) {
		json_object_set_new(event, "client_url", json_string(p->links_url));
		json_object_set_new(
			event, "links",
			json_pack("[{s:s,s:s}]", "href", p->links_url, "text", "healbus"));
	}
	return event;
}

static int pagerduty_send(const struct channel_job *job, struct channel_result *out,
			  struct why *out_why)
{
	const struct pagerduty *p = job->channel->settings;
	const Healbus__Notice *n = job->notice;
	const char *action = action_of(n->kind);
	auto_secret key = {0};
	if (!action)
		return 0;
	int rc = secret_read(&key, p->routing_key_file, out_why);
	if (rc)
		return rc;
	json_t *event = event_of(p, n, action, &key);
	struct http_call call = {
		.url = p->url ? p->url : EVENTS_URL,
		.timeout_ms = job->channel->timeout_ms,
		.ca_file = p->ca_file,
	};
	rc = channel_post_json(job->http, &call, event, &out->retry_ms, out_why);
	json_decref(event);
	return rc;
}

const struct channel_kind channel_pagerduty = {
	.name = "pagerduty",
	.parse = pagerduty_parse,
	.release = pagerduty_release,
	.settings_size = sizeof(struct pagerduty),
	.send = pagerduty_send,
};
