/* What was changed, and taking it back on a human's word. */
#ifndef REASONER_UNDO_H
#define REASONER_UNDO_H

#include "reasoner/case.h"

/* Keeps the changes of an outcome that can be undone. */
int changes_record(struct desk *d, const Healbus__Outcome *outcome);
/* Control UNDO: emits a plan that runs the change's rollback. ERR_INVALID when that is not
 * possible; the message then goes to dead.* with the reason. */
int undo_request(struct desk *d, const Healbus__Control *control);
/* Such a plan ended. */
int undo_ended(struct desk *d, const Healbus__Plan *plan, bool done, const char *reason);
/* TIMER_CHANGE. */
int change_forget(struct desk *d, const char *change);

#endif
