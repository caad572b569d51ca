#include "common/store_impl.h"

#include "common/buf.h"
#include "common/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

/*
 * Damage that is met while the store is in use: a row whose check-sum is wrong, a page that leads
 * out of the file (SIGBUS or SIGSEGV on the thread that read it), a structure that LMDB asserts. It
 * is noted in a file next to the data, so that the next store_open() refuses it.
 */

enum { GUARDED_MAX = 16, BEHIND_MAP_BYTES = 64 << 10 };

/* The maps that the handler knows. One more store than there is room for has no guard. */
static struct store *_Atomic guarded[GUARDED_MAX];
static pthread_mutex_t handlers_lock = PTHREAD_MUTEX_INITIALIZER;
static store_damaged *_Atomic on_damaged;

static const int faults[] = {SIGBUS, SIGSEGV};
static struct sigaction before[ARRAY_SIZE(faults)];

void store_on_damaged(store_damaged *f)
{
	atomic_store(&on_damaged, f);
}

/* In a signal handler, too. Without room for it, the next life meets the damage again. */
void store_note_damage(struct store *s)
{
	atomic_store(&s->damaged, true);
	int fd = open(s->damage_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	(void)futimens(fd, NULL); /* it may have been empty before */
	close(fd);
}

static _Noreturn void give_up(struct store *s, const char *what)
{
	char text[STORE_DAMAGE_TEXT_BYTES];
	store_damaged *f = atomic_load(&on_damaged);
	store_note_damage(s);
	snprintf(text, sizeof(text), STORE_DAMAGED_TEXT, s->data_path, what);
	if (f)
		f(text);
	dprintf(STDERR_FILENO, "%s\n", text);
	_exit(STORE_DAMAGED_EXIT);
}

/*
 * Runs on the thread that touched the page, at an instruction that read the map: it holds neither
 * the allocator's lock nor the log's, so both may be used. Any other fault is left to whoever had
 * the signal before: the instruction is run again and ends as if nobody had looked.
 */
static void on_fault(int sig, siginfo_t *info, void *context UNUSED)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		struct store *s = atomic_load(&guarded[i]);
		uintptr_t map = s ? (uintptr_t)atomic_load(&s->map) : 0;
		if (map && at >= map && at < map + atomic_load(&s->map_size) + BEHIND_MAP_BYTES)
			give_up(s, strsignal(sig));
	}
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (faults[i] == sig)
			sigaction(sig, &before[i], NULL);
}

/* At each open, for somebody may have taken the signals since. */
static void set_handlers(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&handlers_lock);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		struct sigaction old;
		sigaction(faults[i], &action, &old);
		if (!(old.sa_flags & SA_SIGINFO) || old.sa_sigaction != on_fault)
			before[i] = old;
	}
	pthread_mutex_unlock(&handlers_lock);
}

/* LMDB would abort. What it asserts are structures of its pages. */
static void on_assert(MDB_env *env, const char *what)
{
	give_up(mdb_env_get_userctx(env), what);
}

void store_guard(struct store *s)
{
	set_handlers();
	mdb_env_set_userctx(s->env, s);
	mdb_env_set_assert(s->env, on_assert);
	store_map_moved(s);
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		struct store *none = NULL;
		if (atomic_compare_exchange_strong(&guarded[i], &none, s))
			return;
	}
}

void store_unguard(struct store *s)
{
	for (size_t i = 0; i < GUARDED_MAX; i++) {
		struct store *this = s;
		atomic_compare_exchange_strong(&guarded[i], &this, NULL);
	}
}

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* A file that was written after the note, whatever time its writer gave it, is another one: a
 * backup was put in its place. */
int store_check_note(const char *dir, const struct stat *data, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/" STORE_DAMAGE_NOTE, dir);
	struct stat note;
	if (stat(path, &note))
		return 0;
	if (is_before(note.st_mtim, data->st_ctim)) {
		unlink(path);
		return 0;
	}
	auto_free char *file = mem_printf("%s/data.mdb", dir);
	return why_set(out_why, ERR_CORRUPT, STORE_DAMAGED_TEXT, file, "met while it was in use");
}
