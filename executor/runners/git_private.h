/*
 * The git runner's parts: git.c (the tool: parsing, rendering), git_target.c (what a repository's
 * inventory entry says), git_command.c (one git command in the sandbox), git_fix.c, git_push.c (the
 * acts), git_check.c (the repository's checks), git_results.c (what their reports say). Nobody else
 * includes this, but for the github runner and tests.
 */
#ifndef EXECUTOR_RUNNERS_GIT_PRIVATE_H
#define EXECUTOR_RUNNERS_GIT_PRIVATE_H

#include "common/base.h"

#include "common/github.h"
#include "executor/config.h"
#include "executor/runners/runner.h"
#include "executor/sandboxes/sandbox.h"
#include "executor/workspace.h"

#define GIT_PROGRAM "/usr/bin/git"
#define GIT_TRAILER "Healbus-Incident" /* of commits we make */

enum {
	GIT_SHA_LEN = 40,
	GIT_REF_MAX = 200,
	GIT_OUTPUT_BYTES = 16 << 10, /* of one git command, for people */
	GIT_ARGS_MAX = 24,
	CHECKS_MAX = 16,
	CHECK_ARGS_MAX = 64,
	CHECK_ENV_MAX = 32,
	CHECK_BINDS_MAX = 8,
	CHECK_HOSTS_MAX = 32,
	CHECK_TIMEOUT_MS = 300000, /* default of a check's `timeout` */
	CHECK_PROCESSES = 512,     /* default of `processes` */
	CHECK_OPEN_FILES = 4096,
	CHECK_FILES_MAX = 400000,      /* entries that checks may leave */
	CHECK_OUTPUT_BYTES = 64 << 10, /* kept of one check's output: its end */
	CHECK_REPORT_BYTES = 2 << 20,  /* of a JUnit or TAP file */
	CHECK_TEXT_BYTES = 4000,       /* told of all checks */
};
#define CHECK_MEMORY_BYTES INT64_C(4294967296) /* default of `memory`, each process */
#define CHECK_DISK_BYTES INT64_C(2147483648)   /* default of `disk` */

/* One command that proves a fix. */
struct git_check {
	char *argv[CHECK_ARGS_MAX + 1];
	char *report; /* file it leaves, below the repository: JUnit XML or TAP; NULL: none */
	int64_t timeout_ms;
};

/*
 * Attributes of a target of kind repository:
 *
 *     url: https://github.com/octo-org/octo.repo.git
 *     repository: octo-org/octo.repo    # as the API calls it; default: the url's path
 *     default_branch: main
 *     token_file: /etc/healbus/token    # default: executor.yaml's github:, if url's host is its
 *     api: https://ghe.example/api/v3   # default: github.api_url; another needs token_file
 *     checks: [[/usr/bin/make, test], {argv: [...], report: out/junit.xml, timeout: 10m}]
 *     env: {GOFLAGS: -mod=vendor}       # of checks
 *     readonly: [/opt/go]               # further directories that checks see
 *     memory: 4GiB                      # of each of their processes
 *     processes: 512
 *     disk: 2GiB                        # of the copy they work on, which is in memory; and of /tmp
 *     network: [proxy.golang.org]       # hosts they reach (https by CONNECT); default: none
 *     sandbox: docker                   # where checks run, a row of place.h (docker, kubernetes,
 *                                       # truefoundry): without network and readonly; default:
 *                                       # this machine's own
 *     guard: {...}                      # what patches are looked at for, see guard.h
 */
struct git_target {
	char *id; /* of the target */
	char *url;
	char *scheme; /* of url */
	char *repository;
	char *default_branch;
	char *token_file; /* NULL: none of its own */
	char *api;        /* NULL: the configured one */
	struct git_check checks[CHECKS_MAX];
	size_t n_checks;
	char *env[CHECK_ENV_MAX + 1];
	char *readonly[CHECK_BINDS_MAX];
	size_t n_readonly;
	char *network[CHECK_HOSTS_MAX];
	size_t n_network;
	int64_t memory_bytes, disk_bytes, processes;
	char *sandbox; /* NULL: here */
	json_t *guard; /* NULL: as usual */
};

