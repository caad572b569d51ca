#include "common/base.h"

#include "common/mem.h"
#include "reasoner/proposal/plain.h"
#include "reasoner/prompt/prompt_private.h"
#include "reasoner/proposal/proposal.h"

enum {
	LINE_MAX_BYTES = 500,
	TITLE_MAX_BYTES = 200,
	TRIED_MAX = 5, /* latest ones */
	ANNOTATIONS_MAX = 20,
};

/* What every part of a view needs. */
struct viewer {
	const struct prompt_input *in;
	struct placeholders *p;
	size_t left; /* bytes of quoted text that still fit */
	json_t *cut;
};

/* ---- words of outsiders ---- */

static void clean_add(const struct viewer *v, enum text_kind kind, struct buf *secretless,
		      struct buf *out)
{
	/* The nonce must stay ours, even if somebody guessed it. */
	const char *nonce = placeholders_nonce(v->p), *s = buf_str(secretless), *hit = NULL;
	auto_buf kept = {0};
	while (strlen(nonce) > 3 && (hit = strstr(s, nonce))) {
		buf_add(&kept, s, (size_t)(hit - s));
		s = hit + strlen(nonce);
	}
	buf_add_str(&kept, s);
	placeholders_abstract(v->p, kind, buf_str(&kept), kept.len, out);
}

/* Redacted and abstracted. Text after a NUL is lost: it never comes from the wire. */
static void add_outside(const struct viewer *v, enum text_kind kind, const char *s, size_t len,
			struct buf *out)
{
	auto_buf secretless = {0};
	redact(v->in->redactor, s, strnlen(s, len), &secretless);
	clean_add(v, kind, &secretless, out);
}

/* One line of at most LINE_MAX_BYTES; "" for NULL. */
static json_t *line(const struct viewer *v, enum text_kind kind, const char *s)
{
	auto_buf out = {0};
	auto_free char *flat = wire_text(NULL, s ? s : "", s ? strlen(s) : 0, LINE_MAX_BYTES);
	for (char *c = flat; *c; c++)
		*c = *c == '\n' || *c == '\t' ? ' ' : *c;
	add_outside(v, kind, flat, strlen(flat), &out);
	return json_stringn(buf_str(&out), out.len);
}

/* Ours, from the build or the configuration; still only plain characters. */
static json_t *own(const char *s)
{
	auto_free char *clean = wire_text(NULL, s ? s : "", s ? strlen(s) : 0, LINE_MAX_BYTES);
	return json_string(clean);
}

/* ---- quoted texts ---- */

enum keep { KEEP_HEAD, KEEP_TAIL };

struct quote {
	enum text_kind kind;
	enum keep keep;
	size_t max;
	const char *what; /* for people, when it is cut */
};

