#include "notifier/ctl/init/init.h"
#include "notifier/ctl/run.h"

#include <sys/stat.h>

#include "common/mem.h"

/* ---- what was asked for ---- */

/* The text goes into a configuration between quotes. */
static bool plain(const char *text)
{
	for (; *text; text++)
		if (*text == '"' || *text == '\\' || (unsigned char)*text < ' ')
			return false;
	return true;
}

static int take_nodes(struct init *in)
{
	const char *text = ctl_flag(in->ctl, "nodes");
	char *end = NULL;
	unsigned long n = text ? strtoul(text, &end, 10) : 0;

	if (text && (*end || n < 3 || n > INIT_NODES_MAX || n % 2 == 0))
		return ctl_fail(EXIT_USAGE, "3, for one may fail; 5 or more for two",
				"--nodes %s: want 3 to %d, odd", text, INIT_NODES_MAX);
	in->nodes = (unsigned)n;
	return EXIT_OK;
}

static int take_owner(struct init *in)
{
	const char *text = ctl_flag(in->ctl, "owner");
	char *end = NULL;

	if (!text)
		return EXIT_OK;
	in->chown = true;
	in->owner = (uid_t)strtoul(text, &end, 10);
	in->group = *end == ':' && end[1] ? (gid_t)strtoul(end + 1, &end, 10) : in->owner;
	if (end == text || *end || *text == '-')
		return ctl_fail(EXIT_USAGE,
				"numbers, as the containers use them: --owner 1000:1000",
				"--owner %s: want UID or UID:GID", text);
	return EXIT_OK;
}

static bool version_syncs(const char *version)
{
	char *end;
	unsigned long major = strtoul(version, &end, 10);
	unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;

	return major > 2 || (major == 2 && minor >= 10);
}

/* What is installed here knows best; nobody there: what the stack ships. */
static int take_server(struct init *in)
{
	const char *text = ctl_flag(in->ctl, "server"), *argv[] = {NULL, "--version", NULL};
	auto_buf said = {0};
	int status = 0;

	if (text && !str_eq(text, "2.9") && !str_starts(text, "2.1"))
		return ctl_fail(EXIT_USAGE, "2.9 is Debian 12's, 2.10 Debian 13's",
				"--server %s: want 2.9 or 2.10", text);
	if (!text && run_program("nats-server", argv, &said, &status) == 0 && status == 0)
		text = strstr(buf_str(&said), ": v");
	if (text && *text == ':')
		text += strlen(": v");
	snprintf(in->server, sizeof(in->server), "%.*s",
		 text ? (int)strspn(text, "0123456789.") : 4, text ? text : "2.10");
	in->syncs = version_syncs(in->server);
	return EXIT_OK;
}

static int take_words(struct init *in)
{
	struct ctl *c = in->ctl;

	in->dir = c->n_args ? c->args[0] : "healbus.d";
	in->sources = ctl_flag(c, "source");
	in->hosts = ctl_flag(c, "host");
	in->listen = ctl_flag(c, "listen") ? ctl_flag(c, "listen") : "127.0.0.1:4222";
	in->store = ctl_flag(c, "store");
	if (!strrchr(in->listen, ':') || !plain(in->listen) || (in->store && !plain(in->store)))
		return ctl_fail(EXIT_USAGE, "--listen 127.0.0.1:4222 --store /var/lib/nats",
				"--listen and --store: want ADDRESS:PORT and a directory");
	int rc = take_nodes(in);
	if (!rc)
		rc = take_owner(in);
	return rc ? rc : take_server(in);
}

/* ---- the folder ---- */

static int open_folder(struct init *in)
{
	static const char *const folders[] = {"keys", "nats", "tls", "tokens"};
	int rc = 0;

	if (mkdir(in->dir, 0700) && errno != EEXIST)
		return why_set(&in->why, err_from_errno(errno), "%s: %s; make the folder above it",
			       in->dir, strerror(errno));
	in->path = realpath(in->dir, NULL);
	if (!in->path)
		return why_set(&in->why, err_from_errno(errno), "%s: %s", in->dir, strerror(errno));
	if (!plain(in->path))
		return why_set(&in->why, ERR_INVALID, "%s: no quotes in its name, please", in->dir);
	rc = init_folder(in, "");
	for (size_t i = 0; !rc && i < ARRAY_SIZE(folders); i++)
		rc = init_folder(in, folders[i]);
	return rc;
}

/* Somebody commits everything there is, one day. */
static int keep_out_of_git(struct init *in)
{
	auto_buf text = {0};

	buf_add_str(&text, "*\n");
	int rc = init_write(in, ".gitignore", &text, "nothing in here is for a repository");
	return rc == ERR_EXISTS ? 0 : rc;
}

