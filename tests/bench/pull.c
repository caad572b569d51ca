/*
 * pull: the least that reading messages from a stream costs: pulls them in batches, acknowledges
 * each, looks at none. The limit of folding.
 *
 *     pull -s stream -n messages [-b batch] [-u nats://address]
 *
 * Pulls are plain requests: natsSubscription_Fetch of libnats 3.4.1 corrupts the heap. Prints
 * msg_s, n, secs and cpu_us (of this process, per message).
 */
#include "tests/bench/bench.h"

#include <nats/nats.h>

enum { WAIT_MS = 5000 };

#define CONSUMER "bench-pull"

struct puller {
	natsConnection *connection;
	natsSubscription *inbox;
	char subject[128];
	char reply[64];
	char request[64];
	unsigned batch;
};

static void check(natsStatus s, const char *what)
{
	if (s != NATS_OK)
		die("%s: %s", what, natsStatus_GetText(s));
}

static void open_puller(struct puller *p, const char *url, const char *stream)
{
	natsOptions *options = NULL;
	natsInbox *inbox = NULL;
	jsCtx *js = NULL;
	jsConsumerConfig config;
	jsErrCode code = 0;
	check(natsOptions_Create(&options), "options");
	natsOptions_SetURL(options, url);
	natsOptions_SetSendAsap(options, false);
	check(natsConnection_Connect(&p->connection, options), url);
	check(natsConnection_JetStream(&js, p->connection, NULL), "JetStream");
	jsConsumerConfig_Init(&config);
	config.Durable = CONSUMER;
	config.AckPolicy = js_AckExplicit;
	config.MaxAckPending = 20000;
	js_DeleteConsumer(js, stream, CONSUMER, NULL, &code);
	check(js_AddConsumer(NULL, js, stream, &config, NULL, &code), "consumer");
	check(natsInbox_Create(&inbox), "inbox");
	snprintf(p->reply, sizeof(p->reply), "%s", inbox);
	natsInbox_Destroy(inbox);
	check(natsConnection_SubscribeSync(&p->inbox, p->connection, p->reply), "subscribe");
	natsSubscription_SetPendingLimits(p->inbox, -1, -1);
	snprintf(p->subject, sizeof(p->subject), "$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream,
		 CONSUMER);
	snprintf(p->request, sizeof(p->request), "{\"batch\":%u,\"expires\":%lld}", p->batch,
		 WAIT_MS * 1000000LL);
}

static void ask(struct puller *p)
{
	check(natsConnection_PublishRequestString(p->connection, p->subject, p->reply, p->request),
	      "pull");
}

static void pull(struct puller *p, uint64_t wanted)
{
	ask(p);
	for (uint64_t n = 1; n <= wanted; n++) {
		natsMsg *msg = NULL;
		check(natsSubscription_NextMsg(&msg, p->inbox, WAIT_MS), "message");
		if (natsMsg_GetDataLength(msg) == 0)
			die("the pull ended after %" PRIu64 " messages", n - 1);
		check(natsConnection_Publish(p->connection, natsMsg_GetReply(msg), "+ACK", 4),
		      "ack");
		natsMsg_Destroy(msg);
		if (n % p->batch == 0 && n < wanted)
			ask(p);
	}
	check(natsConnection_FlushTimeout(p->connection, WAIT_MS), "flush");
}

int main(int argc, char **argv)
{
	struct puller p = {.batch = 256};
	const char *url = "nats://127.0.0.1:4222";
	const char *stream = NULL;
	uint64_t n = 0;
	int letter;
	while ((letter = getopt(argc, argv, "s:n:b:u:")) > 0) {
		if (letter == 's')
			stream = optarg;
		else if (letter == 'n')
			n = option_number(optarg, 1);
		else if (letter == 'b')
			p.batch = (unsigned)option_number(optarg, 1);
		else if (letter == 'u')
			url = optarg;
		else
			return 64;
	}
	if (!stream || !n)
		return 64;
	open_puller(&p, url, stream);
	uint64_t start = now_ns();
	double cpu = cpu_s(RUSAGE_SELF);
	pull(&p, n);
	double secs = (double)(now_ns() - start) / 1e9;
	printf("msg_s=%.0f n=%" PRIu64 " secs=%.3f cpu_us=%.3f\n", (double)n / secs, n, secs,
	       (cpu_s(RUSAGE_SELF) - cpu) * 1e6 / (double)n);
	return 0;
}
