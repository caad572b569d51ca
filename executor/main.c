#include "common/clock.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/metrics.h"
#include "common/stage.h"
#include "executor/backup.h"
#include "executor/decision.h"
#include "executor/executor.h"
#include "executor/mcp/mcp.h"
#include "executor/mcp/mcp_pin.h"
#include "executor/report.h"
#include "executor/retain.h"
#include "executor/sandboxes/launcher.h"
#include "executor/sandboxes/sandbox.h"
#include "executor/workspace.h"

static struct metric sandbox_metric =
	METRIC_GAUGE("healbus_executor_sandbox",
		     "1 for the strength found at start: full, landlock or none.", "level");
static struct metric tools_metric =
	METRIC_GAUGE("healbus_executor_tools", "Tools in the catalogue.");
static struct metric audit_metric =
	METRIC_GAUGE("healbus_executor_audit_intact", "1 when the audit chain was whole at start.");

/* What the process has for as long as it lives. */
struct life {
	struct journal *journal;
	struct holder *holder;
	struct mcp *mcp;
};

static struct journal *life_journal(struct stage *s)
{
	return ((const struct life *)stage_data(s))->journal;
}

/* ---- workers ---- */

static bool worker_sleep(void *ctx, int64_t ms)
{
	return stage_sleep(ctx, ms);
}

static int worker_open(struct stage *s, void **out_worker, struct why *out_why)
{
	struct http_client *http = NULL;
	(void)s;
	int rc = http_client_new(&http);
	if (rc)
		return why_set(out_why, rc, "http client");
	*out_worker = http;
	return 0;
}

static void worker_close(void *worker)
{
	http_client_free(worker);
}

static struct executor worker_view(struct stage *s, void *worker)
{
	const struct life *life = stage_data(s);
	return (struct executor){.bus = stage_bus(s),
				 .journal = life->journal,
				 .holder = life->holder,
				 .http = worker,
				 .config = stage_config_get(s),
				 .boot = stage_boot(s),
				 .instance = stage_instance(s),
				 .sleep = worker_sleep,
				 .sleep_ctx = s};
}

static void settle(struct stage *s, struct effect_job *job, enum plan_end end, int64_t wait_ms,
		   const struct why *wait)
{
	if (journal_is_broken(life_journal(s))) {
		LOG(ERROR, "the journal's disk failed: stopping", S("why", wait->text));
		stage_give_up(s);
	}
	job->verdict = end == PLAN_SETTLED ? DONE : RETRY;
	if (end == PLAN_SETTLED)
		return;
	job->retry_ms = wait_ms;
	job->why = *wait;
}

static void handle_plan(struct stage *s, void *worker, struct effect_job *job)
{
	struct executor ex = worker_view(s, worker);
	struct plan_run run = {.ex = &ex,
			       .arena = job->arena,
			       .plan = (const Healbus__Plan *)job->msg,
			       .cause = job->id,
			       .seq = job->seq,
			       .first = job->delivered == 1,
			       .again = job->again};
	plan_run_init(&run, job->data, job->len);
	enum plan_end end = plan_arrived(&run);
	settle(s, job, end, run.wait_ms, &run.wait);
	plan_run_release(&run);
	stage_config_put(s, ex.config);
}

static void handle_plans(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		handle_plan(s, worker, &jobs[i]);
}

static void handle_decision(struct stage *s, void *worker, struct effect_job *job)
{
	struct executor ex = worker_view(s, worker);
	struct decision_job d = {.ex = &ex,
				 .arena = job->arena,
				 .decision = (const Healbus__Decision *)job->msg,
				 .id = job->id,
				 .time_ms = job->time_ms};
	enum plan_end end = decision_arrived(&d);
	settle(s, job, end, d.wait_ms, &d.wait);
	stage_config_put(s, ex.config);
}

static void handle_decisions(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		handle_decision(s, worker, &jobs[i]);
}

static const struct effect_def plans_effect = {
	.consumer = "plans",
	.workers_offset = offsetof(struct executor_config, workers),
	.open = worker_open,
	.close = worker_close,
	.handle = handle_plans,
};

static const struct effect_def decisions_effect = {
	.consumer = "decisions",
	.workers_offset = offsetof(struct executor_config, workers),
	.open = worker_open,
	.close = worker_close,
	.handle = handle_decisions,
};

/* ---- saying what we are: liveness and catalogue ---- */

