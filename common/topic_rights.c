#include "common/topic.h"

/* clang-format off */
#define PUB(user, subject, help) {user, subject, NULL, help}
#define SUB(user, subject, help) {user, NULL, subject, help}

/* Libraries differ in how they create a consumer (by name, by name and filter, or the old durable way). */
#define OWN_CONSUMER(user, stream, consumer)                                                       \
	PUB(user, "$JS.API.CONSUMER.CREATE." stream "." consumer, "own consumer"),                 \
	PUB(user, "$JS.API.CONSUMER.CREATE." stream "." consumer ".>", "own consumer"),            \
	PUB(user, "$JS.API.CONSUMER.DURABLE.CREATE." stream "." consumer, "own consumer"),         \
	PUB(user, "$JS.API.CONSUMER.DELETE." stream "." consumer, "own consumer"),                 \
	PUB(user, "$JS.API.CONSUMER.INFO." stream "." consumer, "own consumer"),                   \
	PUB(user, "$JS.API.CONSUMER.MSG.NEXT." stream "." consumer, "own consumer"),               \
	PUB(user, "$JS.ACK." stream "." consumer ".>", "own consumer")

#define CONNECTED(user)                                                                            \
	PUB(user, "$JS.API.INFO", "what the bus can do"),                                          \
	SUB(user, "_INBOX_" user ".>", "answers")

#define STREAM_STATE(user, stream)                                                                 \
	PUB(user, "$JS.API.STREAM.INFO." stream, "state of " stream)

#define STREAM_READ(user, stream)                                                                  \
	STREAM_STATE(user, stream),                                                                \
	PUB(user, "$JS.API.STREAM.MSG.GET." stream, "one message of " stream),                     \
	PUB(user, "$JS.API.DIRECT.GET." stream, "one message of " stream),                         \
	PUB(user, "$JS.API.DIRECT.GET." stream ".>", "last message of a subject")

#define BUCKET_USE(user, bucket)                                                                   \
	STREAM_READ(user, "KV_" bucket),                                                           \
	PUB(user, "$KV." bucket ".>", "compare-and-set")

/* Who reads it, that he lives, and whether another does. */
#define FOLD_OWNERS(user)                                                                          \
	STREAM_READ(user, "KV_" BUCKET_CLAIM),                                                     \
	STREAM_READ(user, "KV_" BUCKET_LIVE),                                                      \
	PUB(user, "$KV." BUCKET_LIVE "." user ".*", "that it lives")

#define FOLD(user, stream, fold)                                                                   \
	OWN_CONSUMER(user, stream, fold),                                                          \
	OWN_CONSUMER(user, STREAM_STORY, fold "-rebuild"),                                         \
	PUB(user, "$KV." BUCKET_CLAIM ".fold." fold, "who owns the fold")

#define FOLD_PARTITION(part) FOLD("monitor", STREAM_EVENTS, "monitor-" part)

#define FOLD_REPLICAS(user)                                                                        \
	FOLD(user, STREAM_STORY, user), FOLD(user, STREAM_STORY, user "-2"),                       \
	FOLD(user, STREAM_STORY, user "-3"), FOLD(user, STREAM_STORY, user "-4")

/* Of a stream: what there is, who reads it, its making; reading it through a consumer of one's own. */
#define OPERATE(stream)                                                                            \
	PUB("operator", "$JS.API.STREAM.CREATE." stream, "set-up"),                                \
	PUB("operator", "$JS.API.STREAM.UPDATE." stream, "set-up"),                                \
	STREAM_READ("operator", stream)

#define INSPECT(stream)                                                                            \
	OPERATE(stream), OWN_CONSUMER("operator", stream, "healctl"),                              \
	PUB("operator", "$JS.API.CONSUMER.NAMES." stream, "doctor"),                               \
	PUB("operator", "$JS.API.CONSUMER.LIST." stream, "doctor"),                                \
	PUB("operator", "$JS.API.CONSUMER.INFO." stream ".*", "doctor")

/* Purging works while a stream is laid anew: after that its configuration forbids it for ever. */
#define RESTORE(stream)                                                                            \
	PUB("operator", "$JS.API.STREAM.PURGE." stream, "restore, before the stream is in use")

