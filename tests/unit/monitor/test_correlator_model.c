/*
 * Random streams of alerts, silences and time against a naive model that keeps everything in
 * arrays. After every message both must agree on what is told. HEALBUS_SEED repeats a run.
 */
#include "tests/unit/monitor/kit.h"

enum {
	SERVICES = 3,
	NAMES = 2,
	INSTANCES = 3,
	ALERTS = SERVICES * NAMES * INSTANCES,
	GROUPS = SERVICES * NAMES,
	SILENCES = 3,
	STEPS = 1500,
	ROUNDS = 12
};

#define WAIT_MS INT64_C(2000)

struct model_alert {
	bool known, firing;
	int64_t starts_ms;
};

struct model_group {
	int state; /* GROUP_REST, ... */
	int64_t opens_ms;
	unsigned told; /* messages */
	int last;      /* state of the last one */
};

struct model_silence {
	bool set;
	int service;
	int64_t from_ms, to_ms;
};

struct model {
	struct model_alert alerts[ALERTS];
	struct model_group groups[GROUPS];
	struct model_silence silences[SILENCES];
	uint64_t random;
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (m->random >> 33) % below;
}

static void alert_labels(int i, char out[static 80])
{
	snprintf(out, 80, "alertname=a%d instance=i%d service=s%d", i / INSTANCES % NAMES,
		 i % INSTANCES, i / INSTANCES / NAMES);
}

static int group_of_alert(int i)
{
	return i / INSTANCES;
}

static int firing_in(const struct model *m, int group)
{
	int n = 0;

	for (int i = 0; i < ALERTS; i++)
		n += group_of_alert(i) == group && m->alerts[i].firing;
	return n;
}

static bool silenced(const struct model *m, int group, int64_t now)
{
	for (int i = 0; i < SILENCES; i++) {
		const struct model_silence *s = &m->silences[i];

		if (s->set && s->service == group / NAMES && s->from_ms <= now && now < s->to_ms)
			return true;
	}
	return false;
}

static void tell(struct model_group *g, int state)
{
	g->told++;
	g->last = state;
	g->state = state == (int)RESOLVED ? GROUP_REST
		   : state == (int)OPEN   ? GROUP_OPEN
					  : GROUP_SUPPRESSED;
}

static void model_settle(struct model *m, int i, int64_t now)
{
	struct model_group *g = &m->groups[i];
	bool quiet = silenced(m, i, now);

	if (g->state == GROUP_REST) {
		if (!firing_in(m, i))
			return;
		g->state = GROUP_PENDING;
		g->opens_ms = now + WAIT_MS;
	}
	if (!firing_in(m, i)) {
		if (g->state == GROUP_PENDING)
			g->state = GROUP_REST;
		else
			tell(g, RESOLVED);
		return;
	}
	if (g->state == GROUP_PENDING && now < g->opens_ms)
		return;
	if (g->state != (quiet ? GROUP_SUPPRESSED : GROUP_OPEN))
		tell(g, quiet ? (int)SUPPRESSED : (int)OPEN);
}

/* Everything that can happen by time alone, at each moment at which it can. */
static void model_time(struct model *m, int64_t from, int64_t to)
{
	for (int64_t now = from; now <= to; now++) {
		for (int i = 0; i < GROUPS; i++)
			model_settle(m, i, now);
	}
}

static void model_event(struct model *m, int i, bool fire, int64_t starts)
{
	struct model_alert *a = &m->alerts[i];

	if (fire && !a->firing && (!a->known || starts > a->starts_ms))
		*a = (struct model_alert){true, true, starts};
	else if (fire && a->firing)
		a->starts_ms = MAX(a->starts_ms, starts);
	else if (!fire && (!a->known || starts >= a->starts_ms))
		*a = (struct model_alert){true, false, starts};
}

static int group_of_incident(const Healbus__Incident *in)
{
	const char *name = label_get(in->labels, in->n_labels, "alertname");
	const char *service = label_get(in->labels, in->n_labels, "service");

	return (service[1] - '0') * NAMES + (name[1] - '0');
}

static void compare(struct kit *k, const struct model *m, size_t *inout_seen,
		    unsigned told[static GROUPS], int last[static GROUPS])
{
	for (; *inout_seen < k->n; (*inout_seen)++) {
		int g = group_of_incident(k->out[*inout_seen]);

		told[g]++;
		last[g] = (int)k->out[*inout_seen]->state;
		if (last[g] != (int)RESOLVED)
			assert_true(k->out[*inout_seen]->firing > 0);
	}
	for (int g = 0; g < GROUPS; g++) {
		if (told[g] != m->groups[g].told || last[g] != m->groups[g].last)
			fail_msg("group %d at %" PRId64 ": told %u times, last %d; model %u, %d", g,
				 k->now_ms - START_MS, told[g], last[g], m->groups[g].told,
				 m->groups[g].last);
	}
}

static void step_event(struct kit *k, struct model *m)
{
	int i = (int)draw(m, ALERTS);
	bool fire = draw(m, 2);
	int64_t starts = draw(m, 3) && m->alerts[i].known ? m->alerts[i].starts_ms : k->now_ms;
	char labels[80];

	if (draw(m, 8) == 0)
		starts -= 50; /* late */
	alert_labels(i, labels);
	model_event(m, i, fire, starts);
	model_time(m, k->now_ms, k->now_ms);
	kit_say(k, (struct say){
			   .labels = labels, .status = fire ? FIRING : GONE, .starts_ms = starts});
}

static void step_silence(struct kit *k, struct model *m)
{
	int i = (int)draw(m, SILENCES);
	struct model_silence *s = &m->silences[i];
	char id[8], service[8];

	snprintf(id, sizeof(id), "q%d", i);
	if (s->set && draw(m, 2)) {
		s->set = false;
		kit_silence(k, id, NULL, NULL, 0, 0);
	} else {
		s->set = true;
		s->service = (int)draw(m, SERVICES);
		s->from_ms = k->now_ms + (int64_t)draw(m, 5000) - 2500;
		s->to_ms = k->now_ms + (int64_t)draw(m, 5000) - 500;
		snprintf(service, sizeof(service), "s%d", s->service);
		kit_silence(k, id, "service", service, s->from_ms, s->to_ms);
	}
	model_time(m, k->now_ms, k->now_ms);
}

static void round_run(uint64_t seed)
{
	struct kit *k = kit_new("group_wait: 2s\ngroup_interval: 24h\nflap_threshold: 0\n"
				"storm_threshold: 0\n");
	struct model m = {.random = seed};
	unsigned told[GROUPS] = {0};
	int last[GROUPS] = {0};
	size_t seen = 0;

	for (int i = 0; i < STEPS && k->n < KIT_OUT_MAX - 64; i++) {
		int64_t pass = draw(&m, 4) ? (int64_t)draw(&m, 300) : (int64_t)draw(&m, 3000);

		model_time(&m, k->now_ms, k->now_ms + pass);
		kit_wait(k, pass);
		compare(k, &m, &seen, told, last);
		if (draw(&m, 12))
			step_event(k, &m);
		else
			step_silence(k, &m);
		compare(k, &m, &seen, told, last);
	}
	assert_true(k->n > 20);
	kit_free(k);
}

static void test_against_the_model(void **state)
{
	const char *given = getenv("HEALBUS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);

	(void)state;
	print_message("# seed %" PRIu64 "\n", seed);
	for (uint64_t i = 0; i < ROUNDS; i++)
		round_run(seed + i * 7919);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_the_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
