#include "monitor/config.h"

#include <ctype.h>

static const struct option options[] = {
	STAGE_OPTIONS(struct monitor_config, "monitor", "127.0.0.1:9095"),
	OPT_TREE(struct monitor_config, sources, "sources", sources_parse, sources_release,
		 "Map of source name to {format, map or map_file, token_file, hmac_file, "
		 "hmac_header, rate, burst, trusted, resolve_timeout}. Built in: alertmanager, "
		 "cloudevents, event, github. Shipped mappings need no entry."),
	OPT_PATH(struct monitor_config, sources_dir, "sources_dir", SOURCES_DIR_DEFAULT,
		 "Directory of the shipped jq mappings, one YAML file a source."),
	OPT_INT(struct monitor_config, rate, "rate", "10000", 1, 1000000,
		"Bodies a second that one source may post; more get 429. A source may set its "
		"own."),
	OPT_INT(struct monitor_config, burst, "burst", "20000", 1, 1000000,
		"Bodies that one source may post at once on top of its rate."),
	OPT_INT(struct monitor_config, in_flight_max, "in_flight_max", "1024", 1, 8192,
		"Bodies that may wait for the stream's acknowledgement; more get 503."),
	OPT_DURATION(struct monitor_config, ack_timeout_ms, "ack_timeout", "5s", 100, 60000,
		     "How long a body waits for the stream's acknowledgement before it gets 503."),
	OPT_DURATION(struct monitor_config, repeat_window_ms, "repeat_window", "1m", 0, 600000,
		     "A body that repeats only what the stream acknowledged less than this ago is "
		     "answered without storing it again (at most a quarter of resolve_timeout). 0: "
		     "every body is stored."),
	OPT_INT(struct monitor_config, normaliser_workers, "normaliser.workers", "1", 1, 16,
		"Threads that turn raw bodies into events."),
	OPT_STRING(
		struct monitor_config, partitions, "partitions", "0-15",
		"Partitions (0 to 15) that this process folds into incidents, such as 0-3,8: "
		"several monitors share them out, each partition to one of them. Read at start."),
	OPT_TREE(struct monitor_config, rules.partition_by, "partition_by", names_parse,
		 names_release,
		 "Labels, the first one an alert has chooses its partition: service, repository, "
		 "instance (its host), else the alert's name. Alerts of two partitions never share "
		 "an incident."),
	OPT_TREE(struct monitor_config, rules.group_by, "group_by", names_parse, names_release,
		 "Labels on which the alerts of one incident agree; a missing one counts as empty. "
		 "Default: alertname, service."),
	OPT_DURATION(struct monitor_config, rules.group_wait_ms, "group_wait", "1s", 0, 3600000,
		     "How long a new incident gathers alerts before it is told."),
	OPT_DURATION(struct monitor_config, rules.group_interval_ms, "group_interval", "30s", 0,
		     86400000,
		     "Changes of an open incident are told at most this often; a higher severity "
		     "and its end at once."),
	OPT_DURATION(struct monitor_config, rules.resolve_timeout_ms, "resolve_timeout", "4h", 1000,
		     2592000000,
		     "An alert without a repeat for so long counts as resolved. Not for sources "
		     "that say so themselves (alertmanager, event, check)."),
	OPT_DURATION(struct monitor_config, rules.retention_ms, "retention", "72h", 60000,
		     2592000000, "How long finished alerts and incidents are remembered."),
	OPT_DURATION(struct monitor_config, rules.cooldown_ms, "cooldown", "0s", 0, 86400000,
		     "After an incident is resolved, its return is told only when so long has "
		     "passed."),
	OPT_INT(struct monitor_config, rules.flap_threshold, "flap_threshold", "5", 0,
		FLAP_OPENS_MAX - 1,
		"An incident that opens more often than this within flap_window is flapping: told "
		"once, then suppressed. 0: never."),
	OPT_DURATION(struct monitor_config, rules.flap_window_ms, "flap_window", "10m", 1000,
		     86400000, "See flap_threshold."),
	OPT_DURATION(struct monitor_config, rules.flap_quiet_ms, "flap_quiet", "10m", 1000,
		     86400000, "Without a change for so long, a flapping incident is told again."),
	OPT_INT(struct monitor_config, rules.storm_threshold, "storm_threshold", "20", 0, 1000000,
		"When one partition opens more incidents than this within storm_window, further "
		"ones fold into one incident per alert name. 0: never."),
	OPT_DURATION(struct monitor_config, rules.storm_window_ms, "storm_window", "1m", 1000,
		     86400000, "See storm_threshold."),
	OPT_TREE(struct monitor_config, rules.inhibit, "inhibit_rules", inhibit_parse,
		 inhibit_release,
		 "List of {source_matchers, target_matchers, equal}: while an alert that matches "
		 "the source fires, those that match the target and agree on `equal` are muted. "
		 "`equal` must hold the first partition_by label."),
	OPT_TREE(struct monitor_config, rules.mutes, "mute_time_intervals", mutes_parse,
		 mutes_release,
		 "List of {name, matchers, time_intervals: [{times, weekdays, days_of_month, "
		 "months, location}]}; location is UTC, a fixed offset such as \"+02:00\", or a "
		 "rule such as "
		 "CET-1CEST,M3.5.0,M10.5.0/3 (the last line of /usr/share/zoneinfo/NAME)."),
	OPT_PATH(struct monitor_config, github_secret_file, "github.secret_file", NULL,
		 "Secrets of GitHub's webhooks, one a line: a delivery is signed with any of them "
		 "(X-Hub-Signature-256), so that one can be replaced. Without it every delivery "
		 "gets 401."),
	OPT_BOOL(struct monitor_config, github_insecure, "github.insecure", "false",
		 "Without a secret, take deliveries that nobody signed. They are trusted from this "
		 "machine only, and from elsewhere never lead to automatic action."),
	OPT_TREE(struct monitor_config, rules.github.repositories, "github.repositories",
		 names_parse, names_release,
		 "Globs such as octo-org/*: deliveries of other repositories are ignored. None: "
		 "every "
		 "repository that signs with the secret; where anything may be changed, the "
		 "executor's inventory says."),
	OPT_TREE(
		struct monitor_config, rules.github.allow_bots, "github.allow_bots", names_parse,
		names_release,
		"Logins such as dependabot[bot] whose failures open incidents. Those of other bots "
		"are ignored, and no bot commands."),
	OPT_TREE(struct monitor_config, rules.github.commanders, "github.commanders", names_parse,
		 names_release,
		 "Logins that may command (/heal) besides owners, members and collaborators."),
	OPT_TREE(struct monitor_config, rules.github.failures, "github.failures", names_parse,
		 names_release,
		 "Conclusions that open an incident. Default: failure, timed_out, startup_failure; "
		 "action_required may be added."),
	OPT_STRING(struct monitor_config, rules.github.own_login, "github.own_login", NULL,
		   "The login that healbus pushes with, such as healbus[bot]: its pushes are not a "
		   "person's."),
	OPT_STRING(struct monitor_config, rules.github.skip_marker, "github.skip_marker",
		   "[skip-heal]", "A head commit whose message has this opens nothing."),
	OPT_STRING(struct monitor_config, rules.github.fix_prefix, "github.fix_prefix", "fix/",
		   "How the branches begin that healbus makes: what fails there belongs to the "
		   "incident that the commit's Healbus-Incident line names."),
	OPT_DURATION(struct monitor_config, github_once_ms, "github.replay_window", "30d", 3600000,
		     31622400000,
		     "A delivery that comes again within this time, under whatever id, has no "
		     "effect: GitHub's signature holds no time."),
	OPT_DURATION(struct monitor_config, github_reopen_ms, "github.dedup_window", "10m", 0,
		     86400000,
		     "A branch that fails again within this time after its incident ended goes on "
		     "with that incident, and with what was tried in it."),
	OPT_DURATION(
		struct monitor_config, remediate_wait_ms, "remediate_wait", "5s", 0, 60000,
		"How long POST /api/remediate/ci-failure waits for a diagnosis before it answers "
		"without."),
	OPT_TREE(struct monitor_config, checks, "checks", checks_parse, checks_release,
		 "List of {name, type: http, tcp, command or tls, interval, timeout, failures, "
		 "successes, repeat, severity, summary, service, instance, labels} and, by type, "
		 "{url, status, contains, ca_file}, {host, port}, {command}, {host, port, "
		 "server_name, ca_file, days}."),
};

