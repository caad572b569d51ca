#include "common/bus_private.h"

#include <netdb.h>
#include <sys/socket.h>

enum {
	FOLD_ACK_WAIT_MS = 3600000,
	FOLD_ACKS_PENDING = 2048,
	LOST_TAIL_MS = 180000, /* more than the server's sync interval of two minutes */
};
#define MS_TO_NS INT64_C(1000000)

/* ---- consumers ---- */

static const char *ns_format(int64_t ms, char out[static TIME_TEXT_BYTES])
{
	return time_format(ms, out);
}

static json_t *consumer_body(const char *stream, json_t *config)
{
	return json_pack("{s:s, s:o}", "stream_name", stream, "config", config);
}

static int consumer_create(struct bus *b, const char *stream, const char *name, json_t *config,
			   struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", stream, name);
	auto_json answer = NULL;
	return bus_api(b, subject, consumer_body(stream, config), &answer, out_why);
}

static int consumer_delete(struct bus *b, const char *stream, const char *name, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.DELETE.%s.%s", stream, name);
	auto_json answer = NULL;
	struct why why = {0};
	int rc = bus_api(b, subject, NULL, &answer, &why);
	return rc == 0 || rc == ERR_NOT_FOUND ? 0 : why_set(out_why, rc, "%s", why.text);
}

int bus_consumer_delete(struct bus *b, const char *stream, const char *name, struct why *out_why)
{
	return consumer_delete(b, stream, name, out_why);
}

static void set_start(json_t *config, uint64_t start_seq, int64_t start_ms)
{
	char text[TIME_TEXT_BYTES];
	const char *policy = start_seq ? "by_start_sequence" : start_ms ? "by_start_time" : "all";
	json_object_set_new(config, "deliver_policy", json_string(policy));
	if (start_seq)
		json_object_set_new(config, "opt_start_seq", json_integer((json_int_t)start_seq));
	else if (start_ms)
		json_object_set_new(config, "opt_start_time",
				    json_string(ns_format(start_ms, text)));
}

int bus_fold_consumer(struct bus *b, const char *stream, const char *name, const char *filter,
		      uint64_t start_seq, int64_t start_ms, struct why *out_why)
{
	int rc = consumer_delete(b, stream, name, out_why);
	if (rc)
		return rc;
	json_t *config = json_pack("{s:s, s:s, s:I, s:i, s:i, s:s, s:s}", "durable_name", name,
				   "ack_policy", "all", "ack_wait", FOLD_ACK_WAIT_MS * MS_TO_NS,
				   "max_ack_pending", FOLD_ACKS_PENDING, "max_deliver", -1,
				   "filter_subject", filter, "replay_policy", "instant");
	set_start(config, start_seq, start_ms);
	return consumer_create(b, stream, name, config, out_why);
}

static json_t *shared_config(const struct topic_consumer *c, uint64_t start_seq, int64_t start_ms)
{
	json_t *config = json_pack("{s:s, s:s, s:I, s:i, s:i, s:s, s:s}", "durable_name", c->name,
				   "ack_policy", "explicit", "ack_wait", c->ack_wait_ms * MS_TO_NS,
				   "max_ack_pending", c->max_ack_pending, "max_deliver", -1,
				   "filter_subject", c->filter, "replay_policy", "instant");
	set_start(config, start_seq, start_ms);
	return config;
}

int bus_shared_consumer_from(struct bus *b, const struct topic_consumer *c, uint64_t start_seq,
			     struct why *out_why)
{
	return consumer_create(b, c->stream, c->name, shared_config(c, start_seq, 0), out_why);
}

static int compare_shared(const struct topic_consumer *c, const json_t *info, struct why *out_why)
{
	const json_t *config = json_object_get(info, "config");
	const char *filter = bus_json_str(config, "filter_subject");
	const char *policy = bus_json_str(config, "ack_policy");
	if (str_eq(filter, c->filter) && str_eq(policy, "explicit"))
		return 0;
	return why_set(out_why, ERR_CONFIG,
		       "bus: consumer %s of %s has filter %s and acks %s; wanted %s and explicit",
		       c->name, c->stream, filter, policy, c->filter);
}

/* A durable whose stream has lost its tail would silently skip the sequence numbers that are used
 * again: it is made anew from before the loss. Effects cope with seeing a message twice. */
static int recreate_if_ahead(struct bus *b, const struct topic_consumer *c, const json_t *info,
			     struct why *out_why)
{
	struct bus_stream_state state = {0};
	uint64_t delivered =
		(uint64_t)bus_json_int(json_object_get(info, "delivered"), "stream_seq");
	int rc = bus_stream_state(b, c->stream, &state, out_why);
	if (rc || delivered <= state.last_seq)
		return rc;
	struct bus_delivery last = {0};
	int64_t start_ms = 0;
	if (bus_get(b, c->stream, state.last_seq, &last, NULL) == 0)
		start_ms = last.stream_ns / MS_TO_NS - LOST_TAIL_MS;
	bus_delivery_free(&last);
	rc = consumer_delete(b, c->stream, c->name, out_why);
	return rc ? rc
		  : consumer_create(b, c->stream, c->name, shared_config(c, 0, start_ms), out_why);
}

