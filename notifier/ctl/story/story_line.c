#include "notifier/ctl/story/story.h"

enum { SHOWN_MAX = 3 }; /* of a list that a line has no room for */

/* ---- one message as one line ---- */

static void set(struct story_line *l, const char *icon, const char *word, enum ctl_style style)
{
	l->icon = icon;
	l->word = word;
	l->style = style;
}

/* Adds ": text" or, when nothing is there yet, "text". */
static void add(struct story_line *l, const char *text)
{
	if (!*text)
		return;
	if (l->text.len)
		buf_add_str(&l->text, ": ");
	buf_add_str(&l->text, text);
}

static void line_incident(const json_t *m, struct story_line *l)
{
	static const struct {
		const char *state, *icon, *word;
		enum ctl_style style;
	} states[] = {
		{"open", "●", "broken", STYLE_BAD},
		{"resolved", "✔", "resolved", STYLE_GOOD},
		{"suppressed", "○", "muted", STYLE_DIM},
		{"escalated", "▲", "needs you", STYLE_BAD},
	};

	set(l, "•", "incident", STYLE_PLAIN);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (str_eq(states[i].state, js(m, "state")))
			set(l, states[i].icon, states[i].word, states[i].style);
	}
	if (*js(m, "reason") && !str_eq(js(m, "state"), "open"))
		add(l, js(m, "reason"));
	else
		add(l, js(m, "title"));
	if (ji(m, "firing") > 1 && str_eq(js(m, "state"), "open"))
		buf_printf(&l->text, " (%" PRId64 " alerts firing)", ji(m, "firing"));
}

static void line_plan(const json_t *m, struct story_line *l)
{
	size_t i;
	const json_t *step;

	set(l, "→", "plan", STYLE_BOLD);
	json_array_foreach(json_object_get(m, "steps"), i, step)
	{
		char *text = ctl_step_text(step);

		buf_printf(&l->text, "%s%s", i ? ", then " : "", text);
		free(text);
	}
	const char *who = *js(m, "runbook") ? js(m, "runbook") : js(m, "specialist");
	buf_printf(&l->text, " [%s%s%s, attempt %" PRId64 " of %" PRId64 "]", js(m, "provenance"),
		   *who ? " " : "", who, ji(m, "attempt"), ji(m, "max_attempts"));
	add(l, js(m, "why"));
}

static void line_approval(const json_t *m, struct story_line *l)
{
	size_t i;
	const json_t *item;

	set(l, "?", "asks", STYLE_WARN);
	buf_add_str(&l->text, "may I?");
	json_array_foreach(json_object_get(m, "reasons"), i, item)
	{
		buf_printf(&l->text, "%s%s", i ? "; " : " ", json_string_value(item));
	}
	json_array_foreach(json_object_get(m, "rendered"), i, item)
	{
		buf_printf(&l->text, "\n$ %s", json_string_value(item));
	}
}

static void line_decision(const json_t *m, struct story_line *l)
{
	static const struct {
		const char *verdict, *icon, *word;
		enum ctl_style style;
	} verdicts[] = {
		{"approve", "✔", "approved", STYLE_GOOD},
		{"deny", "✘", "denied", STYLE_WARN},
		{"expired", "✘", "no answer", STYLE_WARN},
		{"rehearse", "~", "rehearsal", STYLE_CALM},
	};

	set(l, "•", "decision", STYLE_PLAIN);
	for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
		if (str_eq(verdicts[i].verdict, js(m, "verdict")))
			set(l, verdicts[i].icon, verdicts[i].word, verdicts[i].style);
	}
	buf_printf(&l->text, "by %s", *js(m, "by") ? js(m, "by") : "nobody");
	if (*js(m, "channel"))
		buf_printf(&l->text, " (%s)", js(m, "channel"));
	add(l, js(m, "reason"));
}

static const char *phase_word(const json_t *m)
{
	static const struct {
		const char *phase, *word;
	} words[] = {{"verify", "check"}, {"rollback", "undo"}, {"policy", "policy"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (str_eq(words[i].phase, js(m, "phase")))
			return words[i].word;
	}
	return "act";
}

/* The runner's own code: an exit status up to 192, or an HTTP status. */
static void add_end(struct story_line *l, const json_t *m)
{
	int64_t took = ji(m, "ended_at_ms") - ji(m, "started_at_ms"), code = ji(m, "exit_code");

	buf_printf(&l->text, " after %.1f s", (double)MAX(took, 0) / 1000);
	if (code)
		buf_printf(&l->text, ", %s %" PRId64, code >= 200 ? "HTTP" : "exit", code);
}

static void line_step(const json_t *m, struct story_line *l)
{
	static const struct {
		const char *state, *icon, *says;
		enum ctl_style style;
	} states[] = {
		{"done", "✔", "done", STYLE_GOOD},
		{"failed", "✘", "failed", STYLE_BAD},
		{"started", "▸", "started", STYLE_CALM},
		{"waiting", "…", "waits", STYLE_WARN},
		{"unknown", "?", "nobody knows how it ended", STYLE_BAD},
		{"skipped", "-", "skipped", STYLE_DIM},
		{"refused", "✘", "refused", STYLE_WARN},
		{"rehearsed", "~", "would run", STYLE_CALM},
	};
	const char *state = js(m, "state");

	set(l, "•", phase_word(m), STYLE_PLAIN);
	buf_printf(&l->text, "%s(%s)", js(m, "tool"), js(m, "target"));
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (!str_eq(states[i].state, state))
			continue;
		set(l, states[i].icon, phase_word(m), states[i].style);
		buf_printf(&l->text, " %s", states[i].says);
	}
	if (str_eq(state, "done") || str_eq(state, "failed"))
		add_end(l, m);
	add(l, js(m, "reason"));
	if (*js(m, "rendered") && (str_eq(state, "started") || str_eq(state, "rehearsed")))
		buf_printf(&l->text, "\n$ %s", js(m, "rendered"));
	if (*js(m, "output") && str_eq(state, "failed"))
		buf_printf(&l->text, "\n%s", js(m, "output"));
}

