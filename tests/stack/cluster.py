#!/usr/bin/env python3
"""Three nodes of nats-server, streams with three copies, all four stages under load by webhook and by NATS: nodes are
killed, frozen and left without a majority; then the independent judge of the fault tests says what was lost, done twice,
or told wrongly. Speaks TAP; the last line begins with "cluster:".

    tests/stack/cluster.py [--full] [--seed N] [--keep]"""
import hashlib
import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/fault"))
import chaos  # noqa: E402
from judge import ALSO, COUNTERS  # noqa: E402
from load import Senders  # noqa: E402
from natsadmin import Admin, NatsError, NotStored  # noqa: E402
from world import BUILD, missing, wait_for  # noqa: E402

STREAMS = ("RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM", "KV_LOCK", "KV_LIVE")
NO_MAJORITY_S = 8
FROZEN_S = 15    # longer than the others wait before they choose another leader
HEALTHY_S = 60
# People have longer for an answer than the bus is away: a question that has ended before it could be told is not told.
chaos.OPTIONS["executor"] = "approval_deadline: 45s\napproval_deadline_soft: 45s\n"


class BothWays(Senders):
    """A third of what is sent goes to the bus itself, by a publisher that tries until the stream has acknowledged."""

    def post(self, line, part, body):
        if part.startswith("monitor") and int(hashlib.sha256(body.encode()).hexdigest(), 16) % 3:
            return super().post(line, part, body)
        try:
            if not line.get("bus"):
                node = random.choice(self.world.nodes)
                with open(self.world.path("secret/source")) as f:
                    line["bus"] = Admin(self.world.ports[node], "source-alertmanager", f.read(), 5,
                                        "_INBOX_source-alertmanager.%s" % os.urandom(6).hex())
            line["bus"].store("raw.alertmanager", body.encode(), {
                "Nats-Msg-Id": "ext-%s-%d" % (hashlib.sha256(body.encode()).hexdigest()[:40], line.get("names", 0))})
            return 202
        except NotStored:  # and never will be under this name, for as long as the duplicate window lasts
            line["names"] = line.get("names", 0) + 1
            return 0
        except (OSError, ValueError, IndexError, NatsError):
            bus = line.pop("bus", None)
            if bus:
                bus.close()
            return 0


