/* Slack's incoming webhook. The address is a secret: url_file. */
#include "notifier/channels/channel.h"

struct slack {
	struct channel_url url;
	char *ca_file;
};

static int slack_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url", "url_file", "ca_file"};
	struct slack *s = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = channel_url_parse(node, &s->url, out_why);
	return rc ? rc : channel_path(node, "ca_file", &s->ca_file, out_why);
}

static void slack_release(void *settings)
{
	struct slack *s = settings;
	channel_url_release(&s->url);
	free(s->ca_file);
}

/*
 * & < > as Slack asks: no link, mention or <!channel> can then be written. A bare @channel means
 * nothing without link_names, which we never set; a zero-width joint would only hide it.
 */
static void slack_escape(struct buf *out, const char *s)
{
	auto_buf shown = {0};
	buf_add_printable(&shown, s, strlen(s));
	for (size_t i = 0; i < shown.len; i++) {
		char c = shown.data[i];
		if (c == '&')
			buf_add_str(out, "&amp;");
		else if (c == '<')
			buf_add_str(out, "&lt;");
		else if (c == '>')
			buf_add_str(out, "&gt;");
		else
			buf_add_char(out, c);
	}
}

static void slack_body(const Healbus__Notice *n, struct buf *out)
{
	auto_buf text = {0};
	slack_escape(&text, n->subject);
	buf_add_char(&text, '\n');
	slack_escape(&text, n->text);
	buf_add_str(out, "{\"link_names\":0,\"mrkdwn\":false,\"unfurl_links\":false,\"text\":");
	buf_add_json(out, buf_str(&text), text.len);
	buf_add_char(out, '}');
}

static int slack_send(const struct channel_job *job, struct channel_result *out,
		      struct why *out_why)
{
	const struct slack *s = job->channel->settings;
	auto_buf url = {0}, body = {0};
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	int rc = channel_url_read(&s->url, &url, out_why);
	if (rc)
		return rc;
	slack_body(job->notice, &body);
	struct http_call call = {
		.method = "POST",
		.url = buf_str(&url),
		.headers = headers,
		.body = body.data,
		.body_len = body.len,
		.timeout_ms = job->channel->timeout_ms,
		.ca_file = s->ca_file,
	};
	return channel_post(job->http, &call, &out->retry_ms, out_why);
}

const struct channel_kind channel_slack = {
	.name = "slack",
	.parse = slack_parse,
	.release = slack_release,
	.settings_size = sizeof(struct slack),
	.send = slack_send,
};
