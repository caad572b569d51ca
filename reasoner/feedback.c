#include "reasoner/feedback.h"

#include "reasoner/effect.h"
#include "reasoner/lesson.h"
#include "reasoner/memory/memory.h"

/* The alert came back before the person spoke: it counts as a failure already. */
static bool is_known(struct desk *d, const struct case_file *c)
{
	struct effect_row e;
	return !effect_load(d, c->incident->key, &e) && str_eq(e.healed, c->incident->id) &&
	       !e.healed_ms;
}

static char *feedback_reason(struct desk *d, const Healbus__Control *control)
{
	auto_buf text = {0};
	buf_printf(&text, "%s says that it did not hold",
		   control->by && *control->by ? control->by : "somebody");
	if (control->reason && *control->reason)
		buf_printf(&text, ": %s", control->reason);
	return wire_text(&d->arena, buf_str(&text), text.len, WIRE_REASON_MAX);
}

static int did_not_hold(struct desk *d, const Healbus__Control *control, struct case_file *c)
{
	Healbus__Attempt *last =
		c->incident->n_tried ? c->incident->tried[c->incident->n_tried - 1] : NULL;
	if (!last || last->verdict != HEALBUS__VERDICT__VERDICT_HEALED)
		return 0;
	if (!is_known(d, c))
		lesson_did_not_last(d, last);
	SET(last, verdict, HEALBUS__VERDICT__VERDICT_FAILED);
	last->reason = feedback_reason(d, control);
	case_save(d, c);
	/* An incident that is over was remembered as healed: that memory is replaced. */
	return case_is_active(c) ? 0 : lesson_learn(d, c);
}

int feedback_apply(struct desk *d, const Healbus__Control *control)
{
	struct case_file c;
	if (!control->incident)
		return 0;
	int rc = case_load(d, control->incident, &c);
	if (!rc && !control->held)
		rc = did_not_hold(d, control, &c);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	return memory_used(fold_txn(d->f), control->incident, control->held);
}
