#include "notifier/channels/interaction.h"

#include "common/buf.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdatomic.h>

enum {
	TIMESTAMP_MAX = 20,
	SIGNATURE_BYTES = 64,
	DEPTH_MAX = 64, /* of nested JSON; jansson itself goes to 2048 */
	SEEN_WAYS = 16, /* slots an id may be in */
	SEEN_SECONDS_BITS = 24,
};

/* ---- whose is it ---- */

/* Digits only: what else strtoll takes (spaces, signs) nobody signs. */
static int timestamp_ms(const char *text, int64_t *out_ms)
{
	size_t len = text ? strlen(text) : 0;
	if (!len || len > TIMESTAMP_MAX - 4 || strspn(text, "0123456789") != len)
		return ERR_INVALID;
	*out_ms = strtoll(text, NULL, 10) * 1000;
	return 0;
}

static int not_signed(struct why *out_why)
{
	return why_set(out_why, ERR_UNAUTHENTICATED, "the signature is missing or wrong");
}

static int in_window(const struct interaction_request *r, int64_t at_ms, struct why *out_why)
{
	int64_t away_ms = at_ms > r->now_ms ? at_ms - r->now_ms : r->now_ms - at_ms;
	if (away_ms <= INTERACTION_WINDOW_MS)
		return 0;
	return why_set(out_why, ERR_UNAUTHENTICATED,
		       "signed, but the request is %" PRId64 " s away from now", away_ms / 1000);
}

int slack_verify(const struct interaction_request *r, const struct secret *key, struct why *out_why)
{
	uint8_t want[DIGEST_BYTES], got[DIGEST_BYTES];
	int64_t at_ms;
	if (!key->len || timestamp_ms(r->timestamp, &at_ms) || !r->signature ||
	    !str_starts(r->signature, "v0=") ||
	    strlen(r->signature) != 3 + (size_t)DIGEST_BYTES * 2 ||
	    hex_decode(r->signature + 3, got, sizeof(got)))
		return not_signed(out_why);
	auto_buf base = {0};
	buf_printf(&base, "v0:%s:", r->timestamp);
	buf_add(&base, r->body, r->len);
	digest_hmac(key->data, key->len, base.data, base.len, want);
	return digest_equal(want, got, sizeof(want)) ? in_window(r, at_ms, out_why)
						     : not_signed(out_why);
}

static bool ed25519_valid(const uint8_t *key, const uint8_t *signature, const struct buf *text)
{
	EVP_PKEY *pkey =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, INTERACTION_KEY_BYTES);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = pkey && md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
		  EVP_DigestVerify(md, signature, SIGNATURE_BYTES, (const uint8_t *)text->data,
				   text->len) == 1;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return ok;
}

int discord_verify(const struct interaction_request *r,
		   const uint8_t key[static INTERACTION_KEY_BYTES], struct why *out_why)
{
	uint8_t signature[SIGNATURE_BYTES];
	int64_t at_ms;
	if (timestamp_ms(r->timestamp, &at_ms) || !r->signature ||
	    strlen(r->signature) != (size_t)SIGNATURE_BYTES * 2 ||
	    hex_decode(r->signature, signature, sizeof(signature)))
		return not_signed(out_why);
	auto_buf text = {0};
	buf_add_str(&text, r->timestamp);
	buf_add(&text, r->body, r->len);
	return ed25519_valid(key, signature, &text) ? in_window(r, at_ms, out_why)
						    : not_signed(out_why);
}

/* ---- what is in it ---- */

static void json_cleanup(json_t **j)
{
	json_decref(*j);
}
#define auto_json __attribute__((cleanup(json_cleanup))) json_t

/* Printable ASCII without spaces, as all these ids are. */
static int word(const json_t *object, const char *key, char out[static INTERACTION_ID_MAX + 1])
{
	const char *text = json_string_value(json_object_get(object, key));
	size_t len = text ? strlen(text) : 0;
	if (!len || len > INTERACTION_ID_MAX)
		return ERR_INVALID;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return ERR_INVALID;
	memcpy(out, text, len + 1);
	return 0;
}

static int lacks(const char *field, struct why *out_why)
{
	return why_set(out_why, ERR_INVALID, "%s: missing or not an id", field);
}

