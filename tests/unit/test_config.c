#include "common/config.h"
#include "common/mem.h"

#include <setjmp.h>
#include <cmocka.h>
#include <sys/stat.h>

/* A tree that keeps its JSON, to see what it was given. */
static int tree_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	auto_buf json = {0};

	if (node && node->type != YAML_LIST)
		return yaml_error(node, out_why, "sources: expected a list");
	if (node && node->count > 3)
		return ERR_INVALID;
	if (!node)
		return 0;
	yaml_to_json(node, &json);
	*(char **)field = buf_detach(&json);
	return 0;
}

static void tree_release(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

struct values {
	char *listen;
	char *token_file;
	char *name;
	char *motd;
	int64_t workers;
	int64_t unset;
	int64_t map_bytes;
	int64_t wait_ms;
	double rate;
	bool dry_run;
	int64_t level;
	char *sources;
	char *tls_name;
};

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};

static const struct option rows[] = {
	OPT_STRING(struct values, listen, "http.listen", "127.0.0.1:9095", "Where to listen."),
	OPT_PATH(struct values, token_file, "http.token_file", NULL, "Tokens, one a line."),
	OPT_STRING(struct values, name, "name", NULL, "A name."),
	OPT_STRING(struct values, motd, "motd", "", "Said at the start."),
	OPT_INT(struct values, workers, "workers", "4", 1, 64,
		"How many workers take from the queue at the same time. More of them need more "
		"memory; fewer make a storm last longer than it has to."),
	OPT_INT(struct values, unset, "unset", NULL, 5, 9, "Has no default."),
	OPT_BYTES(struct values, map_bytes, "map_size", "64MiB", 1 << 20, 1e12, "Size of the map."),
	OPT_DURATION(struct values, wait_ms, "group.wait", "30s", 0, 3600000, "Wait."),
	OPT_DOUBLE(struct values, rate, "group.rate", "0.1", 0, 1e6, "Rate."),
	OPT_BOOL(struct values, dry_run, "dry_run", "false", "Only look."),
	OPT_ENUM(struct values, level, "log_level", "info", levels, "How much to say."),
	OPT_TREE(struct values, sources, "sources", tree_parse, tree_release, "Where from."),
	/* the group of the first rows again, one level deeper */
	OPT_STRING(struct values, tls_name, "http.tls.name", NULL, "Server name."),
};

static const struct option_table table = {
	.file = "monitor.yaml",
	.env_prefix = "HEALBUS_MONITOR_",
	.rows = rows,
	.n = ARRAY_SIZE(rows),
};

static char dir[64];
static const char *const *variables; /* name, value, ..., NULL */

static const char *lookup(const char *name)
{
	for (const char *const *v = variables; v && *v; v += 2)
		if (str_eq(*v, name))
			return v[1];
	return NULL;
}

static int setup(void **state UNUSED)
{
	memcpy(dir, "/tmp/test_config.XXXXXX", sizeof "/tmp/test_config.XXXXXX");
	variables = NULL;
	return mkdtemp(dir) == NULL;
}

static int teardown(void **state UNUSED)
{
	auto_free char *path = mem_printf("%s/monitor.yaml", dir);

	unlink(path);
	return rmdir(dir);
}

static void put(const char *text)
{
	auto_free char *path = mem_printf("%s/monitor.yaml", dir);
	auto_file FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
}

static void load(struct values *v)
{
	struct why why = {0};

	*v = (struct values){0};
	if (config_load(&table, dir, lookup, v, &why))
		fail_msg("%s", why.text);
	assert_string_equal(why.text, "");
}

static void test_defaults_without_a_file(void **state UNUSED)
{
	struct values v;

	load(&v);
	assert_string_equal(v.listen, "127.0.0.1:9095");
	assert_null(v.token_file);
	assert_null(v.name);
	assert_string_equal(v.motd, "");
	assert_int_equal(v.workers, 4);
	assert_int_equal(v.unset, 0);
	assert_int_equal(v.map_bytes, 64 << 20);
	assert_int_equal(v.wait_ms, 30000);
	assert_true(v.rate > 0.09 && v.rate < 0.11);
	assert_false(v.dry_run);
	assert_int_equal(v.level, 1);
	assert_null(v.sources);
	config_release(&table, &v);
	assert_null(v.listen);
	assert_int_equal(v.workers, 0);
}

