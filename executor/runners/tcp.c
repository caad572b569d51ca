/* Opens a TCP connection and closes it: does something listen there? */
#include "common/base.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/mem.h"
#include "executor/runners/runner.h"

struct tcp_spec {
	struct template *host;
	struct template *port;
};

struct place {
	char *host;
	char *port;
};

static void *spec_new(void)
{
	return mem_alloc(sizeof(struct tcp_spec));
}

static void spec_free(void *spec)
{
	free(spec);
}

static int parse(void *spec, struct catalogue *cat, const struct yaml_node *node,
		 struct why *out_why)
{
	struct tcp_spec *s = spec;
	const struct yaml_node *host = yaml_get(node, "host"), *port = yaml_get(node, "port");
	int rc = host ? catalogue_template(cat, host, "host", &s->host, out_why) : 0;
	return rc || !port ? rc : catalogue_template(cat, port, "port", &s->port, out_why);
}

static int check(const void *spec, struct why *out_why)
{
	const struct tcp_spec *s = spec;
	return s->host && s->port ? 0 : why_set(out_why, ERR_CONFIG, "host and port: missing");
}

static void rendered_free(void *rendered)
{
	struct place *p = rendered;
	if (!p)
		return;
	free(p->host);
	free(p->port);
	free(p);
}

static int render(const void *spec, const struct render_input *in, void **out, struct buf *out_text,
		  struct why *out_why)
{
	const struct tcp_spec *s = spec;
	auto_buf host = {0};
	auto_buf port = {0};
	int rc = catalogue_render(in->cat, s->host, in->json, &host, out_why);
	if (!rc)
		rc = catalogue_render(in->cat, s->port, in->json, &port, out_why);
	if (!rc && !target_allows_host(in->target, buf_str(&host)))
		rc = why_set(out_why, ERR_DENIED, "host: not one of the target's");
	if (rc)
		return rc;
	struct place *p = mem_alloc(sizeof(*p));
	p->host = mem_strdup(buf_str(&host));
	p->port = mem_strdup(buf_str(&port));
	buf_printf(out_text, "connect tcp %s:%s", p->host, p->port);
	*out = p;
	return 0;
}

static int connect_one(const struct addrinfo *a, int64_t deadline)
{
	auto_fd int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int64_t left = deadline - clock_mono_ms();
	if (left <= 0 || poll(&p, 1, (int)left) <= 0)
		return ETIMEDOUT;
	int error = 0;
	socklen_t len = sizeof(error);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	return error;
}

static void run(const void *rendered, const struct run_limits *limits, struct run_result *result)
{
	const struct place *p = rendered;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	int rc = getaddrinfo(p->host, p->port, &hints, &list);
	if (rc) {
		result->state = RUN_FAILED;
		why_set(&result->why, ERR_UNAVAILABLE, "%s: %s", p->host, gai_strerror(rc));
		return;
	}
	int64_t deadline = clock_mono_ms() + limits->timeout_ms;
	int error = ECONNREFUSED;
	for (const struct addrinfo *a = list; a && error; a = a->ai_next)
		error = connect_one(a, deadline);
	freeaddrinfo(list);
	result->state = RUN_ENDED;
	result->exit_code = error ? 1 : 0;
	buf_printf(&result->output, "%s", error ? strerrordesc_np(error) : "connected");
}

static const char *const keys[] = {"host", "port"};

const struct runner runner_tcp = {.name = "tcp",
				  .keys = keys,
				  .n_keys = ARRAY_SIZE(keys),
				  .spec_new = spec_new,
				  .spec_free = spec_free,
				  .parse = parse,
				  .check = check,
				  .render = render,
				  .rendered_free = rendered_free,
				  .run = run};
