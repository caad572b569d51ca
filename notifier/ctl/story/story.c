#include "notifier/ctl/story/story.h"

#include "common/clock.h"
#include "common/mem.h"

enum { HEAD_COLUMN = 16, TEXT_COLUMN_PLAIN = 28, TEXT_COLUMN_ICONS = 30 };

/* ---- the head ---- */

/* The last message of each kind, and what has not been answered. */
struct glance {
	const json_t *plan, *approval, *outcome, *first_event;
	const json_t *taken;
	bool waits;
	size_t plans;
	const json_t *unknown;
};

static void look_at(struct glance *g, const char *kind, const json_t *m)
{
	if (!m)
		return; /* the bus no longer has it */
	if (str_eq(kind, "plan")) {
		g->plan = m;
		g->outcome = NULL;
		g->plans++;
	} else if (str_eq(kind, "approval")) {
		g->approval = m;
		g->waits = true;
	} else if (str_eq(kind, "decision") && !str_eq(js(m, "verdict"), "rehearse")) {
		g->waits = false;
	} else if (str_eq(kind, "outcome")) {
		g->outcome = m;
		g->waits = false;
	} else if (str_eq(kind, "step") && str_eq(js(m, "state"), "unknown")) {
		g->unknown = m;
	} else if (str_eq(kind, "control") && str_eq(js(m, "kind"), "ack")) {
		g->taken = m;
	}
}

static void glance(const json_t *story, struct glance *out)
{
	size_t i;
	const json_t *entry;

	*out = (struct glance){0};
	json_array_foreach(story, i, entry)
	{
		const json_t *m = json_object_get(entry, "message");

		look_at(out, js(entry, "kind"), json_is_object(m) ? m : NULL);
	}
}

static void answer(struct ctl *c, const char *question, enum ctl_style style, const char *text)
{
	ctl_printf(c, "  ");
	ctl_styled(c, STYLE_DIM, question);
	ctl_printf(c, "%*s", (int)(HEAD_COLUMN - 2 - strlen(question)), "");
	if (style == STYLE_PLAIN || ctl_columns(text) + HEAD_COLUMN > c->width ||
	    strchr(text, '\n')) {
		ctl_wrap(c, HEAD_COLUMN, HEAD_COLUMN, text);
		return;
	}
	ctl_styled(c, style, text);
	ctl_printf(c, "\n");
}

static void say_broken(struct ctl *c, const json_t *incident)
{
	const json_t *event = json_array_get(json_object_get(incident, "events"), 0);
	auto_free char *labels = ctl_labels_text(json_object_get(incident, "labels"));
	auto_buf text = {0};

	buf_add_str(&text, js(incident, "title"));
	if (*js(event, "summary") && !strstr(js(incident, "title"), js(event, "summary")))
		buf_printf(&text, "\n%s", js(event, "summary"));
	if (ji(incident, "fingerprints") > 1)
		buf_printf(&text, "\n%" PRId64 " alerts, %" PRId64 " still firing",
			   ji(incident, "fingerprints"), ji(incident, "firing"));
	if (*labels)
		buf_printf(&text, "\n%s", labels);
	answer(c, "what broke", STYLE_PLAIN, buf_str(&text));
}

static void say_done(struct ctl *c, const struct glance *g)
{
	auto_buf text = {0};
	size_t i;
	const json_t *step;

	if (!g->plan) {
		answer(c, "what was done", STYLE_PLAIN, "nothing");
		return;
	}
	json_array_foreach(json_object_get(g->plan, "steps"), i, step)
	{
		auto_free char *one = ctl_step_text(step);

		buf_printf(&text, "%s%s", i ? ", then " : "", one);
	}
	const char *verdict = js(g->outcome, "verdict");
	bool ran = g->outcome && !str_eq(verdict, "denied") && !str_eq(verdict, "refused") &&
		   !str_eq(verdict, "expired") && !str_eq(verdict, "observed");
	if (!ran)
		buf_printf(&text, " (%s)",
			   g->outcome ? "planned only; nothing ran"
			   : g->waits ? "planned; waits for your answer"
				      : "planned or under way");
	if (g->plans > 1)
		buf_printf(&text, "; plan %zu", g->plans);
	answer(c, "what was done", STYLE_PLAIN, buf_str(&text));
}

