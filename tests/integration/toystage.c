/*
 * A whole stage around the toy fold, for the torture tests. It stands in for the monitor: its name
 * and rights are the monitor's. Its effect turns raw.toy into events; its fold is tests/toy.
 *
 *     toystage -c DIR                     run
 *     toystage nats-users                 the server's accounts
 *     toystage -c DIR provision           create the streams, as operator
 *     toystage -c DIR publish FROM TO     raw messages FROM..TO-1, each until the bus has it
 *     toystage -c DIR put SUBJECT ID FILE | count STREAM
 *     toystage -c DIR verify N            the ledger: N messages in, what is on the bus?
 *     toystage -c DIR hash                the folds' states, stopped
 */
#include "common/clock.h"
#include "common/mem.h"
#include "common/stage.h"
#include "tests/toy/toy.h"

enum { TOY_PARTITIONS = 4 };

struct toy_config {
	struct stage_config stage;
	int64_t workers;
};

static const struct option rows[] = {
	STAGE_OPTIONS(struct toy_config, "toy", "127.0.0.1:0"),
	OPT_INT(struct toy_config, workers, "workers", "2", 1, 64, "Workers of the effect."),
};
static const struct option_table options = {
	.file = "toy.yaml", .env_prefix = "HEALBUS_TOY_", .rows = rows, .n = ARRAY_SIZE(rows)};

static uint32_t partitions(const void *config)
{
	(void)config;
	return (1U << TOY_PARTITIONS) - 1;
}

/* ---- the effect: raw.toy holds a number; its event's name is one of seven ---- */

static void normalise(struct stage *s, struct effect_job *job)
{
	char text[16], name[8], id[32], subject[SUBJECT_MAX + 1];
	snprintf(text, sizeof(text), "%.*s", (int)MIN(job->len, 15), (const char *)job->data);
	if (text[0] < '0' || text[0] > '9') {
		job->verdict = REJECT;
		why_set(&job->why, ERR_INVALID, "raw: not a number");
		return;
	}
	unsigned number = (unsigned)strtoul(text, NULL, 10);
	if (number % 1000 == 999 && job->delivered == 1) {
		job->verdict = RETRY;
		job->retry_ms = 20;
		return;
	}
	snprintf(name, sizeof(name), "n%u", number % 7);
	snprintf(id, sizeof(id), "ev%u", number);
	auto_buf data = {0};
	toy_event(&data, name, number);
	struct bus_msg m = {.subject = subject_event(subject, number % TOY_PARTITIONS, "toy"),
			    .id = id,
			    .time_ms = job->time_ms,
			    .data = data.data,
			    .len = data.len};
	if (bus_publish(stage_bus(s), &m, 0, NULL, &job->why))
		job->verdict = RETRY;
}

static void handle(struct stage *s, void *worker, struct effect_job *jobs, size_t n)
{
	(void)worker;
	for (size_t i = 0; i < n; i++)
		normalise(s, &jobs[i]);
}

static const struct effect_def effect = {
	.consumer = "normaliser",
	.workers_offset = offsetof(struct toy_config, workers),
	.batch_max = 16,
	.handle = handle,
};

/* ---- commands ---- */

static int complain(const char *what, int rc, const struct why *why)
{
	fprintf(stderr, "toystage: %s: %s: %s\n", what, err_name(rc), why->text);
	return 1;
}

static int open_wait(const char *dir, const char *name, struct bus **out)
{
	struct why why = {0};
	int rc = stage_bus_open(dir, name, out, &why);
	if (rc == 0)
		rc = bus_wait(*out, 30000, &why);
	return rc ? complain(name, rc, &why) : 0;
}

static void say(void *ctx, const char *line)
{
	(void)ctx;
	puts(line);
}

static int provision(int argc, char **argv, const char *dir)
{
	(void)argc;
	(void)argv;
	struct bus *b = NULL;
	struct why why = {0};
	if (open_wait(dir, "operator", &b))
		return 1;
	int rc = bus_provision(b, say, NULL, &why);
	bus_close(b);
	return rc ? complain("provision", rc, &why) : 0;
}

