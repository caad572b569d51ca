/*
 * Who may do what, in one table: for the routes of the API, the channels' buttons and commands, and
 * the page, which is told in GET /api/session what whoever asks may. Pure. Whose yes a plan needs
 * besides (approvers:) is approver_check()'s.
 */
#ifndef NOTIFIER_RIGHTS_H
#define NOTIFIER_RIGHTS_H

#include "notifier/people.h"

enum right {
	RIGHT_READ,
	RIGHT_ACK,
	RIGHT_FEEDBACK,
	RIGHT_SILENCE,
	RIGHT_REHEARSE,
	RIGHT_REQUEUE,
	RIGHT_DECIDE,
	RIGHT_ONCALL,
	RIGHT_PAUSE,
	RIGHT_UNDO,
	RIGHT_PEOPLE,
	RIGHTS,
};

/* "ack": part of the API. */
const char *right_name(enum right right);
/* Do these roles (bits) give it? Any one of its roles does. */
bool right_held(enum right right, unsigned roles);
/* 0, or ERR_DENIED: "vic may not take incidents: that needs the role operator or approver". */
int right_check(enum right right, const char *who, unsigned roles, struct why *out_why);

#endif
