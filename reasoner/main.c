#include "common/stage.h"
#include "reasoner/cases.h"
#include "reasoner/config.h"
#include "reasoner/inquiry.h"
#include "reasoner/memory/memory_api.h"
#include "reasoner/shared.h"

static const struct fold_def *const folds[] = {&cases_fold};

static const struct http_route routes[] = {MEMORY_ROUTES};
static const struct stage_thread threads[] = {MEMORY_THREADS};

static const struct effect_def *const effects[] = {&inquiry_effect};

static const struct stage_def reasoner = {
	.name = "reasoner",
	.summary = "answers incidents with plans from runbooks, and learns from what they led to",
	.options = &reasoner_options,
	.config_size = sizeof(struct reasoner_config),
	.prepare = reasoner_prepare_stage,
	.unprepare = reasoner_unprepare,
	.folds = folds,
	.n_folds = ARRAY_SIZE(folds),
	.effects = effects,
	.n_effects = ARRAY_SIZE(effects),
	.threads = threads,
	.n_threads = ARRAY_SIZE(threads),
	.routes = routes,
	.n_routes = ARRAY_SIZE(routes),
	.start = shared_start,
	.stop = shared_stop,
};

int main(int argc, char **argv)
{
	return stage_main(&reasoner, argc, argv);
}
