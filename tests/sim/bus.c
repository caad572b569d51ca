/* The bus in memory: streams with duplicate windows, ordered consumers, outlets. */
#include "common/id.h"
#include "tests/sim/sim.h"

enum { LATE_MS = 20000 };

/* ---- streams ---- */

struct stream *stream_find(const char *name)
{
	for (size_t i = 0; i < SIM_STREAMS; i++)
		if (str_eq(W->streams[i].name, name))
			return &W->streams[i];
	return NULL;
}

struct stream *stream_of_subject(const char *subject)
{
	return stream_find(str_starts(subject, "event.")  ? STREAM_EVENTS
			   : str_starts(subject, "heal.") ? STREAM_STORY
							  : STREAM_DEAD);
}

static char *keep(const void *data, size_t len)
{
	char *out = arena_alloc(&W->arena, len + 1);
	if (!out)
		abort();
	memcpy(out, data, len);
	return out;
}

static char *keep_text(const char *s)
{
	return s ? keep(s, strlen(s)) : NULL;
}

static const struct message *duplicate_of(const struct stream *s, const char *id, uint64_t hash)
{
	for (size_t i = s->n; id && i > 0; i--) {
		const struct message *m = &s->items[i - 1];
		if (m->stream_ns / 1000000 < W->now_ms - s->window_ms)
			return NULL;
		if (m->id_hash == hash && str_eq(m->id, id))
			return m;
	}
	return NULL;
}

static struct message *append(struct stream *s)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 256;
		s->items = mem_realloc(s->items, s->cap * sizeof(*s->items));
	}
	return &s->items[s->n++];
}

int stream_store(const struct bus_msg *m, uint64_t *out_seq, bool *out_duplicate)
{
	struct stream *s = stream_of_subject(m->subject);
	uint64_t hash = m->id ? fnv1a(FNV_INIT, m->id, strlen(m->id)) : 0;
	const struct message *first = duplicate_of(s, m->id, hash);
	*out_duplicate = first != NULL;
	if (first) {
		*out_seq = first->seq;
		return 0;
	}
	struct message *new = append(s);
	*new = (struct message){.subject = keep_text(m->subject),
				.id = m->id ? keep_text(m->id) : "",
				.cause = keep_text(m->cause ? m->cause : ""),
				.id_hash = hash,
				.stream_ns = W->now_ms * 1000000 + (int64_t)(s->n % 1000),
				.seq = s->n,
				.data = keep(m->data, m->len),
				.len = m->len};
	new->time_ms = m->time_ms ? MIN(m->time_ms, W->now_ms) : W->now_ms;
	*out_seq = new->seq;
	TRACE("%s %" PRIu64 ": %s (%s)", s->name, new->seq, new->subject, new->id);
	if (topic_parse(new->subject, &new->topic))
		sim_fail("a message on %s, which is not in the topic table", new->subject);
	struct message copy = *new; /* who sees it may publish more */
	judge_message(&copy);
	executors_watch(&copy);
	people_watch(&copy);
	return 0;
}

/* Ids of outputs end in :<fold>:<number>, and so do those of ticks: tick:<fold>:<time>. */
bool message_is_of(const struct message *m, const char *fold)
{
	size_t len = strlen(fold), end = strlen(m->id);
	while (end > 0 && m->id[end - 1] >= '0' && m->id[end - 1] <= '9')
		end--;
	const char *name = m->id + end - 1 - len;
	if (end < len + 2 || m->id[end - 1] != ':' || name[-1] != ':' ||
	    strncmp(name, fold, len) != 0)
		return false;
	return name - m->id != 5 || !str_starts(m->id, "tick:");
}

/* ---- publishing and waiting for the ack ---- */

struct bus_msg *msg_keep(const struct bus_msg *m)
{
	struct bus_msg *copy = (struct bus_msg *)keep(m, sizeof(*m));
	copy->subject = keep_text(m->subject);
	copy->id = keep_text(m->id);
	copy->cause = keep_text(m->cause);
	copy->content_type = NULL;
	copy->data = keep(m->data, m->len);
	return copy;
}

/* On its way; the ack comes when it is stored. */
struct bus_pending {
	struct bus_msg *msg;
	bool stored;
};

static void arrive(void *arg)
{
	struct bus_pending *p = arg;
	uint64_t seq;
	bool duplicate;
	stream_store(p->msg, &seq, &duplicate);
	p->stored = true;
}

static struct bus_pending *pending_new(const struct bus_msg *m)
{
	struct bus_pending *p = arena_alloc(&W->arena, sizeof(*p));
	*p = (struct bus_pending){.msg = msg_keep(m)};
	return p;
}

