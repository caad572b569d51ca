/* The notifier's configuration: notifier.yaml. */
#ifndef NOTIFIER_CONFIG_H
#define NOTIFIER_CONFIG_H

#include "common/stage.h"
#include "notifier/channels/channel.h"
#include "notifier/people.h"
#include "notifier/proxies.h"
#include "notifier/routing.h"

struct notifier_config {
	struct stage_config stage;
	struct rules rules;
	struct channels channels;
	struct people people;
	struct approvers approvers;
	char *decision_key_file;
	char *web_dir;
	char *oidc_header;
	struct proxies trusted_proxies;
	int64_t session_ttl_ms;
	char *token_key_file;
	int64_t replica;
	int64_t notice_workers;
	int64_t give_up_after_ms;
	int64_t approval_give_up_after_ms;
	int64_t channel_dead_after_ms;
	uint64_t serial; /* counts loads in this process: a worker sees that its sessions are old */
};

extern const struct option_table notifier_options;

/* struct stage_def's hooks: names agree. */
int notifier_prepare(void *config, struct why *out_why);

/* Where the key that signs decisions is: as configured, or decision.key in the state directory
 * that all slots share. The
 * same for tokens: token.key. */
void notifier_key_path(const struct notifier_config *c, struct buf *out);
void notifier_token_path(const struct notifier_config *c, struct buf *out);
/* struct stage_def's hook. */
int64_t notifier_replica(const void *config);

#endif
