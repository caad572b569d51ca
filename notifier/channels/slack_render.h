/*
 * A notice as Slack's Block Kit. Pure. Everything from outside is in plain text or between fences,
 * with & < > as entities, so no formatting, link or mention can come out of it. A message holds at
 * most SLACK_MESSAGE_MAX bytes of text: Slack refuses longer ones as msg_blocks_too_long well below
 * what its limits for each block add up to. Lengths are bytes, which are never fewer than the
 * characters that Slack counts.
 */
#ifndef NOTIFIER_SLACK_RENDER_H
#define NOTIFIER_SLACK_RENDER_H

#include "notifier/channels/chat.h"

enum {
	SLACK_HEADER_MAX = 150,
	SLACK_SECTION_MAX = 3000,
	SLACK_SECTIONS_MAX = 4, /* of the text, in one message */
	SLACK_FALLBACK_MAX = 1000,
	SLACK_PLAIN_MAX = 12000, /* without blocks */
};

/* {"text", "blocks", ...} for chat.postMessage, chat.update and chat.postEphemeral, in order;
 * without a subject it is only the text. */
void slack_parts(const struct chat_message *m, const Healbus__ApprovalRequest *approval,
		 struct chat_parts *out);
/* The same for an incoming webhook: text only. */
void slack_plain_parts(const Healbus__Notice *n, struct chat_parts *out);

/* The error of an answer {"ok": false, "error": ...}; 0 when it is ok. */
int slack_answer(const json_t *answer, struct why *out_why);

#endif
