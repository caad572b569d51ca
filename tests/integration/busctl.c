/*
 * The bus by hand, for integration tests. Messages are written and read as JSON, in the form of
 * wire_to_json. The server is $HEALBUS_BUS_URL, the user $HEALBUS_BUS_USER with
 * $HEALBUS_BUS_PASSWORD_FILE; controls are signed with $BUSCTL_SIGN_KEY, where that is set. Exit
 * codes: 0, 1 (it failed, or a wait ran out), 64 (usage).
 */
#include "common/bus.h"
#include "common/clock.h"
#include "common/wire.h"
#include "tests/json_msg.h"

#include <poll.h>

static const char usage_text[] =
	"busctl provision                      create streams and buckets\n"
	"busctl pub SUBJECT FILE [ID [TIME_MS [CONTENT_TYPE]]]\n"
	"                                      publish the bytes of FILE (- is stdin)\n"
	"busctl send KIND TOKEN FILE [ID [TIME_MS]]\n"
	"                                      publish FILE's JSON as a message; FILE may hold "
	"many\n"
	"                                      lines, one message each (ID then gets -1, -2, "
	"...);\n"
	"                                      KIND event and tick: TOKEN is <part>.<source>\n"
	"busctl pack KIND FILE                 the packed bytes of FILE's JSON, to stdout\n"
	"busctl show KIND FILE                 packed bytes to JSON\n"
	"busctl dump STREAM [PATTERN [FROM]]   JSON lines {seq,subject,id,cause,time_ms,message,\n"
	"                                      content_type}\n"
	"busctl wait STREAM PATTERN COUNT TIMEOUT_S\n"
	"                                      until COUNT messages match; prints them\n"
	"busctl state STREAM                   {first_seq,last_seq,messages,bytes}\n"
	"busctl kv get BUCKET KEY | kv set BUCKET KEY VALUE | kv del BUCKET KEY\n"
	"busctl up TIMEOUT_S                   wait for the server\n";

/* ---- commands ---- */

static struct bus *the_bus;

static int fail(const char *what, int rc, const struct why *why)
{
	fprintf(stderr, "busctl: %s: %s: %s\n", what, err_name(rc), why->text);
	return 1;
}

static int connect_bus(int64_t timeout_ms)
{
	struct why why = {0};
	const char *url = getenv("HEALBUS_BUS_URL");
	struct bus_options o = {.url = url ? url : "nats://127.0.0.1:4222",
				.name = "busctl",
				.user = getenv("HEALBUS_BUS_USER"),
				.password_file = getenv("HEALBUS_BUS_PASSWORD_FILE")};
	int rc = bus_open(&o, &the_bus, &why);
	if (!rc)
		rc = bus_wait(the_bus, timeout_ms, &why);
	return rc ? fail("connect", rc, &why) : 0;
}

static int read_input(const char *path, struct buf *out)
{
	if (!str_eq(path, "-")) {
		int rc = buf_read_file(out, path, 64 << 20);
		return rc ? fail(path, rc, &(struct why){"cannot read"}) : 0;
	}
	char chunk[4096];
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), stdin)) > 0;)
		buf_add(out, chunk, n);
	return 0;
}

static int publish(const char *subject, const void *data, size_t len, const char *id,
		   int64_t time_ms)
{
	struct why why = {0};
	uint64_t seq = 0;
	struct bus_msg m = {
		.subject = subject, .id = id, .time_ms = time_ms, .data = data, .len = len};
	int rc = bus_publish(the_bus, &m, 5000, &seq, &why);
	if (rc)
		return fail(subject, rc, &why);
	printf("%" PRIu64 "\n", seq);
	return 0;
}

static int64_t arg_ms(int argc, char **argv, int i, int64_t fallback)
{
	return argc > i ? strtoll(argv[i], NULL, 10) : fallback;
}

static int cmd_pub(int argc, char **argv)
{
	auto_buf data = {0};
	struct why why = {0};
	uint64_t seq = 0;
	if (read_input(argv[1], &data))
		return 1;
	struct bus_msg m = {.subject = argv[0],
			    .id = argc > 2 && *argv[2] ? argv[2] : NULL,
			    .time_ms = arg_ms(argc, argv, 3, 0),
			    .content_type = argc > 4 ? argv[4] : NULL,
			    .data = buf_str(&data),
			    .len = data.len};
	int rc = bus_publish(the_bus, &m, 5000, &seq, &why);
	if (rc)
		return fail(argv[0], rc, &why);
	printf("%" PRIu64 "\n", seq);
	return 0;
}

/* As a notifier with that key does with votes. */
static int sign(Healbus__Control *c, struct arena *a, struct why *out_why)
{
	struct sign_key *key = NULL;
	int rc = sign_key_load(getenv("BUSCTL_SIGN_KEY"), &key, out_why);
	if (!rc)
		rc = control_sign(c, key, a, out_why);
	sign_key_free(key);
	return rc;
}

