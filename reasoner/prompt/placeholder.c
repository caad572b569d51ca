#include "reasoner/prompt/placeholder.h"

#include <ctype.h>

#include "common/id.h"
#include "common/mem.h"
#include "reasoner/prompt/placeholder_private.h"

enum { BUCKETS = 4096, NAME_WORDS_MAX = 6 };

struct ph_entry {
	struct ph_entry *next;
	uint64_t hash;
	enum ph_type type;
	uint32_t number;
	bool in_code;
	size_t n;
	char value[];
};

static const char *const type_names[PH_TYPES] = {"MSG",  "TEXT", "WORD", "NAME", "PATH",
						 "HOST", "URL",  "USER", "B64",  "TAG"};

/* What an edit may hold although it does not come from the code: names of things. */
static const bool type_is_name[PH_TYPES] = {
	[PH_NAME] = true, [PH_PATH] = true, [PH_HOST] = true, [PH_WORD] = true};

struct placeholders *placeholders_new(const char *nonce)
{
	struct placeholders *p = mem_alloc(sizeof(*p));
	snprintf(p->nonce, sizeof(p->nonce), "%s", nonce && *nonce ? nonce : "0");
	p->words = vocabulary_new();
	p->n_buckets = BUCKETS;
	p->buckets = mem_calloc(p->n_buckets, sizeof(struct ph_entry *));
	return p;
}

void placeholders_free(struct placeholders *p)
{
	if (!p)
		return;
	for (size_t type = 0; type < PH_TYPES; type++) {
		for (size_t i = 0; i < p->n_by_type[type]; i++)
			free(p->by_type[type][i]);
		free(p->by_type[type]);
	}
	free(p->buckets);
	vocabulary_free(p->words);
	free(p);
}

const char *placeholders_nonce(const struct placeholders *p)
{
	return p->nonce;
}

size_t placeholders_count(const struct placeholders *p)
{
	return p->n_entries;
}

/* ---- table ---- */

static struct ph_entry *find(const struct placeholders *p, enum ph_type type, struct span value,
			     uint64_t hash)
{
	for (struct ph_entry *e = p->buckets[hash % p->n_buckets]; e; e = e->next)
		if (e->hash == hash && e->type == type && e->n == value.n &&
		    memcmp(e->value, value.s, value.n) == 0)
			return e;
	return NULL;
}

static void grow(struct placeholders *p)
{
	size_t n = p->n_buckets * 4;
	struct ph_entry **buckets = mem_calloc(n, sizeof(struct ph_entry *));
	for (size_t i = 0; i < p->n_buckets; i++)
		for (struct ph_entry *e = p->buckets[i], *next = NULL; e; e = next) {
			next = e->next;
			e->next = buckets[e->hash % n];
			buckets[e->hash % n] = e;
		}
	free(p->buckets);
	p->buckets = buckets;
	p->n_buckets = n;
}

static struct ph_entry *insert(struct placeholders *p, enum ph_type type, struct span value,
			       uint64_t hash)
{
	struct ph_entry *e = mem_alloc(sizeof(*e) + value.n + 1);
	e->hash = hash;
	e->type = type;
	e->n = value.n;
	memcpy(e->value, value.s, value.n);
	if (p->n_entries++ > p->n_buckets)
		grow(p);
	e->next = p->buckets[hash % p->n_buckets];
	p->buckets[hash % p->n_buckets] = e;
	if (p->n_by_type[type] == p->cap_by_type[type]) {
		p->cap_by_type[type] = p->cap_by_type[type] ? p->cap_by_type[type] * 2 : 16;
		p->by_type[type] = mem_realloc(p->by_type[type],
					       p->cap_by_type[type] * sizeof(struct ph_entry *));
	}
	p->by_type[type][p->n_by_type[type]++] = e;
	e->number = (uint32_t)p->n_by_type[type];
	return e;
}

void ph_add(struct placeholders *p, enum ph_type type, struct span value, struct buf *out)
{
	uint64_t hash = fnv1a(FNV_INIT + type, value.s, value.n);
	struct ph_entry *e = find(p, type, value, hash);
	if (!e)
		e = insert(p, type, value, hash);
	e->in_code |= p->in_code;
	buf_printf(out, "<%s_%u>", type_names[type], e->number);
}

/* ---- abstracting ---- */

