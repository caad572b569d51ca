#include "monitor/remediate.h"
#include "common/clock.h"
#include "monitor/body.h"
#include "monitor/ingress_private.h"
#include "monitor/normaliser.h"
#include "monitor/state.h"

#include <sys/eventfd.h>

#define SOURCE "github"
#define RUN_EVENT "workflow_run"

enum { LOOK_MS = 100, PUBLISH_WAIT_MS = 3000, RETRY_AFTER_S = 2 };

struct remedy {
	struct remedy *next;
	struct http_request *req;
	struct buf body; /* as GitHub would have sent it */
	bool published;
	unsigned partition;
	char key[ID_BYTES];    /* of the incident's group */
	char before[ID_BYTES]; /* the incident that went on already; "" */
	int64_t deadline_ms;   /* monotonic */
};

struct answer {
	const char *status;
	const char *incident, *specialist, *failure_type;
	const char *dedup;
	const char *reason;
};

static void answer_send(struct http_request *req, unsigned status, const struct answer *a)
{
	json_t *out = json_pack("{s:s,s:s?,s:s?,s:s?,s:s}", "status", a->status, "incident",
				a->incident, "specialist", a->specialist, "failure_type",
				a->failure_type, "dedup_status", a->dedup);
	auto_free char *text = NULL;

	if (a->reason)
		json_object_set_new(out, "reason", json_string(a->reason));
	text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	http_reply(req, status, CONTENT_TYPE_JSON, text, strlen(text));
}

/* ---- what is asked ---- */

/* The incident that goes on in the group; false when there is none, or another process has it. */
static bool incident_now(struct stage *s, const struct remedy *r, char out[static ID_BYTES],
			 bool *out_told)
{
	struct fold *f = stage_fold(s, 0, r->partition);
	struct group g;
	bool found = false;

	if (f) {
		auto_txn txn = store_begin_read(fold_store(f));

		found = group_read(txn, r->key, &g) == 0 && g.state != GROUP_REST;
	}
	if (!found)
		return false;
	snprintf(out, ID_BYTES, "%s", g.incident);
	*out_told = g.revision > 0;
	return true;
}

static int body_wrap(const char *data, size_t len, struct buf *out, struct why *out_why)
{
	json_error_t error;
	json_t *body = json_loadb(data, len, 0, &error);
	auto_free char *text = NULL;

	if (!json_is_object(body)) {
		json_decref(body);
		return why_set(out_why, ERR_INVALID, "body: not a JSON object");
	}
	json_object_set_new(body, "action", json_string("completed"));
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (!text)
		return why_set(out_why, ERR_INVALID, "body: cannot be written again");
	buf_add_str(out, text);
	return 0;
}

static void where_it_goes(const struct rules *rules, const Healbus__Event *e, struct remedy *r)
{
	auto_buf labels = {0};

	labels_pack(&labels, e->labels, e->n_labels);
	grouping_key(rules, e, (struct labels){labels.data, labels.len}, r->key);
	r->partition = partition_of(e->partition_key);
}

/* 0 with *out_skip the reason for which nothing will come of it, or NULL. */
static int body_judge(const struct rules *rules, struct remedy *r, const char **out_skip,
		      struct why *out_why)
{
	struct arena arena = {0};
	struct reading reading = {
		.source = SOURCE,
		.rules = rules,
		.data = buf_str(&r->body),
		.len = r->body.len,
		.kind = RUN_EVENT,
		.trusted = true,
		.time_ms = 1,
		.arena = &arena,
	};
	int rc = reading_run(&reading, &format_github, out_why);

	if (!rc && reading.refused)
		rc = why_set(out_why, ERR_INVALID, "%s", reading.refused_why.text);
	*out_skip = reading.ignored;
	if (!rc && !reading.ignored && reading.n) {
		const Healbus__Event *e = reading.events[0];

		if (e->status == HEALBUS__STATUS__STATUS_FIRING)
			where_it_goes(rules, e, r);
		else
			*out_skip = e->status ? "success" : "skip";
	}
	reading_release(&reading);
	arena_release(&arena);
	return rc;
}

static void remedy_free(struct remedy *r)
{
	buf_release(&r->body);
	free(r);
}

static void remedy_push(struct ingress *in, struct remedy *r)
{
	r->next = atomic_load(&in->remedies);
	while (!atomic_compare_exchange_weak(&in->remedies, &r->next, r))
		;
	(void)eventfd_write(in->remedies_bell, 1);
}

