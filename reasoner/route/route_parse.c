#include "reasoner/route/route_private.h"

#include "common/buf.h"
#include "common/yaml.h"

enum { SPECIALISTS_FILE_MAX_BYTES = 256 << 10 };

/* What the functions below need to know about where they are. */
struct parser {
	struct specialists *set;
	struct why *why;
};

#define ONLY_KEYS(p, node, ...)                                                                    \
	yaml_only_keys(node, (const char *const[]){__VA_ARGS__},                                   \
		       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (p)->why)

static int get_text(struct parser *p, const struct yaml_node *map, const char *key,
		    const char **out)
{
	const char *text = NULL;
	const struct yaml_node *node = yaml_get(map, key);
	if (!node)
		return yaml_error(map, p->why, "%s: missing", key);
	int rc = yaml_str(node, key, &text, p->why);
	if (!rc)
		*out = arena_strdup(&p->set->arena, text);
	return rc;
}

static int get_token(struct parser *p, const struct yaml_node *map, const char *key,
		     const char **out)
{
	int rc = get_text(p, map, key, out);
	if (!rc && !token_valid(*out))
		return yaml_error(yaml_get(map, key), p->why, "%s: A-Z a-z 0-9 _ - wanted", key);
	return rc;
}

static int get_specialist(struct parser *p, const struct yaml_node *map, const char *key,
			  const char **out)
{
	int rc = get_token(p, map, key, out);
	if (!rc && !specialist_about(p->set, *out))
		return yaml_error(yaml_get(map, key), p->why, "%s: no specialist is called %s", key,
				  *out);
	return rc;
}

static int get_words(struct parser *p, const struct yaml_node *map, const char *key,
		     struct route_words *out)
{
	const struct yaml_node *list = yaml_get(map, key);
	if (!list)
		return 0;
	if (list->type != YAML_LIST || list->count == 0 || list->count > ROUTE_WORDS_MAX)
		return yaml_error(list, p->why, "%s: a list of 1 to %d wanted", key,
				  ROUTE_WORDS_MAX);
	out->items = arena_alloc(&p->set->arena, list->count * sizeof(*out->items));
	YAML_EACH(node, list)
	{
		const char *text = NULL;
		int rc = yaml_str(node, key, &text, p->why);
		if (rc)
			return rc;
		out->items[out->n++] = arena_strdup(&p->set->arena, text);
	}
	return 0;
}

static int get_patterns(struct parser *p, const struct yaml_node *map, struct route_rule *out)
{
	struct route_words texts = {0};
	int code, rc = get_words(p, map, "log", &texts);
	PCRE2_SIZE at;
	if (rc || texts.n == 0)
		return rc;
	out->log = arena_alloc(&p->set->arena, texts.n * sizeof(pcre2_code *));
	for (size_t i = 0; i < texts.n; i++) {
		pcre2_code *re = pcre2_compile((PCRE2_SPTR)texts.items[i], PCRE2_ZERO_TERMINATED,
					       PCRE2_NEVER_UTF | PCRE2_MULTILINE, &code, &at, NULL);
		if (!re)
			return yaml_error(yaml_get(map, "log"), p->why,
					  "log: \"%s\" is no pattern, at %zu", texts.items[i],
					  (size_t)at);
		out->log[out->n_log++] = re;
	}
	return 0;
}

static int get_bool(struct parser *p, const struct yaml_node *map, const char *key, bool *out)
{
	const struct yaml_node *node = yaml_get(map, key);
	return node ? yaml_bool(node, key, out, p->why) : 0;
}

static int fill_rule(struct parser *p, const struct yaml_node *map, struct route_rule *out)
{
	const struct yaml_node *priority = yaml_get(map, "priority");
	int rc = ONLY_KEYS(p, map, "name", "priority", "failure_types", "labels", "workflows",
			   "jobs", "log", "files", "all_files", "specialist", "fixed");
	if (rc || (rc = get_token(p, map, "name", &out->name)) ||
	    (rc = get_specialist(p, map, "specialist", &out->specialist)) ||
	    (rc = get_words(p, map, "failure_types", &out->types)) ||
	    (rc = get_words(p, map, "labels", &out->labels)) ||
	    (rc = get_words(p, map, "workflows", &out->workflows)) ||
	    (rc = get_words(p, map, "jobs", &out->jobs)) ||
	    (rc = get_words(p, map, "files", &out->files)) || (rc = get_patterns(p, map, out)) ||
	    (rc = get_bool(p, map, "all_files", &out->all_files)))
		return rc;
	if (priority && (rc = yaml_int(priority, "priority", 0, 1000, &out->priority, p->why)))
		return rc;
	return get_bool(p, map, "fixed", &out->fixed);
}

