#!/usr/bin/env python3
"""Several processes of each stage on one configuration file and shared state folders, under load: each takes a slot, one
more stands by; one of each is killed with -9; the monitors go from two to four to one while alerts flow; two monitors
with state folders of their own want the same partitions, and the one that has them is stopped for longer than its claim
lasts. Judged as the fault tests do: nothing lost, nothing twice, one outcome each, every notice told once. TAP."""
import argparse
import collections
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "fault"))
import chaos as base  # noqa: E402
from judge import ALSO, COUNTERS  # noqa: E402
from load import Robot  # noqa: E402
from world import BUILD, World, free_ports, missing, wait_for  # noqa: E402
from lib import done, ok  # noqa: E402

READY_S = 60
OWNED_S = 1  # for so long the second does the work of the first, which sleeps


class Shared(World):
    """All processes of a stage read one file and share one folder; only their addresses differ, by the environment."""

    monitor_parts, reasoner_parts, executor_parts, notifier_parts = 5, 2, 3, 2

    def __init__(self, **more):
        super().__init__(monitors=self.monitor_parts, executors=self.executor_parts, **more)
        for part in ("reasoner-1", "notifier-1"):
            self.stages.append(part)
            self.parts.append(part)
            self.program[part] = self.program[part[:-2]]
            self.bus_port[part] = self.ports["nats"]
        self.ports.update(zip(("reasoner-1", "notifier-1"), free_ports(2)))
        for part in self.stages:
            stage = part.split("-")[0]
            self.config[part] = "state_dir: %s\nslots: true\n%s%s\n" % (
                self.path("state", stage), getattr(self, "_" + stage)(part), self.options.get(stage, ""))
            self.extra_env[part] = {"HEALBUS_%s_HTTP_LISTEN" % stage.upper(): "127.0.0.1:%d" % self.ports[part]}
        self.replicas(2)

    def _monitor(self, _):
        return re.sub("partitions: .*\n", "", super()._monitor("monitor-0"))

    def replicas(self, n):
        """How many the configuration file says from now on."""
        for part in self.monitors:
            self.extra_env[part]["HEALBUS_MONITOR_REPLICAS"] = str(n)

    def start_all(self, timeout_s=60):
        self.start_bus(timeout_s)
        first = [p for p in self.stages if p not in self.monitors[2:]]
        for part in first:
            self.start(part)
        for part in first:
            self.wait_ready(part, timeout_s)

    def slot(self, part):
        """Which slot the part's present process has said that it took."""
        found = re.findall(r'"?slot"?[=:] ?"?(\d+)', "\n".join(
            line for line in self.tail(part, 400).splitlines() if "slot taken" in line))
        return int(found[-1]) if found else None

    def reasons(self, part):
        return self.http(part, "GET", "/readyz", timeout_s=3)[1]


class Replicas(base.Chaos):
    make_world = staticmethod(Shared)

    def begin(self):
        self.world.start_all()
        self.ears.start()
        wait_for("ears", lambda: self.ears.connected)
        base.threading.Thread(target=self.resolve, daemon=True).start()
        Robot(self.world, self.incidents, self.dir + "/APPROVED").start()

    def end(self, name):
        wait_for("the load", self.loaded, 120)
        self.settle(120)
        self.take_unknown()
        self.settle(30)
        every, found, size = self.look_until_told()
        self.explain(found, every)
        found["lost"] += ["refused:%s" % r[0] for r in self.senders.refused]
        print("#", name, "  ".join("%s %d" % item for item in size.items()), flush=True)
        for counter in COUNTERS + ALSO:
            ok(not found[counter], "%s: %s" % (name, base.TEXTS[counter]), found[counter][:8])
        with open(self.dir + "/TOLD") as f:
            told = collections.Counter(line.split()[0] for line in f)
        twice = [n for n, k in told.items() if k > 1]
        keys = [m["id"] for m in self.world.dump("STORY", "heal.incident.>") if m.get("id")]
        words = collections.Counter((m["message"]["id"], m["message"].get("revision"))
                                    for m in self.world.dump("STORY", "heal.incident.>")
                                    if m["message"].get("set_by") != "reasoner")
        many = [k for k, n in words.items() if n > 1]
        ok(not many, name + ": no incident is told twice in one revision", many[:5])
        ok(len(keys) == len(set(keys)), name + ": no output is stored twice")
        ok(not self.world.dump("DEAD"), name + ": nothing is in dead.*")
        return twice


def doctor(w):
    where = w.path("config/operator")
    os.makedirs(where, exist_ok=True)
    w._bus_yaml(where, w.ports["nats"])
    r = subprocess.run([os.path.join(BUILD, "healctl"), "doctor", "--only", "shares", "--json", "-c", where],
                       capture_output=True, text=True, timeout=60)
    try:
        return json.loads(r.stdout)["findings"]
    except ValueError:
        return [{"level": "broken", "what": r.stdout + r.stderr}]


def said(findings, level, pattern):
    return any(f["level"] == level and re.search(pattern, f["what"]) for f in findings)


