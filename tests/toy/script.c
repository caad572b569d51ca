#include "tests/toy/script.h"

#include "common/mem.h"
#include "tests/toy/toy.h"

#include <ftw.h>
#include <setjmp.h>
#include <cmocka.h>

static char *dir;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int script_make_dir(void **state)
{
	(void)state;
	dir = mem_strdup("/tmp/test_fold.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

int script_drop_dir(void **state)
{
	(void)state;
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
	return 0;
}

struct fold *open_in(const char *name)
{
	struct fold *f = NULL;
	struct why why = {0};
	auto_free char *path = mem_printf("%s/%s", dir, name);
	struct fold_options o = {
		.dir = path, .partition = 3, .no_sync = true, .retain_ms = RETAIN_MS};
	int rc = fold_open(&toy_fold, &o, &f, &why);
	if (rc)
		print_message("fold_open: %s\n", why.text);
	assert_int_equal(rc, 0);
	return f;
}

void script_add(struct script *s, const char *name, int64_t at_ms)
{
	struct buf data = {0};
	unsigned number = (unsigned)s->n + 1;
	toy_event(&data, name, number);
	s->msgs = mem_realloc(s->msgs, (s->n + 1) * sizeof(*s->msgs));
	s->msgs[s->n++] = (struct fold_message){.subject = "event.03.toy",
						.id = mem_printf("m%u", number),
						.time_ms = START_MS + at_ms,
						.stream_ns = (START_MS + at_ms) * 1000000,
						.seq = number,
						.data = data.data,
						.len = data.len};
}

void script_release(struct script *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free((void *)(uintptr_t)s->msgs[i].id);
		free((void *)(uintptr_t)s->msgs[i].data);
	}
	free(s->msgs);
}

void apply_range(struct fold *f, const struct script *s, size_t from, size_t to)
{
	struct why why = {0};
	int rc = fold_apply(f, s->msgs + from, to - from, &why);
	if (rc)
		print_message("fold_apply: %s\n", why.text);
	assert_int_equal(rc, 0);
}

/* ---- what is in the outbox, as text ---- */

static int add_row(void *ctx, const struct fold_row *row)
{
	struct buf *out = ctx;
	struct arena arena = {0};
	ProtobufCMessage *msg = NULL;
	struct topic topic;
	struct why why = {0};
	assert_int_equal(topic_parse(row->msg.subject, &topic), 0);
	int rc = wire_unpack(topic.kind, row->msg.data, row->msg.len, &arena, &msg, &why);
	if (rc)
		print_message("output does not unpack: %s\n", why.text);
	assert_int_equal(rc, 0);
	buf_printf(out, "%s %s @%" PRId64 " %s\n", row->msg.id, row->cause,
		   row->msg.time_ms - START_MS,
		   topic.kind == KIND_DEAD ? ((Healbus__Dead *)(void *)msg)->error
					   : ((Healbus__Incident *)(void *)msg)->title);
	arena_release(&arena);
	return 0;
}

char *outbox(struct fold *f)
{
	struct buf out = {0};
	assert_int_equal(fold_outbox_each(f, 0, add_row, &out), 0);
	return out.data ? out.data : mem_strdup("");
}