static void line_outcome(const json_t *m, struct story_line *l)
{
	const char *verdict = js(m, "verdict");
	enum ctl_style style = ctl_state_style(verdict);

	set(l, style == STYLE_GOOD ? "✔" : "✘", "outcome", style);
	for (const char *p = verdict; *p; p++)
		buf_add_char(&l->text, *p == '_' ? ' ' : *p);
	add(l, js(m, "reason"));
}

static void line_exchange(const json_t *m, struct story_line *l)
{
	set(l, "*", "model", STYLE_CALM);
	buf_printf(&l->text, "%s asked to %s", js(m, "model"), js(m, "purpose"));
	if (*js(m, "error"))
		add(l, js(m, "error"));
	else
		buf_printf(&l->text, ", %s after %.1f s",
			   json_is_true(json_object_get(m, "cached")) ? "remembered" : "answered",
			   (double)ji(m, "took_ms") / 1000);
	if (ji(m, "cost_micro_usd"))
		buf_printf(&l->text, ", $%.4f", (double)ji(m, "cost_micro_usd") / 1e6);
}

static void add_missing(struct story_line *l, const json_t *list)
{
	size_t i;
	const json_t *item;
	json_array_foreach(list, i, item)
	{
		if (i < SHOWN_MAX)
			buf_printf(&l->text, "\nnot to be had: %s", json_string_value(item));
	}
}

/* Lines of the log; names of workflows and commands are no news to whoever reads this. */
static void add_evidence(struct story_line *l, const json_t *list)
{
	size_t i, shown = 0;
	const json_t *item;
	json_array_foreach(list, i, item)
	{
		if (ji(item, "line") && shown++ < SHOWN_MAX)
			buf_printf(&l->text, "\n  %s", js(item, "text"));
	}
}

static void line_diagnosis(const json_t *m, struct story_line *l)
{
	const json_t *g = json_object_get(m, "diagnosis");
	set(l, "*", "finds", STYLE_CALM);
	if (*js(g, "failure_type"))
		buf_printf(&l->text, "%s, %.0f %% sure; for %s", js(g, "failure_type"),
			   json_number_value(json_object_get(g, "confidence")) * 100,
			   js(g, "specialist"));
	else
		buf_add_str(&l->text, "nothing it knows");
	add(l, js(g, "reason"));
	add_evidence(l, json_object_get(g, "evidence"));
	add_missing(l, json_object_get(g, "missing"));
}

static void line_model(const json_t *m, struct story_line *l)
{
	if (str_eq(js(m, "state"), "asked")) {
		set(l, "?", "looks", STYLE_CALM);
		buf_printf(&l->text, "no runbook answers; looking into it for attempt %" PRId64,
			   ji(m, "attempt"));
	} else if (str_eq(js(m, "state"), "answered")) {
		line_diagnosis(m, l);
	} else {
		line_exchange(m, l);
	}
}

static void line_notice(const json_t *m, struct story_line *l)
{
	bool failed = str_eq(js(m, "state"), "failed");

	set(l, failed ? "✘" : "✉", failed ? "not told" : "told", failed ? STYLE_WARN : STYLE_DIM);
	l->minor = str_eq(js(m, "state"), "queued");
	buf_add_str(&l->text, js(m, "channel"));
	add(l, js(m, "subject"));
	if (failed)
		add(l, js(m, "error"));
}

static void line_control(const json_t *m, struct story_line *l)
{
	static const struct {
		const char *kind, *says;
	} kinds[] = {
		{"ack", "taken"},
		{"undo", "undo asked for"},
	};

	set(l, "•", "control", STYLE_PLAIN);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (str_eq(kinds[i].kind, js(m, "kind")))
			buf_printf(&l->text, "%s ", kinds[i].says);
	}
	buf_printf(&l->text, "by %s", js(m, "by"));
	add(l, js(m, "reason"));
}

static const struct {
	const char *kind;
	void (*fill)(const json_t *m, struct story_line *l);
} kinds[] = {
	{"incident", line_incident}, {"plan", line_plan},     {"approval", line_approval},
	{"decision", line_decision}, {"step", line_step},     {"outcome", line_outcome},
	{"model", line_model},       {"notice", line_notice}, {"control", line_control},
};

void story_line(const json_t *entry, struct story_line *out)
{
	const json_t *message = json_object_get(entry, "message");
	const char *kind = js(entry, "kind");

	*out = (struct story_line){.icon = "•", .word = "?"};
	if (!json_is_object(message)) {
		buf_printf(&out->text, "a message of kind %s that the bus no longer has", kind);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!str_eq(kinds[i].kind, kind))
			continue;
		kinds[i].fill(message, out);
		return;
	}
	buf_printf(&out->text, "a message of kind %s, which this healctl does not know", kind);
}
