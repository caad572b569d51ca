#include "common/stage_private.h"

struct metric stage_messages =
	METRIC_COUNTER("healbus_messages_total", "Messages taken from the bus.", "worker");
struct metric stage_batches =
	METRIC_COUNTER("healbus_batches_total", "Transactions of folds.", "worker");
struct metric stage_lag = METRIC_GAUGE(
	"healbus_lag_messages", "Messages on the bus that the fold has yet to read.", "worker");
struct metric stage_outbox =
	METRIC_GAUGE("healbus_outbox_rows", "Outputs that the bus has not acknowledged.", "worker");
struct metric stage_store_percent = METRIC_GAUGE("healbus_store_used_percent",
						 "Share of the LMDB map's limit in use.", "worker");
struct metric stage_effect_seconds = METRIC_HISTOGRAM(
	"healbus_effect_seconds", "How long a handler took for its messages.", "worker");
struct metric stage_retries =
	METRIC_COUNTER("healbus_retries_total", "Messages given back to the bus.", "worker");
struct metric stage_dead =
	METRIC_COUNTER("healbus_dead_letters_total", "Messages put on dead.*.", "worker");
struct metric stage_bus_connected =
	METRIC_GAUGE("healbus_bus_connected", "1 while the bus is connected.");
static struct metric stage_standing_by =
	METRIC_GAUGE("healbus_standing_by",
		     "1 while another process has the slot or a fold that this one wants.");
struct metric stage_resets = METRIC_COUNTER("healbus_consumer_resets_total",
					    "Consumers made anew after a gap or a loss.", "worker");

/* ---- answers ---- */

static bool stands_by(const struct stage *s)
{
	return atomic_load(&s->slot.standing_by) || stage_folds_stand_by(s);
}

static void answer_metrics(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	auto_buf out = {0};
	stage_folds_measure(s);
	metric_set(&stage_bus_connected, s->bus && bus_epoch(s->bus) ? 1 : 0);
	metric_set(&stage_standing_by, stands_by(s) ? 1 : 0);
	metrics_render(&out);
	http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
}

static void answer_health(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	auto_buf reasons = {0};
	static const char good[] = "{\"healthy\":true}\n";
	static const char bad[] = "{\"healthy\":false}\n";
	if (atomic_load(&s->exit_code) == EXIT_STOPPED && stage_alive(s, STAGE_HUNG_MS, &reasons))
		http_reply(req, 200, "application/json", good, sizeof(good) - 1);
	else
		http_reply(req, 503, "application/json", bad, sizeof(bad) - 1);
}

static void add_bus_reasons(struct stage *s, struct buf *reasons)
{
	char last[WHY_TEXT_BYTES];
	struct why why = {0};
	if (bus_epoch(s->bus) == 0) {
		bus_wait(s->bus, 0, &why);
		buf_printf(reasons, "%s\n", why.text);
	}
	uint64_t violations = bus_violations(s->bus, last);
	if (violations > 0)
		buf_printf(reasons, "bus: %" PRIu64 " permission violations, last: %s\n",
			   violations, last);
}

/* One JSON string a line of text. */
static void add_json_lines(struct buf *out, const char *lines)
{
	for (const char *separator = ""; *lines; separator = ",") {
		size_t len = strcspn(lines, "\n");
		buf_add_str(out, separator);
		buf_add_json(out, lines, len);
		lines += len + (lines[len] == '\n');
	}
}

void stage_reasons(struct stage *s, struct buf *reasons)
{
	if (atomic_load(&s->slot.standing_by)) {
		buf_add_str(reasons, "all slots are taken: standing by\n");
		return;
	}
	if (stage_stopping(s))
		buf_add_str(reasons, "stopping\n");
	add_bus_reasons(s, reasons);
	stage_folds_ready(s, reasons);
	stage_effects_ready(s, reasons);
}

static void answer_ready(void *ctx, struct http_request *req)
{
	struct stage *s = ctx;
	auto_buf reasons = {0};
	auto_buf out = {0};
	stage_reasons(s, &reasons);
	bool ready = reasons.len == 0;
	buf_printf(&out, "{\"ready\":%s,\"stage\":\"%s\",\"reasons\":[", ready ? "true" : "false",
		   s->def->name);
	add_json_lines(&out, buf_str(&reasons));
	buf_add_str(&out, "]}\n");
	http_reply(req, ready ? 200 : 503, "application/json", out.data, out.len);
}

/* Whoever asks finds another, or comes again. */
static void answer_standing_by(void *ctx, struct http_request *req)
{
	(void)ctx;
	http_reply_error(req, ERR_UNAVAILABLE, &(struct why){"all slots are taken: standing by"});
}

/* ---- the server ---- */

static int authorize(void *ctx, struct http_request *req, unsigned need, struct why *out_why)
{
	struct stage *s = ctx;
	return s->def->authorize(s, req, need, out_why);
}

static int read_tokens(struct stage *s, const char *path, struct why *out_why)
{
	int rc = secret_read(&s->token_text, path, out_why);
	if (rc || !s->token_text.data)
		return rc;
	s->n_tokens = secret_lines(&s->token_text, &s->tokens);
	if (s->n_tokens == 0)
		return why_set(out_why, ERR_CONFIG, "%s: holds no token", path);
	return 0;
}

int stage_http_open(struct stage *s, struct why *out_why)
{
	const struct stage_config *c = stage_snapshot_values(s->config);
	if (!c->http_listen || !*c->http_listen)
		return 0;
	int rc = read_tokens(s, c->http_token_file, out_why);
	if (rc)
		return rc;
	const struct http_route own[] = {
		{"GET", "/metrics", answer_metrics, s, HTTP_AUTH_NONE},
		{"GET", "/healthz", answer_health, s, HTTP_AUTH_NONE},
		{"GET", "/readyz", answer_ready, s, HTTP_AUTH_NONE},
	};
	static const struct http_route waiting[] = {
		{"GET", "/**", answer_standing_by, NULL, HTTP_AUTH_NONE},
		{"POST", "/**", answer_standing_by, NULL, HTTP_AUTH_NONE},
	};
	bool waits = atomic_load(&s->slot.standing_by);
	const struct http_route *more = waits ? waiting : s->def->routes;
	size_t n_more = waits ? ARRAY_SIZE(waiting) : s->def->n_routes;
	size_t n = ARRAY_SIZE(own) + n_more;
	struct http_route *routes = mem_calloc(n, sizeof(*routes));
	s->routes = routes;
	memcpy(routes, own, sizeof(own));
	for (size_t i = 0; i < n_more; i++) {
		routes[ARRAY_SIZE(own) + i] = more[i];
		routes[ARRAY_SIZE(own) + i].ctx = s;
	}
	struct http_server_options o = {.listen = c->http_listen,
					.routes = routes,
					.n_routes = n,
					.tokens = s->tokens,
					.n_tokens = s->n_tokens,
					.authorize = s->def->authorize ? authorize : NULL,
					.authorize_ctx = s,
					.tls_cert_file = c->http_tls_cert_file,
					.tls_key_file = c->http_tls_key_file};
	rc = http_server_open(&o, &s->http, out_why);
	if (rc)
		return rc;
	LOG(INFO, "listening", S("address", c->http_listen), I("port", http_server_port(s->http)));
	return 0;
}

void stage_http_close(struct stage *s)
{
	if (s->http)
		http_server_close(s->http, 1000);
	s->http = NULL;
	secret_release(&s->token_text);
	free(s->tokens);
	free(s->routes);
	s->tokens = NULL;
	s->routes = NULL;
	s->n_tokens = 0;
}
