/* Dependencies: what a manifest or lock file names that it did not name before. */
#include "executor/guards/guards.h"

/* Group 1 is the name. A pattern may name what is no dependency (a table of its own): skip says so.
 */
static struct {
	const char *file; /* glob on the path */
	struct pattern name;
	struct pattern skip;
} manifests[] = {
	{"**/package.json",
	 PATTERN("^\\s*\"((?:@[a-z0-9._~-]+/"
		 ")?[a-z0-9._~-]+)\"\\s*:\\s*\"(?:[~^<>=v]*\\s*[0-9*x]|latest|"
		 "next|workspace:|npm:|file:|link:|git|https?:|github:|[\\w-]+/[\\w-]+)"),
	 PATTERN("^\\s*\"(?:version|node|npm|yarn|pnpm|engines|target|license|homepage|url|main|"
		 "module|"
		 "types|name|private|packageManager|test|build|start|lint|dev)\"")},
	{"**/package-lock.json",
	 PATTERN("^\\s*\"(?:node_modules/(?:.*/node_modules/)?)((?:@[^/\"]+/)?[^/"
		 "\"]+)\"\\s*:\\s*\\{"),
	 PATTERN("(?!)")},
	{"**/npm-shrinkwrap.json",
	 PATTERN("^\\s*\"(?:node_modules/)?((?:@[^/\"]+/)?[^/\"]+)\"\\s*:\\s*\\{"),
	 PATTERN("(?!)")},
	{"**/yarn.lock", PATTERN("^\"?((?:@[^/@\"]+/)?[^@\"\\s#]+)@"), PATTERN("(?!)")},
	{"**/pnpm-lock.yaml", PATTERN("^  ['\"]?/?((?:@[^/@'\"]+/)?[^@/'\":\\s]+)[@/][0-9]"),
	 PATTERN("(?!)")},
	{"**/Cargo.toml",
	 PATTERN("^\\s*\"?([A-Za-z0-9_-]+)\"?(?:\\.workspace)?\\s*=\\s*(?:\"[~^<>=*]*\\s*[0-9*]|\\{"
		 "|true)"),
	 PATTERN("^\\s*(?:version|edition|rust-version|lto|debug|opt-level|codegen-units|panic|"
		 "resolver|"
		 "default-features|publish|features?|harness|test|bench|strip|overflow-checks|"
		 "incremental|"
		 "workspace|package|lib|bin|profile|doctest|autobins|proc-macro)\\s*=")},
	{"**/Cargo.lock", PATTERN("^name\\s*=\\s*\"([^\"]+)\""), PATTERN("(?!)")},
	{"**/go.mod", PATTERN("^(?:\\s+|require\\s+|replace\\s+)([a-z0-9.-]+\\.[a-z]+/\\S+)\\s"),
	 PATTERN("(?!)")},
	{"**/go.sum", PATTERN("^(\\S+)\\s+v[0-9]"), PATTERN("(?!)")},
	{"**/*requirements*.txt",
	 PATTERN("^\\s*([A-Za-z0-9][A-Za-z0-9._-]*)\\s*(?:\\[|[=<>~!;@#]|$)"), PATTERN("(?!)")},
	{"**/requirements/*.txt",
	 PATTERN("^\\s*([A-Za-z0-9][A-Za-z0-9._-]*)\\s*(?:\\[|[=<>~!;@#]|$)"), PATTERN("(?!)")},
	{"**/*requirements*.in",
	 PATTERN("^\\s*([A-Za-z0-9][A-Za-z0-9._-]*)\\s*(?:\\[|[=<>~!;@#]|$)"), PATTERN("(?!)")},
	{"**/constraints*.txt", PATTERN("^\\s*([A-Za-z0-9][A-Za-z0-9._-]*)\\s*[=<>~!@]"),
	 PATTERN("(?!)")},
	{"**/pyproject.toml",
	 PATTERN("^\\s*[\"']([A-Za-z0-9][A-Za-z0-9._-]*)\\s*(?:\\[[^\\]]*\\])?\\s*(?:[=<>~!;@][^\"'"
		 "]*)?[\"']\\s*,?\\s*\\]?$"
		 "|^\\s*([A-Za-z0-9_-]+)\\s*=\\s*(?:\"[~^<>=*]+\\s*[0-9*]|\"\\*\"|\\{\\s*(?:"
		 "version|git|path|url))"),
	 PATTERN("^\\s*(?:version|python|requires-python|target-version|name|line-length)\\s*=")},
	{"**/setup.py",
	 PATTERN("^\\s*[\"']([A-Za-z0-9][A-Za-z0-9._-]*)\\s*(?:\\[[^\\]]*\\])?\\s*(?:[=<>~!;@][^\"'"
		 "]*)?[\"']\\s*,"),
	 PATTERN("(?!)")},
	{"**/setup.cfg", PATTERN("^\\s+([A-Za-z0-9][A-Za-z0-9._-]*)\\s*(?:[=<>~!;@]=?\\s*[0-9]|$)"),
	 PATTERN("(?!)")},
	{"**/Pipfile", PATTERN("^\\s*\"?([A-Za-z0-9._-]+)\"?\\s*=\\s*(?:\"|\\{)"),
	 PATTERN("^\\s*(?:python_version|url|verify_ssl|name)\\s*=")},
	{"**/Pipfile.lock", PATTERN("^\\s{8}\"([a-z0-9._-]+)\"\\s*:\\s*\\{"), PATTERN("(?!)")},
	{"**/poetry.lock", PATTERN("^name\\s*=\\s*\"([^\"]+)\""), PATTERN("(?!)")},
	{"**/uv.lock", PATTERN("^name\\s*=\\s*\"([^\"]+)\""), PATTERN("(?!)")},
	{"**/pdm.lock", PATTERN("^name\\s*=\\s*\"([^\"]+)\""), PATTERN("(?!)")},
	{"**/environment.y*ml", PATTERN("^\\s*-\\s*([A-Za-z0-9._-]+)\\s*(?:[=<>]|$)"),
	 PATTERN("(?!)")},
	{"**/Gemfile", PATTERN("^\\s*gem\\s*\\(?\\s*[\"']([^\"']+)[\"']"), PATTERN("(?!)")},
	{"**/*.gemspec",
	 PATTERN("add_(?:runtime_|development_)?dependency\\s*\\(?\\s*[\"']([^\"']+)[\"']"),
	 PATTERN("(?!)")},
	{"**/Gemfile.lock", PATTERN("^    ([A-Za-z0-9._-]+) \\("), PATTERN("(?!)")},
	{"**/composer.json", PATTERN("^\\s*\"([a-z0-9_.-]+/[a-z0-9_.-]+)\"\\s*:\\s*\""),
	 PATTERN("(?!)")},
	{"**/composer.lock", PATTERN("^\\s*\"name\"\\s*:\\s*\"([^\"]+/[^\"]+)\""), PATTERN("(?!)")},
	{"**/pom.xml", PATTERN("<artifactId>\\s*([^<\\s]+)\\s*</artifactId>"), PATTERN("(?!)")},
	{"**/*.gradle",
	 PATTERN("^\\s*\\w*(?:[iI]mplementation|[aA]pi|[cC]ompile(?:Only)?|[rR]untimeOnly|"
		 "classpath|kapt|annotationProcessor)"
		 "[ (]+[\"']([^\"':]+:[^\"':]+)|^\\s*id[ (]+[\"']([^\"']+)"),
	 PATTERN("(?!)")},
	{"**/*.gradle.kts",
	 PATTERN("^\\s*\\w*(?:[iI]mplementation|[aA]pi|[cC]ompile(?:Only)?|[rR]untimeOnly|"
		 "classpath|kapt|annotationProcessor)"
		 "[ (]+[\"']([^\"':]+:[^\"':]+)|^\\s*id[ (]+[\"']([^\"']+)"),
	 PATTERN("(?!)")},
	{"**/*.csproj", PATTERN("<PackageReference\\s+[^>]*Include=\"([^\"]+)\""), PATTERN("(?!)")},
	{"**/Directory.Packages.props", PATTERN("<PackageVersion\\s+[^>]*Include=\"([^\"]+)\""),
	 PATTERN("(?!)")},
	{"**/.github/workflows/*.y*ml", PATTERN("\\buses\\s*:\\s*[\"']?([^@\\s\"']+)"),
	 PATTERN("(?!)")},
	{"**/*Dockerfile*", PATTERN("^\\s*FROM\\s+(?:--\\S+\\s+)*([^\\s:@]+)"), PATTERN("(?!)")},
	{"**/conanfile.txt", PATTERN("^\\s*([a-z0-9_.+-]+)/[0-9]"), PATTERN("(?!)")},
	{"**/vcpkg.json", PATTERN("^\\s*\"([a-z0-9-]+)\"\\s*,?\\s*$"), PATTERN("(?!)")},
	{"**/Chart.yaml", PATTERN("^\\s*-\\s*name\\s*:\\s*([\\w.-]+)"), PATTERN("(?!)")},
	{"**/*.tf", PATTERN("^\\s*source\\s*=\\s*\"([^\"?]+)"),
	 PATTERN("^\\s*source\\s*=\\s*\"\\./")},
};

