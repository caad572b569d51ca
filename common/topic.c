#include "common/topic.h"

#include "common/id.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define MIB (INT64_C(1) << 20)

static const char *const kind_names[KINDS] = {
	[KIND_RAW] = "raw",           [KIND_EVENT] = "event",   [KIND_TICK] = "tick",
	[KIND_INCIDENT] = "incident", [KIND_PLAN] = "plan",     [KIND_APPROVAL] = "approval",
	[KIND_DECISION] = "decision", [KIND_STEP] = "step",     [KIND_OUTCOME] = "outcome",
	[KIND_MODEL] = "model",       [KIND_NOTICE] = "notice", [KIND_CONTROL] = "control",
	[KIND_DEAD] = "dead",
};

const char *kind_name(enum kind kind)
{
	return (unsigned)kind < KINDS ? kind_names[kind] : NULL;
}

static bool kind_is_story(enum kind kind)
{
	return kind >= KIND_INCIDENT && kind <= KIND_CONTROL;
}

static enum kind kind_of(const char *name)
{
	for (enum kind k = KIND_RAW; k < KINDS; k++)
		if (str_eq(kind_names[k], name))
			return k;
	return KIND_NONE;
}

bool source_reserved(const char *source)
{
	return str_eq(source, "tick") || str_eq(source, "control");
}

/* ---- subjects ---- */

/* Splits in place; more than max tokens or an empty one gives 0. */
static size_t split(char *text, char *tokens[], size_t max)
{
	size_t n = 0;
	for (char *rest = text, *token; (token = strsep(&rest, "."));) {
		if (n == max || !token_valid(token))
			return 0;
		tokens[n++] = token;
	}
	return n;
}

