#include "notifier/ctl/ctl.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/stage.h"
#include "common/wire.h"

enum { CONNECT_MS = 5000, PUBLISH_MS = 5000 };

const char *ctl_config_dir(const struct ctl *c)
{
	const char *dir = ctl_flag(c, "config");

	if (!dir)
		dir = getenv("HEALBUS_CONFIG");
	return dir && *dir ? dir : "/etc/healbus";
}

static const char *what_to_do(int rc, const struct why *why)
{
	if (rc == ERR_DENIED)
		return "check nkey_file, or user and password_file, in bus.yaml";
	if (strstr(why->text, "SSL"))
		return "check ca_file, and that url names the server as its certificate does";
	return "is nats-server running? healctl doctor";
}

int ctl_bus(struct ctl *c, struct bus **out)
{
	struct why why = {0};
	struct bus *b = NULL;
	int rc = stage_bus_open(ctl_config_dir(c), "operator", &b, &why);

	if (rc)
		return ctl_fail(EXIT_USAGE, "repair bus.yaml, or name its directory with -c DIR",
				"%s", why.text);
	rc = bus_wait(b, CONNECT_MS, &why);
	if (rc) {
		bus_close(b);
		return ctl_fail(EXIT_UNREACHABLE, what_to_do(rc, &why), "the bus: %s", why.text);
	}
	*out = b;
	return EXIT_OK;
}

/* One byte more than allowed is read, so that too much is told from just enough. */
static int read_input(const char *file, struct buf *out)
{
	bool is_stdin = !file || str_eq(file, "-");
	auto_file FILE *opened = is_stdin ? NULL : fopen(file, "re");
	FILE *in = is_stdin ? stdin : opened;
	char chunk[65536];
	size_t n;

	if (!in)
		return ctl_fail(EXIT_NO, "name a readable file, or - for standard input", "%s: %s",
				file, strerror(errno));
	while (out->len <= WIRE_RAW_MAX_BYTES && (n = fread(chunk, 1, sizeof(chunk), in)) > 0)
		buf_add(out, chunk, n);
	if (ferror(in))
		return ctl_fail(EXIT_NO, "try again", "%s: cannot be read", is_stdin ? "-" : file);
	if (out->len == 0 || out->len > WIRE_RAW_MAX_BYTES)
		return ctl_fail(EXIT_NO, "send one JSON document", "want 1 to %d bytes",
				WIRE_RAW_MAX_BYTES);
	return EXIT_OK;
}

static int check_json(const struct buf *data)
{
	json_error_t error;
	auto_json *j = json_loadb(data->data, data->len, 0, &error);

	if (j)
		return EXIT_OK;
	return ctl_fail(EXIT_NO, "repair the document; jq . FILE finds the place",
			"not JSON: line %d: %s", error.line, error.text);
}

static int publish(struct ctl *c, struct bus *b, const struct buf *data, uint64_t *out_seq)
{
	char subject[SUBJECT_MAX + 1], random[ID_BYTES];
	const char *id = ctl_flag(c, "id");
	struct why why = {0};

	id_random(random);
	struct bus_msg m = {.subject = subject_raw(subject, c->args[0]),
			    .id = id ? id : random,
			    .content_type = "application/json",
			    .time_ms = clock_real_ms(),
			    .data = data->data,
			    .len = data->len};
	int rc = bus_publish(b, &m, PUBLISH_MS, out_seq, &why);
	if (rc == 0)
		return EXIT_OK;
	return ctl_fail(rc == ERR_DENIED ? EXIT_NO : EXIT_UNREACHABLE,
			rc == ERR_DENIED ? "the user in bus.yaml must be allowed to publish raw.*"
					 : "nothing is certain to be stored; healctl doctor",
			"%s: %s", subject, why.text[0] ? why.text : err_name(rc));
}

static int cmd_publish(struct ctl *c)
{
	auto_buf data = {0};
	struct bus *b = NULL;
	uint64_t seq = 0;

	if (!token_valid(c->args[0]))
		return ctl_fail(EXIT_USAGE, "letters, digits, _ and -, at most 64",
				"%s: no source name", c->args[0]);
	if (ctl_flag(c, "id") && strlen(ctl_flag(c, "id")) > BUS_ID_MAX)
		return ctl_fail(EXIT_USAGE, "give a shorter one", "--id: over %d bytes",
				BUS_ID_MAX);
	int rc = read_input(c->n_args > 1 ? c->args[1] : NULL, &data);
	if (!rc)
		rc = check_json(&data);
	if (!rc)
		rc = ctl_bus(c, &b);
	if (rc)
		return rc;
	rc = publish(c, b, &data, &seq);
	bus_close(b);
	if (rc)
		return rc;
	auto_json *answer = json_pack("{s:s,s:I}", "stream", STREAM_RAW, "seq", (json_int_t)seq);
	if (!ctl_as_json(c, answer))
		ctl_printf(c, "stored as %" PRIu64 " of %s\n", seq, STREAM_RAW);
	return EXIT_OK;
}

static const char help_publish[] =
	"Reads one JSON document from FILE or standard input and waits until the bus has "
	"stored it. What SOURCE's format is, monitor.yaml says; \"alertmanager\" takes what "
	"Alertmanager sends.";

const struct ctl_command command_publish = {
	.name = "publish",
	.args = "SOURCE [FILE|-]",
	.summary = "publish an alert to raw.SOURCE",
	.help = help_publish,
	.run = cmd_publish,
	.args_min = 1,
	.args_max = 2,
	.names = NAMES_FILE,
	.flags = {{"id", 0, "ID",
		   "Message id; a second message with the same id within two minutes is "
		   "dropped. Default: a random one."}},
};
