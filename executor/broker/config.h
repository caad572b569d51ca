/* broker.yaml. */
#ifndef EXECUTOR_BROKER_CONFIG_H
#define EXECUTOR_BROKER_CONFIG_H

#include "common/config.h"
#include "executor/broker/judge.h"
#include "executor/broker/rate.h"

enum { BROKER_USERS_MAX = 16 };

struct broker_config {
	char *listen;
	char *group;
	char *allow_users;
	bool allow_root;
	char *http_listen;
	int64_t log_level;
	char *engine_socket;
	int64_t engine_timeout_ms;
	int64_t answer_max_bytes;
	char *label;
	int64_t stop_max_ms, stop_default_ms;
	int64_t logs_max_bytes;
	struct broker_bounds bounds;
	struct broker_rates rates;
	int64_t workers;

	/* Derived. */
	int64_t gid;                     /* of `group`; -1: none said */
	int64_t users[BROKER_USERS_MAX]; /* of allow_users */
	size_t n_users;                  /* 0: whoever can open the socket */
};

extern const struct option_table broker_options;

/* Reads dir/broker.yaml and the environment, and looks up names. ERR_CONFIG with the key. Release
 * with config_release(&broker_options, c), also after an error. */
int broker_config_load(const char *dir, struct broker_config *out, struct why *out_why);

#endif
