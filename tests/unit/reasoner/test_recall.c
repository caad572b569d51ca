/*
 * Is the past fix that would help the first that comes to mind? On failures of our own making, and,
 * where there is a corpus of real logs, on those of one group. Prints the shares and how long
 * recalling takes.
 */
#include "tests/unit/reasoner/families.h"
#include "tests/unit/reasoner/memory_kit.h"

#include <jansson.h>

enum { RECURRENCES = 10, DROP_ONE_IN = 4, WRONG_TYPE_ONE_IN = 10 };
#define SHARE 0.9

static uint64_t seed = 0x5eed5eed12345678;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

/* ---- variations ---- */

static void add_name(struct buf *out)
{
	static const char *const parts[] = {"ba",  "cor", "dex", "fi",  "gra", "hul", "jo",  "kem",
					    "lin", "mo",  "nex", "pra", "qui", "rov", "sul", "tam"};
	for (uint32_t n = 2 + rnd(2); n > 0; n--)
		buf_add_str(out, parts[rnd(ARRAY_SIZE(parts))]);
}

static void add_digits(struct buf *out, const char *alphabet, size_t n)
{
	for (uint32_t of = (uint32_t)strlen(alphabet); n > 0; n--)
		buf_add_char(out, alphabet[rnd(of)]);
}

static void put_number(struct buf *out)
{
	buf_printf(out, "%u", rnd(rnd(3) ? 100 : 100000));
}

static void put_hash(struct buf *out)
{
	add_digits(out, "0123456789abcdef", 40);
}

static void put_path(struct buf *out)
{
	buf_add_str(out, rnd(2) ? "./src/" : "/home/runner/work/");
	for (uint32_t n = 1 + rnd(3); n > 0; n--) {
		add_name(out);
		buf_add_str(out, n > 1 ? "/" : "");
	}
}

static void put_host(struct buf *out)
{
	static const char *const ends[] = {".example.com", ".internal", ".corp.example.org", ".io"};
	add_name(out);
	buf_add_str(out, ends[rnd(ARRAY_SIZE(ends))]);
}

static void put_ip(struct buf *out)
{
	buf_printf(out, "10.%u.%u.%u", rnd(255), rnd(255), rnd(255));
}

static void put_time(struct buf *out)
{
	buf_printf(out, "2026-%02u-%02uT%02u:%02u:%02uZ", 1 + rnd(12), 1 + rnd(28), rnd(24),
		   rnd(60), rnd(60));
}

static void put_id(struct buf *out)
{
	add_digits(out, "0123456789abcdef", 9);
	buf_add_char(out, '-');
	add_digits(out, "bcdfghjklmnpqrstvwxz2456789", 5);
}

static const struct {
	const char *name;
	void (*put)(struct buf *out);
} puts_[] = {
	{"{n}", put_number}, {"{hash}", put_hash}, {"{path}", put_path}, {"{host}", put_host},
	{"{ip}", put_ip},    {"{time}", put_time}, {"{id}", put_id},     {"{name}", add_name},
};

static size_t expand_one(const char *at, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(puts_); i++) {
		if (!str_starts(at, puts_[i].name))
			continue;
		puts_[i].put(out);
		return strlen(puts_[i].name);
	}
	buf_add_char(out, *at);
	return 1;
}

/* One of [a|b|c]; brackets without a bar are what they are. */
static const char *choose(const char *at, struct buf *picked)
{
	size_t n = strcspn(at + 1, "]");
	if (*at != '[' || !memchr(at + 1, '|', n))
		return NULL;
	auto_free char *all = mem_dup(at + 1, n);
	uint32_t choices = 1;
	for (const char *s = all; *s; s++)
		choices += *s == '|';
	char *rest = all, *one = NULL;
	for (uint32_t i = rnd(choices) + 1; i > 0; i--)
		one = strsep(&rest, "|");
	buf_add_str(picked, one);
	return at + n + 2;
}

static void expand(const char *template, struct buf *out)
{
	for (const char *at = template; *at;) {
		auto_buf picked = {0};
		const char *behind = choose(at, &picked);
		if (!behind) {
			at += expand_one(at, out);
			continue;
		}
		for (const char *s = buf_str(&picked); *s;)
			s += expand_one(s, out);
		at = behind;
	}
}

static void add_line(struct kit_case *c, const char *template)
{
	auto_buf line = {0};
	size_t n = c->diagnosis.n_evidence;
	expand(template, &line);
	snprintf(c->text[n], sizeof(c->text[n]), "%s", buf_str(&line));
	kit_line(c, c->text[n]);
}

