/* What people say in a Telegram chat: buttons pressed and commands, each answered where it was. */
#ifndef NOTIFIER_CHANNELS_TELEGRAM_POLL_H
#define NOTIFIER_CHANNELS_TELEGRAM_POLL_H

#include "notifier/channels/channel.h"

/* struct channel_kind's hooks. The webhook only checks its secret and puts the update into the
 * inbox: the channel's thread works on it, as on what it polled. */
int telegram_receive(const struct channel *c, const struct channel_request *in,
		     struct channel_reply *out, struct why *out_why);
int telegram_poll(struct stage *s, const struct channel *c, void **io_state, struct why *out_why);
void telegram_poll_end(void *state);

#endif
