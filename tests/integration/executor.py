#!/usr/bin/env python3
"""The executor against a real nats-server and a real runit service: policy, approvals, forgeries,
claims under kill -9, pause, rollback, undo, dry run. An independent ledger (files made by the
action itself) says what ran. TAP."""
import json
import os
import shutil
import signal
import subprocess
import sys

from lib import done, free_port, now_ms, ok, wait_for
from lib_executor import (BUSCTL, EXECUTOR, Executor, NAP, World, approval, decide, kill_all, outcome, plan,
                          refused_step, send_plan, step)


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
    report = wait_for("its report", lambda: [s for s in w.of_kind("killed", "step") if s["state"] == "started"])[0]
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
        kill_all()
        shutil.rmtree(w.dir, ignore_errors=True)
    sys.exit(done())


if __name__ == "__main__":
    main()
