#include "common/wire.h"

#include "common/wire_fields.h"

/* ---- fields by descriptor ---- */

static const void *member(const ProtobufCMessage *msg, unsigned offset)
{
	return (const char *)msg + offset;
}

size_t wire_field_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)member(msg, field->quantifier_offset);
	if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)member(msg, field->offset) != NULL;
	return *(const protobuf_c_boolean *)member(msg, field->quantifier_offset) != 0;
}

struct wire_value wire_field_value(const ProtobufCMessage *msg,
				   const ProtobufCFieldDescriptor *field, size_t i)
{
	struct wire_value v = {.field = field, .at = member(msg, field->offset)};
	if (field->label != PROTOBUF_C_LABEL_REPEATED)
		return v;
	/* The schema has repeated strings and messages only; both are arrays of pointers. */
	assert(field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE);
	v.at = *(const void *const *const *)v.at + i;
	return v;
}

const char *wire_value_string(const struct wire_value *v)
{
	return *(const char *const *)v->at;
}

const ProtobufCMessage *wire_value_message(const struct wire_value *v)
{
	return *(const ProtobufCMessage *const *)v->at;
}

const ProtobufCBinaryData *wire_value_bytes(const struct wire_value *v)
{
	return v->at;
}

int wire_value_enum(const struct wire_value *v)
{
	return *(const int *)v->at;
}

double wire_value_double(const struct wire_value *v)
{
	return *(const double *)v->at;
}

int64_t wire_value_int(const struct wire_value *v)
{
	switch (v->field->type) {
	case PROTOBUF_C_TYPE_INT32:
		return *(const int32_t *)v->at;
	case PROTOBUF_C_TYPE_UINT32:
		return *(const uint32_t *)v->at;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)v->at != 0;
	case PROTOBUF_C_TYPE_UINT64: {
		uint64_t n = *(const uint64_t *)v->at;
		return n > INT64_MAX ? -1 : (int64_t)n;
	}
	default:
		assert(v->field->type == PROTOBUF_C_TYPE_INT64);
		return *(const int64_t *)v->at;
	}
}

/* ---- kinds ---- */

enum { DEAD_ROOM = 64 << 10, MODEL_MAX_BYTES = 768 << 10 };

static const struct kind_type {
	const ProtobufCMessageDescriptor *descriptor;
	size_t max_bytes;
} kinds[KINDS] = {
	[KIND_RAW] = {&healbus__event__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_EVENT] = {&healbus__event__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_TICK] = {&healbus__tick__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_INCIDENT] = {&healbus__incident__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_PLAN] = {&healbus__plan__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_APPROVAL] = {&healbus__approval_request__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_DECISION] = {&healbus__decision__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_STEP] = {&healbus__step_report__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_OUTCOME] = {&healbus__outcome__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_MODEL] = {&healbus__model_exchange__descriptor, MODEL_MAX_BYTES},
	[KIND_NOTICE] = {&healbus__notice__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_CONTROL] = {&healbus__control__descriptor, WIRE_MESSAGE_MAX_BYTES},
	[KIND_DEAD] = {&healbus__dead__descriptor, WIRE_MESSAGE_MAX_BYTES + DEAD_ROOM},
};

/* ---- unpack ---- */

/* What one message may take, so that it cannot use up the batch's arena. */
struct unpack_budget {
	struct arena *arena;
	size_t left;
	bool exhausted;
};

static size_t unpack_most(size_t len)
{
	return WIRE_UNPACK_MIN_BYTES + 2 * len;
}

static void *budget_alloc(void *data, size_t size)
{
	struct unpack_budget *b = data;
	void *p = size <= b->left ? arena_alloc(b->arena, size) : NULL;
	if (p)
		b->left -= size;
	else
		b->exhausted = true;
	return p;
}

static void budget_free(void *data, void *p)
{
	(void)data;
	(void)p;
}