/* jansson's own limit is deeper than a small stack would like. */
static bool too_deep(const char *text, size_t len)
{
	size_t depth = 0, deepest = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '[' || text[i] == '{')
			depth++;
		else if ((text[i] == ']' || text[i] == '}') && depth)
			depth--;
		deepest = MAX(deepest, depth);
	}
	return deepest > DEPTH_MAX;
}

static int object_read(const char *text, size_t len, json_t **out, struct why *out_why)
{
	json_error_t error;
	json_t *j = too_deep(text, len) ? NULL : json_loadb(text, len, 0, &error);
	if (json_is_object(j)) {
		*out = j;
		return 0;
	}
	json_decref(j);
	return why_set(out_why, ERR_INVALID, "the body is not a JSON object");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* application/x-www-form-urlencoded, one value. */
static int form_decode(const char *s, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] != '%') {
			buf_add_char(out, s[i] == '+' ? ' ' : s[i]);
			continue;
		}
		int high = len - i > 2 ? hex_digit(s[i + 1]) : -1;
		int low = len - i > 2 ? hex_digit(s[i + 2]) : -1;
		if (high < 0 || low < 0)
			return ERR_INVALID;
		buf_add_char(out, (char)(high << 4 | low));
		i += 2;
	}
	return 0;
}

/* The one field called payload; two would mean two things. */
static int payload_find(const char *body, size_t len, struct buf *out)
{
	static const char name[] = "payload=";
	size_t found = 0;
	for (size_t at = 0; at < len;) {
		const char *end = memchr(body + at, '&', len - at);
		size_t n = end ? (size_t)(end - body) - at : len - at;
		if (n >= strlen(name) && !memcmp(body + at, name, strlen(name))) {
			if (found++ || form_decode(body + at + strlen(name), n - strlen(name), out))
				return ERR_INVALID;
		}
		at += n + 1;
	}
	return found ? 0 : ERR_INVALID;
}

static int slack_click(const json_t *j, struct interaction *out, struct why *out_why)
{
	const json_t *actions = json_object_get(j, "actions");
	const json_t *action = json_array_get(actions, 0);
	const json_t *container = json_object_get(j, "container");
	char trigger[INTERACTION_ID_MAX + 1] = "", at[INTERACTION_ID_MAX + 1];
	if (json_array_size(actions) != 1)
		return why_set(out_why, ERR_INVALID, "actions: must be one");
	if (word(action, "value", out->value))
		return lacks("actions[0].value", out_why);
	if (word(action, "action_ts", at))
		return lacks("actions[0].action_ts", out_why);
	if (word(json_object_get(j, "user"), "id", out->user))
		return lacks("user.id", out_why);
	(void)word(json_object_get(j, "channel"), "id", out->place);
	(void)word(container, "thread_ts", out->thread);
	/* Whichever of the two is repeated, the click is; a trigger_id is only for clicks. */
	if (word(j, "trigger_id", trigger))
		return lacks("trigger_id", out_why);
	id_make(out->id, "slack", trigger, at);
	out->kind = INTERACTION_CLICK;
	return 0;
}

int slack_interaction(const char *body, size_t len, struct interaction *out, struct why *out_why)
{
	auto_buf payload = {0};
	auto_json *j = NULL;
	*out = (struct interaction){0};
	if (payload_find(body, len, &payload))
		return why_set(out_why, ERR_INVALID, "payload: must be there, once, as a form");
	int rc = object_read(buf_str(&payload), payload.len, &j, out_why);
	if (rc)
		return rc;
	const char *type = json_string_value(json_object_get(j, "type"));
	return type && str_eq(type, "block_actions") ? slack_click(j, out, out_why) : 0;
}

static json_t *blocks_without_buttons(const json_t *blocks)
{
	json_t *out = json_array(), *block;
	size_t i;
	json_array_foreach(blocks, i, block)
	{
		const char *type = json_string_value(json_object_get(block, "type"));
		if (type && !str_eq(type, "actions"))
			json_array_append(out, block);
	}
	return out;
}

json_t *slack_bare(const char *body, size_t len)
{
	auto_buf payload = {0};
	auto_json *j = NULL;
	if (payload_find(body, len, &payload) ||
	    object_read(buf_str(&payload), payload.len, &j, NULL))
		return NULL;
	const json_t *message = json_object_get(j, "message");
	json_t *blocks = json_object_get(message, "blocks");
	const char *ts = json_string_value(json_object_get(message, "ts"));
	const char *text = json_string_value(json_object_get(message, "text"));
	const char *place = json_string_value(json_object_get(json_object_get(j, "channel"), "id"));
	if (!ts || !place || !json_array_size(blocks))
		return NULL;
	return json_pack("{s:s,s:s,s:s,s:o}", "channel", place, "ts", ts, "text", text ? text : "",
			 "blocks", blocks_without_buttons(blocks));
}

