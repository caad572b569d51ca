/* Who may do what, and all that there is to know about a question. */
#include "notifier/answer.h"
#include "notifier/api.h"
#include "notifier/config.h"
#include "notifier/info.h"

static json_t *words_json(const struct words *w)
{
	json_t *list = json_array();
	for (size_t i = 0; i < w->n; i++)
		json_array_append_new(list, json_string(w->items[i]));
	return list;
}

/* Which channels know a person; the ids themselves are nobody else's business. */
static json_t *kinds_json(const struct person *p)
{
	static const char *const kinds[] = {"slack",  "discord", "telegram",
					    "github", "email",   "oidc"};
	json_t *list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (person_id(p, kinds[i]))
			json_array_append_new(list, json_string(kinds[i]));
	return list;
}

static json_t *roles_json(const struct person *p)
{
	static const char *const roles[] = {"viewer", "operator", "approver", "admin"};
	json_t *list = json_array();
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (p->roles & role_parse(roles[i]))
			json_array_append_new(list, json_string(roles[i]));
	return list;
}

static json_t *rule_json(const struct approver_rule *r)
{
	json_t *levels = json_array();
	for (int level = 0; level <= HEALBUS__LEVEL__LEVEL_HARD; level++)
		if (r->levels & (1U << level))
			json_array_append_new(levels, json_string(wire_enum_name(
							      &healbus__level__descriptor, level)));
	return json_pack("{s:o,s:o,s:o,s:o,s:I}", "tools", words_json(&r->tools), "targets",
			 words_json(&r->targets), "levels", levels, "people",
			 words_json(&r->people), "count", (json_int_t)r->count);
}

void api_people(struct api_call *call)
{
	const struct notifier_config *c = stage_config_get(call->stage);
	json_t *people = json_array(), *rules = json_array();
	for (size_t i = 0; i < c->people.n; i++) {
		const struct person *p = &c->people.items[i];
		json_array_append_new(people,
				      json_pack("{s:s,s:o,s:o,s:o}", "name", p->name, "roles",
						roles_json(p), "groups", words_json(&p->groups),
						"known_to", kinds_json(p)));
	}
	for (size_t i = 0; i < c->approvers.n; i++)
		json_array_append_new(rules, rule_json(&c->approvers.items[i]));
	stage_config_put(call->stage, c);
	api_reply(call, 200, json_pack("{s:o,s:o}", "people", people, "approvers", rules));
}

void api_info(struct api_call *call)
{
	char approval[TOKEN_MAX + 1];
	struct why why = {0};
	auto_buf text = {0};
	auto_txn txn = api_read(call);
	if (api_find(call, txn, &table_approvals, http_wildcard(call->req), approval))
		return;
	store_end(txn);
	txn = NULL;
	int rc = info_text(call->stage, approval, &text, &why);
	if (rc)
		api_fail(call, rc, &why);
	else
		api_reply(call, 200,
			  json_pack("{s:s,s:s}", "approval", approval, "text", buf_str(&text)));
}
