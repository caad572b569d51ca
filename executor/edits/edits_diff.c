/* Unified diffs, as git and as models write them: counts in hunk headers are not trusted. */
#include "executor/edits/edits_private.h"

enum { MODE_LINK = 0120000, MODE_SUBMODULE = 0160000, MODE_TYPE = 0170000 };

/* The headers of one file, as far as they are there. */
struct header {
	char *git_old, *git_new; /* of "diff --git" */
	char *old, *new;         /* of --- and +++; NULL: absent or /dev/null */
	char *from, *to;         /* of a rename */
	bool created, deleted, has_names;
	unsigned mode;
};

static void header_release(struct header *h)
{
	free(h->git_old);
	free(h->git_new);
	free(h->old);
	free(h->new);
	free(h->from);
	free(h->to);
	*h = (struct header){0};
}

/* ---- names ---- */

/* A name as git quotes it: "a\303\244b". */
static char *unquote(const char *s, size_t len)
{
	static const char codes[] = "abtnvfr\"\\", values[] = "\a\b\t\n\v\f\r\"\\";
	auto_buf out = {0};
	for (size_t i = 1; i < len && s[i] != '"'; i++) {
		if (s[i] != '\\' || i + 1 >= len) {
			buf_add_char(&out, s[i]);
			continue;
		}
		const char *code = s[++i] ? strchr(codes, s[i]) : NULL;
		if (code) {
			buf_add_char(&out, values[code - codes]);
			continue;
		}
		unsigned v = 0;
		size_t digits = 0;
		for (;
		     digits < 3 && i + digits < len && s[i + digits] >= '0' && s[i + digits] <= '7';
		     digits++)
			v = v * 8 + (unsigned)(s[i + digits] - '0');
		buf_add_char(&out, (char)v);
		i += digits ? digits - 1 : 0;
	}
	return mem_strdup(buf_str(&out));
}

/* The name behind "--- ": without a time stamp; NULL for /dev/null. */
static char *name_of(const char *s, size_t len, bool prefixed)
{
	const char *tab = memchr(s, '\t', len);
	len = tab ? (size_t)(tab - s) : len;
	while (len > 0 && (s[len - 1] == '\r' || s[len - 1] == ' '))
		len--;
	auto_free char *name = len > 0 && s[0] == '"' ? unquote(s, len) : mem_dup(s, len);
	if (str_eq(name, "/dev/null"))
		return NULL;
	bool cut = prefixed && (str_starts(name, "a/") || str_starts(name, "b/"));
	return mem_strdup(cut ? name + 2 : name);
}

/* "diff --git a/x b/x": both names are the same, or quoted, or said again further down. */
static void take_git_names(struct header *h, const struct edit_line *l)
{
	const char *s = l->text + strlen("diff --git ");
	size_t len = l->len - strlen("diff --git ");
	while (len > 0 && (s[len - 1] == '\r' || s[len - 1] == ' '))
		len--;
	size_t half = len / 2;
	if (len % 2 == 1 && s[half] == ' ') {
		h->git_old = name_of(s, half, true);
		h->git_new = name_of(s + half + 1, half, true);
	}
}

static void set_name(char **name, char *value)
{
	free(*name);
	*name = value;
}

/* ---- extended headers ---- */

static int take_mode(struct edit_reader *r, struct header *h, const char *text, struct why *out_why)
{
	unsigned mode = (unsigned)strtoul(text, NULL, 8);
	unsigned type = mode & MODE_TYPE;
	if (type == MODE_LINK || type == MODE_SUBMODULE)
		return why_set(out_why, ERR_DENIED,
			       "edits: line %zu: %s may not be made or changed", r->at + 1,
			       type == MODE_LINK ? "a symbolic link" : "a submodule");
	h->mode = mode & 0111 ? 0755 : 0644;
	return 0;
}

static int on_created(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	h->created = true;
	return take_mode(r, h, rest, w);
}

static int on_deleted(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	h->deleted = true;
	return take_mode(r, h, rest, w);
}

static int on_from(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	(void)r;
	(void)w;
	set_name(&h->from, name_of(rest, strlen(rest), false));
	return 0;
}

static int on_to(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	(void)r;
	(void)w;
	set_name(&h->to, name_of(rest, strlen(rest), false));
	return 0;
}

