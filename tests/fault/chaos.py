#!/usr/bin/env python3
"""A whole healbus under load, of which every part is killed with -9 at random and started again at once; then an
independent judge says what was lost, done twice, done without leave, or told wrongly. Speaks TAP; the last line begins
with "fault:". Exit code 0 when all of it is 0, every unknown act was settled, and every plan and incident has exactly one
outcome."""
import argparse
import os
import random
import statistics
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verdict  # noqa: E402
from ears import Ears, Receiver  # noqa: E402
from judge import ALSO, COUNTERS, judge  # noqa: E402
from load import ASKED, LOCKED, SERVICES, Incident, Robot, Senders, make  # noqa: E402
from world import World, missing, wait_for  # noqa: E402

PROBES = 40          # services that only probes use: some lie in each monitor's partitions
RECOVER_S = 90       # a part that is not back by then is counted with this
TOLD_S = 60          # so long after all is over the last notice may come
LOOK_S, LOOK_AGAIN_S = 1, 2  # between two looks at everything, which cost something
SLOW_MS = 5000       # a probe that takes so long says where it was
KILL_EVERY_S = 2.2   # on average
INCIDENTS_PER_S = 18  # at most: what is tested is not how much it takes
OPTIONS = {
    "monitor": "rate: 100000\nburst: 100000\nflap_threshold: 0\ngroup_interval: 1s\n",
    "reasoner": "max_open_plans: 200\n",
    "executor": "approval_deadline: 15s\napproval_deadline_soft: 15s\n",
    "notifier": """notice_workers: 4
approval_give_up_after: 5m
channels:
  - {name: hook, type: webhook, url: 'http://127.0.0.1:%d/', timeout: 5s}
receivers:
  - {name: ops, channels: [hook], throttle: {limit: 0}}
route: {receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 0s}
""",
}
WEIGHTS = {"nats": 20, "reasoner": 12, "notifier": 13, "monitor": 30, "executor": 25}


def say(*words):
    print("#", *words, flush=True)


