#include "reasoner/prompt/prompt.h"

#include <ctype.h>
#include <dirent.h>
#include <pthread.h>

#include "common/expr.h"
#include "common/mem.h"
#include "reasoner/prompt/prompt_private.h"

enum { FILES_MAX = 64 };

struct prompt_file {
	char *name; /* without .md */
	struct template *text;
};

struct prompts {
	pthread_mutex_t lock; /* libjq keeps state in a compiled template */
	struct prompt_file files[FILES_MAX];
	size_t n;
};

/* Every field of a view, filled. What a template names must be here. */
static const char sample_json[] =
	"{\"nonce\":\"0\",\"attempt\":2,\"max_attempts\":3,"
	"\"limits\":{\"edits_bytes\":1,\"files\":1,\"steps\":1,\"ci_files\":false},"
	"\"incident\":{\"id\":\"i\",\"title\":\"t\",\"severity\":\"error\",\"firing\":1,"
	"\"labels\":{\"repository\":\"o/r\"},\"annotations\":{\"step\":\"s\"},"
	"\"events\":[{\"name\":\"n\",\"source\":\"s\",\"status\":\"firing\",\"labels\":{}}]},"
	"\"diagnosis\":{\"failure_type\":\"f\",\"specialist\":\"rex\",\"confidence\":0.5,\"route\":"
	"\"r\","
	"\"evidence\":[{\"source\":\"log\",\"line\":1,\"text\":\"t\",\"rule\":\"r\"}],"
	"\"considered\":[{\"failure_type\":\"f\",\"specialist\":\"rex\",\"confidence\":0.5},"
	"{\"failure_type\":\"g\",\"specialist\":\"rex\",\"confidence\":0.1}],\"missing\":[\"m\"],"
	"\"recalled\":[{\"failure_type\":\"f\",\"specialist\":\"rex\",\"similarity\":0.5,"
	"\"healed\":true,\"what\":\"w\",\"took_ms\":1}]},"
	"\"log\":\"l\",\"context\":[{\"source\":\"s\",\"title\":\"t\",\"text\":\"x\"}],"
	"\"files\":[\"f\"],\"statistics\":[{\"specialist\":\"rex\",\"successes\":1,\"failures\":1}]"
	","
	"\"tried\":[{\"number\":1,\"specialist\":\"rex\",\"failure_type\":\"f\",\"verdict\":"
	"\"failed\","
	"\"what\":\"w\",\"reason\":\"r\",\"detail\":\"d\",\"edits\":\"e\"}],"
	"\"tools\":[{\"name\":\"n\",\"summary\":\"s\",\"level\":\"soft\",\"params\":[\"p:int\"]}],"
	"\"cut\":[\"c\"]}";

json_t *prompt_sample(void)
{
	return json_loads(sample_json, 0, NULL);
}

void prompts_free(struct prompts *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		free(p->files[i].name);
		template_free(p->files[i].text);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct prompt_file *file_of(struct prompts *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->files[i].name, name))
			return &p->files[i];
	return NULL;
}

/* ---- names of fields ---- */

static bool names_field(const json_t *value, const char *name)
{
	const char *key = NULL;
	json_t *item = NULL;
	size_t i = 0;
	json_object_foreach((json_t *)(uintptr_t)value, key, item)
	{
		if (str_eq(key, name) || names_field(item, name))
			return true;
	}
	json_array_foreach(value, i, item)
	{
		if (names_field(item, name))
			return true;
	}
	return false;
}

static bool name_start(char c)
{
	return isalpha((unsigned char)c) || c == '_';
}

/* Names in one {{ }} part; those behind .labels and .annotations are outsiders'. */
static int check_part(const char *s, const char *end, const json_t *sample, struct why *out_why)
{
	bool free_name = false;
	for (; s < end; s++) {
		if (*s != '.' || s + 1 >= end || !name_start(s[1]))
			continue;
		char name[64] = {0};
		size_t n = 0;
		while (s + 1 + n < end && n < sizeof(name) - 1 &&
		       (name_start(s[1 + n]) || isdigit((unsigned char)s[1 + n])))
			n++;
		memcpy(name, s + 1, n);
		bool known =
			str_eq(name, "key") || str_eq(name, "value") || names_field(sample, name);
		if (!known && !free_name)
			return why_set(out_why, ERR_CONFIG, ".%s: a view has no such field", name);
		free_name = str_eq(name, "labels") || str_eq(name, "annotations");
		s += n;
	}
	return 0;
}