/* Discord's numbers. */
enum { DISCORD_PING = 1, DISCORD_COMPONENT = 3, DISCORD_BUTTON = 2 };

static int discord_click(const json_t *j, struct interaction *out, struct why *out_why)
{
	const json_t *data = json_object_get(j, "data");
	const json_t *type = json_object_get(data, "component_type");
	const json_t *user = json_object_get(json_object_get(j, "member"), "user");
	if (type && json_integer_value(type) != DISCORD_BUTTON)
		return 0;
	/* In a direct message there is no member. */
	if (word(user ? user : json_object_get(j, "user"), "id", out->user))
		return lacks("member.user.id", out_why);
	if (word(data, "custom_id", out->value))
		return lacks("data.custom_id", out_why);
	if (word(j, "id", out->id))
		return lacks("id", out_why);
	(void)word(j, "channel_id", out->place);
	out->kind = INTERACTION_CLICK;
	return 0;
}

int discord_interaction(const char *body, size_t len, struct interaction *out, struct why *out_why)
{
	auto_json *j = NULL;
	*out = (struct interaction){0};
	int rc = object_read(body, len, &j, out_why);
	if (rc)
		return rc;
	const json_t *type = json_object_get(j, "type");
	if (!json_is_integer(type))
		return why_set(out_why, ERR_INVALID, "type: must be a number");
	if (json_integer_value(type) == DISCORD_PING)
		out->kind = INTERACTION_PING;
	return json_integer_value(type) == DISCORD_COMPONENT ? discord_click(j, out, out_why) : 0;
}

/* ---- is it new ---- */

/*
 * A slot is the id's hash and the second it came. Ids live in one of a few slots, and the oldest of
 * them is taken by compare-and-set: of two threads with the same id, one loses, looks again and
 * finds it.
 */
static const uint64_t seconds_mask = (UINT64_C(1) << SEEN_SECONDS_BITS) - 1;

static uint64_t slot_age_s(uint64_t slot, uint64_t now_s)
{
	return slot ? (now_s - slot) & seconds_mask : seconds_mask;
}

/* The way to take, or -1 when the id is there already. */
static int slot_choose(_Atomic uint64_t *ways, uint64_t mine, uint64_t values[static SEEN_WAYS])
{
	/* What is signed for the future may come again for twice the window. */
	const uint64_t keep_s = 2 * INTERACTION_WINDOW_MS / 1000 + 1;
	int oldest = 0;
	for (int i = 0; i < SEEN_WAYS; i++) {
		values[i] = atomic_load(&ways[i]);
		uint64_t age_s = slot_age_s(values[i], mine & seconds_mask);
		if ((values[i] | seconds_mask) == (mine | seconds_mask) && age_s <= keep_s)
			return -1;
		if (age_s > slot_age_s(values[oldest], mine & seconds_mask))
			oldest = i;
	}
	return oldest;
}

int interaction_is_new(struct interaction_seen *seen, const char *id, int64_t now_ms,
		       struct why *out_why)
{
	uint64_t hash = fnv1a(FNV_INIT, id, strlen(id));
	uint64_t now_s = (uint64_t)(now_ms / 1000) & seconds_mask;
	/* FNV's low bits are its best: they choose the ways, the others tell ids apart. */
	uint64_t mine = ((hash >> 8) << SEEN_SECONDS_BITS) | now_s;
	_Atomic uint64_t *ways =
		&seen->slots[hash % (INTERACTION_SEEN_MAX / SEEN_WAYS) * SEEN_WAYS];
	uint64_t values[SEEN_WAYS];
	for (;;) {
		int way = slot_choose(ways, mine, values);
		if (way < 0)
			return why_set(out_why, ERR_CONFLICT, "this click was taken already");
		if (slot_age_s(values[way], now_s) <= 2 * INTERACTION_WINDOW_MS / 1000)
			return why_set(out_why, ERR_BUSY, "too many clicks at once");
		if (atomic_compare_exchange_strong(&ways[way], &values[way], mine))
			return 0;
	}
}
