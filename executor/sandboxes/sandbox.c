#include "executor/sandboxes/sandbox.h"

#include <pwd.h>

#include "common/mem.h"

static const struct sandbox *const rows[] = {&sandbox_bwrap, &sandbox_bwrap_noproc,
					     &sandbox_landlock};

/* Set once by sandbox_probe before any other thread exists. */
static const struct sandbox *chosen;

static bool works(const struct sandbox *s)
{
	char *const argv[] = {(char *)"/usr/bin/true", NULL};
	char *const env[] = {NULL};
	struct sandbox_job job = {.argv = argv, .env = env};
	struct run_limits limits = {.timeout_ms = 10000, .output_limit_bytes = 1024};
	struct run_result result = {0};
	s->run(&job, &limits, &result);
	bool ok = result.state == RUN_ENDED && result.exit_code == 0;
	buf_release(&result.output);
	return ok;
}

static bool wished(const struct sandbox *s, enum sandbox_wish wish)
{
	if (wish == SANDBOX_WISH_BWRAP)
		return s->level == SANDBOX_FULL;
	return wish == SANDBOX_WISH_AUTO || s->level == SANDBOX_LANDLOCK;
}

void sandbox_probe(enum sandbox_wish wish)
{
	chosen = NULL;
	for (size_t i = 0; !chosen && i < ARRAY_SIZE(rows); i++)
		if (wished(rows[i], wish) && works(rows[i]))
			chosen = rows[i];
}

void sandbox_forget(void)
{
	chosen = NULL;
}

enum sandbox_level sandbox_level(void)
{
	return chosen ? chosen->level : SANDBOX_NONE;
}

const char *sandbox_level_name(enum sandbox_level level)
{
	static const char *const names[] = {"none", "landlock", "full"};
	return names[level];
}

static void run_off(const struct sandbox_job *job, const struct run_limits *limits,
		    struct run_result *result)
{
	struct spawn s = {.argv = job->argv,
			  .env = job->env,
			  .cpu_limit_s = limits->timeout_ms / 500 + 1,
			  .bounds = job->bounds};
	if (sandbox_user(job->user ? job->user : "root", &s.ids, &result->why)) {
		result->state = RUN_FAILED;
		return;
	}
	spawn_run(&s, limits, result);
}

const struct sandbox sandbox_off = {.name = "none", .level = SANDBOX_NONE, .run = run_off};

void sandbox_run(const struct sandbox_job *job, const struct run_limits *limits,
		 struct run_result *result)
{
	const struct sandbox *s =
		job->unconfined && limits->allow_unsandboxed ? &sandbox_off : chosen;
	if (job->unconfined && !limits->allow_unsandboxed)
		s = NULL;
	if (!s) {
		result->state = RUN_FAILED;
		why_set(&result->why, ERR_DENIED, "no sandbox: refused");
		return;
	}
	s->run(job, limits, result);
}

static int user_number(const char *text, struct spawn_ids *out, struct why *out_why)
{
	unsigned long id = strtoul(text, NULL, 10);
	if (id == 0 || id >= INT32_MAX)
		return why_set(out_why, ERR_NOT_FOUND, "no user %s", text);
	if (geteuid() != 0 && id != geteuid())
		return why_set(out_why, ERR_DENIED, "needs user %s, the executor is not root",
			       text);
	*out = (struct spawn_ids){.uid = (uid_t)id, .gid = (gid_t)id, .change = geteuid() == 0};
	return 0;
}

int sandbox_user(const char *name, struct spawn_ids *out, struct why *out_why)
{
	uid_t me = geteuid();
	if (!name && me != 0) {
		*out = (struct spawn_ids){.uid = me, .gid = getegid()};
		return 0;
	}
	struct passwd entry, *found = NULL;
	char text[4096];
	if (name && *name && strspn(name, "0123456789") == strlen(name))
		return user_number(name, out, out_why);
	if (getpwnam_r(name ? name : "nobody", &entry, text, sizeof(text), &found) || !found)
		return why_set(out_why, ERR_NOT_FOUND, "no user %s", name ? name : "nobody");
	if (me != 0 && found->pw_uid != me)
		return why_set(out_why, ERR_DENIED, "needs user %s, the executor is not root",
			       name);
	*out = (struct spawn_ids){.uid = found->pw_uid,
				  .gid = found->pw_gid,
				  .change = me == 0 && found->pw_uid != 0};
	return 0;
}
