/* The reasoner's fold as the simulation configures it, with two runbooks. */
#include "reasoner/cases.h"
#include "reasoner/runbook/runbook.h"
#include "reasoner/settings.h"
#include "tests/sim/sim.h"

#include <sys/stat.h>

enum { MAX_ATTEMPTS = 3 };

/* Alerts are named after the targets that answer them: auto-1, ask-1, ... */
static const char runbook[] =
	"name: act\ndescription: act\nmatch: ['alertname!=\"none\"']\n"
	"target: '{{ .labels.alertname }}'\nmax_attempts: 3\ncooldown: 5s\n"
	"effective_window: 5m\nresolve_within: 1m\nconfidence: 0.8\nattempts:\n"
	"  - why: 'act on {{ .target }}'\n"
	"    steps:\n      - tool: act\n        params: {run: 's1'}\n"
	"  - why: 'act twice on {{ .target }}'\n    rollback_on_failure: true\n"
	"    steps:\n      - tool: act\n        params: {run: 's1'}\n"
	"      - tool: act\n        params: {run: 's2'}\n"
	"        verify: {tool: look, deadline: 3s, interval: 1s}\n";

static struct settings settings = {
	.plan_ttl_ms = 10 * SIM_MINUTE,
	.outcome_grace_ms = 5 * SIM_MINUTE,
	.ineffective_limit = 3,
	.max_open_plans = 2,
	.case_retain_ms = INT64_C(7) * 24 * SIM_HOUR,
	.change_retain_ms = INT64_C(30) * 24 * SIM_HOUR,
};

const struct settings *settings_of(const void *config UNUSED)
{
	return &settings;
}

unsigned sim_max_attempts(void)
{
	return MAX_ATTEMPTS;
}

void sim_reasoner_setup(const char *dir)
{
	struct why why = {0};
	auto_free char *runbooks = mem_printf("%s/runbooks", dir);
	auto_free char *path = mem_printf("%s/act.yaml", runbooks);
	const char *dirs[] = {runbooks};
	mkdir(runbooks, 0700);
	FILE *f = fopen(path, "w");
	if (!f || fputs(runbook, f) < 0 || fclose(f))
		abort();
	if (runbooks_load(dirs, 1, &settings.runbooks, &why)) {
		fprintf(stderr, "runbooks: %s\n", why.text);
		exit(70);
	}
}

const struct fold_def *const sim_cases = &cases_fold;
