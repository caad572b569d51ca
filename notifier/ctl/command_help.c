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
