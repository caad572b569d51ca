/* What may be asked of the Engine: a table of requests, what becomes of each, and why not. */
#include "executor/broker/judge.h"

#include <setjmp.h>
#include <cmocka.h>

#include "common/mem.h"

static const struct broker_bounds bounds = {
	.stop_max_s = 60, .stop_default_s = 10, .tail_max = 1000, .tail_default = 200};
static const char label[] = "healbus.manage=true";

#define LIST_FILTER "filters=%7B%22label%22%3A%5B%22healbus.manage%3Dtrue%22%5D%7D"
#define ID64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NAME128 ID64 ID64

/* sent: what the Engine is asked; NULL: refused, and the reason holds `why`. */
static const struct {
	const char *method, *target, *sent, *why;
} rows[] = {
	/* allowed */
	{"GET", "/_ping", "/_ping", NULL},
	{"HEAD", "/_ping", "/_ping", NULL},
	{"GET", "/v1.41/_ping", "/v1.41/_ping", NULL},
	{"GET", "/version", "/version", NULL},
	{"GET", "/v1.24/version", "/v1.24/version", NULL},
	{"GET", "/containers/json", "/containers/json?limit=1000&" LIST_FILTER, NULL},
	{"GET", "/v1.43/containers/json?all=1",
	 "/v1.43/containers/json?all=1&limit=1000&" LIST_FILTER, NULL},
	{"GET", "/containers/json?all=true&limit=5", "/containers/json?all=1&limit=5&" LIST_FILTER,
	 NULL},
	{"GET", "/containers/json?limit=0", "/containers/json?limit=1000&" LIST_FILTER, NULL},
	{"GET", "/containers/web/json", "/containers/web/json", NULL},
	{"GET", "/v1.41/containers/web-1_a.b/json", "/v1.41/containers/web-1_a.b/json", NULL},
	{"GET", "/containers/" ID64 "/json", "/containers/" ID64 "/json", NULL},
	{"GET", "/containers/" NAME128 "/json", "/containers/" NAME128 "/json", NULL},
	{"GET", "/containers/0a/json", "/containers/0a/json", NULL},
	{"GET", "/containers/json/json", "/containers/json/json", NULL},
	{"GET", "/containers/web/logs", "/containers/web/logs?stdout=1&stderr=1&tail=200", NULL},
	{"GET", "/containers/web/logs?stdout=1&tail=7", "/containers/web/logs?stdout=1&tail=7",
	 NULL},
	{"GET", "/containers/web/logs?stdout=0&stderr=true&timestamps=1&since=1700000000",
	 "/containers/web/logs?stdout=0&stderr=1&timestamps=1&tail=200&since=1700000000", NULL},
	{"GET", "/containers/web/logs?stdout=false&stderr=0&until=5",
	 "/containers/web/logs?stdout=1&stderr=1&tail=200&until=5", NULL},
	{"GET", "/containers/web/logs?tail=0", "/containers/web/logs?stdout=1&stderr=1&tail=0",
	 NULL},
	{"GET", "/containers/web/logs?tail=1000",
	 "/containers/web/logs?stdout=1&stderr=1&tail=1000", NULL},
	{"POST", "/containers/web/restart", "/containers/web/restart?t=10", NULL},
	{"POST", "/v1.41/containers/web/restart?t=5", "/v1.41/containers/web/restart?t=5", NULL},
	{"POST", "/containers/web/restart?t=0", "/containers/web/restart?t=0", NULL},
	{"POST", "/containers/web/stop?t=60", "/containers/web/stop?t=60", NULL},
	{"POST", "/containers/web/stop", "/containers/web/stop?t=10", NULL},
	{"POST", "/containers/web/start", "/containers/web/start", NULL},

	/* what makes root of whoever may do it */
	{"POST", "/containers/create", NULL, "create: whoever may do that is root"},
	{"POST", "/containers/create?name=x", NULL, "create: "},
	{"POST", "/v1.41/containers/create", NULL, "create: "},
	{"POST", "/containers/web/exec", NULL, "exec: whoever may do that is root"},
	{"POST", "/exec/" ID64 "/start", NULL, "exec: "},
	{"POST", "/exec/web/start", NULL, "exec: "},
	{"GET", "/exec/web/json", NULL, "exec: "},
	{"POST", "/build", NULL, "build: "},
	{"POST", "/build?remote=http://x", NULL, "a byte besides"},
	{"POST", "/containers/web/attach", NULL, "attach: a terminal"},
	{"GET", "/containers/web/attach/ws", NULL, "attach: "},
	{"GET", "/containers/web/archive?path=/etc", NULL, "archive: files"},
	{"PUT", "/containers/web/archive?path=/", NULL, "method PUT"},
	{"HEAD", "/containers/web/archive?path=/", NULL, "archive: "},
	{"GET", "/containers/web/export", NULL, "export: "},
	{"POST", "/containers/web/update", NULL, "update: "},
	{"POST", "/containers/web/rename?name=other", NULL, "rename: "},
	{"POST", "/commit?container=web", NULL, "commit: "},
	{"POST", "/containers/web/kill?signal=9", NULL, "kill: stop gives"},
	{"POST", "/containers/web/pause", NULL, "this is not forwarded"},
	{"POST", "/containers/web/unpause", NULL, "this is not forwarded"},
	{"POST", "/containers/web/wait", NULL, "this is not forwarded"},
	{"GET", "/containers/web/top", NULL, "this is not forwarded"},
	{"GET", "/containers/web/changes", NULL, "this is not forwarded"},
	{"GET", "/containers/web/stats", NULL, "stats: answers without end"},
	{"POST", "/containers/prune", NULL, "prune: "},
	{"DELETE", "/containers/web", NULL, "method DELETE"},
	{"DELETE", "/containers/web?force=1", NULL, "method DELETE"},
	{"GET", "/images/json", NULL, "images: "},
	{"POST", "/images/prune", NULL, "prune: "},
	{"POST", "/images/create?fromImage=x", NULL, "create: "},
	{"POST", "/volumes/create", NULL, "create: "},
	{"GET", "/volumes", NULL, "volumes: "},
	{"POST", "/networks/web/connect", NULL, "networks: "},
	{"POST", "/swarm/init", NULL, "swarm: "},
	{"GET", "/services", NULL, "services: "},
	{"GET", "/secrets", NULL, "secrets: "},
	{"POST", "/plugins/pull", NULL, "plugins: "},
	{"GET", "/events", NULL, "events: answers without end"},
	{"GET", "/info", NULL, "allowed are GET /_ping"},
	{"GET", "/system/df", NULL, "this is not forwarded"},
	{"POST", "/auth", NULL, "this is not forwarded"},
	{"POST", "/session", NULL, "this is not forwarded"},
	{"GET", "/distribution/x/json", NULL, "this is not forwarded"},

	/* the wrong method for the right path */
	{"POST", "/_ping", NULL, "ping is asked with GET"},
	{"POST", "/containers/json", NULL, "list is asked with GET"},
	{"POST", "/containers/web/json", NULL, "inspect is asked with GET"},
	{"GET", "/containers/web/restart", NULL, "restart is asked with POST"},
	{"HEAD", "/containers/web/restart", NULL, "restart is asked with POST"},
	{"HEAD", "/containers/web/json", NULL, "inspect is asked with GET"},
	{"GET", "/containers/web/stop", NULL, "stop is asked with POST"},
	{"get", "/_ping", NULL, "method get"},
	{"Post", "/containers/web/restart", NULL, "method Post"},
	{"", "/_ping", NULL, "method "},
	{"OPTIONS", "*", NULL, "method OPTIONS"},
	{"CONNECT", "docker:80", NULL, "method CONNECT"},
	{"PATCH", "/containers/web/restart", NULL, "method PATCH"},

	/* paths that mean something else to somebody */
	{"POST", "/containers/web%2frestart", NULL, "an escape"},
	{"POST", "/containers/web%2Fexec/restart", NULL, "an escape"},
	{"GET", "/%5fping", NULL, "an escape"},
	{"GET", "/containers/%77eb/json", NULL, "an escape"},
	{"POST", "/containers/web/restart?t=%35", NULL, "an escape"},
	{"GET", "/containers/../images/json", NULL, "a segment that is empty"},
	{"GET", "/containers/web/../../info", NULL, "a segment that is empty"},
	{"GET", "/./_ping", NULL, "a segment that is empty"},
	{"GET", "//_ping", NULL, "a segment that is empty"},
	{"GET", "/containers//json", NULL, "a segment that is empty"},
	{"GET", "/containers/web//json", NULL, "a segment that is empty"},
	{"GET", "/_ping/", NULL, "a segment that is empty"},
	{"GET", "/", NULL, "a segment that is empty"},
	{"GET", "", NULL, "begins with /"},
	{"GET", "_ping", NULL, "begins with /"},
	{"GET", "*", NULL, "begins with /"},
	{"GET", "http://docker/_ping", NULL, "begins with /"},
	{"GET", "/Containers/json", NULL, "this is not forwarded"},
	{"GET", "/CONTAINERS/web/JSON", NULL, "this is not forwarded"},
	{"POST", "/containers/web/Restart", NULL, "this is not forwarded"},
	{"POST", "/containers/web/CREATE", NULL, "create: "},
	{"GET", "/_PING", NULL, "this is not forwarded"},
	{"GET", "/V1.41/_ping", NULL, "this is not forwarded"},
	{"GET", "/v1.4/_ping", NULL, "this is not forwarded"},
	{"GET", "/v1.411/_ping", NULL, "this is not forwarded"},
	{"GET", "/v2.41/_ping", NULL, "this is not forwarded"},
	{"GET", "/v1.41/v1.41/_ping", NULL, "this is not forwarded"},
	{"GET", "/v1.41", NULL, "this is not forwarded"},
	{"GET", "/v1.41/containers/web/json/x", NULL, "too deep"},
	{"GET", "/containers/web/json/x", NULL, "this is not forwarded"},
	{"GET", "/containers/web/json#x", NULL, "a byte besides"},
	{"GET", "/containers/web/json;x=1", NULL, "a byte besides"},
	{"GET", "/containers/web\\x/json", NULL, "a byte besides"},
	{"GET", "/containers/web json", NULL, "a byte besides"},
	{"GET", "/containers/w\xc3\xa9\x62/json", NULL, "a byte besides"},
	{"GET", "/containers/web\r\nX: y/json", NULL, "a byte besides"},

	/* names that are patterns, or too long */
	{"GET", "/containers/.*/json", NULL, "a byte besides"},
	{"GET", "/containers/web+/json", NULL, "a byte besides"},
	{"GET", "/containers/[a-z]/json", NULL, "a byte besides"},
	{"GET", "/containers/^web$/json", NULL, "a byte besides"},
	{"GET", "/containers/.web/json", NULL, "a name or id is"},
	{"GET", "/containers/-web/json", NULL, "a name or id is"},
	{"GET", "/containers/_web/json", NULL, "a name or id is"},
	{"GET", "/containers/web=1/json", NULL, "a name or id is"},
	{"GET", "/containers/a&b/json", NULL, "a name or id is"},
	{"GET", "/containers/" NAME128 "x/json", NULL, "at most 128"},
	{"GET", "/containers/" NAME128 NAME128 NAME128 NAME128 "/json", NULL, "at most 512"},

	/* queries */
	{"POST", "/containers/web/restart?t=61", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t=-1", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t=99999999999999999999", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t=5s", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t=", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t=5&t=6", NULL, "given twice"},
	{"POST", "/containers/web/restart?t=5&signal=KILL", NULL, "restart takes t"},
	{"POST", "/containers/web/restart?T=5", NULL, "restart takes t"},
	{"POST", "/containers/web/restart?", NULL, "restart takes t"},
	{"POST", "/containers/web/restart?t=5&", NULL, "restart takes t"},
	{"POST", "/containers/web/restart?&t=5", NULL, "restart takes t"},
	{"POST", "/containers/web/restart?t=5?t=6", NULL, "from 0 to 60"},
	{"POST", "/containers/web/restart?t=5/../../exec", NULL, "from 0 to 60"},
	{"POST", "/containers/web/start?t=5", NULL, "start takes none"},
	{"POST", "/containers/web/start?detachKeys=x", NULL, "start takes none"},
	{"GET", "/containers/web/json?size=1", NULL, "inspect takes none"},
	{"GET", "/containers/json?filters=x", NULL, "list takes all, limit"},
	{"GET", "/containers/json?all=2", NULL, "from 0 to 1"},
	{"GET", "/containers/json?all=yes", NULL, "from 0 to 1"},
	{"GET", "/containers/json?limit=1001", NULL, "from 0 to 1000"},
	{"GET", "/containers/json?size=1", NULL, "list takes"},
	{"GET", "/containers/web/logs?follow=1", NULL, "logs takes"},
	{"GET", "/containers/web/logs?follow=0", NULL, "logs takes"},
	{"GET", "/containers/web/logs?tail=all", NULL, "from 0 to 1000"},
	{"GET", "/containers/web/logs?tail=1001", NULL, "from 0 to 1000"},
	{"GET", "/containers/web/logs?details=1", NULL, "logs takes"},
	{"GET", "/containers/web/logs?since=1.5", NULL, "from 0 to"},
	{"GET", "/_ping?x=1", NULL, "ping takes none"},
	{"GET", "/version?x", NULL, "version takes none"},
};

static int judge(const struct broker_ask *ask, struct buf *out_sent, struct why *out_why)
{
	struct broker_call call = {.container = "untouched"};
	int rc = broker_judge(&bounds, ask, &call, out_why);

	if (rc == 0)
		broker_path(&call, call.container, label, out_sent);
	else
		assert_string_equal(call.container, "untouched");
	return rc;
}

static void test_table(void **state)
{
	(void)state;
	assert_true(ARRAY_SIZE(rows) >= 80);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct broker_ask ask = {.method = rows[i].method, .target = rows[i].target};
		struct why why = {0};
		auto_buf sent = {0};
		int rc = judge(&ask, &sent, &why);

		if (rc != (rows[i].sent ? 0 : ERR_DENIED))
			fail_msg("%s %s: %s (%s)", rows[i].method, rows[i].target, err_name(rc),
				 why.text);
		if (rows[i].sent && !str_eq(buf_str(&sent), rows[i].sent))
			fail_msg("%s: sent %s", rows[i].target, buf_str(&sent));
		if (rows[i].why && !strstr(why.text, rows[i].why))
			fail_msg("%s: because %s", rows[i].target, why.text);
	}
}