/* True when the thread has it. */
static bool remedy_take(struct stage *s, const struct monitor_config *c, struct remedy *r)
{
	struct ingress *in = stage_data(s);
	const char *skip = NULL;
	struct why why = {0};
	size_t len;
	const char *data = http_body(r->req, &len);
	bool told;
	int rc = body_wrap(data, len, &r->body, &why);

	if (!rc)
		rc = body_judge(&c->rules, r, &skip, &why);
	if (rc) {
		http_reply_error(r->req, rc, &why);
		return false;
	}
	if (skip) {
		answer_send(
			r->req, 200,
			&(struct answer){.status = "skipped", .dedup = "skipped", .reason = skip});
		return false;
	}
	if (atomic_fetch_add(&in->n_remedies, 1) >= REMEDIES_MAX) {
		atomic_fetch_sub(&in->n_remedies, 1);
		http_reply_retry(r->req, 503, RETRY_AFTER_S, "too many requests wait");
		return false;
	}
	(void)incident_now(s, r, r->before, &told);
	r->deadline_ms = clock_mono_ms() + c->remediate_wait_ms;
	remedy_push(in, r);
	return true;
}

void remediate_ci_failure(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	const struct monitor_config *c = stage_config_get(s);
	struct remedy *r = mem_alloc(sizeof(*r));

	r->req = req;
	if (!remedy_take(s, c, r))
		remedy_free(r);
	stage_config_put(s, c);
}

/* ---- what comes of it ---- */

static int remedy_publish(struct stage *s, const struct remedy *r, struct why *out_why)
{
	const struct raw_body body = {
		.source = SOURCE, .data = buf_str(&r->body), .len = r->body.len};
	char subject[SUBJECT_MAX + 1], id[ID_BYTES];
	struct bus_msg m = {
		.subject = subject_raw(subject, SOURCE),
		.id = id,
		.content_type = CONTENT_TYPE_JSON "; " EVENT_PARAMETER "=" RUN_EVENT,
		.time_ms = clock_real_ms(),
		.data = body.data,
		.len = body.len,
	};

	body_id(&body, true, "", id);
	return bus_publish(stage_bus(s), &m, PUBLISH_WAIT_MS, NULL, out_why);
}

/* The last word of the reasoner about this incident, when it is a diagnosis. */
static bool diagnosis_find(struct stage *s, const char *incident, struct arena *arena,
			   const Healbus__Diagnosis **out)
{
	char subject[SUBJECT_MAX + 1];
	struct bus_delivery d = {0};
	ProtobufCMessage *msg;
	const Healbus__ModelExchange *m;

	if (bus_get_last(stage_bus(s), STREAM_STORY, subject_story(subject, KIND_MODEL, incident),
			 &d, NULL))
		return false;
	*out = NULL;
	if (wire_unpack(KIND_MODEL, d.data, d.len, arena, &msg, NULL) == 0) {
		m = (const Healbus__ModelExchange *)msg;
		if (m->state == HEALBUS__MODEL_STATE__MODEL_ANSWERED)
			*out = m->diagnosis;
	}
	bus_delivery_free(&d);
	return *out != NULL;
}

/* True when it is answered. */
static bool remedy_look(struct stage *s, const struct remedy *r, bool last)
{
	struct arena arena = {0};
	const Healbus__Diagnosis *diagnosis = NULL;
	char incident[ID_BYTES];
	bool told = false, there = incident_now(s, r, incident, &told);
	bool diagnosed = there && told && diagnosis_find(s, incident, &arena, &diagnosis);
	struct answer a = {.status = "accepted", .incident = there ? incident : NULL};

	if (diagnosed || last) {
		a.dedup = "skipped";
		if (there)
			a.dedup = str_eq(incident, r->before) ? "existing" : "new";
		if (diagnosed) {
			a.status = "diagnosed";
			a.specialist = diagnosis->specialist;
			a.failure_type = diagnosis->failure_type;
		}
		answer_send(r->req, diagnosed ? 200 : 202, &a);
	}
	arena_release(&arena);
	return diagnosed || last;
}

/* True when it is answered. */
static bool remedy_step(struct stage *s, struct remedy *r)
{
	struct why why = {0};

	if (!r->published && remedy_publish(s, r, &why)) {
		http_reply_retry(r->req, 503, RETRY_AFTER_S, "the bus is away");
		return true;
	}
	r->published = true;
	return remedy_look(s, r, stage_stopping(s) || clock_mono_ms() >= r->deadline_ms);
}

/* The list without those that are answered. */
static struct remedy *remedies_step(struct stage *s, struct remedy *list)
{
	struct ingress *in = stage_data(s);
	struct remedy *left = NULL, *next;

	for (struct remedy *r = list; r; r = next) {
		next = r->next;
		if (remedy_step(s, r)) {
			remedy_free(r);
			atomic_fetch_sub(&in->n_remedies, 1);
		} else {
			r->next = left;
			left = r;
		}
	}
	return left;
}

void remediate_thread(struct stage *s)
{
	struct ingress *in = stage_data(s);
	struct remedy *list = NULL;

	while (!stage_stopping(s) || list) {
		eventfd_t rung;
		struct remedy *fresh;

		(void)eventfd_read(in->remedies_bell, &rung);
		fresh = atomic_exchange(&in->remedies, NULL);
		while (fresh) {
			struct remedy *next = fresh->next;

			fresh->next = list;
			list = fresh;
			fresh = next;
		}
		list = remedies_step(s, list);
		stage_await(s, in->remedies_bell, list ? LOOK_MS : -1);
	}
}
