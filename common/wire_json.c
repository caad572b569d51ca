#include "common/wire.h"

#include "common/wire_fields.h"

static json_t *bytes_to_json(const ProtobufCBinaryData *bytes)
{
	auto_buf hex = {0};
	buf_add_hex(&hex, bytes->data, bytes->len);
	return json_stringn(buf_str(&hex), hex.len);
}

/* A message that was never checked may hold anything. */
static json_t *text_to_json(const char *s)
{
	if (!s)
		s = "";
	json_t *text = json_string(s);
	if (text)
		return text;
	auto_free char *cleaned = wire_text(NULL, s, strlen(s), strlen(s));
	return json_string(cleaned);
}

static json_t *real_to_json(double n)
{
	json_t *real = json_real(n);
	return real ? real : json_null();
}

static json_t *value_to_json(const struct wire_value *v)
{
	switch (v->field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return text_to_json(wire_value_string(v));
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_to_json(wire_value_bytes(v));
	case PROTOBUF_C_TYPE_MESSAGE:
		return wire_to_json(wire_value_message(v));
	case PROTOBUF_C_TYPE_ENUM:
		return json_string(wire_enum_name(v->field->descriptor, wire_value_enum(v)));
	case PROTOBUF_C_TYPE_DOUBLE:
		return real_to_json(wire_value_double(v));
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(wire_value_int(v));
	default:
		return json_integer(wire_value_int(v));
	}
}

static json_t *param_to_json(const Healbus__Param *p)
{
	if (p->has_int_value)
		return json_integer(p->int_value);
	if (p->has_bool_value)
		return json_boolean(p->bool_value);
	if (p->has_double_value)
		return real_to_json(p->double_value);
	return text_to_json(p->text_value ? p->text_value : p->string_value);
}

static json_t *labels_to_json(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	json_t *out = json_object();
	size_t n = wire_field_count(msg, field);
	for (size_t i = 0; i < n; i++) {
		struct wire_value v = wire_field_value(msg, field, i);
		const Healbus__Label *l = (const Healbus__Label *)wire_value_message(&v);
		json_object_set_new(out, l->name ? l->name : "", text_to_json(l->value));
	}
	return out;
}

static json_t *params_to_json(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	json_t *out = json_object();
	size_t n = wire_field_count(msg, field);
	for (size_t i = 0; i < n; i++) {
		struct wire_value v = wire_field_value(msg, field, i);
		const Healbus__Param *p = (const Healbus__Param *)wire_value_message(&v);
		json_object_set_new(out, p->name ? p->name : "", param_to_json(p));
	}
	return out;
}

static json_t *list_to_json(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
	if (field->descriptor == &healbus__label__descriptor)
		return labels_to_json(msg, field);
	if (field->descriptor == &healbus__param__descriptor)
		return params_to_json(msg, field);
	json_t *out = json_array();
	size_t n = wire_field_count(msg, field);
	for (size_t i = 0; i < n; i++) {
		struct wire_value v = wire_field_value(msg, field, i);
		json_array_append_new(out, value_to_json(&v));
	}
	return out;
}

json_t *wire_to_json(const ProtobufCMessage *msg)
{
	json_t *out = json_object();
	for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			json_object_set_new(out, field->name, list_to_json(msg, field));
			continue;
		}
		if (wire_field_count(msg, field) == 0)
			continue;
		struct wire_value v = wire_field_value(msg, field, 0);
		json_object_set_new(out, field->name, value_to_json(&v));
	}
	return out;
}
