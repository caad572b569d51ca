#include "notifier/ctl/doctor/doctor.h"

static const char *const level_names[] = {"ok", "warn", "fail"};
static const enum ctl_style level_styles[] = {STYLE_GOOD, STYLE_WARN, STYLE_BAD};

void finding(struct doctor *d, enum finding_level level, const char *about, const char *next,
	     const char *fmt, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		abort();
	va_end(args);
	d->fails += level == FINDING_FAIL;
	json_t *f = json_object();
	json_object_set_new(f, "level", json_string(level_names[level]));
	json_object_set_new(f, "about", json_string(about));
	json_t *what = json_string(text);
	json_object_set_new(f, "what", what ? what : json_string("(not UTF-8)"));
	if (next)
		json_object_set_new(f, "next", json_string(next));
	json_array_append_new(d->findings, f);
	if (!ctl_flag(d->ctl, "json")) {
		char padded[16];

		snprintf(padded, sizeof(padded), "%-5s", level_names[level]);
		ctl_styled(d->ctl, level_styles[level], padded);
		ctl_printf(d->ctl, "%-14s ", about);
		ctl_wrap(d->ctl, 20, 20, text);
		if (next) {
			ctl_printf(d->ctl, "%20s", "");
			ctl_styled(d->ctl, STYLE_BOLD, "do: ");
			ctl_wrap(d->ctl, 24, 24, next);
		}
		ctl_flush(d->ctl);
	}
	free(text);
}

/* ---- the notifier ---- */

static void look_at_status(struct doctor *d, const json_t *j)
{
	const json_t *paused = json_object_get(j, "paused"), *lag = json_object_get(j, "lag");

	finding(d, FINDING_OK, "notifier", NULL, "answers at %s", ctl_url(d->ctl));
	if (!json_is_true(json_object_get(json_object_get(j, "bus"), "connected")))
		finding(d, FINDING_FAIL, "notifier", "its log says why; check bus.yaml",
			"has no connection to the bus");
	if (json_is_true(json_object_get(paused, "on")))
		finding(d, FINDING_WARN, "pause", "healctl resume, when the reason is gone",
			"actions are paused by %s: %s", js(paused, "by"), js(paused, "reason"));
	if (json_array_size(json_object_get(j, "executors")) == 0)
		finding(d, FINDING_WARN, "executor", "start healbus-executor",
			"none has published what it can do, so no plan can run");
	if (ji(lag, "behind") > 1000)
		finding(d, FINDING_WARN, "notifier",
			"wait; when it does not shrink, its log says why",
			"is %" PRId64 " messages behind the bus", ji(lag, "behind"));
}

static void look_at_dead(struct doctor *d)
{
	auto_json *j = NULL;

	if (ctl_get(d->ctl, "/api/dead?limit=1", &j))
		return;
	const json_t *newest = json_array_get(json_object_get(j, "dead"), 0);
	char ago[WHEN_BYTES];
	if (newest)
		finding(d, FINDING_WARN, "dead", "healctl dead ls; repair the sender, then requeue",
			"messages could not be read; the last one %s: %s",
			ctl_ago(ji(newest, "at_ms"), ago), js(newest, "error"));
}

static void doctor_notifier(struct doctor *d)
{
	auto_json *j = NULL;
	int rc = ctl_get(d->ctl, "/api/status", &j);

	if (rc) {
		finding(d, FINDING_FAIL, "notifier",
			"start healbus-notifier; --url and --token-file say where and with which "
			"token",
			"the API at %s does not answer us (see above)", ctl_url(d->ctl));
		return;
	}
	look_at_status(d, j);
	look_at_dead(d);
}

static const struct {
	const char *name;
	void (*run)(struct doctor *d);
} checks[] = {
	{"configuration", doctor_configuration},
	{"bus", doctor_bus},
	{"shares", doctor_shares},
	{"notifier", doctor_notifier},
	{"sandbox", doctor_sandbox},
	{"docker", doctor_docker},
	{"clock", doctor_clock},
};

static int cmd_doctor(struct ctl *c)
{
	auto_json *out = json_object();
	struct doctor d = {.ctl = c, .findings = json_array()};
	const char *only = ctl_flag(c, "only");
	unsigned ran = 0;

	json_object_set_new(out, "findings", d.findings);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		if (only && !str_eq(only, checks[i].name))
			continue;
		checks[i].run(&d);
		ran++;
	}
	if (ran == 0)
		return ctl_fail(EXIT_USAGE, "healctl help doctor", "%s: no such part", only);
	json_object_set_new(out, "fails", json_integer(d.fails));
	if (!ctl_as_json(c, out) && d.fails)
		ctl_printf(c, "\n%u to repair\n", d.fails);
	return d.fails ? EXIT_NO : EXIT_OK;
}

static const char help_doctor[] =
	"Each finding is ok, warn or fail, with what to do about it. Exit code 1 when one "
	"fails. With --fix it creates the streams and buckets that are missing; that needs "
	"the bus user operator, as bus.yaml names it.";

const struct ctl_command command_doctor = {
	.name = "doctor",
	.args = "",
	.summary = "check configuration, bus, permissions, who lives, sandbox, Docker and "
		   "clock",
	.help = help_doctor,
	.run = cmd_doctor,
	.flags = {{"fix", 0, NULL, "Create missing streams and buckets."},
		  {"only", 0, "PART",
		   "Examine one part: configuration, bus, shares, notifier, sandbox, "
		   "docker or "
		   "clock."}},
};
