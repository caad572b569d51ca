#!/usr/bin/env python3
"""The failpoint matrix: a kill -9 at every named point of the stages (common/failpoint.h), a restart, and the next action
decided right each time. The points are read from the source: one that no row speaks of fails the test. TAP, and a table.
--full adds what takes half a minute each: the killed executor stays away, and another one takes over."""
import argparse
import glob
import os
import re
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import verdict  # noqa: E402
from ears import Receiver  # noqa: E402
from world import BUILD, ROOT, World, alert, missing, wait_for, webhook  # noqa: E402

# What must come of it. Of the first attempt: how often it was started, the word for it, what settled it; of the second:
# whether there is one.
ONCE = (1, "done", "-", False)            # it ran exactly once, and is said once to be done
RETRIED = (0, "unknown", "step", True)    # unknown, never run again; its check says no, and a new step does it
CHECKED = (1, "unknown", "check", False)  # unknown, never run again; its check says that it is done
MEANING = {ONCE: "runs once, done", RETRIED: "unknown, not run again, new step", CHECKED: "unknown, not run again, check"}

# point, part that is killed, at the Nth time, what must come of it; "ask" when a person is asked first
ROWS = [
    ("ingress-sent", "monitor-0", 1, ONCE),
    ("ingress-stored", "monitor-0", 1, ONCE),
    ("before-handle", "monitor-0", 1, ONCE),
    ("normaliser-sent", "monitor-0", 1, ONCE),
    ("before-settle", "monitor-0", 1, ONCE),
    ("before-commit", "monitor-0", 1, ONCE),
    ("after-commit", "monitor-0", 1, ONCE),
    ("after-send", "monitor-0", 1, ONCE),
    ("in-apply", "reasoner", 1, ONCE),
    ("before-commit", "reasoner", 1, ONCE),
    ("after-commit", "reasoner", 1, ONCE),
    ("after-send", "reasoner", 1, ONCE),
    ("before-commit", "reasoner", 3, ONCE),
    ("after-commit", "reasoner", 3, ONCE),
    ("before-handle", "executor-0", 1, ONCE),
    ("executor-locked", "executor-0", 1, ONCE),
    ("executor-entered", "executor-0", 1, ONCE),
    ("executor-claimed", "executor-0", 1, ONCE),
    ("executor-intent", "executor-0", 1, ONCE),
    ("executor-started", "executor-0", 1, RETRIED),
    ("executor-acted", "executor-0", 1, CHECKED),
    ("executor-journalled", "executor-0", 1, ONCE),
    ("executor-reported", "executor-0", 1, ONCE),
    ("executor-done", "executor-0", 1, ONCE),
    ("executor-left", "executor-0", 1, ONCE),
    ("executor-checked", "executor-0", 1, ONCE),
    ("executor-plan-claimed", "executor-0", 1, ONCE),
    ("executor-outcome", "executor-0", 1, ONCE),
    ("executor-unlocked", "executor-0", 1, ONCE),
    ("before-settle", "executor-0", 1, ONCE),
    ("executor-asked", "executor-0", 1, ONCE, "ask"),
    ("before-settle", "executor-0", 2, ONCE, "ask"),
    ("before-handle", "executor-0", 2, ONCE, "ask"),
    ("decision-stored", "notifier", 1, ONCE, "ask"),
    ("before-commit", "notifier", 1, ONCE),
    ("after-commit", "notifier", 1, ONCE),
    ("after-send", "notifier", 1, ONCE),
    ("before-handle", "notifier", 1, ONCE),
    ("notice-sending", "notifier", 1, ONCE),
    ("notice-sent", "notifier", 1, ONCE),
    ("notice-recorded", "notifier", 1, ONCE),
    ("before-settle", "notifier", 1, ONCE),
]
# The same, and the killed executor never comes back: what only its journal knew is unknown to the other one.
AWAY = [
    ("executor-locked", ONCE),
    ("executor-claimed", ONCE),
    ("executor-intent", ONCE),
    ("executor-started", RETRIED),
    ("executor-acted", CHECKED),
    ("executor-journalled", CHECKED),
    ("executor-done", ONCE),
    ("executor-plan-claimed", ONCE),
]
OPTIONS = """channels: [{name: hook, type: webhook, url: 'http://127.0.0.1:%d/', timeout: 5s}]
receivers: [{name: ops, channels: [hook], throttle: {limit: 0}}]
route: {receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 0s}
"""


