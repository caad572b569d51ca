/* The small parsers of text; the first byte chooses one. */
#include "common/clock.h"
#include "common/config.h"
#include "common/http_text.h"
#include "common/mail.h"
#include "common/wire.h"
#include "monitor/json_text.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_time(const char *text, size_t len)
{
	char printed[TIME_TEXT_BYTES];
	int64_t ms = 0, again = 0;
	(void)len;
	if (time_parse(text, &ms))
		return;
	MUST(time_parse(time_format(ms, printed), &again) == 0 && again == ms);
}

static void fuzz_duration(const char *text, size_t len)
{
	char printed[DURATION_TEXT_BYTES];
	int64_t ms = 0, again = 0;
	(void)len;
	if (duration_parse(text, &ms))
		return;
	MUST(ms >= 0 && duration_parse(duration_format(ms, printed), &again) == 0 && again == ms);
}

static void fuzz_bytes(const char *text, size_t len)
{
	int64_t bytes = 0;
	(void)len;
	MUST(bytes_parse(text, &bytes) || bytes >= 0);
}

static void fuzz_subject(const char *text, size_t len)
{
	struct topic topic = {0};
	(void)len;
	if (topic_parse(text, &topic))
		return;
	MUST(topic.kind > KIND_NONE && topic.kind < KINDS && topic.partition < PARTITIONS);
	MUST(!topic.token[0] || token_valid(topic.token));
}

static void fuzz_target(const char *text, size_t len)
{
	struct http_target target = {0};
	struct why why = {0};
	const char *wildcard = "";
	(void)len;
	if (http_target_parse(text, &target, &why) == 0) {
		MUST(target.path[0] == '/' && !strstr(target.path, "/../"));
		MUST(!strstr(target.path, "//") && !strchr(target.path, '\\'));
		(void)http_route_fit("/webhook/*", target.path, &wildcard);
		MUST(!strchr(wildcard, '/'));
		MUST(http_route_fit("/**", target.path, &wildcard) || target.path[1] == '\0');
	}
	http_target_release(&target);
}

static void fuzz_header(const char *text, size_t len)
{
	auto_buf token = {0};
	uint8_t digest[DIGEST_BYTES];
	if (http_credentials(text, &token))
		MUST(str_starts(text, "Bearer") || strncasecmp(text, "b", 1) == 0);
	(void)http_host_is_loopback(text);
	MUST(!http_origin_fits(text, "127.0.0.1:1") || strcasestr(text, "127.0.0.1:1"));
	(void)http_origin_fits("http://127.0.0.1:1", text);
	MUST(hex_decode(text, digest, DIGEST_BYTES) || len >= 2 * (size_t)DIGEST_BYTES);
	if (mail_address_valid(text))
		MUST(!strpbrk(text, "\r\n <>,"));
}

/* The door's check and jansson must agree, but for what only one of them limits. */
static void fuzz_json(const char *text, size_t len)
{
	struct why why = {0};
	json_error_t error;
	int rc = json_text_check(text, len, &why);
	json_t *json = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	enum json_error_code code = json_error_code(&error);
	if (rc == 0 && !json)
		MUST(code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
	/* To jansson a NUL behind the document is its end. */
	if (json && rc && !strstr(why.text, "deep") && !memchr(text, 0, len)) {
		fprintf(stderr, "refused: %s\n", why.text);
		abort();
	}
	json_decref(json);
}

static void fuzz_printing(const char *text, size_t len)
{
	struct why why = {0};
	auto_buf json = {0};
	auto_buf shown = {0};
	buf_add_json(&json, text, len);
	MUST(json_text_check(buf_str(&json), json.len, &why) == 0);
	buf_add_printable(&shown, text, len);
	MUST(!strpbrk(buf_str(&shown), "\x1b\x7f\r\b"));
	MUST(utf8_valid(buf_str(&shown), shown.len));
	auto_free char *cut = wire_text(NULL, text, len, 20);
	MUST(strlen(cut) <= 20 && utf8_valid(cut, strlen(cut)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *, size_t) = {
		fuzz_time,   fuzz_duration, fuzz_bytes, fuzz_subject,
		fuzz_target, fuzz_header,   fuzz_json,  fuzz_printing,
	};
	uint8_t which = fuzz_take(&data, &size);
	auto_free char *text = fuzz_text(data, size);
	parsers[which % ARRAY_SIZE(parsers)](text, size);
	return 0;
}
