#include "common/yaml.h"
#include "common/buf.h"
#include "common/mem.h"

#include <libfyaml.h>

enum {
	STORAGE_MAX_BYTES = 64 << 20,
	KEY_MAX_BYTES = 512, /* well below the 1024 characters that YAML allows a plain key */
	ANCHORS_MAX = 1000,
};

struct anchor {
	struct anchor *next;
	const char *name;
	struct yaml_node *node;
};

struct level {
	struct yaml_node *node;
	struct yaml_node *last;
	int column;
};

/* Builds our tree from the parser's events, so that every limit is ours. */
struct builder {
	const char *text; /* all of the input */
	size_t text_len;
	struct arena *arena;
	const char *file;
	struct yaml_node *root;
	struct level levels[YAML_DEPTH_MAX];
	size_t depth;
	const char *key; /* read, waiting for its value */
	int key_line;
	int line;
	int column;
	size_t nodes;
	size_t documents;
	struct anchor *anchors;
	size_t anchors_n;
	struct why *why;
};

static int fail(struct builder *b, int rc, const char *text)
{
	(void)why_set(b->why, rc, "%s:%d: %s", b->file, b->line, text);
	return rc;
}

static int node_new(struct builder *b, enum yaml_type type, struct yaml_node **out)
{
	struct yaml_node *node = NULL;

	if (b->nodes < YAML_NODES_MAX)
		node = arena_alloc(b->arena, sizeof *node);
	if (!node)
		return fail(b, ERR_TOO_LARGE, "the document has too many nodes");
	b->nodes++;
	node->type = type;
	node->file = b->file;
	node->line = b->key ? b->key_line : b->line;
	*out = node;
	return 0;
}

static void append(struct yaml_node *parent, struct yaml_node **last, struct yaml_node *node)
{
	if (*last)
		(*last)->next = node;
	else
		parent->child = node;
	*last = node;
	parent->count++;
}

static void attach(struct builder *b, struct yaml_node *node)
{
	struct level *top;

	node->key = b->key;
	b->key = NULL;
	if (b->depth == 0) {
		b->root = node;
		return;
	}
	top = &b->levels[b->depth - 1];
	append(top->node, &top->last, node);
}

/* The library's own reading of '' is wrong when two of them touch: 'x''''y' lost the y. */
static int copy_single_quoted(struct builder *b, struct fy_token *token, const char **out)
{
	const struct fy_mark *mark = fy_token_start_mark(token);
	auto_buf text = {0};

	if (!mark || mark->input_pos >= b->text_len)
		return fail(b, ERR_CONFIG, "unreadable text");
	yaml_unquote(b->text + mark->input_pos, b->text_len - mark->input_pos, &text);
	*out = arena_strdup(b->arena, buf_str(&text));
	return *out ? 0 : fail(b, ERR_TOO_LARGE, "the document is too large");
}

static const char *block_error(const struct builder *b, struct fy_token *token, bool empty)
{
	const struct fy_mark *mark = fy_token_start_mark(token);
	int column = b->depth ? b->levels[b->depth - 1].column : 0;

	if (!mark || mark->input_pos > b->text_len)
		return NULL;
	return yaml_block_error(b->text, b->text_len, mark->input_pos, empty ? -1 : column);
}

static int copy_text(struct builder *b, struct fy_token *token, const char **out)
{
	enum fy_scalar_style style = token ? fy_scalar_token_get_style(token) : FYSS_ANY;
	const char *text = "";
	const char *wrong;
	size_t len = 0;
	char *copy;

	if (style == FYSS_SINGLE_QUOTED)
		return copy_single_quoted(b, token, out);
	if (token)
		text = fy_token_get_text(token, &len);
	if (!text)
		return fail(b, ERR_CONFIG, "unreadable text");
	if (style == FYSS_LITERAL || style == FYSS_FOLDED) {
		/* An empty block at the end of a file comes as a NUL; blocks hold no other. */
		len = strnlen(text, len);
		wrong = block_error(b, token, strspn(text, "\n") == len);
		if (wrong)
			return fail(b, ERR_CONFIG, wrong);
	}
	if (memchr(text, '\0', len))
		return fail(b, ERR_CONFIG, "a NUL character in a string");
	copy = arena_alloc(b->arena, len + 1);
	if (!copy)
		return fail(b, ERR_TOO_LARGE, "the document is too large");
	memcpy(copy, text, len);
	*out = copy;
	return 0;
}