def points_in_source():
    found = set()
    for stage in ("common", "monitor", "reasoner", "executor", "notifier"):
        for path in glob.glob(os.path.join(ROOT, stage, "**/*.c"), recursive=True):
            with open(path) as f:
                found.update(re.findall(r'FAILPOINT\("([^"]+)"\)', f.read()))
    return found


class House:
    """A world of programs with failpoints, each of which can be armed while it runs."""

    def __init__(self, executors=1):
        self.serial = 0
        self.world = w = World(monitors=1, executors=executors, options={"notifier": OPTIONS})
        self.receiver = Receiver(w.path("told"), busy=0)
        w.config["notifier"] = w.config["notifier"] % self.receiver.port
        for part in w.stages:
            w.program[part] = os.path.join(BUILD, "fault/healbus-" + part.split("-")[0])
            w.extra_env[part] = {"HEALBUS_FAILPOINT": w.path("arm-" + part)}

    def arm(self, part, point, nth):
        path = self.world.path("arm-" + part)
        with open(path + ".new", "w") as f:
            f.write("%s:%d" % (point, nth))
        os.rename(path + ".new", path)

    def disarm(self, part):
        os.unlink(self.world.path("arm-" + part))

    def post(self, run, ask):
        """As Alertmanager: until it is taken."""
        body = webhook(alert("Fault" + run, service="web", run=run, severity="critical",
                             **{"class": "ask" if ask else "run", "event": run}))
        wait_for("202", lambda: self.world.http("monitor-0", "POST", "/webhook/alertmanager", body,
                                                timeout_s=3)[0] == 202, 60)

    def is_asked(self, approval):
        status, story = self.world.api("GET", "/api/story/" + approval["incident"], timeout_s=3)
        return status == 200 and any(n["kind"] == "approval" and n["state"] == "sent" for n in verdict.Story(story).of("notice"))

    def approve(self, run):
        """As a person: once the question has reached them. What is answered before that is not sent any more."""
        def pressed():
            status, answer = self.world.api("GET", "/api/approvals", timeout_s=3)
            asked = [a for a in answer["approvals"] if run in str(a)] if status == 200 else []
            ids = [a["id"] for a in asked if self.is_asked(a)]
            return ids and self.world.api("POST", "/api/decisions", {
                "approval": ids[0], "verdict": "approve", "by": "robot"}, timeout_s=3)[0] in (200, 409)
        wait_for("approval", pressed, 60)

    def story(self, run):
        """The story of the run's only incident, or None while it is not over."""
        status, answer = self.world.api("GET", "/api/incidents?all=1")
        ids = [i["id"] for i in answer["incidents"] if i.get("labels", {}).get("run") == run] if status == 200 else []
        stories = [verdict.Story(verdict.get(self.world, "/api/story/" + i)) for i in ids]
        over = stories and all(s.end() == "done" for s in stories)
        return stories if over else None

    def all_told(self, run):
        """Every notice about the run has been sent, and the notifier has read that."""
        status, s = self.world.api("GET", "/api/status")
        if status != 200 or s["lag"]["outbox"] or s["lag"].get("behind") != 0:
            return False
        stories = self.story(run)
        notices = [n for story in stories or [] for n in story.of("notice")]
        last = stories and any(n["kind"] == "outcome" and n["at_ms"] >= stories[0].outcomes[-1]["ended_at_ms"]
                               for n in notices)
        return last and {n["id"] for n in notices} == {n["id"] for n in notices if n["state"] == "sent"}

    def one(self, point, part, nth, ask=False, then=None):
        """Kills at the point; the stories, the run, and how long it took from the kill to the end (ms)."""
        w = self.world
        self.serial += 1
        run = "R%03d" % self.serial
        self.arm(part, point, nth)
        doers = [threading.Thread(target=self.post, args=(run, ask), daemon=True)]
        if ask:
            doers.append(threading.Thread(target=self.approve, args=(run,), daemon=True))
        for d in doers:
            d.start()
        reached = wait_for(point + " is reached", lambda: not w.alive(part), 20)
        killed_at = time.monotonic()
        self.disarm(part)
        if not w.alive(part) and not then:
            w.start(part)
        if then:
            w.start(then)
        stories = wait_for("the end of " + run, lambda: self.story(run), 100)
        took_ms = int((time.monotonic() - killed_at) * 1000)
        for d in doers:
            d.join(5)
        for p in w.stages:
            if w.alive(p):
                w.wait_ready(p)
        wait_for("all told", lambda: self.all_told(run), 30)
        return run, bool(reached), stories and self.story(run), took_ms

    def starts(self, run):
        with open(self.world.ledger) as f:
            return sum(line.split()[:2] == ["S", run] for line in f)

    def told(self):
        with open(self.world.path("told")) as f:
            return {line.split()[0] for line in f}

    def close(self):
        self.receiver.close()
        self.world.close()


