#include "common/stage_private.h"

enum {
	SERVICE_POLL_MS = 200,     /* until ready */
	SERVICE_STATUS_MS = 5000,  /* between two looks at why it is not ready */
	SERVICE_EXTEND_MS = 30000, /* what a start that waits for the bus asks for */
	SERVICE_LINES_BYTES = 256,
};

/* ---- pulses ---- */

struct stage_pulse {
	struct stage_pulse *next;
	char name[TOKEN_MAX + 8];
	_Atomic int64_t at_mono_ms; /* INT64_MAX: not looked at */
};

struct stage_pulse *stage_pulse_new(struct stage *s, const char *name)
{
	struct stage_pulse *p = mem_alloc(sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	atomic_store(&p->at_mono_ms, INT64_MAX);
	p->next = s->pulses;
	s->pulses = p;
	return p;
}

void stage_pulse(struct stage_pulse *p)
{
	atomic_store(&p->at_mono_ms, clock_mono_ms());
}

void stage_pulse_rest(struct stage_pulse *p)
{
	atomic_store(&p->at_mono_ms, INT64_MAX);
}

void stage_pulses_free(struct stage *s)
{
	while (s->pulses) {
		struct stage_pulse *p = s->pulses;
		s->pulses = p->next;
		free(p);
	}
}

bool stage_alive(struct stage *s, int64_t limit_ms, struct buf *reasons)
{
	bool alive = true;
	int64_t now = clock_mono_ms();
	for (struct stage_pulse *p = s->pulses; p; p = p->next) {
		int64_t at = atomic_load(&p->at_mono_ms);
		if (at > now - limit_ms)
			continue;
		alive = false;
		buf_printf(reasons, "%s: hangs for %" PRId64 " s\n", p->name, (now - at) / 1000);
	}
	return alive;
}

/* ---- what systemd is told ---- */

static void tell(struct stage_service *v, const char *lines, const struct buf *reasons)
{
	char text[SERVICE_LINES_BYTES];
	const char *why = reasons->len ? buf_str(reasons) : "ready";
	snprintf(text, sizeof(text), "%sSTATUS=%.*s\n", lines, (int)strcspn(why, "\n"), why);
	v->told = systemd_notify(&v->systemd, text) == 0;
}

/* Waiting for the bus is no failure, and may take longer than a start usually may. */
static void turn_before(struct stage *s, int64_t now)
{
	struct stage_service *v = &s->service;
	auto_buf reasons = {0};
	stage_reasons(s, &reasons);
	if (reasons.len == 0) {
		tell(v, "READY=1\n", &reasons);
		v->ready = v->told;
		v->at_mono_ms = now;
	} else if (stage_alive(s, SERVICE_EXTEND_MS, &reasons) &&
		   now >= v->at_mono_ms + SERVICE_STATUS_MS) {
		char extend[64];
		snprintf(extend, sizeof(extend), "EXTEND_TIMEOUT_USEC=%d000\n", SERVICE_EXTEND_MS);
		tell(v, extend, &reasons);
		v->at_mono_ms = now;
	}
}

static int64_t look_every_ms(const struct stage_service *v)
{
	int64_t watchdog_ms = v->systemd.watchdog_ms;
	return watchdog_ms ? MIN(watchdog_ms / 4, SERVICE_STATUS_MS) : SERVICE_STATUS_MS;
}

static void turn_after(struct stage *s, int64_t now)
{
	struct stage_service *v = &s->service;
	auto_buf reasons = {0};
	if (v->told && now < v->at_mono_ms + look_every_ms(v))
		return;
	v->at_mono_ms = now;
	bool alive = stage_alive(s, MAX(STAGE_TURN_MS, v->systemd.watchdog_ms / 2), &reasons);
	if (v->alive && !alive)
		LOG(ERROR, "the watchdog is left alone", S("why", buf_str(&reasons)));
	v->alive = alive;
	if (!stage_stopping(s))
		stage_reasons(s, &reasons);
	tell(v, alive && v->systemd.watchdog_ms ? "WATCHDOG=1\n" : "", &reasons);
}

int64_t stage_service_turn(struct stage *s)
{
	struct stage_service *v = &s->service;
	if (!v->systemd.listens)
		return INT64_MAX;
	if (v->ready)
		turn_after(s, clock_mono_ms());
	else
		turn_before(s, clock_mono_ms());
	return v->ready && v->told ? look_every_ms(v) : SERVICE_POLL_MS;
}

void stage_service_open(struct stage *s)
{
	s->service = (struct stage_service){.at_mono_ms = INT64_MIN / 2, .alive = true};
	systemd_open(&s->service.systemd);
}

void stage_service_reloading(struct stage *s, bool begins)
{
	struct stage_service *v = &s->service;
	char lines[96];
	snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\n",
		 clock_mono_ms() * 1000);
	if (!v->ready)
		return;
	if (begins)
		(void)systemd_notify(&v->systemd, lines);
	else /* what is not taken is said again */
		v->ready = systemd_notify(&v->systemd, "READY=1\n") == 0;
}

void stage_service_stopping(struct stage *s)
{
	(void)systemd_notify(&s->service.systemd, "STOPPING=1\nSTATUS=stopping\n");
}

void stage_service_close(struct stage *s)
{
	systemd_close(&s->service.systemd);
	stage_pulses_free(s);
}
