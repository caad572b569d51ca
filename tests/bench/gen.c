/*
 * gen: the workload of the benchmark, the same bytes for the same options.
 *
 *     gen [-f v4|am|line|oracle] [-e events] [-n fingerprints] [-d repeats, %] [-r resolutions, %]
 *         [-b alerts a body] [-B bytes a body] [-s seed] [-w window]
 *
 * One body a line: v4 is what Alertmanager posts to a webhook, am what /api/v2/alerts takes, line a
 * flat text line an event for programs that read logs. oracle prints what a correct reader of the
 * events must count.
 *
 * Of 100/(100-d) events one is a transition: with r % chance a firing alert of the window (the last
 * w transitions) resolves, else the next fingerprint fires, anew after a full turn. The others
 * repeat the present state of one of the window. An event is (fingerprint, startsAt, status). Every
 * alert carries "t0":"0000000000000000000", which the load driver stamps. Fingerprints are those of
 * Prometheus, so that a program that computes them itself gets the same. Times count one
 * millisecond an event from 2025-01-01.
 */
#include "tests/bench/bench.h"

enum {
	BODY_ALERTS_MAX = 1024,
	ALERT_BYTES_MAX = 1024, /* without its padding */
	FIRST_RESOLUTION = 16,  /* transitions before anything resolves */
	NEVER = 2,
};

static const uint64_t EPOCH_S = 1735689600; /* 2025-01-01 */
static const char *const ALERT_NAMES[] = {"InstanceDown",    "HighCPU",
					  "HighMemory",      "DiskWillFillIn4Hours",
					  "DiskFull",        "FilesystemReadOnly",
					  "ServiceDown",     "HTTPErrorRateHigh",
					  "LatencyP99High",  "QueueBacklog",
					  "ReplicaLag",      "CertExpiresSoon",
					  "OOMKilled",       "CrashLoop",
					  "NodeNotReady",    "ConntrackFull",
					  "InodesExhausted", "ClockSkew",
					  "NICErrors",       "BackupMissing"};
static const char *const SEVERITIES[] = {"critical", "warning", "info"};
static const char *const NAMESPACES[] = {"payments", "checkout", "search", "auth", "catalog",
					 "billing",  "mail",     "edge",   "core", "batch"};
static const char FILLING[] = "The quick brown fox jumps over the lazy dog; ";

struct options {
	const struct format *format;
	uint64_t events;
	uint64_t seed;
	uint32_t fingerprints;
	uint32_t window;
	uint32_t body_alerts;
	size_t body_bytes;
	uint32_t every; /* one event in so many is a transition */
	uint32_t resolve_percent;
};

/* The present state of one fingerprint; status NEVER before its first firing. */
struct alert {
	uint32_t id;
	uint8_t resolved;
	uint64_t starts_ms;
	uint64_t ends_ms;
};

struct counts {
	uint64_t transitions, firing, resolved, repeats, distinct;
};

struct world {
	const struct options *o;
	uint64_t random;
	struct alert *alerts;
	bool *seen;
	uint32_t *ring; /* ids of the last transitions */
	uint32_t next;
	struct counts counts;
};

/* Fixed room; a body that does not fit is a bug of its bound. */
struct text {
	char *data;
	size_t len;
	size_t cap;
};

struct format {
	const char *name;
	void (*print)(struct text *t, const struct options *o, const struct alert *alerts,
		      uint32_t n, uint64_t first);
};

/* ---- what happens ---- */

static uint64_t draw(struct world *w) /* splitmix64 */
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint32_t window_len(const struct world *w)
{
	return w->counts.transitions < w->o->window ? (uint32_t)w->counts.transitions
						    : w->o->window;
}

static void resolve(struct world *w, uint32_t id, uint64_t at)
{
	w->alerts[id].resolved = 1;
	w->alerts[id].ends_ms = at;
	w->counts.resolved++;
}

