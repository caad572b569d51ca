#!/usr/bin/env python3
"""healctl backtest on recordings made here: what is planned, what recorded outcomes change, what differs. TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_recording
from lib import done, ok

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
HEALCTL = os.path.join(BUILD, "healctl")
T0 = 1790000000000
SECOND, MINUTE = 1000, 60000
base = tempfile.mkdtemp(prefix="healbus-backtest-test-")
env = dict(os.environ, TMPDIR=base, TZ="Asia/Tokyo")


def path(name):
    return os.path.join(base, name)


def pack(kind, message):
    with open(path("message"), "w") as f:
        json.dump(message, f)
    return subprocess.run([BUSCTL, "pack", kind, path("message")], check=True, capture_output=True).stdout


def show(kind, data):
    with open(path("message"), "wb") as f:
        f.write(data)
    return json.loads(subprocess.run([BUSCTL, "show", kind, path("message")], check=True, capture_output=True).stdout)


class Tape:
    """A recording being made; messages in the order of their time."""

    def __init__(self):
        self.records = []

    def add(self, stream, subject, at, data, mid=None, **more):
        n = len(self.records) + 1
        self.records.append(dict({"stream": stream, "seq": n, "stream_ns": at * 1000000 + 1000 * n, "time_ms": at,
                                  "subject": subject, "id": mid or "m%d" % n, "data": data}, **more))

    def alert(self, name, service, at, status="firing", source="alertmanager"):
        body = {"version": "4", "status": status, "alerts": [{
            "status": status, "labels": {"alertname": name, "service": service, "severity": "critical"},
            "annotations": {"summary": "%s of %s" % (name, service)}, "startsAt": "2026-09-21T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z"}]}
        self.add("RAW", "raw." + source, at, json.dumps(body).encode(), content_type="application/json")

    def story(self, kind, token, at, message, mid=None):
        self.add("STORY", "heal.%s.%s" % (kind, token), at, pack(kind, message), mid)

    def take(self, other, stream="STORY"):
        for r in lib_recording.read(other):
            if r["stream"] == stream:
                self.records.append(r)

    def write(self, name):
        self.records.sort(key=lambda r: r["stream_ns"])
        lib_recording.write(path(name), self.records)
        return path(name)


def backtest(*words):
    r = subprocess.run([HEALCTL, "backtest", "-c", base] + list(words), env=env, capture_output=True, text=True, timeout=120)
    try:
        r.json = json.loads(r.stdout)
    except ValueError:
        r.json = {"incidents": []}
    return r


def said(answer, side="said"):
    """incident title -> [(runbook or "human", what, result)]"""
    return {i["title"]: [(s.get("runbook", "human"), s.get("what", ""), s.get("result")) for s in i[side]]
            for i in answer["incidents"]}


def runbooks(name, **changed):
    """Three runbooks; changed: service kind -> tool of its first attempt."""
    os.mkdir(path(name))
    for kind in ("Web", "Db", "Mail"):
        with open(os.path.join(path(name), kind.lower() + ".yaml"), "w") as f:
            f.write("name: %s\ndescription: x\nmatch: ['alertname=\"%sDown\"']\ntarget: '{{ .labels.service }}'\ncooldown: 0\nattempts:\n"
                    "  - {why: 'first', steps: [{tool: %s}]}\n  - {why: 'second', steps: [{tool: replace}]}\n"
                    % (kind.lower(), kind, changed.get(kind, "restart")))
    return path(name)


try:
    with open(path("monitor.yaml"), "w") as f:
        f.write("sources_dir: %s\n" % os.path.abspath("monitor/sources"))
    first = runbooks("first")
    with open(path("reasoner.yaml"), "w") as f:
        f.write("runbooks_dir: %s\n" % first)

    # ---- bodies only ----
    t = Tape()
    t.alert("WebDown", "web", T0)
    t.alert("WebDown", "web", T0 + 30 * SECOND)
    t.alert("WebDown", "web", T0 + 3 * MINUTE)
    t.alert("NobodyKnows", "x", T0 + 4 * MINUTE)
    t.add("RAW", "raw.alertmanager", T0 + 5 * MINUTE, b"no JSON")
    r = backtest(t.write("bodies"), "--json", "--settle", "10s")
    ok(r.returncode == 0 and said(r.json) == {"WebDown: WebDown of web": [("web", "restart(web)", None)],
                                              "NobodyKnows: NobodyKnows of x": [("human", "", None)]},
       "bodies become events, incidents, a plan, and a need for a human", (r.stdout, r.stderr))
    ok(r.json.get("events") == 3, "the bus's duplicate window counts: 30 s later dropped, 3 min later not", r.json.get("events"))
    ok(r.json.get("unusable") == 1, "a body that is none is counted", r.json)
    ok("events in" in r.stderr and "events/s" in r.stderr, "the speed is told", r.stderr)
    ok([n for n in os.listdir(base) if n.startswith("healbus-backtest-") and os.path.isdir(path(n))] == [],
       "nothing is left behind", os.listdir(base))
    text = backtest(path("bodies"), "--settle", "10s").stdout
    ok("attempt 1, web: restart(web)  [would have run]" in text and "a human was needed: no runbook answers" in text and
       "2 incidents, 1 plans (0 as recorded), 1 times a human was needed" in text and
       "2026-09-21T14:13:20.000Z" in text, "for people, in UTC", text)

    # ---- a silence that only the story has ----
    t = Tape()
    t.story("control", "silence", T0, {"id": "s1", "kind": "silence", "by": "ann", "at_ms": T0, "silence": {
        "id": "s1", "matchers": [{"name": "service", "op": "equal", "value": "web"}], "starts_at_ms": T0,
        "ends_at_ms": T0 + 3600 * SECOND}})
    t.alert("WebDown", "web", T0 + SECOND)
    t.alert("WebDown", "web2", T0 + 2 * SECOND)
    r = backtest(t.write("silence"), "--json", "--settle", "10s")
    ok({i["title"]: i["state"] for i in r.json["incidents"]} ==
       {"WebDown: WebDown of web": "suppressed", "WebDown: WebDown of web2": "open"}, "it reaches the correlators", r.stdout)

    # ---- more plans at once than may be under way ----
    t = Tape()
    for n in range(80):
        t.alert("WebDown", "web%d" % n, T0 + n * 10)
    r = backtest(t.write("many"), "--json", "--settle", "10s")
    ok(len(r.json["incidents"]) == 80 and r.json["plans"] == 80, "plans that nobody runs hold nobody up",
       (len(r.json["incidents"]), r.json.get("plans"), r.json.get("escalated")))

    # ---- recorded outcomes ----
    t = Tape()
    t.alert("WebDown", "web", T0)
    t.alert("DbDown", "db", T0)
    t.alert("Tick", "later", T0 + 20 * MINUTE)
    alone = t.write("alone")
    backtest(alone, "--write", path("said"), "--settle", "0s")
    made = [r for r in lib_recording.read(path("said")) if r["subject"].startswith("heal.plan.")]
    plans = {show("plan", r["data"])["runbook"]: (r, show("plan", r["data"])) for r in made}
    ok(sorted(plans) == ["db", "web"], "what is said can be written as a recording", sorted(plans))
    t.take(path("said"))
    for name, verdict in (("web", "failed"), ("db", "healed")):
        record, plan = plans[name]
        t.story("outcome", plan["incident"], record["time_ms"] + MINUTE, {
            "id": "o" + name, "incident": plan["incident"], "plan_id": plan["id"], "plan_digest": "00" * 32,
            "verdict": verdict, "reason": "recorded"}, "outcome-" + name)
    whole = t.write("whole")
    r = backtest(whole, "--json")
    ok(said(r.json)["WebDown: WebDown of web"] == [("web", "restart(web)", "failed"), ("web", "replace(web)", None)] and
       said(r.json)["DbDown: DbDown of db"][0] == ("db", "restart(db)", "healed"),
       "a plan that is in the recording goes on as it did", said(r.json))
    ok([s.get("recorded") for i in r.json["incidents"] if i["title"].startswith("WebDown") for s in i["said"]] == [True, False] and
       r.json["unmatched"] == 0, "what was recorded is told from what was not", r.stdout)
    second = runbooks("second", Web="reload")
    r = backtest(whole, "--json", "--runbooks", second)
    ok(said(r.json)["WebDown: WebDown of web"] == [("web", "reload(web)", None)] and r.json["unmatched"] == 1,
       "another plan is only observed, and the recorded outcome left out", (said(r.json), r.json["unmatched"]))
    r = backtest(whole, "--json", "--against", second)
    ok(r.returncode == 1 and list(said(r.json)) == ["WebDown: WebDown of web"] and
       said(r.json, "against")["WebDown: WebDown of web"] == [("web", "reload(web)", None)] and r.json["differ"] == 1,
       "the difference names that incident only", r.stdout)

    # ---- exactly what a changed runbook touches ----
    t = Tape()
    for n in range(60):
        t.alert(("WebDown", "DbDown", "MailDown", "Unknown")[n % 4], "s%d" % n, T0 + n * 700)
    mixed = t.write("mixed")
    third = runbooks("third", Db="reload")
    r = backtest(mixed, "--json", "--settle", "10s", "--against", third)
    want = sorted("DbDown: DbDown of s%d" % n for n in range(60) if n % 4 == 1)
    ok(r.returncode == 1 and sorted(said(r.json)) == want, "15 of 60 incidents", sorted(said(r.json)))
    with open(os.path.join(third, "db.yaml"), "r+") as f:
        text = f.read().replace("reload", "restart") + "# a remark\n"
        f.seek(0)
        f.write(text)
        f.truncate()
    r = backtest(mixed, "--json", "--settle", "10s", "--against", third)
    ok(r.returncode == 0 and r.json["incidents"] == [] and r.json["differ"] == 0, "a remark touches none", r.stdout)
    text = backtest(mixed, "--settle", "10s", "--runbooks", first, "--against", second).stdout
    ok(text.count("\n  - ") == 15 and text.count("\n  + ") == 15 and "15 incidents differ" in text, "for people", text)
    local = path("local")
    os.mkdir(local)
    shutil.copy(os.path.join(second, "web.yaml"), local)
    r = backtest(mixed, "--json", "--settle", "10s", "--runbooks", first + "," + local, "--against", second)
    ok(r.returncode == 0, "a second directory replaces runbooks of the first", r.stdout)

    # ---- what cannot be read ----
    with open(mixed, "rb") as f:
        data = f.read()
    with open(path("torn"), "wb") as f:
        f.write(data[:-9])
    r = backtest(path("torn"), "--json", "--settle", "10s")
    ok(r.returncode == 1 and len(r.json["incidents"]) == 59 and "is cut short" in r.stderr, "of a torn recording what is whole", r.stderr)
    r = backtest(path("nowhere"))
    ok(r.returncode == 1 and "nowhere" in r.stderr, "no recording", r.stderr)
    r = backtest(mixed, "--runbooks", path("nowhere"))
    ok(r.returncode == 1 and "nowhere" in r.stderr, "no runbooks", r.stderr)
    with open(os.path.join(third, "db.yaml"), "a") as f:
        f.write("colour: red\n")
    r = backtest(mixed, "--against", third)
    ok(r.returncode == 1 and "db.yaml:" in r.stderr and "colour" in r.stderr, "a runbook that is wrong", r.stderr)
    r = backtest(mixed, "--settle", "soon")
    ok(r.returncode == 64, "a time that is none", r.stderr)
finally:
    shutil.rmtree(base, ignore_errors=True)

sys.exit(done())
