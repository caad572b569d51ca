"""A bus, an executor, and what is said to it: for the tests of the executor and of what it works with."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import urllib.request

from lib import free_port, now_ms, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
EXECUTOR = os.path.join(BUILD, "healbus-executor")
children = []
NAP = "30.%07d" % os.getpid()  # no other sleep on this machine lasts so long


TOOLS = {
    "ledger": """
name: ledger
summary: Makes one file for each time it runs
level: soft
params: {run: {type: string}}
argv: [/usr/bin/mktemp, "{{ .target.ledger }}/{{ .params.run }}.XXXXXXXX"]
sandbox: {user: root, writable: ["{{ .target.ledger }}"]}
rollback: {tool: unledger, params: {run: "{{ .params.run }}"}}
""",
    "unledger": """
name: unledger
summary: Makes another file
level: soft
params: {run: {type: string}}
argv: [/usr/bin/mktemp, "{{ .target.ledger }}/undo-{{ .params.run }}.XXXXXXXX"]
sandbox: {user: root, writable: ["{{ .target.ledger }}"]}
""",
    "slow": """
name: slow
summary: Makes a file and takes its time
level: soft
timeout: 60s
argv: [/usr/bin/sh, -c, 'mktemp "$LEDGER/slow.XXXXXXXX"; exec sleep NAP']
env: {LEDGER: "{{ .target.ledger }}"}
sandbox: {user: root, writable: ["{{ .target.ledger }}"]}
""",
    "has": """
name: has
summary: Is there a file of this name?
level: none
params: {name: {type: string}}
argv: [/usr/bin/test, -e, "{{ .target.ledger }}/{{ .params.name }}"]
sandbox: {user: root, readonly: ["{{ .target.ledger }}"]}
""",
    "fails": """
name: fails
summary: Always ends with 1
level: soft
argv: [/usr/bin/false]
""",
    "never": """
name: never
summary: Nobody may run this
level: forbidden
argv: [/usr/bin/true]
""",
}


class World:
    """One nats-server, one directory."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="healbus-executor-")
        self.port = free_port()
        self.env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % self.port)
        self.ledger = os.path.join(self.dir, "ledger")
        self.tools = os.path.join(self.dir, "tools")
        os.mkdir(self.ledger)
        shutil.copytree(os.path.join(ROOT, "executor/tools"), self.tools)
        for name, text in TOOLS.items():
            with open(os.path.join(self.tools, name + ".yaml"), "w") as f:
                f.write(text.lstrip().replace("NAP", NAP))
        log = open(os.path.join(self.dir, "server.log"), "w")
        self.spawn(["nats-server", "-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd",
                    os.path.join(self.dir, "js")], log)
        wait_for("nats-server", lambda: subprocess.run(
            [BUSCTL, "up", "1"], env=self.env, stderr=subprocess.DEVNULL).returncode == 0)
        subprocess.run([BUSCTL, "provision"], env=self.env, stderr=subprocess.DEVNULL)
        self.key = os.path.join(self.dir, "key.pem")
        self.pub = os.path.join(self.dir, "key.pub")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key], check=True,
                       stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "pkey", "-in", self.key, "-pubout", "-out", self.pub], check=True)
        der = subprocess.run(["openssl", "pkey", "-pubin", "-in", self.pub, "-outform", "DER"],
                             check=True, capture_output=True).stdout
        self.key_id = hashlib.sha256(der[-32:]).hexdigest()[:16]

    def spawn(self, argv, log):
        p = subprocess.Popen(argv, stdout=log, stderr=log, env=self.env)
        children.append(p)
        return p

    def busctl(self, *args, data=None):
        r = subprocess.run([BUSCTL, *args], env=self.env, input=data, capture_output=True)
        if r.returncode:
            raise RuntimeError("busctl %s: %s" % (args, r.stderr.decode()))
        return r.stdout

    def send(self, kind, token, message, msg_id):
        return int(self.busctl("send", kind, token, "-", msg_id, data=json.dumps(message).encode()))

    def pack(self, kind, message):
        return self.busctl("pack", kind, "-", data=json.dumps(message).encode())

    def story(self, incident):
        out = self.busctl("dump", "STORY", "heal.*." + incident).decode()
        return [json.loads(line) for line in out.splitlines()]

    def of_kind(self, incident, kind):
        return [m["message"] for m in self.story(incident)
                if m["subject"].split(".")[1] == kind]

    def ran(self, run):
        return [f for f in os.listdir(self.ledger) if f.startswith(run + ".")]


