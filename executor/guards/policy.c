/* A repository's own ways, from its target's attribute `guard`. */
#include "executor/guards/guards.h"

#include "common/mem.h"

static void names_copy(const struct guard_names *from, struct guard_names *out)
{
	out->items = mem_calloc(from->n, sizeof(*out->items));
	for (; out->n < from->n; out->n++)
		out->items[out->n] = mem_strdup(from->items[out->n]);
}

static void names_release(struct guard_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
	*names = (struct guard_names){0};
}

void guard_policy_release(struct guard_policy *p)
{
	names_release(&p->paths);
	names_release(&p->plan);
	names_release(&p->dependencies);
	names_release(&p->hosts);
	*p = (struct guard_policy){0};
}

void guard_policy_plan(struct guard_policy *p, const char *path)
{
	p->plan.items = mem_realloc(p->plan.items, (p->plan.n + 1) * sizeof(*p->plan.items));
	p->plan.items[p->plan.n++] = mem_strdup(path);
}

static void copy(const struct guard_policy *from, struct guard_policy *out)
{
	*out = *from;
	out->paths = out->plan = out->dependencies = out->hosts = (struct guard_names){0};
	names_copy(&from->paths, &out->paths);
	names_copy(&from->plan, &out->plan);
	names_copy(&from->dependencies, &out->dependencies);
	names_copy(&from->hosts, &out->hosts);
}

/* ---- keys ---- */

static int read_names(struct guard_names *out, const char *key, const json_t *value,
		      struct why *out_why)
{
	size_t i;
	json_t *item;
	if (!json_is_array(value) || json_array_size(value) > GUARD_NAMES_MAX)
		return why_set(out_why, ERR_CONFIG, "guard: %s: a list of at most %d texts", key,
			       GUARD_NAMES_MAX);
	json_array_foreach(value, i, item)
	{
		if (!json_is_string(item) || !*json_string_value(item))
			return why_set(out_why, ERR_CONFIG, "guard: %s[%zu]: must be text", key, i);
	}
	names_release(out);
	out->items = mem_calloc(json_array_size(value), sizeof(*out->items));
	json_array_foreach(value, i, item)
	{
		out->items[out->n++] = mem_strdup(json_string_value(item));
	}
	return 0;
}

static int read_limit(int64_t *out, const char *key, const json_t *value, struct why *out_why)
{
	json_int_t n = json_integer_value(value);
	if (!json_is_integer(value) || n < 1 || n > 1000000)
		return why_set(out_why, ERR_CONFIG, "guard: %s: a number from 1 to 1000000", key);
	*out = n;
	return 0;
}

static int read_verdict(struct guard_policy *p, const char *check, const json_t *value,
			struct why *out_why)
{
	const char *text = json_string_value(value);
	size_t i = 0;
	while (guard_check_name(i) && !str_eq(guard_check_name(i), check))
		i++;
	if (!guard_check_name(i))
		return why_set(out_why, ERR_CONFIG, "guard: verdicts: there is no check %s", check);
	for (int v = GUARD_ALLOW; text && v <= GUARD_REFUSE; v++) {
		if (!str_eq(text, guard_verdict_name((enum guard_verdict)v)))
			continue;
		p->verdicts[i] = (uint8_t)(v + 1);
		return 0;
	}
	return why_set(out_why, ERR_CONFIG, "guard: verdicts: %s: allow, ask or refuse", check);
}

static int read_verdicts(struct guard_policy *p, const json_t *value, struct why *out_why)
{
	const char *check;
	json_t *item;
	int rc = 0;
	if (!json_is_object(value))
		return why_set(out_why, ERR_CONFIG, "guard: verdicts: must be a map");
	json_object_foreach((json_t *)(uintptr_t)value, check, item)
	{
		if (!rc)
			rc = read_verdict(p, check, item, out_why);
	}
	return rc;
}

enum key_type { KEY_NAMES, KEY_LIMIT };

static const struct {
	const char *name;
	enum key_type type;
	size_t offset;
} keys[] = {
	{"paths", KEY_NAMES, offsetof(struct guard_policy, paths)},
	{"dependencies", KEY_NAMES, offsetof(struct guard_policy, dependencies)},
	{"hosts", KEY_NAMES, offsetof(struct guard_policy, hosts)},
	{"max_files", KEY_LIMIT, offsetof(struct guard_policy, max_files)},
	{"max_lines", KEY_LIMIT, offsetof(struct guard_policy, max_lines)},
	{"max_line_bytes", KEY_LIMIT, offsetof(struct guard_policy, max_line_bytes)},
};

static int read_key(struct guard_policy *p, const char *key, const json_t *value,
		    struct why *out_why)
{
	if (str_eq(key, "verdicts"))
		return read_verdicts(p, value, out_why);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		void *field = (char *)p + keys[i].offset;
		if (!str_eq(key, keys[i].name))
			continue;
		return keys[i].type == KEY_NAMES ? read_names(field, key, value, out_why)
						 : read_limit(field, key, value, out_why);
	}
	return why_set(out_why, ERR_CONFIG,
		       "guard: %s: not one of verdicts, paths, dependencies, hosts, max_files, "
		       "max_lines, max_line_bytes",
		       key);
}

int guard_policy_parse(const json_t *json, const struct guard_policy *base,
		       struct guard_policy *out, struct why *out_why)
{
	static const struct guard_policy usual;
	struct guard_policy p;
	const char *key;
	json_t *value;
	int rc = 0;
	copy(base ? base : &usual, &p);
	if (json && !json_is_object(json) && !json_is_null(json))
		rc = why_set(out_why, ERR_CONFIG, "guard: must be a map");
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		if (!rc)
			rc = read_key(&p, key, value, out_why);
	}
	if (rc) {
		guard_policy_release(&p);
		return rc;
	}
	*out = p;
	return 0;
}
