/* Bodies of GitHub's webhooks; the first byte chooses which event the header says it is. What is
 * read must be Events that may go on the bus; what is not, must say why. */
#include "monitor/config.h"
#include "tests/fuzz/fuzz.h"

static const char *const events[] = {
	"workflow_job",
	"workflow_run",
	"check_run",
	"check_suite",
	"status",
	"push",
	"delete",
	"merge_group",
	"pull_request",
	"pull_request_review",
	"issue_comment",
	"dependabot_alert",
	"repository_vulnerability_alert",
	"code_scanning_alert",
	"secret_scanning_alert",
	"ping",
};

static struct monitor_config config;

static const char *environment(const char *name)
{
	return str_eq(name, "HEALBUS_MONITOR_SOURCES_DIR") ? "monitor/sources" : NULL;
}

static void prepare(void)
{
	struct why why = {0};
	int rc = config_load(&monitor_option_table, "/nonexistent", environment, &config, &why);
	rc = rc ? rc : monitor_prepare(&config, &why);
	if (rc)
		fprintf(stderr, "%s\n", why.text);
	MUST(rc == 0);
}

static void check(const struct reading *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const Healbus__Event *e = r->events[i];
		struct why why = {0};
		if (wire_check(KIND_EVENT, &e->base, &why)) {
			fprintf(stderr, "event %zu: %s\n", i, why.text);
			abort();
		}
		/* No bot commands, and nothing both fires and commands. */
		MUST(!e->command || !e->status);
		MUST(!e->covers || e->status == HEALBUS__STATUS__STATUS_RESOLVED);
		MUST(label_get(e->labels, e->n_labels, "repository"));
	}
	MUST(!r->refused || r->refused_why.text[0]);
	MUST(r->n <= 1 && (r->n || r->refused || r->ignored));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t row = fuzz_take(&data, &size) % ARRAY_SIZE(events);
	struct arena arena = {0};
	struct why why = {0};
	if (!config.sources.n)
		prepare();
	struct reading r = {.source = "github",
			    .rules = &config.rules,
			    .data = data,
			    .len = size,
			    .kind = events[row],
			    .trusted = true,
			    .raw_id = "raw-1",
			    .time_ms = INT64_C(1790000000000),
			    .arena = &arena};
	if (reading_run(&r, &format_github, &why))
		MUST(why.text[0]);
	else
		check(&r);
	reading_release(&r);
	arena_release(&arena);
	return 0;
}
