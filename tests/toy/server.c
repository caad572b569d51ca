#include "tests/toy/server.h"

#include "common/buf.h"
#include "common/mem.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

struct server server;

/* ---- the server ---- */

/* Below those that the kernel hands out to clients: whoever connects meanwhile cannot get it. */
enum { PORT_FIRST = 10240, PORTS = 20000 };

/* It stays bound, so that no other test is given it while this one lives. */
static unsigned free_port(void)
{
	static const int on = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port;
	do {
		assert_int_equal(getrandom(&port, sizeof(port), 0), sizeof(port));
		port = (uint16_t)(PORT_FIRST + port % PORTS);
		a.sin_port = htons(port);
	} while (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0);
	/* Not before: who else holds one has said so too. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	return port;
}

static void write_file(const char *name, const char *text)
{
	auto_free char *path = mem_printf("%s/%s", server.dir, name);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

void server_start(void)
{
	extern char **environ;
	auto_free char *config = mem_printf("%s/nats.conf", server.dir);
	auto_free char *log = mem_printf("%s/nats.log", server.dir);
	char *argv[] = {(char *)(uintptr_t) "nats-server",
			(char *)(uintptr_t) "-c",
			config,
			(char *)(uintptr_t) "-l",
			log,
			NULL};
	assert_int_equal(posix_spawnp(&server.pid, "nats-server", NULL, NULL, argv, environ), 0);
}

void server_kill(void)
{
	if (server.pid <= 0)
		return;
	kill(server.pid, SIGKILL);
	waitpid(server.pid, NULL, 0);
	server.pid = 0;
}

static void kill_at_exit(void)
{
	server_kill();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

struct bus *server_open_bus(const char *user)
{
	struct bus *b = NULL;
	struct why why = {0};
	auto_free char *password = mem_printf("%s/password", server.dir);
	struct bus_options o = {
		.url = server.url, .name = user, .user = user, .password_file = password};
	assert_int_equal(bus_open(&o, &b, &why), 0);
	int rc = bus_wait(b, 10000, &why);
	if (rc)
		print_message("%s: %s\n", user, why.text);
	assert_int_equal(rc, 0);
	return b;
}

int server_setup(void **state)
{
	(void)state;
	static const char *const users[] = {"MONITOR", "REASONER", "EXECUTOR", "NOTIFIER",
					    "OPERATOR"};
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		auto_free char *name = mem_printf("HEALBUS_%s_PASSWORD", users[i]);
		setenv(name, "right", 1);
	}
	snprintf(server.dir, sizeof(server.dir), "/tmp/bustest.XXXXXX");
	assert_non_null(mkdtemp(server.dir));
	server.port = free_port();
	snprintf(server.url, sizeof(server.url), "nats://127.0.0.1:%u", server.port);
	auto_buf config = {0};
	buf_printf(&config, "listen: \"127.0.0.1:%u\"\njetstream { store_dir: \"%s/js\" }\n",
		   server.port, server.dir);
	topic_print_nats_users(&config);
	write_file("nats.conf", config.data);
	write_file("password", "right\n");
	write_file("wrong", "wrong\n");
	atexit(kill_at_exit);
	server_start();
	return 0;
}

int server_teardown(void **state)
{
	(void)state;
	server_kill();
	return nftw(server.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
