#include "reasoner/context/source.h"

/* https://grafana.com/docs/grafana/latest/developers/http_api/annotations/ and the Alertmanager
 * API v2 that Grafana serves for its own alerts. */

enum {
	ANNOTATIONS_MAX = 50,
	ALERTS_MAX = 30,
	BEFORE_MS = 3600000, /* deploys and changes before the incident */
	TEXT_MAX = 300,
};

void grafana_read_annotations(const json_t *list, struct buf *out)
{
	const json_t *a, *tag;
	size_t i, k;

	json_array_foreach(list, i, a)
	{
		if (i >= ANNOTATIONS_MAX)
			break;
		text_add_clock(out, answer_number(a, "time"));
		const char *text = answer_text(a, "text");
		buf_printf(out, " %.*s", (int)MIN(strcspn(text, "\n"), (size_t)TEXT_MAX), text);
		if (*answer_text(a, "newState"))
			buf_printf(out, " (%s to %s)", answer_text(a, "prevState"),
				   answer_text(a, "newState"));
		json_array_foreach(json_object_get(a, "tags"), k, tag)
		{
			if (k < 10 && json_is_string(tag))
				buf_printf(out, " #%.64s", json_string_value(tag));
		}
		buf_add_char(out, '\n');
	}
}

void grafana_read_alerts(const json_t *list, struct buf *out)
{
	const json_t *a, *value;
	const char *key;
	size_t i;

	json_array_foreach(list, i, a)
	{
		if (i >= ALERTS_MAX)
			break;
		buf_printf(out, "%s %s since %s:", answer_text(a, "labels.alertname"),
			   answer_text(a, "status.state"), answer_text(a, "startsAt"));
		json_object_foreach(json_object_get(a, "labels"), key, value)
		{
			if (!str_eq(key, "alertname") && json_is_string(value))
				buf_printf(out, " %.64s=%.128s", key, json_string_value(value));
		}
		if (*answer_text(a, "annotations.summary"))
			buf_printf(out, ": %.*s", TEXT_MAX, answer_text(a, "annotations.summary"));
		buf_add_char(out, '\n');
	}
}

static bool wanted(const struct context_config *c, const struct context_ask *ask)
{
	(void)ask;
	return c->services[CONTEXT_GRAFANA].url != NULL;
}

static int add_list(struct gathering *g, const char *path, const char *title, struct why *out_why)
{
	bool alerts = str_eq(title, "alerts");
	auto_buf text = {0};
	json_t *answer = NULL;
	int rc = service_get(g, path, &answer, out_why);

	if (!rc && !json_is_array(answer))
		rc = why_set(out_why, ERR_INVALID, "%s: answered no list", title);
	if (!rc && alerts)
		grafana_read_alerts(answer, &text);
	else if (!rc)
		grafana_read_annotations(answer, &text);
	if (!rc) {
		found_item(g, title, buf_str(&text), text.len);
		found_line(g, "grafana: %zu %s", json_array_size(answer), title);
	}
	json_decref(answer);
	return rc;
}

static int gather(struct gathering *g, struct why *out_why)
{
	auto_buf path = {0};
	struct why why = {0};
	int64_t from = g->ask->opened_at_ms ? g->ask->opened_at_ms : g->ask->now_ms;

	buf_printf(&path, "/api/annotations?from=%" PRId64 "&to=%" PRId64 "&limit=%d",
		   from - BEFORE_MS, g->ask->now_ms, ANNOTATIONS_MAX);
	int rc = add_list(g, buf_str(&path), "annotations", &why);
	if (is_away(rc)) {
		*out_why = why;
		return rc;
	}
	if (rc)
		found_missing(g, "annotations", rc, &why);
	return add_list(g, "/api/alertmanager/grafana/api/v2/alerts?active=true", "alerts",
			out_why);
}

const struct context_source context_grafana = {"grafana", CONTEXT_GRAFANA, wanted, gather};
