#include "notifier/ctl/init/init.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "common/mem.h"

/*
 * A private authority that signs one certificate: the bus's. No stage has one, since whoever shows
 * a certificate of this authority may speak as a node of the cluster; stages are known by nkeys.
 */

enum { SERIAL_BYTES = 16, EARLIER_S = 3600, DAY_S = 86400 };

#define OPENSSL_TYPE(type, name)                                                                   \
	static void name##_cleanup(type **p)                                                       \
	{                                                                                          \
		type##_free(*p);                                                                   \
	}
OPENSSL_TYPE(EVP_PKEY, pkey)
OPENSSL_TYPE(X509, x509)
#define auto_pkey __attribute__((cleanup(pkey_cleanup))) EVP_PKEY
#define auto_x509 __attribute__((cleanup(x509_cleanup))) X509

static void bio_cleanup(BIO **p)
{
	BIO_free(*p);
}
#define auto_bio __attribute__((cleanup(bio_cleanup))) BIO

/* ---- PEM ---- */

static int openssl_failed(struct init *in, const char *what)
{
	return why_set(&in->why, ERR_INTERNAL, "%s: OpenSSL refuses", what);
}

static int write_pem(struct init *in, const char *name, BIO *bio, const char *what)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);
	auto_buf text = {0};

	buf_add(&text, data, (size_t)len);
	int rc = str_eq(name, "tls/nats.pem") ? init_replace(in, name, &text, what)
					      : init_write(in, name, &text, what);
	explicit_bzero(text.data, text.len);
	return rc;
}

static int write_key(struct init *in, const char *name, EVP_PKEY *key, const char *what)
{
	auto_bio *bio = BIO_new(BIO_s_secmem());

	if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return openssl_failed(in, name);
	return write_pem(in, name, bio, what);
}

static int write_cert(struct init *in, const char *name, X509 *cert, const char *what)
{
	auto_bio *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_X509(bio, cert) != 1)
		return openssl_failed(in, name);
	return write_pem(in, name, bio, what);
}

static int read_key(struct init *in, const char *name, EVP_PKEY **out)
{
	auto_free char *path = init_path(in, name);
	auto_file FILE *f = fopen(path, "re");

	*out = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
	return *out ? 0
		    : why_set(&in->why, ERR_CONFIG,
			      "%s: no private key in PEM that can be read; put it "
			      "back from the backup",
			      path);
}

static int read_cert(const char *path, X509 **out, struct why *out_why)
{
	auto_file FILE *f = fopen(path, "re");

	if (!f)
		return why_set(out_why, err_from_errno(errno), "%s: %s", path, strerror(errno));
	*out = PEM_read_X509(f, NULL, NULL, NULL);
	return *out ? 0 : why_set(out_why, ERR_CONFIG, "%s: no certificate in PEM", path);
}

int cert_ends_ms(const char *path, int64_t *out_ms, struct why *out_why)
{
	auto_x509 *cert = NULL;
	struct tm tm = {0};
	int rc = read_cert(path, &cert, out_why);

	if (rc)
		return rc;
	if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return why_set(out_why, ERR_CONFIG, "%s: no end that can be read", path);
	*out_ms = (int64_t)timegm(&tm) * 1000;
	return 0;
}

/* ---- names ---- */

/* "DNS:a,IP:10.0.0.1", for OpenSSL's own reader: nothing but what names are made of. */
static int add_name(struct init *in, struct buf *out, const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*:";
	unsigned char address[sizeof(struct in6_addr)];
	bool is_ip =
		inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;

	if (!*name || strlen(name) > 253 || name[strspn(name, allowed)] ||
	    (!is_ip && strchr(name, ':')))
		return why_set(&in->why, ERR_INVALID,
			       "--host %s: neither a host's name nor an address", name);
	auto_free char *entry = mem_printf("%s:%s", is_ip ? "IP" : "DNS", name);
	auto_free char *wrapped = mem_printf(",%s,", entry),
		       *all = mem_printf(",%s,", buf_str(out));
	if (!strcasestr(all, wrapped))
		buf_printf(out, "%s%s", out->len ? "," : "", entry);
	return 0;
}

