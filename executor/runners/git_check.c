/* The repository's checks, in a tree of their own that git made from the commit: without .git, and
 * without anything else of the workspace. */
#include "common/clock.h"
#include "common/mem.h"
#include "executor/runners/git_private.h"

enum {
	DISK_EVERY_TICKS = 5, /* about a second */
	NAMED_BYTES = 1200,   /* of the tests that failed */
	ENV_MAX = CHECK_ENV_MAX + 8,
	BINDS_MAX = CHECK_BINDS_MAX + 2,
};

/* One check under way, watched. */
struct watch {
	struct git_work *w;
	unsigned ticks;
	bool full;
};

static bool over_disk(struct watch *watch)
{
	const struct git_work *w = watch->w;
	int64_t disk = w->job->target.disk_bytes;
	watch->full = !workspace_within(&w->ws, "check", disk, CHECK_FILES_MAX) ||
		      !workspace_within(&w->ws, "tmp", disk, CHECK_FILES_MAX);
	return watch->full;
}

static bool on_tick(void *ctx)
{
	struct watch *watch = ctx;
	const struct run_limits *l = watch->w->limits;
	if (l->tick && !l->tick(l->tick_ctx))
		return false;
	return ++watch->ticks % DISK_EVERY_TICKS != 0 || !over_disk(watch);
}

static void fill_env(const struct git_work *w, char **env)
{
	size_t n = 0;
	env[n++] = mem_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	env[n++] = mem_strdup("LANG=C.UTF-8");
	env[n++] = mem_strdup("CI=true");
	env[n++] = mem_printf("HOME=%s/tmp", w->ws.path);
	env[n++] = mem_printf("TMPDIR=%s/tmp", w->ws.path);
	for (size_t i = 0; w->job->target.env[i]; i++)
		env[n++] = mem_strdup(w->job->target.env[i]);
}

static size_t fill_binds(const struct git_work *w, struct sandbox_bind *binds)
{
	const struct git_target *t = &w->job->target;
	size_t n = 0;
	binds[n++] =
		(struct sandbox_bind){.path = mem_printf("%s/check", w->ws.path), .writable = true};
	binds[n++] =
		(struct sandbox_bind){.path = mem_printf("%s/tmp", w->ws.path), .writable = true};
	for (size_t i = 0; i < t->n_readonly; i++)
		binds[n++] = (struct sandbox_bind){.path = mem_strdup(t->readonly[i])};
	return n;
}

static void run_check(struct git_work *w, const struct git_check *c, struct watch *watch,
		      struct run_result *out)
{
	const struct git_target *t = &w->job->target;
	char *env[ENV_MAX + 1] = {0};
	struct sandbox_bind binds[BINDS_MAX] = {0};
	size_t n = fill_binds(w, binds);
	fill_env(w, env);
	struct sandbox_job job = {.argv = c->argv,
				  .env = env,
				  .binds = binds,
				  .n_binds = n,
				  .cwd = binds[0].path,
				  .bounds = {.memory_bytes = t->memory_bytes,
					     .file_bytes = t->disk_bytes,
					     .processes = t->processes,
					     .open_files = CHECK_OPEN_FILES}};
	struct run_limits own = *w->limits;
	own.timeout_ms = MIN(c->timeout_ms, MAX(git_left_ms(w), 1));
	own.output_limit_bytes = CHECK_OUTPUT_BYTES;
	own.keep_end = true;
	own.target = NULL;
	own.tick = on_tick;
	own.tick_ctx = watch;
	sandbox_run(&job, &own, out);
	for (size_t i = 0; i < n; i++)
		free(binds[i].path);
	for (size_t i = 0; env[i]; i++)
		free(env[i]);
}

static char *command_text(const struct git_check *c)
{
	auto_buf text = {0};
	for (size_t i = 0; c->argv[i]; i++)
		buf_printf(&text, "%s%s", i ? " " : "", c->argv[i]);
	return buf_detach(&text);
}

