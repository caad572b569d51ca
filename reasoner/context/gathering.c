#include "reasoner/context/source.h"

#include "common/clock.h"

enum { LINE_MAX_BYTES = 400 };

int64_t gathering_left_ms(const struct gathering *g)
{
	return MAX(g->deadline_ms - clock_mono_ms(), (int64_t)1);
}

void found_item(struct gathering *g, const char *title, const char *text, size_t len)
{
	auto_buf clean = {0};
	size_t limit = (size_t)g->config->source_max_bytes;

	if (len == 0 || g->n_items == CONTEXT_ITEMS_MAX)
		return;
	if (g->items_bytes >= limit) {
		found_line(g, "%s: %s left out, over source_max_bytes", g->source->name, title);
		return;
	}
	struct found_item *item = &g->items[g->n_items++];
	item->title = text_line(g->config->redactor, title, CONTEXT_TITLE_MAX_BYTES);
	text_clean(text, len, &clean);
	redact(g->config->redactor, buf_str(&clean), clean.len, &item->text);
	text_cut(&item->text, limit - g->items_bytes);
	g->items_bytes += item->text.len;
}

void found_file(struct gathering *g, const char *path)
{
	auto_buf clean = {0};

	if (!*path || g->n_files == CONTEXT_FILES_MAX || strlen(path) > PATH_MAX)
		return;
	buf_add_printable(&clean, path, strlen(path));
	for (size_t i = 0; i < g->n_files; i++) {
		if (str_eq(g->files[i], buf_str(&clean)))
			return;
	}
	g->files[g->n_files++] = buf_detach(&clean);
}

void found_line(struct gathering *g, const char *fmt, ...)
{
	va_list args;
	char text[2 * LINE_MAX_BYTES];

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (g->n_gathered < CONTEXT_LINES_MAX)
		g->gathered[g->n_gathered++] = text_line(g->config->redactor, text, LINE_MAX_BYTES);
}

void found_missing(struct gathering *g, const char *what, int rc, const struct why *why)
{
	char after[DURATION_TEXT_BYTES];
	auto_free char *text = NULL;
	int64_t waited = (clock_mono_ms() - g->began_ms + 999) / 1000 * 1000;

	g->closed |= rc == ERR_CLOSED;
	if (g->n_missing == CONTEXT_LINES_MAX)
		return;
	if (rc == ERR_TIMEOUT)
		text = mem_printf("%s%s%s: timed out after %s", g->source->name, *what ? ": " : "",
				  what, duration_format(waited, after));
	else
		text = mem_printf("%s%s%s: %s", g->source->name, *what ? ": " : "", what,
				  why && why->text[0] ? why->text : err_name(rc));
	g->missing[g->n_missing++] = text_line(g->config->redactor, text, LINE_MAX_BYTES);
}

bool is_away(int rc)
{
	return rc == ERR_TIMEOUT || rc == ERR_UNAVAILABLE || rc == ERR_CLOSED;
}

bool has_queries(const struct context_ask *ask, enum context_service_id service)
{
	for (size_t i = 0; i < ask->n_queries; i++) {
		if (ask->queries[i].service == service && *ask->queries[i].text)
			return true;
	}
	return false;
}

size_t each_query(struct gathering *g, query_asker *one, size_t *count, struct why *out_why)
{
	size_t n = 0;

	for (size_t i = 0; i < g->ask->n_queries && !g->rc; i++) {
		const struct asked_query *asked = &g->ask->queries[i];
		struct why why = {0};
		if (asked->service != g->source->service || !*asked->text)
			continue;
		int rc = one(g, asked, count, &why);
		n += !rc;
		if (is_away(rc)) {
			g->rc = rc;
			*out_why = why;
		} else if (rc) {
			found_missing(g, asked->query->name, rc, &why);
		}
	}
	return n;
}

void gathering_release(struct gathering *g)
{
	for (size_t i = 0; i < g->n_items; i++) {
		free(g->items[i].title);
		buf_release(&g->items[i].text);
	}
	for (size_t i = 0; i < g->n_files; i++)
		free(g->files[i]);
	for (size_t i = 0; i < g->n_named; i++)
		free(g->named[i].path);
	for (size_t i = 0; i < g->n_gathered; i++)
		free(g->gathered[i]);
	for (size_t i = 0; i < g->n_missing; i++)
		free(g->missing[i]);
	buf_release(&g->log);
	free(g->job);
	free(g->step);
	free(g->default_branch);
	free(g->base);
	free(g->sha);
	free(g->workflow);
	http_client_free(g->http);
}