static int anchor_add(struct builder *b, struct fy_token *token, struct yaml_node *node)
{
	struct anchor *anchor;
	const char *name;
	int rc;

	if (!token)
		return 0;
	rc = copy_text(b, token, &name);
	if (rc)
		return rc;
	anchor = b->anchors_n < ANCHORS_MAX ? arena_alloc(b->arena, sizeof *anchor) : NULL;
	if (!anchor)
		return fail(b, ERR_TOO_LARGE, "the document has too many anchors");
	*anchor = (struct anchor){.next = b->anchors, .name = name, .node = node};
	b->anchors = anchor;
	b->anchors_n++;
	return 0;
}

/* Only !!str is understood, and only on a scalar: it says the same as quotes. */
static int read_tag(struct builder *b, struct fy_token *tag, bool *out_text)
{
	const char *name;
	int rc;

	*out_text = false;
	if (!tag)
		return 0;
	rc = copy_text(b, tag, &name);
	if (rc)
		return rc;
	if (!(str_eq(name, "tag:yaml.org,2002:str") || str_eq(name, "!!str")))
		return fail(b, ERR_CONFIG, "tags other than !!str are not supported");
	*out_text = true;
	return 0;
}

static bool key_expected(const struct builder *b)
{
	return b->depth && b->levels[b->depth - 1].node->type == YAML_MAP && !b->key;
}

static int read_key(struct builder *b, const struct fy_event *event, bool quoted)
{
	const char *key;
	int rc = copy_text(b, event->scalar.value, &key);

	if (rc)
		return rc;
	if (event->scalar.anchor)
		return fail(b, ERR_CONFIG, "an anchor on a key is not supported");
	if (strlen(key) > KEY_MAX_BYTES)
		return fail(b, ERR_CONFIG, "a key of more than 512 bytes");
	if (!quoted && str_eq(key, "<<"))
		return fail(b, ERR_CONFIG, "merge keys (<<) are not supported");
	b->key = key;
	b->key_line = b->line;
	return 0;
}

static bool is_null(const char *text)
{
	static const char *const names[] = {"", "~", "null", "Null", "NULL"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(text, names[i]))
			return true;
	return false;
}

static int on_scalar(struct builder *b, const struct fy_event *event)
{
	struct fy_token *token = event->scalar.value;
	struct yaml_node *node;
	const char *text;
	bool quoted;
	int rc = read_tag(b, event->scalar.tag, &quoted);

	if (rc)
		return rc;
	quoted = quoted || (token && fy_scalar_token_get_style(token) != FYSS_PLAIN);
	if (key_expected(b))
		return read_key(b, event, quoted);
	rc = copy_text(b, token, &text);
	if (rc == 0)
		rc = node_new(b, !quoted && is_null(text) ? YAML_NULL : YAML_SCALAR, &node);
	if (rc)
		return rc;
	if (node->type == YAML_SCALAR) {
		node->scalar = text;
		node->quoted = quoted;
	}
	attach(b, node);
	return anchor_add(b, event->scalar.anchor, node);
}

