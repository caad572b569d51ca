#include "reasoner/memory/memory_api.h"

#include "reasoner/config.h"
#include "reasoner/memories/memories.h"
#include "reasoner/memory/memory_json.h"
#include "reasoner/shared.h"

#include <fcntl.h>

enum { K_DEFAULT = 10, K_MAX = 100 };

/* A pipe of requests: the kernel's queue, its bound and its wake-ups. */
struct memory_api {
	int queue_in, queue_out;
};

int memory_api_open(struct memory_api **out, struct why *out_why)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return why_set(out_why, err_from_errno(errno), "pipe: %s", strerror(errno));
	*out = mem_alloc(sizeof(**out));
	**out = (struct memory_api){.queue_in = fds[1], .queue_out = fds[0]};
	return 0;
}

static struct http_request *queue_take(const struct memory_api *api)
{
	struct http_request *req = NULL;
	return read(api->queue_out, &req, sizeof(req)) == sizeof(req) ? req : NULL;
}

void memory_api_close(struct memory_api *api)
{
	if (!api)
		return;
	for (struct http_request *req; (req = queue_take(api));)
		http_reply_retry(req, 503, 1, "stopping");
	close(api->queue_in);
	close(api->queue_out);
	free(api);
}

void memory_api_enqueue(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	struct shared *all = stage_data(s);
	if (all && !stage_stopping(s) &&
	    write(all->memory->queue_in, &req, sizeof(req)) == sizeof(req))
		return;
	http_reply_retry(req, 503, 1, "stopping, or too many requests under way");
}

/* ---- answers ---- */

/* One thread's. */
struct desk_of_memory {
	struct stage *stage;
	struct memory_index index;
	struct http_client *http;
	struct arena arena; /* of one request */
};

struct asked {
	struct desk_of_memory *desk;
	struct http_request *req;
	const struct memory_config *config;
};

static struct store_txn *begin(const struct asked *a)
{
	return store_begin_read(fold_store(stage_fold(a->desk->stage, 0, 0)));
}

static size_t asked_k(const struct asked *a)
{
	const char *text = http_query(a->req, "k");
	char *end = NULL;
	long k = text ? strtol(text, &end, 10) : K_DEFAULT;
	return text && (*end || end == text) ? K_DEFAULT : (size_t)MIN(MAX(k, 1), K_MAX);
}

struct recalled {
	Healbus__Recalled **list;
	size_t n;
};

/* Not within a transaction. Adds what could not be had. */
static void ask_others(const struct asked *a, const struct memory_query *q, struct recalled *io,
		       json_t *missing)
{
	const char *others = http_query(a->req, "others");
	struct memories m = {.config = a->config, .http = a->desk->http, .arena = &a->desk->arena};
	if (!others || !str_eq(others, "1"))
		return;
	memories_recall(&m, q, &io->list, &io->n);
	for (size_t i = 0; i < m.n_missing; i++)
		json_array_append_new(missing, json_string(m.missing[i]));
}

static int answer_like(const struct asked *a, const char *like, json_t **out)
{
	struct memory_query q = {.text = like, .k = asked_k(a), .index = &a->desk->index};
	struct recalled found = {0};
	json_t *missing = json_array();
	struct store_txn *txn = begin(a);
	int rc = memory_recall(txn, &q, &a->desk->arena, &found.list, &found.n);
	store_end(txn);
	if (!rc) {
		ask_others(a, &q, &found, missing);
		txn = begin(a);
		rc = memories_json_recalled(txn, found.list, found.n, out);
		store_end(txn);
	}
	if (rc)
		json_decref(missing);
	else
		json_object_set_new(*out, "missing", missing);
	return rc;
}

static int answer_list(const struct asked *a, json_t **out)
{
	const char *like = http_query(a->req, "like");
	if (like && *like)
		return answer_like(a, like, out);
	auto_txn txn = begin(a);
	return memories_json_latest(txn, asked_k(a), out);
}

static int answer_one(const struct asked *a, json_t **out)
{
	char incident[TOKEN_MAX + 1];
	const char *prefix = http_wildcard(a->req);
	auto_txn txn = begin(a);
	int rc = token_valid(prefix) ? memory_find(txn, prefix, incident) : ERR_NOT_FOUND;
	return rc ? rc : memory_json(txn, incident, out);
}

static int answer_statistics(const struct asked *a, json_t **out)
{
	auto_txn txn = begin(a);
	return statistics_json(txn, &a->config->prior, out);
}

static const struct {
	const char *path;
	int (*answer)(const struct asked *a, json_t **out);
} answers[] = {
	{"/memory", answer_list},
	{"/statistics", answer_statistics},
};

static int answer(const struct asked *a, json_t **out)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		if (str_eq(http_path(a->req), answers[i].path))
			return answers[i].answer(a, out);
	}
	return answer_one(a, out);
}

static void reply(struct http_request *req, int rc, json_t *out)
{
	struct why why = {0};
	auto_free char *text = rc ? NULL : json_dumps(out, JSON_COMPACT);
	json_decref(out);
	if (text) {
		http_reply(req, 200, "application/json", text, strlen(text));
		return;
	}
	why_set(&why, rc, "%s", rc == ERR_NOT_FOUND ? "no such memory" : err_name(rc));
	http_reply_error(req, rc ? rc : ERR_INTERNAL, &why);
}

static void serve(struct desk_of_memory *desk, struct http_request *req)
{
	const void *config = stage_config_get(desk->stage);
	struct asked a = {.desk = desk, .req = req, .config = &settings_of(config)->memory};
	json_t *out = NULL;
	int rc = answer(&a, &out);
	stage_config_put(desk->stage, config);
	reply(req, rc, out);
	arena_reset(&desk->arena);
}

void memory_api_run(struct stage *s)
{
	const struct shared *all = stage_data(s);
	struct desk_of_memory desk = {.stage = s};
	if (http_client_new(&desk.http))
		return;
	while (!stage_await(s, all->memory->queue_out, -1)) {
		struct http_request *req = queue_take(all->memory);
		if (req)
			serve(&desk, req);
	}
	http_client_free(desk.http);
	memory_index_release(&desk.index);
	arena_release(&desk.arena);
}
