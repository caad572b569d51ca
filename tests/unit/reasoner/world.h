/*
 * A reasoner without a network: the fold, fed from memory. What it emits comes back as input, as it
 * does on the bus. Everything that went in is kept, so that it can be played again.
 */
#ifndef TESTS_REASONER_WORLD_H
#define TESTS_REASONER_WORLD_H

#include "common/fold.h"
#include "reasoner/cases.h"
#include "reasoner/config.h"
#include "reasoner/runbook/runbook.h"
#include "tests/json_msg.h"

#include <ftw.h>
#include <setjmp.h>
#include <sys/stat.h>
#include <cmocka.h>

#define START_MS INT64_C(1790000000000)

struct world_message {
	char *subject;
	char *id;
	int64_t time_ms;
	void *data;
	size_t len;
};

struct world_log {
	struct world_message *items;
	size_t n;
};

struct world {
	struct fold *f;
	struct reasoner_config config;
	char dir[64];
	int64_t now_ms;
	uint64_t seq;
	uint64_t row; /* next of the outbox */
	struct world_log in;
	struct world_log out;
	bool no_echo;
};

static UNUSED void log_add(struct world_log *log, const struct fold_message *m)
{
	log->items = mem_realloc(log->items, (log->n + 1) * sizeof(*log->items));
	log->items[log->n++] = (struct world_message){
		.subject = mem_strdup(m->subject),
		.id = mem_strdup(m->id),
		.time_ms = m->time_ms,
		.data = mem_dup(m->data, m->len),
		.len = m->len,
	};
}

static UNUSED void log_release(struct world_log *log)
{
	for (size_t i = 0; i < log->n; i++) {
		free(log->items[i].subject);
		free(log->items[i].id);
		free(log->items[i].data);
	}
	free(log->items);
	*log = (struct world_log){0};
}

