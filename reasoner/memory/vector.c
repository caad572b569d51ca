#include "reasoner/memory/vector.h"

#include "common/id.h"
#include "common/mem.h"

#include <math.h>

enum {
	SLOTS = 1024, /* of the table in which terms are collected */
	GRAM = 4,
	GRAM_WORD_MIN = 6, /* shorter words are taken whole only */
	PAIR_WEIGHT = 12,  /* sixteenths */
	GRAM_WEIGHT = 4,
	WORD_WEIGHT = 16,
};

/* ---- terms ---- */

struct slot {
	uint32_t hash; /* 0: free */
	uint16_t times;
	uint8_t weight;
};

struct collector {
	struct slot slots[SLOTS];
	size_t n;
};

static void collect(struct collector *c, uint32_t hash, uint8_t weight)
{
	hash = hash ? hash : 1;
	size_t at = hash % SLOTS;
	while (c->slots[at].hash && c->slots[at].hash != hash)
		at = (at + 1) % SLOTS;
	struct slot *s = &c->slots[at];
	if (!s->hash && c->n == TERMS_MAX)
		return;
	c->n += !s->hash;
	s->hash = hash;
	s->weight = MAX(s->weight, weight);
	s->times = (uint16_t)MIN(s->times + 1, UINT16_MAX);
}

static uint32_t fold32(uint64_t h)
{
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	return (uint32_t)h;
}

struct word {
	const char *s;
	size_t len;
};

static bool next_word(const char **at, const char *end, struct word *out)
{
	while (*at < end && **at == ' ')
		(*at)++;
	const char *s = *at;
	while (*at < end && **at != ' ')
		(*at)++;
	*out = (struct word){s, (size_t)(*at - s)};
	return out->len > 0;
}

/* <num> says nothing; <path.rs> does. */
static bool says_nothing(struct word w)
{
	return w.s[0] == '<' && !memchr(w.s, '.', w.len);
}

struct line {
	uint64_t seed; /* of its field */
	uint8_t weight;
	bool text; /* free text: pairs and letters count, too */
	const char *from, *to;
};

static uint32_t word_hash(const struct line *l, struct word w)
{
	return fold32(fnv1a(l->seed, w.s, w.len));
}

static void collect_words(struct collector *c, const struct line *l)
{
	const char *at = l->from;
	for (struct word w; next_word(&at, l->to, &w);) {
		if (!says_nothing(w))
			collect(c, word_hash(l, w), l->weight);
	}
}

static void collect_pairs(struct collector *c, const struct line *l)
{
	const char *at = l->from;
	struct word last = {NULL, 0};
	for (struct word w; next_word(&at, l->to, &w);) {
		if (says_nothing(w))
			continue;
		if (last.len) {
			uint64_t h = fnv1a(fnv1a(l->seed, last.s, last.len), " ", 1);
			collect(c, fold32(fnv1a(h, w.s, w.len)),
				(uint8_t)(l->weight * PAIR_WEIGHT / WORD_WEIGHT));
		}
		last = w;
	}
}

static void collect_grams(struct collector *c, const struct line *l)
{
	const char *at = l->from;
	for (struct word w; next_word(&at, l->to, &w);) {
		if (w.len < GRAM_WORD_MIN || w.s[0] == '<')
			continue;
		for (size_t i = 0; i + GRAM <= w.len; i++)
			collect(c, fold32(fnv1a(l->seed ^ 1, w.s + i, GRAM)),
				(uint8_t)(l->weight * GRAM_WEIGHT / WORD_WEIGHT));
	}
}

static const struct {
	const char *name;
	uint8_t weight;
	bool text;
} fields[] = {
	{"log", 16, true},         {"type", 32, false},    {"alertname", 24, false},
	{"package", 24, false},    {"rule", 24, false},    {"service", 16, false},
	{"repository", 12, false}, {"workflow", 8, false}, {"job", 8, false},
	{"step", 8, false},        {"label", 4, true},
};

/* False for a line without a field that we know. */
static bool line_of(const char *from, const char *to, struct line *out)
{
	const char *tab = memchr(from, '\t', (size_t)(to - from));
	for (size_t i = 0; tab && i < ARRAY_SIZE(fields); i++) {
		size_t n = strlen(fields[i].name);
		if ((size_t)(tab - from) != n || memcmp(from, fields[i].name, n) != 0)
			continue;
		*out = (struct line){
			.seed = fnv1a(FNV_INIT, fields[i].name, n),
			.weight = fields[i].weight,
			.text = fields[i].text,
			.from = tab + 1,
			.to = to,
		};
		return true;
	}
	return false;
}

static void each_line(struct collector *c, const char *signature, bool text_only,
		      void (*visit)(struct collector *, const struct line *))
{
	struct line l;
	for (const char *at = signature, *end; *at; at = end + (*end == '\n')) {
		end = strchrnul(at, '\n');
		if (line_of(at, end, &l) && (l.text || !text_only))
			visit(c, &l);
	}
}

/* 16 * (1 + ln(times)): the second time says less than the first. */
static uint8_t times_gain(unsigned times)
{
	static const uint8_t gain[] = {0, 16, 27, 34, 38, 42, 45, 47, 49};
	return gain[MIN(times, ARRAY_SIZE(gain) - 1)];
}

