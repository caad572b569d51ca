/* Finding a hunk's old lines in a file, forgiving blanks step by step, and putting the new ones
 * there in the file's own manner. */
#include "common/id.h"
#include "executor/edits/edits_private.h"

enum {
	TEXT_ARENA_BYTES = 32 << 20,
	MATCHES_SHOWN = 6,
	CLOSEST_LINES = 12,
	CLOSEST_LINE_BYTES = 160,
	INDENTS_MAX = 64,
	EFFORT_MAX = 50 << 20, /* lines compared for one file: more only a hostile one needs */
};

/* How much is forgiven. */
enum manner { EXACTLY, END_BLANKS, INDENTATION, MANNERS };

static const char *const manner_notes[] = {NULL, "blanks at line ends differ",
					   "indentation differs"};

/* ---- comparing lines ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static struct edit_line trim_end(struct edit_line l)
{
	while (l.len > 0 && blank(l.text[l.len - 1]))
		l.len--;
	return l;
}

static size_t indent_of(const struct edit_line *l)
{
	size_t n = 0;
	while (n < l->len && (l->text[n] == ' ' || l->text[n] == '\t'))
		n++;
	return n;
}

static struct edit_line trim(struct edit_line l)
{
	size_t n = indent_of(&l);
	return trim_end((struct edit_line){l.text + n, l.len - n});
}

static bool same(struct edit_line a, struct edit_line b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

static bool lines_match(struct edit_line file, struct edit_line wanted, enum manner manner)
{
	if (manner == EXACTLY)
		return same(file, wanted);
	if (manner == END_BLANKS)
		return same(trim_end(file), trim_end(wanted));
	return same(trim(file), trim(wanted));
}

static bool matches_at(struct edit_text *t, const struct edit_hunk *h, size_t at,
		       enum manner manner)
{
	if (h->n_old > t->n || at > t->n - h->n_old)
		return false;
	for (size_t i = 0; i < h->n_old; i++)
		if (t->effort++ > EFFORT_MAX || !lines_match(t->lines[at + i], h->old[i], manner))
			return false;
	return true;
}

/* ---- indentation ---- */

/* Which indentation of the SEARCH text stands for which of the file. */
struct indents {
	struct edit_line wanted[INDENTS_MAX], file[INDENTS_MAX];
	size_t n;
};

static bool indents_add(struct indents *map, struct edit_line wanted, struct edit_line file)
{
	for (size_t i = 0; i < map->n; i++)
		if (same(map->wanted[i], wanted))
			return same(map->file[i], file);
	if (map->n == INDENTS_MAX)
		return false;
	map->wanted[map->n] = wanted;
	map->file[map->n++] = file;
	return true;
}

/* False when one indentation would have to become two. */
static bool indents_learn(struct indents *map, const struct edit_text *t, const struct edit_hunk *h,
			  size_t at)
{
	for (size_t i = 0; i < h->n_old; i++) {
		const struct edit_line *w = &h->old[i], *f = &t->lines[at + i];
		if (trim(*w).len == 0)
			continue;
		if (!indents_add(map, (struct edit_line){w->text, indent_of(w)},
				 (struct edit_line){f->text, indent_of(f)}))
			return false;
	}
	return true;
}

/* The known indentation that l begins with and that is longest. */
static size_t indents_best(const struct indents *map, const struct edit_line *l)
{
	size_t best = SIZE_MAX, indent = indent_of(l);
	for (size_t i = 0; i < map->n; i++) {
		const struct edit_line *w = &map->wanted[i];
		if (w->len > indent || memcmp(l->text, w->text, w->len) != 0)
			continue;
		if (best == SIZE_MAX || w->len > map->wanted[best].len)
			best = i;
	}
	return best;
}

static bool join(struct edit_text *t, struct edit_line head, struct edit_line tail,
		 struct edit_line *out)
{
	char *text = arena_alloc(&t->arena, head.len + tail.len + 1);
	if (!text)
		return false;
	memcpy(text, head.text, head.len);
	memcpy(text + head.len, tail.text, tail.len);
	*out = (struct edit_line){text, head.len + tail.len};
	return true;
}

static bool reindent(struct edit_text *t, const struct indents *map, struct edit_line *line)
{
	size_t best = map && trim(*line).len ? indents_best(map, line) : SIZE_MAX;
	if (best == SIZE_MAX)
		return true;
	size_t cut = map->wanted[best].len;
	struct edit_line rest = {line->text + cut, line->len - cut};
	return join(t, map->file[best], rest, line);
}

/* ---- replacing ---- */

/* A line of the replacement as the file writes its lines. */
static bool in_files_manner(struct edit_text *t, const struct indents *map, struct edit_line *line)
{
	while (line->len > 0 && line->text[line->len - 1] == '\r')
		line->len--;
	if (!reindent(t, map, line))
		return false;
	return !t->crlf || join(t, *line, (struct edit_line){"\r", 1}, line);
}

/* A line that the hunk only moves past stays as the file has it. */
static size_t unchanged(const struct edit_hunk *h, const struct edit_line *line, size_t from)
{
	for (size_t k = from; k < h->n_old; k++)
		if (same(h->old[k], *line))
			return k;
	return SIZE_MAX;
}

