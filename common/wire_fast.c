#include "common/wire_fields.h"

#include <math.h>

/*
 * One pass over bytes as wire_pack writes them: unpacks and checks at once. Whatever is not
 * exactly that (another order, an unknown field or enum value, a longer varint, a value the rules
 * refuse) it leaves to the careful way, which alone says what is wrong.
 */

struct fast {
	struct arena *arena;
	size_t left; /* bytes of the arena */
	char *texts; /* room for all strings: each needs a NUL, and has two bytes before it */
};

struct in {
	const uint8_t *at, *end;
};

static void *take(struct fast *f, size_t size)
{
	if (size > f->left)
		return NULL;
	f->left -= size;
	return arena_alloc(f->arena, size);
}

static bool read_varint(struct in *in, uint64_t *out)
{
	uint64_t n = 0;
	if (in->at < in->end && *in->at < 0x80) {
		*out = *in->at++;
		return true;
	}
	for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
		uint64_t byte = *in->at++;
		if (shift == 63 && byte > 1)
			return false;
		n |= (byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		*out = n;
		return byte != 0 || shift == 0;
	}
	return false;
}

static bool read_bytes(struct in *in, struct in *out)
{
	uint64_t len;
	if (!read_varint(in, &len) || len > (uint64_t)(in->end - in->at))
		return false;
	*out = (struct in){in->at, in->at + len};
	in->at += len;
	return true;
}

/* ---- values: put at `at`, when the rule has nothing against them ---- */

static bool put_text(struct fast *f, const struct wire_rule *rule, const struct in *bytes,
		     char **at)
{
	size_t len = (size_t)(bytes->end - bytes->at);
	char *text = f->texts;
	memcpy(text, bytes->at, len);
	text[len] = '\0';
	f->texts += len + 1;
	*at = text;
	return wire_text_good(rule, text, len);
}

static bool put_bytes(struct fast *f, const struct wire_rule *rule, const struct in *bytes,
		      ProtobufCBinaryData *at)
{
	at->len = (size_t)(bytes->end - bytes->at);
	if (at->len == 0)
		return !rule->required;
	if (at->len < (size_t)rule->min || at->len > (size_t)rule->max)
		return false;
	at->data = take(f, at->len);
	if (at->data)
		memcpy(at->data, bytes->at, at->len);
	return at->data;
}

static bool in_range(const struct wire_rule *rule, int64_t n)
{
	return n >= rule->min && n <= rule->max;
}

static bool put_number(const struct wire_rule *rule, const ProtobufCFieldDescriptor *field,
		       uint64_t n, void *at)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = (protobuf_c_boolean)n;
		return n <= 1;
	case PROTOBUF_C_TYPE_ENUM:
		*(int *)at = (int)n;
		return n <= INT_MAX &&
		       protobuf_c_enum_descriptor_get_value(field->descriptor, (int)n);
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)at = (uint32_t)n;
		return n <= UINT32_MAX && in_range(rule, (int64_t)n);
	case PROTOBUF_C_TYPE_UINT64:
		*(uint64_t *)at = n;
		return n <= INT64_MAX && in_range(rule, (int64_t)n);
	case PROTOBUF_C_TYPE_INT64:
		*(int64_t *)at = (int64_t)n;
		return in_range(rule, (int64_t)n);
	case PROTOBUF_C_TYPE_INT32:
		*(int32_t *)at = (int32_t)n;
		return (int64_t)n == (int32_t)n && in_range(rule, (int64_t)n);
	default:
		return false;
	}
}

static bool put_double(const struct wire_rule *rule, struct in *in, double *at)
{
	if (in->end - in->at < (ptrdiff_t)sizeof(*at))
		return false;
	memcpy(at, in->at, sizeof(*at)); /* little-endian, as the machine is */
	in->at += sizeof(*at);
	return isfinite(*at) && *at >= (double)rule->min && *at <= (double)rule->max;
}

static ProtobufCMessage *read_message(struct fast *f, const ProtobufCMessageDescriptor *d,
				      struct in in);

