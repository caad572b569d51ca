#include "notifier/channels/chat.h"

enum { RETRY_MAX_S = 3600, ENTITY_MAX = 5 };

void chat_parts_release(struct chat_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		json_decref(p->items[i]);
	p->n = 0;
}

static const char *entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	default:
		return NULL;
	}
}

static void add_char(struct buf *out, char c, bool entities)
{
	const char *name = entities ? entity(c) : NULL;
	if (name)
		buf_add_str(out, name);
	else
		buf_add_char(out, c);
}

void chat_plain_text(struct buf *out, const char *s, bool entities)
{
	auto_buf shown = {0};
	buf_add_printable(&shown, s, strlen(s));
	for (size_t i = 0; i < shown.len; i++)
		add_char(out, shown.data[i], entities);
}

void chat_fence_text(struct buf *out, const char *s, bool entities)
{
	auto_buf shown = {0};
	size_t ticks = 0;
	buf_add_printable(&shown, s, strlen(s));
	while (shown.len && shown.data[shown.len - 1] == '\n')
		shown.len--;
	for (size_t i = 0; i < shown.len; i++) {
		ticks = shown.data[i] == '`' ? ticks + 1 : 0;
		if (ticks && ticks % 3 == 0)
			buf_add_str(out, "\\u{60}");
		else
			add_char(out, shown.data[i], entities);
	}
}

static bool goes_on(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t chat_piece(const char *s, size_t len, size_t max)
{
	assert(max >= 16);
	if (len <= max)
		return len;
	const char *line = memrchr(s, '\n', max);
	if (line && line > s)
		return (size_t)(line - s) + 1;
	size_t n = max;
	while (n > 1 && goes_on(s[n]))
		n--;
	const char *amp = memrchr(s + n - ENTITY_MAX + 1, '&', ENTITY_MAX - 1);
	if (amp && !memchr(amp, ';', n - (size_t)(amp - s)))
		n = (size_t)(amp - s);
	return n;
}

/* The bytes that a character takes once it is written. */
static size_t width(const char *s, size_t len, bool entities)
{
	uint32_t point;
	const char *name = entities ? entity(*s) : NULL;
	size_t n = utf8_sequence((const unsigned char *)s, len, &point);
	return name ? strlen(name) : MAX(n, (size_t)1);
}

bool chat_line(struct buf *out, const char *s, size_t max, bool entities)
{
	static const char more[] = "…";
	auto_buf shown = {0};
	size_t fits = 0, wide = 0;
	buf_add_printable(&shown, s, strlen(s));
	for (size_t i = 0; i < shown.len; i++) {
		if (shown.data[i] == '\n' || shown.data[i] == '\t')
			shown.data[i] = ' ';
		if (goes_on(shown.data[i]))
			continue;
		if (wide + strlen(more) <= max)
			fits = i;
		wide += width(shown.data + i, shown.len - i, entities);
	}
	bool cut = wide > max;
	size_t n = cut ? fits : shown.len;
	for (size_t i = 0; i < n; i++)
		add_char(out, shown.data[i], entities);
	if (cut)
		buf_add_str(out, more);
	return cut;
}

static const char *incident_of(const Healbus__Notice *n)
{
	return n->incident && *n->incident ? n->incident : n->n_incidents ? n->incidents[0] : "";
}

void chat_more(struct buf *out, const Healbus__Notice *n, const char *left)
{
	size_t lines = *left != '\0';
	for (const char *p = left; *p; p++)
		lines += *p == '\n' && p[1];
	buf_printf(out, "%zu more line%s: healctl %s %.*s", lines, lines == 1 ? "" : "s",
		   n->approval && *n->approval ? "plan" : "story", CHAT_ID_SHOWN, incident_of(n));
}

void chat_footer(struct buf *out, const Healbus__Notice *n, size_t part, size_t n_parts)
{
	buf_add_str(out, "healbus");
	if (*incident_of(n)) {
		buf_add_str(out, " · incident ");
		buf_printf(out, "%.*s", CHAT_ID_SHOWN, incident_of(n));
	}
	if (n_parts > 1)
		buf_printf(out, " · part %zu of %zu", part + 1, n_parts);
}

void chat_mentions(struct buf *out, const struct chat_message *m)
{
	for (size_t i = 0; i < m->n_mentions; i++)
		buf_printf(out, "%s<@%s>", i ? " " : "", m->mentions[i]);
}

unsigned chat_color(const char *kind)
{
	static const struct {
		const char *kind;
		unsigned color;
	} rows[] = {
		{"opened", 0xd29922},    {"approval", 0x8957e5}, {"outcome", 0x1f6feb},
		{"escalated", 0xda3633}, {"resolved", 0x2da44e},
	};
	for (size_t i = 0; kind && i < ARRAY_SIZE(rows); i++)
		if (str_eq(rows[i].kind, kind))
			return rows[i].color;
	return 0x6e7781;
}

/* Discord says it in the body, as a fraction of seconds; the longer wait is right. */
static int64_t retry_of(const struct http_answer *a, const json_t *body)
{
	double s = json_number_value(json_object_get(body, "retry_after"));
	s = s > 0 ? MIN(s, (double)RETRY_MAX_S) : 0;
	return MAX(a->retry_after_ms, (int64_t)(s * 1000));
}

int chat_call(struct http_client *http, const struct http_call *call, json_t **out_answer,
	      int64_t *out_retry_ms, struct why *out_why)
{
	struct http_answer answer = {0};
	int rc = channel_call(http, call, &answer, out_why);
	if (!rc) {
		*out_answer = json_loadb(buf_str(&answer.body), answer.body.len, 0, NULL);
		*out_retry_ms = retry_of(&answer, *out_answer);
		rc = http_status_err(answer.status);
		auto_buf said = {0};
		buf_add_printable(&said, buf_str(&answer.body),
				  MIN(answer.body.len, (size_t)CHAT_ERROR_MAX));
		if (rc)
			why_set(out_why, rc, "HTTP status %ld: %s", answer.status, buf_str(&said));
	}
	http_answer_release(&answer);
	return rc;
}
