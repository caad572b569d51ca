/* Incidents that wait because too many plans are under way: in order, and none is dropped. */
#ifndef REASONER_QUEUE_H
#define REASONER_QUEUE_H

#include "reasoner/case.h"

bool queue_must_wait(struct desk *d);
int queue_put(struct desk *d, struct case_file *c);
void queue_remove(struct desk *d, struct case_file *c);
/* Gives waiting incidents their turn while there is room. Call after a plan ended. */
int queue_release(struct desk *d);

#endif
