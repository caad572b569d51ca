#include "reasoner/memory/signature.h"
#include "reasoner/memory/vector.h"
#include "tests/unit/reasoner/memory_kit.h"

#include <math.h>

static const struct {
	const char *from, *to;
} lines[] = {
	{"", ""},
	{"   ", ""},
	{"error[E0425]: cannot find value `foo` in this scope",
	 "error e0425 cannot find value foo in this scope"},
	{" --> src/main.rs:12:5", "<path.rs>"},
	{"2026-08-31T10:11:12.123Z npm ERR! code ERESOLVE", "<time> npm err code eresolve"},
	{"Process completed with exit code 137.", "process completed with exit code 137"},
	{"The command exited with 1 after 35s", "the command exited with <num> after <num>"},
	{"HTTP 503 from https://registry.example.org/left-pad", "http 503 from <url>"},
	{"dial tcp 10.2.3.4:5432: connect: connection refused",
	 "dial tcp <ip> connect connection refused"},
	{"pod web-7d9f8b6c5-x2x4z OOMKilled", "pod web <hash> <id> oomkilled"},
	{"commit 1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d not found", "commit <hash> not found"},
	{"id=123e4567-e89b-12d3-a456-426614174000 missing", "id <id> missing"},
	{"Cannot find module './lib/util' from /home/ci/app/index.js",
	 "cannot find module <path> from <path.js>"},
	{"worker17 and worker3", "worker0 and worker0"},
	{"could not resolve host db-3.prod.internal", "could not resolve host <host>"},
	{"\x1b[31mFAIL\x1b[0m tests/a_test.py", "fail <path.py>"},
	{"error TS2307: x", "error ts2307 x"},
	{"openssl 3.0.11-1 requires >=3.1", "openssl <num> requires <num>"},
	{"took 350ms (0x7f)", "took <num> <num>"},
	{"java.lang.NullPointerException: at Foo.bar(Foo.java:33)",
	 "java lang nullpointerexception at foo bar foo java <num>"},
	{"...", ""},
	{"/", "<path>"},
	{"\xc3\xa9t\xc3\xa9 \xe2\x9c\x97", "\xc3\xa9t\xc3\xa9 \xe2\x9c\x97"},
};

static void test_normalise(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_buf out = {0};
		signature_normalise(lines[i].from, strlen(lines[i].from), &out);
		assert_string_equal(buf_str(&out), lines[i].to);
	}
}

/* What is normal stays so: a signature of a signature's words is the same. */
static void test_normalise_twice(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_buf again = {0};
		if (strchr(lines[i].to, '<'))
			continue;
		signature_normalise(lines[i].to, strlen(lines[i].to), &again);
		if (!strpbrk(lines[i].to, "0123456789"))
			assert_string_equal(buf_str(&again), lines[i].to);
	}
}

static void test_signature(void **state)
{
	(void)state;
	auto_buf out = {0};
	struct kit_case c;
	kit_case(&c, "i1", "rust-compile");
	kit_label(&c, "alertname", "CIFailure");
	kit_label(&c, "repository", "Octo/Repo");
	kit_label(&c, "branch", "fix/issue-1234");
	kit_line(&c, "error[E0425]: cannot find value `x1` in this scope");
	signature_of(&c.incident, &c.diagnosis, &out);
	assert_string_equal(buf_str(&out), "type\trust-compile\n"
					   "alertname\tcifailure\n"
					   "repository\tocto/repo\n"
					   "label\tfix issue <num>\n"
					   "log\terror e0425 cannot find value x0 in this scope\n");
}

/* Without evidence, the title speaks. */
static void test_signature_without_diagnosis(void **state)
{
	(void)state;
	auto_buf out = {0};
	struct kit_case c;
	kit_case(&c, "i1", NULL);
	c.incident.title = kit_text("Disk 93% full on web-3");
	signature_of(&c.incident, NULL, &out);
	assert_string_equal(buf_str(&out), "log\tdisk <num> full on web <num>\n");
}

static void test_signature_is_bounded(void **state)
{
	(void)state;
	struct kit_case c;
	auto_buf out = {0}, line = {0};
	kit_case(&c, "i1", "t");
	for (int i = 0; i < 2000; i++)
		buf_printf(&line, "word%c%c%c ", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676);
	for (int i = 0; i < KIT_LINES; i++)
		kit_line(&c, buf_str(&line));
	signature_of(&c.incident, &c.diagnosis, &out);
	assert_true(out.len > SIGNATURE_LINE_MAX_BYTES && out.len <= SIGNATURE_MAX_BYTES);
	struct terms t;
	terms_of(buf_str(&out), &t);
	assert_true(t.n > 50 && t.n <= TERMS_MAX);
	for (size_t i = 1; i < t.n; i++)
		assert_true(t.hash[i - 1] < t.hash[i]);
}

