#include "common/fold_private.h"

#include <fcntl.h>
#include <sys/mman.h>

static bool same_attempt(const struct fold_attempt *a, const struct fold_attempt *b)
{
	return a->seq == b->seq && a->stream_ns == b->stream_ns && str_eq(a->timer, b->timer);
}

/* What the last process was in the middle of when it died. */
static void count_death(struct fold_tries *t)
{
	t->current.timer[sizeof(t->current.timer) - 1] = '\0';
	t->suspect.timer[sizeof(t->suspect.timer) - 1] = '\0';
	if (t->current.seq == 0)
		return;
	t->deaths = same_attempt(&t->current, &t->suspect) ? t->deaths + 1 : 1;
	t->suspect = t->current;
	t->current.seq = 0;
}

int fold_tries_open(struct fold *f, const char *dir, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/fold.try", dir);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	int errnum = posix_fallocate(fd, 0, sizeof(struct fold_tries));
	if (errnum)
		return why_set(out_why, err_from_errno(errnum), "%s: %s", path, strerror(errnum));
	void *map =
		mmap(NULL, sizeof(struct fold_tries), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	f->tries = map;
	count_death(f->tries);
	return 0;
}

void fold_tries_close(struct fold *f)
{
	if (f->tries)
		munmap(f->tries, sizeof(*f->tries));
	f->tries = NULL;
}

bool fold_tries_enter(struct fold *f, const struct fold_message *m, const char *timer)
{
	struct fold_attempt *c = &f->tries->current;
	c->stream_ns = m->stream_ns;
	size_t len = MIN(strlen(timer), sizeof(c->timer) - 1);
	memcpy(c->timer, timer, len);
	c->timer[len] = '\0';
	c->seq = m->seq;
	return f->tries->deaths >= FOLD_POISON_TRIES && same_attempt(c, &f->tries->suspect);
}

void fold_tries_leave(struct fold *f)
{
	f->tries->current.seq = 0;
}
