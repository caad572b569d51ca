/*
 * Reading any message through its descriptor, for the checks and for JSON. Private to wire*.c and
 * its tests. Layer 2.
 */
#ifndef COMMON_WIRE_FIELDS_H
#define COMMON_WIRE_FIELDS_H

#include "common/wire.h"

/* One value of a field: of a repeated one, one element. */
struct wire_value {
	const ProtobufCFieldDescriptor *field;
	const void *at;
};

/* 0 when the field is unset; 1 when it is set; elements when it is repeated. */
size_t wire_field_count(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field);
/* i < wire_field_count(). */
struct wire_value wire_field_value(const ProtobufCMessage *msg,
				   const ProtobufCFieldDescriptor *field, size_t i);

/* How many bytes from s on are printable ASCII, looking at eight at a time: most texts are nothing
 * else, and need no other look. */
size_t wire_plain(const char *s, size_t len);

/* The caller has looked at field->type. */
const char *wire_value_string(const struct wire_value *v);
const ProtobufCMessage *wire_value_message(const struct wire_value *v);
const ProtobufCBinaryData *wire_value_bytes(const struct wire_value *v);
int wire_value_enum(const struct wire_value *v);
double wire_value_double(const struct wire_value *v);
/* int32, uint32, int64, uint64 and bool; an uint64 above INT64_MAX gives -1. */
int64_t wire_value_int(const struct wire_value *v);

/* True at the first byte of a control character (C0 without \n and \t, DEL, C1). s is UTF-8. */
bool wire_is_control(const char *s);

/* What a field may hold. */
enum wire_rule_type {
	ANY, /* bool, enum, sub-message: nothing beyond its type */
	TOKEN,
	TEXT,
	HEX16,
	LABEL_NAME,
	PARAM_NAME,
	NUMBER,
	REAL,
	BYTES, /* min to max bytes */
};

struct wire_rule {
	const char *field;
	enum wire_rule_type type;
	int64_t min;
	int64_t max;
	size_t count_max; /* repeated fields */
	bool required;    /* set and not empty; at least one when repeated */
};

/* One row per field, in the order of the field numbers; test_wire.c holds the tables against the
 * descriptors, so that a new field without a row fails there. */
struct wire_rules {
	const ProtobufCMessageDescriptor *descriptor;
	const struct wire_rule *rules;
	size_t n;
};
/* NULL when the message has none. */
const struct wire_rules *wire_rules_of(const ProtobufCMessageDescriptor *descriptor);

/* wire_fast.c: unpacks what wire_pack wrote and the rules allow, in one pass and at most `budget`
 * bytes of the arena. NULL: then only the careful way knows whether it is good. */
ProtobufCMessage *wire_unpack_fast(const ProtobufCMessageDescriptor *d, const void *data,
				   size_t len, size_t budget, struct arena *arena);
/* wire_unpack without the fast way; kind has a type, and len is within its limit. */
int wire_unpack_careful(enum kind kind, const void *data, size_t len, struct arena *arena,
			ProtobufCMessage **out, struct why *out_why);
/* Would the rule take this text (an empty one, when it is not required)? False for a NUL inside. */
bool wire_text_good(const struct wire_rule *rule, const char *s, size_t len);
/* What one field alone cannot say. */
bool wire_extra_good(const ProtobufCMessage *msg);

/* All field rules of a message; `name` begins the path. strict: required fields must be there. */
int wire_check_fields(const ProtobufCMessage *msg, const char *name, bool strict,
		      struct why *out_why);

#endif
