"""What the cases of the fault list share: the table's rows, a world with a ledger and a log of what
was acknowledged, and ways to look at processes from outside."""
import collections
import json
import os
import shutil
import signal
import subprocess
import threading
import time

from natsadmin import Admin
from tcpproxy import Proxy
from world import BUILD, World, alert, missing, wait_for, webhook

Case = collections.namedtuple("Case", "row name holds function slow")
SHOWN_MAX = 5  # of many that are not as they should be; each is looked up on the bus
STAGES = ("monitor-0", "reasoner", "executor-0", "notifier")


def case(cases, row, name, holds, slow=False):
    """Decorates a function of one Kit and puts it into the table."""
    def add(function):
        cases.append(Case(row, name, holds, function, slow))
        return function
    return add


# For cases that send more alerts than an executor takes up for one target in an hour (500).
HOURLY = tuple("web-%d" % i for i in range(10))


class NotHere(Exception):
    """The fault cannot be made on this machine, or its subject is not in this build."""


class Kit:
    """One case's run. check() notes what does not hold; the case goes on."""

    def __init__(self, of, quick, keep):
        self.case, self.quick, self.keep = of, quick, keep
        self.broken, self.remark, self.lines = [], "", []
        self.worlds, self.cleanups = [], []
        why = missing()
        if why:
            raise NotHere(why)

    def check(self, holds, text, detail=""):
        if not holds:
            self.broken.append(text)
            self.lines += ["  " + line for line in str(detail)[:2000].splitlines()]
        return holds

    def until(self, text, probe, timeout_s=30):
        """The condition comes true in time, or that is what does not hold."""
        return self.check(wait_for(text, probe, timeout_s), text)

    def need(self, condition, why):
        if not condition:
            raise NotHere(why)

    def need_program(self, name):
        self.need(shutil.which(name), name + " is missing")

    def note(self, text):
        self.remark = text

    def world(self, start=True, **options):
        w = Lab(self, **options)
        self.worlds.append(w)
        if start:
            w.start_all()
        return w

    def keep_logs(self):
        for w in self.worlds:
            for part in w.stages:
                self.lines += ["%s: %s" % (part, line[:300]) for line in w.tail(part, 6).splitlines()]

    def close(self):
        for w in self.worlds:
            w.close()
        for f in reversed(self.cleanups):
            f()
        for w in self.worlds:  # what was mounted in it is gone only now
            if not self.keep:
                shutil.rmtree(w.dir, ignore_errors=True)