def one_of_each(c):
    w = c.world
    w.start("monitor-2")
    ok(wait_for("standby", lambda: "standing by" in w.reasons("monitor-2"), READY_S),
       "a third monitor of two says that it stands by", w.tail("monitor-2"))
    ok(w.http("monitor-2", "GET", "/healthz")[0] == 200 and w.http("monitor-2", "POST", "/webhook/alertmanager", {})[0] == 503,
       "who stands by is healthy and takes nothing in")
    was = w.slot("monitor-0")
    w.kill("monitor-0")
    ok(wait_for("takes over", lambda: w.ready("monitor-2"), READY_S) and w.slot("monitor-2") == was,
       "it takes the slot of a monitor that was killed", w.reasons("monitor-2"))
    w.start("monitor-0")
    ok(wait_for("standby", lambda: "standing by" in w.reasons("monitor-0"), READY_S),
       "which stands by itself when it comes back")
    for part in ("executor-1", "reasoner", "reasoner-1", "notifier-1", "notifier"):
        slot = w.slot(part)
        w.restart(part, timeout_s=READY_S)
        ok(w.slot(part) == slot, "%s finds its slot %s again" % (part, slot), w.slot(part))
    slots = sorted(w.slot(p) for p in w.executors)
    ok(slots == [0, 1, 2], "three executors, three slots", slots)


def two_four_one(c):
    w = c.world
    w.replicas(4)
    w.start("monitor-3")
    ok(wait_for("waits", lambda: "another process owns it" in w.reasons("monitor-3"), READY_S),
       "the first of four monitors waits for what the two still have", w.reasons("monitor-3"))
    f = wait_for("doctor", lambda: said(doctor(w), "warn", "claim"))
    ok(f, "doctor says that two processes claim one partition", doctor(w))
    for part in ("monitor-0", "monitor-1", "monitor-2"):
        w.kill(part, signal.SIGTERM)
        w.start(part)
    for part in w.monitors[:4]:
        w.wait_ready(part, READY_S)
    ok(sorted(w.slot(p) for p in w.monitors[:4]) == [0, 1, 2, 3], "two became four", [w.slot(p) for p in w.monitors[:4]])
    ok(wait_for("one owner each", lambda: all(x["level"] == "ok" for x in doctor(w)), 30),
       "doctor finds each share with one owner", doctor(w))
    w.replicas(1)
    w.kill("monitor-0", signal.SIGTERM)
    w.kill("monitor-3")
    f = wait_for("no owner", lambda: [x for x in doctor(w) if x["level"] == "fail"], 30)
    ok(f and "partition" in f[0]["what"], "doctor says which partitions have no owner", f)
    w.start("monitor-4")
    for part in ("monitor-1", "monitor-2"):
        w.kill(part, signal.SIGTERM)
    w.wait_ready("monitor-4", READY_S)
    ok(w.slot("monitor-4") == 0, "four became one", w.slot("monitor-4"))
    w.monitors[:] = ["monitor-4"]


def shared(args):
    c = Replicas(args)
    with c.world:
        c.begin()
        c.load()
        one_of_each(c)
        two_four_one(c)
        twice = c.end("slots")
        # A notifier that was killed between telling and saying so tells again, and says that it may be a repeat.
        ok(len(twice) <= 4, "slots: notices are told once, but for what a killed notifier had in hand", twice)
        c.receiver.close()


class Two(World):
    """Two monitors that want the same partitions, each with a folder of its own."""

    def __init__(self, **more):
        super().__init__(monitors=2, executors=1, **more)

    def _monitor(self, part):
        return re.sub("partitions: .*\n", "partitions: 0-15\n", super()._monitor(part))

    def start_all(self, timeout_s=60):
        self.start_bus(timeout_s)
        for part in self.stages:
            if part != "monitor-1":
                self.start(part)
                self.wait_ready(part, timeout_s)


class Overlap(base.Chaos):
    make_world = staticmethod(Two)
    begin, end = Replicas.begin, Replicas.end


def overlap(args):
    c = Overlap(args)
    w = c.world
    with w:
        c.begin()
        w.start("monitor-1")
        ok(wait_for("standby", lambda: "another process owns it" in w.http("monitor-1", "GET", "/readyz")[1], READY_S),
           "overlap: a second owner of all partitions stands by", w.tail("monitor-1"))
        c.load()
        wait_for("half of the load", lambda: sum(one.left == 0 for one in c.incidents) * 2 >= len(c.incidents))
        w.freeze("monitor-0")
        ok(wait_for("takes over", lambda: w.ready("monitor-1"), READY_S),
           "overlap: when the first is stopped, the second takes over", w.http("monitor-1", "GET", "/readyz")[1])
        time.sleep(OWNED_S)
        w.thaw("monitor-0")
        ok(wait_for("stands by", lambda: "another process owns it" in w.http("monitor-0", "GET", "/readyz")[1], READY_S),
           "overlap: the first comes back, and stands by", w.tail("monitor-0"))
        w.kill("monitor-1", signal.SIGTERM)
        ok(wait_for("back", lambda: w.ready("monitor-0"), READY_S), "overlap: and goes on when the second ends",
           w.http("monitor-0", "GET", "/readyz")[1])
        twice = c.end("overlap")
        ok(not twice, "overlap: every notice is told once", twice)
        w.config["executor-0"] += "slots: true\n"
        w.restart("executor-0", signal.SIGTERM)
        ok(os.path.exists(w.path("state/executor-0/slot-0/journal/data.mdb"))
           and not os.path.exists(w.path("state/executor-0/journal")),
           "overlap: an executor that gets slots takes its journal along")
        c.receiver.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=base.random.SystemRandom().randrange(1, 1 << 31))
    p.add_argument("--incidents", type=int, default=70)
    p.add_argument("--only", choices=("shared", "overlap"))
    p.add_argument("--keep", action="store_true")
    args = p.parse_args()
    args.alerts, args.kills = args.incidents * 5, 14
    print("# seed", args.seed, flush=True)
    parts, args.only = [args.only] if args.only else ["shared", "overlap"], None
    for part in parts:
        {"shared": shared, "overlap": overlap}[part](args)
    return done()


if __name__ == "__main__":
    why = missing()
    if why:
        print("1..0 # skip " + why)
        sys.exit(0)
    sys.exit(main())
