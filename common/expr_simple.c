#include "common/expr_impl.h"

#include "common/mem.h"

/* What most parameters and predicates are: .labels.service, .labels.port // 443, .manager ==
 * "runit". jq takes 14 ms and half a megabyte to compile anything at all, so these do without; what
 * is not exactly of this form goes to jq, and both give the same answers. */

#define NAME_FIRST "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define NAME_REST NAME_FIRST "0123456789"
#define SPACE " \t\r\n"

static const char *skip_space(const char *s)
{
	return s + strspn(s, SPACE);
}

/* .a.b.c; NULL when s is something else. */
static const char *parse_path(const char *s, struct simple_term *out)
{
	while (*s == '.') {
		if (strspn(s + 1, NAME_FIRST) == 0 || out->n_names == SIMPLE_NAMES_MAX)
			return NULL;
		size_t len = strspn(s + 1, NAME_REST);
		out->names[out->n_names++] = mem_dup(s + 1, len);
		s += 1 + len;
	}
	return out->n_names ? s : NULL;
}

static const char *parse_string(const char *s, struct simple_term *out)
{
	size_t len = strcspn(s + 1, "\"\\");
	if (s[1 + len] != '"')
		return NULL;
	out->literal = json_stringn(s + 1, len);
	return out->literal ? s + len + 2 : NULL;
}

/* Digits only: signs, fractions and exponents are jq's. */
static const char *parse_number(const char *s, struct simple_term *out)
{
	enum { DIGITS_MAX = 9 };
	size_t len = strspn(s, "0123456789");
	if (len == 0 || len > DIGITS_MAX || (len > 1 && *s == '0') || s[len] == '.' ||
	    strspn(s + len, NAME_FIRST))
		return NULL;
	out->literal = json_integer(strtol(s, NULL, 10));
	return s + len;
}

static const char *parse_term(const char *s, struct simple_term *out)
{
	if (*s == '.')
		return parse_path(s, out);
	return *s == '"' ? parse_string(s, out) : parse_number(s, out);
}

/* What may follow the first term: == "text", or any number of // term. */
static bool parse_rest(const char *s, struct simple *out)
{
	s = skip_space(s);
	if (s[0] == '=' && s[1] == '=') {
		s = skip_space(s + 2);
		s = *s == '"' ? parse_string(s, &out->equals) : NULL;
		return s && *skip_space(s) == '\0';
	}
	while (s[0] == '/' && s[1] == '/' && out->n_terms < SIMPLE_TERMS_MAX) {
		s = parse_term(skip_space(s + 2), &out->terms[out->n_terms]);
		out->n_terms++;
		if (!s)
			return false;
		s = skip_space(s);
	}
	return *s == '\0';
}

bool simple_parse(const char *source, struct simple *out)
{
	*out = (struct simple){.n_terms = 1};
	const char *s = parse_term(skip_space(source), &out->terms[0]);
	if (s && out->terms[0].n_names && parse_rest(s, out))
		return true;
	simple_release(out);
	return false;
}

static void term_release(struct simple_term *t)
{
	for (size_t i = 0; i < t->n_names; i++)
		free(t->names[i]);
	json_decref(t->literal);
}

void simple_release(struct simple *s)
{
	for (size_t i = 0; i < s->n_terms; i++)
		term_release(&s->terms[i]);
	term_release(&s->equals);
	*s = (struct simple){0};
}

/* Borrows from input; NULL stands for null. jq finds nothing in null and fails on anything else
 * that is not an object. */
static int term_value(const struct simple_term *t, const json_t *input, const json_t **out,
		      struct why *out_why)
{
	if (t->literal)
		input = t->literal;
	for (size_t i = 0; i < t->n_names; i++) {
		if (input && !json_is_object(input) && !json_is_null(input))
			return why_set(out_why, ERR_INVALID, "cannot look for \"%s\" there",
				       t->names[i]);
		input = json_object_get(input, t->names[i]);
	}
	*out = input;
	return 0;
}

int simple_eval(const struct simple *s, const json_t *input, json_t **out, struct why *out_why)
{
	const json_t *value = NULL;
	for (size_t i = 0; i < s->n_terms; i++) {
		int rc = term_value(&s->terms[i], input, &value, out_why);
		if (rc)
			return rc;
		if (value && !json_is_null(value) && !json_is_false(value))
			break;
	}
	if (s->equals.literal)
		*out = json_boolean(json_equal(value, s->equals.literal));
	else
		*out = value ? json_deep_copy(value) : json_null();
	return 0;
}