int bus_publish(struct bus *b UNUSED, const struct bus_msg *m, int64_t timeout_ms UNUSED,
		uint64_t *out_seq, struct why *out_why)
{
	uint64_t seq = 0;
	bool duplicate;
	int rc = call_begin("publish");
	if (!rc && call_late()) {
		todo_add(W->now_ms + (int64_t)draw(LATE_MS), arrive, pending_new(m));
		task_wait(W->now_ms + BUS_REQUEST_TIMEOUT_MS, NULL, NULL);
		rc = ERR_TIMEOUT;
	}
	if (!rc)
		rc = stream_store(m, &seq, &duplicate);
	if (!rc)
		rc = call_end("publish");
	if (rc)
		return why_set(out_why, rc, "the bus is in trouble");
	if (out_seq)
		*out_seq = seq;
	return 0;
}

struct bus_pending *bus_publish_begin(struct bus *b UNUSED, const struct bus_msg *m)
{
	struct bus_pending *p = pending_new(m);
	int rc = dies("before", "publish") ? ERR_CLOSED : 0;
	bool lost = rc || !proc_connected(task_current()->proc) || fault(W->rates.fail);
	if (!lost && draw(2))
		arrive(p);
	else if (!lost)
		todo_add(W->now_ms + (int64_t)(call_late() ? draw(LATE_MS) : draw(20)), arrive, p);
	return p;
}

static bool is_stored(const void *arg)
{
	return ((const struct bus_pending *)arg)->stored;
}

int bus_publish_end(struct bus_pending *p, int64_t timeout_ms, struct why *out_why)
{
	if (!p->stored)
		task_wait(W->now_ms + timeout_ms, is_stored, p);
	int rc = is_dead() ? ERR_CLOSED : p->stored ? call_end("publish") : ERR_TIMEOUT;
	return rc ? why_set(out_why, rc, "the bus is in trouble") : 0;
}

/* ---- reading single messages ---- */

static void deliver(const struct message *m, struct bus_delivery *out)
{
	*out = (struct bus_delivery){.subject = m->subject,
				     .id = m->id,
				     .cause = m->cause,
				     .content_type = "",
				     .time_ms = m->time_ms,
				     .stream_ns = m->stream_ns,
				     .seq = m->seq,
				     .delivered = 1,
				     .data = m->data,
				     .len = m->len};
}

void bus_delivery_free(struct bus_delivery *d)
{
	*d = (struct bus_delivery){0};
}

int bus_get(struct bus *b UNUSED, const char *stream, uint64_t seq, struct bus_delivery *out,
	    struct why *out_why)
{
	const struct stream *s = stream_find(stream);
	int rc = call_begin("get");
	if (!rc && (seq == 0 || seq > s->n))
		rc = ERR_NOT_FOUND;
	if (rc)
		return why_set(out_why, rc, "%s", err_name(rc));
	deliver(&s->items[seq - 1], out);
	return 0;
}

int stream_last(const char *stream, const char *subject, struct bus_delivery *out)
{
	const struct stream *s = stream_find(stream);
	for (size_t i = planted("ignore-pause") ? 0 : s->n; i > 0; i--) {
		if (!str_eq(s->items[i - 1].subject, subject))
			continue;
		deliver(&s->items[i - 1], out);
		return 0;
	}
	return ERR_NOT_FOUND;
}

int bus_stream_state(struct bus *b UNUSED, const char *stream, struct bus_stream_state *out,
		     struct why *out_why)
{
	const struct stream *s = stream_find(stream);
	int rc = call_begin("stream info");
	if (rc)
		return why_set(out_why, rc, "%s", err_name(rc));
	*out = (struct bus_stream_state){.first_seq = s->n ? 1 : 0,
					 .last_seq = s->n,
					 .messages = s->n,
					 .max_bytes = -1,
					 .created_ns = SIM_START_MS * 1000000 - 1};
	return 0;
}

/* ---- the connection ---- */

static bool connected(const void *arg)
{
	return proc_connected(arg);
}

int bus_wait(struct bus *b UNUSED, int64_t timeout_ms, struct why *out_why)
{
	struct task *t = task_current();
	if (is_dead())
		return ERR_CLOSED;
	if (!proc_connected(t->proc))
		task_wait(MAX(W->now_ms + timeout_ms, t->proc->connect_ms), connected, t->proc);
	if (is_dead())
		return ERR_CLOSED;
	return proc_connected(t->proc) ? 0 : why_set(out_why, ERR_TIMEOUT, "not connected");
}

int64_t bus_connected_ms(struct bus *b UNUSED)
{
	const struct proc *p = task_current()->proc;
	return proc_connected(p) ? MAX(1, W->now_ms - p->connected_at_ms) : 0;
}

void bus_thread_done(void)
{
}