/* The tests that failed by name: from the report, else from what was printed. */
static void tell_tests(struct git_work *w, const struct git_check *c, const struct run_result *r)
{
	auto_buf text = {0}, lines = {0};
	struct test_results tests = {0};
	struct why why = {0};
	auto_free char *path = mem_printf("check/%s", c->report ? c->report : "");
	int rc = c->report ? workspace_read(&w->ws, path, CHECK_REPORT_BYTES, &text, &why)
			   : ERR_NOT_FOUND;
	if (c->report && rc)
		buf_printf(&w->result->output, "report not read: %s\n", why.text);
	bool any = rc ? test_results_read(buf_str(&r->output), r->output.len, NAMED_BYTES, &tests,
					  &lines)
		      : test_results_read(buf_str(&text), text.len, NAMED_BYTES, &tests, &lines);
	if (any)
		buf_printf(&w->result->output, "tests: %zu passed, %zu failed\n%s", tests.passed,
			   tests.failed, buf_str(&lines));
}

static void tell_output(struct git_work *w, const struct run_result *r)
{
	struct buf *out = &w->result->output;
	size_t room = out->len < CHECK_TEXT_BYTES ? CHECK_TEXT_BYTES - out->len : 0;
	size_t cut = r->output.len > room ? r->output.len - room : 0;
	if (cut || r->truncated)
		buf_add_str(out, "[...]\n");
	buf_add(out, buf_str(&r->output) + cut, r->output.len - cut);
	w->result->truncated = w->result->truncated || cut || r->truncated;
}

static int check_failed(struct git_work *w, size_t i, const struct watch *watch,
			const struct run_result *r)
{
	const struct git_target *t = &w->job->target;
	auto_free char *command = command_text(&t->checks[i]);
	char how[WHY_TEXT_BYTES];
	if (watch->full)
		snprintf(how, sizeof(how), "its files took more than %" PRId64 " MiB or %d entries",
			 t->disk_bytes >> 20, CHECK_FILES_MAX);
	else if (r->state != RUN_ENDED)
		snprintf(how, sizeof(how), "%s", r->why.text);
	else
		snprintf(how, sizeof(how), "exit code %d", r->exit_code);
	buf_printf(&w->result->output, "check %zu of %zu failed: %s: %s\n", i + 1, t->n_checks,
		   command, how);
	tell_tests(w, &t->checks[i], r);
	tell_output(w, r);
	w->result->exit_code = r->exit_code;
	return git_fail(w, "check %zu of %zu failed: %.200s: %.200s", i + 1, t->n_checks, command,
			how);
}

static int check_one(struct git_work *w, size_t i, struct buf *passed)
{
	struct watch watch = {.w = w};
	struct run_result r = {.state = RUN_FAILED};
	auto_free char *command = command_text(&w->job->target.checks[i]);
	int64_t began = clock_mono_ms();
	run_check(w, &w->job->target.checks[i], &watch, &r);
	over_disk(&watch);
	int rc = 0;
	if (r.state != RUN_ENDED || r.exit_code != 0 || watch.full)
		rc = check_failed(w, i, &watch, &r);
	else
		buf_printf(passed, "check %zu of %zu passed in %.1f s: %s\n", i + 1,
			   w->job->target.n_checks, (double)(clock_mono_ms() - began) / 1000,
			   command);
	buf_release(&r.output);
	return rc;
}

int git_check_all(struct git_work *w)
{
	auto_buf passed = {0};
	int rc = workspace_fresh(&w->ws, "tmp", w->ids.uid, w->ids.gid, &w->result->why);
	for (size_t i = 0; !rc && i < w->job->target.n_checks; i++)
		rc = check_one(w, i, &passed);
	if (rc && passed.len && w->result->output.len)
		buf_add_char(&w->result->output, '\n');
	buf_add(&w->result->output, buf_str(&passed), passed.len);
	return rc ? ERR_REJECTED : 0;
}
