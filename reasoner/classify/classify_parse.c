#include "reasoner/classify/classify_private.h"

#include "common/yaml.h"

#include <dirent.h>
#include <sys/stat.h>

enum {
	FAILURES_FILE_MAX_BYTES = 1 << 20,
	NAME_MAX_BYTES = 63,
	PATTERN_MAX_BYTES = 1024,
};

static const double weight_max = 20;

const char *const place_names[PLACES] = {
	[PLACE_LOG] = "log",           [PLACE_ERROR] = "error", [PLACE_COMMAND] = "command",
	[PLACE_WORKFLOW] = "workflow", [PLACE_JOB] = "job",     [PLACE_STEP] = "step",
	[PLACE_FILES] = "files",       [PLACE_ALERT] = "alert",
};

/* What the functions below need to know about where they are. */
struct parser {
	struct failures *f;
	struct why *why;
	uint16_t owner;
	bool of_family;
};

#define ONLY_KEYS(p, node, ...)                                                                    \
	yaml_only_keys(node, (const char *const[]){__VA_ARGS__},                                   \
		       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (p)->why)

static bool name_valid(const char *s)
{
	size_t len = strlen(s);
	return *s >= 'a' && *s <= 'z' && len <= NAME_MAX_BYTES &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static int get_name(struct parser *p, const struct yaml_node *map, const char *key,
		    const char **out)
{
	const char *text = NULL;
	const struct yaml_node *node = yaml_get(map, key);
	if (!node)
		return yaml_error(map, p->why, "%s: missing", key);
	int rc = yaml_str(node, key, &text, p->why);
	if (rc)
		return rc;
	if (!name_valid(text))
		return yaml_error(node, p->why, "%s: a-z 0-9 _ wanted, at most %d", key,
				  NAME_MAX_BYTES);
	*out = arena_strdup(&p->f->arena, text);
	return 0;
}

/* ---- rules ---- */

static int parse_pattern(struct parser *p, const struct yaml_node *map, struct rule *out)
{
	const struct yaml_node *node = yaml_get(map, "match");
	const char *text = NULL;
	int code, rc = node ? yaml_str(node, "match", &text, p->why) : 0;
	PCRE2_SIZE at;
	if (rc || !node)
		return rc;
	if (strlen(text) > PATTERN_MAX_BYTES)
		return yaml_error(node, p->why, "match: at most %d bytes", PATTERN_MAX_BYTES);
	/* Bytes, not characters: a log may be in any encoding, or in none. */
	out->regex = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
				   PCRE2_NEVER_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
	if (out->regex)
		return 0;
	unsigned char message[160] = "";
	pcre2_get_error_message(code, message, sizeof(message));
	return yaml_error(node, p->why, "match: %s at %zu", (const char *)message, (size_t)at);
}

static int add_word(struct parser *p, const struct yaml_node *node, struct rule *out)
{
	const char *word = NULL;
	int rc = yaml_str(node, "words", &word, p->why);
	if (rc)
		return rc;
	size_t len = strlen(word);
	if (len < WORD_MIN_BYTES || len > WORD_MAX_BYTES)
		return yaml_error(node, p->why, "words: \"%s\": %d to %d bytes wanted", word,
				  WORD_MIN_BYTES, WORD_MAX_BYTES);
	out->words[out->n_words++] = arena_strdup(&p->f->arena, word);
	if (out->place == PLACE_LOG && words_add(p->f->words, word, (uint16_t)p->f->n_rules))
		return yaml_error(node, p->why, "words: too many, over all files");
	return 0;
}

static int parse_words(struct parser *p, const struct yaml_node *map, struct rule *out)
{
	const struct yaml_node *node = yaml_get(map, "words");
	int rc = 0;
	if (!node && out->place == PLACE_LOG)
		return yaml_error(map, p->why,
				  "words: missing; words of which one is in each line "
				  "that match matches");
	if (!node)
		return out->regex ? 0 : yaml_error(map, p->why, "words or match: missing");
	if (node->type != YAML_LIST || node->count == 0)
		return yaml_error(node, p->why, "words: a list of words wanted");
	out->words = arena_alloc(&p->f->arena, node->count * sizeof(*out->words));
	if (!out->words)
		return yaml_error(node, p->why, "words: too many, over all files");
	YAML_EACH(word, node)
	{
		rc = rc ? rc : add_word(p, word, out);
	}
	return rc;
}

static int parse_place(struct parser *p, const struct yaml_node *map, struct rule *out)
{
	const struct yaml_node *node = yaml_get(map, "in");
	const char *text = "log";
	int rc = node ? yaml_str(node, "in", &text, p->why) : 0;
	if (rc)
		return rc;
	for (size_t i = 0; i < PLACES; i++) {
		if (str_eq(text, place_names[i])) {
			out->place = (enum place)i;
			return 0;
		}
	}
	return yaml_error(node, p->why,
			  "in: log, error, command, workflow, job, step, files or alert wanted");
}

static int fill_rule(struct parser *p, const struct yaml_node *map, struct rule *out)
{
	const struct yaml_node *weight = yaml_get(map, "weight");
	int rc = ONLY_KEYS(p, map, "name", "in", "words", "match", "weight", "anywhere");
	if (rc || (rc = get_name(p, map, "name", &out->name)) || (rc = parse_place(p, map, out)) ||
	    (rc = parse_pattern(p, map, out)) || (rc = parse_words(p, map, out)))
		return rc;
	if (!weight)
		return yaml_error(map, p->why, "weight: missing");
	if ((rc = yaml_double(weight, "weight", -weight_max, weight_max, &out->weight, p->why)))
		return rc;
	const struct yaml_node *anywhere = yaml_get(map, "anywhere");
	return anywhere ? yaml_bool(anywhere, "anywhere", &out->anywhere, p->why) : 0;
}

static void add_error_rule(struct failures *f)
{
	size_t size = (f->n_error_rules + 1) * sizeof(*f->error_rules);
	f->error_rules = mem_realloc(f->error_rules, size);
	f->error_rules[f->n_error_rules++] = (uint16_t)f->n_rules;
}

static int parse_rules(struct parser *p, const struct yaml_node *list)
{
	struct failures *f = p->f;
	if (!list)
		return 0;
	if (list->type != YAML_LIST)
		return yaml_error(list, p->why, "rules: a list wanted");
	YAML_EACH(node, list)
	{
		struct rule rule = {.owner = p->owner, .of_family = p->of_family};
		if (f->n_rules == FAILURE_RULES_MAX)
			return yaml_error(node, p->why, "rules: at most %d", FAILURE_RULES_MAX);
		if (node->type != YAML_MAP)
			return yaml_error(node, p->why, "rules: each is a map");
		int rc = fill_rule(p, node, &rule);
		if (rc) {
			pcre2_code_free(rule.regex);
			return rc;
		}
		f->rules = mem_realloc(f->rules, (f->n_rules + 1) * sizeof(*f->rules));
		if (rule.place == PLACE_ERROR)
			add_error_rule(f);
		f->rules[f->n_rules++] = rule;
	}
	return 0;
}

/* ---- types and families ---- */

static int fill_type(struct parser *p, const struct yaml_node *map, struct failure_type *out)
{
	const struct yaml_node *base = yaml_get(map, "base");
	const char *title = NULL;
	if (!name_valid(map->key))
		return yaml_error(map, p->why, "%s: a-z 0-9 _ wanted", map->key);
	if (map->type != YAML_MAP)
		return yaml_error(map, p->why, "%s: a map wanted", map->key);
	for (size_t i = 0; i < p->f->n_types; i++) {
		if (str_eq(p->f->types[i].name, map->key))
			return yaml_error(map, p->why, "%s: is there already", map->key);
	}
	int rc = ONLY_KEYS(p, map, "title", "base", "rules");
	if (rc || (rc = yaml_str(yaml_get(map, "title"), "title", &title, p->why)))
		return rc;
	out->name = arena_strdup(&p->f->arena, map->key);
	out->title = arena_strdup(&p->f->arena, title);
	return base ? yaml_double(base, "base", -weight_max, weight_max, &out->base, p->why) : 0;
}

static int parse_types(struct parser *p, const struct yaml_node *root)
{
	struct failures *f = p->f;
	const struct yaml_node *map = yaml_get(root, "types");
	if (!map || map->type != YAML_MAP || map->count == 0)
		return yaml_error(map ? map : root, p->why, "types: a map of failure types wanted");
	YAML_EACH(node, map)
	{
		struct failure_type type = {.family = (uint16_t)(f->n_families - 1)};
		if (f->n_types == FAILURE_TYPES_MAX)
			return yaml_error(node, p->why, "types: at most %d", FAILURE_TYPES_MAX);
		int rc = fill_type(p, node, &type);
		if (rc)
			return rc;
		p->owner = (uint16_t)f->n_types;
		p->of_family = false;
		f->types = mem_realloc(f->types, (f->n_types + 1) * sizeof(*f->types));
		f->types[f->n_types++] = type;
		if ((rc = parse_rules(p, yaml_get(node, "rules"))))
			return rc;
	}
	return 0;
}

static int parse_family(struct parser *p, const struct yaml_node *root)
{
	struct failures *f = p->f;
	struct family family = {.file = arena_strdup(&f->arena, root->file ? root->file : "")};
	const struct yaml_node *base = yaml_get(root, "base");
	int rc = ONLY_KEYS(p, root, "family", "label", "base", "rules", "types");
	if (rc || (rc = get_name(p, root, "family", &family.name)) ||
	    (rc = get_name(p, root, "label", &family.label)))
		return rc;
	if (base && (rc = yaml_double(base, "base", -weight_max, weight_max, &family.base, p->why)))
		return rc;
	if (f->n_families == FAILURE_FAMILIES_MAX)
		return yaml_error(root, p->why, "family: at most %d", FAILURE_FAMILIES_MAX);
	p->owner = (uint16_t)f->n_families;
	p->of_family = true;
	f->families = mem_realloc(f->families, (f->n_families + 1) * sizeof(*f->families));
	f->families[f->n_families++] = family;
	if ((rc = parse_rules(p, yaml_get(root, "rules"))))
		return rc;
	return parse_types(p, root);
}

static void auto_doc_release(struct yaml_doc *doc)
{
	yaml_release(doc);
}

int failures_parse_text(struct failures *f, const char *name, const struct buf *text,
			struct why *out_why)
{
	__attribute__((cleanup(auto_doc_release))) struct yaml_doc doc = {0};
	struct parser p = {.f = f, .why = out_why};
	int rc = yaml_parse_text(name, buf_str(text), text->len, &doc, out_why);
	if (rc)
		return rc;
	if (doc.root->type != YAML_MAP)
		return why_set(out_why, ERR_CONFIG, "%s:1: a family of failure types is a map",
			       name);
	return parse_family(&p, doc.root);
}

static int failures_parse(struct failures *f, const char *path, struct why *out_why)
{
	auto_buf text = {0};
	int rc = buf_read_file(&text, path, FAILURES_FILE_MAX_BYTES);
	if (rc)
		return why_set(out_why, ERR_CONFIG, "%s: %s", path, err_name(rc));
	return failures_parse_text(f, path, &text, out_why);
}

/* ---- a directory of them ---- */

static int is_yaml(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && len > 5 && str_eq(entry->d_name + len - 5, ".yaml");
}

static int load_dir(struct failures *f, const char *dir, struct why *out_why)
{
	struct dirent **names = NULL;
	int rc = 0, n = scandir(dir, &names, is_yaml, alphasort);
	if (n < 0)
		return why_set(out_why, ERR_CONFIG, "%s: cannot read the directory", dir);
	for (int i = 0; i < n; i++) {
		auto_free char *path = mem_printf("%s/%s", dir, names[i]->d_name);
		rc = rc ? rc : failures_parse(f, path, out_why);
		free(names[i]);
	}
	free(names);
	return rc;
}

int failures_load(const char *path, struct failures **out, struct why *out_why)
{
	struct stat st;
	struct failures *f = mem_alloc(sizeof(*f));
	f->words = words_new();
	bool dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	int rc = dir ? load_dir(f, path, out_why) : failures_parse(f, path, out_why);
	if (!rc && f->n_types == 0)
		rc = why_set(out_why, ERR_CONFIG, "%s: no failure types in it", path);
	if (rc) {
		failures_free(f);
		return rc;
	}
	words_build(f->words);
	*out = f;
	return 0;
}

void failures_free(struct failures *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_rules; i++)
		pcre2_code_free(f->rules[i].regex);
	words_free(f->words);
	free(f->rules);
	free(f->error_rules);
	free(f->types);
	free(f->families);
	arena_release(&f->arena);
	free(f);
}
