/* Mail by SMTP. A repeat has the same Message-ID, by which mail systems drop it. */
#include "notifier/channels/channel.h"
#include "notifier/channels/email_link.h"

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
	char *links_url; /* where recipients reach this notifier; NULL: no links */
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

static bool is_local(const char *url, const char *machine)
{
	size_t len = strlen(machine);
	return str_starts(url, machine) && (!url[len] || url[len] == ':' || url[len] == '/');
}

/* Links are secrets: over plain HTTP for this machine only. */
static int links_parse(struct email *e, const struct yaml_node *node, struct why *out_why)
{
	int rc = channel_str(node, "links_url", &e->links_url, out_why);
	if (rc || !e->links_url)
		return rc;
	size_t len = strlen(e->links_url);
	while (len && e->links_url[len - 1] == '/')
		e->links_url[--len] = '\0';
	bool local = is_local(e->links_url, "http://127.0.0.1") ||
		     is_local(e->links_url, "http://localhost");
	if ((local || str_starts(e->links_url, "https://")) && !strpbrk(e->links_url, " \t\r\n?#"))
		return 0;
	return yaml_error(yaml_get(node, "links_url"), out_why,
			  "links_url: must be an https:// address without ? and #");
}

static int email_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"url",           "from",    "to",       "user",
					   "password_file", "ca_file", "starttls", "links_url"};
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
	if (!rc)
		rc = links_parse(e, node, out_why);
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
	free(e->links_url);
	for (size_t i = 0; i < e->n_to; i++)
		free(e->to[i]);
}

/* Of a question, each gets a mail with links of their own: how far a notice got, so that a repeat
 * goes on there. */
struct session {
	char notice[ID_BYTES];
	size_t sent;
};

static int session_open(const struct channel *c UNUSED, void **out_session,
			struct why *out_why UNUSED)
{
	*out_session = mem_alloc(sizeof(struct session));
	return 0;
}

static int mail_send(const struct channel_job *job, const char *const *to, const char *text,
		     const char *id, struct why *out_why)
{
	const struct email *e = job->channel->settings;
	const char *subject = job->notice->subject;
	auto_buf shown = {0};
	buf_add_printable(&shown, subject, strcspn(subject, "\r\n"));
	struct http_mail mail = {
		.url = e->url,
		.starttls = e->starttls,
		.user = e->user,
		.password_file = e->password_file,
		.ca_file = e->ca_file,
		.from = e->from,
		.to = to,
		.subject = buf_str(&shown),
		.text = text,
		.message_id = id,
		.timeout_ms = job->channel->timeout_ms,
	};
	return http_client_mail(job->http, &mail, out_why);
}

/* One mail for each recipient from where an earlier try stopped. */
static int links_send(const struct channel_job *job, const struct buf *text, struct why *out_why)
{
	const struct email *e = job->channel->settings;
	struct session *s = job->session;
	int rc = 0;
	if (!str_eq(s->notice, job->notice->id)) {
		*s = (struct session){0};
		snprintf(s->notice, sizeof(s->notice), "%.*s", ID_LEN, job->notice->id);
	}
	while (!rc && s->sent < e->n_to) {
		const char *to[] = {e->to[s->sent], NULL};
		auto_buf own = {0};
		auto_free char *id =
			mem_printf("%s.%zu@%s", job->notice->id, s->sent, strchr(e->from, '@') + 1);
		buf_add(&own, buf_str(text), text->len);
		email_links_add(job, e->links_url, to[0], &own);
		rc = mail_send(job, to, buf_str(&own), id, out_why);
		s->sent += rc == 0;
	}
	return rc;
}

static int email_send(const struct channel_job *job, struct channel_result *out UNUSED,
		      struct why *out_why)
{
	const struct email *e = job->channel->settings;
	const Healbus__Notice *n = job->notice;
	auto_buf text = {0}, links = {0};
	buf_add_printable(&text, n->text, strlen(n->text));
	if (e->links_url && email_links_add(job, e->links_url, e->to[0], &links))
		return links_send(job, &text, out_why);
	auto_free char *id = mem_printf("%s@%s", n->id, strchr(e->from, '@') + 1);
	return mail_send(job, (const char *const *)e->to, buf_str(&text), id, out_why);
}

const struct channel_kind channel_email = {
	.name = "email",
	.parse = email_parse,
	.release = email_release,
	.settings_size = sizeof(struct email),
	.open = session_open,
	.close = free,
	.send = email_send,
	.receive = email_receive,
	.answered = email_answered,
};
