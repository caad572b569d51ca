/* What a log says, read; and trees on their way. */
#include "executor/sandboxes/parcel.h"
#include "executor/sandboxes/place.h"
#include "executor/sandboxes/rest.h"
#include "tests/unit/executor/support.h"

#include <zlib.h>

#define NONCE "abcdefghijklmnopqrst"

static void add_packed(struct buf *out, const char *text, size_t len)
{
	unsigned char packed[70000];
	z_stream z = {.next_in = (Bytef *)(uintptr_t)text,
		      .avail_in = (uInt)len,
		      .next_out = packed,
		      .avail_out = sizeof(packed)};
	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	base64_add(out, packed, sizeof(packed) - z.avail_out);
	deflateEnd(&z);
}

static void test_base64(void **state)
{
	static const char *const bad[] = {"QQ=",  "Q===", "QQ=A", "Q Q=", "QUJ", "\xff\xff\xff\xff",
					  "====", "QU-D"};
	static const char bytes[] = "\0\xff\x80zwoelf\n";
	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		auto_buf text = {0}, back = {0};
		base64_add(&text, bytes, len);
		assert_true(base64_take(&back, buf_str(&text), text.len));
		assert_int_equal(back.len, len);
		assert_memory_equal(buf_str(&back), bytes, len);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_buf back = {0};
		if (base64_take(&back, bad[i], strlen(bad[i])))
			fail_msg("taken: %s", bad[i]);
	}
}

static void test_lines(void **state)
{
	auto_buf said = {0};
	(void)state;
	add_packed(&said, "hello\n", 6);
	auto_free char *good = mem_printf("noise\n" NONCE " 3 o %s\r\n" NONCE " 2 s 6\n" NONCE
					  " 4 e\nxyz 1 c 9\n" NONCE " 1 c 7\n" NONCE " 1 c 0\n",
					  buf_str(&said));
	const struct {
		const char *text;
		int rc;
	} rows[] = {
		{good, 0},
		{"", ERR_NOT_FOUND},
		{NONCE " 1 c 0", ERR_NOT_FOUND},
		{NONCE " 1 c 0\n" NONCE " 2 e", 0},
		{NONCE " 2 c 0\n" NONCE " 3 e", ERR_NOT_FOUND},
		{NONCE " 1 c 256\n" NONCE " 2 e", ERR_CORRUPT},
		{NONCE " 1 c \n" NONCE " 2 e", ERR_CORRUPT},
		{NONCE " 1 c\n" NONCE " 2 e", ERR_CORRUPT},
		{NONCE " 1 c -1\n" NONCE " 2 e", ERR_CORRUPT},
		{NONCE " 1 s 99999999999999999999\n" NONCE " 2 c 0\n" NONCE " 3 e", ERR_CORRUPT},
		{NONCE " 1 c 0\n" NONCE " 2 o AAAA\n" NONCE " 3 e", ERR_CORRUPT},
		{NONCE " 1 c 0\n" NONCE " 2 t A\n" NONCE " 3 e", ERR_CORRUPT},
		{NONCE " 0 c 0\n" NONCE " 999999 c 0\n" NONCE "  e\n" NONCE " 4097 e",
		 ERR_NOT_FOUND},
		{NONCE, ERR_NOT_FOUND},
		{NONCE " ", ERR_NOT_FOUND},
		{NONCE " 1", ERR_NOT_FOUND},
		{NONCE " 1 ", ERR_NOT_FOUND},
		{NONCE "x1 e", ERR_NOT_FOUND},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct parcel p = {0};
		struct why why = {0};
		auto_buf log = {0};
		buf_add_str(&log, rows[i].text);
		int rc = parcel_read(&log, NONCE, &p, &why);
		if (rc != rows[i].rc)
			fail_msg("%zu: %d %s", i, rc, why.text);
		if (i == 0) {
			assert_int_equal(p.exit_code, 7);
			assert_int_equal(p.output_bytes, 6);
			assert_string_equal(buf_str(&p.output), "hello\n");
		}
		parcel_release(&p);
	}
}

/* Few bytes that become many, in the output and in the tree. */
static void test_bomb(void **state)
{
	static char zeroes[32 << 20];
	auto_buf bomb = {0}, log = {0};
	struct parcel p = {0};
	struct why why = {0};
	struct run_result r = {0};
	auto_free char *dir = support_dir();
	const struct cell c = {.dir = dir, .room = {.disk_bytes = 1 << 20, .files = 10}};
	const struct run_limits limits = {.output_limit_bytes = 100};
	(void)state;
	support_write(dir, "a", "kept");
	add_packed(&bomb, zeroes, sizeof(zeroes));
	buf_printf(&log, NONCE " 1 c 0\n" NONCE " 2 o %s\n" NONCE " 3 e\n", buf_str(&bomb));
	assert_int_equal(parcel_read(&log, NONCE, &p, &why), ERR_CORRUPT);
	parcel_release(&p);
	assert_true(base64_take(&p.tree, buf_str(&bomb), bomb.len));
	assert_int_equal(parcel_deliver(&p, &c, &limits, &r), ERR_TOO_LARGE);
	auto_free char *path = mem_printf("%s/a", dir);
	assert_int_equal(access(path, F_OK), 0);
	parcel_release(&p);
	support_remove(dir);
}

