#include "notifier/ctl/ctl.h"

#include "common/mem.h"

static const struct {
	const char *state;
	enum ctl_style style;
} styles[] = {
	{"open", STYLE_BAD},         {"resolved", STYLE_GOOD},
	{"escalated", STYLE_BAD},    {"suppressed", STYLE_DIM},
	{"healed", STYLE_GOOD},      {"failed", STYLE_BAD},
	{"rolled_back", STYLE_WARN}, {"rollback_failed", STYLE_BAD},
	{"refused", STYLE_WARN},     {"denied", STYLE_WARN},
	{"expired", STYLE_WARN},     {"unknown", STYLE_BAD},
	{"observed", STYLE_DIM},     {"rehearsed", STYLE_CALM},
	{"pending", STYLE_WARN},     {"running", STYLE_CALM},
	{"approved", STYLE_GOOD},    {"critical", STYLE_BAD},
	{"error", STYLE_BAD},        {"warning", STYLE_WARN},
	{"info", STYLE_CALM},        {"done", STYLE_GOOD},
	{"started", STYLE_CALM},     {"waiting", STYLE_WARN},
	{"skipped", STYLE_DIM},      {"hard", STYLE_BAD},
	{"soft", STYLE_WARN},        {"forbidden", STYLE_BAD},
	{"approve", STYLE_GOOD},     {"deny", STYLE_WARN},
};

enum ctl_style ctl_state_style(const char *state)
{
	for (size_t i = 0; i < ARRAY_SIZE(styles); i++) {
		if (str_eq(styles[i].state, state))
			return styles[i].style;
	}
	return STYLE_PLAIN;
}

/* A text of several lines (edits, a description) by its size: what runs is shown as a whole where
 * it is asked for and where it starts. */
static void add_string(struct buf *b, const char *s)
{
	size_t lines = 1;
	for (const char *c = s; *c; c++)
		lines += *c == '\n' && c[1];
	if (lines > 1)
		buf_printf(b, "<%zu lines>", lines);
	else
		buf_add(b, s, strcspn(s, "\n"));
}

static void add_value(struct buf *b, const json_t *v)
{
	auto_free char *text = NULL;

	if (json_is_string(v)) {
		add_string(b, json_string_value(v));
		return;
	}
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
	buf_add_str(b, text ? text : "?");
}

static void add_pairs(struct buf *b, const json_t *object, const char *separator)
{
	const char *name;
	json_t *value;
	bool first = b->len == 0;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (!first)
			buf_add_str(b, separator);
		first = false;
		buf_printf(b, "%s=", name);
		add_value(b, value);
	}
}

char *ctl_step_text(const json_t *step)
{
	struct buf params = {0};
	auto_buf text = {0};

	buf_add_str(&params, js(step, "target"));
	add_pairs(&params, json_object_get(step, "params"), ", ");
	buf_printf(&text, "%s(%s)", js(step, "tool"), buf_str(&params));
	buf_release(&params);
	return buf_detach(&text);
}

char *ctl_labels_text(const json_t *labels)
{
	struct buf b = {0};

	add_pairs(&b, labels, " ");
	buf_add_str(&b, "");
	return b.data ? buf_detach(&b) : mem_strdup("");
}