/* A firing alert of the window, the first one from a random place on. */
static bool resolve_one(struct world *w, uint64_t at, uint32_t *out_id)
{
	uint32_t len = window_len(w);
	uint32_t from = (uint32_t)(draw(w) % len);
	for (uint32_t i = 0; i < len; i++) {
		uint32_t id = w->ring[(from + i) % len];
		if (w->alerts[id].resolved)
			continue;
		resolve(w, id, at);
		*out_id = id;
		return true;
	}
	return false;
}

/* The next fingerprint that does not fire; when all do, the one that is next resolves. */
static uint32_t fire_next(struct world *w, uint64_t at)
{
	uint32_t id = 0;
	for (uint32_t i = 0; i < w->o->fingerprints; i++) {
		id = w->next;
		w->next = (w->next + 1) % w->o->fingerprints;
		if (w->alerts[id].resolved)
			break;
	}
	if (!w->alerts[id].resolved) {
		resolve(w, id, at);
		return id;
	}
	w->alerts[id].resolved = 0;
	w->alerts[id].starts_ms = at;
	w->counts.firing++;
	return id;
}

static uint32_t transition(struct world *w, uint64_t at)
{
	uint32_t id = 0;
	bool wanted = draw(w) % 100 < w->o->resolve_percent;
	if (w->counts.transitions < FIRST_RESOLUTION || !wanted || !resolve_one(w, at, &id))
		id = fire_next(w, at);
	w->ring[w->counts.transitions++ % w->o->window] = id;
	w->counts.distinct += !w->seen[id];
	w->seen[id] = true;
	return id;
}

static struct alert happen(struct world *w, uint64_t at)
{
	if (at % w->o->every == 0)
		return w->alerts[transition(w, at)];
	w->counts.repeats++;
	return w->alerts[w->ring[draw(w) % window_len(w)]];
}

/* ---- how it is written ---- */

static void PRINTF_LIKE(2, 3) put(struct text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(t->data + t->len, t->cap - t->len, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= t->cap - t->len)
		die("a body is longer than its bound");
	t->len += (size_t)n;
}

struct labels {
	const char *alertname, *namespace, *severity;
	char cluster[16], instance[48], pod[32];
};

static struct labels labels_of(uint32_t id)
{
	struct labels l = {.alertname = ALERT_NAMES[id % ARRAY_SIZE(ALERT_NAMES)],
			   .namespace = NAMESPACES[id / 20 % ARRAY_SIZE(NAMESPACES)],
			   .severity = SEVERITIES[id / 7 % ARRAY_SIZE(SEVERITIES)]};
	snprintf(l.cluster, sizeof(l.cluster), "prod-%u", id % 4);
	snprintf(l.instance, sizeof(l.instance), "node-%05u.dc%u.example.net:9100", id, id % 4);
	snprintf(l.pod, sizeof(l.pod), "%s-%08x", l.namespace, id * 2654435761u);
	return l;
}

/* FNV-1a over each name and value, sorted by name, with 0xff after each. */
static uint64_t fingerprint(const struct labels *l)
{
	const char *const parts[] = {"alertname", l->alertname, "cluster", l->cluster,
				     "instance",  l->instance,  "job",     "node",
				     "namespace", l->namespace, "pod",     l->pod,
				     "severity",  l->severity};
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		for (const char *s = parts[i]; *s; s++)
			h = (h ^ (uint8_t)*s) * 1099511628211u;
		h = (h ^ 0xff) * 1099511628211u;
	}
	return h;
}

