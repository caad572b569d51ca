/* Sending by the Web API. */
#include "notifier/channels/slack.h"

int slack_call(struct http_client *http, const struct slack_method *m, const json_t *body,
	       json_t **out_answer, struct channel_result *out, struct why *out_why)
{
	static const char *const headers[] = {"Content-Type: application/json; charset=utf-8",
					      NULL};
	auto_free char *url = mem_printf("%s/%s", m->slack->api_url, m->name);
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	struct http_call call = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = text,
		.body_len = strlen(text),
		.timeout_ms = m->timeout_ms,
		.ca_file = m->slack->ca_file,
		.bearer_file = m->slack->token_file,
	};
	int rc = chat_call(http, &call, out_answer, &out->retry_ms, out_why);
	return rc ? rc : slack_answer(*out_answer, out_why);
}

static int api(const struct chat_sending *x, const char *name, const json_t *body,
	       json_t **out_answer, struct why *out_why)
{
	const struct slack_method m = {x->job->channel->settings, name, chat_left_ms(x)};
	return slack_call(x->job->http, &m, body, out_answer, x->out, out_why);
}

static int post(const struct chat_sending *x, json_t *body, struct chat_ref *out,
		struct why *out_why)
{
	const struct slack *s = x->job->channel->settings;
	auto_json *answer = NULL;
	json_object_set_new(body, "channel", json_string(s->place));
	json_object_del(body, "thread_ts");
	json_object_del(body, "reply_broadcast");
	if (x->thread) {
		json_object_set_new(body, "thread_ts", json_string(x->thread));
		json_object_set_new(body, "reply_broadcast", json_boolean(x->loud && x->part == 0));
	}
	int rc = api(x, "chat.postMessage", body, &answer, out_why);
	if (rc)
		return rc;
	const char *ts = json_string_value(json_object_get(answer, "ts"));
	const char *place = json_string_value(json_object_get(answer, "channel"));
	snprintf(out->id, sizeof(out->id), "%s", str_or_empty(ts));
	snprintf(out->place, sizeof(out->place), "%s", place ? place : s->place);
	return 0;
}

static int edit(const struct chat_sending *x, const struct chat_ref *ref, json_t *body,
		struct why *out_why)
{
	auto_json *answer = NULL;
	json_object_set_new(body, "channel", json_string(ref->place));
	json_object_set_new(body, "ts", json_string(ref->id));
	return api(x, "chat.update", body, &answer, out_why);
}

static bool clicks(const struct channel *c)
{
	return ((const struct slack *)c->settings)->signing_secret_file != NULL;
}

int slack_api_send(const struct channel_job *job, struct channel_result *out, struct why *out_why)
{
	static const struct chat_vendor vendor = {.people = "slack",
						  .clicks = clicks,
						  .render = slack_parts,
						  .post = post,
						  .edit = edit};
	return chat_send(&vendor, job, out, out_why);
}
