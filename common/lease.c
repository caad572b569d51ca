#include "common/lease.h"

#include <pthread.h>

#include "common/clock.h"
#include "common/mem.h"

/* A claim's value: "1 <state> <owner> <boot>\n", then the note. */

static const char *const state_names[] = {
	[CLAIM_NONE] = "none", [CLAIM_CLAIMED] = "claimed", [CLAIM_STARTED] = "started",
	[CLAIM_DONE] = "done", [CLAIM_UNKNOWN] = "unknown",
};

static const char *claim_state_name(enum claim_state s)
{
	return (unsigned)s < ARRAY_SIZE(state_names) ? state_names[s] : "unknown";
}

void claim_release(struct claim *c)
{
	buf_release(&c->note);
	*c = (struct claim){0};
}

static int state_parse(const char *name, enum claim_state *out)
{
	for (size_t i = 1; i < ARRAY_SIZE(state_names); i++) {
		if (!str_eq(state_names[i], name))
			continue;
		*out = (enum claim_state)i;
		return 0;
	}
	return ERR_CORRUPT;
}

static int claim_parse(const struct bus_kv_entry *e, struct claim *out)
{
	struct claim c = {.revision = e->revision};
	char state[16];
	int used = 0;
	static_assert(TOKEN_MAX == 64 && ID_BYTES == 21, "the widths below");
	if (sscanf(e->value, "1 %15[a-z] %64[^ \n] %20[^ \n]%n", state, c.owner, c.boot, &used) !=
	    3)
		return ERR_CORRUPT;
	if (e->value[used] != '\n' || state_parse(state, &c.state))
		return ERR_CORRUPT;
	size_t head = (size_t)used + 1;
	buf_add(&c.note, e->value + head, e->len - head);
	*out = c;
	return 0;
}

void claim_ask(const char *key, struct bus_ask *out)
{
	*out = (struct bus_ask){.kind = BUS_ASK_GET, .bucket = BUCKET_CLAIM, .key = key};
}

int claim_answer(struct bus_ask *ask, struct claim *out, struct why *out_why)
{
	if (ask->rc == ERR_NOT_FOUND) {
		*out = (struct claim){.state = CLAIM_NONE};
		return 0;
	}
	if (ask->rc)
		return why_set(out_why, ask->rc, "%s", ask->why.text);
	int rc = claim_parse(&ask->entry, out);
	free(ask->entry.value);
	ask->entry = (struct bus_kv_entry){0};
	return rc ? why_set(out_why, rc, "claim %s: unreadable", ask->key) : 0;
}

int claim_get(struct bus *b, const char *key, struct claim *out, struct why *out_why)
{
	struct bus_ask ask;
	claim_ask(key, &ask);
	bus_ask(b, &ask, 1);
	return claim_answer(&ask, out, out_why);
}

void claim_first_ask(const char *key, const struct claim *wish, char value[static CLAIM_HEAD_MAX],
		     struct bus_ask *out)
{
	assert(token_valid(wish->owner) && token_valid(wish->boot));
	int len = snprintf(value, CLAIM_HEAD_MAX, "1 %s %s %s\n", claim_state_name(CLAIM_CLAIMED),
			   wish->owner, wish->boot);
	*out = (struct bus_ask){.kind = BUS_ASK_PUT,
				.bucket = BUCKET_CLAIM,
				.key = key,
				.value = value,
				.len = (size_t)len};
}

int claim_first_answer(const struct bus_ask *ask, struct claim *wish, struct why *out_why)
{
	if (ask->rc)
		return why_set(out_why, ask->rc, "claim %s: %s", ask->key, ask->why.text);
	wish->state = CLAIM_CLAIMED;
	wish->revision = ask->revision;
	return 0;
}

/* What a claim is to become. */
struct claim_next {
	const char *key;
	enum claim_state state;
	const char *owner;
	const char *boot;
	const void *note;
	size_t note_len;
};