/* More than one row may fit; the first does. */
static size_t row_of(const char *path)
{
	size_t i = 0;
	while (i < ARRAY_SIZE(manifests) && !glob_match(manifests[i].file, path))
		i++;
	return i;
}

static bool named(const struct guard_line *lines, size_t n, size_t row, struct span name)
{
	struct span found;
	for (size_t i = 0; i < n; i++)
		if (pattern_find(&manifests[row].name, lines[i].text, lines[i].len, &found) &&
		    span_eq(found, name))
			return true;
	return false;
}

void check_dependency(struct review *r, const struct guard_change *c)
{
	size_t row = row_of(c->path);
	struct span name;
	for (size_t i = 0; row < ARRAY_SIZE(manifests) && i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		if (!pattern_find(&manifests[row].name, l->text, l->len, &name) ||
		    pattern_line(&manifests[row].skip, l) ||
		    named(c->removed, c->n_removed, row, name) ||
		    names_match(&r->policy->dependencies, name.text, name.len))
			continue;
		review_say(r, c, l, "a new dependency, \"%.*s\"", (int)MIN(name.len, 100),
			   name.text);
	}
}

/* Registries that a lock file may name, and nothing else. */
static bool is_registry(struct span url)
{
	static struct pattern known = PATTERN_CASELESS(
		"^https://"
		"(?:registry\\.npmjs\\.org|registry\\.yarnpkg\\.com|files\\.pythonhosted\\.org|"
		"pypi\\.org|crates\\.io|index\\.crates\\.io|static\\.crates\\.io|rubygems\\.org|"
		"repo\\.maven\\.apache\\.org|repo1\\.maven\\.org|plugins\\.gradle\\.org|proxy\\."
		"golang\\.org|"
		"sum\\.golang\\.org|api\\.nuget\\.org|repo\\.packagist\\.org|opencollective\\.com|"
		"tidelift\\.com|(?:www\\.)?patreon\\.com)(?:[/\"'\\s]|$)|"
		"^https://(?:github\\.com/(?:sponsors/|rust-lang/crates\\.io-index)|ko-fi\\.com)");
	return pattern_find(&known, url.text, url.len, NULL);
}

