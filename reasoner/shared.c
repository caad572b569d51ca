#include "reasoner/shared.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/store.h"
#include "reasoner/config.h"
#include "reasoner/memory/memory_api.h"

/* Damaged or outdated books are set aside: what was spent today is forgotten, which costs at most
 * another budget; rules and memory do not wait for models. */
static int books_open(const char *state_dir, struct models **out, struct why *out_why)
{
	int rc = models_open(state_dir, out, out_why);
	if (rc != ERR_CORRUPT && rc != ERR_SCHEMA)
		return rc;
	auto_free char *dir = mem_printf("%s/models", state_dir);
	LOG(ERROR, "what models cost is forgotten: its file cannot be read, and is set aside",
	    S("why", out_why->text));
	*out_why = (struct why){0};
	rc = store_set_aside(dir, out_why);
	return rc ? rc : models_open(state_dir, out, out_why);
}

int shared_start(struct stage *s, struct why *out_why)
{
	struct shared *all = mem_alloc(sizeof(*all));
	const struct reasoner_config *config = stage_config_get(s);
	int rc = memory_api_open(&all->memory, out_why);
	if (!rc && models_configured(&config->models))
		rc = books_open(config->stage.state_dir, &all->models, out_why);
	stage_config_put(s, config);
	if (rc)
		free(all);
	else
		stage_set_data(s, all);
	return rc;
}

void shared_stop(struct stage *s)
{
	struct shared *all = stage_data(s);
	if (!all)
		return;
	models_close(all->models);
	memory_api_close(all->memory);
	free(all);
	stage_set_data(s, NULL);
}
