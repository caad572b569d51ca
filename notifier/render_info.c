#include "notifier/render.h"

#include "common/clock.h"
#include "notifier/tables.h"

enum { EXACT_MAX = 2000, FIT_RESERVE = 160, DIGEST_SHOWN = 8 };

/* ---- lines that cannot lie ---- */

/* Where s may be cut at or before max without cutting a character. */
static size_t cut_at(const char *s, size_t len, size_t max)
{
	size_t at = MIN(len, max);
	while (at > 0 && at < len && ((unsigned char)s[at] & 0xc0) == 0x80)
		at--;
	return at;
}

void render_exact(struct buf *out, const char *s, size_t max)
{
	size_t len = s ? strlen(s) : 0, end = s ? cut_at(s, len, max) : 0;
	for (size_t at = 0; at < end;) {
		size_t run = strcspn(s + at, "\n\t");
		run = MIN(run, end - at);
		buf_add_printable(out, s + at, run);
		at += run;
		if (at < end)
			buf_add_str(out, s[at++] == '\n' ? "\\n" : "\\t");
	}
	if (end < len)
		buf_printf(out, " \u2026 and %zu more bytes", len - end);
}

static size_t lines_of(const char *s)
{
	size_t n = 0;
	for (; *s; s++)
		n += *s == '\n';
	return n;
}

void render_fit(struct buf *text, size_t max, const Healbus__ApprovalRequest *a)
{
	if (text->len <= max)
		return;
	size_t at = cut_at(text->data, text->len, max - FIT_RESERVE);
	const char *end = memrchr(text->data, '\n', at);
	at = end ? (size_t)(end - text->data) + 1 : at;
	size_t left = lines_of(text->data + at);
	text->len = at;
	text->data[at] = '\0';
	buf_printf(text, "\u2026 %zu more lines: healctl plan %.*s (digest ", left, TOKEN_MAX,
		   str_or_empty(a->plan_id));
	buf_add_hex(text, a->plan_digest.data, MIN(a->plan_digest.len, (size_t)DIGEST_SHOWN));
	buf_add_str(text, ")\n");
}

/* ---- all about a question ---- */

static void add_param(struct buf *out, const Healbus__Param *p)
{
	buf_add_str(out, "     ");
	render_exact(out, p->name, EXACT_MAX);
	buf_add_str(out, " = ");
	if (p->string_value)
		render_exact(out, p->string_value, WIRE_TEXT_MAX);
	else if (p->has_int_value)
		buf_printf(out, "%" PRId64, p->int_value);
	else if (p->has_bool_value)
		buf_add_str(out, p->bool_value ? "true" : "false");
	else if (p->has_double_value)
		buf_printf(out, "%g", p->double_value);
	buf_add_char(out, '\n');
	/* Edits are read line by line. */
	for (const char *line = str_or_empty(p->text_value); *line;) {
		size_t len = strcspn(line, "\n");
		buf_add_str(out, "     | ");
		buf_add_printable(out, line, len);
		buf_add_char(out, '\n');
		line += len + (line[len] == '\n');
	}
}

static void add_steps(struct buf *out, const Healbus__Plan *plan)
{
	buf_add_str(out, "The plan's own parameters:\n");
	for (size_t i = 0; i < plan->n_steps; i++) {
		const Healbus__Step *s = plan->steps[i];
		buf_printf(out, "  %zu. ", i + 1);
		render_exact(out, s->tool, EXACT_MAX);
		buf_add_char(out, '(');
		render_exact(out, s->target, EXACT_MAX);
		buf_add_str(out, ")\n");
		for (size_t k = 0; k < s->n_params; k++)
			add_param(out, s->params[k]);
	}
}

static void add_list(struct buf *out, const char *head, char *const *lines, size_t n)
{
	if (n)
		buf_add_str(out, head);
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "  %zu. ", i + 1);
		render_exact(out, lines[i], WIRE_TEXT_MAX);
		buf_add_char(out, '\n');
	}
}

/* Whose words these are stands before them. */
static void add_why(struct buf *out, const Healbus__Plan *plan)
{
	bool model = plan->provenance == HEALBUS__PROVENANCE__PROVENANCE_MODEL;
	if (!plan->why || !*plan->why)
		return;
	buf_add_str(out, model ? "Why (a model's words; nobody has checked them): " : "Why: ");
	render_exact(out, plan->why, WIRE_TEXT_MAX);
	buf_add_char(out, '\n');
	if (plan->requested_by && *plan->requested_by) {
		buf_add_str(out, "Asked for by: ");
		render_exact(out, plan->requested_by, EXACT_MAX);
		buf_add_char(out, '\n');
	}
}