static void say_catalogue(struct stage *s, const struct catalogue *cat, char last[static ID_BYTES])
{
	struct arena arena = {0};
	struct why why = {0};
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1], id[ID_BYTES];
	auto_buf packed = {0};
	Healbus__Control *c = catalogue_control(cat, &arena);
	wire_pack(&c->base, &packed);
	digest_sha256(packed.data, packed.len, digest);
	hex_encode(digest, sizeof(digest), hex);
	id_make(id, "catalogue", hex);
	if (!str_eq(id, last)) {
		c->id = id;
		c->by = (char *)"executor";
		c->executor = (char *)stage_instance(s);
		SET(c, at_ms, clock_real_ms());
		metric_set(&tools_metric, (double)catalogue_size(cat));
		int rc = stage_publish(s, KIND_CONTROL, "catalogue", &c->base, id, NULL,
				       clock_real_ms(), REPORT_TIMEOUT_MS, NULL, &why);
		if (rc == 0)
			memcpy(last, id, ID_BYTES);
		else
			LOG(WARN, "catalogue not published yet", S("why", why.text));
	}
	arena_release(&arena);
}

/* Also sees a reload: the catalogue's digest has changed. */
static void run_beat(struct stage *s)
{
	char last[ID_BYTES] = "";
	const struct journal *j = life_journal(s);
	do {
		struct why why = {0};
		const struct executor_config *config = stage_config_get(s);
		if (live_beat(stage_bus(s), stage_boot(s), journal_owner(j), &why))
			LOG(DEBUG, "liveness not said", S("why", why.text));
		say_catalogue(s, config->catalogue, last);
		stage_config_put(s, config);
	} while (!stage_sleep(s, LIVE_BEAT_MS));
}

/* ---- forgetting what is old ---- */

static void run_retain(struct stage *s)
{
	int64_t wait_ms = RETAIN_FIRST_MS;
	while (!stage_sleep(s, wait_ms)) {
		struct retained done;
		struct why why = {0};
		struct executor ex = worker_view(s, NULL);
		int rc = retain(&ex, clock_real_ms(), &done, &why);
		stage_config_put(s, ex.config);
		if (rc)
			LOG(WARN, "the journal's old part is kept for now", S("why", why.text));
		if (done.forgotten + done.cut > 0)
			LOG(INFO, "old parts of the journal removed", I("steps", done.forgotten),
			    I("audit_records", done.cut));
		if (done.audit_broken)
			LOG(ERROR, "the audit chain is broken, so none of it is cut off");
		wait_ms = RETAIN_EVERY_MS;
	}
}

/* ---- MCP ---- */

static struct mcp *life_mcp(struct stage *s)
{
	return ((const struct life *)stage_data(s))->mcp;
}

static void run_mcp(struct stage *s)
{
	mcp_run(life_mcp(s));
}

static void on_mcp_post(void *ctx, struct http_request *req)
{
	mcp_on_post(life_mcp(ctx), req);
}

static void on_mcp_get(void *ctx, struct http_request *req)
{
	mcp_on_get(life_mcp(ctx), req);
}

static void on_mcp_delete(void *ctx, struct http_request *req)
{
	mcp_on_delete(life_mcp(ctx), req);
}

static void on_mcp_sse(void *ctx, struct http_request *req)
{
	mcp_on_sse(life_mcp(ctx), req);
}

static void on_mcp_message(void *ctx, struct http_request *req)
{
	mcp_on_message(life_mcp(ctx), req);
}

static const struct stage_thread threads[] = {{.name = "beat", .run = run_beat},
					      {.name = "retain", .run = run_retain},
					      {.name = "mcp", .run = run_mcp}};

/* ---- HTTP: what doctor asks ---- */

static void on_status(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	struct audit_summary audit = {0};
	struct why why = {0};
	const struct executor_config *config = stage_config_get(s);
	int rc = journal_audit_check(life_journal(s), &audit, &why);
	json_t *o = json_pack(
		"{s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:s, s:s}", "executor",
		journal_owner(life_journal(s)), "sandbox", sandbox_level_name(sandbox_level()),
		"autonomy", autonomy_name((enum autonomy)config->autonomy), "tools",
		(json_int_t)catalogue_size(config->catalogue), "targets",
		(json_int_t)config->inventory.n, "audit_intact", rc == 0, "audit_records",
		(json_int_t)audit.records, "audit_head", audit.head, "audit_error", why.text);
	const char *key = config->decision_key_file;
	json_object_set_new(o, "decision_key", json_boolean(key && access(key, R_OK) == 0));
	stage_config_put(s, config);
	auto_free char *text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	http_reply(req, 200, "application/json", text, strlen(text));
}

static const struct http_route routes[] = {
	{.method = "GET", .path = "/v1/executor", .handler = on_status},
	{.method = "POST", .path = "/mcp", .handler = on_mcp_post},
	{.method = "GET", .path = "/mcp", .handler = on_mcp_get},
	{.method = "DELETE", .path = "/mcp", .handler = on_mcp_delete},
	{.method = "GET", .path = "/sse", .handler = on_mcp_sse},
	{.method = "POST", .path = "/messages", .handler = on_mcp_message},
};