static size_t head_len(const char *s, size_t len, size_t max)
{
	size_t n = max;
	if (len <= max)
		return len;
	while (n > max / 2 && s[n - 1] != '\n')
		n--;
	n = n > max / 2 ? n : max;
	while (n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static size_t tail_start(const char *s, size_t len, size_t max)
{
	size_t at = len > max ? len - max : 0;
	if (at == 0)
		return 0;
	const char *newline = memchr(s + at, '\n', max / 2);
	at = newline ? (size_t)(newline - s) + 1 : at;
	while (at < len && ((unsigned char)s[at] & 0xc0) == 0x80)
		at++;
	return at;
}

static void say_cut(struct viewer *v, const char *what, size_t bytes)
{
	auto_free char *text = mem_printf("%zu bytes of %s", bytes, what);
	json_array_append_new(v->cut, json_string(text));
}

/* Between fences, within the budget; "" when there is nothing or no room. */
static json_t *quoted(struct viewer *v, const struct quote *q, const char *s, size_t len)
{
	auto_buf text = {0}, out = {0};
	size_t max = MIN(q->max, v->left);
	len = s ? strnlen(s, len) : 0;
	if (len == 0)
		return json_string("");
	/* Abstracting shortens prose; so more than max is looked at, but not without end. */
	size_t from = q->keep == KEEP_TAIL ? tail_start(s, len, max * 2) : 0;
	size_t n = head_len(s + from, len - from, max * 2);
	add_outside(v, q->kind, s + from, n, &text);
	size_t start = q->keep == KEEP_TAIL ? tail_start(buf_str(&text), text.len, max) : 0;
	size_t kept = head_len(buf_str(&text) + start, text.len - start, max);
	if (kept < text.len || n < len)
		say_cut(v, q->what, len - n + text.len - kept);
	if (kept == 0)
		return json_string("");
	v->left -= kept;
	const char *nonce = placeholders_nonce(v->p);
	buf_printf(&out, "<<<DATA-%s %s>>>\n", nonce, q->kind == TEXT_CODE ? "code" : "text");
	buf_add(&out, buf_str(&text) + start, kept);
	buf_printf(&out, "%s<<<END-%s>>>", buf_str(&text)[start + kept - 1] == '\n' ? "" : "\n",
		   nonce);
	return json_stringn(buf_str(&out), out.len);
}

/* ---- incident ---- */

static json_t *labels_of(const struct viewer *v, Healbus__Label *const *labels, size_t n)
{
	json_t *all = json_object();
	for (size_t i = 0; i < n; i++)
		json_object_set_new(all, labels[i]->name, line(v, TEXT_NAME, labels[i]->value));
	return all;
}

static enum text_kind annotation_kind(const char *name)
{
	static const char *const names[] = {
		"sha",   "run_id",     "job_id",         "pr",          "base",
		"actor", "conclusion", "default_branch", "run_attempt", "github_event"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(name, names[i]))
			return TEXT_NAME;
	return str_eq(name, "message") ? TEXT_PROSE : TEXT_LOG;
}

/* Of the latest event, then of earlier ones. */
static json_t *annotations_of(const struct viewer *v)
{
	const Healbus__Incident *i = v->in->incident;
	json_t *all = json_object();
	for (size_t e = i->n_events; e-- > 0;) {
		const Healbus__Event *event = i->events[e];
		for (size_t k = 0; k < event->n_annotations; k++) {
			const Healbus__Label *a = event->annotations[k];
			bool room = json_object_size(all) < ANNOTATIONS_MAX;
			if (room && !json_object_get(all, a->name))
				json_object_set_new(all, a->name,
						    line(v, annotation_kind(a->name), a->value));
		}
	}
	return all;
}

static json_t *events_of(const struct viewer *v)
{
	const Healbus__Incident *i = v->in->incident;
	json_t *all = json_array();
	size_t from = i->n_events > PROMPT_EVENTS_MAX ? i->n_events - PROMPT_EVENTS_MAX : 0;
	for (size_t k = from; k < i->n_events; k++) {
		const Healbus__Event *e = i->events[k];
		json_array_append_new(
			all, json_pack("{s:o, s:o, s:s, s:o}", "name", line(v, TEXT_NAME, e->name),
				       "source", own(e->source), "status",
				       wire_enum_name(&healbus__status__descriptor, (int)e->status),
				       "labels", labels_of(v, e->labels, e->n_labels)));
	}
	return all;
}

static json_t *incident_of(const struct viewer *v)
{
	const Healbus__Incident *i = v->in->incident;
	return json_pack("{s:o, s:o, s:s, s:i, s:o, s:o, s:o}", "id", own(i->id), "title",
			 line(v, TEXT_LOG, i->title), "severity",
			 wire_enum_name(&healbus__severity__descriptor, (int)i->severity), "firing",
			 (int)i->firing, "labels", labels_of(v, i->labels, i->n_labels),
			 "annotations", annotations_of(v), "events", events_of(v));
}

/* ---- diagnosis ---- */

static json_t *evidence_of(const struct viewer *v, const Healbus__Diagnosis *d)
{
	json_t *all = json_array();
	for (size_t i = 0; i < d->n_evidence; i++) {
		const Healbus__Evidence *e = d->evidence[i];
		json_array_append_new(all,
				      json_pack("{s:o, s:i, s:o, s:o}", "source", own(e->source),
						"line", (int)e->line, "text",
						line(v, TEXT_LOG, e->text), "rule", own(e->rule)));
	}
	return all;
}

static json_t *considered_of(const Healbus__Diagnosis *d)
{
	json_t *all = json_array();
	for (size_t i = 0; i < d->n_considered; i++) {
		const Healbus__Candidate *c = d->considered[i];
		json_array_append_new(all,
				      json_pack("{s:o, s:o, s:f}", "failure_type",
						own(c->failure_type), "specialist",
						own(c->specialist), "confidence", c->confidence));
	}
	return all;
}

static json_t *recalled_of(const struct viewer *v, const Healbus__Diagnosis *d)
{
	json_t *all = json_array();
	for (size_t i = 0; i < d->n_recalled; i++) {
		const Healbus__Recalled *r = d->recalled[i];
		json_array_append_new(all, json_pack("{s:o, s:o, s:f, s:b, s:o, s:I}",
						     "failure_type", own(r->failure_type),
						     "specialist", own(r->specialist), "similarity",
						     r->similarity, "healed", r->healed, "what",
						     line(v, TEXT_LOG, r->what), "took_ms",
						     (json_int_t)r->took_ms));
	}
	return all;
}

static json_t *missing_of(const struct viewer *v, const Healbus__Diagnosis *d)
{
	json_t *all = json_array();
	for (size_t i = 0; i < d->n_missing; i++)
		json_array_append_new(all, line(v, TEXT_LOG, d->missing[i]));
	return all;
}

static json_t *diagnosis_of(const struct viewer *v)
{
	static const Healbus__Diagnosis none = HEALBUS__DIAGNOSIS__INIT;
	const Healbus__Diagnosis *d = v->in->diagnosis ? v->in->diagnosis : &none;
	return json_pack("{s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o}", "failure_type",
			 own(d->failure_type ? d->failure_type : "unknown"), "specialist",
			 own(d->specialist ? d->specialist : "atlas"), "confidence", d->confidence,
			 "route", line(v, TEXT_LOG, d->route), "evidence", evidence_of(v, d),
			 "considered", considered_of(d), "missing", missing_of(v, d), "recalled",
			 recalled_of(v, d));
}

/* ---- attempts, context, tools ---- */

/* The latest ones, in order; their quoted texts come before the context's in the budget. */
static json_t *tried_of(struct viewer *v)
{
	static const struct quote detail = {TEXT_LOG, KEEP_TAIL, WIRE_DETAIL_MAX,
					    "what an earlier attempt printed"};
	static const struct quote edits = {TEXT_CODE, KEEP_HEAD, WIRE_EDITS_SHORT_MAX,
					   "an earlier attempt's edits"};
	const Healbus__Incident *i = v->in->incident;
	json_t *all = json_array();
	for (size_t k = i->n_tried; k-- > 0 && i->n_tried - k <= TRIED_MAX;) {
		const Healbus__Attempt *a = i->tried[k];
		const char *d = a->detail ? a->detail : "", *e = a->edits ? a->edits : "";
		json_t *item = json_pack(
			"{s:i, s:o, s:o, s:s, s:o, s:o}", "number", (int)a->number, "specialist",
			own(a->specialist), "failure_type", own(a->failure_type), "verdict",
			wire_enum_name(&healbus__verdict__descriptor, (int)a->verdict), "what",
			line(v, TEXT_LOG, a->what), "reason", line(v, TEXT_LOG, a->reason));
		json_object_set_new(item, "detail", quoted(v, &detail, d, strlen(d)));
		json_object_set_new(item, "edits", quoted(v, &edits, e, strlen(e)));
		json_array_insert_new(all, 0, item);
	}
	return all;
}

static bool is_diff(const struct prompt_item *item)
{
	return item->title && str_starts(item->title, "diff");
}

static void add_items(struct viewer *v, json_t *all, bool diffs)
{
	for (size_t i = 0; i < v->in->n_items; i++) {
		const struct prompt_item *item = &v->in->items[i];
		if (is_diff(item) != diffs)
			continue;
		struct quote q = {diffs ? TEXT_CODE : TEXT_LOG, KEEP_HEAD,
				  diffs ? PROMPT_DIFF_MAX_BYTES : PROMPT_ITEM_MAX_BYTES,
				  item->source ? item->source : "a source"};
		json_t *text = quoted(v, &q, item->text, item->len);
		if (json_string_length(text) > 0)
			json_array_append_new(all, json_pack("{s:o, s:o, s:O}", "source",
							     own(item->source), "title",
							     line(v, TEXT_LOG, item->title), "text",
							     text));
		json_decref(text);
	}
}

static json_t *files_of(struct viewer *v)
{
	json_t *all = json_array();
	size_t n = MIN(v->in->n_files, (size_t)PROMPT_FILES_MAX);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, line(v, TEXT_NAME, v->in->files[i]));
	if (n < v->in->n_files) {
		auto_free char *text = mem_printf("%zu changed files", v->in->n_files - n);
		json_array_append_new(v->cut, json_string(text));
	}
	return all;
}

static bool may_choose(const Healbus__ToolInfo *t)
{
	return t->name && !tool_is_ours(t->name) && t->level >= HEALBUS__LEVEL__LEVEL_NONE &&
	       t->level <= HEALBUS__LEVEL__LEVEL_HARD;
}

static json_t *tools_of(const struct viewer *v)
{
	json_t *all = json_array();
	for (size_t i = 0; i < v->in->n_tools && json_array_size(all) < PROMPT_TOOLS_MAX; i++) {
		const Healbus__ToolInfo *t = v->in->tools[i];
		/* A tool server describes its own tools; everybody else's are the operator's. */
		bool theirs = t->runner && str_eq(t->runner, "mcp");
		if (!may_choose(t))
			continue;
		json_t *params = json_array();
		for (size_t k = 0; k < t->n_params; k++)
			json_array_append_new(params, line(v, TEXT_NAME, t->params[k]));
		json_array_append_new(
			all,
			json_pack("{s:o, s:o, s:s, s:o}", "name",
				  theirs ? line(v, TEXT_NAME, t->name) : own(t->name), "summary",
				  theirs ? line(v, TEXT_PROSE, t->summary) : own(t->summary),
				  "level",
				  wire_enum_name(&healbus__level__descriptor, (int)t->level),
				  "params", params));
	}
	return all;
}

/* What is left of the change's code when its prose is gone: else a comment could make any word an
 * identifier. */
static void know_code(const struct viewer *v)
{
	for (size_t i = 0; i < v->in->n_items; i++) {
		auto_buf code = {0};
		const struct prompt_item *item = &v->in->items[i];
		if (!is_diff(item) || !item->text)
			continue;
		add_outside(v, TEXT_CODE, item->text,
			    head_len(item->text, item->len, PROMPT_DIFF_MAX_BYTES), &code);
		placeholders_know(v->p, buf_str(&code), code.len);
	}
}

/* What comes first here has the first claim on the budget: the evidence, the failing log, earlier
 * attempts, the change, everything else. */
json_t *prompt_view(const struct prompt_input *in, struct placeholders *p)
{
	static const struct quote log = {TEXT_LOG, KEEP_TAIL, PROMPT_LOG_MAX_BYTES,
					 "the failing log"};
	struct viewer v = {.in = in, .p = p, .left = PROMPT_TEXT_MAX_BYTES, .cut = json_array()};
	json_t *view = json_object(), *context = json_array();
	know_code(&v);
	json_object_set_new(view, "nonce", json_string(placeholders_nonce(p)));
	json_object_set_new(view, "attempt", json_integer(in->attempt));
	json_object_set_new(view, "max_attempts", json_integer(in->max_attempts));
	json_object_set_new(view, "limits",
			    json_pack("{s:i, s:i, s:i, s:b}", "edits_bytes",
				      PROPOSAL_EDITS_MAX_BYTES, "files", PROPOSAL_FILES_MAX,
				      "steps", PROPOSAL_STEPS_MAX, "ci_files", in->ci_files));
	json_object_set_new(view, "incident", incident_of(&v));
	json_object_set_new(view, "diagnosis", diagnosis_of(&v));
	json_object_set_new(view, "log", quoted(&v, &log, in->log, in->log_len));
	json_object_set_new(view, "tried", tried_of(&v));
	add_items(&v, context, true);
	add_items(&v, context, false);
	json_object_set_new(view, "context", context);
	json_object_set_new(view, "files", files_of(&v));
	json_object_set_new(view, "tools", tools_of(&v));
	json_object_set_new(view, "statistics",
			    in->statistics ? json_deep_copy(in->statistics) : json_array());
	json_object_set_new(view, "cut", v.cut);
	return view;
}
