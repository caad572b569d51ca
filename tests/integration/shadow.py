#!/usr/bin/env python3
"""Shadow mode: what the notifier and healctl report of plans that were only observed. TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from lib import done, free_port, now_ms, ok, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
NOW = now_ms()
MINUTE = 60000


if not shutil.which("nats-server"):
    print("1..0 # skip no nats-server")
    sys.exit(0)

base = tempfile.mkdtemp(prefix="healbus-shadow-")
nats_port, port = free_port(), free_port()
env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % nats_port, HEALBUS_URL="http://127.0.0.1:%d" % port)
messages = []  # (time, kind, token, message)


def say(at, kind, token, message):
    messages.append((at, kind, token, message))


def incident(name, at, state="open", revision=1, **more):
    say(at, "incident", name, dict({"id": name, "key": "k-" + name, "state": state, "revision": revision, "title": "about " + name,
                                    "severity": "critical", "opened_at_ms": at, "set_by": "monitor"}, **more))


def plan(name, of, at, tool, target, **more):
    say(at, "plan", of, dict({"id": name, "incident": of, "attempt": 1, "runbook": "rb-" + tool, "created_at_ms": at,
                              "steps": [{"tool": tool, "target": target}]}, **more))


def outcome(of, name, at, verdict, **more):
    say(at, "outcome", of, dict({"id": "o-" + name, "incident": of, "plan_id": name, "plan_digest": "ab" * 32,
                                 "verdict": verdict}, **more))


def decision(of, name, at, verdict, by):
    say(at - 1, "approval", of, {"id": "a-" + name, "incident": of, "plan_id": name, "plan_digest": "ab" * 32,
                                 "deadline_ms": NOW + 3600000})
    say(at, "decision", of, {"id": "d-" + name, "incident": of, "plan_id": name, "plan_digest": "ab" * 32,
                             "approval": "a-" + name, "verdict": verdict, "by": by, "at_ms": at})


def observed(name, at, tool, target):
    incident(name, at)
    plan("p-" + name, name, at, tool, target)
    outcome(name, "p-" + name, at, "observed", reason="autonomy is observe")


def resolved(name, opened, at):
    incident(name, opened, "resolved", 2, resolved_at_ms=at, updated_at_ms=at)
    messages[-1] = (at,) + messages[-1][1:]


T = NOW - 120 * MINUTE
# Somebody let the same run, for another incident.
observed("same", T, "restart", "web")
incident("other", T)
plan("p-other", "other", T + 1, "restart", "web")
decision("other", "p-other", T + MINUTE, "approve", "ann")
outcome("other", "p-other", T + 2 * MINUTE, "healed")
# Somebody took it.
observed("taken", T, "restart", "mail")
say(T + MINUTE, "control", "taken", {"id": "c1", "kind": "ack", "incident": "taken", "by": "bob", "at_ms": T + MINUTE})
resolved("taken", T, T + 3 * MINUTE)
# Somebody refused the same.
observed("denied", T, "clean", "db")
incident("other2", T)
plan("p-other2", "other2", T + 1, "clean", "db")
decision("other2", "p-other2", T + MINUTE, "deny", "carl")
# The same was done and taken back.
observed("undone", T, "shrink", "log")
incident("other3", T)
plan("p-other3", "other3", T + 1, "shrink", "log")
outcome("other3", "p-other3", T + MINUTE, "healed",
        changes=[{"id": "ch3", "tool": "shrink", "target": "log", "at_ms": T + MINUTE, "undo": {"tool": "grow", "target": "log"}}])
plan("p-undo3", "other3", T + 2 * MINUTE, "grow", "log", provenance="undo", undoes="ch3", requested_by="dora")
# It went away by itself; it ended late; it lasts; nobody answered about the same.
observed("needless", T, "restart", "cache")
resolved("needless", T, T + 5 * MINUTE)
observed("late", T, "restart", "queue")
resolved("late", T, T + 60 * MINUTE)
observed("lasts", T, "restart", "dns")
incident("other4", T)
plan("p-other4", "other4", T + 1, "restart", "dns")
decision("other4", "p-other4", T + MINUTE, "expired", "deadline")
# Too long ago; and one that was not observed.
observed("old", NOW - 8 * 24 * 60 * MINUTE, "restart", "web")

procs = []
try:
    procs.append(subprocess.Popen(["nats-server", "-js", "-sd", base + "/js", "-a", "127.0.0.1", "-p", str(nats_port)],
                                  stderr=open(base + "/nats.log", "w")))
    subprocess.run([BUSCTL, "up", "20"], env=env, check=True, capture_output=True)
    subprocess.run([BUSCTL, "provision"], env=env, check=True, capture_output=True)
    with open(base + "/notifier.yaml", "w") as f:
        f.write('state_dir: %s/state\nhttp: {listen: "127.0.0.1:%d"}\nchannels: [{name: log, type: terminal, path: %s/told}]\n'
                'receivers: [{name: ops, channels: [log]}]\nroute: {receiver: ops}\n' % (base, port, base))
    for at, kind, token, message in sorted(messages, key=lambda m: m[0]):
        r = subprocess.run([BUSCTL, "send", kind, token, "-", "m%d" % id(message), str(at)], env=env, text=True,
                           input=json.dumps(message), capture_output=True)
        if r.returncode:
            ok(False, "a message is sent", (kind, message, r.stderr))
    procs.append(subprocess.Popen([os.path.join(BUILD, "healbus-notifier"), "-c", base], env=env,
                                  stderr=open(base + "/notifier.log", "w")))

    def healctl(*words):
        r = subprocess.run([os.path.join(BUILD, "healctl")] + list(words), env=env, capture_output=True, text=True, timeout=60)
        return r

    def behind():
        r = healctl("status", "--json")
        return r.returncode == 0 and json.loads(r.stdout)["lag"].get("behind") == 0
    wait_for("the notifier has read it all", behind)

    r = healctl("shadow", "--json")
    got = json.loads(r.stdout) if r.returncode == 0 else {}
    said = {p["incident"]: (p["verdict"], p["by"], p["because"]) for p in got.get("plans", [])}
    ok(said == {
        "same": ("same", "ann", "p-other"),
        "taken": ("taken", "bob", ""),
        "denied": ("denied", "carl", "p-other2"),
        "undone": ("undone", "dora", "p-undo3"),
        "needless": ("needless", "", ""),
        "late": ("open", "", ""),
        "lasts": ("open", "", ""),
    }, "each observed plan of the last week is judged by what people did", (r.stderr, said))
    ok(got.get("counts") == {"same": 1, "taken": 1, "denied": 1, "undone": 1, "needless": 1, "open": 2}, "and counted", got)
    ok(got.get("agree") == 2 and got.get("disagree") == 3 and abs(got.get("agreement", 0) - 0.4) < 1e-9,
       "agreement is what agreed of what can be judged", got)
    one = [p for p in got.get("plans", []) if p["incident"] == "taken"]
    ok(one and one[0]["what"] == "restart(mail)" and one[0]["runbook"] == "rb-restart" and one[0]["title"] == "about taken"
       and one[0]["at_ms"] == T, "with what would have been done", one)
    got = json.loads(healctl("shadow", "--json", "--since", "30d", "--patience", "2h").stdout)
    ok(got["counts"]["open"] == 1 and got["counts"]["needless"] == 2 and got["counts"]["same"] == 2 and len(got["plans"]) == 8,
       "--since and --patience", got["counts"])
    got = json.loads(healctl("shadow", "--json", "--since", "1m").stdout)
    ok(got["plans"] == [] and got["agreement"] is None, "nothing to judge", got)
    r = healctl("shadow")
    ok(r.returncode == 0 and "7 plans would have run" in r.stdout and "agreement: 40 % (2 of 5)" in r.stdout and
       "restart(mail)" in r.stdout, "and in words", r.stdout)
    r = healctl("shadow", "--since", "yesterday")
    ok(r.returncode == 64, "a time that is none", r.stderr)
    with urllib.request.urlopen("http://127.0.0.1:%d/api/shadow?since_ms=nonsense" % port) as answer:
        ok(len(json.load(answer)["plans"]) == 7, "the API falls back to a week")
finally:
    for p in procs:
        p.kill()
        p.wait()
    shutil.rmtree(base, ignore_errors=True)

sys.exit(done())