/* ---- start and stop ---- */

static void early(void)
{
	struct why why = {0};
	if (launcher_open(&why))
		LOG(WARN, "programs start more slowly", S("why", why.text));
}

static int start(struct stage *s, struct why *out_why)
{
	const struct executor_config *config = stage_config_get(s);
	struct journal *j = NULL;
	struct audit_summary audit = {0};
	struct why why = {0};
	auto_free char *dir = mem_printf("%s/journal", config->stage.state_dir);
	int rc = journal_open(dir, config->stage.map_bytes, &j, out_why);
	if (!rc) {
		struct life *life = mem_alloc(sizeof(*life));
		*life = (struct life){j, holder_new(journal_owner(j), stage_boot(s)),
				      mcp_new(s, j)};
		stage_set_data(s, life);
		workspace_sweep(config->stage.state_dir, clock_real_ms());
		sandbox_probe((enum sandbox_wish)config->sandbox);
		const char *level = sandbox_level_name(sandbox_level());
		int broken = journal_audit_check(j, &audit, &why);
		metric_set(&sandbox_metric, 1, level);
		metric_set(&audit_metric, broken ? 0 : 1);
		LOG(INFO, "executor ready", S("executor", journal_owner(j)), S("sandbox", level),
		    S("autonomy", autonomy_name((enum autonomy)config->autonomy)),
		    I("tools", catalogue_size(config->catalogue)),
		    I("targets", config->inventory.n), I("audit_records", audit.records));
		if (broken)
			LOG(ERROR, "the audit chain is broken", S("why", why.text));
	}
	stage_config_put(s, config);
	return rc;
}

static void stop(struct stage *s)
{
	struct life *life = stage_data(s);
	if (life) {
		mcp_free(life->mcp);
		holder_free(life->holder);
		journal_close(life->journal);
	}
	free(life);
	launcher_close();
	stage_set_data(s, NULL);
}

/* ---- commands ---- */

static void print_line(void *ctx, const char *json)
{
	fprintf(ctx, "%s\n", json);
}

/* audit [DIR]: prints the records and checks the chain. */
static int run_audit(int argc, char **argv, const char *config_dir)
{
	(void)config_dir;
	struct journal *j = NULL;
	struct audit_summary sum = {0};
	struct why why = {0};
	const char *dir = argc > 1 ? argv[1] : "/var/lib/healbus/executor/journal";
	int rc = journal_open(dir, 0, &j, &why);
	if (!rc) {
		journal_audit_each(j, print_line, stdout);
		rc = journal_audit_check(j, &sum, &why);
	}
	journal_close(j);
	if (rc) {
		fprintf(stderr, "healbus-executor: audit: %s\n", why.text);
		return rc == ERR_BUSY ? 75 : 70;
	}
	fprintf(stderr, "%" PRIu64 " records, the first %" PRIu64 " of them cut off, head %s\n",
		sum.records, sum.cut, sum.head);
	return 0;
}

static const struct stage_command commands[] = {
	{.name = "audit",
	 .help = "audit [JOURNAL_DIR]: print the audit records of a stopped executor and check "
		 "their chain",
	 .run = run_audit},
	{.name = "backup",
	 .help = "backup DIR: copy the journals of this executor, running or not, into DIR",
	 .run = backup_command},
	{.name = "check",
	 .help = "check DIR: are such copies readable, and their audit chains whole?",
	 .run = backup_check_command},
	{.name = "restore",
	 .help = "restore DIR: put such copies where this executor looks for its journals; it must "
		 "not have any",
	 .run = backup_restore_command},
	{.name = "mcp",
	 .help = "mcp pin SERVER [TOOL]: print what a tool of an MCP server is now, to be put into "
		 "tools_dir",
	 .run = mcp_pin_command}};

static const struct effect_def *const effects[] = {&plans_effect, &decisions_effect};

static const struct stage_def definition = {
	.name = "executor",
	.summary = "Runs the plans that policy allows, in a sandbox, at most once.",
	.options = &executor_options,
	.config_size = sizeof(struct executor_config),
	.early = early,
	.prepare = executor_prepare,
	.unprepare = executor_unprepare,
	.effects = effects,
	.n_effects = ARRAY_SIZE(effects),
	.threads = threads,
	.n_threads = ARRAY_SIZE(threads),
	.routes = routes,
	.n_routes = ARRAY_SIZE(routes),
	.start = start,
	.stop = stop,
	.commands = commands,
	.n_commands = ARRAY_SIZE(commands),
};

int main(int argc, char **argv)
{
	return stage_main(&definition, argc, argv);
}
