/*
 * A story as text. Pure: JSON in, text in ctl.out; the only outside thing it looks at is the time
 * of day.
 */
#ifndef NOTIFIER_CTL_STORY_STORY_H
#define NOTIFIER_CTL_STORY_STORY_H

#include "notifier/ctl/ctl.h"

/* One message of a story as one entry of the timeline. */
struct story_line {
	const char *icon; /* on a terminal */
	const char *word; /* at most 10 characters */
	enum ctl_style style;
	struct buf text;
	bool minor; /* shown with --all only */
};

/* Fills out from an entry {seq, time_ms, kind, message}; release out->text. */
void story_line(const json_t *entry, struct story_line *out);

/* Title, severity, state, id. */
void story_title(struct ctl *c, const json_t *incident);
/* The title and the four answers: what broke, what was done, did it help, what is needed. */
void story_head(struct ctl *c, const json_t *incident, const json_t *story);

/* The timeline of story[from...]. t0_ms is what offsets count from; *day is the day of the last
 * entry printed (0 to begin with). */
struct story_at {
	int64_t t0_ms;
	int64_t day;
	bool all;
};
void story_entries(struct ctl *c, const json_t *story, struct story_at *at);

#endif
