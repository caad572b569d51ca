/* What prompt.c (files, rendering, answers) and prompt_view.c share, and their test. */
#ifndef REASONER_PROMPT_PRIVATE_H
#define REASONER_PROMPT_PRIVATE_H

#include "reasoner/prompt/prompt.h"

/* A view with every field filled; new reference. */
json_t *prompt_sample(void);

#endif
