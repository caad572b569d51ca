#include "reasoner/context/source.h"

#include "common/clock.h"

#include <pthread.h>

static const struct context_source *const sources[] = {
	&context_github, &context_prometheus, &context_loki,
	&context_argocd, &context_kubernetes, &context_grafana,
};

/* ---- asking ---- */

static void *run(void *arg)
{
	struct gathering *g = arg;
	struct why why = {0};
	int rc = http_client_new(&g->http);

	if (!rc)
		rc = g->source->gather(g, &why);
	if (rc)
		found_missing(g, "", rc, &why);
	return NULL;
}

static struct gathering *begin(const struct context_config *c, const struct context_ask *ask,
			       const struct context_source *source)
{
	struct gathering *g = mem_alloc(sizeof(*g));

	g->source = source;
	g->config = c;
	g->service = &c->services[source->service];
	g->ask = ask;
	g->began_ms = clock_mono_ms();
	g->deadline_ms = g->began_ms + MIN(g->service->timeout_ms, c->timeout_ms);
	return g;
}

/* All at the same time; each ends by its deadline. A machine without threads to spare asks in turn.
 */
static size_t ask_all(const struct context_config *c, const struct context_ask *ask,
		      struct gathering *out[static ARRAY_SIZE(sources)])
{
	pthread_t threads[ARRAY_SIZE(sources)];
	bool joinable[ARRAY_SIZE(sources)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		if (!sources[i]->wanted(c, ask))
			continue;
		out[n] = begin(c, ask, sources[i]);
		joinable[n] = pthread_create(&threads[n], NULL, run, out[n]) == 0;
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		if (joinable[i])
			pthread_join(threads[i], NULL);
		else
			run(out[i]);
	}
	return n;
}

/* ---- putting together ---- */

struct merge {
	struct arena *arena;
	struct context *out;
	size_t left_bytes; /* of all items */
	bool full;         /* the arena is */
};

static const char *keep(struct merge *m, const char *s, size_t len)
{
	char *copy = arena_alloc(m->arena, len + 1);

	m->full |= !copy;
	if (!copy)
		return "";
	memcpy(copy, s, len);
	return copy;
}

static const char *keep_text(struct merge *m, const char *s)
{
	return s && *s ? keep(m, s, strlen(s)) : "";
}

static void add_line(struct merge *m, const char **lines, size_t *n, const char *line)
{
	if (*n < CONTEXT_LINES_MAX)
		lines[(*n)++] = keep_text(m, line);
}

static void add_item(struct merge *m, const struct gathering *g, struct found_item *item)
{
	struct context *out = m->out;

	if (out->n_items == CONTEXT_ITEMS_MAX || m->left_bytes == 0) {
		auto_free char *line =
			mem_printf("%s: %s left out, over max_bytes", g->source->name, item->title);
		add_line(m, out->missing, &out->n_missing, line);
		return;
	}
	text_cut(&item->text, m->left_bytes);
	m->left_bytes -= MIN(item->text.len, m->left_bytes);
	out->items[out->n_items++] =
		(struct context_item){g->source->name, keep_text(m, item->title),
				      keep(m, item->text.data, item->text.len), item->text.len};
}

static void add_files(struct merge *m, const struct gathering *g)
{
	for (size_t i = 0; i < g->n_files && m->out->n_files < CONTEXT_FILES_MAX; i++)
		m->out->files[m->out->n_files++] = keep_text(m, g->files[i]);
}

/* What the source found out counts before what the incident said. */
static void prefer(struct merge *m, const char *found, const char **field)
{
	if (found && *found)
		*field = keep_text(m, found);
}

static void add_facts(struct merge *m, struct gathering *g)
{
	struct context *out = m->out;

	prefer(m, g->job, &out->job);
	prefer(m, g->step, &out->step);
	prefer(m, g->base, &out->base);
	prefer(m, g->sha, &out->sha);
	prefer(m, g->workflow, &out->workflow);
	prefer(m, g->default_branch, &out->default_branch);
	out->pr = g->pr ? g->pr : out->pr;
	if (g->log.len) {
		out->log = keep(m, g->log.data, g->log.len);
		out->log_len = m->full ? 0 : g->log.len;
	}
}

/* One item of each source in turn, so that no source's many leave no room for another's first. */
static void add_items(struct merge *m, struct gathering *const *all, size_t n)
{
	for (size_t k = 0; k < CONTEXT_ITEMS_MAX; k++) {
		for (size_t i = 0; i < n; i++) {
			if (k < all[i]->n_items)
				add_item(m, all[i], &all[i]->items[k]);
		}
	}
}

static int by_source(const void *a, const void *b)
{
	const struct context_item *x = a, *y = b;

	return strcmp(x->source, y->source);
}

static bool start_merge(struct merge *m, const struct context_ask *ask)
{
	struct context *out = m->out;

	*out = (struct context){
		.items = arena_alloc(m->arena, CONTEXT_ITEMS_MAX * sizeof(*out->items)),
		.files = arena_alloc(m->arena, CONTEXT_FILES_MAX * sizeof(*out->files)),
		.gathered = arena_alloc(m->arena, CONTEXT_LINES_MAX * sizeof(*out->gathered)),
		.missing = arena_alloc(m->arena, CONTEXT_LINES_MAX * sizeof(*out->missing)),
		.log = "",
		.repository = keep_text(m, ask->repository),
		.branch = keep_text(m, ask->branch),
		.base = keep_text(m, ask->base),
		.default_branch = keep_text(m, ask->default_branch),
		.sha = keep_text(m, ask->sha),
		.workflow = keep_text(m, ask->workflow),
		.job = keep_text(m, ask->job),
		.step = keep_text(m, ask->step),
		.pr = ask->pr,
	};
	return out->items && out->files && out->gathered && out->missing && !m->full;
}

static bool merge(struct merge *m, struct gathering *const *all, size_t n)
{
	struct context *out = m->out;

	for (size_t i = 0; i < n; i++) {
		struct gathering *g = all[i];
		add_facts(m, g);
		add_files(m, g);
		for (size_t k = 0; k < g->n_gathered; k++)
			add_line(m, out->gathered, &out->n_gathered, g->gathered[k]);
		for (size_t k = 0; k < g->n_missing; k++)
			add_line(m, out->missing, &out->n_missing, g->missing[k]);
	}
	add_items(m, all, n);
	return !m->full;
}

/* Stable, since there are few: the table's order within, by the order they were added. */
static void group_items(struct context *out)
{
	for (size_t i = 1; i < out->n_items; i++) {
		struct context_item item = out->items[i];
		size_t k = i;
		while (k > 0 && by_source(&item, &out->items[k - 1]) < 0) {
			out->items[k] = out->items[k - 1];
			k--;
		}
		out->items[k] = item;
	}
}

int context_gather(const struct context_config *c, const Healbus__Incident *incident,
		   struct arena *arena, struct context *out)
{
	struct gathering *all[ARRAY_SIZE(sources)];
	struct context result;
	struct context_ask ask;
	struct merge m = {arena, &result, (size_t)c->max_bytes, false};
	bool closed = false;

	context_ask_read(c, incident, clock_real_ms(), &ask);
	size_t n = ask_all(c, &ask, all);
	bool fits = start_merge(&m, &ask) && merge(&m, all, n);
	for (size_t i = 0; i < n; i++) {
		closed |= all[i]->closed;
		gathering_release(all[i]);
		free(all[i]);
	}
	context_ask_release(&ask);
	if (closed)
		return ERR_CLOSED;
	if (!fits)
		return ERR_TOO_LARGE;
	group_items(&result);
	*out = result;
	return 0;
}