/* ---- ordered consumers: one a fold, its place is the puller's ---- */

struct bus_puller {
	struct proc *proc;
	uint64_t epoch;
	const struct stream *stream;
	uint64_t next; /* sequence */
	uint64_t consumer_seq;
	int64_t hold_ms; /* not delivered before: others may be ahead */
};

/* A consumer that was made, for the puller that opens it next. */
static uint64_t made_start;

int bus_fold_consumer(struct bus *b UNUSED, const char *stream, const char *name UNUSED,
		      const char *filter UNUSED, uint64_t start_seq, int64_t start_ms,
		      struct why *out_why)
{
	const struct stream *s = stream_find(stream);
	int rc = call_begin("make consumer");
	if (!rc)
		rc = call_end("make consumer");
	if (rc)
		return why_set(out_why, rc, "%s", err_name(rc));
	made_start = MAX(start_seq, 1);
	while (!start_seq && made_start <= s->n &&
	       s->items[made_start - 1].stream_ns / 1000000 < start_ms)
		made_start++;
	return 0;
}

int bus_consumer_delete(struct bus *b UNUSED, const char *stream UNUSED, const char *name UNUSED,
			struct why *out_why UNUSED)
{
	return call_begin("delete consumer");
}

int bus_puller_open(struct bus *b UNUSED, const char *stream, const char *consumer UNUSED,
		    unsigned window UNUSED, struct bus_puller **out)
{
	struct proc *p = task_current()->proc;
	if (is_dead() || !proc_connected(p))
		return ERR_CLOSED;
	struct bus_puller *puller = mem_alloc(sizeof(*puller));
	*puller = (struct bus_puller){
		.proc = p, .epoch = p->epoch, .stream = stream_find(stream), .next = made_start};
	*out = puller;
	return 0;
}

void bus_puller_close(struct bus_puller *p)
{
	free(p);
}

static bool has_news(const void *arg)
{
	const struct bus_puller *p = arg;
	if (p->proc->epoch != p->epoch || !proc_connected(p->proc))
		return true;
	for (size_t i = 0; i < W->n_outlets; i++) {
		const struct bus_outlet *o = W->outlets[i];
		if (o->proc == p->proc && !o->closed && o->acked < o->n_acks)
			return true;
	}
	return p->next <= p->stream->n && p->hold_ms <= W->now_ms;
}

/* A loop that has nothing to do asks every second whether it must stop; here it sleeps until its
 * next timer instead, since nothing else can happen. */
static int64_t wait_until(const struct bus_puller *p, int64_t timeout_ms)
{
	struct proc *proc = p->proc;
	int64_t until = W->now_ms + timeout_ms;
	if (p->next <= p->stream->n)
		return MIN(until, p->hold_ms);
	struct fold *f = proc->fold;
	if (!f || timeout_ms < 1000)
		return until;
	int64_t due = fold_next_due_ms(f);
	return MAX(until, due == INT64_MAX ? W->end_ms : due - proc->wall_offset_ms);
}

static void bend(struct bus_puller *p, struct bus_delivery *out)
{
	if (planted("skip-delivery") && p->next < p->stream->n && draw(20) == 0)
		p->next++;
	if (p->next > 2 && fault(W->rates.again)) {
		TRACE("%s is given a message again", p->proc->name);
		deliver(&p->stream->items[p->next - 2 - draw(MIN(p->next - 2, 3))], out);
		out->delivered = 2;
		return;
	}
	if (fault(W->rates.gap)) {
		TRACE("%s misses a delivery", p->proc->name);
		p->consumer_seq++;
		p->next += p->next < p->stream->n;
	}
	deliver(&p->stream->items[p->next - 1], out);
	p->next++;
}

int bus_puller_next(struct bus_puller *p, int64_t timeout_ms, struct bus_delivery *out)
{
	if (is_dead())
		return ERR_CLOSED;
	if (timeout_ms > 0 && !has_news(p))
		task_wait(wait_until(p, timeout_ms), has_news, p);
	if (is_dead() || p->proc->epoch != p->epoch || !proc_connected(p->proc))
		return ERR_CLOSED;
	if (p->next > p->stream->n || p->hold_ms > W->now_ms)
		return ERR_TIMEOUT;
	if (fault(W->rates.slow)) {
		p->hold_ms = W->now_ms + (int64_t)draw(3000);
		return ERR_TIMEOUT;
	}
	bend(p, out);
	out->consumer_seq = ++p->consumer_seq;
	out->pending = p->stream->n - MIN(out->seq, p->stream->n);
	return 0;
}

int bus_ack(struct bus_puller *p UNUSED, const struct bus_delivery *d UNUSED)
{
	return 0; /* an ordered fold's place is in its store */
}
