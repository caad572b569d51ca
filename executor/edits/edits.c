#include "executor/edits/edits_private.h"

/* ---- lines ---- */

static bool line_is(const struct edit_line *l, const char *text)
{
	size_t len = l->len;
	while (len > 0 && (l->text[len - 1] == '\r' || l->text[len - 1] == ' '))
		len--;
	return len == strlen(text) && memcmp(l->text, text, len) == 0;
}

bool line_starts(const struct edit_line *l, const char *prefix)
{
	size_t len = strlen(prefix);
	return l->len >= len && memcmp(l->text, prefix, len) == 0;
}

size_t lines_cut(const char *text, size_t len, struct edit_line **out)
{
	size_t n = 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == '\n';
	struct edit_line *lines = mem_calloc(n + 1, sizeof(*lines));
	n = 0;
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t size = end ? (size_t)(end - text) - at : len - at;
		lines[n++] = (struct edit_line){text + at, size};
		at += size + 1;
	}
	*out = lines;
	return n;
}

/* ---- building ---- */

static void hunk_release(struct edit_hunk *h)
{
	free(h->old);
	free(h->new);
}

void edits_release(struct edits *e)
{
	for (size_t i = 0; i < e->n; i++) {
		struct edit_file *f = &e->files[i];
		for (size_t k = 0; k < f->n_hunks; k++)
			hunk_release(&f->hunks[k]);
		free(f->hunks);
		free(f->path);
		free(f->old_path);
	}
	free(e->files);
	free(e->text);
	*e = (struct edits){0};
}

struct edit_file *edits_file(struct edits *e, const char *path, enum edit_kind kind)
{
	for (size_t i = 0; i < e->n; i++) {
		struct edit_file *f = &e->files[i];
		bool both = kind == EDIT_CHANGE && f->kind != EDIT_DELETE;
		if (both && str_eq(f->path, path))
			return f;
	}
	if (e->n == EDITS_FILES_MAX)
		return NULL;
	e->files = mem_realloc(e->files, (e->n + 1) * sizeof(*e->files));
	struct edit_file *f = &e->files[e->n++];
	*f = (struct edit_file){.path = mem_strdup(path), .kind = kind};
	return f;
}

struct edit_hunk *edit_file_hunk(struct edit_file *f)
{
	if (f->n_hunks == EDITS_HUNKS_MAX)
		return NULL;
	f->hunks = mem_realloc(f->hunks, (f->n_hunks + 1) * sizeof(*f->hunks));
	struct edit_hunk *h = &f->hunks[f->n_hunks++];
	*h = (struct edit_hunk){0};
	return h;
}

static void push(struct edit_line **lines, size_t *n, struct edit_line line)
{
	if ((*n & (*n - 1)) == 0)
		*lines = mem_realloc(*lines, MAX(2 * *n, (size_t)1) * sizeof(**lines));
	(*lines)[(*n)++] = line;
}

void hunk_old(struct edit_hunk *h, struct edit_line line)
{
	push(&h->old, &h->n_old, line);
}

void hunk_new(struct edit_hunk *h, struct edit_line line)
{
	push(&h->new, &h->n_new, line);
}

static bool line_equal(const struct edit_line *a, const struct edit_line *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

void edit_hunk_core(const struct edit_hunk *h, size_t *out_first, size_t *out_old_end,
		    size_t *out_new_end)
{
	size_t first = 0, old_end = h->n_old, new_end = h->n_new;
	while (first < old_end && first < new_end && line_equal(&h->old[first], &h->new[first]))
		first++;
	while (old_end > first && new_end > first &&
	       line_equal(&h->old[old_end - 1], &h->new[new_end - 1])) {
		old_end--;
		new_end--;
	}
	*out_first = first;
	*out_old_end = old_end;
	*out_new_end = new_end;
}

/* ---- paths ---- */

/* What HFS+ ignores in a name: .g<ZWNJ>it is .git there. */
static bool ignorable(uint32_t point)
{
	return (point >= 0x200c && point <= 0x200f) || (point >= 0x202a && point <= 0x202e) ||
	       (point >= 0x206a && point <= 0x206f) || point == 0xfeff;
}

/* What NTFS and HFS+ would make of a component: lower case, nothing ignorable, no dots, blanks or
 * stream name at its end. */
static void fold_name(const char *s, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len;) {
		uint32_t point = 0;
		size_t n = utf8_sequence((const unsigned char *)s + i, len - i, &point);
		if (n <= 1)
			buf_add_char(out, s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i]);
		else if (!ignorable(point))
			buf_add(out, s + i, n);
		i += MAX(n, (size_t)1);
	}
	if (!out->data)
		return;
	out->len = strcspn(out->data, ":");
	while (out->len > 0 && (out->data[out->len - 1] == '.' || out->data[out->len - 1] == ' '))
		out->len--;
	out->data[out->len] = 0;
}

static bool component_valid(const char *s, size_t len)
{
	auto_buf name = {0};
	if (len == 0 || len > 255 || (len <= 2 && strspn(s, ".") >= len))
		return false;
	fold_name(s, len, &name);
	const char *folded = buf_str(&name);
	bool short_name = str_starts(folded, "git~") && folded[4] >= '0' && folded[4] <= '9';
	return *folded && !str_eq(folded, ".git") && !short_name;
}

bool edits_path_valid(const char *path)
{
	if (!*path || strlen(path) > EDITS_PATH_MAX || path[0] == '/')
		return false;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '\\')
			return false;
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, "/");
		if (!component_valid(p, len))
			return false;
		p += len;
		if (!*p)
			return true;
	}
}