int bus_shared_consumer(struct bus *b, const struct topic_consumer *c, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.INFO.%s.%s", c->stream, c->name);
	auto_json info = NULL;
	struct why why = {0};
	int rc = bus_api(b, subject, NULL, &info, &why);
	if (rc == ERR_NOT_FOUND)
		return consumer_create(b, c->stream, c->name, shared_config(c, 0, 0), out_why);
	if (rc)
		return why_set(out_why, rc, "%s", why.text);
	rc = compare_shared(c, info, out_why);
	return rc ? rc : recreate_if_ahead(b, c, info, out_why);
}

int bus_consumer_state(struct bus *b, const char *stream, const char *name,
		       struct bus_consumer_state *out, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	snprintf(subject, sizeof(subject), "$JS.API.CONSUMER.INFO.%s.%s", stream, name);
	auto_json info = NULL;
	int rc = bus_api(b, subject, NULL, &info, out_why);
	if (rc)
		return rc;
	out->pending = (uint64_t)bus_json_int(info, "num_pending");
	out->unacked = (uint64_t)bus_json_int(info, "num_ack_pending");
	out->redelivered = (uint64_t)bus_json_int(info, "num_redelivered");
	out->waiting = (uint64_t)bus_json_int(info, "num_waiting");
	out->settled_seq = (uint64_t)bus_json_int(json_object_get(info, "ack_floor"), "stream_seq");
	out->seq = (uint64_t)bus_json_int(json_object_get(info, "delivered"), "stream_seq");
	return 0;
}

/* ---- streams ---- */

static int stream_info(struct bus *b, const char *stream, json_t **out, struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.INFO.%s", stream);
	return bus_api(b, subject, NULL, out, out_why);
}

/* A server on its own says nothing of a cluster. */
static void read_copies(const json_t *cluster, struct bus_stream_state *out)
{
	size_t i;
	json_t *replica;
	out->cluster = *bus_json_str(cluster, "name");
	out->led = !out->cluster || *bus_json_str(cluster, "leader");
	out->copies = 1;
	out->current = out->led;
	json_array_foreach(json_object_get(cluster, "replicas"), i, replica)
	{
		out->copies++;
		out->current += json_is_true(json_object_get(replica, "current"));
	}
}

int bus_stream_state(struct bus *b, const char *stream, struct bus_stream_state *out,
		     struct why *out_why)
{
	auto_json info = NULL;
	int rc = stream_info(b, stream, &info, out_why);
	if (rc)
		return rc;
	const json_t *state = json_object_get(info, "state");
	const char *about = bus_json_str(json_object_get(info, "config"), "description");
	struct bus_stream_state s = {
		.laid_ms = str_starts(about, BUS_LAID_TEXT)
				   ? strtoll(about + strlen(BUS_LAID_TEXT), NULL, 10)
				   : 0,
		.first_seq = (uint64_t)bus_json_int(state, "first_seq"),
		.last_seq = (uint64_t)bus_json_int(state, "last_seq"),
		.messages = (uint64_t)bus_json_int(state, "messages"),
		.bytes = (uint64_t)bus_json_int(state, "bytes"),
		.max_bytes = bus_json_int(json_object_get(info, "config"), "max_bytes"),
		.max_age_ms = bus_json_int(json_object_get(info, "config"), "max_age") / MS_TO_NS,
		.created_ns = bus_time_ns(bus_json_str(info, "created")),
	};
	read_copies(json_object_get(info, "cluster"), &s);
	*out = s;
	return 0;
}

static const char *bus_stream_name(const struct topic_stream *t, char out[static TOKEN_MAX + 8])
{
	snprintf(out, TOKEN_MAX + 8, "%s%s", t->bucket ? "KV_" : "", t->name);
	return out;
}

static json_t *stream_subjects(const struct topic_stream *t)
{
	json_t *subjects = json_array();
	if (t->bucket)
		json_array_append_new(subjects, json_sprintf("$KV.%s.>", t->name));
	for (size_t i = 0; !t->bucket && i < ARRAY_SIZE(t->subjects); i++)
		if (t->subjects[i])
			json_array_append_new(subjects, json_string(t->subjects[i]));
	return subjects;
}

