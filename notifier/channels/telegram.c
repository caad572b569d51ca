#include "notifier/channels/telegram.h"

#include "common/secret.h"
#include "notifier/channels/telegram_inbox.h"
#include "notifier/channels/telegram_poll.h"

/* ---- configuration ---- */

static int mode_parse(struct telegram *t, const struct yaml_node *node, struct why *out_why)
{
	static const char *const names[] = {"none", "poll", "webhook"};
	const struct yaml_node *updates = yaml_get(node, "updates");
	const char *text = "poll";
	int rc = updates ? yaml_str(updates, "updates", &text, out_why) : 0;
	if (rc)
		return rc;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_eq(names[i], text)) {
			t->mode = (enum telegram_mode)i;
			return 0;
		}
	}
	return yaml_error(updates, out_why, "updates: must be poll, webhook or none");
}

static bool chat_valid(const char *s)
{
	size_t len = strlen(s);
	if (*s == '@')
		return len > 1 && len <= 64 &&
		       strspn(s + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789_") == len - 1;
	s += *s == '-';
	return *s && strlen(s) <= 18 && strspn(s, "0123456789") == strlen(s);
}

static int check(const struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	const struct telegram *t = c->settings;
	if (!t->token_file || !t->chat_id || !chat_valid(t->chat_id))
		return yaml_error(
			node, out_why,
			"channels: %s: a telegram channel needs token_file and chat_id, a "
			"number (or @name, with updates: none)",
			c->name);
	if (*t->chat_id == '@' && t->mode != TELEGRAM_SEND_ONLY)
		return yaml_error(
			node, out_why,
			"channels: %s: answers from a chat by name are not taken: give its "
			"number, or updates: none",
			c->name);
	if ((t->mode == TELEGRAM_WEBHOOK) != (t->secret_file != NULL))
		return yaml_error(node, out_why,
				  "channels: %s: secret_file goes with updates: webhook, and the "
				  "other way round",
				  c->name);
	return 0;
}

static int telegram_parse(struct channel *c, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"token_file", "chat_id", "api_url",
					   "ca_file",    "updates", "secret_file"};
	struct telegram *t = c->settings;
	t->inbox = telegram_inbox_new();
	int rc = channel_keys(node, keys, ARRAY_SIZE(keys), out_why);
	rc = rc ? rc : channel_path(node, "token_file", &t->token_file, out_why);
	rc = rc ? rc : channel_str(node, "chat_id", &t->chat_id, out_why);
	rc = rc ? rc : channel_str(node, "api_url", &t->api_url, out_why);
	rc = rc ? rc : channel_path(node, "ca_file", &t->ca_file, out_why);
	rc = rc ? rc : channel_path(node, "secret_file", &t->secret_file, out_why);
	rc = rc ? rc : mode_parse(t, node, out_why);
	return rc ? rc : check(c, node, out_why);
}

static void telegram_release(void *settings)
{
	struct telegram *t = settings;
	free(t->token_file);
	free(t->chat_id);
	free(t->api_url);
	free(t->ca_file);
	free(t->secret_file);
	telegram_inbox_free(t->inbox);
}

/* ---- calls ---- */

/* It becomes part of an address. */
static bool token_ok(const struct secret *token)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-";
	const char *colon = token->data ? strchr(token->data, ':') : NULL;
	return colon && colon > token->data && colon[1] &&
	       strspn(token->data, "0123456789") == (size_t)(colon - token->data) &&
	       strspn(colon + 1, plain) == strlen(colon + 1);
}

static int judge(const struct telegram_call *call, const struct http_answer *a,
		 const json_t *answer, struct why *out_why)
{
	const char *text = json_string_value(json_object_get(answer, "description"));
	const json_t *parameters = json_object_get(answer, "parameters");
	int64_t retry_s = json_integer_value(json_object_get(parameters, "retry_after"));
	if (a->status == 200 && json_is_true(json_object_get(answer, "ok")))
		return 0;
	if (text && strstr(text, "message is not modified"))
		return 0;
	int rc = a->status == 200 ? ERR_UNAVAILABLE : http_status_err(a->status);
	*call->out_retry_ms = retry_s > 0 && retry_s < 3600 ? retry_s * 1000 : a->retry_after_ms;
	if (json_object_get(parameters, "migrate_to_chat_id"))
		return why_set(
			out_why, rc,
			"Telegram: the group has become a supergroup: set chat_id to "
			"%" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(parameters, "migrate_to_chat_id")));
	return why_set(out_why, rc, "Telegram: %ld %.200s", a->status, text ? text : "");
}

static int call_url(const struct telegram *t, const char *method, struct buf *out,
		    struct why *out_why)
{
	auto_secret token = {0};
	int rc = secret_read(&token, t->token_file, out_why);
	if (rc)
		return rc;
	if (!token_ok(&token))
		return why_set(out_why, ERR_CONFIG, "%s: not a bot's token (123456:AbC...)",
			       t->token_file);
	buf_printf(out, "%s/bot%s/%s", t->api_url ? t->api_url : TELEGRAM_API, token.data, method);
	return 0;
}

