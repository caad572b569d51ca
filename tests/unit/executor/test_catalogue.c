/* The shipped tools, what a tool file may not say, and what rendering makes of parameters. */
#include "executor/action.h"
#include "tests/unit/executor/support.h"

static struct executor_config config;

static const char yaml[] = "targets:\n"
			   "  - id: web\n"
			   "    kind: service\n"
			   "    tools: ['*']\n"
			   "    manager: runit\n"
			   "    paths: [/var/tmp/web, /var/log/web]\n"
			   "    hosts: [127.0.0.1:8080, db.example.com]\n"
			   "    attributes:\n"
			   "      service_dir: /etc/service/web\n"
			   "      log_dir: /var/log/web\n"
			   "      container: web\n"
			   "      redis_host: 127.0.0.1\n"
			   "      queue_api: http://db.example.com:15672\n"
			   "      queue_auth_file: /etc/healbus/queue\n"
			   "      jobs_api: http://127.0.0.1:8080/jobs\n"
			   "      deploy_root: /srv/web\n"
			   "  - id: unit\n"
			   "    tools: [service_*]\n"
			   "    manager: systemd\n"
			   "    attributes: {unit: web.service}\n"
			   "  - id: odd\n"
			   "    tools: [service_*]\n"
			   "    manager: sysv\n";

static int setup(void **state)
{
	(void)state;
	support_config(&config, yaml, support_tools());
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	support_config_release(&config);
	return 0;
}

static char *render_step(const char *tool, const char *target, const char *const *params,
			 struct why *out_why)
{
	struct arena arena = {0};
	struct action a = {0};
	Healbus__Plan *p = support_plan(&arena, tool, target, params);
	Healbus__Step *s = p->steps[0];
	int rc = action_prepare(&config, s->tool, s->target, s->params, s->n_params, &a, out_why);
	char *text = rc ? NULL : mem_strdup(a.text);
	action_release(&a);
	arena_release(&arena);
	return text;
}

static void test_shipped(void **state)
{
	(void)state;
	assert_true(catalogue_size(config.catalogue) >= 20);
	for (size_t i = 0; i < catalogue_size(config.catalogue); i++)
		assert_true(strlen(catalogue_tool(config.catalogue, i)->summary) > 10);
}

static const struct {
	const char *tool, *target, *params[4], *text;
} renderings[] = {
	{"service_restart", "web", {NULL}, "/usr/bin/sv -w 20 restart /etc/service/web  (as root)"},
	{"service_restart", "unit", {NULL}, "/usr/bin/systemctl restart web.service  (as root)"},
	{"service_status", "web", {NULL}, "/usr/bin/sv status /etc/service/web  (as root)"},
	{"process_signal", "web", {"signal=usr1"}, "/usr/bin/sv 1 /etc/service/web  (as root)"},
	{"process_signal", "web", {"signal=hup"}, "/usr/bin/sv hup /etc/service/web  (as root)"},
	{"clean_tmp",
	 "web",
	 {"path=/var/tmp/web/cache", "older_than_hours=2"},
	 "/usr/bin/find /var/tmp/web/cache -xdev -mindepth 1 -type f -mmin +120 -delete "
	 "-print "
	 " (as root)"},
	{"disk_usage",
	 "web",
	 {"path=/var/log/web"},
	 "/usr/bin/df --output=pcent /host/var/log/web  (as root)"},
	{"truncate_log",
	 "web",
	 {"path=/var/log/web/a.log"},
	 "/usr/bin/truncate --no-create --size=0 /var/log/web/a.log  (as root)"},
	{"vacuum_journal",
	 "web",
	 {"max_size=200M"},
	 "/usr/bin/journalctl --vacuum-size=200M  (as root)"},
	{"docker_restart",
	 "web",
	 {NULL},
	 "POST http://docker/containers/web/restart?t=5 over /run/healbus-broker/docker.sock"},
	{"http_probe",
	 "web",
	 {"url=http://127.0.0.1:8080/health"},
	 "GET http://127.0.0.1:8080/health"},
	{"tcp_probe",
	 "web",
	 {"host=db.example.com", "port=5432"},
	 "connect tcp db.example.com:5432"},
	{"queue_purge_stuck",
	 "web",
	 {"queue=mail"},
	 "DELETE http://db.example.com:15672/api/queues/%2F/mail/contents"},
	{"job_cancel", "web", {"job=17"}, "POST http://127.0.0.1:8080/jobs/17/cancel"},
	{"deploy_rollback",
	 "web",
	 {"to=v41"},
	 "/usr/bin/ln --symbolic --force --no-target-directory releases/v41 "
	 "/srv/web/current  "
	 "(as root)"},
	{"dns_check", "web", {"name=example.com"}, "/usr/bin/getent ahosts example.com"},
};

