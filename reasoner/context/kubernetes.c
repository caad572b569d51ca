#include "reasoner/context/source.h"

/* https://kubernetes.io/docs/reference/kubernetes-api/ (Pod, Event; core/v1) */

enum {
	EVENTS_MAX = 40,
	CONTAINERS_MAX = 20,
	PODS_MAX = 3,
	LOG_LINES = 120,
	LOG_MAX_BYTES = 128 << 10,
	TEXT_NAMESPACE = 0,
	TEXT_POD = 1,
	TEXT_SELECTOR = 2,
};

/* ---- reading ---- */

/* {"waiting": {"reason", "message"}}, {"terminated": {..., "exitCode"}}, {"running": {}} */
static void add_state(const json_t *state, struct buf *out)
{
	static const char *const kinds[] = {"waiting", "terminated", "running"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const json_t *of = json_object_get(state, kinds[i]);
		if (!of)
			continue;
		buf_printf(out, " %s", kinds[i]);
		if (*answer_text(of, "reason"))
			buf_printf(out, " (%s)", answer_text(of, "reason"));
		if (json_object_get(of, "exitCode"))
			buf_printf(out, " exit %" PRId64, answer_number(of, "exitCode"));
		if (*answer_text(of, "message"))
			buf_printf(out, ": %.300s", answer_text(of, "message"));
	}
}

static void add_containers(const json_t *list, struct buf *out)
{
	const json_t *c;
	size_t i;

	json_array_foreach(list, i, c)
	{
		if (i >= CONTAINERS_MAX)
			return;
		buf_printf(out, "container %s (%s):", answer_text(c, "name"),
			   answer_text(c, "image"));
		add_state(json_object_get(c, "state"), out);
		buf_printf(out, ", %sready, %" PRId64 " restarts",
			   json_is_true(json_object_get(c, "ready")) ? "" : "not ",
			   answer_number(c, "restartCount"));
		if (json_object_size(json_object_get(c, "lastState"))) {
			buf_add_str(out, ", before:");
			add_state(json_object_get(c, "lastState"), out);
		}
		buf_add_char(out, '\n');
	}
}

void kubernetes_read_pod(const json_t *pod, struct buf *out)
{
	const json_t *c;
	size_t i;

	buf_printf(out, "phase %s", answer_text(pod, "status.phase"));
	if (*answer_text(pod, "status.reason"))
		buf_printf(out, " (%s)", answer_text(pod, "status.reason"));
	buf_printf(out, " on node %s, since %s\n", answer_text(pod, "spec.nodeName"),
		   answer_text(pod, "status.startTime"));
	json_array_foreach(answer_at(pod, "status.conditions"), i, c)
	{
		if (i < CONTAINERS_MAX && str_eq(answer_text(c, "status"), "False"))
			buf_printf(out, "not %s: %s %.300s\n", answer_text(c, "type"),
				   answer_text(c, "reason"), answer_text(c, "message"));
	}
	add_containers(answer_at(pod, "status.initContainerStatuses"), out);
	add_containers(answer_at(pod, "status.containerStatuses"), out);
}

static const char *event_time(const json_t *event)
{
	static const char *const keys[] = {"lastTimestamp", "eventTime", "firstTimestamp",
					   "metadata.creationTimestamp"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (*answer_text(event, keys[i]))
			return answer_text(event, keys[i]);
	}
	return "";
}

/* Warnings first; the API gives no order. */
void kubernetes_read_events(const json_t *list, struct buf *out)
{
	const json_t *e;
	size_t i, n = 0;

	for (int warnings = 1; warnings >= 0; warnings--) {
		json_array_foreach(json_object_get(list, "items"), i, e)
		{
			bool warning = str_eq(answer_text(e, "type"), "Warning");
			if (warning != (warnings == 1) || n++ >= EVENTS_MAX)
				continue;
			buf_printf(out, "%s %s %s/%s %s (%" PRId64 "x): %.400s\n", event_time(e),
				   answer_text(e, "type"), answer_text(e, "involvedObject.kind"),
				   answer_text(e, "involvedObject.name"), answer_text(e, "reason"),
				   answer_number(e, "count"), answer_text(e, "message"));
		}
	}
	if (n > EVENTS_MAX)
		buf_printf(out, "and %zu more\n", n - EVENTS_MAX);
}

/* ---- asking ---- */