/* These numbers are on disks: a change needs a new version of the table. */
static void test_terms_are_for_ever(void **state)
{
	(void)state;
	struct terms t;
	terms_of("type\trust-compile\nlog\terror e0425 error <num>\nnobody\tknows\n", &t);
	uint64_t sum = FNV_INIT;
	assert_int_equal(t.n, 5);
	sum = fnv1a(sum, t.hash, t.n * sizeof(t.hash[0]));
	sum = fnv1a(sum, t.weight, t.n);
	assert_int_equal(sum, UINT64_C(0x80051a5519f55391));
}

static uint64_t seed = 88172645463325252ULL;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

/* n words of a vocabulary in which some are common. */
static void random_terms(struct terms *out, size_t n)
{
	auto_buf text = {0};
	buf_add_str(&text, "log\t");
	for (size_t i = 0; i < n; i++)
		buf_printf(&text, "w%c%c ", 'a' + rnd(rnd(26) + 1), 'a' + rnd(26));
	terms_of(buf_str(&text), out);
}

/* Rows say nearly what the terms themselves say. */
static void test_rows_are_near_the_terms(void **state)
{
	(void)state;
	enum { N = 200 };
	auto_free struct terms *t = mem_calloc(N, sizeof(*t));
	struct frequencies f = {0};
	double worst = 0;
	for (size_t i = 0; i < N; i++) {
		random_terms(&t[i], 40);
		frequencies_add(&f, &t[i]);
	}
	frequencies_weigh(&f);
	for (size_t i = 1; i < N; i++) {
		struct vector a, b;
		struct hit h;
		vector_of(&t[0], &f, &a);
		vector_of(&t[i], &f, &b);
		struct vector_rows rows = {b.v, &b.inverse_norm, 1};
		assert_int_equal(vector_best(&rows, &a, &h, 1), 1);
		worst = MAX(worst, fabs((double)h.cosine - terms_cosine(&t[0], &t[i], &f)));
	}
	assert_true(fabs(terms_cosine(&t[0], &t[0], &f) - 1) < 1e-9);
	assert_true(worst < 0.2);
	frequencies_release(&f);
}

/* The best are those that a sort finds. */
static void test_best_of_many(void **state)
{
	(void)state;
	enum { N = 500, K = 10 };
	auto_free int8_t *rows = mem_calloc(N, VECTOR_DIM);
	auto_free float *norms = mem_calloc(N, sizeof(*norms));
	float all[N];
	struct vector q = {.inverse_norm = 1};
	struct hit hits[K];
	for (size_t i = 0; i < N * VECTOR_DIM; i++)
		rows[i] = (int8_t)((int)rnd(255) - 127);
	for (size_t i = 0; i < VECTOR_DIM; i++)
		q.v[i] = (int8_t)((int)rnd(255) - 127);
	for (size_t i = 0; i < N; i++) {
		int32_t dot = 0;
		norms[i] = i % 7 ? 1.0F / (float)(1 + rnd(100)) : 0;
		for (size_t j = 0; j < VECTOR_DIM; j++)
			dot += rows[i * VECTOR_DIM + j] * q.v[j];
		all[i] = norms[i] > 0 ? (float)dot * norms[i] : -1e30F;
	}
	struct vector_rows r = {rows, norms, N};
	assert_int_equal(vector_best(&r, &q, hits, K), K);
	for (size_t k = 0; k < K; k++) {
		size_t best = 0;
		for (size_t i = 1; i < N; i++)
			best = all[i] > all[best] ? i : best;
		assert_int_equal(hits[k].row, best);
		all[best] = -1e30F;
	}
	assert_int_equal(vector_best(&r, &q, hits, 0), 0);
	assert_int_equal(vector_best(&(struct vector_rows){0}, &q, hits, K), 0);
}

static void test_nothing_is_like_nothing(void **state)
{
	(void)state;
	struct terms none, some;
	struct frequencies f = {0};
	terms_of("", &none);
	terms_of("log\tone two\n", &some);
	assert_int_equal(none.n, 0);
	assert_true(terms_cosine(&none, &some, &f) <= 0);
	frequencies_weigh(&f);
	struct vector v;
	vector_of(&none, &f, &v);
	assert_true(v.inverse_norm <= 0);
	frequencies_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normalise),
		cmocka_unit_test(test_normalise_twice),
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_signature_without_diagnosis),
		cmocka_unit_test(test_signature_is_bounded),
		cmocka_unit_test(test_terms_are_for_ever),
		cmocka_unit_test(test_rows_are_near_the_terms),
		cmocka_unit_test(test_best_of_many),
		cmocka_unit_test(test_nothing_is_like_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
