#include "notifier/words.h"

#include "common/mem.h"

void words_release(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->items[i]);
	free(w->items);
	*w = (struct words){0};
}

bool words_have(const struct words *w, const char *word)
{
	for (size_t i = 0; i < w->n; i++)
		if (str_eq(w->items[i], word))
			return true;
	return false;
}

int words_parse(const struct yaml_node *node, const char *what, struct words *out,
		struct why *out_why)
{
	words_release(out);
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "%s: must be a list", what);
	out->items = mem_calloc(node->count, sizeof(*out->items));
	YAML_EACH(item, node)
	{
		const char *text;
		int rc = yaml_str(item, what, &text, out_why);
		if (rc)
			return rc;
		out->items[out->n++] = mem_strdup(text);
	}
	return 0;
}

void words_copy(struct words *to, const struct words *from)
{
	to->items = mem_calloc(from->n, sizeof(*to->items));
	for (size_t i = 0; i < from->n; i++)
		to->items[to->n++] = mem_strdup(from->items[i]);
}