#define RESTORE_CONSUMER(stream, consumer)                                                         \
	PUB("operator", "$JS.API.CONSUMER.DURABLE.CREATE." stream "." consumer, "restore")

const struct topic_right topic_rights[] = {
	CONNECTED("monitor"),
	PUB("monitor", "raw.*", "what webhooks and checks brought"),
	PUB("monitor", "event.*.*", "events, ticks, silences"),
	PUB("monitor", "heal.incident.*", "incidents"),
	PUB("monitor", "dead.monitor", "what it could not read"),
	STREAM_READ("monitor", STREAM_RAW),
	STREAM_READ("monitor", STREAM_EVENTS),
	STREAM_READ("monitor", STREAM_STORY),
	OWN_CONSUMER("monitor", STREAM_RAW, "normaliser"),
	OWN_CONSUMER("monitor", STREAM_STORY, "relay"),
	FOLD_OWNERS("monitor"),
	FOLD_PARTITION("00"), FOLD_PARTITION("01"), FOLD_PARTITION("02"), FOLD_PARTITION("03"),
	FOLD_PARTITION("04"), FOLD_PARTITION("05"), FOLD_PARTITION("06"), FOLD_PARTITION("07"),
	FOLD_PARTITION("08"), FOLD_PARTITION("09"), FOLD_PARTITION("10"), FOLD_PARTITION("11"),
	FOLD_PARTITION("12"), FOLD_PARTITION("13"), FOLD_PARTITION("14"), FOLD_PARTITION("15"),

	CONNECTED("reasoner"),
	PUB("reasoner", "heal.plan.*", "plans"),
	PUB("reasoner", "heal.incident.*", "escalations"),
	PUB("reasoner", "heal.model.*", "exchanges with models"),
	PUB("reasoner", "heal.control.tick", "time passed"),
	PUB("reasoner", "dead.reasoner", "what it could not read"),
	STREAM_READ("reasoner", STREAM_STORY),
	FOLD_OWNERS("reasoner"),
	FOLD_REPLICAS("reasoner"),
	OWN_CONSUMER("reasoner", STREAM_STORY, "diagnoses"),

	CONNECTED("executor"),
	PUB("executor", "heal.approval.*", "questions"),
	PUB("executor", "heal.step.*", "progress"),
	PUB("executor", "heal.outcome.*", "ends of plans"),
	PUB("executor", "heal.control.catalogue", "its tools"),
	PUB("executor", "heal.control.call", "what agents ask for"),
	PUB("executor", "dead.executor", "what it could not read"),
	STREAM_READ("executor", STREAM_STORY),
	OWN_CONSUMER("executor", STREAM_STORY, "plans"),
	OWN_CONSUMER("executor", STREAM_STORY, "decisions"),
	BUCKET_USE("executor", BUCKET_CLAIM),
	BUCKET_USE("executor", BUCKET_LOCK),
	BUCKET_USE("executor", BUCKET_LIVE),

	CONNECTED("notifier"),
	PUB("notifier", "heal.decision.*", "answers of people"),
	PUB("notifier", "heal.notice.*", "what is told"),
	PUB("notifier", "heal.control.*", "pause, silences, undo, ticks"),
	PUB("notifier", "raw.*", "requeue of dead raw messages"),
	PUB("notifier", "dead.notifier", "what it could not read"),
	STREAM_READ("notifier", STREAM_STORY),
	STREAM_READ("notifier", STREAM_DEAD),
	FOLD_OWNERS("notifier"),
	FOLD_REPLICAS("notifier"),
	OWN_CONSUMER("notifier", STREAM_STORY, "notices"),
	PUB("notifier", "$JS.API.CONSUMER.INFO." STREAM_RAW ".normaliser", "is it behind"),
	PUB("notifier", "$JS.API.CONSUMER.INFO." STREAM_STORY ".reasoner", "is it behind"),
	PUB("notifier", "$JS.API.CONSUMER.INFO." STREAM_STORY ".plans", "is it behind"),
	PUB("notifier", "$JS.API.CONSUMER.INFO." STREAM_STORY ".decisions", "is it behind"),

	CONNECTED("operator"),
	PUB("operator", "raw.*", "healctl publish, replay, requeue"),
	PUB("operator", "event.*.*", "replay, requeue"),
	PUB("operator", "heal.*.*", "replay, requeue"),
	PUB("operator", "dead.*", "replay"),
	PUB("operator", "$JS.API.STREAM.NAMES", "set-up, doctor"),
	PUB("operator", "$JS.API.STREAM.LIST", "set-up, doctor"),
	INSPECT(STREAM_RAW), INSPECT(STREAM_EVENTS), INSPECT(STREAM_STORY), INSPECT(STREAM_DEAD),
	OPERATE("KV_" BUCKET_CLAIM), OPERATE("KV_" BUCKET_LOCK), OPERATE("KV_" BUCKET_LIVE),

	RESTORE(STREAM_RAW), RESTORE(STREAM_EVENTS), RESTORE(STREAM_STORY), RESTORE(STREAM_DEAD),
	RESTORE_CONSUMER(STREAM_RAW, "normaliser"), RESTORE_CONSUMER(STREAM_STORY, "relay"),
	RESTORE_CONSUMER(STREAM_STORY, "plans"), RESTORE_CONSUMER(STREAM_STORY, "decisions"),
	RESTORE_CONSUMER(STREAM_STORY, "diagnoses"), RESTORE_CONSUMER(STREAM_STORY, "notices"),
	OWN_CONSUMER("operator", "KV_" BUCKET_CLAIM, "healctl"),
	PUB("operator", "$KV." BUCKET_CLAIM ".>", "restore"),

	/* {source}: the rest of the user's name. */
	PUB("source", "raw.{source}", "alerts of its own"),
	SUB("source", "_INBOX_source-{source}.>", "answers"),
};
/* clang-format on */
const size_t topic_rights_n = ARRAY_SIZE(topic_rights);

