#include "notifier/channels/telegram_inbox.h"

#include "common/buf.h"
#include "common/mem.h"

#include <fcntl.h>
#include <pthread.h>

enum { FILE_MAX_BYTES = 64 << 10 };

struct telegram_inbox {
	pthread_mutex_t lock;
	pthread_cond_t came;
	char *path; /* NULL: not open */
	int64_t taken[INBOX_KEPT];
	size_t n_taken; /* ever; the ring's next place is n_taken % INBOX_KEPT */
	int64_t highest;
	char *waiting[INBOX_WAITING_MAX];
	size_t first, n_waiting;
};

struct telegram_inbox *telegram_inbox_new(void)
{
	struct telegram_inbox *b = mem_alloc(sizeof(*b));
	pthread_condattr_t attr;
	pthread_mutex_init(&b->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->came, &attr);
	pthread_condattr_destroy(&attr);
	return b;
}

void telegram_inbox_free(struct telegram_inbox *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_waiting; i++)
		free(b->waiting[(b->first + i) % INBOX_WAITING_MAX]);
	pthread_cond_destroy(&b->came);
	pthread_mutex_destroy(&b->lock);
	free(b->path);
	free(b);
}

static void remember(struct telegram_inbox *b, int64_t update)
{
	b->taken[b->n_taken++ % INBOX_KEPT] = update;
	b->highest = MAX(b->highest, update);
}

/* Update ids, one a line, oldest first. */
static int load(struct telegram_inbox *b, const char *path, struct why *out_why)
{
	auto_buf text = {0};
	int rc = buf_read_file(&text, path, FILE_MAX_BYTES);
	if (rc == ERR_NOT_FOUND)
		return 0;
	for (const char *at = buf_str(&text); !rc && *at;) {
		char *end = NULL;
		errno = 0;
		long long update = strtoll(at, &end, 10);
		if (errno || end == at || *end != '\n' || update <= 0)
			rc = ERR_CORRUPT;
		else
			remember(b, update);
		at = end + 1;
	}
	return rc ? why_set(out_why, rc,
			    "%s: not a list of Telegram's update ids; move it away, and what it "
			    "said was answered may be answered once more",
			    path)
		  : 0;
}

int telegram_inbox_open(struct telegram_inbox *b, const char *path, struct why *out_why)
{
	pthread_mutex_lock(&b->lock);
	int rc = b->path ? 0 : load(b, path, out_why);
	if (!rc && !b->path)
		b->path = mem_strdup(path);
	pthread_mutex_unlock(&b->lock);
	return rc;
}

static int save(struct telegram_inbox *b, struct why *out_why)
{
	auto_buf text = {0};
	auto_free char *fresh = mem_printf("%s.new", b->path);
	size_t n = MIN(b->n_taken, (size_t)INBOX_KEPT);
	for (size_t i = b->n_taken - n; i < b->n_taken; i++)
		buf_printf(&text, "%" PRId64 "\n", b->taken[i % INBOX_KEPT]);
	auto_fd int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool ok = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len && !fsync(fd) &&
		  !rename(fresh, b->path);
	return ok ? 0 : why_set(out_why, ERR_IO, "%s: %s", b->path, strerror(errno));
}

static bool is_known(const struct telegram_inbox *b, int64_t update)
{
	size_t n = MIN(b->n_taken, (size_t)INBOX_KEPT);
	int64_t lowest = INT64_MAX;
	for (size_t i = 0; i < n; i++) {
		if (b->taken[i] == update)
			return true;
		lowest = MIN(lowest, b->taken[i]);
	}
	return n == INBOX_KEPT && update < lowest;
}

int telegram_inbox_take(struct telegram_inbox *b, int64_t update, struct why *out_why)
{
	int rc = 0;
	pthread_mutex_lock(&b->lock);
	if (is_known(b, update)) {
		rc = why_set(out_why, ERR_EXISTS, "update %" PRId64 " was taken before", update);
	} else {
		remember(b, update);
		rc = b->path ? save(b, out_why) : 0;
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

int64_t telegram_inbox_offset(struct telegram_inbox *b)
{
	pthread_mutex_lock(&b->lock);
	int64_t offset = b->highest ? b->highest + 1 : 0;
	pthread_mutex_unlock(&b->lock);
	return offset;
}

int telegram_inbox_put(struct telegram_inbox *b, const char *text, size_t len)
{
	int rc = ERR_BUSY;
	pthread_mutex_lock(&b->lock);
	if (b->n_waiting < INBOX_WAITING_MAX) {
		b->waiting[(b->first + b->n_waiting++) % INBOX_WAITING_MAX] = mem_dup(text, len);
		pthread_cond_signal(&b->came);
		rc = 0;
	}
	pthread_mutex_unlock(&b->lock);
	return rc;
}

char *telegram_inbox_get(struct telegram_inbox *b, int64_t timeout_ms)
{
	struct timespec until;
	char *text = NULL;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&b->lock);
	while (!b->n_waiting && !pthread_cond_timedwait(&b->came, &b->lock, &until))
		;
	if (b->n_waiting) {
		text = b->waiting[b->first];
		b->first = (b->first + 1) % INBOX_WAITING_MAX;
		b->n_waiting--;
	}
	pthread_mutex_unlock(&b->lock);
	return text;
}