static int check_names(const char *source, const json_t *sample, struct why *out_why)
{
	for (const char *s = strstr(source, "{{"); s; s = strstr(s, "{{")) {
		const char *end = strstr(s, "}}");
		if (!end)
			return 0;
		int rc = check_part(s + 2, end, sample, out_why);
		if (rc)
			return rc;
		s = end + 2;
	}
	return 0;
}

/* ---- loading ---- */

static int compile(const char *source, struct template **out, struct why *out_why)
{
	json_t *sample = prompt_sample();
	auto_buf text = {0};
	int rc = template_compile(source, out, out_why);
	if (!rc)
		rc = check_names(source, sample, out_why);
	if (!rc)
		rc = template_render(*out, sample, &text, out_why);
	json_decref(sample);
	return rc;
}

static int load_file(struct prompts *p, const char *dir, const char *entry, struct why *out_why)
{
	auto_free char *path = mem_printf("%s/%s", dir, entry);
	auto_free char *name = mem_dup(entry, strlen(entry) - strlen(".md"));
	auto_buf source = {0};
	struct template *text = NULL;
	int rc = buf_read_file(&source, path, PROMPT_FILE_MAX_BYTES);
	if (rc)
		return why_set(out_why, ERR_CONFIG, "%s: cannot be read, or over %d bytes", path,
			       PROMPT_FILE_MAX_BYTES);
	rc = compile(buf_str(&source), &text, out_why);
	struct prompt_file *f = file_of(p, name);
	if (!rc && !f && p->n == FILES_MAX)
		rc = why_set(out_why, ERR_TOO_LARGE, "more than %d prompts", FILES_MAX);
	if (rc) {
		template_free(text);
		return why_prefix(out_why, ERR_CONFIG, "%s", path);
	}
	if (!f) {
		f = &p->files[p->n++];
		f->name = mem_strdup(name);
	}
	template_free(f->text);
	f->text = text;
	return 0;
}

static int is_prompt(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 3 && entry->d_name[0] != '.' && str_eq(entry->d_name + len - 3, ".md");
}

static int load_dir(struct prompts *p, const char *dir, struct why *out_why)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_prompt, alphasort);
	if (n < 0)
		return why_set(out_why, ERR_NOT_FOUND, "%s: no such directory of prompts", dir);
	int rc = 0;
	for (int i = 0; i < n; i++) {
		if (!rc)
			rc = load_file(p, dir, entries[i]->d_name, out_why);
		free(entries[i]);
	}
	free((void *)entries);
	return rc;
}

