/*
 * Characters that lie to a reader, and prose that must stay prose: what a model writes goes into
 * pull requests, chats and terminals, where markup would act. Layer: reasoner, pure, any thread.
 */
#ifndef REASONER_PLAIN_H
#define REASONER_PLAIN_H

#include "common/buf.h"
#include "common/mem.h"

/* Bidi controls, zero-width and invisible characters, tag characters, variation selectors, private
 * use, soft hyphen, line and paragraph separators. */
bool point_lies(uint32_t point);

/* Is there one in the text, or invalid UTF-8? */
bool text_lies(const char *s, size_t len);

/*
 * Prose as plain text into the arena, at most max bytes (a cut ends in "..."); one_line: line
 * breaks become blanks. Tags, links, images and mentions are disarmed: "<b" becomes "‹b", addresses
 * become
 * "(link)", "@name" and "#12" lose their sign. NULL when the arena is full.
 */
char *plain_prose(struct arena *arena, const char *s, size_t max, bool one_line);

#endif