static void claim_became(struct claim *c, const struct claim_next *next, uint64_t revision)
{
	auto_free char *owner = mem_strdup(next->owner); /* may be the claim's own */
	auto_free char *boot = mem_strdup(next->boot);
	auto_free void *note = mem_dup(next->note ? next->note : "", next->note_len);
	c->state = next->state;
	c->revision = revision;
	snprintf(c->owner, sizeof(c->owner), "%s", owner);
	snprintf(c->boot, sizeof(c->boot), "%s", boot);
	buf_reset(&c->note);
	buf_add(&c->note, note, next->note_len);
}

static int claim_move(struct bus *b, struct claim *c, const struct claim_next *next,
		      struct bus_ask *other, struct why *out_why)
{
	assert(next->state != CLAIM_NONE && token_valid(next->owner) && token_valid(next->boot));
	auto_buf value = {0};
	struct bus_ask asks[2] = {0};
	buf_printf(&value, "1 %s %s %s\n", claim_state_name(next->state), next->owner, next->boot);
	buf_add(&value, next->note, next->note_len);
	asks[0] = (struct bus_ask){.kind = BUS_ASK_PUT,
				   .bucket = BUCKET_CLAIM,
				   .key = next->key,
				   .value = value.data,
				   .len = value.len,
				   .revision = c->revision};
	if (other)
		asks[1] = *other;
	bus_ask(b, asks, other ? 2 : 1);
	if (other)
		*other = asks[1];
	if (asks[0].rc)
		return why_set(out_why, asks[0].rc, "claim %s: %s", next->key, asks[0].why.text);
	claim_became(c, next, asks[0].revision);
	return 0;
}

int claim_advance(struct bus *b, const char *key, struct claim *c, enum claim_state state,
		  const char *owner, const char *boot, const void *note, size_t note_len,
		  struct why *out_why)
{
	struct claim_next next = {key, state, owner, boot, note, note_len};
	if (note_len > CLAIM_NOTE_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "claim %s: note over %d bytes", key,
			       CLAIM_NOTE_MAX);
	return claim_move(b, c, &next, NULL, out_why);
}

int claim_advance_asking(struct bus *b, const char *key, struct claim *c, enum claim_state state,
			 const char *owner, const char *boot, struct bus_ask *other,
			 struct why *out_why)
{
	struct claim_next next = {.key = key, .state = state, .owner = owner, .boot = boot};
	return claim_move(b, c, &next, other, out_why);
}

int claim_advance_both(struct bus *b, const struct claim_pair *pair, enum claim_state state,
		       const char *owner, const char *boot, struct why *out_why)
{
	struct claim_next first = {
		.key = pair->first_key, .state = state, .owner = owner, .boot = boot};
	struct claim_next second = first;
	auto_buf value = {0};
	buf_printf(&value, "1 %s %s %s\n", claim_state_name(state), owner, boot);
	second.key = pair->second_key;
	struct bus_ask ask = {.kind = BUS_ASK_PUT,
			      .bucket = BUCKET_CLAIM,
			      .key = second.key,
			      .value = value.data,
			      .len = value.len,
			      .revision = pair->second->revision};
	int rc = claim_move(b, pair->first, &first, &ask, out_why);
	if (ask.rc == 0)
		claim_became(pair->second, &second, ask.revision);
	else if (rc == 0)
		rc = why_set(out_why, ask.rc, "claim %s: %s", second.key, ask.why.text);
	return rc;
}

/* ---- locks ---- */

enum { HOST_MAX = 64 };

struct holder {
	char owner[TOKEN_MAX + 1];
	char boot[ID_BYTES];
	char host[HOST_MAX + 1];
	pthread_mutex_t guard;
	char (*keys)[TOKEN_MAX + 1]; /* held, or being asked for */
	size_t n, cap;
};

