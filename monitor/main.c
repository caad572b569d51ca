#include "monitor/config.h"
#include "monitor/correlator.h"
#include "monitor/ingress.h"
#include "monitor/normaliser.h"
#include "monitor/record.h"
#include "monitor/relay.h"
#include "monitor/remediate.h"
#include "monitor/status.h"

static const struct stage_command commands[] = {
	{"record", "write streams of the bus into a file; see record --help", record_command},
	{"replay", "publish a recording again; see replay --help", replay_command},
};

static int start(struct stage *s, struct why *out_why)
{
	const struct monitor_config *c = stage_config_get(s);

	(void)out_why;
	stage_set_data(s, ingress_new((size_t)c->in_flight_max));
	stage_config_put(s, c);
	return 0;
}

static void stop(struct stage *s)
{
	ingress_free(stage_data(s));
}

static uint32_t partitions(const void *config)
{
	return ((const struct monitor_config *)config)->partition_set;
}

static const struct fold_def *const folds[] = {&correlator};
static const struct effect_def *const effects[] = {&normaliser, &relay};

static const struct stage_thread threads[] = {
	{"ingress", ingress_thread}, {"remediate", remediate_thread}, {"check-1", checks_thread},
	{"check-2", checks_thread},  {"check-3", checks_thread},      {"check-4", checks_thread},
};

static const struct http_route routes[] = {
	{
		.method = "POST",
		.path = "/webhook/*",
		.handler = ingress_webhook,
		.auth = HTTP_AUTH_HANDLER,
	},
	{.method = "POST", .path = "/api/remediate/ci-failure", .handler = remediate_ci_failure},
	{.method = "GET", .path = "/api/status", .handler = status_answer},
};

static const struct stage_def monitor = {
	.name = "monitor",
	.summary = "takes alerts in, runs checks, and folds both into incidents",
	.options = &monitor_option_table,
	.config_size = sizeof(struct monitor_config),
	.prepare = monitor_prepare,
	.unprepare = monitor_unprepare,
	.folds = folds,
	.n_folds = ARRAY_SIZE(folds),
	.partitions = partitions,
	.effects = effects,
	.n_effects = ARRAY_SIZE(effects),
	.background_nice = 10,
	.threads = threads,
	.n_threads = ARRAY_SIZE(threads),
	.routes = routes,
	.n_routes = ARRAY_SIZE(routes),
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
	.start = start,
	.stop = stop,
};

int main(int argc, char **argv)
{
	return stage_main(&monitor, argc, argv);
}
