/*
 * How the words of a source become Events. A format is one const struct source_format and one row
 * of the table in table.c; a source is a name, a format and, for `jq`, a mapping. Readers make
 * drafts; draft_add() turns each into a checked Event: it sorts and cleans labels, computes the
 * fingerprint, the partition and the id. Pure: no network, no clock.
 */
#ifndef MONITOR_SOURCES_SOURCE_H
#define MONITOR_SOURCES_SOURCE_H

#include "common/expr.h"
#include "common/wire.h"
#include "monitor/rules.h"

struct reading;

struct source_format {
	const char *name;
	bool resolves; /* says so when an alert is over: no resolve_timeout unless configured */
	bool protobuf; /* also takes application/x-protobuf */
	bool sealed;   /* nothing is taken without a signature, unless the configuration says so */
	const char *const *group_by; /* labels, NULL-terminated, in place of the configured ones */
	/* 0, or why the whole body is refused. Single alerts that cannot be used are counted by
	 * draft_add and do not fail the rest. */
	int (*read)(struct reading *r, struct why *out_why);
};

extern const struct source_format *const source_formats[];
extern const size_t source_formats_n;
/* NULL when unknown. */
const struct source_format *source_format_find(const char *name);

/* One body being read. Zeroed, then the upper half set. */
struct reading {
	const char *source;
	const struct rules *rules;
	struct expr *map; /* of a jq source */
	const void *data;
	size_t len;
	bool is_protobuf;
	bool trusted;
	const char *kind; /* what the sender says it is, where that is not in the body; NULL */
	const char *raw_id;
	int64_t time_ms; /* when it arrived */
	struct arena *arena;

	Healbus__Event **events;
	size_t n, cap;
	size_t refused;         /* alerts that could not be used */
	struct why refused_why; /* the first of them, with its path */
	const char *ignored;    /* why a good body gave no event: a word, for the metric; NULL */
	json_t *json;           /* borrowed strings live here until reading_release */
};

/* Reads with the format. 0 or ERR_INVALID, ERR_TOO_LARGE, ERR_UNSUPPORTED, ERR_REJECTED. */
int reading_run(struct reading *r, const struct source_format *format, struct why *out_why);
void reading_release(struct reading *r);

enum { DRAFT_PAIRS_MAX = 256 };

/* What a reader knows of one alert. Strings are borrowed. */
struct draft {
	const char *where; /* path in the body, for errors: "alerts[3]" */
	const char *name;  /* NULL: the label alertname */
	const char *fingerprint;
	const char *summary;
	const char *generator_url;
	Healbus__Status status;
	bool by_end; /* no status: resolved when ends_at_ms has passed, else firing */
	Healbus__Severity severity; /* unknown: from the label severity */
	int64_t starts_at_ms;       /* 0: not said */
	int64_t ends_at_ms;
	uint32_t truncated;
	bool per_body; /* an event of its own in each body, whatever it says */
	bool note;     /* neither firing nor resolved: only something to know */
	bool covers;
	Healbus__Command *command;
	struct label_view labels[DRAFT_PAIRS_MAX];
	size_t n_labels;
	struct label_view annotations[DRAFT_PAIRS_MAX];
	size_t n_annotations;
};

/* Adds the Event, or counts it as refused. */
void draft_add(struct reading *r, struct draft *d);
/* For an alert that could not even be drafted. */
void draft_refuse(struct reading *r, const char *where, const struct why *why);

/* Shared by the readers. */

/* r->json = the body; ERR_INVALID "line 1, column 5: ...". */
int reading_json(struct reading *r, struct why *out_why);
/* Fills a draft, whose `where` is set, from one alert. 0, or the reason for its refusal. */
typedef int draft_fill(struct reading *r, const json_t *alert, struct draft *d,
		       struct why *out_why);
/* One alert: added, or counted as refused. */
void draft_read(struct reading *r, const json_t *alert, const char *where, draft_fill *fill);
/* The same with a JSON body that is one alert, or an array of them. As reading_json. */
int reading_each(struct reading *r, draft_fill *fill, struct why *out_why);
/* An object of scalars into pairs; others become compact JSON. null object is fine. ERR_INVALID or
 * ERR_TOO_LARGE. */
int draft_pairs(struct reading *r, const json_t *object, const char *what, struct label_view *pairs,
		size_t *n, struct why *out_why);
/* RFC 3339 text; NULL and "": 0. */
int draft_time_text(const char *text, const char *what, int64_t *out_ms, struct why *out_why);
/* The same, or a number: seconds below 1e11, else milliseconds. null and absent: 0. */
int draft_time(const json_t *value, const char *what, int64_t *out_ms, struct why *out_why);
/* One alert in our own form (monitor/README.md); what a jq mapping produces. */
draft_fill draft_from_json;

/* "crit", "P1", "Error", ... UNKNOWN when it says nothing to us. */
Healbus__Severity severity_from_text(const char *text);
/* "firing", "resolved", "ok", "alerting", ... ERR_INVALID. */
int status_from_text(const char *text, Healbus__Status *out);

extern const struct source_format format_alertmanager, format_cloudevents, format_event,
	format_github, format_jq;

#endif