/* What the topic table says, or the configuration in its place. */
static struct bus_keep keep_of(const struct bus *b, const struct topic_stream *t)
{
	static const char *const names[BUS_KEPT] = {
		[BUS_RAW] = STREAM_RAW,   [BUS_EVENTS] = STREAM_EVENTS, [BUS_STORY] = STREAM_STORY,
		[BUS_DEAD] = STREAM_DEAD, [BUS_CLAIM] = BUCKET_CLAIM,
	};
	struct bus_keep keep = {t->bucket ? t->bucket_ttl_ms : t->max_age_ms, t->max_bytes};
	for (size_t i = 0; i < BUS_KEPT; i++) {
		if (!str_eq(names[i], t->name))
			continue;
		int64_t age_ms = b->keep[i].age_ms;
		if (i == BUS_CLAIM && b->keep[BUS_STORY].age_ms)
			age_ms = b->keep[BUS_STORY].age_ms + TOPIC_CLAIM_EXTRA_MS;
		keep.age_ms = age_ms ? age_ms : keep.age_ms;
		keep.bytes = b->keep[i].bytes ? b->keep[i].bytes : keep.bytes;
	}
	return keep;
}

json_t *bus_stream_config(const struct bus *b, const struct topic_stream *t)
{
	char name[TOKEN_MAX + 8];
	const struct bus_keep keep = keep_of(b, t);
	int64_t age_ms = keep.age_ms;
	int64_t window_ms = t->duplicate_window_ms ? t->duplicate_window_ms : 120000;
	if (age_ms > 0)
		window_ms = MIN(window_ms, age_ms);
	json_t *config = json_pack("{s:s, s:o, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i}", "name",
				   bus_stream_name(t, name), "subjects", stream_subjects(t),
				   "retention", "limits", "storage", "file", "discard", "new",
				   "num_replicas", b->replicas, "max_consumers", -1, "max_msgs", -1,
				   "max_msg_size", -1, "max_msgs_per_subject", t->bucket ? 1 : -1);
	json_object_set_new(config, "max_age", json_integer(age_ms * MS_TO_NS));
	json_object_set_new(config, "max_bytes", json_integer(keep.bytes ? keep.bytes : -1));
	json_object_set_new(config, "duplicate_window", json_integer(window_ms * MS_TO_NS));
	json_object_set_new(config, "allow_direct", json_true());
	json_object_set_new(config, "allow_rollup_hdrs", json_boolean(t->bucket));
	json_object_set_new(config, "deny_delete", json_boolean(t->bucket));
	json_object_set_new(config, "deny_purge", json_boolean(!t->bucket));
	return config;
}

struct says {
	void (*said)(void *ctx, const char *line);
	void *ctx;
};

static void say(const struct says *s, const char *text)
{
	if (s->said)
		s->said(s->ctx, text);
}

/* Servers leave out false members. */
static bool same_value(const json_t *wanted, const json_t *got)
{
	if (!got)
		return json_is_false(wanted);
	return json_equal(wanted, got);
}

/* The server ignores what it does not know without a word, so every member is compared. */
static int compare_stream(const json_t *wanted, const json_t *got, const struct says *s)
{
	int rc = 0;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
	{
		const json_t *other = json_object_get(got, key);
		if (same_value(value, other))
			continue;
		auto_free char *a = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		auto_free char *b = other ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT)
					  : mem_strdup("nothing");
		auto_free char *line = mem_printf("%s: %s is %s, wanted %s",
						  bus_json_str(wanted, "name"), key, b, a);
		say(s, line);
		rc = ERR_CONFIG;
	}
	return rc;
}

static int check_stream(struct bus *b, const struct topic_stream *t, const struct says *s,
			struct why *out_why)
{
	char name[TOKEN_MAX + 8];
	auto_json info = NULL;
	auto_json wanted = bus_stream_config(b, t);
	int rc = stream_info(b, bus_stream_name(t, name), &info, out_why);
	return rc ? rc : compare_stream(wanted, json_object_get(info, "config"), s);
}

static int create_stream(struct bus *b, const struct topic_stream *t, const struct says *s,
			 struct why *out_why)
{
	char name[TOKEN_MAX + 8], subject[SUBJECT_MAX + 1];
	bus_stream_name(t, name);
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.CREATE.%s", name);
	auto_json wanted = bus_stream_config(b, t);
	auto_json answer = NULL;
	int rc = bus_api(b, subject, json_incref(wanted), &answer, out_why);
	if (rc)
		return rc;
	auto_free char *line = mem_printf("%s: created", name);
	say(s, line);
	return compare_stream(wanted, json_object_get(answer, "config"), s);
}

static bool may_change(const char *key)
{
	static const char *const keys[] = {"max_age", "max_bytes", "duplicate_window"};
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (str_eq(keys[i], key))
			return true;
	return false;
}

/* Nothing but what can be changed under load? */
static bool only_kept_differs(const json_t *wanted, const json_t *got)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)wanted, key, value)
	{
		if (!may_change(key) && !same_value(value, json_object_get(got, key)))
			return false;
	}
	return true;
}

