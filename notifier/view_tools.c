/* The catalogue with what came of each tool, over all incidents that are kept. */
#include "notifier/view.h"

struct tally {
	struct store_txn *txn;
	json_t *by_tool; /* name -> [runs, done] */
};

static int tool_visit(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct tally *t = ctx;
	struct tool_row row;
	char text[256] = "";
	const char *incident_end;
	if (key_len >= sizeof(text) || val.len != sizeof(row))
		return 0;
	memcpy(text, key, key_len);
	memcpy(&row, val.data, sizeof(row));
	incident_end = text + strlen(text);
	const char *tool = incident_end + 2; /* the NUL, and the tag */
	json_t *sum = json_object_get(t->by_tool, tool);
	json_int_t runs = json_integer_value(json_array_get(sum, 0)) + row.runs;
	json_int_t done = json_integer_value(json_array_get(sum, 1)) + row.done;
	json_object_set_new(t->by_tool, tool, json_pack("[I,I]", runs, done));
	return 0;
}

static int incident_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct tally *t = ctx;
	char id[TOKEN_MAX + 1] = "";
	memcpy(id, key, MIN(key_len, (size_t)TOKEN_MAX));
	struct key prefix = key_ref(id, REF_TOOL, "");
	struct store_range range = {.prefix = prefix.bytes, .prefix_len = prefix.len};
	store_each(t->txn, &table_refs, &range, tool_visit, t);
	return 0;
}

void view_tool_rates(struct store_txn *txn, json_t *tools)
{
	struct tally t = {.txn = txn, .by_tool = json_object()};
	struct store_range all = {0};
	json_t *tool;
	size_t i;
	store_each(txn, &table_incidents, &all, incident_visit, &t);
	json_array_foreach(tools, i, tool)
	{
		const char *name = json_string_value(json_object_get(tool, "name"));
		json_t *sum = name ? json_object_get(t.by_tool, name) : NULL;
		json_object_set_new(tool, "runs",
				    json_integer(json_integer_value(json_array_get(sum, 0))));
		json_object_set_new(tool, "done",
				    json_integer(json_integer_value(json_array_get(sum, 1))));
	}
	json_decref(t.by_tool);
}