static void test_file(void **state UNUSED)
{
	struct values v;
	auto_free char *expected = mem_printf("%s/tokens", dir);

	put("http:\n  listen: 0.0.0.0:80\n  token_file: tokens\n  tls: {name: x}\nname: \"\"\n"
	    "workers: 64\nmap_size: 1GiB\ngroup: {wait: 1m30s, rate: 2.5e2}\ndry_run: true\n"
	    "log_level: error\nsources: [a, {b: 1}]\nmotd:\n");
	load(&v);
	assert_string_equal(v.listen, "0.0.0.0:80");
	assert_string_equal(v.token_file, expected);
	assert_string_equal(v.tls_name, "x");
	assert_string_equal(v.name, "");
	assert_string_equal(v.motd, "");
	assert_int_equal(v.workers, 64);
	assert_int_equal(v.map_bytes, 1 << 30);
	assert_int_equal(v.wait_ms, 90000);
	assert_true(v.rate > 249 && v.rate < 251);
	assert_true(v.dry_run);
	assert_int_equal(v.level, 3);
	assert_string_equal(v.sources, "[\"a\",{\"b\":1}]");
	config_release(&table, &v);
	assert_null(v.sources);
}

static void test_environment_goes_first(void **state UNUSED)
{
	static const char *const set[] = {"HEALBUS_MONITOR_HTTP_LISTEN",
					  "[::1]:1",
					  "HEALBUS_MONITOR_WORKERS",
					  "7",
					  "HEALBUS_MONITOR_HTTP_TOKEN_FILE",
					  "here/tokens",
					  "HEALBUS_MONITOR_GROUP_WAIT",
					  "",
					  "HEALBUS_MONITOR_HTTP_TLS_NAME",
					  "y",
					  "HEALBUS_MONITOR_SOURCES",
					  "ignored",
					  NULL};
	struct values v;
	auto_free char *here = getcwd(NULL, 0);
	auto_free char *expected = mem_printf("%s/here/tokens", here);

	put("http:\n  listen: 0.0.0.0:80\ngroup: {wait: 5s}\nworkers: 3\n");
	variables = set;
	load(&v);
	assert_string_equal(v.listen, "[::1]:1");
	assert_string_equal(v.token_file, expected);
	assert_string_equal(v.tls_name, "y");
	assert_int_equal(v.workers, 7);
	assert_int_equal(v.wait_ms, 5000);
	config_release(&table, &v);
}

struct refusal {
	const char *yaml;
	const char *why; /* behind "<dir>/monitor.yaml:" */
};

static void test_refusals(void **state UNUSED)
{
	static const struct refusal refusals[] = {
		{"workers: 0\n", "1: workers: 0 is not in 1..64"},
		{"\nworkers: 65\n", "2: workers: 65 is not in 1..64"},
		{"workers: many\n", "1: workers: expected a whole number, found \"many\""},
		{"workers: [1]\n", "1: workers: expected a whole number, found a list"},
		{"worker: 1\n", "1: unknown key \"worker\"; did you mean \"workers\"?"},
		{"http:\n  listen: x\n  lisen: x\n",
		 "3: unknown key \"http.lisen\"; did you mean \"http.listen\"?"},
		{"listen: x\n", "1: unknown key \"listen\"; did you mean \"http.listen\"?"},
		{"http.listen: x\n", "1: \"http.listen\" is one key: write it as nested keys"},
		{"zzzzzzzz: x\n", "1: unknown key \"zzzzzzzz\""},
		{"http: x\n", "1: http: expected keys and values"},
		{"http: {tls: [1]}\n", "1: http.tls: expected keys and values"},
		{"[a]\n", "1: the file: expected keys and values"},
		{"map_size: 1MB\n", "1: map_size: 1MB is not in 1048576..1000000000000 bytes"},
		{"map_size: big\n",
		 "1: map_size: expected a size such as 4096, 64KiB or 1GiB, found \"big\""},
		{"map_size: [1]\n", "1: map_size: expected text, found a list"},
		{"group:\n  wait: 2h\n", "2: group.wait: 2h is not in 0s..1h"},
		{"group: {rate: -1}\n", "1: group.rate: -1 is not in 0..1e+06"},
		{"dry_run: maybe\n", "1: dry_run: expected true or false, found \"maybe\""},
		{"log_level: loud\n",
		 "1: log_level: expected one of debug, info, warn, error, found \"loud\""},
		{"log_level: {}\n", "1: log_level: expected text, found a map"},
		{"http: {token_file: [x]}\n", "1: http.token_file: expected text, found a list"},
		{"name: [x]\n", "1: name: expected text, found a list"},
		{"name: x\nsources: {a: 1}\n", "2: sources: expected a list"},
		{"a: 1\na: 2\n", "2: duplicate key \"a\", first on line 1"},
	};
	struct values zero = {0};

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		auto_free char *expected = mem_printf("%s/monitor.yaml:%s", dir, refusals[i].why);
		struct values v = {0};
		struct why why = {0};

		put(refusals[i].yaml);
		assert_int_equal(config_load(&table, dir, lookup, &v, &why), ERR_CONFIG);
		assert_string_equal(why.text, expected);
		assert_memory_equal(&v, &zero, sizeof v);
	}
}

