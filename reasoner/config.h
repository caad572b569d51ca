/* The reasoner's configuration, reasoner.yaml. Immutable once loaded; a reload makes a new one. */
#ifndef REASONER_CONFIG_H
#define REASONER_CONFIG_H

#include "common/stage.h"
#include "reasoner/context/context.h"
#include "reasoner/models/models.h"
#include "reasoner/settings.h"

struct prompts;

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
	struct prompts *prompts; /* NULL without models */
	struct settings cases;   /* its runbooks are loaded by reasoner_prepare */
};

extern const struct option_table reasoner_options;

/* For struct stage_def. Loads the runbooks, and the prompts when there are models; ERR_CONFIG with
 * file:line. */
int reasoner_prepare(void *config, struct why *out_why);
void reasoner_unprepare(void *config);

#endif
