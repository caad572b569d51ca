/*
 * The classifier and the routes on recorded logs of failed jobs (ci-logs in HEALBUS_CORPORA): label
 * and specialist, strict, with each group of near duplicates counting once; how many of the other
 * logs are taken from the default specialist; how far confidence is from the truth.
 */
#include "common/base.h"

#include "common/buf.h"
#include "reasoner/route/route.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <openssl/evp.h>
#include <zlib.h>

enum { ITEMS_MAX = 4000, NAMES_MAX = 16, LOG_MAX_BYTES = 64 << 20 };

struct item {
	const char *id, *group, *label, *agent, *log;
	bool core;
	int part; /* enum part */
	double weight;
	const char *said, *asked; /* label, specialist */
	double confidence;
};

/*
 * The rules, weights and the table of confidence were made by half of the groups. Of the other
 * half, the mistakes in one part were looked at once, and of the last part only the figures, until
 * one mistake was left (label 0.980, specialist 1.000).
 */
enum part { FITTED = 1, SEEN_ONCE = 2, UNSEEN = 4 };

static struct corpus {
	struct item items[ITEMS_MAX];
	size_t n;
	json_t *lines[ITEMS_MAX];
	char *dir;
	size_t bytes;
	double seconds;
	struct failures *failures;
	struct specialists *specialists; /* what was said is names in these */
} corpus;

/* ---- reading ---- */

static const char *text_of(const json_t *j, const char *key)
{
	const char *text = json_string_value(json_object_get(j, key));
	assert_non_null(text);
	return text;
}

static bool hashes_odd(const char *text)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL);
	return digest[n - 1] % 2 == 1;
}

static int part_of(const char *group)
{
	auto_free char *other = mem_printf("x%s", group);
	if (!hashes_odd(group))
		return FITTED;
	return hashes_odd(other) ? UNSEEN : SEEN_ONCE;
}

static void add_item(const char *line, size_t len)
{
	json_t *j = json_loadb(line, len, 0, NULL);
	assert_non_null(j);
	assert_true(corpus.n < ITEMS_MAX);
	corpus.lines[corpus.n] = j;
	corpus.items[corpus.n++] = (struct item){.id = text_of(j, "id"),
						 .group = text_of(j, "group"),
						 .label = text_of(j, "label"),
						 .agent = text_of(j, "agent"),
						 .log = text_of(j, "log"),
						 .core = json_is_true(json_object_get(j, "core")),
						 .part = part_of(text_of(j, "group"))};
}

static void weigh(void)
{
	for (size_t i = 0; i < corpus.n; i++) {
		double same = 0;
		for (size_t k = 0; k < corpus.n; k++)
			same += corpus.items[k].core == corpus.items[i].core &&
				str_eq(corpus.items[k].group, corpus.items[i].group);
		corpus.items[i].weight = 1 / same;
	}
}

static void read_log(const char *name, struct buf *out)
{
	auto_free char *path = mem_printf("%s/%s", corpus.dir, name);
	char part[1 << 16];
	int n;
	gzFile file = gzopen(path, "rb");
	if (!file)
		fail_msg("%s: cannot be opened", path);
	while ((n = gzread(file, part, sizeof(part))) > 0 && out->len < LOG_MAX_BYTES)
		buf_add(out, part, (size_t)n);
	gzclose(file);
}

static void try_item(struct item *item)
{
	const struct failures *failures = corpus.failures;
	auto_buf log = {0};
	struct arena arena = {0};
	Healbus__Diagnosis d = HEALBUS__DIAGNOSIS__INIT;
	read_log(item->log, &log);
	struct classify_input in = {.log = buf_str(&log), .log_len = log.len};
	struct route_input at = {.failures = failures, .seen = &in};
	clock_t began = clock();
	assert_int_equal(classify(failures, &in, &arena, &d), 0);
	corpus.seconds += (double)(clock() - began) / CLOCKS_PER_SEC;
	corpus.bytes += log.len;
	item->asked = route(corpus.specialists, &at, &arena, &d);
	item->said = failures_label(failures, d.failure_type);
	item->confidence = d.confidence;
	arena_release(&arena);
}

