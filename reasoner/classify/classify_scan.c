#include "reasoner/classify/classify_private.h"

/* What asking rules needs, for one call. */
struct asker {
	pcre2_match_data *data;
	pcre2_match_context *context;
	uint32_t *stamp;   /* by rule: the piece of text for which it is a candidate already */
	uint8_t *overruns; /* by rule */
	uint16_t *waiting; /* the candidates */
	size_t n_waiting;
	uint32_t piece;
};

/* ---- asking ---- */

static void asker_open(struct scan *s)
{
	size_t n = s->failures->n_rules;
	struct asker *a = s->asker = mem_alloc(sizeof(*a));
	a->data = pcre2_match_data_create(1, NULL);
	a->context = pcre2_match_context_create(NULL);
	if (!a->data || !a->context)
		abort();
	pcre2_set_match_limit(a->context, RULE_STEPS_MAX);
	pcre2_set_depth_limit(a->context, RULE_DEPTH_MAX);
	pcre2_set_heap_limit(a->context, RULE_HEAP_MAX_KIB);
	a->stamp = mem_calloc(n + 1, sizeof(*a->stamp));
	a->overruns = mem_calloc(n + 1, sizeof(*a->overruns));
	a->waiting = mem_calloc(n + 1, sizeof(*a->waiting));
	s->current = mem_calloc(n + 1, sizeof(*s->current));
}

static void asker_close(struct asker *a)
{
	if (!a)
		return;
	pcre2_match_data_free(a->data);
	pcre2_match_context_free(a->context);
	free(a->stamp);
	free(a->overruns);
	free(a->waiting);
	free(a);
}

static bool ask(struct asker *a, const struct failures *f, uint16_t rule, const struct line *l)
{
	const struct rule *r = &f->rules[rule];
	if (!r->regex)
		return true;
	if (a->overruns[rule] >= RULE_OVERRUNS_MAX)
		return false;
	int rc = pcre2_match(r->regex, (PCRE2_SPTR)l->text, l->len, 0, 0, a->data, a->context);
	a->overruns[rule] = (uint8_t)(a->overruns[rule] + (rc < PCRE2_ERROR_PARTIAL));
	return rc >= 0;
}

static bool has_word(const struct rule *r, const char *text)
{
	for (size_t i = 0; i < r->n_words; i++) {
		if (strcasestr(text, r->words[i]))
			return true;
	}
	return r->n_words == 0;
}

bool scan_text(struct scan *s, uint16_t rule, const char *text)
{
	struct line l = {.text = text, .len = strnlen(text, CLASSIFY_LINE_MAX_BYTES)};
	return has_word(&s->failures->rules[rule], text) && ask(s->asker, s->failures, rule, &l);
}

static void on_word(void *ctx, uint16_t rule)
{
	struct asker *a = ctx;
	if (a->stamp[rule] == a->piece)
		return;
	a->stamp[rule] = a->piece;
	a->waiting[a->n_waiting++] = rule;
}

/* ---- sections ---- */

static struct section *section_now(struct scan *s)
{
	return &s->sections[s->n_sections - 1];
}

static void section_begin(struct scan *s, uint32_t line, enum outcome outcome)
{
	if (s->n_sections == SECTIONS_MAX)
		return;
	if (s->n_sections == s->cap_sections) {
		s->cap_sections = s->cap_sections ? 2 * s->cap_sections : 32;
		s->sections = mem_realloc(s->sections, s->cap_sections * sizeof(*s->sections));
	}
	s->sections[s->n_sections++] =
		(struct section){.first_line = line, .last_line = line, .outcome = outcome};
	memset(s->current, 0, s->failures->n_rules * sizeof(*s->current));
}

static void command_add(struct scan *s, const struct line *l)
{
	struct section *now = section_now(s);
	size_t had = now->command ? strlen(now->command) : 0;
	/* The header of a step shows its first line twice. */
	if (had && had <= l->len && memcmp(now->command, l->text, had) == 0)
		had = 0;
	size_t more = MIN(l->len, (size_t)COMMAND_MAX_BYTES - MIN(had, (size_t)COMMAND_MAX_BYTES));
	now->command = mem_realloc(now->command, had + more + 2);
	if (had)
		now->command[had++] = '\n';
	memcpy(now->command + had, l->text, more);
	now->command[had + more] = '\0';
}

