#include "common/lease.h"
#include "common/stage_fold_private.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

/*
 * A claim's value: "1 <owner> <boot> <host> <machine> <pid> <text>". Owner is the lasting id of the
 * folder that the fold's store lies in, whose lock the process holds; machine stands for the kernel
 * and the process numbers that pid is one of. Boot "-": nobody's.
 */
enum { HOST_MAX = 64, KEY_MAX = 2 * TOKEN_MAX, CLAIM_MAX = 512, TEXT_MAX = 128 };
#define NOBODY "-"

struct owner {
	char owner[ID_BYTES];
	char boot[ID_BYTES];
	char host[HOST_MAX + 1];
	char machine[ID_BYTES];
	int pid;
	char text[TEXT_MAX + 1];
};

/* ---- being alive ---- */

static const char *live_key(const struct stage *s, const char *boot, char out[static KEY_MAX])
{
	snprintf(out, KEY_MAX, "%s.%s", s->def->name, boot);
	return out;
}

static bool stage_is_fresh(const struct stage *s)
{
	int64_t beat = atomic_load(&s->life.beat_mono_ms);
	return beat && clock_mono_ms() - beat < STAGE_FENCE_MS;
}

/* For doctor: who this is, which slot it has, and which partitions it wants. */
static void say(const struct stage *s, struct buf *out)
{
	uint32_t wants = 0;
	for (size_t i = 0; i < s->n_folds; i++)
		wants |= UINT32_C(1) << s->folds[i]->partition;
	buf_printf(out, "1 %s %u %u %x", s->instance, s->slot.n, s->slot.replicas, wants);
}

/* The lock is held. Whoever read the term before the time read a term that ends no later. */
static int beat(struct stage *s, struct why *out_why)
{
	char key[KEY_MAX];
	auto_buf value = {0};
	int64_t began = clock_mono_ms();
	say(s, &value);
	int rc = bus_kv_set(s->bus, BUCKET_LIVE, live_key(s, s->boot, key), value.data, value.len,
			    &s->life.revision, out_why);
	if (rc)
		return rc;
	if (clock_mono_ms() - atomic_load(&s->life.beat_mono_ms) >= STAGE_FENCE_MS)
		atomic_fetch_add(&s->life.term, 1);
	atomic_store(&s->life.beat_mono_ms, began);
	return 0;
}

static int beat_unless_fresh(struct stage *s, struct why *out_why)
{
	pthread_mutex_lock(&s->life.lock);
	int rc = stage_is_fresh(s) ? 0 : beat(s, out_why);
	pthread_mutex_unlock(&s->life.lock);
	return rc;
}

/* Goes on while folds and effects finish what they have in hand. */
static void wait_beat(struct stage *s)
{
	const struct timespec slice = {.tv_nsec = 20000000};
	int64_t until = clock_mono_ms() + LIVE_BEAT_MS;
	stage_sleep(s, LIVE_BEAT_MS);
	while (!atomic_load(&s->life.over) && clock_mono_ms() < until)
		nanosleep(&slice, NULL);
}

static void *run(void *arg)
{
	struct stage *s = arg;
	int logged = 0;
	while (!atomic_load(&s->life.over)) {
		struct why why = {0};
		pthread_mutex_lock(&s->life.lock);
		int rc = beat(s, &why);
		pthread_mutex_unlock(&s->life.lock);
		if (rc && rc != logged && rc != ERR_CLOSED)
			LOG(WARN, "liveness not said", S("error", err_name(rc)),
			    S("why", why.text));
		logged = rc;
		wait_beat(s);
	}
	bus_thread_done();
	return NULL;
}

void stage_life_start(struct stage *s)
{
	if (s->n_folds == 0)
		return;
	pthread_mutex_init(&s->life.lock, NULL);
	s->life.thread = stage_spawn("life", run, s);
	s->life.running = true;
}

bool stage_life_joined(struct stage *s)
{
	atomic_store(&s->life.over, true);
	if (s->life.running && stage_try_join(s->life.thread))
		s->life.running = false;
	return !s->life.running;
}

void stage_life_end(struct stage *s)
{
	char key[KEY_MAX];
	if (s->life.revision)
		bus_kv_drop(s->bus, BUCKET_LIVE, live_key(s, s->boot, key), s->life.revision);
}

/* ---- who we are ---- */

/* Of this kernel's start. */
static void read_boot(struct buf *out)
{
	if (buf_read_file(out, "/proc/sys/kernel/random/boot_id", 64))
		buf_reset(out);
}

static void machine_name(char out[static ID_BYTES])
{
	char space[64] = "";
	auto_buf kernel = {0};
	if (readlink("/proc/self/ns/pid", space, sizeof(space) - 1) < 0)
		space[0] = '\0';
	read_boot(&kernel);
	id_make(out, "machine", buf_str(&kernel), space);
}

bool fold_machine_restarted(const struct fold_loop *l)
{
	auto_free char *path = mem_printf("%s/boot", l->dir);
	auto_buf now = {0}, noted = {0};
	read_boot(&now);
	return now.len == 0 || buf_read_file(&noted, path, 64) ||
	       !str_eq(buf_str(&now), buf_str(&noted));
}

void fold_machine_note(const struct fold_loop *l)
{
	auto_free char *path = mem_printf("%s/boot", l->dir);
	auto_buf now = {0};
	if (!fold_machine_restarted(l))
		return;
	read_boot(&now);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, buf_str(&now), now.len) != (ssize_t)now.len)
		LOG(WARN, "the machine's start is not noted: the next start looks it up again",
		    S("file", path));
}