static int on_binary(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	(void)h;
	(void)rest;
	return why_set(w, ERR_DENIED, "edits: line %zu: binary files may not be changed",
		       r->at + 1);
}

static int on_copy(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	(void)h;
	(void)rest;
	return edits_bad(r, w, "copies are not understood: write the new file out");
}

/* "index 1..2 120000" */
static int on_index(struct edit_reader *r, struct header *h, const char *rest, struct why *w)
{
	const char *mode = strrchr(rest, ' ');
	unsigned before = h->mode;
	int rc = mode ? take_mode(r, h, mode + 1, w) : 0;
	h->mode = before;
	return rc;
}

static const struct {
	const char *prefix;
	int (*take)(struct edit_reader *r, struct header *h, const char *rest, struct why *w);
} headers[] = {{"new file mode ", on_created},
	       {"deleted file mode ", on_deleted},
	       {"old mode ", NULL},
	       {"new mode ", take_mode},
	       {"rename from ", on_from},
	       {"rename to ", on_to},
	       {"copy from ", on_copy},
	       {"copy to ", on_copy},
	       {"similarity index ", NULL},
	       {"dissimilarity index ", NULL},
	       {"index ", on_index},
	       {"Binary files ", on_binary},
	       {"GIT binary patch", on_binary}};

static int take_header(struct edit_reader *r, struct header *h, bool *out_known,
		       struct why *out_why)
{
	const struct edit_line *l = &r->lines[r->at];
	*out_known = true;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		size_t len = strlen(headers[i].prefix);
		if (!line_starts(l, headers[i].prefix))
			continue;
		auto_free char *rest = mem_dup(l->text + len, l->len - len);
		return headers[i].take ? headers[i].take(r, h, rest, out_why) : 0;
	}
	*out_known = false;
	return 0;
}

/* ---- hunks ---- */

struct counts {
	size_t old_start, old, new;
};

static bool at_names(const struct edit_reader *r)
{
	return r->at + 1 < r->n && line_starts(&r->lines[r->at], "--- ") &&
	       line_starts(&r->lines[r->at + 1], "+++ ");
}

static size_t number(const char **s, size_t fallback)
{
	if (**s < '0' || **s > '9')
		return fallback;
	char *end = NULL;
	unsigned long v = strtoul(*s, &end, 10);
	*s = end;
	return MIN(v, (unsigned long)INT32_MAX);
}

/* "@@ -1,2 +3,4 @@"; models also write "@@" alone: then nothing is known. */
static struct counts read_counts(const struct edit_line *l)
{
	struct counts c = {0};
	auto_free char *text = mem_dup(l->text, l->len);
	const char *s = strchr(text, '-');
	if (!s)
		return c;
	s++;
	c.old_start = number(&s, 0);
	c.old = 1;
	if (*s == ',') {
		s++;
		c.old = number(&s, 1);
	}
	s = strchr(s, '+');
	if (!s)
		return c;
	s++;
	number(&s, 0);
	c.new = 1;
	if (*s == ',') {
		s++;
		c.new = number(&s, 1);
	}
	return c;
}

static void mark_bare(struct edit_hunk *h, char last)
{
	if (last != '+')
		h->old_bare = true;
	if (last != '-')
		h->new_bare = true;
}

/* Adds one line; false where the hunk ends. */
static bool take_line(const struct edit_reader *r, struct edit_hunk *h, char *last)
{
	const struct edit_line *l = &r->lines[r->at];
	char kind = l->len && l->text[0] != '\r' ? l->text[0] : ' ';
	struct edit_line rest = {l->text + (l->len ? 1 : 0), l->len ? l->len - 1 : 0};
	if (l->len && l->text[0] == '\r')
		rest = *l;
	if (kind == '\\') {
		mark_bare(h, *last);
		return true;
	}
	if (kind != ' ' && kind != '-' && kind != '+')
		return false;
	if (kind != '+')
		hunk_old(h, rest);
	if (kind != '-')
		hunk_new(h, rest);
	*last = kind;
	return true;
}

/* Empty lines behind a diff are no context. */
static void drop_blank_end(struct edit_hunk *h, const struct counts *c)
{
	while (c->old && h->n_old > c->old && h->n_new > c->new && h->n_old && h->n_new &&
	       h->old[h->n_old - 1].len == 0 && h->new[h->n_new - 1].len == 0) {
		h->n_old--;
		h->n_new--;
	}
}