/* Length of "<LETTERS_DIGITS>" at s, 0 when it is none. */
static size_t shape_len(const char *s, size_t n)
{
	size_t i = 1;
	if (n < 5 || s[0] != '<')
		return 0;
	while (i < n && ((s[i] >= 'A' && s[i] <= 'Z') || (i > 1 && isdigit((unsigned char)s[i]))))
		i++;
	if (i == 1 || i > 8 || i >= n || s[i] != '_')
		return 0;
	size_t digits = ++i;
	while (i < n && isdigit((unsigned char)s[i]))
		i++;
	return i > digits && i - digits < 10 && i < n && s[i] == '>' ? i + 1 : 0;
}

static void abstract_prose(struct placeholders *p, struct span text, struct buf *out)
{
	size_t from = 0, to = text.n;
	while (from < to && isspace((unsigned char)text.s[from]))
		from++;
	while (to > from && isspace((unsigned char)text.s[to - 1]))
		to--;
	buf_add(out, text.s, from);
	if (to > from)
		ph_add(p, PH_MSG, (struct span){text.s + from, to - from}, out);
	buf_add(out, text.s + to, text.n - to);
}

static void abstract_name(struct placeholders *p, struct span text, struct buf *out)
{
	bool path = memchr(text.s, '/', text.n) != NULL;
	if (text.n == 0)
		return;
	if (name_is_plain(p->words, text, NAME_WORDS_MAX) && !looks_encoded(text))
		buf_add(out, text.s, text.n);
	else
		ph_add(p, path ? PH_PATH : PH_NAME, text, out);
}

static void (*const abstracters[TEXT_KINDS])(struct placeholders *p, struct span text,
					     struct buf *out) = {
	[TEXT_LOG] = abstract_log,
	[TEXT_CODE] = abstract_code,
	[TEXT_PROSE] = abstract_prose,
	[TEXT_NAME] = abstract_name,
};

/* What looks like a placeholder of ours is one of theirs, so that restoring cannot be misled. */
void placeholders_abstract(struct placeholders *p, enum text_kind kind, const char *text,
			   size_t len, struct buf *out)
{
	size_t from = 0;
	p->in_code = kind == TEXT_CODE;
	p->quote = 0;
	p->block = p->prose = false;
	for (size_t i = 0; i < len; i++) {
		size_t n = text[i] == '<' ? shape_len(text + i, len - i) : 0;
		if (!n)
			continue;
		abstracters[kind](p, (struct span){text + from, i - from}, out);
		ph_add(p, PH_TAG, (struct span){text + i, n}, out);
		i += n - 1;
		from = i + 1;
	}
	abstracters[kind](p, (struct span){text + from, len - from}, out);
	p->in_code = false;
}

void placeholders_know(struct placeholders *p, const char *code, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = 0;
		while (i + n < len && (isalnum((unsigned char)code[i + n]) || code[i + n] == '_'))
			n++;
		if (n > 1)
			vocabulary_mark(p->words, (struct span){code + i, n}, WORD_CODE);
		i += n + 1;
	}
}

/* ---- restoring ---- */

static const struct ph_entry *entry_at(const struct placeholders *p, const char *s, size_t n)
{
	const char *bar = memchr(s, '_', n);
	size_t name = bar ? (size_t)(bar - s) - 1 : 0;
	for (size_t type = 0; type < PH_TYPES; type++) {
		if (strlen(type_names[type]) != name || memcmp(type_names[type], s + 1, name) != 0)
			continue;
		unsigned long number = strtoul(bar + 1, NULL, 10);
		return number >= 1 && number <= p->n_by_type[type] ? p->by_type[type][number - 1]
								   : NULL;
	}
	return NULL;
}

static bool may_restore(const struct ph_entry *e, enum restore where)
{
	if (where == RESTORE_PEOPLE)
		return true;
	return where == RESTORE_EDITS ? e->in_code || e->type == PH_PATH || e->type == PH_NAME
				      : type_is_name[e->type];
}

int placeholders_restore(const struct placeholders *p, const char *text, enum restore where,
			 struct buf *out, struct why *out_why)
{
	size_t len = strlen(text);
	for (size_t i = 0; i < len;) {
		size_t n = text[i] == '<' ? shape_len(text + i, len - i) : 0;
		const struct ph_entry *e = n ? entry_at(p, text + i, n) : NULL;
		bool good = n && e && may_restore(e, where);
		if (where == RESTORE_PARAM && n && n != len)
			good = false;
		if (n && !good && where != RESTORE_PEOPLE)
			return why_set(
				out_why, ERR_DENIED,
				"%.*s stands for words of outsiders: it may not be used here",
				(int)n, text + i);
		if (good)
			buf_add(out, e->value, e->n);
		else
			buf_add(out, text + i, n ? n : 1);
		i += n ? n : 1;
	}
	return 0;
}
