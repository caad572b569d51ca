#include "tests/unit/http_peer.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/github.h"

static char dir[] = "/tmp/healbus-github-XXXXXX";
static char token_path[64], key_path[64];

/* ---- paths, pages, limits ---- */

static void paths_are_encoded(void **state)
{
	(void)state;
	auto_buf a = {0}, b = {0};
	github_path(&a, "/repos/{+}/git/ref/heads/{+}?q={}", "o/r", "fix/a b", "x&y/z\xc3\xa4");
	assert_string_equal(buf_str(&a), "/repos/o/r/git/ref/heads/fix/a%20b?q=x%26y%2Fz%C3%A4");
	github_path(&b, "/a/{}/{}", "..?");
	assert_string_equal(buf_str(&b), "/a/..%3F/");
}

static void repositories_are_checked(void **state)
{
	(void)state;
	static const char *const good[] = {"o/r", "octo-org/octo.repo", "A_1/.github"};
	static const char *const bad[] = {"",      "o",     "/r",    "o/",    "o/..", "./r",
					  "o/r/x", "o/r?x", "o/r\n", "o r/x", NULL};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(github_repository_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(github_repository_valid(bad[i]));
}

static void next_pages_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *link, *next;
	} rows[] = {
		{NULL, NULL},
		{"", NULL},
		{"<https://x/a?page=2>; rel=\"next\", <https://x/a?page=9>; rel=\"last\"",
		 "https://x/a?page=2"},
		{"<https://x/a?page=1>; rel=\"prev\", <https://x/a?page=3>; rel=\"next\"",
		 "https://x/a?page=3"},
		{"<https://x/a?page=1>; rel=\"prev\"", NULL},
		{"<https://x/a", NULL},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *next = github_next_url(rows[i].link);
		if (rows[i].next)
			assert_string_equal(next, rows[i].next);
		else
			assert_null(next);
	}
}

