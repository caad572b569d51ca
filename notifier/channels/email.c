/* Mail by SMTP. A repeat has the same Message-ID, by which mail systems drop it. */
#include "notifier/channels/channel.h"

enum { RECIPIENTS_MAX = 32 };

struct email {
	char *url;
	char *from;
	char *to[RECIPIENTS_MAX + 1];
	size_t n_to;
	char *user;
	char *password_file;
	char *ca_file;
	bool starttls;
};

static bool address_valid(const char *s)
{
	const char *at = strchr(s, '@');
	for (const char *c = s; *c; c++)
		if (*c <= ' ' || *c == 0x7f || *c == '<' || *c == '>')
			return false;
	return at && at != s && at[1] && !strchr(at + 1, '@');
}

static int to_parse(struct email *e, const struct yaml_node *node, struct why *out_why)
{
	YAML_EACH(item, yaml_get(node, "to"))
	{
		const char *text;
		int rc = yaml_str(item, "to", &text, out_why);
		if (rc)
			return rc;
		if (e->n_to == RECIPIENTS_MAX || !address_valid(text))
			return yaml_error(item, out_why, "to: at most %d plain addresses a@b",
					  RECIPIENTS_MAX);
		e->to[e->n_to++] = mem_strdup(text);
	}
	if (!e->n_to || !e->url || !e->from || !address_valid(e->from))
		return yaml_error(node, out_why,
				  "channels: an email channel needs url "
				  "(smtp://host:port), from and a list `to`");
	return 0;
}

static int email_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url",           "from",    "to",      "user",
					   "password_file", "ca_file", "starttls"};
	struct email *e = c->settings;
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = channel_str(node, "url", &e->url, out_why);
	if (!rc)
		rc = channel_str(node, "from", &e->from, out_why);
	if (!rc)
		rc = channel_str(node, "user", &e->user, out_why);
	if (!rc)
		rc = channel_path(node, "password_file", &e->password_file, out_why);
	if (!rc)
		rc = channel_path(node, "ca_file", &e->ca_file, out_why);
	const struct yaml_node *starttls = yaml_get(node, "starttls");
	if (!rc && starttls)
		rc = yaml_bool(starttls, "starttls", &e->starttls, out_why);
	return rc ? rc : to_parse(e, node, out_why);
}

static void email_release(void *settings)
{
	struct email *e = settings;
	free(e->url);
	free(e->from);
	free(e->user);
	free(e->password_file);
	free(e->ca_file);
	for (size_t i = 0; i < e->n_to; i++)
		free(e->to[i]);
}

static int email_send(const struct channel_job *job, struct channel_result *out UNUSED,
		      struct why *out_why)
{
	const struct email *e = job->channel->settings;
	const Healbus__Notice *n = job->notice;
	auto_free char *id = mem_printf("%s@%s", n->id, strchr(e->from, '@') + 1);
	auto_buf subject = {0}, text = {0};
	buf_add_printable(&subject, n->subject, strcspn(n->subject, "\r\n"));
	buf_add_printable(&text, n->text, strlen(n->text));
	struct http_mail mail = {
		.url = e->url,
		.starttls = e->starttls,
		.user = e->user,
		.password_file = e->password_file,
		.ca_file = e->ca_file,
		.from = e->from,
		.to = (const char *const *)e->to,
		.subject = buf_str(&subject),
		.text = buf_str(&text),
		.message_id = id,
		.timeout_ms = job->channel->timeout_ms,
	};
	return http_client_mail(job->http, &mail, out_why);
}

const struct channel_kind channel_email = {
	.name = "email",
	.parse = email_parse,
	.release = email_release,
	.settings_size = sizeof(struct email),
	.send = email_send,
};
