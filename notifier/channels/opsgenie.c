/*
 * Opsgenie's Alert API: one alert an incident (alias), created by what is told, acknowledged when a
 * human has it, closed when it is over. Source: https://docs.opsgenie.com/docs/alert-api
 */
#include "common/github.h"
#include "common/secret.h"
#include "notifier/channels/channel.h"
#include "notifier/channels/fit.h"

#define API_URL "https://api.opsgenie.com"

enum { MESSAGE_MAX = 130, DESCRIPTION_MAX = 15000, NOTE_MAX = 25000, TAGS_MAX = 20, TAG_MAX = 50 };

struct opsgenie {
	char *url;
	char *key_file;
	char *ca_file;
	char *tags[TAGS_MAX];
	size_t n_tags;
};

static int tags_parse(struct opsgenie *o, const struct yaml_node *node, struct why *out_why)
{
	YAML_EACH(item, yaml_get(node, "tags"))
	{
		const char *tag;
		int rc = yaml_str(item, "tags", &tag, out_why);
		if (rc)
			return rc;
		if (o->n_tags == TAGS_MAX || fit_units(tag, strlen(tag), FIT_CHARACTERS) > TAG_MAX)
			return yaml_error(item, out_why, "tags: at most %d of %d characters",
					  TAGS_MAX, TAG_MAX);
		o->tags[o->n_tags++] = mem_strdup(tag);
	}
	return 0;
}

static int opsgenie_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url", "key_file", "ca_file", "tags"};
	struct opsgenie *o = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = channel_str(node, "url", &o->url, out_why);
	if (!rc)
		rc = channel_path(node, "key_file", &o->key_file, out_why);
	if (!rc)
		rc = channel_path(node, "ca_file", &o->ca_file, out_why);
	if (!rc)
		rc = tags_parse(o, node, out_why);
	if (!rc && !o->key_file)
		rc = yaml_error(node, out_why,
				"channels: %s: an opsgenie channel needs key_file, a file with the "
				"API key",
				c->name);
	return rc;
}

static void opsgenie_release(void *settings)
{
	struct opsgenie *o = settings;
	free(o->url);
	free(o->key_file);
	free(o->ca_file);
	for (size_t i = 0; i < o->n_tags; i++)
		free(o->tags[i]);
}

static const char *priority(const Healbus__Notice *n)
{
	static const char *const names[] = {"P3", "P5", "P4", "P2", "P1"};
	return (size_t)n->severity < ARRAY_SIZE(names) ? names[n->severity] : names[0];
}

static const char *alias_of(const Healbus__Notice *n)
{
	return n->n_incidents > 1 ? n->id : n->incident;
}

static void shown(const char *s, size_t max, const char *mark, struct buf *out)
{
	auto_buf text = {0};
	buf_add_printable(&text, s, strlen(s));
	fit_add(out, buf_str(&text), max, mark);
}

static json_t *alert_of(const struct opsgenie *o, const Healbus__Notice *n)
{
	auto_buf message = {0}, description = {0};
	auto_free char *whole = mem_printf("%s\n\n%s", n->subject, n->text);
	json_t *details = json_object(), *tags = json_array();
	shown(n->subject, MESSAGE_MAX, "\xe2\x80\xa6", &message);
	shown(whole, DESCRIPTION_MAX, "\n(cut; healctl story shows all)", &description);
	json_object_set_new(details, "incident", json_string(n->incident));
	json_object_set_new(details, "kind", json_string(n->kind));
	for (size_t i = 0; i < n->n_labels; i++)
		json_object_set_new(details, n->labels[i]->name,
				    json_string(n->labels[i]->value ? n->labels[i]->value : ""));
	for (size_t i = 0; i < o->n_tags; i++)
		json_array_append_new(tags, json_string(o->tags[i]));
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:o,s:o}", "message", buf_str(&message), "alias",
			 alias_of(n), "description", buf_str(&description), "priority", priority(n),
			 "source", "healbus", "details", details, "tags", tags);
}

static json_t *note_of(const Healbus__Notice *n)
{
	auto_buf note = {0};
	auto_free char *whole = mem_printf("%s\n\n%s", n->subject, n->text);
	shown(whole, NOTE_MAX, "\n(cut; healctl story shows all)", &note);
	return json_pack("{s:s,s:s,s:s}", "user", "healbus", "source", "healbus", "note",
			 buf_str(&note));
}

/* What is told, and the path it goes to; NULL path: the alert itself. */
struct verb {
	const char *kind, *path;
	bool skip;
};

static struct verb verb_of(const char *kind)
{
	static const struct verb rows[] = {
		{"resolved", "/v2/alerts/{}/close?identifierType=alias", false},
		{"acked", "/v2/alerts/{}/acknowledge?identifierType=alias", false},
		{"decided", "/v2/alerts/{}/acknowledge?identifierType=alias", false},
		{"feedback", NULL, true},
		{"status", NULL, true},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (str_eq(rows[i].kind, kind))
			return rows[i];
	return (struct verb){kind, NULL, false};
}

static int post(const struct channel_job *job, const char *url, const json_t *body,
		int64_t *out_retry_ms, struct why *out_why)
{
	const struct opsgenie *o = job->channel->settings;
	auto_secret key = {0};
	int rc = secret_read(&key, o->key_file, out_why);
	if (rc)
		return rc;
	char *authorization = mem_printf("Authorization: GenieKey %s", key.data);
	const char *headers[] = {authorization, NULL};
	struct http_call call = {
		.url = url,
		.headers = headers,
		.timeout_ms = job->channel->timeout_ms,
		.ca_file = o->ca_file,
	};
	rc = channel_post_json(job->http, &call, body, out_retry_ms, out_why);
	explicit_bzero(authorization, strlen(authorization));
	free(authorization);
	return rc;
}

static int opsgenie_send(const struct channel_job *job, struct channel_result *out,
			 struct why *out_why)
{
	const struct opsgenie *o = job->channel->settings;
	const Healbus__Notice *n = job->notice;
	struct verb verb = verb_of(n->kind);
	auto_buf url = {0};
	if (verb.skip)
		return 0;
	buf_add_str(&url, o->url ? o->url : API_URL);
	github_path(&url, verb.path ? verb.path : "/v2/alerts", alias_of(n));
	json_t *body = verb.path ? note_of(n) : alert_of(o, n);
	int rc = post(job, buf_str(&url), body, &out->retry_ms, out_why);
	json_decref(body);
	return rc;
}

const struct channel_kind channel_opsgenie = {
	.name = "opsgenie",
	.parse = opsgenie_parse,
	.release = opsgenie_release,
	.settings_size = sizeof(struct opsgenie),
	.send = opsgenie_send,
};
