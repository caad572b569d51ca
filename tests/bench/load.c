/*
 * load: posts bodies over keep-alive HTTP/1.1 connections and says how long the answers took.
 *
 *     load [-c connections] [-d seconds] [-n requests] [-r requests a second] [-w] [-H 'Name:
 * value']
 *          [-h address] [-o file] -p port path bodies
 *
 * One body a line of `bodies`, in order; it stops at the end of the file, or with -w begins anew.
 * Without -r each connection sends its next body when it has its answer (closed loop). With -r
 * bodies are due at fixed times whatever the server does (open loop): one that finds no idle
 * connection is late, and its delay counts as its latency, so that a stall cannot hide.
 * With -W no body is sent before all are answered that come `window` or more before it: what is so
 * far apart then arrives in order, as from a sender that does not overtake itself.
 * Every "t0":"0000000000000000000" of a body is stamped with the time it was due at.
 *
 * Prints one line of name=value: req_s, n (answers), ok (2xx), bad (others), err (no answer),
 * latencies, late (sent over 1 ms after due), secs, client_cpu_s, and status_NNN for each status.
 * -o writes each latency in ns, one a line.
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

enum {
	ANSWER_BYTES_MAX = 65536,
	HEAD_BYTES_MAX = 2048,
	STATUS_MAX = 600,
	TIMER = -1, /* in place of a connection's number */
};

static const uint64_t PATIENCE_NS = 5000000000; /* for answers after the end */
static const char STAMP[] = "\"t0\":\"";

struct options {
	uint64_t connections;
	uint64_t requests;
	uint64_t window; /* 0: any order */
	double seconds;
	double rate;
	bool wrap;
	const char *header;
	const char *address;
	const char *out;
	uint64_t port;
	const char *path;
	const char *bodies;
};

struct body {
	const char *data;
	uint32_t len;
	uint32_t stamps;      /* how many */
	uint32_t first_stamp; /* index in load.stamps */
};

struct connection {
	int fd;
	bool busy;
	uint64_t number; /* of the body under way */
	uint64_t due_ns;
	char *out;
	size_t out_len;
	size_t out_done;
	char in[ANSWER_BYTES_MAX];
	size_t in_len;
};

struct load {
	struct options o;
	struct body *bodies;
	size_t n_bodies;
	size_t longest;
	uint32_t *stamps; /* offsets in their bodies */
	size_t n_stamps;
	struct connection *connections;
	uint32_t *idle;
	size_t n_idle;
	int epoll;
	int timer;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t last_ns; /* of the last answer */
	uint64_t interval_ns;
	bool stop;
	uint64_t sent, ok, err, late, bytes;
	uint64_t by_status[STATUS_MAX];
	struct samples latency;
};

/* ---- the bodies ---- */

static void index_stamps(struct load *l, struct body *b)
{
	static size_t cap;
	const char *end = b->data + b->len;
	const char *at = b->data;
	b->first_stamp = (uint32_t)l->n_stamps;
	while ((at = memmem(at, (size_t)(end - at), STAMP, sizeof(STAMP) - 1))) {
		at += sizeof(STAMP) - 1;
		if (end - at < STAMP_DIGITS)
			break;
		if (l->n_stamps == cap) {
			cap = cap ? 2 * cap : 1 << 16;
			l->stamps = must(realloc(l->stamps, cap * sizeof(*l->stamps)));
		}
		l->stamps[l->n_stamps++] = (uint32_t)(at - b->data);
		b->stamps++;
	}
}

