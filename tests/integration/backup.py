#!/usr/bin/env python3
"""healctl backup, restore and verify with real stages and a real nats-server, judged by a ledger that the acts
themselves write: a backup under load, everything lost, everything back, nothing twice. TAP."""
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../fault")]
from world import BUILD, World, alert, missing, wait_for, webhook  # noqa: E402
from lib import done, failures, ok  # noqa: E402

TARGETS = ["web%d" % i for i in range(4)]


class Lab(World):
    def __init__(self):
        super().__init__(executors=2, targets=(*TARGETS, "probe"))
        self.acked, self.runs, self.stop, self.lock = [], 0, False, threading.Lock()

    def healctl(self, *args, timeout_s=120):
        return subprocess.run([os.path.join(BUILD, "healctl"), *args, "-c", self.path("config/admin")],
                              capture_output=True, text=True, timeout=timeout_s)

    def executors_flags(self):
        return [x for e in self.executors for x in ("--executor", self.path("config", e))]

    def post(self, run, **labels):
        got = self.http("monitor-0", "POST", "/webhook/alertmanager",
                        webhook(alert("Fault" + run, **dict({"run": run}, **labels))))[0]
        if got == 202:
            with self.lock:
                self.acked.append(run)
        return got == 202

    def send(self, number=1000000):
        """Alerts until so many are acknowledged or somebody says stop; every third act takes a while."""
        until = len(self.acked) + number
        while len(self.acked) < until and not self.stop:
            with self.lock:
                self.runs += 1
                n = self.runs
            hold = {"hold_ms": "400"} if n % 3 == 0 else {}
            if not self.post("r%d" % n, service=TARGETS[n % len(TARGETS)], **hold):
                time.sleep(0.05)
            time.sleep(0.05)  # the pace of the load

    def entries(self):
        with open(self.ledger) as f:
            return [line.split() for line in f if line.endswith("\n")]

    def started(self):
        """{run: how often any attempt of it was started}"""
        return collections.Counter(x[1].split("/")[0] for x in self.entries() if x[0] == "S")

    def twice(self):
        return [r for r, n in self.started().items() if n > 1]

    def verdicts(self):
        """{run: [verdicts]}, as STORY tells them."""
        plans = {m["message"]["id"]: m["message"] for m in self.dump("STORY", "heal.plan.>")}
        found = collections.defaultdict(list)
        for m in self.dump("STORY", "heal.outcome.>"):
            labels = plans.get(m["message"].get("plan_id"), {}).get("labels") or {}
            found[labels.get("run", "?")].append(m["message"]["verdict"])
        return found

    def opened(self):
        """Runs that have an incident."""
        return {(m["message"].get("labels") or {}).get("run") for m in self.dump("STORY", "heal.incident.>")}

    def ends(self):
        """{incident: (title, last state, verdicts)}"""
        found = {}
        for m in self.dump("STORY"):
            if ".incident." in m["subject"]:
                found[m["message"]["id"]] = [m["message"].get("title"), m["message"].get("state"), []]
        for m in self.dump("STORY", "heal.outcome.>"):
            if m["message"].get("incident") in found:
                found[m["message"]["incident"]][2].append(m["message"]["verdict"])
        return found

    def all_messages(self):
        return {s: [(m["seq"], m["subject"], m["id"], m["cause"], m["time_ms"], json.dumps(m["message"], sort_keys=True))
                    for m in self.dump(s)] for s in ("EVENTS", "STORY", "DEAD")}

    def stop_stages(self, sig=signal.SIGTERM):
        for part in self.stages:
            if self.alive(part):
                self.kill(part, sig)

    def lose(self, *which):
        for name in which:
            shutil.rmtree(self.path(name), ignore_errors=True)
            os.makedirs(self.path(name))

    def begin(self, *parts):
        for part in parts or self.stages:
            self.start(part)
        for part in parts or self.stages:
            self.wait_ready(part)

    def new_bus(self):
        self.lose("bus")
        self.start("nats")
        self.wait_ready("nats")

    def read(self, part):
        """How many messages its folds have applied."""
        lines = self.http(part, "GET", "/metrics")[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("healbus_messages_total"))

    def backup(self, name):
        file = self.path(name)
        return file, self.healctl("backup", file, *self.executors_flags())

    def hashes(self):
        """State hash and last message of each fold; all stopped."""
        found = {}
        for part in ("monitor-0", "reasoner", "notifier"):
            r = subprocess.run([self.program[part], "-c", self.path("config", part), "hash"], capture_output=True, text=True)
            for line in r.stdout.splitlines():
                name, digest, seq = line.split()
                found[name] = (digest, int(seq))
        return found


