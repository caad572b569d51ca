#include "common/redact.h"
#include "reasoner/classify/classify_private.h"

#include <math.h>

/*
 * How much a line counts by where it stands. Factors and the table below were fitted on one half of
 * the recorded logs, by group, and checked on the other: tests/unit/reasoner/test_ci_logs.c.
 */
static const double factor_failed = 1.0;       /* the output of the command that failed first */
static const double factor_failed_later = 0.8; /* of one that failed after it */
static const double factor_around = 0.7;
static const double factor_passed = 0.1;
static const double factor_post = 0.05;
static const double factor_before = 0.25;  /* another command, and we know which one failed */
static const double factor_unmarked = 0.9; /* we do not know which one failed: the last */
static const double factor_unmarked_before = 0.6;
static const double factor_marked = 1.15; /* the runner shows the line as the error */
/* Of this, the far end of a long output counts. */
static const double far_share = 0.75;
static const double far_lines = 150; /* half of the way there */
/* What a family's rules speak for its types counts so much at most: that npm ran it is said often.
 */
static const double family_most = 4.0;
/* What a failure type's score is divided by before it becomes a probability. */
static const double temperature = 1.0;

/*
 * The share of right answers where the softmax says so much; between two rows, linear. From half of
 * the recorded logs, by group, with one right and one wrong answer more in each bin: rules look
 * better where they were made. The test holds it against the other half.
 */
static const struct {
	double said, right;
} calibration[] = {
	{0, 0}, {0.3, 0.5}, {0.52, 0.83}, {0.77, 0.87}, {0.947, 0.92}, {0.997, 0.965}, {1, 0.98},
};

/* ---- scores ---- */

/* A rule's best line. */
struct vote {
	double value;
	size_t hit; /* index in the scan; SIZE_MAX: not from the log, but in text */
	const char *text;
};

struct judgement {
	const struct failures *f;
	const struct classify_input *in;
	struct arena *arena;
	struct scan scan;
	struct vote *votes;  /* by rule */
	double *scores;      /* by type */
	double *shares;      /* by type: its probability, after calibration of its label's */
	size_t first_failed; /* section; SIZE_MAX: none */
	size_t last_section; /* that is not afterwards */
};

static void find_sections(struct judgement *j)
{
	j->first_failed = SIZE_MAX;
	for (size_t i = 0; i < j->scan.n_sections; i++) {
		const struct section *s = &j->scan.sections[i];
		if (s->outcome == OUTCOME_FAILED && j->first_failed == SIZE_MAX)
			j->first_failed = i;
		if (s->outcome != OUTCOME_POST)
			j->last_section = i;
	}
}

static double section_factor(const struct judgement *j, size_t section)
{
	switch (j->scan.sections[section].outcome) {
	case OUTCOME_FAILED:
		return j->scan.sections[section].group == j->scan.sections[j->first_failed].group
			       ? factor_failed
			       : factor_failed_later;
	case OUTCOME_AROUND:
		return factor_around;
	case OUTCOME_PASSED:
		return factor_passed;
	case OUTCOME_POST:
		return factor_post;
	case OUTCOME_UNKNOWN:
		break;
	}
	if (j->first_failed != SIZE_MAX)
		return factor_before;
	return section == j->last_section ? factor_unmarked : factor_unmarked_before;
}

static double hit_factor(const struct judgement *j, const struct hit *h)
{
	const struct section *s = &j->scan.sections[h->section];
	if (j->f->rules[h->rule].anywhere && s->outcome != OUTCOME_POST)
		return factor_failed;
	double factor = section_factor(j, h->section) * (h->marked ? factor_marked : 1);
	double away = s->last_line > h->last_line ? s->last_line - h->last_line : 0;
	return factor * (far_share + (1 - far_share) * exp2(-away / far_lines));
}

static void vote_log(struct judgement *j)
{
	for (size_t i = 0; i < j->scan.n_hits; i++) {
		const struct hit *h = &j->scan.hits[i];
		struct vote *v = &j->votes[h->rule];
		double value = j->f->rules[h->rule].weight * hit_factor(j, h);
		if (fabs(value) > fabs(v->value))
			*v = (struct vote){.value = value, .hit = i};
	}
}

static void vote_text(struct judgement *j, size_t rule, const char *text)
{
	struct vote *v = &j->votes[rule];
	if (!text || v->value != 0 || !scan_text(&j->scan, (uint16_t)rule, text))
		return;
	*v = (struct vote){.value = j->f->rules[rule].weight, .hit = SIZE_MAX, .text = text};
}