static void read_bodies(struct load *l)
{
	struct stat st;
	int fd = open(l->o.bodies, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_size == 0)
		die("%s: %s", l->o.bodies, errno ? strerror(errno) : "empty");
	const char *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		die("%s: %s", l->o.bodies, strerror(errno));
	close(fd);
	const char *end = data + st.st_size;
	size_t cap = 0;
	for (const char *at = data; at < end && l->n_bodies < l->o.requests;) {
		const char *eol = memchr(at, '\n', (size_t)(end - at));
		eol = eol ? eol : end;
		if (l->n_bodies == cap) {
			cap = cap ? 2 * cap : 1024;
			l->bodies = must(realloc(l->bodies, cap * sizeof(*l->bodies)));
		}
		struct body *b = &l->bodies[l->n_bodies++];
		*b = (struct body){.data = at, .len = (uint32_t)(eol - at)};
		index_stamps(l, b);
		l->longest = MAX(l->longest, b->len);
		at = eol + 1;
	}
}

/* ---- connections ---- */

static void watch(struct load *l, int how, int number, uint32_t events, int fd)
{
	struct epoll_event e = {.events = events, .data.fd = number};
	if (epoll_ctl(l->epoll, how, fd, &e))
		die("epoll: %s", strerror(errno));
}

static int number_of(const struct load *l, const struct connection *c)
{
	return (int)(c - l->connections);
}

static void dial(struct load *l, struct connection *c)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->o.port)};
	int one = 1;
	if (inet_pton(AF_INET, l->o.address, &a.sin_addr) != 1)
		die("not an IPv4 address: %s", l->o.address);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&a, sizeof(a)))
		die("%s:%" PRIu64 ": %s", l->o.address, l->o.port, strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
	watch(l, EPOLL_CTL_ADD, number_of(l, c), EPOLLIN, c->fd);
}

static void connect_all(struct load *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	watch(l, EPOLL_CTL_ADD, TIMER, EPOLLIN, l->timer);
	l->connections = must(calloc(l->o.connections, sizeof(*l->connections)));
	l->idle = must(calloc(l->o.connections, sizeof(*l->idle)));
	for (size_t i = l->o.connections; i-- > 0;) {
		l->connections[i].out = must(malloc(l->longest + HEAD_BYTES_MAX));
		dial(l, &l->connections[i]);
		l->idle[l->n_idle++] = (uint32_t)i;
	}
}

static void set_idle(struct load *l, struct connection *c)
{
	c->busy = false;
	l->idle[l->n_idle++] = (uint32_t)number_of(l, c);
}

static void redial(struct load *l, struct connection *c)
{
	close(c->fd);
	dial(l, c);
	if (c->busy)
		set_idle(l, c);
}

/* ---- sending ---- */

static void compose(struct load *l, struct connection *c, const struct body *b)
{
	int head = snprintf(c->out, HEAD_BYTES_MAX,
			    "POST %s HTTP/1.1\r\nHost: %s:%" PRIu64
			    "\r\nContent-Type: application/json\r\n%s%sContent-Length: %u\r\n\r\n",
			    l->o.path, l->o.address, l->o.port, l->o.header,
			    *l->o.header ? "\r\n" : "", b->len);
	if (head < 0 || head >= HEAD_BYTES_MAX)
		die("the request's head is too long");
	char *body = c->out + head;
	memcpy(body, b->data, b->len);
	c->out_len = (size_t)head + b->len;
	c->out_done = 0;
	char digits[STAMP_DIGITS + 2];
	snprintf(digits, sizeof(digits), "%0*" PRIu64, STAMP_DIGITS, c->due_ns);
	for (uint32_t i = 0; i < b->stamps; i++)
		memcpy(body + l->stamps[b->first_stamp + i], digits, STAMP_DIGITS);
}

static void push(struct load *l, struct connection *c, bool waited)
{
	ssize_t n = send(c->fd, c->out + c->out_done, c->out_len - c->out_done, MSG_NOSIGNAL);
	c->out_done += n > 0 ? (size_t)n : 0;
	bool all = c->out_done == c->out_len;
	if (all == waited)
		watch(l, EPOLL_CTL_MOD, number_of(l, c), all ? EPOLLIN : EPOLLIN | EPOLLOUT, c->fd);
}

