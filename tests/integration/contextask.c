/*
 * Gathers context as the reasoner would. contextask CONFIG_DIR API_URL TOKEN_FILE: reads one
 * incident a line from stdin, as JSON {labels, annotations, threads}, and prints what was gathered
 * as one JSON line each. SIGTERM stops what is under way. GitHub's token is TOKEN_FILE's; "": none.
 */
#include "common/base.h"

#include <pthread.h>
#include <signal.h>

#include "common/clock.h"
#include "common/config.h"
#include "reasoner/context/context.h"

struct values {
	struct context_config context;
};

static const struct option rows[] = {
	OPT_TREE(struct values, context, "context", context_parse, context_release, "Context."),
};
static const struct option_table table = {
	.file = "reasoner.yaml", .env_prefix = "HEALBUS_CONTEXTASK_", .rows = rows, .n = 1};

static struct values values;
static volatile int stop;

static const char *no_variable(const char *name)
{
	(void)name;
	return NULL;
}

static void on_signal(int signal_number)
{
	(void)signal_number;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static json_t *lines(const char **from, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_string(from[i]));
	return out;
}

static json_t *to_json(const struct context *c)
{
	json_t *items = json_array();

	for (size_t i = 0; i < c->n_items; i++)
		json_array_append_new(items,
				      json_pack("{s:s, s:s, s:s#}", "source", c->items[i].source,
						"title", c->items[i].title, "text",
						c->items[i].text, (int)c->items[i].len));
	json_t *out = json_pack("{s:o, s:o, s:o, s:o, s:s#, s:I}", "items", items, "files",
				lines(c->files, c->n_files), "gathered",
				lines(c->gathered, c->n_gathered), "missing",
				lines(c->missing, c->n_missing), "log", c->log, (int)c->log_len,
				"pr", (json_int_t)c->pr);
	json_object_update_new(out,
			       json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "sha", c->sha, "base",
					 c->base, "default_branch", c->default_branch, "workflow",
					 c->workflow, "job", c->job, "step", c->step));
	return out;
}

/* One write, so that lines of threads do not mix. */
static void print_new(json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT);

	if (!text)
		abort(); /* not UTF-8 */
	printf("%s\n", text);
	fflush(stdout);
	free(text);
	json_decref(line);
}

static size_t labels(struct arena *arena, const json_t *from, Healbus__Label **out, size_t max)
{
	const char *key;
	const json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)from, key, value)
	{
		if (n < max)
			out[n++] = label_new(arena, key, json_string_value(value));
	}
	return n;
}

static void *ask(void *arg)
{
	enum { LABELS = 32, ROOM = 64 << 20 };
	const json_t *line = arg;
	struct arena arena = {.limit_bytes = ROOM};
	struct context context = {0};
	Healbus__Label *of_incident[LABELS], *of_event[LABELS];
	Healbus__Event event = HEALBUS__EVENT__INIT, *events[] = {&event};
	Healbus__Incident incident = HEALBUS__INCIDENT__INIT;

	incident.labels = of_incident;
	incident.n_labels = labels(&arena, json_object_get(line, "labels"), of_incident,
				   ARRAY_SIZE(of_incident));
	event.annotations = of_event;
	event.n_annotations = labels(&arena, json_object_get(line, "annotations"), of_event,
				     ARRAY_SIZE(of_event));
	incident.events = events;
	incident.n_events = 1;
	SET(&incident, opened_at_ms, clock_real_ms());
	int rc = context_gather(&values.context, &incident, &arena, &context);
	json_t *out = rc ? json_object() : to_json(&context);
	json_object_set_new(out, "rc", json_string(err_name(rc)));
	print_new(out);
	arena_release(&arena);
	return NULL;
}

static void ask_line(json_t *line)
{
	pthread_t threads[16];
	size_t n = (size_t)json_integer_value(json_object_get(line, "threads"));

	n = MIN(MAX(n, (size_t)1), ARRAY_SIZE(threads));
	for (size_t i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, ask, line);
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static int run(char **argv)
{
	struct github_config config = {.api_url = argv[2], .token_file = argv[3]};
	const char *secrets[CONTEXT_SECRETS_MAX + 2];
	struct redactor *redactor = NULL;
	struct why why = {0};
	size_t n = 0;
	int rc = github_new(&config, &values.context.github, &why);

	context_secret_files(&values.context, secrets);
	while (secrets[n])
		n++;
	secrets[n] = *argv[3] ? argv[3] : NULL;
	secrets[n + 1] = NULL;
	if (!rc)
		rc = redactor_new(secrets, 0, &redactor, &why);
	values.context.redactor = redactor;
	char *text = NULL;
	size_t cap = 0;
	while (!rc && getline(&text, &cap, stdin) > 0) {
		json_t *line = json_loads(text, 0, NULL);
		ask_line(line);
		json_decref(line);
	}
	if (rc)
		fprintf(stderr, "contextask: %s\n", why.text);
	free(text);
	github_free(values.context.github);
	redactor_free(redactor);
	return rc != 0;
}

int main(int argc, char **argv)
{
	struct why why = {0};

	if (argc != 4)
		return 64;
	signal(SIGTERM, on_signal);
	http_client_stop_on(&stop);
	if (config_load(&table, argv[1], no_variable, &values, &why)) {
		fprintf(stderr, "contextask: %s\n", why.text);
		return 78;
	}
	int rc = run(argv);
	config_release(&table, &values);
	return rc;
}
