#!/usr/bin/env python3
"""The executor against a real nats-server and a real runit service: policy, approvals, forgeries,
claims under kill -9, pause, rollback, undo, dry run. An independent ledger (files made by the
action itself) says what ran. TAP."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request

from lib import done, free_port, now_ms, ok, wait_for

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


# ---- what must not run, and what the story says ----

def test_policy(w):
    cases = [
        ("unknown-tool", step("reboot", "auto"), "refused", "no tool reboot"),
        ("forbidden-tool", step("never", "auto"), "refused", "never is forbidden"),
        ("unknown-target", step("ledger", "cellar", run="unknown-target"), "refused",
         "no target cellar"),
        ("bad-param", step("ledger", "auto", run="../../etc/x"), "refused",
         "parameter run: does not match its pattern"),
        ("rm-rf", step("ledger", "auto", run="web; rm -rf /"), "refused",
         "parameter run: does not match its pattern"),
        ("extra-param", step("ledger", "auto", run="x", force="yes"), "refused", "force: unknown"),
        ("not-allowed", step("ledger", "narrow", run="not-allowed"), "refused",
         "ledger is not allowed on narrow"),
        ("observed", step("ledger", "watched", run="observed"), "observed", "autonomy is observe"),
        ("rehearsed", step("ledger", "rehearsed", run="rehearsed"), "observed",
         "autonomy is dry-run"),
    ]
    for incident, s, _, _ in cases:
        send_plan(w, plan(incident, [s], labels={"service": "; rm -rf /"}))
    send_plan(w, plan("late", [step("ledger", "auto", run="late")], not_after_ms=now_ms() - 1000))
    cases.append(("late", None, "expired", "not_after"))
    for incident, _, verdict, reason in cases:
        o = outcome(w, incident)
        ok(o.get("verdict") == verdict and reason in o.get("reason", ""),
           "%s: %s (%s)" % (incident, verdict, reason), o)
    ok(os.listdir(w.ledger) == [], "nothing of it ran", os.listdir(w.ledger))
    steps = w.of_kind("rehearsed", "step")
    ok(steps and steps[0]["state"] == "rehearsed" and "/usr/bin/mktemp" in steps[0]["rendered"],
       "the dry run says exactly what it would have done", steps)


def test_approved(w):
    p = plan("approved", [step("ledger", "asked", run="approved")])
    seq, digest = send_plan(w, p)
    a = approval(w, "approved")
    ok(a.get("plan_digest") == digest and a.get("plan_seq") == seq and
       "/usr/bin/mktemp" in a["rendered"][0] and a["level"] == "soft",
       "a changing step is asked for, with its exact command", a)
    ok(w.ran("approved") == [], "and has not run")
    decide(w, p, seq, digest, "approve")
    o = outcome(w, "approved")
    ok(o.get("verdict") == "healed" and len(w.ran("approved")) == 1, "approved, it ran once", o)
    ok(o.get("decision", {}).get("by") == "kim", "the outcome names who allowed it", o)
    decide(w, p, seq, digest, "approve", n=2)
    s = refused_step(w, "approved")
    ok("first decision stands" in s.get("reason", ""), "a second decision is refused, and said so", s)
    ok(len(w.ran("approved")) == 1, "and runs nothing more", w.ran("approved"))
    ok(len(w.of_kind("approved", "outcome")) == 1, "there is one outcome")


def test_denied(w):
    p = plan("denied", [step("ledger", "asked", run="denied")])
    seq, digest = send_plan(w, p)
    approval(w, "denied")
    decide(w, p, seq, digest, "deny", reason="not on a Friday")
    o = outcome(w, "denied")
    ok(o.get("verdict") == "denied" and "kim" in o["reason"] and "Friday" in o["reason"],
       "denied: the story says by whom and why", o)
    decide(w, p, seq, digest, "approve", n=2)
    ok(refused_step(w, "denied") and w.ran("denied") == [], "a later yes does not bring it back")


def test_silence(w):
    p = plan("silence", [step("ledger", "asked", run="silence")])
    seq, digest = send_plan(w, p)
    a = approval(w, "silence")
    ok(a["level"] == "soft" and 300000 < a["deadline_ms"] - now_ms() <= 3600000,
       "the question has a deadline: what can be undone waits longer than five minutes", a)
    decide(w, p, seq, digest, "expired", sign=False, by="deadline")
    o = outcome(w, "silence")
    ok(o.get("verdict") == "denied" and "nobody answered" in o["reason"] and not w.ran("silence"),
       "silence until the deadline is a no", o)


def test_forged(w):
    cases = [
        ("unsigned", {"sign": False}, "signature"),
        ("forged", {"sign": "forged"}, "signature"),
        ("too-late", {"at_ms": now_ms(), "deadline_ms": now_ms() - 1000}, "after its deadline"),
        ("no-plan", {"seq": 999999}, "not on the bus"),
    ]
    for name, how, why in cases:
        p = plan(name, [step("ledger", "asked", run=name)])
        seq, digest = send_plan(w, p)
        approval(w, name)
        seq = how.pop("seq", seq)
        decide(w, p, seq, digest, "approve", **how)
        s = refused_step(w, name)
        ok(why in s.get("reason", "") and not w.ran(name), "%s approval: refused (%s)" % (name, why), s)
    # One byte of the plan changed after it was approved: other bytes, other plan.
    p = plan("changed", [step("ledger", "asked", run="changed")])
    seq, digest = send_plan(w, p)
    approval(w, "changed")
    changed = plan("changed", [step("ledger", "asked", run="changeD")])
    seq2 = w.send("plan", "changed", changed, "plan-changed-2")
    decide(w, p, seq2, digest, "approve")
    s = refused_step(w, "changed")
    ok("bytes are not the ones" in s.get("reason", "") and not w.ran("changed") and
       not w.ran("changeD"), "one byte changed after the approval: refused", s)


def test_rehearsal(w):
    p = plan("rehearsal", [step("ledger", "asked", run="rehearsal")])
    seq, digest = send_plan(w, p)
    decide(w, p, seq, digest, "rehearse")
    s = wait_for("rehearsal", lambda: [x for x in w.of_kind("rehearsal", "step")
                                       if x["state"] == "rehearsed"])
    ok(s and not w.ran("rehearsal") and not w.of_kind("rehearsal", "outcome"),
       "a human's dry run reports and ends nothing", s)


# ---- running ----

def test_runit(w):
    service = os.path.join(w.dir, "service")
    port = free_port()
    os.mkdir(service)
    run = os.path.join(service, "run")
    with open(run, "w") as f:
        f.write("#!/bin/sh\nexec python3 -m http.server --bind 127.0.0.1 %d\n" % port)
    os.chmod(run, 0o755)
    runsv = w.spawn(["runsv", service], subprocess.DEVNULL)
    wait_for("runsv", lambda: os.path.exists(os.path.join(service, "supervise/status")))
    subprocess.run(["sv", "-w", "10", "stop", service], stdout=subprocess.DEVNULL)
    p = plan("web-down", [step("service_restart", "web")])
    p["verify"] = {"tool": "tcp_probe", "target": "web", "deadline_ms": 15000, "interval_ms": 200,
                   "params": {"host": "127.0.0.1", "port": port}}
    send_plan(w, p)
    o = outcome(w, "web-down")
    states = [(s["phase"], s["state"]) for s in w.of_kind("web-down", "step")]
    ok(o.get("verdict") == "healed", "a stopped runit service is restarted inside the sandbox", o)
    ok(("act", "started") in states and ("act", "done") in states and ("verify", "done") in states,
       "each step was reported while it ran", states)
    ok("run:" in subprocess.run(["sv", "status", service], capture_output=True, text=True).stdout,
       "and it runs")
    ok(o.get("changes", [{}])[0].get("tool") == "service_restart", "the change is in the log", o)
    runsv.terminate()
    runsv.wait()


def test_rollback(w):
    p = plan("undone", [step("ledger", "auto", run="undone-1"), step("ledger", "auto", run="undone-2"),
                        step("fails", "auto")], rollback_on_failure=True)
    send_plan(w, p)
    o = outcome(w, "undone")
    ok(o.get("verdict") == "rolled_back" and "step 3" in o["reason"], "a failed plan is rolled back", o)
    undone = [s["rendered"] for s in o["steps"] if s["phase"] == "rollback"]
    ok(len(undone) == 2 and "undone-2" in undone[0] and "undone-1" in undone[1],
       "last step first", undone)
    ok(all(c.get("undone_by") for c in o["changes"]), "and the changes say so", o["changes"])


def test_undo(w):
    p = plan("done", [step("ledger", "auto", run="done")])
    send_plan(w, p)
    o = outcome(w, "done")
    undo = o["changes"][0]["undo"]
    ok(undo == {"tool": "unledger", "target": "auto", "params": {"run": "done"},
                "timeout_ms": undo.get("timeout_ms")}, "a change says how to take it back", undo)
    u = plan("done", [dict(tool=undo["tool"], target=undo["target"], params=undo["params"])],
             provenance="undo", undoes=o["changes"][0]["id"], requested_by="kim")
    u["id"] = "plan-undo"
    w.send("plan", "done", u, u["id"])
    wait_for("undo", lambda: len(w.of_kind("done", "outcome")) == 2)
    ok(len(w.ran("undo-done")) == 1, "and taking it back is a plan like any other")


def test_pause(w):
    w.send("control", "pause", {"id": "pause-1", "kind": "pause", "by": "kim", "at_ms": now_ms()},
           "pause-1")
    send_plan(w, plan("paused", [step("ledger", "auto", run="paused")]))
    s = wait_for("waiting", lambda: [x for x in w.of_kind("paused", "step")
                                     if x["state"] == "waiting"])
    ok(s and "paused by kim" in s[0]["reason"], "paused: the step waits and says why", s)
    ok(not w.ran("paused"), "and nothing starts")
    w.send("control", "pause", {"id": "resume-1", "kind": "resume", "by": "kim", "at_ms": now_ms()},
           "resume-1")
    o = outcome(w, "paused", 30)
    waiting = [x for x in w.of_kind("paused", "step") if x["state"] == "waiting"]
    ok(o.get("verdict") == "healed" and len(w.ran("paused")) == 1, "resumed: it runs, once", o)
    ok(len(waiting) == 1, "the reason was said once", waiting)


def test_kill(w, first):
    """Two executors; the one that acts is killed in the act."""
    second = Executor(w, "second")
    p = plan("killed", [step("slow", "spare")])
    send_plan(w, p)
    wait_for("the act", lambda: w.ran("slow"), 20)
    report = [s for s in w.of_kind("killed", "step") if s["state"] == "started"][0]
    actor = first if report["executor"].endswith(str(first.p.pid)) else second
    actor.kill()
    gone = wait_for("the action's processes", lambda: subprocess.run(
        ["pgrep", "-f", "sleep " + NAP], capture_output=True).returncode != 0, 10)
    ok(gone, "killed in the act: the action dies with its executor")
    o = outcome(w, "killed", 90)
    ok(o.get("verdict") == "unknown" and "nobody knows" in o.get("reason", ""),
       "the other says that nobody knows how it ended", o)
    ok(len(w.ran("slow")) == 1, "and did not run it again", w.ran("slow"))
    actor.start()
    p = plan("after-kill", [step("ledger", "spare", run="after-kill")])
    send_plan(w, p)
    ok(outcome(w, "after-kill", 60).get("verdict") == "healed", "work goes on after a restart")
    second.kill(signal.SIGTERM)


def test_kill_settled(w, first):
    """The killed step's own check says that it had worked after all."""
    s = step("slow", "spare")
    open(os.path.join(w.ledger, "flag"), "w").close()
    for f in w.ran("slow"):
        os.unlink(os.path.join(w.ledger, f))
    s["verify"] = {"tool": "has", "target": "spare", "params": {"name": "flag"}, "deadline_ms": 1000,
                   "interval_ms": 200}
    send_plan(w, plan("settled", [s]))
    wait_for("the act", lambda: w.ran("slow"), 20)
    first.kill()
    first.start()
    o = outcome(w, "settled", 90)
    ok(o.get("verdict") == "healed" and "its check holds" in o.get("reason", ""),
       "an interrupted step whose check holds is settled as done", o)
    ok(len(w.ran("slow")) == 1, "without running again", w.ran("slow"))


