/*
 * Where a cell is, when it is not on this machine's own sandbox: a plug-in each. Chosen for each
 * repository by its attribute `sandbox` ("docker"), which names a row here; what a row needs
 * to know comes from executor.yaml. All run a copy, limited as the cell says, without a network
 * (elsewhere than on this machine somebody else must see to that, and the configuration says that
 * he did), and give back an archive; none shares a directory with the host. When nothing ran, why
 * has "did not start"; when it was asked and nobody told what came of it, the run is unknown. In
 * both cases result's not_tried is set.
 */
#ifndef EXECUTOR_PLACE_H
#define EXECUTOR_PLACE_H

#include "executor/sandboxes/cell.h"

/* executor.yaml's `docker:`. */
struct docker_settings {
	char *socket; /* the engine's, absolute */
	char *image;  /* that runs cells: it has sh, sleep and what the checks need */
};

/* executor.yaml's `kubernetes:`. */
struct kubernetes_settings {
	char *url; /* of the API server */
	char *token_file, *ca_file;
	char *namespace;
	char *image;                         /* that runs cells: see parcel.h for what it has */
	char *node_selector, *runtime_class; /* NULL: none */
	int64_t start_timeout_ms;
	bool network_policy; /* the operator's word that its pods reach nothing */
};

/* executor.yaml's `truefoundry:`. */
struct truefoundry_settings {
	char *url; /* of the control plane */
	char *token_file, *ca_file;
	char *job; /* the application id of the deployed job */
	bool network_policy;
};

struct place_settings {
	struct docker_settings docker;
	struct kubernetes_settings kubernetes;
	struct truefoundry_settings truefoundry;
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
extern const struct place place_kubernetes;
extern const struct place place_truefoundry;

/* NULL when unknown. */
const struct place *place_find(const char *name);

#endif