static void test_refusals_without_a_place(void **state UNUSED)
{
	static const char *const set[] = {"HEALBUS_MONITOR_WORKERS", "100", NULL};
	struct values v = {0};
	struct why why = {0};

	put("sources: [1, 2, 3, 4]\n");
	assert_int_equal(config_load(&table, dir, NULL, &v, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "/monitor.yaml: sources: not valid"));
	variables = set;
	why = (struct why){0};
	assert_int_equal(config_load(&table, dir, lookup, &v, &why), ERR_CONFIG);
	assert_string_equal(why.text, "HEALBUS_MONITOR_WORKERS: workers: 100 is not in 1..64");
	assert_int_equal(config_load(&table, dir, lookup, &v, NULL), ERR_CONFIG);
}

static void assert_same(const struct values *a, const struct values *b)
{
	const char *texts[][2] = {{a->listen, b->listen},   {a->token_file, b->token_file},
				  {a->name, b->name},       {a->motd, b->motd},
				  {a->sources, b->sources}, {a->tls_name, b->tls_name}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(texts[i][0] == NULL, texts[i][1] == NULL);
		if (texts[i][0])
			assert_string_equal(texts[i][0], texts[i][1]);
	}
	assert_int_equal(a->workers, b->workers);
	assert_int_equal(a->unset, b->unset);
	assert_int_equal(a->map_bytes, b->map_bytes);
	assert_int_equal(a->wait_ms, b->wait_ms);
	assert_memory_equal(&a->rate, &b->rate, sizeof a->rate);
	assert_int_equal(a->dry_run, b->dry_run);
	assert_int_equal(a->level, b->level);
}

/* What is printed becomes the file, and loads to the same values. */
static void assert_prints_back(const struct values *v)
{
	auto_buf text = {0};
	struct values back;

	config_print(&table, dir, v, &text);
	put(text.data);
	load(&back);
	assert_same(v, &back);
	config_release(&table, &back);
}

static void test_print(void **state UNUSED)
{
	auto_buf text = {0};
	auto_free char *expected = NULL;
	struct values v;

	put("http:\n  token_file: tokens\nname: \"null\"\nmotd: \"two\\nlines\"\n"
	    "group: {rate: 0.3}\nsources:\n  - a: \"1\"\n    b: |\n      x\n      y\n");
	load(&v);
	config_print(&table, dir, &v, &text);
	expected = mem_printf("# monitor.yaml\n"
			      "http:\n"
			      "  listen: 127.0.0.1:9095\n"
			      "  token_file: %s/tokens\n"
			      "  tls:\n"
			      "    # name: not set\n"
			      "name: \"null\"\n"
			      "motd: \"two\\nlines\"\n"
			      "workers: 4\n"
			      "# unset: not set\n"
			      "map_size: 64MiB\n"
			      "group:\n"
			      "  wait: 30s\n"
			      "  rate: 0.3\n"
			      "dry_run: false\n"
			      "log_level: info\n"
			      "sources:\n"
			      "  - a: \"1\"\n"
			      "    b: |\n"
			      "      x\n"
			      "      y\n",
			      dir);
	assert_string_equal(text.data, expected);
	assert_prints_back(&v);
	config_release(&table, &v);
	put("sources: []\n");
	load(&v);
	assert_prints_back(&v);
	config_release(&table, &v);
}

static void test_relative_directory(void **state UNUSED)
{
	auto_free char *here = getcwd(NULL, 0);
	auto_free char *expected = mem_printf("%s/.//tokens", dir);
	struct values v = {0};

	put("http: {token_file: tokens}\n");
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(config_load(&table, "./", NULL, &v, NULL), 0);
	assert_int_equal(chdir(here), 0);
	assert_string_equal(v.token_file, expected);
	assert_prints_back(&v);
	config_release(&table, &v);
}

