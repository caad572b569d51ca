#include "common/wire.h"

#include "common/wire_fields.h"

#include <math.h>

/* ---- a path that costs nothing until something is wrong ---- */

struct place {
	const struct place *up;
	const char *field; /* NULL at the top, where message says what it is */
	const char *message;
	size_t index; /* SIZE_MAX: not repeated */
};

static void place_print(const struct place *at, struct buf *out)
{
	if (at->up)
		place_print(at->up, out);
	if (!at->field) {
		buf_add_str(out, at->message);
		return;
	}
	buf_printf(out, ".%s", at->field);
	if (at->index != SIZE_MAX)
		buf_printf(out, "[%zu]", at->index);
}

static int refuse(const struct place *at, struct why *out_why, int rc, const char *what)
{
	auto_buf path = {0};
	place_print(at, &path);
	return why_set(out_why, rc, "%s: %s", buf_str(&path), what);
}

static int refuse_member(const struct place *up, const char *field, struct why *out_why,
			 const char *what)
{
	const struct place at = {.up = up, .field = field, .index = SIZE_MAX};
	return refuse(&at, out_why, ERR_INVALID, what);
}

/* ---- values ---- */

/* Which names a character may be part of: a bit each, one look a byte. */
enum {
	IN_LABEL_NAME = 1,
	IN_PARAM_NAME = 2,
	IN_HEX = 4,
};
static const uint8_t classes[256] = {
	['0' ... '9'] = IN_LABEL_NAME | IN_PARAM_NAME | IN_HEX,
	['a' ... 'f'] = IN_LABEL_NAME | IN_PARAM_NAME | IN_HEX,
	['g' ... 'z'] = IN_LABEL_NAME | IN_PARAM_NAME,
	['A' ... 'Z'] = IN_LABEL_NAME,
	['_'] = IN_LABEL_NAME | IN_PARAM_NAME,
	['.'] = IN_LABEL_NAME,
	['-'] = IN_LABEL_NAME,
};

