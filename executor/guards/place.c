/* What a file is and where it lies. */
#include "executor/guards/guards.h"

#include <strings.h>

enum { MODE_TYPE = 0170000, MODE_LINK = 0120000, MODE_MODULE = 0160000, MODE_RIGHTS = 07777 };

/* Both names of a renamed file count. */
static void each_path(struct review *r, const struct guard_change *c, struct pattern *p,
		      const char *what)
{
	if (pattern_path(p, c->path) || (c->old_path && pattern_path(p, c->old_path)))
		review_say(r, c, NULL, "%s", what);
}

static bool is_deceptive(const char *path)
{
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
			return true;
	return !utf8_valid(path, strlen(path));
}

void check_git_path(struct review *r, const struct guard_change *c)
{
	/* As git itself guards .git: also under its names on FAT, NTFS and HFS+. */
	static struct pattern git = PATTERN_CASELESS("(?:^|/)(?:\\.git[ .:]*|git~[0-9]+)(?:/|$)");
	static struct pattern out = PATTERN("^/|^~|^[A-Za-z]:|(?:^|/)\\.\\.?(?:/|$)|//|^$");
	const char *paths[] = {c->path, c->old_path};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		if (!paths[i])
			continue;
		if (pattern_path(&git, paths[i]))
			review_say(r, c, NULL, "a path into .git");
		if (pattern_path(&out, paths[i]))
			review_say(r, c, NULL, "a path that is not plain and relative");
		if (is_deceptive(paths[i]))
			review_say(r, c, NULL, "a path with characters that deceive");
	}
}

/* ---- links and modules ---- */

static bool is_type(const struct guard_change *c, unsigned type)
{
	return (c->new_mode & MODE_TYPE) == type;
}

/* A link's only line is where it leads. */
static bool leads_out(const struct guard_change *c, const struct guard_line *l)
{
	int depth = 0;
	for (const char *p = c->path; *p; p++)
		depth += *p == '/';
	if (l->len && l->text[0] == '/')
		return true;
	for (size_t i = 0; i < l->len;) {
		size_t n = 0;
		while (i + n < l->len && l->text[i + n] != '/')
			n++;
		if (n == 2 && memcmp(l->text + i, "..", 2) == 0)
			depth--;
		else if (n && !(n == 1 && l->text[i] == '.'))
			depth++;
		if (depth < 0 || (n >= 4 && strncasecmp(l->text + i, ".git", 4) == 0))
			return true;
		i += n + 1;
	}
	return false;
}

void check_symlink_out(struct review *r, const struct guard_change *c)
{
	if (!is_type(c, MODE_LINK))
		return;
	if (c->n_added != 1 && c->kind != GUARD_RENAME && c->kind != GUARD_DELETE)
		review_say(r, c, NULL, "a symbolic link that leads nobody knows where");
	for (size_t i = 0; i < c->n_added; i++)
		if (leads_out(c, &c->added[i]))
			review_say(r, c, &c->added[i], "a symbolic link out of the repository");
}

void check_symlink(struct review *r, const struct guard_change *c)
{
	if (is_type(c, MODE_LINK) && c->kind != GUARD_DELETE)
		review_say(r, c, NULL, "a symbolic link");
}

void check_submodule(struct review *r, const struct guard_change *c)
{
	static struct pattern modules = PATTERN_CASELESS("(?:^|/)\\.gitmodules$");
	each_path(r, c, &modules, "says where submodules come from");
	if (is_type(c, MODE_MODULE) || (c->old_mode & MODE_TYPE) == MODE_MODULE)
		review_say(r, c, NULL, "a submodule");
}

void check_attributes(struct review *r, const struct guard_change *c)
{
	static struct pattern files =
		PATTERN_CASELESS("(?:^|/)\\.(?:gitattributes|lfsconfig|gitconfig|mailmap)$");
	each_path(r, c, &files, "changes how git treats files");
}

/* ---- files with power ---- */