static void test_rendering(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(renderings); i++) {
		struct why why = {0};
		auto_free char *text = render_step(renderings[i].tool, renderings[i].target,
						   renderings[i].params, &why);
		if (!text)
			fail_msg("%s: %s", renderings[i].tool, why.text);
		assert_string_equal(text, renderings[i].text);
	}
}

/* Words from outside that must not become part of a command, and why they do not. */
static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *tool, *target, *params[4], *why;
	} rows[] = {
		{"clean_tmp", "web", {"path=/var/tmp/web; rm -rf /"}, "not a plain absolute path"},
		{"clean_tmp", "web", {"path=/var/tmp/web/../../etc"}, "not a plain absolute path"},
		{"clean_tmp", "web", {"path=/var/tmp/web/./x"}, "not a plain absolute path"},
		{"clean_tmp", "web", {"path=/var/tmp/web//x"}, "not a plain absolute path"},
		{"clean_tmp", "web", {"path=/var/tmp/webx"}, "outside the target's paths"},
		{"clean_tmp", "web", {"path=/etc"}, "outside the target's paths"},
		{"clean_tmp", "web", {"path=tmp"}, "does not match"},
		{"clean_tmp", "web", {"path=-delete"}, "begins with '-'"},
		{"clean_tmp", "web", {"path=/var/tmp/web/a\nb"}, "does not match"},
		{"clean_tmp", "web", {"path=/var/tmp/web", "older_than_hours=0"}, "out of range"},
		{"clean_tmp",
		 "web",
		 {"path=/var/tmp/web", "older_than_hours=1;id"},
		 "whole number"},
		{"clean_tmp", "web", {"path=/var/tmp/web", "older_than_hours="}, "whole number"},
		{"clean_tmp",
		 "web",
		 {"path=/var/tmp/web", "force=yes"},
		 "parameter force: unknown"},
		{"clean_tmp", "web", {"path=/var/tmp/web", "path=/var/tmp/web"}, "given twice"},
		{"clean_tmp", "web", {NULL}, "parameter path: is missing"},
		{"job_cancel", "web", {"job=; rm -rf /"}, "does not match"},
		{"job_cancel", "web", {"job=$(reboot)"}, "does not match"},
		{"job_cancel", "web", {"job=../../x"}, "does not match"},
		{"job_cancel", "web", {"job=-rf"}, "begins with '-'"},
		{"job_cancel", "web", {"job=a\n"}, "does not match"},
		{"job_cancel", "web", {"job={{ .target }}"}, "does not match"},
		{"process_signal", "web", {"signal=stop"}, "not one of its values"},
		{"http_probe",
		 "web",
		 {"url=http://169.254.169.254/latest"},
		 "not one of the target's"},
		{"http_probe", "web", {"url=http://127.0.0.1:9090/"}, "not one of the target's"},
		{"http_probe", "web", {"url=http://127.0.0.1:8080@evil/"}, "does not match"},
		{"http_probe", "web", {"url=file:///etc/passwd"}, "does not match"},
		{"tcp_probe",
		 "web",
		 {"host=example.org", "port=80"},
		 "not one of the target's hosts"},
		{"vacuum_journal", "web", {"max_size=1 --flush"}, "does not match"},
		{"no_such_tool", "web", {NULL}, "no tool no_such_tool"},
		{"service_restart", "nowhere", {NULL}, "no target nowhere"},
		{"disk_usage", "unit", {"path=/x"}, "disk_usage is not allowed on unit"},
		{"service_restart", "odd", {NULL}, "no variant for this target"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct why why = {0};
		auto_free char *text =
			render_step(rows[i].tool, rows[i].target, rows[i].params, &why);
		if (text)
			fail_msg("%s rendered: %s", rows[i].tool, text);
		if (!strstr(why.text, rows[i].why))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, why.text, rows[i].why);
	}
}

