/*
 * What of a Telegram channel changes while it runs: which updates were taken (each counts once,
 * also after a restart: it is noted on disk before it is acted on), and those that the webhook
 * brought and the channel's thread has not worked on yet. Any thread.
 */
#ifndef NOTIFIER_CHANNELS_TELEGRAM_INBOX_H
#define NOTIFIER_CHANNELS_TELEGRAM_INBOX_H

#include "common/err.h"

enum { INBOX_WAITING_MAX = 256, INBOX_KEPT = 512 };

struct telegram_inbox;

struct telegram_inbox *telegram_inbox_new(void);
void telegram_inbox_free(struct telegram_inbox *b);
/* Where it is noted; reads what is there. Only the first call counts. ERR_CORRUPT: the file is none
 * of ours (and says what to do), ERR_IO. */
int telegram_inbox_open(struct telegram_inbox *b, const char *path, struct why *out_why);

/* Takes an update: ERR_EXISTS when it was taken before, or is older than the INBOX_KEPT last ones;
 * ERR_IO when it could not be noted. Without an open file it is remembered in memory only. */
int telegram_inbox_take(struct telegram_inbox *b, int64_t update, struct why *out_why);
/* What getUpdates is to be asked from: one behind the highest taken; 0: anything. */
int64_t telegram_inbox_offset(struct telegram_inbox *b);

/* Puts a copy behind the others; ERR_BUSY: INBOX_WAITING_MAX wait already. */
int telegram_inbox_put(struct telegram_inbox *b, const char *text, size_t len);
/* The oldest, after at most timeout_ms; NULL: none. free() it. */
char *telegram_inbox_get(struct telegram_inbox *b, int64_t timeout_ms);

#endif