static int read_hunk(struct edit_reader *r, struct edit_file *f, struct why *out_why)
{
	struct edit_hunk *h = edit_file_hunk(f);
	if (!h)
		return why_set(out_why, ERR_TOO_LARGE, "edits: too many hunks");
	struct counts c = read_counts(&r->lines[r->at]);
	char last = ' ';
	h->diff = true;
	h->at = r->at + 1;
	h->old_start = c.old_start;
	for (r->at++; r->at < r->n; r->at++) {
		bool full = h->n_old >= c.old && h->n_new >= c.new;
		if (full && at_names(r))
			break;
		if (!take_line(r, h, &last))
			break;
	}
	drop_blank_end(h, &c);
	r->out->n_blocks++;
	if (h->n_old + h->n_new == 0)
		return edits_bad(r, out_why, "an empty hunk");
	return 0;
}

/* ---- files ---- */

static enum edit_kind kind_of(const struct header *h)
{
	if (h->from && h->to)
		return EDIT_RENAME;
	if (h->created || (h->has_names && !h->old))
		return EDIT_CREATE;
	return h->deleted || (h->has_names && !h->new) ? EDIT_DELETE : EDIT_CHANGE;
}

static const char *path_of(const struct header *h, enum edit_kind kind)
{
	if (kind == EDIT_RENAME)
		return h->to;
	if (kind == EDIT_DELETE)
		return h->old ? h->old : h->git_old;
	return h->new ? h->new : h->git_new;
}

static int open_file(struct edit_reader *r, const struct header *h, struct edit_file **out,
		     struct why *out_why)
{
	enum edit_kind kind = kind_of(h);
	const char *path = path_of(h, kind);
	if (!path)
		return edits_bad(r, out_why, "a file without a name");
	if (!edits_path_valid(path))
		return edits_bad_path(r, out_why, path);
	if (kind == EDIT_RENAME && !edits_path_valid(h->from))
		return edits_bad_path(r, out_why, h->from);
	if (kind == EDIT_CHANGE && h->old && !str_eq(h->old, path))
		return edits_bad(r, out_why, "--- and +++ name different files");
	struct edit_file *f = edits_file(r->out, path, kind);
	if (!f)
		return why_set(out_why, ERR_TOO_LARGE, "edits: too many files");
	f->mode = h->mode && kind != EDIT_DELETE ? h->mode : f->mode;
	if (kind == EDIT_RENAME && !f->old_path)
		f->old_path = mem_strdup(h->from);
	*out = f;
	return 0;
}

static void take_names(struct edit_reader *r, struct header *h)
{
	const struct edit_line *old = &r->lines[r->at], *new = &r->lines[r->at + 1];
	set_name(&h->old, name_of(old->text + 4, old->len - 4, true));
	set_name(&h->new, name_of(new->text + 4, new->len - 4, true));
	h->has_names = true;
	r->at += 2;
}

/* One file: its headers, then its hunks. */
static int read_file(struct edit_reader *r, struct header *h, struct why *out_why)
{
	struct edit_file *f = NULL;
	bool known = true;
	int rc = 0;
	if (line_starts(&r->lines[r->at], "diff --git "))
		take_git_names(h, &r->lines[r->at++]);
	while (!rc && known && r->at < r->n && !at_names(r)) {
		rc = take_header(r, h, &known, out_why);
		r->at += known && !rc;
	}
	if (!rc && r->at < r->n && at_names(r))
		take_names(r, h);
	if (!rc)
		rc = open_file(r, h, &f, out_why);
	while (!rc && r->at < r->n && line_starts(&r->lines[r->at], "@@"))
		rc = read_hunk(r, f, out_why);
	return rc;
}

int edits_parse_diff(struct edit_reader *r, struct why *out_why)
{
	while (r->at < r->n) {
		const struct edit_line *l = &r->lines[r->at];
		if (!line_starts(l, "diff --git ") && !at_names(r)) {
			if (line_starts(l, "@@ "))
				return edits_bad(r, out_why, "a hunk of no file");
			r->at++;
			continue;
		}
		struct header h = {0};
		int rc = read_file(r, &h, out_why);
		header_release(&h);
		if (rc)
			return rc;
	}
	return 0;
}
