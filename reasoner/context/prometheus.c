#include "reasoner/context/source.h"

#include <math.h>

/* https://prometheus.io/docs/prometheus/latest/querying/api/ */

enum { SERIES_MAX = 20, LABELS_MAX_BYTES = 300 };

struct summary {
	double first, last, min, max, sum;
	size_t n;
	int64_t changed_ms; /* when it last had another value than now */
};

static void add_labels(const json_t *metric, struct buf *out)
{
	const char *name = answer_text(metric, "__name__");
	const json_t *value;
	const char *key;
	const char *comma = "";
	size_t start = out->len;

	buf_printf(out, "%s{", name);
	json_object_foreach((json_t *)metric, key, value)
	{
		if (str_eq(key, "__name__") || out->len - start > LABELS_MAX_BYTES)
			continue;
		buf_printf(out, "%s%.64s=\"%.128s\"", comma, key,
			   json_string_value(value) ? json_string_value(value) : "");
		comma = ", ";
	}
	buf_add_char(out, '}');
}

/* "12.5", "+Inf", "NaN". */
static bool sample_read(const json_t *sample, int64_t *out_ms, double *out)
{
	const char *text = json_string_value(json_array_get(sample, 1));
	char *end = NULL;

	if (!text || !json_is_number(json_array_get(sample, 0)))
		return false;
	*out_ms = (int64_t)(json_number_value(json_array_get(sample, 0)) * 1000);
	*out = strtod(text, &end);
	return end != text && !*end;
}

static struct summary summarise(const json_t *values)
{
	struct summary s = {0};
	const json_t *sample;
	size_t i;
	int64_t ms;
	double v;

	json_array_foreach(values, i, sample)
	{
		if (!sample_read(sample, &ms, &v))
			continue;
		if (s.n == 0)
			s.first = s.min = s.max = v;
		else if (s.last < v || s.last > v)
			s.changed_ms = ms;
		s.last = v;
		s.min = fmin(s.min, v);
		s.max = fmax(s.max, v);
		s.sum += v;
		s.n++;
	}
	return s;
}

static void add_series(const json_t *series, struct buf *out)
{
	const json_t *values = json_object_get(series, "values");
	struct summary s;
	int64_t ms;
	double v;

	add_labels(json_object_get(series, "metric"), out);
	if (!values) {
		if (sample_read(json_object_get(series, "value"), &ms, &v))
			buf_printf(out, " %.6g\n", v);
		else
			buf_add_str(out, " no value\n");
		return;
	}
	s = summarise(values);
	if (s.n == 0) {
		buf_add_str(out, " no value\n");
		return;
	}
	buf_printf(out, " now %.6g, first %.6g, min %.6g, max %.6g, mean %.6g of %zu", s.last,
		   s.first, s.min, s.max, s.sum / (double)s.n, s.n);
	if (s.changed_ms) {
		buf_add_str(out, ", last changed ");
		text_add_clock(out, s.changed_ms);
	}
	buf_add_char(out, '\n');
}

void prometheus_read(const json_t *answer, struct buf *out)
{
	const json_t *result = answer_at(answer, "data.result");
	const json_t *series;
	const char *type = answer_text(answer, "data.resultType");
	size_t i;
	int64_t ms;
	double v;

	if (str_eq(type, "scalar")) {
		if (sample_read(result, &ms, &v))
			buf_printf(out, "%.6g\n", v);
		return;
	}
	json_array_foreach(result, i, series)
	{
		if (i < SERIES_MAX)
			add_series(series, out);
	}
	if (json_array_size(result) > SERIES_MAX)
		buf_printf(out, "and %zu more series\n", json_array_size(result) - SERIES_MAX);
	if (json_array_size(result) == 0)
		buf_add_str(out, "no series\n");
}

static bool wanted(const struct context_config *c, const struct context_ask *ask)
{
	return c->services[CONTEXT_PROMETHEUS].url && has_queries(ask, CONTEXT_PROMETHEUS);
}

static int ask_one(struct gathering *g, const struct asked_query *asked, size_t *series,
		   struct why *out_why)
{
	const struct context_query *q = asked->query;
	auto_buf path = {0}, text = {0};
	json_t *answer = NULL;
	double now = (double)g->ask->now_ms / 1000;

	if (q->range_ms) {
		github_path(&path, "/api/v1/query_range?query={}", asked->text);
		buf_printf(&path, "&start=%.3f&end=%.3f&step=%.3f",
			   now - (double)q->range_ms / 1000, now, (double)q->step_ms / 1000);
	} else {
		github_path(&path, "/api/v1/query?query={}", asked->text);
		buf_printf(&path, "&time=%.3f", now);
	}
	int rc = service_get(g, buf_str(&path), &answer, out_why);
	if (!rc && !str_eq(answer_text(answer, "status"), "success"))
		rc = why_set(out_why, ERR_REJECTED, "%.200s", answer_text(answer, "error"));
	if (!rc) {
		buf_printf(&text, "%s\n", asked->text);
		prometheus_read(answer, &text);
		*series += json_array_size(answer_at(answer, "data.result"));
		found_item(g, q->name, buf_str(&text), text.len);
	}
	json_decref(answer);
	return rc;
}

static int gather(struct gathering *g, struct why *out_why)
{
	size_t series = 0;
	size_t n = each_query(g, ask_one, &series, out_why);

	if (n)
		found_line(g, "prometheus: %zu quer%s, %zu series", n, n == 1 ? "y" : "ies",
			   series);
	return g->rc;
}

const struct context_source context_prometheus = {"prometheus", CONTEXT_PROMETHEUS, wanted, gather};
