#include "executor/sandboxes/proxy.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/address.h"
#include "common/clock.h"
#include "common/mem.h"

enum { CHUNK_BYTES = 32768, REFUSED_MAX = 16, HOST_MAX = 260 };

static const int64_t max_bytes = (int64_t)1 << 30, max_ms = 3600000;

struct host {
	char *name;
	char *port;
};

struct tunnel {
	struct proxy *proxy;
	int client;
	pthread_t thread;
	bool used;
	atomic_bool over;
};

struct proxy {
	struct host *hosts;
	size_t n_hosts;
	bool any_address;
	int64_t max_ms;
	atomic_llong bytes_left;
	int handed; /* our end of what the sandbox got */
	int listener;
	int stop; /* an eventfd: readable at the end */
	pthread_t thread;
	struct tunnel tunnels[PROXY_CONNECTIONS_MAX];
	pthread_mutex_t lock; /* of what follows */
	char *refused[REFUSED_MAX];
	size_t n_refused;
};

/* ---- waiting ---- */

/* True when fd is ready; false at the end of the proxy or of the time. */
static bool ready(const struct proxy *p, int fd, short events, int64_t wait_ms)
{
	struct pollfd fds[] = {{.fd = fd, .events = events}, {.fd = p->stop, .events = POLLIN}};
	int n = poll(fds, 2, (int)MAX(wait_ms, 0));
	return n > 0 && !fds[1].revents && fds[0].revents;
}

static bool send_all(const struct proxy *p, int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (!ready(p, fd, POLLOUT, PROXY_IDLE_MS))
				return false;
		} else if (n == 0 || errno != EINTR) {
			return false;
		}
	}
	return true;
}

static void answer(const struct proxy *p, int client, const char *status)
{
	char text[200];
	int n = snprintf(text, sizeof(text),
			 "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	send_all(p, client, text, (size_t)n);
}

/* ---- what is asked for ---- */

/* Up to the empty line; what follows it belongs to the tunnel, but a client waits for our answer
 * before it sends more. */
static bool read_head(const struct proxy *p, int client, char head[static PROXY_HEAD_BYTES + 1])
{
	size_t len = 0;
	int64_t deadline = clock_mono_ms() + PROXY_CONNECT_MS;
	while (len < PROXY_HEAD_BYTES) {
		if (!ready(p, client, POLLIN, deadline - clock_mono_ms()))
			return false;
		ssize_t n = recv(client, head + len, 1, MSG_DONTWAIT);
		if (n <= 0)
			return false;
		len++;
		if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0) {
			head[len] = '\0';
			return strlen(head) == len;
		}
	}
	return false;
}

/* "CONNECT name:port HTTP/1.1" -> name and port, in place. */
static bool parse_connect(char *head, char **out_name, char **out_port)
{
	static const char verb[] = "CONNECT ";
	if (!str_starts(head, verb))
		return false;
	char *name = head + strlen(verb);
	char *space = strchr(name, ' '), *end = strstr(head, "\r\n");
	if (!space || !end || space > end || !str_starts(space, " HTTP/1."))
		return false;
	*space = '\0';
	char *colon = strrchr(name, ':');
	if (!colon || colon == name || !colon[1] || strlen(name) > HOST_MAX ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return false;
	*colon = '\0';
	*out_name = name;
	*out_port = colon + 1;
	return true;
}

static bool listed(const struct proxy *p, const char *name, const char *port)
{
	for (size_t i = 0; i < p->n_hosts; i++)
		if (strcasecmp(p->hosts[i].name, name) == 0 && str_eq(p->hosts[i].port, port))
			return true;
	return false;
}

static void remember(struct proxy *p, const char *name, const char *port)
{
	auto_free char *what = mem_printf("%s:%s", name, port);
	pthread_mutex_lock(&p->lock);
	bool known = p->n_refused == REFUSED_MAX;
	for (size_t i = 0; i < p->n_refused; i++)
		known = known || str_eq(p->refused[i], what);
	if (!known)
		p->refused[p->n_refused++] = mem_strdup(what);
	pthread_mutex_unlock(&p->lock);
}

/* ---- dialling ---- */

static int dial_one(const struct proxy *p, const struct addrinfo *a)
{
	if (!p->any_address && !address_is_public(a->ai_addr))
		return -1;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t len = sizeof(error);
	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	if (errno == EINPROGRESS && ready(p, fd, POLLOUT, PROXY_CONNECT_MS) &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
		return fd;
	close(fd);
	return -1;
}

static int dial(const struct proxy *p, const char *name, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	int fd = -1;
	if (getaddrinfo(name, port, &hints, &found))
		return -1;
	for (const struct addrinfo *a = found; fd < 0 && a; a = a->ai_next)
		fd = dial_one(p, a);
	freeaddrinfo(found);
	return fd;
}

/* ---- carrying ---- */

/* One chunk; false at the end of that direction, or of what may be carried. */
static bool carry(struct proxy *p, int from, int to)
{
	char chunk[CHUNK_BYTES];
	ssize_t n = recv(from, chunk, sizeof(chunk), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0 || atomic_fetch_sub(&p->bytes_left, n) < n)
		return false;
	return send_all(p, to, chunk, (size_t)n);
}

static void carry_both(struct proxy *p, int a, int b)
{
	int64_t deadline = clock_mono_ms() + p->max_ms;
	struct pollfd fds[] = {{.fd = a, .events = POLLIN},
			       {.fd = b, .events = POLLIN},
			       {.fd = p->stop, .events = POLLIN}};
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int64_t left = MIN(deadline - clock_mono_ms(), PROXY_IDLE_MS);
		if (left <= 0 || poll(fds, 3, (int)left) <= 0 || fds[2].revents)
			return;
		if (fds[0].revents && !carry(p, a, b)) {
			shutdown(b, SHUT_WR);
			fds[0].fd = -1;
		}
		if (fds[1].revents && !carry(p, b, a)) {
			shutdown(a, SHUT_WR);
			fds[1].fd = -1;
		}
		if (atomic_load(&p->bytes_left) <= 0)
			return;
	}
}

static void serve_client(struct proxy *p, int client)
{
	char head[PROXY_HEAD_BYTES + 1], *name = NULL, *port = NULL;
	if (!read_head(p, client, head))
		return;
	if (!parse_connect(head, &name, &port)) {
		answer(p, client, "405 CONNECT only");
		return;
	}
	if (!listed(p, name, port)) {
		remember(p, name, port);
		answer(p, client, "403 not on the list");
		return;
	}
	auto_fd int server = dial(p, name, port);
	if (server < 0) {
		answer(p, client, "502 cannot reach it");
		return;
	}
	static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	if (send_all(p, client, yes, strlen(yes)))
		carry_both(p, client, server);
}

static void *run_tunnel(void *arg)
{
	struct tunnel *t = arg;
	serve_client(t->proxy, t->client);
	close(t->client);
	atomic_store(&t->over, true);
	return NULL;
}

/* ---- accepting ---- */

static struct tunnel *free_tunnel(struct proxy *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->tunnels); i++) {
		struct tunnel *t = &p->tunnels[i];
		if (t->used && !atomic_load(&t->over))
			continue;
		if (t->used)
			pthread_join(t->thread, NULL);
		t->used = false;
		return t;
	}
	return NULL;
}

