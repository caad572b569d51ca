#include "notifier/api.h"
#include "notifier/view.h"

#include <strings.h>

/* Looking through what the projection holds of incidents, newest first. */

enum {
	SEARCH_LIMIT_DEFAULT = 50,
	SEARCH_LIMIT_MAX = 500,
	SEARCHED_MAX = 20000, /* incidents looked at; what is older is found by its id */
	WORDS_MAX = 8,
	QUERY_MAX_BYTES = 256,
};

struct search {
	struct store_txn *txn;
	char *words[WORDS_MAX];
	size_t n_words;
	size_t limit, looked;
	json_t *found;
};

static bool text_has(const char *text, const char *word)
{
	return strcasestr(text, word) != NULL;
}

/* In any string below, and in names of labels; names of our own fields find nothing. */
static bool json_has(json_t *j, const char *word)
{
	const char *name;
	json_t *child;
	size_t i;
	if (json_is_string(j))
		return text_has(json_string_value(j), word);
	json_array_foreach(j, i, child)
	{
		if (json_has(child, word))
			return true;
	}
	json_object_foreach(j, name, child)
	{
		if (json_has(child, word))
			return true;
	}
	return false;
}

static bool labels_have(const json_t *incident, const char *word)
{
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(incident, "labels"), name, value)
	{
		if (text_has(name, word))
			return true;
	}
	return false;
}

static bool all_words(const struct search *s, json_t *incident)
{
	for (size_t i = 0; i < s->n_words; i++)
		if (!json_has(incident, s->words[i]) && !labels_have(incident, s->words[i]))
			return false;
	return true;
}

static int search_visit(void *ctx, const void *key, size_t key_len, struct store_val val UNUSED)
{
	struct search *s = ctx;
	char id[TOKEN_MAX + 1] = "";
	if (key_len <= 8 || key_len - 8 > TOKEN_MAX)
		return 0;
	memcpy(id, (const char *)key + 8, key_len - 8);
	json_t *incident = view_incident(s->txn, id);
	s->looked++;
	if (incident && all_words(s, incident)) {
		json_object_del(incident, "events");
		json_array_append(s->found, incident);
	}
	json_decref(incident);
	return json_array_size(s->found) >= s->limit || s->looked >= SEARCHED_MAX;
}

static void words_cut(struct search *s, char *text)
{
	char *rest = NULL;
	for (char *word = strtok_r(text, " \t", &rest); word && s->n_words < WORDS_MAX;
	     word = strtok_r(NULL, " \t", &rest))
		s->words[s->n_words++] = word;
}

/* GET /api/search?q=&limit= */
void api_search(struct api_call *call)
{
	struct why why = {0};
	const char *q = http_query(call->req, "q");
	struct search s = {
		.limit = api_limit(call, "limit", SEARCH_LIMIT_DEFAULT, SEARCH_LIMIT_MAX)};
	auto_free char *text = mem_strdup(q ? q : "");
	if (strlen(text) <= QUERY_MAX_BYTES)
		words_cut(&s, text);
	if (s.n_words == 0) {
		why_set(&why, ERR_INVALID, "q: say what to look for, in at most %d bytes",
			QUERY_MAX_BYTES);
		api_fail(call, ERR_INVALID, &why);
		return;
	}
	struct store_range range = {.backwards = true};
	auto_txn txn = api_read(call);
	s.txn = txn;
	s.found = json_array();
	store_each(txn, &table_by_time, &range, search_visit, &s);
	api_reply(call, 200,
		  json_pack("{s:o,s:I}", "incidents", s.found, "looked_at", (json_int_t)s.looked));
}
