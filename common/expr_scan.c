#include "common/expr_impl.h"

/* jq's words as its lexer sees them: enough to know code from text. */

enum { NESTING_MAX = 64 };

struct scan {
	const char *s;
	size_t at;
	int nesting;
	bool is_template; /* "}}" outside of braces and strings ends it */
	struct why *why;
	int (*word)(struct scan *scan, size_t start, size_t len);
};

#define WORD_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define WORD_REST WORD_FIRST "0123456789:"

static int scan_code(struct scan *scan, bool inside_string);

static int scan_string(struct scan *scan)
{
	for (scan->at++; scan->s[scan->at] && scan->s[scan->at] != '"';) {
		if (scan->s[scan->at] != '\\') {
			scan->at++;
			continue;
		}
		bool code = scan->s[scan->at + 1] == '(';
		scan->at += scan->s[scan->at + 1] ? 2 : 1;
		if (!code)
			continue;
		int rc = scan_code(scan, true);
		if (rc)
			return rc;
	}
	scan->at += scan->s[scan->at] == '"';
	return 0;
}

/* "a::b" is one word, "a:" is a key and its colon. */
static size_t word_len(const char *s)
{
	size_t len = 0;
	while (s[len] && strchr(WORD_REST, s[len])) {
		if (s[len] != ':')
			len++;
		else if (s[len + 1] == ':' && s[len + 2] && strchr(WORD_FIRST, s[len + 2]))
			len += 2;
		else
			break;
	}
	return len;
}

static int scan_word(struct scan *scan)
{
	size_t start = scan->at, len = word_len(scan->s + start);
	scan->at += len;
	bool field = start > 0 && scan->s[start - 1] == '.';
	return field || !scan->word ? 0 : scan->word(scan, start, len);
}

/* One character, word, string or comment. depth counts what is open: ( and {. */
static int scan_piece(struct scan *scan, int *parens, int *braces)
{
	char c = scan->s[scan->at];
	if (c == '"')
		return scan_string(scan);
	if (strchr(WORD_FIRST, c))
		return scan_word(scan);
	if (c == '#') {
		scan->at += strcspn(scan->s + scan->at, "\n");
		return 0;
	}
	*parens += (c == '(') - (c == ')');
	*braces += (c == '{') - (c == '}');
	scan->at++;
	return 0;
}

static int scan_code(struct scan *scan, bool inside_string)
{
	int parens = 0, braces = 0;
	if (++scan->nesting > NESTING_MAX)
		return why_set(scan->why, ERR_CONFIG, "nested too deeply");
	while (scan->s[scan->at]) {
		const char *at = scan->s + scan->at;
		if (inside_string && *at == ')' && parens == 0) {
			scan->at++;
			break;
		}
		if (!inside_string && scan->is_template && braces == 0 && str_starts(at, "}}"))
			break;
		int rc = scan_piece(scan, &parens, &braces);
		if (rc)
			return rc;
	}
	scan->nesting--;
	return 0;
}

size_t expr_scan_end(const char *s)
{
	struct scan scan = {.s = s, .is_template = true};
	if (scan_code(&scan, false) || !s[scan.at])
		return SIZE_MAX;
	return scan.at;
}

/* ---- words that may not be used ---- */

#define OUTSIDE "reads what is not its input"
#define TIME "depends on the time or the machine"
#define ENDLESS "can run for ever"
#define PROCESS "acts on the process"

static const struct {
	const char *word;
	const char *why;
} refused[] = {
	{"env", OUTSIDE},
	{"ENV", OUTSIDE},
	{"input", OUTSIDE},
	{"inputs", OUTSIDE},
	{"input_filename", OUTSIDE},
	{"input_line_number", OUTSIDE},
	{"import", OUTSIDE},
	{"include", OUTSIDE},
	{"modulemeta", OUTSIDE},
	{"get_search_list", OUTSIDE},
	{"now", TIME},
	{"localtime", TIME},
	{"strflocaltime", TIME},
	{"while", ENDLESS},
	{"until", ENDLESS},
	{"repeat", ENDLESS},
	{"infinite", ENDLESS},
	{"combinations", ENDLESS},
	{"debug", PROCESS},
	{"stderr", PROCESS},
	{"halt", PROCESS},
	{"halt_error", PROCESS},
	{"implode", "can abort the process on strange input"},
};

static bool word_is(const struct scan *scan, size_t start, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(scan->s + start, word, len) == 0;
}

static char next_char(const struct scan *scan)
{
	return scan->s[scan->at + strspn(scan->s + scan->at, " \t\r\n")];
}

static int check_word(struct scan *scan, size_t start, size_t len)
{
	char next = next_char(scan);
	if (next == ':')
		return 0; /* a key of an object, or a function's own name */
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		if (word_is(scan, start, len, refused[i].word))
			return why_set(scan->why, ERR_CONFIG, "%s is refused: it %s",
				       refused[i].word, refused[i].why);
	if (next == '(' && word_is(scan, start, len, "recurse"))
		return why_set(scan->why, ERR_CONFIG,
			       "recurse with a function is refused: it " ENDLESS);
	return 0;
}

int expr_scan(const char *source, struct why *out_why)
{
	struct scan scan = {.s = source, .why = out_why, .word = check_word};
	return scan_code(&scan, false);
}
