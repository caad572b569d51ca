/*
 * monitor.yaml: the option table, the sources and the checks. What the rows cannot say is checked
 * in monitor_prepare(), which also loads the shipped mappings and the secrets.
 */
#ifndef MONITOR_CONFIG_H
#define MONITOR_CONFIG_H

#include "common/stage.h"

#include <stdatomic.h>

#include "monitor/checks.h"
#include "monitor/rules.h"
#include "monitor/sources/source.h"

#define SOURCES_DIR_DEFAULT "/usr/local/share/healbus/sources"

/* One name below /webhook/ and raw. */
struct source {
	char *name;
	const struct source_format *format;
	char *map; /* jq program, for the format jq */
	char *token_file;
	char *hmac_file;
	char *hmac_header;
	struct secret token;
	struct secret hmac;
	struct secret *hmac_lines; /* of it: any of them signs */
	size_t n_hmac_lines;
	bool insecure; /* taken without a signature although its format wants one */
	int64_t rate;  /* bodies a second over HTTP */
	int64_t burst; /* that many at once */
	bool trusted;
	bool internal;              /* not offered over HTTP */
	bool shipped;               /* its map is one of ours */
	int64_t resolve_timeout_ms; /* -1: the format's */
	int64_t grain_ms;           /* rules_grain_ms() */
	int64_t repeat_ms;          /* how long the door counts on a stored state; 0: not at all */
	_Atomic int64_t *next_ns;   /* rate: when the next body is due (GCRA) */
};

struct sources {
	struct source *items;
	size_t n;
};

struct monitor_config {
	struct stage_config stage;
	struct rules rules;
	char *sources_dir;
	struct sources sources; /* configured; after monitor_prepare: all, sorted by name */
	struct checks checks;
	int64_t normaliser_workers;
	int64_t rate; /* default of sources */
	int64_t burst;
	int64_t in_flight_max;
	int64_t ack_timeout_ms;
	bool without_secrets; /* files with secrets are not read */
	char *partitions;
	uint32_t partition_set; /* the same, a bit each */
	int64_t repeat_window_ms;
	char *github_secret_file;
	bool github_insecure;
	int64_t github_once_ms;
	int64_t github_reopen_ms;
	int64_t remediate_wait_ms;
	uint64_t generation; /* another number for each configuration loaded */
};

extern const struct option_table monitor_option_table;
int monitor_prepare(void *config, struct why *out_why);
void monitor_unprepare(void *config);
/* For a backtest, whose user may not read the secrets and needs none. */
int monitor_prepare_core(void *config, struct why *out_why);

/* "0-3,8" as a set of bits; ERR_CONFIG for anything else, or above PARTITIONS. */
int partitions_parse(const char *text, uint32_t *out, struct why *out_why);

/* NULL when unknown. */
const struct source *source_find(const struct monitor_config *c, const char *name);
/* "alertmanager, check, ..." of those offered over HTTP (or all). */
void sources_print(const struct monitor_config *c, bool all, struct buf *out);

/* config_sources.c */
int sources_parse(void *field, const struct yaml_node *node, struct why *out_why);
void sources_release(void *field);
/* Adds what is built in and shipped, completes the configured ones, reads secrets. */
int sources_complete(struct monitor_config *c, struct why *out_why);

#endif