static void recurrence(struct kit_case *c, size_t family, unsigned number)
{
	static const char *const repositories[] = {"octo/api", "octo/web", "octo/infra",
						   "acme/app"};
	const struct family *f = &families[family];
	char id[TOKEN_MAX];
	snprintf(id, sizeof(id), "i%u-%s", number, f->fix);
	bool wrong = rnd(WRONG_TYPE_ONE_IN) == 0;
	kit_case(c, id, wrong ? families[rnd(ARRAY_SIZE(families))].type : f->type);
	kit_label(c, "alertname", "CIFailure");
	kit_label(c, "branch", rnd(2) ? "main" : "feature/x");
	kit_label(c, "job", rnd(3) ? f->job : "ci");
	kit_label(c, "repository", repositories[rnd(ARRAY_SIZE(repositories))]);
	if (rnd(2))
		add_line(c, noise[rnd(ARRAY_SIZE(noise))]);
	for (size_t i = 0; i < ARRAY_SIZE(f->lines) && f->lines[i]; i++) {
		bool drop = i > 0 && rnd(DROP_ONE_IN) == 0;
		if (!drop)
			add_line(c, f->lines[i]);
	}
	add_line(c, noise[rnd(ARRAY_SIZE(noise))]);
	kit_step(c, f->fix, "It healed.");
}

struct score {
	unsigned right, asked;
};

static void print_score(const char *what, const struct score *s)
{
	print_message("# %s: the right past fix is first in %u of %u (%.1f %%)\n", what, s->right,
		      s->asked, 100.0 * s->right / MAX(s->asked, 1));
}

/* Recurrences in random order; each but a family's first asks before it is remembered. */
static void test_recurring_failures(void **state)
{
	(void)state;
	enum { N = ARRAY_SIZE(families) * RECURRENCES };
	struct kit k;
	struct memory_index index = {0};
	struct score s = {0};
	unsigned order[N], seen[ARRAY_SIZE(families)] = {0};
	auto_free struct kit_case *c = mem_alloc(sizeof(*c));
	kit_open(&k);
	for (unsigned i = 0; i < N; i++) {
		unsigned j = rnd(i + 1);
		order[i] = order[j];
		order[j] = i;
	}
	for (unsigned i = 0; i < N; i++) {
		size_t family = order[i] / RECURRENCES;
		recurrence(c, family, i);
		const Healbus__Recalled *r = kit_first(&k, c, &index);
		bool right = r && r->n_steps && str_eq(r->steps[0]->tool, families[family].fix);
		if (seen[family]++) {
			s.asked++;
			s.right += right;
			if (!right && getenv("VERBOSE"))
				print_message("# %s: %s (%.2f)\n", c->id, r->steps[0]->tool,
					      r->similarity);
		}
		kit_note(&k, c, true, 0);
	}
	print_message("# %zu families, %u recurrences\n", ARRAY_SIZE(families), N);
	print_score("recurring failures", &s);
	assert_true(ARRAY_SIZE(families) >= 40);
	assert_true(s.right >= SHARE * s.asked);
	memory_index_release(&index);
	kit_close(&k);
}

/* ---- real logs ---- */

static struct arena repositories; /* their names */

static int is_in_groups(const json_t *items, const char *group)
{
	size_t i;
	int n = 0;
	json_t *item;
	json_array_foreach((json_t *)(uintptr_t)items, i, item) n +=
		str_eq(json_string_value(json_object_get(item, "group")), group);
	return n;
}

static json_t *corpus(void)
{
	const char *dir = getenv("HEALBUS_CORPORA");
	auto_free char *path = mem_printf("%s/ci-logs/items.jsonl", dir ? dir : "");
	FILE *f = dir ? fopen(path, "r") : NULL;
	if (!f)
		return NULL;
	json_t *items = json_array();
	for (json_t *item; (item = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL));)
		json_array_append_new(items, item);
	fclose(f);
	return items;
}

/* The lines that a person marked as the cause: what evidence is meant to be. */
static void real_case(struct kit_case *c, const json_t *item, size_t number)
{
	char id[TOKEN_MAX];
	const char *at = json_string_value(json_object_get(item, "truth"));
	snprintf(id, sizeof(id), "i%zu", number);
	kit_case(c, id, json_string_value(json_object_get(item, "label")));
	kit_label(c, "alertname", "CIFailure");
	for (size_t n; at && *at && c->diagnosis.n_evidence < KIT_LINES;
	     at += n + (at[n] == '\n')) {
		n = strcspn(at, "\n");
		char *text = c->text[c->diagnosis.n_evidence];
		snprintf(text, sizeof(c->text[0]), "%.*s", (int)n, at);
		if (n)
			kit_line(c, text);
	}
	kit_step(c, "code_fix", json_string_value(json_object_get(item, "group")));
}

/* "lc|owner/name|.." -> owner/name: the incident would know it. */
static void label_repository(struct kit_case *c, const char *group)
{
	const char *from = strchr(group, '|');
	if (!from)
		return;
	char *name = arena_printf(&repositories, "%.*s", (int)strcspn(from + 1, "|"), from + 1);
	kit_label(c, "repository", name);
}

