/*
 * JSON to messages, the reverse of wire_to_json, for tests: field names as in the proto, labels and
 * parameters as objects, enums as lower-case names, bytes as hex.
 */
#ifndef TESTS_JSON_MSG_H
#define TESTS_JSON_MSG_H

#include "common/wire.h"

static const struct {
	enum kind kind;
	const ProtobufCMessageDescriptor *descriptor;
} json_msg_kinds[] = {
	{KIND_EVENT, &healbus__event__descriptor},
	{KIND_TICK, &healbus__tick__descriptor},
	{KIND_INCIDENT, &healbus__incident__descriptor},
	{KIND_PLAN, &healbus__plan__descriptor},
	{KIND_APPROVAL, &healbus__approval_request__descriptor},
	{KIND_DECISION, &healbus__decision__descriptor},
	{KIND_STEP, &healbus__step_report__descriptor},
	{KIND_OUTCOME, &healbus__outcome__descriptor},
	{KIND_MODEL, &healbus__model_exchange__descriptor},
	{KIND_NOTICE, &healbus__notice__descriptor},
	{KIND_CONTROL, &healbus__control__descriptor},
	{KIND_DEAD, &healbus__dead__descriptor},
};

static UNUSED int kind_find(const char *name, enum kind *out_kind,
			    const ProtobufCMessageDescriptor **out_descriptor)
{
	for (size_t i = 0; i < ARRAY_SIZE(json_msg_kinds); i++) {
		if (!str_eq(kind_name(json_msg_kinds[i].kind), name))
			continue;
		*out_kind = json_msg_kinds[i].kind;
		*out_descriptor = json_msg_kinds[i].descriptor;
		return 0;
	}
	return ERR_UNKNOWN_KEY;
}

static int message_from_json(const ProtobufCMessageDescriptor *d, const json_t *json,
			     struct arena *a, ProtobufCMessage **out, struct why *why);

static int bytes_from_json(const json_t *json, struct arena *a, ProtobufCBinaryData *out)
{
	const char *hex = json_string_value(json);
	if (!hex)
		return ERR_INVALID;
	out->len = strlen(hex) / 2;
	out->data = arena_alloc(a, out->len + 1);
	return hex_decode(hex, out->data, out->len);
}

static int enum_from_json(const ProtobufCFieldDescriptor *f, const json_t *json, int *out)
{
	if (json_is_integer(json)) {
		*out = (int)json_integer_value(json);
		return 0;
	}
	const char *name = json_string_value(json);
	return name ? wire_enum_parse(f->descriptor, name, out) : ERR_INVALID;
}

/* Writes one value of the field's type at `at`. */
static int value_from_json(const ProtobufCFieldDescriptor *f, const json_t *json, struct arena *a,
			   void *at, struct why *why)
{
	int rc = 0;
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
		*(int32_t *)at = (int32_t)json_integer_value(json);
		break;
	case PROTOBUF_C_TYPE_UINT32:
		*(uint32_t *)at = (uint32_t)json_integer_value(json);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		*(int64_t *)at = json_integer_value(json);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		*(double *)at = json_number_value(json);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = json_is_true(json);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		rc = enum_from_json(f, json, at);
		break;
	case PROTOBUF_C_TYPE_STRING:
		rc = json_is_string(json) ? 0 : ERR_INVALID;
		*(char **)at = arena_strdup(a, rc ? "" : json_string_value(json));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		rc = bytes_from_json(json, a, at);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_from_json(f->descriptor, json, a, at, why);
	default:
		rc = ERR_UNSUPPORTED;
	}
	return rc ? why_set(why, rc, "%s: wrong type or value", f->name) : 0;
}

static Healbus__Param *param_from_json(const char *name, const json_t *json, struct arena *a)
{
	Healbus__Param *p = arena_alloc(a, sizeof(*p));
	healbus__param__init(p);
	p->name = arena_strdup(a, name);
	if (json_is_boolean(json))
		SET(p, bool_value, json_is_true(json));
	else if (json_is_integer(json))
		SET(p, int_value, json_integer_value(json));
	else if (json_is_real(json))
		SET(p, double_value, json_real_value(json));
	else
		p->string_value = arena_strdup(a, json_string_value(json));
	return p;
}

static int label_order(const void *a, const void *b)
{
	return strcmp((*(Healbus__Label *const *)a)->name, (*(Healbus__Label *const *)b)->name);
}

/* Labels and parameters are objects in JSON and lists in the message; labels are sorted there. */
static int pairs_from_json(const ProtobufCFieldDescriptor *f, json_t *json, struct arena *a,
			   void **items)
{
	size_t n = 0;
	const char *key;
	json_t *value;
	json_object_foreach(json, key, value)
	{
		if (f->descriptor == &healbus__param__descriptor)
			items[n++] = param_from_json(key, value, a);
		else
			items[n++] = label_new(a, key, json_string_value(value));
	}
	if (f->descriptor == &healbus__label__descriptor)
		qsort(items, n, sizeof(*items), label_order);
	return 0;
}

static size_t type_size(ProtobufCType type)
{
	if (type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE)
		return sizeof(void *);
	return type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : 8;
}

static int list_from_json(const ProtobufCFieldDescriptor *f, json_t *json, struct arena *a,
			  char *msg, struct why *why)
{
	size_t n = json_is_object(json) ? json_object_size(json) : json_array_size(json);
	size_t size = type_size(f->type);
	char *items = arena_alloc(a, (n + 1) * size);
	*(size_t *)(msg + f->quantifier_offset) = n;
	*(void **)(msg + f->offset) = items;
	if (json_is_object(json))
		return pairs_from_json(f, json, a, (void **)items);
	for (size_t i = 0; i < n; i++) {
		int rc = value_from_json(f, json_array_get(json, i), a, items + i * size, why);
		if (rc)
			return why_prefix(why, rc, "%s[%zu]", f->name, i);
	}
	return 0;
}

static bool has_flag(ProtobufCType type)
{
	return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_MESSAGE;
}

/* Builds the message in the arena; enums are names, bytes are hex. ERR_INVALID, ERR_UNKNOWN_KEY. */
static UNUSED int message_from_json(const ProtobufCMessageDescriptor *d, const json_t *json,
				    struct arena *a, ProtobufCMessage **out, struct why *why)
{
	if (!json_is_object(json))
		return why_set(why, ERR_INVALID, "%s: not an object", d->name);
	char *msg = arena_alloc(a, d->sizeof_message);
	protobuf_c_message_init(d, msg);
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)json, key, value)
	{
		const ProtobufCFieldDescriptor *f =
			protobuf_c_message_descriptor_get_field_by_name(d, key);
		if (!f)
			return why_set(why, ERR_UNKNOWN_KEY, "%s: no field %s", d->name, key);
		int rc;
		if (f->label == PROTOBUF_C_LABEL_REPEATED)
			rc = list_from_json(f, value, a, msg, why);
		else
			rc = value_from_json(f, value, a, msg + f->offset, why);
		if (rc)
			return rc;
		if (f->label != PROTOBUF_C_LABEL_REPEATED && has_flag(f->type))
			*(protobuf_c_boolean *)(msg + f->quantifier_offset) = 1;
	}
	*out = (ProtobufCMessage *)msg;
	return 0;
}

#endif