static int publish(int argc, char **argv, const char *dir)
{
	struct bus *b = NULL;
	if (argc != 3 || open_wait(dir, "monitor", &b))
		return 64;
	unsigned to = (unsigned)strtoul(argv[2], NULL, 10);
	for (unsigned i = (unsigned)strtoul(argv[1], NULL, 10); i < to;) {
		char text[16], id[16];
		snprintf(text, sizeof(text), "%u", i);
		snprintf(id, sizeof(id), "raw%u", i);
		struct bus_msg m = {
			.subject = "raw.toy", .id = id, .data = text, .len = strlen(text)};
		const struct timespec pace = {.tv_nsec = 500000};
		nanosleep(&pace, NULL); /* so that kills find work under way */
		int rc = bus_publish(b, &m, 1000, NULL, NULL);
		if (rc == 0)
			i++;
		else if (err_class(rc) != ERR_CLASS_TRANSIENT)
			return complain(id, rc, &(struct why){"publish"});
		else
			bus_wait(b, 1000, NULL);
	}
	bus_close(b);
	return 0;
}

static int nats_users(int argc, char **argv, const char *dir)
{
	(void)argc;
	(void)argv;
	(void)dir;
	auto_buf out = {0};
	topic_print_nats_users(&out);
	fputs(buf_str(&out), stdout);
	return 0;
}

static int count(int argc, char **argv, const char *dir)
{
	struct bus *b = NULL;
	struct why why = {0};
	struct bus_stream_state st = {0};
	if (argc != 2 || open_wait(dir, "operator", &b))
		return 64;
	int rc = bus_stream_state(b, argv[1], &st, &why);
	printf("%" PRIu64 "\n", st.messages);
	bus_close(b);
	return rc ? complain(argv[1], rc, &why) : 0;
}

static int put(int argc, char **argv, const char *dir)
{
	struct bus *b = NULL;
	struct why why = {0};
	auto_buf data = {0};
	if (argc != 4 || buf_read_file(&data, argv[3], 1 << 20) || open_wait(dir, "monitor", &b))
		return 64;
	struct bus_msg m = {.subject = argv[1], .id = argv[2], .data = data.data, .len = data.len};
	int rc = bus_publish(b, &m, 0, NULL, &why);
	bus_close(b);
	return rc ? complain(argv[1], rc, &why) : 0;
}

/* Reads a whole stream by direct gets. */
static int each_message(struct bus *b, const char *stream,
			void (*visit)(void *ctx, const struct bus_delivery *d), void *ctx)
{
	struct bus_stream_state st;
	struct why why = {0};
	int rc = bus_stream_state(b, stream, &st, &why);
	for (uint64_t seq = st.first_seq; rc == 0 && seq <= st.last_seq; seq++) {
		struct bus_delivery d = {0};
		rc = bus_get(b, stream, seq, &d, &why);
		if (rc == 0)
			visit(ctx, &d);
		bus_delivery_free(&d);
	}
	return rc ? complain(stream, rc, &why) : 0;
}

struct ledger {
	unsigned n;
	unsigned *position; /* of event i in its partition, 1-based; 0: not there */
	unsigned *said;     /* outputs of event i */
	unsigned in_partition[TOY_PARTITIONS];
	unsigned last_said[TOY_PARTITIONS];
	uint64_t revision[TOY_PARTITIONS][7];
	bool waiting[TOY_PARTITIONS][7]; /* for the timer of the last event of a name */
	unsigned timers, ticks, faults;
};

static void fault(struct ledger *l, const char *what, const struct bus_delivery *d)
{
	if (l->faults++ < 20)
		printf("fault: %s: %s %s\n", what, d->subject, d->id);
}

static void note_event(void *ctx, const struct bus_delivery *d)
{
	struct ledger *l = ctx;
	unsigned i = 0;
	if (!str_starts(d->id, "ev")) {
		l->ticks++;
		return;
	}
	i = (unsigned)strtoul(d->id + 2, NULL, 10);
	if (i >= l->n || l->position[i])
		fault(l, "event twice or unknown", d);
	else
		l->position[i] = ++l->in_partition[i % TOY_PARTITIONS];
}