class Lab(World):
    """A World whose alerts are remembered once acknowledged, and looked for in the ledger."""

    def __init__(self, kit, targets=("web",), **options):
        super().__init__(keep=kit.keep, targets=(*targets, "probe"), **options)
        self.work = list(targets)  # the probe's target is never busy
        self.kit = kit
        self.acked = set()
        self.proxies = {}
        self.runs = 0
        self.locked = threading.Lock()

    def close(self):
        for p in self.proxies.values():
            p.close()
        super().close()

    # ---- what goes in ----

    def post(self, run, status="firing", timeout_s=10, **labels):
        """Sends the alert that asks for RUN; the HTTP status, 0 without an answer."""
        labels = dict({"service": self.work[0], "run": run}, **labels)
        got = self.http("monitor-0", "POST", "/webhook/alertmanager",
                        webhook(alert("Fault" + run, status, **labels), status=status),
                        timeout_s=timeout_s)[0]
        if got == 202 and status == "firing":
            with self.locked:
                self.acked.add(run)
        return got

    def new_run(self, prefix="r"):
        with self.locked:
            self.runs += 1
            return "%s%d" % (prefix, self.runs)

    def send(self, count, prefix="r", timeout_s=30, **labels):
        """Posts until `count` new runs were acknowledged."""
        runs = []
        end = time.monotonic() + timeout_s
        while len(runs) < count and time.monotonic() < end:
            run = self.new_run(prefix)
            target = self.work[len(runs) % len(self.work)]
            if self.post(run, **dict({"service": target}, **labels)) == 202:
                runs.append(run)
            else:
                time.sleep(0.05)
        self.kit.check(len(runs) == count, "%d alerts were taken in %d s" % (count, timeout_s))
        return runs

    def probe(self, timeout_s=20, what="a new alert is answered"):
        """Does it work? Seconds from the first try to the end of the act."""
        began = time.monotonic()
        run = self.new_run("probe")
        self.kit.until(what, lambda: self.post(run, service="probe") == 202, timeout_s)
        self.kit.until(what, lambda: self.ended(run), timeout_s)
        return time.monotonic() - began

    # ---- what came of it ----

    def entries(self):
        """[(S or E, "RUN/ATTEMPT", boot time in s)] in order."""
        with open(self.ledger) as f:
            lines = [line.split() for line in f]
        return [(x[0], x[1], float(x[2])) for x in lines if len(x) > 2]

    def count(self, what, run):
        return sum(1 for k, r, _ in self.entries() if k == what and run in (r, r.split("/")[0]))

    def started(self, run):
        return self.count("S", run)

    def ended(self, run):
        return self.count("E", run)

    def all_ended(self, runs):
        done = {r.split("/")[0] for k, r, _ in self.entries() if k == "E"}
        return set(runs) <= done

    def doubles(self):
        starts = collections.Counter(r for k, r, _ in self.entries() if k == "S")
        return [r for r, n in starts.items() if n > 1]

    def admin(self):
        """A connection that may do everything."""
        with open(self.path("secret/judge")) as f:
            return Admin(self.ports["nats"], "judge", f.read())

    def messages(self, stream, pattern=">"):
        """The messages of a stream as JSON, read by the administrator."""
        return self.dump(stream, pattern)

    def outcomes(self):
        """{run: [verdicts]}, as the bus tells them."""
        plans = {m["message"]["id"]: m["message"] for m in self.messages("STORY", "heal.plan.>")}
        found = collections.defaultdict(list)
        for m in self.messages("STORY", "heal.outcome.>"):
            plan = plans.get(m["message"].get("plan_id"), {})
            run = (plan.get("labels") or {}).get("run", "?")
            found[run].append(m["message"]["verdict"])
        return found

    def settled(self, runs, timeout_s=60, text="every acknowledged alert has an outcome"):
        def waiting():
            told = self.outcomes()
            return sorted(r for r in runs if not told.get(r))

        if not wait_for(text, lambda: not waiting(), timeout_s):
            left = waiting()
            self.kit.check(not left, text, "%d wait: %s" % (len(left), {r: self.trace(r) for r in left[:SHOWN_MAX]}))

    def trace(self, run):
        """How far its alert has come: the last message about it on STORY, or that there is none."""
        told = [m for m in self.messages("STORY") if run in (
            (m["message"].get("labels") or {}).get("run"), m["message"].get("incident"))]
        of = {m["message"]["id"] for m in told if ".incident." in m["subject"]}
        told += [m for m in self.messages("STORY") if m["message"].get("incident") in of]
        return "%s %s" % (told[-1]["subject"], told[-1]["message"].get("reason")) if told else "not on STORY"

    def judge(self, runs=None, timeout_s=90, acts=True):
        """Nothing lost, nothing twice, nothing called done that was not."""
        runs = set(self.acked if runs is None else runs)
        self.settled(runs, timeout_s)
        outcomes = self.outcomes()
        self.kit.check(not self.doubles(), "no act started twice", self.doubles())
        done = {r.split("/")[0] for kind, r, _ in self.entries() if kind == "E"}
        lied = [r for r, v in outcomes.items() if "healed" in v and r not in done]
        self.kit.check(not lied, "what is called healed was done", lied)
        if acts:
            begun = {r.split("/")[0] for kind, r, _ in self.entries() if kind == "S"}
            idle = [r for r in runs if r not in begun and "unknown" not in outcomes[r]]
            self.kit.check(not idle, "each was acted upon", {r: outcomes[r] for r in idle})
        many = [r for r, v in outcomes.items() if len(v) > 2 or v.count("healed") > 1]
        self.kit.check(not many, "one outcome each", {r: outcomes[r] for r in many})

    def pack(self, kind, message):
        """The bytes of a message."""
        env = dict(os.environ, HEALBUS_BUS_URL=self.urls(), HEALBUS_BUS_USER="judge", HEALBUS_BUS_PASSWORD_FILE=self.path("secret/judge"))
        return subprocess.run([os.path.join(BUILD, "tests/integration/busctl"), "pack", kind, "-"], env=env,
                              input=json.dumps(message).encode(), check=True, capture_output=True).stdout

    # ---- the network ----

    def through_proxies(self, *parts):
        for part in parts or self.stages:
            self.proxies[part] = Proxy(self.ports["nats"])
            self.bus_port[part] = self.proxies[part].port

    def network(self, mode):
        for p in self.proxies.values():
            p.mode = mode

    # ---- processes ----

    def pid(self, part):
        return self.process[part].pid

    def reasons(self, part):
        """What /readyz says."""
        return self.http(part, "GET", "/readyz", timeout_s=3)[1]

    def log(self, part):
        with open(self.path("log", part), errors="replace") as f:
            return f.read()

    def under_strace(self, part, *rules):
        """Lets the kernel fail or kill calls of a running part; returns the strace process."""
        argv = ["strace", "-qq", "-f", "-o", "/dev/null", "-p", str(self.pid(part))]
        for rule in rules:
            argv += ["-e", "trace=" + rule.split(":")[0], "-e", "inject=" + rule]
        p = self.spawn(argv, "strace-" + part)
        self.kit.until("strace holds " + part, lambda: tracer(self.pid(part)) or p.poll() is not None)
        return p

    def reload(self, part):
        self.write_config(part)
        self.process[part].send_signal(signal.SIGHUP)


