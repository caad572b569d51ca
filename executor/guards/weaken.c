/* Ways to make a check green without repairing anything. */
#include "common/mem.h"
#include "executor/guards/guards.h"

/* ---- tests that are gone ---- */

/* Group 1 is the test's name. */
static struct pattern test_name[LANGUAGES] = {
	[LANGUAGE_PYTHON] = PATTERN("^\\s*(?:async\\s+)?(?:def\\s+(test\\w*)|class\\s+(Test\\w*))"),
	[LANGUAGE_GO] = PATTERN("^func\\s+(?:\\([^)]*\\)\\s*)?((?:Test|Fuzz|Example)\\w*)\\s*\\("),
	[LANGUAGE_JS] =
		PATTERN("(?:^|\\s)(?:it|test|describe|context|suite|specify)(?:\\.\\w+)*\\s*\\(\\s*"
			"([\"'`][^\"'`]*)"),
	[LANGUAGE_JVM] = PATTERN("^\\s*(@(?:Test|ParameterizedTest|RepeatedTest)\\b)"),
	[LANGUAGE_RUST] = PATTERN("^\\s*(#\\[(?:\\w+::)*(?:test|rstest|test_case|proptest)\\b)"),
	[LANGUAGE_C] = PATTERN(
		"^\\s*(?:static\\s+)?(?:void|int)\\s+(test_\\w+)\\s*\\(|"
		"^\\s*((?:TEST|TEST_F|TEST_P|TEST_CASE|BOOST_AUTO_TEST_CASE|SCENARIO)\\s*\\([^)]*)"
		"|^\\s*(cmocka_unit_test\\w*\\([^)]*)"),
	[LANGUAGE_RUBY] =
		PATTERN("^\\s*(?:it|describe|context|specify|test|should)\\s+([\"'][^\"']*)|"
			"^\\s*def\\s+(test_\\w+)"),
	[LANGUAGE_PHP] = PATTERN("\\bfunction\\s+(test\\w+)|(@test\\b|#\\[Test\\b)"),
	[LANGUAGE_DOTNET] = PATTERN("^\\s*(\\[(?:Fact|Theory|Test|TestCase|TestMethod)\\b)"),
	[LANGUAGE_SHELL] =
		PATTERN("^\\s*(?:@test\\s+([\"'][^\"']*)|(?:function\\s+)?(test_?\\w+)\\s*\\(\\))"),
};

/* One line that names a test. */
struct named {
	enum language language;
	struct span name;
};

/* The names on one side of the whole patch, sorted: a test that was moved is on both. */
struct names {
	struct named *items;
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	if (x->language != y->language)
		return x->language < y->language ? -1 : 1;
	int c = memcmp(x->name.text, y->name.text, MIN(x->name.len, y->name.len));
	if (c || x->name.len == y->name.len)
		return c;
	return x->name.len < y->name.len ? -1 : 1;
}

static bool names_test(const struct guard_change *c, const struct guard_line *l, struct named *out)
{
	out->language = path_language(c->path);
	struct pattern *p = &test_name[out->language];
	return p->text && !line_is_comment(out->language, l) &&
	       pattern_find(p, l->text, l->len, &out->name);
}

static void collect(const struct review *r, bool added, struct names *out)
{
	size_t room = 0;
	*out = (struct names){0};
	for (size_t i = 0; i < r->n; i++)
		room += added ? r->changes[i].n_added : r->changes[i].n_removed;
	out->items = mem_calloc(room, sizeof(*out->items));
	for (size_t i = 0; i < r->n; i++) {
		const struct guard_change *c = &r->changes[i];
		const struct guard_line *lines = added ? c->added : c->removed;
		size_t n = added ? c->n_added : c->n_removed;
		for (size_t k = 0; k < n; k++)
			out->n += names_test(c, &lines[k], &out->items[out->n]);
	}
	if (out->n)
		qsort(out->items, out->n, sizeof(*out->items), by_name);
}

