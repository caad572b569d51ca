/* YAML text: what is read prints to text that reads as the same tree, and to JSON. */
#include "common/buf.h"
#include "common/yaml.h"
#include "monitor/json_text.h"
#include "tests/fuzz/fuzz.h"

static bool same_text(const char *a, const char *b)
{
	return a && b ? str_eq(a, b) : a == b;
}

static void same(const struct yaml_node *a, const struct yaml_node *b)
{
	MUST(a->type == b->type && a->count == b->count && same_text(a->key, b->key));
	if (a->type == YAML_SCALAR)
		MUST(str_eq(a->scalar, b->scalar));
	const struct yaml_node *y = b->child;
	YAML_EACH(x, a)
	{
		MUST(y);
		same(x, y);
		y = y->next;
	}
	MUST(!y);
}

static void reread(const struct yaml_node *root)
{
	auto_buf text = {0};
	struct yaml_doc again = {0};
	struct why why = {0};
	yaml_print(root, 0, &text);
	/* Printing may need more bytes than what was read: aliases are written out. */
	int rc = yaml_parse_text("again", buf_str(&text), text.len, &again, &why);
	if (rc && rc != ERR_TOO_LARGE) {
		fprintf(stderr, "%s\n%s\n", why.text, buf_str(&text));
		abort();
	}
	if (!rc)
		same(root, again.root);
	yaml_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = fuzz_text(data, size);
	auto_buf json = {0};
	struct yaml_doc doc = {0};
	struct why why = {0};
	int rc = yaml_parse_text("fuzz", text, size, &doc, &why);
	if (rc) {
		MUST((rc == ERR_CONFIG || rc == ERR_TOO_LARGE) && why.text[0]);
		return 0;
	}
	yaml_to_json(doc.root, &json);
	MUST(!utf8_valid(text, size) || json_text_check(buf_str(&json), json.len, &why) == 0);
	reread(doc.root);
	yaml_release(&doc);
	return 0;
}
