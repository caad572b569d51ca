#include "reasoner/models/answer.h"

#include <ctype.h>

#include "reasoner/models/schema.h"

enum { JSON_FLAGS = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, SAID_MAX_BYTES = 120 };

struct span {
	const char *at;
	size_t len;
};

static struct span trimmed(struct span s)
{
	while (s.len && isspace((unsigned char)s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && isspace((unsigned char)s.at[s.len - 1]))
		s.len--;
	return s;
}

/* "```json\n...\n```" gives what is inside; everything else is returned as it is. */
static struct span unfenced(struct span s)
{
	struct span in = trimmed(s);
	const char *line = in.len > 6 ? memchr(in.at, '\n', in.len) : NULL;

	if (!line || strncmp(in.at, "```", 3) != 0 || strncmp(in.at + in.len - 3, "```", 3) != 0)
		return in;
	for (const char *c = in.at + 3; c < line; c++) {
		if (!isalnum((unsigned char)*c) && *c != '\r' && *c != ' ')
			return in;
	}
	size_t head = (size_t)(line + 1 - in.at);
	if (head + 3 > in.len)
		return in;
	return trimmed((struct span){in.at + head, in.len - head - 3});
}

static void add_line(struct buf *out, const char *text, size_t len, size_t max)
{
	auto_buf shown = {0};
	size_t from = out->len;

	buf_add_printable(&shown, text, MIN(len, max));
	size_t cut = MIN(shown.len, max);
	while (cut && cut < shown.len && ((unsigned char)shown.data[cut] & 0xc0) == 0x80)
		cut--;
	buf_add(out, buf_str(&shown), cut);
	for (size_t i = from; i < out->len; i++) {
		if (out->data[i] == '\n' || out->data[i] == '\t')
			out->data[i] = ' ';
	}
}

static int no_json(struct span s, const json_error_t *error, struct why *out_why)
{
	auto_buf start = {0};

	if (s.len == 0)
		return why_set(out_why, ERR_INVALID, "empty");
	if (json_error_code(error) == json_error_premature_end_of_input)
		return why_set(out_why, ERR_INVALID, "JSON that is cut short");
	add_line(&start, s.at, s.len, SAID_MAX_BYTES);
	return why_set(out_why, ERR_INVALID, "no JSON (%.80s): %s", error->text, buf_str(&start));
}

int answer_body(const struct buf *body, json_t **out, struct why *out_why)
{
	struct span s = trimmed((struct span){buf_str(body), body->len});
	json_error_t error;

	json_t *json = json_loadb(s.at, s.len, JSON_DECODE_ANY, &error);
	if (!json) {
		no_json(s, &error, out_why);
		return why_prefix(out_why, ERR_SCHEMA, "the provider's answer");
	}
	*out = json;
	return 0;
}

int answer_json(const struct buf *text, const json_t *schema, json_t **out, struct why *out_why)
{
	struct span s = unfenced((struct span){buf_str(text), text->len});
	json_error_t error;

	if (text->len > MODELS_ANSWER_MAX_BYTES)
		return why_set(out_why, ERR_TOO_LARGE, "the model's answer is over %d bytes",
			       MODELS_ANSWER_MAX_BYTES);
	json_t *json = json_loadb(s.at, s.len, JSON_FLAGS, &error);
	if (!json) {
		no_json(s, &error, out_why);
		return why_prefix(out_why, ERR_INVALID, "the model's answer");
	}
	int rc = schema_validate(schema, json, out_why);
	if (rc) {
		json_decref(json);
		return why_prefix(out_why, rc, "the model's answer");
	}
	*out = json;
	return 0;
}

/* {"error": {"message": ...}} as OpenAI and Anthropic say it, {"error": ...}, {"message": ...}. */
static const char *error_text(const json_t *body)
{
	const json_t *error = json_object_get(body, "error");
	const char *texts[] = {json_text(error, "message"), json_string_value(error),
			       json_text(body, "message"), json_text(body, "detail")};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i])
			return texts[i];
	}
	return NULL;
}

void answer_error(const struct buf *body, struct buf *out)
{
	auto_json json = json_loadb(buf_str(body), body->len, 0, NULL);
	const char *text = error_text(json);

	if (text)
		add_line(out, text, strlen(text), ANSWER_ERROR_MAX_BYTES);
	else
		add_line(out, buf_str(body), body->len, SAID_MAX_BYTES);
}

void answer_hide(struct buf *text, const struct secret *key)
{
	char *at = text->data;

	if (!key->len || !at)
		return;
	while ((at = memmem(at, text->len - (size_t)(at - text->data), key->data, key->len))) {
		memset(at, '*', key->len);
		at += key->len;
	}
}