class Chaos:
    def __init__(self, args, senders=Senders, **of_world):
        """senders: the kind of what sends alerts. of_world: more for World()."""
        self.args, self.dice = args, random.Random(args.seed)
        self.incidents = make(args.seed, args.incidents, args.alerts,
                              max(args.kills * KILL_EVERY_S, args.incidents / INCIDENTS_PER_S))
        self.recoveries, self.threads, self.probes = [], [], []
        self.lock, self.held = threading.Lock(), set()  # held: what is not started again
        targets = ["s%03d" % i for i in range(SERVICES)] + ["p%d" % i for i in range(PROBES)]
        self.world = self.make_world(targets=targets, never=["locked%d" % i for i in range(LOCKED)], keep=args.keep,
                                     **of_world)
        self.dir = self.world.path("judge")
        os.mkdir(self.dir)
        os.symlink(self.world.ledger, self.dir + "/LEDGER")
        self.receiver = Receiver(self.dir + "/TOLD", args.seed)
        for part in self.world.stages:
            stage = part.split("-")[0]
            more = OPTIONS[stage] % self.receiver.port if stage == "notifier" else OPTIONS[stage]
            base = self.world.config[part]
            self.world.config[part] = (base[:base.index("channels:")] if stage == "notifier" else base) + more
        self.ears = Ears(self.world)
        self.senders = senders(self.world, self.dir + "/ACKED")
        self.probers = Senders(self.world, self.dir + "/ACKED", 3, pause_s=0.1)  # never behind the load

    @staticmethod
    def make_world(**more):
        return World(monitors=4, executors=2, **more)

    # ---- probes: one alert each, to see that a part works again ----

    def probe(self, service=None, only=None):
        with self.lock:
            one = Incident("P%05d" % len(self.probes), "run", "run",
                           "p%d" % (service if service is not None else self.dice.randrange(PROBES)),
                           "FaultP%d" % len(self.probes))
            self.probes.append(one)
        one.left = 1
        self.probers.put(time.monotonic(), one, [0], only=only)
        return one

    def learn_partitions(self):
        """Which probe's service lies in whose partitions."""
        ones = [self.probe(i) for i in range(PROBES)]
        if not wait_for("the first probes", lambda: all(self.ears.is_over(p.run) for p in ones), 60):
            raise RuntimeError("nothing works even before anything was killed")
        self.service_of = {}
        for i, one in enumerate(ones):
            monitor = self.world.monitors[self.ears.partition[one.run] % len(self.world.monitors)]
            self.service_of.setdefault(monitor, i)

    # ---- kills ----

    def supervise(self):
        """What runit or systemd does: what is down is started again at once."""
        while not self.world.closed:
            for part in self.world.parts:
                if part not in self.held and not self.world.alive(part):
                    self.world.start(part)
            time.sleep(0.01)

    def victim(self):
        kind = self.args.only or self.dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        return self.dice.choice([p for p in self.world.parts if p.split("-")[0] == kind])

    def kill(self, part):
        process = self.world.process[part]
        if process.poll() is not None:
            return
        pending = self.ears.plans_of("-%d" % process.pid) if part in self.world.executors else []
        killed_at = time.monotonic()
        process.kill()
        thread = threading.Thread(target=self.recover, args=(part, process, killed_at, pending), daemon=True)
        self.threads.append(thread)
        thread.start()

    def recover(self, part, old, killed_at, pending):
        """Waits until the part is ready again and a probe went through it."""
        end = killed_at + RECOVER_S
        rows = [("down", lambda: self.world.process[part] is not old), ("ready", lambda: self.world.ready(part))]
        for what, done in rows:
            while not done() and time.monotonic() < end:
                time.sleep(0.005)
        ready_ms = (time.monotonic() - killed_at) * 1000
        done = getattr(self, "probe_" + part.split("-")[0])(part, pending)
        while not done() and time.monotonic() < end:
            time.sleep(0.005)
        self.recoveries.append((part, int((time.monotonic() - killed_at) * 1000), int(ready_ms)))

    def probe_nats(self, *_):
        wait_for("ears", lambda: self.ears.connected, RECOVER_S)
        one, began, at = self.probe(), time.monotonic(), {}

        def done():
            now = int((time.monotonic() - began) * 1000)
            for word, there in (("taken", one.left == 0), ("incident", self.ears.is_open(one.run)),
                                ("plan", self.ears.has_plan(one.run)), ("outcome", self.ears.is_over(one.run))):
                if there:
                    at.setdefault(word, now)
            if "outcome" in at and max(at.values()) > SLOW_MS:
                say("a slow probe after a kill of nats:", one.run, at)
            return "outcome" in at
        return done

    def probe_monitor(self, part, _):
        one = self.probe(self.service_of[part], part)
        return lambda: self.ears.is_open(one.run)

    def probe_reasoner(self, *_):
        one = self.probe()
        return lambda: self.ears.has_plan(one.run)

    def probe_notifier(self, *_):
        one = self.probe()
        return lambda: one.run in self.receiver.told

    def probe_executor(self, part, pending):
        """The new process has done something, and what the old one had begun is at its end."""
        asked = [0.0]

        def done():
            now = time.monotonic()
            mine = "-%d" % self.world.process[part].pid
            if self.ears.last_word(mine) == 0:
                if now > asked[0] + 0.3:
                    asked[0] = now
                    self.probe()
                return False
            return not any(plan in self.ears.under_way for plan in pending)
        return done

    def kill_all(self):
        """As many kills as were asked for, and on until the load is done. Most wait until the part before is back."""
        while len(self.threads) < self.args.kills or not self.loaded():
            time.sleep(self.dice.expovariate(1 / (KILL_EVERY_S * 0.6)))
            if self.dice.random() < 0.75:
                wait_for("recovery", lambda: not any(t.is_alive() for t in self.threads), RECOVER_S)
            self.kill(self.victim())
        for t in self.threads:
            t.join(RECOVER_S)

    def loaded(self):
        return all(one.left == 0 for one in self.incidents)

    # ---- the load ----

    def resolve(self):
        """Alerts clear: when all is over, or for a few as soon as the incident is open. Not before all of them are
        in it: one that is over before it was read opens nothing."""
        while not self.world.closed:
            for one in self.incidents:
                ripe = self.ears.is_open if one.resolve == "early" else self.ears.is_over
                if one.resolve and not one.resolving and one.left == 0 and ripe(one.run) \
                        and self.ears.has_all(one.run, one.alerts):
                    one.resolving = True
                    self.senders.put(time.monotonic(), one, list(range(one.alerts)), "resolved")
            time.sleep(0.1)

    def load(self):
        start = time.monotonic()
        for one in self.incidents:
            for due, numbers in one.bodies:
                self.senders.put(start + due, one, numbers)

    # ---- the end ----

    def look(self):
        """Once the bus was away, not everything was heard: asks the API where each incident stands."""
        for i in verdict.get(self.world, "/api/incidents?all=1")["incidents"]:
            run = i.get("labels", {}).get("run")
            if not run:
                continue
            with self.ears.lock:
                self.ears.incident_of[run] = i["id"]
                self.ears.alerts[i["id"]] = i["fingerprints"]
                self.ears.state[i["id"]] = {"open": 1, "resolved": 2, "suppressed": 3, "escalated": 4}[i["state"]]
            if not self.ears.is_over(run):
                status, plan = self.world.api("GET", "/api/plans/" + i["id"])
                if status == 200 and "outcome" in plan:
                    self.ears.verdict[i["id"]] = plan["outcome"]["verdict"]

    def waiting(self):
        every = self.incidents + self.probes
        return [one for one in every if not self.ears.is_over(one.run) or not self.ears.has_all(one.run, one.alerts) or (
            one.resolve and self.ears.state.get(self.ears.incident(one.run)) != 2)]

    def settle(self, timeout_s):
        """Until every incident is over and every notice told; then people take what is unknown."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self.look()
            left = self.waiting()
            status, s = self.world.api("GET", "/api/status")
            quiet = status == 200 and s["approvals_pending"] == 0 and not s["lag"]["outbox"] \
                and s["lag"].get("behind") == 0
            if not left and quiet and self.senders.idle() and self.probers.idle() and time.monotonic() > self.receiver.last + 2:
                return
            time.sleep(LOOK_S)
        say("not settled after %d s:" % timeout_s, len(left), "incidents, such as",
            *["%s(%s %s)" % (one.run, one.klass, self.ears.incident(one.run)) for one in left[:5]])

    def take_unknown(self):
        """A person looks at every unknown act that nothing else has settled."""
        for story in verdict.stories(self.world):
            if any(by == "-" for word, by in story.acts().values() if word == "unknown"):
                self.world.api("POST", "/api/ack", {"incident": story.incident["id"], "by": "robot",
                                                    "reason": "looked at it"})

    def run(self):
        self.world.start_all()
        self.ears.start()
        wait_for("ears", lambda: self.ears.connected)
        robot = Robot(self.world, self.incidents, self.dir + "/APPROVED")
        for work in (self.supervise, self.resolve):
            threading.Thread(target=work, daemon=True).start()
        robot.start()
        self.learn_partitions()
        began = time.monotonic()
        self.load()
        self.kill_all()
        say("load and kills took %.0f s" % (time.monotonic() - began))
        self.settle(240)
        self.take_unknown()
        self.settle(60)
        say("all over after %.0f s: %d alerts posted, %d retries" % (
            time.monotonic() - began, self.senders.posted, self.senders.retries))
        return self.judge()

    def judge(self):
        every, found, size = self.look_until_told()
        say("  ".join("%s %d" % item for item in size.items()))
        with open(self.dir + "/OVERTAKEN") as f:
            say("%d questions were answered before they were told" % len(f.readlines()))
        found["lost"] += ["refused:%s" % r[0] for r in self.senders.refused + self.probers.refused]
        self.explain(found, every)
        by_kind = {}
        for part, ms, ready in self.recoveries:
            by_kind.setdefault(part.split("-")[0], []).append((ms, ready))
        for kind, rows in sorted(by_kind.items()):
            ms = [r[0] for r in rows]
            say("recovery of %-9s kills=%d p50_ms=%d max_ms=%d (ready p50_ms=%d)" % (
                kind, len(ms), statistics.median(ms), max(ms), statistics.median([r[1] for r in rows])))
        return found, size

    def look_until_told(self):
        """Nothing may be missing in the end, but a notice whose sender was killed may still be on its way."""
        began = time.monotonic()
        while True:
            every = verdict.write_down(self.world, self.incidents + self.probes, self.dir)
            found, size = judge(self.dir)
            late = len(found["missing_notices"])
            if not late or time.monotonic() > began + TOLD_S:
                return every, found, size
            say("%d notices are still on their way %.0f s after the last act" % (late, time.monotonic() - began))
            time.sleep(LOOK_AGAIN_S)

    def explain(self, found, every):
        for name, what in found.items():
            if not what:
                continue
            say("%s: %d:" % (name, len(what)), *what[:8])
            runs = [one.split("/")[0].split(".")[0].split("#")[0].split(":")[0] for one in what]  # or ids of notices
            shown = [s for s in every if s.incident.get("labels", {}).get("run") in runs]
            for line in (line for story in shown[:1] for line in verdict.story_lines(story)):
                say("   ", line)


def last_line(args, chaos, found, size):
    ms = [r[1] for r in chaos.recoveries] or [0]
    return "fault: %s unknown=%d kills=%d recovery_p50_ms=%d recovery_max_ms=%d seed=%d" % (
        " ".join("%s=%d" % (c, len(found[c])) for c in COUNTERS), size["unknown"], len(chaos.recoveries),
        statistics.median(ms), max(ms), args.seed)


def arguments(small=(200, 2000)):
    """small: incidents and alerts where nothing is said."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 1 << 31))
    p.add_argument("--full", action="store_true", help="20000 alerts, 2000 incidents, 50 kills; a tenth, 16 kills else")
    p.add_argument("--alerts", type=int, help="posted in all, repeats and resolved ones among them")
    p.add_argument("--incidents", type=int)
    p.add_argument("--kills", type=int, help="at least so many")
    p.add_argument("--only", choices=WEIGHTS, help="kill only this kind of part")
    p.add_argument("--keep", action="store_true", help="leave the directory with logs and the judge's files")
    args = p.parse_args()
    args.alerts = args.alerts or small[1] * (10 if args.full else 1)
    args.incidents = args.incidents or small[0] * (10 if args.full else 1)
    args.kills = args.kills if args.kills is not None else 50 if args.full else 16
    return args


