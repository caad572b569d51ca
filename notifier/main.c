#include "notifier/answer_rights.h"
#include "notifier/api.h"
#include "notifier/channel_poll.h"
#include "notifier/config.h"
#include "notifier/health_watch.h"
#include "notifier/notices.h"
#include "notifier/page.h"
#include "notifier/projection.h"

int main(int argc, char **argv)
{
	static const struct fold_def *const folds[] = {&notifier_fold};
	static const struct effect_def *const effects[] = {&notices_effect};
	static const struct stage_thread threads[] = {
		{"api-0", api_run},           {"api-1", api_run},
		{"api-2", api_run},           {"api-3", api_run},
		{"votes", votes_run},         {"poll-0", channel_poller_0},
		{"poll-1", channel_poller_1}, {"events", page_events_run},
		{"health", health_watch_run},
	};
	const struct stage_def def = {
		.name = "notifier",
		.summary = "keeps what people see, asks them, tells them, and answers healctl",
		.options = &notifier_options,
		.config_size = sizeof(struct notifier_config),
		.prepare = notifier_prepare,
		.folds = folds,
		.n_folds = ARRAY_SIZE(folds),
		.replica = notifier_replica,
		.effects = effects,
		.n_effects = ARRAY_SIZE(effects),
		.threads = threads,
		.n_threads = ARRAY_SIZE(threads),
		.routes = api_routes,
		.n_routes = api_routes_n,
		.authorize = page_authorize,
		.start = api_start,
		.stop = api_stop,
	};
	return stage_main(&def, argc, argv);
}