def ends_of(messages):
    return {s: rows[-1][0] if rows else 0 for s, rows in messages.items()}


def upto(messages, ends):
    return {s: [m for m in rows if m[0] <= ends[s]] for s, rows in messages.items()}


def test_under_load(w):
    senders = [threading.Thread(target=w.send) for _ in range(2)]
    for t in senders:
        t.start()
    wait_for("some acts", lambda: len(w.started()) >= 8)
    # Some incidents are to have no plan yet: what is planned for them behind the backup is not in it.
    w.freeze("reasoner")
    frozen = len(w.acked)
    wait_for("incidents without a plan", lambda: len(w.opened()) >= frozen + 3)
    sure = set(w.acked)  # acknowledged before the backup began
    file, r = w.backup("under-load")
    w.thaw("reasoner")
    behind = len(w.acked)
    wait_for("more load", lambda: len(w.acked) >= behind + 5)
    w.stop = True
    ok(r.returncode == 0 and "journals of 2 executors" in r.stdout, "a backup is made under load", r.stdout + r.stderr)
    for t in senders:
        t.join()
    w.stop = False
    print("# %d alerts acknowledged before it, %d during it, %d after it; %s" % (
        len(sure), behind - len(sure), len(w.acked) - behind, r.stdout.strip()))
    ok(oct(os.stat(file).st_mode & 0o777) == "0o600", "nobody else may read it")
    r = w.healctl("verify", file, "--bus")
    ok(r.returncode == 0 and "chain is whole" in r.stdout and "messages are the same" in r.stdout,
       "it is whole, and the bus holds all of it", r.stdout + r.stderr)
    wait_for("all acts", lambda: set(w.started()) >= set(w.acked), 60)
    wait_for("all outcomes", lambda: set(w.verdicts()) >= set(w.acked), 60)
    return file, sure


