#include "common/base.h"

#include <ctype.h>

#include "reasoner/proposal/plain.h"
#include "reasoner/prompt/placeholder_private.h"

/* What a token of a log line is. */
enum token_class {
	TOKEN_PLAIN, /* punctuation, a number, a word of diagnostics, an identifier with structure
		      */
	TOKEN_WEAK,  /* a word that may be an identifier: alone it stays, in a row it is a sentence
		      */
	TOKEN_FREE,  /* any other word */
	TOKEN_BAD,   /* markup, foreign letters, invisible characters */
	TOKEN_TYPED, /* becomes a placeholder of its own: a URL, an address */
};

enum { NAME_WORDS_MAX = 6, WEAK_ROW_MAX = 2, WEAK_MAX = 3, CLAUSE_ALONE_MIN = 3 };

struct token {
	struct span text;
	struct span core; /* without punctuation around it */
	enum token_class class;
	enum ph_type type; /* TOKEN_TYPED */
	bool word;         /* letters only */
	bool bare;         /* TOKEN_WEAK: only the repository's code says that it is no word */
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Punctuation of ASCII and drawings around a word. */
static struct span strip(struct span t)
{
	static const char around[] = "\"'`()[]{}<>,.:;!?*#=+-|&^%~$\\/@_";
	while (t.n) {
		uint32_t point = 0;
		size_t n = utf8_sequence((const unsigned char *)t.s, t.n, &point);
		if (n == 0 ||
		    (n == 1 ? !strchr(around, t.s[0]) : has_foreign((struct span){t.s, n})))
			break;
		t.s += n;
		t.n -= n;
	}
	while (t.n) {
		size_t n = 1;
		while (n < 4 && n < t.n && ((unsigned char)t.s[t.n - n] & 0xc0) == 0x80)
			n++;
		const char *last = t.s + t.n - n;
		if (n == 1 ? !strchr(around, *last) : has_foreign((struct span){last, n}))
			break;
		t.n -= n;
	}
	return t;
}

/* "<b", "</x", "<|": but "<module>" and its like are names that runtimes print. */
static bool is_markup(struct span t)
{
	static const char *const known[] = {"<module>", "<anonymous>", "<stdin>",  "<string>",
					    "<lambda>", "<init>",      "<clinit>", "<unknown>",
					    "<eval>",   "<none>",      "<T>",      "<listcomp>"};
	const char *open = memchr(t.s, '<', t.n);
	if (!open)
		return false;
	struct span from = {open, t.n - (size_t)(open - t.s)};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (from.n >= strlen(known[i]) && memcmp(from.s, known[i], strlen(known[i])) == 0)
			return false;
	char next = from.n > 1 ? from.s[1] : ' ';
	bool first = open == t.s || !isalnum((unsigned char)open[-1]);
	return next == '|' || next == '/' || next == '!' ||
	       (first && isalpha((unsigned char)next)) || memmem(t.s, t.n, "<<S", 3) != NULL;
}

static bool contains(struct span t, const char *what)
{
	return memmem(t.s, t.n, what, strlen(what)) != NULL;
}

static bool is_address(struct span t)
{
	size_t dots = 0;
	for (size_t i = 0; i < t.n; i++) {
		if (!isdigit((unsigned char)t.s[i]) && t.s[i] != '.' && t.s[i] != ':')
			return false;
		dots += t.s[i] == '.';
	}
	return dots == 3;
}

static bool typed(struct token *t, enum ph_type type)
{
	t->class = TOKEN_TYPED;
	t->type = type;
	return true;
}

static bool is_typed(const struct vocabulary *w, struct token *t)
{
	if (contains(t->core, "://") || (t->core.n > 4 && memcmp(t->core.s, "www.", 4) == 0))
		return typed(t, PH_URL);
	const char *at = memchr(t->core.s, '@', t->core.n);
	bool named = at && at > t->core.s && isalnum((unsigned char)at[-1]) &&
		     at + 1 < t->core.s + t->core.n && isalpha((unsigned char)at[1]);
	if (named && contains(t->core, ".") && !contains(t->core, "/"))
		return typed(t, PH_USER);
	if (is_address(t->core))
		return typed(t, PH_HOST);
	if (looks_encoded(t->core))
		return typed(t, PH_B64);
	(void)w;
	return false;
}

static bool letters_only(struct span t)
{
	for (size_t i = 0; i < t.n; i++)
		if (!isalpha((unsigned char)t.s[i]) && t.s[i] != '\'')
			return false;
	return true;
}

static bool same_case(struct span t)
{
	for (size_t i = 1; i < t.n; i++)
		if (isupper((unsigned char)t.s[i]))
			return false;
	return true;
}

static bool all_capitals(struct span t)
{
	for (size_t i = 0; i < t.n; i++)
		if (!isupper((unsigned char)t.s[i]))
			return false;
	return true;
}

/* By ASCII's quotes or the curly ones. */
static bool is_quoted(const struct token *t)
{
	size_t n = (size_t)(t->core.s - t->text.s);
	if (n > 2 && memcmp(t->core.s - 3, "\xe2\x80", 2) == 0)
		return strchr("\x98\x99\x9c\x9d", t->core.s[-1]) != NULL;
	return n > 0 && strchr("\"'`", t->core.s[-1]) != NULL;
}

/* Letters only. */
static enum token_class class_of_word(const struct vocabulary *w, struct token *t)
{
	unsigned marks = vocabulary_get(w, t->core);
	bool quoted = is_quoted(t);
	if (marks & WORD_DIAGNOSTIC)
		return TOKEN_PLAIN;
	if (t->core.n == 1)
		return TOKEN_PLAIN;
	if (t->core.n > 40)
		return TOKEN_FREE;
	bool identifier =
		(marks & WORD_CODE) || quoted || all_capitals(t->core) || !same_case(t->core);
	return identifier && !(marks & WORD_TRIGGER) ? TOKEN_WEAK : TOKEN_FREE;
}

/* Words joined by what no identifier needs, as in "a;b", "$(a)", "a|b". */
static bool has_shell(struct span t)
{
	for (size_t i = 0; i + 1 < t.n; i++)
		if (strchr(";|`", t.s[i]) || (t.s[i] == '$' && t.s[i + 1] == '(') ||
		    (t.s[i] == '&' && t.s[i + 1] == '&'))
			return true;
	return false;
}

/* Digits, dots, slashes and the like beside letters. "well-formed" is made of words; "src/a.rs:3"
 * has a structure that no sentence has. */
static enum token_class class_of_mixed(const struct vocabulary *w, struct token *t)
{
	/* msg="delete: the word behind the quote begins a text. */
	size_t last = t->core.n;
	while (last && isalpha((unsigned char)t->core.s[last - 1]))
		last--;
	if (last && last < t->core.n && strchr("\"'`", t->core.s[last - 1])) {
		struct span word = {t->core.s + last, t->core.n - last};
		unsigned marks = vocabulary_get(w, word);
		if (word.n > 1 && (!(marks & WORD_DIAGNOSTIC) || (marks & WORD_COMMAND)))
			return TOKEN_FREE;
	}
	size_t strange = 0;
	bool structure = false, dashed = true;
	for (size_t i = 0; i < t->core.n;) {
		size_t n = 0;
		while (i + n < t->core.n && isalpha((unsigned char)t->core.s[i + n]))
			n++;
		struct span part = {t->core.s + i, n};
		strange += n > 1 && !(vocabulary_get(w, part) & WORD_DIAGNOSTIC);
		i += n;
		if (i < t->core.n) {
			structure |= strchr("0123456789:/.([=", t->core.s[i]) != NULL;
			dashed &= t->core.s[i] == '-' || t->core.s[i] == '\'';
			i++;
		}
	}
	if (strange == 0)
		return TOKEN_PLAIN;
	if (has_shell(t->core) || !words_are_plain(w, t->core, NAME_WORDS_MAX)) {
		t->type = contains(t->core, "/") ? PH_PATH : PH_NAME;
		return TOKEN_TYPED;
	}
	if (dashed && strange > 1)
		return TOKEN_FREE;
	/* fix=install: a word with a name before it. */
	t->bare = !structure || (last && last < t->core.n && t->core.s[last - 1] == '=');
	structure &= !t->bare;
	return structure ? TOKEN_PLAIN : TOKEN_WEAK;
}

static void classify(const struct vocabulary *w, struct token *t)
{
	t->core = strip(t->text);
	t->word = letters_only(t->core);
	t->class = TOKEN_PLAIN;
	t->bare = false;
	if (has_foreign(t->text) || is_markup(t->text) || contains(t->text, "[INST") ||
	    contains(t->text, "\"role\"")) {
		t->class = TOKEN_BAD;
		return;
	}
	if (t->core.n == 0) {
		t->class = t->text.n > 160 ? TOKEN_BAD : TOKEN_PLAIN;
		return;
	}
	if (is_typed(w, t))
		return;
	if (contains(t->text, "[REDACTED:")) {
		t->class = TOKEN_WEAK;
		return;
	}
	t->class = t->word ? class_of_word(w, t) : class_of_mixed(w, t);
}

/* ---- clauses ---- */

static bool next_token(struct span line, size_t *at, struct token *out)
{
	size_t i = *at;
	while (i < line.n && blank(line.s[i]))
		i++;
	size_t from = i;
	while (i < line.n && !blank(line.s[i]))
		i++;
	*at = i;
	out->text = (struct span){line.s + from, i - from};
	return i > from;
}

/* A clause ends behind "error:" or "a;", and before and behind "|", "-", "=>", "--". */
static bool ends_clause(const struct token *t)
{
	char first = t->text.s[0], last = t->text.s[t->text.n - 1];
	return last == ':' || last == ';' ||
	       (t->core.n == 0 && (first == '|' || first == '-' || first == '=' || first == '>'));
}

struct clause {
	struct span text; /* from the first token to the last */
	struct span odd;  /* from the first token that is not plain to the last such */
	size_t tokens, plain_words, free, weak;
	bool sentence; /* it becomes one placeholder */
};

/* What is read of a part of a clause, up to a comma or full stop. */
struct reading {
	unsigned before, said; /* marks of the word before, and of all words */
	bool commands;         /* a verb where only a command has it */
	size_t row;            /* words that are not known, side by side */
};

static bool ends_part(const struct token *t)
{
	char last = t->text.s[t->text.n - 1];
	return last == ',' || last == '.' || last == '!' || last == '?';
}

/* True when a part that commands, and says nothing of what is wrong, is over. */
static bool read_command(const struct vocabulary *w, struct reading *r, const struct token *t)
{
	unsigned marks = vocabulary_get(w, t->core);
	r->commands |= (marks & WORD_COMMAND) && (r->said == 0 || (r->before & WORD_JOIN));
	r->commands |= (marks & WORD_DETERMINER) && (r->before & WORD_COMMAND);
	r->before = marks;
	r->said |= marks;
	if (!ends_part(t))
		return false;
	bool commands = r->commands && !(r->said & WORD_WRONG);
	r->before = r->said = 0;
	r->commands = false;
	return commands;
}

static void count_token(struct clause *c, struct reading *r, const struct token *t, bool *bad)
{
	bool odd = t->class == TOKEN_WEAK || t->class == TOKEN_FREE;
	if (t->class != TOKEN_PLAIN) {
		c->odd.s = c->odd.s ? c->odd.s : t->text.s;
		c->odd.n = (size_t)(t->text.s + t->text.n - c->odd.s);
	}
	r->row = odd ? r->row + 1 : 0;
	*bad |= t->class == TOKEN_BAD || r->row > WEAK_ROW_MAX;
	/* One unknown word alone may stay a word: behind others, and beside none like it. */
	*bad |= t->class == TOKEN_FREE && (r->row > 1 || c->tokens == 1);
	c->free += t->class == TOKEN_FREE;
	c->weak += t->class == TOKEN_WEAK ? 1 + t->bare : 0;
	c->plain_words += t->class == TOKEN_PLAIN && t->word && t->core.n > 1;
}

/* Counts the clause that begins at `at`; *out_end is where the next begins. */
static struct clause read_clause(const struct vocabulary *w, struct span line, size_t at,
				 size_t *out_end)
{
	struct clause c = {0};
	struct token t = {0};
	struct reading r = {0};
	bool bad = false, commands = false;
	while (next_token(line, &at, &t)) {
		classify(w, &t);
		if (!c.tokens++)
			c.text.s = t.text.s;
		c.text.n = (size_t)(t.text.s + t.text.n - c.text.s);
		count_token(&c, &r, &t, &bad);
		commands |= read_command(w, &r, &t);
		if (ends_clause(&t))
			break;
	}
	*out_end = c.tokens ? (size_t)(c.text.s + c.text.n - line.s) : line.n;
	commands |= r.commands && !(r.said & WORD_WRONG);
	if (commands)
		c.odd = c.text;
	c.sentence = bad || commands || c.free > 1 || c.weak > WEAK_MAX ||
		     (c.free == 1 && c.plain_words < CLAUSE_ALONE_MIN);
	return c;
}

static void put_typed(struct placeholders *p, const struct token *t, enum ph_type type,
		      struct buf *out)
{
	buf_add(out, t->text.s, (size_t)(t->core.s - t->text.s));
	ph_add(p, type, t->core, out);
	const char *behind = t->core.s + t->core.n;
	buf_add(out, behind, (size_t)(t->text.s + t->text.n - behind));
}

static void put_clause(struct placeholders *p, const struct clause *c, struct buf *out)
{
	struct token t = {0};
	size_t at = 0, done = 0;
	if (c->sentence) {
		size_t n = c->odd.n;
		while (n > 1 && (c->odd.s[n - 1] == ':' || c->odd.s[n - 1] == ';'))
			n--;
		buf_add(out, c->text.s, (size_t)(c->odd.s - c->text.s));
		ph_add(p, PH_MSG, (struct span){c->odd.s, n}, out);
		buf_add(out, c->odd.s + n, (size_t)(c->text.s + c->text.n - c->odd.s) - n);
		return;
	}
	while (next_token(c->text, &at, &t)) {
		size_t from = (size_t)(t.text.s - c->text.s);
		buf_add(out, c->text.s + done, from - done);
		done = from + t.text.n;
		classify(p->words, &t);
		if (t.class == TOKEN_TYPED)
			put_typed(p, &t, t.type, out);
		else if (t.class == TOKEN_FREE)
			put_typed(p, &t, PH_WORD, out);
		else
			buf_add(out, t.text.s, t.text.n);
	}
	buf_add(out, c->text.s + done, c->text.n - done);
}

/* ---- lines ---- */

/* Source that a compiler or test program quotes: "  12 | code", "> 12 | code", ">   code". Returns
 * where the code begins, or 0. */
static size_t excerpt_start(struct span l)
{
	size_t i = 0;
	while (i < l.n && (blank(l.s[i]) || l.s[i] == '>'))
		i++;
	size_t digits = i;
	while (i < l.n && isdigit((unsigned char)l.s[i]))
		i++;
	bool numbered = i > digits;
	while (numbered && i < l.n && l.s[i] == ' ')
		i++;
	if (numbered && i < l.n && l.s[i] == '|')
		return i + 1;
	return l.n > 4 && memcmp(l.s, ">   ", 4) == 0 ? 4 : 0;
}

static void abstract_line(struct placeholders *p, struct span line, struct buf *out)
{
	size_t code = excerpt_start(line);
	if (code) {
		buf_add(out, line.s, code);
		abstract_code_line(p, (struct span){line.s + code, line.n - code}, out);
		p->quote = 0;
		p->block = false;
		return;
	}
	for (size_t at = 0; at < line.n;) {
		size_t end = 0, from = at;
		struct clause c = read_clause(p->words, line, at, &end);
		size_t start = c.tokens ? (size_t)(c.text.s - line.s) : end;
		buf_add(out, line.s + from, start - from);
		if (c.tokens)
			put_clause(p, &c, out);
		at = end;
	}
}

void abstract_log(struct placeholders *p, struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.n;) {
		const char *newline = memchr(text.s + i, '\n', text.n - i);
		size_t n = newline ? (size_t)(newline - text.s) - i : text.n - i;
		abstract_line(p, (struct span){text.s + i, n}, out);
		i += n;
		if (newline) {
			buf_add_char(out, '\n');
			i++;
		}
	}
}
