/* A cell in a pod of a cluster: one Job, whose Secrets bring the tree and whose log takes it back.
 * The Job comes first and owns the Secrets, so that whatever happens to this process, the
 * cluster's own clean-up of ended Jobs takes all. */
#include "executor/sandboxes/kubernetes_private.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

enum {
	INPUT_BYTES = 1 << 20,
	LOG_BYTES = 12 << 20,
	OBJECT_BYTES = 4 << 20,
	LOG_TRIES = 3,
	DELETE_TRIES = 3,
	BETWEEN_MS = 300,
	LABEL_MAX = 63,
};
/* In memory there: smaller than elsewhere. */
#define DISK_BYTES ((int64_t)512 << 20)

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};
	nanosleep(&t, NULL);
}

static char *path_of(const struct kubernetes_run *k, const char *group, const char *rest)
{
	return mem_printf("%s/namespaces/%s/%s", group, k->settings->namespace, rest);
}

/* ---- asking for it ---- */

static int post(struct kubernetes_run *k, const char *path, json_t *body, struct rest_answer *out)
{
	if (!body)
		return why_set(&k->result->why, ERR_INVALID, "an argument is not UTF-8");
	/* The object comes back. */
	const struct rest_ask ask = {
		.method = "POST", .path = path, .body = body, .max_bytes = OBJECT_BYTES};
	return rest_call(&k->rest, &ask, out, &k->result->why);
}

static int make_job(struct kubernetes_run *k)
{
	struct rest_answer a = {0};
	auto_free char *path = path_of(k, "/apis/batch/v1", "jobs");
	int rc = post(k, path, kubernetes_job(k), &a);
	json_t *meta = json_object_get(a.json, "metadata");
	const char *uid = json_string_value(json_object_get(meta, "uid"));
	/* Without an answer it may be there all the same. */
	k->unknown = rc && a.sent && (!a.status || a.status >= 500);
	if (!rc && (!uid || !*uid || strlen(uid) >= sizeof(k->uid)))
		rc = why_set(&k->result->why, ERR_INVALID, "POST %s: no uid", path);
	if (!rc)
		snprintf(k->uid, sizeof(k->uid), "%s", uid);
	rest_answer_release(&a);
	return rc;
}

static int make_secrets(struct kubernetes_run *k)
{
	auto_free char *path = path_of(k, "/api/v1", "secrets");
	json_t *secret;
	int rc = 0;
	for (size_t i = 0; !rc && (secret = kubernetes_secret(k, i)); i++) {
		struct rest_answer a = {0};
		rc = post(k, path, secret, &a);
		rest_answer_release(&a);
	}
	return rc;
}

/* ---- following it ---- */

static const char *text_at(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	return text ? text : "";
}

/* One of running, waiting, terminated of a container; NULL: not that. */
static const json_t *state_of(const json_t *status, const char *name, const char *state)
{
	static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
	const json_t *item;
	size_t i;
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		json_array_foreach(json_object_get(status, lists[l]), i, item)
		{
			if (str_eq(text_at(item, "name"), name))
				return json_object_get(json_object_get(item, "state"), state);
		}
	return NULL;
}

/* What keeps it from running, for a person. */
static void see_obstacles(struct kubernetes_run *k, const json_t *status)
{
	static const char *const names[] = {"unpack", "program", "courier"};
	const json_t *item;
	size_t i;
	json_array_foreach(json_object_get(status, "conditions"), i, item)
	{
		if (str_eq(text_at(item, "type"), "PodScheduled") &&
		    str_eq(text_at(item, "status"), "False"))
			why_set(&k->seen, 0, "%.60s: %.250s", text_at(item, "reason"),
				text_at(item, "message"));
	}
	for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
		const json_t *waiting = state_of(status, names[n], "waiting");
		const char *reason = text_at(waiting, "reason");
		if (*reason && !str_eq(reason, "PodInitializing"))
			why_set(&k->seen, 0, "%s: %.60s: %.250s", names[n], reason,
				text_at(waiting, "message"));
	}
}

