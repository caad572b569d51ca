#include "executor/lines.h"

#include "common/buf.h"
#include "common/mem.h"
#include "common/wire.h"

void lines_release(struct lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	free(l->items);
	*l = (struct lines){0};
}

static void add(struct lines *l, char *text)
{
	l->items = mem_realloc(l->items, (l->n + 1) * sizeof(*l->items));
	l->items[l->n++] = text;
}

void lines_add(struct lines *l, const char *fmt, ...)
{
	char text[WIRE_REASON_MAX + 1];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	add(l, wire_text(NULL, text, strlen(text), WIRE_REASON_MAX));
}

void lines_add_once(struct lines *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->items[i], text))
			return;
	lines_add(l, "%s", text);
}

char *lines_join(const struct lines *l, size_t max)
{
	auto_buf b = {0};
	for (size_t i = 0; i < l->n; i++)
		buf_printf(&b, "%s%s", i ? "; " : "", l->items[i]);
	return wire_text(NULL, buf_str(&b), b.len, max);
}
