#include "reasoner/context/source.h"

/* https://argo-cd.readthedocs.io/en/stable/developer-guide/api-docs/ (application.Application) */

enum { RESOURCES_MAX = 30, CONDITIONS_MAX = 20, HISTORY_MAX = 3, MESSAGE_MAX = 500 };

static void add_state(const json_t *app, struct buf *out)
{
	buf_printf(out, "sync %s, health %s", answer_text(app, "status.sync.status"),
		   answer_text(app, "status.health.status"));
	if (*answer_text(app, "status.health.message"))
		buf_printf(out, " (%.500s)", answer_text(app, "status.health.message"));
	buf_printf(out, "\nrevision %s of %s %s, target %s\n",
		   answer_text(app, "status.sync.revision"),
		   answer_text(app, "spec.source.repoURL"), answer_text(app, "spec.source.path"),
		   answer_text(app, "spec.source.targetRevision"));
}

static void add_operation(const json_t *app, struct buf *out)
{
	const json_t *operation = answer_at(app, "status.operationState"), *item;
	size_t i;

	if (!operation)
		return;
	buf_printf(out, "last sync %s: %.*s\n", answer_text(operation, "phase"), MESSAGE_MAX,
		   answer_text(operation, "message"));
	json_array_foreach(answer_at(operation, "syncResult.resources"), i, item)
	{
		const char *status = answer_text(item, "status");
		if (i >= RESOURCES_MAX ||
		    (str_eq(status, "Synced") && !*answer_text(item, "hookType")))
			continue;
		buf_printf(out, "- %s %s/%s: %s %s %.*s\n", answer_text(item, "kind"),
			   answer_text(item, "namespace"), answer_text(item, "name"), status,
			   answer_text(item, "hookPhase"), MESSAGE_MAX,
			   answer_text(item, "message"));
	}
}

static void add_conditions(const json_t *app, struct buf *out)
{
	const json_t *item;
	size_t i;

	json_array_foreach(answer_at(app, "status.conditions"), i, item)
	{
		if (i < CONDITIONS_MAX)
			buf_printf(out, "condition %s: %.*s\n", answer_text(item, "type"),
				   MESSAGE_MAX, answer_text(item, "message"));
	}
}

static void add_unhealthy(const json_t *app, struct buf *out)
{
	const json_t *item;
	size_t i, n = 0;

	json_array_foreach(answer_at(app, "status.resources"), i, item)
	{
		const char *health = answer_text(item, "health.status");
		bool well = !*health || str_eq(health, "Healthy");
		if ((well && str_eq(answer_text(item, "status"), "Synced")) || n++ >= RESOURCES_MAX)
			continue;
		buf_printf(out, "%s %s/%s: %s, %s %.*s\n", answer_text(item, "kind"),
			   answer_text(item, "namespace"), answer_text(item, "name"),
			   answer_text(item, "status"), *health ? health : "no health", MESSAGE_MAX,
			   answer_text(item, "health.message"));
	}
}

static void add_history(const json_t *app, struct buf *out)
{
	const json_t *history = answer_at(app, "status.history");
	size_t n = json_array_size(history);

	for (size_t i = 0; i < n && i < HISTORY_MAX; i++) {
		const json_t *item = json_array_get(history, n - 1 - i);
		buf_printf(out, "deployed %s at %s\n", answer_text(item, "revision"),
			   answer_text(item, "deployedAt"));
	}
}

void argocd_read(const json_t *application, struct buf *out)
{
	add_state(application, out);
	add_operation(application, out);
	add_conditions(application, out);
	add_unhealthy(application, out);
	add_history(application, out);
}

static bool wanted(const struct context_config *c, const struct context_ask *ask)
{
	const char *name = ask->texts[CONTEXT_ARGOCD][0];

	return c->services[CONTEXT_ARGOCD].url && name && *name;
}

static int gather(struct gathering *g, struct why *out_why)
{
	const char *name = g->ask->texts[CONTEXT_ARGOCD][0];
	auto_buf path = {0}, text = {0};
	json_t *app = NULL;

	github_path(&path, "/api/v1/applications/{}", name);
	int rc = service_get(g, buf_str(&path), &app, out_why);
	if (!rc && !json_is_object(json_object_get(app, "status")))
		rc = why_set(out_why, ERR_INVALID, "answered no application");
	if (!rc) {
		auto_free char *title = mem_printf("application %s", name);
		argocd_read(app, &text);
		found_item(g, title, buf_str(&text), text.len);
		found_line(g, "argocd: %s", title);
	}
	json_decref(app);
	return rc;
}

const struct context_source context_argocd = {"argocd", CONTEXT_ARGOCD, wanted, gather};