/* Of the last outcome, once it is there. */
static const struct {
	const char *verdict, *says;
	enum ctl_style style;
} helped[] = {
	{"healed", "yes: done and verified", STYLE_GOOD},
	{"failed", "no: it failed", STYLE_BAD},
	{"rolled_back", "no: it failed, and what was changed was undone", STYLE_WARN},
	{"rollback_failed", "no: it failed, and undoing it failed too", STYLE_BAD},
	{"refused", "nothing ran: policy said no", STYLE_WARN},
	{"denied", "nothing ran: it was not approved", STYLE_WARN},
	{"expired", "nothing ran: it came too late", STYLE_WARN},
	{"observed", "nothing ran: configured to observe only", STYLE_DIM},
	{"rehearsed", "nothing ran: a rehearsal", STYLE_DIM},
	{"unknown", "nobody knows: it was started, and its end was not seen", STYLE_BAD},
};

static void add_took(struct buf *text, int64_t ms)
{
	char took[DURATION_TEXT_BYTES];

	if (ms < 10000)
		buf_printf(text, "; resolved after %.1f s", (double)MAX(ms, 0) / 1000);
	else
		buf_printf(text, "; resolved after %s", duration_format(ms / 1000 * 1000, took));
}

static void say_helped(struct ctl *c, const json_t *incident, const struct glance *g)
{
	const char *verdict = js(g->outcome, "verdict"), *state = js(incident, "state");
	enum ctl_style style = STYLE_PLAIN;
	auto_buf text = {0};

	buf_add_str(&text, g->plan ? "not known yet" : "nothing was tried");
	for (size_t i = 0; g->outcome && i < ARRAY_SIZE(helped); i++) {
		if (!str_eq(helped[i].verdict, verdict))
			continue;
		buf_reset(&text);
		buf_add_str(&text, helped[i].says);
		style = helped[i].style;
	}
	if (g->outcome && !str_eq(verdict, "healed") && *js(g->outcome, "reason"))
		buf_printf(&text, " (%s)", js(g->outcome, "reason"));
	if (str_eq(state, "resolved")) {
		add_took(&text, ji(incident, "resolved_at_ms") - ji(incident, "opened_at_ms"));
	} else if (str_eq(verdict, "healed")) {
		buf_add_str(&text, "; the alert has not ended yet");
	}
	answer(c, "did it help", style, buf_str(&text));
}

static void say_needed(struct ctl *c, const json_t *incident, const struct glance *g)
{
	int64_t deadline = ji(g->approval, "deadline_ms");
	auto_buf text = {0};
	char when[WHEN_BYTES], ago[WHEN_BYTES];

	if (g->waits && deadline > clock_real_ms()) {
		buf_printf(&text,
			   "an answer until %s (%s)\nhealctl approve %.8s   or   healctl deny %.8s",
			   ctl_clock(deadline, when), ctl_ago(deadline, ago), js(g->approval, "id"),
			   js(g->approval, "id"));
		answer(c, "needed of you", STYLE_WARN, buf_str(&text));
	} else if (g->taken && !str_eq(js(incident, "state"), "resolved")) {
		buf_printf(&text, "nothing: taken by %s", js(g->taken, "by"));
		answer(c, "needed of you", STYLE_PLAIN, buf_str(&text));
	} else if (str_eq(js(incident, "state"), "escalated")) {
		buf_printf(&text, "look at it: %s", js(incident, "reason"));
		answer(c, "needed of you", STYLE_BAD, buf_str(&text));
	} else if (g->unknown && !str_eq(js(g->outcome, "verdict"), "healed")) {
		buf_printf(&text, "look at %s: nobody knows how %s ended", js(g->unknown, "target"),
			   js(g->unknown, "tool"));
		answer(c, "needed of you", STYLE_BAD, buf_str(&text));
	} else {
		answer(c, "needed of you", STYLE_PLAIN, "nothing");
	}
}

