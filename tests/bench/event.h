/*
 * Events as the monitor's normaliser makes them, for programs that feed the correlator: alert
 * number i, with the labels of the workload's shape.
 */
#ifndef TESTS_BENCH_EVENT_H
#define TESTS_BENCH_EVENT_H

#include "common/wire.h"

struct bench_event {
	uint64_t alert;    /* its number: fingerprint, instance and pod follow from it */
	uint32_t services; /* how many there are; alerts of one service may share an incident */
	bool resolved;
	int64_t starts_ms;
	int64_t ends_ms; /* when resolved */
};

/* The fingerprint as a number; as text it is its 16 hex digits. */
uint64_t bench_event_fingerprint(uint64_t alert);

/* Appends the packed message. Trusted, of source "alertmanager". */
void bench_event_pack(const struct bench_event *e, struct buf *out);

#endif
