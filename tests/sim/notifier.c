/* The notifier's fold as the simulation configures it. */
#include "common/yaml.h"
#include "notifier/projection.h"
#include "notifier/routing.h"
#include "tests/sim/sim.h"

static struct rules rules = {.retain_ms = INT64_C(90) * 24 * SIM_HOUR};

static const char routes[] =
	"receivers:\n  - {name: ops, channels: [chat], throttle: {limit: 4, per: 5m}}\n"
	"route: {receiver: ops, group_by: [service], group_wait: 5s, group_interval: 1m, "
	"repeat_interval: 0}\n";

const struct rules *rules_of(const void *config UNUSED)
{
	return &rules;
}

/* Its channel only hears. */
bool channel_answers(const void *config UNUSED, const char *channel UNUSED)
{
	return false;
}

void sim_notifier_setup(void)
{
	struct yaml_doc doc = {0};
	struct why why = {0};
	int rc = yaml_parse_text("routes", routes, sizeof(routes) - 1, &doc, &why);
	if (!rc)
		rc = receivers_parse(&rules.receivers, yaml_get(doc.root, "receivers"), &why);
	if (!rc)
		rc = route_parse(&rules.route, yaml_get(doc.root, "route"), &why);
	if (!rc)
		rc = rules_check(&rules, &why);
	yaml_release(&doc);
	if (rc) {
		fprintf(stderr, "routes: %s\n", why.text);
		exit(70);
	}
}

const struct fold_def *const sim_projection = &notifier_fold;
