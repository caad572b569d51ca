/*
 * Who is on call as people have it: the rotations of the configuration (oncall.h), and what was
 * changed since by Control ONCALL, which every notifier reads. Of overrides that overlap the one
 * that was said last holds. Reads the projection; any thread with a transaction.
 */
#ifndef NOTIFIER_DUTY_H
#define NOTIFIER_DUTY_H

#include "notifier/oncall.h"
#include "notifier/tables.h"

#define DUTY_PREFIX "duty:" /* of table_machinery: duty:<rotation>:<control id> -> Control */

enum {
	DUTY_OVERRIDES_MAX = 64, /* kept a rotation; the oldest make room */
	DUTY_NAME_MAX = 128,
	DUTY_DAYS_MAX = 366,
};

struct duty {
	char person[DUTY_NAME_MAX + 1];
	int64_t until_ms;           /* when it may be another person */
	char by[DUTY_NAME_MAX + 1]; /* who put them there; "": the rotation */
};
void duty_at(struct store_txn *txn, const struct oncall *o, const struct intervals *intervals,
	     int64_t ms, struct duty *out);

#endif