void check_dependency_source(struct review *r, const struct guard_change *c)
{
	static struct pattern git = PATTERN(
		"\\bgit\\s*(?:=|:)\\s*[\"']|\"(?:git\\+|git://"
		"|github:|gitlab:|bitbucket:|file:|link:|https?://)|"
		"\\bgit\\+(?:https?|ssh|git|file)://|@\\s*(?:git\\+|https?://|file:)|"
		"^\\s*replace\\s.*=>|^\\s*\\S+\\s+v\\S+\\s+=>|^\\s*-e\\s|"
		"^\\s*--?(?:index-url|extra-index-url|find-links|trusted-host|i)\\b|"
		"\\bpath\\s*=\\s*\"\\.\\./|\\b(?:registry|registry-index|replace-with)\\s*=|"
		"^\\[\\[?(?:tool\\.\\w+\\.)?(?:source|patch|registries)\\b|^\\s*source\\s+[\"']"
		"http|"
		"<repository>|\\bmaven\\s*\\{|^\\s*index\\s*=|<packageSources>");
	static struct pattern url = PATTERN("((?:https?|git\\+\\w+|ssh|git)://[^\\s\"'#]+)");
	static struct pattern other =
		PATTERN("/(?:nuget\\.config|settings\\.xml|\\.npmrc|pip\\.conf)$");
	size_t row = row_of(c->path);
	bool lock = path_is_lock(c->path);
	struct span found;
	if (row == ARRAY_SIZE(manifests) && !lock && !pattern_path(&other, c->path))
		return;
	if (strstr(c->path, "Dockerfile") || strstr(c->path, ".github/") ||
	    glob_match("**/*.tf", c->path))
		return;
	for (size_t i = 0; i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		if (line_was_there(c, l))
			continue;
		bool away =
			lock && pattern_find(&url, l->text, l->len, &found) && !is_registry(found);
		if (away || (!lock && pattern_line(&git, l)))
			review_say(r, c, l, "comes from somewhere other than the registry");
	}
}