static void send_next(struct load *l, uint64_t due, uint64_t now)
{
	struct connection *c = &l->connections[l->idle[--l->n_idle]];
	const struct body *b = &l->bodies[l->sent % l->n_bodies];
	c->busy = true;
	c->number = l->sent;
	c->due_ns = due;
	c->in_len = 0;
	compose(l, c, b);
	l->sent++;
	l->bytes += b->len;
	l->late += now - due > 1000000;
	push(l, c, false);
}

static bool may_send(const struct load *l)
{
	for (size_t i = 0; l->o.window && i < l->o.connections; i++)
		if (l->connections[i].busy && l->connections[i].number + l->o.window <= l->sent)
			return false;
	return true;
}

static void send_due(struct load *l)
{
	uint64_t now = now_ns();
	l->stop |= now >= l->end_ns;
	while (!l->stop && l->n_idle && may_send(l)) {
		if (l->sent >= l->o.requests || (l->sent >= l->n_bodies && !l->o.wrap)) {
			l->stop = true;
			break;
		}
		uint64_t due = l->interval_ns ? l->start_ns + l->sent * l->interval_ns : now;
		if (due > now)
			break;
		send_next(l, due, now);
		now = now_ns();
	}
}

static void arm_timer(struct load *l)
{
	int64_t wait = (int64_t)(l->start_ns + l->sent * l->interval_ns - now_ns());
	wait = MAX(wait, 1);
	struct itimerspec at = {
		.it_value = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000}};
	timerfd_settime(l->timer, 0, &at, NULL);
}

/* ---- answers ---- */

/* The value of a header, or NULL. The text ends with its last header. */
static const char *header(const char *text, const char *name)
{
	for (const char *at = text; (at = strchr(at, '\n'));) {
		at++;
		if (strncasecmp(at, name, strlen(name)) == 0)
			return at + strlen(name) + strspn(at + strlen(name), " ");
	}
	return NULL;
}

/* Bytes of the whole answer at the start of c->in, 0 when some are missing, -1 when it is none. */
static ssize_t answer(struct connection *c, int *out_status, bool *out_close)
{
	c->in[c->in_len] = 0;
	char *end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return c->in_len > ANSWER_BYTES_MAX / 2 ? -1 : 0;
	if (!str_starts(c->in, "HTTP/1.") || strlen(c->in) < 12)
		return -1;
	*out_status = (int)strtol(c->in + 9, NULL, 10);
	*end = 0;
	const char *length = header(c->in, "content-length:");
	const char *coding = header(c->in, "transfer-encoding:");
	const char *connection = header(c->in, "connection:");
	*out_close = connection && strncasecmp(connection, "close", 5) == 0;
	*end = '\r';
	size_t head = (size_t)(end - c->in) + 4;
	if (coding) {
		const char *last = strstr(end + 2, "\r\n0\r\n\r\n");
		return last ? last + 7 - c->in : 0;
	}
	size_t whole = head + (length ? strtoul(length, NULL, 10) : 0);
	return c->in_len >= whole ? (ssize_t)whole : 0;
}

static void receive(struct load *l, struct connection *c)
{
	int status = 0;
	bool closing = false;
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - 1 - c->in_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->in_len += n > 0 ? (size_t)n : 0;
	ssize_t whole = n > 0 ? answer(c, &status, &closing) : -1;
	if (whole == 0)
		return;
	if (whole < 0) {
		l->err += c->busy;
		redial(l, c);
		return;
	}
	l->last_ns = now_ns();
	sample_add(&l->latency, l->last_ns - c->due_ns);
	l->ok += status >= 200 && status < 300;
	l->by_status[status > 0 && status < STATUS_MAX ? status : 0]++;
	if (closing)
		redial(l, c);
	else
		set_idle(l, c);
}

