#!/usr/bin/env python3
"""Key figures and rotations: what the notifier and healctl say equals what this program works out by itself, from the
stream as dumped and from Python's own time zones. TAP. HEALBUS_SEED repeats a run."""
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from lib import done, free_port, now_ms, ok, skip, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
SEED = int(os.environ.get("HEALBUS_SEED", random.randrange(1 << 30)))
DAY = 86400000
INCIDENTS = 120
rnd = random.Random(SEED)


if not shutil.which("nats-server"):
    print("1..0 # skip no nats-server")
    sys.exit(0)
print("# HEALBUS_SEED=%d" % SEED)

# ---- some stories ----
END = now_ms() // DAY * DAY + DAY
SINCE = END - 5 * DAY


def say(kind, token, /, **message):
    stream.append((kind, token, message))


stream = []


def incident(name, opened, state, revision, at, **more):
    say("incident", name, id=name, key="k", state=state, revision=revision, title="t", severity="error",
        opened_at_ms=opened, updated_at_ms=at, set_by="reasoner" if state == "escalated" else "monitor", **more)


def attempt(name, n, at, undo=False):
    plan = "p-%s-%d" % (name, n)
    say("plan", name, id=plan, incident=name, attempt=1, steps=[{"tool": "restart", "target": "web"}],
        **({"undoes": "ch", "provenance": "undo"} if undo else {}))
    if rnd.random() < 0.3:
        say("approval", name, id="a-" + plan, incident=name, plan_id=plan, plan_digest="ab" * 32, deadline_ms=END + DAY)
        say("decision", name, id="d-" + plan, incident=name, plan_id=plan, plan_digest="ab" * 32, approval="a-" + plan,
            verdict=rnd.choice(["approve", "deny", "expired"]), by="ann", at_ms=at)
    if rnd.random() < 0.9:
        say("step", name, incident=name, plan_id=plan, step_id="s", phase="act", state="started", started_at_ms=at)
    say("outcome", name, id="o-" + plan, incident=name, plan_id=plan, plan_digest="ab" * 32,
        verdict=rnd.choice(["healed", "healed", "healed", "failed", "rolled_back", "rollback_failed", "refused", "denied",
                            "observed", "rehearsed", "expired", "unknown"]))


def control(name, kind, /, **more):
    say("control", name, id="c", kind=kind, incident=name, by="ann", at_ms=END - DAY, **more)


for n in range(INCIDENTS):
    name = "inc%03d" % n
    opened = SINCE - DAY + rnd.randrange(7 * DAY)  # some are outside the window
    at = opened + 1000
    incident(name, opened, rnd.choice(["open"] * 9 + ["suppressed"]), 1, at)
    for k in range(rnd.randrange(4)):
        at += rnd.randrange(1, 600000)
        attempt(name, k, at, undo=rnd.random() < 0.1)
        if rnd.random() < 0.5:
            say("model", name, id="m%d" % k, incident=name, state=rnd.choice(["asked", "exchanged", "exchanged", "answered"]),
                cost_micro_usd=rnd.randrange(50000))
    if rnd.random() < 0.2:
        incident(name, opened, "escalated", 1, at)
    if rnd.random() < 0.1:
        control(name, "ack", **({"false_alarm": True} if rnd.random() < 0.5 else {}))
    if rnd.random() < 0.1:
        control(name, "undo", change="ch")
    if rnd.random() < 0.1:
        control(name, "feedback", held=rnd.random() < 0.5)
    if rnd.random() < 0.7:
        end = opened + rnd.randrange(1, 2400000)
        command = {"command": {"id": "x", "verb": rnd.choice(["status", "fix"]), "by": "bob"}} if rnd.random() < 0.1 else {}
        incident(name, opened, "resolved", 2, end, resolved_at_ms=end, **command)
        if rnd.random() < 0.1:
            incident(name, opened, "open", 3, end + 1)

