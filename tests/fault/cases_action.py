"""Actions that misbehave, and people (or somebody who poses as them) who decide."""
import hashlib
import json
import os
import shutil
import subprocess
import time

from kit import case, peak_mib, wait_for

CASES = []

TOOL = """
name: {name}
summary: misbehaves
level: soft
timeout: {timeout}
argv: [/usr/bin/sh, -c, '{script}']
env: {{BOOKS: "{{{{ .target.books }}}}"}}
sandbox: {{user: root, writable: ["{{{{ .target.books }}}}"]}}
{more}
"""
RUNBOOK = """
name: {name}
priority: 500
description: misbehaves
match: ['alertname=~"Fault.*"', 'how="{name}"']
target: wild
max_attempts: 1
cooldown: 0s
attempts:
  - why: 'runs {name}'
    steps: [{{tool: {name}}}]
"""
# name: (script, what must come of it, timeout, more of the tool)
WILD = {
    "hangs": ("echo S >>$BOOKS/hangs; sleep 600", "failed", "2s", ""),
    "ignores": ('echo S >>$BOOKS/ignores; trap "" TERM INT HUP; while :; do sleep 1; done', "failed", "2s", ""),
    "forks": ("echo S >>$BOOKS/forks; (setsid sh -c \"while :; do sleep 1; done\" &) ; (setsid sleep 601 &); exit 0",
              "healed", "10s", ""),
    "forkbomb": ("echo S >>$BOOKS/forkbomb; for i in 1 2 3 4 5 6 7 8 9; do (sleep 602 &) ; done; exit 3",
                 "failed", "10s", ""),
    "prints": ("echo S >>$BOOKS/prints; head -c 1000000000 /dev/zero | tr \"\\\\0\" x; exit 0", "healed", "60s", ""),
    "fills": ("echo S >>$BOOKS/fills; head -c 3000000000 /dev/zero >/tmp/big; head -c 3000000000 /dev/zero >/var/big; "
              "exit 4", "failed", "60s", ""),
    "killer": ("echo S >>$BOOKS/killer; kill -9 $PPID; kill -9 -1; sleep 5; exit 5", "failed", "10s", ""),
    "lies": ("echo S >>$BOOKS/lies; exit 0", "failed", "10s",
             "verify: {tool: truth, deadline: 500ms, interval: 200ms}"),
    "dies": ("echo S >>$BOOKS/dies; kill -SEGV $$", "failed", "10s", ""),
}
TRUTH = """
name: truth
summary: did it do what it said?
level: none
argv: [/usr/bin/test, -e, "{{ .target.books }}/done-by-lies"]
sandbox: {user: root, readonly: ["{{ .target.books }}"]}
"""


def sleepers(seconds):
    """Processes of the wild tools that are still there."""
    found = []
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                argv = f.read().split(b"\0")
        except OSError:
            continue
        if argv[:1] == [b"sleep"] and argv[1:2] and argv[1] in seconds:
            found.append(int(pid))
    return found


@case(CASES, 31, "wild-actions", "actions that hang, fork away, flood, kill, lie: contained, each outcome true, once")
def wild_actions(k):
    w = k.world(start=False)
    w.config["executor-0"] += "  - {id: wild, tools: [%s, truth], attributes: {books: '%s'}}\n" % (
        ", ".join(WILD), w.path("books"))
    own = str(100000 + os.getpid())
    for name, (script, _, timeout, more) in WILD.items():
        script = script.replace("sleep 60", "sleep %s" % own)
        with open(w.path("tools", name + ".yaml"), "w") as f:
            f.write(TOOL.format(name=name, script=script, timeout=timeout, more=more).lstrip())
        with open(w.path("runbooks", name + ".yaml"), "w") as f:
            f.write(RUNBOOK.format(name=name).lstrip())
    with open(w.path("tools/truth.yaml"), "w") as f:
        f.write(TRUTH.lstrip())
    w.start_all()
    free = shutil.disk_usage("/").free
    runs = {}
    for name in WILD:
        runs[name] = w.new_run("wild")
        k.check(w.post(runs[name], how=name, service="wild") == 202, "taken")
    w.settled(runs.values(), 200)
    outcomes = w.outcomes()
    wrong = {n: outcomes[runs[n]] for n in WILD if outcomes[runs[n]] != [WILD[n][1]]}
    k.check(not wrong, "each outcome is true", wrong)
    for name in WILD:
        with open(w.path("books", name)) as f:
            k.check(f.read() == "S\n", name + " ran once")
    left = [p for p in sleepers({(own + str(i)).encode() for i in range(10)} | {own.encode()})]
    k.check(not left, "no process is left", left)
    k.check(shutil.disk_usage("/").free > free - (1 << 30), "the disk is not filled")
    k.check(peak_mib(w.pid("executor-0")) < 96, "the executor stays small", peak_mib(w.pid("executor-0")))
    w.probe()
    k.note("peak %.0f MiB" % peak_mib(w.pid("executor-0")))


# ---- approvals ----