/* Parses and packs one JSON text of this kind. */
static int pack_json(const char *kind, const char *text, size_t len, struct buf *out)
{
	enum kind k;
	const ProtobufCMessageDescriptor *d;
	struct arena a = {0};
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	json_error_t error;
	if (kind_find(kind, &k, &d))
		return fail(kind, ERR_UNKNOWN_KEY, &(struct why){"no such kind"});
	json_t *json = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, &error);
	if (!json)
		return fail("JSON", ERR_INVALID, &(struct why){"not JSON"});
	int rc = message_from_json(d, json, &a, &msg, &why);
	if (!rc && k == KIND_CONTROL && getenv("BUSCTL_SIGN_KEY"))
		rc = sign((Healbus__Control *)(void *)msg, &a, &why);
	if (!rc)
		wire_pack(msg, out);
	json_decref(json);
	arena_release(&a);
	return rc ? fail(kind, rc, &why) : 0;
}

static void subject_of(char out[static SUBJECT_MAX + 1], const char *kind, const char *token)
{
	if (str_eq(kind, "event") || str_eq(kind, "tick"))
		snprintf(out, SUBJECT_MAX + 1, "event.%s", token);
	else
		snprintf(out, SUBJECT_MAX + 1, "heal.%s.%s", kind, token);
}

/* A file of JSON lines is many messages; anything else is one. */
static bool is_lines(const char *text)
{
	const char *nl = strchr(text, '\n');
	return nl && nl > text && nl[-1] == '}' && nl[1] == '{';
}

static int cmd_send(int argc, char **argv)
{
	auto_buf text = {0};
	char subject[SUBJECT_MAX + 1];
	const char *id = argc > 3 && *argv[3] ? argv[3] : NULL;
	int64_t time_ms = arg_ms(argc, argv, 4, clock_real_ms());
	if (read_input(argv[2], &text))
		return 1;
	subject_of(subject, argv[0], argv[1]);
	bool lines = is_lines(buf_str(&text));
	const char *at = buf_str(&text);
	for (size_t n = 1; *at; n++) {
		const char *end = lines ? strchrnul(at, '\n') : at + strlen(at);
		auto_buf packed = {0};
		auto_free char *line_id = lines && id ? mem_printf("%s-%zu", id, n) : NULL;
		if (pack_json(argv[0], at, (size_t)(end - at), &packed))
			return 1;
		if (publish(subject, buf_str(&packed), packed.len, line_id ? line_id : id, time_ms))
			return 1;
		at = *end ? end + 1 : end;
	}
	return 0;
}

static int cmd_pack(int argc, char **argv)
{
	(void)argc;
	auto_buf text = {0};
	auto_buf packed = {0};
	if (read_input(argv[1], &text) || pack_json(argv[0], buf_str(&text), text.len, &packed))
		return 1;
	return fwrite(buf_str(&packed), 1, packed.len, stdout) == packed.len ? 0 : 1;
}

/* The message as JSON, or {"error", "hex"} when it does not unpack. */
static json_t *message_json(enum kind kind, const void *data, size_t len)
{
	struct arena a = {.limit_bytes = 64 << 20};
	struct why why = {0};
	ProtobufCMessage *msg = NULL;
	json_t *json;
	if (kind == KIND_RAW) {
		json = json_loadb(data, len, 0, NULL);
		if (!json)
			json = json_stringn_nocheck(data, len);
	} else if (wire_unpack(kind, data, len, &a, &msg, &why) == 0) {
		json = wire_to_json(msg);
	} else {
		auto_buf hex = {0};
		buf_add_hex(&hex, data, len);
		json = json_pack("{s:s, s:s}", "error", why.text, "hex", buf_str(&hex));
	}
	arena_release(&a);
	return json;
}

