#include "reasoner/context/source.h"

/* https://grafana.com/docs/loki/latest/reference/loki-http-api/ */

enum { LINE_MAX_BYTES = 1000 };

struct entry {
	int64_t ns;
	const char *line;
};

static int by_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->ns > y->ns) - (x->ns < y->ns);
}

static size_t entries_read(const json_t *answer, struct entry *out, size_t max)
{
	const json_t *stream, *value;
	size_t i, k, n = 0;

	json_array_foreach(answer_at(answer, "data.result"), i, stream)
	{
		json_array_foreach(json_object_get(stream, "values"), k, value)
		{
			const char *at = json_string_value(json_array_get(value, 0));
			const char *line = json_string_value(json_array_get(value, 1));
			if (at && line && n < max)
				out[n++] = (struct entry){strtoll(at, NULL, 10), line};
		}
	}
	return n;
}

size_t loki_read(const json_t *answer, size_t max, struct buf *out)
{
	struct entry *entries = mem_calloc(max, sizeof(*entries));
	size_t n = entries_read(answer, entries, max);

	qsort(entries, n, sizeof(*entries), by_time);
	for (size_t i = 0; i < n; i++) {
		text_add_clock(out, entries[i].ns / 1000000);
		size_t len = strcspn(entries[i].line, "\n");
		buf_printf(out, " %.*s%s\n", (int)MIN(len, (size_t)LINE_MAX_BYTES), entries[i].line,
			   len > LINE_MAX_BYTES ? "[...]" : "");
	}
	free(entries);
	return n;
}

static bool wanted(const struct context_config *c, const struct context_ask *ask)
{
	return c->services[CONTEXT_LOKI].url && has_queries(ask, CONTEXT_LOKI);
}

static int ask_one(struct gathering *g, const struct asked_query *asked, size_t *lines,
		   struct why *out_why)
{
	const struct context_query *q = asked->query;
	auto_buf path = {0}, text = {0};
	json_t *answer = NULL;

	github_path(&path, "/loki/api/v1/query_range?query={}", asked->text);
	buf_printf(&path, "&start=%" PRId64 "000000&end=%" PRId64 "000000&limit=%" PRId64,
		   g->ask->now_ms - q->range_ms, g->ask->now_ms, q->limit);
	buf_add_str(&path, "&direction=backward");
	int rc = service_get(g, buf_str(&path), &answer, out_why);
	if (!rc && !str_eq(answer_text(answer, "status"), "success"))
		rc = why_set(out_why, ERR_REJECTED, "%.200s", answer_text(answer, "error"));
	if (!rc) {
		buf_printf(&text, "%s\n", asked->text);
		*lines += loki_read(answer, (size_t)q->limit, &text);
		found_item(g, q->name, buf_str(&text), text.len);
	}
	json_decref(answer);
	return rc;
}

static int gather(struct gathering *g, struct why *out_why)
{
	size_t lines = 0;
	size_t n = each_query(g, ask_one, &lines, out_why);

	if (n)
		found_line(g, "loki: %zu lines", lines);
	return g->rc;
}

const struct context_source context_loki = {"loki", CONTEXT_LOKI, wanted, gather};
