/* Credentials: a token from a file, or those of a GitHub App. Nothing here is ever printed. */
#include "common/github_private.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "common/clock.h"
#include "common/mem.h"

enum {
	JWT_BACK_S = 60,     /* clocks differ */
	JWT_VALID_S = 540,   /* the API takes ten minutes at most */
	TOKEN_MIN_MS = 60000 /* an end that is nearer is not believed */
};

/* ---- JSON web token ---- */

static void add_base64url(struct buf *out, const void *data, size_t len)
{
	auto_free unsigned char *text = mem_alloc((len + 2) / 3 * 4 + 1);
	int n = EVP_EncodeBlock(text, data, (int)len);

	for (int i = 0; i < n && text[i] != '='; i++)
		buf_add_char(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
}

static EVP_PKEY *read_key(const struct secret *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

static int sign(EVP_PKEY *key, struct buf *token)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	auto_free unsigned char *signature = mem_alloc((size_t)EVP_PKEY_get_size(key));
	size_t len = (size_t)EVP_PKEY_get_size(key);
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestSign(ctx, signature, &len, (const unsigned char *)token->data,
				 token->len) == 1;

	EVP_MD_CTX_free(ctx);
	if (!ok)
		return ERR_CONFIG;
	buf_add_char(token, '.');
	add_base64url(token, signature, len);
	return 0;
}

int github_jwt(const char *app_id, const char *key_file, int64_t now_ms, struct buf *out,
	       struct why *out_why)
{
	static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
	auto_secret pem = {0};
	auto_buf token = {0}, claims = {0};

	int rc = secret_read(&pem, key_file, out_why);
	if (rc)
		return rc;
	EVP_PKEY *key = pem.len ? read_key(&pem) : NULL;
	if (!key)
		return why_set(out_why, ERR_CONFIG,
			       "github.app_key_file: %s: not an RSA key in PEM", key_file);
	buf_printf(&claims,
		   "{\"iat\":%" PRId64 ",\"exp\":%" PRId64 ",\"iss\":", now_ms / 1000 - JWT_BACK_S,
		   now_ms / 1000 + JWT_VALID_S);
	buf_add_json(&claims, app_id, strlen(app_id));
	buf_add_char(&claims, '}');
	add_base64url(&token, header, strlen(header));
	buf_add_char(&token, '.');
	add_base64url(&token, claims.data, claims.len);
	rc = sign(key, &token);
	EVP_PKEY_free(key);
	if (rc)
		return why_set(out_why, rc, "github.app_key_file: %s: cannot sign", key_file);
	buf_add(out, token.data, token.len);
	return 0;
}

/* ---- accounts ---- */

/* "owner/name" of "/repos/owner/name/...", or req->repository; NULL: none. Caller frees. */
static char *github_repository_of(const struct github_request *req)
{
	static const char prefix[] = "/repos/";

	if (req->repository && *req->repository)
		return mem_strdup(req->repository);
	if (!req->path || !str_starts(req->path, prefix))
		return NULL;
	const char *name = req->path + strlen(prefix);
	const char *slash = strchr(name, '/');
	return slash ? mem_dup(name, (size_t)(slash - name) + 1 + strcspn(slash + 1, "/?")) : NULL;
}

static char *account_key(const struct github *g, const struct github_request *req)
{
	if (req->token_file && *req->token_file)
		return mem_printf("file:%s", req->token_file);
	if (!g->config.app_id)
		return mem_strdup("file");
	auto_free char *repository = github_repository_of(req);
	return mem_printf("app:%" PRId64 ":%s", req->installation_id, repository ? repository : "");
}

struct github_account *github_account(struct github *g, const struct github_request *req)
{
	auto_free char *key = account_key(g, req);

	for (size_t i = 0; i < g->n_accounts; i++)
		if (str_eq(g->accounts[i]->key, key))
			return g->accounts[i];
	struct github_account *a = mem_alloc(sizeof(*a));
	a->key = mem_strdup(key);
	g->accounts =
		mem_realloc(g->accounts, (g->n_accounts + 1) * sizeof(struct github_account *));
	g->accounts[g->n_accounts++] = a;
	return a;
}

/* ---- tokens of installations ---- */

static int app_call(struct github *g, const struct github_request *req, const json_t *body,
		    struct github_answer *out, struct why *out_why)
{
	auto_buf jwt = {0};
	auto_secret bearer = {0};
	int rc = github_jwt(g->config.app_id, g->config.app_key_file, clock_real_ms(), &jwt,
			    out_why);

	if (!rc)
		rc = secret_set(&bearer, jwt.data, jwt.len);
	if (rc)
		return rc;
	struct github_request own = *req;
	own.json = body;
	return github_exchange(g, &own, &bearer, out, out_why);
}

static int find_installation(struct github *g, const struct github_request *req,
			     const char *repository, int64_t *out, struct why *out_why)
{
	auto_buf path = {0};
	auto_github_answer a = {0};

	github_path(&path, "/repos/{+}/installation", repository);
	struct github_request own = {.http = req->http,
				     .method = "GET",
				     .path = buf_str(&path),
				     .timeout_ms = req->timeout_ms};
	int rc = app_call(g, &own, NULL, &a, out_why);
	if (rc)
		return why_prefix(out_why, rc, "the App's installation for %s", repository);
	*out = json_integer_value(json_object_get(a.json, "id"));
	return *out > 0 ? 0 : why_set(out_why, ERR_SCHEMA, "GitHub: an installation without id");
}

static int keep_token(struct github *g, const struct github_request *req,
		      const struct github_answer *a, struct secret *out, struct why *out_why)
{
	json_t *token = json_object_get(a->json, "token");
	const char *until = json_string_value(json_object_get(a->json, "expires_at"));
	int64_t until_ms = 0;

	if (!json_is_string(token) || json_string_length(token) == 0 ||
	    json_string_length(token) > SECRET_MAX_BYTES)
		return why_set(out_why, ERR_SCHEMA, "GitHub: no token in the answer");
	secret_set(out, json_string_value(token), json_string_length(token));
	if (!until || time_parse(until, &until_ms))
		until_ms = 0;
	pthread_mutex_lock(&g->lock);
	struct github_account *account = github_account(g, req);
	secret_release(&account->token);
	secret_set(&account->token, out->data, out->len);
	account->token_until_ms =
		MAX(until_ms - GITHUB_TOKEN_EARLY_MS, clock_real_ms() + TOKEN_MIN_MS);
	pthread_mutex_unlock(&g->lock);
	return 0;
}

static int make_token(struct github *g, const struct github_request *req, struct secret *out,
		      struct why *out_why)
{
	auto_free char *repository = github_repository_of(req);
	auto_buf path = {0};
	auto_github_answer a = {0};
	int64_t id = req->installation_id;

	if (!github_repository_valid(repository))
		return why_set(out_why, ERR_INVALID,
			       "github: an App's call must name its repository");
	int rc = id > 0 ? 0 : find_installation(g, req, repository, &id, out_why);
	if (rc)
		return rc;
	buf_printf(&path, "/app/installations/%" PRId64 "/access_tokens", id);
	/* One repository: what leaks opens no other. */
	json_t *body = repository
			       ? json_pack("{s:[s]}", "repositories", strchr(repository, '/') + 1)
			       : json_object();
	struct github_request own = {.http = req->http,
				     .method = "POST",
				     .path = buf_str(&path),
				     .timeout_ms = req->timeout_ms};
	rc = app_call(g, &own, body, &a, out_why);
	json_decref(body);
	if (!rc)
		rc = keep_token(g, req, &a, out, out_why);
	if (a.raw.data)
		explicit_bzero(a.raw.data, a.raw.len);
	return rc;
}

static bool cached_token(struct github *g, const struct github_request *req, struct secret *out)
{
	pthread_mutex_lock(&g->lock);
	const struct github_account *account = github_account(g, req);
	bool fresh = account->token.len && account->token_until_ms > clock_real_ms();
	if (fresh)
		secret_set(out, account->token.data, account->token.len);
	pthread_mutex_unlock(&g->lock);
	return fresh;
}

int github_token(struct github *g, const struct github_request *req, struct secret *out,
		 struct why *out_why)
{
	if (req->token_file && *req->token_file)
		return secret_read(out, req->token_file, out_why);
	if (!g->config.app_id)
		return secret_read(out, g->config.token_file, out_why);
	return cached_token(g, req, out) ? 0 : make_token(g, req, out, out_why);
}