static void test_headers(void **state)
{
	static const struct {
		struct broker_header header;
		size_t body_len;
		const char *why; /* NULL: allowed */
	} heads[] = {
		{{"Host", "docker"}, 0, NULL},
		{{"Content-Length", "0"}, 0, NULL},
		{{"Content-Type", "application/json"}, 0, NULL},
		{{"Connection", "keep-alive"}, 0, NULL},
		{{"X-Registry-Auth", "e30="}, 0, NULL},
		{{"Content-Length", "2"}, 2, "a body"},
		{{"content-length", "00"}, 0, "a body"},
		{{"Content-Length", "+0"}, 0, "a body"},
		{{"Content-Length", "0, 5"}, 0, "a body"},
		{{"Host", "docker"}, 1, "a body"},
		{{"Transfer-Encoding", "chunked"}, 0, "Transfer-Encoding"},
		{{"transfer-encoding", "identity"}, 0, "Transfer-Encoding"},
		{{"Upgrade", "tcp"}, 0, "Upgrade"},
		{{"UPGRADE", "h2c"}, 0, "Upgrade"},
		{{"Connection", "Upgrade"}, 0, "stays HTTP"},
		{{"Connection", "keep-alive, UPGRADE"}, 0, "stays HTTP"},
		{{"HTTP2-Settings", "x"}, 0, "HTTP2-Settings"},
		{{"Expect", "100-continue"}, 0, "Expect"},
		{{"TE", "trailers"}, 0, "TE"},
		{{"Trailer", "X"}, 0, "Trailer"},
		{{"X-HTTP-Method-Override", "DELETE"}, 0, "X-HTTP-Method-Override"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct broker_ask ask = {.method = "POST",
					 .target = "/containers/web/restart",
					 .headers = &heads[i].header,
					 .n_headers = 1,
					 .body_len = heads[i].body_len};
		struct why why = {0};
		auto_buf sent = {0};
		int rc = judge(&ask, &sent, &why);

		if (rc != (heads[i].why ? ERR_DENIED : 0) ||
		    (heads[i].why && !strstr(why.text, heads[i].why)))
			fail_msg("%s: %s: %s", heads[i].header.name, heads[i].header.value,
				 why.text);
	}
}

/* An act goes to what was found, not to what it was called. */
static void test_the_id_stands_for_the_name(void **state)
{
	struct broker_ask ask = {.method = "POST", .target = "/v1.41/containers/web/stop?t=3"};
	struct broker_call call;
	struct why why = {0};
	auto_buf sent = {0};

	(void)state;
	assert_int_equal(broker_judge(&bounds, &ask, &call, &why), 0);
	assert_int_equal(broker_patience_s(&call), 3);
	assert_true(broker_acts(call.action));
	broker_path(&call, ID64, label, &sent);
	assert_string_equal(buf_str(&sent), "/v1.41/containers/" ID64 "/stop?t=3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_the_id_stands_for_the_name),
	};

	return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
