#include "notifier/sent_before.h"

#include "common/id.h"

#include <stdatomic.h>

enum { REMEMBERED_MAX = 1024 };

/* The last of their ids, as hashes. */
struct remembered {
	atomic_uint_fast64_t items[REMEMBERED_MAX];
	atomic_uint_fast64_t next;
};

static struct remembered given_back, unsure;

static uint64_t id_hash(const char *id)
{
	return fnv1a(FNV_INIT, id, strlen(id)) | 1;
}

static bool has(const struct remembered *all, uint64_t hash)
{
	for (size_t i = 0; i < REMEMBERED_MAX; i++)
		if (atomic_load(&all->items[i]) == hash)
			return true;
	return false;
}

static void put(struct remembered *all, const char *notice)
{
	uint64_t hash = id_hash(notice);
	if (!has(all, hash))
		atomic_store(&all->items[atomic_fetch_add(&all->next, 1) % REMEMBERED_MAX], hash);
}

void sent_before_no(const char *notice)
{
	put(&given_back, notice);
}

void sent_before_maybe(const char *notice)
{
	put(&unsure, notice);
}

bool sent_before(const struct effect_job *job, const char *notice)
{
	uint64_t hash = id_hash(notice);
	if (has(&unsure, hash))
		return true;
	return job->delivered < 2 ? job->again : !has(&given_back, hash);
}