# ---- the same again, from the dump alone ----
ATTEMPTS = {"healed", "failed", "rolled_back", "rollback_failed", "unknown"}


def recount(lines):
    rows, undoing = {}, set()
    for line in lines:
        m, (_, kind, token) = line["message"], line["subject"].split(".")
        if token in ("pause", "silence", "catalogue", "tick", "health"):
            continue
        r = rows.setdefault(token, dict(opened=0, resolved=0, acted=0, cost=0, verdicts=[], person=False, escalated=False,
                                        false_alarm=False, undone=False, broken=False, state=None, revision=0))
        if kind == "incident":
            if m["state"] == "escalated":
                if r["state"] not in ("resolved", "suppressed"):
                    r.update(state="escalated", escalated=True)
            elif m.get("revision", 0) >= r["revision"]:
                given_up = r["state"] == "escalated" and m["state"] == "open"
                r.update(revision=m["revision"], opened=m["opened_at_ms"], state="escalated" if given_up else m["state"])
                r["resolved"] = m.get("resolved_at_ms", 0) if m["state"] == "resolved" else 0
                if m.get("command") and m["command"]["verb"] != "status":
                    r["person"] = True
        elif kind == "plan" and m.get("undoes"):
            undoing.add(m["id"])
        elif kind == "decision" and m["verdict"] in ("approve", "deny"):
            r["person"] = True
        elif kind == "step" and m["phase"] == "act" and m["state"] == "started" and m["plan_id"] not in undoing:
            r["acted"] = r["acted"] or m["started_at_ms"]
        elif kind == "outcome" and m["verdict"] in ATTEMPTS and m["plan_id"] not in undoing:
            r["verdicts"].append(m["verdict"])
        elif kind == "model" and m["state"] == "exchanged":
            r["cost"] += m.get("cost_micro_usd", 0)
        elif kind == "control":
            r["person"] |= m["kind"] in ("ack", "undo")
            r["false_alarm"] |= m.get("false_alarm", False)
            r["undone"] |= m["kind"] == "undo"
            r["broken"] |= m["kind"] == "feedback" and m.get("held") is False
    return list(rows.values())