static void test_round(void **state)
{
	struct parcel p = {0};
	struct why why = {0};
	struct run_result r = {0};
	auto_free char *from = support_dir();
	auto_free char *to = support_dir();
	const struct cell there = {.dir = from}, back = {.dir = to};
	const struct archive_limits all = {.bytes = 1 << 20, .files = 100};
	const struct run_limits limits = {.output_limit_bytes = 3, .keep_end = true};
	(void)state;
	support_write(from, "new", "content");
	support_write(to, "old", "goes");
	assert_int_equal(parcel_pack(&there, &all, 20, &p.tree, &why), ERR_TOO_LARGE);
	assert_int_equal(p.tree.len, 0);
	assert_int_equal(parcel_pack(&there, &all, 1 << 20, &p.tree, &why), 0);
	buf_add_str(&p.output, "abcdef");
	p.output_bytes = 6;
	p.exit_code = 9;
	assert_int_equal(parcel_deliver(&p, &back, &limits, &r), 0);
	assert_string_equal(buf_str(&r.output), "def");
	assert_true(r.truncated);
	assert_int_equal(r.exit_code, 9);
	auto_free char *new = mem_printf("%s/new", to);
	auto_free char *old = mem_printf("%s/old", to);
	auto_buf text = {0};
	assert_int_equal(buf_read_file(&text, new, 100), 0);
	assert_string_equal(buf_str(&text), "content");
	assert_int_not_equal(access(old, F_OK), 0);
	buf_release(&r.output);
	parcel_release(&p);
	support_remove(from);
	support_remove(to);
}

/* What must be said before anything is sent. */
static void test_settings(void **state)
{
	static const struct {
		const char *url, *namespace, *image, *selector, *word;
		bool policy;
	} rows[] = {
		{"https://k", "cells", "i", "a=b,c/d=e", NULL, true},
		{"http://127.0.0.1:8001", "cells", "i", NULL, NULL, true},
		{NULL, "cells", "i", NULL, "kubernetes.url", true},
		{"http://k", "cells", "i", NULL, "kubernetes.url: must be https", true},
		{"https://u:p@k", "cells", "i", NULL, "kubernetes.url: no user", true},
		{"https://k?x=1", "cells", "i", NULL, "kubernetes.url: no user", true},
		{"ftp://k", "cells", "i", NULL, "kubernetes.url: begins", true},
		{"https://k", "a/b", "i", NULL, "kubernetes.namespace", true},
		{"https://k", "-a", "i", NULL, "kubernetes.namespace", true},
		{"https://k", "", "i", NULL, "kubernetes.namespace", true},
		{"https://k", "cells", NULL, NULL, "kubernetes.image", true},
		{"https://k", "cells", "i", "a", "kubernetes.node_selector", true},
		{"https://k", "cells", "i", "a=b,", "kubernetes.node_selector", true},
		{"https://k", "cells", "i", "=b", "kubernetes.node_selector", true},
		{"https://k", "cells", "i", "a=b;c", "kubernetes.node_selector", true},
		{"https://k", "cells", "i", NULL, "kubernetes.network_policy", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct place_settings s = {
			.kubernetes = {.url = (char *)(uintptr_t)rows[i].url,
				       .token_file = (char *)(uintptr_t) "/t",
				       .namespace = (char *)(uintptr_t)rows[i].namespace,
				       .image = (char *)(uintptr_t)rows[i].image,
				       .node_selector = (char *)(uintptr_t)rows[i].selector,
				       .network_policy = rows[i].policy}};
		struct why why = {0};
		int rc = place_find("kubernetes")->check(&s, &why);
		bool good = rows[i].word ? rc == ERR_CONFIG && str_starts(why.text, rows[i].word)
					 : rc == 0;
		if (!good)
			fail_msg("%zu: %d %s", i, rc, why.text);
	}
}

/* A repository may name them, and is refused with the key that is missing. */
static void test_repository(void **state)
{
	struct executor_config c = {0};
	struct why why = {0};
	auto_free char *dir = support_dir();
	(void)state;
	support_write(dir, "executor.yaml",
		      "targets: [{id: r, kind: repository, tools: [], attributes: {url: "
		      "'https://h/o/r.git', default_branch: main, sandbox: truefoundry}}]\n"
		      "truefoundry: {url: 'https://h', job: abc, token_file: t}\n");
	assert_int_equal(config_load(&executor_options, dir, no_environment, &c, &why), 0);
	free(c.tools_dir);
	c.tools_dir = mem_strdup(support_tools());
	assert_int_equal(executor_prepare(&c, &why), ERR_CONFIG);
	if (!strstr(why.text, "truefoundry.network_policy"))
		fail_msg("%s", why.text);
	config_release(&executor_options, &c);
	support_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),   cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bomb),     cmocka_unit_test(test_round),
		cmocka_unit_test(test_settings), cmocka_unit_test(test_repository)};

	return cmocka_run_group_tests_name("parcel", tests, NULL, NULL);
}
