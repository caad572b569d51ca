/* A cell in a run of a job that is deployed on TrueFoundry (deploy/truefoundry): its parameters
 * bring the tree, its log takes it back. What the pod may do is what that job was deployed with.
 * https://www.truefoundry.com/docs/api-reference (Jobs: trigger, get run, terminate, delete run;
 * Logs: get) */
#include "executor/sandboxes/parcel.h"
#include "executor/sandboxes/place.h"
#include "executor/sandboxes/rest.h"

#include "common/clock.h"
#include "common/id.h"
#include "common/log.h"
#include "common/mem.h"

enum {
	PARAMS = 8,             /* tree0 to tree7 */
	PARAM_BYTES = 96 << 10, /* of base64 in one: an argument may have 128 KiB */
	SPEC_BYTES = 48 << 10,  /* of environment and arguments */
	TREE_BYTES = 2 << 20,   /* that come back */
	LINES = 5000,           /* of the log that are asked for */
	LOG_BYTES = 8 << 20,
	LOG_WAIT_MS = 60000, /* logs come a while after the run's end */
	LOG_POLL_MS = 1000,
	EARLIER_MS = 60000, /* by how much clocks may differ */
	DELETE_TRIES = 5,
	NAME_MAX_BYTES = 128,
};
#define DISK_BYTES ((int64_t)512 << 20)

struct tfy {
	const struct truefoundry_settings *settings;
	const struct cell *cell;
	const struct sandbox_job *job;
	const struct run_limits *limits;
	struct run_result *result;
	struct rest rest;
	bool own_http;
	char alias[40], nonce[ID_BYTES];
	char run[NAME_MAX_BYTES], deployment[NAME_MAX_BYTES];
	int64_t began_ms; /* on the real clock */
	bool started, unknown;
};

/* Names from answers go into paths. */
static bool take_name(const json_t *o, const char *key, char out[NAME_MAX_BYTES])
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-_";
	const char *s = json_string_value(json_object_get(o, key));
	if (!s || !*s || strlen(s) >= NAME_MAX_BYTES || strspn(s, plain) != strlen(s))
		return false;
	snprintf(out, NAME_MAX_BYTES, "%s", s);
	return true;
}

/* ---- triggering ---- */

/* NAME=VALUE and arguments, each ended by a NUL, as env -i takes them. */
static int add_spec(struct tfy *t, json_t *params)
{
	auto_buf list = {0}, text = {0};
	for (char *const *e = t->job->env; *e; e++)
		buf_add(&list, *e, strlen(*e) + 1);
	for (char *const *a = t->job->argv; *a; a++)
		buf_add(&list, *a, strlen(*a) + 1);
	const char *program = t->job->argv[0];
	if (!program || *program != '/' || strchr(program, '='))
		return why_set(&t->result->why, ERR_INVALID,
			       "the program must be an absolute path without =");
	if (list.len > SPEC_BYTES)
		return why_set(&t->result->why, ERR_TOO_LARGE,
			       "arguments and environment are more than %d KiB", SPEC_BYTES >> 10);
	base64_add(&text, list.data, list.len);
	json_object_set_new(params, "spec", json_string(buf_str(&text)));
	return 0;
}

static int add_tree(struct tfy *t, json_t *params)
{
	const struct archive_limits limits = {
		.bytes = t->cell->room.disk_bytes ? t->cell->room.disk_bytes : DISK_BYTES,
		.files = t->cell->room.files ? t->cell->room.files : CELL_FILES};
	auto_buf packed = {0}, text = {0};
	int rc = parcel_pack(t->cell, &limits, (size_t)PARAMS * PARAM_BYTES / 4 * 3, &packed,
			     &t->result->why);
	if (rc)
		return rc;
	base64_add(&text, buf_str(&packed), packed.len);
	for (size_t i = 0; i < PARAMS; i++) {
		char key[16];
		size_t from = MIN(i * PARAM_BYTES, text.len);
		size_t len = MIN(text.len - from, (size_t)PARAM_BYTES);
		snprintf(key, sizeof(key), "tree%zu", i);
		/* None is empty: whether the platform keeps an empty word is not said. */
		json_object_set_new(params, key,
				    len ? json_stringn(text.data + from, len) : json_string("-"));
	}
	return 0;
}

static json_t *request(struct tfy *t, json_t *params)
{
	auto_free char *say =
		mem_printf("%d,%s,%d", PARCEL_OUTPUT_BYTES, t->limits->keep_end ? "tail" : "head",
			   t->cell->discard ? 0 : TREE_BYTES + 1);
	json_object_set_new(params, "nonce", json_string(t->nonce));
	json_object_set_new(params, "say", json_string(say));
	return json_pack("{s:s, s:{s:o}, s:{s:s}}", "applicationId", t->settings->job, "input",
			 "params", params, "metadata", "job_run_name_alias", t->alias);
}