static bool splice(struct edit_text *t, const struct edit_hunk *h, size_t at,
		   const struct indents *map)
{
	size_t n = t->n - h->n_old + h->n_new, tail = at + h->n_old, from = 0;
	struct edit_line *lines = mem_calloc(n, sizeof(*lines));
	memcpy(lines, t->lines, at * sizeof(*lines));
	bool ok = true;
	for (size_t i = 0; ok && i < h->n_new; i++) {
		size_t k = unchanged(h, &h->new[i], from);
		lines[at + i] = k == SIZE_MAX ? h->new[i] : t->lines[at + k];
		if (k == SIZE_MAX)
			ok = in_files_manner(t, map, &lines[at + i]);
		else
			from = k + 1;
	}
	memcpy(lines + at + h->n_new, t->lines + tail, (t->n - tail) * sizeof(*lines));
	if (h->diff && tail == t->n)
		t->bare = h->new_bare || (t->bare && !h->old_bare);
	free(t->lines);
	t->lines = lines;
	t->n = n;
	t->shift += (int64_t)h->n_new - (int64_t)h->n_old;
	return ok;
}

/* ---- saying why not ---- */

static void show_lines(const struct edit_text *t, size_t at, size_t n, struct buf *report)
{
	for (size_t i = at; i < at + MIN(n, (size_t)CLOSEST_LINES) && i < t->n; i++) {
		buf_printf(report, "  %zu: ", i + 1);
		buf_add_printable(report, t->lines[i].text,
				  MIN(t->lines[i].len, (size_t)CLOSEST_LINE_BYTES));
		buf_add_char(report, '\n');
	}
}

static uint64_t line_hash(struct edit_line l)
{
	struct edit_line core = trim(l);
	return fnv1a(FNV_INIT, core.text, core.len);
}

static uint64_t *hash_lines(const struct edit_line *lines, size_t n)
{
	uint64_t *hashes = mem_calloc(n, sizeof(*hashes));
	for (size_t i = 0; i < n; i++)
		hashes[i] = line_hash(lines[i]);
	return hashes;
}

/* Where most lines agree, and how many do. */
static size_t closest_window(const struct edit_text *t, const struct edit_hunk *h,
			     size_t *out_score)
{
	auto_free uint64_t *file = hash_lines(t->lines, t->n);
	auto_free uint64_t *wanted = hash_lines(h->old, h->n_old);
	size_t best = 0;
	*out_score = 0;
	if (t->n > EFFORT_MAX / (h->n_old + 1))
		return 0;
	for (size_t at = 0; at < t->n; at++) {
		size_t score = 0;
		for (size_t i = 0; i < h->n_old && at + i < t->n; i++)
			score += file[at + i] == wanted[i] && trim(h->old[i]).len > 2;
		if (score <= *out_score)
			continue;
		*out_score = score;
		best = at;
	}
	return best;
}

static size_t common_ends(struct edit_line a, struct edit_line b)
{
	size_t head = 0, tail = 0, most = MIN(a.len, b.len);
	while (head < most && a.text[head] == b.text[head])
		head++;
	while (tail < most - head && a.text[a.len - 1 - tail] == b.text[b.len - 1 - tail])
		tail++;
	return head + tail;
}

/* No line agrees: the line that is most like the longest one looked for. */
static size_t closest_line(const struct edit_text *t, const struct edit_hunk *h)
{
	size_t longest = 0, best = 0, best_score = 0;
	for (size_t i = 1; i < h->n_old; i++)
		if (trim(h->old[i]).len > trim(h->old[longest]).len)
			longest = i;
	struct edit_line wanted = trim(h->old[longest]);
	for (size_t i = 0; i < t->n; i++) {
		size_t score = common_ends(trim(t->lines[i]), wanted);
		if (score <= best_score)
			continue;
		best_score = score;
		best = i;
	}
	return best > longest ? best - longest : 0;
}

static bool say_missing(struct edit_text *t, const struct edit_hunk *h, const char *where,
			struct buf *report)
{
	struct edit_hunk done = {.old = h->new, .n_old = h->n_new};
	size_t score = 0;
	for (size_t at = 0; h->n_new && at + h->n_new <= t->n; at++)
		if (matches_at(t, &done, at, END_BLANKS)) {
			buf_printf(report,
				   "%s: what it puts in is there already, at line %zu, and "
				   "what it looks for is not\n",
				   where, at + 1);
			return false;
		}
	size_t at = closest_window(t, h, &score);
	if (score == 0)
		at = closest_line(t, h);
	buf_printf(report, "%s: its old lines are not in the file. Closest:\n", where);
	show_lines(t, at, h->n_old, report);
	return false;
}

static bool say_ambiguous(const size_t *at, size_t n, const char *where, struct buf *report)
{
	buf_printf(report, "%s: its old lines are in the file %s%zu times, at lines", where,
		   n > MATCHES_SHOWN ? "more than " : "", MIN(n, (size_t)MATCHES_SHOWN));
	for (size_t i = 0; i < MIN(n, (size_t)MATCHES_SHOWN); i++)
		buf_printf(report, " %zu", at[i] + 1);
	buf_add_str(report, ": add lines around them until it is one place\n");
	return false;
}

