#include "executor/sandboxes/pass.h"

#include <sys/socket.h>

union fd_space {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * PASS_FDS_MAX)];
};

int pass_send(int to, const struct pass *p)
{
	union fd_space space = {0};
	struct iovec io = {.iov_base = p->data, .iov_len = p->len};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	if (p->n_fds > PASS_FDS_MAX)
		return ERR_UNAVAILABLE;
	if (p->n_fds > 0) {
		m.msg_control = space.bytes;
		m.msg_controllen = CMSG_SPACE(p->n_fds * sizeof(int));
		space.header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
						.cmsg_type = SCM_RIGHTS,
						.cmsg_len = CMSG_LEN(p->n_fds * sizeof(int))};
		memcpy(CMSG_DATA(&space.header), p->fds, p->n_fds * sizeof(int));
	}
	return sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)p->len ? 0 : ERR_UNAVAILABLE;
}

int pass_receive(int from, struct pass *p)
{
	union fd_space space;
	struct iovec io = {.iov_base = p->data, .iov_len = p->len};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = sizeof(space.bytes)};
	ssize_t len = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = len > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	p->n_fds = 0;
	p->len = len > 0 ? (size_t)len : 0;
	if (c && c->cmsg_type == SCM_RIGHTS) {
		p->n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(p->fds, CMSG_DATA(c), p->n_fds * sizeof(int));
	}
	return len > 0 ? 0 : ERR_CLOSED;
}