/* ---- figures ---- */

struct names {
	const char *items[NAMES_MAX];
	size_t n;
};

static size_t name_at(struct names *names, const char *name)
{
	size_t i = 0;
	while (i < names->n && !str_eq(names->items[i], name))
		i++;
	assert_true(i < NAMES_MAX);
	if (i == names->n)
		names->items[names->n++] = name;
	return i;
}

static void print_confusion(void)
{
	double cells[NAMES_MAX][NAMES_MAX] = {0};
	struct names names = {0};
	for (size_t i = 0; i < corpus.n; i++) {
		const struct item *one = &corpus.items[i];
		size_t row = name_at(&names, one->label), column = name_at(&names, one->said);
		cells[row][column] += one->core ? one->weight : 0;
	}
	print_message("# confusion of core, by group: rows are right, columns were said\n# %-10s",
		      "");
	for (size_t c = 0; c < names.n; c++)
		print_message("%10s", names.items[c]);
	for (size_t r = 0; r < names.n; r++) {
		print_message("\n# %-10s", names.items[r]);
		for (size_t c = 0; c < names.n; c++)
			print_message("%10.1f", cells[r][c]);
	}
	print_message("\n");
}

struct figures {
	double label, specialist, macro; /* shares of core */
	double taken;                    /* share of the rest that another than the right one got */
};

static double macro(int parts)
{
	double right[NAMES_MAX] = {0}, all[NAMES_MAX] = {0}, sum = 0;
	struct names names = {0};
	for (size_t i = 0; i < corpus.n; i++) {
		const struct item *one = &corpus.items[i];
		if (!one->core || !(one->part & parts))
			continue;
		size_t at = name_at(&names, one->agent);
		all[at] += one->weight;
		right[at] += str_eq(one->asked, one->agent) ? one->weight : 0;
	}
	for (size_t i = 0; i < names.n; i++)
		sum += right[i] / all[i];
	return names.n ? sum / (double)names.n : 0;
}

static struct figures figures_of(int parts)
{
	struct figures f = {.macro = macro(parts)};
	double core = 0, rest = 0;
	for (size_t i = 0; i < corpus.n; i++) {
		const struct item *one = &corpus.items[i];
		if (!(one->part & parts))
			continue;
		if (!one->core) {
			rest++;
			f.taken += !str_eq(one->asked, one->agent);
			continue;
		}
		core += one->weight;
		f.label += str_eq(one->said, one->label) ? one->weight : 0;
		f.specialist += str_eq(one->asked, one->agent) ? one->weight : 0;
	}
	f.label /= fmax(core, 1);
	f.specialist /= fmax(core, 1);
	f.taken /= fmax(rest, 1);
	return f;
}

static void print_figures(const char *what, const struct figures *f)
{
	print_message("# %-12s label %.3f, specialist %.3f (macro %.3f), of the rest wrongly taken "
		      "%.3f\n",
		      what, f->label, f->specialist, f->macro, f->taken);
}

static void print_wrong(void)
{
	for (size_t i = 0; i < corpus.n; i++) {
		const struct item *one = &corpus.items[i];
		bool right = str_eq(one->asked, one->agent) &&
			     (!one->core || str_eq(one->said, one->label));
		if (!right)
			print_message("# wrong: %s: %s for %s, said %s for %s (%.2f)\n", one->id,
				      one->label, one->agent, one->said, one->asked,
				      one->confidence);
	}
}

/* ---- confidence ---- */

/* The greatest difference between what was said and what was true, of the bins that hold enough to
 * tell. */
