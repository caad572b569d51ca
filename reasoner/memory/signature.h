/*
 * What an incident looks like, as text that is equal for every recurrence: words of its labels, of
 * its failure type and of the lines that show the cause, with numbers, hashes, times, paths, hosts
 * and ids taken out. One line a field, "name TAB words". Pure. Any thread.
 */
#ifndef REASONER_SIGNATURE_H
#define REASONER_SIGNATURE_H

#include "common/wire.h"

enum {
	SIGNATURE_MAX_BYTES = 4096,
	SIGNATURE_LINE_MAX_BYTES = 512, /* of a line of evidence, before it is normalised */
	SIGNATURE_EVENTS_MAX = 4,       /* whose summaries count */
};

/*
 * Adds the words of text in lower case, one space between. What differs from one time to the next
 * becomes a word in brackets: <num>, <time>, <hash>, <id>, <ip>, <host>, <url>, <path.rs>. Codes
 * (E0425, TS2307) and the numbers of exits, signals and statuses stay.
 */
void signature_normalise(const char *text, size_t len, struct buf *out);

/*
 * Adds the signature of an incident. diagnosis (NULL: none yet) gives failure type and evidence;
 * without evidence, the title and the summaries of the events speak. At most SIGNATURE_MAX_BYTES
 * are added, whole words only.
 */
void signature_of(const Healbus__Incident *incident, const Healbus__Diagnosis *diagnosis,
		  struct buf *out);

/* The signature of what a person typed. */
void signature_of_text(const char *text, struct buf *out);

#endif
