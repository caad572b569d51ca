#include "common/cores.h"

#include "reasoner/cases.h"
#include "reasoner/config.h"

const struct stage_core reasoner_core = {
	.name = "reasoner",
	.options = &reasoner_options,
	.config_size = sizeof(struct reasoner_config),
	.prepare = reasoner_prepare,
	.unprepare = reasoner_unprepare,
	.fold = &cases_fold,
};