static UNUSED int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static UNUSED void world_write(struct world *w, const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/runbooks/%s", w->dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static UNUSED void world_open_fold(struct world *w)
{
	struct why why = {0};
	auto_free char *dir = mem_printf("%s/state", w->dir);
	struct fold_options o = {
		.dir = dir, .config = &w->config, .map_bytes = 16 << 20, .no_sync = true};
	int rc = fold_open(&cases_fold, &o, &w->f, &why);
	if (rc)
		fail_msg("fold_open: %s", why.text);
}

static UNUSED void world_load(struct world *w)
{
	struct why why = {0};
	auto_free char *dir = mem_printf("%s/runbooks", w->dir);
	const char *dirs[] = {dir};
	if (runbooks_load(dirs, 1, &w->config.cases.runbooks, &why))
		fail_msg("%s", why.text);
}

static UNUSED void world_open(struct world *w, const char *runbook)
{
	*w = (struct world){.now_ms = START_MS};
	snprintf(w->dir, sizeof(w->dir), "/tmp/healbus-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	auto_free char *runbooks = mem_printf("%s/runbooks", w->dir);
	assert_int_equal(mkdir(runbooks, 0700), 0);
	if (runbook)
		world_write(w, "one.yaml", runbook);
	w->config.cases = (struct settings){
		.plan_ttl_ms = 3600000,
		.outcome_grace_ms = 900000,
		.ineffective_limit = 5,
		.max_open_plans = 50,
		.case_retain_ms = INT64_C(7) * 86400000,
		.change_retain_ms = INT64_C(30) * 86400000,
	};
	world_load(w);
	world_open_fold(w);
}

static UNUSED void world_close(struct world *w)
{
	fold_close(w->f);
	runbooks_free(w->config.cases.runbooks);
	log_release(&w->in);
	log_release(&w->out);
	nftw(w->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* A restart of the process. */
static UNUSED void world_restart(struct world *w)
{
	fold_close(w->f);
	world_open_fold(w);
}

static UNUSED int take_row(void *ctx, const struct fold_row *row)
{
	struct world *w = ctx;
	log_add(&w->out, &row->msg);
	w->row = row->row + 1;
	return 0;
}

static UNUSED void world_feed(struct world *w, const struct world_message *m)
{
	struct why why = {0};
	struct fold_message fm = {
		.subject = m->subject,
		.id = m->id,
		.time_ms = m->time_ms,
		.stream_ns = m->time_ms * 1000000,
		.seq = ++w->seq,
		.data = m->data,
		.len = m->len,
	};
	log_add(&w->in, &fm);
	int rc = fold_apply(w->f, &fm, 1, &why);
	if (rc)
		fail_msg("fold_apply %s: %s: %s", m->subject, err_name(rc), why.text);
	size_t before = w->out.n;
	assert_int_equal(fold_outbox_each(w->f, w->row, take_row, w), 0);
	for (size_t i = before; i < w->out.n && !w->no_echo; i++) {
		/* Copied: feeding it may move the list. */
		struct world_message echo = w->out.items[i];
		if (str_starts(echo.subject, "heal."))
			world_feed(w, &echo);
	}
}

/* The subject's last token: of a control, where its kind belongs. */
static UNUSED const char *world_token(const char *kind, const json_t *j)
{
	static const char *const controls[] = {"catalogue", "call", "tick"};
	const char *control = json_string_value(json_object_get(j, "kind"));
	for (size_t i = 0; str_eq(kind, "control") && control && i < ARRAY_SIZE(controls); i++)
		if (str_eq(controls[i], control))
			return controls[i];
	const char *token =
		json_string_value(json_object_get(j, str_eq(kind, "incident") ? "id" : "incident"));
	return token ? token : "tick";
}

/* Feeds a message given as JSON at the present time; its id in the stream is `id`. */
static UNUSED void world_send(struct world *w, const char *kind, const char *id, const char *json)
{
	enum kind k;
	const ProtobufCMessageDescriptor *d;
	struct arena a = {0};
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	auto_buf packed = {0};
	json_error_t error;
	json_t *j = json_loads(json, 0, &error);
	if (!j)
		fail_msg("%s in %s", error.text, json);
	assert_int_equal(kind_find(kind, &k, &d), 0);
	if (message_from_json(d, j, &a, &msg, &why))
		fail_msg("%s", why.text);
	wire_pack(msg, &packed);
	auto_free char *subject = mem_printf("heal.%s.%s", kind, world_token(kind, j));
	struct world_message m = {.subject = subject,
				  .id = (char *)(uintptr_t)id,
				  .time_ms = w->now_ms,
				  .data = packed.data,
				  .len = packed.len};
	world_feed(w, &m);
	json_decref(j);
	arena_release(&a);
}

/* Time passes, and somebody says so. */
static UNUSED void world_tick(struct world *w, int64_t ms)
{
	static unsigned n;
	w->now_ms += ms;
	auto_free char *id = mem_printf("tick-%u", ++n);
	auto_free char *json = mem_printf("{\"id\":\"%s\",\"kind\":\"tick\",\"tick\":{\"stage\":"
					  "\"reasoner\"}}",
					  id);
	world_send(w, "control", id, json);
}

/* The monitor speaks: state "open", "resolved", "suppressed"; `more` is "" or `,"field":value`. */
static UNUSED void world_incident(struct world *w, const char *id, const char *key,
				  const char *state, int revision, const char *more)
{
	auto_free char *message = mem_printf("%s-%d", id, revision);
	auto_free char *json = mem_printf(
		"{\"id\":\"%s\",\"key\":\"%s\",\"state\":\"%s\",\"revision\":%d,\"trusted\":true,"
		"\"severity\":\"critical\",\"set_by\":\"monitor\",\"title\":\"t\",\"labels\":{"
		"\"alertname\":\"Down\",\"service\":\"web\"}%s}",
		id, key, state, revision, more);
	world_send(w, "incident", message, json);
}

/* The n-th output of this kind (from 0; negative: from the end) as JSON, or NULL. */
static UNUSED json_t *world_output(const struct world *w, enum kind kind, int n)
{
	size_t seen = 0;
	auto_free size_t *at = mem_calloc(w->out.n + 1, sizeof(*at));
	for (size_t i = 0; i < w->out.n; i++) {
		struct topic t;
		if (topic_parse(w->out.items[i].subject, &t) == 0 && t.kind == kind)
			at[seen++] = i;
	}
	size_t want = n < 0 ? seen - (size_t)-n : (size_t)n;
	if (want >= seen)
		return NULL;
	struct arena a = {0};
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	const struct world_message *m = &w->out.items[at[want]];
	if (wire_unpack(kind, m->data, m->len, &a, &msg, &why))
		fail_msg("%s", why.text);
	json_t *json = wire_to_json(msg);
	arena_release(&a);
	return json;
}

static UNUSED size_t world_outputs(const struct world *w, enum kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < w->out.n; i++) {
		struct topic t;
		n += topic_parse(w->out.items[i].subject, &t) == 0 && t.kind == kind;
	}
	return n;
}

static UNUSED const char *text_of(const json_t *json, const char *field)
{
	const char *s = json_string_value(json_object_get(json, field));
	return s ? s : "";
}

static UNUSED int64_t number_of(const json_t *json, const char *field)
{
	return json_integer_value(json_object_get(json, field));
}

/* The executor answers the last plan; `more` as above. */
static UNUSED void world_outcome(struct world *w, const char *verdict, const char *reason,
				 const char *more)
{
	json_t *plan = world_output(w, KIND_PLAN, -1);
	assert_non_null(plan);
	auto_free char *id = mem_printf("o-%s", text_of(plan, "id"));
	auto_free char *json = mem_printf(
		"{\"id\":\"%s\",\"incident\":\"%s\",\"incident_key\":\"%s\",\"plan_id\":\"%s\","
		"\"plan_digest\":\"%064d\",\"attempt\":1,\"verdict\":\"%s\",\"reason\":\"%s\"%s}",
		id, text_of(plan, "incident"), text_of(plan, "incident_key"), text_of(plan, "id"),
		1, verdict, reason, more);
	json_decref(plan);
	world_send(w, "outcome", id, json);
}

#endif
