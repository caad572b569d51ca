/* The long texts of commands.c. */
#include "notifier/ctl/ctl.h"

const char help_backtest[] =
	"Takes a recording (healbus-monitor record) through the monitor's and the "
	"reasoner's own logic, configured as in -c DIR, and says which plans would have "
	"been made for which incident. Needs no bus and no notifier; nothing runs. With "
	"--against the plans are made with two sets of runbooks, and only incidents that "
	"are answered differently are shown, the first set's answer with -, the other's "
	"with +; exit code 1 when there are any. A runbook of which only comments "
	"changed makes no difference.\n"
	"A plan that the recording has too, with the same steps, goes on as it did: its "
	"approval, steps and outcome are in the recording. Any other plan counts as only "
	"observed: nothing ran, no second attempt is made, and its incident goes on by "
	"the recorded alerts alone, which tell what happened after what was really done. "
	"Recorded reports on plans that are not made are left out and counted. Times are "
	"UTC. The same input gives the same output, byte for byte; events a second are "
	"told on standard error.";

const char help_classify[] =
	"Reads the log of a failed job (GitHub Actions, GitLab, Travis and others; also "
	"gzipped) and says what type of failure it is, how sure that is, which lines say "
	"so, what else was considered, and which specialist would be asked. The same "
	"code and data as the reasoner's; needs no bus and no notifier. Of a log over 10 "
	"MiB the end is read.";

const char help_shadow[] =
	"For plans that ended as observed (autonomy observe or dry-run). Each is judged "
	"by what people did from then until its incident was over, by the first of these "
	"that holds:\n"
	"same, denied, undone: the latest word of a person about the same tool on the "
	"same target: a plan with it approved, or denied, or a change made with it taken "
	"back;\n"
	"taken: a person acknowledged the incident;\n"
	"needless: the incident was over within --patience though nobody did anything "
	"that healbus knows of;\n"
	"open: none of these, so nothing can be said: it lasts, or ended later than that "
	"and nobody said why.\n"
	"Agreement is (same + taken) of (same + taken + denied + undone + needless). "
	"What people do without healbus it cannot see: let them acknowledge what they "
	"repair.";

const char help_init[] =
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

const char help_backup[] =
	"Everything that healbus knows, while it works: the streams, the claims of the "
	"executors, and their journals with the audit chain. The file is checked by healctl "
	"verify, put back by healctl restore, and read by healctl backtest as a recording. Keep "
	"it as you keep the bus. Not in it are secrets: the folder that healctl init made and "
	"the notifier's *.key files.\n"
	"Of executors whose configuration is not in -c DIR the journals must be named: those "
	"here with --executor, those elsewhere by copying what `healbus-executor backup DIR` "
	"made there and --with.";

const char help_restore[] =
	"Checks the file, then fills an empty bus from it: every message with its sequence "
	"number, claims, the places of shared consumers; reads all of it back; gives the "
	"journals to executors that have none. All stages must be stopped, and state folders "
	"other than the executors' empty: they rebuild. A bus that has streams is left alone.\n"
	"What was done after the backup nobody knows any more, so no step of a plan from before "
	"the restore, or for an incident that was open then, is begun: it counts as unknown "
	"unless a claim or a journal tells its end. New incidents are repaired as ever. With "
	"--state-only the bus is not touched: for when it lives and a state folder is lost.";

const char help_verify[] =
	"Reads all of a backup: checksums, counts, digests, and the audit chains by "
	"healbus-executor. With --bus it is compared with the bus, message by message.";

const char help_kpis[] =
	"Over the incidents opened in the window, overall and per step:\nautonomous: "
	"resolved by a plan that healed, never escalated, no person took part; of those that "
	"ended and needed something (a step was started, it was escalated, or a person took "
	"part);\ntime to heal: from opened to resolved, where a plan healed; half, and nine "
	"of ten, took no longer;\nfirst attempt: the first plan that ran healed it;\nfalse "
	"positives: of those acted on, a person said false alarm (healctl ack "
	"--false-alarm), or it was over before the first step, or it ended by itself "
	"although the repair had failed;\nescalated: given up at any time; cost: what models "
	"were paid for it.\nA person takes part by a decision, an ack, an undo, or a command.";

const char help_story[] =
	"Begins with these four answers, then tells all that happened, read back from the "
	"bus. With --follow the timeline comes first, as it happens, until the incident is "
	"resolved, and the answers at its end; with --json each entry is then one line. Exit "
	"code 1 when it ended in another way.";

const char help_memory[] =
	"Asks the reasoner itself, which serves local requests and those with a token "
	"(http.token_file in reasoner.yaml). With --like, words of a log line or a title; "
	"numbers, paths, hosts and ids do not matter. With an incident, all that is "
	"remembered of it.";

const char help_rates[] =
	"The rate is what can be expected of the next time, given what was seen; it is at "
	"least the lower bound with 95 percent probability (memory.prior in reasoner.yaml). "
	"Rows without a tool count whole plans. Also tells which failures were healed by "
	"another specialist than the one first asked.";

const char help_token[] =
	"Prints 256 random bits, or writes them to a file that only you can read and says "
	"what to add to notifier.yaml. Needs no notifier; it takes effect when the notifier "
	"reads its configuration again (SIGHUP). A new token in the old one's place ends the "
	"sessions that were opened with that.";

const char help_doctor[] =
	"Each finding is ok, warn or fail, with what to do about it. Exit code 1 when one "
	"fails. With --fix it creates the streams and buckets that are missing; that needs "
	"the bus user operator, as bus.yaml names it.";

const char help_plan[] =
	"For an incident its last plan is shown. With --dry-run the executor goes through "
	"the plan and says in the story what it would do; nothing is changed.";

const char help_ack[] =
	"The machine makes no further plan for it, and nobody is reminded of it. What runs "
	"already goes on to its end; a question that waits can still be answered.";

const char help_manual[] =
	"Without a word, that of healctl; for one of the other programs (healbus-monitor, "
	"healbus-docker-broker) it runs that, beside healctl, for its options.";

const char help_completion[] =
	"For bash: healctl completion bash > /etc/bash_completion.d/healctl. For zsh: a file "
	"_healctl in a directory of $fpath.";

const char help_pause[] =
	"The kill switch. Returns when the bus has stored it; executors look at it right "
	"before each action. Alerts are still received and told.";

const char help_undelivered[] =
	"Queued notices are under way; what every channel of its receiver failed to take is "
	"said anew by itself, until one takes it.";

const char help_override[] =
	"Said on the bus: every notifier knows it. Of overrides that overlap the one that "
	"was said last holds.";

const char help_publish[] =
	"Reads one JSON document from FILE or standard input and waits until the bus has "
	"stored it. What SOURCE's format is, monitor.yaml says; \"alertmanager\" takes what "
	"Alertmanager sends.";

const char help_models[] =
	"Adds up the exchanges with models of the last 7 days: by day, and by model; with "
	"--incident those of one incident.";