class Cluster(chaos.Chaos):
    def __init__(self, args, nats):
        super().__init__(args, BothWays, nodes=3, nats=nats)
        self.answers, self.not_whole = [], ""

    # ---- looking ----

    def ask(self, what):
        """An answer of JetStream's API, from any node that gives one."""
        failed = None
        for node in self.world.nodes:
            if not self.world.alive(node) or node in self.held:
                continue
            try:
                with open(self.world.path("secret/judge")) as f:
                    admin = Admin(self.world.ports[node], "judge", f.read(), 3)
                try:
                    return admin.api(what)
                finally:
                    admin.close()
            except (OSError, ValueError, IndexError, NatsError) as e:
                failed = e
        raise NatsError("%s: %s" % (what, failed))

    def leader(self, stream):
        found = []

        def look():
            try:
                name = self.ask("STREAM.INFO." + stream)["cluster"].get("leader")
            except NatsError:
                return False
            found[:] = [name] if name else []
            return bool(name)
        wait_for("a leader of " + stream, look, HEALTHY_S)
        return found[0]

    def is_whole(self, stream):
        """It has a leader and two copies that have all of it."""
        cluster = self.ask("STREAM.INFO." + stream)["cluster"]
        others = cluster.get("replicas", [])
        if cluster.get("leader") and len(others) == 2 and all(r.get("current") for r in others):
            return True
        self.not_whole = "%s: %s" % (stream, cluster)
        return False

    def healthy(self, seen):
        """Each stream was seen whole. Not all in one look: under load a copy is always a message behind somewhere."""
        try:
            seen.update(s for s in STREAMS if s not in seen and self.is_whole(s))
            return len(seen) == len(STREAMS)
        except NatsError:
            return False

    def node_of(self, part):
        """The node that a part is connected to."""
        inodes = set()
        base = "/proc/%d/fd" % self.world.process[part].pid
        for fd in os.listdir(base):
            try:
                name = os.readlink(os.path.join(base, fd))
            except OSError:
                continue
            if name.startswith("socket:["):
                inodes.add(name[8:-1])
        of_port = {self.world.ports[n]: n for n in self.world.nodes}
        with open("/proc/net/tcp") as f:
            for words in map(str.split, f.readlines()[1:]):
                port = int(words[2].split(":")[1], 16)
                if words[9] in inodes and port in of_port:
                    return of_port[port]
        return self.world.nodes[0]

    def doctor(self):
        """What healctl says of the bus."""
        r = subprocess.run([os.path.join(BUILD, "healctl"), "doctor", "--only", "bus", "-c",
                            self.world.path("config/admin")], capture_output=True, text=True, timeout=60)
        return " ".join((r.stdout + r.stderr).split())

    def doctor_says(self, text, words, timeout_s=30):
        self.answers.append((text, bool(wait_for(text, lambda: all(w in self.doctor() for w in words), timeout_s))))

    # ---- what is done to them ----

    def answered(self):
        """A probe through everything; how long it took in s."""
        began = time.monotonic()
        one = self.probe()
        wait_for("a probe is over", lambda: self.ears.is_over(one.run), chaos.RECOVER_S)
        return time.monotonic() - began

    def recovered(self, what, began):
        took = self.answered() + 0.0
        self.recoveries.append((what, int((time.monotonic() - began) * 1000), int(took * 1000)))
        seen = set()
        whole = wait_for("all copies are whole", lambda: self.healthy(seen), HEALTHY_S)
        chaos.say("%s: a new alert healed %.1f s after; all copies whole after %.1f s%s" % (
            what, self.recoveries[-1][1] / 1000, time.monotonic() - began, "" if whole else " NOT: %s" % self.not_whole))
        self.answers.append((what + ": alerts are answered again, every copy becomes whole", whole))

    def kill_node(self, what, node):
        began = time.monotonic()
        self.world.process[node].kill()
        self.recovered("%s (%s) killed" % (what, node), began)

    def kill_leader(self, stream):
        self.kill_node("leader of " + stream, self.leader(stream))

    def kill_connected(self):
        self.kill_node("node of executor-0", self.node_of("executor-0"))

    def kill_executor_and_leader(self):
        node, began = self.leader("KV_CLAIM"), time.monotonic()
        self.world.process[node].kill()
        self.world.process["executor-1"].kill()
        self.recovered("leader of KV_CLAIM (%s) and executor-1 killed" % node, began)

    def freeze_leader(self):
        node, began = self.leader("STORY"), time.monotonic()
        self.world.freeze(node)
        time.sleep(FROZEN_S)  # that is the fault, not a wait for something
        self.world.thaw(node)
        self.recovered("leader of STORY (%s) frozen for %d s" % (node, FROZEN_S), began)

    def no_majority(self):
        """Two nodes down: nothing may be acknowledged, and nothing may be lost."""
        kept = self.node_of("monitor-0")
        down = [n for n in self.world.nodes if n != kept]
        with self.lock:
            self.held.update(down)
        self.world.kill(down[0])
        self.doctor_says("with one node down healctl doctor says which copies are not whole",
                         ["2 of 3 copies of STORY have all of it"])
        self.world.kill(down[1])
        began = time.monotonic()
        time.sleep(0.5)  # what was on its way has been answered by then
        acked, statuses = self.senders.posted, {}
        while time.monotonic() < began + NO_MAJORITY_S:
            status = self.world.http("monitor-0", "POST", "/webhook/alertmanager",
                                     chaos.Incident("N00000", "odd", "any", "p0", "Nobody").body([0], "firing", 0),
                                     timeout_s=15)[0]
            statuses[status] = statuses.get(status, 0) + 1
            time.sleep(0.05)
        taken = self.senders.posted - acked
        chaos.say("without a majority: %d alerts acknowledged, answers to a webhook %s" % (taken, statuses))
        self.answers.append(("without a majority nothing is acknowledged, and senders are told so",
                             taken == 0 and 503 in statuses and 202 not in statuses))
        self.held.clear()
        self.recovered("two nodes down for %d s" % NO_MAJORITY_S, began)

    def kill_all(self):
        steps = [lambda: self.kill_leader("STORY"), self.no_majority, self.kill_executor_and_leader]
        if self.args.full:
            steps += [self.kill_connected, self.freeze_leader, *[lambda s=s: self.kill_leader(s) for s in STREAMS]] * 2
            self.dice.shuffle(steps)
        self.doctor_says("healctl doctor knows the server, the copies, and what cannot be promised",
                         ["nats-server 2.10", "3 copies of each stream: 1 may be down", "sync_interval: always",
                          "streams and buckets are as declared"])
        for step in steps:
            step()
        wait_for("the load is done", self.loaded, 120)


def run(args, nats):
    cluster = Cluster(args, nats)
    version = subprocess.run([nats, "--version"], capture_output=True, text=True).stdout.strip()
    chaos.say(version, "seed", args.seed, "incidents", args.incidents, "alerts", args.alerts, cluster.world.dir)
    with cluster.world:
        found, size = cluster.run()
        cluster.receiver.close()
    results = [(chaos.TEXTS[name], not found[name]) for name in COUNTERS + ALSO] + cluster.answers
    results.append(("%d alerts were posted" % cluster.senders.posted, cluster.senders.posted >= args.alerts))
    for n, (text, good) in enumerate(results, 1):
        print("%s %d - %s" % ("ok" if good else "not ok", n, text))
    print("1..%d" % len(results))
    print(chaos.last_line(args, cluster, found, size).replace("fault:", "cluster: nodes=3"), flush=True)
    return 0 if all(good for _, good in results) else 1


if __name__ == "__main__":
    found = subprocess.run([os.path.join(HERE, "lib_nats210.sh"), BUILD], capture_output=True, text=True)
    why = missing() or (found.stderr.strip() if found.returncode else "")
    if why:
        print("1..0 # skip " + why)
        sys.exit(0)
    sys.exit(run(chaos.arguments(small=(100, 700)), found.stdout.strip()))