void check_workflow(struct review *r, const struct guard_change *c)
{
	static struct pattern ci = PATTERN_CASELESS(
		"(?:^|/)(?:\\.github/(?:workflows|actions)/|\\.circleci/|\\.buildkite/|\\.gitlab/|"
		"\\.woodpecker/|\\.azure-pipelines/|\\.tekton/"
		"|\\.drone\\.ya?ml$|\\.travis\\.ya?ml$|"
		"\\.gitlab-ci[^/]*\\.ya?ml$|\\.woodpecker\\.ya?ml$|azure-pipelines[^/]*\\.ya?ml$|"
		"bitbucket-pipelines\\.ya?ml$|appveyor\\.ya?ml$|\\.appveyor\\.ya?ml$|"
		"cloudbuild\\.ya?ml$|Jenkinsfile[^/]*$|\\.cirrus\\.ya?ml$|action\\.ya?ml$)");
	static struct pattern owners = PATTERN_CASELESS(
		"(?:^|/)(?:CODEOWNERS|OWNERS|OWNERS_ALIASES|MAINTAINERS|"
		"\\.github/(?:dependabot|settings|renovate)[^/]*|\\.mergify\\.ya?ml|"
		"renovate\\.json5?)$");
	each_path(r, c, &ci, "says what CI runs");
	each_path(r, c, &owners, "says who must agree to changes");
}

void check_autorun(struct review *r, const struct guard_change *c)
{
	static struct pattern files = PATTERN_CASELESS(
		"(?:^|/)(?:\\.vscode/|\\.idea/|\\.devcontainer/|\\.husky/|\\.githooks/|\\.claude/|"
		"\\.cursor/|\\.codex/|\\.factory/|\\.cargo/config|\\.envrc$|\\.direnv|"
		"\\.mcp\\.json$|\\.pre-commit-config\\.ya?ml$|lefthook\\.ya?ml$|\\.npmrc$|"
		"\\.yarnrc|\\.pypirc$|pip\\.conf$|\\.bundle/config$|\\.bazelrc$|"
		"sitecustomize\\.py$|usercustomize\\.py$|[^/]*\\.pth$|\\.gdbinit$|\\.lldbinit$|"
		"\\.bashrc$|\\.profile$|\\.netrc$|\\.ssh/|cron\\.[a-z]+/|crontab$|"
		"(?:CLAUDE|AGENTS|GEMINI)\\.md$|\\.cursorrules$|copilot-instructions\\.md$)");
	static struct pattern scripts =
		PATTERN("\"(?:pre|post)?(?:install|prepare|publish|pack)\"\\s*:");
	each_path(r, c, &files, "is read or run by tools of whoever opens the repository");
	bool package = glob_match("**/package.json", c->path);
	for (size_t i = 0; package && i < c->n_added; i++)
		if (pattern_line(&scripts, &c->added[i]))
			review_say(r, c, &c->added[i], "runs when the package is installed");
}

void check_permission(struct review *r, const struct guard_change *c)
{
	static struct pattern sudo =
		PATTERN_CASELESS("(?:^|/)(?:sudoers(?:\\.d/.*)?|polkit-1/.*|pam\\.d/.*)$");
	static struct pattern workflow = PATTERN(
		"^\\s*permissions\\s*:|write-all|\\bpull_request_target\\b|\\bworkflow_run\\s*:|"
		"secrets\\s*:\\s*inherit|\\bself-hosted\\b|^\\s*id-token\\s*:|"
		"^\\s*(?:actions|checks|contents|deployments|issues|packages|pull-requests|"
		"statuses|security-events)\\s*:\\s*write\\b");
	static struct pattern any = PATTERN_CASELESS(
		"\\bchmod\\s+(?:-R\\s+)?(?:[ugoa]*\\+[rwx]*s|[0-7]?777\\b|[2467][0-7]{3}\\b|"
		"[oa]*\\+w)|\\bNOPASSWD\\b|--privileged\\b|\\bprivileged\\s*:\\s*true|"
		"docker\\.sock\\b|\\bhost(?:Network|PID|IPC)\\s*:\\s*true|"
		"allowPrivilegeEscalation\\s*:\\s*true|\\bcluster-admin\\b|\\bsetcap\\s|"
		"\\brunAsUser\\s*:\\s*0\\b|\"Action\"\\s*:\\s*\"\\*\"|\\bactions?\\s*=\\s*\\[\\s*"
		"\"\\*\""
		"|\\b0\\.0\\.0\\.0/0\\b|\\bcap_add\\b|\\bset(?:e|re)?uid\\s*\\(\\s*0");
	each_path(r, c, &sudo, "says who may become whom");
	unsigned before = c->old_mode & MODE_RIGHTS, after = c->new_mode & MODE_RIGHTS;
	if (after & ~before & 0111 && (c->old_mode || c->kind == GUARD_ADD))
		review_say(r, c, NULL, "the file becomes executable");
	if (after & 07022)
		review_say(r, c, NULL, "the file gets special or shared rights");
	enum language language = path_language(c->path);
	for (size_t i = 0; i < c->n_added; i++) {
		const struct guard_line *l = &c->added[i];
		bool config = language == LANGUAGE_CONFIG && pattern_line(&workflow, l);
		if (language == LANGUAGE_NONE || line_is_comment(language, l) ||
		    line_was_there(c, l))
			continue;
		if (config || pattern_line(&any, l))
			review_say(r, c, l, "widens rights");
	}
}

