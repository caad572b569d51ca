/*
 * A notice as Discord's embeds and buttons. Pure. The text is between fences, the title without
 * markdown, and nobody is mentioned. Lengths are bytes, which are never fewer than the characters
 * that Discord counts.
 */
#ifndef NOTIFIER_DISCORD_RENDER_H
#define NOTIFIER_DISCORD_RENDER_H

#include "notifier/channels/chat.h"

enum {
	DISCORD_TITLE_MAX = 256,
	DISCORD_DESCRIPTION_MAX = 4096,
	DISCORD_EMBEDS_MAX = 6000, /* of all texts in one message */
	DISCORD_CONTENT_MAX = 2000,
	DISCORD_EPHEMERAL = 64,
};

/* Bodies for creating and editing messages, in order, at most parts_max (<= CHAT_PARTS_MAX); what
 * does not fit is pointed to. Without a subject it is only the text. */
void discord_parts(const struct chat_message *m, size_t parts_max, struct chat_parts *out);

#endif
