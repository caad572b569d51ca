#include "executor/sandboxes/watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { EVERY_TICKS = 2, DEPTH_MAX = 60 };

struct tally {
	int64_t bytes, files;
	const struct sandbox_room *room;
};

static bool over(const struct tally *t)
{
	return t->bytes > t->room->disk_bytes || t->files > t->room->files;
}

static DIR *open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d && fd >= 0)
		close(fd);
	return d;
}

static void count(struct tally *t, int at, const char *name, int depth)
{
	DIR *d = open_dir(at, name);
	for (struct dirent *e; d && !over(t) && (e = readdir(d));) {
		struct stat st;
		if (str_eq(e->d_name, ".") || str_eq(e->d_name, "..") ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		t->files++;
		t->bytes += (int64_t)st.st_blocks * 512;
		if (!S_ISDIR(st.st_mode))
			continue;
		if (depth < DEPTH_MAX)
			count(t, dirfd(d), e->d_name, depth + 1);
		else
			t->files = t->room->files + 1; /* nobody needs so deep a tree */
	}
	if (d)
		closedir(d);
}

bool watch_tick(void *watch)
{
	struct watch *w = watch;
	if (w->limits->tick && !w->limits->tick(w->limits->tick_ctx))
		return false;
	if (++w->ticks % EVERY_TICKS)
		return true;
	struct tally t = {.room = w->room};
	count(&t, w->dir_fd, ".", 0);
	w->full = over(&t);
	return !w->full;
}

void watch_tell(const struct watch *w, struct run_result *result)
{
	if (!w->full)
		return;
	result->why = (struct why){0};
	why_set(&result->why, ERR_TOO_LARGE,
		"its files took more than %" PRId64 " MiB or %" PRId64 " entries",
		w->room->disk_bytes >> 20, w->room->files);
}