static int open_level(struct builder *b, enum yaml_type type, const struct fy_event *event)
{
	/* The library has the same three members for both kinds of container. */
	const struct fy_event_mapping_start_data *start = &event->mapping_start;
	struct yaml_node *node;
	int rc;

	if (start->tag)
		return fail(b, ERR_CONFIG, "tags other than !!str are not supported");
	if (key_expected(b))
		return fail(b, ERR_CONFIG, "a key must be a plain or quoted text");
	if (b->depth == YAML_DEPTH_MAX)
		return fail(b, ERR_TOO_LARGE, "nested too deep");
	rc = node_new(b, type, &node);
	if (rc)
		return rc;
	attach(b, node);
	b->levels[b->depth++] = (struct level){.node = node, .column = b->column};
	return anchor_add(b, start->anchor, node);
}

static int on_map(struct builder *b, const struct fy_event *event)
{
	return open_level(b, YAML_MAP, event);
}

static int on_list(struct builder *b, const struct fy_event *event)
{
	return open_level(b, YAML_LIST, event);
}

static int on_list_end(struct builder *b, const struct fy_event *event UNUSED)
{
	b->depth--;
	return 0;
}

static int by_key_and_line(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a;
	const struct yaml_node *y = *(const struct yaml_node *const *)b;
	int order = strcmp(x->key, y->key);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

/* Sorting, because comparing every pair of a map of 100,000 keys would take minutes. */
static int on_map_end(struct builder *b, const struct fy_event *event UNUSED)
{
	const struct yaml_node *map = b->levels[--b->depth].node;
	auto_free const struct yaml_node **sorted = mem_calloc(map->count, sizeof *sorted);
	size_t n = 0;

	YAML_EACH(child, map)
	sorted[n++] = child;
	qsort(sorted, n, sizeof *sorted, by_key_and_line);
	for (size_t i = 1; i < n; i++)
		if (str_eq(sorted[i - 1]->key, sorted[i]->key))
			return yaml_error(sorted[i], b->why,
					  "duplicate key \"%s\", first on line %d", sorted[i]->key,
					  sorted[i - 1]->line);
	return 0;
}

static int copy_tree(struct builder *b, const struct yaml_node *from, struct yaml_node **out,
		     size_t depth)
{
	struct yaml_node *node;
	struct yaml_node *last = NULL;
	int rc;

	if (depth + (from->type >= YAML_LIST) > YAML_DEPTH_MAX)
		return fail(b, ERR_TOO_LARGE, "nested too deep");
	rc = node_new(b, from->type, &node);
	if (rc)
		return rc;
	node->key = from->key;
	node->scalar = from->scalar;
	node->quoted = from->quoted;
	node->line = from->line;
	YAML_EACH(child, from)
	{
		struct yaml_node *copy;

		rc = copy_tree(b, child, &copy, depth + 1);
		if (rc)
			return rc;
		append(node, &last, copy);
	}
	*out = node;
	return 0;
}

static int on_alias(struct builder *b, const struct fy_event *event)
{
	const struct anchor *anchor = b->anchors;
	struct yaml_node *copy;
	const char *name;
	int rc;

	if (key_expected(b))
		return fail(b, ERR_CONFIG, "an alias as a key is not supported");
	rc = copy_text(b, event->alias.anchor, &name);
	if (rc)
		return rc;
	while (anchor && !str_eq(anchor->name, name))
		anchor = anchor->next;
	if (!anchor)
		return fail(b, ERR_CONFIG, "an alias of an anchor that is not defined above");
	for (size_t i = 0; i < b->depth; i++)
		if (b->levels[i].node == anchor->node)
			return fail(b, ERR_CONFIG, "an alias inside its own anchor");
	rc = copy_tree(b, anchor->node, &copy, b->depth);
	if (rc)
		return rc;
	copy->line = b->key ? b->key_line : b->line;
	attach(b, copy);
	return 0;
}

static int on_document(struct builder *b, const struct fy_event *event UNUSED)
{
	if (b->documents++)
		return fail(b, ERR_CONFIG, "a second document (---) in one file");
	return 0;
}

static int (*const handlers[])(struct builder *, const struct fy_event *) = {
	[FYET_DOCUMENT_START] = on_document,
	[FYET_MAPPING_START] = on_map,
	[FYET_MAPPING_END] = on_map_end,
	[FYET_SEQUENCE_START] = on_list,
	[FYET_SEQUENCE_END] = on_list_end,
	[FYET_SCALAR] = on_scalar,
	[FYET_ALIAS] = on_alias,
};

static void keep_silent(struct fy_diag *diag UNUSED, void *user UNUSED, const char *text UNUSED,
			size_t len UNUSED)
{
}

static struct fy_diag *diag_new(void)
{
	struct fy_diag_cfg cfg;
	struct fy_diag *diag;

	fy_diag_cfg_default(&cfg);
	cfg.fp = NULL;
	cfg.output_fn = keep_silent;
	diag = fy_diag_create(&cfg);
	if (!diag)
		abort();
	fy_diag_set_collect_errors(diag, true);
	return diag;
}

static int parser_error(struct builder *b, struct fy_diag *diag)
{
	void *at = NULL;
	const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &at);

	if (error)
		b->line = MAX(error->line, 1);
	return fail(b, ERR_CONFIG, error && error->msg ? error->msg : "not YAML");
}

