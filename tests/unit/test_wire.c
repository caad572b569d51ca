#include "common/wire.h"

#include "common/wire_fields.h"
#include "tests/unit/wire_fill.h"
#include "tests/unit/wire_new.h"

#include <setjmp.h>
#include <cmocka.h>
#include <sys/stat.h>

/* ---- every rule names its field ---- */

static void rules_fit(const ProtobufCMessageDescriptor *d)
{
	const struct wire_rules *rules = wire_rules_of(d);
	print_message("# %s\n", d->name);
	assert_non_null(rules);
	assert_int_equal(rules->n, d->n_fields);
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &d->fields[i];
		const struct wire_rule *rule = &rules->rules[i];
		assert_string_equal(rule->field, field->name);
		bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
		assert_int_equal(repeated, rule->count_max > 0);
		if (field->type == PROTOBUF_C_TYPE_STRING)
			assert_true(rule->type >= TOKEN && rule->type <= PARAM_NAME);
		if (field->type == PROTOBUF_C_TYPE_BYTES)
			assert_int_equal(rule->type, BYTES);
		if (rule->type == TEXT || rule->type == BYTES)
			assert_true(rule->max > 0);
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			rules_fit(field->descriptor);
	}
}

static void test_rules_fit_the_descriptors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(json_msg_kinds); i++)
		rules_fit(json_msg_kinds[i].descriptor);
}

/* ---- hostile bytes ---- */

static void test_unknown_enum_reads_as_unknown_and_survives(void **state)
{
	(void)state;
	auto_arena a = {0};
	auto_buf packed = {0}, again = {0};
	Healbus__Plan *p = plan_new(&a, 1);
	SET(p, provenance, (Healbus__Provenance)77);
	wire_pack(&p->base, &packed);
	ProtobufCMessage *out = NULL;
	assert_int_equal(wire_unpack(KIND_PLAN, packed.data, packed.len, &a, &out, NULL), 0);
	assert_int_equal(((Healbus__Plan *)out)->provenance, 0);
	assert_int_equal(((Healbus__Plan *)out)->has_provenance, 0);
	assert_int_equal(wire_check(KIND_PLAN, out, NULL), 0);
	wire_pack(out, &again);
	assert_int_equal(again.len, packed.len);
	/* A reader that knows the value finds it, whatever came of it on the way. */
	ProtobufCMessage *newer = protobuf_c_message_unpack(&healbus__plan__descriptor, NULL,
							    again.len, (uint8_t *)again.data);
	assert_non_null(newer);
	assert_int_equal(((Healbus__Plan *)newer)->provenance, 77);
	protobuf_c_message_free_unpacked(newer, NULL);
}

static void test_nul_in_text_is_refused(void **state)
{
	(void)state;
	auto_arena a = {0};
	auto_buf packed = {0};
	Healbus__Event *e = event_new(&a);
	e->summary = arena_strdup(&a, "abcdef");
	wire_pack(&e->base, &packed);
	char *at = memmem(packed.data, packed.len, "abcdef", 6);
	at[3] = '\0';
	ProtobufCMessage *out = NULL;
	struct why why = {0};
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, packed.len, &a, &out, &why),
			 ERR_INVALID);
	assert_non_null(strstr(why.text, "canonical"));
}

static void test_a_field_twice_is_refused(void **state)
{
	(void)state;
	auto_arena a = {0};
	auto_buf packed = {0};
	wire_pack(&event_new(&a)->base, &packed);
	size_t n = packed.len;
	auto_free char *copy = mem_dup(packed.data, n);
	buf_add(&packed, copy, 4); /* id "e1" again */
	ProtobufCMessage *out = NULL;
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, n, &a, &out, NULL), 0);
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, packed.len, &a, &out, NULL),
			 ERR_INVALID);
}

static void test_unknown_fields_survive(void **state)
{
	(void)state;
	auto_arena a = {0};
	auto_buf packed = {0}, again = {0};
	wire_pack(&event_new(&a)->base, &packed);
	buf_add(&packed, "\xba\x3e\x03new", 6); /* field 999, a string */
	ProtobufCMessage *out = NULL;
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, packed.len, &a, &out, NULL), 0);
	wire_pack(out, &again);
	assert_int_equal(again.len, packed.len);
	assert_memory_equal(again.data, packed.data, packed.len);
}

