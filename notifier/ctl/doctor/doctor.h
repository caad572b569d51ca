/* healctl doctor: findings, and the checks that make them. */
#ifndef NOTIFIER_CTL_DOCTOR_DOCTOR_H
#define NOTIFIER_CTL_DOCTOR_DOCTOR_H

#include "notifier/ctl/ctl.h"

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct doctor {
	struct ctl *ctl;
	json_t *findings; /* array of {level, about, what, next} */
	unsigned fails;
};

/* `what` was found about `about`; `next` is what to do, NULL for nothing. */
void finding(struct doctor *d, enum finding_level level, const char *about, const char *next,
	     const char *fmt, ...) PRINTF_LIKE(5, 6);

/* doctor_bus.c */
void doctor_bus(struct doctor *d);
/* doctor_shares.c */
void doctor_shares(struct doctor *d);
/* doctor_keep.c: is there room, and is everybody read before it is thrown away? */
struct bus;
void doctor_room(struct doctor *d, struct bus *b);
void doctor_readers(struct doctor *d, struct bus *b);
/* doctor_host.c */
void doctor_configuration(struct doctor *d);
void doctor_sandbox(struct doctor *d);
void doctor_clock(struct doctor *d);
/* doctor_docker.c */
void doctor_docker(struct doctor *d);

#endif
