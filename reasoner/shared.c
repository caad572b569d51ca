#include "reasoner/shared.h"

#include "common/mem.h"
#include "reasoner/memory_api.h"

int shared_start(struct stage *s, struct why *out_why)
{
	struct shared *all = mem_alloc(sizeof(*all));
	int rc = memory_api_open(&all->memory, out_why);
	if (rc)
		free(all);
	else
		stage_set_data(s, all);
	return rc;
}

void shared_stop(struct stage *s)
{
	struct shared *all = stage_data(s);
	if (!all)
		return;
	memory_api_close(all->memory);
	free(all);
	stage_set_data(s, NULL);
}
