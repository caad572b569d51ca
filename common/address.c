#include "common/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/mem.h"

enum { LISTEN_BACKLOG = 1024 };

struct range {
	uint8_t prefix[16];
	unsigned bits;
};

/* https://www.iana.org/assignments/iana-ipv4-special-registry */
static const struct range special4[] = {
	{{0}, 8},
	{{10}, 8},
	{{100, 64}, 10},
	{{127}, 8},
	{{169, 254}, 16},
	{{172, 16}, 12},
	{{192, 0, 0}, 24},
	{{192, 0, 2}, 24},
	{{192, 88, 99}, 24},
	{{192, 168}, 16},
	{{198, 18}, 15},
	{{198, 51, 100}, 24},
	{{203, 0, 113}, 24},
	{{224}, 4},
	{{240}, 4},
};

/* Only 2000::/3 is global unicast; these parts of it are not. */
static const struct range special6[] = {
	{{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments, Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0x3f, 0xff}, 20},             /* documentation */
};

/* Where an IPv4 address stands inside an IPv6 one. */
static const struct embedded {
	struct range range;
	unsigned at;
} embedded4[] = {
	{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12}, /* mapped */
	{{{0}, 96}, 12},                                        /* compatible; holds :: and ::1 */
	{{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},                   /* NAT64 */
	{{{0x20, 0x02}, 16}, 2},                                /* 6to4 */
};

static bool in_range(const uint8_t *address, const struct range *r)
{
	unsigned bytes = r->bits / 8, rest = r->bits % 8;

	if (memcmp(address, r->prefix, bytes) != 0)
		return false;
	return rest == 0 || (address[bytes] ^ r->prefix[bytes]) >> (8 - rest) == 0;
}

static bool in_any(const uint8_t *address, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (in_range(address, &ranges[i]))
			return true;
	}
	return false;
}

static bool public4(const uint8_t *address)
{
	return !in_any(address, special4, ARRAY_SIZE(special4));
}

static bool public6(const uint8_t *address)
{
	for (size_t i = 0; i < ARRAY_SIZE(embedded4); i++) {
		if (in_range(address, &embedded4[i].range))
			return public4(address + embedded4[i].at);
	}
	return address[0] >> 5 == 1 && !in_any(address, special6, ARRAY_SIZE(special6));
}

bool address_is_public(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return public4((const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr);
	if (a->sa_family == AF_INET6)
		return public6(((const struct sockaddr_in6 *)a)->sin6_addr.s6_addr);
	return false;
}

bool address_is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_UNIX)
		return true;
	if (a->sa_family == AF_INET)
		return ((const uint8_t *)&((const struct sockaddr_in *)a)->sin_addr)[0] == 127;
	if (a->sa_family != AF_INET6)
		return false;
	const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;
	return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

const char *address_text(const struct sockaddr *a, char out[static ADDRESS_TEXT_BYTES])
{
	const void *bytes = NULL;
	int family = a->sa_family;

	if (family == AF_INET)
		bytes = &((const struct sockaddr_in *)a)->sin_addr;
	if (family == AF_INET6) {
		const struct in6_addr *six = &((const struct sockaddr_in6 *)a)->sin6_addr;

		family = IN6_IS_ADDR_V4MAPPED(six) ? AF_INET : AF_INET6;
		bytes = six->s6_addr + (family == AF_INET ? 12 : 0);
	}
	if (!bytes || !inet_ntop(family, bytes, out, ADDRESS_TEXT_BYTES))
		snprintf(out, ADDRESS_TEXT_BYTES, "?");
	return out;
}

/* ---- listening ---- */

static int split(const char *text, char **out_host, const char **out_port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!colon || colon[1] == 0 || strspn(colon + 1, "0123456789") != strlen(colon + 1))
		return ERR_INVALID;
	if (strtoul(colon + 1, NULL, 10) > 65535)
		return ERR_INVALID;
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return ERR_INVALID;
	}
	*out_host = len ? mem_dup(text, len) : NULL;
	*out_port = colon + 1;
	return 0;
}

static int try_listen(const struct addrinfo *a, bool any)
{
	static const int on = 1, off = 0;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static unsigned port_of(int fd)
{
	struct sockaddr_in6 a = {0};
	socklen_t len = sizeof(a);

	/* sin_port stands at the same place in both families */
	return getsockname(fd, (struct sockaddr *)&a, &len) ? 0 : ntohs(a.sin6_port);
}

int address_listen(const char *text, int *out_fd, unsigned *out_port, struct why *out_why)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *list = NULL;
	auto_free char *host = NULL;
	const char *port;
	int fd = -1, saved = 0;

	if (split(text, &host, &port))
		return why_set(out_why, ERR_INVALID,
			       "listen: \"%s\": want address:port, [v6]:port or :port", text);
	int gai = getaddrinfo(host, port, &hints, &list);
	if (gai)
		return why_set(out_why, ERR_INVALID, "listen: %s: %s", text, gai_strerror(gai));
	/* For all addresses, the IPv6 socket that takes IPv4 too comes first. */
	for (int round = 0; round < 2 && fd < 0; round++) {
		for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
			if (!host && (a->ai_family == AF_INET6) != (round == 0))
				continue;
			fd = try_listen(a, !host);
			saved = errno;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		return why_set(out_why, ERR_UNAVAILABLE, "listen: %s: %s", text, strerror(saved));
	*out_fd = fd;
	*out_port = port_of(fd);
	return 0;
}

/* ---- a unix socket ---- */

static int unix_address(const char *path, struct sockaddr_un *out, struct why *out_why)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (path[0] != '/' || strlen(path) > ADDRESS_UNIX_PATH_MAX)
		return why_set(out_why, ERR_INVALID,
			       "listen: \"%s\": want an absolute path of at most %d bytes", path,
			       ADDRESS_UNIX_PATH_MAX);
	memcpy(out->sun_path, path, strlen(path));
	return 0;
}

/* Nobody takes connections of a socket whose process is gone: its file may go too. */
static int clear_path(const struct sockaddr_un *a, struct why *out_why)
{
	struct stat st;

	if (lstat(a->sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return why_set(out_why, ERR_EXISTS, "listen: %s: there is a file of that name",
			       a->sun_path);
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
			errno == EAGAIN || errno == EACCES))
		return why_set(out_why, ERR_BUSY, "listen: %s: somebody listens there already",
			       a->sun_path);
	unlink(a->sun_path);
	return 0;
}

int address_listen_unix(const struct address_unix *where, int *out_fd, struct why *out_why)
{
	struct sockaddr_un a;
	int rc = unix_address(where->path, &a, out_why);

	if (!rc)
		rc = clear_path(&a, out_why);
	if (rc)
		return rc;
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)))
		return why_set(out_why, ERR_UNAVAILABLE, "listen: %s: %s", where->path,
			       strerror(errno));
	/* Until listen, whoever connects is refused. */
	if ((where->gid >= 0 && chown(a.sun_path, (uid_t)-1, (gid_t)where->gid)) ||
	    chmod(a.sun_path, where->mode ? where->mode : ADDRESS_UNIX_MODE) ||
	    listen(fd, LISTEN_BACKLOG)) {
		rc = why_set(out_why, ERR_DENIED, "listen: %s: its group and mode: %s", where->path,
			     strerror(errno));
		unlink(a.sun_path);
		return rc;
	}
	*out_fd = fd_take(&fd);
	return 0;
}