def wrong(house, run, stories, expected):
    """What is not as it must be."""
    starts, word, by, again = expected
    if not stories:
        return ["it never ended"]
    s = stories[0]
    acts = s.acts()
    first = acts.get(run + "/1", [None, None])
    dones = [r for r in s.of("step") if r["phase"] == "act" and r["state"] == "done"]
    queued = [n["id"] for n in s.of("notice") if n["state"] == "queued"]
    sent = [n["id"] for n in s.of("notice") if n["state"] == "sent"]
    checks = [
        ("one incident, not %d" % len(stories), len(stories) == 1),
        ("%d starts" % house.starts(run + "/1"), house.starts(run + "/1") == starts),
        ("said to be %s, settled by %s" % tuple(first), first == [word, by]),
        ("%d starts of a second attempt" % house.starts(run + "/2"), house.starts(run + "/2") == again),
        ("%d plans, %d outcomes" % (len(s.plans), len(s.outcomes)), len(s.plans) == len(s.outcomes) == 1 + again),
        ("said %d times to be done" % len(dones), len(dones) == (word == "done") + again),
        ("notices %s sent %s" % (queued, sent), sorted(queued) == sorted(sent) and len(set(queued)) == len(queued)),
        ("not everything was told", set(queued) <= house.told()),
        ("opened %d times" % len(s.of("incident")), len(s.of("incident")) == 1),
        ("asked %d times" % len(s.of("approval")), len(s.of("approval")) == len(s.of("decision")) <= 1),
    ]
    return [text for text, good in checks if not good]


class Report:
    def __init__(self):
        self.rows, self.bad = [], 0

    def add(self, point, part, nth, expected, found, took_ms):
        self.bad += bool(found)
        self.rows.append((point, part + (", time %d" % nth if nth > 1 else ""), MEANING[expected], "NO" if found else "yes", took_ms))
        print("%s %d - %s of %s: %s%s" % ("not ok" if found else "ok", len(self.rows), point, part, MEANING[expected],
                                          "".join("\n#   " + f for f in found)), flush=True)

    def say(self, text, good):
        self.bad += not good
        self.rows.append((text, "", "", "yes" if good else "NO", 0))
        print("%s %d - %s" % ("ok" if good else "not ok", len(self.rows), text), flush=True)

    def table(self):
        line = "# %-22s | %-18s | %-34s | %-5s | %7s"
        print(line % ("killed at", "part", "what must come of it", "held?", "over ms"))
        for row in self.rows:
            if row[1]:
                print(line % row)


def stay_at_home(report, points):
    house = House()
    with house.world as w:
        w.start_all()
        for row in [r for r in ROWS if not points or r[0] in points]:
            point, part, nth, expected = row[:4]
            run, reached, stories, took_ms = house.one(point, part, nth, "ask" in row)
            found = ([] if reached else ["it was never reached"]) + wrong(house, run, stories, expected)
            report.add(point, part, nth, expected, found, took_ms)
        house.receiver.close()


def stay_away(report, lock, point, expected):
    house = House(executors=2)
    with house.world as w:
        w.start_bus()
        for part in w.stages:
            if part != "executor-1":
                w.start(part)
                w.wait_ready(part)
        run, reached, stories, took_ms = house.one(point, "executor-0", 1, then="executor-1")
        found = ([] if reached else ["it was never reached"]) + wrong(house, run, stories, expected)
        with lock:
            report.add(point, "executor-0, away", 1, expected, found, took_ms)
        house.receiver.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("points", nargs="*", help="only these")
    p.add_argument("--full", action="store_true")
    args = p.parse_args()
    why = missing()
    if why or not os.path.exists(os.path.join(BUILD, "fault/healbus-executor")):
        print("1..0 # skip " + (why or "not built"))
        return 0
    report = Report()
    known, there = {row[0] for row in ROWS}, points_in_source()
    report.say("every point of the source has a row: " + " ".join(sorted(there - known)), there <= known)
    report.say("every row has a point in the source: " + " ".join(sorted(known - there)), known <= there)
    stay_at_home(report, args.points)
    if args.full:
        lock = threading.Lock()
        threads = [threading.Thread(target=stay_away, args=(report, lock, *row)) for row in AWAY]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    report.table()
    print("1..%d" % len(report.rows))
    return 1 if report.bad else 0


if __name__ == "__main__":
    sys.exit(main())