/* Where the pass is. */
struct pass {
	struct scan *scan;
	uint32_t line;
	unsigned header; /* so many more lines may be the command's text, up to a marker */
	bool settings;   /* of these lines, the rest is the command's settings */
	size_t group;    /* the section of the outermost command */
	bool steps;      /* the log marks which commands are outermost */
	bool outermost;  /* the next one is */
	struct last_lines last;
	bool post;   /* the job has failed: it only cleans up */
	bool failed; /* some section has */
};

static void on_command(struct pass *p, const struct line *l)
{
	if (p->post)
		return;
	section_begin(p->scan, p->line, OUTCOME_UNKNOWN);
	if (p->outermost)
		p->group = p->scan->n_sections - 1;
	p->outermost = false;
	p->last.n = 0;
	section_now(p->scan)->group = p->group;
	command_add(p->scan, l);
}

static void note_failed(struct pass *p)
{
	if (!p->failed)
		p->scan->last = p->last;
	p->failed = true;
}

/* The outermost command failed: who of those that it ran? */
static void on_failed(struct pass *p, const struct line *l)
{
	struct scan *s = p->scan;
	bool known = false;
	(void)l;
	if (p->post && p->failed)
		return;
	for (size_t i = p->group; i < s->n_sections; i++)
		known |= s->sections[i].outcome == OUTCOME_FAILED;
	for (size_t i = p->group; i < s->n_sections; i++) {
		if (s->sections[i].outcome == OUTCOME_UNKNOWN)
			s->sections[i].outcome = known ? OUTCOME_AROUND : OUTCOME_FAILED;
	}
	if (!known)
		section_now(s)->outcome = OUTCOME_FAILED;
	section_now(s)->last_line = p->line;
	note_failed(p);
}

/* A command says itself that it failed, or the runner shows an error. */
static void on_error(struct pass *p, const struct line *l)
{
	struct section *now = section_now(p->scan);
	(void)l;
	if (p->post && p->failed)
		return;
	now->outcome = OUTCOME_FAILED;
	now->last_line = p->line;
	note_failed(p);
}

static void on_passed(struct pass *p, const struct line *l)
{
	struct section *now = section_now(p->scan);
	(void)l;
	if (p->post)
		return;
	if (now->outcome == OUTCOME_UNKNOWN)
		now->outcome = OUTCOME_PASSED;
	section_begin(p->scan, p->line, OUTCOME_UNKNOWN);
	section_now(p->scan)->group = p->group;
}

static void on_post(struct pass *p, const struct line *l)
{
	(void)l;
	if (p->post)
		return;
	section_begin(p->scan, p->line, OUTCOME_POST);
	p->post = true;
}

static void (*const on_mark[])(struct pass *p, const struct line *l) = {
	[MARK_COMMAND] = on_command, [MARK_FAILED] = on_failed, [MARK_ERROR] = on_error,
	[MARK_PASSED] = on_passed,   [MARK_POST] = on_post,     [MARK_NOISE] = NULL,
};

/* ---- hits ---- */

struct piece {
	const char *raw;
	uint32_t len;
};

static void hit_add(struct pass *p, uint16_t rule, struct piece at, bool marked)
{
	struct scan *s = p->scan;
	uint32_t *current = &s->current[rule];
	if (!*current) {
		if (s->n_hits == HITS_MAX)
			return;
		if (s->n_hits == s->cap_hits) {
			s->cap_hits = s->cap_hits ? 2 * s->cap_hits : 64;
			s->hits = mem_realloc(s->hits, s->cap_hits * sizeof(*s->hits));
		}
		s->hits[s->n_hits] = (struct hit){.rule = rule,
						  .section = (uint32_t)s->n_sections - 1,
						  .first_line = p->line,
						  .first = at.raw,
						  .first_len = at.len};
		*current = (uint32_t)++s->n_hits;
	}
	struct hit *h = &s->hits[*current - 1];
	h->last = at.raw;
	h->last_len = at.len;
	h->last_line = p->line;
	h->marked |= marked;
}

