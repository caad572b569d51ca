/* The repository's checks, in a cell: a copy of what git made of the commit, without .git and
 * without anything else of the workspace. */
#include "common/clock.h"
#include "common/mem.h"
#include "executor/runners/git_private.h"
#include "executor/sandboxes/cell.h"
#include "executor/sandboxes/proxy.h"

enum {
	NAMED_BYTES = 1200, /* of the tests that failed */
	ENV_MAX = CHECK_ENV_MAX + 12,
};

static void fill_env(const struct git_target *t, bool proxied, char **env)
{
	/* Where nothing can be mounted there is no /tmp either. */
	const char *tmp = sandbox_level() == SANDBOX_FULL ? "/tmp" : ".";
	size_t n = 0;
	env[n++] = mem_strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	env[n++] = mem_strdup("LANG=C.UTF-8");
	env[n++] = mem_strdup("CI=true");
	env[n++] = mem_printf("HOME=%s", tmp);
	env[n++] = mem_printf("TMPDIR=%s", tmp);
	for (size_t i = 0; proxied && i < 2; i++)
		env[n++] = mem_printf("%s=http://127.0.0.1:%d", i ? "HTTPS_PROXY" : "https_proxy",
				      PROXY_PORT);
	for (size_t i = 0; t->env[i]; i++)
		env[n++] = mem_strdup(t->env[i]);
}

static void run_in_cell(struct git_work *w, const struct git_check *c, int proxy,
			struct run_result *out)
{
	const struct git_target *t = &w->job->target;
	char *env[ENV_MAX + 1] = {0};
	struct sandbox_bind binds[CHECK_BINDS_MAX] = {0};
	auto_free char *dir = mem_printf("%s/check", w->ws.path);
	struct cell cell = {.dir = dir,
			    .scratch_dir = w->ws.path,
			    .room = {.disk_bytes = t->disk_bytes, .files = CHECK_FILES_MAX},
			    .place = t->sandbox,
			    .places = &w->limits->config->places};
	for (size_t i = 0; i < t->n_readonly; i++)
		binds[i].path = t->readonly[i];
	fill_env(t, proxy > 0, env);
	struct sandbox_job job = {.argv = c->argv,
				  .env = env,
				  .binds = binds,
				  .n_binds = t->n_readonly,
				  .proxy = proxy,
				  .bounds = {.memory_bytes = t->memory_bytes,
					     .processes = t->processes,
					     .open_files = CHECK_OPEN_FILES}};
	struct run_limits own = *w->limits;
	own.timeout_ms = MIN(c->timeout_ms, MAX(git_left_ms(w), 1));
	own.output_limit_bytes = CHECK_OUTPUT_BYTES;
	own.keep_end = true;
	own.target = NULL;
	cell_run(&cell, &job, &own, out);
	for (size_t i = 0; env[i]; i++)
		free(env[i]);
}

static void run_check(struct git_work *w, const struct git_check *c, struct run_result *out)
{
	const struct git_target *t = &w->job->target;
	struct proxy_rules rules = {.hosts = (const char *const *)t->network,
				    .n_hosts = t->n_network};
	struct proxy *proxy = NULL;
	int fd = 0;
	out->not_tried = t->n_network && proxy_open(&rules, &proxy, &fd, &out->why);
	if (out->not_tried)
		return;
	run_in_cell(w, c, fd, out);
	if (!proxy)
		return;
	auto_buf refused = {0};
	proxy_refused(proxy, &refused);
	proxy_close(proxy);
	close(fd);
	if (refused.len)
		buf_printf(&out->output, "\nnot among the hosts of attributes.network: %s\n",
			   buf_str(&refused));
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

static int check_failed(struct git_work *w, size_t i, const struct run_result *r)
{
	const struct git_target *t = &w->job->target;
	auto_free char *command = command_text(&t->checks[i]);
	auto_free char *how = r->state == RUN_ENDED ? mem_printf("exit code %d", r->exit_code)
						    : mem_strdup(r->why.text);
	const char *what = r->not_tried ? "could not be run" : "failed";
	buf_printf(&w->result->output, "check %zu of %zu %s: %s: %s\n", i + 1, t->n_checks, what,
		   command, how);
	tell_tests(w, &t->checks[i], r);
	tell_output(w, r);
	w->result->exit_code = r->exit_code;
	w->result->not_tried = r->not_tried;
	return git_fail(w, "check %zu of %zu %s: %.200s: %.200s", i + 1, t->n_checks, what, command,
			how);
}

static int check_one(struct git_work *w, size_t i, struct buf *passed)
{
	struct run_result r = {.state = RUN_FAILED};
	auto_free char *command = command_text(&w->job->target.checks[i]);
	int64_t began = clock_mono_ms();
	run_check(w, &w->job->target.checks[i], &r);
	int rc = 0;
	if (r.state != RUN_ENDED || r.exit_code != 0)
		rc = check_failed(w, i, &r);
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
	int rc = 0;
	for (size_t i = 0; !rc && i < w->job->target.n_checks; i++)
		rc = check_one(w, i, &passed);
	if (rc && passed.len && w->result->output.len)
		buf_add_char(&w->result->output, '\n');
	buf_add(&w->result->output, buf_str(&passed), passed.len);
	return rc ? ERR_REJECTED : 0;
}
