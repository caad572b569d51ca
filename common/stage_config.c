#include "common/stage_private.h"

const char *const stage_log_levels[] = {"debug", "info", "warn", "error", NULL};
const char *const stage_ticks_names[] = {"clock", "follow", "off", NULL};

#define HOUR_MS 3600000.0
#define KEEP(kept, name, age, least, bytes_, help)                                                 \
	OPT_DURATION(struct bus_config, keep[kept].age_ms, "keep." name "_age", age, least,        \
		     87600 * HOUR_MS,                                                              \
		     "How long the bus keeps " help                                                \
		     ". `healctl doctor --fix` changes it while all runs."),                       \
		OPT_BYTES(struct bus_config, keep[kept].bytes, "keep." name "_bytes", bytes_,      \
			  1 << 20, 1e15,                                                           \
			  "And how much of it at most: when that is reached nothing is thrown "    \
			  "away, new messages are refused until old ones have aged out.")

static const struct option bus_options[] = {
	OPT_STRING(
		struct bus_config, url, "url", "nats://127.0.0.1:4222",
		"Where the NATS server listens; several are separated by commas; tls:// for TLS."),
	OPT_STRING(struct bus_config, user, "user", NULL,
		   "User at the bus; {stage} stands for the program's name, since each has its own "
		   "rights."),
	OPT_PATH(struct bus_config, password_file, "password_file", NULL,
		 "File with that user's password; {stage} as above. Read at each connect."),
	OPT_PATH(struct bus_config, nkey_file, "nkey_file", NULL,
		 "File with the seed of that user's nkey, as healctl init makes them; {stage} as "
		 "above. In place of user and password_file. Read at each connect."),
	OPT_PATH(struct bus_config, ca_file, "ca_file", NULL,
		 "PEM certificates that may sign the server's; turns TLS on."),
	OPT_PATH(struct bus_config, cert_file, "cert_file", NULL,
		 "PEM client certificate, where the server asks for one."),
	OPT_PATH(struct bus_config, key_file, "key_file", NULL, "PEM key of cert_file."),
	OPT_INT(struct bus_config, replicas, "replicas", "1", 1, 5,
		"Copies of each stream, on as many nodes, that `healctl doctor --fix` makes and "
		"`healctl doctor` looks for: 1, or 3 or 5 where the bus is a cluster (nats-server "
		"2.10 or newer)."),
	KEEP(BUS_RAW, "raw", "72h", HOUR_MS, "1GiB", "what arrived, untouched"),
	KEEP(BUS_EVENTS, "events", "72h", HOUR_MS, "1GiB",
	     "events, from which the monitor rebuilds its incidents: not shorter than its own "
	     "`retention`"),
	KEEP(BUS_STORY, "story", "90d", 25 * HOUR_MS, "2GiB",
	     "what happened to incidents; claims, and what executors note of steps, are kept a "
	     "week longer"),
	KEEP(BUS_DEAD, "dead", "90d", HOUR_MS, "256MiB", "what could not be read"),
	OPT_BYTES(struct bus_config, keep[BUS_CLAIM].bytes, "keep.claim_bytes", "640MiB", 1 << 20,
		  1e15,
		  "Room for claims, 1.5 kB for a plan of one step, a third of what it takes of "
		  "STORY; when it is full, no step begins."),
};

const struct option_table bus_option_table = {
	.file = "bus.yaml",
	.env_prefix = "HEALBUS_BUS_",
	.rows = bus_options,
	.n = ARRAY_SIZE(bus_options),
};

const char *stage_environment(const char *name)
{
	return getenv(name);
}

/* ---- snapshots: what a reload replaces while others still read the old one ---- */

struct stage_snapshot {
	unsigned refs;
	void *values;
};

void stage_snapshot_free(const struct stage_def *def, struct stage_snapshot *c)
{
	if (!c)
		return;
	if (def->unprepare)
		def->unprepare(c->values);
	free(stage_snapshot_own(c)->shared_dir);
	config_release(def->options, c->values);
	free(c->values);
	free(c);
}