void story_title(struct ctl *c, const json_t *incident)
{
	char when[WHEN_BYTES], ago[WHEN_BYTES];

	ctl_styled(c, STYLE_BOLD, js(incident, "title"));
	ctl_printf(c, "  ");
	ctl_styled(c, ctl_state_style(js(incident, "severity")), js(incident, "severity"));
	ctl_printf(c, ", ");
	ctl_styled(c, ctl_state_style(js(incident, "state")), js(incident, "state"));
	ctl_printf(c, "\n  incident ");
	ctl_text(c, js(incident, "id"));
	ctl_printf(c, ", opened %s (%s)\n\n", ctl_clock(ji(incident, "opened_at_ms"), when),
		   ctl_ago(ji(incident, "opened_at_ms"), ago));
}

void story_head(struct ctl *c, const json_t *incident, const json_t *story)
{
	struct glance g;

	glance(story, &g);
	story_title(c, incident);
	say_broken(c, incident);
	say_done(c, &g);
	say_helped(c, incident, &g);
	say_needed(c, incident, &g);
	ctl_printf(c, "\n");
}

/* ---- the timeline ---- */

static bool same_step(const json_t *a, const json_t *b)
{
	return str_eq(js(a, "step_id"), js(b, "step_id")) && str_eq(js(a, "phase"), js(b, "phase"));
}

/* A step that has ended needs no line for its start, an incident that changed only in numbers none
 * at all. */
static bool superseded(const json_t *story, size_t at)
{
	const json_t *entry = json_array_get(story, at), *m = json_object_get(entry, "message");
	const char *kind = js(entry, "kind");

	if (str_eq(kind, "incident")) {
		for (size_t i = at; i-- > 0;) {
			const json_t *other = json_array_get(story, i);
			if (str_eq(js(other, "kind"), "incident"))
				return str_eq(js(json_object_get(other, "message"), "state"),
					      js(m, "state"));
		}
		return false;
	}
	if (!str_eq(kind, "step") ||
	    (!str_eq(js(m, "state"), "started") && !str_eq(js(m, "state"), "waiting")))
		return false;
	for (size_t i = at + 1; i < json_array_size(story); i++) {
		const json_t *other = json_array_get(story, i);
		if (str_eq(js(other, "kind"), "step") &&
		    same_step(m, json_object_get(other, "message")))
			return true;
	}
	return false;
}

static void say_entry(struct ctl *c, const json_t *entry, const struct story_line *l,
		      struct story_at *at)
{
	int64_t ms = ji(entry, "time_ms");
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm = {0};
	char clock[16], date[16], offset[WHEN_BYTES];

	localtime_r(&seconds, &tm);
	int64_t day = (int64_t)tm.tm_year * 366 + tm.tm_yday + 1;
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	if (at->day != day)
		ctl_printf(c, "  %s\n", date);
	at->day = day;
	ctl_printf(c, "  %s ", clock);
	char padded[16];
	snprintf(padded, sizeof(padded), "%7s", ctl_offset(ms - at->t0_ms, offset));
	ctl_styled(c, STYLE_DIM, padded);
	ctl_printf(c, " ");
	if (c->terminal) {
		ctl_styled(c, l->style, l->icon);
		ctl_printf(c, " ");
	}
	ctl_styled(c, l->style, l->word);
	size_t column = c->terminal ? TEXT_COLUMN_ICONS + 2 : TEXT_COLUMN_PLAIN + 2;
	size_t used = ctl_columns(l->word);
	ctl_printf(c, "%*s", used < 10 ? (int)(11 - used) : 1, "");
	ctl_wrap(c, column, column, buf_str(&l->text));
}

void story_entries(struct ctl *c, const json_t *story, struct story_at *at)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(story, i, entry)
	{
		struct story_line l;

		story_line(entry, &l);
		if (at->all || (!l.minor && !superseded(story, i)))
			say_entry(c, entry, &l, at);
		buf_release(&l.text);
	}
}
