/*
 * Who may do what. `people:` names everybody by a stable name, with the ids under which the
 * channels know them; `approvers:` says whose yes a plan needs. Without any `people:` whoever holds
 * an API token may do everything, under the name that they give. Pure; any thread.
 */
#ifndef NOTIFIER_PEOPLE_H
#define NOTIFIER_PEOPLE_H

#include "common/secret.h"
#include "common/wire.h"
#include "common/yaml.h"
#include "notifier/routing.h"

enum { PEOPLE_TOKEN_MIN = 32 }; /* characters */

enum role {
	ROLE_VIEWER = 1 << 0,   /* reads */
	ROLE_OPERATOR = 1 << 1, /* and acknowledges, silences, answers whether a repair held */
	ROLE_APPROVER = 1 << 2, /* and approves and denies */
	ROLE_ADMIN = 1 << 3,    /* and pauses, undoes, puts dead messages back */
};

struct person {
	char *name; /* stable: what decisions are signed with */
	/* enum role bits; a role includes those before it, but admin does not make an approver. */
	unsigned roles;
	struct words groups;
	char *slack, *discord, *telegram, *github, *email, *oidc; /* NULL: not there */
	char *token_file;    /* NULL: does not log in, unless by a proxy that says oidc */
	struct secret token; /* read by people_tokens_read */
};

struct people {
	struct person *items;
	size_t n;
};

/* One row of `approvers:`. What is not given matches everything. */
struct approver_rule {
	struct words tools, targets; /* globs: * and ? */
	unsigned levels;             /* bits 1 << Level; 0: all */
	struct words people;         /* names, or group:NAME; empty: every approver */
	int64_t count;               /* 1 or 2: so many different people */
};

struct approvers {
	struct approver_rule *items;
	size_t n;
};

/* OPT_TREE hooks; fields are a struct people and a struct approvers. */
int people_parse(void *field, const struct yaml_node *node, struct why *out_why);
void people_release(void *field);
int approvers_parse(void *field, const struct yaml_node *node, struct why *out_why);
void approvers_release(void *field);
/* What the token_files hold. ERR_CONFIG: one cannot be read, is too short to be one of
 * `healctl token`, or two people have the same. */
int people_tokens_read(struct people *all, struct why *out_why);
/* Names agree, and every rule can be met: ERR_CONFIG names what cannot. */
int people_check(const struct people *people, const struct approvers *rules, struct why *out_why);

/* kind: "name", "slack", "discord", "telegram", "github", "email", "oidc". NULL: a stranger, or a
 * kind that nobody defined. Logins and addresses compare without case, everything else exactly. */
const struct person *person_by(const struct people *all, const char *kind, const char *id);
/* The id of a person under a kind; NULL when there is none. */
const char *person_id(const struct person *p, const char *kind);
bool person_has(const struct person *p, enum role role);
/* "viewer, approver": into out. */
void person_roles(const struct person *p, struct buf *out);
const char *role_name(unsigned role); /* one bit */
/* "viewer" -> ROLE_VIEWER; 0 for another word. */
unsigned role_parse(const char *word);

/* What is asked for, as far as rights go. */
struct request_facts {
	Healbus__Level level;
	const char *requested_by;  /* who wanted the plan; NULL or "": nobody did */
	const Healbus__Plan *plan; /* its steps' tools and targets */
};

/* How many different people have to say yes: the most that a step's first matching rule wants. */
int64_t approvals_needed(const struct approvers *rules, const struct request_facts *facts);
/*
 * May this person say yes? 0, or ERR_DENIED with who may in out_why. Each step must allow it (its
 * first matching rule; without one, every approver). The requester may not.
 */
int approver_check(const struct people *people, const struct approvers *rules,
		   const struct person *p, const struct request_facts *facts, struct why *out_why);

#endif
