#include "common/taken.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/id.h"
#include "common/mem.h"

/* As it lies in the file; check is 0 when the row is free. */
struct row {
	_Atomic uint64_t check;
	uint64_t tries; /* lives that took it up */
	char reply[TAKEN_REPLY_MAX];
};

struct taken {
	int fd;
	struct row *rows;
	size_t n;
	pthread_mutex_t lock; /* guards what follows */
	size_t *free_rows;
	size_t n_free;
	size_t *left;          /* rows of an earlier process, still to be handed out */
	_Atomic size_t n_left; /* mostly 0: read without the lock */
	size_t n_found;
};

static uint64_t check_of(const char *reply, size_t len)
{
	uint64_t hash = fnv1a(FNV_INIT, reply, len);
	return hash ? hash : 1;
}

static bool row_holds(const struct row *r)
{
	size_t len = strnlen(r->reply, sizeof(r->reply));
	return r->check && len > 0 && len < sizeof(r->reply) && r->check == check_of(r->reply, len);
}

static int map_file(struct taken *t, const char *path, size_t rows, struct why *out_why)
{
	struct stat st;
	t->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (t->fd < 0 || fstat(t->fd, &st))
		return why_set(out_why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (flock(t->fd, LOCK_EX | LOCK_NB))
		return why_set(out_why, ERR_BUSY, "%s: in use by another process", path);
	size_t before = MIN((size_t)st.st_size / sizeof(struct row), (size_t)TAKEN_ROWS_MAX);
	t->n = MAX(before, MIN(rows, (size_t)TAKEN_ROWS_MAX));
	/* Allocated, not only sized: a full disk must not become a signal later. */
	int rc = posix_fallocate(t->fd, 0, (off_t)(t->n * sizeof(struct row)));
	if (rc)
		return why_set(out_why, ERR_UNAVAILABLE, "%s: %s", path, strerror(rc));
	void *rows_at =
		mmap(NULL, t->n * sizeof(struct row), PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (rows_at == MAP_FAILED)
		return why_set(out_why, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	t->rows = rows_at;
	return 0;
}

static void sort_rows(struct taken *t)
{
	t->free_rows = mem_calloc(t->n, sizeof(*t->free_rows));
	t->left = mem_calloc(t->n, sizeof(*t->left));
	for (size_t i = t->n; i > 0; i--) {
		if (row_holds(&t->rows[i - 1]) && t->rows[i - 1].tries < TAKEN_TRIES) {
			t->left[t->n_left++] = i - 1;
			continue;
		}
		t->rows[i - 1].check = 0;
		t->free_rows[t->n_free++] = i - 1;
	}
	t->n_found = t->n_left;
}

int taken_open(const char *dir, const char *consumer, size_t rows, struct taken **out,
	       struct why *out_why)
{
	auto_free char *path = mem_printf("%s/taken-%s", dir, consumer);
	struct taken *t = mem_alloc(sizeof(*t));
	t->fd = -1;
	pthread_mutex_init(&t->lock, NULL);
	int rc = map_file(t, path, MAX(rows, (size_t)1), out_why);
	if (rc) {
		taken_close(t);
		return rc;
	}
	sort_rows(t);
	*out = t;
	return 0;
}

void taken_close(struct taken *t)
{
	if (!t)
		return;
	if (t->rows)
		munmap(t->rows, t->n * sizeof(struct row));
	if (t->fd >= 0)
		close(t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t->free_rows);
	free(t->left);
	free(t);
}

size_t taken_put(struct taken *t, const char *reply)
{
	size_t len = reply ? strlen(reply) : 0;
	size_t row = TAKEN_NONE;
	if (!t || len == 0 || len >= TAKEN_REPLY_MAX)
		return row;
	pthread_mutex_lock(&t->lock);
	if (t->n_free > 0)
		row = t->free_rows[--t->n_free];
	pthread_mutex_unlock(&t->lock);
	if (row == TAKEN_NONE)
		return row;
	memcpy(t->rows[row].reply, reply, len + 1);
	t->rows[row].tries = 0;
	t->rows[row].check = check_of(reply, len);
	return row;
}

void taken_drop(struct taken *t, size_t row)
{
	if (!t || row == TAKEN_NONE)
		return;
	assert(row < t->n);
	t->rows[row].check = 0;
	pthread_mutex_lock(&t->lock);
	t->free_rows[t->n_free++] = row;
	pthread_mutex_unlock(&t->lock);
}

bool taken_next(struct taken *t, char out_reply[static TAKEN_REPLY_MAX], size_t *out_row)
{
	bool found = false;
	if (!t || t->n_left == 0)
		return found;
	pthread_mutex_lock(&t->lock);
	if (t->n_left > 0) {
		found = true;
		*out_row = t->left[--t->n_left];
		memcpy(out_reply, t->rows[*out_row].reply, TAKEN_REPLY_MAX);
		t->rows[*out_row].tries++;
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

size_t taken_left(const struct taken *t)
{
	return t ? t->n_found : 0;
}
