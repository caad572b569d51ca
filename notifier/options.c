#include "notifier/config.h"

#define DAY_MS 86400000.0

#define CONFIG struct notifier_config

static const struct option rows[] = {
	STAGE_OPTIONS(CONFIG, "notifier", "127.0.0.1:9098"),
	OPT_PATH(
		CONFIG, decision_key_file, "decision_key_file", NULL,
		"Ed25519 private key (PEM) that signs decisions; created on the first start, its "
		"public half beside it as .pub, which the executors need. Without it: decision.key "
		"in the state directory."),
	OPT_DURATION(CONFIG, rules.retain_ms, "retain", "90d", 60000, 3650 * DAY_MS,
		     "How long an incident stays in the projection after its last message."),
	OPT_PATH(CONFIG, token_key_file, "token_key_file", NULL,
		 "Secret (0600) that the tokens of buttons and links are made with; created on the "
		 "first start. Without it: token.key in the state directory."),
	OPT_INT(CONFIG, replica, "replica", "1", 1, TOPIC_REPLICAS,
		"Without slots and replicas: several notifiers may run on one bus, with the same "
		"configuration and keys but for this number and their own state_dir: each notice "
		"is sent by one of them."),
	OPT_INT(CONFIG, notice_workers, "notice_workers", "2", 1, 64, "Threads that send notices."),
	OPT_DURATION(CONFIG, give_up_after_ms, "give_up_after", "24h", 1000, 30 * DAY_MS,
		     "A notice that its channel does not take for so long goes to the receiver's "
		     "next fallback."),
	OPT_DURATION(CONFIG, approval_give_up_after_ms, "approval_give_up_after", "20s", 1000,
		     DAY_MS, "The same for questions to a human, which have a deadline."),
	OPT_DURATION(CONFIG, channel_dead_after_ms, "channel_dead_after", "1m", 1000, DAY_MS,
		     "A channel that took nothing for so long, though asked, is told as dead."),
	OPT_DURATION(CONFIG, rules.feedback_after_ms, "feedback_after", "30m", 0, 30 * DAY_MS,
		     "So long after a repair people are asked whether it held; their answer counts "
		     "for what is tried next time. 0: nobody is asked."),
	OPT_TREE(CONFIG, people, "people", people_parse, people_release,
		 "Who may do what: a list of {name, roles: [viewer, operator, approver, admin], "
		 "groups, slack, discord, telegram, github, email, oidc, token_file}. token_file "
		 "holds what logs them in at the page and in healctl: see healctl token. Without "
		 "it, whoever holds a token of the API may do everything."),
	OPT_TREE(CONFIG, approvers, "approvers", approvers_parse, approvers_release,
		 "Whose yes a plan needs: a list of {tools: [globs], targets: [globs], levels: "
		 "[soft, hard], people: [names or group:NAME], count: 1 or 2}. The first that "
		 "matches a step counts for it; for a step without one, every approver may."),
	OPT_PATH(CONFIG, web_dir, "web_dir", NULL,
		 "Directory of the page's files. Without it, those shipped beside the program."),
	OPT_DURATION(CONFIG, session_ttl_ms, "session_ttl", "12h", 60000, 30 * DAY_MS,
		     "How long a login at the page lasts."),
	OPT_STRING(CONFIG, oidc_header, "oidc_header", NULL,
		   "Header in which a proxy that people log in at says who it was, such as "
		   "X-Forwarded-User; looked up under oidc in people. Believed from "
		   "trusted_proxies only, which have to drop it from what clients send."),
	OPT_TREE(CONFIG, trusted_proxies, "trusted_proxies", proxies_parse, proxies_release,
		 "Addresses and networks of proxies in front: a list of 192.0.2.7 or 10.0.0.0/8. "
		 "Their X-Forwarded-For, X-Forwarded-Proto and oidc_header are believed."),
	OPT_TREE(CONFIG, channels, "channels", channels_parse, channels_release,
		 "Where notices go: a list of {name, type: "
		 "terminal|webhook|slack|discord|email|telegram|pagerduty|"
		 "opsgenie|github, timeout, "
		 "...}."),
	OPT_TREE(CONFIG, rules.receivers, "receivers", receivers_parse, receivers_release,
		 "Who is told: a list of {name, channels, fallback, send_resolved, throttle: "
		 "{limit: 30, per: 1h}}."),
	OPT_TREE(CONFIG, rules.intervals, "time_intervals", intervals_parse, intervals_release,
		 "Named times, as Alertmanager writes them, for mute_time_intervals."),
	OPT_TREE(CONFIG, rules.route, "route", route_parse, route_release,
		 "The routing tree: {receiver, matchers, continue, group_by, group_wait, "
		 "group_interval, repeat_interval, severity, mute_time_intervals, escalation, "
		 "escalate_on: escalated|opened, routes}."),
	OPT_TREE(CONFIG, rules.oncalls, "oncall", oncalls_parse, oncalls_release,
		 "Who is on call: a list of {name, timezone, rotation: [people], shift: 7d, start: "
		 "2026-01-05T09:00, layers, overrides: [{from, until, person}]}. timezone is UTC, "
		 "a fixed offset such as \"+02:00\", or a rule such as CET-1CEST,M3.5.0,M10.5.0/3 "
		 "(the last line of /usr/share/zoneinfo/NAME)."),
	OPT_TREE(CONFIG, rules.escalations, "escalations", escalations_parse, escalations_release,
		 "Who is called when nobody answers: a list of {name, steps: [{after: 0s, to: "
		 "[oncall:NAME, PERSON, channel:NAME, receiver:NAME], repeat: 2, every: 5m}], "
		 "summary_after: 15m}."),
};

const struct option_table notifier_options = {
	.file = "notifier.yaml",
	.env_prefix = "HEALBUS_NOTIFIER_",
	.rows = rows,
	.n = ARRAY_SIZE(rows),
};