int edits_bad(const struct edit_reader *r, struct why *out_why, const char *what)
{
	return why_set(out_why, ERR_INVALID, "edits: line %zu: %s", MIN(r->at + 1, r->n), what);
}

int edits_bad_path(const struct edit_reader *r, struct why *out_why, const char *path)
{
	return why_set(out_why, ERR_DENIED,
		       "edits: line %zu: \"%.100s\" may not be touched: a path is relative, inside "
		       "the repository and not in .git",
		       MIN(r->at + 1, r->n), path);
}

/* ---- blocks ---- */

static const char search_mark[] = "<<<<<<< SEARCH";
static const char divider[] = "=======";
static const char replace_mark[] = ">>>>>>> REPLACE";

/* Blanks and backticks around a path are forgiven. */
static char *block_path(const struct edit_line *l)
{
	static const char around[] = " \t\r`\"'";
	const char *s = l->text + strlen(search_mark);
	size_t len = l->len - strlen(search_mark);
	while (len > 0 && strchr(around, *s)) {
		s++;
		len--;
	}
	while (len > 0 && strchr(around, s[len - 1]))
		len--;
	if (len > 2 && s[0] == '.' && s[1] == '/') {
		s += 2;
		len -= 2;
	}
	return mem_dup(s, len);
}

/* The lines of a part, up to its end mark. A conflict that git left in the file has marks of its
 * own, which are text. */
static int read_part(struct edit_reader *r, struct edit_hunk *h, bool new, struct why *out_why)
{
	const char *end = new ? replace_mark : divider;
	bool conflict = false;
	for (; r->at < r->n; r->at++) {
		const struct edit_line *l = &r->lines[r->at];
		if (line_starts(l, search_mark) || (!new &&line_is(l, replace_mark)))
			return edits_bad(r, out_why, "the block before has no end");
		if (line_is(l, end) && !conflict) {
			r->at++;
			return 0;
		}
		if (line_starts(l, "<<<<<<< "))
			conflict = true;
		else if (line_starts(l, ">>>>>>> "))
			conflict = false;
		if (new)
			hunk_new(h, *l);
		else
			hunk_old(h, *l);
	}
	return edits_bad(r, out_why,
			 new ? "a block without >>>>>>> REPLACE" : "a block without =======");
}

static int read_block(struct edit_reader *r, struct why *out_why)
{
	auto_free char *path = block_path(&r->lines[r->at]);
	if (!edits_path_valid(path))
		return edits_bad_path(r, out_why, path);
	struct edit_file *f = edits_file(r->out, path, EDIT_CHANGE);
	struct edit_hunk *h = f ? edit_file_hunk(f) : NULL;
	if (!h)
		return why_set(out_why, ERR_TOO_LARGE, "edits: too many files or blocks");
	h->at = ++r->at;
	int rc = read_part(r, h, false, out_why);
	if (!rc)
		rc = read_part(r, h, true, out_why);
	if (!rc && h->n_old == 0 && f->n_hunks == 1)
		f->kind = EDIT_CREATE;
	r->out->n_blocks++;
	return rc;
}

static int read_blocks(struct edit_reader *r, struct why *out_why)
{
	while (r->at < r->n) {
		const struct edit_line *l = &r->lines[r->at];
		int rc = 0;
		if (line_starts(l, search_mark))
			rc = read_block(r, out_why);
		else if (line_is(l, divider) || line_is(l, replace_mark))
			rc = edits_bad(r, out_why, "a mark outside of a block");
		else
			r->at++;
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- either ---- */

static bool has_blocks(const struct edit_reader *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (line_starts(&r->lines[i], search_mark))
			return true;
	return false;
}

/* ```diff ... ``` around it all. */
static void strip_fence(struct edit_reader *r)
{
	while (r->at < r->n && line_is(&r->lines[r->at], ""))
		r->at++;
	size_t end = r->n;
	while (end > r->at && line_is(&r->lines[end - 1], ""))
		end--;
	if (r->at + 1 < end && line_starts(&r->lines[r->at], "```") &&
	    line_is(&r->lines[end - 1], "```")) {
		r->at++;
		r->n = end - 1;
	}
}

static bool clash(const struct edit_file *a, const struct edit_file *b)
{
	return str_eq(a->path, b->path) || (a->old_path && str_eq(a->old_path, b->path)) ||
	       (b->old_path && str_eq(a->path, b->old_path));
}

static int check_once(const struct edits *e, struct why *out_why)
{
	for (size_t i = 0; i < e->n; i++)
		for (size_t k = 0; k < i; k++)
			if (clash(&e->files[i], &e->files[k]))
				return why_set(out_why, ERR_INVALID,
					       "edits: %s is made, deleted or renamed and also "
					       "something else",
					       e->files[i].path);
	return 0;
}

int edits_parse(const char *text, size_t len, struct edits *out, struct why *out_why)
{
	*out = (struct edits){0};
	if (len > EDITS_MAX_BYTES)
		return why_set(out_why, ERR_TOO_LARGE, "edits: more than %d bytes",
			       EDITS_MAX_BYTES);
	if (memchr(text, 0, len))
		return why_set(out_why, ERR_INVALID, "edits: binary");
	out->text = mem_dup(text, len);
	struct edit_reader r = {.out = out};
	auto_free struct edit_line *lines = NULL;
	r.n = lines_cut(out->text, len, &lines);
	r.lines = lines;
	strip_fence(&r);
	int rc = has_blocks(&r) ? read_blocks(&r, out_why) : edits_parse_diff(&r, out_why);
	if (!rc)
		rc = check_once(out, out_why);
	if (!rc && out->n == 0)
		rc = why_set(out_why, ERR_INVALID,
			     "edits: neither <<<<<<< SEARCH blocks nor a unified diff");
	return rc;
}
