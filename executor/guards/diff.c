/* Reads a unified diff into changes. Strict: what is not understood is refused. */
#include "executor/guards/guards.h"

#include "common/mem.h"

enum { CHANGES_MAX = 10000 };

struct reader {
	const char *at, *end;
	size_t line; /* number of the one last taken */
	struct guard_changes *out;
	struct guard_change *now; /* NULL: before the first */
	bool git;                 /* its header was git's */
	bool seen_minus, seen_plus;
	size_t old_left, new_left, old_at, new_at;
	struct why *why;
};

static bool take(struct reader *r, struct span *out)
{
	if (r->at == r->end)
		return false;
	const char *nl = memchr(r->at, '\n', (size_t)(r->end - r->at));
	const char *stop = nl ? nl : r->end;
	*out = (struct span){r->at, (size_t)(stop - r->at)};
	r->at = nl ? nl + 1 : r->end;
	r->line++;
	return true;
}

static int wrong(struct reader *r, const char *what)
{
	return why_set(r->why, ERR_INVALID, "diff: line %zu: %s", r->line, what);
}

static bool begins(struct span s, const char *prefix, struct span *out_rest)
{
	size_t n = strlen(prefix);
	if (s.len < n || memcmp(s.text, prefix, n) != 0)
		return false;
	*out_rest = (struct span){s.text + n, s.len - n};
	return true;
}

static struct guard_change *new_change(struct reader *r)
{
	struct guard_changes *o = r->out;
	/* Grows by doubling: n is a power of two when it is full. */
	if ((o->n & (o->n - 1)) == 0)
		o->items = mem_realloc(o->items, (o->n ? o->n * 2 : 1) * sizeof(*o->items));
	r->now = &o->items[o->n++];
	*r->now = (struct guard_change){0};
	r->seen_minus = r->seen_plus = false;
	return r->now;
}

/* ---- names ---- */

static bool unescape(const char **at, char *out)
{
	static const char from[] = "abtnvfr\"\\", to[] = "\a\b\t\n\v\f\r\"\\";
	const char *p = strchr(from, **at);
	if (**at && p) {
		*out = to[p - from];
		(*at)++;
		return true;
	}
	unsigned value = 0;
	for (int i = 0; i < 3; i++, (*at)++) {
		if (**at < '0' || **at > '7')
			return false;
		value = value * 8 + (unsigned)(**at - '0');
	}
	*out = (char)value;
	return value > 0 && value < 256;
}

/* As git writes a name: plain, or in C's quotes. Behind a plain one a tab may follow. NULL: not so.
 */
static char *read_name(struct span s)
{
	if (s.len && s.text[s.len - 1] == '\t')
		s.len--;
	if (!s.len || memchr(s.text, 0, s.len))
		return NULL;
	if (s.text[0] != '"')
		return mem_dup(s.text, s.len);
	auto_free char *text = mem_dup(s.text, s.len);
	char *out = mem_alloc(s.len + 1);
	size_t n = 0;
	const char *at = text + 1;
	while (*at && *at != '"') {
		char c = *at++;
		if (c == '\\' && !unescape(&at, &c)) {
			free(out);
			return NULL;
		}
		out[n++] = c;
	}
	if (*at != '"' || at[1] != '\0') {
		free(out);
		return NULL;
	}
	return out;
}

static void set_name(const char **field, char *name)
{
	free((char *)(uintptr_t)*field);
	*field = name;
}

/* "a/path" without its first component; the name of one side of a diff. */
static char *read_side(struct span s, const char *prefix)
{
	char *name = read_name(s);
	size_t n = strlen(prefix);
	if (!name || strncmp(name, prefix, n) != 0)
		return name;
	memmove(name, name + n, strlen(name + n) + 1);
	return name;
}

/* "a/X b/X" of one name X: the only form where the header alone must say it. */
static char *read_twice(struct span s)
{
	size_t half = s.len / 2;
	if (s.len < 5 || s.len % 2 == 0 || s.text[half] != ' ')
		return NULL;
	struct span left = {s.text, half}, right = {s.text + half + 1, half};
	auto_free char *a = read_side(left, "a/");
	char *b = read_side(right, "b/");
	if (a && b && str_eq(a, b))
		return b;
	free(b);
	return NULL;
}

/* ---- headers ---- */

static int on_git(struct reader *r, struct span rest)
{
	if (r->out->n == CHANGES_MAX)
		return wrong(r, "too many files");
	new_change(r)->path = read_twice(rest);
	r->git = true;
	return 0;
}

static int read_mode(struct reader *r, struct span rest, unsigned *out)
{
	unsigned mode = 0;
	if (rest.len != 6)
		return wrong(r, "a mode of six digits");
	for (size_t i = 0; i < rest.len; i++) {
		if (rest.text[i] < '0' || rest.text[i] > '7')
			return wrong(r, "a mode of six digits");
		mode = mode * 8 + (unsigned)(rest.text[i] - '0');
	}
	*out = mode;
	return 0;
}