/* The pod has failed: which part of it, and why. */
static int tell_failure(const struct kubernetes_run *k, const json_t *status, struct why *out_why)
{
	static const struct {
		const char *name, *what;
	} parts[] = {{"unpack", "did not start: the tree was not unpacked"},
		     {"program", "the program was ended"},
		     {"courier", "what came of it was not sent"}};
	const char *reason = text_at(status, "reason");
	if (*reason)
		return why_set(out_why, ERR_REJECTED, "%s%.60s: %.250s",
			       k->started ? "" : "did not start: ", reason,
			       text_at(status, "message"));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const json_t *end = state_of(status, parts[i].name, "terminated");
		json_int_t code = json_integer_value(json_object_get(end, "exitCode"));
		if (end && code)
			return why_set(out_why, ERR_REJECTED, "%s: %.60s, exit code %d%s%.200s",
				       parts[i].what, text_at(end, "reason"), (int)code,
				       *text_at(end, "message") ? ": " : "",
				       text_at(end, "message"));
	}
	return why_set(out_why, ERR_REJECTED, "%sthe pod has failed",
		       k->started ? "" : "did not start: ");
}

static bool hopeless(const json_t *status)
{
	static const char *const reasons[] = {"InvalidImageName", "ErrImageNeverPull"};
	const char *reason = text_at(state_of(status, "unpack", "waiting"), "reason");
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		if (str_eq(reason, reasons[i]))
			return true;
	return false;
}

static int see_pod(struct kubernetes_run *k, struct rest_watch *w, const json_t *pod,
		   bool *out_ended, struct why *out_why)
{
	const json_t *status = json_object_get(pod, "status");
	const char *phase = text_at(status, "phase");
	const char *name = text_at(json_object_get(pod, "metadata"), "name");
	if (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(name))
		snprintf(k->pod, sizeof(k->pod), "%s", name);
	bool over = state_of(status, "program", "terminated") != NULL;
	k->started = k->started || over || state_of(status, "program", "running");
	if (over && !k->over)
		w->deadline_ms = clock_mono_ms() + KUBERNETES_COLLECT_MS;
	k->over = over;
	see_obstacles(k, status);
	*out_ended = str_eq(phase, "Succeeded");
	if (str_eq(phase, "Failed"))
		return tell_failure(k, status, out_why);
	if (hopeless(status))
		return why_set(out_why, ERR_REJECTED, "did not start: %s", k->seen.text);
	return 0;
}

static int look(struct rest_watch *w, bool *out_ended, struct why *out_why)
{
	struct kubernetes_run *k = w->ctx;
	struct rest_answer a = {0};
	auto_free char *rest = mem_printf("pods?labelSelector=healbus-cell%%3D%s", k->name);
	auto_free char *path = path_of(k, "/api/v1", rest);
	const struct rest_ask ask = {.method = "GET", .path = path};
	int rc = rest_call(&k->rest, &ask, &a, out_why);
	json_t *items = json_object_get(a.json, "items");
	if (!rc && !json_is_array(items))
		rc = why_set(out_why, ERR_UNAVAILABLE, "GET %s: no list of pods", path);
	if (!rc && json_array_size(items))
		rc = see_pod(k, w, json_array_get(items, 0), out_ended, out_why);
	else if (!rc && k->pod[0])
		rc = why_set(out_why, ERR_REJECTED,
			     "the pod is gone: deleted, or its node drained");
	rest_answer_release(&a);
	if (!rc && !k->started && !*out_ended && clock_mono_ms() > k->start_deadline_ms)
		rc = why_set(out_why, ERR_REJECTED, "did not start in time: %s",
			     k->seen.text[0] ? k->seen.text
			     : k->pod[0]     ? "its pod is pending"
					 : "the Job has no pod: see its events (quota, admission)");
	return rc;
}

/* ---- what came of it ---- */

