#include "notifier/ctl/doctor/doctor.h"
#include "notifier/ctl/init/init.h"

#include "common/bus.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/stage.h"

enum { CONNECT_MS = 5000, ANONYMOUS_MS = 2000, CLOCK_TOLERANCE_MS = 2000, DAY_MS = 86400000 };

/* ---- what the server promises ---- */

static void look_at_version(struct doctor *d, struct bus *b)
{
	char version[32];
	unsigned major = 0, minor = 0;
	char *end;

	bus_server_version(b, version);
	major = (unsigned)strtoul(version, &end, 10);
	minor = *end == '.' ? (unsigned)strtoul(end + 1, NULL, 10) : 0;
	if (major > 2 || (major == 2 && minor >= 10)) {
		finding(d, FINDING_OK, "bus", NULL, "connected; nats-server %s", version);
		finding(d, FINDING_WARN, "durability",
			"on the bus host, look into nats-server's configuration for: jetstream { "
			"sync_interval: always }",
			"cannot be seen from here. Without sync_interval: always a power cut takes "
			"back up to two minutes of what was acknowledged");
		return;
	}
	finding(d, FINDING_WARN, "bus",
		"use nats-server 2.10 or newer when you can; three nodes need it",
		"connected; nats-server %s knows no sync_interval", version);
	finding(d, FINDING_WARN, "durability",
		"on the bus host: lsattr -d STORE_DIR must show S (set once, while it is empty: "
		"chattr +S STORE_DIR)",
		"cannot be seen from here. Without it a power cut takes back what was "
		"acknowledged");
}

/* The stream's time is the bus host's clock. Only a message from the future says something for
 * sure.
 */
static void look_at_time(struct doctor *d, struct bus *b)
{
	struct bus_stream_state state;
	struct bus_delivery m = {0};
	struct why why = {0};

	if (bus_stream_state(b, STREAM_STORY, &state, &why) || state.messages == 0 ||
	    bus_get(b, STREAM_STORY, state.last_seq, &m, &why))
		return;
	int64_t ahead = m.stream_ns / 1000000 - clock_real_ms();
	bus_delivery_free(&m);
	if (ahead > CLOCK_TOLERANCE_MS)
		finding(d, FINDING_FAIL, "clock", "run NTP on both hosts: timedatectl set-ntp true",
			"the bus host's clock is %" PRId64 " s ahead of this one", ahead / 1000);
	else
		finding(d, FINDING_OK, "clock", NULL,
			"the newest message of the bus is not from the future");
}

/* ---- who may connect ---- */

/* A stranger knows the authority, which is no secret. */
static void look_at_anonymous(struct doctor *d, const struct bus_config *config)
{
	const char *url = config->url;
	struct bus_options o = {.url = url, .name = "doctor", .ca_file = config->ca_file};
	struct bus *b = NULL;
	struct why why = {0};

	if (strchr(url, '@'))
		return; /* the URL itself carries a user */
	if (bus_open(&o, &b, &why))
		return;
	int rc = bus_wait(b, ANONYMOUS_MS, &why);
	bus_close(b);
	if (rc == 0)
		finding(d, FINDING_FAIL, "permissions",
			"define users only inside accounts {}, as healctl init does; no "
			"authorization {} beside it (CVE-2023-47090)",
			"the bus lets in whoever connects, without a password");
	else
		finding(d, FINDING_OK, "permissions", NULL, "the bus refuses strangers");
}

/* ---- streams ---- */

struct lines {
	struct doctor *doctor;
	enum finding_level level;
	const char *next;
	unsigned n;
};

static void on_line(void *ctx, const char *line)
{
	struct lines *l = ctx;

	l->n++;
	finding(l->doctor, l->level, "streams", l->next, "%s", line);
}

static void look_at_streams(struct doctor *d, struct bus *b)
{
	struct why why = {0};
	struct lines lines = {
		.doctor = d,
		.level = FINDING_FAIL,
		.next = "healctl doctor --fix creates what is missing and changes how long "
			"and how much is kept; what else differs must be changed with the nats "
			"tool"};
	int rc = bus_check_streams(b, on_line, &lines, &why);

	if (rc == 0)
		finding(d, FINDING_OK, "streams", NULL, "streams and buckets are as declared");
	else if (lines.n == 0)
		finding(d, FINDING_FAIL, "streams",
			"give healctl's bus user, the operator, the rights that healctl init "
			"writes",
			"cannot be looked at: %s", why.text);
}

/* ---- copies ---- */

/* STORY stands for all of them: they are made alike, and each is compared with what is wanted.
 * The seconds without a leader are what tests/stack/cluster.py measures. */
static void look_at_copies(struct doctor *d, const struct bus_stream_state *s, int64_t wanted)
{
	if (!s->cluster)
		finding(d, FINDING_OK, "copies", NULL,
			"one node, one copy: what its disk loses is lost, and while it is down "
			"senders "
			"get 503");
	else if (wanted == 1)
		finding(d, FINDING_WARN, "copies",
			"on a cluster set replicas: 3 in bus.yaml before the streams are made",
			"the bus is a cluster, but each stream lies on one node only");
	else
		finding(d, FINDING_OK, "copies", NULL,
			"%u copies of each stream: %u may be down. While more are, nothing is "
			"acknowledged; when a leader falls, nothing is for some 5 to 10 s",
			s->copies, (s->copies - 1) / 2);
}

