#include "reasoner/memory/memory_private.h"
#include "reasoner/memory/signature.h"

enum {
	GROWN_SHARE = 4,    /* a quarter more than when it was weighed */
	REMOVED_SHARE = 10, /* a tenth forgotten */
	SLACK = 16,         /* so many more or fewer are nothing, in a small memory */
	FIRST_ROWS = 256,
};

void memory_index_release(struct memory_index *index)
{
	frequencies_release(&index->frequencies);
	free(index->rows);
	free(index->inverse_norms);
	free(index->numbers);
	*index = (struct memory_index){0};
}

static void index_add(struct memory_index *x, uint64_t number, const struct terms *t)
{
	struct vector v;
	if (x->n == x->cap) {
		x->cap = MAX(x->cap * 2, FIRST_ROWS);
		x->rows = mem_realloc(x->rows, x->cap * VECTOR_DIM);
		x->inverse_norms = mem_realloc(x->inverse_norms, x->cap * sizeof(float));
		x->numbers = mem_realloc(x->numbers, x->cap * sizeof(uint64_t));
	}
	vector_of(t, &x->frequencies, &v);
	memcpy(x->rows + x->n * VECTOR_DIM, v.v, VECTOR_DIM);
	x->inverse_norms[x->n] = v.inverse_norm;
	x->numbers[x->n++] = number;
}

struct reading {
	struct memory_index *index;
	struct terms terms;
	bool counting, adding;
};

static int read_terms(void *ctx, const void *key, size_t key_len, struct store_val val)
{
	struct reading *r = ctx;
	bool healed;
	int rc = key_len == sizeof(struct store_key64) ? memory_terms_read(&val, &r->terms, &healed)
						       : ERR_CORRUPT;
	if (rc)
		return rc;
	if (r->counting)
		frequencies_add(&r->index->frequencies, &r->terms);
	if (r->adding)
		index_add(r->index, store_key64_value(key), &r->terms);
	return 0;
}

static int read_from(struct reading *r, struct store_txn *txn, uint64_t from)
{
	struct store_key64 first = store_key64(from);
	struct store_range range = {.from = &first, .from_len = sizeof(first)};
	return store_each(txn, &table_memory_terms, &range, read_terms, r);
}

static int index_build(struct memory_index *x, struct store_txn *txn,
		       const struct memory_counter *c)
{
	auto_free struct reading *r = mem_alloc(sizeof(*r));
	memory_index_release(x);
	*r = (struct reading){.index = x, .counting = true};
	int rc = read_from(r, txn, 0);
	if (rc)
		return rc;
	frequencies_weigh(&x->frequencies);
	r->counting = false;
	r->adding = true;
	rc = read_from(r, txn, 0);
	x->weighed = x->frequencies.documents;
	x->next = c->next;
	x->removed = c->removed;
	if (rc)
		memory_index_release(x);
	return rc;
}

static int index_append(struct memory_index *x, struct store_txn *txn,
			const struct memory_counter *c)
{
	auto_free struct reading *r = mem_alloc(sizeof(*r));
	*r = (struct reading){.index = x, .counting = true, .adding = true};
	int rc = read_from(r, txn, x->next);
	if (rc)
		memory_index_release(x);
	else
		x->next = c->next;
	return rc;
}

static bool is_stale(const struct memory_index *x, struct store_txn *txn,
		     const struct memory_counter *c)
{
	size_t now = memory_count(txn), most = x->weighed / GROWN_SHARE;
	bool small = now < (size_t)SLACK * GROWN_SHARE;
	if (!x->frequencies.idf || c->next < x->next || c->removed < x->removed)
		return true;
	if (small)
		return c->next != x->next || c->removed != x->removed;
	return now > x->weighed + most || c->removed - x->removed > SLACK + x->n / REMOVED_SHARE;
}

/* Adds what is new. All is read and weighed anew when a quarter more is known than at the last
 * time, or a tenth of it was forgotten: 0.3 s for 100,000. */
static int memory_index_refresh(struct memory_index *x, struct store_txn *txn)
{
	struct memory_counter c;
	int rc = memory_counter(txn, &c);
	if (rc)
		return rc;
	if (is_stale(x, txn, &c))
		return index_build(x, txn, &c);
	return c.next > x->next ? index_append(x, txn, &c) : 0;
}

/* ---- recall ---- */

struct candidate {
	double similarity;
	uint64_t number;
	bool healed;
};

struct recall {
	struct store_txn *txn;
	const struct memory_query *q;
	struct memory_index *index;
	struct arena *arena;
	struct terms terms, other;
	struct candidate best[MEMORY_CANDIDATES];
	size_t n;
};