static void handle(struct load *l, const struct epoll_event *e)
{
	if (e->data.fd == TIMER) {
		uint64_t ticks;
		if (read(l->timer, &ticks, sizeof(ticks)) < 0)
			return;
		return;
	}
	struct connection *c = &l->connections[e->data.fd];
	if (e->events & EPOLLOUT)
		push(l, c, true);
	if (e->events & ~(uint32_t)EPOLLOUT)
		receive(l, c);
}

static void drive(struct load *l)
{
	struct epoll_event events[256];
	l->start_ns = l->last_ns = now_ns();
	l->end_ns = l->start_ns + (uint64_t)(l->o.seconds * 1e9);
	l->interval_ns = l->o.rate > 0 ? (uint64_t)(1e9 / l->o.rate) : 0;
	for (;;) {
		send_due(l);
		if (l->stop && l->n_idle == l->o.connections)
			return;
		if (l->stop && now_ns() > MAX(l->end_ns, l->last_ns) + PATIENCE_NS) {
			l->err += l->o.connections - l->n_idle;
			return;
		}
		if (l->interval_ns && l->n_idle && !l->stop && may_send(l))
			arm_timer(l);
		int n = epoll_wait(l->epoll, events, ARRAY_SIZE(events), 1000);
		for (int i = 0; i < n; i++)
			handle(l, &events[i]);
	}
}

/* ---- the report ---- */

static void write_latencies(const struct load *l)
{
	auto_file FILE *f = fopen(l->o.out, "we");
	if (!f)
		die("%s: %s", l->o.out, strerror(errno));
	for (size_t i = 0; i < l->latency.n; i++)
		fprintf(f, "%" PRIu64 "\n", l->latency.ns[i]);
}

static void report(struct load *l)
{
	double secs = (double)(l->last_ns - l->start_ns) / 1e9;
	size_t n = l->latency.n;
	printf("req_s=%.1f n=%zu sent=%" PRIu64 " ok=%" PRIu64 " bad=%" PRIu64 " err=%" PRIu64 " ",
	       secs > 0 ? (double)n / secs : 0, n, l->sent, l->ok, n - l->ok, l->err);
	samples_print(&l->latency);
	printf(" mb_s=%.1f late=%" PRIu64 " secs=%.3f client_cpu_s=%.2f",
	       secs > 0 ? (double)l->bytes / secs / 1e6 : 0, l->late, secs, cpu_s(RUSAGE_SELF));
	for (int i = 0; i < STATUS_MAX; i++)
		if (l->by_status[i])
			printf(" status_%03d=%" PRIu64, i, l->by_status[i]);
	printf("\n");
	if (l->o.out)
		write_latencies(l);
}

/* ---- the program ---- */

static bool option(struct options *o, int letter, const char *value)
{
	switch (letter) {
	case 'c':
		o->connections = option_number(value, 1);
		return true;
	case 'd':
		o->seconds = option_real(value);
		return true;
	case 'n':
		o->requests = option_number(value, 1);
		return true;
	case 'r':
		o->rate = option_real(value);
		return true;
	case 'W':
		o->window = option_number(value, 1);
		return true;
	case 'w':
		o->wrap = true;
		return true;
	case 'H':
		o->header = value;
		return true;
	case 'h':
		o->address = value;
		return true;
	case 'o':
		o->out = value;
		return true;
	case 'p':
		o->port = option_number(value, 1);
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	struct load l = {.o = {.connections = 16,
			       .requests = UINT64_MAX,
			       .seconds = 10,
			       .header = "",
			       .address = "127.0.0.1"}};
	int letter;
	while ((letter = getopt(argc, argv, "c:d:n:r:W:wH:h:o:p:")) > 0)
		if (!option(&l.o, letter, optarg))
			return 64;
	if (argc - optind != 2 || !l.o.port) {
		fprintf(stderr, "load -p port path bodies\n");
		return 64;
	}
	l.o.path = argv[optind];
	l.o.bodies = argv[optind + 1];
	read_bodies(&l);
	connect_all(&l);
	drive(&l);
	report(&l);
	return 0;
}
