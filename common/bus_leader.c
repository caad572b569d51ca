#include "common/bus_private.h"

#include <openssl/evp.h>

/*
 * Any replica of a stream answers direct gets, even one that is still catching up: what it says may
 * be old, and "no such message" may be wrong. STREAM.MSG.GET is answered by the leader alone, as
 * JSON; here its answer is given the form of the other's.
 */

void bus_leader_ask_seq(char out[static BUS_LEADER_BODY_BYTES], uint64_t seq)
{
	snprintf(out, BUS_LEADER_BODY_BYTES, "{\"seq\":%" PRIu64 "}", seq);
}

void bus_leader_ask_last(char out[static BUS_LEADER_BODY_BYTES], const char *subject)
{
	snprintf(out, BUS_LEADER_BODY_BYTES, "{\"last_by_subj\":\"%s\"}", subject);
}

/* Appends what base64 stands for. */
static int decode(const json_t *text, struct buf *out)
{
	size_t len = json_string_length(text);
	const char *s = json_string_value(text);
	if (len == 0)
		return 0;
	auto_free uint8_t *bytes = mem_alloc(len);
	int n = len < INT_MAX ? EVP_DecodeBlock(bytes, (const uint8_t *)s, (int)len) : -1;
	if (n < 0)
		return ERR_INVALID;
	for (size_t at = len; at > 0 && s[at - 1] == '='; at--)
		n--;
	if (n > 0)
		buf_add(out, bytes, (size_t)n);
	return 0;
}

/* "NATS/1.0", then "Name: value" on lines of their own. */
static void copy_headers(char *text, natsMsg *m)
{
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		line[strcspn(line, "\r")] = '\0';
		char *value = strchr(line, ':');
		if (!value)
			continue;
		*value++ = '\0';
		natsMsgHeader_Set(m, line, value + strspn(value, " "));
	}
}

static int rebuild(const json_t *message, natsMsg **out)
{
	auto_buf data = {0}, headers = {0};
	char seq[24];
	natsMsg *m = NULL;
	if (decode(json_object_get(message, "data"), &data) ||
	    decode(json_object_get(message, "hdrs"), &headers))
		return ERR_UNAVAILABLE;
	int rc = bus_status(natsMsg_Create(&m, bus_json_str(message, "subject"), NULL, data.data,
					   (int)data.len));
	if (rc)
		return rc;
	if (headers.len)
		copy_headers(headers.data, m);
	snprintf(seq, sizeof(seq), "%" PRId64, bus_json_int(message, "seq"));
	natsMsgHeader_Add(m, "Nats-Subject", bus_json_str(message, "subject"));
	natsMsgHeader_Add(m, BUS_ANSWER_HEADER, seq);
	natsMsgHeader_Add(m, "Nats-Time-Stamp", bus_json_str(message, "time"));
	*out = m;
	return 0;
}

int bus_leader_read(struct bus *b, natsMsg *m, natsMsg **out, struct why *out_why)
{
	auto_json answer =
		json_loadb(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m), 0, NULL);
	bus_msg_drop(b, m);
	if (!json_is_object(answer))
		return why_set(out_why, ERR_UNAVAILABLE, "bus: unreadable answer of a leader");
	int rc = bus_api_error(answer, out_why);
	if (rc)
		return rc;
	rc = rebuild(json_object_get(answer, "message"), out);
	return rc ? why_set(out_why, rc, "bus: unreadable message from a leader") : 0;
}