static void vote_commands(struct judgement *j, size_t rule)
{
	for (size_t i = 0; i < j->scan.n_sections; i++) {
		const struct section *s = &j->scan.sections[i];
		bool counts = s->outcome == OUTCOME_FAILED ||
			      (j->first_failed == SIZE_MAX && i == j->last_section);
		if (counts)
			vote_text(j, rule, s->command);
	}
	/* A step without a name of its own is called after its command. */
	vote_text(j, rule, j->in->step);
}

static void vote_files(struct judgement *j, size_t rule)
{
	for (size_t i = 0; i < MIN(j->in->n_files, (size_t)CLASSIFY_FILES_MAX); i++)
		vote_text(j, rule, j->in->files[i]);
}

static void vote_rest(struct judgement *j)
{
	const char *const texts[PLACES] = {[PLACE_WORKFLOW] = j->in->workflow,
					   [PLACE_JOB] = j->in->job,
					   [PLACE_STEP] = j->in->step,
					   [PLACE_ALERT] = j->in->alertname};
	for (size_t i = 0; i < j->f->n_rules; i++) {
		enum place place = j->f->rules[i].place;
		if (place == PLACE_COMMAND)
			vote_commands(j, i);
		else if (place == PLACE_FILES)
			vote_files(j, i);
		else if (place != PLACE_LOG && place != PLACE_ERROR)
			vote_text(j, i, texts[place]);
	}
}

static uint16_t family_of(const struct failures *f, const struct rule *r)
{
	return r->of_family ? r->owner : f->types[r->owner].family;
}

/* A script that calls tools of several families says less about which of them failed. */
static void share_commands(struct judgement *j)
{
	bool called[FAILURE_FAMILIES_MAX] = {0};
	double n = 0;
	for (size_t r = 0; r < j->f->n_rules; r++) {
		const struct rule *rule = &j->f->rules[r];
		if (rule->place == PLACE_COMMAND && j->votes[r].value > 0)
			called[family_of(j->f, rule)] = true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(called); i++)
		n += called[i];
	for (size_t r = 0; r < j->f->n_rules; r++) {
		if (j->f->rules[r].place == PLACE_COMMAND)
			j->votes[r].value /= sqrt(fmax(n, 1));
	}
}

/* Does the rule speak for the type? */
static bool speaks_for(const struct failures *f, const struct rule *r, size_t type)
{
	return r->of_family ? r->owner == f->types[type].family : r->owner == type;
}

static void count_votes(struct judgement *j)
{
	for (size_t t = 0; t < j->f->n_types; t++) {
		double family = 0;
		const struct failure_type *type = &j->f->types[t];
		j->scores[t] = type->base + j->f->families[type->family].base;
		for (size_t r = 0; r < j->f->n_rules; r++) {
			const struct rule *rule = &j->f->rules[r];
			if (!speaks_for(j->f, rule, t))
				continue;
			*(rule->of_family ? &family : &j->scores[t]) += j->votes[r].value;
		}
		j->scores[t] += fmin(family, family_most);
	}
}

/* ---- probabilities ---- */

static const char *type_label(const struct failures *f, size_t type)
{
	return f->families[f->types[type].family].label;
}

static double calibrated(double said)
{
	for (size_t i = 1; i < ARRAY_SIZE(calibration); i++) {
		double from = calibration[i - 1].said, to = calibration[i].said;
		if (said > to)
			continue;
		double low = calibration[i - 1].right, high = calibration[i].right;
		return low + (high - low) * (said - from) / (to - from);
	}
	return calibration[ARRAY_SIZE(calibration) - 1].right;
}

/* The best score of any type that has the label. */
static double label_score(const struct judgement *j, const char *label)
{
	double best = -INFINITY;
	for (size_t t = 0; t < j->f->n_types; t++) {
		if (str_eq(type_label(j->f, t), label))
			best = fmax(best, j->scores[t]);
	}
	return best;
}

/* The sum over labels of what the softmax sums, from the best score down. */
static double softmax_sum(const struct judgement *j, double top)
{
	double sum = 0;
	for (size_t t = 0; t < j->f->n_types; t++) {
		bool first = true;
		for (size_t u = 0; u < t && first; u++)
			first = !str_eq(type_label(j->f, u), type_label(j->f, t));
		if (first)
			sum += exp((label_score(j, type_label(j->f, t)) - top) / temperature);
	}
	return sum;
}

