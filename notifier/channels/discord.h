/* Discord's two ways in, one kind: a webhook (told, and edited in place), or the API with a bot's
 * token (and with the application's public key buttons). Only for discord*.c. */
#ifndef NOTIFIER_DISCORD_H
#define NOTIFIER_DISCORD_H

#include "notifier/channels/chat_send.h"
#include "notifier/channels/discord_render.h"
#include "notifier/channels/interaction.h"

struct discord {
	struct channel_url url; /* the webhook; else what follows */
	char *token_file;
	char *place; /* the channel's id */
	char *api_url;
	bool clicks; /* public_key is there */
	uint8_t public_key[INTERACTION_KEY_BYTES];
	char *ca_file;
	struct interaction_seen *seen;
};

/* channel_kind's functions. */
int discord_receive(const struct channel *c, const struct channel_request *in,
		    struct channel_reply *out, struct why *out_why);
void discord_answered(const struct channel *c, const struct answer_out *what,
		      struct channel_reply *reply);

#endif
