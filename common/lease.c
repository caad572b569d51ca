#include "common/lease.h"

#include "common/clock.h"
#include "common/mem.h"

/* A claim's value: "1 <state> <owner> <boot>\n", then the note. */

static const char *const state_names[] = {
	[CLAIM_NONE] = "none", [CLAIM_CLAIMED] = "claimed", [CLAIM_STARTED] = "started",
	[CLAIM_DONE] = "done", [CLAIM_UNKNOWN] = "unknown",
};

const char *claim_state_name(enum claim_state s)
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

int lock_acquire(struct bus *b, const char *target, const char *value, struct lock *out,
		 struct why *out_why)
{
	struct lock l = {.renewed_mono_ms = clock_mono_ms()};
	if (!token_valid(target))
		return why_set(out_why, ERR_INVALID, "lock: target is not a token");
	snprintf(l.key, sizeof(l.key), "%s", target);
	struct why why = {0};
	int rc = bus_kv_put(b, BUCKET_LOCK, target, value, strlen(value), 0, &l.revision, &why);
	if (rc == 0) {
		*out = l;
		return 0;
	}
	if (rc != ERR_CONFLICT)
		return why_set(out_why, rc, "lock %s: %s", target, why.text);
	struct bus_kv_entry e = {0};
	if (bus_kv_get(b, BUCKET_LOCK, target, &e, NULL) == 0)
		why_set(out_why, ERR_BUSY, "%s is held by %s", target, e.value);
	else
		why_set(out_why, ERR_BUSY, "%s was held a moment ago", target);
	free(e.value);
	return ERR_BUSY;
}

int lock_renew(struct bus *b, struct lock *l, const char *value, struct why *out_why)
{
	int64_t now = clock_mono_ms();
	int rc = bus_kv_put(b, BUCKET_LOCK, l->key, value, strlen(value), l->revision, &l->revision,
			    out_why);
	if (rc == 0)
		l->renewed_mono_ms = now;
	return rc;
}

void lock_release_held(struct bus *b, struct lock *l)
{
	if (l->revision)
		bus_kv_del(b, BUCKET_LOCK, l->key, l->revision, NULL);
	*l = (struct lock){0};
}

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