static void add_diagnosis(struct buf *out, const Healbus__Diagnosis *d)
{
	buf_add_str(out, "Diagnosis: ");
	render_exact(out, d->failure_type && *d->failure_type ? d->failure_type : "unknown",
		     EXACT_MAX);
	buf_printf(out, " (%.0f %% sure)\n", d->confidence * 100);
	for (size_t i = 0; i < d->n_evidence; i++) {
		buf_add_str(out, "  ");
		render_exact(out, d->evidence[i]->source, EXACT_MAX);
		buf_printf(out, ":%u: ", d->evidence[i]->line);
		render_exact(out, d->evidence[i]->text, EXACT_MAX);
		buf_add_char(out, '\n');
	}
	for (size_t i = 0; i < d->n_missing; i++) {
		buf_add_str(out, "  not to be had: ");
		render_exact(out, d->missing[i], EXACT_MAX);
		buf_add_char(out, '\n');
	}
}

static void add_rehearsal(struct buf *out, const Healbus__Outcome *o)
{
	buf_add_str(out, "Dry run: ");
	render_exact(out, o->reason, EXACT_MAX);
	buf_add_char(out, '\n');
	for (size_t i = 0; i < o->n_steps; i++) {
		const Healbus__StepReport *s = o->steps[i];
		buf_printf(out, "  %zu. ", i + 1);
		render_exact(out, s->rendered && *s->rendered ? s->rendered : s->tool,
			     WIRE_TEXT_MAX);
		buf_add_str(out, ": ");
		render_exact(out, s->output && *s->output ? s->output : str_or_empty(s->reason),
			     WIRE_TEXT_MAX);
		buf_add_char(out, '\n');
	}
}

static void add_tried(struct buf *out, const Healbus__Plan *plan)
{
	for (size_t i = 0; i < plan->n_tried; i++) {
		const Healbus__Attempt *a = plan->tried[i];
		buf_add_str(out, i ? "  " : "Tried before:\n  ");
		render_exact(out, a->what, EXACT_MAX);
		buf_printf(out, ": %s",
			   wire_enum_name(&healbus__verdict__descriptor, (int)a->verdict));
		if (a->reason && *a->reason) {
			buf_add_str(out, ", ");
			render_exact(out, a->reason, EXACT_MAX);
		}
		buf_add_char(out, '\n');
	}
}

static void add_head(struct buf *out, const struct render_info *r)
{
	const Healbus__ApprovalRequest *a = r->approval;
	char until[TIME_TEXT_BYTES];
	buf_printf(out, "%s: ", r->decision ? "Answered" : "Asked");
	render_exact(out, r->incident ? r->incident->title : a->incident, EXACT_MAX);
	buf_printf(out, " (level %s, until %s)\n",
		   wire_enum_name(&healbus__level__descriptor, (int)a->level),
		   time_format(a->deadline_ms, until));
	add_list(out, "A human is asked because:\n", a->reasons, a->n_reasons);
	add_list(out, "What would be done, exactly:\n", a->rendered, a->n_rendered);
	add_list(out, "How it is taken back:\n", a->rollback, a->n_rollback);
}

void render_info(const struct render_info *r, struct buf *out)
{
	auto_buf text = {0};
	add_head(&text, r);
	if (!r->plan)
		buf_printf(&text, "%s\n",
			   r->plan_differs
				   ? "WARNING: the plan's bytes on the bus are not those that were "
				     "asked about. Do not approve."
				   : "The plan itself cannot be had from the bus now.");
	if (r->plan)
		add_steps(&text, r->plan);
	if (r->rehearsal)
		add_rehearsal(&text, r->rehearsal);
	if (r->diagnosis)
		add_diagnosis(&text, r->diagnosis);
	if (r->plan)
		add_tried(&text, r->plan);
	if (r->plan)
		add_why(&text, r->plan);
	buf_add_str(&text, "Plan digest: ");
	buf_add_hex(&text, r->approval->plan_digest.data, r->approval->plan_digest.len);
	buf_add_char(&text, '\n');
	render_fit(&text, RENDER_TEXT_MAX, r->approval);
	buf_add(out, buf_str(&text), text.len);
}