const struct option_table monitor_option_table = {
	.file = "monitor.yaml",
	.env_prefix = "HEALBUS_MONITOR_",
	.rows = options,
	.n = ARRAY_SIZE(options),
};

const struct rules *monitor_rules(const void *config)
{
	return &((const struct monitor_config *)config)->rules;
}

static void names_default(struct names *names, const char *const *defaults, size_t n)
{
	if (names->n)
		return;
	names->items = mem_calloc(n, sizeof(*names->items));
	for (size_t i = 0; i < n; i++)
		names->items[names->n++] = mem_strdup(defaults[i]);
}

static void timeouts_fill(struct monitor_config *c)
{
	struct rules *r = &c->rules;

	r->timeouts = mem_calloc(c->sources.n + 1, sizeof(*r->timeouts));
	for (size_t i = 0; i < c->sources.n; i++) {
		const struct source *s = &c->sources.items[i];

		if (s->resolve_timeout_ms < 0 && !s->format->resolves)
			continue;
		r->timeouts[r->n_timeouts++] =
			(struct source_timeout){s->name, MAX(s->resolve_timeout_ms, 0)};
	}
}

static void groupings_fill(struct monitor_config *c)
{
	struct rules *r = &c->rules;

	r->groupings = mem_calloc(c->sources.n + 1, sizeof(*r->groupings));
	for (size_t i = 0; i < c->sources.n; i++) {
		const struct source *s = &c->sources.items[i];

		if (s->format == &format_github)
			r->groupings[r->n_groupings++] = (struct source_grouping){
				.source = s->name,
				.by = s->format->group_by,
				.once_ms = c->github_once_ms,
				.reopen_ms = c->github_reopen_ms,
			};
	}
}