def figures(rows, since, until):
    rows = [r for r in rows if since <= r["opened"] < until and (r["state"] != "suppressed" or r["acted"])]
    healed = [r for r in rows if r["resolved"] and "healed" in r["verdicts"]]
    times = sorted(max(0, r["resolved"] - r["opened"]) for r in healed)
    acted = [r for r in rows if r["acted"]]
    ended = [r for r in rows if r["resolved"] or r["escalated"]]
    needed = [r for r in ended if r["acted"] or r["escalated"] or r["person"]]
    alone = [r for r in needed if r in healed and not r["escalated"] and not r["person"]]
    tried = [r for r in rows if r["verdicts"]]
    first = [r for r in tried if r["verdicts"][0] == "healed"]
    wrong = [r for r in acted if r["false_alarm"] or (r["resolved"] and (
        r["resolved"] <= r["acted"] or not ("healed" in r["verdicts"] or r["escalated"] or r["person"])))]
    escalated = [r for r in rows if r["escalated"]]
    cost = sum(r["cost"] for r in rows)

    def rank(percent):
        return times[-(-len(times) * percent // 100) - 1] if times else None

    def share(part, whole):
        return part / whole if whole else None
    return {"from_ms": since, "incidents": len(rows), "acted": len(acted), "ended": len(ended), "needed": len(needed),
            "autonomous": len(alone), "attempted": len(tried), "first_attempt_healed": len(first), "healed": len(healed),
            "false_positives": len(wrong), "escalated": len(escalated), "undone": sum(r["undone"] for r in rows),
            "did_not_hold": sum(r["broken"] for r in rows), "cost_micro_usd": cost,
            "autonomous_resolution": share(len(alone), len(needed)), "time_to_heal_p50_ms": rank(50),
            "time_to_heal_p90_ms": rank(90), "first_attempt_success": share(len(first), len(tried)),
            "false_positive_rate": share(len(wrong), len(acted)), "escalation_rate": share(len(escalated), len(rows)),
            "cost_per_incident_micro_usd": share(cost, len(rows))}


# ---- rotations, by Python's zones ----
RULE = "CET-1CEST,M3.5.0,M10.5.0/3"


def on_call(ms, zone):
    """ann, bob, cy from 2026-01-05 09:00 in Berlin, a week each."""
    local = datetime.datetime.fromtimestamp(ms / 1000, zone).replace(tzinfo=None)
    weeks = (local - datetime.datetime(2026, 1, 5, 9)) // datetime.timedelta(days=7)
    return ["ann", "bob", "cy"][weeks % 3]


base = tempfile.mkdtemp(prefix="healbus-kpis-")
nats_port, port = free_port(), free_port()
env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % nats_port, HEALBUS_URL="http://127.0.0.1:%d" % port)
procs = []


def busctl(*words, data=None):
    return subprocess.run([BUSCTL, *words], env=env, check=True, text=True, input=data, capture_output=True, timeout=120).stdout


def get(path):
    with urllib.request.urlopen(env["HEALBUS_URL"] + path, timeout=20) as r:
        return json.load(r)


def status_of(path):
    try:
        get(path)
        return 200
    except urllib.error.HTTPError as e:
        return e.code


def healctl(*words):
    return subprocess.run([os.path.join(BUILD, "healctl"), *words], env=env, capture_output=True, text=True, timeout=60)


def healctl_json(*words):
    return json.loads(healctl(*words, "--json").stdout)


def metrics():
    """{series: value}, once the figures of the last day are there."""
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port, timeout=10) as r:
            lines = r.read().decode().splitlines()
    except OSError:
        return None
    found = {s: float(v) for s, v in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}
    return found if "healbus_day_autonomous_ratio" in found else None


def read_all():
    r = healctl("status", "--json")
    return r.returncode == 0 and json.loads(r.stdout)["lag"].get("behind") == 0