/* Each event is said once, in the order of its partition, and the counts have no gap. */
static void note_output(void *ctx, const struct bus_delivery *d)
{
	struct ledger *l = ctx;
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;
	if (wire_unpack(KIND_INCIDENT, d->data, d->len, &arena, &msg, NULL)) {
		fault(l, "unreadable", d);
		return;
	}
	const Healbus__Incident *in = (const void *)msg;
	unsigned i = str_starts(d->cause, "ev") ? (unsigned)strtoul(d->cause + 2, NULL, 10) : l->n;
	if (str_starts(in->title, "timer n")) {
		l->timers++;
		l->waiting[in->partition % TOY_PARTITIONS][(in->title[7] - '0') % 7] = false;
	} else if (i >= l->n || l->position[i] == 0 || l->said[i]++) {
		fault(l, "output twice or of nothing", d);
	} else {
		unsigned p = i % TOY_PARTITIONS;
		if (l->position[i] <= l->last_said[p])
			fault(l, "output out of order", d);
		l->last_said[p] = l->position[i];
		l->waiting[p][i % 7] = true;
		if (in->revision != ++l->revision[p][i % 7])
			fault(l, "count with a gap", d);
	}
	arena_release(&arena);
}

static int verify(int argc, char **argv, const char *dir)
{
	struct bus *b = NULL;
	if (argc != 2 || open_wait(dir, "operator", &b))
		return 64;
	struct ledger l = {.n = (unsigned)strtoul(argv[1], NULL, 10)};
	l.position = mem_calloc(l.n, sizeof(*l.position));
	l.said = mem_calloc(l.n, sizeof(*l.said));
	int rc = each_message(b, STREAM_EVENTS, note_event, &l);
	if (rc == 0)
		rc = each_message(b, STREAM_STORY, note_output, &l);
	bus_close(b);
	unsigned missing = 0, waiting = 0;
	for (unsigned i = 0; i < l.n; i++)
		missing += l.said[i] == 0;
	for (unsigned i = 0; i < TOY_PARTITIONS * 7; i++)
		waiting += l.waiting[i / 7][i % 7];
	printf("missing %u faults %u timers %u ticks %u waiting %u\n", missing, l.faults, l.timers,
	       l.ticks, waiting);
	free(l.position);
	free(l.said);
	return rc || missing || l.faults ? 1 : 0;
}

static int hash(int argc, char **argv, const char *dir)
{
	(void)argc;
	(void)argv;
	struct toy_config c = {0};
	struct why why = {0};
	int rc = config_load(&options, dir, NULL, &c, &why);
	for (unsigned p = 0; rc == 0 && p < TOY_PARTITIONS; p++) {
		struct fold *f = NULL;
		uint8_t digest[DIGEST_BYTES];
		char hex[2 * DIGEST_BYTES + 1];
		auto_free char *path = mem_printf("%s/monitor-%02u", c.stage.state_dir, p);
		struct fold_options o = {.dir = path, .partition = p};
		rc = fold_open(&toy_fold, &o, &f, &why);
		if (rc == 0)
			rc = fold_hash(f, digest);
		fold_close(f);
		hex_encode(digest, sizeof(digest), hex);
		printf("%u %s\n", p, hex);
	}
	config_release(&options, &c);
	return rc ? complain("hash", rc, &why) : 0;
}

int main(int argc, char **argv)
{
	static const struct fold_def *const folds[] = {&toy_fold};
	static const struct effect_def *const effects[] = {&effect};
	static const struct stage_command commands[] = {
		{"nats-users", "server configuration", nats_users},
		{"provision", "create the streams", provision},
		{"publish", "FROM TO: raw messages", publish},
		{"put", "SUBJECT ID FILE: one message", put},
		{"count", "STREAM: how many messages it holds", count},
		{"verify", "N: the ledger", verify},
		{"hash", "of the folds' states", hash},
	};
	static const struct stage_def def = {
		.name = "monitor",
		.summary = "a toy",
		.options = &options,
		.config_size = sizeof(struct toy_config),
		.folds = folds,
		.n_folds = 1,
		.partitions = partitions,
		.effects = effects,
		.n_effects = 1,
		.commands = commands,
		.n_commands = ARRAY_SIZE(commands),
	};
	return stage_main(&def, argc, argv);
}