/* ---- the same as nats-server configuration ---- */

static const char source_prefix[] = "source-", source_mark[] = "{source}";

/* The row's user of a user of the bus: "source-x" has the rights of "source". */
static const char *user_row(const char *user, const char **out_source)
{
	*out_source = NULL;
	if (!str_starts(user, source_prefix))
		return user;
	*out_source = user + strlen(source_prefix);
	return "source";
}

static void add_subject(struct buf *out, const char *subject, const char *source)
{
	const char *at = source ? strstr(subject, source_mark) : NULL;
	if (at)
		buf_printf(out, "\"%.*s%s%s\"", (int)(at - subject), subject, source,
			   at + strlen(source_mark));
	else
		buf_printf(out, "\"%s\"", subject);
}

static size_t print_allow(struct buf *out, const char *user, bool publish)
{
	const char *source, *row = user_row(user, &source);
	size_t n = 0;
	buf_printf(out, "\t\t\t\t%s: { allow: [\n", publish ? "publish" : "subscribe");
	for (size_t i = 0; i < topic_rights_n; i++) {
		const struct topic_right *r = &topic_rights[i];
		const char *subject = publish ? r->publish : r->subscribe;
		if (!subject || !str_eq(r->stage, row))
			continue;
		buf_add_str(out, "\t\t\t\t\t");
		add_subject(out, subject, source);
		buf_add_char(out, '\n');
		n++;
	}
	buf_add_str(out, "\t\t\t\t] }\n");
	return n;
}

/* What the account of the streams offers the users' accounts, none of it twice. */
static const char *const offers[] = {
	"raw.>",
	"event.>",
	"heal.>",
	"dead.>",
	"$KV.>",
	"$JS.ACK.>",
	"$JS.API.INFO",
	"$JS.API.STREAM.>",
	"$JS.API.DIRECT.GET.>",
	"$JS.API.CONSUMER.CREATE.>",
	"$JS.API.CONSUMER.DURABLE.CREATE.>",
	"$JS.API.CONSUMER.DELETE.>",
	"$JS.API.CONSUMER.INFO.>",
	"$JS.API.CONSUMER.NAMES.>",
	"$JS.API.CONSUMER.LIST.>",
};
/* Answered with many messages, for as long as a pull may wait (bus.h), and a little. */
#define OFFER_PULLS                                                                                \
	"{ service: \"$JS.API.CONSUMER.MSG.NEXT.>\", response_type: stream, threshold: \"30s\" }"