static void recall_real(struct kit *k, const json_t *items, bool with_repository, struct score *out)
{
	struct memory_index index = {0};
	auto_free struct kit_case *c = mem_alloc(sizeof(*c));
	json_t *item;
	size_t i;
	json_array_foreach((json_t *)(uintptr_t)items, i, item)
	{
		const char *group = json_string_value(json_object_get(item, "group"));
		real_case(c, item, i);
		if (with_repository)
			label_repository(c, group);
		if (is_in_groups(items, group) < 2)
			continue;
		const Healbus__Recalled *r = kit_first(k, c, &index);
		bool right = r && r->what && strstr(r->what, group);
		out->asked++;
		out->right += right;
		if (!right && getenv("VERBOSE"))
			print_message("# %s\n#    %s (%.2f)\n", group, r ? r->what : "-",
				      r ? r->similarity : 0);
	}
	memory_index_release(&index);
}

static void remember_real(struct kit *k, const json_t *items, bool with_repository)
{
	auto_free struct kit_case *c = mem_alloc(sizeof(*c));
	json_t *item;
	size_t i;
	json_array_foreach((json_t *)(uintptr_t)items, i, item)
	{
		real_case(c, item, i);
		if (with_repository)
			label_repository(c, json_string_value(json_object_get(item, "group")));
		kit_note(k, c, true, 0);
	}
}

static void test_real_logs(void **state)
{
	(void)state;
	json_t *items = corpus();
	if (!items) {
		print_message("skipped: no corpus\n");
		skip();
	}
	for (int with = 0; with <= 1; with++) {
		struct kit k;
		struct score s = {0};
		kit_open(&k);
		remember_real(&k, items, with);
		recall_real(&k, items, with, &s);
		print_score(with ? "real logs" : "real logs, repository not known", &s);
		assert_true(s.right >= SHARE * s.asked);
		kit_close(&k);
	}
	arena_release(&repositories);
	json_decref(items);
}

/* ---- how long it takes; printed only ---- */

enum { BATCH = 1000, QUERIES = 50 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MANY = 5000 };
#else
enum { MANY = 100000 };
#endif

static void remember_many(struct kit *k, struct kit_case *c)
{
	for (unsigned i = 0; i < MANY; i += BATCH) {
		struct store_txn *txn = store_begin_write(k->store);
		for (unsigned j = i; j < MIN(i + BATCH, MANY); j++) {
			recurrence(c, rnd(ARRAY_SIZE(families)), j);
			struct memory_entry m = {.incident = &c->incident,
						 .diagnosis = &c->diagnosis,
						 .plan = &c->plan,
						 .healed = true,
						 .at_ms = k->now_ms += 1000};
			assert_int_equal(memory_note(txn, &m), 0);
		}
		assert_int_equal(store_commit(txn), 0);
	}
}

/* Of this thread: what else runs on the machine does not count. */
static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double ms_since(int64_t from_ns)
{
	return (double)(cpu_ns() - from_ns) / 1e6;
}

static void recall_ten(struct kit *k, struct kit_case *c, struct memory_index *index)
{
	Healbus__Recalled **found;
	size_t n;
	auto_txn txn = store_begin_read(k->store);
	struct memory_query q = {
		.incident = &c->incident, .diagnosis = &c->diagnosis, .k = 10, .index = index};
	assert_int_equal(memory_recall(txn, &q, &k->arena, &found, &n), 0);
	assert_int_equal(n, 10);
	arena_reset(&k->arena);
}

static void print_comparisons(const struct memory_index *index)
{
	struct vector_rows rows = {index->rows, index->inverse_norms, index->n};
	struct vector v = {.inverse_norm = 1};
	struct hit hits[MEMORY_CANDIDATES];
	memcpy(v.v, index->rows, sizeof(v.v));
	int64_t from = cpu_ns();
	for (int i = 0; i < QUERIES; i++)
		assert_int_equal(vector_best(&rows, &v, hits, ARRAY_SIZE(hits)), ARRAY_SIZE(hits));
	double ms = ms_since(from) / QUERIES;
	print_message("# %.1f million comparisons/s on one core\n", (double)rows.n / ms / 1000);
}

static void test_many(void **state)
{
	(void)state;
	struct kit k;
	struct memory_index index = {0};
	auto_free struct kit_case *c = mem_alloc(sizeof(*c));
	double worst = 0, all = 0;
	kit_open(&k);
	int64_t from = cpu_ns();
	remember_many(&k, c);
	print_message("# %d memories noted, %.0f us each\n", MANY, ms_since(from) * 1000 / MANY);
	recurrence(c, 0, MANY);
	from = cpu_ns();
	recall_ten(&k, c, &index);
	print_message("# first recall, which reads and weighs all: %.0f ms\n", ms_since(from));
	for (unsigned i = 0; i < QUERIES; i++) {
		recurrence(c, rnd(ARRAY_SIZE(families)), MANY + i);
		from = cpu_ns();
		recall_ten(&k, c, &index);
		worst = MAX(worst, ms_since(from));
		all += ms_since(from);
	}
	print_message("# top 10 of %d: %.1f ms of CPU each, %.1f ms the slowest of %d\n", MANY,
		      all / QUERIES, worst, QUERIES);
	print_comparisons(&index);
	memory_index_release(&index);
	kit_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recurring_failures),
		cmocka_unit_test(test_real_logs),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
