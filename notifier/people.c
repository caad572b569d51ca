#include "notifier/people.h"

#include "notifier/channels/channel.h"

#include <strings.h>

/* ---- reading ---- */

static const char *const role_names[] = {"viewer", "operator", "approver", "admin"};

const char *role_name(unsigned role)
{
	for (size_t i = 0; i < ARRAY_SIZE(role_names); i++)
		if (role == 1U << i)
			return role_names[i];
	return "?";
}

unsigned role_parse(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(role_names); i++)
		if (str_eq(role_names[i], word))
			return 1U << i;
	return 0;
}

void person_roles(const struct person *p, struct buf *out)
{
	const char *sep = "";
	for (size_t i = 0; i < ARRAY_SIZE(role_names); i++) {
		if (!(p->roles & (1U << i)))
			continue;
		buf_printf(out, "%s%s", sep, role_names[i]);
		sep = ", ";
	}
}

/* Where a person's id under each kind is. */
static const struct id_kind {
	const char *name;
	size_t offset;
	bool any_case;
} id_kinds[] = {
	{"name", offsetof(struct person, name), false},
	{"slack", offsetof(struct person, slack), false},
	{"discord", offsetof(struct person, discord), false},
	{"telegram", offsetof(struct person, telegram), false},
	{"github", offsetof(struct person, github), true},
	{"email", offsetof(struct person, email), true},
	{"oidc", offsetof(struct person, oidc), false},
};

static char **id_field(const struct person *p, const struct id_kind *kind)
{
	return (char **)(uintptr_t)((const char *)p + kind->offset);
}

/* What decisions are signed with and lists of several are joined by: no commas, no blanks. */
static bool name_valid(const char *s)
{
	size_t len = strlen(s);
	return len > 0 && len <= TOKEN_MAX && !strpbrk(s, ", \t\n:") && utf8_valid(s, len);
}

static int ids_read(struct person *p, const struct yaml_node *node, struct why *out_why)
{
	for (size_t i = 0; i < ARRAY_SIZE(id_kinds); i++) {
		const struct yaml_node *child = yaml_get(node, id_kinds[i].name);
		const char *text = NULL;
		int rc = child ? yaml_str(child, id_kinds[i].name, &text, out_why) : 0;
		if (rc)
			return rc;
		if (text && *text)
			*id_field(p, &id_kinds[i]) = mem_strdup(text);
	}
	if (!p->name || !name_valid(p->name))
		return yaml_error(node, out_why,
				  "people: name must be 1 to %d bytes without blanks, commas and "
				  "colons",
				  TOKEN_MAX);
	return 0;
}

static int roles_read(struct person *p, const struct yaml_node *node, struct why *out_why)
{
	struct words words = {0};
	const struct yaml_node *list = yaml_get(node, "roles");
	int rc = words_parse(list, "roles", &words, out_why);
	for (size_t i = 0; i < words.n && !rc; i++) {
		unsigned role = role_parse(words.items[i]);
		p->roles |= role;
		if (!role)
			rc = yaml_error(list, out_why,
					"people: %s: roles are viewer, operator, approver, admin",
					p->name);
	}
	words_release(&words);
	if (p->roles & ROLE_ADMIN)
		p->roles |= ROLE_OPERATOR;
	if (p->roles & (ROLE_OPERATOR | ROLE_APPROVER))
		p->roles |= ROLE_VIEWER;
	return rc;
}

static int person_read(struct person *p, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"name",     "roles",  "groups", "slack", "discord",
					   "telegram", "github", "email",  "oidc",  "token_file"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	if (!rc)
		rc = ids_read(p, node, out_why);
	if (!rc)
		rc = channel_path(node, "token_file", &p->token_file, out_why);
	if (!rc)
		rc = roles_read(p, node, out_why);
	return rc ? rc : words_parse(yaml_get(node, "groups"), "groups", &p->groups, out_why);
}

static int unique_check(const struct people *all, const struct yaml_node *node, struct why *out_why)
{
	const struct person *last = &all->items[all->n - 1];
	for (size_t i = 0; i < ARRAY_SIZE(id_kinds); i++) {
		const char *id = *id_field(last, &id_kinds[i]);
		const struct person *first = id ? person_by(all, id_kinds[i].name, id) : last;
		if (first != last)
			return yaml_error(node, out_why, "people: %s and %s have the same %s",
					  first->name, last->name, id_kinds[i].name);
	}
	return 0;
}