static int cmd_show(int argc, char **argv)
{
	(void)argc;
	enum kind kind;
	const ProtobufCMessageDescriptor *d;
	auto_buf data = {0};
	if (kind_find(argv[0], &kind, &d) || read_input(argv[1], &data))
		return 1;
	json_t *json = message_json(kind, buf_str(&data), data.len);
	json_dumpf(json, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(json);
	return 0;
}

/* NATS wildcards: * one token, > the rest. */
static bool subject_matches(const char *pattern, const char *subject)
{
	for (;;) {
		size_t p = strcspn(pattern, ".");
		size_t s = strcspn(subject, ".");
		if (p == 1 && *pattern == '>')
			return s > 0;
		bool star = p == 1 && *pattern == '*';
		if (!star && (p != s || memcmp(pattern, subject, p) != 0))
			return false;
		if (!pattern[p] || !subject[s])
			return pattern[p] == subject[s];
		pattern += p + 1;
		subject += s + 1;
	}
}

static void print_delivery(const struct bus_delivery *d)
{
	struct topic topic = {0};
	topic_parse(d->subject, &topic);
	json_t *line = json_pack("{s:I, s:s, s:s, s:s, s:I, s:o}", "seq", (json_int_t)d->seq,
				 "subject", d->subject, "id", d->id, "cause", d->cause, "time_ms",
				 (json_int_t)d->time_ms, "message",
				 message_json(topic.kind, d->data, d->len));
	if (d->content_type && *d->content_type)
		json_object_set_new(line, "content_type", json_string(d->content_type));
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
}

/* Prints (or only counts) the stream's messages from `from` on that match. */
static int each_message(const char *stream, const char *pattern, uint64_t from, bool print,
			uint64_t *out_n)
{
	struct why why = {0};
	struct bus_stream_state state;
	int rc = bus_stream_state(the_bus, stream, &state, &why);
	if (rc)
		return fail(stream, rc, &why);
	for (uint64_t seq = MAX(from, state.first_seq); seq && seq <= state.last_seq; seq++) {
		struct bus_delivery d;
		rc = bus_get(the_bus, stream, seq, &d, &why);
		if (rc == ERR_NOT_FOUND)
			continue;
		if (rc)
			return fail(stream, rc, &why);
		bool match = subject_matches(pattern, d.subject);
		*out_n += match;
		if (match && print)
			print_delivery(&d);
		bus_delivery_free(&d);
	}
	return 0;
}

static int cmd_dump(int argc, char **argv)
{
	uint64_t n = 0;
	return each_message(argv[0], argc > 1 ? argv[1] : ">", (uint64_t)arg_ms(argc, argv, 2, 1),
			    true, &n);
}

static int cmd_wait(int argc, char **argv)
{
	(void)argc;
	uint64_t want = strtoull(argv[2], NULL, 10);
	int64_t deadline = clock_mono_ms() + (int64_t)(strtod(argv[3], NULL) * 1000);
	for (;;) {
		uint64_t n = 0;
		if (each_message(argv[0], argv[1], 1, false, &n))
			return 1;
		if (n >= want)
			break;
		if (clock_mono_ms() >= deadline) {
			fprintf(stderr, "busctl: %s: %" PRIu64 " of %" PRIu64 " in time\n", argv[1],
				n, want);
			each_message(argv[0], argv[1], 1, true, &n);
			return 1;
		}
		poll(NULL, 0, 20);
	}
	uint64_t n = 0;
	return each_message(argv[0], argv[1], 1, true, &n);
}

static int cmd_state(int argc, char **argv)
{
	(void)argc;
	struct why why = {0};
	struct bus_stream_state s;
	int rc = bus_stream_state(the_bus, argv[0], &s, &why);
	if (rc)
		return fail(argv[0], rc, &why);
	printf("{\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 ",\"messages\":%" PRIu64
	       ",\"bytes\":%" PRIu64 "}\n",
	       s.first_seq, s.last_seq, s.messages, s.bytes);
	return 0;
}

static int cmd_kv(int argc, char **argv)
{
	struct why why = {0};
	struct bus_kv_entry e = {0};
	uint64_t revision = 0;
	int rc = ERR_INVALID;
	if (str_eq(argv[0], "get"))
		rc = bus_kv_get(the_bus, argv[1], argv[2], &e, &why);
	else if (str_eq(argv[0], "set") && argc > 3)
		rc = bus_kv_set(the_bus, argv[1], argv[2], argv[3], strlen(argv[3]), &revision,
				&why);
	else if (str_eq(argv[0], "del") &&
		 (rc = bus_kv_get(the_bus, argv[1], argv[2], &e, &why)) == 0)
		rc = bus_kv_del(the_bus, argv[1], argv[2], e.revision, &why);
	if (rc)
		return fail(argv[2], rc, &why);
	if (e.value && str_eq(argv[0], "get"))
		printf("%s\n", e.value);
	free(e.value);
	return 0;
}

static void say(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "%s\n", line);
}

static int cmd_provision(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	struct why why = {0};
	int rc = bus_provision(the_bus, say, NULL, &why);
	return rc ? fail("provision", rc, &why) : 0;
}

static int cmd_up(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static const struct command {
	const char *name;
	int args;
	bool needs_bus;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"provision", 0, true, cmd_provision},
	{"pub", 2, true, cmd_pub},
	{"send", 3, true, cmd_send},
	{"pack", 2, false, cmd_pack},
	{"show", 2, false, cmd_show},
	{"dump", 1, true, cmd_dump},
	{"wait", 4, true, cmd_wait},
	{"state", 1, true, cmd_state},
	{"kv", 3, true, cmd_kv},
	{"up", 0, true, cmd_up},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		if (!str_eq(argv[1], c->name) || argc - 2 < c->args)
			continue;
		bool up = str_eq(c->name, "up") && argc > 2;
		int64_t timeout_ms = up ? (int64_t)(strtod(argv[2], NULL) * 1000) : 10000;
		int rc = c->needs_bus ? connect_bus(timeout_ms) : 0;
		if (!rc)
			rc = c->run(argc - 2, argv + 2);
		bus_close(the_bus);
		return rc;
	}
	fputs(usage_text, stderr);
	return 64;
}