static int on_old_mode(struct reader *r, struct span rest)
{
	return read_mode(r, rest, &r->now->old_mode);
}

static int on_new_mode(struct reader *r, struct span rest)
{
	r->now->kind = r->now->kind == GUARD_MODIFY ? GUARD_MODE : r->now->kind;
	return read_mode(r, rest, &r->now->new_mode);
}

static int on_new_file(struct reader *r, struct span rest)
{
	r->now->kind = GUARD_ADD;
	return read_mode(r, rest, &r->now->new_mode);
}

static int on_deleted(struct reader *r, struct span rest)
{
	r->now->kind = GUARD_DELETE;
	return read_mode(r, rest, &r->now->old_mode);
}

static int on_from(struct reader *r, struct span rest)
{
	set_name(&r->now->old_path, read_name(rest));
	r->now->kind = GUARD_RENAME;
	return r->now->old_path ? 0 : wrong(r, "no name");
}

static int on_copy(struct reader *r, struct span rest)
{
	set_name(&r->now->old_path, read_name(rest));
	r->now->kind = GUARD_COPY;
	return r->now->old_path ? 0 : wrong(r, "no name");
}

static int on_to(struct reader *r, struct span rest)
{
	set_name(&r->now->path, read_name(rest));
	return r->now->path ? 0 : wrong(r, "no name");
}

/* "index 1234..5678 100644": the mode of a file whose mode stays. */
static int on_index(struct reader *r, struct span rest)
{
	const char *space = memchr(rest.text, ' ', rest.len);
	if (!space)
		return 0;
	struct span mode = {space + 1, (size_t)(rest.text + rest.len - space - 1)};
	int rc = read_mode(r, mode, &r->now->new_mode);
	r->now->old_mode = r->now->new_mode;
	return rc;
}

static int on_similarity(struct reader *r, struct span rest)
{
	(void)r;
	(void)rest;
	return 0;
}

static int on_binary(struct reader *r, struct span rest)
{
	(void)rest;
	r->now->binary = true;
	return 0;
}

/* The data of a binary patch: lines up to the next header, which nobody can read anyway. */
static int on_binary_patch(struct reader *r, struct span rest)
{
	struct span line;
	on_binary(r, rest);
	while (r->at < r->end &&
	       !begins((struct span){r->at, (size_t)(r->end - r->at)}, "diff --git ", &line))
		take(r, &line);
	return 0;
}

static int on_minus(struct reader *r, struct span rest)
{
	/* Without git's header, this line begins a file. */
	if (!r->now || !r->git || r->seen_minus) {
		if (r->out->n == CHANGES_MAX)
			return wrong(r, "too many files");
		new_change(r);
		r->git = false;
	}
	r->seen_minus = true;
	auto_free char *name = read_side(rest, "a/");
	if (!name)
		return wrong(r, "no name");
	if (str_eq(name, "/dev/null"))
		r->now->kind = GUARD_ADD;
	else if (!r->now->path)
		set_name(&r->now->path, mem_strdup(name));
	else if (r->git && !r->now->old_path && !str_eq(name, r->now->path))
		return wrong(r, "two names for one file");
	return 0;
}

static int on_plus(struct reader *r, struct span rest)
{
	if (!r->seen_minus)
		return wrong(r, "+++ without ---");
	r->seen_plus = true;
	auto_free char *name = read_side(rest, "b/");
	if (!name)
		return wrong(r, "no name");
	if (str_eq(name, "/dev/null")) {
		r->now->kind = GUARD_DELETE;
		return r->now->path ? 0 : wrong(r, "no name on either side");
	}
	if (!r->git && r->now->path && !str_eq(name, r->now->path)) {
		set_name(&r->now->old_path, mem_strdup(r->now->path));
		r->now->kind = GUARD_RENAME;
		set_name(&r->now->path, mem_strdup(name));
	}
	if (!r->now->path)
		set_name(&r->now->path, mem_strdup(name));
	return str_eq(r->now->path, name) ? 0 : wrong(r, "two names for one file");
}

/* ---- hunks ---- */

static bool read_number(const char **at, const char *end, size_t *out)
{
	size_t n = 0, digits = 0;
	for (; *at < end && **at >= '0' && **at <= '9' && digits < 9; (*at)++, digits++)
		n = n * 10 + (size_t)(**at - '0');
	*out = n;
	return digits > 0;
}

static bool read_range(const char **at, const char *end, size_t *out_from, size_t *out_count)
{
	*out_count = 1;
	if (!read_number(at, end, out_from))
		return false;
	if (*at < end && **at == ',') {
		(*at)++;
		return read_number(at, end, out_count);
	}
	return true;
}

