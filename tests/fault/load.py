"""The outside world of the chaos run: what alerts there are, who sends them and how often, and the person who answers
questions. Every choice follows from the seed. Standard library only; shares no code with healbus."""
import heapq
import http.client
import json
import random
import threading
import time

from ears import boot_s
from world import alert, webhook

# class, share in percent, what is expected of it
CLASSES = (
    ("run", 61, "run"),        # runs by itself
    ("fail", 4, "run"),        # runs, and fails each time
    ("approve", 14, "run"),    # asked, and a person says yes
    ("deny", 4, "norun"),      # asked, and a person says no
    ("silent", 4, "norun"),    # asked, and nobody answers
    ("never", 5, "norun"),     # a tool that is forbidden
    ("locked", 5, "norun"),    # a target on which nothing is allowed
    ("odd", 3, "any"),         # nobody has a runbook for it
)
ASKED = ("approve", "deny", "silent")
SERVICES, LOCKED = 150, 8
STARTS = "2026-11-21T09:00:00Z"


class Incident:
    """One incident to be: its alerts (alert 0 carries the run's own id) and when each of them is posted."""

    def __init__(self, run, klass, expect, service, name):
        self.run, self.klass, self.expect, self.service, self.name = run, klass, expect, service, name
        self.hold_ms, self.exit, self.alerts = 0, 0, 1
        self.bodies = []     # [(due in s, [alert numbers])]
        self.resolve = None  # "end": after it is over; "early": as soon as it is open
        self.left = 0        # bodies without a 2xx
        self.posts = 0       # alerts posted, repeats included
        self.resolving = False

    def event(self, n):
        return self.run if n == 0 else "%s.%d" % (self.run, n)

    def body(self, numbers, status, first_post):
        labels = {"service": self.service, "severity": "critical", "run": self.run,
                  "class": "ask" if self.klass in ASKED else self.klass,
                  "hold_ms": str(self.hold_ms), "exit": str(self.exit)}
        alerts = []
        for i, n in enumerate(numbers):
            a = alert(self.name, status, STARTS, self.run, event=self.event(n), **labels)
            a["annotations"]["post"] = str(first_post + i)
            if status == "resolved":
                a["endsAt"] = "2026-11-21T10:00:00Z"
            alerts.append(a)
        return json.dumps(webhook(*alerts, status=status))


def hold_of(dice):
    """Most acts are short, some are long enough to be killed in."""
    x = dice.random()
    return 0 if x < 0.6 else dice.randrange(50, 300) if x < 0.85 else dice.randrange(500, 1500)