def status_field(pid, name):
    try:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith(name + ":"):
                    return line.split()[1]
    except OSError:
        pass
    return ""


def tracer(pid):
    return status_field(pid, "TracerPid") not in ("", "0")


def rss_mib(pid):
    return int(status_field(pid, "VmRSS") or 0) / 1024


def peak_mib(pid):
    return int(status_field(pid, "VmHWM") or 0) / 1024


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def exit_of(w, part, timeout_s=20):
    """Waits until it ends by itself; its exit code, None when it does not."""
    try:
        return w.process[part].wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None


def restart_dead(w, *parts):
    for part in parts:
        if not w.alive(part):
            w.start(part)
    for part in parts:
        w.wait_ready(part)


def in_parallel(functions):
    """Runs them at once; their results in order."""
    results = [None] * len(functions)

    def go(i):
        results[i] = functions[i]()

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


class Load(threading.Thread):
    """Posts alerts at a steady pace until stopped."""

    def __init__(self, w, pause_s=0.05, **labels):
        super().__init__(daemon=True)
        self.w, self.pause_s, self.labels = w, pause_s, labels
        self.stopped = threading.Event()
        self.answers = collections.Counter()
        self.start()

    def run(self):
        n = 0
        while not self.stopped.wait(self.pause_s):
            target = self.w.work[n % len(self.w.work)]
            status = self.w.post(self.w.new_run("load"), timeout_s=3,
                                 **dict({"service": target}, **self.labels))
            self.answers[status] += 1
            n += 1

    def stop(self):
        self.stopped.set()
        self.join()


class SmallDisk:
    """A tmpfs of few bytes at a directory, that can be filled and emptied."""

    def __init__(self, kit, path, size):
        os.makedirs(path, exist_ok=True)
        r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d,mode=700" % size, "healbus-fault",
                            path], capture_output=True)
        kit.need(r.returncode == 0, "no tmpfs can be mounted")
        self.path, self.filler = path, os.path.join(path, "filler")
        kit.cleanups.append(lambda: subprocess.run(["umount", "-l", path], capture_output=True))

    def fill(self):
        with open(self.filler, "ab", buffering=0) as f:
            for size in (1 << 16, 512):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError:
                    pass

    def empty(self):
        os.unlink(self.filler)


__all__ = ["BUILD", "HOURLY", "Kit", "Lab", "Load", "NotHere", "STAGES", "SmallDisk", "alert", "case", "cpu_seconds",
           "descriptors", "exit_of", "in_parallel", "peak_mib", "restart_dead", "rss_mib", "wait_for", "webhook"]