static void keep(struct guard_line **lines, size_t *n, struct guard_line line)
{
	if ((*n & (*n - 1)) == 0)
		*lines = mem_realloc(*lines, (*n ? *n * 2 : 1) * sizeof(**lines));
	(*lines)[(*n)++] = line;
}

static int hunk_line(struct reader *r, struct span line)
{
	struct guard_change *c = r->now;
	char mark = line.len ? line.text[0] : ' ';
	struct guard_line l = {.text = line.text + (line.len ? 1 : 0),
			       .len = line.len ? line.len - 1 : 0};
	bool old = mark == ' ' || mark == '-', new = mark == ' ' || mark == '+';
	if (mark == '\\')
		return 0;
	if ((!old && !new) || (old && !r->old_left) || (new && !r->new_left))
		return wrong(r, "not a line of this hunk");
	if (old) {
		r->old_left--;
		l.number = r->old_at++;
		if (!new)
			keep(&c->removed, &c->n_removed, l);
	}
	if (new) {
		r->new_left--;
		l.number = r->new_at++;
		if (!old)
			keep(&c->added, &c->n_added, l);
	}
	return 0;
}

static int on_hunk(struct reader *r, struct span rest)
{
	const char *at = rest.text, *end = rest.text + rest.len;
	if (!r->seen_plus || !r->now->path)
		return wrong(r, "a hunk of no file");
	if (!read_range(&at, end, &r->old_at, &r->old_left) || end - at < 2 ||
	    memcmp(at, " +", 2) != 0)
		return wrong(r, "not a hunk's header");
	at += 2;
	if (!read_range(&at, end, &r->new_at, &r->new_left) || end - at < 3 ||
	    memcmp(at, " @@", 3) != 0)
		return wrong(r, "not a hunk's header");
	struct span line;
	while (r->old_left || r->new_left) {
		if (!take(r, &line))
			return wrong(r, "the hunk ends early");
		int rc = hunk_line(r, line);
		if (rc)
			return rc;
	}
	r->now->kind = r->now->kind == GUARD_MODE ? GUARD_MODIFY : r->now->kind;
	return 0;
}

static int on_no_newline(struct reader *r, struct span rest)
{
	(void)rest;
	return r->seen_minus ? 0 : wrong(r, "outside of a hunk");
}

static const struct {
	const char *prefix;
	bool anywhere; /* may begin a file */
	int (*read)(struct reader *r, struct span rest);
} headers[] = {
	{"diff --git ", true, on_git},
	{"--- ", true, on_minus},
	{"+++ ", false, on_plus},
	{"@@ -", false, on_hunk},
	{"old mode ", false, on_old_mode},
	{"new mode ", false, on_new_mode},
	{"new file mode ", false, on_new_file},
	{"deleted file mode ", false, on_deleted},
	{"rename from ", false, on_from},
	{"rename to ", false, on_to},
	{"copy from ", false, on_copy},
	{"copy to ", false, on_to},
	{"similarity index ", false, on_similarity},
	{"dissimilarity index ", false, on_similarity},
	{"index ", false, on_index},
	{"Binary files ", false, on_binary},
	{"GIT binary patch", false, on_binary_patch},
	{"\\ ", false, on_no_newline},
};

static int on_line(struct reader *r, struct span line)
{
	struct span rest;
	if (line.len && line.text[line.len - 1] == '\r')
		line.len--;
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		if (!begins(line, headers[i].prefix, &rest))
			continue;
		if (!r->now && !headers[i].anywhere)
			return wrong(r, "no file yet");
		return headers[i].read(r, rest);
	}
	return line.len ? wrong(r, "not a line of a diff") : 0;
}

int guard_changes_from_diff(const char *text, size_t len, struct guard_changes *out,
			    struct why *out_why)
{
	struct guard_changes got = {.text = mem_dup(text, len)};
	struct reader r = {.at = got.text, .end = got.text + len, .out = &got, .why = out_why};
	struct span line;
	int rc = 0;
	while (!rc && take(&r, &line))
		rc = on_line(&r, line);
	for (size_t i = 0; !rc && i < got.n; i++)
		if (!got.items[i].path)
			rc = why_set(out_why, ERR_INVALID, "diff: file %zu has no name", i + 1);
	if (rc) {
		guard_changes_release(&got);
		return rc;
	}
	*out = got;
	return 0;
}

void guard_changes_release(struct guard_changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		set_name(&c->items[i].path, NULL);
		set_name(&c->items[i].old_path, NULL);
		free(c->items[i].added);
		free(c->items[i].removed);
	}
	free(c->items);
	free(c->text);
	*c = (struct guard_changes){0};
}
