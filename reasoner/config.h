/* The reasoner's configuration, reasoner.yaml. Immutable once loaded; a reload makes a new one. */
#ifndef REASONER_CONFIG_H
#define REASONER_CONFIG_H

#include "common/stage.h"
#include "reasoner/context/context.h"
#include "reasoner/knowledge.h"
#include "reasoner/models/models.h"
#include "reasoner/settings.h"

struct reasoner_config {
	struct stage_config stage;
	char *runbooks_dir;
	char *runbooks_local_dir;
	struct models_config models;
	char *failures_dir;
	char *specialists_file;
	struct context_config context;
	char *prompts_dir;
	char *prompts_local_dir;
	struct github_config github;
	int64_t diagnosis_workers;
	struct knowledge knowledge; /* loaded by reasoner_prepare_stage */
	struct settings cases;      /* its runbooks are loaded by reasoner_prepare */
};

extern const struct option_table reasoner_options;

/* For struct stage_core: what the fold needs, the runbooks. ERR_CONFIG with file:line. */
int reasoner_prepare(void *config, struct why *out_why);
/* For struct stage_def: the same and what diagnoses need, secrets included. */
int reasoner_prepare_stage(void *config, struct why *out_why);
void reasoner_unprepare(void *config);

#endif
