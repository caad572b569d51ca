#include "monitor/status.h"
#include "common/clock.h"
#include "monitor/config.h"
#include "monitor/state.h"

static const char *const words[GROUP_STATES] = {"rest", "pending", "open", "suppressed"};

struct listing {
	struct store_txn *txn;
	json_t *incidents;
	int64_t counts[GROUP_STATES];
	int64_t now_ms;
};

static int group_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct listing *l = ctx;
	const struct labels labels = {val.data, val.len};
	char name[ID_BYTES] = "";
	struct group g;

	memcpy(name, key, MIN(key_len, (size_t)ID_LEN));
	if (group_read(l->txn, name, &g) || g.state == GROUP_REST || g.state >= GROUP_STATES)
		return 0;
	l->counts[g.state]++;
	if (json_array_size(l->incidents) >= STATUS_MAX)
		return 0;
	json_array_append_new(l->incidents,
			      json_pack("{s:s,s:s,s:s?,s:s?,s:s,s:I,s:I}", "incident", g.incident,
					"name", g.name, "repository",
					labels_lookup(&labels, "repository"), "branch",
					labels_lookup(&labels, "branch"), "state", words[g.state],
					"age_ms", (json_int_t)MAX(l->now_ms - g.opened_ms, 0),
					"firing", (json_int_t)g.firing));
	return 0;
}

static int partition_list(struct listing *l, struct fold *f)
{
	auto_txn txn = store_begin_read(fold_store(f));

	l->txn = txn;
	return store_each(txn, &table_agreed, NULL, group_visit, l);
}

void status_answer(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	struct listing l = {.incidents = json_array(), .now_ms = clock_real_ms()};
	auto_free char *text = NULL;
	json_t *out;
	int rc = 0;

	for (unsigned p = 0; p < PARTITIONS && !rc; p++) {
		struct fold *f = stage_fold(s, 0, p);

		rc = f ? partition_list(&l, f) : 0;
	}
	out = json_pack("{s:o,s:{s:I,s:I,s:I}}", "incidents", l.incidents, "counts", "open",
			(json_int_t)l.counts[GROUP_OPEN], "pending",
			(json_int_t)l.counts[GROUP_PENDING], "suppressed",
			(json_int_t)l.counts[GROUP_SUPPRESSED]);
	text = json_dumps(out, JSON_COMPACT);
	json_decref(out);
	if (rc || !text)
		http_reply_error(req, rc ? rc : ERR_INTERNAL, &(struct why){"cannot be read"});
	else
		http_reply(req, 200, "application/json", text, strlen(text));
}
