/* What the broker lets through to the Engine: "METHOD TARGET", then headers "name: value". Whatever
 * came, what is sent is one of a few sentences. */
#include "executor/broker/answer.h"
#include "tests/fuzz/fuzz.h"

enum { HEADERS = 8 };

static const char label[] = "healbus.manage=true";
static const char filter[] = "filters=%7B%22label%22%3A%5B%22healbus.manage%3Dtrue%22%5D%7D";

static size_t take_headers(char *text, struct broker_header *out)
{
	size_t n = 0;

	for (char *line; n < HEADERS && (line = strsep(&text, "\n"));) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		out[n++] = (struct broker_header){line, colon + 1};
	}
	return n;
}

/* "/v1.41" and the words that stand for an action; between them a plain name. */
static void check_sent(const struct broker_call *call, const char *sent)
{
	const char *p = sent;

	if (str_starts(p, "/v1.")) {
		MUST(strspn(p + 4, "0123456789") == 2);
		p += 6;
	}
	size_t len = strcspn(p, "?");
	MUST(!memmem(p, len, "//", 2) && !memmem(p, len, "/.", 2) && !memchr(p, '%', len));
	if (broker_names_container(call->action)) {
		MUST(str_starts(p, "/containers/"));
		const char *end = strchr(p + 12, '/');
		MUST(end && (size_t)(end - p) == 12 + strlen(call->container));
		MUST(strncmp(end + 1,
			     call->action == BROKER_INSPECT ? "json"
							    : broker_action_name(call->action),
			     4) == 0);
		MUST(!strchr(end + 1, '/'));
	} else {
		MUST(str_starts(p, "/_ping") || str_starts(p, "/version") ||
		     str_starts(p, "/containers/json?"));
	}
	MUST((call->action == BROKER_LIST) == (strstr(sent, filter) != NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct broker_bounds bounds = {
		.stop_max_s = 60, .stop_default_s = 10, .tail_max = 1000, .tail_default = 200};
	auto_free char *text = fuzz_text(data, size);
	auto_buf answer = {0}, seen = {0}, sent = {0};
	struct broker_header headers[HEADERS];
	struct broker_call call;
	struct broker_container container;
	struct broker_log log = {.max_bytes = 64};
	struct why why = {0};
	char *rest = text;
	char *target = strsep(&rest, "\n");
	char *method = strsep(&target, " ");
	struct broker_ask ask = {.method = method, .target = target ? target : ""};

	buf_add(&answer, data, size);
	for (int a = 0; a < BROKER_ACTIONS; a++)
		(void)broker_answer((enum broker_action)a, &answer, label, &seen, &why);
	(void)broker_container(&answer, label, &container, &why);
	broker_message(&answer, &seen);
	(void)broker_log_take(&log, (const char *)data, size);
	broker_log_end(&log);
	MUST(log.text.len <= 64);
	broker_log_release(&log);
	if (rest)
		ask.n_headers = take_headers(rest, headers);
	ask.headers = headers;
	if (broker_judge(&bounds, &ask, &call, &why) == 0) {
		MUST(call.params[BROKER_T] <= 60 && call.params[BROKER_TAIL] <= 1000);
		broker_path(&call, call.container, label, &sent);
		check_sent(&call, buf_str(&sent));
	}
	return 0;
}
