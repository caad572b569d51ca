/* The agent runner: small scripts play the agent, on a real repository in the real sandbox. */
#include "executor/action.h"
#include "executor/runners/git_private.h"
#include "executor/sandboxes/launcher.h"
#include "tests/unit/executor/support.h"

#include <sys/stat.h>
#include <sys/wait.h>

static char *dir;
static char base[GIT_SHA_LEN + 1];

static void sh(const char *script)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
		if (chdir(dir))
			_exit(126);
		execl("/bin/sh", "sh", "-ec", script, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	if (status)
		fail_msg("%s", script);
}

static int setup(void **state)
{
	(void)state;
	dir = support_dir();
	assert_int_equal(chmod(dir, 0711), 0);
	sh("mkdir state tools && git init -q -b main w && cd w && printf 'add() {\\n\\techo $(($1 "
	   "- $2))\\n}\\n' "
	   ">calc.sh && printf 'import calc\\n\\ndef test_add():\\n    assert 1\\n' >test_calc.py "
	   "&& git add -A && "
	   "git -c user.name=P -c user.email=p@example.org commit -qm one && git rev-parse HEAD "
	   ">../head && "
	   "cd .. && git clone -q --bare w repo.git && git -C repo.git config "
	   "uploadpack.allowFilter true && "
	   "if [ $(id -u) = 0 ]; then chown -R nobody repo.git; fi; "
	   "printf 'canary-key-0123456789' >key && chmod 600 key");
	auto_free char *head = mem_printf("%s/head", dir);
	auto_buf text = {0};
	assert_int_equal(buf_read_file(&text, head, 100), 0);
	memcpy(base, text.data, GIT_SHA_LEN);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_remove(dir);
	free(dir);
	return 0;
}

static void load(struct executor_config *config, const char *script, const char *more)
{
	auto_free char *tools = mem_printf("%s/tools", dir);
	auto_buf tool = {0};
	buf_add_str(&tool,
		    "name: agent_test\nsummary: An agent\nlevel: soft\nparams:\n"
		    "  sha: {type: string}\n  branch: {type: string, default: \"\"}\n"
		    "  task: {type: text}\nrunner: agent\nprompt: \"Do: {{ .params.task }}\"\n"
		    "timeout: 60s\nargv: [/bin/sh, -c, ");
	buf_add_json(&tool, script, strlen(script));
	buf_printf(&tool, "]\n%s", more);
	support_write(tools, "agent_test.yaml", tool.data);
	auto_free char *yaml =
		mem_printf("git: {protocols: file}\nstate_dir: %s/state\ntargets:\n"
			   "  - id: o_r\n    kind: repository\n    tools: [agent_test]\n"
			   "    attributes: {url: \"file://%s/repo.git\", repository: o/r, "
			   "checks: [[/bin/true]]}\n",
			   dir, dir);
	support_config(config, yaml, tools);
}

static struct action_result play(const char *script, const char *more)
{
	struct executor_config config;
	struct action a = {0};
	struct arena arena = {0};
	struct why why = {0};
	struct action_result r = {0};
	const struct run_limits limits = {.plan = "p1"};
	auto_free char *sha = mem_printf("sha=%s", base);
	const char *const params[] = {sha, "task=add must add", NULL};
	load(&config, script, more);
	Healbus__Plan *p = support_plan(&arena, "agent_test", "o_r", params);
	if (action_prepare(&config, "agent_test", "o_r", p->steps[0]->params, p->steps[0]->n_params,
			   &a, &why))
		fail_msg("%s", why.text);
	assert_non_null(strstr(a.text, "Do: add must add"));
	action_run(&config, &a, &limits, &r);
	action_release(&a);
	arena_release(&arena);
	support_config_release(&config);
	return r;
}

static void expect_failed(const char *script, const char *more, const char *why)
{
	struct action_result r = play(script, more);
	if (r.end != ACTION_FAILED || !strstr(r.why.text, why) || r.patch)
		fail_msg("%s: wanted \"%s\": %d \"%s\": %s", script, why, r.end, r.why.text,
			 buf_str(&r.output));
	action_result_release(&r);
}

