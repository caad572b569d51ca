/* `/heal status`: answered where it was asked, by the channels that hear of commands. */
#include "notifier/saying.h"

enum { ATTEMPTS_SHOWN_MAX = 8 };

static void answer_write(struct fold *f, const Healbus__Incident *i, struct notice_text *out)
{
	Healbus__Attempt *attempts[ATTEMPTS_SHOWN_MAX];
	struct render_incident r = {.incident = i, .attempts = attempts};
	auto_notice_text text = {0};
	r.n_attempts = incident_attempts(f, i->id, attempts, ATTEMPTS_SHOWN_MAX);
	render_incident(&r, &text);
	buf_add(&out->subject, buf_str(&text.subject), text.subject.len);
	buf_add(&out->text, buf_str(&text.text), text.text.len);
	buf_add_str(&out->text, "Asked by: ");
	buf_add_printable(&out->text, str_or_empty(i->command->by),
			  strlen(str_or_empty(i->command->by)));
	buf_printf(&out->text, "\nState: %s\n",
		   wire_enum_name(&healbus__incident_state__descriptor, (int)i->state));
}

void tell_status(struct fold *f, const Healbus__Incident *i, const Healbus__Incident *old)
{
	const struct rules *rules = rules_of(fold_config(f));
	const struct route *routes[ROUTES_MATCHED_MAX];
	const Healbus__Command *c = i->command;
	if (!c || !str_eq(str_or_empty(c->verb), "status") ||
	    (old && old->command && str_eq(str_or_empty(old->command->id), str_or_empty(c->id))))
		return;
	auto_notice_text text = {0};
	answer_write(f, i, &text);
	struct saying s = {
		.incident = i->id,
		.kind = "status",
		.subject = &text.subject,
		.text = &text.text,
	};
	id_make(s.base, "status", i->id, str_or_empty(c->id));
	size_t n = route_match(&rules->route, incident_lookup, i, routes);
	for (size_t k = 0; k < n; k++) {
		const struct receiver *r =
			routes[k]->receiver ? receiver_find(&rules->receivers, routes[k]->receiver)
					    : NULL;
		s.receiver = r;
		for (size_t at = 0; r && at < r->channels.n; at++)
			if (channel_answers(fold_config(f), r->channels.items[at]))
				saying_emit(f, &s, r->channels.items[at]);
	}
}