def make(seed, incidents, alerts, duration_s):
    """The incidents of a run: `alerts` posts in all, resolved ones among them, over duration_s."""
    dice = random.Random(seed)
    out = []
    for i in range(incidents):
        klass, _, expect = dice.choices(CLASSES, [c[1] for c in CLASSES])[0]
        service = "locked%d" % (i % LOCKED) if klass == "locked" else "s%03d" % (i % SERVICES)
        name = ("Odd%d" if klass == "odd" else "Fault%d") % (i // SERVICES)
        one = Incident("E%05d" % i, klass, expect, service, name + ("x%d" % i if klass == "locked" else ""))
        one.hold_ms, one.exit = hold_of(dice), 3 if klass == "fail" else 0
        one.alerts = dice.choices((1, 2, 3, 5), (30, 30, 20, 20))[0]
        one.resolve = dice.choices((None, "end", "early"), (40, 57, 3))[0]
        if one.resolve == "early":
            one.expect, one.alerts = "any", 1
        out.append(one)
    firing = [i.alerts for i in out]
    spare = alerts - sum(firing) - sum(i.alerts for i in out if i.resolve)
    for _ in range(max(0, spare)):
        firing[dice.randrange(incidents)] += 1
    for one, n in zip(out, firing):
        start, at = dice.random() * duration_s * 0.9, 0
        numbers = list(range(one.alerts)) + [dice.randrange(one.alerts) for _ in range(n - one.alerts)]
        while numbers:
            k = dice.randrange(1, 5)
            one.bodies.append((start + at, numbers[:k]))
            numbers = numbers[k:]
            at += dice.random() * min(4, duration_s / 10)
        one.left = len(one.bodies)
    return out


class Senders:
    """Posts what is due, as Alertmanager would: until it is taken, at one monitor after the other. Only then it is ACKED."""

    def __init__(self, world, acked_path, threads=6, pause_s=1.0):
        """pause_s: the longest between two tries."""
        self.world, self.ready, self.pause_s = world, threading.Condition(), pause_s
        self.acked, self.queue, self.serial = open(acked_path, "a", buffering=1), [], 0
        self.posted, self.retries, self.refused, self.busy = 0, 0, [], 0
        for i in range(threads):
            threading.Thread(target=self.work, args=(i,), daemon=True).start()

    def put(self, due, one, numbers, status="firing", only=None, done=None):
        """only: the one monitor that it goes to. done: called once it is acknowledged."""
        with self.ready:
            self.serial += 1
            first, one.posts = one.posts + 1, one.posts + len(numbers)
            heapq.heappush(self.queue, (due, self.serial, one, numbers, status, first, only, done))
            self.ready.notify()

    def take(self):
        with self.ready:
            while not self.queue or self.queue[0][0] > time.monotonic():
                self.ready.wait(max(0.001, self.queue[0][0] - time.monotonic()) if self.queue else 1)
            self.busy += 1
            return heapq.heappop(self.queue)

    def idle(self):
        with self.ready:
            return not self.queue and not self.busy

    def work(self, i):
        line = {}
        while not self.world.closed:
            _, serial, one, numbers, status, first, only, done = self.take()
            body = one.body(numbers, status, first)
            answer, turn = 0, 0
            while not self.world.closed:
                part = only or self.world.monitors[(serial + turn) % len(self.world.monitors)]
                answer = self.post(line, part, body)
                if answer // 100 == 2:
                    break
                if answer not in (0, 429, 500, 502, 503, 504):
                    self.refused.append((answer, body[:200]))
                    break
                self.retries += 1
                turn += 1
                time.sleep(min(self.pause_s, 0.05 * 2 ** min(turn, 5)))
            at = boot_s()
            with self.ready:
                for k, n in enumerate(numbers if answer // 100 == 2 else []):
                    self.acked.write("%s %s %.6f %d %s\n" % (
                        one.event(n), one.expect if n == 0 else "any", at, first + k, status))
                self.posted += len(numbers)
                self.busy -= 1
                one.left -= status == "firing"
            if done:
                done()

    def post(self, line, part, body):
        """The status; 0 when there was no answer. line: this thread's open connections."""
        try:
            c = line.get(part)
            if not c:
                c = line[part] = http.client.HTTPConnection("127.0.0.1", self.world.ports[part], timeout=10)
            c.request("POST", "/webhook/alertmanager", body, {"Content-Type": "application/json"})
            r = c.getresponse()
            r.read()
            return r.status
        except (OSError, http.client.HTTPException):
            c = line.pop(part, None)
            if c:
                c.close()
            return 0


class Robot(threading.Thread):
    """Answers what it is asked. What it is about to press is written down first."""

    def __init__(self, world, incidents, approved_path):
        super().__init__(daemon=True)
        self.world, self.klass = world, {i.run: i.klass for i in incidents}
        self.out, self.pressed = open(approved_path, "a", buffering=1), {}
        self.dice = random.Random(1)
        for one in incidents:
            if one.klass in ASKED:
                for attempt in (1, 2):
                    self.out.write("%s/%d - 0 ask\n" % (one.run, attempt))

    def run(self):
        while not self.world.closed:
            status, answer = self.world.api("GET", "/api/approvals", timeout_s=5)
            for question in answer.get("approvals", []) if status == 200 else []:
                self.answer(question["id"], question["plan_id"])
            time.sleep(0.2)

    def answer(self, approval, plan):
        if self.pressed.get(approval) == "over":
            return
        if approval not in self.pressed:
            status, shown = self.world.api("GET", "/api/plans/" + plan, timeout_s=5)
            if status != 200:
                return
            params = shown["plan"]["steps"][0]["params"]
            verdict = {"approve": "approve", "deny": "deny"}.get(self.klass[params["run"]])
            if not verdict:
                self.pressed[approval] = "over"
                return
            self.out.write("%s/%d %s %.6f %s\n" % (params["run"], params["attempt"], shown["digest"], boot_s(), verdict))
            self.pressed[approval] = verdict
        for _ in range(2 if self.dice.random() < 0.1 else 1):  # some people press twice
            status, _ = self.world.api("POST", "/api/decisions", {
                "approval": approval, "verdict": self.pressed[approval], "by": "robot"}, timeout_s=10)
        if status in (200, 409):
            self.pressed[approval] = "over"
