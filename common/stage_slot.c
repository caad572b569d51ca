#include "common/stage_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { SLOT_LOOK_MS = 500 };

static bool is_partitioned(const struct stage_def *def)
{
	for (size_t i = 0; i < def->n_folds; i++)
		if (def->folds[i]->partitioned)
			return true;
	return false;
}

/* How many processes of this stage one bus knows apart. */
static unsigned limit(const struct stage_def *def)
{
	if (def->n_folds == 0)
		return STAGE_SLOTS_MAX;
	return is_partitioned(def) ? PARTITIONS : TOPIC_REPLICAS;
}

static unsigned count(const struct stage_def *def, const struct stage_config *c)
{
	if (c->replicas > 0)
		return (unsigned)c->replicas;
	return is_partitioned(def) ? 1 : limit(def);
}

int stage_slot_check(const struct stage_def *def, const struct stage_config *c, struct why *out_why)
{
	if (c->replicas > limit(def))
		return why_set(out_why, ERR_CONFIG,
			       "replicas: %" PRId64 ", but of healbus-%s there may be %u",
			       c->replicas, def->name, limit(def));
	if (c->slot >= (int64_t)count(def, c))
		return why_set(out_why, ERR_CONFIG,
			       "slot: %" PRId64 " of %u: slots count from 0; raise replicas",
			       c->slot, count(def, c));
	if (c->replicas > 1 && !c->slots && c->slot < 0)
		return why_set(out_why, ERR_CONFIG,
			       "replicas: %" PRId64
			       " want slots: true, where they share state_dir, "
			       "or each its own slot: 0 to %" PRId64 " and state_dir",
			       c->replicas, c->replicas - 1);
	return 0;
}

static char *stage_slot_dir(const char *state_dir, unsigned n)
{
	return mem_printf("%s/slot-%u", state_dir, n);
}

/* What a single process left where there are slots now becomes the first slot's: its stores, known
 * by their locks. Partitions lie where all slots look for them. */
static int adopt(const struct stage_def *def, const char *state_dir, const char *slot_dir,
		 struct why *out_why)
{
	DIR *dir = is_partitioned(def) ? NULL : opendir(state_dir);
	int rc = 0;
	for (struct dirent *e; dir && !rc && (e = readdir(dir));) {
		auto_free char *from = mem_printf("%s/%s", state_dir, e->d_name);
		auto_free char *to = mem_printf("%s/%s", slot_dir, e->d_name);
		auto_free char *lock = mem_printf("%s/store.lock", from);
		if (e->d_name[0] == '.' || access(lock, F_OK))
			continue;
		LOG(INFO, "state goes into the first slot", S("from", from), S("to", to));
		if (rename(from, to))
			rc = why_set(out_why, ERR_CONFIG, "%s: %s", from, strerror(errno));
	}
	if (dir)
		closedir(dir);
	return rc;
}

/* ERR_BUSY: another process has it. */
static int take(struct stage *s, const char *state_dir, unsigned n, struct why *out_why)
{
	auto_free char *dir = stage_slot_dir(state_dir, n);
	auto_free char *path = mem_printf("%s/slot.lock", dir);
	if (mkdir(dir, 0700) && errno != EEXIST)
		return why_set(out_why, ERR_CONFIG, "%s: %s", dir, strerror(errno));
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_set(out_why, ERR_CONFIG, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		return ERR_BUSY;
	int rc = n == 0 ? adopt(s->def, state_dir, dir, out_why) : 0;
	if (rc)
		return rc;
	s->slot.fd = fd_take(&fd);
	s->slot.n = n;
	return 0;
}

static int take_any(struct stage *s, const struct stage_config *c, struct why *out_why)
{
	unsigned first = c->slot < 0 ? 0 : (unsigned)c->slot;
	unsigned end = c->slot < 0 ? count(s->def, c) : first + 1;
	int rc = ERR_BUSY;
	for (unsigned n = first; n < end && rc == ERR_BUSY; n++)
		rc = take(s, c->state_dir, n, out_why);
	return rc;
}

/* One more than there are slots for: it waits until a process ends, whichever way. */
static int stand_by(struct stage *s, const struct stage_config *c, const sigset_t *signals,
		    struct why *out_why)
{
	const struct timespec look = {.tv_nsec = SLOT_LOOK_MS * 1000000L};
	atomic_store(&s->slot.standing_by, true);
	LOG(WARN, "all slots are taken, standing by until one is free",
	    S("state_dir", c->state_dir), I("slots", count(s->def, c)));
	int rc = stage_http_open(s, out_why);
	while (rc == 0 && (rc = take_any(s, c, out_why)) == ERR_BUSY) {
		stage_service_turn(s);
		int sig = sigtimedwait(signals, NULL, &look);
		rc = sig > 0 && sig != SIGHUP ? ERR_CLOSED : 0;
	}
	stage_http_close(s);
	atomic_store(&s->slot.standing_by, false);
	return rc;
}

int stage_slot_take(struct stage *s, const sigset_t *signals, struct why *out_why)
{
	const struct stage_config *c = stage_snapshot_values(s->config);
	s->slot.fd = -1;
	s->slot.n = c->slot < 0 ? 0 : (unsigned)c->slot;
	s->slot.of = is_partitioned(s->def) ? count(s->def, c) : 1;
	s->slot.replicas = count(s->def, c);
	s->slot.shared = c->slots;
	if (!c->slots)
		return 0;
	int rc = stage_make_dir(c->state_dir, out_why);
	if (rc == 0)
		rc = take_any(s, c, out_why);
	if (rc == ERR_BUSY)
		rc = stand_by(s, c, signals, out_why);
	if (rc == 0)
		LOG(INFO, "slot taken", I("slot", s->slot.n), I("slots", s->slot.replicas));
	return rc;
}

/* Whatever a reload says: a slot is for life. */
void stage_slot_apply(const struct stage *s, struct stage_config *c)
{
	c->slots = s->slot.shared;
	c->slot = s->slot.n;
	if (!c->slots)
		return;
	free(c->state_dir);
	c->state_dir = stage_slot_dir(c->shared_dir, s->slot.n);
}

void stage_slot_release(struct stage *s)
{
	if (s->slot.fd >= 0)
		close(s->slot.fd);
	s->slot.fd = -1;
}

bool stage_is_sole(struct stage *s, const char *what, int *io_fd)
{
	if (!s->slot.shared)
		return s->slot.n == 0;
	if (*io_fd >= 0)
		return true;
	const struct stage_config *c = stage_config_get(s);
	auto_free char *path = mem_printf("%s/%s.lock", c->shared_dir, what);
	stage_config_put(s, c);
	auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
		return false;
	*io_fd = fd_take(&fd);
	return true;
}

uint32_t stage_slot_partitions(const struct stage *s)
{
	uint32_t set = 0;
	for (unsigned p = s->slot.n; p < PARTITIONS; p += MAX(1U, s->slot.of))
		set |= UINT32_C(1) << p;
	return set;
}
