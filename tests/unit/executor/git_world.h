/* A repository made by git itself, an executor that may repair it, and acting on it. */
#ifndef TESTS_EXECUTOR_GIT_WORLD_H
#define TESTS_EXECUTOR_GIT_WORLD_H

static struct executor_config config;
static char *dir;
static char base[GIT_SHA_LEN + 1];

/* ---- a repository, by git itself ---- */

static void capture(const char *script, struct buf *out)
{
	int ends[2];
	char chunk[4096];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	auto_free char *global = mem_printf("%s/gitconfig", dir);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		if (chdir(dir))
			_exit(126);
		setenv("GIT_CONFIG_GLOBAL", global, 1);
		setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
		setenv("GIT_AUTHOR_NAME", "P", 1);
		setenv("GIT_AUTHOR_EMAIL", "p@example.org", 1);
		setenv("GIT_COMMITTER_NAME", "P", 1);
		setenv("GIT_COMMITTER_EMAIL", "p@example.org", 1);
		execl("/bin/sh", "sh", "-ec", script, (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	for (ssize_t n; (n = read(ends[0], chunk, sizeof(chunk))) > 0;)
		buf_add(out, chunk, (size_t)n);
	close(ends[0]);
	int status = 0;
	waitpid(pid, &status, 0);
	if (status)
		fail_msg("%s: %s", script, buf_str(out));
}

static void sh(const char *script)
{
	auto_buf out = {0};
	capture(script, &out);
}

static char *ask(const char *script)
{
	auto_buf out = {0};
	capture(script, &out);
	while (out.len && out.data[out.len - 1] == '\n')
		out.data[--out.len] = 0;
	return buf_detach(&out);
}

/* Programs in the sandbox are nobody's: so is what they push to. */
static const char publish[] =
	"cd w && git add -A && git commit -qm more && git push -q -f ../repo.git HEAD:main && "
	"if [ $(id -u) = 0 ]; then chown -R nobody ../repo.git; fi";

static void read_base(void)
{
	auto_free char *head = ask("git -C w rev-parse HEAD");
	snprintf(base, sizeof(base), "%s", head);
}

static void load_config(const char *attributes)
{
	auto_free char *yaml = mem_printf("git: {protocols: \"https, file\"}\n"
					  "state_dir: %s/state\n"
					  "targets:\n"
					  "  - id: o_r\n"
					  "    kind: repository\n"
					  "    tools: ['code_*']\n"
					  "    attributes:\n"
					  "      url: file://%s/repo.git\n"
					  "      repository: o/r\n"
					  "      %s\n",
					  dir, dir, attributes);
	support_config(&config, yaml, support_tools());
}

static const char plain_checks[] = "checks: [[/bin/sh, test.sh]]";

static int setup(void **state)
{
	(void)state;
	dir = support_dir();
	assert_int_equal(chmod(dir, 0711), 0);
	support_write(dir, "gitconfig", "[safe]\n\tdirectory = *\n");
	sh("mkdir state w && git init -q --bare -b main repo.git && git -C repo.git config "
	   "uploadpack.allowFilter true && git init -q -b main w && cd w "
	   "&& "
	   "printf 'add() {\\n\\techo $(($1 - $2))\\n}\\n' >calc.sh && "
	   "printf '. ./calc.sh\\n[ \"$(add 2 3)\" = 5 ] || { echo \"not ok 1 - adds\"; exit 1; "
	   "}\\n"
	   "echo \"ok 1 - adds\"\\n' >test.sh");
	sh(publish);
	read_base();
	load_config(plain_checks);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_config_release(&config);
	support_remove(dir);
	free(dir);
	return 0;
}

static void reload(const char *attributes)
{
	support_config_release(&config);
	load_config(attributes);
}

/* ---- acting ---- */

static int prepare(const char *tool, const char *const *params, struct action *a, struct why *why)
{
	struct arena arena = {0};
	Healbus__Plan *p = support_plan(&arena, tool, "o_r", params);
	const Healbus__Step *s = p->steps[0];
	int rc = action_prepare(&config, tool, "o_r", s->params, s->n_params, a, why);
	arena_release(&arena);
	return rc;
}

static struct action_result act(const char *plan, const char *tool, const char *const *params)
{
	struct action a = {0};
	struct why why = {0};
	struct action_result r = {0};
	struct run_limits limits = {.plan = plan};
	if (prepare(tool, params, &a, &why))
		fail_msg("%s: %s", tool, why.text);
	action_run(&config, &a, &limits, &r);
	action_release(&a);
	return r;
}

#define EDIT(path, old, new) "<<<<<<< SEARCH " path "\n" old "\n=======\n" new "\n>>>>>>> REPLACE\n"

static const char right[] = EDIT("calc.sh", "\techo $(($1 - $2))", "\techo $(($1 + $2))");
static const char wrong[] = EDIT("calc.sh", "\techo $(($1 - $2))", "\techo $(($1 * $2))");

static struct action_result fix(const char *plan, const char *edits)
{
	auto_free char *sha = mem_printf("sha=%s", base);
	auto_free char *text = mem_printf("edits=%s", edits);
	return act(
		plan, "code_fix",
		PARAMS(sha, "branch=main", "message=Add, do not subtract", "incident=inc1", text));
}

static struct action_result push(const char *plan, const char *branch, const char *expect)
{
	auto_free char *b = mem_printf("branch=%s", branch), *e = mem_printf("expect=%s", expect);
	return act(plan, "code_push", PARAMS(b, e));
}

static void expect_done(struct action_result r)
{
	if (r.end != ACTION_DONE)
		fail_msg("%s: %s", r.why.text, buf_str(&r.output));
	action_result_release(&r);
}

static void expect_failed(struct action_result r, const char *why)
{
	if (r.end != ACTION_FAILED || !strstr(r.why.text, why))
		fail_msg("wanted \"%s\": %d \"%s\": %s", why, r.end, r.why.text,
			 buf_str(&r.output));
	action_result_release(&r);
}

#endif
