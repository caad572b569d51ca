#include "common/stage.h"
#include "reasoner/cases.h"
#include "reasoner/config.h"

static const struct fold_def *const folds[] = {&cases_fold};

static const struct stage_def reasoner = {
	.name = "reasoner",
	.summary = "answers incidents with plans from runbooks, and learns from what they led to",
	.options = &reasoner_options,
	.config_size = sizeof(struct reasoner_config),
	.prepare = reasoner_prepare,
	.unprepare = reasoner_unprepare,
	.folds = folds,
	.n_folds = ARRAY_SIZE(folds),
};

int main(int argc, char **argv)
{
	return stage_main(&reasoner, argc, argv);
}
