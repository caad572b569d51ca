#include "monitor/ingress.h"

/* CloudEvents HTTP binding 1.0.2, section 3.1: attributes in ce-* headers, percent-encoded. */

struct writer {
	struct buf *out;
	bool any;
};

static void unescape(const char *value, struct buf *out)
{
	for (; *value; value++) {
		char hex[3] = {value[0] == '%' ? value[1] : '\0', '\0', '\0'};
		uint8_t byte;

		if (hex[0])
			hex[1] = value[2];
		if (hex[1] && hex_decode(hex, &byte, 1) == 0) {
			buf_add_char(out, (char)byte);
			value += 2;
		} else {
			buf_add_char(out, *value);
		}
	}
}

static bool header_add(void *ctx, const char *name, const char *value)
{
	struct writer *w = ctx;
	auto_buf lower = {0};
	auto_buf text = {0};

	if (strncasecmp(name, "ce-", 3) != 0)
		return true;
	for (const char *c = name + 3; *c; c++)
		buf_add_char(&lower, (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c));
	/* Only the payload may be called so. */
	if (str_eq(buf_str(&lower), "data") || str_eq(buf_str(&lower), "data_base64"))
		return true;
	unescape(value, &text);
	buf_add_str(w->out, w->any ? "," : "{");
	buf_add_json(w->out, buf_str(&lower), lower.len);
	buf_add_char(w->out, ':');
	buf_add_json(w->out, buf_str(&text), text.len);
	w->any = true;
	return true;
}

static void base64_add(struct buf *out, const uint8_t *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, (size_t)3);
		uint32_t word = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
				(n > 2 ? data[i + 2] : 0);

		buf_add_char(out, digits[word >> 18]);
		buf_add_char(out, digits[word >> 12 & 63]);
		buf_add_char(out, n > 1 ? digits[word >> 6 & 63] : '=');
		buf_add_char(out, n > 2 ? digits[word & 63] : '=');
	}
}

static bool is_json(const char *type)
{
	return !type || strncasecmp(type, "application/json", 16) == 0 || strstr(type, "+json");
}

static bool is_text(const char *type)
{
	return type && strncasecmp(type, "text/", 5) == 0;
}

static void data_add(const struct http_request *req, struct buf *out)
{
	const char *type = http_header(req, "Content-Type");
	size_t len;
	const char *body = http_body(req, &len);

	if (!len)
		return;
	if (type) {
		buf_add_str(out, ",\"datacontenttype\":");
		buf_add_json(out, type, strlen(type));
	}
	if (is_json(type)) {
		buf_add_str(out, ",\"data\":");
		buf_add(out, body, len);
	} else if (is_text(type)) {
		buf_add_str(out, ",\"data\":");
		buf_add_json(out, body, len);
	} else {
		buf_add_str(out, ",\"data_base64\":\"");
		base64_add(out, (const uint8_t *)body, len);
		buf_add_char(out, '"');
	}
}

bool cloudevent_structured(const struct http_request *req, struct buf *out)
{
	struct writer w = {.out = out};

	if (!http_header(req, "ce-specversion"))
		return false;
	http_headers_each(req, header_add, &w);
	data_add(req, out);
	buf_add_char(out, '}');
	return true;
}