/* Makes it an unknown field, as proto2 wants it: packing brings the value back. */
static int put_unknown(ProtobufCMessage *msg, uint32_t tag, int value, struct arena *arena)
{
	enum { VARINT_MAX = 10 };
	size_t n = msg->n_unknown_fields;
	ProtobufCMessageUnknownField *all = arena_alloc(arena, (n + 1) * sizeof(*all));
	uint8_t *data = all ? arena_alloc(arena, VARINT_MAX) : NULL;
	uint64_t left = (uint64_t)(int64_t)value;
	size_t len = 0;
	if (!data)
		return ERR_TOO_LARGE;
	for (; left >= 0x80; left >>= 7)
		data[len++] = (uint8_t)(left | 0x80);
	data[len++] = (uint8_t)left;
	if (n > 0)
		memcpy(all, msg->unknown_fields, n * sizeof(*all));
	all[n] = (ProtobufCMessageUnknownField){
		.tag = tag, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = len, .data = data};
	msg->unknown_fields = all;
	msg->n_unknown_fields = (unsigned)(n + 1);
	return 0;
}

/* A value that a newer release defined reads as UNKNOWN, and stays in the message. */
static int settle_enum(ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field,
		       struct arena *arena)
{
	int *value = (int *)((char *)msg + field->offset);
	if (protobuf_c_enum_descriptor_get_value(field->descriptor, *value))
		return 0;
	int rc = put_unknown(msg, field->id, *value, arena);
	*value = 0;
	*(protobuf_c_boolean *)((char *)msg + field->quantifier_offset) = 0;
	return rc;
}

static int refuse_critical(const ProtobufCMessage *msg, struct why *out_why)
{
	for (unsigned i = 0; i < msg->n_unknown_fields; i++)
		if (msg->unknown_fields[i].tag >= WIRE_CRITICAL_FIELD)
			return why_set(out_why, ERR_SCHEMA,
				       "%s: field %u is of a newer release and must not be "
				       "overlooked; upgrade this stage",
				       msg->descriptor->short_name, msg->unknown_fields[i].tag);
	return 0;
}

/* What a newer release may have put in, there and in all messages below. */
static int settle_newer(ProtobufCMessage *msg, struct arena *arena, struct why *out_why)
{
	int rc = refuse_critical(msg, out_why);
	for (unsigned i = 0; !rc && i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
		size_t n = wire_field_count(msg, field);
		for (size_t j = 0; !rc && j < n && field->type == PROTOBUF_C_TYPE_MESSAGE; j++) {
			struct wire_value v = wire_field_value(msg, field, j);
			rc = settle_newer(*(ProtobufCMessage *const *)v.at, arena, out_why);
		}
		if (!rc && n > 0 && field->type == PROTOBUF_C_TYPE_ENUM)
			rc = settle_enum(msg, field, arena);
	}
	return rc;
}

int wire_unpack_careful(enum kind kind, const void *data, size_t len, struct arena *arena,
			ProtobufCMessage **out, struct why *out_why)
{
	const struct kind_type *type = &kinds[kind];
	const char *name = kind_name(kind);
	struct unpack_budget budget = {.arena = arena, .left = unpack_most(len)};
	ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
	ProtobufCMessage *msg = protobuf_c_message_unpack(type->descriptor, &allocator, len, data);
	if (!msg && budget.exhausted)
		return why_set(out_why, ERR_TOO_LARGE, "%s: too many parts", name);
	if (!msg)
		return why_set(out_why, ERR_INVALID, "%s: not a protobuf message of this type",
			       name);
	/* A NUL inside a text, or a field sent twice, would read as something else than it packs
	 * to. */
	if (protobuf_c_message_get_packed_size(msg) != len)
		return why_set(out_why, ERR_INVALID,
			       "%s: not canonical (NUL in a text, or a field twice)", name);
	int rc = settle_newer(msg, arena, out_why);
	if (!rc)
		rc = wire_check_fields(msg, name, kind != KIND_RAW, out_why);
	if (!rc)
		*out = msg;
	return rc;
}

