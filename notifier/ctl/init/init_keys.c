#include "notifier/ctl/init/init.h"

#include <glob.h>
#include <sys/random.h>

#include "common/id.h"
#include "common/mem.h"
#include "common/nkey.h"
#include "common/secret.h"
#include "common/topic.h"
#include "common/wire.h"

static const char source_prefix[] = "source-";

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_release(b);
}
#define auto_wiped __attribute__((cleanup(wipe))) struct buf

/* ---- one user ---- */

/* The seed stays behind when it is given away; the public half is what the server knows. */
static int seed_public(struct init *in, const char *name, char out[static NKEY_PUBLIC_LEN + 1])
{
	auto_free char *path = init_path(in, name);
	auto_secret seed = {0};
	struct why why = {0};
	int rc = secret_read(&seed, path, &in->why);

	if (rc)
		return rc;
	rc = nkey_public(seed.data, out, &why);
	return rc ? why_set(&in->why, ERR_CONFIG, "%s: %s; remove it to have a new one made", path,
			    why.text)
		  : 0;
}

static int user_new(struct init *in, const char *user, char out[static NKEY_PUBLIC_LEN + 1])
{
	char seed[NKEY_SEED_LEN + 1];
	auto_free char *name = mem_printf("keys/%s.nk", user);
	auto_free char *what = mem_printf("who %s is at the bus: its secret", user);
	auto_wiped text = {0};
	int rc = nkey_new(seed, out, &in->why);

	if (rc)
		return rc;
	buf_printf(&text, "%s\n", seed);
	explicit_bzero(seed, sizeof(seed));
	return init_write(in, name, &text, what);
}

static int check_pair(struct init *in, const char *user, const char *public)
{
	char own[NKEY_PUBLIC_LEN + 1];
	auto_free char *name = mem_printf("keys/%s.nk", user);

	if (!nkey_public_valid(public))
		return why_set(
			&in->why, ERR_CONFIG,
			"keys/%s.pub: no public nkey of a user; remove it when keys/%s.nk is there",
			user, user);
	int rc = init_has(in, name) ? seed_public(in, name, own) : 0;
	if (!rc && init_has(in, name) && !str_eq(own, public))
		rc = why_set(&in->why, ERR_CONFIG,
			     "keys/%s.nk and .pub are no pair; remove the one that is wrong", user);
	return rc;
}

/* Who has a public key is a user, wherever the secret half is by now. */
static int user_key(struct init *in, const char *user)
{
	char public[NKEY_PUBLIC_LEN + 1];
	auto_free char *seed = mem_printf("keys/%s.nk", user),
		       *name = mem_printf("keys/%s.pub", user);
	auto_free char *what = mem_printf("the same for the server: no secret");
	auto_buf text = {0};

	if (init_has(in, name)) {
		int rc = init_read(in, name, &text);

		if (rc)
			return rc;
		text.len = strcspn(buf_str(&text), "\n");
		auto_free char *known = mem_dup(buf_str(&text), text.len);
		return check_pair(in, user, known);
	}
	int rc = init_has(in, seed) ? seed_public(in, seed, public) : user_new(in, user, public);
	if (rc)
		return rc;
	buf_printf(&text, "%s\n", public);
	return init_write(in, name, &text, what);
}

/* ---- all of them ---- */

static int add_sources(struct init *in)
{
	auto_free char *copy = mem_strdup(in->sources ? in->sources : "");

	for (char *rest = copy, *name; (name = strsep(&rest, ","));) {
		if (!*name)
			continue;
		if (!token_valid(name) || strlen(name) + strlen(source_prefix) > TOKEN_MAX ||
		    source_reserved(name))
			return why_set(
				&in->why, ERR_INVALID,
				"--source %s: use letters, digits, _ and -, at most %zu, not "
				"tick or control",
				name, (size_t)TOKEN_MAX - strlen(source_prefix));
		auto_free char *user = mem_printf("%s%s", source_prefix, name);
		int rc = user_key(in, user);
		if (rc)
			return rc;
	}
	return 0;
}