/*
 * Labels compete by their best types: several types of one label are not several reasons. What the
 * best label has is calibrated, and the others share what that leaves, as before. A label's
 * probability goes to its best type; another one of it gets as much less as its score is lower, and
 * at most half.
 */
static void share_out(struct judgement *j)
{
	size_t best = 0;
	for (size_t t = 1; t < j->f->n_types; t++)
		best = j->scores[t] > j->scores[best] ? t : best;
	double top = j->scores[best], sum = softmax_sum(j, top);
	double of_best = calibrated(1 / sum), of_others = (1 - of_best) / fmax(1 - 1 / sum, 1e-9);
	for (size_t t = 0; t < j->f->n_types; t++) {
		const char *label = type_label(j->f, t);
		bool same = str_eq(label, type_label(j->f, best));
		double first = label_score(j, label);
		double less = exp((j->scores[t] - first) / temperature);
		double share = same ? of_best : of_others * exp((first - top) / temperature) / sum;
		bool is_first = same ? t == best : j->scores[t] >= first;
		j->shares[t] = fmin(1, is_first ? share : share * less / (1 + less));
	}
}

/* ---- what is said of it ---- */

static size_t best_but(const struct judgement *j, const bool *taken)
{
	size_t best = SIZE_MAX;
	for (size_t t = 0; t < j->f->n_types; t++) {
		if (!taken[t] && (best == SIZE_MAX || j->scores[t] > j->scores[best]))
			best = t;
	}
	return best;
}

/* What was found for it at all? Of the others, only what something speaks for is considered. */
static bool has_votes(const struct judgement *j, size_t type)
{
	for (size_t r = 0; r < j->f->n_rules; r++) {
		const struct rule *rule = &j->f->rules[r];
		if (!rule->of_family && rule->owner == type && j->votes[r].value > 0)
			return true;
	}
	return false;
}

static int say_considered(struct judgement *j, size_t best, Healbus__Diagnosis *out)
{
	auto_free bool *taken = mem_calloc(j->f->n_types, sizeof(*taken));
	taken[best] = true;
	out->considered = arena_alloc(j->arena, WIRE_CANDIDATES_MAX * sizeof(*out->considered));
	if (!out->considered)
		return ERR_TOO_LARGE;
	for (size_t t;
	     out->n_considered < WIRE_CANDIDATES_MAX && (t = best_but(j, taken)) != SIZE_MAX;) {
		taken[t] = true;
		if (!has_votes(j, t))
			continue;
		Healbus__Candidate *c = arena_alloc(j->arena, sizeof(*c));
		if (!c)
			return ERR_TOO_LARGE;
		healbus__candidate__init(c);
		c->failure_type = (char *)(uintptr_t)j->f->types[t].name;
		SET(c, confidence, j->shares[t]);
		out->considered[out->n_considered++] = c;
	}
	return 0;
}

/* A line as people may read it, without what looks like a secret. */
static char *evidence_text(struct arena *arena, const char *raw, size_t len)
{
	struct line l;
	auto_buf safe = {0}, text = {0};
	line_read(raw, len, &l);
	redact(NULL, l.text, l.len, &safe);
	buf_add_printable(&text, buf_str(&safe), safe.len);
	size_t n = MIN(text.len, (size_t)EVIDENCE_MAX_BYTES);
	while (n > 0 && n < text.len && ((unsigned char)text.data[n] & 0xc0) == 0x80)
		n--;
	return arena_printf(arena, "%.*s", (int)n, buf_str(&text));
}

static Healbus__Evidence *evidence_new(struct arena *arena, const struct raw_line *at)
{
	Healbus__Evidence *e = arena_alloc(arena, sizeof(*e));
	if (!e)
		return NULL;
	healbus__evidence__init(e);
	e->text = evidence_text(arena, at->text, at->len);
	SET(e, line, at->line);
	SET(e, weight, 0);
	e->source = (char *)(uintptr_t)place_names[PLACE_LOG];
	return e->text ? e : NULL;
}

static Healbus__Evidence *evidence_of(struct judgement *j, size_t rule)
{
	const struct vote *v = &j->votes[rule];
	const struct hit *h = v->hit == SIZE_MAX ? NULL : &j->scan.hits[v->hit];
	struct raw_line at = {.text = v->text};
	if (h)
		at = (struct raw_line){h->first, h->first_len, h->first_line};
	else
		at.len = (uint32_t)strcspn(v->text, "\n");
	Healbus__Evidence *e = evidence_new(j->arena, &at);
	if (!e)
		return NULL;
	e->source = (char *)(uintptr_t)place_names[h ? PLACE_LOG : j->f->rules[rule].place];
	e->rule = (char *)(uintptr_t)j->f->rules[rule].name;
	e->weight = v->value;
	return e;
}