/* ---- what a review can take ---- */

static bool is_planned(const struct guard_names *plan, const char *path)
{
	for (size_t i = 0; i < plan->n; i++)
		if (str_eq(plan->items[i], path))
			return true;
	return plan->n == 0;
}

void check_outside(struct review *r, const struct guard_change *c)
{
	const struct guard_policy *p = r->policy;
	const char *paths[] = {c->path, c->old_path};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const char *path = paths[i];
		if (!path)
			continue;
		if (p->paths.n && !names_match(&p->paths, path, strlen(path)))
			review_say(r, c, NULL, "outside the paths that may be changed");
		if (!is_planned(&p->plan, path))
			review_say(r, c, NULL, "the plan did not say that it would touch this");
	}
}

void check_binary(struct review *r, const struct guard_change *c)
{
	bool nul = false;
	for (size_t i = 0; !nul && i < c->n_added; i++)
		nul = memchr(c->added[i].text, 0, c->added[i].len) != NULL;
	if ((c->binary || nul) && c->kind != GUARD_DELETE)
		review_say(r, c, NULL, "a binary file");
}

void check_size(struct review *r)
{
	size_t lines = 0;
	int64_t max_files = r->policy->max_files ? r->policy->max_files : GUARD_FILES;
	int64_t max_lines = r->policy->max_lines ? r->policy->max_lines : GUARD_LINES;
	for (size_t i = 0; i < r->n; i++)
		if (!path_is_lock(r->changes[i].path))
			lines += r->changes[i].n_added + r->changes[i].n_removed;
	if (r->n > (size_t)max_files)
		review_say(r, NULL, NULL, "%zu files, more than %" PRId64, r->n, max_files);
	if (lines > (size_t)max_lines)
		review_say(r, NULL, NULL, "%zu lines, more than %" PRId64, lines, max_lines);
}

void check_generated(struct review *r, const struct guard_change *c)
{
	static struct pattern files = PATTERN_CASELESS(
		"\\.min\\.(?:js|css|mjs)$|\\.(?:js|css)\\.map$|(?:^|/)(?:node_modules|vendor|dist|"
		"third_party|\\.venv|__pycache__|\\.next)/"
		"|[._]pb2?\\.(?:go|py|cc|h|rb)$|_pb2_grpc\\.py$|"
		"\\.(?:pyc|class|o|so|dll|exe|jar|whl)$");
	int64_t max = r->policy->max_line_bytes ? r->policy->max_line_bytes : GUARD_LINE_BYTES;
	each_path(r, c, &files, "is generated, or not this repository's own");
	for (size_t i = 0; i < c->n_added; i++)
		if (c->added[i].len > (size_t)max)
			review_say(r, c, &c->added[i], "a line of %zu bytes", c->added[i].len);
}

void check_license(struct review *r, const struct guard_change *c)
{
	static struct pattern files =
		PATTERN_CASELESS("(?:^|/)(?:LICEN[CS]E|COPYING|NOTICE|PATENTS)(?:[.-][^/]*)?$");
	static struct pattern header = PATTERN_CASELESS(
		"SPDX-License-Identifier|\\bcopyright\\b.*(?:\\(c\\)|\xc2\xa9|[12][0-9]{3})|"
		"all rights reserved|licensed under the ");
	each_path(r, c, &files, "a licence");
	if (c->kind == GUARD_DELETE)
		return;
	for (size_t i = 0; i < c->n_removed; i++) {
		const struct guard_change back = {.removed = c->added, .n_removed = c->n_added};
		if (pattern_line(&header, &c->removed[i]) && !line_was_there(&back, &c->removed[i]))
			review_say(r, c, &c->removed[i], "a licence header goes");
	}
}