struct holder *holder_new(const char *owner, const char *boot)
{
	struct holder *h = mem_alloc(sizeof(*h));
	assert(token_valid(owner) && token_valid(boot));
	snprintf(h->owner, sizeof(h->owner), "%s", owner);
	snprintf(h->boot, sizeof(h->boot), "%s", boot);
	if (gethostname(h->host, HOST_MAX) || !*h->host)
		snprintf(h->host, sizeof(h->host), "unnamed");
	for (char *p = h->host; *p; p++)
		*p = *p <= ' ' ? '_' : *p;
	pthread_mutex_init(&h->guard, NULL);
	return h;
}

void holder_free(struct holder *h)
{
	if (!h)
		return;
	pthread_mutex_destroy(&h->guard);
	free(h->keys);
	free(h);
}

/* False when this process has it already. */
static bool holder_enter(struct holder *h, const char *key)
{
	bool known = false;
	pthread_mutex_lock(&h->guard);
	for (size_t i = 0; i < h->n && !known; i++)
		known = str_eq(h->keys[i], key);
	if (!known && h->n == h->cap) {
		h->cap = h->cap ? 2 * h->cap : 16;
		h->keys = mem_realloc(h->keys, h->cap * sizeof(*h->keys));
	}
	if (!known)
		snprintf(h->keys[h->n++], sizeof(*h->keys), "%s", key);
	pthread_mutex_unlock(&h->guard);
	return !known;
}

static void holder_leave(struct holder *h, const char *key)
{
	pthread_mutex_lock(&h->guard);
	for (size_t i = 0; i < h->n; i++)
		if (str_eq(h->keys[i], key))
			memcpy(h->keys[i], h->keys[--h->n], sizeof(*h->keys));
	pthread_mutex_unlock(&h->guard);
}

bool lock_is_ours(struct holder *h, const char *target)
{
	bool known = false;
	pthread_mutex_lock(&h->guard);
	for (size_t i = 0; i < h->n && !known; i++)
		known = str_eq(h->keys[i], target);
	pthread_mutex_unlock(&h->guard);
	return known;
}

/* Called for a key that this process is the only one of its owner to ask for. */
static bool left_behind(const struct holder *h, const char *value)
{
	char owner[TOKEN_MAX + 1], boot[ID_BYTES], host[HOST_MAX + 1];
	static_assert(TOKEN_MAX == 64 && ID_BYTES == 21 && HOST_MAX == 64, "the widths below");
	return sscanf(value, "1 %64[^ ] %20[^ ] %64[^ ] ", owner, boot, host) == 3 &&
	       str_eq(owner, h->owner) && str_eq(host, h->host);
}

