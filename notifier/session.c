#include "notifier/session.h"

#include "common/mem.h"

#include <pthread.h>
#include <sys/random.h>

struct entry {
	uint8_t id[DIGEST_BYTES], old_id[DIGEST_BYTES]; /* digests */
	int64_t old_ends_ms;                            /* 0: there is no old one */
	int64_t rotated_ms;
	struct session session;
	bool used;
};

struct peer {
	char address[64];
	unsigned failures;
	int64_t last_ms, until_ms;
};

struct sessions {
	pthread_mutex_t lock;
	uint8_t key[DIGEST_BYTES];
	struct entry entries[SESSIONS_MAX];
	struct peer peers[LOGIN_PEERS_MAX];
};

static void random_bytes(uint8_t out[static DIGEST_BYTES])
{
	while (getrandom(out, DIGEST_BYTES, 0) != DIGEST_BYTES)
		if (errno != EINTR)
			abort();
}

struct sessions *sessions_new(void)
{
	struct sessions *all = mem_alloc(sizeof(*all));
	pthread_mutex_init(&all->lock, NULL);
	random_bytes(all->key);
	return all;
}

void sessions_free(struct sessions *all)
{
	if (!all)
		return;
	pthread_mutex_destroy(&all->lock);
	explicit_bzero(all, sizeof(*all));
	free(all);
}

void sessions_csrf(const struct sessions *all, const char *who, char out[static SESSION_TEXT])
{
	uint8_t mac[DIGEST_BYTES];
	digest_hmac(all->key, sizeof(all->key), who, strlen(who), mac);
	hex_encode(mac, sizeof(mac), out);
}

/* ---- sessions; all with the lock held ---- */

static bool is_over(const struct entry *e, int64_t now_ms)
{
	return !e->used || e->session.ends_ms <= now_ms;
}

/* Every entry is compared whole, whatever matched before. */
static struct entry *find(struct sessions *all, const char *id, int64_t now_ms)
{
	uint8_t digest[DIGEST_BYTES];
	struct entry *found = NULL;
	digest_sha256(id, strlen(id), digest);
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct entry *e = &all->entries[i];
		bool is_new = digest_equal(e->id, digest, DIGEST_BYTES);
		bool is_old = digest_equal(e->old_id, digest, DIGEST_BYTES);
		if (!is_over(e, now_ms) && (is_new || (is_old && now_ms < e->old_ends_ms)))
			found = e;
	}
	return found;
}

static struct entry *place(struct sessions *all, int64_t now_ms)
{
	struct entry *oldest = &all->entries[0];
	for (size_t i = 0; i < SESSIONS_MAX; i++) {
		struct entry *e = &all->entries[i];
		if (is_over(e, now_ms))
			return e;
		if (e->session.ends_ms < oldest->session.ends_ms)
			oldest = e;
	}
	return oldest;
}

static void id_set(struct entry *e, int64_t now_ms, char out_id[static SESSION_TEXT])
{
	uint8_t bytes[DIGEST_BYTES];
	random_bytes(bytes);
	hex_encode(bytes, sizeof(bytes), out_id);
	digest_sha256(out_id, strlen(out_id), e->id);
	e->rotated_ms = now_ms;
}

void session_begin(struct sessions *all, const struct session_start *start, int64_t now_ms,
		   char out_id[static SESSION_TEXT])
{
	uint8_t bytes[DIGEST_BYTES];
	pthread_mutex_lock(&all->lock);
	struct entry *e = place(all, now_ms);
	*e = (struct entry){.used = true};
	snprintf(e->session.person, sizeof(e->session.person), "%s", start->person);
	memcpy(e->session.proof, start->proof, DIGEST_BYTES);
	e->session.ends_ms = now_ms + start->ttl_ms;
	random_bytes(bytes);
	hex_encode(bytes, sizeof(bytes), e->session.csrf);
	id_set(e, now_ms, out_id);
	pthread_mutex_unlock(&all->lock);
}

bool session_find(struct sessions *all, const char *id, int64_t now_ms, struct session *out)
{
	pthread_mutex_lock(&all->lock);
	const struct entry *e = find(all, id, now_ms);
	if (e) {
		*out = e->session;
		out->stale = now_ms - e->rotated_ms >= SESSION_ROTATE_MS;
	}
	pthread_mutex_unlock(&all->lock);
	return e != NULL;
}

bool session_rotate(struct sessions *all, const char *id, int64_t now_ms,
		    char out_id[static SESSION_TEXT])
{
	pthread_mutex_lock(&all->lock);
	struct entry *e = find(all, id, now_ms);
	bool due = e && now_ms - e->rotated_ms >= SESSION_ROTATE_MS;
	if (due) {
		memcpy(e->old_id, e->id, DIGEST_BYTES);
		e->old_ends_ms = now_ms + SESSION_OVERLAP_MS;
		id_set(e, now_ms, out_id);
	}
	pthread_mutex_unlock(&all->lock);
	return due;
}

void session_end(struct sessions *all, const char *id)
{
	pthread_mutex_lock(&all->lock);
	struct entry *e = find(all, id, INT64_MIN);
	if (e)
		explicit_bzero(e, sizeof(*e));
	pthread_mutex_unlock(&all->lock);
}

/* ---- tries ---- */

static struct peer *peer_find(struct sessions *all, const char *address)
{
	for (size_t i = 0; i < LOGIN_PEERS_MAX; i++)
		if (all->peers[i].failures && str_eq(all->peers[i].address, address))
			return &all->peers[i];
	return NULL;
}

static struct peer *peer_place(struct sessions *all)
{
	struct peer *oldest = &all->peers[0];
	for (size_t i = 0; i < LOGIN_PEERS_MAX; i++) {
		if (!all->peers[i].failures)
			return &all->peers[i];
		if (all->peers[i].last_ms < oldest->last_ms)
			oldest = &all->peers[i];
	}
	return oldest;
}

int64_t login_wait_ms(struct sessions *all, const char *address, int64_t now_ms)
{
	pthread_mutex_lock(&all->lock);
	const struct peer *p = peer_find(all, address);
	int64_t wait = p && p->until_ms > now_ms ? p->until_ms - now_ms : 0;
	pthread_mutex_unlock(&all->lock);
	return wait;
}

/* 1 minute at the fifth, then 2, 4, ... up to an hour. */
static int64_t pause_after(unsigned failures)
{
	if (failures < LOGIN_TRIES)
		return 0;
	unsigned doublings = MIN(failures - LOGIN_TRIES, 16U);
	return MIN((int64_t)LOGIN_WAIT_MS << doublings, (int64_t)LOGIN_WAIT_MAX_MS);
}

void login_failed(struct sessions *all, const char *address, int64_t now_ms)
{
	pthread_mutex_lock(&all->lock);
	struct peer *p = peer_find(all, address);
	if (!p || now_ms - p->last_ms > (int64_t)2 * LOGIN_WAIT_MAX_MS) {
		p = p ? p : peer_place(all);
		*p = (struct peer){0};
		snprintf(p->address, sizeof(p->address), "%s", address);
	}
	p->failures++;
	p->last_ms = now_ms;
	p->until_ms = now_ms + pause_after(p->failures);
	pthread_mutex_unlock(&all->lock);
}

void login_succeeded(struct sessions *all, const char *address)
{
	pthread_mutex_lock(&all->lock);
	struct peer *p = peer_find(all, address);
	if (p)
		*p = (struct peer){0};
	pthread_mutex_unlock(&all->lock);
}
