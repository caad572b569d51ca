/* Any body at the door of an Alertmanager source, against jansson: the same verdict, and the same
 * texts in the same alerts. */
#include "monitor/repeats.h"
#include "tests/fuzz/fuzz.h"

#include "common/buf.h"
#include "common/mem.h"

#include <jansson.h>

struct alerts {
	const json_t *list;
	size_t n;
	struct repeats *repeats;
	struct buf decoded;
};

/* A span and the member of the same name. */
static void same_text(struct alerts *a, struct json_span span, const json_t *value)
{
	MUST(!span.data == !json_is_string(value));
	if (!span.data)
		return;
	buf_reset(&a->decoded);
	buf_add(&a->decoded, span.data, span.len + 1);
	span.data = a->decoded.data;
	MUST(str_eq(json_span_decode(span), json_string_value(value)));
}

static void same_object(struct json_span span, const json_t *value)
{
	json_t *read = span.data ? json_loadb(span.data, span.len, JSON_ALLOW_NUL, NULL) : NULL;

	MUST(!span.data == !value && json_equal(read, value) == (value != NULL));
	json_decref(read);
}

static void check_alert(void *ctx, const struct alert_text *alert)
{
	static const struct identity_frame frame = {.source = "am", .trusted = true};
	struct alerts *a = ctx;
	const json_t *object = json_array_get(a->list, a->n++);
	struct identity once = {0}, twice = {0};

	same_text(a, alert->status, json_object_get(object, "status"));
	same_text(a, alert->fingerprint, json_object_get(object, "fingerprint"));
	same_text(a, alert->starts_at, json_object_get(object, "startsAt"));
	same_text(a, alert->ends_at, json_object_get(object, "endsAt"));
	same_text(a, alert->generator_url, json_object_get(object, "generatorURL"));
	same_object(alert->labels, json_object_get(object, "labels"));
	same_object(alert->annotations, json_object_get(object, "annotations"));
	MUST(identity_make(a->repeats, &frame, alert, &once) ==
	     identity_make(a->repeats, &frame, alert, &twice));
	MUST(once.key == twice.key && once.state == twice.state);
}

static void ignore_alert(void *ctx, const struct alert_text *alert)
{
	(void)ctx, (void)alert;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct repeats *repeats;
	const char *text = (const char *)data;
	struct alerts_text read = {.visit = ignore_alert};
	struct alerts a = {0};
	struct why why = {0};
	int rc = alerts_text_read(text, size, &read, &why);
	json_t *body = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

	if (!repeats)
		repeats = repeats_new();
	MUST((rc == ERR_INVALID) == (json_text_check(text, size, NULL) != 0));
	MUST(!rc || why.text[0]);
	if (rc == 0) {
		a.list = json_object_get(body, "alerts");
		a.repeats = repeats;
		MUST(read.n == json_array_size(a.list));
		MUST(read.truncated ==
		     json_integer_value(json_object_get(body, "truncatedAlerts")));
		/* Only now is it known that the body is plain. */
		read.visit = check_alert;
		read.ctx = &a;
		MUST(alerts_text_read(text, size, &read, &why) == 0);
		MUST(a.n == read.n);
	}
	buf_release(&a.decoded);
	json_decref(body);
	return 0;
}