/* How many are before this name, or (with equal) not behind it. */
static size_t rank_of(const struct names *names, const struct named *name, bool equal)
{
	size_t low = 0, high = names->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int c = by_name(&names->items[middle], name);
		if (c < 0 || (equal && c == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t count_name(const struct names *names, const struct named *name)
{
	return rank_of(names, name, true) - rank_of(names, name, false);
}

/* The patch has fewer of it on the new side than on the old, or the other way round. */
struct sides {
	struct names removed, added;
};

static bool is_gone(const struct sides *s, const struct guard_change *c, const struct guard_line *l)
{
	struct named name;
	return names_test(c, l, &name) &&
	       count_name(&s->added, &name) < count_name(&s->removed, &name);
}

static size_t count_new(const struct sides *s, const struct guard_change *c)
{
	struct named name;
	size_t n = 0;
	for (size_t i = 0; i < c->n_added; i++)
		n += names_test(c, &c->added[i], &name) &&
		     count_name(&s->added, &name) > count_name(&s->removed, &name);
	return n;
}

static size_t count_gone(const struct sides *s, const struct guard_change *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n_removed; i++)
		n += is_gone(s, c, &c->removed[i]);
	return n;
}

/* With as many new ones in the same file, it is a question; else an answer. */
static void say_gone(struct review *r, bool replaced)
{
	struct sides s;
	collect(r, false, &s.removed);
	collect(r, true, &s.added);
	for (size_t i = 0; i < r->n; i++) {
		const struct guard_change *c = &r->changes[i];
		size_t gone = count_gone(&s, c);
		if (!gone || (count_new(&s, c) >= gone) != replaced)
			continue;
		for (size_t k = 0; k < c->n_removed; k++)
			if (is_gone(&s, c, &c->removed[k]))
				review_say(r, c, &c->removed[k],
					   replaced ? "a test gives way to another"
						    : "a test goes");
	}
	free(s.removed.items);
	free(s.added.items);
}

void check_test_removed(struct review *r)
{
	say_gone(r, false);
	for (size_t i = 0; i < r->n; i++) {
		const struct guard_change *c = &r->changes[i];
		bool away = c->kind == GUARD_RENAME && path_is_test(c->old_path) &&
			    !path_is_test(c->path);
		if (c->kind == GUARD_DELETE && path_is_test(c->path))
			review_say(r, c, NULL, "a file of tests goes");
		if (away)
			review_say(r, c, NULL, "it is no file of tests any more");
	}
}

void check_test_replaced(struct review *r)
{
	say_gone(r, true);
}

/* ---- tests that are not run ---- */

static struct pattern skips = PATTERN(
	"@(?:pytest\\.mark\\.|unittest\\.)?(?:skip|skipif|skipIf|skipUnless|xfail|expectedFailure)"
	"\\b|"
	"\\bpytest\\.(?:skip|xfail|importorskip)\\s*\\(|\\bpytestmark\\b|\\bself\\.skipTest\\s*\\(|"
	"\\bunittest\\.SkipTest\\b|\\b__test__\\s*=\\s*False|\\bcollect_ignore|"
	"#\\[(?:cfg_attr\\(.*,\\s*)?ignore\\b|\\b[tbf]\\.Skip(?:f|Now)?\\s*\\(|"
	"@(?:Ignore|Disabled)\\w*\\b|\\b(?:it|test|describe|context|suite)\\s*\\.\\s*"
	"(?:skip|only|todo|failing|fails|skipIf|runIf)\\b|(?:^|\\s)[xf](?:it|describe|test|context|"
	"specify)\\s*"
	"[( ]|\\[(?:Ignore|Explicit)\\b|\\bSkip\\s*=\\s*\"|\\bGTEST_SKIP\\b|\\bDISABLED_\\w+|"
	"\\bmarkTest(?:Skipped|Incomplete)\\b|^\\s*pending\\b\\s*(?:[\"'(]|$)|\\bthis\\.skip\\s*\\("
	"|"
	"^\\s*skip\\b\\s*[\"'(]|\\bskip\\s*\\(\\s*\\)|\\bskip:\\s*(?:true|[\"'])|"
	"//\\s*\\+build\\s+ignore|//go:build\\s+ignore");
static struct pattern deselects = PATTERN(
	"--(?:ignore|deselect)(?:-glob)?[= ]|-k\\s+[\"']?not\\b|-m\\s+[\"']?not\\b|-D?skipTests\\b|"
	"maven\\.test\\.skip|--passWithNoTests|testPathIgnorePatterns|-x\\s+test\\b|"
	"\\bgo\\s+test\\b.*-skip\\b|-E\\s+[\"']not\\b|--skip[= ]|--exclude[= ].*test|"
	"<skip(?:Tests)?>\\s*true|\\btest\\.enabled\\s*=\\s*false|\\benabled\\s*=\\s*false|"
	"\"test\"\\s*:\\s*\"(?:echo|exit 0|true)");

void check_test_skipped(struct review *r, const struct guard_change *c)
{
	enum language language = path_language(c->path);
	bool code = path_is_test(c->path) || language == LANGUAGE_RUST;
	bool config = language == LANGUAGE_CONFIG || language == LANGUAGE_SHELL ||
		      language == LANGUAGE_JVM || language == LANGUAGE_JS ||
		      language == LANGUAGE_PYTHON;
	for (size_t i = 0; language != LANGUAGE_NONE && i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		bool here = code && pattern_line(&skips, l);
		if ((here || (config && pattern_line(&deselects, l))) && !line_was_there(c, l) &&
		    !(language != LANGUAGE_GO && line_is_comment(language, l)))
			review_say(r, c, l, "a test is left out");
	}
}

/* ---- tests that expect less ---- */

static struct pattern asserts = PATTERN(
	"\\bassert\\w*\\b\\s*!?|\\bexpect\\w*\\b\\s*[!(.]|\\bshould(?:_\\w+|\\.\\w+)?\\b|"
	"\\brequire\\.[A-Z]\\w+|"
	"\\bt\\.(?:Error|Fatal|Fail)\\w*|\\b(?:EXPECT|ASSERT|CHECK|REQUIRE)_?\\w*\\s*\\(|"
	"\\bpytest\\.raises\\b|\\bverify\\s*\\(|\\bmust_\\w+|\\bpanic!|\\bis\\s+-?\\w*\\s*\"|"
	"\\bfail\\w*\\s*\\(|#\\[should_panic|^\\s*(?:!\\s*)?\\[\\[?\\s");

/* Lines that assert and have no equal on the other side. */
static size_t count_asserts(const struct guard_line *lines, size_t n,
			    const struct guard_change *other)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += pattern_line(&asserts, &lines[i]) && !line_was_there(other, &lines[i]);
	return count;
}

void check_test_weakened(struct review *r, const struct guard_change *c)
{
	const struct guard_change back = {.removed = c->added, .n_removed = c->n_added};
	size_t before = 0, after = 0;
	bool inline_tests = path_language(c->path) == LANGUAGE_RUST;
	if (c->kind == GUARD_DELETE || !(path_is_test(c->path) || inline_tests))
		return;
	before = count_asserts(c->removed, c->n_removed, &back);
	after = count_asserts(c->added, c->n_added, c);
	for (size_t i = 0; before && i < c->n_removed; i++) {
		const struct guard_line *l = &c->removed[i];
		if (!pattern_line(&asserts, l) || line_was_there(&back, l))
			continue;
		review_say(r, c, l, after < before ? "an assertion goes" : "an assertion changes");
	}
}

static size_t count_code(const struct guard_change *c, const struct guard_line *lines, size_t n)
{
	static struct pattern code = PATTERN("[A-Za-z0-9]");
	enum language language = path_language(c->path);
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += pattern_line(&code, &lines[i]) && !line_is_comment(language, &lines[i]);
	return count;
}

/* Tests whose assertions have no known form get shorter, too. Over the whole patch: they move. */
void check_test_shorter(struct review *r)
{
	size_t before = 0, after = 0;
	for (size_t i = 0; i < r->n; i++) {
		const struct guard_change *c = &r->changes[i];
		bool test = path_is_test(c->path) && path_language(c->path) != LANGUAGE_NONE;
		before += test ? count_code(c, c->removed, c->n_removed) : 0;
		after += test ? count_code(c, c->added, c->n_added) : 0;
	}
	for (size_t i = 0; before > after && i < r->n; i++) {
		const struct guard_change *c = &r->changes[i];
		if (path_is_test(c->path) && c->n_removed)
			review_say(r, c, NULL, "tests get shorter by %zu lines", before - after);
	}
}

/* ---- checks that cannot fail ---- */

/* What made warnings fail is on the old side only. */
static void say_relaxed(struct review *r, const struct guard_change *c)
{
	static struct pattern strict = PATTERN(
		"-Werror\\b|--strict\\b|--max-warnings[= ]0|-D\\s+warnings|deny\\(warnings\\)|"
		"\\bset\\s+-e|pipefail|--fail-under|--cov-fail|\\bfail_on\\b|warnings-as-errors|"
		"\"(?:strict|noImplicitAny|strictNullChecks)\"\\s*:\\s*true|\\bstrict\\s*=\\s*[Tt]"
		"rue");
	enum language language = path_language(c->path);
	const struct guard_change back = {.removed = c->added, .n_removed = c->n_added};
	struct span found;
	for (size_t i = 0; c->kind != GUARD_DELETE && i < c->n_removed; i++) {
		const struct guard_line *l = &c->removed[i];
		bool kept = line_was_there(&back, l);
		if (kept || line_is_comment(language, l) ||
		    !pattern_find(&strict, l->text, l->len, &found))
			continue;
		for (size_t k = 0; !kept && k < c->n_added; k++)
			kept = memmem(c->added[k].text, c->added[k].len, found.text, found.len) !=
			       NULL;
		if (!kept)
			review_say(r, c, l, "what made warnings fail goes");
	}
}

void check_silenced(struct review *r, const struct guard_change *c)
{
	static struct pattern quiet = PATTERN(
		"\\|\\|\\s*(?:true|:|exit\\s+0|echo\\b)|;\\s*(?:true|exit\\s+0)\\s*[\"']?\\s*$|"
		"\\bcontinue-on-error\\s*:\\s*[\"']?(?:true|\\$)|\\ballow_failure\\s*:\\s*true|"
		"\\bset\\s+\\+e\\b|\\bset\\s+\\+o\\s+pipefail|\\bignore_errors\\s*:\\s*(?:true|yes)"
		"|"
		"\\bfailed_when\\s*:\\s*false|^\\s*if\\s*:\\s*[\"']?(?:false|\\$\\{\\{\\s*false)|"
		"\\bfail_ci_if_error\\s*:\\s*false|\\bsoft_fail\\s*:\\s*true|--no-verify\\b|"
		"\\bcatchError\\b|\\bignoreFailures\\s*=\\s*true|\\btestFailureIgnore\\b|"
		"\\bcontinueOnError\\s*:\\s*true|--exit-zero\\b|\\bexit-code:\\s*[\"']?0|"
		"\\bshould_fail\\s*:\\s*false");
	static struct pattern quits = PATTERN("\\bos\\._exit\\s*\\(\\s*0|\\bsys\\.exit\\s*\\(\\s*0?"
					      "\\s*\\)|\\bprocess\\.exit\\s*\\(\\s*0?\\s*\\)|"
					      "\\bprocess\\.exitCode\\s*=\\s*0|\\bos\\.Exit\\s*\\("
					      "\\s*0|\\bexit\\s*\\(\\s*0\\s*\\)");
	enum language language = path_language(c->path);
	bool commands = language == LANGUAGE_CONFIG || language == LANGUAGE_SHELL ||
			language == LANGUAGE_JVM;
	bool tests = path_is_test(c->path) && language != LANGUAGE_NONE;
	for (size_t i = 0; i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		bool silent =
			(commands && pattern_line(&quiet, l)) || (tests && pattern_line(&quits, l));
		if (silent && !line_is_comment(language, l) && !line_was_there(c, l))
			review_say(r, c, l, "a failure would count as success");
	}
	say_relaxed(r, c);
}

/* ---- thresholds ---- */

static struct pattern threshold = PATTERN_CASELESS(
	"(\\b(?:fail[_-]?under|cov-fail-under|(?:min(?:imum)?[_-]?)?coverage(?:[_-]?threshold)?|"
	"threshold|"
	"branches|functions|lines|statements|minimum|min_coverage|line-rate|min-score|fail-on-"
	"score|"
	"max-warnings|max[_-]complexity|audit-level)\\b[\"']?\\s*[:=( ]+\\s*[\"']?)[0-9]");

static bool read_threshold(const struct guard_line *l, struct span *out_name, double *out_value)
{
	char number[32];
	if (!pattern_find(&threshold, l->text, l->len, out_name) || out_name->len == l->len)
		return false;
	const char *digits = out_name->text + out_name->len;
	size_t room = (size_t)(l->text + l->len - digits);
	room = MIN(room, sizeof(number) - 1);
	memcpy(number, digits, room);
	number[room] = '\0';
	*out_value = strtod(number, NULL);
	return true;
}

static bool is_ceiling(struct span name)
{
	return name.len >= 3 && memcmp(name.text, "max", 3) == 0;
}

/* The same name's number on the new side; false when it is not there at all. */
static bool threshold_now(const struct guard_change *c, struct span name, double *out_value)
{
	struct span other;
	for (size_t i = 0; i < c->n_added; i++)
		if (read_threshold(&c->added[i], &other, out_value) && span_eq(other, name))
			return true;
	return false;
}

void check_threshold(struct review *r, const struct guard_change *c)
{
	enum language language = path_language(c->path);
	bool configures = language == LANGUAGE_CONFIG || language == LANGUAGE_SHELL ||
			  language == LANGUAGE_JS || language == LANGUAGE_JVM ||
			  glob_match("**/.coveragerc", c->path) || glob_match("**/.*rc", c->path);
	struct span name;
	double was = 0, now = 0;
	for (size_t i = 0; configures && c->kind != GUARD_DELETE && i < c->n_removed; i++) {
		const struct guard_line *l = &c->removed[i];
		if (!read_threshold(l, &name, &was))
			continue;
		bool there = threshold_now(c, name, &now);
		if (!there || (is_ceiling(name) ? now > was : now < was))
			review_say(r, c, l, there ? "a threshold is lowered" : "a threshold goes");
	}
}

/* ---- warnings ---- */

void check_lint_disabled(struct review *r, const struct guard_change *c)
{
	static struct pattern off = PATTERN(
		"\\beslint-disable|\\btslint:disable|\\bbiome-ignore|#\\s*noqa\\b|#\\s*type:\\s*"
		"ignore|"
		"#\\s*pyright:\\s*ignore|#\\s*mypy:|@ts-(?:ignore|nocheck|expect-error)|"
		"#!?\\[(?:allow|expect)\\s*\\(|//\\s*nolint|//"
		"lint:ignore|#\\s*pylint:\\s*disable|@SuppressWarnings|"
		"\\bNOLINT|#\\s*shellcheck\\s+disable|#\\s*rubocop:\\s*disable|"
		"#\\s*pragma\\s+(?:GCC|clang)\\s+diagnostic\\s+ignored|#\\s*nosec\\b|\\bNOSONAR\\b|"
		"#\\s*pragma:\\s*no\\s*cover|istanbul\\s+ignore|c8\\s+ignore|v8\\s+ignore|LCOV_"
		"EXCL|"
		"@Suppress\\(|#pragma\\s+warning\\s+disable|\\bhadolint\\s+ignore|checkov:skip|"
		"tfsec:ignore|"
		"trivy:ignore|cppcheck-suppress|@phpstan-ignore|phpcs:ignore|stylelint-disable|"
		"kics-scan|semgrep:\\s*ignore|nosemgrep|gitleaks:allow|no_sanitize");
	for (size_t i = 0; path_language(c->path) != LANGUAGE_NONE && i < c->n_added; i++)
		if (pattern_line(&off, &c->added[i]) && !line_was_there(c, &c->added[i]))
			review_say(r, c, &c->added[i], "a warning is turned off");
}