/* One value behind its tag. */
static bool put_value(struct fast *f, const struct wire_rule *rule,
		      const ProtobufCFieldDescriptor *field, struct in *in, void *at)
{
	struct in bytes;
	uint64_t n;
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return read_bytes(in, &bytes) && put_text(f, rule, &bytes, at);
	case PROTOBUF_C_TYPE_BYTES:
		return read_bytes(in, &bytes) && put_bytes(f, rule, &bytes, at);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (!read_bytes(in, &bytes))
			return false;
		*(ProtobufCMessage **)at = read_message(f, field->descriptor, bytes);
		return *(ProtobufCMessage **)at;
	case PROTOBUF_C_TYPE_DOUBLE:
		return put_double(rule, in, at);
	default:
		return read_varint(in, &n) && put_number(rule, field, n, at);
	}
}

static unsigned wire_type(const ProtobufCFieldDescriptor *field)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return 2;
	case PROTOBUF_C_TYPE_DOUBLE:
		return 1;
	default:
		return 0;
	}
}

/* ---- fields ---- */

static bool put_single(struct fast *f, const struct wire_rule *rule,
		       const ProtobufCFieldDescriptor *field, struct in *in, void *msg)
{
	char *base = msg;
	if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
		*(protobuf_c_boolean *)(base + field->quantifier_offset) = 1;
	return put_value(f, rule, field, in, base + field->offset);
}

/* How many elements lie here one after the other; 0: something is wrong. */
static size_t count(struct in in, uint64_t tag)
{
	struct in skipped;
	uint64_t next = tag;
	size_t n = 0;
	while (next == tag && read_bytes(&in, &skipped)) {
		n++;
		if (in.at == in.end)
			return n;
		if (!read_varint(&in, &next))
			return 0;
	}
	return next == tag ? 0 : n;
}

static bool put_repeated(struct fast *f, const struct wire_rule *rule,
			 const ProtobufCFieldDescriptor *field, struct in *in, uint64_t tag,
			 void *msg)
{
	size_t n = count(*in, tag);
	if (n == 0 || n > rule->count_max)
		return false;
	void **items = take(f, n * sizeof(*items));
	if (!items)
		return false;
	*(void ***)((char *)msg + field->offset) = items;
	*(size_t *)((char *)msg + field->quantifier_offset) = n;
	for (size_t i = 0; i < n; i++) {
		uint64_t again = tag;
		if ((i > 0 && !read_varint(in, &again)) ||
		    !put_value(f, rule, field, in, &items[i]))
			return false;
	}
	return true;
}

/* A required field must be there, and say something. */
static bool is_complete(const struct wire_rules *m, const ProtobufCMessage *msg)
{
	for (size_t i = 0; i < m->n; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
		if (!m->rules[i].required)
			continue;
		if (wire_field_count(msg, field) == 0)
			return false;
		struct wire_value v = wire_field_value(msg, field, 0);
		if (field->type == PROTOBUF_C_TYPE_STRING && !*wire_value_string(&v))
			return false;
	}
	return wire_extra_good(msg);
}

static ProtobufCMessage *read_message(struct fast *f, const ProtobufCMessageDescriptor *d,
				      struct in in)
{
	const struct wire_rules *m = wire_rules_of(d);
	ProtobufCMessage *msg = take(f, d->sizeof_message);
	unsigned i = 0;
	if (!msg)
		return NULL;
	d->message_init(msg);
	while (in.at < in.end) {
		uint64_t tag;
		if (!read_varint(&in, &tag))
			return NULL;
		while (i < d->n_fields && d->fields[i].id < tag >> 3)
			i++;
		const ProtobufCFieldDescriptor *field = &d->fields[i];
		if (i == d->n_fields || field->id != tag >> 3 || wire_type(field) != (tag & 7))
			return NULL;
		bool ok = field->label == PROTOBUF_C_LABEL_REPEATED
				  ? put_repeated(f, &m->rules[i], field, &in, tag, msg)
				  : put_single(f, &m->rules[i], field, &in, msg);
		if (!ok)
			return NULL;
		i++;
	}
	return is_complete(m, msg) ? msg : NULL;
}

ProtobufCMessage *wire_unpack_fast(const ProtobufCMessageDescriptor *d, const void *data,
				   size_t len, size_t budget, struct arena *arena)
{
	struct fast f = {.arena = arena, .left = budget};
	f.texts = take(&f, len + 1);
	if (!f.texts)
		return NULL;
	return read_message(&f, d, (struct in){data, (const uint8_t *)data + len});
}
