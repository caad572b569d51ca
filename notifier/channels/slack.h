/* Slack's two ways in, one kind: an incoming webhook (told only), or the Web API with a bot's token
 * (threads, edits, and with a signing secret buttons). Only for slack*.c. */
#ifndef NOTIFIER_SLACK_H
#define NOTIFIER_SLACK_H

#include "notifier/channels/chat_send.h"
#include "notifier/channels/interaction.h"
#include "notifier/channels/slack_render.h"

struct slack {
	struct channel_url url; /* the incoming webhook; else what follows */
	char *token_file;
	char *place; /* the channel's id */
	char *api_url;
	char *signing_secret_file; /* NULL: no clicks are taken */
	char *ca_file;
	struct interaction_seen *seen;
	/*
	 * Texts for one person on their way from the thread that took the click, which must answer
	 * within three seconds, to the one that sends: pointers to JSON arrays in a pipe, which
	 * wakes and is as long as it may get. Valid when `piped`.
	 */
	int pipe[2];
	bool piped;
};

/* channel_kind's functions. */
int slack_api_send(const struct channel_job *job, struct channel_result *out, struct why *out_why);
int slack_receive(const struct channel *c, const struct channel_request *in,
		  struct channel_reply *out, struct why *out_why);
void slack_answered(const struct channel *c, const struct answer_out *what,
		    struct channel_reply *reply);
int slack_poll(struct stage *s, const struct channel *c, void **io_state, struct why *out_why);
void slack_poll_end(void *state);
bool slack_polls(const struct channel *c);

/* Calls a method of the Web API with a JSON body; what it answered in *out_answer, the caller's. */
struct slack_method {
	const struct slack *slack;
	const char *name; /* "chat.postMessage" */
	int64_t timeout_ms;
};
int slack_call(struct http_client *http, const struct slack_method *m, const json_t *body,
	       json_t **out_answer, struct channel_result *out, struct why *out_why);

#endif