static void test_a_critical_field_is_refused(void **state)
{
	(void)state;
	auto_arena a = {0};
	auto_buf inner = {0}, packed = {0};
	Healbus__Plan *p = plan_new(&a, 1);
	/* In a step, where an overlooked condition would do most harm. */
	ProtobufCMessageUnknownField only_if = {.tag = 1000,
						.wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
						.len = 4,
						.data = (uint8_t *)"\x03new"};
	p->steps[0]->base.unknown_fields = &only_if;
	p->steps[0]->base.n_unknown_fields = 1;
	wire_pack(&p->base, &packed);
	ProtobufCMessage *out = NULL;
	struct why why = {0};
	assert_int_equal(wire_unpack(KIND_PLAN, packed.data, packed.len, &a, &out, &why),
			 ERR_SCHEMA);
	assert_non_null(strstr(why.text, "Step: field 1000"));
	only_if.tag = 999;
	wire_pack(&p->base, &inner);
	assert_int_equal(wire_unpack(KIND_PLAN, inner.data, inner.len, &a, &out, NULL), 0);
}

/* Whatever a newer release adds to any message, however deep: read, checked and packed again it is
 * the same, byte for byte; so what is forwarded keeps its digest and its signature. */
static void add_unknown(struct fill *f, ProtobufCMessage *msg)
{
	static uint8_t text[] = "\x04next";
	ProtobufCMessageUnknownField *more = arena_alloc(f->arena, sizeof(*more));
	*more = (ProtobufCMessageUnknownField){.tag = (uint32_t)(200 + fill_below(f, 800)),
					       .wire_type = 2,
					       .len = 5,
					       .data = text};
	msg->unknown_fields = more;
	msg->n_unknown_fields = 1;
	for (unsigned i = 0; i < msg->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &msg->descriptor->fields[i];
		size_t n = wire_field_count(msg, field);
		for (size_t j = 0; j < n && field->type == PROTOBUF_C_TYPE_MESSAGE; j++) {
			struct wire_value v = wire_field_value(msg, field, j);
			add_unknown(f, *(ProtobufCMessage *const *)v.at);
		}
	}
}

static void test_what_a_newer_release_adds_survives(void **state)
{
	(void)state;
	struct fill f = {.state = fill_seed()};
	for (size_t i = 0; i < 500; i++) {
		auto_arena a = {0};
		auto_buf first = {0}, second = {0};
		struct why why = {0};
		f.arena = &a;
		size_t k = i % ARRAY_SIZE(json_msg_kinds);
		ProtobufCMessage *msg = fill_message(&f, json_msg_kinds[k].descriptor, 0),
				 *out = NULL;
		add_unknown(&f, msg);
		wire_pack(msg, &first);
		if (first.len > WIRE_MESSAGE_MAX_BYTES)
			continue;
		int rc = wire_unpack(json_msg_kinds[k].kind, first.data, first.len, &a, &out, &why);
		if (rc)
			fail_msg("did not unpack: %s", why.text);
		wire_pack(out, &second);
		assert_int_equal(first.len, second.len);
		assert_memory_equal(first.data, second.data, first.len);
	}
}

static void test_a_bomb_meets_the_ceiling(void **state)
{
	(void)state;
	auto_arena a = {.limit_bytes = 64 << 20};
	auto_buf packed = {0};
	for (size_t i = 0; i < WIRE_MESSAGE_MAX_BYTES / 2; i++)
		buf_add(&packed, "\x3a\x00", 2); /* an empty label */
	ProtobufCMessage *out = NULL;
	struct why why = {0};
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, packed.len, &a, &out, &why),
			 ERR_TOO_LARGE);
	assert_string_equal(why.text, "event: too many parts");
	assert_true(a.used_bytes < 4 << 20);
}

static void test_a_full_arena_is_refused(void **state)
{
	(void)state;
	auto_arena a = {.limit_bytes = 1 << 16}, b = {.limit_bytes = 64};
	auto_buf packed = {0};
	wire_pack(&event_new(&a)->base, &packed);
	ProtobufCMessage *out = NULL;
	assert_int_equal(wire_unpack(KIND_EVENT, packed.data, packed.len, &b, &out, NULL),
			 ERR_TOO_LARGE);
}

static void test_sizes_and_kinds(void **state)
{
	(void)state;
	auto_arena a = {0};
	ProtobufCMessage *out = NULL;
	auto_free char *big = mem_alloc(WIRE_MESSAGE_MAX_BYTES + 1);
	assert_int_equal(wire_unpack(KIND_EVENT, big, WIRE_MESSAGE_MAX_BYTES + 1, &a, &out, NULL),
			 ERR_TOO_LARGE);
	assert_int_equal(wire_unpack(KIND_NONE, "", 0, &a, &out, NULL), ERR_SCHEMA);
	assert_int_equal(wire_unpack(KINDS, "", 0, &a, &out, NULL), ERR_SCHEMA);
	assert_int_equal(wire_unpack(KIND_EVENT, "\xff\xff", 2, &a, &out, NULL), ERR_INVALID);
	assert_int_equal(wire_unpack(KIND_TICK, "", 0, &a, &out, NULL), ERR_INVALID);
	assert_int_equal(wire_check(KIND_TICK, &event_new(&a)->base, NULL), ERR_SCHEMA);
}

