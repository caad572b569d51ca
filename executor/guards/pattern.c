#include "executor/guards/guards.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>

enum { STEPS_MAX = 2000000, DEPTH_MAX = 2000, HEAP_MAX_KIB = 4096, GROUPS = 3 };

static pcre2_code *compile(const struct pattern *p)
{
	int error = 0;
	PCRE2_SIZE at = 0;
	uint32_t options = PCRE2_DOTALL | (p->caseless ? PCRE2_CASELESS : 0);
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)p->text, PCRE2_ZERO_TERMINATED, options,
					 &error, &at, NULL);
	/* A constant of the program: whoever wrote it wrong sees it at the first test. */
	if (!code)
		abort();
	return code;
}

/* Two threads may both compile it; one result stays. */
static pcre2_code *code_of(struct pattern *p)
{
	void *code = atomic_load(&p->code);
	if (code)
		return code;
	pcre2_code *mine = compile(p);
	if (atomic_compare_exchange_strong(&p->code, &code, mine))
		return mine;
	pcre2_code_free(mine);
	return code;
}

bool pattern_find(struct pattern *p, const char *text, size_t len, struct span *out_span)
{
	pcre2_match_context *context = pcre2_match_context_create(NULL);
	pcre2_match_data *data = pcre2_match_data_create(GROUPS, NULL);
	if (!context || !data)
		abort();
	pcre2_set_match_limit(context, STEPS_MAX);
	pcre2_set_depth_limit(context, DEPTH_MAX);
	pcre2_set_heap_limit(context, HEAP_MAX_KIB);
	int rc = pcre2_match(code_of(p), (PCRE2_SPTR)text, len, 0, 0, data, context);
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
	if (out_span && rc >= 0) {
		size_t g = rc > 1 && at[2] != PCRE2_UNSET ? 2 : 0;
		*out_span = (struct span){text + at[g], at[g + 1] - at[g]};
	} else if (out_span) {
		*out_span = (struct span){text, len};
	}
	pcre2_match_data_free(data);
	pcre2_match_context_free(context);
	return rc != PCRE2_ERROR_NOMATCH;
}

bool pattern_path(struct pattern *p, const char *path)
{
	return pattern_find(p, path, strlen(path), NULL);
}

bool span_eq(struct span a, struct span b)
{
	return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* ---- globs ---- */

static bool glob_at(const char *g, const char *t, int depth)
{
	if (depth > 8)
		return false;
	for (; *g; g++, t++) {
		if (*g == '*') {
			bool across = g[1] == '*';
			g += across ? 2 : 1;
			/* A leading or inner double star also stands for no directory at all. */
			if (across && *g == '/' && glob_at(g + 1, t, depth + 1))
				return true;
			for (;; t++) {
				if (glob_at(g, t, depth + 1))
					return true;
				if (!*t || (*t == '/' && !across))
					return false;
			}
		}
		if (!*t || (*g == '?' ? *t == '/' : *g != *t))
			return false;
	}
	return !*t;
}

bool glob_match(const char *glob, const char *text)
{
	return glob_at(glob, text, 0);
}

bool names_match(const struct guard_names *names, const char *text, size_t len)
{
	char copy[512];
	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	for (size_t i = 0; i < names->n; i++)
		if (glob_match(names->items[i], copy))
			return true;
	return false;
}