#define HEAD "name: t\nsummary: A tool for a test\nlevel: soft\n"
#define PARAM "params:\n  a: {type: string}\n"

static void test_bad_files(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} rows[] = {
		{HEAD "argv: [/bin/sh, -c, '{{ .params.a }}']\n" PARAM, "must be constant"},
		{HEAD "argv: [/usr/bin/bash, '{{ .params.a }}']\n" PARAM, "must be constant"},
		{HEAD "argv: [/usr/bin/python3.11, '{{ .params.a }}']\n" PARAM, "must be constant"},
		{HEAD "argv: [/usr/bin/env, '{{ .params.a }}']\n" PARAM, "must be constant"},
		{HEAD "argv: [/usr/bin/xargs, '{{ .params.a }}']\n" PARAM, "must be constant"},
		{HEAD "argv: [/usr/bin/docker, run, '{{ .params.a }}']\n" PARAM,
		 "must be constant"},
		{HEAD "argv: [/usr/bin/gawk, '{{ .params.a }}']\n" PARAM, "must be constant"},
		{HEAD "argv: [/lib64/ld-linux-x86-64.so.2, '{{ .params.a }}']\n" PARAM,
		 "must be constant"},
		{HEAD "argv: [/usr/bin/find, /tmp, -exec, rm, '{}', ;]\n", "find may not -exec"},
		{HEAD "argv: [ls]\n", "absolute path"},
		{HEAD "argv: ['{{ .params.a }}']\n" PARAM, "absolute path"},
		{HEAD, "argv: missing"},
		{HEAD "argv: [/bin/true]\nshell: yes\n", "shell"},
		{HEAD "argv: [/bin/true]\nurl: http://x/\n", "url"},
		{HEAD "runner: telnet\n", "no runner \"telnet\""},
		{HEAD "argv: [/bin/true]\nenv: {LD_PRELOAD: x}\n", "may not be set"},
		{HEAD "argv: [/bin/true]\nverify: {tool: nothing}\n", "no tool nothing"},
		{HEAD "argv: [/bin/true]\nverify: {tool: t}\n", "may not be used here"},
		{HEAD "argv: [/bin/echo, '{{ . | nonsense }}']\n", "argv"},
		{HEAD "argv: [/bin/true]\nparams:\n  a: {type: words}\n", "not a parameter type"},
		{HEAD "argv: [/bin/true]\nparams:\n  a: {type: text}\n", "takes no text"},
		{HEAD "runner: git\n", "git: missing"},
		{HEAD "argv: [/bin/true]\nparams:\n  a: {type: string, pattern: '('}\n", "pattern"},
		{HEAD "argv: [/bin/true]\ntimeout: 2h\n", "timeout"},
		{"name: t\nsummary: x\nlevel: mild\nargv: [/bin/true]\n", "level"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct why why = {0};
		struct catalogue *cat = NULL;
		auto_free char *dir = support_dir();
		support_write(dir, "t.yaml", rows[i].text);
		int rc = catalogue_load(dir, &cat, &why);
		support_remove(dir);
		if (rc == 0)
			fail_msg("row %zu was loaded", i);
		assert_int_equal(rc, ERR_CONFIG);
		if (!strstr(why.text, rows[i].why))
			fail_msg("row %zu: \"%s\" lacks \"%s\"", i, why.text, rows[i].why);
	}
}

static void test_control(void **state)
{
	(void)state;
	struct arena arena = {0};
	Healbus__Control *c = catalogue_control(config.catalogue, &arena);
	assert_int_equal(c->n_tools, catalogue_size(config.catalogue));
	for (size_t i = 0; i < c->n_tools; i++)
		if (str_eq(c->tools[i]->name, "tcp_probe"))
			assert_string_equal(c->tools[i]->params[1], "port:int");
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shipped), cmocka_unit_test(test_rendering),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_control),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
