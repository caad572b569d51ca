#include "common/log.h"
#include "common/metrics.h"
#include "reasoner/config.h"
#include "reasoner/memories/memories.h"
#include "reasoner/memory/memory_api.h"

#include <sys/stat.h>

enum {
	FEED_PAUSE_MS = 1000,
	FEED_BACK_OFF_MAX_MS = 60000,
	FEED_BATCH = 64, /* to one store, before the next has its turn */
	NUMBER_BYTES = 32,
};

static struct metric told = METRIC_COUNTER("healbus_memories_told_total",
					   "Memories that other stores were told of.", "store");
static struct metric failed = METRIC_COUNTER("healbus_memories_failed_total",
					     "Calls of other memory stores that failed.", "store");

struct feed {
	struct stage *stage;
	const struct reasoner_config *config;
	struct memories memories;
	struct arena arena;
	bool failed;
};

/* ---- how far each store is ---- */

static char *cursor_path(const struct feed *f, const struct memory_store *s)
{
	return mem_printf("%s/memories/%s", f->config->stage.shared_dir, s->name);
}

static uint64_t cursor_read(const struct feed *f, const struct memory_store *s)
{
	auto_free char *path = cursor_path(f, s);
	auto_buf text = {0};
	return buf_read_file(&text, path, NUMBER_BYTES) ? 0 : strtoull(buf_str(&text), NULL, 10);
}

static int cursor_write(const struct feed *f, const struct memory_store *s, uint64_t next)
{
	auto_free char *dir = mem_printf("%s/memories", f->config->stage.shared_dir);
	auto_free char *path = cursor_path(f, s);
	auto_free char *new = mem_printf("%s.new", path);
	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_from_errno(errno);
	FILE *file = fopen(new, "we");
	if (!file)
		return err_from_errno(errno);
	bool written = fprintf(file, "%" PRIu64 "\n", next) > 0;
	if (fclose(file) || !written || rename(new, path))
		return ERR_IO;
	return 0;
}

/* ---- telling ---- */

/* The next memory from `from` on, copied, so that no transaction spans the call. */
static int next_memory(struct feed *f, uint64_t from, uint64_t *out_number,
		       Healbus__ModelExchange **out)
{
	auto_txn txn = store_begin_read(fold_store(stage_fold(f->stage, 0, 0)));
	return memory_next(txn, from, out_number, &f->arena, out);
}

static int tell_one(struct feed *f, const struct memory_store *s, uint64_t *io_next)
{
	Healbus__ModelExchange *m = NULL;
	struct why why = {0};
	uint64_t number = 0;
	arena_reset(&f->arena);
	int rc = next_memory(f, *io_next, &number, &m);
	if (rc)
		return rc;
	rc = memories_put(&f->memories, s, m, &why);
	metric_add(rc ? &failed : &told, 1, s->name);
	if (rc) {
		f->failed = true;
		LOG(WARN, "memory store failed", S("store", s->name), S("why", why.text));
		return rc;
	}
	*io_next = number + 1;
	return cursor_write(f, s, *io_next);
}

static void tell(struct feed *f, const struct memory_store *s)
{
	uint64_t next = cursor_read(f, s);
	int rc = 0;
	for (int i = 0; !rc && i < FEED_BATCH && !stage_stopping(f->stage); i++)
		rc = tell_one(f, s, &next);
}

static void tell_all(struct feed *f)
{
	f->config = stage_config_get(f->stage);
	f->memories.config = &settings_of(f->config)->memory;
	f->memories.arena = &f->arena;
	f->failed = false;
	for (size_t i = 0; i < f->memories.config->stores.n; i++)
		tell(f, &f->memories.config->stores.items[i]);
	stage_config_put(f->stage, f->config);
}

void memory_feed_run(struct stage *s)
{
	struct feed f = {.stage = s};
	auto_fd int sole = -1;
	int64_t pause = FEED_PAUSE_MS;
	if (http_client_new(&f.memories.http))
		return;
	while (!stage_sleep(s, pause)) {
		if (stage_is_sole(s, "memories", &sole))
			tell_all(&f);
		pause = f.failed ? MIN(pause * 2, FEED_BACK_OFF_MAX_MS) : FEED_PAUSE_MS;
	}
	http_client_free(f.memories.http);
	arena_release(&f.arena);
}