/* ---- properties ---- */

static void test_round_trip(void **state)
{
	(void)state;
	struct fill f = {.state = fill_seed()};
	for (size_t i = 0; i < 3000; i++) {
		auto_arena a = {0};
		auto_buf first = {0}, second = {0};
		struct why why = {0};
		f.arena = &a;
		size_t k = i % ARRAY_SIZE(json_msg_kinds);
		ProtobufCMessage *msg = fill_message(&f, json_msg_kinds[k].descriptor, 0),
				 *out = NULL;
		int rc = wire_check(json_msg_kinds[k].kind, msg, &why);
		if (rc)
			fail_msg("made a bad message: %s", why.text);
		wire_pack(msg, &first);
		rc = wire_unpack(json_msg_kinds[k].kind, first.data, first.len, &a, &out, &why);
		if (rc)
			fail_msg("did not unpack: %s", why.text);
		wire_pack(out, &second);
		assert_int_equal(first.len, second.len);
		assert_memory_equal(first.data, second.data, first.len);
	}
}

/* Whatever the bytes: an answer, and what is accepted packs to the same bytes. */
static void test_damaged_bytes(void **state)
{
	(void)state;
	struct fill f = {.state = fill_seed()};
	size_t accepted = 0;
	for (size_t i = 0; i < 5000; i++) {
		auto_arena a = {0};
		auto_buf bytes = {0};
		f.arena = &a;
		size_t k = i % ARRAY_SIZE(json_msg_kinds);
		wire_pack(fill_message(&f, json_msg_kinds[k].descriptor, 0), &bytes);
		for (size_t n = fill_below(&f, 4) + 1; n > 0 && bytes.len; n--)
			bytes.data[fill_below(&f, bytes.len)] ^= (char)(1 << fill_below(&f, 8));
		size_t len = fill_below(&f, 4) ? bytes.len : fill_below(&f, bytes.len + 1);
		ProtobufCMessage *out = NULL;
		if (wire_unpack(json_msg_kinds[k].kind, bytes.data, len, &a, &out, NULL))
			continue;
		accepted++;
		assert_int_equal(wire_check(json_msg_kinds[k].kind, out, NULL), 0);
	}
	print_message("# %zu of 5000 damaged messages were still good ones\n", accepted);
}

/* ---- golden bytes: what v1 wrote is read for ever ---- */

static void golden_write(const char *path, const ProtobufCMessage *msg)
{
	auto_buf b = {0};
	wire_pack(msg, &b);
	auto_file FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
}

/* The fast way takes nothing that the careful one refuses, and gives the same. */
static bool fast_is_careful(enum kind kind, const ProtobufCMessageDescriptor *d,
			    const struct buf *bytes)
{
	auto_arena a = {0};
	auto_buf first = {0}, second = {0};
	ProtobufCMessage *careful = NULL;
	struct why why = {0};
	ProtobufCMessage *fast = wire_unpack_fast(d, buf_str(bytes), bytes->len, 1 << 20, &a);
	if (!fast)
		return false;
	if (wire_unpack_careful(kind, buf_str(bytes), bytes->len, &a, &careful, &why))
		fail_msg("refused: %s", why.text);
	wire_pack(fast, &first);
	wire_pack(careful, &second);
	assert_int_equal(first.len, bytes->len);
	assert_int_equal(second.len, bytes->len);
	assert_memory_equal(buf_str(&first), buf_str(bytes), bytes->len);
	assert_memory_equal(buf_str(&second), buf_str(bytes), bytes->len);
	return true;
}

static void test_the_fast_way(void **state)
{
	(void)state;
	struct fill f = {.state = fill_seed()};
	size_t damaged = 0;
	for (int round = 0; round < 3000; round++) {
		size_t k = (size_t)fill_below(&f, ARRAY_SIZE(json_msg_kinds));
		const ProtobufCMessageDescriptor *d = json_msg_kinds[k].descriptor;
		auto_arena a = {0};
		auto_buf bytes = {0};
		f.arena = &a;
		if (json_msg_kinds[k].kind == KIND_RAW)
			continue;
		wire_pack(fill_message(&f, d, 0), &bytes);
		if (bytes.len > 60000)
			continue;
		if (!fast_is_careful(json_msg_kinds[k].kind, d, &bytes))
			fail_msg("the fast way does not take this %s", d->name);
		for (int n = 0; n < 20 && bytes.len; n++) {
			size_t at = (size_t)fill_below(&f, bytes.len);
			char was = bytes.data[at];
			bytes.data[at] = (char)fill_below(&f, 256);
			damaged += fast_is_careful(json_msg_kinds[k].kind, d, &bytes);
			bytes.data[at] = was;
		}
	}
	assert_true(damaged > 100);
}

