/* The monitor's fold as the simulation configures it. Linked with the monitor's own objects into
 * one, whose only visible names begin with sim_. */
#include "monitor/correlator.h"
#include "monitor/rules.h"
#include "tests/sim/sim.h"

static char *const group_by[] = {(char *)(uintptr_t) "alertname", (char *)(uintptr_t) "service"};

static const struct rules rules = {
	.group_by = {(char **)(uintptr_t)group_by, ARRAY_SIZE(group_by)},
	.group_wait_ms = SIM_GROUP_WAIT_MS,
	.group_interval_ms = 10 * SIM_SECOND,
	.resolve_timeout_ms = 30 * SIM_MINUTE,
	.retention_ms = 12 * SIM_HOUR,
	.flap_threshold = 3,
	.flap_window_ms = 10 * SIM_MINUTE,
	.flap_quiet_ms = SIM_MINUTE,
};

const struct rules *monitor_rules(const void *config UNUSED)
{
	return &rules;
}

const struct fold_def *const sim_correlator = &correlator;

uint32_t sim_one_partition(const void *config UNUSED)
{
	return 1;
}