static int add_user(struct init *in, const char *user, struct buf *out)
{
	auto_free char *name = mem_printf("keys/%s.pub", user);
	auto_buf public = {0}, login = {0};
	int rc = init_read(in, name, &public);

	if (rc)
		return rc;
	buf_printf(&login, "nkey: %.*s", (int)strcspn(buf_str(&public), "\n"), buf_str(&public));
	buf_printf(out, "\t\t# %s\n", user);
	topic_print_nats_user(out, user, login.data);
	return 0;
}

static int add_source_users(struct init *in, struct buf *out)
{
	auto_free char *pattern = init_path(in, "keys/source-*.pub");
	glob_t found = {0};
	int rc = 0;

	if (glob(pattern, 0, NULL, &found))
		return 0;
	for (size_t i = 0; !rc && i < found.gl_pathc; i++) {
		const char *base = strrchr(found.gl_pathv[i], '/') + 1;
		auto_free char *user = mem_dup(base, strlen(base) - strlen(".pub"));

		rc = token_valid(user) ? user_key(in, user) : ERR_INVALID;
		rc = rc == ERR_INVALID ? why_set(&in->why, rc, "keys/%s: no name of a source", base)
		     : rc              ? rc
				       : add_user(in, user, out);
	}
	globfree(&found);
	return rc;
}

int init_users(struct init *in)
{
	auto_buf conf = {0};
	int rc = 0;

	for (size_t i = 0; !rc && i < topic_users_n; i++)
		rc = user_key(in, topic_users[i]);
	if (!rc)
		rc = add_sources(in);
	if (rc)
		return rc;
	buf_add_str(
		&conf,
		"# Who may what at the bus: public keys, and rights from the topic table. Nothing "
		"in here is secret.\n# Written by `healctl init`, and anew when that is run "
		"again: changes are lost. Then: nats-server --signal reload\n");
	topic_print_nats_begin(&conf);
	for (size_t i = 0; !rc && i < topic_users_n; i++)
		rc = add_user(in, topic_users[i], &conf);
	topic_print_nats_sources(&conf);
	if (!rc)
		rc = add_source_users(in, &conf);
	topic_print_nats_end(&conf);
	return rc ? rc : init_replace(in, "nats/users.conf", &conf, "who may what at the bus");
}

/* ---- other secrets ---- */

static int random_secret(struct init *in, const char *name, const char *what)
{
	uint8_t bytes[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];
	auto_wiped text = {0};

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return why_set(&in->why, ERR_INTERNAL, "no random bytes: %s", strerror(errno));
	hex_encode(bytes, sizeof(bytes), hex);
	explicit_bzero(bytes, sizeof(bytes));
	buf_printf(&text, "%s\n", hex);
	explicit_bzero(hex, sizeof(hex));
	int rc = init_write(in, name, &text, what);
	return rc == ERR_EXISTS ? 0 : rc;
}

static int decision_keys(struct init *in)
{
	static const char private[] = "keys/decision.key", public[] = "keys/decision.key.pub";
	auto_free char *path = init_path(in, private);
	bool had = init_has(in, private), had_public = init_has(in, public);
	struct sign_key *key = NULL;

	if (!had && had_public)
		return why_set(&in->why, ERR_CONFIG,
			       "%s is there, and %s is not: put it back, or remove both", public,
			       private);
	int rc = sign_key_load_or_create(path, &key, &in->why);
	sign_key_free(key);
	if (!rc && !had)
		rc = init_made(in, private, "signs decisions: the notifier's decision_key_file");
	if (!rc && !had_public)
		rc = init_made(in, public, "checks them: the executor's decision_key_file");
	return rc;
}

int init_secrets(struct init *in)
{
	static const char *const rows[][2] = {
		{"keys/token.key", "proves buttons: the notifier's token_key_file"},
		{"tokens/monitor", "http.token_file: who may send it webhooks"},
		{"tokens/reasoner", "http.token_file: who may ask it"},
		{"tokens/executor", "http.token_file: agents, over MCP"},
		{"tokens/notifier", "http.token_file: the API; healctl --token-file"},
	};
	int rc = decision_keys(in);

	for (size_t i = 0; !rc && i < ARRAY_SIZE(rows); i++)
		rc = random_secret(in, rows[i][0], rows[i][1]);
	return rc;
}
