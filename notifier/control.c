#include "notifier/control.h"

#include "common/clock.h"

int control_publish(struct stage *s, Healbus__Control *c, const char *token, struct why *out_why)
{
	char id[ID_BYTES], msg_id[sizeof("control:") + ID_BYTES];
	id_random(id);
	c->id = id;
	SET(c, at_ms, clock_real_ms());
	snprintf(msg_id, sizeof(msg_id), "control:%s", id);
	int rc = stage_publish(s, KIND_CONTROL, token, &c->base, msg_id, NULL, c->at_ms,
			       BUS_REQUEST_TIMEOUT_MS, NULL, out_why);
	c->id = NULL;
	return rc;
}

int control_pause(struct stage *s, bool on, const struct control_by *who, int64_t *out_at_ms,
		  struct why *out_why)
{
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	SET(&c, kind,
	    on ? HEALBUS__CONTROL_KIND__CONTROL_PAUSE : HEALBUS__CONTROL_KIND__CONTROL_RESUME);
	c.by = (char *)who->by;
	c.reason = (char *)who->reason;
	c.channel = (char *)who->channel;
	int rc = control_publish(s, &c, "pause", out_why);
	*out_at_ms = c.at_ms;
	return rc;
}

static int silence_check(const struct matchers *m, int64_t now_ms, int64_t ends_at_ms,
			 struct why *out_why)
{
	if (m->n == 0 || m->n > WIRE_LABELS_MAX)
		return why_set(out_why, ERR_INVALID, "matchers: give 1 to %d", WIRE_LABELS_MAX);
	if (ends_at_ms <= now_ms || ends_at_ms > now_ms + INT64_C(86400000) * SILENCE_MAX_DAYS)
		return why_set(out_why, ERR_INVALID,
			       "give a duration (\"2h\") or ends_at in the future, at most a year");
	return 0;
}

int control_silence(struct stage *s, const struct matchers *m, int64_t ends_at_ms,
		    const struct control_by *who, char out_id[static ID_BYTES], struct why *out_why)
{
	Healbus__Matcher items[WIRE_LABELS_MAX], *list[WIRE_LABELS_MAX];
	Healbus__Silence silence = HEALBUS__SILENCE__INIT;
	Healbus__Control c = HEALBUS__CONTROL__INIT;
	int64_t now_ms = clock_real_ms();
	int rc = silence_check(m, now_ms, ends_at_ms, out_why);
	if (rc)
		return rc;
	for (size_t i = 0; i < m->n; i++) {
		healbus__matcher__init(&items[i]);
		items[i].name = m->items[i].name;
		items[i].value = m->items[i].value;
		SET(&items[i], op, (Healbus__MatchOp)m->items[i].op);
		list[i] = &items[i];
	}
	id_random(out_id);
	silence.id = out_id;
	silence.matchers = list;
	silence.n_matchers = m->n;
	silence.created_by = (char *)who->by;
	silence.comment = (char *)who->reason;
	SET(&silence, starts_at_ms, now_ms);
	SET(&silence, ends_at_ms, ends_at_ms);
	SET(&c, kind, HEALBUS__CONTROL_KIND__CONTROL_SILENCE);
	c.by = silence.created_by;
	c.channel = (char *)who->channel;
	c.silence = &silence;
	return control_publish(s, &c, "silence", out_why);
}