/* ---- what to do next ---- */

static void say_next(struct init *in)
{
	struct ctl *c = in->ctl;

	if (json_array_size(in->made) == 0) {
		ctl_printf(c, "Everything is there already; nothing was changed.\n");
		return;
	}
	ctl_printf(c, "\nnats-server.conf is for nats-server %s: %s.\nNext:\n", in->server,
		   in->syncs ? "sync_interval: always"
			     : "no sync_interval; chattr +S its store while it is empty");
	ctl_printf(
		c,
		"  nats-server -c %s/nats/nats-server.conf    or --signal reload, when it runs\n",
		in->path);
	ctl_printf(c, "  healctl -c %s doctor --fix --only bus      makes the streams\n", in->path);
	ctl_printf(
		c,
		"  each program: keys/NAME.nk, tls/ca.pem, and bus.yaml as here; each external\n"
		"  alerter: keys/source-NAME.nk (then remove it here), tls/ca.pem, inbox prefix\n"
		"  _INBOX_source-NAME; it publishes raw.NAME\n"
		"  keep a copy of the folder where nobody else looks; tls/ca.key need not stay "
		"here\n");
}

static int (*const steps[])(struct init *) = {
	open_folder, keep_out_of_git, init_certificates, init_users, init_secrets, init_server,
};

static int renew(struct init *in)
{
	int rc = open_folder(in);

	if (!rc)
		rc = init_renew(in);
	if (!rc && !ctl_flag(in->ctl, "json"))
		ctl_printf(in->ctl, "\nNext: nats-server --signal reload (in a container: docker "
				    "kill -s HUP)\n");
	return rc;
}

static int all_steps(struct init *in)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ARRAY_SIZE(steps); i++)
		rc = steps[i](in);
	if (!rc && !ctl_flag(in->ctl, "json"))
		say_next(in);
	return rc;
}

static int cmd_init(struct ctl *c)
{
	auto_json *out = json_object();
	struct init in = {.ctl = c, .made = json_array()};
	int rc = take_words(&in);

	json_object_set_new(out, "made", in.made);
	if (rc)
		return rc;
	umask(0077);
	rc = ctl_flag(c, "renew") ? renew(&in) : all_steps(&in);
	free(in.path);
	if (rc) {
		ctl_flush(c);
		return ctl_fail(EXIT_NO,
				"repair that and run it again: it goes on where it stopped", "%s",
				in.why.text[0] ? in.why.text : err_name(rc));
	}
	ctl_as_json(c, out);
	return EXIT_OK;
}

static const char help_init[] =
	"Makes DIR (default: healbus.d), for its owner only: nats/ (the configuration of "
	"nats-server: nats-server.conf for this host, stack.conf for a container, stack-N.conf "
	"for a cluster's; users.conf with public keys and rights), tls/ (a private authority "
	"and the server's certificate), keys/ (the secret of each user of the bus; what signs "
	"decisions and buttons), tokens/ (one for each program's HTTP), bus.yaml. Needs "
	"neither the notifier nor the bus.\n"
	"Run again, it adds what is missing and changes nothing else; only users.conf is "
	"written anew, from keys/*.pub and the topic table. To replace a key, remove its .nk "
	"and .pub. To lock a user out, remove both and, for a source, run init. The "
	"certificate lasts a year: healctl doctor warns 30 days before, --renew makes the "
	"next one.";

const struct ctl_command command_init = {
	.name = "init",
	.args = "[DIR]",
	.summary = "make keys, certificates and configuration for a bus of one's own",
	.help = help_init,
	.run = cmd_init,
	.args_max = 1,
	.names = NAMES_FILE,
	.flags = {{"source", 0, "NAME...",
		   "Also a user source-NAME for an external alerter, who may publish "
		   "raw.NAME and nothing else. May be given again, now or later."},
		  {"host", 0, "NAME...",
		   "A name or address under which the bus is reached, beside localhost and "
		   "the names of the stack. May be given again."},
		  {"nodes", 0, "N", "Also the configuration of a cluster of 3, 5, ... nodes."},
		  {"server", 0, "2.9|2.10",
		   "Of which version this host's nats-server is. Default: what "
		   "nats-server --version says, else 2.10."},
		  {"listen", 0, "ADDR:PORT",
		   "Where this host's nats-server listens. Default: 127.0.0.1:4222."},
		  {"store", 0, "PATH", "Where it keeps the streams. Default: DIR/jetstream."},
		  {"owner", 0, "UID:GID", "Whose the files shall be; needs root."},
		  {"renew", 0, NULL,
		   "Only a new certificate of the server, for the names of the old one and "
		   "--host."}},
};