bool subject_covers(const char *wide, const char *narrow)
{
	for (;;) {
		size_t w = strcspn(wide, "."), n = strcspn(narrow, ".");
		if (w == 1 && *wide == '>')
			return true;
		bool any = w == 1 && *wide == '*' && !(n == 1 && *narrow == '>');
		if (!any && (w != n || memcmp(wide, narrow, n) != 0))
			return false;
		if (!wide[w] || !narrow[n])
			return wide[w] == narrow[n];
		wide += w + 1;
		narrow += n + 1;
	}
}

/* Two imports that a subject fits would carry a message twice. */
static bool is_in_a_wider(const struct topic_right *right)
{
	for (size_t i = 0; i < topic_rights_n; i++) {
		const struct topic_right *r = &topic_rights[i];
		if (r == right || !r->publish || !str_eq(r->stage, right->stage) ||
		    !subject_covers(r->publish, right->publish))
			continue;
		if (r < right || !subject_covers(right->publish, r->publish))
			return true;
	}
	return false;
}

/* source: of "source-x"; "*": of all of them. */
static void print_imports(struct buf *out, const char *row, const char *source)
{
	buf_add_str(out, "\t\timports: [\n");
	for (size_t i = 0; i < topic_rights_n; i++) {
		const struct topic_right *r = &topic_rights[i];
		if (!r->publish || !str_eq(r->stage, row) || is_in_a_wider(r))
			continue;
		buf_add_str(out, "\t\t\t{ service: { account: HEAL, subject: ");
		add_subject(out, r->publish, source);
		buf_add_str(out, " } }\n");
	}
	buf_add_str(out, "\t\t]\n\t}\n");
}

const char *const topic_users[] = {"monitor", "reasoner", "executor", "notifier", "operator"};
const size_t topic_users_n = ARRAY_SIZE(topic_users);

static void print_account(struct buf *out, const char *user)
{
	buf_printf(out, "\tHEAL_%s {\n\t\tusers: [\n", user);
}

void topic_print_nats_user(struct buf *out, const char *user, const char *login)
{
	bool source = str_starts(user, source_prefix);
	if (!source)
		print_account(out, user);
	buf_printf(out, "\t\t{ %s, permissions: {\n", login);
	/* Without a list a user of the bus may everything. */
	if (print_allow(out, user, true) == 0 || print_allow(out, user, false) == 0)
		abort();
	buf_add_str(out, "\t\t} }\n");
	if (source)
		return;
	buf_add_str(out, "\t\t]\n");
	print_imports(out, user, NULL);
}

void topic_print_nats_sources(struct buf *out)
{
	buf_add_str(
		out,
		"\t# One for all: an account that is new works after a restart only, a user that "
		"is new\n\t# after a reload.\n");
	print_account(out, "source");
}

void topic_print_nats_begin(struct buf *out)
{
	buf_add_str(
		out,
		"accounts {\n"
		"\t# The streams. Nobody logs in here: the server says its answers on whatever "
		"subject they\n\t# are asked for on, so each user has an account of its own, where "
		"answers end.\n"
		"\tHEAL {\n\t\tjetstream: enabled\n\t\tusers: []\n\t\texports: [\n");
	for (size_t i = 0; i < ARRAY_SIZE(offers); i++)
		buf_printf(out, "\t\t\t{ service: \"%s\" }\n", offers[i]);
	buf_add_str(out, "\t\t\t" OFFER_PULLS "\n\t\t]\n\t}\n");
}

void topic_print_nats_end(struct buf *out)
{
	buf_add_str(out, "\t\t]\n");
	print_imports(out, "source", "*");
	buf_add_str(out, "}\n");
}