static int partition_parse(const char *text, unsigned *out)
{
	if (strlen(text) != 2 || text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
		return ERR_INVALID;
	unsigned n = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
	if (n >= PARTITIONS)
		return ERR_INVALID;
	*out = n;
	return 0;
}

static int parse_raw(char *const *tokens, struct topic *out)
{
	(void)tokens;
	out->kind = KIND_RAW;
	return 0;
}

static int parse_event(char *const *tokens, struct topic *out)
{
	out->kind = KIND_EVENT;
	if (str_eq(tokens[2], "tick"))
		out->kind = KIND_TICK;
	if (str_eq(tokens[2], "control"))
		out->kind = KIND_CONTROL;
	return partition_parse(tokens[1], &out->partition);
}

static int parse_story(char *const *tokens, struct topic *out)
{
	out->kind = kind_of(tokens[1]);
	if (out->kind == KIND_NONE)
		return ERR_NOT_FOUND;
	return kind_is_story(out->kind) ? 0 : ERR_INVALID;
}

static int parse_dead(char *const *tokens, struct topic *out)
{
	(void)tokens;
	out->kind = KIND_DEAD;
	return 0;
}

static const struct {
	const char *root;
	size_t tokens;
	int (*parse)(char *const *tokens, struct topic *out);
} roots[] = {
	{"raw", 2, parse_raw},
	{"event", 3, parse_event},
	{"heal", 3, parse_story},
	{"dead", 2, parse_dead},
};

int topic_parse(const char *subject, struct topic *out)
{
	char text[SUBJECT_MAX + 1];
	char *tokens[3];
	size_t len = strlen(subject);
	if (len > SUBJECT_MAX)
		return ERR_INVALID;
	memcpy(text, subject, len + 1);
	size_t n = split(text, tokens, ARRAY_SIZE(tokens));
	for (size_t i = 0; n > 0 && i < ARRAY_SIZE(roots); i++) {
		if (!str_eq(tokens[0], roots[i].root) || n != roots[i].tokens)
			continue;
		struct topic t = {0};
		int rc = roots[i].parse(tokens, &t);
		if (rc)
			return rc;
		memcpy(t.token, tokens[n - 1], strlen(tokens[n - 1]) + 1);
		*out = t;
		return 0;
	}
	return ERR_INVALID;
}

const char *subject_raw(char out[static SUBJECT_MAX + 1], const char *source)
{
	assert(token_valid(source));
	snprintf(out, SUBJECT_MAX + 1, "raw.%s", source);
	return out;
}

const char *subject_event(char out[static SUBJECT_MAX + 1], unsigned partition, const char *source)
{
	assert(partition < PARTITIONS && token_valid(source));
	snprintf(out, SUBJECT_MAX + 1, "event.%02u.%s", partition, source);
	return out;
}

const char *subject_partition(char out[static SUBJECT_MAX + 1], unsigned partition)
{
	assert(partition < PARTITIONS);
	snprintf(out, SUBJECT_MAX + 1, "event.%02u.>", partition);
	return out;
}

const char *subject_story(char out[static SUBJECT_MAX + 1], enum kind kind, const char *incident)
{
	assert(kind_is_story(kind) && token_valid(incident));
	snprintf(out, SUBJECT_MAX + 1, "heal.%s.%s", kind_names[kind], incident);
	return out;
}

const char *subject_dead(char out[static SUBJECT_MAX + 1], const char *stage)
{
	assert(token_valid(stage));
	snprintf(out, SUBJECT_MAX + 1, "dead.%s", stage);
	return out;
}

/* ---- streams and buckets ---- */

const struct topic_stream topic_streams[] = {
	{.name = STREAM_RAW,
	 .subjects = {"raw.>"},
	 .max_age_ms = 72 * HOUR_MS,
	 .max_bytes = 1024 * MIB,
	 .duplicate_window_ms = 2 * MINUTE_MS,
	 .help = "what arrived, untouched"},
	{.name = STREAM_EVENTS,
	 .subjects = {"event.>"},
	 .max_age_ms = 72 * HOUR_MS,
	 .max_bytes = 1024 * MIB,
	 .duplicate_window_ms = 2 * MINUTE_MS,
	 .help = "normalised events, one per alert, in 16 partitions"},
	{.name = STREAM_STORY,
	 .subjects = {"heal.>"},
	 .max_age_ms = 90 * DAY_MS,
	 .max_bytes = 2048 * MIB,
	 .duplicate_window_ms = 24 * HOUR_MS,
	 .help = "everything that happens to an incident"},
	{.name = STREAM_DEAD,
	 .subjects = {"dead.>"},
	 .max_age_ms = 90 * DAY_MS,
	 .max_bytes = 256 * MIB,
	 .duplicate_window_ms = 2 * MINUTE_MS,
	 .help = "what could not be read, and why"},
	{.name = BUCKET_CLAIM,
	 /* 1.5 kB for a plan of one step (measured), of which STORY takes 5.5: STORY is full first.
	  */
	 .max_bytes = 640 * MIB,
	 .duplicate_window_ms = 2 * MINUTE_MS,
	 .bucket = true,
	 .bucket_ttl_ms = 90 * DAY_MS + TOPIC_CLAIM_EXTRA_MS,
	 .help = "who may run a step, once"},
	{.name = BUCKET_LOCK,
	 .max_bytes = 16 * MIB,
	 .duplicate_window_ms = 2 * MINUTE_MS,
	 .bucket = true,
	 .bucket_ttl_ms = 30 * SECOND_MS,
	 .help = "one action on one target at a time"},
	{.name = BUCKET_LIVE,
	 .max_bytes = 16 * MIB,
	 .duplicate_window_ms = 2 * MINUTE_MS,
	 .bucket = true,
	 .bucket_ttl_ms = 10 * SECOND_MS,
	 .help = "which executors are alive"},
};
const size_t topic_streams_n = ARRAY_SIZE(topic_streams);

/* ---- shared durable consumers ---- */

/* How long nobody works on what a dead process or a cut connection had: short, for deliveries that
 * are being worked on are kept alive every third of it (stage_effect.c). */
const struct topic_consumer topic_consumers[] = {
	{"normaliser", STREAM_RAW, "raw.>", "monitor", 5000, 4096, "raw bytes into events"},
	{"relay", STREAM_STORY, "heal.control.silence", "monitor", 5000, 256,
	 "silences to every partition"},
	/* A plan that waits (lock, rate, pause) counts as pending: room for many. */
	{"plans", STREAM_STORY, "heal.plan.>", "executor", 5000, 1024, "plans to be run"},
	{"decisions", STREAM_STORY, "heal.decision.>", "executor", 5000, 1024,
	 "answers that start or stop a plan"},
	{"diagnoses", STREAM_STORY, "heal.model.>", "reasoner", 5000, 256,
	 "incidents to find out about"},
	{"notices", STREAM_STORY, "heal.notice.>", "notifier", 5000, 1024, "what must be told"},
};
const size_t topic_consumers_n = ARRAY_SIZE(topic_consumers);

const struct topic_consumer *topic_consumer_find(const char *name)
{
	for (size_t i = 0; i < topic_consumers_n; i++)
		if (str_eq(topic_consumers[i].name, name))
			return &topic_consumers[i];
	return NULL;
}