def question(w, run):
    """The approval request of this run, as the bus has it."""
    def found():
        plans = {m["message"]["id"]: m for m in w.dump("STORY", "heal.plan.>")
                 if (m["message"].get("labels") or {}).get("run") == run}
        asks = [m["message"] for m in w.dump("STORY", "heal.approval.>") if m["message"]["plan_id"] in plans]
        return (asks[0], plans[asks[0]["plan_id"]]) if asks else None
    return wait_for("the question of " + run, found)


def answer(w, approval, verdict, by):
    """Presses as soon as the notifier knows the question, too; (status, what it said)."""
    said = []

    def pressed():
        said.append(w.api("POST", "/api/decisions", {"approval": approval, "verdict": verdict, "by": by}))
        return said[-1][0] != 404

    wait_for("the notifier knows the question", pressed)
    return said[-1]


def forge(w, key, d):
    """Signs a decision with a key of one's own choice; the packed message."""
    path = w.path("forged")
    with open(path, "wb") as f:
        f.write(w.pack("decision", d))
    signed = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", path], check=True,
                            capture_output=True).stdout
    return dict(d, signature=signed.hex())


@case(CASES, 32, "approval-attacks", "forged, replayed, expired, foreign, late approvals: no start, each refused and told")
def approval_attacks(k):
    w = k.world(options={"executor": "approval_deadline: 15s\napproval_deadline_soft: 15s\n"})
    attacks = ("unsigned", "foreign-key", "other-digest", "other-plan", "after-deny", "expired", "replayed")
    runs = {a: w.new_run("attack") for a in attacks}
    victim = w.send(1, "victim", **{"class": "ask"})[0]
    for a, run in runs.items():
        k.check(w.post(run, **{"class": "ask"}) == 202, "taken")
    good = question(w, victim)[0]
    taken = answer(w, good["id"], "approve", "ann")
    k.check(taken[0] == 200, "an honest approval is taken", taken)
    k.until("an honest approval is acted upon", lambda: w.ended(victim))
    honest = [m["message"] for m in w.dump("STORY", "heal.decision.>") if m["message"]["plan_id"] == good["plan_id"]]
    asked = {a: question(w, run) for a, run in runs.items()}
    own_key = w.path("own.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", own_key], check=True, capture_output=True)
    key = w.path("state/notifier/decision.key")

    def decision(a, **more):
        ask, plan = asked[a]
        return dict({"id": "forged-" + a, "incident": ask["incident"], "plan_id": ask["plan_id"],
                     "plan_digest": ask["plan_digest"], "plan_seq": ask["plan_seq"], "approval": ask["id"],
                     "verdict": "approve", "by": "eve", "channel": "x", "at_ms": int(time.time() * 1000),
                     "deadline_ms": ask["deadline_ms"], "key_id": key_id(key)}, **more)

    def key_id(path):
        der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True,
                             capture_output=True).stdout
        return hashlib.sha256(der[-32:]).hexdigest()[:16]

    def send(d):
        w.busctl("send", "decision", d["incident"], "-", d["id"], data=json.dumps(d).encode())

    send(decision("unsigned"))
    send(forge(w, own_key, decision("foreign-key")))
    send(forge(w, key, decision("other-digest", plan_digest="00" * 32)))
    other = asked["after-deny"][0]
    send(forge(w, key, decision("other-plan", plan_digest=other["plan_digest"], plan_seq=other["plan_seq"])))
    denied = answer(w, other["id"], "deny", "ann")[0]
    k.check(denied == 200, "a no is taken", denied)
    late = answer(w, other["id"], "approve", "eve")[0]
    k.check(late == 409, "a yes after a no is refused", late)
    w.settled([runs["after-deny"]])
    send(forge(w, key, decision("after-deny")))
    replay = dict(honest[0], id="forged-replayed", incident=asked["replayed"][0]["incident"],
                  plan_id=asked["replayed"][0]["plan_id"])
    send(replay)
    send(dict(honest[0], id="forged-replayed-2"))
    k.until("silence is a no", lambda: "denied" in w.outcomes().get(runs["expired"], []), 30)
    send(forge(w, key, decision("expired")))
    started = {a: w.started(run) for a, run in runs.items() if w.started(run)}
    k.check(not started, "nothing of it started", started)
    k.check(w.started(victim) == 1, "the honest one ran once", w.started(victim))

    def refusals():
        return [m["message"] for m in w.dump("STORY", "heal.step.>") if m["message"].get("state") == "refused"]

    k.until("each is refused on the bus", lambda: len(refusals()) >= 6, 30)
    reasons = sorted({r["reason"].split(":")[-1].strip()[:40] for r in refusals()})
    w.kill("executor-0", 15)
    audit = subprocess.run([w.program["executor-0"], "audit", w.path("state/executor-0/journal")],
                           capture_output=True, text=True)
    k.check(audit.returncode == 0 and audit.stdout.count('"refused"') >= 6, "and in the audit, whose chain holds",
            (audit.returncode, audit.stderr, audit.stdout.count('"refused"')))
    k.note("; ".join(reasons))
