/* The HTTP server on a unix socket: who is there, what was asked word for word, any method. */
#include "common/http_server.h"

#include <setjmp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>

#include "common/address.h"
#include "common/buf.h"

static char dir[] = "/tmp/test_http_unix.XXXXXX";
static char path[64];
static struct http_server *server;

static void say(void *ctx, struct http_request *req)
{
	auto_buf b = {0};

	(void)ctx;
	buf_printf(&b, "%s %s uid=%d peer=%s", http_method(req), http_raw_target(req),
		   (int)http_peer_uid(req), http_peer(req));
	http_reply(req, 200, "text/plain", b.data, b.len);
}

static const struct http_route routes[] = {{"GET", "/own", say, NULL, HTTP_AUTH_BEARER},
					   {NULL, "/**", say, NULL, HTTP_AUTH_NONE}};

static int setup(void **state)
{
	struct address_unix where = {.path = path, .gid = -1};
	struct http_server_options o = {
		.unix_socket = &where, .routes = routes, .n_routes = ARRAY_SIZE(routes)};
	struct why why = {0};

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return http_server_open(&o, &server, &why);
}

/* own: where the client's own end lies; NULL: nowhere. */
static void ask(const char *request, const char *own, struct buf *out)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX}, mine = {.sun_family = AF_UNIX};
	auto_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char chunk[4096];

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (own) {
		snprintf(mine.sun_path, sizeof(mine.sun_path), "%s", own);
		assert_int_equal(bind(fd, (struct sockaddr *)&mine, sizeof(mine)), 0);
	}
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
		buf_add(out, chunk, (size_t)n);
}

#define REST " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

static void test_requests(void **state)
{
	auto_free char *uid = NULL;
	static const struct {
		const char *request, *has;
	} t[] = {
		{"GET /a%2fb?x=%31" REST, "GET /a%2fb?x=%31 uid="},
		{"DELETE /x" REST, "DELETE /x uid="},
		{"BREW /x" REST, "BREW /x uid="},
		{"GET /own" REST, "GET /own uid="}, /* this machine's users are local */
		{"GET /../x" REST, "HTTP/1.1 400"},
	};

	(void)state;
	assert_true(asprintf(&uid, "uid=%d peer=unix", (int)getuid()) > 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		auto_buf b = {0};

		ask(t[i].request, NULL, &b);
		if (!strstr(buf_str(&b), t[i].has))
			fail_msg("%s: %s", t[i].request, buf_str(&b));
		assert_true(strstr(buf_str(&b), uid) || strstr(t[i].has, "400"));
	}
}

/* A client may have an address of its own, as long as the kernel allows. */
static void test_client_with_a_long_address(void **state)
{
	char own[108];
	auto_buf b = {0};

	(void)state;
	memset(own, 'x', sizeof(own));
	memcpy(own, dir, strlen(dir));
	own[strlen(dir)] = '/';
	own[107] = 0;
	ask("GET /x" REST, own, &b);
	assert_non_null(strstr(buf_str(&b), "peer=unix"));
	unlink(own);
}

static void test_close_removes_the_socket(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, ADDRESS_UNIX_MODE);
	http_server_close(server, 0);
	assert_int_equal(stat(path, &st), -1);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_client_with_a_long_address),
		cmocka_unit_test(test_close_removes_the_socket),
	};

	return cmocka_run_group_tests_name("http_unix", tests, setup, NULL);
}
