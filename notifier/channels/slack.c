/* Its configuration, and the incoming webhook. */
#include "notifier/channels/slack.h"

#include <fcntl.h>

static int bot_parse(struct slack *s, const struct yaml_node *node, struct why *out_why)
{
	int rc = channel_path(node, "token_file", &s->token_file, out_why);
	if (!rc)
		rc = channel_path(node, "signing_secret_file", &s->signing_secret_file, out_why);
	if (!rc)
		rc = channel_str(node, "channel", &s->place, out_why);
	if (!rc)
		rc = channel_str(node, "api_url", &s->api_url, out_why);
	if (!rc && !s->place)
		rc = yaml_error(node, out_why, "channels: channel: the id of a Slack channel");
	if (rc)
		return rc;
	s->api_url = s->api_url ? s->api_url : mem_strdup("https://slack.com/api");
	s->seen = mem_alloc(sizeof(*s->seen));
	s->piped = pipe2(s->pipe, O_CLOEXEC | O_NONBLOCK) == 0;
	return s->piped ? 0 : why_set(out_why, err_from_errno(errno), "no pipe for Slack");
}

static int webhook_parse(struct slack *s, const struct yaml_node *node, struct why *out_why)
{
	static const char *const bot_only[] = {"channel", "api_url", "signing_secret_file"};
	for (size_t i = 0; i < ARRAY_SIZE(bot_only); i++)
		if (yaml_get(node, bot_only[i]))
			return yaml_error(node, out_why, "channels: %s needs token_file",
					  bot_only[i]);
	return channel_url_parse(node, &s->url, out_why);
}

static int slack_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url",     "url_file", "token_file",
					   "channel", "api_url",  "signing_secret_file",
					   "ca_file"};
	struct slack *s = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc && yaml_get(node, "token_file") &&
	    (yaml_get(node, "url") || yaml_get(node, "url_file")))
		rc = yaml_error(node, out_why, "channels: give either token_file or a url");
	if (!rc)
		rc = yaml_get(node, "token_file") ? bot_parse(s, node, out_why)
						  : webhook_parse(s, node, out_why);
	return rc ? rc : channel_path(node, "ca_file", &s->ca_file, out_why);
}

static void slack_release(void *settings)
{
	struct slack *s = settings;
	json_t *late;
	while (s->piped && read(s->pipe[0], (void *)&late, sizeof(late)) == sizeof(late))
		json_decref(late);
	if (s->piped) {
		close(s->pipe[0]);
		close(s->pipe[1]);
	}
	channel_url_release(&s->url);
	free(s->token_file);
	free(s->place);
	free(s->api_url);
	free(s->signing_secret_file);
	free(s->seen);
	free(s->ca_file);
}

/* ---- the incoming webhook ---- */

static int webhook_post(const struct channel_job *job, const char *url, json_t *part,
			struct channel_result *out, struct why *out_why)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	const struct slack *s = job->channel->settings;
	auto_free char *body = json_dumps(part, JSON_COMPACT);
	struct http_call call = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = body,
		.body_len = strlen(body),
		.timeout_ms = job->channel->timeout_ms,
		.ca_file = s->ca_file,
	};
	return channel_post(job->http, &call, &out->retry_ms, out_why);
}

static int webhook_send(const struct channel_job *job, struct channel_result *out,
			struct why *out_why)
{
	const struct slack *s = job->channel->settings;
	struct chat_session *session = job->session;
	auto_buf url = {0};
	auto_parts parts = {0};
	int rc = channel_url_read(&s->url, &url, out_why);
	slack_plain_parts(job->notice, &parts);
	chat_session_begin(session, job->notice);
	while (!rc && session->done < parts.n) {
		rc = webhook_post(job, buf_str(&url), parts.items[session->done], out, out_why);
		session->done += rc == 0;
	}
	out->partly = rc && session->done;
	if (!rc)
		chat_session_end(session);
	return rc;
}

static int slack_send(const struct channel_job *job, struct channel_result *out,
		      struct why *out_why)
{
	const struct slack *s = job->channel->settings;
	return s->token_file ? slack_api_send(job, out, out_why) : webhook_send(job, out, out_why);
}

const struct channel_kind channel_slack = {
	.name = "slack",
	.parse = slack_parse,
	.release = slack_release,
	.settings_size = sizeof(struct slack),
	.open = chat_session_open,
	.close = chat_session_close,
	.send = slack_send,
	.resumes = chat_session_resumes,
	.receive = slack_receive,
	.answered = slack_answered,
	.poll = slack_poll,
	.poll_end = slack_poll_end,
	.polls = slack_polls,
};