int wire_unpack(enum kind kind, const void *data, size_t len, struct arena *arena,
		ProtobufCMessage **out, struct why *out_why)
{
	if ((unsigned)kind >= KINDS || !kinds[kind].descriptor)
		return why_set(out_why, ERR_SCHEMA, "no message of kind %d", (int)kind);
	const struct kind_type *type = &kinds[kind];
	if (len > type->max_bytes)
		return why_set(out_why, ERR_TOO_LARGE, "%s: %zu bytes, at most %zu",
			       kind_name(kind), len, type->max_bytes);
	ProtobufCMessage *msg = NULL;
	if (kind != KIND_RAW)
		msg = wire_unpack_fast(type->descriptor, data, len, unpack_most(len), arena);
	if (!msg)
		return wire_unpack_careful(kind, data, len, arena, out, out_why);
	*out = msg;
	return 0;
}

int wire_check(enum kind kind, const ProtobufCMessage *msg, struct why *out_why)
{
	if ((unsigned)kind >= KINDS || kinds[kind].descriptor != msg->descriptor)
		return why_set(out_why, ERR_SCHEMA, "%s is not a message of kind %d",
			       msg->descriptor->short_name, (int)kind);
	int rc = wire_check_fields(msg, kind_name(kind), kind != KIND_RAW, out_why);
	if (rc)
		return rc;
	size_t len = protobuf_c_message_get_packed_size(msg);
	if (len > kinds[kind].max_bytes)
		return why_set(out_why, ERR_TOO_LARGE, "%s: %zu bytes, at most %zu",
			       kind_name(kind), len, kinds[kind].max_bytes);
	return 0;
}

void wire_pack(const ProtobufCMessage *msg, struct buf *out)
{
	size_t len = protobuf_c_message_get_packed_size(msg);
	auto_free void *bytes = mem_alloc(len);
	size_t packed = protobuf_c_message_pack(msg, bytes);
	assert(packed == len);
	buf_add(out, bytes, packed);
}

/* ---- labels, parameters ---- */

const char *label_get(Healbus__Label *const *labels, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (labels[i]->name && str_eq(labels[i]->name, name))
			return labels[i]->value ? labels[i]->value : "";
	return NULL;
}

const char *label_set_lookup(const void *label_set, const char *name)
{
	const struct label_set *set = label_set;
	return label_get(set->items, set->n, name);
}

static void *take(struct arena *arena, size_t size)
{
	return arena ? arena_alloc(arena, size) : mem_alloc(size);
}

static char *take_text(struct arena *arena, const char *s)
{
	return arena ? arena_strdup(arena, s) : mem_strdup(s);
}

Healbus__Label *label_of(struct arena *arena, char *name, char *value)
{
	Healbus__Label *l = name && value ? take(arena, sizeof(*l)) : NULL;
	if (!l)
		return NULL;
	healbus__label__init(l);
	l->name = name;
	l->value = value;
	return l;
}

Healbus__Label *label_new(struct arena *arena, const char *name, const char *value)
{
	return label_of(arena, take_text(arena, name), take_text(arena, value));
}

Healbus__Param *param_new_string(struct arena *arena, const char *name, const char *value)
{
	Healbus__Param *p = take(arena, sizeof(*p));
	if (!p)
		return NULL;
	healbus__param__init(p);
	p->name = take_text(arena, name);
	p->string_value = take_text(arena, value);
	return p->name && p->string_value ? p : NULL;
}

/* ---- text ---- */

