/* Who somebody says he is: Authorization values against a list of tokens, signatures of bodies,
 * files with secrets. The first byte says which. The answers are checked against naive ones. */
#include "common/http_server_private.h"
#include "common/id.h"
#include "common/secret.h"
#include "monitor/ingress.h"
#include "tests/fuzz/fuzz.h"

#include <sys/stat.h>

/* Line one: the header's value; then the body, which is signed. */
static void signature(char *text)
{
	char *body = strchr(text, '\n');
	struct secret key = {.data = (char[]){"secret"}, .len = 6};
	uint8_t mac[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1], good[sizeof(hex) + 8];
	if (body)
		*body++ = '\0';
	body = body ? body : (char *)"";
	struct http_header header = {"X-Hub-Signature-256", text};
	struct http_request req = {.headers = &header, .n_headers = 1};
	buf_add_str(&req.body, body);
	digest_hmac(key.data, key.len, body, strlen(body), mac);
	hex_encode(mac, sizeof(mac), hex);
	const char *given = str_starts(text, "sha256=") ? text + 7 : text;
	MUST(http_hmac_valid(&req, "x-hub-signature-256", &key) == (strcasecmp(given, hex) == 0));
	snprintf(good, sizeof(good), "sha256=%s", hex);
	req.headers[0].value = good;
	MUST(http_hmac_valid(&req, "X-Hub-Signature-256", &key));
	MUST(!http_hmac_valid(&req, "X-Other", &key));
	MUST(!http_hmac_valid(&req, "X-Hub-Signature-256", &(struct secret){0}));
	buf_add_char(&req.body, '!');
	MUST(!http_hmac_valid(&req, "X-Hub-Signature-256", &key));
	buf_release(&req.body);
}

static bool in_list(const struct secret *tokens, size_t n, const char *token, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (tokens[i].len == len && memcmp(tokens[i].data, token, len) == 0)
			return true;
	return false;
}

/* Tokens, one a line, up to an empty line; then headers. */
static void bearer(char *text, bool loopback)
{
	char *rest = strstr(text, "\n\n");
	struct secret list = {.data = text};
	struct http_server server = {0};
	struct http_route route = {.auth = HTTP_AUTH_BEARER};
	struct secret *tokens = NULL;
	struct why why = {0};
	auto_buf token = {0};
	if (rest) {
		*rest = '\0';
		rest += 2;
	}
	server.n_tokens = secret_lines(&list, &tokens);
	server.tokens = tokens;
	struct http_header headers[HTTP_HEADERS_MAX];
	struct http_request req = {
		.server = &server, .route = &route, .loopback = loopback, .headers = headers};
	while (rest && *rest && req.n_headers < HTTP_HEADERS_MAX) {
		char *line = strsep(&rest, "\n");
		char *value = strchr(line, ':');
		if (!value)
			continue;
		*value++ = '\0';
		req.headers[req.n_headers++] = (struct http_header){line, value};
	}
	int rc = http_request_authenticate(&req, &why);
	const char *header = http_header(&req, "authorization");
	bool known = header && http_credentials(header, &token) &&
		     in_list(tokens, server.n_tokens, buf_str(&token), token.len);
	MUST(rc || known || (server.n_tokens == 0 && loopback));
	MUST(rc != ERR_UNAUTHENTICATED || !known);
	free(tokens);
	buf_release(&req.reply_headers);
}

static void equality(char *text)
{
	char *other = strchr(text, '\n');
	if (other)
		*other++ = '\0';
	other = other ? other : (char *)"";
	struct secret s = {.data = text, .len = strlen(text)};
	bool same = *text && str_eq(text, other);
	MUST(secret_equal(&s, other, strlen(other)) == same);
}

static void file(const char *text, size_t size)
{
	static char path[64];
	struct secret s = {0};
	struct why why = {0};
	if (!*path)
		snprintf(path, sizeof(path), "/dev/shm/healbus-fuzz-auth-%d", (int)getpid());
	FILE *f = fopen(path, "w");
	MUST(f);
	fwrite(text, 1, size, f);
	fclose(f);
	chmod(path, 0600);
	int rc = secret_read(&s, path, &why);
	unlink(path);
	if (rc)
		MUST(rc == ERR_CONFIG && why.text[0]);
	else
		MUST(s.len > 0 && s.len <= SECRET_MAX_BYTES && s.data[s.len] == '\0');
	secret_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t which = fuzz_take(&data, &size);
	auto_free char *text = fuzz_text(data, size);
	if (which % 4 == 0)
		signature(text);
	else if (which % 4 == 1)
		bearer(text, which & 4);
	else if (which % 4 == 2)
		equality(text);
	else
		file(text, size);
	return 0;
}