static int add_hosts(struct init *in, struct buf *out)
{
	auto_free char *copy = mem_strdup(in->hosts ? in->hosts : "");
	int rc = 0;

	for (char *rest = copy, *name; !rc && (name = strsep(&rest, ","));)
		rc = *name ? add_name(in, out, name) : 0;
	return rc;
}

/* This host, the services of the compose stack and of Kubernetes (a StatefulSet's pods too). */
static int add_usual(struct init *in, struct buf *out)
{
	static const char *const names[] = {"localhost",
					    "127.0.0.1",
					    "::1",
					    "nats",
					    "nats-1",
					    "nats-2",
					    "nats-3",
					    "nats-0.nats",
					    "nats-1.nats",
					    "nats-2.nats",
					    "nats.healbus",
					    "nats.healbus.svc",
					    "nats.healbus.svc.cluster.local",
					    "*.nats.healbus.svc",
					    "*.nats.healbus.svc.cluster.local"};
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_SIZE(names); i++)
		rc = add_name(in, out, names[i]);
	for (unsigned n = 1; !rc && n <= in->nodes; n++) {
		auto_free char *node = mem_printf("nats-%u", n);

		rc = add_name(in, out, node);
	}
	return rc;
}

static int add_general(struct init *in, struct buf *out, const GENERAL_NAME *g)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (g->type == GEN_DNS) {
		auto_free char *name = mem_dup(ASN1_STRING_get0_data(g->d.dNSName),
					       (size_t)ASN1_STRING_length(g->d.dNSName));
		return add_name(in, out, name);
	}
	if (g->type != GEN_IPADD)
		return 0;
	bool v4 = ASN1_STRING_length(g->d.iPAddress) == 4;
	inet_ntop(v4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(g->d.iPAddress), text,
		  sizeof(text));
	return add_name(in, out, text);
}

static int add_names_of(struct init *in, struct buf *out, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int rc = 0;

	for (int i = 0; names && !rc && i < sk_GENERAL_NAME_num(names); i++)
		rc = add_general(in, out, sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	return rc;
}

/* ---- certificates ---- */

struct extension {
	int nid;
	const char *value;
};

static const struct extension authority_extensions[] = {
	{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
	{NID_key_usage, "critical,keyCertSign,cRLSign"},
	{NID_subject_key_identifier, "hash"},
	{0, NULL},
};

/* Nodes of a cluster are clients of each other. */
static const struct extension server_extensions[] = {
	{NID_basic_constraints, "critical,CA:FALSE"},
	{NID_key_usage, "critical,digitalSignature"},
	{NID_ext_key_usage, "serverAuth,clientAuth"},
	{NID_authority_key_identifier, "keyid"},
	{0, NULL},
};

static bool add_extensions(X509 *cert, X509 *issuer, const struct extension *rows)
{
	for (; rows->value; rows++) {
		X509V3_CTX context;

		X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, rows->nid, rows->value);
		bool ok = e && X509_add_ext(cert, e, -1) == 1;
		X509_EXTENSION_free(e);
		if (!ok)
			return false;
	}
	return true;
}

static bool set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *n = NULL;
	bool ok = RAND_bytes(bytes, sizeof(bytes)) == 1;

	bytes[0] &= 0x7f; /* positive, and of one length */
	bytes[0] |= 0x40;
	n = ok ? BN_bin2bn(bytes, sizeof(bytes), NULL) : NULL;
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

static X509 *cert_new(EVP_PKEY *key, const char *name, int days)
{
	X509 *cert = X509_new();
	X509_NAME *subject = cert ? X509_get_subject_name(cert) : NULL;
	bool ok = subject && X509_set_version(cert, 2) == 1 && set_serial(cert) &&
		  X509_gmtime_adj(X509_getm_notBefore(cert), -EARLIER_S) &&
		  X509_gmtime_adj(X509_getm_notAfter(cert), (long)days * DAY_S) &&
		  X509_set_pubkey(cert, key) == 1 &&
		  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
					     (const unsigned char *)name, -1, -1, 0) == 1;

	if (!ok) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static int make_authority(struct init *in)
{
	auto_pkey *key = EVP_EC_gen("P-256");
	auto_x509 *cert = key ? cert_new(key, "healbus private authority", INIT_CA_DAYS) : NULL;

	if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
	    !add_extensions(cert, cert, authority_extensions) ||
	    X509_sign(cert, key, EVP_sha256()) == 0)
		return openssl_failed(in, "tls/ca.pem");
	int rc = write_key(in, "tls/ca.key", key,
			   "signs the bus's certificates: keep it off the bus's hosts");
	return rc ? rc
		  : write_cert(in, "tls/ca.pem", cert,
			       "whom everybody trusts: ca_file in bus.yaml");
}