int people_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct people *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "people: must be a list");
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		int rc = person_read(&all->items[all->n++], item, out_why);
		if (!rc)
			rc = unique_check(all, item, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void people_release(void *field)
{
	struct people *all = field;
	for (size_t i = 0; i < all->n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(id_kinds); k++)
			free(*id_field(&all->items[i], &id_kinds[k]));
		words_release(&all->items[i].groups);
		free(all->items[i].token_file);
		secret_release(&all->items[i].token);
	}
	free(all->items);
	*all = (struct people){0};
}

/* A token is not guessed as long as it is a long one. */
static int person_token_read(struct people *all, struct person *p, struct why *out_why)
{
	int rc = secret_read(&p->token, p->token_file, out_why);
	if (rc || !p->token_file)
		return rc;
	if (p->token.len < PEOPLE_TOKEN_MIN)
		return why_set(out_why, ERR_CONFIG,
			       "%s: shorter than %d characters; make it with healctl token %s",
			       p->token_file, PEOPLE_TOKEN_MIN, p->name);
	for (const struct person *other = all->items; other < p; other++)
		if (secret_equal(&other->token, p->token.data, p->token.len))
			return why_set(out_why, ERR_CONFIG, "people: %s and %s have the same token",
				       other->name, p->name);
	return 0;
}

int people_tokens_read(struct people *all, struct why *out_why)
{
	int rc = 0;
	for (size_t i = 0; i < all->n && !rc; i++)
		rc = person_token_read(all, &all->items[i], out_why);
	return rc;
}

static int levels_read(struct approver_rule *r, const struct yaml_node *node, struct why *out_why)
{
	struct words words = {0};
	int level = 0;
	int rc = words_parse(node, "levels", &words, out_why);
	for (size_t i = 0; i < words.n && !rc; i++) {
		if (wire_enum_parse(&healbus__level__descriptor, words.items[i], &level) ||
		    level == HEALBUS__LEVEL__LEVEL_UNKNOWN ||
		    level == HEALBUS__LEVEL__LEVEL_FORBIDDEN)
			rc = yaml_error(node, out_why, "approvers: levels are none, soft and hard");
		else
			r->levels |= 1U << level;
	}
	words_release(&words);
	return rc;
}

static int rule_read(struct approver_rule *r, const struct yaml_node *node, struct why *out_why)
{
	static const char *const keys[] = {"tools", "targets", "levels", "people", "count"};
	int rc = yaml_only_keys(node, keys, ARRAY_SIZE(keys), out_why);
	r->count = 1;
	if (!rc)
		rc = words_parse(yaml_get(node, "tools"), "tools", &r->tools, out_why);
	if (!rc)
		rc = words_parse(yaml_get(node, "targets"), "targets", &r->targets, out_why);
	if (!rc)
		rc = words_parse(yaml_get(node, "people"), "people", &r->people, out_why);
	if (!rc)
		rc = yaml_int(yaml_get(node, "count"), "count", 1, 2, &r->count, out_why);
	return rc ? rc : levels_read(r, yaml_get(node, "levels"), out_why);
}

int approvers_parse(void *field, const struct yaml_node *node, struct why *out_why)
{
	struct approvers *all = field;
	if (!node || node->type == YAML_NULL)
		return 0;
	if (node->type != YAML_LIST)
		return yaml_error(node, out_why, "approvers: must be a list");
	all->items = mem_calloc(node->count, sizeof(*all->items));
	YAML_EACH(item, node)
	{
		int rc = rule_read(&all->items[all->n++], item, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

void approvers_release(void *field)
{
	struct approvers *all = field;
	for (size_t i = 0; i < all->n; i++) {
		words_release(&all->items[i].tools);
		words_release(&all->items[i].targets);
		words_release(&all->items[i].people);
	}
	free(all->items);
	*all = (struct approvers){0};
}

/* ---- who is who ---- */

const struct person *person_by(const struct people *all, const char *kind, const char *id)
{
	const struct id_kind *k = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(id_kinds); i++)
		if (str_eq(id_kinds[i].name, kind))
			k = &id_kinds[i];
	if (!k || !id || !*id)
		return NULL;
	for (size_t i = 0; i < all->n; i++) {
		const char *has = *id_field(&all->items[i], k);
		if (has && (k->any_case ? !strcasecmp(has, id) : str_eq(has, id)))
			return &all->items[i];
	}
	return NULL;
}

const char *person_id(const struct person *p, const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(id_kinds); i++)
		if (str_eq(id_kinds[i].name, kind))
			return *id_field(p, &id_kinds[i]);
	return NULL;
}

bool person_has(const struct person *p, enum role role)
{
	return (p->roles & (unsigned)role) != 0;
}

/* A plan is asked for by a person's name, or by a login where the failure is discussed. */
static bool person_requested(const struct people *all, const struct person *p,
			     const char *requested_by)
{
	if (!requested_by || !*requested_by)
		return false;
	return person_by(all, "name", requested_by) == p ||
	       person_by(all, "github", requested_by) == p;
}

/* ---- rules ---- */

/* '*' any run, '?' one byte: on a mismatch the last star takes one byte more. */
static bool glob(const char *pattern, const char *text)
{
	const char *star = NULL, *from = NULL;
	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static bool globs_take(const struct words *globs, const char *text)
{
	for (size_t i = 0; i < globs->n; i++)
		if (glob(globs->items[i], text ? text : ""))
			return true;
	return globs->n == 0;
}

static bool rule_takes(const struct approver_rule *r, const Healbus__Step *step,
		       Healbus__Level level)
{
	return globs_take(&r->tools, step->tool) && globs_take(&r->targets, step->target) &&
	       (!r->levels || (r->levels & (1U << (unsigned)level)));
}

static const struct approver_rule *rule_of(const struct approvers *rules, const Healbus__Step *step,
					   Healbus__Level level)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rule_takes(&rules->items[i], step, level))
			return &rules->items[i];
	return NULL;
}