static void put_time(struct text *t, const char *name, uint64_t ms)
{
	time_t s = (time_t)(EPOCH_S + ms / 1000);
	struct tm tm;
	char day[32];
	gmtime_r(&s, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	put(t, "\"%s\":\"%s.%03uZ\",", name, day, (unsigned)(ms % 1000));
}

static void put_filling(struct text *t, size_t n)
{
	if (n >= t->cap - t->len)
		die("a body is longer than its bound");
	for (size_t i = 0; i < n; i++)
		t->data[t->len++] = FILLING[i % (sizeof(FILLING) - 1)];
}

static void put_alert(struct text *t, bool v4, const struct alert *a, uint64_t seq, size_t filling)
{
	struct labels l = labels_of(a->id);
	put(t, "{");
	if (v4)
		put(t, "\"status\":\"%s\",", a->resolved ? "resolved" : "firing");
	put(t,
	    "\"labels\":{\"alertname\":\"%s\",\"cluster\":\"%s\",\"instance\":\"%s\",\"job\":"
	    "\"node\","
	    "\"namespace\":\"%s\",\"pod\":\"%s\",\"severity\":\"%s\"},",
	    l.alertname, l.cluster, l.instance, l.namespace, l.pod, l.severity);
	put(t,
	    "\"annotations\":{\"t0\":\"%0*d\",\"seq\":\"%" PRIu64 "\",\"summary\":\"%s on %s\","
	    "\"runbook_url\":\"https://runbooks.example.net/%s\",\"description\":\"",
	    STAMP_DIGITS, 0, seq, l.alertname, l.instance, l.alertname);
	put_filling(t, filling);
	put(t, "\"},");
	put_time(t, "startsAt", a->starts_ms);
	if (a->resolved)
		put_time(t, "endsAt", a->ends_ms);
	else if (v4)
		put(t, "\"endsAt\":\"0001-01-01T00:00:00Z\",");
	put(t, "\"generatorURL\":\"http://prom.example.net/graph?g0.expr=up\"");
	if (v4)
		put(t, ",\"fingerprint\":\"%016" PRIx64 "\"", fingerprint(&l));
	put(t, "}");
}

static void put_v4_head(struct text *t, const struct alert *alerts, uint32_t n)
{
	struct labels l = labels_of(alerts[0].id);
	bool firing = false;
	for (uint32_t i = 0; i < n; i++)
		firing |= !alerts[i].resolved;
	put(t,
	    "{\"version\":\"4\",\"groupKey\":\"{}:{alertname=\\\"%s\\\"}\",\"truncatedAlerts\":0,"
	    "\"status\":\"%s\",\"receiver\":\"heal\",\"groupLabels\":{\"alertname\":\"%s\"},"
	    "\"commonLabels\":{\"alertname\":\"%s\",\"cluster\":\"%s\"},\"commonAnnotations\":{},"
	    "\"externalURL\":\"http://am.example.net:9093\",\"alerts\":",
	    l.alertname, firing ? "firing" : "resolved", l.alertname, l.alertname, l.cluster);
}

static void put_body(struct text *t, bool v4, const struct alert *alerts, uint32_t n,
		     uint64_t first, size_t filling)
{
	t->len = 0;
	if (v4)
		put_v4_head(t, alerts, n);
	for (uint32_t i = 0; i < n; i++) {
		put(t, i ? "," : "[");
		put_alert(t, v4, &alerts[i], first + i, filling);
	}
	put(t, v4 ? "]}" : "]");
}

/* Once to know the length, and again with what is missing, in equal parts. */
static void print_body(struct text *t, bool v4, const struct options *o, const struct alert *alerts,
		       uint32_t n, uint64_t first)
{
	put_body(t, v4, alerts, n, first, 0);
	if (o->body_bytes > t->len)
		put_body(t, v4, alerts, n, first, (o->body_bytes - t->len) / n);
	put(t, "\n");
}

static void print_v4(struct text *t, const struct options *o, const struct alert *alerts,
		     uint32_t n, uint64_t first)
{
	print_body(t, true, o, alerts, n, first);
}

static void print_am(struct text *t, const struct options *o, const struct alert *alerts,
		     uint32_t n, uint64_t first)
{
	print_body(t, false, o, alerts, n, first);
}

static void print_lines(struct text *t, const struct options *o, const struct alert *alerts,
			uint32_t n, uint64_t first)
{
	(void)o;
	t->len = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct labels l = labels_of(alerts[i].id);
		put(t,
		    "ALERT fp=%016" PRIx64
		    " status=%s alertname=%s instance=%s severity=%s seq=%" PRIu64 " t0=%0*d\n",
		    fingerprint(&l), alerts[i].resolved ? "resolved" : "firing", l.alertname,
		    l.instance, l.severity, first + i, STAMP_DIGITS, 0);
	}
}