static int slot_order(const void *a, const void *b)
{
	uint32_t x = ((const struct slot *)a)->hash, y = ((const struct slot *)b)->hash;
	return (x > y) - (x < y);
}

void terms_of(const char *signature, struct terms *out)
{
	auto_free struct collector *c = mem_alloc(sizeof(*c));
	each_line(c, signature, false, collect_words);
	each_line(c, signature, true, collect_pairs);
	each_line(c, signature, true, collect_grams);
	qsort(c->slots, SLOTS, sizeof(c->slots[0]), slot_order);
	out->n = 0;
	for (size_t i = SLOTS - c->n; i < SLOTS; i++) {
		unsigned w = (unsigned)c->slots[i].weight * times_gain(c->slots[i].times) / 16;
		out->hash[out->n] = c->slots[i].hash;
		out->weight[out->n++] = (uint8_t)MIN(MAX(w, 1), UINT8_MAX);
	}
}

/* ---- how much a term says ---- */

static size_t bucket(uint32_t hash)
{
	return hash % FREQUENCY_BUCKETS;
}

void frequencies_add(struct frequencies *f, const struct terms *t)
{
	if (!f->count)
		f->count = mem_calloc(FREQUENCY_BUCKETS, sizeof(*f->count));
	for (size_t i = 0; i < t->n; i++)
		f->count[bucket(t->hash[i])]++;
	f->documents++;
}

void frequencies_weigh(struct frequencies *f)
{
	if (!f->count)
		f->count = mem_calloc(FREQUENCY_BUCKETS, sizeof(*f->count));
	if (!f->idf)
		f->idf = mem_calloc(FREQUENCY_BUCKETS, sizeof(*f->idf));
	float all = (float)f->documents + 1;
	for (size_t i = 0; i < FREQUENCY_BUCKETS; i++)
		f->idf[i] = logf(1 + all / ((float)f->count[i] + 0.5F));
}

void frequencies_release(struct frequencies *f)
{
	free(f->count);
	free(f->idf);
	*f = (struct frequencies){0};
}

static float term_value(const struct terms *t, size_t i, const struct frequencies *f)
{
	return (float)t->weight[i] * (f->idf ? f->idf[bucket(t->hash[i])] : 1);
}

/* ---- rows ---- */

static void project(const struct terms *t, const struct frequencies *f, float out[VECTOR_DIM])
{
	memset(out, 0, VECTOR_DIM * sizeof(*out));
	for (size_t i = 0; i < t->n; i++) {
		uint32_t h = t->hash[i] * UINT32_C(0x9e3779b1);
		float value = term_value(t, i, f);
		out[(h >> 8) % VECTOR_DIM] += h >> 31 ? -value : value;
	}
}

void vector_of(const struct terms *t, const struct frequencies *f, struct vector *out)
{
	float sum[VECTOR_DIM], most = 0;
	int32_t square = 0;
	project(t, f, sum);
	for (size_t i = 0; i < VECTOR_DIM; i++)
		most = MAX(most, fabsf(sum[i]));
	for (size_t i = 0; i < VECTOR_DIM; i++) {
		out->v[i] = (int8_t)(most > 0 ? lrintf(sum[i] * 127 / most) : 0);
		square += out->v[i] * out->v[i];
	}
	out->inverse_norm = square ? 1 / sqrtf((float)square) : 0;
}

double terms_cosine(const struct terms *a, const struct terms *b, const struct frequencies *f)
{
	double dot = 0, aa = 0, bb = 0;
	for (size_t i = 0; i < a->n; i++)
		aa += pow(term_value(a, i, f), 2);
	for (size_t i = 0; i < b->n; i++)
		bb += pow(term_value(b, i, f), 2);
	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->hash[i] == b->hash[j])
			dot += (double)term_value(a, i, f) * term_value(b, j, f);
		uint32_t x = a->hash[i], y = b->hash[j];
		i += x <= y;
		j += y <= x;
	}
	return aa > 0 && bb > 0 ? MIN(dot / sqrt(aa * bb), 1) : 0;
}

/* The compiler makes vector instructions of this: constant length, no branches. */
static int32_t dot(const int8_t *restrict a, const int8_t *restrict b)
{
	int32_t sum = 0;
	for (size_t i = 0; i < VECTOR_DIM; i++)
		sum += (int16_t)((int16_t)a[i] * (int16_t)b[i]);
	return sum;
}

/* Sorted, best first; an insertion among so few is cheaper than a heap. */
static size_t keep(struct hit *best, size_t n, size_t max, struct hit h)
{
	if (n == max && best[n - 1].cosine > h.cosine)
		return n;
	size_t at = n == max ? n - 1 : n;
	for (; at > 0 && best[at - 1].cosine <= h.cosine; at--)
		best[at] = best[at - 1];
	best[at] = h;
	return MIN(n + 1, max);
}

size_t vector_best(const struct vector_rows *rows, const struct vector *query, struct hit *out,
		   size_t max)
{
	size_t n = 0;
	for (size_t i = 0; max && i < rows->n; i++) {
		float length = rows->inverse_norms[i];
		float cosine = (float)dot(rows->rows + i * VECTOR_DIM, query->v) * length *
			       query->inverse_norm;
		if (length > 0)
			n = keep(out, n, max, (struct hit){(uint32_t)i, cosine});
	}
	return n;
}