/* Reads a number below PARTITIONS and moves past it. */
static bool partition_read(const char **at, unsigned *out)
{
	char *end = NULL;
	unsigned long n = isdigit((unsigned char)**at) ? strtoul(*at, &end, 10) : PARTITIONS;

	if (n >= PARTITIONS)
		return false;
	*out = (unsigned)n;
	*at = end;
	return true;
}

static bool range_read(const char **at, uint32_t *set)
{
	unsigned first, last;

	if (!partition_read(at, &first))
		return false;
	last = first;
	if (**at == '-') {
		++*at;
		if (!partition_read(at, &last) || last < first)
			return false;
	}
	for (unsigned p = first; p <= last; p++)
		*set |= UINT32_C(1) << p;
	return true;
}

int partitions_parse(const char *text, uint32_t *out, struct why *out_why)
{
	uint32_t set = 0;
	const char *at = text;
	bool good = range_read(&at, &set);

	while (good && *at == ',') {
		at++;
		good = range_read(&at, &set);
	}
	if (!good || *at)
		return why_set(out_why, ERR_CONFIG, "partitions: \"%.40s\" is not like 0-3,8",
			       text);
	*out = set;
	return 0;
}

/* Repeats must come through often enough for what waits for them. */
static void repeats_fill(struct monitor_config *c)
{
	static _Atomic uint64_t generations;

	c->generation = atomic_fetch_add(&generations, 1) + 1;
	for (size_t i = 0; i < c->sources.n; i++) {
		struct source *s = &c->sources.items[i];
		int64_t timeout_ms = rules_alert_timeout_ms(&c->rules, s->name);

		s->grain_ms = rules_grain_ms(&c->rules, s->name);
		s->repeat_ms = MIN(c->repeat_window_ms, timeout_ms / 4);
	}
}

int monitor_prepare(void *config, struct why *out_why)
{
	static const char *const partition_by[] = {"service", "repository", "instance"};
	static const char *const group_by[] = {"alertname", "service"};
	static const char *const failures[] = {"failure", "timed_out", "startup_failure"};
	struct monitor_config *c = config;
	int rc;

	names_default(&c->rules.partition_by, partition_by, ARRAY_SIZE(partition_by));
	names_default(&c->rules.group_by, group_by, ARRAY_SIZE(group_by));
	names_default(&c->rules.github.failures, failures, ARRAY_SIZE(failures));
	rc = partitions_parse(c->partitions, &c->partition_set, out_why);
	if (!rc)
		rc = inhibit_check(&c->rules.inhibit, &c->rules.partition_by, out_why);
	if (!rc)
		rc = sources_complete(c, out_why);
	if (rc)
		return rc;
	timeouts_fill(c);
	groupings_fill(c);
	repeats_fill(c);
	return 0;
}

void monitor_unprepare(void *config)
{
	struct monitor_config *c = config;

	free(c->rules.timeouts);
	c->rules.timeouts = NULL;
	c->rules.n_timeouts = 0;
	free(c->rules.groupings);
	c->rules.groupings = NULL;
	c->rules.n_groupings = 0;
}

const struct source *source_find(const struct monitor_config *c, const char *name)
{
	for (size_t i = 0; i < c->sources.n; i++) {
		if (str_eq(c->sources.items[i].name, name))
			return &c->sources.items[i];
	}
	return NULL;
}

void sources_print(const struct monitor_config *c, bool all, struct buf *out)
{
	for (size_t i = 0; i < c->sources.n; i++) {
		if (c->sources.items[i].internal && !all)
			continue;
		buf_printf(out, "%s%s", out->len ? ", " : "", c->sources.items[i].name);
	}
}