def test_end(w, first):
    st = first.status()
    ok(st["sandbox"] == "full" and st["audit_intact"] and st["audit_records"] > 50,
       "the status tells sandbox and audit chain", st)
    catalogue = w.of_kind("catalogue", "control")
    ok(catalogue and len(catalogue[-1]["tools"]) > 20, "the catalogue is on the bus")
    first.kill(signal.SIGTERM)
    r = subprocess.run([EXECUTOR, "audit", os.path.join(first.state, "journal")],
                       capture_output=True, text=True)
    what = [json.loads(line)["what"] for line in r.stdout.splitlines()]
    ok(r.returncode == 0 and {"intent", "end", "refused", "denied", "asked"} <= set(what),
       "the audit command prints the chain, denials included", r.stderr + str(what))


def main():
    if not shutil.which("nats-server") or not shutil.which("runsv") or not os.path.exists(BUSCTL):
        print("1..0 # skip no nats-server, runit or busctl")
        return
    if os.geteuid() != 0:
        print("1..0 # skip needs root, as runit's pipes do")
        return
    w = World()
    try:
        first = Executor(w, "first")
        test_policy(w)
        test_approved(w)
        test_denied(w)
        test_silence(w)
        test_forged(w)
        test_rehearsal(w)
        test_runit(w)
        test_rollback(w)
        test_undo(w)
        test_pause(w)
        test_kill(w, first)
        test_kill_settled(w, first)
        test_end(w, first)
    except Exception as e:
        import traceback
        ok(False, "the test itself", traceback.format_exc())
        for name in os.listdir(w.dir):
            if name.endswith(".log") and name != "server.log":
                with open(os.path.join(w.dir, name)) as f:
                    for line in f.readlines()[-15:]:
                        print("#", name, line.rstrip()[:300])
    finally:
        for p in children:
            if p.poll() is None:
                p.kill()
                p.wait()
        shutil.rmtree(w.dir, ignore_errors=True)
    sys.exit(done())


if __name__ == "__main__":
    main()
