#include "common/bus_private.h"

#include "common/nkey.h"

#include <openssl/crypto.h>
#include <strings.h>

static atomic_uint open_buses;

/* At its end libnats frees a list of OpenSSL's, which OpenSSL at exit would free again: it is told
 * not to, before anything of it is used. */
__attribute__((constructor)) static void openssl_leave_exit(void)
{
	OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

/* ---- callbacks of the library: they only count and wake ---- */

static void on_closed(natsConnection *nc, void *closure)
{
	struct bus *b = closure;
	pthread_mutex_lock(&b->lock);
	b->open_connections--;
	if (b->conn && b->conn->nc == nc)
		atomic_store(&b->conn->closed, true);
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	nats_ReleaseThreadMemory();
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *closure)
{
	(void)sub;
	struct bus *b = closure;
	const char *text = NULL;
	natsConnection_GetLastError(nc, &text);
	if (status != NATS_NOT_PERMITTED || !text)
		return;
	pthread_mutex_lock(&b->lock);
	b->violations++;
	snprintf(b->last_violation, sizeof(b->last_violation), "%s", text);
	pthread_mutex_unlock(&b->lock);
	auto_conn c = bus_conn_get(b);
	if (c)
		bus_conn_refuse(c, text);
}

/* ---- options ---- */

static natsStatus set_servers(natsOptions *o, const char *urls)
{
	auto_free char *copy = mem_strdup(urls);
	const char *list[16];
	int n = 0;
	for (char *rest = copy, *url; n < (int)ARRAY_SIZE(list) && (url = strsep(&rest, ", "));)
		if (*url)
			list[n++] = url;
	return natsOptions_SetServers(o, list, n);
}

static natsStatus set_tls(struct bus *b, natsOptions *o)
{
	natsStatus s = NATS_OK;
	if (b->ca_file || strstr(b->url, "tls://"))
		s = natsOptions_SetSecure(o, true);
	if (s == NATS_OK && b->ca_file)
		s = natsOptions_LoadCATrustedCertificates(o, b->ca_file);
	if (s == NATS_OK && b->cert_file)
		s = natsOptions_LoadCertificatesChain(o, b->cert_file, b->key_file);
	return s;
}

static natsStatus set_behaviour(struct bus *b, natsOptions *o)
{
	char prefix[TOKEN_MAX + 16];
	snprintf(prefix, sizeof(prefix), "_INBOX_%s", b->name);
	natsStatus s[] = {
		natsOptions_SetName(o, b->name),
		natsOptions_SetCustomInboxPrefix(o, prefix),
		natsOptions_SetAllowReconnect(o, false),
		natsOptions_SetTimeout(o, BUS_CONNECT_TIMEOUT_MS),
		natsOptions_SetPingInterval(o, BUS_PING_INTERVAL_MS),
		natsOptions_SetMaxPingsOut(o, 2),
		natsOptions_SetIgnoreDiscoveredServers(o, true),
		natsOptions_SetErrorHandler(o, on_error, b),
		natsOptions_SetClosedCB(o, on_closed, b),
	};
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		if (s[i] != NATS_OK)
			return s[i];
	return NATS_OK;
}

/* The password is read anew for each connection: rotating it needs no restart. */
static int set_user(struct bus *b, natsOptions *o, struct why *out_why)
{
	if (!b->user)
		return 0;
	struct secret password = {0};
	int rc = secret_read(&password, b->password_file, out_why);
	if (rc)
		return rc;
	natsStatus s = natsOptions_SetUserInfo(o, b->user, password.data ? password.data : "");
	secret_release(&password);
	return s == NATS_OK ? 0
			    : why_set(out_why, ERR_CONFIG, "user %s: %s", b->user,
				      natsStatus_GetText(s));
}

/* libnats 3.4 takes a signature for a string: one that begins with a zero byte, as every 256th
 * does, it leaves out, and the server refuses us. The next connection brings another nonce. */
#define OTHER_NONCE NATS_ILLEGAL_STATE
enum { NONCE_TRIES = 8 };

/* The seed is in memory only while it is needed: for the public half, and here to sign. The library
 * frees what it is given, and encodes the signature. */
static natsStatus on_nonce(char **custom_error, unsigned char **signature, int *len,
			   const char *nonce, void *closure)
{
	struct bus *b = closure;
	struct why why = {0};
	auto_secret seed = {0};
	unsigned char *out = malloc(NKEY_SIGNATURE_BYTES);
	int rc = out ? secret_read(&seed, b->nkey_file, &why) : ERR_INTERNAL;
	if (!rc)
		rc = nkey_sign(seed.data, nonce, strlen(nonce), out, &why);
	if (rc || out[0] == 0) {
		free(out);
		*custom_error = mem_printf("%s: %s", b->nkey_file,
					   rc ? why.text : "no signature that can be sent");
		return rc ? NATS_ERR : OTHER_NONCE;
	}
	*signature = out;
	*len = NKEY_SIGNATURE_BYTES;
	return NATS_OK;
}

/* Read anew for each connection, as the password is. */
static int set_nkey(struct bus *b, natsOptions *o, struct why *out_why)
{
	char public[NKEY_PUBLIC_LEN + 1];
	struct why why = {0};
	if (!b->nkey_file)
		return 0;
	auto_secret seed = {0};
	int rc = secret_read(&seed, b->nkey_file, out_why);
	if (rc)
		return rc;
	rc = nkey_public(seed.data, public, &why);
	if (rc)
		return why_set(out_why, ERR_CONFIG, "%s: %s", b->nkey_file, why.text);
	natsStatus s = natsOptions_SetNKey(o, public, on_nonce, b);
	return s == NATS_OK ? 0
			    : why_set(out_why, ERR_CONFIG, "%s: %s", b->nkey_file,
				      natsStatus_GetText(s));
}

static int make_options(struct bus *b, natsOptions **out, struct why *out_why)
{
	natsOptions *o = NULL;
	natsStatus s = natsOptions_Create(&o);
	if (s == NATS_OK)
		s = set_servers(o, b->url);
	if (s == NATS_OK)
		s = set_behaviour(b, o);
	if (s == NATS_OK)
		s = set_tls(b, o);
	int rc = s == NATS_OK ? set_user(b, o, out_why)
			      : why_set(out_why, ERR_CONFIG, "bus %s: %s", b->url,
					nats_GetLastError(NULL));
	if (!rc)
		rc = set_nkey(b, o, out_why);
	if (rc) {
		natsOptions_Destroy(o);
		return rc;
	}
	*out = o;
	return 0;
}

/* ---- the thread that keeps the connection ---- */

/* Waits on b->changed until the deadline; lock held. */
static void wait_until(struct bus *b, int64_t deadline_mono_ms)
{
	struct timespec at = {.tv_sec = deadline_mono_ms / 1000,
			      .tv_nsec = deadline_mono_ms % 1000 * 1000000};
	pthread_cond_timedwait(&b->changed, &b->lock, &at);
}

static natsStatus connect_signed(natsConnection **out, natsOptions *o)
{
	natsStatus s = OTHER_NONCE;
	for (int i = 0; i < NONCE_TRIES && s == OTHER_NONCE; i++)
		s = natsConnection_Connect(out, o);
	return s;
}

static int connect_once(struct bus *b, bool at_once, natsConnection **out, struct why *out_why)
{
	natsOptions *o = NULL;
	int rc = make_options(b, &o, out_why);
	if (rc)
		return rc == ERR_CONFIG ? ERR_DENIED : rc;
	natsOptions_SetSendAsap(o, at_once);
	pthread_mutex_lock(&b->lock);
	b->open_connections++;
	pthread_mutex_unlock(&b->lock);
	natsConnection *nc = NULL;
	natsStatus s = connect_signed(&nc, o);
	natsOptions_Destroy(o);
	if (s == NATS_OK) {
		*out = nc;
		return 0;
	}
	pthread_mutex_lock(&b->lock);
	b->open_connections--;
	pthread_mutex_unlock(&b->lock);
	bool refused = s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED;
	return why_set(out_why, refused ? ERR_DENIED : ERR_UNAVAILABLE, "bus %s: %s", b->url,
		       nats_GetLastError(NULL));
}

void bus_conn_open_bulk(struct bus_conn *c)
{
	natsConnection *nc = NULL, *none = NULL;
	struct why why = {0};
	if (atomic_load(&c->bulk) || connect_once(c->bus, false, &nc, &why))
		return;
	if (!atomic_compare_exchange_strong(&c->bulk, &none, nc))
		natsConnection_Destroy(nc);
}

static void publish_connection(struct bus *b, struct bus_conn *c)
{
	pthread_mutex_lock(&b->lock);
	b->conn = c;
	b->epoch = c->epoch;
	b->refused = 0;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

/* The pause is a fixed share of doubling: many stages of one host spread by their names' hash. */
static int64_t next_pause_ms(struct bus *b, int64_t pause_ms)
{
	int64_t next = MIN(pause_ms * 2, BUS_RECONNECT_CAP_MS);
	uint64_t spread = fnv1a(FNV_INIT, b->name, strlen(b->name)) % 32;
	return next - next * (int64_t)spread / 128;
}

static void note_failure(struct bus *b, int rc, const struct why *why)
{
	pthread_mutex_lock(&b->lock);
	b->refused = rc == ERR_DENIED ? rc : 0;
	b->refused_why = *why;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

static bool pause_unless_stopped(struct bus *b, int64_t ms)
{
	pthread_mutex_lock(&b->lock);
	int64_t until = clock_mono_ms() + ms;
	while (!b->stop && clock_mono_ms() < until)
		wait_until(b, until);
	bool stop = b->stop;
	pthread_mutex_unlock(&b->lock);
	return !stop;
}

static void serve_connection(struct bus *b, struct bus_conn *c)
{
	publish_connection(b, c);
	pthread_mutex_lock(&b->lock);
	while (!b->stop && !natsConnection_IsClosed(c->nc))
		wait_until(b, clock_mono_ms() + 1000);
	b->conn = NULL;
	pthread_cond_broadcast(&b->changed);
	bool stop = b->stop;
	pthread_mutex_unlock(&b->lock);
	if (stop)
		natsConnection_FlushTimeout(c->nc, 1000);
	if (stop && atomic_load(&c->bulk))
		natsConnection_FlushTimeout(c->bulk, 1000);
	atomic_store(&c->closed, true);
	natsConnection_Close(c->nc);
	natsConnection_Close(c->bulk);
	bus_conn_put(c);
}

static void *keep_connection(void *arg)
{
	struct bus *b = arg;
	int64_t pause_ms = BUS_RECONNECT_BASE_MS;
	do {
		struct why why = {0};
		natsConnection *nc = NULL;
		int rc = connect_once(b, true, &nc, &why);
		if (rc) {
			note_failure(b, rc, &why);
			pause_ms = next_pause_ms(b, pause_ms);
			continue;
		}
		pause_ms = BUS_RECONNECT_BASE_MS;
		serve_connection(b, bus_conn_new(b, nc, b->epoch + 1));
	} while (pause_unless_stopped(b, pause_ms));
	nats_ReleaseThreadMemory();
	return NULL;
}

/* ---- public ---- */

/* The connection unless it is already broken, even when our thread has yet to notice; lock held. */
static struct bus_conn *live_conn(struct bus *b)
{
	return b->conn && !natsConnection_IsClosed(b->conn->nc) ? b->conn : NULL;
}

static void bus_free(struct bus *b)
{
	char *texts[] = {b->url,       b->name,    b->user,      b->password_file,
			 b->nkey_file, b->ca_file, b->cert_file, b->key_file};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
	bus_trash_empty(&b->trash);
	pthread_mutex_destroy(&b->trash.lock);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct bus *bus_new(const struct bus_options *o)
{
	struct bus *b = mem_alloc(sizeof(*b));
	b->url = mem_strdup(o->url);
	b->name = mem_strdup(o->name);
	b->user = mem_strdup(o->user && *o->user ? o->user : NULL);
	b->password_file = mem_strdup(o->password_file);
	b->nkey_file = mem_strdup(o->nkey_file && *o->nkey_file ? o->nkey_file : NULL);
	b->ca_file = mem_strdup(o->ca_file);
	b->cert_file = mem_strdup(o->cert_file);
	b->key_file = mem_strdup(o->key_file);
	b->replicas = MAX(1, o->replicas);
	memcpy(b->keep, o->keep, sizeof(b->keep));
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->trash.lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&b->changed, &attr);
	pthread_condattr_destroy(&attr);
	return b;
}

int bus_open(const struct bus_options *options, struct bus **out, struct why *out_why)
{
	if (!options->url || !*options->url)
		return why_set(out_why, ERR_CONFIG, "bus: no url");
	if (!options->name || !token_valid(options->name))
		return why_set(out_why, ERR_CONFIG, "bus: the client's name must be a token");
	if (!options->cert_file != !options->key_file)
		return why_set(out_why, ERR_CONFIG, "bus: cert_file and key_file go together");
	if (options->nkey_file && *options->nkey_file && options->user && *options->user)
		return why_set(out_why, ERR_CONFIG,
			       "bus: nkey_file says who we are; leave out user and password_file");
	struct bus *b = bus_new(options);
	natsOptions *o = NULL;
	int rc = make_options(b, &o, out_why);
	natsOptions_Destroy(o);
	if (rc) {
		bus_free(b);
		return rc;
	}
	atomic_fetch_add(&open_buses, 1);
	if (pthread_create(&b->thread, NULL, keep_connection, b) != 0)
		abort();
	*out = b;
	return 0;
}

void bus_close(struct bus *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	pthread_mutex_lock(&b->lock);
	int64_t until = clock_mono_ms() + 2000;
	while (b->open_connections > 0 && clock_mono_ms() < until)
		wait_until(b, until);
	bool quiet = b->open_connections == 0;
	pthread_mutex_unlock(&b->lock);
	/* A callback that is still to come needs the struct: rather leak it. */
	if (quiet)
		bus_free(b);
	if (atomic_fetch_sub(&open_buses, 1) == 1 && quiet)
		nats_CloseAndWait(2000);
}

uint64_t bus_epoch(struct bus *b)
{
	pthread_mutex_lock(&b->lock);
	uint64_t epoch = live_conn(b) ? b->epoch : 0;
	pthread_mutex_unlock(&b->lock);
	return epoch;
}

int64_t bus_connected_ms(struct bus *b)
{
	auto_conn c = bus_conn_get(b);
	return c ? MAX(1, clock_mono_ms() - c->since_mono_ms) : 0;
}

int bus_wait(struct bus *b, int64_t timeout_ms, struct why *out_why)
{
	int64_t until = clock_mono_ms() + timeout_ms;
	pthread_mutex_lock(&b->lock);
	while (!live_conn(b) && !b->refused && !b->stop && clock_mono_ms() < until)
		wait_until(b, until);
	int rc = live_conn(b) ? 0 : b->refused ? b->refused : b->stop ? ERR_CLOSED : ERR_TIMEOUT;
	if (rc)
		why_set(out_why, rc, "%s",
			b->refused_why.text[0] ? b->refused_why.text : "bus: not connected");
	pthread_mutex_unlock(&b->lock);
	return rc;
}

uint64_t bus_violations(struct bus *b, char out_last[static WHY_TEXT_BYTES])
{
	pthread_mutex_lock(&b->lock);
	uint64_t n = b->violations;
	memcpy(out_last, b->last_violation, WHY_TEXT_BYTES);
	pthread_mutex_unlock(&b->lock);
	return n;
}

struct bus_conn *bus_conn_get(struct bus *b)
{
	pthread_mutex_lock(&b->lock);
	struct bus_conn *c = live_conn(b);
	if (c)
		atomic_fetch_add(&c->refs, 1);
	pthread_mutex_unlock(&b->lock);
	return c;
}

void bus_thread_done(void)
{
	nats_ReleaseThreadMemory();
}
