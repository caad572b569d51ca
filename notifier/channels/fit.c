#include "notifier/channels/fit.h"

static size_t next(const char *s, size_t len, enum fit_unit unit, size_t *out_units)
{
	uint32_t point = 0;
	size_t bytes = utf8_sequence((const unsigned char *)s, len, &point);
	*out_units = unit == FIT_UTF16 && bytes && point > 0xffff ? 2 : 1;
	return bytes ? bytes : 1;
}

size_t fit_units(const char *s, size_t len, enum fit_unit unit)
{
	size_t total = 0, units;
	for (size_t at = 0; at < len; total += units)
		at += next(s + at, len - at, unit, &units);
	return total;
}

size_t fit_prefix(const char *s, size_t len, size_t max, enum fit_unit unit)
{
	size_t total = 0, units, at = 0;
	while (at < len) {
		size_t bytes = next(s + at, len - at, unit, &units);
		if (total + units > max)
			break;
		total += units;
		at += bytes;
	}
	return at;
}

bool fit_add(struct buf *out, const char *s, size_t max, const char *mark)
{
	size_t len = strlen(s), mark_units = fit_units(mark, strlen(mark), FIT_CHARACTERS);
	if (fit_units(s, len, FIT_CHARACTERS) <= max) {
		buf_add(out, s, len);
		return false;
	}
	buf_add(out, s,
		fit_prefix(s, len, max > mark_units ? max - mark_units : 0, FIT_CHARACTERS));
	buf_add_str(out, mark);
	return true;
}

size_t fit_part(const char *s, size_t len, size_t max)
{
	size_t fits = fit_prefix(s, len, max, FIT_UTF16);
	if (fits == len)
		return len;
	for (size_t at = fits; at > fits / 2; at--)
		if (s[at - 1] == '\n')
			return at;
	return fits;
}