static const struct format FORMATS[] = {
	{"v4", print_v4}, {"am", print_am}, {"line", print_lines}, {"oracle", NULL}};

/* ---- the program ---- */

static void print_oracle(const struct options *o, const struct counts *c)
{
	printf("events=%" PRIu64 " transitions=%" PRIu64 " firing_transitions=%" PRIu64
	       " resolved_transitions=%" PRIu64 " duplicates=%" PRIu64
	       " distinct_fingerprints=%" PRIu64 "\n",
	       o->events, c->transitions, c->firing, c->resolved, c->repeats, c->distinct);
}

static void run(const struct options *o)
{
	struct world w = {.o = o,
			  .random = o->seed,
			  .alerts = must(calloc(o->fingerprints, sizeof(*w.alerts))),
			  .seen = must(calloc(o->fingerprints, sizeof(*w.seen))),
			  .ring = must(calloc(o->window, sizeof(*w.ring)))};
	struct alert *body = must(calloc(o->body_alerts, sizeof(*body)));
	struct text t = {.cap = 4096 + o->body_bytes + (size_t)o->body_alerts * ALERT_BYTES_MAX};
	t.data = must(malloc(t.cap));
	for (uint32_t i = 0; i < o->fingerprints; i++)
		w.alerts[i] = (struct alert){.id = i, .resolved = NEVER};
	for (uint64_t at = 0; at < o->events;) {
		uint64_t first = at;
		uint32_t n = 0;
		while (n < o->body_alerts && at < o->events)
			body[n++] = happen(&w, at++);
		if (!o->format->print)
			continue;
		o->format->print(&t, o, body, n, first);
		fwrite(t.data, 1, t.len, stdout);
	}
	if (!o->format->print)
		print_oracle(o, &w.counts);
	free(w.alerts);
	free(w.seen);
	free(w.ring);
	free(body);
	free(t.data);
}

static const struct format *format_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(FORMATS); i++)
		if (str_eq(FORMATS[i].name, name))
			return &FORMATS[i];
	fprintf(stderr, "no format %s: v4, am, line or oracle\n", name);
	exit(64);
}

static bool option(struct options *o, int letter, const char *value)
{
	switch (letter) {
	case 'f':
		o->format = format_named(value);
		return true;
	case 'e':
		o->events = option_number(value, 1);
		return true;
	case 'n':
		o->fingerprints = (uint32_t)option_number(value, 1);
		return true;
	case 'd':
		o->every = 100 / (100 - (uint32_t)MIN(option_number(value, 0), 99u));
		return true;
	case 'r':
		o->resolve_percent = (uint32_t)option_number(value, 0);
		return true;
	case 'b':
		o->body_alerts = (uint32_t)MIN(option_number(value, 1), BODY_ALERTS_MAX);
		return true;
	case 'B':
		o->body_bytes = option_number(value, 0);
		return true;
	case 's':
		o->seed = option_number(value, 0);
		return true;
	case 'w':
		o->window = (uint32_t)option_number(value, 1);
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct options o = {.format = &FORMATS[0],
			    .events = 100000,
			    .seed = 42,
			    .fingerprints = 10000,
			    .window = 1000,
			    .body_alerts = 1,
			    .body_bytes = 3072,
			    .every = 10,
			    .resolve_percent = 25};
	int letter;
	while ((letter = getopt(argc, argv, "f:e:n:d:r:b:B:s:w:")) > 0)
		if (!option(&o, letter, optarg))
			return 64;
	run(&o);
	return fflush(stdout) ? 1 : 0;
}
