/*
 * Prompts: Markdown files with {{ jq }} parts (reasoner/prompts/), and the view of an incident that
 * they are rendered from. In the view all words of outsiders are redacted and abstracted, texts are
 * quoted between fences with the question's nonce, and everything fits a budget; what was cut is
 * said.
 *
 * The system's part is system.md (for an agent: agent.md) and the specialist's file (operations.md
 *for incidents without a repository); the user's part is task.md, and retry.md from the second
 *attempt on.
 *
 *	struct placeholders *p = placeholders_new(nonce);
 *	json_t *view = prompt_view(&input, p);
 *	auto_prompt_text text = {0};
 *	prompt_render(prompts, diagnosis->specialist, view, &text, &why);
 *	... ask the model with proposal_schema(), get a json_t answer ...
 *	prompt_restore(p, answer, &why);      // then json_dumps(answer) is Diagnosis.proposal
 *	placeholders_free(p);
 */
#ifndef REASONER_PROMPT_H
#define REASONER_PROMPT_H

#include "common/redact.h"
#include "common/wire.h"
#include "reasoner/prompt/placeholder.h"

#include <jansson.h>

enum {
	PROMPT_FILE_MAX_BYTES = 32 << 10,
	PROMPT_TEXT_MAX_BYTES = 64 << 10, /* of all quoted texts in a view */
	PROMPT_LOG_MAX_BYTES = 24 << 10,
	PROMPT_DIFF_MAX_BYTES = 24 << 10,
	PROMPT_ITEM_MAX_BYTES = 6 << 10,
	PROMPT_FILES_MAX = 100,
	PROMPT_TOOLS_MAX = 64,
	PROMPT_EVENTS_MAX = 8,
};

struct prompts;

/*
 * Loads *.md of dir; a file of the same name in local_dir (NULL or "": none) replaces it. Each is
 * compiled and rendered with a sample, and each field it names must be one of the view's:
 * ERR_CONFIG with the file, ERR_NOT_FOUND for a missing one. Blocks for about 14 ms per expression.
 */
int prompts_load(const char *dir, const char *local_dir, struct prompts **out, struct why *out_why);
void prompts_free(struct prompts *p);

/* A text of the context; of a diff the title begins with "diff". */
struct prompt_item {
	const char *source; /* "github", "loki", ... */
	const char *title;
	const char *text;
	size_t len;
};

/* Everything is borrowed. Pointers may be NULL where a count is 0. */
struct prompt_input {
	const Healbus__Incident *incident;   /* tried[] included */
	const Healbus__Diagnosis *diagnosis; /* its proposal is not looked at; NULL: none */
	uint32_t attempt;                    /* 1-based */
	uint32_t max_attempts;
	const struct prompt_item *items; /* most telling first */
	size_t n_items;
	const char *log; /* what of the failing job's log tells most */
	size_t log_len;
	const char *const *files; /* changed paths */
	size_t n_files;
	Healbus__ToolInfo *const *tools; /* the catalogue */
	size_t n_tools;
	const json_t *statistics;        /* [{specialist, successes, failures}], or NULL */
	bool ci_files;                   /* see struct proposal_rules */
	const struct redactor *redactor; /* NULL: patterns only */
};

/*
 * The view, a new reference:
 *   nonce, attempt, max_attempts, limits {edits_bytes, files, steps, ci_files},
 *   incident {id, title, severity, firing, labels {}, annotations {},
 *             events [{name, source, status, labels {}}]},
 *   diagnosis {failure_type, specialist, confidence, route, evidence [{source, line, text, rule}],
 *              considered [{failure_type, specialist, confidence}], missing [text],
 *              recalled [{failure_type, specialist, similarity, healed, what, took_ms}]},
 *   log, context [{source, title, text}], files [path], statistics [...],
 *   tried [{number, specialist, failure_type, verdict, what, reason, detail, edits}],
 *   tools [{name, summary, level, params []}], cut [text]
 * Absent texts are "". log, text, detail and edits are fenced. Tools that a proposal may not choose
 * are left out; the summary of a tool whose runner is mcp is an outsider's.
 */
json_t *prompt_view(const struct prompt_input *in, struct placeholders *p);

struct prompt_text {
	struct buf system;
	struct buf user;
};
#define auto_prompt_text __attribute__((cleanup(prompt_text_release))) struct prompt_text
void prompt_text_release(struct prompt_text *t);

/* Appends to both. An unknown specialist (or NULL) is atlas. ERR_TOO_LARGE when the parts together
 * pass WIRE_PROMPT_MAX. Any thread; one at a time, for milliseconds. */
int prompt_render(struct prompts *prompts, const char *specialist, const json_t *view,
		  struct prompt_text *out, struct why *out_why);

/* The same for an external coding agent, who works on a checkout: agent.md in place of system.md.
 */
int prompt_render_agent(struct prompts *prompts, const char *specialist, const json_t *view,
			struct prompt_text *out, struct why *out_why);

/* Puts values for the placeholders of an answer, in place: people's in the prose, the repository's
 * in the edits, names in targets and parameters. ERR_DENIED with the field. */
int prompt_restore(const struct placeholders *p, json_t *answer, struct why *out_why);

#endif
