/*
 * A nats-server for tests: own directory, free port, the topic table's users (password "right").
 * For cmocka programs; one server a process.
 */
#ifndef TESTS_TOY_SERVER_H
#define TESTS_TOY_SERVER_H

#include "common/bus.h"

struct server {
	char dir[64];
	char url[64];
	unsigned port;
	pid_t pid;
};
extern struct server server;

/* Group setup and teardown: the server runs in between. */
int server_setup(void **state);
int server_teardown(void **state);
void server_start(void);
void server_kill(void); /* kill -9 */
/* Connected, as this user; name and user are the same. */
struct bus *server_open_bus(const char *user);

#endif
