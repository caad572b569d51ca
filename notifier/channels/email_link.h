/*
 * Links in mails: each is made for one recipient and answers one question. Opening one shows what
 * would be done and a button; only the button (a POST) decides, for scanners of mail follow links.
 * Pure but for what answer_give does with it.
 */
#ifndef NOTIFIER_CHANNELS_EMAIL_LINK_H
#define NOTIFIER_CHANNELS_EMAIL_LINK_H

#include "notifier/channels/channel.h"

/* Appends the lines with the links for this recipient, spelled as in `people:`; false, and nothing,
 * when the notice asks nothing (any more). */
bool email_links_add(const struct channel_job *job, const char *links_url, const char *recipient,
		     struct buf *out);

/* struct channel_kind's hooks. GET ?t=TOKEN&i=TOKEN shows the page, POST t=TOKEN decides. */
int email_receive(const struct channel *c, const struct channel_request *in,
		  struct channel_reply *out, struct why *out_why);
void email_answered(const struct channel *c, const struct answer_out *what,
		    struct channel_reply *reply);

#endif