int telegram_call(const struct telegram_call *call, const char *method, const json_t *body,
		  json_t **out_result, struct why *out_why)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	struct http_answer a = {0};
	auto_buf url = {0};
	int rc = call_url(call->bot, method, &url, out_why);
	if (rc)
		return rc;
	auto_free char *text = json_dumps(body, JSON_COMPACT);
	struct http_call http = {
		.method = "POST",
		.url = buf_str(&url),
		.headers = headers,
		.body = text,
		.body_len = text ? strlen(text) : 0,
		.timeout_ms = call->timeout_ms,
		.ca_file = call->bot->ca_file,
	};
	rc = channel_call(call->http, &http, &a, out_why);
	if (url.data)
		explicit_bzero(url.data, url.len);
	json_t *answer = rc ? NULL : json_loadb(buf_str(&a.body), a.body.len, 0, NULL);
	if (!rc)
		rc = judge(call, &a, answer, out_why);
	if (!rc && out_result)
		*out_result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	http_answer_release(&a);
	return rc;
}

/* ---- sending ---- */

/* How far a notice of several messages got: a repeat goes on where it failed. */
struct session {
	char notice[ID_BYTES];
	size_t sent;
	int64_t first, last;
};

static int session_open(const struct channel *c UNUSED, void **out_session,
			struct why *out_why UNUSED)
{
	*out_session = mem_alloc(sizeof(struct session));
	return 0;
}

static void session_continue(struct session *s, const char *notice)
{
	if (str_eq(s->notice, notice))
		return;
	*s = (struct session){0};
	snprintf(s->notice, sizeof(s->notice), "%.*s", ID_LEN, notice);
}

static bool session_resumes(const void *session, const Healbus__Notice *n)
{
	const struct session *s = session;
	return s->sent && str_eq(s->notice, n->id);
}

static int part_send(const struct telegram_call *call, const json_t *body, int64_t *out_id,
		     struct why *out_why)
{
	json_t *message = NULL;
	int rc = telegram_call(call, "sendMessage", body, &message, out_why);
	*out_id = json_integer_value(json_object_get(message, "message_id"));
	json_decref(message);
	return rc;
}

static int parts_send(const struct channel_job *job, const struct telegram_call *call,
		      const struct telegram_parts *parts, struct why *out_why)
{
	struct session *s = job->session;
	int64_t root = 0, last, id;
	int rc = 0;
	telegram_ref_read(job->notice->update_of, &root, &last);
	while (!rc && s->sent < parts->n) {
		bool is_last = s->sent == parts->n - 1;
		json_t *body = telegram_message(call->bot->chat_id, &parts->items[s->sent],
						is_last ? telegram_keyboard(job) : NULL,
						s->first ? s->first : root);
		rc = part_send(call, body, &id, out_why);
		json_decref(body);
		if (rc)
			break;
		s->first = s->first ? s->first : id;
		s->last = id;
		s->sent++;
	}
	return rc;
}

/* ERR_NOT_FOUND: there is nothing to edit (any more). */
static int question_close(const struct channel_job *job, const struct telegram_call *call,
			  const struct telegram_parts *parts, struct why *out_why)
{
	int64_t first, last;
	struct why why = {0};
	if (!str_eq(job->notice->kind, "decided") ||
	    !telegram_ref_read(job->notice->update_of, &first, &last) || parts->n > 1)
		return ERR_NOT_FOUND;
	json_t *body = telegram_edit(call->bot->chat_id, last, &parts->items[0]);
	int rc = telegram_call(call, "editMessageText", body, NULL, &why);
	json_decref(body);
	if (rc == ERR_REJECTED)
		return ERR_NOT_FOUND; /* deleted, or too old to be edited */
	return rc ? why_set(out_why, rc, "%s", why.text) : 0;
}

static int telegram_send(const struct channel_job *job, struct channel_result *out,
			 struct why *out_why)
{
	struct session *s = job->session;
	struct telegram_call call = {
		.bot = job->channel->settings,
		.http = job->http,
		.timeout_ms = job->channel->timeout_ms,
		.out_retry_ms = &out->retry_ms,
	};
	auto_telegram_parts parts = {0};
	telegram_split(job->notice->subject, job->notice->text, &parts);
	session_continue(s, job->notice->id);
	int rc = question_close(job, &call, &parts, out_why);
	if (rc != ERR_NOT_FOUND)
		return rc;
	rc = parts_send(job, &call, &parts, out_why);
	out->partly = rc && s->sent;
	if (rc)
		return rc;
	telegram_ref(s->first, s->last, out->ref);
	*s = (struct session){0};
	return 0;
}

static bool telegram_polls(const struct channel *c)
{
	const struct telegram *t = c->settings;
	return t->mode != TELEGRAM_SEND_ONLY;
}

const struct channel_kind channel_telegram = {
	.name = "telegram",
	.parse = telegram_parse,
	.release = telegram_release,
	.settings_size = sizeof(struct telegram),
	.open = session_open,
	.close = free,
	.send = telegram_send,
	.resumes = session_resumes,
	.receive = telegram_receive,
	.poll = telegram_poll,
	.poll_end = telegram_poll_end,
	.polls = telegram_polls,
};
