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

int claim_get(struct bus *b, const char *key, struct claim *out, struct why *out_why)
{
	struct bus_kv_entry e = {0};
	struct why why = {0};
	int rc = bus_kv_get(b, BUCKET_CLAIM, key, &e, &why);
	if (rc == ERR_NOT_FOUND) {
		*out = (struct claim){.state = CLAIM_NONE};
		return 0;
	}
	if (rc)
		return why_set(out_why, rc, "%s", why.text);
	rc = claim_parse(&e, out);
	free(e.value);
	return rc ? why_set(out_why, rc, "claim %s: unreadable", key) : 0;
}

int claim_advance(struct bus *b, const char *key, struct claim *c, enum claim_state state,
		  const char *owner, const char *boot, const void *note, size_t note_len,
		  struct why *out_why)
{
	assert(state != CLAIM_NONE && token_valid(owner) && token_valid(boot));
	if (note_len > CLAIM_NOTE_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "claim %s: note over %d bytes", key,
			       CLAIM_NOTE_MAX);
	auto_buf value = {0};
	buf_printf(&value, "1 %s %s %s\n", claim_state_name(state), owner, boot);
	buf_add(&value, note, note_len);
	uint64_t revision = 0;
	struct why why = {0};
	int rc = bus_kv_put(b, BUCKET_CLAIM, key, value.data, value.len, c->revision, &revision,
			    &why);
	if (rc)
		return why_set(out_why, rc, "claim %s: %s", key, why.text);
	auto_free char *owner_copy = mem_strdup(owner); /* may be the claim's own */
	auto_free char *boot_copy = mem_strdup(boot);
	c->state = state;
	c->revision = revision;
	snprintf(c->owner, sizeof(c->owner), "%s", owner_copy);
	snprintf(c->boot, sizeof(c->boot), "%s", boot_copy);
	auto_free void *note_copy = mem_dup(note ? note : "", note_len);
	buf_reset(&c->note);
	buf_add(&c->note, note_copy, note_len);
	return 0;
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