static int parse_routes(struct parser *p, const struct yaml_node *root)
{
	struct specialists *s = p->set;
	const struct yaml_node *list = yaml_get(root, "routes");
	if (!list)
		return 0;
	if (list->type != YAML_LIST || list->count > ROUTES_MAX)
		return yaml_error(list, p->why, "routes: a list of at most %d wanted", ROUTES_MAX);
	s->rules = mem_calloc(list->count, sizeof(*s->rules));
	YAML_EACH(node, list)
	{
		struct route_rule *rule = &s->rules[s->n_rules];
		rule->priority = 100;
		rule->order = s->n_rules++;
		if (node->type != YAML_MAP)
			return yaml_error(node, p->why, "routes: each is a map");
		int rc = fill_rule(p, node, rule);
		if (rc)
			return rc;
	}
	return 0;
}

static int parse_specialists(struct parser *p, const struct yaml_node *root)
{
	struct specialists *s = p->set;
	const struct yaml_node *map = yaml_get(root, "specialists");
	if (!map || map->type != YAML_MAP || map->count == 0 || map->count > SPECIALISTS_MAX)
		return yaml_error(map ? map : root, p->why,
				  "specialists: a map of 1 to %d wanted: name: what for",
				  SPECIALISTS_MAX);
	s->items = mem_calloc(map->count, sizeof(*s->items));
	YAML_EACH(node, map)
	{
		struct specialist *one = &s->items[s->n];
		const char *about = NULL;
		int rc = yaml_str(node, node->key, &about, p->why);
		if (rc)
			return rc;
		if (!token_valid(node->key))
			return yaml_error(node, p->why, "%s: A-Z a-z 0-9 _ - wanted", node->key);
		one->name = arena_strdup(&s->arena, node->key);
		one->about = arena_strdup(&s->arena, about);
		s->n++;
	}
	return get_specialist(p, root, "otherwise", &s->otherwise);
}

static int parse_learned(struct parser *p, const struct yaml_node *root)
{
	const struct yaml_node *map = yaml_get(root, "learned");
	const struct yaml_node *trials = yaml_get(map, "trials"), *gain = yaml_get(map, "gain");
	int rc;
	if (!map)
		return 0;
	if (map->type != YAML_MAP)
		return yaml_error(map, p->why, "learned: a map wanted");
	if ((rc = ONLY_KEYS(p, map, "trials", "gain")))
		return rc;
	if (trials && (rc = yaml_int(trials, "trials", 0, 100000, &p->set->learned_trials, p->why)))
		return rc;
	return gain ? yaml_double(gain, "gain", 0, 1, &p->set->learned_gain, p->why) : 0;
}

static int parse_root(struct parser *p, const struct yaml_node *root)
{
	int rc;
	if (root->type != YAML_MAP)
		return yaml_error(root, p->why, "a map of specialists and routes wanted");
	if ((rc = ONLY_KEYS(p, root, "specialists", "otherwise", "routes", "learned")) ||
	    (rc = parse_specialists(p, root)) || (rc = parse_learned(p, root)))
		return rc;
	return parse_routes(p, root);
}

static int by_priority(const void *a, const void *b)
{
	const struct route_rule *x = a, *y = b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void auto_doc_release(struct yaml_doc *doc)
{
	yaml_release(doc);
}

int specialists_load(const char *path, struct specialists **out, struct why *out_why)
{
	auto_buf text = {0};
	__attribute__((cleanup(auto_doc_release))) struct yaml_doc doc = {0};
	int rc = buf_read_file(&text, path, SPECIALISTS_FILE_MAX_BYTES);
	if (rc)
		return why_set(out_why, ERR_CONFIG, "%s: %s", path, err_name(rc));
	if ((rc = yaml_parse_text(path, buf_str(&text), text.len, &doc, out_why)))
		return rc;
	struct specialists *s = mem_alloc(sizeof(*s));
	struct parser p = {.set = s, .why = out_why};
	s->learned_trials = 8;
	s->learned_gain = 0.25;
	rc = parse_root(&p, doc.root);
	if (rc) {
		specialists_free(s);
		return rc;
	}
	if (s->n_rules)
		qsort(s->rules, s->n_rules, sizeof(*s->rules), by_priority);
	*out = s;
	return 0;
}

void specialists_free(struct specialists *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_rules; i++) {
		for (size_t k = 0; k < s->rules[i].n_log; k++)
			pcre2_code_free(s->rules[i].log[k]);
	}
	free(s->rules);
	free(s->items);
	arena_release(&s->arena);
	free(s);
}

const char *specialist_about(const struct specialists *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (str_eq(s->items[i].name, name))
			return s->items[i].about;
	}
	return NULL;
}

size_t specialists_count(const struct specialists *s)
{
	return s->n;
}

const char *specialists_name(const struct specialists *s, size_t i)
{
	return s->items[i].name;
}