def test_damage(w, file):
    with open(file, "rb") as f:
        whole = f.read()
    for name, data, says in (
            ("flipped", whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 4]) + whole[len(whole) // 2 + 1:], "checksum"),
            ("cut", whole[:len(whole) * 2 // 3], "cut short"),
            ("without its end", whole[:whole.rindex(b"backup.end") - 48], "its end is missing"),
            ("longer", whole + whole[32:400], ""),
            ("empty", b"", "not a recording")):
        with open(w.path("bad"), "wb") as f:
            f.write(data)
        v, r = w.healctl("verify", w.path("bad")), w.healctl("restore", w.path("bad"))
        ok(v.returncode == 1 and r.returncode == 1 and says in v.stderr and says in r.stderr,
           "a file that is %s is refused" % name, v.stderr + r.stderr)
    r = w.healctl("restore", file, "--bus-only")
    ok(r.returncode == 1 and "has a stream" in r.stderr and "--state-only" in r.stderr, "a bus with streams is left alone", r.stderr)
    r = w.healctl("backup", file)
    ok(r.returncode == 1 and "is there already" in r.stderr, "a backup is not written over", r.stderr)


def test_all_lost(w, file, sure):
    before, ends_before, started = w.all_messages(), w.ends(), w.started()
    ok(not w.twice(), "nothing ran twice so far", w.twice())
    w.stop_stages(signal.SIGKILL)
    w.kill("nats")
    w.lose("state")
    w.new_bus()
    r = w.healctl("restore", file, *w.executors_flags())
    ok(r.returncode == 0 and "messages are the same" in r.stdout and r.stdout.count("chain is whole") == 2,
       "all comes back from the backup, and is read back the same", r.stdout + r.stderr)
    after = w.all_messages()
    ok(after == upto(before, ends_of(after)), "the streams are what they were, number by number")
    ok(w.healctl("doctor", "--only", "bus").stdout.count("streams and buckets are as declared") == 1, "the streams are as declared")
    known = w.ends()
    runs_done = {r for r, v in w.verdicts().items() if "healed" in v}
    w.begin()
    wait_for("every alert of before the backup has an incident", lambda: w.opened() >= sure, 60)
    ok(w.opened() >= sure, "no alert that was acknowledged before the backup is lost", sure - w.opened())
    everyone = w.opened() - {None}
    settled = wait_for("all settled", lambda: set(w.verdicts()) >= everyone, 60)
    ok(settled, "each incident has an outcome again", everyone - set(w.verdicts()))
    found, now = w.verdicts(), w.ends()
    print("# of %d incidents %d were healed in the backup; outcomes now: %s" % (
        len(everyone), len(runs_done), dict(collections.Counter(v[-1] for v in found.values()))))
    closed = {i: e for i, e in known.items() if e[2]}
    ok(closed and all(now.get(i) == e for i, e in closed.items() if e[2] == ["healed"]),
       "what was over in the backup is over, with the same end", {i: (e, now.get(i)) for i, e in closed.items() if now.get(i) != e})
    ok(all(i in ends_before for i in now), "no incident is another one than before")
    ok(wait_for("probe", lambda: w.post("probe", service="probe")) and wait_for("act", lambda: w.started()["probe"] == 1)
       and wait_for("outcome", lambda: w.verdicts().get("probe") == ["healed"]), "a new alert is healed as ever",
       w.verdicts().get("probe"))
    started["probe"] = 1
    ok(w.started() == started and not w.twice(), "nothing that had run has run again", (w.twice(), len(started), len(w.started())))
    r = w.healctl("verify", file, "--bus")
    ok(r.returncode == 0, "the bus still holds the backup", r.stdout + r.stderr)
    w.healctl("doctor", "--fix", "--only", "bus")


def test_same_state(w):
    """Quiet: the projections that are rebuilt on the restored bus have the hashes of those that were lost."""
    w.stop_stages()
    file, r = w.backup("quiet")
    ok(r.returncode == 0, "a backup without stages", r.stderr)
    hashes = w.hashes()
    w.kill("nats")
    w.new_bus()
    r = w.healctl("restore", file, "--bus-only")
    ok(r.returncode == 0, "restored", r.stdout + r.stderr)
    w.start("reasoner")
    ok(w.process["reasoner"].wait(30) == 70 and "move the directory reasoner" in w.tail("reasoner"),
       "a state from before the restore is refused, with what to do", w.tail("reasoner"))
    for part in ("monitor-0", "reasoner", "notifier"):
        w.lose("state/" + part)
        w.config[part] += "ticks: off\n"
    w.begin("monitor-0", "reasoner", "notifier")
    events, story = len(w.dump("EVENTS")), len(w.dump("STORY"))
    ok(wait_for("rebuilt", lambda: w.read("monitor-0") >= events and w.read("reasoner") >= story
                and w.read("notifier") >= story), "the streams are read")
    w.stop_stages()
    again = w.hashes()
    ok(again and all(again[n][0] == hashes[n][0] for n in again), "rebuilt states have the same hashes",
       {n: (hashes.get(n), h) for n, h in again.items() if hashes.get(n) != h})


def test_state_lost(w):
    """Only the executors' folders are lost: the bus is not touched, and what it has counts."""
    w.begin()
    ok(wait_for("alert", lambda: w.post("before", service="probe")) and wait_for("act", lambda: w.verdicts().get("before")), "working")
    file, r = w.backup("before-loss")
    ok(r.returncode == 0, "a backup", r.stderr)
    w.send(6)
    wait_for("all acts", lambda: set(w.verdicts()) >= set(w.acked[-6:]), 60)
    w.stop_stages(signal.SIGKILL)
    before, started = w.all_messages(), w.started()
    w.lose(*["state/" + part for part in w.stages])
    r = w.healctl("restore", file, "--state-only", *w.executors_flags())
    ok(r.returncode == 0 and r.stdout.count("chain is whole") == 2, "the journals come back", r.stdout + r.stderr)
    ok(w.all_messages() == before, "the bus is as it was")
    r = w.healctl("restore", file, "--state-only", *w.executors_flags())
    ok(r.returncode == 1 and "is there already" in r.stderr, "a journal that is there is not written over", r.stderr)
    w.begin()
    after = w.all_messages()
    ok(all(after[s][:len(before[s])] == before[s] for s in before), "nothing that the bus had is lost")
    ok(wait_for("alert", lambda: w.post("after", service="probe")) and wait_for("act", lambda: w.started()["after"] == 1),
       "a new alert is acted upon")
    started["after"] = 1
    ok(w.started() == started, "nothing ran again")
    w.stop_stages()
    for e in w.executors:
        r = subprocess.run([w.program[e], "audit", w.path("state", e, "journal")], capture_output=True, text=True)
        ok(r.returncode == 0 and '"what":"restored"' in r.stdout, "the audit chain of %s goes on, and says so" % e, r.stderr)


def main():
    why = missing()
    if why:
        print("1..0 # skip " + why)
        return
    with Lab() as w:
        w.start_all()
        file, sure = test_under_load(w)
        test_damage(w, file)
        test_all_lost(w, file, sure)
        test_same_state(w)
        test_state_lost(w)
        if failures():
            w.show_logs()
    sys.exit(done())


main()
