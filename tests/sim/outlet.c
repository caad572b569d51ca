/* Outlets: many publishes under way on one connection, taken by the bus in order, acked later. */
#include "tests/sim/sim.h"

/* Those that are closed; when there is no room left, with what they had still to deliver. */
static void forget_outlets(void)
{
	bool full = W->n_outlets == SIM_OUTLETS;
	size_t n = 0;
	for (size_t i = 0; i < W->n_outlets; i++) {
		struct bus_outlet *o = W->outlets[i];
		if (!o->closed || (!full && outlet_busy(o)))
			W->outlets[n++] = o;
	}
	W->n_outlets = n;
}

int bus_outlet_open(struct bus *b UNUSED, struct bus_outlet **out)
{
	struct proc *p = task_current()->proc;
	if (is_dead() || !proc_connected(p))
		return ERR_UNAVAILABLE;
	struct bus_outlet *o = arena_alloc(&W->arena, sizeof(*o));
	*o = (struct bus_outlet){.proc = p, .epoch = p->epoch};
	forget_outlets();
	W->outlets[W->n_outlets++] = o;
	*out = o;
	return 0;
}

/* What was sent may still arrive. */
void bus_outlet_close(struct bus_outlet *o)
{
	if (o)
		o->closed = true;
}

static void *grown(const void *items, size_t n, size_t *cap, size_t size)
{
	*cap = *cap ? 2 * *cap : 8;
	void *out = arena_alloc(&W->arena, *cap * size);
	if (!out)
		abort();
	if (n)
		memcpy(out, items, n * size);
	return out;
}

int bus_outlet_send(struct bus_outlet *o, const struct bus_msg *m, uint64_t token)
{
	if (is_dead() || o->epoch != o->proc->epoch || !proc_connected(o->proc))
		return ERR_CLOSED;
	if (fault(W->rates.crash)) {
		proc_kill(o->proc, "before sending an output");
		return ERR_CLOSED;
	}
	if (o->n_sends == o->sends_cap)
		o->sends = grown(o->sends, o->n_sends, &o->sends_cap, sizeof(*o->sends));
	o->sends[o->n_sends++] = (struct outlet_send){.msg = *msg_keep(m), .token = token};
	return 0;
}

bool outlet_busy(const struct bus_outlet *o)
{
	return o->sent < o->n_sends;
}

void outlet_deliver(struct bus_outlet *o)
{
	bool over = o->closed || o->epoch != o->proc->epoch;
	const struct outlet_send *s = &o->sends[o->sent];
	struct bus_ack ack = {.token = s->token};
	if (over && draw(3) == 0) {
		o->sent = o->n_sends; /* the rest of a lost connection */
		return;
	}
	o->sent++;
	if (!(planted("drop-output") && draw(4) == 0))
		ack.rc = stream_store(&s->msg, &ack.seq, &ack.duplicate);
	if (over)
		return;
	if (o->n_acks == o->acks_cap)
		o->acks = grown(o->acks, o->n_acks, &o->acks_cap, sizeof(*o->acks));
	o->acks[o->n_acks++] = ack;
}

static bool has_acks(const void *arg)
{
	const struct bus_outlet *o = arg;
	return o->acked < o->n_acks || o->epoch != o->proc->epoch || !proc_connected(o->proc);
}

int bus_outlet_next(struct bus_outlet *o, int64_t timeout_ms, struct bus_ack *out)
{
	if (is_dead())
		return ERR_CLOSED;
	if (timeout_ms > 0 && !has_acks(o))
		task_wait(W->now_ms + timeout_ms, has_acks, o);
	if (is_dead() || o->epoch != o->proc->epoch || !proc_connected(o->proc))
		return ERR_CLOSED;
	if (o->acked == o->n_acks)
		return ERR_TIMEOUT;
	*out = o->acks[o->acked++];
	return 0;
}
