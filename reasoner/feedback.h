/* What a person says about a repair, some time after it. */
#ifndef REASONER_FEEDBACK_H
#define REASONER_FEEDBACK_H

#include "reasoner/case.h"

/* Control{FEEDBACK}: what did not hold is a failure of its specialist from now on, and is
 * remembered as one; what held is recalled before others. Unknown and forgotten incidents are fine.
 */
int feedback_apply(struct desk *d, const Healbus__Control *control);

#endif
