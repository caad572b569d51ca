#include "executor/sandboxes/job.h"

#include "executor/sandboxes/pass.h"

enum { JOB_BYTES = 128 << 10, CONTEXT_BYTES = 64, STRINGS_MAX = 600 };

/* What is sent, followed by argv and env, each string with its NUL. The first descriptor is the
 * output. */
struct request {
	size_t n_argv, n_env, n_fds;
	struct spawn_ids ids;
	int64_t cpu_limit_s;
	struct spawn_bounds bounds;
	int (*confine)(const void *ctx);
	_Alignas(16) unsigned char context[CONTEXT_BYTES];
};
static_assert(SPAWN_FDS_MAX + 1 <= PASS_FDS_MAX, "descriptors fit");

/* ---- the executor's side ---- */

static size_t add_strings(struct buf *b, char *const *list)
{
	size_t n = 0;
	for (; list[n]; n++)
		buf_add(b, list[n], strlen(list[n]) + 1);
	return n;
}

static int pack(const struct spawn *s, struct buf *out)
{
	struct request q = {.n_fds = s->n_fds,
			    .ids = s->ids,
			    .cpu_limit_s = s->cpu_limit_s,
			    .bounds = s->bounds,
			    .confine = s->confine};
	if (s->confine_len > sizeof(q.context))
		return ERR_TOO_LARGE;
	if (s->confine_len > 0)
		memcpy(q.context, s->confine_ctx, s->confine_len);
	buf_add(out, &q, sizeof(q));
	q.n_argv = add_strings(out, s->argv);
	q.n_env = add_strings(out, s->env);
	memcpy(out->data, &q, sizeof(q));
	bool fits = out->len <= JOB_BYTES && q.n_argv + q.n_env <= STRINGS_MAX;
	return fits ? 0 : ERR_TOO_LARGE;
}

int job_send(int to, const struct spawn *s, int out)
{
	auto_buf request = {0};
	int rc = pack(s, &request);
	if (rc)
		return rc;
	struct pass p = {
		.data = request.data, .len = request.len, .fds = {out}, .n_fds = s->n_fds + 1};
	memcpy(p.fds + 1, s->fds, s->n_fds * sizeof(int));
	rc = pass_send(to, &p);
	explicit_bzero(request.data, request.len);
	return rc;
}

/* ---- the supervisor's side: one thread, no memory but its own stack and this ---- */

static struct {
	_Alignas(struct request) char bytes[JOB_BYTES];
	char *strings[STRINGS_MAX + 2];
	struct pass pass;
} work;

static bool parse_strings(const struct request *q)
{
	const char *end = work.bytes + work.pass.len;
	char *at = work.bytes + sizeof(*q);
	size_t n = 0;
	if (q->n_argv == 0 || q->n_argv + q->n_env > STRINGS_MAX)
		return false;
	for (size_t i = 0; i < q->n_argv + q->n_env; i++) {
		char *nul = memchr(at, '\0', (size_t)(end - at));
		if (!nul)
			return false;
		if (i == q->n_argv)
			work.strings[n++] = NULL;
		work.strings[n++] = at;
		at = nul + 1;
	}
	if (q->n_env == 0)
		work.strings[n++] = NULL;
	work.strings[n] = NULL;
	return true;
}

int job_receive(int from, struct spawn *out_spawn, int *out_fd)
{
	const struct request *q = (const void *)work.bytes;
	work.pass.data = work.bytes;
	work.pass.len = sizeof(work.bytes);
	int rc = pass_receive(from, &work.pass);
	if (rc)
		return rc;
	if (work.pass.len < sizeof(*q) || work.pass.n_fds != q->n_fds + 1 || !parse_strings(q))
		return ERR_INVALID;
	*out_spawn = (struct spawn){.argv = work.strings,
				    .env = work.strings + q->n_argv + 1,
				    .n_fds = q->n_fds,
				    .ids = q->ids,
				    .cpu_limit_s = q->cpu_limit_s,
				    .bounds = q->bounds,
				    .confine = q->confine,
				    .confine_ctx = q->context};
	memcpy(out_spawn->fds, work.pass.fds + 1, q->n_fds * sizeof(int));
	*out_fd = work.pass.fds[0];
	return 0;
}

void job_forget(void)
{
	for (size_t i = 0; i < work.pass.n_fds; i++)
		close(work.pass.fds[i]);
	work.pass.n_fds = 0;
	explicit_bzero(work.bytes, work.pass.len);
}