static char *random_text(unsigned *seed)
{
	static const char *const pieces[] = {
		"a",    "Z", "/", ":", " ", "#",  "\"",       "'",        "\n", "\t",   "~", "{",
		"null", "1", ".", "-", "%", "\\", "\xc3\xa9", "\xc2\x85", "=",  "\x7f", ","};
	auto_buf b = {0};

	if (rand_r(seed) % 8 == 0)
		return NULL;
	buf_add_str(&b, "");
	for (int n = rand_r(seed) % 7; n > 0; n--)
		buf_add_str(&b, pieces[(size_t)rand_r(seed) % ARRAY_SIZE(pieces)]);
	return buf_detach(&b);
}

static int64_t random_in(unsigned *seed, int64_t min, int64_t max)
{
	uint64_t wide = (uint64_t)rand_r(seed) << 31 | (uint64_t)rand_r(seed);

	return min + (int64_t)(wide % (uint64_t)(max - min + 1));
}

static void random_values(struct values *v, unsigned *seed)
{
	*v = (struct values){
		.listen = random_text(seed),
		.name = random_text(seed),
		.motd = random_text(seed),
		.tls_name = random_text(seed),
		.workers = random_in(seed, 1, 64),
		.unset = rand_r(seed) % 2 ? random_in(seed, 5, 9) : 0,
		.map_bytes = random_in(seed, 1 << 20, INT64_C(1000000000000)),
		.wait_ms = random_in(seed, 0, 3600000),
		.rate = (double)rand_r(seed) / (1 + rand_r(seed) % 1000000) / 3e4,
		.dry_run = rand_r(seed) % 2,
		.level = rand_r(seed) % 4,
	};
	if (rand_r(seed) % 4 == 0)
		v->map_bytes = (v->map_bytes >> 20) << 20;
	/* With a default there is always a value. */
	if (!v->listen)
		v->listen = mem_strdup("x");
	if (!v->motd)
		v->motd = mem_strdup("null");
	if (rand_r(seed) % 2)
		v->token_file = mem_printf("/etc/%d: #x", rand_r(seed));
}

static void test_random_values_print_back(void **state UNUSED)
{
	const char *given = getenv("HEALBUS_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

	printf("# seed %u\n", seed);
	for (int round = 0; round < 1000; round++) {
		struct values v;

		put("");
		random_values(&v, &seed);
		assert_prints_back(&v);
		config_release(&table, &v);
	}
}

/* The example changes nothing as it is, and nothing with every "#key" made a key. */
static void test_example(void **state UNUSED)
{
	auto_buf text = {0};
	auto_buf uncommented = {0};
	struct values defaults;
	struct values v;

	load(&defaults);
	config_example(&table, &text);
	assert_non_null(strstr(text.data, "  # Where to listen. (text, default 127.0.0.1:9095; "
					  "HEALBUS_MONITOR_HTTP_LISTEN)\n"
					  "  #listen: 127.0.0.1:9095\n"));
	put(text.data);
	load(&v);
	assert_same(&defaults, &v);
	config_release(&table, &v);
	for (const char *p = text.data; *p; p++)
		if (*p != '#' || p[1] == ' ')
			buf_add_char(&uncommented, *p);
	put(uncommented.data);
	load(&v);
	assert_same(&defaults, &v);
	config_release(&table, &v);
	config_release(&table, &defaults);
}

static void test_help(void **state UNUSED)
{
	auto_buf text = {0};
	size_t lines = 0;

	config_help(&table, &text);
	assert_non_null(strstr(text.data, "  workers (whole number 1..64, default 4)\n"
					  "      How many workers take"));
	assert_non_null(strstr(text.data, "  map_size (size in bytes 1MiB..1TB, default 64MiB)\n"));
	assert_non_null(strstr(text.data, "  motd (text, default empty)\n"));
	assert_non_null(strstr(text.data, "  http.token_file (path, not set by default)\n"));
	assert_non_null(
		strstr(text.data, "  log_level (debug, info, warn or error, default info)\n"));
	for (const char *line = text.data; *line; lines++) {
		size_t len = strcspn(line, "\n");

		assert_in_range(len, 1, 100);
		line += len + 1;
	}
	assert_int_equal(lines, 2 * ARRAY_SIZE(rows) + 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults_without_a_file),
		TEST(test_file),
		TEST(test_environment_goes_first),
		TEST(test_refusals),
		TEST(test_refusals_without_a_place),
		TEST(test_print),
		TEST(test_relative_directory),
		TEST(test_random_values_print_back),
		TEST(test_example),
		TEST(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
