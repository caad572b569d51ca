/* What kind of file a path names, and what a line of it is. */
#include "executor/guards/guards.h"

#include <strings.h>

static const struct {
	enum language language;
	const char *const *endings;
} endings[] = {
	{LANGUAGE_SHELL, (const char *const[]){".sh", ".bash", ".zsh", ".ksh", ".bats", NULL}},
	{LANGUAGE_PYTHON, (const char *const[]){".py", ".pyi", ".pyx", ".ipynb", NULL}},
	{LANGUAGE_JS, (const char *const[]){".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts",
					    ".tsx", ".vue", ".svelte", ".html", NULL}},
	{LANGUAGE_RUST, (const char *const[]){".rs", NULL}},
	{LANGUAGE_GO, (const char *const[]){".go", NULL}},
	{LANGUAGE_JVM,
	 (const char *const[]){".java", ".kt", ".kts", ".scala", ".groovy", ".gradle", NULL}},
	{LANGUAGE_C, (const char *const[]){".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".m",
					   ".mm", NULL}},
	{LANGUAGE_RUBY, (const char *const[]){".rb", ".rake", ".gemspec", NULL}},
	{LANGUAGE_PHP, (const char *const[]){".php", NULL}},
	{LANGUAGE_DOTNET, (const char *const[]){".cs", ".fs", ".vb", ".ps1", NULL}},
	{LANGUAGE_CONFIG,
	 (const char *const[]){".yml", ".yaml", ".toml", ".json", ".json5", ".cfg", ".ini", ".mk",
			       ".cmake", ".tf", ".tpl", ".xml", ".dockerfile", ".am", ".in", NULL}},
	{LANGUAGE_NONE, (const char *const[]){".md", ".rst", ".txt", ".adoc", ".svg", ".csv", ".po",
					      ".lock", ".sum", ".snap", NULL}},
};

static const struct {
	enum language language;
	const char *name;
} names[] = {
	{LANGUAGE_RUBY, "Rakefile"},         {LANGUAGE_RUBY, "Gemfile"},
	{LANGUAGE_CONFIG, "Dockerfile"},     {LANGUAGE_CONFIG, "Makefile"},
	{LANGUAGE_CONFIG, "GNUmakefile"},    {LANGUAGE_JVM, "Jenkinsfile"},
	{LANGUAGE_CONFIG, "Vagrantfile"},    {LANGUAGE_CONFIG, "Containerfile"},
	{LANGUAGE_CONFIG, "justfile"},       {LANGUAGE_CONFIG, "Procfile"},
	{LANGUAGE_NONE, "requirements.txt"}, {LANGUAGE_CONFIG, "CMakeLists.txt"},
};

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n > m && strcasecmp(text + n - m, end) == 0;
}

enum language path_language(const char *path)
{
	const char *base = base_of(path);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcasecmp(base, names[i].name) == 0)
			return names[i].language;
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		for (const char *const *e = endings[i].endings; *e; e++)
			if (ends_with(base, *e))
				return endings[i].language;
	if (strncasecmp(base, "Dockerfile", 10) == 0)
		return LANGUAGE_CONFIG;
	/* bin/deploy, scripts/build: what has no ending is a script more often than not. */
	return strchr(base, '.') ? LANGUAGE_NONE : LANGUAGE_SHELL;
}

bool path_is_test(const char *path)
{
	static struct pattern test = PATTERN_CASELESS(
		"(?:^|/)(?:tests?|spec|specs|__tests__|testing|e2e|src/test|t)/"
		"|(?:^|/)(?:test_[^/]*|[^/]*_tests?|[^/]*_spec|conftest|tests?)\\.[a-z]+$"
		"|\\.(?:test|spec|cy|e2e)\\.[a-z]+$|Tests?\\.(?:java|kt|cs|scala|php|swift)$"
		"|\\.bats$|(?:^|/)[^/]*(?:Test|IT)\\.(?:java|kt)$");
	return pattern_path(&test, path);
}

bool path_is_lock(const char *path)
{
	static const char *const locks[] = {"package-lock.json", "npm-shrinkwrap.json",
					    "yarn.lock",         "pnpm-lock.yaml",
					    "Cargo.lock",        "go.sum",
					    "poetry.lock",       "Pipfile.lock",
					    "uv.lock",           "pdm.lock",
					    "Gemfile.lock",      "composer.lock",
					    "gradle.lockfile",   "packages.lock.json",
					    "flake.lock",        "bun.lock",
					    "mix.lock",          "Podfile.lock",
					    "pubspec.lock"};
	const char *base = base_of(path);
	for (size_t i = 0; i < ARRAY_SIZE(locks); i++)
		if (str_eq(base, locks[i]))
			return true;
	return false;
}

/* ---- lines ---- */

static struct span trimmed(const struct guard_line *l)
{
	struct span s = {l->text, l->len};
	while (s.len && strchr(" \t\r", s.text[0])) {
		s.text++;
		s.len--;
	}
	while (s.len && strchr(" \t\r", s.text[s.len - 1]))
		s.len--;
	return s;
}

bool line_is_comment(enum language language, const struct guard_line *l)
{
	static const char *const marks[LANGUAGES] = {
		[LANGUAGE_SHELL] = "#",  [LANGUAGE_PYTHON] = "#", [LANGUAGE_RUBY] = "#",
		[LANGUAGE_CONFIG] = "#", [LANGUAGE_JS] = "//",    [LANGUAGE_RUST] = "//",
		[LANGUAGE_GO] = "//",    [LANGUAGE_JVM] = "//",   [LANGUAGE_C] = "//",
		[LANGUAGE_PHP] = "//",   [LANGUAGE_DOTNET] = "//"};
	const char *mark = marks[language];
	struct span s = trimmed(l);
	return mark && s.len >= strlen(mark) && memcmp(s.text, mark, strlen(mark)) == 0 &&
	       !(s.len > 1 && memcmp(s.text, "#!", 2) == 0);
}

bool line_was_there(const struct guard_change *c, const struct guard_line *l)
{
	struct span wanted = trimmed(l);
	for (size_t i = 0; i < c->n_removed; i++)
		if (span_eq(trimmed(&c->removed[i]), wanted))
			return true;
	return false;
}