try:
    procs.append(subprocess.Popen(["nats-server", "-js", "-sd", base + "/js", "-a", "127.0.0.1", "-p", str(nats_port)],
                                  stderr=open(base + "/nats.log", "w")))
    busctl("up", "20")
    busctl("provision")
    with open(base + "/notifier.yaml", "w") as f:
        f.write("""state_dir: %s/state
http: {listen: "127.0.0.1:%d"}
oncall:
  - {name: primary, timezone: "%s", rotation: [ann, bob, cy], start: 2026-01-05T09:00}
escalations:
  - {name: night, steps: [{to: ["oncall:primary"], repeat: 1, every: 5m}, {after: 10m, to: [boss]}]}
route: {escalation: night}
""" % (base, port, RULE))
    # Neighbours of one kind go in one call; the order stays.
    while stream:
        kind, token = stream[0][:2]
        lines = []
        while stream and stream[0][:2] == (kind, token):
            lines.append(json.dumps(stream.pop(0)[2]))
        busctl("send", kind, token, "-", "m%d" % len(stream), data="\n".join(lines) + "\n")
    procs.append(subprocess.Popen([os.path.join(BUILD, "healbus-notifier"), "-c", base], env=env,
                                  stderr=open(base + "/notifier.log", "w")))
    wait_for("the notifier has read it all", read_all)
    rows = recount(json.loads(line) for line in busctl("dump", "STORY").splitlines())

    said = get("/api/kpis?since_ms=%d&until_ms=%d" % (SINCE, END))
    want = figures(rows, SINCE, END)
    ok(said["overall"] == want, "key figures over five days are those of the stream",
       {k: (said["overall"].get(k), want[k]) for k in want if said["overall"].get(k) != want[k]})
    ok(want["incidents"] > 50 and want["false_positives"] and want["autonomous"] and want["undone"], "of stories that matter", want)
    days = [figures(rows, SINCE + i * DAY, SINCE + (i + 1) * DAY) for i in range(5)]
    ok(said["steps"] == days, "day by day too", (said["steps"], days))
    said = get("/api/kpis?since_ms=%d&until_ms=%d&step=7h" % (SINCE + 1, END - 5))
    ok(len(said["steps"]) == 18 and said["overall"] == figures(rows, SINCE + 1, END - 5), "and in steps that do not fit")
    r = healctl("kpis", "--json", "--since", "4d")
    ok(r.returncode == 0 and json.loads(r.stdout)["overall"]
       == figures(rows, json.loads(r.stdout)["since_ms"], json.loads(r.stdout)["until_ms"]), "healctl kpis says the same", r.stderr)
    r = healctl("kpis")
    ok(r.returncode == 0 and "autonomous resolution" in r.stdout and "nine of ten" in r.stdout, "and in words", r.stdout + r.stderr)
    bad = ["step=1s", "step=x", "since_ms=5&until_ms=5", "since_ms=0&step=1h"]
    ok([status_of("/api/kpis?" + q) for q in bad] == [400] * 4, "windows and steps that make no sense are refused")
    r = healctl("ack", "inc000", "--false-alarm", "--json")
    wait_for("it is read", read_all)
    acks = [json.loads(line)["message"] for line in busctl("dump", "STORY", "heal.control.inc000").splitlines()]
    ok(r.returncode == 0 and acks[-1].get("false_alarm") is True, "a false alarm is said with healctl ack", (r.stdout, r.stderr, acks[-1:]))

    # What it has read is in its metrics at once when it starts.
    procs[-1].terminate()
    procs[-1].wait()
    procs.append(subprocess.Popen([os.path.join(BUILD, "healbus-notifier"), "-c", base], env=env,
                                  stderr=open(base + "/notifier.log", "a")))
    shown = wait_for("the last day is among the metrics", metrics) or {}
    counts = healctl_json("status")["incidents"]
    ok({k: shown.get('healbus_incidents{state="%s"}' % k) for k in counts} == counts, "metrics: incidents by state", (shown, counts))
    day = get("/api/kpis?since_ms=%d&until_ms=%d" % (now_ms() - DAY, now_ms() + 1))["overall"]
    ok(shown['healbus_day_incidents{what="healed"}'] == day["healed"] and
       shown['healbus_day_time_to_heal_seconds{quantile="0.5"}'] == (day["time_to_heal_p50_ms"] or 0) / 1000 and
       'healbus_approvals_pending' in shown and 'healbus_paused' in shown, "metrics: the last day", (shown, day))

    now = get("/api/oncall")
    ok(now["oncall"][0]["name"] == "primary" and [c["kind"] for c in now["escalations"][0]["calls"]]
       == ["called", "called", "called", "summary"], "rotations and policies are shown", now)
    r = healctl("oncall")
    ok(r.returncode == 0 and "primary" in r.stdout and "boss" in r.stdout, "healctl oncall shows them", r.stdout + r.stderr)
    ok(healctl("oncall", "nobody").returncode == 1, "a rotation that is not there is said")
    try:
        import zoneinfo
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
    except Exception:  # no database on this machine
        skip("rotations by Python's zones", "no time zone database")
    else:
        wrong = []
        for shift in get("/api/oncall?at_ms=1767600000000&shifts=100")["oncall"][0]["shifts"]:
            for ms in (shift["from_ms"], shift["until_ms"] - 1):
                if on_call(ms, zone) != shift["person"]:
                    wrong.append((ms, shift))
        ok(not wrong, "a hundred shifts are those of Python's zones", wrong)
finally:
    for p in reversed(procs):
        p.terminate()
        p.wait()
    shutil.rmtree(base)
sys.exit(done())