static bool begins(const struct line *l, const char *with)
{
	size_t n = strlen(with);
	return l->len >= n && memcmp(l->text, with, n) == 0;
}

/* Is this line of a command's text or settings, not of its output? step: it begins one. */
static bool in_header(struct pass *p, const struct line *l, bool step)
{
	if (l->mark == MARK_COMMAND || l->mark == MARK_HEADER_END) {
		p->header = step ? HEADER_LINES_MAX : 0;
		p->settings = false;
		return false;
	}
	if (!p->header || l->mark != MARK_NONE)
		return false;
	p->header--;
	p->settings |= begins(l, "shell: ") || begins(l, "with:") || begins(l, "env:");
	if (!p->settings)
		command_add(p->scan, l);
	return true;
}

static void read_piece(struct pass *p, const char *raw, size_t len)
{
	struct line l;
	struct asker *a = p->scan->asker;
	line_read(raw, len, &l);
	bool step = l.mark == MARK_COMMAND && memmem(raw, len, "##[group]", 9);
	if (in_header(p, &l, step))
		return;
	p->steps |= step || l.mark == MARK_START;
	p->outermost |= step || l.mark == MARK_START || !p->steps;
	if (l.mark < ARRAY_SIZE(on_mark) && on_mark[l.mark])
		on_mark[l.mark](p, &l);
	if (l.mark != MARK_NONE && l.mark != MARK_ERROR && l.mark != MARK_FAILED)
		return;
	if (l.len && l.mark != MARK_FAILED)
		p->last.items[p->last.n++ % LAST_LINES] =
			(struct raw_line){raw, (uint32_t)len, p->line};
	a->piece++;
	a->n_waiting = 0;
	words_find(p->scan->failures->words, l.text, l.len, on_word, a);
	for (size_t i = 0; l.mark == MARK_ERROR && i < p->scan->failures->n_error_rules; i++)
		on_word(a, p->scan->failures->error_rules[i]);
	for (size_t i = 0; i < a->n_waiting; i++) {
		if (ask(a, p->scan->failures, a->waiting[i], &l))
			hit_add(p, a->waiting[i], (struct piece){raw, (uint32_t)len},
				l.mark == MARK_ERROR);
	}
}

/* A line whose beginning was written over, as progress is, has several pieces. */
static void read_line(struct pass *p, const char *raw, size_t len)
{
	p->line++;
	while (len > 0) {
		const char *end = memchr(raw, '\r', len);
		size_t n = end ? (size_t)(end - raw) : len;
		if (n > 0)
			read_piece(p, raw, n);
		if (!end)
			return;
		raw += n + 1;
		len -= n + 1;
	}
}

void scan_log(struct scan *s, const struct failures *f, const char *log, size_t len)
{
	struct pass p = {.scan = s};
	s->failures = f;
	while (len > CLASSIFY_LOG_MAX_BYTES) {
		const char *end = memchr(log, '\n', len);
		size_t n = end ? (size_t)(end - log) + 1 : len - CLASSIFY_LOG_MAX_BYTES;
		p.line += end != NULL;
		log += n;
		len -= n;
	}
	asker_open(s);
	section_begin(s, 1, OUTCOME_UNKNOWN);
	while (len > 0) {
		const char *end = memchr(log, '\n', len);
		size_t n = end ? (size_t)(end - log) : len;
		read_line(&p, log, n);
		if (!end)
			break;
		log += n + 1;
		len -= n + 1;
	}
	if (!p.failed)
		s->last = p.last;
	if (section_now(s)->outcome != OUTCOME_FAILED)
		section_now(s)->last_line = p.line;
}

void scan_release(struct scan *s)
{
	for (size_t i = 0; i < s->n_sections; i++)
		free(s->sections[i].command);
	free(s->sections);
	free(s->hits);
	free(s->current);
	asker_close(s->asker);
}
