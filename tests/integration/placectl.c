/*
 * A place to run cells in, as a command: a JSON object on standard input says what to run
 *     {place, url, token_file, ca_file, namespace, image, job, node_selector, network_policy,
 * start_timeout_ms, dir, input, discard, argv, env, timeout_ms, output_bytes, keep_end, ticks,
 * disk_bytes} and one on standard output what came of it: {state, exit_code, output, truncated,
 * why}.
 */
#include "common/base.h"

#include <jansson.h>

#include "common/mem.h"
#include "executor/sandboxes/place.h"

enum { WORDS_MAX = 64, OUTPUT_BYTES = 10000 };

static char *text_of(const json_t *in, const char *key)
{
	return (char *)(uintptr_t)json_string_value(json_object_get(in, key));
}

static int64_t number_of(const json_t *in, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(in, key);
	return value ? json_integer_value(value) : fallback;
}

static void words_of(const json_t *in, const char *key, char **out)
{
	const json_t *item;
	size_t i;
	json_array_foreach(json_object_get(in, key), i, item)
	{
		if (i < WORDS_MAX)
			out[i] = (char *)(uintptr_t)json_string_value(item);
	}
}

static bool go_on(void *ctx)
{
	int64_t *left = ctx;
	return --*left > 0;
}

static void settings_of(const json_t *in, struct place_settings *out)
{
	bool policy = json_is_true(json_object_get(in, "network_policy"));
	out->kubernetes = (struct kubernetes_settings){
		.url = text_of(in, "url"),
		.token_file = text_of(in, "token_file"),
		.ca_file = text_of(in, "ca_file"),
		.namespace = text_of(in, "namespace"),
		.image = text_of(in, "image"),
		.node_selector = text_of(in, "node_selector"),
		.runtime_class = text_of(in, "runtime_class"),
		.start_timeout_ms = number_of(in, "start_timeout_ms", 20000),
		.network_policy = policy};
	out->truefoundry = (struct truefoundry_settings){.url = text_of(in, "url"),
							 .token_file = text_of(in, "token_file"),
							 .job = text_of(in, "job"),
							 .network_policy = policy};
}

static void run(const json_t *in, struct run_result *r)
{
	char *argv[WORDS_MAX + 1] = {0}, *env[WORDS_MAX + 1] = {0};
	struct place_settings settings = {.docker = {0}};
	int64_t ticks = number_of(in, "ticks", 0);
	settings_of(in, &settings);
	words_of(in, "argv", argv);
	words_of(in, "env", env);
	const struct cell c = {
		.dir = text_of(in, "dir"),
		.room = {.disk_bytes = number_of(in, "disk_bytes", 8 << 20), .files = 500},
		.input = text_of(in, "input"),
		.discard = json_is_true(json_object_get(in, "discard")),
		.place = text_of(in, "place"),
		.places = &settings};
	const struct sandbox_job job = {
		.argv = argv, .env = env, .bounds = {.memory_bytes = 256 << 20, .open_files = 256}};
	const struct run_limits limits = {
		.timeout_ms = number_of(in, "timeout_ms", 20000),
		.output_limit_bytes = (size_t)number_of(in, "output_bytes", OUTPUT_BYTES),
		.keep_end = json_is_true(json_object_get(in, "keep_end")),
		.tick = ticks ? go_on : NULL,
		.tick_ctx = &ticks};
	cell_run(&c, &job, &limits, r);
}

int main(void)
{
	static const char *const states[] = {
		[RUN_ENDED] = "ended", [RUN_FAILED] = "failed", [RUN_UNKNOWN] = "unknown"};
	json_t *in = json_loadf(stdin, 0, NULL);
	struct run_result r = {0};
	if (!in)
		return 2;
	run(in, &r);
	auto_buf out = {0};
	buf_add_json(&out, buf_str(&r.output), r.output.len);
	printf("{\"state\": \"%s\", \"not_tried\": %s, \"exit_code\": %d, \"truncated\": %s, "
	       "\"output\": %s",
	       states[r.state], r.not_tried ? "true" : "false", r.exit_code,
	       r.truncated ? "true" : "false", buf_str(&out));
	buf_reset(&out);
	buf_add_json(&out, r.why.text, strlen(r.why.text));
	printf(", \"why\": %s}\n", buf_str(&out));
	buf_release(&r.output);
	json_decref(in);
	return 0;
}
