/* A model's edits as changes. */
#include "executor/edits/edits.h"

#include "common/mem.h"
#include "executor/guards/guards.h"

static const enum guard_kind kinds[] = {[EDIT_CHANGE] = GUARD_MODIFY,
					[EDIT_CREATE] = GUARD_ADD,
					[EDIT_DELETE] = GUARD_DELETE,
					[EDIT_RENAME] = GUARD_RENAME};

static void add_lines(struct guard_line **lines, size_t *n, const struct edit_line *from,
		      size_t count, size_t number)
{
	*lines = mem_realloc(*lines, (*n + count + 1) * sizeof(**lines));
	for (size_t i = 0; i < count; i++)
		(*lines)[(*n)++] = (struct guard_line){
			.text = from[i].text, .len = from[i].len, .number = number + i};
}

static void add_hunk(struct guard_change *c, const struct edit_hunk *h)
{
	size_t first = 0, old_end = 0, new_end = 0;
	edit_hunk_core(h, &first, &old_end, &new_end);
	size_t at = h->at + 1 + first;
	add_lines(&c->removed, &c->n_removed, h->old + first, old_end - first, at);
	/* In a block the new lines come behind the old ones and a mark. */
	add_lines(&c->added, &c->n_added, h->new + first, new_end - first,
		  h->diff ? at : h->at + h->n_old + 2 + first);
}

void guard_changes_from_edits(const struct edits *e, struct guard_changes *out)
{
	*out = (struct guard_changes){.items = mem_calloc(e->n, sizeof(*out->items)), .n = e->n};
	for (size_t i = 0; i < e->n; i++) {
		const struct edit_file *f = &e->files[i];
		struct guard_change *c = &out->items[i];
		c->path = mem_strdup(f->path);
		c->old_path = mem_strdup(f->old_path);
		c->kind = kinds[f->kind];
		c->new_mode = f->mode ? 0100000 | f->mode : 0;
		for (size_t k = 0; k < f->n_hunks; k++)
			add_hunk(c, &f->hunks[k]);
	}
}