static int take(struct kubernetes_run *k)
{
	auto_free char *rest =
		mem_printf("pods/%s/log?container=courier&limitBytes=%d", k->pod, LOG_BYTES);
	auto_free char *path = path_of(k, "/api/v1", rest);
	const struct rest_ask ask = {.method = "GET", .path = path, .max_bytes = LOG_BYTES + 1024};
	struct parcel parcel = {0};
	int rc = ERR_NOT_FOUND;
	for (int i = 0;
	     i < LOG_TRIES && (rc == ERR_NOT_FOUND || err_class(rc) == ERR_CLASS_TRANSIENT); i++) {
		struct rest_answer a = {0};
		if (i)
			pause_ms(BETWEEN_MS);
		parcel_release(&parcel);
		rc = rest_call(&k->rest, &ask, &a, &k->result->why);
		if (!rc)
			rc = parcel_read(&a.text, k->nonce, &parcel, &k->result->why);
		rest_answer_release(&a);
	}
	if (!rc)
		rc = parcel_deliver(&parcel, k->cell, k->limits, k->result);
	parcel_release(&parcel);
	return rc;
}

/* Always, whatever happened. Secrets and pod go with their owner. */
static int remove_job(struct kubernetes_run *k)
{
	auto_free char *rest = mem_printf("jobs/%s", k->name);
	auto_free char *path = path_of(k, "/apis/batch/v1", rest);
	struct why why = {0};
	int rc = ERR_UNAVAILABLE;
	for (int i = 0; i < DELETE_TRIES && err_class(rc) == ERR_CLASS_TRANSIENT; i++) {
		struct rest_answer a = {0};
		const struct rest_ask ask = {.method = "DELETE",
					     .path = path,
					     .body = json_pack("{s:s, s:s, s:s, s:i}", "apiVersion",
							       "v1", "kind", "DeleteOptions",
							       "propagationPolicy", "Background",
							       "gracePeriodSeconds", 0)};
		if (i)
			pause_ms(BETWEEN_MS);
		rc = rest_call(&k->rest, &ask, &a, &why);
		rest_answer_release(&a);
	}
	if (rc && rc != ERR_NOT_FOUND)
		LOG(WARN, "a cell's Job was not deleted; the cluster does, minutes after its end",
		    S("job", k->name), S("why", why.text));
	return rc;
}

/* ---- */

static int load(struct kubernetes_run *k)
{
	const size_t most = (size_t)KUBERNETES_PART_BYTES * (KUBERNETES_PARTS_MAX - 2);
	const struct archive_limits limits = {.bytes = k->disk_bytes, .files = k->files};
	k->loads[KUBERNETES_TREE].name = "tree";
	k->loads[KUBERNETES_INPUT].name = "input";
	int rc = parcel_pack(k->cell, &limits, most, &k->loads[KUBERNETES_TREE].data,
			     &k->result->why);
	if (rc || !k->cell->input)
		return rc;
	rc = buf_read_file(&k->loads[KUBERNETES_INPUT].data, k->cell->input, INPUT_BYTES);
	return rc ? why_set(&k->result->why, rc, "its input: %s, or larger than %d KiB",
			    err_name(rc), INPUT_BYTES >> 10)
		  : 0;
}

static int check(const struct place_settings *s, struct why *out_why);

static int prepare(struct kubernetes_run *k, const struct place_settings *settings)
{
	char random[ID_BYTES];
	int rc = check(settings, &k->result->why);
	if (rc)
		return rc;
	if (k->job->n_binds || k->job->proxy || k->job->network)
		return why_set(&k->result->why, ERR_UNSUPPORTED,
			       "a pod has no paths of the host and no network");
	id_random(random);
	id_random(k->nonce);
	snprintf(k->name, sizeof(k->name), "healbus-%s", random);
	k->disk_bytes =
		k->cell->room.disk_bytes ? MIN(k->cell->room.disk_bytes, DISK_BYTES) : DISK_BYTES;
	k->files = k->cell->room.files ? k->cell->room.files : CELL_FILES;
	rc = load(k);
	if (rc)
		return rc;
	k->own_http = !k->limits->http;
	k->rest = (struct rest){.url = k->settings->url,
				.token_file = k->settings->token_file,
				.ca_file = k->settings->ca_file,
				.http = k->limits->http};
	return k->own_http ? http_client_new(&k->rest.http) : 0;
}

