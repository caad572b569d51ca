#include "executor/sandboxes/place.h"

static const struct place *const rows[] = {&place_docker, &place_kubernetes, &place_truefoundry};

const struct place *place_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (str_eq(rows[i]->name, name))
			return rows[i];
	return NULL;
}
