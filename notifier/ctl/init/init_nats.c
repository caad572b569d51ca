#include "notifier/ctl/init/init.h"

#include "common/mem.h"

/* Where containers see the folder and keep the streams. */
#define STACK_ETC "/etc/healbus"
#define STACK_STORE "/data"

/* One server: where it runs, and what differs there. */
struct server {
	const char *file; /* nats/... */
	const char *what;
	const char *name;
	const char *etc; /* where it sees this folder */
	const char *store;
	const char *listen;
	bool syncs;
	unsigned nodes; /* of its cluster; 0: alone */
};

static const char head[] =
	"# %s. Written once by `healctl init`: yours to change.\n"
	"# Who may what stands in users.conf, which `healctl init` writes. No users in here, and "
	"no\n"
	"# authorization {} beside accounts {}: that let strangers in (CVE-2023-47090).\n"
	"listen: \"%s\"\n"
	"# Monitoring tells much and asks nobody who they are: this host only.\n"
	"http: \"127.0.0.1:8222\"\n"
	"server_name: %s\n"
	"max_payload: 1MB\n"
	"jetstream {\n"
	"\t# A file system of its own.\n"
	"\tstore_dir: \"%s\"\n"
	"\t# At most 70 %% of that: a full disk must be refused, not discovered.\n"
	"\tmax_file_store: 8GB\n";

static const char syncing[] = "\t# What is acknowledged is on the disk.\n"
			      "\tsync_interval: always\n";
static const char not_syncing[] =
	"\t# nats-server before 2.10 acknowledges before the disk has it: set `chattr +S` on the\n"
	"\t# directory above while it is empty. From 2.10 on, say `sync_interval: always` here.\n";

static const char tls[] = "tls {\n"
			  "\tcert_file: \"%s/tls/nats.pem\"\n"
			  "\tkey_file: \"%s/tls/nats.key\"\n"
			  "\tca_file: \"%s/tls/ca.pem\"\n"
			  "\ttimeout: 5\n"
			  "}\n";

static void add_cluster(struct buf *out, const struct server *s)
{
	buf_add_str(out,
		    "# Only who shows a certificate of this authority is a node.\n"
		    "cluster {\n\tname: healbus\n\tlisten: \"0.0.0.0:6222\"\n\tno_advertise: true\n"
		    "\troutes: [\n");
	for (unsigned i = 1; i <= s->nodes; i++)
		buf_printf(out, "\t\t\"tls://nats-%u:6222\"\n", i);
	buf_printf(out,
		   "\t]\n\ttls {\n\t\tcert_file: \"%s/tls/nats.pem\"\n\t\tkey_file: "
		   "\"%s/tls/nats.key\"\n\t\tca_file: \"%s/tls/ca.pem\"\n\t\tverify: "
		   "true\n\t\ttimeout: 5\n\t}\n}\n",
		   s->etc, s->etc, s->etc);
}

static int write_server(struct init *in, const struct server *s)
{
	auto_buf text = {0};

	buf_printf(&text, head, s->what, s->listen, s->name, s->store);
	buf_add_str(&text, s->syncs ? syncing : not_syncing);
	buf_add_str(&text, "}\n");
	buf_printf(&text, tls, s->etc, s->etc, s->etc);
	if (s->nodes)
		add_cluster(&text, s);
	buf_add_str(&text, "include \"users.conf\"\n");
	int rc = init_write(in, s->file, &text, s->what);
	return rc == ERR_EXISTS ? 0 : rc;
}

static int write_nodes(struct init *in)
{
	int rc = 0;

	for (unsigned i = 1; !rc && i <= in->nodes; i++) {
		auto_free char *name = mem_printf("nats-%u", i);
		auto_free char *file = mem_printf("nats/stack-%u.conf", i);
		auto_free char *what =
			mem_printf("nats-server %u of %u in the stack's cluster", i, in->nodes);
		const struct server s = {file,        what,           name, STACK_ETC,
					 STACK_STORE, "0.0.0.0:4222", true, in->nodes};

		rc = write_server(in, &s);
	}
	return rc;
}

/* Whoever listens everywhere is reached on this host. */
static void add_url(struct buf *out, const char *listen)
{
	const char *port = strrchr(listen, ':');
	bool everywhere = str_starts(listen, "0.0.0.0:") || str_starts(listen, "[::]:");

	if (everywhere)
		buf_printf(out, "tls://127.0.0.1%s", port);
	else
		buf_printf(out, "tls://%s", listen);
}

static int write_bus(struct init *in)
{
	auto_buf text = {0};

	buf_add_str(&text,
		    "# How programs on this host reach the bus: copy it, or -c this folder. Each "
		    "needs only its own key,\n# and the operator's is healctl's. Written once by "
		    "`healctl init`.\nurl: ");
	add_url(&text, in->listen);
	buf_add_str(&text, "\nnkey_file: keys/{stage}.nk\nca_file: tls/ca.pem\n");
	int rc = init_write(in, "bus.yaml", &text, "how programs on this host reach the bus");
	return rc == ERR_EXISTS ? 0 : rc;
}

int init_server(struct init *in)
{
	auto_free char *store = in->store ? mem_strdup(in->store) : init_path(in, "jetstream");
	const struct server host = {"nats/nats-server.conf",
				    "nats-server on this host",
				    "healbus",
				    in->path,
				    store,
				    in->listen,
				    in->syncs,
				    0};
	const struct server stack = {"nats/stack.conf",
				     "nats-server in a container",
				     "healbus",
				     STACK_ETC,
				     STACK_STORE,
				     "0.0.0.0:4222",
				     true,
				     0};
	int rc = write_server(in, &host);

	if (!rc)
		rc = write_server(in, &stack);
	if (!rc)
		rc = write_nodes(in);
	return rc ? rc : write_bus(in);
}
