/*
 * Asks models as the reasoner would. modelask CONFIG_DIR STATE_DIR: reads one question a line from
 * stdin, as JSON {incident, prompt, ...; threads}, and prints one JSON line for each exchange said
 * ({"said": ...}), each pause ({"paused": ms}) and each result ({"result": ...}).
 */
#include "common/base.h"

#include <pthread.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/wire.h"
#include "reasoner/models/models.h"

struct values {
	struct models_config models;
};

static const struct option rows[] = {
	OPT_TREE(struct values, models, "models", models_parse, models_release, "Models."),
};
static const struct option_table table = {
	.file = "reasoner.yaml", .env_prefix = "HEALBUS_MODELASK_", .rows = rows, .n = 1};

static const char *no_variable(const char *name)
{
	(void)name;
	return NULL;
}

static struct values values;
static struct models *models;

/* One write, so that lines of threads do not mix. */
static void print_new(json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT);

	printf("%s\n", text);
	fflush(stdout);
	free(text);
	json_decref(line);
}

static void say(void *ctx, const Healbus__ModelExchange *exchange)
{
	struct why why = {0};

	(void)ctx;
	if (wire_check(KIND_MODEL, &exchange->base, &why))
		print_new(json_pack("{s:s}", "bad", why.text));
	print_new(json_pack("{s:o}", "said", wire_to_json(&exchange->base)));
}

static bool pause_ms(void *ctx, int64_t ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)ctx;
	print_new(json_pack("{s:I}", "paused", (json_int_t)ms));
	nanosleep(&t, NULL);
	return false;
}

static const char *text_or(const json_t *line, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text ? text : fallback;
}

static void *ask(void *arg)
{
	const json_t *line = arg;
	int64_t within_ms = json_integer_value(json_object_get(line, "deadline_ms"));
	struct model_question q = {
		.config = &values.models,
		.incident = text_or(line, "incident", "i1"),
		.ask = "ask1",
		.attempt = 1,
		.purpose = "plan",
		.severity =
			(Healbus__Severity)json_integer_value(json_object_get(line, "severity")),
		.complexity = json_number_value(json_object_get(line, "complexity")),
		.system = text_or(line, "system", NULL),
		.prompt = text_or(line, "prompt", "What is wrong?"),
		.schema = json_object_get(line, "schema"),
		.deadline_ms = within_ms ? clock_mono_ms() + within_ms : 0,
		.say = say,
		.pause = pause_ms,
	};
	struct http_client *http = NULL;
	struct arena arena = {0};
	struct model_answer answer = {0};
	struct why why = {0};

	http_client_new(&http);
	int rc = models_ask(models, http, &q, &arena, &answer, &why);
	print_new(json_pack("{s:{s:s, s:s, s:s?, s:s?, s:b, s:o*}}", "result", "rc", err_name(rc),
			    "why", why.text, "provider", answer.provider, "exchange",
			    answer.exchange, "cached", (int)answer.cached, "json", answer.json));
	arena_release(&arena);
	http_client_free(http);
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
	print_new(json_pack("{s:b}", "done", 1));
}

int main(int argc, char **argv)
{
	auto_free char *text = NULL;
	size_t cap = 0;
	struct why why = {0};

	if (argc != 3 || config_load(&table, argv[1], no_variable, &values, &why) ||
	    models_open(argv[2], &models, &why)) {
		fprintf(stderr, "%s\n", why.text);
		return 78;
	}
	while (getline(&text, &cap, stdin) > 0) {
		json_t *line = json_loads(text, 0, NULL);

		ask_line(line);
		json_decref(line);
	}
	models_close(models);
	config_release(&table, &values);
	return 0;
}
