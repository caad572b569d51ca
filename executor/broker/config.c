#include "executor/broker/config.h"

#include <ctype.h>
#include <grp.h>
#include <pwd.h>

#include "common/address.h"

enum { LABEL_MAX = 200, USER_MAX = 32 };

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

#define T struct broker_config
static const struct option rows[] = {
	OPT_PATH(T, listen, "listen", "/run/healbus-broker/docker.sock",
		 "The unix socket it listens on: what the executor's docker tools are given. Mode "
		 "0660; its directory must exist."),
	OPT_STRING(T, group, "group", NULL,
		   "The group that may open that socket, by name or number: the executor's. The "
		   "broker must be a member of it. Default: the broker's own."),
	OPT_STRING(T, allow_users, "allow_users", NULL,
		   "Users who may ask, by name or number, separated by commas, as the kernel says "
		   "who has connected. Default: whoever may open the socket."),
	OPT_BOOL(T, allow_root, "allow_root", "false",
		 "Whether the broker may run as root. It needs no more than a user of its own and "
		 "the group of the Engine's socket."),
	OPT_STRING(T, http_listen, "http.listen", NULL,
		   "A TCP address for /metrics, /healthz and /readyz alone, e.g. 127.0.0.1:9099. "
		   "Without it they are served on the unix socket only."),
	OPT_ENUM(T, log_level, "log_level", "info", log_levels, "debug, info, warn or error."),
	OPT_PATH(T, engine_socket, "engine.socket", "/var/run/docker.sock",
		 "The Docker Engine's socket. Nobody but the broker should be given it."),
	OPT_DURATION(T, engine_timeout_ms, "engine.timeout", "20s", 100, 600000,
		     "How long the Engine may take to answer; for a stop or restart, after the "
		     "time that the container is given."),
	OPT_BYTES(T, answer_max_bytes, "engine.answer_max", "4MiB", 4096, 64 << 20,
		  "The largest answer that is read from the Engine."),
	OPT_STRING(T, label, "label", "healbus.manage=true",
		   "name=value: the label that a container must carry, or it cannot be seen or "
		   "touched."),
	OPT_DURATION(
		T, stop_default_ms, "stop.default", "10s", 0, 600000,
		"How long a container has to end by itself when the request does not say (t)."),
	OPT_DURATION(T, stop_max_ms, "stop.max", "1m", 0, 600000,
		     "The longest such time that may be asked for."),
	OPT_INT(T, bounds.tail_default, "logs.default_lines", "200", 1, 100000,
		"Lines of a log when the request does not say (tail)."),
	OPT_INT(T, bounds.tail_max, "logs.max_lines", "1000", 1, 100000,
		"The most lines of a log that may be asked for."),
	OPT_BYTES(T, logs_max_bytes, "logs.max_bytes", "32KiB", 1024, 16 << 20,
		  "Of more, the last ones are answered, from the beginning of a line. The "
		  "executor reads at most 64KiB."),
	OPT_INT(T, rates.requests_per_minute, "rate.requests_per_minute", "1200", 1, 100000,
		"Requests of all kinds, refused ones too, by all users."),
	OPT_INT(T, rates.container_per_hour, "rate.container_per_hour", "20", 1, 10000,
		"Starts, stops and restarts of one container."),
	OPT_INT(T, rates.global_per_hour, "rate.global_per_hour", "120", 1, 10000,
		"Starts, stops and restarts of all containers."),
	OPT_INT(T, workers, "workers", "4", 1, 32,
		"How many requests are with the Engine at once; some more wait."),
};
#undef T

const struct option_table broker_options = {.file = "broker.yaml",
					    .env_prefix = "HEALBUS_BROKER_",
					    .rows = rows,
					    .n = ARRAY_SIZE(rows)};

/* ---- what rows cannot say ---- */

static int check_label(const struct broker_config *c, struct why *out_why)
{
	const char *equals = strchr(c->label, '=');

	for (const char *p = c->label; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("_.-/=", *p))
			return why_set(out_why, ERR_CONFIG,
				       "label: letters, digits and _.-/ on both sides of a =");
	}
	if (!equals || equals == c->label || !equals[1] || strchr(equals + 1, '=') ||
	    strlen(c->label) > LABEL_MAX)
		return why_set(out_why, ERR_CONFIG, "label: want name=value, at most %d bytes",
			       LABEL_MAX);
	return 0;
}

static bool read_number(const char *text, int64_t *out)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 10 || text[digits])
		return false;
	*out = strtoll(text, NULL, 10);
	return *out <= UINT32_MAX;
}

static int find_group(struct broker_config *c, struct why *out_why)
{
	c->gid = -1;
	if (!c->group || !*c->group || read_number(c->group, &c->gid))
		return 0;
	const struct group *g = getgrnam(c->group);
	if (!g)
		return why_set(out_why, ERR_CONFIG, "group: there is no group %s", c->group);
	c->gid = (int64_t)g->gr_gid;
	return 0;
}

static int add_user(struct broker_config *c, const char *name, struct why *out_why)
{
	if (c->n_users == BROKER_USERS_MAX)
		return why_set(out_why, ERR_CONFIG, "allow_users: at most %d", BROKER_USERS_MAX);
	if (!read_number(name, &c->users[c->n_users])) {
		const struct passwd *p = getpwnam(name);

		if (!p)
			return why_set(out_why, ERR_CONFIG, "allow_users: there is no user %s",
				       name);
		c->users[c->n_users] = (int64_t)p->pw_uid;
	}
	c->n_users++;
	return 0;
}

static int find_users(struct broker_config *c, struct why *out_why)
{
	static const char separators[] = " ,";
	char name[USER_MAX + 1];
	int rc = 0;

	for (const char *p = c->allow_users; !rc && p && *p;) {
		p += strspn(p, separators);
		size_t len = strcspn(p, separators);
		if (len > USER_MAX)
			return why_set(out_why, ERR_CONFIG, "allow_users: a name over %d bytes",
				       USER_MAX);
		snprintf(name, sizeof(name), "%.*s", (int)len, p);
		rc = len ? add_user(c, name, out_why) : 0;
		p += len;
	}
	if (!rc && c->allow_users && *c->allow_users && c->n_users == 0)
		return why_set(out_why, ERR_CONFIG, "allow_users: names nobody");
	return rc;
}

static const char *environment(const char *name)
{
	return getenv(name);
}

int broker_config_load(const char *dir, struct broker_config *out, struct why *out_why)
{
	int rc = config_load(&broker_options, dir, environment, out, out_why);

	if (rc)
		return rc;
	out->bounds.stop_max_s = out->stop_max_ms / 1000;
	out->bounds.stop_default_s = out->stop_default_ms / 1000;
	if (strlen(out->listen) > ADDRESS_UNIX_PATH_MAX)
		return why_set(out_why, ERR_CONFIG, "listen: over %d bytes", ADDRESS_UNIX_PATH_MAX);
	if (strlen(out->engine_socket) > ADDRESS_UNIX_PATH_MAX)
		return why_set(out_why, ERR_CONFIG, "engine.socket: over %d bytes",
			       ADDRESS_UNIX_PATH_MAX);
	if (str_eq(out->listen, out->engine_socket))
		return why_set(out_why, ERR_CONFIG, "listen: that is engine.socket");
	rc = check_label(out, out_why);
	if (!rc)
		rc = find_group(out, out_why);
	return rc ? rc : find_users(out, out_why);
}
