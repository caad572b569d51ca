#include "reasoner/route/route_private.h"

#include <fnmatch.h>

enum {
	/* For one pattern over the whole of ROUTE_LOG_BYTES; one that needs more does not match. */
	ROUTE_STEPS_MAX = 200000,
	ROUTE_DEPTH_MAX = 1000,
	ROUTE_HEAP_MAX_KIB = 256,
};

/* ---- conditions ---- */

static bool glob_any(const struct route_words *globs, const char *text)
{
	for (size_t i = 0; text && i < globs->n; i++) {
		if (fnmatch(globs->items[i], text, FNM_CASEFOLD) == 0)
			return true;
	}
	return false;
}

static bool holds(const struct route_words *globs, const char *text)
{
	return globs->n == 0 || glob_any(globs, text);
}

static bool files_hold(const struct route_rule *r, const struct classify_input *in)
{
	size_t n = MIN(in->n_files, (size_t)CLASSIFY_FILES_MAX), matched = 0;
	if (r->files.n == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		matched += glob_any(&r->files, in->files[i]);
	return r->all_files ? n > 0 && matched == n : matched > 0;
}

static bool pattern_holds(const pcre2_code *re, const char *text, size_t len)
{
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(1, NULL);
	if (!context || !data)
		abort();
	pcre2_set_match_limit(context, ROUTE_STEPS_MAX);
	pcre2_set_depth_limit(context, ROUTE_DEPTH_MAX);
	pcre2_set_heap_limit(context, ROUTE_HEAP_MAX_KIB);
	int rc = pcre2_match(re, (PCRE2_SPTR)text, len, 0, 0, data, context);
	pcre2_match_data_free(data);
	pcre2_match_context_free(context);
	return rc >= 0;
}

static bool log_holds(const struct route_rule *r, const struct classify_input *in)
{
	size_t len = in->log ? MIN(in->log_len, (size_t)ROUTE_LOG_BYTES) : 0;
	for (size_t i = 0; len && i < r->n_log; i++) {
		if (pattern_holds(r->log[i], in->log + in->log_len - len, len))
			return true;
	}
	return r->n_log == 0;
}

static const struct route_rule *find_rule(const struct specialists *s, const struct route_input *in,
					  const char *type)
{
	const char *label = failures_label(in->failures, type);
	for (size_t i = 0; i < s->n_rules; i++) {
		const struct route_rule *r = &s->rules[i];
		if (holds(&r->types, type) && holds(&r->labels, label) &&
		    holds(&r->workflows, in->seen->workflow) && holds(&r->jobs, in->seen->job) &&
		    files_hold(r, in->seen) && log_holds(r, in->seen))
			return r;
	}
	return NULL;
}

/* ---- what was learned ---- */

static const struct route_record *record_of(const struct route_input *in, const char *specialist,
					    const char *type)
{
	for (size_t i = 0; i < in->n_learned; i++) {
		if (str_eq(in->learned[i].specialist, specialist) &&
		    str_eq(in->learned[i].failure_type, type))
			return &in->learned[i];
	}
	return NULL;
}

/* The mean of what is known of its success: 0.5 when nothing is. */
static double mean(const struct route_record *r)
{
	return r ? (r->successes + 1.0) / ((double)r->successes + r->failures + 2) : 0.5;
}

/* Who does better at this type than `now`, by enough and known well enough; NULL: nobody. */
static const struct route_record *better(const struct specialists *s, const struct route_input *in,
					 const char *type, const char *now)
{
	double least = mean(record_of(in, now, type)) + s->learned_gain;
	const struct route_record *best = NULL;
	for (size_t i = 0; s->learned_trials && i < in->n_learned; i++) {
		const struct route_record *r = &in->learned[i];
		bool counts = str_eq(r->failure_type, type) && !str_eq(r->specialist, now) &&
			      (int64_t)r->successes + r->failures >= s->learned_trials &&
			      specialist_about(s, r->specialist);
		if (counts && mean(r) >= least && (!best || mean(r) > mean(best)))
			best = r;
	}
	return best;
}

static uint64_t trials(const struct route_record *r)
{
	return r ? (uint64_t)r->successes + r->failures : 0;
}

static const char *name_in(const struct specialists *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (str_eq(s->items[i].name, name))
			return s->items[i].name;
	}
	return s->otherwise;
}

/* ---- the choice ---- */

static char *borrowed(const char *text)
{
	return (char *)(uintptr_t)text;
}

const char *route(const struct specialists *s, const struct route_input *in, struct arena *arena,
		  Healbus__Diagnosis *io)
{
	const char *type = io->failure_type ? io->failure_type : "";
	const struct route_rule *r = find_rule(s, in, type);
	const char *now = r ? r->specialist : s->otherwise, *by = r ? r->name : "otherwise";
	const struct route_record *record = r && r->fixed ? NULL : better(s, in, type, now);

	io->specialist = borrowed(record ? name_in(s, record->specialist) : now);
	io->route = borrowed(by);
	if (record) {
		const struct route_record *old = record_of(in, now, type);
		io->route =
			arena_printf(arena,
				     "%s says %s; learned: %s healed %s %" PRIu32
				     " times of %" PRIu64 ", %s %" PRIu32 " of %" PRIu64,
				     by, now, record->specialist, type, record->successes,
				     trials(record), now, old ? old->successes : 0, trials(old));
	}
	for (size_t i = 0; i < io->n_considered; i++) {
		Healbus__Candidate *c = io->considered[i];
		const struct route_rule *other = find_rule(s, in, c->failure_type);
		c->specialist = borrowed(other ? other->specialist : s->otherwise);
	}
	return io->specialist;
}
