#include "notifier/ctl/ctl.h"

/* With people in notifier.yaml it must be one of them. */
#define BY                                                                                         \
	{                                                                                          \
		"by", 0, "NAME", "Who you are; without it your login name."                        \
	}
#define REASON                                                                                     \
	{                                                                                          \
		"reason", 0, "TEXT", "Why; it is kept in the story."                               \
	}
#define LIMIT                                                                                      \
	{                                                                                          \
		"limit", 0, "N", "At most so many, the newest first."                              \
	}

/* One word, which names such a thing. */
#define ONE_OF(what) .args_min = 1, .args_max = 1, .names = (what)

const struct ctl_command ctl_commands[] = {
	{
		.name = "status",
		.args = "",
		.summary = "one look at everything: incidents, approvals, pause, bus, executors",
		.help = "Says how many incidents there are in each state, how many approvals wait "
			"for "
			"an answer, whether actions are paused, and what is connected.",
		.run = cmd_status,
	},
	{
		.name = "incidents",
		.args = "",
		.summary = "list incidents, newest first",
		.help = "Ids are shown as prefixes; every command takes any prefix that names one "
			"thing only.",
		.run = cmd_incidents,
		.flags = {{"all", 0, NULL, "All of them, however old."},
			  {"state", 0, "STATE",
			   "Only open, escalated, suppressed or resolved ones."},
			  {"search", 0, "WORDS",
			   "Those that hold all of these words, in any letter case: in titles, "
			   "labels, summaries."},
			  LIMIT},
	},
	{
		.name = "story",
		.args = "INCIDENT",
		.summary = "what broke, what was done, did it help, what is needed of you",
		.help = "Begins with these four answers, then tells all that happened, read back "
			"from "
			"the bus. With --follow the timeline comes first, as it happens, until the "
			"incident is resolved, and the answers at its end; with --json each entry "
			"is "
			"then one line. Exit code 1 when it ended in another way.",
		.run = cmd_story,
		ONE_OF(NAMES_INCIDENT),
		.flags = {{"follow", 'f', NULL, "Go on until the incident is resolved."},
			  {"until", 0, "STATE",
			   "With --follow: end at resolved (the default), or at closed, which is "
			   "resolved, escalated or suppressed."},
			  {"timeout", 0, "TIME", "With --follow: give up after so long: 60s, 5m."},
			  {"all", 0, NULL,
			   "Also what is left out for brevity: starts of steps that have ended, "
			   "queued notices, incidents that changed only in numbers."}},
	},
	{
		.name = "plan",
		.args = "PLAN|INCIDENT",
		.summary = "show a plan: steps, why, approval, outcome",
		.help = "For an incident its last plan is shown. With --dry-run the executor goes "
			"through the plan and says in the story what it would do; nothing is "
			"changed.",
		.run = cmd_plan,
		ONE_OF(NAMES_PLAN),
		.flags = {{"dry-run", 0, NULL, "Rehearse it; nothing is changed."}},
	},
	{
		.name = "approvals",
		.args = "",
		.summary = "what waits for an answer, with the exact commands that would run",
		.help = "No answer until the deadline means no.",
		.run = cmd_approvals,
	},
	{
		.name = "approve",
		.args = "APPROVAL|PLAN|INCIDENT",
		.summary = "let a plan run",
		.help = "The answer is bound to the plan's exact bytes. The first answer wins; a "
			"second "
			"one is told who decided.",
		.run = cmd_approve,
		ONE_OF(NAMES_APPROVAL),
		.flags = {REASON, BY},
	},
	{
		.name = "deny",
		.args = "APPROVAL|PLAN|INCIDENT",
		.summary = "do not let a plan run",
		.help = "The incident is escalated: the machine does not try something else.",
		.run = cmd_deny,
		ONE_OF(NAMES_APPROVAL),
		.flags = {REASON, BY},
	},
	{
		.name = "info",
		.args = "APPROVAL",
		.summary = "all there is to know about a question before it is answered",
		.help = "The plan's own parameters, the diagnosis, a dry run if there was one, how "
			"it "
			"is taken back.",
		.run = cmd_info,
		ONE_OF(NAMES_APPROVAL),
	},
	{
		.name = "feedback",
		.args = "INCIDENT held|broken",
		.summary = "say whether a repair held",
		.help = "The first word about an incident counts for what is tried next time.",
		.run = cmd_feedback,
		.args_min = 2,
		.args_max = 2,
		.names = NAMES_INCIDENT,
		.flags = {REASON, BY},
	},
	{
		.name = "people",
		.args = "",
		.summary = "who may do what, and whose yes a plan needs",
		.help = "As notifier.yaml says under people and approvers.",
		.run = cmd_people,
	},
	{
		.name = "ack",
		.args = "INCIDENT",
		.summary = "say that you look after an incident",
		.help = "The machine makes no further plan for it, and nobody is reminded of it. "
			"What runs already goes on to its end; a question that waits can still be "
			"answered.",
		.run = cmd_ack,
		ONE_OF(NAMES_INCIDENT),
		.flags = {REASON,
			  {"false-alarm", 0, NULL,
			   "There was nothing to repair; counts in the key figures."}},
	},
	{
		.name = "tools",
		.args = "",
		.summary = "what the executors can do",
		.help = "Level none only reads, soft can be undone, hard interrupts or destroys.",
		.run = cmd_tools,
	},
	{
		.name = "topics",
		.args = "",
		.summary = "print the contract: streams, subjects, consumers, who may what",
		.help = "Needs neither the notifier nor the bus.",
		.run = cmd_topics,
		.flags = {{"nats-users", 0, NULL,
			   "As an accounts block for nats-server, with one user a stage and its "
			   "allow-list."}},
	},
	{
		.name = "publish",
		.args = "SOURCE [FILE|-]",
		.summary = "publish an alert to raw.SOURCE",
		.help = "Reads one JSON document from FILE or standard input and waits until the "
			"bus "
			"has stored it. What SOURCE's format is, monitor.yaml says; "
			"\"alertmanager\" "
			"takes what Alertmanager sends.",
		.run = cmd_publish,
		.args_min = 1,
		.args_max = 2,
		.names = NAMES_FILE,
		.flags = {{"id", 0, "ID",
			   "Message id; a second message with the same id within two minutes is "
			   "dropped. Default: a random one."}},
	},
	{
		.name = "silence add",
		.args = "MATCHER...",
		.summary = "mute incidents whose labels match",
		.help = "Matchers as Alertmanager writes them: service=\"db\", env=~\"dev.*\", "
			"team!=\"x\". All must match.",
		.run = cmd_silence_add,
		.args_min = 1,
		.args_max = CTL_ARGS_MAX,
		.flags = {{"duration", 'd', "TIME", "How long: 30m, 2h, 1d. Default: 2h."},
			  {"comment", 0, "TEXT", "Why."}},
	},
	{
		.name = "silence ls",
		.args = "",
		.summary = "list silences",
		.help = "Those that are over are shown with --all.",
		.run = cmd_silence_ls,
		.flags = {{"all", 0, NULL, "Also those that are over."}},
	},
	{
		.name = "silence expire",
		.args = "SILENCE",
		.summary = "end a silence now",
		.help = "Incidents it muted open again when they still fire.",
		.run = cmd_silence_expire,
		ONE_OF(NAMES_SILENCE),
	},
	{
		.name = "pause",
		.args = "",
		.summary = "no new action starts anywhere",
		.help = "The kill switch. Returns when the bus has stored it; executors look at it "
			"right before each action. Alerts are still received and told.",
		.run = cmd_pause,
		.flags = {REASON},
	},
	{
		.name = "resume",
		.args = "",
		.summary = "allow actions again",
		.help = "Plans that waited and are not too old go on.",
		.run = cmd_resume,
		.flags = {REASON},
	},
	{
		.name = "changes",
		.args = "",
		.summary = "what was changed, and what can be undone",
		.help = "The newest first.",
		.run = cmd_changes,
		.flags = {LIMIT},
	},
	{
		.name = "undo",
		.args = "CHANGE",
		.summary = "take a change back",
		.help = "Becomes a plan of its own, with the same policy, approvals and checks.",
		.run = cmd_undo,
		ONE_OF(NAMES_CHANGE),
		.flags = {REASON},
	},
	{
		.name = "dead ls",
		.args = "",
		.summary = "list messages that could not be read",
		.help = "With the stage that refused it, and why.",
		.run = cmd_dead_ls,
		.flags = {LIMIT},
	},
	{
		.name = "dead show",
		.args = "SEQ",
		.summary = "show one of them with its bytes",
		.help = "Text as text, other bytes in hex.",
		.run = cmd_dead_show,
		ONE_OF(NAMES_DEAD),
	},
	{
		.name = "dead requeue",
		.args = "SEQ",
		.summary = "publish it again, after the cause is repaired",
		.help = "Only what came in from outside (raw.*).",
		.run = cmd_dead_requeue,
		ONE_OF(NAMES_DEAD),
	},
	{
		.name = "shadow",
		.args = "",
		.summary = "what would have been done where healbus only observes, and who agreed",
		.help = help_shadow,
		.run = cmd_shadow,
		.flags = {{"since", 0, "TIME", "Plans made within so long: 12h, 30d. Default: 7d."},
			  {"patience", 0, "TIME",
			   "An incident that is over sooner went away by itself. Default: 15m."}},
	},
	{
		.name = "kpis",
		.args = "",
		.summary = "how well it works: resolved alone, time to heal, first attempt, cost",
		.help = "Over the incidents opened in the window, overall and per step:\n"
			"autonomous: resolved by a plan that healed, never escalated, no person "
			"took "
			"part; of those that ended and needed something (a step was started, it "
			"was "
			"escalated, or a person took part);\n"
			"time to heal: from opened to resolved, where a plan healed; half, and "
			"nine "
			"of ten, took no longer;\n"
			"first attempt: the first plan that ran healed it;\n"
			"false positives: of those acted on, a person said false alarm (healctl "
			"ack "
			"--false-alarm), or it was over before the first step, or it ended by "
			"itself although the repair had failed;\n"
			"escalated: given up at any time; cost: what models were paid for it.\n"
			"A person takes part by a decision, an ack, an undo, or a command.",
		.run = cmd_kpis,
		.flags = {{"since", 0, "TIME", "Incidents opened within so long. Default: 30d."},
			  {"step", 0, "TIME", "Also by steps of this length. Default: 1d."},
			  {"all", 0, NULL, "Also the steps in which nothing happened."}},
	},
	{
		.name = "oncall",
		.args = "[ROTATION]",
		.summary = "who is on call, until when, and who is called when nobody answers",
		.help = "As notifier.yaml says under oncall and escalations. Times are local.",
		.run = cmd_oncall,
		.args_max = 1,
		.flags = {{"shifts", 0, "N", "So many shifts of each. Default: 4."}},
	},
	{
		.name = "undelivered",
		.args = "",
		.summary = "what nobody has been told yet, and which channels take nothing",
		.help = "Queued notices are under way; what every channel of its receiver failed "
			"to take is said anew by itself, until one takes it.",
		.run = cmd_undelivered,
		.flags = {LIMIT},
	},
	{
		.name = "backtest",
		.args = "RECORDING",
		.summary = "what would have been planned, from a recording, without doing anything",
		.help = help_backtest,
		.run = cmd_backtest,
		ONE_OF(NAMES_FILE),
		.flags = {{"runbooks", 0, "DIR[,DIR]",
			   "Runbooks in place of those that reasoner.yaml names; those of the "
			   "second directory replace those of the first with the same name."},
			  {"against", 0, "DIR[,DIR]", "A second set, to compare with."},
			  {"from-raw", 0, NULL,
			   "Read the recorded raw bodies again, although the recording has the "
			   "events that were made of them."},
			  {"settle", 0, "TIME",
			   "Let time go on for so long after the last message, with nothing more "
			   "arriving: what waits then is told. Default: 0s."},
			  {"write", 0, "FILE",
			   "Also write what monitor and reasoner said into FILE, a recording."}},
	},
	{
		.name = "classify",
		.args = "LOG|-",
		.summary = "why a job failed, from its log, and who should fix it",
		.help = help_classify,
		.run = cmd_classify,
		ONE_OF(NAMES_FILE),
		.flags = {{"workflow", 0, "NAME", "Name of the workflow, when it is known."},
			  {"job", 0, "NAME", "Name of the job."},
			  {"step", 0, "NAME", "Name of the step that failed."},
			  {"files", 0, "FILE,...", "Files that the change touches."},
			  {"failures", 0, "PATH",
			   "Failure types, a file or directory, in place of those that "
			   "reasoner.yaml names."},
			  {"specialists", 0, "FILE", "Likewise the table of routes."}},
	},
	{
		.name = "memory",
		.args = "[INCIDENT]",
		.summary = "what earlier incidents taught: the latest, those like a text, or one",
		.help = "Asks the reasoner itself, which serves local requests and those with a "
			"token (http.token_file in reasoner.yaml). With --like, words of a log "
			"line or a title; numbers, paths, hosts and ids do not matter. With an "
			"incident, all that is remembered of it.",
		.run = cmd_memory,
		.args_max = 1,
		.names = NAMES_INCIDENT,
		.flags = {{"like", 0, "TEXT", "The most alike first."},
			  {"others", 0, NULL, "Also ask the memories of memory.stores."},
			  {"limit", 'n', "N", "How many. Default: 10."},
			  {"reasoner", 0, "URL",
			   "The reasoner's address. Default: $HEALBUS_REASONER_URL, else "
			   "http://127.0.0.1:9096."}},
	},
	{
		.name = "rates",
		.args = "",
		.summary = "what worked: success rates by failure type, specialist and tool",
		.help = "The rate is what can be expected of the next time, given what was seen; "
			"it is at least the lower bound with 95 percent probability "
			"(memory.prior in reasoner.yaml). Rows without a tool count whole plans. "
			"Also tells which failures were healed by another specialist than the one "
			"first asked.",
		.run = cmd_rates,
		.flags = {{"reasoner", 0, "URL",
			   "The reasoner's address. Default: $HEALBUS_REASONER_URL, else "
			   "http://127.0.0.1:9096."}},
	},
	{
		.name = "models",
		.args = "",
		.summary = "what models were asked, and what it cost",
		.help = "Adds up the exchanges with models of the last 7 days: by day, and by "
			"model; with --incident those of one incident.",
		.run = cmd_models,
		.flags = {{"incident", 0, "ID", "Only of this one, however old."},
			  {"since", 0, "TIME", "So far back: 24h, 30d."}},
	},
	{
		.name = "token",
		.args = "NAME",
		.summary = "make a token with which a person logs in",
		.help = "Prints 256 random bits, or writes them to a file that only you can read "
			"and says what to add to notifier.yaml. Needs no notifier; it takes effect "
			"when the notifier reads its configuration again (SIGHUP). A new token in "
			"the old one's place ends the sessions that were opened with that.",
		.run = cmd_token,
		.args_min = 1,
		.args_max = 1,
		.flags = {{"out", 0, "FILE", "Write it there, in place of printing it."}},
	},
	{
		.name = "backup",
		.args = "FILE",
		.summary = "put all that healbus knows into a file, while it works",
		.help = help_backup,
		.run = cmd_backup,
		ONE_OF(NAMES_FILE),
		.flags = {{"executor", 0, "DIR...", "An executor's configuration directory."},
			  {"with", 0, "DIR...", "A copy of an executor's journals."}},
	},
	{
		.name = "restore",
		.args = "FILE",
		.summary = "fill an empty bus, and empty journals, from a backup",
		.help = help_restore,
		.run = cmd_restore,
		ONE_OF(NAMES_FILE),
		.flags = {{"executor", 0, "DIR...",
			   "An executor's configuration directory, in the order of the backup."},
			  {"extract", 0, "DIR", "Write the journals there, for other hosts."},
			  {"state-only", 0, NULL, "Journals only; the bus is not touched."},
			  {"bus-only", 0, NULL, "No journals."}},
	},
	{
		.name = "verify",
		.args = "FILE",
		.summary = "is a backup whole, and does the bus still hold it?",
		.help = help_verify,
		.run = cmd_verify,
		ONE_OF(NAMES_FILE),
		.flags = {{"bus", 0, NULL, "Compare it with the bus."}},
	},
	{
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
			  {"nodes", 0, "N",
			   "Also the configuration of a cluster of 3, 5, ... nodes."},
			  {"server", 0, "2.9|2.10",
			   "Of which version this host's nats-server is. Default: what "
			   "nats-server --version says, else 2.10."},
			  {"listen", 0, "ADDR:PORT",
			   "Where this host's nats-server listens. Default: 127.0.0.1:4222."},
			  {"store", 0, "PATH",
			   "Where it keeps the streams. Default: DIR/jetstream."},
			  {"owner", 0, "UID:GID", "Whose the files shall be; needs root."},
			  {"renew", 0, NULL,
			   "Only a new certificate of the server, for the names of the old one and "
			   "--host."}},
	},
	{
		.name = "doctor",
		.args = "",
		.summary = "check configuration, bus, permissions, who lives, sandbox, Docker and "
			   "clock",
		.help = "Each finding is ok, warn or fail, with what to do about it. Exit code 1 "
			"when "
			"one fails. With --fix it creates the streams and buckets that are "
			"missing; that needs the bus user operator, as bus.yaml names it.",
		.run = cmd_doctor,
		.flags = {{"fix", 0, NULL, "Create missing streams and buckets."},
			  {"only", 0, "PART",
			   "Examine one part: configuration, bus, shares, notifier, sandbox, "
			   "docker or "
			   "clock."}},
	},
	{
		.name = "completion",
		.args = "bash|zsh",
		.summary = "print the completion script of a shell",
		.help = "For bash: healctl completion bash > "
			"/etc/bash_completion.d/healctl. For zsh: a file _healctl in a directory "
			"of "
			"$fpath.",
		.run = cmd_completion,
		ONE_OF(NAMES_SHELL),
	},
	{
		.name = "manual",
		.args = "[PROGRAM]",
		.summary = "print a man page in roff",
		.help = "Without a word, that of healctl; for one of the other programs "
			"(healbus-monitor, healbus-docker-broker) it runs that, beside healctl, "
			"for "
			"its options.",
		.run = cmd_manual,
		.args_max = 1,
	},
	{
		.name = "help",
		.args = "[COMMAND]",
		.summary = "what the commands do and take",
		.help = "",
		.run = cmd_help,
		.args_max = 2,
	},
	{
		.name = "version",
		.args = "",
		.summary = "print the version",
		.help = "",
		.run = cmd_version,
	},
	/* For the completion scripts; without a summary it is listed nowhere. */
	{.name = "names", .args = "KIND", .run = cmd_names, .args_min = 1, .args_max = 1},
};
const size_t ctl_commands_n = ARRAY_SIZE(ctl_commands);