static int trigger(struct tfy *t)
{
	json_t *params = json_object();
	struct rest_answer a = {0};
	int rc = add_spec(t, params);
	if (!rc)
		rc = add_tree(t, params);
	if (rc) {
		json_decref(params);
		return rc;
	}
	/* It may come back with its parameters. */
	const struct rest_ask ask = {.method = "POST",
				     .path = "/api/svc/v1/jobs/trigger",
				     .body = request(t, params),
				     .max_bytes = LOG_BYTES};
	t->began_ms = clock_real_ms();
	rc = rest_call(&t->rest, &ask, &a, &t->result->why);
	t->unknown = rc && a.sent && (!a.status || a.status >= 500);
	if (!rc && !take_name(a.json, "jobRunName", t->run)) {
		t->unknown = true;
		rc = why_set(&t->result->why, ERR_INVALID, "POST %s: no jobRunName", ask.path);
	}
	take_name(json_object_get(a.json, "data"), "deploymentId", t->deployment);
	rest_answer_release(&a);
	return rc;
}

/* ---- following ---- */

enum move { MOVE_WAIT, MOVE_RUNNING, MOVE_ENDED, MOVE_FAILED };

static enum move move_of(const char *status)
{
	static const struct {
		const char *name;
		enum move move;
	} moves[] = {{"CREATED", MOVE_WAIT},
		     {"SCHEDULED", MOVE_WAIT},
		     {"UNKNOWN", MOVE_WAIT},
		     {"RUNNING", MOVE_RUNNING},
		     {"FINISHED", MOVE_ENDED},
		     {"FAILED", MOVE_FAILED},
		     {"TERMINATION_REQUESTED", MOVE_FAILED},
		     {"TERMINATING", MOVE_FAILED},
		     {"TERMINATED", MOVE_FAILED}};
	for (size_t i = 0; status && i < ARRAY_SIZE(moves); i++)
		if (str_eq(moves[i].name, status))
			return moves[i].move;
	return MOVE_WAIT;
}

static int look(struct rest_watch *w, bool *out_ended, struct why *out_why)
{
	struct tfy *t = w->ctx;
	struct rest_answer a = {0};
	auto_free char *path = mem_printf("/api/svc/v1/jobs/%s/runs/%s", t->settings->job, t->run);
	const struct rest_ask ask = {.method = "GET", .path = path, .max_bytes = LOG_BYTES};
	int rc = rest_call(&t->rest, &ask, &a, out_why);
	const json_t *data = json_object_get(a.json, "data");
	const char *status = json_string_value(json_object_get(data, "status"));
	const char *error = json_string_value(json_object_get(data, "error"));
	if (!rc && !status)
		rc = why_set(out_why, ERR_UNAVAILABLE, "GET %s: no status", path);
	enum move move = move_of(status);
	t->started = t->started || move == MOVE_RUNNING || move == MOVE_ENDED;
	if (!rc && !t->deployment[0])
		take_name(data, "deploymentId", t->deployment);
	if (!rc && move == MOVE_FAILED)
		rc = why_set(out_why, ERR_REJECTED, "%s%.40s%s%.250s",
			     t->started ? "" : "did not start: ", status, error ? ": " : "",
			     error ? error : "");
	*out_ended = !rc && move == MOVE_ENDED;
	rest_answer_release(&a);
	return rc;
}

static int follow(struct tfy *t)
{
	struct rest_watch w = {.limits = t->limits,
			       .deadline_ms = clock_mono_ms() + t->limits->timeout_ms,
			       .look = look,
			       .ctx = t};
	int rc = rest_follow(&w, &t->result->why);
	t->unknown = rc && rc != ERR_REJECTED && rc != ERR_TIMEOUT && rc != ERR_CLOSED;
	if (rc == ERR_TIMEOUT && !t->started)
		why_prefix(&t->result->why, rc, "did not start");
	return rc;
}

/* ---- what came of it ---- */

/* The lines, whatever their order, as one text. */
static int ask_log(struct tfy *t, struct buf *out)
{
	struct rest_answer a = {0};
	auto_free char *path =
		mem_printf("/api/svc/v1/logs?applicationId=%s&jobRunName=%s&startTs=%" PRId64
			   "000000&endTs=%" PRId64 "000000&limit=%d&direction=asc",
			   t->settings->job, t->run, t->began_ms - EARLIER_MS,
			   clock_real_ms() + EARLIER_MS, LINES);
	const struct rest_ask ask = {.method = "GET", .path = path, .max_bytes = LOG_BYTES};
	int rc = rest_call(&t->rest, &ask, &a, &t->result->why);
	const json_t *line;
	size_t i;
	json_array_foreach(json_object_get(a.json, "data"), i, line)
	{
		const char *text = json_string_value(json_object_get(line, "log"));
		if (text)
			buf_printf(out, "%s\n", text);
	}
	rest_answer_release(&a);
	return rc;
}

