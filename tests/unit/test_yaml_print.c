/* Whatever is printed parses back to the same tree. HEALBUS_SEED repeats a run. */
#include "common/yaml.h"
#include "common/buf.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>

static const char *const pieces[] = {
	"a",
	"key",
	"0",
	"7",
	"-",
	".",
	":",
	": ",
	" #",
	"#",
	"\n",
	"\n\n",
	" ",
	"\t",
	"\"",
	"'",
	"\\",
	"[",
	"]",
	"{",
	"}",
	",",
	"&",
	"*",
	"!",
	"|",
	">",
	"%",
	"@",
	"`",
	"\r",
	"~",
	"null",
	"true",
	"\x7f",
	"\xc2\x85",
	"\xc3\xa9",
	"\xe2\x80\xa8",
	"\xef\xbb\xbf",
	"\xf0\x9f\x98\x80",
	"\x1b",
	"---",
	"...",
	"? ",
	"- ",
};

static const char *const plains[] = {"1",   "-1.5e3", "true", "word",   "two words", "a:b",
				     "x#y", "0.5",    ".5",   "a, [b]", "False",     "10.0.0.1:80",
				     "-x",  "<<",     "x: y", "x #y",   "x:"};

static char *random_text(struct arena *a, unsigned *seed)
{
	auto_buf b = {0};

	for (int n = rand_r(seed) % 8; n > 0; n--)
		buf_add_str(&b, pieces[(size_t)rand_r(seed) % ARRAY_SIZE(pieces)]);
	return arena_strdup(a, buf_str(&b));
}

static struct yaml_node *random_tree(struct arena *a, unsigned *seed, int depth)
{
	struct yaml_node *node = arena_alloc(a, sizeof *node);
	struct yaml_node **next = &node->child;
	int kind = rand_r(seed) % (depth ? 6 : 4);

	node->type = kind < 3    ? YAML_SCALAR
		     : kind == 3 ? YAML_NULL
		     : kind == 4 ? YAML_LIST
				 : YAML_MAP;
	if (kind == 0)
		node->scalar = plains[(size_t)rand_r(seed) % ARRAY_SIZE(plains)];
	if (kind == 1 || kind == 2) {
		node->scalar = random_text(a, seed);
		node->quoted = true;
	}
	if (kind < 4)
		return node;
	for (int n = rand_r(seed) % 4; n > 0; n--) {
		*next = random_tree(a, seed, depth - 1);
		if (kind == 5)
			(*next)->key = arena_printf(a, "%s%d", random_text(a, seed), n);
		next = &(*next)->next;
		node->count++;
	}
	return node;
}

static void test_print_parses_back(void **state UNUSED)
{
	const char *given = getenv("HEALBUS_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	struct arena a = {0};

	printf("# seed %u\n", seed);
	for (int round = 0; round < 5000; round++) {
		const struct yaml_node *tree = random_tree(&a, &seed, 4);
		auto_buf yaml = {0};
		auto_buf before = {0};
		auto_buf after = {0};
		struct yaml_doc doc = {0};
		struct why why = {0};

		yaml_to_json(tree, &before);
		yaml_print(tree, 0, &yaml);
		if (yaml_parse_text("p", yaml.data, yaml.len, &doc, &why))
			fail_msg("%s in:\n%s", why.text, yaml.data);
		yaml_to_json(doc.root, &after);
		if (!str_eq(before.data, after.data))
			fail_msg("%s\n became %s\n through:\n%s", before.data, after.data,
				 yaml.data);
		yaml_release(&doc);
		arena_reset(&a);
	}
	arena_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_print_parses_back)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
