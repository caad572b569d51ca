/*
 * The monitor's fold: event.<part>.> -> Incidents. Deduplicates by fingerprint, episode and status,
 * groups, waits, resolves, mutes and damps. One per partition. See monitor/README.md for the
 * semantics in words.
 */
#ifndef MONITOR_CORRELATOR_H
#define MONITOR_CORRELATOR_H

#include "common/fold.h"

extern const struct fold_def correlator;

#endif
