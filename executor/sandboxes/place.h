/*
 * Where a cell is, when it is not on this machine's own sandbox: a plug-in each. Chosen for each
 * repository by its attribute `sandbox` ("docker"), which names a row here; what a row needs
 * to know comes from executor.yaml. All run a copy, limited as the cell says, without a network,
 * and give back an archive; none shares a directory with the host.
 */
#ifndef EXECUTOR_PLACE_H
#define EXECUTOR_PLACE_H

#include "executor/sandboxes/cell.h"

/* executor.yaml's `docker:`. */
struct docker_settings {
	char *socket; /* the engine's, absolute */
	char *image;  /* that runs cells: it has sh, sleep and what the checks need */
};

struct place_settings {
	struct docker_settings docker;
};

struct place {
	const char *name;
	/* Is what it needs configured? ERR_CONFIG names the key. */
	int (*check)(const struct place_settings *s, struct why *out_why);
	/* As cell_run. binds are refused: there is no host there. */
	void (*run)(const struct place_settings *s, const struct cell *c,
		    const struct sandbox_job *job, const struct run_limits *limits,
		    struct run_result *result);
};

extern const struct place place_docker;

/* NULL when unknown. */
const struct place *place_find(const char *name);

#endif
