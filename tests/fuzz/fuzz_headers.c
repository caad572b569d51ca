/* Messages as the bus hands them over: subject, reply subject, "name: value" lines up to an empty
 * line, body. A delivery, the answer to a direct get and a publish acknowledgement are read. */
#include "common/bus_private.h"
#include "tests/fuzz/fuzz.h"

/* Cuts the first line off; "" when there is none. */
static char *line_take(char **text)
{
	char *line = strsep(text, "\n");
	return line ? line : (char *)"";
}

static natsMsg *message(const char *input)
{
	auto_free char *text = mem_strdup(input);
	char *rest = text;
	natsMsg *m = NULL;
	const char *subject = line_take(&rest);
	const char *reply = line_take(&rest);
	char *headers = rest;
	char *body = headers ? strstr(headers, "\n\n") : NULL;
	if (body)
		*body = '\0';
	body = body ? body + 2 : (char *)"";
	if (!*subject || natsMsg_Create(&m, subject, reply, body, (int)strlen(body)))
		return NULL;
	while (headers && *headers) {
		char *line = line_take(&headers);
		char *value = strchr(line, ':');
		if (!value || value == line)
			continue;
		*value++ = '\0';
		(void)natsMsgHeader_Set(m, line, value + (*value == ' '));
	}
	return m;
}

/* What comes from outside as a header must be fit to go out as one. */
static void must_be_fit(const char *value)
{
	MUST(value && strlen(value) <= BUS_ID_MAX);
	for (const char *p = value; *p; p++)
		MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

static void check(struct bus_delivery *d)
{
	must_be_fit(d->id);
	must_be_fit(d->cause);
	must_be_fit(d->content_type);
	MUST(d->time_ms <= d->stream_ns / 1000000);
	MUST(d->subject && (d->data || d->len == 0));
	bus_delivery_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool open;
	auto_free char *text = fuzz_text(data, size);
	struct bus_delivery d = {0};
	struct bus_ack ack = {0};
	struct why why = {0};
	MUST(open || nats_Open(-1) == NATS_OK);
	open = true;
	natsMsg *m = message(text);
	if (!m)
		return 0;
	(void)bus_msg_status(m);
	(void)bus_puback_parse(m, &ack, &why);
	if (bus_delivery_read(m, &d) == 0) {
		check(&d);
		m = message(text);
	}
	if (m && bus_direct_read(m, &d, &why) == 0)
		check(&d);
	else
		natsMsg_Destroy(m);
	return 0;
}