/* ---- one hunk ---- */

/* A hunk that only adds says where by its number. */
static bool insert(struct edit_text *t, const struct edit_hunk *h, const char *where,
		   struct buf *report)
{
	int64_t at = (int64_t)h->old_start + t->shift;
	bool placed = h->diff && (h->old_start > 0 || t->n == 0);
	if (t->n == 0)
		at = 0;
	if ((!placed && t->n > 0) || at < 0 || (size_t)at > t->n) {
		buf_printf(report,
			   "%s: it has no old lines, and the file is not new: say which "
			   "lines it stands next to\n",
			   where);
		return false;
	}
	return splice(t, h, (size_t)at, NULL);
}

static bool take_match(struct edit_text *t, const struct edit_hunk *h, size_t at,
		       enum manner manner)
{
	struct indents map = {0};
	if (manner == INDENTATION && !indents_learn(&map, t, h, at))
		return false;
	return splice(t, h, at, manner == INDENTATION ? &map : NULL);
}

static size_t find(struct edit_text *t, const struct edit_hunk *h, enum manner manner,
		   size_t at[static MATCHES_SHOWN + 1])
{
	size_t n = 0;
	for (size_t i = 0; i + h->n_old <= t->n && n <= MATCHES_SHOWN; i++)
		if (matches_at(t, h, i, manner))
			at[n++] = i;
	return n;
}

/* Of several places, the one where the diff says. */
static size_t at_its_place(const struct edit_text *t, const struct edit_hunk *h, const size_t *at,
			   size_t n)
{
	int64_t place = (int64_t)h->old_start - 1 + t->shift;
	for (size_t i = 0; h->diff && h->old_start && i < n; i++)
		if ((int64_t)at[i] == place)
			return i;
	return SIZE_MAX;
}

/* Replaces what the hunk looks for. False: it does not fit, and report says why. */
static bool edit_text_apply(struct edit_text *t, const struct edit_hunk *h, const char *where,
			    struct buf *report)
{
	size_t at[MATCHES_SHOWN + 1];
	if (h->n_old == 0)
		return insert(t, h, where, report);
	for (enum manner m = EXACTLY; m < MANNERS; m++) {
		size_t n = find(t, h, m, at);
		size_t one = n == 1 ? 0 : at_its_place(t, h, at, n);
		if (n > 1 && one == SIZE_MAX)
			return say_ambiguous(at, n, where, report);
		if (n == 0)
			continue;
		if (!take_match(t, h, at[one], m))
			break;
		if (manner_notes[m])
			buf_printf(report, "%s: taken, though %s (line %zu)\n", where,
				   manner_notes[m], at[one] + 1);
		return true;
	}
	return say_missing(t, h, where, report);
}

/* ---- one file ---- */

static void text_init(struct edit_text *t, const char *text, size_t len)
{
	size_t crlf = 0;
	*t = (struct edit_text){.arena = {.limit_bytes = TEXT_ARENA_BYTES}};
	t->n = lines_cut(text, len, &t->lines);
	t->bare = len > 0 && text[len - 1] != '\n';
	for (size_t i = 0; i < t->n; i++)
		crlf += t->lines[i].len > 0 && t->lines[i].text[t->lines[i].len - 1] == '\r';
	t->crlf = crlf > t->n / 2;
}

static void text_add(const struct edit_text *t, struct buf *out)
{
	for (size_t i = 0; i < t->n; i++) {
		buf_add(out, t->lines[i].text, t->lines[i].len);
		if (i + 1 < t->n || !t->bare)
			buf_add_char(out, '\n');
	}
}

static void text_release(struct edit_text *t)
{
	free(t->lines);
	arena_release(&t->arena);
}

static bool apply_all(struct edit_text *t, const struct edit_file *f, struct buf *report)
{
	bool ok = true;
	for (size_t i = 0; i < f->n_hunks; i++) {
		char where[EDITS_PATH_MAX + 64];
		snprintf(where, sizeof(where), "%s (the %s at line %zu of the edits)", f->path,
			 f->hunks[i].diff ? "hunk" : "block", f->hunks[i].at);
		ok = edit_text_apply(t, &f->hunks[i], where, report) && ok;
	}
	return ok;
}

int edit_file_apply(const struct edit_file *f, const char *old, size_t len, struct edit_result *out,
		    struct why *out_why)
{
	struct edit_text t;
	if (old && memchr(old, 0, len))
		return why_set(out_why, ERR_INVALID, "%s: a binary file may not be changed",
			       f->path);
	text_init(&t, old ? old : "", len);
	bool ok = apply_all(&t, f, out->report);
	if (ok)
		text_add(&t, &out->text);
	/* A text that is all taken away takes the file with it, unless it was empty before. */
	out->gone = ok && f->kind != EDIT_RENAME && f->kind != EDIT_CREATE && t.n == 0 && len > 0;
	text_release(&t);
	return ok ? 0
		  : why_set(out_why, ERR_CONFLICT, "%s: the edits do not fit the file", f->path);
}