static int change_stream(struct bus *b, const struct topic_stream *t, const struct says *s,
			 struct why *out_why)
{
	char name[TOKEN_MAX + 8], subject[SUBJECT_MAX + 1];
	auto_json info = NULL;
	auto_json answer = NULL;
	auto_json wanted = bus_stream_config(b, t);
	int rc = stream_info(b, bus_stream_name(t, name), &info, out_why);
	if (rc)
		return rc;
	if (!only_kept_differs(wanted, json_object_get(info, "config")))
		return why_set(out_why, ERR_CONFIG, "%s differs in what cannot be changed", name);
	json_t *about = json_object_get(json_object_get(info, "config"), "description");
	if (about)
		json_object_set(wanted, "description", about);
	snprintf(subject, sizeof(subject), "$JS.API.STREAM.UPDATE.%s", name);
	rc = bus_api(b, subject, json_incref(wanted), &answer, out_why);
	if (rc)
		return rc;
	auto_free char *line = mem_printf("%s: changed to that", name);
	say(s, line);
	return compare_stream(wanted, json_object_get(answer, "config"), s);
}

int bus_provision(struct bus *b, void (*said)(void *ctx, const char *line), void *ctx,
		  struct why *out_why)
{
	const struct says s = {said, ctx};
	int worst = 0;
	for (size_t i = 0; i < topic_streams_n; i++) {
		struct why why = {0};
		int rc = check_stream(b, &topic_streams[i], &s, &why);
		if (rc == ERR_NOT_FOUND) {
			why = (struct why){0};
			rc = create_stream(b, &topic_streams[i], &s, &why);
		} else if (rc == ERR_CONFIG) {
			rc = change_stream(b, &topic_streams[i], &s, &why);
		}
		if (rc == ERR_CONFIG)
			worst = rc;
		else if (rc)
			return why_set(out_why, rc, "%s: %s", topic_streams[i].name, why.text);
	}
	return worst ? why_set(out_why, worst, "streams differ from the topic table") : 0;
}

int bus_provision_one(struct bus *b, const char *name, struct why *out_why)
{
	const struct says nobody = {0};
	size_t i = 0;
	while (i < topic_streams_n && !str_eq(topic_streams[i].name, name))
		i++;
	assert(i < topic_streams_n);
	int rc = check_stream(b, &topic_streams[i], &nobody, NULL);
	return rc == ERR_NOT_FOUND ? create_stream(b, &topic_streams[i], &nobody, out_why) : rc;
}

int bus_check_streams(struct bus *b, void (*said)(void *ctx, const char *line), void *ctx,
		      struct why *out_why)
{
	const struct says s = {said, ctx};
	int worst = 0;
	for (size_t i = 0; i < topic_streams_n; i++) {
		struct why why = {0};
		int rc = check_stream(b, &topic_streams[i], &s, &why);
		if (rc == ERR_NOT_FOUND) {
			auto_free char *line = mem_printf("%s: missing", topic_streams[i].name);
			say(&s, line);
		} else if (rc && rc != ERR_CONFIG) {
			return why_set(out_why, rc, "%s: %s", topic_streams[i].name, why.text);
		}
		worst = rc ? ERR_CONFIG : worst;
	}
	return worst ? why_set(out_why, worst, "streams differ from the topic table") : 0;
}

/* ---- the server's version: its greeting says, libnats does not ---- */

static int dial(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -1;
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = {.tv_sec = 2};
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		if (connect(fd, list->ai_addr, list->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	return fd;
}

static void read_greeting(int fd, char out[static 32])
{
	char text[4096] = "";
	size_t len = 0;
	while (len < sizeof(text) - 1 && !memchr(text, '\n', len)) {
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n <= 0)
			return;
		len += (size_t)n;
	}
	text[len] = '\0';
	const char *json = strchr(text, '{');
	auto_json info = json ? json_loads(json, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
	snprintf(out, 32, "%s", bus_json_str(info, "version"));
}

void bus_server_version(struct bus *b, char out[static 32])
{
	char url[256] = "";
	out[0] = '\0';
	auto_conn c = bus_conn_get(b);
	if (!c || natsConnection_GetConnectedUrl(c->nc, url, sizeof(url)) != NATS_OK)
		return;
	char *host = strstr(url, "://");
	host = host ? host + 3 : url;
	char *at = strrchr(host, '@');
	host = at ? at + 1 : host;
	char *port = strrchr(host, ':');
	if (!port)
		return;
	*port++ = '\0';
	if (*host == '[') {
		host++;
		host[strcspn(host, "]")] = '\0';
	}
	auto_fd int fd = dial(host, port);
	if (fd >= 0)
		read_greeting(fd, out);
}
