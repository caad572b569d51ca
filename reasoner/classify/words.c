#include "reasoner/classify/words.h"

#include "common/mem.h"

/* Marks a transition into a state in which a word ends. */
#define ENDS_HERE UINT32_C(0x80000000)

/* Who is found in a state; the rest of the list is who is found in its longest suffix. */
struct find {
	uint16_t id;
	uint32_t next; /* 1-based; 0: the end */
};

struct trie_node {
	uint32_t child, sibling; /* 0: none; the root is nobody's child */
	uint32_t finds;          /* 1-based */
	uint32_t suffix;
	uint8_t byte;
};

struct words {
	struct trie_node *nodes; /* [0] is the root */
	uint32_t n_nodes, cap_nodes;
	struct find *found;
	uint32_t n_finds, cap_finds;
	uint8_t class_of[256]; /* 0: in no word */
	uint32_t n_classes;
	uint32_t *table; /* [state * n_classes + class] = state * n_classes, with ENDS_HERE */
};

static uint8_t fold(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

struct words *words_new(void)
{
	struct words *w = mem_alloc(sizeof(*w));
	w->cap_nodes = 256;
	w->nodes = mem_calloc(w->cap_nodes, sizeof(*w->nodes));
	w->n_nodes = 1;
	w->n_classes = 1;
	return w;
}

void words_free(struct words *w)
{
	if (!w)
		return;
	free(w->nodes);
	free(w->found);
	free(w->table);
	free(w);
}

/* ---- building ---- */

static uint32_t child_of(const struct words *w, uint32_t node, uint8_t byte)
{
	uint32_t child = w->nodes[node].child;
	while (child && w->nodes[child].byte != byte)
		child = w->nodes[child].sibling;
	return child;
}

static uint32_t child_add(struct words *w, uint32_t parent, uint8_t byte)
{
	if (w->n_nodes == w->cap_nodes) {
		w->cap_nodes *= 2;
		w->nodes = mem_realloc(w->nodes, w->cap_nodes * sizeof(*w->nodes));
	}
	uint32_t child = w->n_nodes++;
	w->nodes[child] = (struct trie_node){.byte = byte, .sibling = w->nodes[parent].child};
	w->nodes[parent].child = child;
	return child;
}

int words_add(struct words *w, const char *text, uint16_t id)
{
	size_t len = strlen(text);
	uint32_t node = 0;
	if (len < WORD_MIN_BYTES || len > WORD_MAX_BYTES)
		return ERR_INVALID;
	if (w->n_nodes + len > WORDS_STATES_MAX)
		return ERR_TOO_LARGE;
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = fold((unsigned char)text[i]);
		uint32_t child = child_of(w, node, byte);
		if (!w->class_of[byte])
			w->class_of[byte] = (uint8_t)w->n_classes++;
		node = child ? child : child_add(w, node, byte);
	}
	if (w->n_finds == w->cap_finds) {
		w->cap_finds = w->cap_finds ? 2 * w->cap_finds : 64;
		w->found = mem_realloc(w->found, w->cap_finds * sizeof(*w->found));
	}
	w->found[w->n_finds++] = (struct find){.id = id, .next = w->nodes[node].finds};
	w->nodes[node].finds = w->n_finds;
	return 0;
}

/* Behind what is found in a node comes what is found in its suffix. */
static void append_suffix(struct words *w, uint32_t node)
{
	uint32_t tail = w->nodes[w->nodes[node].suffix].finds;
	uint32_t *at = &w->nodes[node].finds;
	while (*at)
		at = &w->found[*at - 1].next;
	*at = tail;
}

static void fill_row(struct words *w, uint32_t node)
{
	uint32_t k = w->n_classes;
	uint32_t *row = &w->table[(size_t)node * k];
	if (node)
		memcpy(row, &w->table[(size_t)w->nodes[node].suffix * k], k * sizeof(*row));
	for (uint32_t c = w->nodes[node].child; c; c = w->nodes[c].sibling) {
		uint32_t class = w->class_of[w->nodes[c].byte];
		w->nodes[c].suffix = (row[class] & ~ENDS_HERE) / k;
		append_suffix(w, c);
		row[class] = c * k | (w->nodes[c].finds ? ENDS_HERE : 0);
	}
}

void words_build(struct words *w)
{
	auto_free uint32_t *queue = mem_calloc(w->n_nodes, sizeof(*queue));
	uint32_t n = 1;
	/* Upper-case letters fall into their small one's class only now: words are folded. */
	for (unsigned c = 'A'; c <= 'Z'; c++)
		w->class_of[c] = w->class_of[fold((unsigned char)c)];
	w->table = mem_calloc((size_t)w->n_nodes * w->n_classes, sizeof(*w->table));
	/* Breadth first, so that a suffix, which is shorter, has its row already. */
	for (uint32_t at = 0; at < n; at++) {
		fill_row(w, queue[at]);
		for (uint32_t c = w->nodes[queue[at]].child; c; c = w->nodes[c].sibling)
			queue[n++] = c;
	}
}

/* ---- searching ---- */

void words_find(const struct words *w, const char *text, size_t len,
		void (*found)(void *ctx, uint16_t id), void *ctx)
{
	const uint32_t *table = w->table;
	uint32_t state = 0;
	for (size_t i = 0; i < len; i++) {
		state = table[(state & ~ENDS_HERE) + w->class_of[(unsigned char)text[i]]];
		if (!(state & ENDS_HERE))
			continue;
		uint32_t at = w->nodes[(state & ~ENDS_HERE) / w->n_classes].finds;
		for (; at; at = w->found[at - 1].next)
			found(ctx, w->found[at - 1].id);
	}
}