void topic_print_nats_users(struct buf *out)
{
	buf_add_str(out, "# Generated from the topic table by `healctl topics --nats-users`.\n");
	topic_print_nats_begin(out);
	for (size_t i = 0; i < topic_users_n; i++) {
		auto_buf login = {0};
		buf_printf(&login, "user: \"%s\", password: $HEALBUS_", topic_users[i]);
		for (const char *c = topic_users[i]; *c; c++)
			buf_add_char(&login, (char)(*c - 'a' + 'A'));
		buf_add_str(&login, "_PASSWORD");
		topic_print_nats_user(out, topic_users[i], login.data);
	}
	topic_print_nats_sources(out);
	topic_print_nats_end(out);
}

/* ---- the same for people ---- */

struct mark {
	const char *subject;
	const char *what;
	const char *writes;
	const char *reads;
};

static const struct mark marks[] = {
	{"raw.<source>", "bytes", "monitor, source-<source>, operator", "monitor (normaliser)"},
	{"event.<part>.<source>", "Event", "monitor", "monitor (one fold a partition)"},
	{"event.<part>.tick", "Tick", "monitor", "monitor (one fold a partition)"},
	{"event.<part>.control", "Control", "monitor", "monitor (one fold a partition)"},
	{"heal.incident.<incident>", "Incident", "monitor, reasoner", "reasoner, notifier"},
	{"heal.plan.<incident>", "Plan", "reasoner", "executor, notifier"},
	{"heal.approval.<incident>", "ApprovalRequest", "executor", "notifier"},
	{"heal.decision.<incident>", "Decision", "notifier", "executor"},
	{"heal.step.<incident>", "StepReport", "executor", "reasoner, notifier"},
	{"heal.outcome.<incident>", "Outcome", "executor", "reasoner, notifier"},
	{"heal.model.<incident>", "ModelExchange", "reasoner", "reasoner, notifier"},
	{"heal.notice.<incident>", "Notice", "notifier", "notifier"},
	{"heal.control.<incident>", "Control", "notifier", "reasoner, notifier"},
	{"heal.control.pause", "Control", "notifier", "executor, notifier"},
	{"heal.control.silence", "Control", "notifier", "monitor (relay), notifier"},
	{"heal.control.catalogue", "Control", "executor", "notifier"},
	{"heal.control.call", "Control", "executor", "reasoner, notifier"},
	{"heal.control.tick", "Control", "reasoner, notifier", "reasoner, notifier"},
	{"heal.control.health", "Control", "notifier", "notifier"},
	{"heal.control.oncall", "Control", "notifier", "notifier"},
	{"dead.<stage>", "Dead", "each stage", "people"},
};

static void print_streams(struct buf *out)
{
	buf_printf(out, "%-8s %-10s %-9s %-10s %s\n", "STREAM", "SUBJECTS", "MAX AGE", "MAX BYTES",
		   "WHAT");
	for (size_t i = 0; i < topic_streams_n; i++) {
		const struct topic_stream *s = &topic_streams[i];
		int64_t age_ms = s->bucket ? s->bucket_ttl_ms : s->max_age_ms;
		char age[24];
		snprintf(age, sizeof(age), "%" PRId64 "s", age_ms / 1000);
		buf_printf(out, "%-8s %-10s %-9s %-10" PRId64 " %s\n", s->name,
			   s->bucket ? "(bucket)" : s->subjects[0], age_ms ? age : "for ever",
			   s->max_bytes, s->help);
	}
}

void topic_print(struct buf *out)
{
	print_streams(out);
	buf_printf(out, "\n%-25s %-16s %-19s %s\n", "SUBJECT", "MESSAGE", "WRITTEN BY", "READ BY");
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		buf_printf(out, "%-25s %-16s %-19s %s\n", marks[i].subject, marks[i].what,
			   marks[i].writes, marks[i].reads);
	buf_printf(out, "\n%-11s %-7s %-21s %-9s %s\n", "CONSUMER", "STREAM", "FILTER", "STAGE",
		   "WHAT");
	for (size_t i = 0; i < topic_consumers_n; i++) {
		const struct topic_consumer *c = &topic_consumers[i];
		buf_printf(out, "%-11s %-7s %-21s %-9s %s\n", c->name, c->stream, c->filter,
			   c->stage, c->help);
	}
}
