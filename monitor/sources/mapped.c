#include "monitor/sources/source.h"

/*
 * A jq program over the body. Each output is one alert in our own JSON form, or
 * {"refuse": "why this body is not an alert"}. Nothing at all is a refusal too: silence would hide
 * a mapping that does not fit.
 */

static int output_read(struct reading *r, json_t *output, const char *where, struct why *out_why)
{
	const char *refusal = json_string_value(json_object_get(output, "refuse"));

	if (refusal)
		return why_set(out_why, ERR_REJECTED, "%s", refusal);
	draft_read(r, output, where, draft_from_json);
	return 0;
}

static int mapped_read(struct reading *r, struct why *out_why)
{
	json_t *body, *outputs = NULL, *output;
	size_t i;
	int rc = reading_json(r, out_why);

	if (rc)
		return rc;
	rc = expr_eval_all(r->map, r->json, &outputs, out_why);
	if (rc)
		return why_prefix(out_why, rc, "mapping of %s", r->source);
	/* Drafts borrow strings of the outputs until the reading is released. */
	body = r->json;
	r->json = outputs;
	json_decref(body);
	if (!json_array_size(outputs))
		return why_set(out_why, ERR_REJECTED, "the mapping of %s found no alert in it",
			       r->source);
	json_array_foreach(outputs, i, output)
	{
		char where[32];

		snprintf(where, sizeof(where), "output[%zu]", i);
		rc = output_read(r, output, where, out_why);
		if (rc)
			return rc;
	}
	return 0;
}

const struct source_format format_jq = {
	.name = "jq",
	.read = mapped_read,
};
