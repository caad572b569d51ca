#include "executor/retain.h"

#include "common/mem.h"
#include "executor/config.h"

/* Between two transactions: acts wait for the disk, too. */
enum { PAUSE_MS = 50 };

/* ERR_NOT_FOUND is the word of the stream's leader. */
static int is_planned(const struct executor *ex, const char *incident, bool *out,
		      struct why *out_why)
{
	char subject[SUBJECT_MAX + 1];
	struct bus_delivery d = {0};
	*out = true;
	if (!token_valid(incident))
		return 0;
	subject_story(subject, KIND_PLAN, incident);
	int rc = bus_get_last(ex->bus, STREAM_STORY, subject, &d, out_why);
	*out = rc == 0;
	if (*out)
		bus_delivery_free(&d);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* Leaves those on the page that nobody can be given any more. */
static int keep_planned(const struct executor *ex, struct journal_page *page, struct why *out_why)
{
	size_t n = 0;
	for (size_t i = 0; i < page->n; i++) {
		bool planned = true;
		int rc = is_planned(ex, page->rows[i].incident, &planned, out_why);
		if (rc)
			return rc;
		if (!planned)
			page->rows[n++] = page->rows[i];
	}
	page->n = n;
	return 0;
}

static int forget_page(const struct executor *ex, struct journal_page *page, struct retained *out,
		       struct why *out_why)
{
	int rc = journal_old(ex->journal, page, out_why);
	out->looked_at += page->n;
	if (!rc)
		rc = keep_planned(ex, page, out_why);
	if (rc || page->n == 0)
		return rc;
	struct journal_trim trim = {.steps = page->rows, .n_steps = page->n};
	rc = journal_trim(ex->journal, &trim, out_why);
	out->forgotten += rc ? 0 : page->n;
	return rc;
}

static int forget_steps(const struct executor *ex, int64_t now_ms, struct retained *out,
			struct why *out_why)
{
	struct bus_stream_state story = {0};
	int rc = bus_stream_state(ex->bus, STREAM_STORY, &story, out_why);
	if (rc || story.max_age_ms <= 0)
		return rc;
	auto_free struct journal_page *page = mem_alloc(sizeof(*page));
	page->before_ms = now_ms - story.max_age_ms - TOPIC_CLAIM_EXTRA_MS;
	do {
		rc = forget_page(ex, page, out, out_why);
	} while (!rc && page->after[0] && !ex->sleep(ex->sleep_ctx, PAUSE_MS));
	return rc;
}

static int cut_audit(const struct executor *ex, int64_t now_ms, struct retained *out,
		     struct why *out_why)
{
	struct journal_trim trim = {.audit_before_ms = now_ms - ex->config->audit_age_ms};
	int rc = 0;
	if (ex->config->audit_age_ms <= 0 || trim.audit_before_ms <= 0)
		return 0;
	do {
		rc = journal_trim(ex->journal, &trim, out_why);
		out->cut += rc ? 0 : trim.audit_cut;
		out->audit_broken = trim.audit_broken;
	} while (!rc && trim.audit_cut == AUDIT_CUT_MAX && !ex->sleep(ex->sleep_ctx, PAUSE_MS));
	return rc;
}

int retain(const struct executor *ex, int64_t now_ms, struct retained *out, struct why *out_why)
{
	*out = (struct retained){0};
	int rc = cut_audit(ex, now_ms, out, out_why);
	return rc ? rc : forget_steps(ex, now_ms, out, out_why);
}
