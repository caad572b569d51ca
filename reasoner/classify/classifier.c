/* The classifier and the routes together, for programs that are no stage: common/cores.h. */
#include "common/cores.h"

#include "reasoner/classify/classify.h"
#include "reasoner/config.h"
#include "reasoner/knowledge.h"
#include "reasoner/route/route.h"

struct core_classifier {
	struct failures *failures;
	struct specialists *specialists;
};

static const char *environment(const char *name)
{
	return getenv(name);
}

static int load(struct core_classifier *c, const struct core_classifier_paths *paths,
		const struct reasoner_config *config, struct why *out_why)
{
	auto_free char *failures =
		paths->failures ? mem_strdup(paths->failures)
				: shipped_path(config->failures_dir, "reasoner", "failures");
	auto_free char *specialists =
		paths->specialists
			? mem_strdup(paths->specialists)
			: shipped_path(config->specialists_file, "reasoner", "specialists.yaml");
	int rc = failures_load(failures, &c->failures, out_why);
	return rc ? rc : specialists_load(specialists, &c->specialists, out_why);
}

int core_classifier_open(const struct core_classifier_paths *paths, struct core_classifier **out,
			 struct why *out_why)
{
	struct reasoner_config config = {0};
	struct core_classifier *c = mem_alloc(sizeof(*c));
	int rc = config_load(&reasoner_options, paths->config_dir, environment, &config, out_why);
	if (!rc)
		rc = load(c, paths, &config, out_why);
	config_release(&reasoner_options, &config);
	if (rc)
		core_classifier_close(c);
	else
		*out = c;
	return rc;
}

void core_classifier_close(struct core_classifier *c)
{
	if (!c)
		return;
	failures_free(c->failures);
	specialists_free(c->specialists);
	free(c);
}

int core_classify(const struct core_classifier *c, const struct core_job *job, struct arena *arena,
		  Healbus__Diagnosis *out)
{
	struct classify_input in = {.log = job->log,
				    .log_len = job->log_len,
				    .workflow = job->workflow,
				    .job = job->job,
				    .step = job->step,
				    .files = job->files,
				    .n_files = job->n_files};
	struct route_input at = {.failures = c->failures, .seen = &in};
	int rc = classify(c->failures, &in, arena, out);
	if (!rc)
		route(c->specialists, &at, arena, out);
	return rc;
}

const char *core_failure_title(const struct core_classifier *c, const char *failure_type)
{
	return failures_title(c->failures, failure_type);
}

const char *core_failure_label(const struct core_classifier *c, const char *failure_type)
{
	return failures_label(c->failures, failure_type);
}
