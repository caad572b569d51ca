#include "notifier/ctl/story/story.h"

#include <poll.h>

#include "common/clock.h"

enum { FOLLOW_INTERVAL_MS = 500 };

static int fetch(struct ctl *c, int64_t after, json_t **out)
{
	auto_buf path = {0};
	char seq[32];

	buf_add_str(&path, "/api/story");
	ctl_segment(&path, c->args[0]);
	if (after > 0) {
		snprintf(seq, sizeof(seq), "%" PRId64, after);
		ctl_query(&path, "after", seq);
	}
	return ctl_get(c, buf_str(&path), out);
}

static int64_t last_seq(const json_t *story, int64_t before)
{
	size_t n = json_array_size(story);

	return n ? ji(json_array_get(story, n - 1), "seq") : before;
}

/* For programs: one entry a line, as they come. */
static void json_lines(struct ctl *c, const json_t *story)
{
	size_t i;
	const json_t *entry;

	json_array_foreach(story, i, entry)
	{
		char *text = json_dumps(entry, JSON_COMPACT | JSON_SORT_KEYS |
						       (c->terminal ? JSON_ENSURE_ASCII : 0));

		buf_add_str(&c->out, text ? text : "{}");
		buf_add_char(&c->out, '\n');
		free(text);
	}
}

static void show_new(struct ctl *c, const json_t *story, struct story_at *at)
{
	if (ctl_flag(c, "json"))
		json_lines(c, story);
	else
		story_entries(c, story, at);
	ctl_flush(c);
}

/* The state in which following ends; EXIT_OK, EXIT_NO, or -1 while it goes on. */
static int ending(struct ctl *c, const json_t *j)
{
	const char *state = js(json_object_get(j, "incident"), "state"),
		   *until = ctl_flag(c, "until");

	if (str_eq(state, "resolved"))
		return EXIT_OK;
	return until && str_eq(until, "closed") && !str_eq(state, "open") ? EXIT_NO : -1;
}

static int say_end(struct ctl *c, int end)
{
	auto_json *j = NULL;

	if (ctl_flag(c, "json"))
		return end;
	int rc = fetch(c, 0, &j);
	if (rc)
		return rc;
	ctl_printf(c, "\n");
	story_head(c, json_object_get(j, "incident"), json_object_get(j, "story"));
	return end;
}

static int follow(struct ctl *c, json_t *j, struct story_at *at, int64_t timeout_ms)
{
	int64_t seq = last_seq(json_object_get(j, "story"), 0);
	int64_t give_up = clock_mono_ms() + timeout_ms;
	int end = ending(c, j);

	while (end < 0) {
		auto_json *next = NULL;

		if (timeout_ms && clock_mono_ms() >= give_up)
			return ctl_fail(EXIT_NO, "healctl story shows what it waits for",
					"not over within %s", ctl_flag(c, "timeout"));
		poll(NULL, 0, FOLLOW_INTERVAL_MS);
		int rc = fetch(c, seq, &next);
		if (rc)
			return rc;
		seq = last_seq(json_object_get(next, "story"), seq);
		show_new(c, json_object_get(next, "story"), at);
		end = ending(c, next);
	}
	return say_end(c, end);
}

static int check_flags(struct ctl *c, int64_t *out_timeout_ms)
{
	const char *until = ctl_flag(c, "until"), *timeout = ctl_flag(c, "timeout");

	if (until && !str_eq(until, "resolved") && !str_eq(until, "closed"))
		return ctl_fail(EXIT_USAGE, "--until resolved, or closed", "%s: no such end",
				until);
	if (timeout && duration_parse(timeout, out_timeout_ms))
		return ctl_fail(EXIT_USAGE, "--timeout 60s, or 5m", "%s: no duration", timeout);
	return EXIT_OK;
}

static int cmd_story(struct ctl *c)
{
	auto_json *j = NULL;
	int64_t timeout_ms = 0;
	bool following = ctl_flag(c, "follow") != NULL;

	int rc = check_flags(c, &timeout_ms);
	if (!rc)
		rc = fetch(c, 0, &j);
	if (rc)
		return rc;
	const json_t *incident = json_object_get(j, "incident"),
		     *story = json_object_get(j, "story");
	if (!following && ctl_as_json(c, j))
		return EXIT_OK;
	struct story_at at = {.t0_ms = ji(json_array_get(story, 0), "time_ms"),
			      .all = ctl_flag(c, "all") != NULL};
	if (!ctl_flag(c, "json") && following)
		story_title(c, incident);
	else if (!ctl_flag(c, "json"))
		story_head(c, incident, story);
	show_new(c, story, &at);
	return following ? follow(c, j, &at, timeout_ms) : EXIT_OK;
}

static const char help_story[] =
	"Begins with these four answers, then tells all that happened, read back from the "
	"bus. With --follow the timeline comes first, as it happens, until the incident is "
	"resolved, and the answers at its end; with --json each entry is then one line. Exit "
	"code 1 when it ended in another way.";

const struct ctl_command command_story = {
	.name = "story",
	.args = "INCIDENT",
	.summary = "what broke, what was done, did it help, what is needed of you",
	.help = help_story,
	.run = cmd_story,
	CTL_ONE_OF(NAMES_INCIDENT),
	.flags = {{"follow", 'f', NULL, "Go on until the incident is resolved."},
		  {"until", 0, "STATE",
		   "With --follow: end at resolved (the default), or at closed, which is "
		   "resolved, escalated or suppressed."},
		  {"timeout", 0, "TIME", "With --follow: give up after so long: 60s, 5m."},
		  {"all", 0, NULL,
		   "Also what is left out for brevity: starts of steps that have ended, "
		   "queued notices, incidents that changed only in numbers."}},
};