static double print_reliability(int parts)
{
	static const double ends[] = {0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.01};
	struct {
		double n, said, right;
	} bins[ARRAY_SIZE(ends)] = {0};
	double worst = 0;
	for (size_t i = 0; i < corpus.n; i++) {
		const struct item *one = &corpus.items[i];
		size_t bin = 0;
		if (!one->core || !(one->part & parts))
			continue;
		while (one->confidence >= ends[bin])
			bin++;
		bins[bin].n += one->weight;
		bins[bin].said += one->weight * one->confidence;
		bins[bin].right += str_eq(one->said, one->label) ? one->weight : 0;
	}
	print_message("# confidence   groups     said     true\n");
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		if (bins[i].n == 0)
			continue;
		double said = bins[i].said / bins[i].n, right = bins[i].right / bins[i].n;
		print_message("# %.2f - %.2f %8.1f %8.2f %8.2f\n", i ? ends[i - 1] : 0,
			      fmin(ends[i], 1), bins[i].n, said, right);
		if (bins[i].n >= 8)
			worst = fmax(worst, fabs(said - right));
	}
	print_message("# worst gap of a bin with 8 groups or more: %.3f\n", worst);
	return worst;
}

/* ---- the tests ---- */

static int setup(void **state)
{
	struct why why = {0};
	auto_buf text = {0};
	const char *dir = getenv("HEALBUS_CORPORA");
	(void)state;
	corpus.dir = mem_printf("%s/ci-logs", dir ? dir : "../shared/corpora");
	auto_free char *path = mem_printf("%s/items.jsonl", corpus.dir);
	if (buf_read_file(&text, path, 256 << 20))
		return 0;
	if (failures_load("reasoner/failures", &corpus.failures, &why) ||
	    specialists_load("reasoner/specialists.yaml", &corpus.specialists, &why))
		fail_msg("%s", why.text);
	for (char *rest = text.data, *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (*line)
			add_item(line, strlen(line));
	}
	weigh();
	for (size_t i = 0; i < corpus.n; i++)
		try_item(&corpus.items[i]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < corpus.n; i++)
		json_decref(corpus.lines[i]);
	failures_free(corpus.failures);
	specialists_free(corpus.specialists);
	free(corpus.dir);
	return 0;
}

static bool no_corpus(void)
{
	if (corpus.n == 0)
		print_message("# skipped: no corpus\n");
	return corpus.n == 0;
}

static void most_are_told_right(void **state)
{
	(void)state;
	if (no_corpus())
		skip();
	struct figures all = figures_of(FITTED | SEEN_ONCE | UNSEEN);
	struct figures fitted = figures_of(FITTED), once = figures_of(SEEN_ONCE),
		       unseen = figures_of(UNSEEN);
	print_confusion();
	print_wrong();
	print_figures("fitted", &fitted);
	print_figures("seen once", &once);
	print_figures("last part", &unseen);
	print_figures("all", &all);
	print_message("# %zu logs, %.1f MB, %.0f MB/s\n", corpus.n, (double)corpus.bytes / 1e6,
		      (double)corpus.bytes / 1e6 / fmax(corpus.seconds, 1e-6));
	assert_true(all.label >= 0.90);
	assert_true(all.specialist >= 0.95);
	assert_true(all.macro >= 0.90);
	assert_true(all.taken <= 0.05);
}

/* The share of right answers of 8 groups strays from the truth by 0.12, by chance alone. */
static const double gap_max = 0.2;

static void confidence_means_something(void **state)
{
	(void)state;
	if (no_corpus())
		skip();
	print_message("# fitted\n");
	print_reliability(FITTED);
	print_message("# the rest\n");
	assert_true(print_reliability(SEEN_ONCE | UNSEEN) <= gap_max);
	print_message("# all\n");
	assert_true(print_reliability(FITTED | SEEN_ONCE | UNSEEN) <= gap_max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(most_are_told_right),
		cmocka_unit_test(confidence_means_something),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