static void limits_are_understood(void **state)
{
	(void)state;
	static const struct {
		struct github_limits l;
		int64_t ms;
		bool limited;
	} rows[] = {
		{{.status = 200, .remaining = "4999", .reset = "1030"}, 0, false},
		{{.status = 200, .remaining = "0", .reset = "1030"}, 31000, false},
		{{.status = 403, .remaining = "0", .reset = "1030"}, 31000, true},
		{{.status = 429, .remaining = "0", .reset = "900"}, 1000, true},
		{{.status = 429}, GITHUB_SECONDARY_MS, true},
		{{.status = 403, .retry_after = "7", .remaining = "10"}, 7000, true},
		{{.status = 403, .message = "You have exceeded a secondary rate limit."},
		 GITHUB_SECONDARY_MS,
		 true},
		{{.status = 403, .message = "Resource not accessible by integration"}, 0, false},
		{{.status = 403, .remaining = "12", .reset = "1030"}, 0, false},
		{{.status = 429, .retry_after = "999999999"}, GITHUB_RETRY_MAX_MS, true},
		{{.status = 403, .retry_after = "soon"}, 0, false},
		{{.status = 404, .remaining = "x", .reset = "1030"}, 0, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool limited = false;
		assert_int_equal(github_limit_ms(&rows[i].l, 1000000, &limited), rows[i].ms);
		assert_int_equal(limited, rows[i].limited);
	}
}

/* ---- JSON web tokens ---- */

static void decode(const char *text, size_t len, struct buf *out)
{
	char padded[2048];
	size_t n = 0;
	for (; n < len; n++)
		padded[n] = text[n] == '-' ? '+' : text[n] == '_' ? '/' : text[n];
	size_t pad = (4 - n % 4) % 4;
	memset(padded + n, '=', pad);
	unsigned char raw[2048];
	int got = EVP_DecodeBlock(raw, (const unsigned char *)padded, (int)(n + pad));
	assert_true(got >= 0);
	buf_add(out, raw, (size_t)got - pad);
}

static void jwt_is_signed(void **state)
{
	(void)state;
	auto_buf jwt = {0}, head = {0}, claims = {0}, signature = {0};
	struct why why = {0};
	assert_int_equal(github_jwt("12345", key_path, 1000000000, &jwt, &why), 0);
	char *first = strchr(jwt.data, '.'), *second = strrchr(jwt.data, '.');
	decode(jwt.data, (size_t)(first - jwt.data), &head);
	decode(first + 1, (size_t)(second - first - 1), &claims);
	decode(second + 1, strlen(second + 1), &signature);
	assert_string_equal(buf_str(&head), "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
	assert_string_equal(buf_str(&claims), "{\"iat\":999940,\"exp\":1000540,\"iss\":\"12345\"}");
	auto_file FILE *f = fopen(key_path, "re");
	EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(ctx, (unsigned char *)signature.data, signature.len,
					  (unsigned char *)jwt.data, (size_t)(second - jwt.data)),
			 1);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	assert_int_equal(github_jwt("1", token_path, 0, &jwt, &why), ERR_CONFIG);
}

/* ---- calls, against a peer ---- */

/* Without the client's kept connections, for which it would wait. */
static void stop(struct peer *p)
{
	http_client_free(client);
	http_client_new(&client);
	peer_stop(p);
}

static const char *reply, *second_reply;

static void serve_replies(struct peer *p, int fd)
{
	while (take(p, fd, "\r\n\r\n")) {
		put(fd, reply);
		if (second_reply)
			reply = second_reply;
	}
}

static struct github *open_github(unsigned port, bool app)
{
	struct github *g = NULL;
	struct why why = {0};
	char url[64];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	struct github_config c = {.api_url = url};
	if (app) {
		c.app_id = (char *)"77";
		c.app_key_file = key_path;
	} else {
		c.token_file = token_path;
	}
	assert_int_equal(github_new(&c, &g, &why), 0);
	return g;
}

#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

static void a_call_says_who_it_is(void **state)
{
	(void)state;
	struct peer p;
	struct why why = {0};
	auto_github_answer a = {0};
	reply = JSON_HEAD "Content-Length: 8\r\n\r\n{\"id\":7}";
	second_reply = NULL;
	peer_start(&p, serve_replies);
	struct github *g = open_github(p.port, false);
	struct github_request req = {.http = client, .path = "/repos/o/r"};
	assert_int_equal(github_call(g, &req, &a, &why), 0);
	stop(&p);
	assert_int_equal(json_integer_value(json_object_get(a.json, "id")), 7);
	assert_non_null(strstr(p.got.data, "GET /repos/o/r HTTP/1.1"));
	assert_non_null(strstr(p.got.data, "Authorization: Bearer ghp_secret\r\n"));
	assert_non_null(strstr(p.got.data, "X-GitHub-Api-Version: 2022-11-28\r\n"));
	assert_non_null(strstr(p.got.data, "Accept: application/vnd.github+json\r\n"));
	assert_non_null(strstr(p.got.data, "User-Agent: healbus/"));
	buf_release(&p.got);
	github_free(g);
}

static void a_limit_stops_further_calls(void **state)
{
	(void)state;
	struct peer p;
	struct why why = {0};
	reply = "HTTP/1.1 403 Forbidden\r\nRetry-After: 9\r\nContent-Length: 16\r\n\r\n"
		"{\"message\":\"no\"}";
	second_reply = NULL;
	peer_start(&p, serve_replies);
	struct github *g = open_github(p.port, false);
	struct github_request req = {.http = client, .path = "/repos/o/r"};
	for (int i = 0; i < 3; i++) {
		auto_github_answer a = {0};
		assert_int_equal(github_call(g, &req, &a, &why), ERR_BUSY);
		assert_true(a.retry_ms > 7000 && a.retry_ms <= 9000);
		assert_int_equal(a.sent, i == 0);
	}
	stop(&p);
	assert_null(strstr(strstr(p.got.data, "GET ") + 1, "GET "));
	assert_null(strstr(why.text, "ghp_secret"));
	buf_release(&p.got);
	github_free(g);
}

static void errors_are_githubs_words(void **state)
{
	(void)state;
	struct peer p;
	struct why why = {0};
	auto_github_answer a = {0};
	reply = "HTTP/1.1 422 Unprocessable\r\nContent-Length: 102\r\n\r\n"
		"{\"message\":\"Validation Failed\",\"errors\":[{\"message\":\"A pull request "
		"already exists for o:b.\"},\"more\"]}";
	second_reply = NULL;
	peer_start(&p, serve_replies);
	struct github *g = open_github(p.port, false);
	struct github_request req = {.http = client, .method = "GET", .path = "/repos/o/r/x?y=1"};
	assert_int_equal(github_call(g, &req, &a, &why), ERR_REJECTED);
	stop(&p);
	assert_string_equal(why.text, "GitHub: GET /repos/o/r/x: 422 Validation Failed; A pull "
				      "request already exists for o:b.; more");
	buf_release(&p.got);
	github_free(g);
}

/* The second place sees no credentials, and a second redirect is not followed. */
static void a_download_is_redirected_once(void **state)
{
	(void)state;
	struct peer p, logs;
	struct why why = {0};
	char redirect[256];
	peer_start(&logs, serve_replies);
	peer_start(&p, serve_replies);
	snprintf(redirect, sizeof(redirect),
		 "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/log?sig=1\r\nContent-Length: "
		 "0\r\n\r\n",
		 logs.port);
	reply = redirect;
	second_reply = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nline one";
	struct github *g = open_github(p.port, false);
	struct github_request req = {
		.http = client, .path = "/repos/o/r/actions/jobs/1/logs", .download = true};
	auto_github_answer a = {0}, b = {0};
	assert_int_equal(github_call(g, &req, &a, &why), 0);
	assert_string_equal(buf_str(&a.raw), "line one");
	assert_null(a.json);
	reply = second_reply = redirect;
	assert_int_equal(github_call(g, &req, &b, &why), ERR_REJECTED);
	stop(&p);
	stop(&logs);
	assert_non_null(strstr(p.got.data, "ghp_secret"));
	assert_non_null(strstr(logs.got.data, "GET /log?sig=1 "));
	assert_null(strstr(logs.got.data, "Authorization"));
	buf_release(&p.got);
	buf_release(&logs.got);
	github_free(g);
}

static void pages_are_walked(void **state)
{
	(void)state;
	struct peer p;
	struct why why = {0};
	char first[512];
	json_t *all = NULL;
	peer_start(&p, serve_replies);
	snprintf(first, sizeof(first),
		 JSON_HEAD "Link: <http://127.0.0.1:%u/repos/o/r/x?page=2>; rel=\"next\"\r\n"
			   "Content-Length: 16\r\n\r\n{\"runs\":[1,2,3]}",
		 p.port);
	reply = first;
	second_reply = JSON_HEAD "Link: <http://elsewhere/x?page=3>; rel=\"next\"\r\n"
				 "Content-Length: 12\r\n\r\n{\"runs\":[4]}";
	struct github *g = open_github(p.port, false);
	struct github_request req = {.http = client, .path = "/repos/o/r/x"};
	struct github_list list = {.member = "runs", .max = 100};
	assert_int_equal(github_all(g, &req, &list, &all, &why), 0);
	stop(&p);
	assert_int_equal(json_array_size(all), 4);
	assert_non_null(strstr(p.got.data, "GET /repos/o/r/x?page=2 "));
	json_decref(all);
	buf_release(&p.got);
	github_free(g);
}

/* ---- GitHub App ---- */

static unsigned tokens_made;

static void serve_app(struct peer *p, int fd)
{
	static const char made[] =
		"{\"token\":\"ghs_one\",\"expires_at\":\"2999-01-01T00:00:00Z\"}";
	char text[512];
	size_t from = p->got.len;
	for (; take(p, fd, p->got.len == from ? "" : "\r\n\r\n"); from = p->got.len) {
		const char *line = p->got.data + from;
		while (!strstr(line, "\r\n\r\n") && take(p, fd, "\r\n\r\n"))
			line = p->got.data + from;
		line = p->got.data + from;
		bool make = strstr(line, "access_tokens") != NULL;
		if (make && !strstr(line, "{\"repositories\":[\"r\"]}"))
			take(p, fd, "{\"repositories\":[\"r\"]}");
		tokens_made += make;
		const char *body = make ? made : "{\"id\":5}";
		snprintf(text, sizeof(text), JSON_HEAD "Content-Length: %zu\r\n\r\n%s",
			 strlen(body), body);
		put(fd, text);
	}
}

static void an_app_makes_one_token_a_repository(void **state)
{
	(void)state;
	struct peer p;
	struct why why = {0};
	tokens_made = 0;
	peer_start(&p, serve_app);
	struct github *g = open_github(p.port, true);
	struct github_request req = {.http = client, .path = "/repos/o/r/pulls"};
	for (int i = 0; i < 3; i++) {
		auto_github_answer a = {0};
		assert_int_equal(github_call(g, &req, &a, &why), 0);
	}
	auto_secret token = {0};
	struct github_request of = {.http = client, .repository = "o/r"};
	assert_int_equal(github_token(g, &of, &token, &why), 0);
	stop(&p);
	assert_string_equal(token.data, "ghs_one");
	assert_int_equal(tokens_made, 1);
	assert_non_null(strstr(p.got.data, "GET /repos/o/r/installation "));
	assert_non_null(strstr(p.got.data, "POST /app/installations/5/access_tokens "));
	assert_non_null(strstr(p.got.data, "Authorization: Bearer eyJ"));
	assert_non_null(strstr(p.got.data, "Authorization: Bearer ghs_one"));
	buf_release(&p.got);
	struct github_request none = {.http = client, .path = "/user"};
	auto_github_answer a = {0};
	assert_int_equal(github_call(g, &none, &a, &why), ERR_INVALID);
	github_free(g);
}

static void configurations_are_checked(void **state)
{
	(void)state;
	struct github *g = NULL;
	struct why why = {0};
	struct github_config bad[] = {
		{.api_url = (char *)"ftp://x"},
		{.app_id = (char *)"1"},
		{.app_key_file = (char *)"k"},
		{.app_id = (char *)"1", .app_key_file = (char *)"k", .token_file = (char *)"t"}};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(github_new(&bad[i], &g, &why), ERR_CONFIG);
	struct github_config none = {0};
	assert_int_equal(github_new(&none, &g, &why), 0);
	assert_false(github_has_credentials(g));
	struct github_request other = {.http = client, .path = "/x", .api_url = "http://h"};
	auto_github_answer a = {0};
	assert_int_equal(github_call(g, &other, &a, &why), ERR_CONFIG);
	github_free(g);
}

static int make_files(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(token_path, sizeof(token_path), "%s/token", dir);
	snprintf(key_path, sizeof(key_path), "%s/key.pem", dir);
	umask(077);
	auto_file FILE *t = fopen(token_path, "we");
	auto_file FILE *k = fopen(key_path, "we");
	EVP_PKEY *key = EVP_RSA_gen(2048);
	bool ok = t && k && key && fputs("ghp_secret\n", t) >= 0 &&
		  PEM_write_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL) == 1;
	EVP_PKEY_free(key);
	return ok ? 0 : -1;
}

static int remove_files(void **state)
{
	(void)state;
	unlink(token_path);
	unlink(key_path);
	return rmdir(dir);
}

#define CALL(f) cmocka_unit_test_setup_teardown(f, client_open, client_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_encoded),
		cmocka_unit_test(repositories_are_checked),
		cmocka_unit_test(next_pages_are_found),
		cmocka_unit_test(limits_are_understood),
		cmocka_unit_test(jwt_is_signed),
		CALL(configurations_are_checked),
		CALL(a_call_says_who_it_is),
		CALL(a_limit_stops_further_calls),
		CALL(errors_are_githubs_words),
		CALL(a_download_is_redirected_once),
		CALL(pages_are_walked),
		CALL(an_app_makes_one_token_a_repository),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
