/* Buttons that were pressed in Slack, and what is said to who pressed them. */
#include "common/log.h"
#include "notifier/channel_poll.h"
#include "notifier/channels/slack.h"

#include <poll.h>

enum { ROUND_MS = 1000, SAY_TIMEOUT_MS = 5000 };

static int verify(const struct slack *s, const struct channel_request *in, struct why *out_why)
{
	auto_secret key = {0};
	const struct interaction_request r = {
		.timestamp = in->header(in->ctx, "X-Slack-Request-Timestamp"),
		.signature = in->header(in->ctx, "X-Slack-Signature"),
		.body = in->body,
		.len = in->body_len,
		.now_ms = in->now_ms,
	};
	int rc = secret_read(&key, s->signing_secret_file, out_why);
	return rc ? rc : slack_verify(&r, &key, out_why);
}

/* A click on its way, and the request it came in, which lives as long as the reply. */
struct click {
	struct interaction i;
	const char *body;
	size_t body_len;
};

static void remember(const struct interaction *i, const struct channel_request *in,
		     struct channel_reply *out)
{
	struct click *kept = arena_alloc(&out->arena, sizeof(*kept));
	assert(kept);
	*kept = (struct click){*i, in->body, in->body_len};
	out->state = kept;
	out->give = true;
	out->in =
		(struct answer_in){.token = kept->i.value, .kind = "slack", .sender = kept->i.user};
}

int slack_receive(const struct channel *c, const struct channel_request *in,
		  struct channel_reply *out, struct why *out_why)
{
	const struct slack *s = c->settings;
	struct interaction i;
	if (!s->signing_secret_file)
		return why_set(out_why, ERR_NOT_FOUND, "no signing_secret_file: no clicks");
	if (!str_eq(in->method, "POST"))
		return why_set(out_why, ERR_NOT_FOUND, "nothing to read here");
	int rc = verify(s, in, out_why);
	if (!rc)
		rc = slack_interaction(in->body, in->body_len, &i, out_why);
	if (!rc && i.kind == INTERACTION_CLICK)
		rc = interaction_is_new(s->seen, i.id, in->now_ms, out_why);
	if (rc)
		return rc;
	out->content_type = "text/plain";
	if (i.kind == INTERACTION_CLICK)
		remember(&i, in, out);
	return 0;
}

static json_t *method(const char *name, json_t *body)
{
	return json_pack("{s:s,s:o}", "method", name, "body", body);
}

/* The text for chat.postEphemeral: only who pressed the button sees it. */
static json_t *say(const struct slack *s, const struct interaction *i, const char *text)
{
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	const struct chat_message m = {.notice = &n};
	auto_parts parts = {0};
	n.subject = (char *)"";
	n.text = (char *)text;
	slack_parts(&m, NULL, &parts);
	json_t *all = json_array();
	for (size_t p = 0; p < parts.n; p++) {
		json_t *body = parts.items[p];
		json_object_set_new(body, "channel", json_string(*i->place ? i->place : s->place));
		json_object_set_new(body, "user", json_string(i->user));
		if (*i->thread)
			json_object_set_new(body, "thread_ts", json_string(i->thread));
		json_array_append_new(all, method("chat.postEphemeral", json_incref(body)));
	}
	return all;
}

/* Buttons about an incident have done what they were there for. A question's go with the notice
 * that says how it was decided. */
static bool is_used_up(const struct interaction *i, const struct answer_out *what)
{
	enum answer_what asked;
	char subject[TOKEN_SUBJECT_SHOWN + 1];
	if (!token_read(i->value, &asked, subject))
		return false;
	return asked == ANSWER_ACK
		       ? str_eq(what->result, "acked")
		       : what->settled && (asked == ANSWER_HELD || asked == ANSWER_NOT_HELD);
}

void slack_answered(const struct channel *c, const struct answer_out *what,
		    struct channel_reply *reply)
{
	const struct slack *s = c->settings;
	const struct click *click = reply->state;
	json_t *all = say(s, &click->i, buf_str(&what->text));
	json_t *bare =
		is_used_up(&click->i, what) ? slack_bare(click->body, click->body_len) : NULL;
	if (bare)
		json_array_append_new(all, method("chat.update", bare));
	if (write(s->pipe[1], (const void *)&all, sizeof(all)) == sizeof(all))
		return;
	json_decref(all);
	LOG(WARN, "too many answers to show at once", S("channel", c->name));
}

/* ---- saying it ---- */

static void say_all(const struct channel *c, struct http_client *http, const json_t *all)
{
	struct channel_result out = {0};
	struct why why = {0};
	size_t i;
	const json_t *one;
	json_array_foreach(all, i, one)
	{
		auto_json *answer = NULL;
		const struct slack_method m = {c->settings,
					       json_string_value(json_object_get(one, "method")),
					       SAY_TIMEOUT_MS};
		if (slack_call(http, &m, json_object_get(one, "body"), &answer, &out, &why)) {
			LOG(WARN, "could not show an answer", S("channel", c->name),
			    S("why", why.text));
			return;
		}
	}
}

int slack_poll(struct stage *stage UNUSED, const struct channel *c, void **io_state,
	       struct why *out_why UNUSED)
{
	const struct slack *s = c->settings;
	struct pollfd f = {.fd = s->pipe[0], .events = POLLIN};
	json_t *all = NULL;
	if (poll(&f, 1, ROUND_MS) <= 0 || read(f.fd, (void *)&all, sizeof(all)) != sizeof(all))
		return 0;
	int rc = *io_state ? 0 : http_client_new((struct http_client **)io_state);
	if (!rc)
		say_all(c, *io_state, all);
	json_decref(all);
	return rc;
}

void slack_poll_end(void *state)
{
	http_client_free(state);
}

bool slack_polls(const struct channel *c)
{
	return ((const struct slack *)c->settings)->signing_secret_file != NULL;
}