bool wire_is_control(const char *s)
{
	unsigned char c = (unsigned char)s[0];
	if (c == 0xc2)
		return (unsigned char)s[1] < 0xa0;
	return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Sets the top bit of each byte that is not plain; behind such a byte others may be set too. */
static uint64_t not_plain(uint64_t x)
{
	return (x | (x - EACH(' ')) | ((x ^ EACH(0x7f)) - EACH(1))) & EACH(0x80);
}

size_t wire_plain(const char *s, size_t len)
{
	size_t i = 0;
	uint64_t x;
	for (; len - i >= sizeof(x); i += sizeof(x)) {
		memcpy(&x, s + i, sizeof(x));
		if (not_plain(x))
			break;
	}
	while (i < len && s[i] >= ' ' && s[i] < 0x7f)
		i++;
	return i;
}

/* Length of the well-formed UTF-8 sequence at s, 0 when there is none. */
static size_t sequence_len(const char *s, size_t left)
{
	uint32_t point;
	return utf8_sequence((const unsigned char *)s, left, &point);
}

char *wire_text(struct arena *arena, const char *s, size_t len, size_t max)
{
	char *out = take(arena, MIN(len, max) + 1);
	if (!out)
		return NULL;
	size_t n = 0;
	for (size_t i = 0; i < len && n < max;) {
		size_t step = wire_plain(s + i, MIN(len - i, max - n));
		bool good = step > 0;
		if (!good) {
			step = sequence_len(s + i, len - i);
			good = step > 0 && !wire_is_control(s + i);
		}
		if (good && n + step > max)
			break;
		if (good) {
			memcpy(out + n, s + i, step);
			n += step;
		} else {
			out[n++] = '?';
		}
		i += step ? step : 1;
	}
	out[n] = '\0';
	return out;
}

/* ---- enums ---- */

static const struct enum_names {
	const ProtobufCEnumDescriptor *descriptor;
	const char *const names[16]; /* by number */
} enums[] = {
	{&healbus__status__descriptor, {"unknown", "firing", "resolved"}},
	{&healbus__severity__descriptor, {"unknown", "info", "warning", "error", "critical"}},
	{&healbus__incident_state__descriptor,
	 {"unknown", "open", "resolved", "suppressed", "escalated"}},
	{&healbus__provenance__descriptor,
	 {"unknown", "runbook", "memory", "model", "undo", "agent"}},
	{&healbus__level__descriptor, {"unknown", "none", "soft", "hard", "forbidden"}},
	{&healbus__decision_verdict__descriptor,
	 {"unknown", "approve", "deny", "expired", "rehearse"}},
	{&healbus__phase__descriptor, {"unknown", "policy", "act", "verify", "rollback"}},
	{&healbus__step_state__descriptor,
	 {"unknown_state", "waiting", "started", "done", "failed", "unknown", "skipped", "refused",
	  "rehearsed"}},
	{&healbus__verdict__descriptor,
	 {"unknown", "healed", "failed", "rolled_back", "refused", "denied", "expired", "observed",
	  "rollback_failed", "rehearsed"}},
	{&healbus__model_state__descriptor, {"unknown", "asked", "exchanged", "answered"}},
	{&healbus__notice_state__descriptor, {"unknown", "queued", "sent", "failed"}},
	{&healbus__match_op__descriptor, {"unknown", "equal", "not_equal", "regex", "not_regex"}},
	{&healbus__control_kind__descriptor,
	 {"unknown", "pause", "resume", "silence", "silence_expire", "undo", "catalogue", "ack",
	  "tick", "vote", "feedback", "health", "call", "oncall"}},
};

static const struct enum_names *enum_names_of(const ProtobufCEnumDescriptor *descriptor)
{
	for (size_t i = 0; i < ARRAY_SIZE(enums); i++)
		if (enums[i].descriptor == descriptor)
			return &enums[i];
	return NULL;
}

const char *wire_enum_name(const ProtobufCEnumDescriptor *descriptor, int value)
{
	const struct enum_names *e = enum_names_of(descriptor);
	if (!e || value < 0 || (size_t)value >= ARRAY_SIZE(e->names) || !e->names[value])
		return "unknown";
	return e->names[value];
}

int wire_enum_parse(const ProtobufCEnumDescriptor *descriptor, const char *name, int *out)
{
	const struct enum_names *e = enum_names_of(descriptor);
	for (size_t i = 0; e && i < ARRAY_SIZE(e->names); i++) {
		if (!e->names[i] || !str_eq(e->names[i], name))
			continue;
		*out = (int)i;
		return 0;
	}
	return ERR_INVALID;
}
