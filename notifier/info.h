/* "More info": all that a person needs to decide about an approval. */
#ifndef NOTIFIER_INFO_H
#define NOTIFIER_INFO_H

#include "common/buf.h"
#include "common/stage.h"

/*
 * Appends it for an approval's full id: the question, what the diagnosis says, the edits, a dry run
 * if there was one, how it is taken back; at most RENDER_TEXT_MAX bytes, and what does not fit is
 * counted and named. ERR_NOT_FOUND. Blocks for a few bus requests; not the fold's thread.
 */
int info_text(struct stage *s, const char *approval, struct buf *out, struct why *out_why);

#endif