static void accept_one(struct proxy *p)
{
	int client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
	struct tunnel *t = client < 0 ? NULL : free_tunnel(p);
	if (client < 0)
		return;
	if (t) {
		t->proxy = p;
		t->client = client;
		atomic_store(&t->over, false);
		t->used = pthread_create(&t->thread, NULL, run_tunnel, t) == 0;
	}
	if (!t || !t->used)
		close(client);
}

/* The sandbox sends its listening socket once. -1 when it never does. */
static int receive_listener(const struct proxy *p)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space;
	char byte;
	int fd = -1;
	struct iovec io = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = sizeof(space.bytes)};
	if (!ready(p, p->handed, POLLIN, max_ms))
		return -1;
	ssize_t n = recvmsg(p->handed, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void *run_proxy(void *arg)
{
	struct proxy *p = arg;
	p->listener = receive_listener(p);
	while (p->listener >= 0 && ready(p, p->listener, POLLIN, INT_MAX))
		accept_one(p);
	return NULL;
}

/* ---- opening and closing ---- */

static int add_host(struct proxy *p, const char *text, struct why *out_why)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	const char *port = colon ? colon + 1 : "443";
	if (!len || len > HOST_MAX || strpbrk(text, " */@[]\r\n") || !*port ||
	    strspn(port, "0123456789") != strlen(port))
		return why_set(out_why, ERR_INVALID, "proxy: \"%s\" is not host or host:port",
			       text);
	p->hosts[p->n_hosts++] =
		(struct host){.name = mem_dup(text, len), .port = mem_strdup(port)};
	return 0;
}

static void proxy_free(struct proxy *p)
{
	int fds[] = {p->handed, p->listener, p->stop};
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (size_t i = 0; i < p->n_hosts; i++) {
		free(p->hosts[i].name);
		free(p->hosts[i].port);
	}
	for (size_t i = 0; i < p->n_refused; i++)
		free(p->refused[i]);
	free(p->hosts);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int proxy_open(const struct proxy_rules *rules, struct proxy **out, int *out_fd,
	       struct why *out_why)
{
	int ends[2] = {-1, -1}, rc = 0;
	if (rules->n_hosts > PROXY_HOSTS_MAX)
		return why_set(out_why, ERR_TOO_LARGE, "proxy: more than %d hosts",
			       PROXY_HOSTS_MAX);
	struct proxy *p = mem_alloc(sizeof(*p));
	*p = (struct proxy){.hosts = mem_calloc(rules->n_hosts, sizeof(*p->hosts)),
			    .any_address = rules->any_address,
			    .max_ms = rules->max_ms ? rules->max_ms : max_ms,
			    .listener = -1,
			    .handed = -1,
			    .stop = eventfd(0, EFD_CLOEXEC)};
	pthread_mutex_init(&p->lock, NULL);
	atomic_store(&p->bytes_left, rules->max_bytes ? rules->max_bytes : max_bytes);
	for (size_t i = 0; !rc && i < rules->n_hosts; i++)
		rc = add_host(p, rules->hosts[i], out_why);
	if (!rc && (p->stop < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)))
		rc = why_set(out_why, ERR_IO, "proxy: %s", strerror(errno));
	p->handed = ends[0];
	if (!rc && pthread_create(&p->thread, NULL, run_proxy, p)) {
		rc = why_set(out_why, ERR_IO, "proxy: no thread");
		close(ends[1]);
	}
	if (rc) {
		proxy_free(p);
		return rc;
	}
	*out = p;
	*out_fd = ends[1];
	return 0;
}

void proxy_close(struct proxy *p)
{
	uint64_t one = 1;
	if (!p)
		return;
	ssize_t ignored = write(p->stop, &one, sizeof(one));
	(void)ignored;
	pthread_join(p->thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(p->tunnels); i++)
		if (p->tunnels[i].used)
			pthread_join(p->tunnels[i].thread, NULL);
	proxy_free(p);
}

void proxy_refused(struct proxy *p, struct buf *out)
{
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->n_refused; i++) {
		buf_add_str(out, i ? ", " : "");
		buf_add_printable(out, p->refused[i], strlen(p->refused[i]));
	}
	pthread_mutex_unlock(&p->lock);
}
