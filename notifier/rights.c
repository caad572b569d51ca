#include "notifier/rights.h"

/* name, roles that give it, in words */
static const struct {
	const char *name;
	unsigned roles;
	const char *verb;
} rights[RIGHTS] = {
	[RIGHT_READ] = {"read", ROLE_VIEWER, "read this"},
	[RIGHT_ACK] = {"ack", ROLE_OPERATOR | ROLE_APPROVER, "take incidents"},
	[RIGHT_FEEDBACK] = {"feedback", ROLE_OPERATOR | ROLE_APPROVER, "say whether a repair held"},
	[RIGHT_SILENCE] = {"silence", ROLE_OPERATOR, "silence"},
	[RIGHT_REHEARSE] = {"rehearse", ROLE_OPERATOR | ROLE_APPROVER, "ask for a dry run"},
	[RIGHT_REQUEUE] = {"requeue", ROLE_OPERATOR, "put messages back"},
	[RIGHT_DECIDE] = {"decide", ROLE_APPROVER, "approve or deny plans"},
	[RIGHT_ONCALL] = {"oncall", ROLE_OPERATOR, "change who is on call"},
	[RIGHT_PAUSE] = {"pause", ROLE_ADMIN, "pause or resume"},
	[RIGHT_UNDO] = {"undo", ROLE_ADMIN, "take changes back"},
	[RIGHT_PEOPLE] = {"people", ROLE_ADMIN, "see who may do what"},
};

const char *right_name(enum right right)
{
	return rights[right].name;
}

bool right_held(enum right right, unsigned roles)
{
	return (rights[right].roles & roles) != 0;
}

int right_check(enum right right, const char *who, unsigned roles, struct why *out_why)
{
	auto_buf names = {0};
	if (right_held(right, roles))
		return 0;
	for (unsigned role = ROLE_VIEWER; role <= ROLE_ADMIN; role <<= 1)
		if (rights[right].roles & role)
			buf_printf(&names, "%s%s", names.len ? " or " : "", role_name(role));
	return why_set(out_why, ERR_DENIED, "%.64s may not %s: that needs the role %s",
		       *who ? who : "who asks", rights[right].verb, buf_str(&names));
}
