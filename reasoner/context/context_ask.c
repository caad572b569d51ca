#include "reasoner/context/source.h"

#include "common/expr.h"

#include <pthread.h>

enum { QUERY_MAX_BYTES = 8192 };

/* The newest event's word counts; a label's before an annotation's. */
static const char *told(const Healbus__Incident *incident, const char *name)
{
	const char *value = label_get(incident->labels, incident->n_labels, name);

	for (size_t i = incident->n_events; !value && i > 0; i--) {
		const Healbus__Event *e = incident->events[i - 1];
		value = label_get(e->labels, e->n_labels, name);
		if (!value)
			value = label_get(e->annotations, e->n_annotations, name);
	}
	return value ? value : "";
}

static int64_t told_number(const Healbus__Incident *incident, const char *name)
{
	const char *text = told(incident, name);
	char *end;

	if (*text < '0' || *text > '9')
		return 0;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	return *end || errno ? 0 : value;
}

/*
 * What is put into a query must not end the string it is put into, or the matcher, or the line:
 * quotes, backslashes and braces of outsiders become "_". A label that a query may ask for has
 * none.
 */
static char *query_safe(const char *s)
{
	char *out = mem_strdup(s);

	for (char *c = out; *c; c++) {
		if ((unsigned char)*c < ' ' || strchr("\"'`\\{}$", *c))
			*c = '_';
	}
	return out;
}

static json_t *make_safe(const json_t *v)
{
	const json_t *item;
	const char *key;
	size_t i;
	json_t *out;

	if (json_is_string(v)) {
		auto_free char *text = query_safe(json_string_value(v));
		return json_string(text);
	}
	if (json_is_array(v)) {
		out = json_array();
		json_array_foreach(v, i, item)
		{
			json_array_append_new(out, make_safe(item));
		}
		return out;
	}
	if (!json_is_object(v))
		return json_deep_copy(v);
	out = json_object();
	json_object_foreach((json_t *)v, key, item)
	{
		json_object_set_new(out, key, make_safe(item));
	}
	return out;
}

/* "" when it cannot be rendered: the incident has not what it asks for. */
static char *render(struct template *t, const json_t *input)
{
	struct buf out = {0};

	if (!t)
		return NULL;
	if (template_render(t, input, &out, NULL) || out.len > QUERY_MAX_BYTES)
		buf_reset(&out);
	buf_add(&out, "", 0);
	return buf_detach(&out);
}

/* A query that the incident fills with nothing at all is not asked: {service=""} is everything
 * without one. */
static char *render_query(struct template *t, const json_t *input, const json_t *nothing)
{
	auto_free char *empty = render(t, nothing);
	char *text = render(t, input);

	if (!template_is_constant(t) && text && empty && str_eq(text, empty))
		*text = '\0';
	return text;
}

static void render_all(const struct context_config *c, const json_t *input, struct context_ask *ask)
{
	json_t *nothing = json_pack("{s{}s{}s[]s[]}", "labels", "annotations", "events", "tried");

	for (size_t s = 0; s < CONTEXT_SERVICES; s++) {
		const struct context_service *service = &c->services[s];
		for (size_t i = 0; i < ARRAY_SIZE(service->texts); i++)
			ask->texts[s][i] = render(service->texts[i], input);
		for (size_t i = 0; service->url && i < service->n_queries; i++) {
			const struct context_query *q = &service->queries[i];
			ask->queries[ask->n_queries++] =
				(struct asked_query){q, (enum context_service_id)s,
						     render_query(q->query, input, nothing)};
		}
	}
	json_decref(nothing);
}

static void read_facts(const Healbus__Incident *incident, struct context_ask *out)
{
	*out = (struct context_ask){
		.repository = told(incident, "repository"),
		.branch = told(incident, "branch"),
		.base = told(incident, "base"),
		.default_branch = told(incident, "default_branch"),
		.sha = told(incident, "sha"),
		.workflow = told(incident, "workflow"),
		.job = told(incident, "job"),
		.step = told(incident, "step"),
		.alertname = told(incident, "alertname"),
		.number = told_number(incident, "number"),
		.run_id = told_number(incident, "run_id"),
		.run_attempt = told_number(incident, "run_attempt"),
		.job_id = told_number(incident, "job_id"),
		.pr = told_number(incident, "pr"),
		.installation_id = told_number(incident, "installation_id"),
		.opened_at_ms = incident->opened_at_ms,
	};
	if (!github_repository_valid(out->repository))
		out->repository = "";
}

void context_ask_read(const struct context_config *c, const Healbus__Incident *incident,
		      int64_t now_ms, struct context_ask *out)
{
	json_t *json = wire_to_json(&incident->base);
	json_t *safe = make_safe(json);

	read_facts(incident, out);
	out->now_ms = now_ms;
	pthread_mutex_lock(c->lock);
	render_all(c, safe, out);
	pthread_mutex_unlock(c->lock);
	json_decref(safe);
	json_decref(json);
}

void context_ask_release(struct context_ask *ask)
{
	for (size_t i = 0; i < ask->n_queries; i++)
		free(ask->queries[i].text);
	for (size_t s = 0; s < CONTEXT_SERVICES; s++) {
		for (size_t i = 0; i < ARRAY_SIZE(ask->texts[s]); i++)
			free(ask->texts[s][i]);
	}
}
