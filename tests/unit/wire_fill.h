/* Makes valid messages from a seed, by descriptor and rules; for tests of wire*.c. */
#ifndef TESTS_UNIT_WIRE_FILL_H
#define TESTS_UNIT_WIRE_FILL_H

#include "common/wire_fields.h"
#include "tests/json_msg.h"

struct fill {
	uint64_t state; /* never 0 */
	bool full;      /* set every field */
	struct arena *arena;
};

static inline uint64_t fill_next(struct fill *f)
{
	f->state ^= f->state << 13;
	f->state ^= f->state >> 7;
	f->state ^= f->state << 17;
	return f->state;
}

static inline uint64_t fill_below(struct fill *f, uint64_t n)
{
	return fill_next(f) % n;
}

static inline char *fill_chars(struct fill *f, const char *alphabet, size_t len)
{
	char *s = arena_alloc(f->arena, len + 1);
	assert(s);
	for (size_t i = 0; i < len; i++)
		s[i] = alphabet[fill_below(f, strlen(alphabet))];
	return s;
}

static inline char *fill_text(struct fill *f, size_t max)
{
	static const char *const parts[] = {"a", "Z",  "0",    "\n",       "\t",
					    " ", "{{", "\"\\", "\xc3\xa9", "\xe2\x82\xac",
					    "<", ";",  "%s",   "$(id)",    "\xf0\x9f\x94\xa5"};
	struct buf b = {0};
	for (size_t n = fill_below(f, 20) + 1; n > 0; n--) {
		const char *part = parts[fill_below(f, ARRAY_SIZE(parts))];
		if (b.len + strlen(part) <= max)
			buf_add_str(&b, part);
	}
	char *s = arena_strdup(f->arena, buf_str(&b));
	buf_release(&b);
	return s;
}

static inline char *fill_string(struct fill *f, const struct wire_rule *rule, size_t index)
{
	switch (rule->type) {
	case TOKEN:
		return fill_chars(f, "abcXYZ019_-", 1 + fill_below(f, TOKEN_MAX));
	case HEX16:
		return fill_chars(f, "0123456789abcdef", 16);
	case LABEL_NAME:
		return arena_printf(f->arena, "l%02zu.x-y", index);
	case PARAM_NAME:
		return arena_printf(f->arena, "p%02zu_x", index);
	default:
		return fill_text(f, (size_t)rule->max);
	}
}

static inline ProtobufCMessage *fill_message(struct fill *f, const ProtobufCMessageDescriptor *d,
					     size_t index);

static inline int64_t fill_number(struct fill *f, const struct wire_rule *rule, ProtobufCType type)
{
	int64_t lo = rule->min, hi = rule->max;
	if (type == PROTOBUF_C_TYPE_INT32)
		hi = MIN(hi, INT32_MAX);
	if (type == PROTOBUF_C_TYPE_UINT32)
		hi = MIN(hi, UINT32_MAX);
	if (fill_below(f, 8) == 0)
		return lo;
	if (fill_below(f, 8) == 0)
		return hi;
	uint64_t span = (uint64_t)hi - (uint64_t)lo;
	return (int64_t)((uint64_t)lo +
			 (span == UINT64_MAX ? fill_next(f) : fill_below(f, span + 1)));
}

static inline void fill_scalar(struct fill *f, const struct wire_rule *rule,
			       const ProtobufCFieldDescriptor *field, void *at)
{
	const ProtobufCEnumDescriptor *e = field->descriptor;
	switch (field->type) {
	case PROTOBUF_C_TYPE_ENUM:
		*(int *)at = e->values[fill_below(f, e->n_values)].value;
		return;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = (int)fill_below(f, 2);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)at = (double)fill_below(f, 1001) / 1000;
		return;
	case PROTOBUF_C_TYPE_INT32:
		*(int32_t *)at = (int32_t)fill_number(f, rule, field->type);
		return;
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)at = (uint32_t)fill_number(f, rule, field->type);
		return;
	default:
		*(int64_t *)at = fill_number(f, rule, field->type);
	}
}

static inline void *fill_pointer(struct fill *f, const struct wire_rule *rule,
				 const ProtobufCFieldDescriptor *field, size_t index)
{
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return fill_message(f, field->descriptor, index);
	return fill_string(f, rule, index);
}

static inline void fill_bytes(struct fill *f, const struct wire_rule *rule, ProtobufCBinaryData *at)
{
	at->len = (size_t)rule->min + fill_below(f, (uint64_t)MIN(rule->max - rule->min, 64) + 1);
	at->data = arena_alloc(f->arena, at->len + 1);
	for (size_t i = 0; i < at->len; i++)
		at->data[i] = (uint8_t)fill_next(f);
}

static inline void fill_field(struct fill *f, const struct wire_rule *rule, ProtobufCMessage *msg,
			      const ProtobufCFieldDescriptor *field, size_t index)
{
	void *at = (char *)msg + field->offset;
	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		bool some = rule->required || msg->descriptor == &healbus__silence__descriptor;
		size_t n = f->full ? 2 : fill_below(f, MIN(rule->count_max, 5)) + some;
		void **items = arena_alloc(f->arena, (n + 1) * sizeof(*items));
		for (size_t i = 0; i < n; i++)
			items[i] = fill_pointer(f, rule, field, i);
		*(size_t *)(void *)((char *)msg + field->quantifier_offset) = n;
		*(void ***)at = items;
		return;
	}
	if (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING) {
		*(void **)at = fill_pointer(f, rule, field, index);
		return;
	}
	*(protobuf_c_boolean *)(void *)((char *)msg + field->quantifier_offset) = 1;
	if (field->type == PROTOBUF_C_TYPE_BYTES)
		fill_bytes(f, rule, at);
	else
		fill_scalar(f, rule, field, at);
}

/* The choices that rules alone do not make: one value a parameter, a complete Control. */
static inline bool fill_wants(struct fill *f, const ProtobufCMessageDescriptor *d, unsigned i,
			      unsigned only, bool required)
{
	if (d == &healbus__param__descriptor)
		return i == 0 || i == only;
	return required || f->full || d == &healbus__control__descriptor ||
	       d == &healbus__silence__descriptor || fill_below(f, 4) > 0;
}

static inline ProtobufCMessage *fill_message(struct fill *f, const ProtobufCMessageDescriptor *d,
					     size_t index)
{
	ProtobufCMessage *msg = arena_alloc(f->arena, d->sizeof_message);
	assert(msg);
	protobuf_c_message_init(d, msg);
	const struct wire_rules *rules = wire_rules_of(d);
	unsigned only = 1 + (unsigned)fill_below(f, 5);
	for (unsigned i = 0; i < d->n_fields; i++)
		if (fill_wants(f, d, i, only, rules->rules[i].required))
			fill_field(f, &rules->rules[i], msg, &d->fields[i], index);
	return msg;
}

/* Sets of golden messages, oldest first; HEALBUS_GOLDEN_WRITE makes the last one. */
static const char *const fill_golden[] = {
	"tests/golden/v1",   "tests/golden/v1.1", "tests/golden/v1.2", "tests/golden/v1.3",
	"tests/golden/v1.4", "tests/golden/v1.5", "tests/golden/v1.6", "tests/golden/v1.7"};

/* HEALBUS_SEED, or one from the clock; printed, so that a failure can be had again. */
static inline uint64_t fill_seed(void)
{
	const char *text = getenv("HEALBUS_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 2654435761U;
	seed = seed ? seed : 1;
	printf("# HEALBUS_SEED=%" PRIu64 "\n", seed);
	return seed;
}

#endif