/* Length of the string, 0 when a character is not of the class. */
static size_t class_len(const char *s, uint8_t class)
{
	const uint8_t *c = (const uint8_t *)s;
	while (classes[*c] & class)
		c++;
	return *c ? 0 : (size_t)((const char *)c - s);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool label_name_valid(const char *s)
{
	size_t len = class_len(s, IN_LABEL_NAME);
	return len > 0 && len <= WIRE_LABEL_NAME_MAX && !is_digit(*s) && *s != '.' && *s != '-';
}

static bool param_name_valid(const char *s)
{
	size_t len = class_len(s, IN_PARAM_NAME);
	return len > 0 && len <= 63 && !is_digit(*s) && *s != '_';
}

static bool hex16_valid(const char *s)
{
	return class_len(s, IN_HEX) == 16;
}

static bool is_plain(const char *s, size_t len)
{
	return wire_plain(s, len) == len;
}

static bool no_controls(const char *s)
{
	while (*s && !wire_is_control(s))
		s++;
	return !*s;
}

static int text_check(const struct place *at, const struct wire_rule *rule, const char *s,
		      struct why *out_why)
{
	size_t len = strlen(s);
	if (len > (size_t)rule->max)
		return refuse(at, out_why, ERR_TOO_LARGE, "too long");
	if (is_plain(s, len))
		return 0;
	if (!utf8_valid(s, len))
		return refuse(at, out_why, ERR_INVALID, "not UTF-8");
	return no_controls(s) ? 0 : refuse(at, out_why, ERR_INVALID, "holds a control character");
}

static const struct {
	bool (*valid)(const char *s);
	const char *what;
} forms[] = {
	[TOKEN] = {token_valid, "not a token"},
	[HEX16] = {hex16_valid, "not 16 hex digits"},
	[LABEL_NAME] = {label_name_valid, "not a label name"},
	[PARAM_NAME] = {param_name_valid, "not a parameter name"},
};

bool wire_text_good(const struct wire_rule *rule, const char *s, size_t len)
{
	if (len == 0)
		return true;
	if (rule->type != TEXT)
		return rule->type < ARRAY_SIZE(forms) && forms[rule->type].valid &&
		       forms[rule->type].valid(s) && strlen(s) == len;
	if (len > (size_t)rule->max)
		return false;
	return is_plain(s, len) || (strlen(s) == len && utf8_valid(s, len) && no_controls(s));
}

static int string_check(const struct place *at, const struct wire_rule *rule, const char *s,
			struct why *out_why)
{
	if (!s || !*s)
		return rule->required ? refuse(at, out_why, ERR_INVALID, "missing") : 0;
	if (rule->type == TEXT)
		return text_check(at, rule, s, out_why);
	assert(rule->type < ARRAY_SIZE(forms) && forms[rule->type].valid);
	if (!forms[rule->type].valid(s))
		return refuse(at, out_why, ERR_INVALID, forms[rule->type].what);
	return 0;
}

static int bytes_check(const struct place *at, const struct wire_rule *rule,
		       const ProtobufCBinaryData *b, struct why *out_why)
{
	if (b->len == 0 && !rule->required)
		return 0;
	if (b->len > (size_t)rule->max)
		return refuse(at, out_why, ERR_TOO_LARGE, "too long");
	if (b->len < (size_t)rule->min)
		return refuse(at, out_why, ERR_INVALID, b->len ? "too short" : "missing");
	return 0;
}

static int number_check(const struct place *at, const struct wire_rule *rule, int64_t n,
			struct why *out_why)
{
	return n < rule->min || n > rule->max ? refuse(at, out_why, ERR_INVALID, "out of range")
					      : 0;
}

static int real_check(const struct place *at, const struct wire_rule *rule, double n,
		      struct why *out_why)
{
	bool ok = isfinite(n) && n >= (double)rule->min && n <= (double)rule->max;
	return ok ? 0 : refuse(at, out_why, ERR_INVALID, "out of range");
}

static int enum_check(const struct place *at, const ProtobufCFieldDescriptor *field, int value,
		      struct why *out_why)
{
	if (protobuf_c_enum_descriptor_get_value(field->descriptor, value))
		return 0;
	return refuse(at, out_why, ERR_INVALID, "unknown value");
}

/* ---- messages ---- */

static int message_check(const struct place *at, const ProtobufCMessage *msg, bool strict,
			 struct why *out_why);

static int value_check(const struct place *at, const struct wire_rule *rule,
		       const struct wire_value *value, struct why *out_why)
{
	switch (value->field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return string_check(at, rule, wire_value_string(value), out_why);
	case PROTOBUF_C_TYPE_BYTES:
		return bytes_check(at, rule, wire_value_bytes(value), out_why);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_check(at, wire_value_message(value), true, out_why);
	case PROTOBUF_C_TYPE_ENUM:
		return enum_check(at, value->field, wire_value_enum(value), out_why);
	case PROTOBUF_C_TYPE_DOUBLE:
		return real_check(at, rule, wire_value_double(value), out_why);
	case PROTOBUF_C_TYPE_BOOL:
		return 0;
	default:
		return number_check(at, rule, wire_value_int(value), out_why);
	}
}

static int field_check(const struct place *up, const struct wire_rule *rule,
		       const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field,
		       struct why *out_why)
{
	struct place at = {.up = up, .field = field->name, .index = SIZE_MAX};
	size_t n = wire_field_count(msg, field);
	bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
	if (n == 0)
		return rule->required ? refuse(&at, out_why, ERR_INVALID, "missing") : 0;
	if (repeated && n > rule->count_max)
		return refuse(&at, out_why, ERR_TOO_LARGE, "too many");
	for (size_t i = 0; i < n; i++) {
		at.index = repeated ? i : SIZE_MAX;
		struct wire_value value = wire_field_value(msg, field, i);
		int rc = value_check(&at, rule, &value, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

static int labels_check(const struct place *up, Healbus__Label *const *labels, size_t n,
			struct why *out_why)
{
	for (size_t i = 0; i < n; i++) {
		const struct place at = {.up = up, .field = "labels", .index = i};
		if (labels[i]->value && strlen(labels[i]->value) > WIRE_LABEL_VALUE_MAX)
			return refuse(&at, out_why, ERR_TOO_LARGE, "value too long");
		if (i > 0 && strcmp(labels[i - 1]->name, labels[i]->name) >= 0)
			return refuse(&at, out_why, ERR_INVALID,
				      "not sorted by name, or named twice");
	}
	return 0;
}

/* What one field alone cannot say. The casts follow from the rows of `extras`. */

static int event_extra(const struct place *at, const ProtobufCMessage *msg, struct why *out_why)
{
	const Healbus__Event *e = (const Healbus__Event *)msg;
	return labels_check(at, e->labels, e->n_labels, out_why);
}

static int incident_extra(const struct place *at, const ProtobufCMessage *msg, struct why *out_why)
{
	const Healbus__Incident *i = (const Healbus__Incident *)msg;
	return labels_check(at, i->labels, i->n_labels, out_why);
}

static int plan_extra(const struct place *at, const ProtobufCMessage *msg, struct why *out_why)
{
	const Healbus__Plan *p = (const Healbus__Plan *)msg;
	return labels_check(at, p->labels, p->n_labels, out_why);
}

static int param_extra(const struct place *at, const ProtobufCMessage *msg, struct why *out_why)
{
	const Healbus__Param *p = (const Healbus__Param *)msg;
	int set = (p->string_value != NULL) + (p->text_value != NULL) + !!p->has_int_value +
		  !!p->has_bool_value + !!p->has_double_value;
	return set == 1 ? 0 : refuse(at, out_why, ERR_INVALID, "not exactly one value");
}

static int control_extra(const struct place *at, const ProtobufCMessage *msg, struct why *out_why)
{
	const Healbus__Control *c = (const Healbus__Control *)msg;
	bool silence = c->kind == HEALBUS__CONTROL_KIND__CONTROL_SILENCE;
	bool expire = c->kind == HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE;
	if ((silence || expire) && !c->silence)
		return refuse_member(at, "silence", out_why, "missing");
	if (silence && c->silence->n_matchers == 0)
		return refuse_member(at, "silence.matchers", out_why, "missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_UNDO && (!c->change || !*c->change))
		return refuse_member(at, "change", out_why, "missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_VOTE && (!c->approval || !*c->approval))
		return refuse_member(at, "approval", out_why, "missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_CALL && (!c->call || !c->incident))
		return refuse_member(at, c->call ? "incident" : "call", out_why, "missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_TICK && !c->tick)
		return refuse_member(at, "tick", out_why, "missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_ONCALL && !c->duty)
		return refuse_member(at, "duty", out_why, "missing");
	if (c->kind == HEALBUS__CONTROL_KIND__CONTROL_HEALTH && !c->health)
		return refuse_member(at, "health", out_why, "missing");
	return 0;
}

static const struct {
	const ProtobufCMessageDescriptor *descriptor;
	int (*check)(const struct place *at, const ProtobufCMessage *msg, struct why *out_why);
} extras[] = {
	{&healbus__event__descriptor, event_extra},
	{&healbus__incident__descriptor, incident_extra},
	{&healbus__param__descriptor, param_extra},
	{&healbus__plan__descriptor, plan_extra},
	{&healbus__control__descriptor, control_extra},
};

static int extra_check(const struct place *at, const ProtobufCMessage *msg, struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(extras); i++)
		if (extras[i].descriptor == msg->descriptor)
			return extras[i].check(at, msg, out_why);
	return 0;
}

bool wire_extra_good(const ProtobufCMessage *msg)
{
	const struct place top = {.message = ""};
	return extra_check(&top, msg, NULL) == 0;
}

/* strict false: what an outsider may leave out (see KIND_RAW) is not demanded of the top level. */
static int message_check(const struct place *at, const ProtobufCMessage *msg, bool strict,
			 struct why *out_why)
{
	const struct wire_rules *m = wire_rules_of(msg->descriptor);
	assert(m && m->n == msg->descriptor->n_fields);
	for (size_t i = 0; i < m->n; i++) {
		struct wire_rule rule = m->rules[i];
		rule.required = rule.required && strict;
		int rc = field_check(at, &rule, msg, &msg->descriptor->fields[i], out_why);
		if (rc)
			return rc;
	}
	return extra_check(at, msg, out_why);
}

int wire_check_fields(const ProtobufCMessage *msg, const char *name, bool strict,
		      struct why *out_why)
{
	const struct place top = {.message = name};
	return message_check(&top, msg, strict, out_why);
}

/* ---- where it may be ---- */

int wire_check_schema(unsigned schema, struct why *out_why)
{
	if (schema == SCHEMA_ANSWER)
		return why_set(out_why, ERR_INVALID, SCHEMA_ANSWER_TEXT);
	if (schema > SCHEMA_NUMBER)
		return why_set(out_why, ERR_SCHEMA, "schema %u, this release reads up to %d",
			       schema, SCHEMA_NUMBER);
	return 0;
}

/* NULL: on the subject of its incident. */
static const struct {
	Healbus__ControlKind kind;
	const char *token;
} control_places[] = {
	{HEALBUS__CONTROL_KIND__CONTROL_PAUSE, "pause"},
	{HEALBUS__CONTROL_KIND__CONTROL_RESUME, "pause"},
	{HEALBUS__CONTROL_KIND__CONTROL_SILENCE, "silence"},
	{HEALBUS__CONTROL_KIND__CONTROL_SILENCE_EXPIRE, "silence"},
	{HEALBUS__CONTROL_KIND__CONTROL_CATALOGUE, "catalogue"},
	{HEALBUS__CONTROL_KIND__CONTROL_TICK, "tick"},
	{HEALBUS__CONTROL_KIND__CONTROL_HEALTH, "health"},
	{HEALBUS__CONTROL_KIND__CONTROL_ONCALL, "oncall"},
	{HEALBUS__CONTROL_KIND__CONTROL_CALL, "call"},
	{HEALBUS__CONTROL_KIND__CONTROL_UNDO, NULL},
	{HEALBUS__CONTROL_KIND__CONTROL_ACK, NULL},
	{HEALBUS__CONTROL_KIND__CONTROL_VOTE, NULL},
	{HEALBUS__CONTROL_KIND__CONTROL_FEEDBACK, NULL},
};

/* "control": what the monitor hands on to its partitions, event.<part>.control. */
static bool control_fits(const Healbus__Control *c, const char *want, const char *token)
{
	if (str_eq(token, "control"))
		return want && str_eq(want, "silence");
	return str_eq(token, want ? want : c->incident ? c->incident : "");
}

int wire_check_topic(const struct topic *topic, const ProtobufCMessage *msg, struct why *out_why)
{
	const Healbus__Control *c = (const Healbus__Control *)msg;
	for (size_t i = 0; topic->kind == KIND_CONTROL && i < ARRAY_SIZE(control_places); i++) {
		if (control_places[i].kind != c->kind)
			continue;
		if (control_fits(c, control_places[i].token, topic->token))
			return 0;
		return why_set(out_why, ERR_INVALID,
			       "control.kind: %s belongs on heal.control.%s, not on that of %s",
			       wire_enum_name(&healbus__control_kind__descriptor, (int)c->kind),
			       control_places[i].token ? control_places[i].token : "<its incident>",
			       topic->token);
	}
	return 0;
}
