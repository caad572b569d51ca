#include "tests/bench/event.h"

enum { LABELS = 7, TEXT_BYTES = 64 };

uint64_t bench_event_fingerprint(uint64_t alert) /* splitmix64's finish */
{
	uint64_t z = alert + 1;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void bench_event_pack(const struct bench_event *b, struct buf *out)
{
	static const char *const severities[] = {"critical", "warning", "info"};
	Healbus__Event e = HEALBUS__EVENT__INIT;
	Healbus__Label labels[LABELS];
	Healbus__Label *list[LABELS];
	char instance[TEXT_BYTES], pod[TEXT_BYTES], service[TEXT_BYTES], cluster[TEXT_BYTES];
	char fingerprint[TEXT_BYTES], id[TEXT_BYTES];
	snprintf(instance, sizeof(instance), "node-%07" PRIu64 ".example.net:9100", b->alert);
	snprintf(pod, sizeof(pod), "web-%08" PRIx64, b->alert);
	snprintf(service, sizeof(service), "service-%" PRIu64, b->alert % b->services);
	snprintf(cluster, sizeof(cluster), "prod-%" PRIu64, b->alert % 4);
	snprintf(fingerprint, sizeof(fingerprint), "%016" PRIx64,
		 bench_event_fingerprint(b->alert));
	snprintf(id, sizeof(id), "%.16s%013" PRId64 "%d", fingerprint, b->starts_ms, b->resolved);
	const char *const pairs[LABELS][2] = {{"alertname", "HighLatency"},
					      {"cluster", cluster},
					      {"instance", instance},
					      {"job", "node"},
					      {"pod", pod},
					      {"service", service},
					      {"severity", severities[b->alert % 3]}};
	for (size_t i = 0; i < LABELS; i++) {
		healbus__label__init(&labels[i]);
		labels[i].name = (char *)(uintptr_t)pairs[i][0];
		labels[i].value = (char *)(uintptr_t)pairs[i][1];
		list[i] = &labels[i];
	}
	e.labels = list;
	e.n_labels = LABELS;
	e.id = id;
	e.source = (char *)(uintptr_t) "alertmanager";
	e.name = (char *)(uintptr_t) "HighLatency";
	e.summary = (char *)(uintptr_t) "requests take longer than they should";
	e.fingerprint = fingerprint;
	e.partition_key = service;
	SET(&e, status,
	    b->resolved ? HEALBUS__STATUS__STATUS_RESOLVED : HEALBUS__STATUS__STATUS_FIRING);
	SET(&e, severity, (Healbus__Severity)(HEALBUS__SEVERITY__SEVERITY_INFO + b->alert % 3));
	SET(&e, starts_at_ms, b->starts_ms);
	SET(&e, ends_at_ms, b->ends_ms);
	SET(&e, trusted, 1);
	wire_pack(&e.base, out);
}