static int build(struct builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
	struct fy_event *event;
	int rc = 0;

	while (rc == 0 && (event = fy_parser_parse(parser))) {
		const struct fy_mark *mark = fy_event_start_mark(event);

		/* An empty value has no place of its own: the last one is where a person looks. */
		if (mark) {
			b->line = mark->line + 1;
			b->column = mark->column;
		}
		if (handlers[event->type])
			rc = handlers[event->type](b, event);
		fy_parser_event_free(parser, event);
	}
	if (rc == 0 && fy_parser_get_stream_error(parser))
		rc = parser_error(b, diag);
	if (rc == 0 && !b->root)
		rc = node_new(b, YAML_NULL, &b->root);
	return rc;
}

static int parse(struct builder *b, const char *text, size_t len)
{
	struct fy_diag *diag = diag_new();
	struct fy_parse_cfg cfg = {
		.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
			 FYPCF_JSON_NONE,
		.diag = diag,
	};
	struct fy_parser *parser = fy_parser_create(&cfg);
	int rc;

	/* The library refuses an empty string. */
	if (!parser || fy_parser_set_string(parser, len ? text : "\n", len ? len : 1))
		abort();
	rc = build(b, parser, diag);
	fy_parser_destroy(parser);
	fy_diag_destroy(diag);
	return rc;
}

int yaml_parse_text(const char *name, const char *text, size_t len, struct yaml_doc *out,
		    struct why *out_why)
{
	struct arena *arena = mem_alloc(sizeof *arena);
	struct yaml_doc doc = {.storage = arena};
	struct builder b = {
		.text = text, .text_len = len, .arena = arena, .why = out_why, .line = 1};
	int rc;

	arena->limit_bytes = STORAGE_MAX_BYTES;
	b.file = arena_strdup(arena, name);
	rc = yaml_check_text(name, text, len, out_why);
	if (rc == 0)
		rc = parse(&b, text, len);
	if (rc) {
		yaml_release(&doc);
		return rc;
	}
	doc.root = b.root;
	*out = doc;
	return 0;
}

int yaml_parse_file(const char *path, struct yaml_doc *out, struct why *out_why)
{
	auto_buf text = {0};
	int rc = buf_read_file(&text, path, YAML_FILE_MAX_BYTES);

	if (rc == ERR_TOO_LARGE)
		return why_set(out_why, rc, "%s: more than 4 MiB", path);
	if (rc)
		return why_set(out_why, rc, "%s: cannot read: %s", path, strerror(errno));
	return yaml_parse_text(path, buf_str(&text), text.len, out, out_why);
}

void yaml_release(struct yaml_doc *doc)
{
	if (!doc)
		return;
	if (doc->storage)
		arena_release(doc->storage);
	free(doc->storage);
	*doc = (struct yaml_doc){0};
}