static void golden_read(const char *dir, bool write)
{
	struct fill f = {.state = 20261121, .full = true};
	for (size_t i = 0; i < ARRAY_SIZE(json_msg_kinds); i++) {
		auto_arena a = {0};
		auto_buf bytes = {0}, again = {0};
		char path[128];
		f.arena = &a;
		snprintf(path, sizeof(path), "%s/%s.bin", dir, kind_name(json_msg_kinds[i].kind));
		if (write)
			golden_write(path, fill_message(&f, json_msg_kinds[i].descriptor, 0));
		print_message("# %s\n", path);
		assert_int_equal(buf_read_file(&bytes, path, 1 << 20), 0);
		ProtobufCMessage *out = NULL;
		struct why why = {0};
		int rc = wire_unpack(json_msg_kinds[i].kind, bytes.data, bytes.len, &a, &out, &why);
		if (rc)
			fail_msg("%s: %s", path, why.text);
		assert_int_equal(out->n_unknown_fields, 0);
		wire_pack(out, &again);
		assert_int_equal(bytes.len, again.len);
		assert_memory_equal(bytes.data, again.data, bytes.len);
	}
}

static void test_golden(void **state)
{
	(void)state;
	size_t last = ARRAY_SIZE(fill_golden) - 1;
	for (size_t i = 0; i <= last; i++)
		golden_read(fill_golden[i], i == last && getenv("HEALBUS_GOLDEN_WRITE"));
}

/* ---- small things ---- */

static const struct {
	const char *in;
	size_t max;
	const char *out;
} texts[] = {
	{"plain", 100, "plain"},
	{"a\nb\tc", 100, "a\nb\tc"},
	{"\033[31m", 100, "?[31m"},
	{"a\xff"
	 "b",
	 100, "a?b"},
	{"\xc2\x9b", 100, "?"},
	{"\xc3\xa9\xc3\xa9", 3, "\xc3\xa9"},
	{"abc", 2, "ab"},
	{"\xe2\x82", 100, "??"},
	{"", 0, ""},
	{"abc", 0, ""},
};

static void test_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		auto_free char *out =
			wire_text(NULL, texts[i].in, strlen(texts[i].in), texts[i].max);
		assert_string_equal(out, texts[i].out);
	}
	auto_free char *nul = wire_text(NULL, "a\0b", 3, 10);
	assert_string_equal(nul, "a?b");
}

static void test_labels(void **state)
{
	(void)state;
	auto_arena a = {0};
	Healbus__Event *e = event_new(&a);
	struct label_set set = {e->labels, e->n_labels};
	assert_string_equal(label_set_lookup(&set, "service"), "db");
	assert_null(label_set_lookup(&set, "nothing"));
	assert_null(label_get(NULL, 0, "x"));
}

static void test_enum_names_fit_the_schema(void **state)
{
	(void)state;
	const ProtobufCEnumDescriptor *all[] = {
		&healbus__status__descriptor,         &healbus__severity__descriptor,
		&healbus__incident_state__descriptor, &healbus__provenance__descriptor,
		&healbus__level__descriptor,          &healbus__decision_verdict__descriptor,
		&healbus__phase__descriptor,          &healbus__step_state__descriptor,
		&healbus__verdict__descriptor,        &healbus__notice_state__descriptor,
		&healbus__match_op__descriptor,       &healbus__control_kind__descriptor,
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (unsigned j = 0; j < all[i]->n_values; j++) {
			const ProtobufCEnumValue *v = &all[i]->values[j];
			const char *name = wire_enum_name(all[i], v->value);
			assert_int_equal(strcasecmp(name, strchr(v->name, '_') + 1), 0);
			int parsed = -1;
			assert_int_equal(wire_enum_parse(all[i], name, &parsed), 0);
			assert_int_equal(parsed, v->value);
		}
	assert_string_equal(wire_enum_name(&healbus__verdict__descriptor, 99), "unknown");
	assert_string_equal(wire_enum_name(&healbus__verdict__descriptor, -1), "unknown");
	int out;
	assert_int_equal(wire_enum_parse(&healbus__verdict__descriptor, "HEALED", &out),
			 ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_fit_the_descriptors),
		cmocka_unit_test(test_unknown_enum_reads_as_unknown_and_survives),
		cmocka_unit_test(test_nul_in_text_is_refused),
		cmocka_unit_test(test_a_field_twice_is_refused),
		cmocka_unit_test(test_unknown_fields_survive),
		cmocka_unit_test(test_a_critical_field_is_refused),
		cmocka_unit_test(test_what_a_newer_release_adds_survives),
		cmocka_unit_test(test_a_bomb_meets_the_ceiling),
		cmocka_unit_test(test_a_full_arena_is_refused),
		cmocka_unit_test(test_sizes_and_kinds),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged_bytes),
		cmocka_unit_test(test_the_fast_way),
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_enum_names_fit_the_schema),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