static bool has_line(const Healbus__Diagnosis *d, uint32_t line)
{
	for (size_t i = 0; i < d->n_evidence; i++) {
		if (d->evidence[i]->line == line)
			return true;
	}
	return false;
}

/* Where little was understood, the last words of what failed. */
static int say_last_lines(struct judgement *j, Healbus__Diagnosis *out)
{
	const struct last_lines *last = &j->scan.last;
	size_t from_log = 0;
	for (size_t i = 0; i < out->n_evidence; i++)
		from_log += out->evidence[i]->line > 0;
	if (from_log >= EVIDENCE_ENOUGH)
		return 0;
	for (size_t i = last->n - MIN(last->n, (size_t)LAST_LINES); i < last->n; i++) {
		const struct raw_line *at = &last->items[i % LAST_LINES];
		if (has_line(out, at->line))
			continue;
		Healbus__Evidence *e = evidence_new(j->arena, at);
		if (!e)
			return ERR_TOO_LARGE;
		e->rule = (char *)(uintptr_t) "last_lines";
		if (out->n_evidence < WIRE_EVIDENCE_MAX)
			out->evidence[out->n_evidence++] = e;
	}
	return 0;
}

static int say_evidence(struct judgement *j, size_t type, Healbus__Diagnosis *out)
{
	auto_free bool *taken = mem_calloc(j->f->n_rules + 1, sizeof(*taken));
	out->evidence = arena_alloc(j->arena, WIRE_EVIDENCE_MAX * sizeof(*out->evidence));
	if (!out->evidence)
		return ERR_TOO_LARGE;
	while (out->n_evidence < WIRE_EVIDENCE_MAX) {
		size_t best = SIZE_MAX;
		for (size_t r = 0; r < j->f->n_rules; r++) {
			bool may = !taken[r] && j->votes[r].value > 0 &&
				   speaks_for(j->f, &j->f->rules[r], type);
			if (may && (best == SIZE_MAX || j->votes[r].value > j->votes[best].value))
				best = r;
		}
		if (best == SIZE_MAX)
			break;
		taken[best] = true;
		out->evidence[out->n_evidence] = evidence_of(j, best);
		if (!out->evidence[out->n_evidence++])
			return ERR_TOO_LARGE;
	}
	return say_last_lines(j, out);
}

static int judge(struct judgement *j, Healbus__Diagnosis *out)
{
	auto_free bool *none = mem_calloc(j->f->n_types, sizeof(*none));
	find_sections(j);
	vote_log(j);
	vote_rest(j);
	share_commands(j);
	count_votes(j);
	share_out(j);
	size_t best = best_but(j, none);
	out->failure_type = (char *)(uintptr_t)j->f->types[best].name;
	SET(out, confidence, j->shares[best]);
	int rc = say_evidence(j, best, out);
	return rc ? rc : say_considered(j, best, out);
}

int classify(const struct failures *f, const struct classify_input *in, struct arena *arena,
	     Healbus__Diagnosis *out)
{
	auto_free struct vote *votes = mem_calloc(f->n_rules + 1, sizeof(*votes));
	auto_free double *scores = mem_calloc(2 * f->n_types, sizeof(*scores));
	struct judgement j = {.f = f,
			      .in = in,
			      .arena = arena,
			      .votes = votes,
			      .scores = scores,
			      .shares = scores + f->n_types};
	scan_log(&j.scan, f, in->log ? in->log : "", in->log ? in->log_len : 0);
	int rc = judge(&j, out);
	scan_release(&j.scan);
	return rc;
}

/* ---- names ---- */

static size_t type_find(const struct failures *f, const char *name)
{
	for (size_t t = 0; name && t < f->n_types; t++) {
		if (str_eq(f->types[t].name, name))
			return t;
	}
	return SIZE_MAX;
}

const char *failures_title(const struct failures *f, const char *failure_type)
{
	size_t t = type_find(f, failure_type);
	return t == SIZE_MAX ? NULL : f->types[t].title;
}

const char *failures_label(const struct failures *f, const char *failure_type)
{
	size_t t = type_find(f, failure_type);
	return t == SIZE_MAX ? NULL : type_label(f, t);
}

size_t failures_count(const struct failures *f)
{
	return f->n_types;
}

const char *failures_name(const struct failures *f, size_t i)
{
	return f->types[i].name;
}
