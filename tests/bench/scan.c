#include "tests/bench/scan.h"

enum { DEPTH_MAX = 16 };

struct cursor {
	const char *at;
	bool bad;
};

static void skip_space(struct cursor *c)
{
	while (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')
		c->at++;
}

static bool take(struct cursor *c, char wanted)
{
	skip_space(c);
	if (c->bad || *c->at != wanted)
		return false;
	c->at++;
	return true;
}

/* High bit of each byte that is the wanted one (exact for the first such byte). */
static uint64_t bytes_equal(uint64_t word, char wanted)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t x = word ^ (ones * (uint8_t)wanted);
	return (x - ones) & ~x & (ones << 7);
}

static uint64_t bytes_below_space(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101u;
	return (word - ones * ' ') & ~word & (ones << 7);
}

/* To the next quote, backslash or control character, eight bytes at a time. */
static const char *find_special(const char *at)
{
	for (;; at += 8) {
		uint64_t word;
		memcpy(&word, at, 8);
		uint64_t hit =
			bytes_equal(word, '"') | bytes_equal(word, '\\') | bytes_below_space(word);
		if (hit)
			return at + (__builtin_ctzll(hit) >> 3);
	}
}

static struct scan_text take_text(struct cursor *c)
{
	if (!take(c, '"')) {
		c->bad = true;
		return (struct scan_text){0};
	}
	const char *start = c->at;
	while (*(c->at = find_special(c->at)) == '\\' && c->at[1])
		c->at += 2;
	if (*c->at != '"') {
		c->bad = true;
		return (struct scan_text){0};
	}
	return (struct scan_text){start, (size_t)(c->at++ - start)};
}

/* The next member of an object or array that was opened: true while there is one. */
static bool next(struct cursor *c, bool *inout_first, char close)
{
	if (take(c, close))
		return false;
	if (!*inout_first && !take(c, ','))
		c->bad = true;
	*inout_first = false;
	return !c->bad;
}

static struct scan_text take_name(struct cursor *c)
{
	struct scan_text name = take_text(c);
	c->bad |= !take(c, ':');
	return name;
}

static void skip_value(struct cursor *c, int depth)
{
	bool first = true;
	if (depth > DEPTH_MAX) {
		c->bad = true;
	} else if (take(c, '{')) {
		while (next(c, &first, '}')) {
			take_name(c);
			skip_value(c, depth + 1);
		}
	} else if (take(c, '[')) {
		while (next(c, &first, ']'))
			skip_value(c, depth + 1);
	} else if (*c->at == '"') {
		take_text(c);
	} else {
		const char *start = c->at;
		c->at += strcspn(c->at, ",]} \n\t\r");
		c->bad |= c->at == start;
	}
}

static bool is(struct scan_text t, const char *name)
{
	return t.len == strlen(name) && memcmp(t.at, name, t.len) == 0;
}

static void take_alert(struct cursor *c, struct scan_alert *out)
{
	bool first = true;
	*out = (struct scan_alert){0};
	c->bad |= !take(c, '{');
	while (!c->bad && next(c, &first, '}')) {
		struct scan_text name = take_name(c);
		if (is(name, "status"))
			out->status = take_text(c);
		else if (is(name, "fingerprint"))
			out->fingerprint = take_text(c);
		else if (is(name, "startsAt"))
			out->starts_at = take_text(c);
		else
			skip_value(c, 2);
	}
}

static int take_alerts(struct cursor *c, struct scan_alert *out, int max)
{
	bool first = true;
	int n = 0;
	c->bad |= !take(c, '[');
	while (!c->bad && next(c, &first, ']')) {
		if (n == max)
			c->bad = true;
		else
			take_alert(c, &out[n++]);
	}
	return n;
}

int scan_alerts(const char *body, struct scan_alert *out, int max)
{
	struct cursor c = {.at = body};
	bool first = true;
	int n = 0;
	c.bad = !take(&c, '{');
	while (!c.bad && next(&c, &first, '}')) {
		if (is(take_name(&c), "alerts"))
			n = take_alerts(&c, out, max);
		else
			skip_value(&c, 1);
	}
	return c.bad ? -1 : n;
}
