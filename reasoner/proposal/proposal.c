#include "reasoner/proposal/proposal.h"

#include "reasoner/proposal/plain.h"
#include "reasoner/proposal/proposal_private.h"

int only_fields(const json_t *object, const char *const *names, size_t n, struct why *out_why)
{
	const char *key = NULL;
	json_t *value = NULL;
	json_object_foreach((json_t *)object, key, value)
	{
		size_t i = 0;
		while (i < n && !str_eq(names[i], key))
			i++;
		if (i == n)
			return why_set(out_why, ERR_UNKNOWN_KEY,
				       "%.64s: no such field; leave it out", key);
	}
	return 0;
}

/* ---- schema ---- */

static json_t *typed(const char *type, const char *description)
{
	return json_pack("{s:s, s:s}", "type", type, "description", description);
}

/* Every property is required: strict modes want it so. Takes the reference. */
static json_t *object_of(json_t *properties)
{
	json_t *required = json_array();
	const char *key = NULL;
	json_t *value = NULL;
	json_object_foreach(properties, key, value)
	{
		json_array_append_new(required, json_string(key));
	}
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties,
			 "required", required, "additionalProperties", 0);
}

static json_t *list_of(json_t *items, const char *description)
{
	return json_pack("{s:s, s:s, s:o}", "type", "array", "description", description, "items",
			 items);
}

json_t *proposal_schema(void)
{
	json_t *param = object_of(json_pack(
		"{s:o, s:o}", "name", typed("string", "Name of the parameter, from the catalogue"),
		"value", typed("string", "Its value as text, of the type the catalogue says")));
	json_t *step = object_of(json_pack(
		"{s:o, s:o, s:o}", "tool", typed("string", "Name of a tool from the catalogue"),
		"target", typed("string", "What to act on: a name the incident's labels give"),
		"params", list_of(param, "Empty when the tool needs none")));
	return object_of(json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o}", "analysis",
		typed("string", "Plain text: the cause, and why this repairs it"), "confidence",
		typed("number", "0 to 1: how sure you are that this repairs it"), "edits",
		typed("string", "Search/replace blocks or a unified diff; empty when there are "
				"steps or you give up"),
		"title",
		typed("string", "One line in the imperative for the commit; empty without edits"),
		"steps", list_of(step, "Calls of tools; empty when there are edits"), "give_up",
		typed("string", "Plain text: why a human must do it; empty otherwise")));
}

/* ---- reading ---- */

enum { FIELD_ANALYSIS, FIELD_CONFIDENCE, FIELD_EDITS, FIELD_TITLE, FIELD_STEPS, FIELD_GIVE_UP };
static const char *const fields[] = {"analysis", "confidence", "edits",
				     "title",    "steps",      "give_up"};

/* Absent, null and "" are the same: none. */
static int text_of(struct proposal_reader *r, const json_t *root, int field, const char **out)
{
	const json_t *value = json_object_get(root, fields[field]);
	if (value && !json_is_null(value) && !json_is_string(value))
		return why_set(r->why, ERR_INVALID, "%s: text wanted", fields[field]);
	const char *text = json_string_value(value);
	*out = text && text[strspn(text, " \t\r\n")] ? text : NULL;
	return 0;
}

static int prose_of(struct proposal_reader *r, const json_t *root, int field, const char **out)
{
	static const size_t max[] = {[FIELD_ANALYSIS] = PROPOSAL_ANALYSIS_MAX_BYTES,
				     [FIELD_TITLE] = PROPOSAL_TITLE_MAX_BYTES,
				     [FIELD_GIVE_UP] = PROPOSAL_GIVE_UP_MAX_BYTES};
	const char *text = NULL;
	int rc = text_of(r, root, field, &text);
	if (rc || !text)
		return rc;
	char *plain = plain_prose(r->arena, text, max[field], field == FIELD_TITLE);
	if (!plain)
		return why_set(r->why, ERR_TOO_LARGE, "%s: no room", fields[field]);
	*out = *plain ? plain : NULL;
	return 0;
}

static int confidence_of(struct proposal_reader *r, const json_t *root)
{
	const json_t *value = json_object_get(root, fields[FIELD_CONFIDENCE]);
	double v = json_number_value(value);
	if (!json_is_number(value) || !(v >= 0 && v <= 1))
		return why_set(r->why, ERR_INVALID, "confidence: a number from 0 to 1 wanted");
	r->out.confidence = v;
	return 0;
}

static int read_edits(struct proposal_reader *r, const json_t *root)
{
	const char *text = NULL;
	int rc = text_of(r, root, FIELD_EDITS, &text);
	if (rc || !text)
		return rc;
	rc = edits_read(r, text);
	return rc ? why_prefix(r->why, rc, "edits") : 0;
}

static int read_steps(struct proposal_reader *r, const json_t *root)
{
	const json_t *list = json_object_get(root, fields[FIELD_STEPS]);
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return why_set(r->why, ERR_INVALID, "steps: a list wanted");
	return steps_read(r, list);
}

static int read_root(struct proposal_reader *r, const json_t *root)
{
	struct proposal *p = &r->out;
	int rc = only_fields(root, fields, ARRAY_SIZE(fields), r->why);
	if (rc || (rc = prose_of(r, root, FIELD_ANALYSIS, &p->analysis)) ||
	    (rc = confidence_of(r, root)) || (rc = prose_of(r, root, FIELD_TITLE, &p->title)) ||
	    (rc = prose_of(r, root, FIELD_GIVE_UP, &p->give_up)) || (rc = read_edits(r, root)) ||
	    (rc = read_steps(r, root)))
		return rc;
	if (!p->analysis && !p->give_up)
		return why_set(r->why, ERR_INVALID, "analysis: missing");
	int ways = (p->edits != NULL) + (p->n_steps > 0) + (p->give_up != NULL);
	if (ways != 1)
		return why_set(r->why, ERR_INVALID,
			       "%s: exactly one of edits, steps and give_up is wanted",
			       ways ? "more than one way" : "nothing proposed");
	return 0;
}

int proposal_read(const char *json, const struct proposal_rules *rules, struct arena *arena,
		  struct proposal *out, struct why *out_why)
{
	struct proposal_reader r = {.rules = rules, .arena = arena, .why = out_why};
	size_t len = json ? strlen(json) : 0;
	if (len > PROPOSAL_JSON_MAX_BYTES)
		return why_set(out_why, ERR_TOO_LARGE, "the answer has %zu bytes, more than %d",
			       len, PROPOSAL_JSON_MAX_BYTES);
	json_error_t error = {0};
	json_t *root = json_loadb(json ? json : "", len, JSON_REJECT_DUPLICATES, &error);
	int rc = json_is_object(root)
			 ? read_root(&r, root)
			 : why_set(out_why, ERR_INVALID, "the answer is not a JSON object: %.100s",
				   error.text);
	json_decref(root);
	if (!rc)
		*out = r.out;
	return rc;
}