/* The part of a lock's value that people read. */
static const char *value_text(const char *value)
{
	const char *p = value;
	for (int spaces = 0; p && spaces < 4; spaces++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	return p ? p : value;
}

static int put(struct bus *b, struct lock *l, uint64_t revision, struct why *out_why)
{
	return bus_kv_put(b, BUCKET_LOCK, l->key, l->value, strlen(l->value), revision,
			  &l->revision, out_why);
}

static int take_over(struct bus *b, const struct holder *h, struct lock *l, struct why *out_why)
{
	struct bus_kv_entry e = {0};
	if (bus_kv_get(b, BUCKET_LOCK, l->key, &e, NULL))
		return why_set(out_why, ERR_BUSY, "%s was held a moment ago", l->key);
	int rc = ERR_BUSY;
	if (left_behind(h, e.value))
		rc = put(b, l, e.revision, NULL) ? ERR_BUSY : 0;
	if (rc)
		why_set(out_why, rc, "%s is held by %s", l->key, value_text(e.value));
	free(e.value);
	return rc;
}

int lock_ask(struct holder *h, const char *target, const char *text, struct lock *l,
	     struct bus_ask *out, struct why *out_why)
{
	*l = (struct lock){.renewed_mono_ms = clock_mono_ms()};
	if (!token_valid(target))
		return why_set(out_why, ERR_INVALID, "lock: target is not a token");
	if (!holder_enter(h, target))
		return why_set(out_why, ERR_BUSY, "%s is held by this executor", target);
	snprintf(l->key, sizeof(l->key), "%s", target);
	snprintf(l->value, sizeof(l->value), "1 %s %s %s %s", h->owner, h->boot, h->host, text);
	*out = (struct bus_ask){.kind = BUS_ASK_PUT,
				.bucket = BUCKET_LOCK,
				.key = l->key,
				.value = l->value,
				.len = strlen(l->value)};
	return 0;
}

int lock_answer(struct bus *b, struct holder *h, const struct bus_ask *ask, struct lock *l,
		struct why *out_why)
{
	struct why why = {0};
	int rc = ask->rc;
	l->revision = rc ? 0 : ask->revision;
	if (rc == ERR_CONFLICT)
		rc = take_over(b, h, l, &why);
	else if (rc)
		rc = why_set(&why, rc, "lock %s: %s", l->key, err_name(rc));
	if (rc == 0)
		return 0;
	holder_leave(h, l->key);
	*l = (struct lock){0};
	return why_set(out_why, rc, "%s", why.text);
}

int lock_acquire(struct bus *b, struct holder *h, const char *target, const char *text,
		 struct lock *out, struct why *out_why)
{
	struct lock l;
	struct bus_ask ask;
	int rc = lock_ask(h, target, text, &l, &ask, out_why);
	if (rc)
		return rc;
	bus_ask(b, &ask, 1);
	rc = lock_answer(b, h, &ask, &l, out_why);
	if (rc == 0)
		*out = l;
	return rc;
}

/* Was it our own last renewal, whose answer was lost? Then it is still ours. */
static int renew_again(struct bus *b, struct lock *l, struct why *out_why)
{
	struct bus_kv_entry e = {0};
	int rc = bus_kv_get(b, BUCKET_LOCK, l->key, &e, NULL) ? ERR_CONFLICT : 0;
	if (!rc)
		rc = str_eq(e.value, l->value) ? put(b, l, e.revision, out_why) : ERR_CONFLICT;
	free(e.value);
	return rc ? why_set(out_why, rc, "%s is no longer held", l->key) : 0;
}

int lock_renew(struct bus *b, struct lock *l, struct why *out_why)
{
	int64_t now = clock_mono_ms();
	struct why why = {0};
	int rc = put(b, l, l->revision, &why);
	if (rc == ERR_CONFLICT)
		rc = renew_again(b, l, out_why);
	else if (rc)
		why_set(out_why, rc, "%s", why.text);
	if (rc == 0)
		l->renewed_mono_ms = now;
	return rc;
}

void lock_release_held(struct bus *b, struct holder *h, struct lock *l)
{
	if (l->revision) {
		bus_kv_del(b, BUCKET_LOCK, l->key, l->revision, NULL);
		holder_leave(h, l->key);
	}
	*l = (struct lock){0};
}

void lock_drop(struct bus *b, struct holder *h, struct lock *l)
{
	if (l->revision) {
		bus_kv_drop(b, BUCKET_LOCK, l->key, l->revision);
		holder_leave(h, l->key);
	}
	*l = (struct lock){0};
}

/* ---- lives ---- */

int live_beat(struct bus *b, const char *boot, const char *owner, struct why *out_why)
{
	return bus_kv_set(b, BUCKET_LIVE, boot, owner, strlen(owner), NULL, out_why);
}

int live_is_alive(struct bus *b, const char *boot, bool *out, struct why *out_why)
{
	struct bus_kv_entry e = {0};
	struct why why = {0};
	int64_t connected_ms = bus_connected_ms(b);
	int rc = bus_kv_get(b, BUCKET_LIVE, boot, &e, &why);
	free(e.value);
	if (rc && rc != ERR_NOT_FOUND)
		return why_set(out_why, rc, "%s", why.text);
	/* While the bus was away nobody could say that he lives, and the keys ran out. */
	if (rc == ERR_NOT_FOUND && connected_ms < LIVE_TTL_MS)
		return why_set(out_why, ERR_BUSY,
			       "cannot tell whether %s lives: the bus has been back for %" PRId64
			       " ms only",
			       boot, connected_ms);
	*out = rc == 0;
	return 0;
}