static int take(struct tfy *t)
{
	int64_t deadline_ms = clock_mono_ms() + MIN(LOG_WAIT_MS, t->limits->timeout_ms);
	struct parcel parcel = {0};
	int rc;
	for (;;) {
		auto_buf log = {0};
		parcel_release(&parcel);
		parcel.tree_max_bytes = TREE_BYTES;
		rc = ask_log(t, &log);
		if (!rc)
			rc = parcel_read(&log, t->nonce, &parcel, &t->result->why);
		bool again = rc == ERR_NOT_FOUND || err_class(rc) == ERR_CLASS_TRANSIENT;
		if (!rc || !again || clock_mono_ms() >= deadline_ms)
			break;
		const struct timespec pause = {.tv_sec = LOG_POLL_MS / 1000};
		nanosleep(&pause, NULL);
	}
	if (!rc)
		rc = parcel_deliver(&parcel, t->cell, t->limits, t->result);
	parcel_release(&parcel);
	return rc;
}

/* Stops it when it has not ended, and takes it off the list of runs with its parameters. */
static void remove_run(struct tfy *t, bool ended)
{
	auto_free char *stop = mem_printf(
		"/api/svc/v1/jobs/terminate?deploymentId=%s&jobRunName=%s", t->deployment, t->run);
	auto_free char *path = mem_printf("/api/svc/v1/jobs/%s/runs/%s", t->settings->job, t->run);
	const struct rest_ask end = {.method = "POST", .path = stop};
	const struct rest_ask ask = {.method = "DELETE", .path = path};
	struct rest_answer a = {0};
	struct why why = {0};
	if (!ended && t->deployment[0])
		rest_call(&t->rest, &end, &a, &why);
	rest_answer_release(&a);
	int rc = ERR_CONFLICT;
	for (int i = 0; i < DELETE_TRIES && err_class(rc) == ERR_CLASS_TRANSIENT; i++) {
		const struct timespec pause = {.tv_nsec = i * 200000000L};
		nanosleep(&pause, NULL);
		rc = rest_call(&t->rest, &ask, &a, &why);
		rest_answer_release(&a);
	}
	if (rc && rc != ERR_NOT_FOUND)
		LOG(WARN, "a cell's run was not deleted; delete it by hand", S("run", t->run),
		    S("why", why.text));
}

/* ---- */

static int check(const struct place_settings *s, struct why *out_why);

static int prepare(struct tfy *t, const struct place_settings *settings)
{
	char random[ID_BYTES];
	int rc = check(settings, &t->result->why);
	if (rc)
		return rc;
	if (t->job->n_binds || t->job->proxy || t->job->network || t->cell->input)
		return why_set(&t->result->why, ERR_UNSUPPORTED,
			       "a run has no paths of the host, no network and no input");
	id_random(random);
	id_random(t->nonce);
	snprintf(t->alias, sizeof(t->alias), "healbus-%s", random);
	t->own_http = !t->limits->http;
	t->rest = (struct rest){.url = t->settings->url,
				.token_file = t->settings->token_file,
				.ca_file = t->settings->ca_file,
				.http = t->limits->http};
	return t->own_http ? http_client_new(&t->rest.http) : 0;
}

static void finish(struct tfy *t, int rc, const char *what)
{
	t->result->state = !rc ? RUN_ENDED : t->unknown ? RUN_UNKNOWN : RUN_FAILED;
	t->result->not_tried = rc && (t->unknown || !t->started);
	if (!rc)
		t->result->why = (struct why){0}; /* of tries before */
	if (rc && t->unknown)
		what = "no answer; what came of it is unknown";
	if (rc)
		why_prefix(&t->result->why, rc, "truefoundry: %s%s%s",
			   t->run[0] ? t->run : t->alias, *what ? ": " : "", what);
}

static void run(const struct place_settings *settings, const struct cell *c,
		const struct sandbox_job *job, const struct run_limits *limits,
		struct run_result *result)
{
	struct tfy t = {.settings = &settings->truefoundry,
			.cell = c,
			.job = job,
			.limits = limits,
			.result = result};
	const char *what = "did not start";
	int rc = prepare(&t, settings);
	if (!rc)
		rc = trigger(&t);
	if (t.run[0]) {
		what = "";
		rc = follow(&t);
		bool ended = !rc || rc == ERR_REJECTED;
		if (!rc)
			rc = take(&t);
		remove_run(&t, ended);
	}
	finish(&t, rc, what);
	if (t.own_http)
		http_client_free(t.rest.http);
}

static int check(const struct place_settings *s, struct why *out_why)
{
	const struct truefoundry_settings *t = &s->truefoundry;
	int rc = rest_check_url("truefoundry.url", t->url, out_why);
	if (rc)
		return rc;
	if (!t->token_file)
		return why_set(out_why, ERR_CONFIG, "truefoundry.token_file: not configured");
	if (!t->job || !token_valid(t->job))
		return why_set(out_why, ERR_CONFIG,
			       "truefoundry.job: must be the application id of a deployed job");
	if (!t->network_policy)
		return why_set(out_why, ERR_CONFIG,
			       "truefoundry.network_policy: a run reaches whatever its cluster's "
			       "network lets it; say true when a NetworkPolicy denies the job's "
			       "pods all (see executor/sandboxes/README.md)");
	return 0;
}

const struct place place_truefoundry = {.name = "truefoundry", .check = check, .run = run};