static int make_server_cert(struct init *in, EVP_PKEY *key, const char *names, const char *what)
{
	auto_pkey *ca_key = NULL;
	auto_x509 *ca = NULL;
	auto_free char *ca_path = init_path(in, "tls/ca.pem");
	int rc = read_cert(ca_path, &ca, &in->why);

	if (!rc)
		rc = read_key(in, "tls/ca.key", &ca_key);
	if (rc)
		return rc;
	if (X509_check_private_key(ca, ca_key) != 1)
		return why_set(&in->why, ERR_CONFIG, "tls/ca.key and tls/ca.pem are no pair");
	const struct extension sans[] = {{NID_subject_alt_name, names}, {0, NULL}};
	auto_x509 *cert = cert_new(key, "healbus nats-server", INIT_SERVER_DAYS);
	if (!cert || X509_set_issuer_name(cert, X509_get_subject_name(ca)) != 1 ||
	    !add_extensions(cert, ca, server_extensions) || !add_extensions(cert, ca, sans) ||
	    X509_sign(cert, ca_key, EVP_sha256()) == 0)
		return openssl_failed(in, "tls/nats.pem");
	return write_cert(in, "tls/nats.pem", cert, what);
}

static int make_server(struct init *in)
{
	auto_buf names = {0};
	auto_pkey *key = NULL;
	int rc = add_usual(in, &names);

	if (!rc)
		rc = add_hosts(in, &names);
	if (rc)
		return rc;
	if (init_has(in, "tls/nats.key")) {
		rc = read_key(in, "tls/nats.key", &key);
	} else {
		key = EVP_EC_gen("P-256");
		rc = key ? write_key(in, "tls/nats.key", key, "the bus's own secret")
			 : openssl_failed(in, "tls/nats.key");
	}
	return rc ? rc
		  : make_server_cert(in, key, buf_str(&names), "what the bus shows: for a year");
}

/* A name that came later is not put in unasked: the server would show another certificate. */
static int check_hosts(struct init *in)
{
	auto_buf names = {0};
	auto_x509 *cert = NULL;
	auto_free char *path = init_path(in, "tls/nats.pem");
	int rc = read_cert(path, &cert, &in->why);

	if (!rc)
		rc = add_names_of(in, &names, cert);
	size_t before = names.len;
	if (!rc)
		rc = add_hosts(in, &names);
	if (!rc && names.len > before)
		rc = why_set(
			&in->why, ERR_EXISTS,
			"tls/nats.pem does not name %s; healctl init --renew with the same --host "
			"puts it in",
			names.data + before + 1);
	return rc;
}

int init_certificates(struct init *in)
{
	bool has_ca = init_has(in, "tls/ca.pem"), has_key = init_has(in, "tls/ca.key");
	int rc = 0;

	if (!has_ca && !has_key)
		rc = make_authority(in);
	else if (!has_ca)
		rc = why_set(
			&in->why, ERR_CONFIG,
			"tls/ca.key is there, and tls/ca.pem is not: put it back, or remove both "
			"for a new authority");
	if (!rc)
		rc = init_has(in, "tls/nats.pem") ? check_hosts(in) : make_server(in);
	return rc;
}

int init_renew(struct init *in)
{
	auto_buf names = {0};
	auto_x509 *cert = NULL;
	auto_pkey *key = NULL;
	auto_free char *path = init_path(in, "tls/nats.pem");
	int rc = read_cert(path, &cert, &in->why);

	if (!rc)
		rc = add_names_of(in, &names, cert);
	if (!rc)
		rc = add_hosts(in, &names);
	if (!rc)
		rc = read_key(in, "tls/nats.key", &key);
	return rc ? rc : make_server_cert(in, key, buf_str(&names), "renewed, for a year");
}