/* Of equals, the healed first, then the later. */
static int better(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->similarity != y->similarity)
		return x->similarity < y->similarity ? 1 : -1;
	if (x->healed != y->healed)
		return y->healed - x->healed;
	return (x->number < y->number) - (x->number > y->number);
}

/* The row may be of a memory that was forgotten since: then it counts no more. */
static int compare(struct recall *r, uint32_t row)
{
	struct candidate *c = &r->best[r->n];
	struct store_key64 number = store_key64(r->index->numbers[row]);
	struct store_val val;
	int rc = store_get(r->txn, &table_memory_terms, &number, sizeof(number), &val);
	if (rc == ERR_NOT_FOUND) {
		r->index->inverse_norms[row] = 0;
		return 0;
	}
	if (!rc)
		rc = memory_terms_read(&val, &r->other, &c->healed);
	if (rc)
		return rc;
	c->similarity = terms_cosine(&r->terms, &r->other, &r->index->frequencies);
	c->number = r->index->numbers[row];
	r->n++;
	return 0;
}

/* The best rows; again without those that were forgotten, so that these keep no living one out.
 * Ends, since each round has fewer rows. */
static int compare_all(struct recall *r)
{
	struct memory_index *x = r->index;
	struct vector_rows rows = {x->rows, x->inverse_norms, x->n};
	struct hit hits[MEMORY_CANDIDATES];
	struct vector v;
	size_t n;
	int rc = 0;
	vector_of(&r->terms, &x->frequencies, &v);
	do {
		r->n = 0;
		n = vector_best(&rows, &v, hits, ARRAY_SIZE(hits));
		for (size_t i = 0; !rc && i < n; i++)
			rc = compare(r, hits[i].row);
	} while (!rc && r->n < n);
	qsort(r->best, r->n, sizeof(r->best[0]), better);
	return rc;
}

static int load(struct recall *r, const struct candidate *c, Healbus__Recalled **out)
{
	Healbus__ModelExchange *row;
	int rc = memory_load(r->txn, c->number, r->arena, &row);
	if (rc)
		return rc;
	*out = row->diagnosis->recalled[0];
	SET(*out, similarity, c->similarity);
	return 0;
}

static bool is_asked_for(const struct memory_query *q, const Healbus__Recalled *r)
{
	return !q->incident || !str_eq(r->incident, q->incident->id);
}

/* Of the least alike the steps are left out when all would be too much for one message. */
static void bound_steps(Healbus__Recalled *const *list, size_t n)
{
	size_t bytes = 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t s = 0; s < list[i]->n_steps; s++)
			bytes += healbus__step__get_packed_size(list[i]->steps[s]);
		if (bytes > MEMORY_RECALLED_MAX_BYTES)
			list[i]->n_steps = 0;
	}
}

static int take(struct recall *r, Healbus__Recalled ***out, size_t *out_n)
{
	size_t k = r->q->k ? MIN(r->q->k, WIRE_RECALLED_MAX) : WIRE_RECALLED_MAX, n = 0;
	Healbus__Recalled **list = arena_alloc(r->arena, k * sizeof(Healbus__Recalled *));
	int rc = list ? 0 : ERR_TOO_LARGE;
	for (size_t i = 0; !rc && i < r->n && n < k; i++) {
		if (r->best[i].similarity <= MAX(r->q->least, 0))
			break;
		rc = load(r, &r->best[i], &list[n]);
		if (!rc && is_asked_for(r->q, list[n]))
			n++;
	}
	if (rc)
		return rc;
	bound_steps(list, n);
	*out = list;
	*out_n = n;
	return 0;
}

static void query_terms(struct recall *r)
{
	auto_buf signature = {0};
	if (r->q->incident)
		signature_of(r->q->incident, r->q->diagnosis, &signature);
	else
		signature_of_text(r->q->text ? r->q->text : "", &signature);
	terms_of(buf_str(&signature), &r->terms);
}

int memory_recall(struct store_txn *txn, const struct memory_query *q, struct arena *arena,
		  Healbus__Recalled ***out, size_t *out_n)
{
	struct memory_index own = {0};
	auto_free struct recall *r = mem_alloc(sizeof(*r));
	*r = (struct recall){
		.txn = txn, .q = q, .index = q->index ? q->index : &own, .arena = arena};
	int rc = memory_index_refresh(r->index, txn);
	if (!rc) {
		query_terms(r);
		rc = compare_all(r);
	}
	if (!rc)
		rc = take(r, out, out_n);
	memory_index_release(&own);
	return rc;
}