static const char *text_of(const struct context_ask *ask, int which)
{
	const char *text = ask->texts[CONTEXT_KUBERNETES][which];

	return text ? text : "";
}

static bool wanted(const struct context_config *c, const struct context_ask *ask)
{
	return c->services[CONTEXT_KUBERNETES].url && *text_of(ask, TEXT_NAMESPACE);
}

/* Of the container that is worst off; of its last life when it just began another. */
static void add_log(struct gathering *g, const json_t *pod)
{
	const json_t *c, *worst = NULL;
	const char *name = answer_text(pod, "metadata.name");
	auto_buf path = {0}, text = {0};
	struct why why = {0};
	size_t i;

	json_array_foreach(answer_at(pod, "status.containerStatuses"), i, c)
	{
		if (!worst ||
		    answer_number(c, "restartCount") > answer_number(worst, "restartCount"))
			worst = c;
	}
	bool previous =
		answer_at(worst, "state.waiting") && answer_number(worst, "restartCount") > 0;
	github_path(&path, "/api/v1/namespaces/{}/pods/{}/log?container={}",
		    text_of(g->ask, TEXT_NAMESPACE), name, answer_text(worst, "name"));
	buf_printf(&path, "&tailLines=%d&limitBytes=%d&timestamps=true%s", LOG_LINES, LOG_MAX_BYTES,
		   previous ? "&previous=true" : "");
	int rc = worst ? service_get_text(g, buf_str(&path), &text, &why) : 0;
	auto_free char *title = mem_printf("log of %s %s%s", name, answer_text(worst, "name"),
					   previous ? " before its restart" : "");
	if (rc)
		found_missing(g, title, rc, &why);
	else
		found_item(g, title, buf_str(&text), text.len);
}

static void add_pod(struct gathering *g, const json_t *pod)
{
	auto_buf text = {0};
	auto_free char *title = mem_printf("pod %s", answer_text(pod, "metadata.name"));

	kubernetes_read_pod(pod, &text);
	found_item(g, title, buf_str(&text), text.len);
	add_log(g, pod);
}

static int gather_pods(struct gathering *g, struct why *out_why)
{
	const char *name = text_of(g->ask, TEXT_POD), *selector = text_of(g->ask, TEXT_SELECTOR);
	auto_buf path = {0};
	json_t *answer = NULL;
	const json_t *pod;
	size_t i;

	if (!*name && !*selector)
		return 0;
	github_path(&path,
		    *name ? "/api/v1/namespaces/{}/pods/{}"
			  : "/api/v1/namespaces/{}/pods?labelSelector={}&limit=20",
		    text_of(g->ask, TEXT_NAMESPACE), *name ? name : selector);
	int rc = service_get(g, buf_str(&path), &answer, out_why);
	if (!rc && *name)
		add_pod(g, answer);
	if (!rc && !*name) {
		json_array_foreach(json_object_get(answer, "items"), i, pod)
		{
			if (i < PODS_MAX)
				add_pod(g, pod);
		}
	}
	json_decref(answer);
	return rc;
}

static int gather_events(struct gathering *g, struct why *out_why)
{
	const char *pod = text_of(g->ask, TEXT_POD);
	auto_buf path = {0}, text = {0};
	json_t *answer = NULL;

	github_path(&path, "/api/v1/namespaces/{}/events?limit=200",
		    text_of(g->ask, TEXT_NAMESPACE));
	if (*pod)
		github_path(&path, "&fieldSelector=involvedObject.name%3D{}", pod);
	int rc = service_get(g, buf_str(&path), &answer, out_why);
	if (!rc) {
		kubernetes_read_events(answer, &text);
		found_item(g, "events", buf_str(&text), text.len);
		found_line(g, "kubernetes: namespace %s, %zu events",
			   text_of(g->ask, TEXT_NAMESPACE),
			   json_array_size(json_object_get(answer, "items")));
	}
	json_decref(answer);
	return rc;
}

static int gather(struct gathering *g, struct why *out_why)
{
	struct why why = {0};
	int rc = gather_pods(g, &why);

	if (is_away(rc)) {
		*out_why = why;
		return rc;
	}
	if (rc)
		found_missing(g, "pods", rc, &why);
	return gather_events(g, out_why);
}

const struct context_source context_kubernetes = {"kubernetes", CONTEXT_KUBERNETES, wanted, gather};
