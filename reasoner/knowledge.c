#include "reasoner/knowledge.h"

#include "common/github.h"
#include "common/redact.h"
#include "reasoner/classify/classify.h"
#include "reasoner/config.h"
#include "reasoner/prompt/prompt.h"
#include "reasoner/route/route.h"

enum { SECRET_FILES_MAX = CONTEXT_SECRETS_MAX + MODELS_PROVIDERS_MAX + 4 };

/* Every file of ours that holds a secret: what is in them never leaves. */
static int redactor_load(struct reasoner_config *c, struct why *out_why)
{
	const char *files[SECRET_FILES_MAX + 1] = {0};
	const char *context[CONTEXT_SECRETS_MAX + 1] = {0};
	const char *const ours[] = {c->github.token_file, c->github.app_key_file,
				    c->stage.http_token_file};
	size_t n = 0;
	context_secret_files(&c->context, context);
	for (size_t i = 0; context[i]; i++)
		files[n++] = context[i];
	for (size_t i = 0; i < c->models.n_providers; i++)
		if (c->models.providers[i].key_file)
			files[n++] = c->models.providers[i].key_file;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (ours[i])
			files[n++] = ours[i];
	return redactor_new(files, 0, &c->knowledge.redactor, out_why);
}

int knowledge_load(struct reasoner_config *c, struct why *out_why)
{
	struct knowledge *k = &c->knowledge;
	if (c->cases.diagnose == DIAGNOSE_OFF)
		return 0;
	auto_free char *failures = shipped_path(c->failures_dir, "reasoner", "failures");
	auto_free char *specialists =
		shipped_path(c->specialists_file, "reasoner", "specialists.yaml");
	auto_free char *prompts = shipped_path(c->prompts_dir, "reasoner", "prompts");
	int rc = failures_load(failures, &k->failures, out_why);
	if (!rc)
		rc = specialists_load(specialists, &k->specialists, out_why);
	if (!rc && (models_configured(&c->models) || c->cases.agent_tool))
		rc = prompts_load(prompts, c->prompts_local_dir, &k->prompts, out_why);
	if (!rc)
		rc = redactor_load(c, out_why);
	if (!rc)
		rc = github_new(&c->github, &k->github, out_why);
	c->context.github = k->github;
	c->context.redactor = k->redactor;
	return rc;
}

void knowledge_release(struct reasoner_config *c)
{
	struct knowledge *k = &c->knowledge;
	failures_free(k->failures);
	specialists_free(k->specialists);
	prompts_free(k->prompts);
	github_free(k->github);
	redactor_free(k->redactor);
	*k = (struct knowledge){0};
	c->context.github = NULL;
	c->context.redactor = NULL;
}