/* From the target as templates see it. ERR_CONFIG names the attribute. Release in any case. */
int git_target_parse(const json_t *target, struct git_target *out, struct why *out_why);
void git_target_release(struct git_target *t);
/* The name of a branch that git would take and that cannot be an option. */
bool git_branch_valid(const char *name);
bool git_sha_valid(const char *sha);
/* May the configured `github:` credentials be shown to the host of this URL? */
bool git_host_is_github(const char *url, const char *api_url);

enum git_do { GIT_DO_FIX, GIT_DO_FIXED, GIT_DO_PUSH, GIT_DO_PUSHED };

/* What was rendered. */
struct git_job {
	enum git_do what;
	struct git_target target;
	char *sha, *branch, *expect, *message, *incident, *edits;
	Healbus__Level level;  /* what the guard thinks of the edits */
	struct lines concerns; /* and why */
};

/* A job under way. */
struct git_work {
	const struct git_job *job;
	const struct run_limits *limits;
	struct workspace ws;
	struct spawn_ids ids; /* whom programs run as */
	struct secret token;
	int64_t deadline_mono_ms;
	struct run_result *result;
};

/* Fails the run. Returns ERR_REJECTED, so that callers can pass it on. */
int git_fail(struct git_work *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
int64_t git_left_ms(const struct git_work *w);

/* ---- git_command.c ---- */

enum git_reach { GIT_LOCAL, GIT_REMOTE };

/* What one command said. */
struct git_said {
	struct buf text;
	int exit_code;
};
#define auto_git_said __attribute__((cleanup(git_said_release))) struct git_said
void git_said_release(struct git_said *s);

/* Writes what all commands read: the configuration. After the directories exist. */
int git_configure(struct git_work *w);
/*
 * Runs git with these arguments (NULL-terminated) on the workspace. 0 whatever its exit code;
 * ERR_REJECTED when it did not run to its end: then w->result says why. out may be NULL.
 */
int git_command(struct git_work *w, enum git_reach reach, const char *const *args,
		struct git_said *out);
#define GIT(w, reach, out, ...) git_command(w, reach, (const char *const[]){__VA_ARGS__, NULL}, out)
/* The same; another exit code than 0 fails the run with what git said last. */
int git_must(struct git_work *w, enum git_reach reach, const char *what, const char *const *args);
#define GIT_MUST(w, reach, what, ...)                                                              \
	git_must(w, reach, what, (const char *const[]){__VA_ARGS__, NULL})
/* The remote's branch: "" when there is none. Fails the run when nobody answers. */
int git_remote_head(struct git_work *w, const char *branch, char out[static GIT_SHA_LEN + 1]);
/* The last line that is not empty, in place. */
const char *git_last_line(struct git_said *s);

/* ---- for the agent runner, too ---- */

/* The pinned commit in <workspace>/tree, its repository in <workspace>/git. ERR_REJECTED: nothing
 * was tried yet. */
int git_clone(struct git_work *w);
/* The guard on a diff; w->result tells of its findings. ERR_REJECTED: refused, or a question that
 * w->job->level says nobody was asked. */
int git_review(struct git_work *w, const struct buf *patch);

/* ---- the acts ---- */

void git_fix(struct git_work *w);
void git_fixed(struct git_work *w);
void git_push(struct git_work *w);
void git_pushed(struct git_work *w);

/* What a fix leaves for the push, in the workspace's record. */
struct git_record {
	char *target, *base, *commit, *incident, *branch; /* branch: pushed to; NULL: not yet */
};
#define auto_git_record __attribute__((cleanup(git_record_release))) struct git_record
int git_record_write(struct git_work *w, const struct git_record *r);
/* Fails the run when there is none, or one of another repository. */
int git_record_read(struct git_work *w, struct git_record *out);
void git_record_release(struct git_record *r);

/* Runs the checks in <workspace>/check; w->result tells of them. ERR_REJECTED: one failed. */
int git_check_all(struct git_work *w);

/* ---- git_results.c ---- */

struct test_results {
	size_t passed, failed;
};
/* JUnit XML or TAP; adds a line for each test that failed, at most max bytes. False: neither. */
bool test_results_read(const char *text, size_t len, size_t max, struct test_results *out,
		       struct buf *lines);

#endif