class Executor:
    def __init__(self, world, name, extra=""):
        self.world = world
        self.conf = os.path.join(world.dir, "conf-" + name)
        self.http = free_port()
        self.log = os.path.join(world.dir, name + ".log")
        self.state = os.path.join(world.dir, "state-" + name)
        os.makedirs(self.conf, exist_ok=True)
        self.configure(extra)
        self.start()

    def configure(self, extra):
        w = self.world
        with open(os.path.join(self.conf, "bus.yaml"), "w") as f:
            f.write("url: nats://127.0.0.1:%d\n" % w.port)
        with open(os.path.join(self.conf, "executor.yaml"), "w") as f:
            f.write("""
state_dir: %s
http: {listen: "127.0.0.1:%d"}
tools_dir: %s
decision_key_file: %s
rate: {cooldown: 0s, target_per_hour: 100, global_per_hour: 500}
%s
targets:
  - {id: asked, tools: ["*"], attributes: {ledger: %s}}
  - {id: auto, tools: ["*"], attributes: {ledger: %s}}
  - {id: spare, tools: ["*"], attributes: {ledger: %s}}
  - {id: watched, tools: ["*"], attributes: {ledger: %s}}
  - {id: rehearsed, tools: ["*"], attributes: {ledger: %s}}
  - {id: narrow, tools: ["service_*"], manager: runit, attributes: {service_dir: /nowhere}}
  - {id: web, kind: service, tools: ["service_*", tcp_probe], manager: runit,
     hosts: ["127.0.0.1"], attributes: {service_dir: %s/service}}
rules:
  - {match: ['target=~"auto|spare|web"'], autonomy: auto}
  - {match: ['target="watched"'], autonomy: observe}
  - {match: ['target="rehearsed"'], autonomy: dry-run}
""" % (self.state, self.http, w.tools, w.pub, extra, w.ledger, w.ledger, w.ledger, w.ledger,
                w.ledger, w.dir))

    def start(self):
        self.p = self.world.spawn([EXECUTOR, "-c", self.conf], open(self.log, "a"))
        wait_for("executor " + self.conf, self.ready)

    def ready(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % self.http, timeout=1) as r:
                return r.status == 200
        except OSError:
            return False

    def status(self):
        with urllib.request.urlopen("http://127.0.0.1:%d/v1/executor" % self.http) as r:
            return json.load(r)

    def kill(self, sig=signal.SIGKILL):
        self.p.send_signal(sig)
        self.p.wait()

    def tail(self):
        with open(self.log) as f:
            return "".join(f.readlines()[-15:])


def plan(incident, steps, **more):
    p = {"id": "plan-" + incident, "incident": incident, "incident_key": "key-" + incident,
         "attempt": 1, "max_attempts": 3, "provenance": "runbook", "runbook": "test", "why": "a test",
         "confidence": 1.0, "steps": steps, "created_at_ms": now_ms(),
         "not_after_ms": now_ms() + 3600000, "trusted": True, "severity": "critical"}
    p.update(more)
    return p


def step(tool, target, **params):
    s = {"tool": tool, "target": target}
    if params:
        s["params"] = params
    return s


def send_plan(w, p):
    """Publishes and returns (seq, digest in hex)."""
    seq = w.send("plan", p["incident"], p, p["id"])
    return seq, hashlib.sha256(w.pack("plan", p)).hexdigest()


def decide(w, p, seq, digest, verdict, sign=True, n=1, **more):
    d = {"id": "decision-%s-%d" % (p["incident"], n), "incident": p["incident"], "plan_id": p["id"],
         "plan_digest": digest, "plan_seq": seq, "approval": "a", "verdict": verdict, "by": "kim",
         "channel": "test", "at_ms": now_ms(), "deadline_ms": now_ms() + 60000}
    d.update(more)
    if sign:
        d["key_id"] = w.key_id
        packed = os.path.join(w.dir, "packed")
        with open(packed, "wb") as f:
            f.write(w.pack("decision", d))
        r = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", w.key, "-rawin", "-in", packed],
                           check=True, capture_output=True)
        d["signature"] = r.stdout.hex()
        if sign == "forged":
            d["by"] = "somebody else"
    w.send("decision", p["incident"], d, d["id"])
    return d


def outcome(w, incident, timeout_s=20):
    found = wait_for("outcome of " + incident, lambda: w.of_kind(incident, "outcome"), timeout_s)
    return found[0] if found else {}


def approval(w, incident):
    found = wait_for("approval of " + incident, lambda: w.of_kind(incident, "approval"))
    return found[0] if found else {}


def refused_step(w, incident):
    found = wait_for("refusal in " + incident, lambda: [
        s for s in w.of_kind(incident, "step") if s.get("state") == "refused"])
    return found[0] if found else {}


def kill_all():
    """Ends what was started and still runs; a test's last act."""
    for p in children:
        if p.poll() is None:
            p.kill()
            p.wait()
