#include "notifier/config.h"

#include <stdatomic.h>

const struct rules *rules_of(const void *config)
{
	return &((const struct notifier_config *)config)->rules;
}

bool channel_answers(const void *config, const char *channel)
{
	const struct notifier_config *c = config;
	const struct channel *found = channel_find(&c->channels, channel);
	return found && found->kind->answers_commands;
}

static int words_check(const struct notifier_config *c, const struct receiver *r,
		       const struct words *w, struct why *out_why)
{
	for (size_t i = 0; i < w->n; i++)
		if (!channel_find(&c->channels, w->items[i]))
			return why_set(out_why, ERR_CONFIG,
				       "receivers: %s: channel \"%s\" is not defined", r->name,
				       w->items[i]);
	return 0;
}

static bool is_oncall(const void *ctx, const char *name)
{
	return oncall_find(&((const struct notifier_config *)ctx)->rules.oncalls, name);
}

static bool is_channel(const void *ctx, const char *name)
{
	return channel_find(&((const struct notifier_config *)ctx)->channels, name);
}

static bool is_receiver(const void *ctx, const char *name)
{
	return receiver_find(&((const struct notifier_config *)ctx)->rules.receivers, name);
}

static bool is_person(const void *ctx, const char *name)
{
	return person_by(&((const struct notifier_config *)ctx)->people, "name", name);
}

/* Without `people:` every name will do. */
static int calls_check(const struct notifier_config *c, struct why *out_why)
{
	const struct escalation_names known = {
		.ctx = c,
		.person = c->people.n ? is_person : NULL,
		.oncall = is_oncall,
		.channel = is_channel,
		.receiver = is_receiver,
	};
	int rc = oncalls_check(&c->rules.oncalls, &c->rules.intervals, out_why);
	const char *stranger =
		c->people.n ? oncalls_stranger(&c->rules.oncalls, is_person, c) : NULL;
	if (!rc && stranger)
		rc = why_set(out_why, ERR_CONFIG, "oncall: \"%s\" is not one of the people",
			     stranger);
	return rc ? rc : escalations_check(&c->rules.escalations, &known, out_why);
}

int notifier_prepare(void *config, struct why *out_why)
{
	static atomic_uint_fast64_t loads;
	struct notifier_config *c = config;
	c->serial = atomic_fetch_add(&loads, 1) + 1;
	int rc = rules_check(&c->rules, out_why);
	if (!rc)
		rc = calls_check(c, out_why);
	if (!rc)
		rc = people_tokens_read(&c->people, out_why);
	if (!rc)
		rc = people_check(&c->people, &c->approvers, out_why);
	for (size_t i = 0; i < c->rules.receivers.n && !rc; i++) {
		const struct receiver *r = &c->rules.receivers.items[i];
		rc = words_check(c, r, &r->channels, out_why);
		if (!rc)
			rc = words_check(c, r, &r->fallback, out_why);
	}
	return rc;
}

void notifier_key_path(const struct notifier_config *c, struct buf *out)
{
	if (c->decision_key_file)
		buf_add_str(out, c->decision_key_file);
	else
		buf_printf(out, "%s/decision.key", c->stage.shared_dir);
}

void notifier_token_path(const struct notifier_config *c, struct buf *out)
{
	if (c->token_key_file)
		buf_add_str(out, c->token_key_file);
	else
		buf_printf(out, "%s/token.key", c->stage.shared_dir);
}

int64_t notifier_replica(const void *config)
{
	return ((const struct notifier_config *)config)->replica;
}