static void proposes_a_patch(void **state)
{
	(void)state;
	struct action_result r =
		play("p=$(cat); sed -i 's/1 - /1 + /' calc.sh; echo \"$p\" >note.md; "
		     "echo done",
		     "");
	if (r.end != ACTION_DONE)
		fail_msg("%s: %s", r.why.text, buf_str(&r.output));
	assert_non_null(strstr(r.output.data, "done\n"));
	assert_non_null(strstr(r.patch, "-\techo $(($1 - $2))\n+\techo $(($1 + $2))\n"));
	assert_non_null(strstr(r.patch, "+++ b/note.md\n@@ -0,0 +1 @@\n+Do: add must add\n"));
	action_result_release(&r);
}

static void is_looked_at(void **state)
{
	(void)state;
	expect_failed("rm test_calc.py", "", "refuse: test_removed: test_calc.py");
	expect_failed("ln -s /etc/passwd p", "", "refuse: symlink_out: p");
	expect_failed("mkdir d; cd d; mkdir -p .git/objects .git/refs; echo ref: refs/heads/x "
		      ">.git/HEAD; "
		      "echo a >f",
		      "", "");
	expect_failed("true", "", "changed nothing");
	expect_failed("echo x >x; exit 3", "", "exit code 3");
}

/* A git that it leaves behind, with all its tricks, is neither run nor part of the patch. */
static void leaves_tricks(void **state)
{
	(void)state;
	struct action_result r =
		play("mkdir -p .git/hooks; printf '[core]\\n\\tfsmonitor = touch /work/pwned\\n' "
		     ">.git/config; echo '* filter=x' >.gitattributes; echo \"# new\" >>calc.sh",
		     "");
	if (r.end != ACTION_DONE)
		fail_msg("%s: %s", r.why.text, buf_str(&r.output));
	assert_non_null(strstr(r.output.data, "ask: attributes: .gitattributes"));
	assert_null(strstr(r.patch, "fsmonitor"));
	assert_null(strstr(r.patch, "pwned"));
	action_result_release(&r);
}

static void has_its_key_only(void **state)
{
	(void)state;
	setenv("HEALBUS_SECRET", "canary-env", 1);
	auto_free char *key = mem_printf("key: {file: %s/key, env: AGENT_KEY}\n", dir);
	expect_failed("env >env.txt", key, "its own key");
	struct action_result r = play("echo \"key $AGENT_KEY.\"; env | grep -v AGENT_KEY >env.md; "
				      "cat /proc/*/environ | grep -a canary-env; ls / >>env.md",
				      key);
	if (r.end != ACTION_DONE)
		fail_msg("%s: %s", r.why.text, buf_str(&r.output));
	assert_non_null(strstr(r.output.data, "key *********************."));
	assert_null(strstr(r.output.data, "canary"));
	assert_null(strstr(r.patch, "canary"));
	action_result_release(&r);
}

static void reaches_listed_hosts_only(void **state)
{
	(void)state;
	struct action_result r =
		play("curl -s --max-time 5 https://evil.example/ || echo refused; echo x >x.md",
		     "hosts: [\"api.example:443\"]\n");
	if (r.end != ACTION_DONE)
		fail_msg("%s: %s", r.why.text, buf_str(&r.output));
	assert_non_null(strstr(r.output.data, "refused\n"));
	assert_non_null(strstr(r.output.data, "hosts that are not listed: evil.example:443\n"));
	action_result_release(&r);
}

static void is_refused_without_a_sandbox(void **state)
{
	(void)state;
	sandbox_forget();
	expect_failed("echo x >x", "", "no sandbox: refused");
	sandbox_probe(SANDBOX_WISH_AUTO);
}

int main(void)
{
	struct why why = {0};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proposes_a_patch),
		cmocka_unit_test(is_looked_at),
		cmocka_unit_test(leaves_tricks),
		cmocka_unit_test(has_its_key_only),
		cmocka_unit_test(reaches_listed_hosts_only),
		cmocka_unit_test(is_refused_without_a_sandbox),
	};
	if (launcher_open(&why))
		fail_msg("%s", why.text);
	sandbox_probe(SANDBOX_WISH_AUTO);
	return cmocka_run_group_tests(tests, setup, teardown);
}
