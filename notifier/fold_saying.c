#include "notifier/saying.h"

bool approval_open(struct fold *f, const char *approval)
{
	struct store_val val;
	return !store_get_str(fold_txn(f), &table_pending, approval, &val);
}

/* Facts that channels and their templates choose by. */
static void add_facts(struct fold *f, Healbus__Notice *n)
{
	const Healbus__Incident *i = incident_row(f, n->incident);
	for (size_t k = 0; k < n->n_incidents; k++) {
		const Healbus__Incident *one = incident_row(f, n->incidents[k]);
		if (one && one->severity > n->severity)
			SET(n, severity, one->severity);
	}
	if (i && i->severity > n->severity)
		SET(n, severity, i->severity);
	if (i && n->n_incidents <= 1)
		n->n_labels = incident_labels(i, fold_arena(f), &n->labels);
}

void saying_emit(struct fold *f, const struct saying *s, const char *channel)
{
	char id[ID_BYTES];
	struct store_val val;
	id_make(id, "notice", s->base, channel);
	if (!store_get_str(fold_txn(f), &table_notice_meta, id, &val))
		return; /* two receivers share the channel, or two channels the fallback */
	struct notice_row row = {0};
	token_copy(row.receiver, s->receiver->name);
	memcpy(row.base, s->base, sizeof(row.base));
	store_put_str(fold_txn(f), &table_notice_meta, id, &row, sizeof(row));
	struct key ref = key_ref(s->incident, REF_NOTICE, id);
	store_put(fold_txn(f), &table_refs, ref.bytes, ref.len, "", 0);

	char first[CHANNEL_MESSAGE_MAX + 1];
	Healbus__Notice n = HEALBUS__NOTICE__INIT;
	n.id = id;
	n.incident = (char *)s->incident;
	n.channel = (char *)channel;
	n.kind = (char *)s->kind;
	SET(&n, state, HEALBUS__NOTICE_STATE__NOTICE_QUEUED);
	n.subject = (char *)buf_str(s->subject);
	n.text = (char *)buf_str(s->text);
	SET(&n, at_ms, fold_now_ms(f));
	n.approval = (char *)s->approval;
	n.incidents = s->incidents;
	n.n_incidents = s->n_incidents;
	n.to = s->to;
	n.n_to = s->n_to;
	if (s->update_of)
		n.update_of = (char *)s->update_of;
	else if (message_ref(fold_txn(f), s->incident, channel, first))
		n.update_of = first;
	if (s->severity)
		SET(&n, severity, s->severity);
	if (s->repeated)
		SET(&n, repeated, 1);
	add_facts(f, &n);
	emit(f, KIND_NOTICE, s->incident, &n.base);
}

void saying_tell(struct fold *f, const struct saying *s)
{
	for (size_t i = 0; i < s->receiver->channels.n; i++)
		saying_emit(f, s, s->receiver->channels.items[i]);
}

/* ---- what became of notices ---- */

static void fall_back(struct fold *f, const Healbus__Notice *n)
{
	const struct rules *rules = rules_of(fold_config(f));
	struct notice_row row;
	if (!row_struct(fold_txn(f), &table_notice_meta, n->id, &row, sizeof(row)))
		return;
	if (n->approval && *n->approval && !approval_open(f, n->approval)) {
		unsent_forget(f, n->id);
		return;
	}
	struct buf subject = {.data = n->subject, .len = strlen(str_or_empty(n->subject))};
	struct buf text = {.data = n->text, .len = strlen(str_or_empty(n->text))};
	struct saying s = {
		.receiver = receiver_find(&rules->receivers, row.receiver),
		.incident = n->incident,
		.kind = n->kind,
		.approval = n->approval,
		.subject = &subject,
		.text = &text,
		.incidents = n->incidents,
		.n_incidents = n->n_incidents,
		.to = n->to,
		.n_to = n->n_to,
	};
	memcpy(s.base, row.base, sizeof(s.base));
	const char *next =
		s.receiver ? receiver_fallback(s.receiver, str_or_empty(n->channel)) : NULL;
	if (next)
		saying_emit(f, &s, next);
	else
		unsent_keep(f, n);
}

static bool is_final(const Healbus__Notice *n)
{
	return n->state == HEALBUS__NOTICE_STATE__NOTICE_SENT ||
	       n->state == HEALBUS__NOTICE_STATE__NOTICE_FAILED;
}

/* The first one is the thread that the later ones belong to. */
static void message_put(struct fold *f, const Healbus__Notice *n)
{
	char first[CHANNEL_MESSAGE_MAX + 1];
	const char *channel = str_or_empty(n->channel);
	if (!n->incident || !token_valid(channel) ||
	    message_ref(fold_txn(f), n->incident, channel, first))
		return;
	struct key key = key_pair(n->incident, channel);
	store_put(fold_txn(f), &table_messages, key.bytes, key.len, n->ref, strlen(n->ref));
}

int project_notice(struct fold *f, const struct fold_input *in, struct why *out_why)
{
	const Healbus__Notice *msg = (const Healbus__Notice *)in->msg;
	if (!msg->id || !token_valid(msg->id))
		return why_set(out_why, ERR_INVALID, "notice.id: not a token");
	Healbus__Notice *row = row_get(fold_txn(f), &table_notices, msg->id, Healbus__Notice,
				       notice, fold_arena(f));
	if (row && (is_final(row) || !is_final(msg)))
		return 0;
	Healbus__Notice now = row ? *row : *msg;
	SET(&now, state, msg->state);
	SET(&now, at_ms, msg->at_ms);
	SET(&now, attempts, msg->attempts);
	now.error = msg->error;
	now.ref = msg->ref;
	now.has_repeated = msg->has_repeated;
	now.repeated = msg->repeated;
	if (msg->ref && *msg->ref)
		message_put(f, &now);
	row_put_message(fold_txn(f), &table_notices, msg->id, strlen(msg->id), &now.base);
	if (is_final(&now))
		unsent_ended(f, now.id);
	else
		unsent_queued(f, &now);
	if (now.state == HEALBUS__NOTICE_STATE__NOTICE_FAILED)
		fall_back(f, &now);
	if (now.state != HEALBUS__NOTICE_STATE__NOTICE_SENT)
		return 0;
	tell_too_late(f, &now);
	unsent_sent(f, &now);
	return 0;
}
