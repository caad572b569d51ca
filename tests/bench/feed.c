/*
 * feed: puts events on the bus past the monitor's door, for measuring the correlator alone.
 *
 *     feed [-u nats://address] [-n messages] [-k fingerprints]
 *
 * All on event.00.alertmanager: each fingerprint fires once, then repeats in turn. Every message
 * has an id of its own. Prints msg_s and n.
 */
#include "tests/bench/bench.h"
#include "tests/bench/event.h"

#include <nats/nats.h>

enum { PENDING_MAX = 4096, COMPLETE_MS = 60000, SERVICES = 100 };

static void check(natsStatus s, const char *what)
{
	if (s != NATS_OK)
		die("%s: %s", what, natsStatus_GetText(s));
}

static jsCtx *connect_to(const char *url)
{
	natsConnection *connection = NULL;
	jsCtx *js = NULL;
	jsOptions options;
	check(natsConnection_ConnectTo(&connection, url), url);
	jsOptions_Init(&options);
	options.PublishAsync.MaxPending = PENDING_MAX;
	check(natsConnection_JetStream(&js, connection, &options), "JetStream");
	return js;
}

static void publish(jsCtx *js, uint64_t number, uint64_t fingerprints)
{
	static int64_t starts_ms;
	auto_buf packed = {0};
	jsPubOptions options;
	char id[48];
	starts_ms = starts_ms ? starts_ms : (int64_t)(now_ns() / 1000000);
	struct bench_event e = {
		.alert = number % fingerprints, .services = SERVICES, .starts_ms = starts_ms};
	bench_event_pack(&e, &packed);
	snprintf(id, sizeof(id), "feed-%" PRId64 "-%" PRIu64, starts_ms, number);
	jsPubOptions_Init(&options);
	options.MsgId = id;
	check(js_PublishAsync(js, "event.00.alertmanager", packed.data, (int)packed.len, &options),
	      "publish");
}

int main(int argc, char **argv)
{
	const char *url = "nats://127.0.0.1:4222";
	uint64_t n = 100000, fingerprints = 1000;
	jsPubOptions options;
	int letter;
	while ((letter = getopt(argc, argv, "u:n:k:")) > 0) {
		if (letter == 'u')
			url = optarg;
		else if (letter == 'n')
			n = option_number(optarg, 1);
		else if (letter == 'k')
			fingerprints = option_number(optarg, 1);
		else
			return 64;
	}
	jsCtx *js = connect_to(url);
	uint64_t start = now_ns();
	for (uint64_t i = 0; i < n; i++)
		publish(js, i, fingerprints);
	jsPubOptions_Init(&options);
	options.MaxWait = COMPLETE_MS;
	check(js_PublishAsyncComplete(js, &options), "acknowledgements");
	printf("msg_s=%.0f n=%" PRIu64 "\n", (double)n / ((double)(now_ns() - start) / 1e9), n);
	return 0;
}
