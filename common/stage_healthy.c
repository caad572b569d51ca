#include "common/stage_private.h"

#include "common/http_client.h"

enum { HEALTHY_TIMEOUT_MS = 3000, HEALTHY_BODY_MAX_BYTES = 64 << 10, EXIT_UNHEALTHY = 1 };

/* A listener on all addresses is asked on this machine's own. */
static const char *const everywhere[] = {"0.0.0.0", "[::]", "*", ""};

/* NULL: it has no address that could be known from here. */
static char *ready_url(const struct stage_config *c)
{
	const char *listen = c->http_listen ? c->http_listen : "";
	const char *colon = strrchr(listen, ':');
	if (!colon || str_eq(colon, ":0"))
		return NULL;
	auto_free char *host = mem_printf("%.*s", (int)(colon - listen), listen);
	const char *to = host;
	for (size_t i = 0; i < ARRAY_SIZE(everywhere); i++)
		if (str_eq(host, everywhere[i]))
			to = "localhost";
	return mem_printf("http%s://%s%s/readyz", c->http_tls_cert_file ? "s" : "", to, colon);
}

static int ask(const struct stage_config *c, const char *url, struct http_answer *out,
	       struct why *out_why)
{
	struct http_client *client = NULL;
	const struct http_call call = {.url = url,
				       .timeout_ms = HEALTHY_TIMEOUT_MS,
				       .body_max_bytes = HEALTHY_BODY_MAX_BYTES,
				       .ca_file = c->http_tls_cert_file};
	int rc = http_client_new(&client);
	if (rc)
		return why_set(out_why, rc, "no HTTP client");
	rc = http_client_call(client, &call, out, out_why);
	http_client_free(client);
	return rc;
}

static int say_health(const struct stage_def *def, const struct stage_config *c)
{
	auto_free char *url = ready_url(c);
	struct http_answer answer = {0};
	struct why why = {0};
	if (!url) {
		fprintf(stderr,
			"healbus-%s: http.listen: %s: give it a fixed port to be asked at\n",
			def->name, c->http_listen ? c->http_listen : "");
		return EXIT_CONFIG;
	}
	int rc = ask(c, url, &answer, &why);
	if (rc)
		fprintf(stderr, "healbus-%s: %s: %s\n", def->name, url, why.text);
	else
		fputs(buf_str(&answer.body), stdout);
	bool healthy = !rc && answer.status == 200;
	http_answer_release(&answer);
	return healthy ? EXIT_STOPPED : EXIT_UNHEALTHY;
}

/* Without def->prepare: compiling rules and tools costs more than the question. */
int stage_healthy(const struct stage_def *def, const char *config_dir)
{
	struct why why = {0};
	auto_free void *values = mem_calloc(1, def->config_size);
	int rc = config_load(def->options, config_dir, stage_environment, values, &why);
	if (rc) {
		fprintf(stderr, "healbus-%s: %s\n", def->name, why.text);
		return EXIT_CONFIG;
	}
	int code = say_health(def, values);
	config_release(def->options, values);
	return code;
}