/* The folder's lasting id; made the first time. Without one it is the process's own. */
static void folder_name(const struct fold_loop *l, char out[static ID_BYTES])
{
	auto_free char *path = mem_printf("%s/owner", l->dir);
	auto_buf text = {0};
	if (buf_read_file(&text, path, ID_LEN) == 0 && text.len == ID_LEN &&
	    token_valid(buf_str(&text))) {
		snprintf(out, ID_BYTES, "%s", buf_str(&text));
		return;
	}
	id_random(out);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, out, ID_LEN) != ID_LEN || fsync(fd))
		LOG(WARN,
		    "the folder's owner is not noted, a restart will wait for its claim to age",
		    S("file", path));
}

static void self(const struct fold_loop *l, struct owner *out)
{
	const struct stage *s = l->stage;
	*out = (struct owner){.pid = (int)getpid()};
	folder_name(l, out->owner);
	snprintf(out->boot, sizeof(out->boot), "%s", s->boot);
	if (gethostname(out->host, sizeof(out->host) - 1) || !token_valid(out->host))
		snprintf(out->host, sizeof(out->host), "unnamed");
	machine_name(out->machine);
	snprintf(out->text, sizeof(out->text), "%s slot %u of %u", s->instance, s->slot.n,
		 s->slot.replicas);
}

/* ---- whose it is ---- */

static bool parse(const char *value, struct owner *out)
{
	static_assert(ID_BYTES == 21 && HOST_MAX == 64 && TEXT_MAX == 128, "the widths below");
	return sscanf(value, "1 %20[^ ] %20[^ ] %64[^ ] %20[^ ] %d %128[^\n]", out->owner,
		      out->boot, out->host, out->machine, &out->pid, out->text) == 6;
}

/* Certainly over: by its own word, an earlier process of our own folder, or a process that this
 * kernel no longer has. */
static bool is_over(const struct owner *it, const struct owner *us)
{
	if (str_eq(it->boot, NOBODY) || str_eq(it->boot, us->boot))
		return true;
	if (str_eq(it->owner, us->owner) && str_eq(it->host, us->host))
		return true;
	return str_eq(it->machine, us->machine) && kill(it->pid, 0) && errno == ESRCH;
}

static int may_take(struct fold_loop *l, const char *value, const struct owner *us,
		    struct why *out_why)
{
	struct owner it = {0};
	char key[KEY_MAX];
	bool alive = true;
	bool readable = parse(value, &it);
	l->foreign |= readable && !str_eq(it.owner, us->owner);
	if (!readable || is_over(&it, us))
		return 0;
	int rc = live_is_alive(l->stage->bus, live_key(l->stage, it.boot, key), &alive, out_why);
	if (rc)
		return rc;
	return alive ? why_set(out_why, ERR_BUSY, "%s belongs to %s: standing by", l->consumer,
			       it.text)
		     : 0;
}

static const char *claim_key(const struct fold_loop *l, char out[static KEY_MAX])
{
	snprintf(out, KEY_MAX, "fold.%s", l->consumer);
	return out;
}

static int write_claim(struct fold_loop *l, const struct owner *o, uint64_t revision,
		       struct why *out_why)
{
	char key[KEY_MAX], value[CLAIM_MAX];
	snprintf(value, sizeof(value), "1 %s %s %s %s %d %s", o->owner, o->boot, o->host,
		 o->machine, o->pid, o->text);
	return bus_kv_put(l->stage->bus, BUCKET_CLAIM, claim_key(l, key), value, strlen(value),
			  revision, &l->claim, out_why);
}

/* Written even when it is ours already: what was read may be old. */
static int take(struct fold_loop *l, struct why *out_why)
{
	struct owner us;
	struct bus_kv_entry e = {0};
	struct why why = {0};
	char key[KEY_MAX];
	self(l, &us);
	int rc = bus_kv_get(l->stage->bus, BUCKET_CLAIM, claim_key(l, key), &e, &why);
	if (rc == 0)
		rc = may_take(l, e.value, &us, &why);
	else if (rc == ERR_NOT_FOUND)
		rc = 0;
	if (rc == 0)
		rc = write_claim(l, &us, e.revision, &why);
	free(e.value);
	if (rc == ERR_CONFLICT)
		rc = why_set(&why, ERR_BUSY, "%s was taken a moment ago", l->consumer);
	return rc ? why_set(out_why, rc, "%s", why.text) : 0;
}

int fold_owner_take(struct fold_loop *l, struct why *out_why)
{
	int rc = beat_unless_fresh(l->stage, out_why);
	uint64_t term = atomic_load(&l->stage->life.term);
	if (rc == 0)
		rc = take(l, out_why);
	if (rc)
		return rc;
	l->term = term;
	return fold_owner_is(l) ? 0 : why_set(out_why, ERR_UNAVAILABLE, "the bus was too slow");
}

bool fold_owner_is(const struct fold_loop *l)
{
	return stage_is_fresh(l->stage) && atomic_load(&l->stage->life.term) == l->term;
}

void fold_owner_release(struct fold_loop *l)
{
	struct owner us;
	if (!l->claim || !fold_owner_is(l))
		return;
	self(l, &us);
	snprintf(us.boot, sizeof(us.boot), NOBODY);
	write_claim(l, &us, l->claim, NULL);
	l->claim = 0;
}