TEXTS = {
    "lost": "no acknowledged alert or incident is lost",
    "double": "no act is started twice",
    "unapproved": "no act is started without the approval that it needs",
    "forbidden": "nothing that is forbidden runs",
    "invented": "nothing runs that nobody sent an alert for",
    "lied": "what is said to be done is done",
    "missing_notices": "people are told everything that must be told",
    "unsettled": "every unknown act is settled",
    "outcomes": "every plan and every incident has exactly one outcome",
}


def run(args):
    chaos = Chaos(args)
    say("seed", args.seed, "incidents", args.incidents, "alerts", args.alerts, "kills", args.kills, chaos.world.dir)
    with chaos.world:
        found, size = chaos.run()
        chaos.receiver.close()
    enough = len(chaos.recoveries) >= args.kills and chaos.senders.posted >= args.alerts
    results = [(TEXTS[name], not found[name]) for name in COUNTERS + ALSO]
    results.append(("%d alerts were posted, %d times a part was killed" % (
        chaos.senders.posted, len(chaos.recoveries)), enough))
    refused = chaos.senders.refused + chaos.probers.refused
    results.append(("no alert was refused for good", not refused))
    for n, (text, good) in enumerate(results, 1):
        print("%s %d - %s" % ("ok" if good else "not ok", n, text))
    print("1..%d" % len(results))
    print(last_line(args, chaos, found, size), flush=True)
    return 0 if all(good for _, good in results) else 1


if __name__ == "__main__":
    why = missing()
    if why:
        print("1..0 # skip " + why)
        sys.exit(0)
    sys.exit(run(arguments()))
