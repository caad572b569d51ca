/* Bytes from the bus. The first one chooses the kind; what is accepted must stand every later use.
 */
#include "common/wire_fields.h"
#include "tests/fuzz/fuzz.h"

static void show(const ProtobufCMessage *msg)
{
	json_t *json = wire_to_json(msg);
	MUST(json);
	auto_free char *text = json_dumps(json, JSON_COMPACT);
	MUST(text);
	json_decref(json);
}

/* What was packed here must be taken by the next stage, and give the same bytes again. */
static void repack(enum kind kind, const ProtobufCMessage *msg)
{
	struct arena arena = {0};
	auto_buf first = {0};
	auto_buf second = {0};
	ProtobufCMessage *again = NULL;
	struct why why = {0};
	wire_pack(msg, &first);
	if (wire_unpack(kind, buf_str(&first), first.len, &arena, &again, &why)) {
		fprintf(stderr, "repacked: %s\n", why.text);
		abort();
	}
	wire_pack(again, &second);
	MUST(first.len == second.len);
	MUST(memcmp(buf_str(&first), buf_str(&second), first.len) == 0);
	arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum kind kind = (enum kind)(KIND_NONE + 1 + fuzz_take(&data, &size) % (KINDS - 1));
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;
	struct why why = {0};
	int rc = wire_unpack(kind, data, size, &arena, &msg, &why);
	if (rc == 0) {
		/* Whichever way it went, the careful one takes it too. */
		ProtobufCMessage *careful = NULL;
		MUST(wire_unpack_careful(kind, data, size, &arena, &careful, &why) == 0);
	}
	if (rc) {
		MUST(err_class(rc) == ERR_CLASS_INPUT && why.text[0]);
	} else {
		MUST(wire_check(kind, msg, &why) == 0);
		show(msg);
		repack(kind, msg);
	}
	arena_release(&arena);
	return 0;
}