static void look_at_copies_of(struct doctor *d, struct bus *b, const char *stream)
{
	struct bus_stream_state s;
	struct why why = {0};

	if (bus_stream_state(b, stream, &s, &why) || s.current == s.copies)
		return;
	if (!s.led)
		finding(d, FINDING_FAIL, "copies",
			"look again in 10 s, in which nodes choose one; then start those that are "
			"down",
			"%s has no leader: nothing can be stored", stream);
	else
		finding(d, FINDING_WARN, "copies",
			"look which node is down, or wait until it has caught up",
			"%u of %u copies of %s have all of it", s.current, s.copies, stream);
}

static void look_at_cluster(struct doctor *d, struct bus *b, int64_t wanted)
{
	static const char *const streams[] = {
		STREAM_RAW,         STREAM_EVENTS,     STREAM_STORY,     STREAM_DEAD,
		"KV_" BUCKET_CLAIM, "KV_" BUCKET_LOCK, "KV_" BUCKET_LIVE};
	struct bus_stream_state s;
	struct why why = {0};

	if (bus_stream_state(b, STREAM_STORY, &s, &why))
		return;
	look_at_copies(d, &s, wanted);
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++)
		look_at_copies_of(d, b, streams[i]);
}

static void provision(struct doctor *d)
{
	struct bus *b = NULL;
	struct why why = {0};
	struct lines lines = {.doctor = d, .level = FINDING_OK};
	int rc = stage_bus_open(ctl_config_dir(d->ctl), "operator", &b, &why);

	if (!rc)
		rc = bus_wait(b, CONNECT_MS, &why);
	if (!rc)
		rc = bus_provision(b, on_line, &lines, &why);
	bus_close(b);
	if (rc)
		finding(d, FINDING_FAIL, "fix",
			"bus.yaml must let healctl in as a user that may create streams: the "
			"operator",
			"%s", why.text);
}

/* ---- certificates ---- */

static void look_at_end(struct doctor *d, const char *path, const char *next)
{
	int64_t ends_ms = 0;
	struct why why = {0};

	if (cert_ends_ms(path, &ends_ms, &why)) {
		finding(d, FINDING_FAIL, "certificate",
			"put it back, or healctl init makes another", "%s", why.text);
		return;
	}
	int64_t days = (ends_ms - clock_real_ms()) / DAY_MS;
	if (ends_ms <= clock_real_ms())
		finding(d, FINDING_FAIL, "certificate", next, "%s has ended", path);
	else
		finding(d, days < INIT_WARN_DAYS ? FINDING_WARN : FINDING_OK, "certificate",
			days < INIT_WARN_DAYS ? next : NULL, "%s ends in %" PRId64 " days", path,
			days);
}

/* The server's lies beside its authority's where healctl init made both. */
static void look_at_certificates(struct doctor *d, const struct bus_config *config)
{
	static const char renew[] = "healctl init DIR --renew, then nats-server --signal reload";

	if (config->cert_file)
		look_at_end(d, config->cert_file, "make another with the same authority");
	if (!config->ca_file)
		return;
	look_at_end(d, config->ca_file,
		    "make a new folder with healctl init, and change over: every program needs the "
		    "new ca.pem");
	const char *slash = strrchr(config->ca_file, '/');
	auto_free char *server =
		mem_printf("%.*s/nats.pem", slash ? (int)(slash - config->ca_file) : 1,
			   slash ? config->ca_file : ".");
	if (access(server, R_OK) == 0)
		look_at_end(d, server, renew);
}

/* ---- all of it ---- */

static void look_at_bus(struct doctor *d, const struct bus_config *config)
{
	struct bus *b = NULL;
	struct why why = {0};

	int rc = stage_bus_open(ctl_config_dir(d->ctl), "operator", &b, &why);
	if (!rc)
		rc = bus_wait(b, CONNECT_MS, &why);
	if (rc) {
		finding(d, FINDING_FAIL, "bus",
			rc == ERR_DENIED
				? "check nkey_file, or user and password_file, in bus.yaml against "
				  "the server's users"
				: "is nats-server running there? url in bus.yaml says where",
			"%s: %s", config->url, why.text);
	} else {
		look_at_version(d, b);
		look_at_streams(d, b);
		look_at_cluster(d, b, config->replicas);
		look_at_time(d, b);
		doctor_room(d, b);
		doctor_readers(d, b);
	}
	bus_close(b);
}

static const char *environment(const char *name)
{
	return getenv(name);
}

void doctor_bus(struct doctor *d)
{
	struct bus_config config = {0};
	struct why why = {0};

	if (config_load(&bus_option_table, ctl_config_dir(d->ctl), environment, &config, &why)) {
		finding(d, FINDING_FAIL, "bus",
			"repair bus.yaml, or name its directory with -c DIR", "%s", why.text);
		return;
	}
	if (ctl_flag(d->ctl, "fix"))
		provision(d);
	look_at_bus(d, &config);
	look_at_anonymous(d, &config);
	look_at_certificates(d, &config);
	config_release(&bus_option_table, &config);
}