struct stage_config *stage_snapshot_own(struct stage_snapshot *c)
{
	return c->values;
}

const void *stage_snapshot_values(const struct stage_snapshot *c)
{
	return c->values;
}

int stage_config_load(const struct stage_def *def, const char *dir, struct stage_snapshot **out,
		      struct why *out_why)
{
	assert(def->config_size >= sizeof(struct stage_config));
	struct stage_snapshot *c = mem_alloc(sizeof(*c));
	c->refs = 1;
	/* The pointer that readers hold leads back to its snapshot. */
	c->values = mem_alloc(def->config_size);
	int rc = config_load(def->options, dir, stage_environment, c->values, out_why);
	if (rc) {
		free(c->values);
		free(c);
		return rc;
	}
	struct stage_config *values = c->values;
	values->shared_dir = mem_strdup(values->state_dir);
	rc = stage_slot_check(def, values, out_why);
	if (rc == 0 && def->prepare)
		rc = def->prepare(c->values, out_why);
	if (rc) {
		stage_snapshot_free(def, c);
		return rc;
	}
	*out = c;
	return 0;
}

/* ---- the one of this moment ---- */

struct retired {
	struct retired *next;
	struct stage_snapshot *config;
};
static struct retired *retired; /* replaced and still read; guarded by the stage's lock */

const void *stage_config_get(struct stage *s)
{
	pthread_mutex_lock(&s->lock);
	s->config->refs++;
	const void *values = s->config->values;
	pthread_mutex_unlock(&s->lock);
	return values;
}

static struct stage_snapshot *drop_retired(struct retired **r)
{
	struct retired *gone = *r;
	struct stage_snapshot *c = gone->config;
	*r = gone->next;
	free(gone);
	return c;
}

void stage_config_put(struct stage *s, const void *config)
{
	struct stage_snapshot *gone = NULL;
	pthread_mutex_lock(&s->lock);
	if (s->config->values == config)
		s->config->refs--;
	for (struct retired **r = &retired; *r && s->config->values != config; r = &(*r)->next) {
		if ((*r)->config->values != config)
			continue;
		if (--(*r)->config->refs == 0)
			gone = drop_retired(r);
		break;
	}
	pthread_mutex_unlock(&s->lock);
	stage_snapshot_free(s->def, gone);
}

void stage_config_swap(struct stage *s, struct stage_snapshot *c)
{
	struct retired *r = mem_alloc(sizeof(*r));
	pthread_mutex_lock(&s->lock);
	struct stage_snapshot *old = s->config;
	s->config = c;
	r->config = old;
	r->next = retired;
	retired = r;
	pthread_mutex_unlock(&s->lock);
	/* The stage's own reference. */
	stage_config_put(s, old->values);
}

/* ---- bus.yaml ---- */

static char *with_name(const char *text, const char *name)
{
	const char *at = text ? strstr(text, "{stage}") : NULL;
	if (!at)
		return mem_strdup(text);
	return mem_printf("%.*s%s%s", (int)(at - text), text, name, at + strlen("{stage}"));
}

int stage_bus_open(const char *config_dir, const char *name, struct bus **out, struct why *out_why)
{
	struct bus_config c = {0};
	int rc = config_load(&bus_option_table, config_dir, stage_environment, &c, out_why);
	if (rc)
		return rc;
	auto_free char *user = with_name(c.user, name);
	auto_free char *password_file = with_name(c.password_file, name);
	auto_free char *nkey_file = with_name(c.nkey_file, name);
	struct bus_options o = {.url = c.url,
				.name = name,
				.user = user,
				.password_file = password_file,
				.nkey_file = nkey_file,
				.ca_file = c.ca_file,
				.cert_file = c.cert_file,
				.key_file = c.key_file,
				.replicas = c.replicas};
	memcpy(o.keep, c.keep, sizeof(o.keep));
	rc = bus_open(&o, out, out_why);
	config_release(&bus_option_table, &c);
	return rc;
}
