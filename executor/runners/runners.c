#include "executor/runners/runner.h"

static const struct runner *const runners[] = {&runner_command, &runner_http,   &runner_tcp,
					       &runner_git,     &runner_github, &runner_agent,
					       &runner_mcp};

const struct runner *runner_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(runners); i++)
		if (str_eq(runners[i]->name, name))
			return runners[i];
	return NULL;
}