static int follow(struct kubernetes_run *k)
{
	int64_t now = clock_mono_ms();
	struct rest_watch w = {.limits = k->limits,
			       .deadline_ms = now + k->limits->timeout_ms,
			       .look = look,
			       .ctx = k};
	k->start_deadline_ms = now + k->settings->start_timeout_ms;
	int rc = rest_follow(&w, &k->result->why);
	/* Those that look itself tells of a pod, and ours. */
	k->unknown = rc && rc != ERR_REJECTED && rc != ERR_TIMEOUT && rc != ERR_CLOSED;
	if (rc == ERR_TIMEOUT && !k->started)
		why_prefix(&k->result->why, rc, "did not start: %s", k->seen.text);
	return rc;
}

static void finish(struct kubernetes_run *k, int rc, const char *what)
{
	static const enum run_state states[] = {RUN_FAILED, RUN_UNKNOWN};
	k->result->state = rc ? states[k->unknown] : RUN_ENDED;
	k->result->not_tried = rc && (k->unknown || !k->started);
	if (!rc)
		k->result->why = (struct why){0}; /* of tries before */
	if (rc && k->unknown)
		what = "no answer; what came of it is unknown";
	if (rc)
		why_prefix(&k->result->why, rc, "kubernetes: %s%s%s", k->name[0] ? k->name : "",
			   *what ? ": " : "", what);
}

static void run(const struct place_settings *settings, const struct cell *c,
		const struct sandbox_job *job, const struct run_limits *limits,
		struct run_result *result)
{
	struct kubernetes_run k = {.settings = &settings->kubernetes,
				   .cell = c,
				   .job = job,
				   .limits = limits,
				   .result = result};
	const char *what = "did not start";
	int rc = prepare(&k, settings);
	if (!rc) {
		rc = make_job(&k);
		if (!rc)
			rc = make_secrets(&k);
		if (!rc) {
			what = "";
			rc = follow(&k);
		}
		if (!rc)
			rc = take(&k);
		/* A name that nobody knows: the request was lost on its way there. */
		if (remove_job(&k) == ERR_NOT_FOUND && !k.uid[0])
			k.unknown = false;
	}
	finish(&k, rc, what);
	for (size_t i = 0; i < KUBERNETES_LOADS; i++)
		buf_release(&k.loads[i].data);
	if (k.own_http)
		http_client_free(k.rest.http);
}

/* ---- configuration ---- */

static bool dns_label(const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	return s && *s && strlen(s) <= LABEL_MAX && strspn(s, plain) == strlen(s) && *s != '-' &&
	       s[strlen(s) - 1] != '-';
}

static bool selector_valid(const char *s)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-_./";
	for (const char *p = s; *p;) {
		size_t key = strspn(p, plain),
		       value = p[key] == '=' ? strspn(p + key + 1, plain) : 0;
		const char *end = p + key + 1 + value;
		if (!key || p[key] != '=' || (*end && *end != ',') || (*end == ',' && !end[1]))
			return false;
		p = end + (*end == ',');
	}
	return true;
}

static int check(const struct place_settings *s, struct why *out_why)
{
	const struct kubernetes_settings *k = &s->kubernetes;
	int rc = rest_check_url("kubernetes.url", k->url, out_why);
	if (rc)
		return rc;
	if (!k->token_file)
		return why_set(out_why, ERR_CONFIG, "kubernetes.token_file: not configured");
	if (!dns_label(k->namespace))
		return why_set(out_why, ERR_CONFIG,
			       "kubernetes.namespace: must be a name of a-z0-9-");
	if (!k->image || !*k->image)
		return why_set(out_why, ERR_CONFIG, "kubernetes.image: not configured");
	if (k->runtime_class && !dns_label(k->runtime_class))
		return why_set(out_why, ERR_CONFIG,
			       "kubernetes.runtime_class: must be a name of a-z0-9-");
	if (k->node_selector && !selector_valid(k->node_selector))
		return why_set(out_why, ERR_CONFIG,
			       "kubernetes.node_selector: must be key=value[,key=value]");
	if (!k->network_policy)
		return why_set(out_why, ERR_CONFIG,
			       "kubernetes.network_policy: a pod reaches whatever the cluster's "
			       "network lets it; say true when a NetworkPolicy denies those of the "
			       "namespace all (see executor/sandboxes/README.md)");
	return 0;
}

const struct place place_kubernetes = {.name = "kubernetes", .check = check, .run = run};
