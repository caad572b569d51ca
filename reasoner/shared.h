/* What the reasoner's threads share: stage_data(). */
#ifndef REASONER_SHARED_H
#define REASONER_SHARED_H

#include "common/stage.h"

struct memory_api;
struct models;

struct shared {
	struct memory_api *memory;
	struct models *models; /* NULL: none configured */
};

/* For struct stage_def. */
int shared_start(struct stage *s, struct why *out_why);
void shared_stop(struct stage *s);

#endif