int prompts_load(const char *dir, const char *local_dir, struct prompts **out, struct why *out_why)
{
	static const char *const needed[] = {"system", "agent",      "task",
					     "retry",  "operations", "atlas"};
	struct prompts *p = mem_alloc(sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	int rc = load_dir(p, dir, out_why);
	if (!rc && local_dir && *local_dir)
		rc = load_dir(p, local_dir, out_why);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(needed); i++)
		if (!file_of(p, needed[i]))
			rc = why_set(out_why, ERR_NOT_FOUND, "%s/%s.md: missing", dir, needed[i]);
	if (rc) {
		prompts_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

/* ---- rendering ---- */

static int render(struct prompts *p, const char *name, const json_t *view, struct buf *out,
		  struct why *out_why)
{
	const struct prompt_file *f = file_of(p, name);
	if (!f)
		return why_set(out_why, ERR_INTERNAL, "%s.md: not loaded", name);
	int rc = template_render(f->text, view, out, out_why);
	buf_add_char(out, '\n');
	return rc ? why_prefix(out_why, rc, "%s.md", name) : 0;
}

struct audience {
	const char *rules; /* file */
	const char *specialist;
};

static int render_all(struct prompts *prompts, const struct audience *a, const json_t *view,
		      struct prompt_text *out, struct why *out_why)
{
	const json_t *labels = json_object_get(json_object_get(view, "incident"), "labels");
	const char *who = json_object_get(labels, "repository") ? a->specialist : "operations";
	if (!who || !file_of(prompts, who))
		who = "atlas";
	int rc = render(prompts, a->rules, view, &out->system, out_why);
	if (!rc)
		rc = render(prompts, who, view, &out->system, out_why);
	if (!rc)
		rc = render(prompts, "task", view, &out->user, out_why);
	if (!rc && json_integer_value(json_object_get(view, "attempt")) > 1)
		rc = render(prompts, "retry", view, &out->user, out_why);
	return rc;
}

static int render_locked(struct prompts *prompts, const struct audience *a, const json_t *view,
			 struct prompt_text *out, struct why *out_why)
{
	pthread_mutex_lock(&prompts->lock);
	int rc = render_all(prompts, a, view, out, out_why);
	pthread_mutex_unlock(&prompts->lock);
	size_t bytes = out->system.len + out->user.len;
	if (!rc && bytes > WIRE_PROMPT_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "the prompt has %zu bytes, more than %d",
			       bytes, WIRE_PROMPT_MAX);
	return rc;
}

int prompt_render(struct prompts *prompts, const char *specialist, const json_t *view,
		  struct prompt_text *out, struct why *out_why)
{
	const struct audience a = {.rules = "system", .specialist = specialist};
	return render_locked(prompts, &a, view, out, out_why);
}

int prompt_render_agent(struct prompts *prompts, const char *specialist, const json_t *view,
			struct prompt_text *out, struct why *out_why)
{
	const struct audience a = {.rules = "agent", .specialist = specialist};
	return render_locked(prompts, &a, view, out, out_why);
}

void prompt_text_release(struct prompt_text *t)
{
	buf_release(&t->system);
	buf_release(&t->user);
}

/* ---- answers ---- */

static int restore_field(const struct placeholders *p, json_t *object, const char *name,
			 enum restore where)
{
	auto_buf text = {0};
	json_t *value = json_object_get(object, name);
	if (!json_is_string(value))
		return 0;
	int rc = placeholders_restore(p, json_string_value(value), where, &text, NULL);
	/* Only people's may hold bytes that are no UTF-8, or control characters. */
	auto_free char *clean = rc ? NULL : wire_text(NULL, buf_str(&text), text.len, text.len);
	if (!rc)
		json_string_set(value, clean);
	return rc;
}

static int restore_step(const struct placeholders *p, json_t *step)
{
	json_t *params = json_object_get(step, "params"), *item = NULL;
	const char *key = NULL;
	size_t i = 0;
	int rc = restore_field(p, step, "target", RESTORE_PARAM);
	json_array_foreach(params, i, item)
	{
		if (!rc)
			rc = restore_field(p, item, "value", RESTORE_PARAM);
	}
	json_object_foreach(params, key, item)
	{
		if (!rc)
			rc = restore_field(p, params, key, RESTORE_PARAM);
	}
	return rc;
}

int prompt_restore(const struct placeholders *p, json_t *answer, struct why *out_why)
{
	static const struct {
		const char *name;
		enum restore where;
	} fields[] = {{"analysis", RESTORE_PEOPLE},
		      {"title", RESTORE_PEOPLE},
		      {"give_up", RESTORE_PEOPLE},
		      {"edits", RESTORE_EDITS}};
	json_t *steps = json_object_get(answer, "steps"), *step = NULL;
	size_t i = 0;
	for (size_t f = 0; f < ARRAY_SIZE(fields); f++)
		if (restore_field(p, answer, fields[f].name, fields[f].where))
			return why_set(out_why, ERR_DENIED,
				       "%s: a placeholder that may not be used there",
				       fields[f].name);
	json_array_foreach(steps, i, step)
	{
		if (restore_step(p, step))
			return why_set(out_why, ERR_DENIED,
				       "steps[%zu]: a placeholder that may not be used there", i);
	}
	return 0;
}