int64_t approvals_needed(const struct approvers *rules, const struct request_facts *facts)
{
	int64_t needed = 1;
	for (size_t i = 0; i < facts->plan->n_steps; i++) {
		const struct approver_rule *r = rule_of(rules, facts->plan->steps[i], facts->level);
		needed = r ? MAX(needed, r->count) : needed;
	}
	return needed;
}

static bool rule_has(const struct approver_rule *r, const struct person *p)
{
	for (size_t i = 0; r && i < r->people.n; i++) {
		const char *who = r->people.items[i];
		if (str_starts(who, "group:") ? words_have(&p->groups, who + 6)
					      : str_eq(who, p->name))
			return true;
	}
	return !r || r->people.n == 0;
}

static void rule_people(const struct approver_rule *r, struct buf *out)
{
	for (size_t i = 0; i < r->people.n; i++)
		buf_printf(out, "%s%s", i ? ", " : "", r->people.items[i]);
}

int approver_check(const struct people *people, const struct approvers *rules,
		   const struct person *p, const struct request_facts *facts, struct why *out_why)
{
	if (!person_has(p, ROLE_APPROVER))
		return why_set(out_why, ERR_DENIED, "%s is not an approver", p->name);
	if (person_requested(people, p, facts->requested_by))
		return why_set(out_why, ERR_DENIED,
			       "%s asked for this plan: somebody else must approve it", p->name);
	for (size_t i = 0; i < facts->plan->n_steps; i++) {
		const Healbus__Step *step = facts->plan->steps[i];
		const struct approver_rule *r = rule_of(rules, step, facts->level);
		if (rule_has(r, p))
			continue;
		auto_buf who = {0};
		rule_people(r, &who);
		return why_set(out_why, ERR_DENIED, "%s may not approve %.64s: %s may", p->name,
			       step->tool ? step->tool : "", buf_str(&who));
	}
	return 0;
}

/* ---- do they agree? ---- */

static bool group_known(const struct people *people, const char *group)
{
	for (size_t i = 0; i < people->n; i++)
		if (words_have(&people->items[i].groups, group))
			return true;
	return false;
}

static int64_t rule_approvers(const struct people *people, const struct approver_rule *r)
{
	int64_t n = 0;
	for (size_t i = 0; i < people->n; i++)
		n += person_has(&people->items[i], ROLE_APPROVER) && rule_has(r, &people->items[i]);
	return n;
}

int people_check(const struct people *people, const struct approvers *rules, struct why *out_why)
{
	if (rules->n && !people->n)
		return why_set(out_why, ERR_CONFIG, "approvers: needs people to choose from");
	for (size_t i = 0; i < rules->n; i++) {
		const struct approver_rule *r = &rules->items[i];
		for (size_t k = 0; k < r->people.n; k++) {
			const char *who = r->people.items[k];
			bool known = str_starts(who, "group:")
					     ? group_known(people, who + 6)
					     : person_by(people, "name", who) != NULL;
			if (!known)
				return why_set(out_why, ERR_CONFIG,
					       "approvers[%zu]: nobody is \"%s\"", i, who);
		}
		if (rule_approvers(people, r) < r->count)
			return why_set(out_why, ERR_CONFIG,
				       "approvers[%zu]: wants %" PRId64
				       " different people with the role approver, and there are "
				       "fewer",
				       i, r->count);
	}
	return 0;
}
