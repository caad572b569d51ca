#!/usr/bin/env python3
"""Escalation with a real nats-server and notifiers: calls until a human has it, across kill -9 and with two notifiers;
questions; what the notifier tells of healbus itself. TAP."""
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

from lib import done, failures, free_port, now_ms, ok, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")


if not shutil.which("nats-server"):
    print("1..0 # skip no nats-server")
    sys.exit(0)


class Phone(http.server.BaseHTTPRequestHandler):
    """What people are told, by path."""
    rings = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        Phone.rings.append((self.path.strip("/"), self.headers.get("Idempotency-Key"), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


base = tempfile.mkdtemp(prefix="healbus-escalation-")
nats_port, phone_port, ports = free_port(), free_port(), [free_port(), free_port()]
env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % nats_port)
procs = []
phone = http.server.ThreadingHTTPServer(("127.0.0.1", phone_port), Phone)
threading.Thread(target=phone.serve_forever, daemon=True).start()


def busctl(*words, data=None):
    return subprocess.run([BUSCTL, *words], env=env, check=True, text=True, input=data, capture_output=True, timeout=60).stdout


def send(kind, token, message):
    busctl("send", kind, token, "-", data=json.dumps(message))


def notices(of):
    return [json.loads(line)["message"] for line in busctl("dump", "STORY", "heal.notice." + of).splitlines()]


def calls(of, kind="called"):
    """(kind, channel, whom) of each that was queued, in order."""
    return [(n["kind"], n["channel"], ",".join(n["to"])) for n in notices(of)
            if n["state"] == "queued" and (n["kind"] in (kind, "summary")) and (n["to"] or kind != "approval")]


def healctl(n, *words):
    return subprocess.run([os.path.join(BUILD, "healctl"), *words], env=dict(env, HEALBUS_TOKEN_FILE=base + "/ann.token", HEALBUS_URL="http://127.0.0.1:%d" % ports[n]),
                          capture_output=True, text=True, timeout=60)


def start(n):
    where = "%s/%d" % (base, n)
    os.makedirs(where, exist_ok=True)
    with open(where + "/notifier.yaml", "w") as f:
        f.write("""state_dir: %s/state
http: {listen: "127.0.0.1:%d"}
decision_key_file: %s/decision.key
token_key_file: %s/token.key
replica: %d
people:
  - {name: ann, roles: [approver, operator], token_file: %s/ann.token}
  - {name: bob, roles: [approver]}
  - {name: boss, roles: [approver]}
channels:
  - {name: desk, type: webhook, url: 'http://127.0.0.1:%d/desk', timeout: 2s}
  - {name: phone, type: webhook, url: 'http://127.0.0.1:%d/phone', timeout: 2s}
receivers:
  - {name: ops, channels: [desk]}
oncall:
  - {name: primary, timezone: "CET-1CEST,M3.5.0,M10.5.0/3", rotation: [ann], start: 2026-01-05T09:00}
escalations:
  - name: night
    summary_after: 2s
    steps:
      - {to: ["oncall:primary"]}
      - {after: 2s, to: [bob, "channel:phone"]}
      - {after: 4s, to: [boss]}
  - name: patient # time to do something between its calls, on a slow machine, too
    summary_after: 2s
    steps:
      - {to: ["oncall:primary"]}
      - {after: 2s, to: [bob, "channel:phone"]}
      - {after: 10s, to: [boss]}
  - {name: slow, steps: [{to: [ann]}, {after: 1h, to: [bob]}]}
route:
  receiver: ops
  group_wait: 1h
  escalation: night
  routes:
    - {match: {service: slow}, escalation: slow}
    - {match: {service: patient}, escalation: patient}
""" % (where, ports[n], base, base, n + 1, base, phone_port, phone_port))
    p = subprocess.Popen([os.path.join(BUILD, "healbus-notifier"), "-c", where], env=env, stderr=open(where + "/log", "a"))
    procs.append(p)
    wait_for("notifier %d answers" % n, lambda: healctl(n, "status").returncode == 0)
    return p


def escalate(name, service="db"):
    one = {"id": name, "key": "k", "state": "open", "revision": 1, "title": name + " is down", "severity": "critical",
           "labels": {"service": service}, "opened_at_ms": now_ms(), "updated_at_ms": now_ms(), "trusted": True, "set_by": "monitor"}
    send("incident", name, one)
    send("incident", name, dict(one, state="escalated", set_by="reasoner", reason="tried all\nRead the disk's log first."))


with open(base + "/ann.token", "w") as f:
    f.write("ann's own token, long enough for one\n")
os.chmod(base + "/ann.token", 0o600)
ALL = [("called", "desk", "ann"), ("called", "phone", "bob"), ("called", "desk", "boss"), ("summary", "desk", "boss")]
try:
    procs.append(subprocess.Popen(["nats-server", "-js", "-sd", base + "/js", "-a", "127.0.0.1", "-p", str(nats_port)],
                                  stderr=open(base + "/nats.log", "w")))
    busctl("up", "20")
    busctl("provision")
    first = start(0)

    escalate("whole")
    wait_for("the summary", lambda: len(calls("whole")) >= 4)
    ok(calls("whole") == ALL, "each step calls whom it names, and at the end there is a summary", calls("whole"))
    last = [n for n in notices("whole") if n["kind"] == "summary"][0]
    ok("Read the disk's log first." in last["text"] and "healctl ack whole" in last["text"], "which says what to try", last)
    wait_for("all are sent", lambda: len([r for r in Phone.rings if "whole" in r[2].get("incident", "")]) >= 4
             or len(Phone.rings) >= 4)
    ok([r[0] for r in Phone.rings[:4]] == ["desk", "phone", "desk", "desk"], "the channels were told", Phone.rings[:4])

    escalate("taken", "patient")
    wait_for("the second call", lambda: len(calls("taken")) == 2)
    r = healctl(0, "ack", "taken")
    ok(r.returncode == 0, "somebody takes it", r.stderr)

    # Killed in between; the other one goes on, and neither says anything twice.
    second = start(1)
    escalate("killed", "patient")
    wait_for("the first call", lambda: len(calls("killed")) == 1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_for("the second call", lambda: len(calls("killed")) >= 2)
    start(0)
    wait_for("the summary", lambda: len(calls("killed")) >= 4)
    ok(calls("killed") == ALL, "with two notifiers, one killed and started anew, each call is made once", calls("killed"))
    ids = [n["id"] for n in notices("killed") if n["state"] == "sent"]
    wait_for("all are sent", lambda: len({n["id"] for n in notices("killed") if n["state"] == "sent"}) >= 4)
    ids = [n["id"] for n in notices("killed") if n["state"] == "sent"]
    ok(len(ids) == len(set(ids)), "and sent once", ids)
    ok(calls("taken") == ALL[:2], "nobody was called about what somebody took", calls("taken"))

    # Somebody else takes the shift; the other notifier knows it, too.
    r = [healctl(0, *w) for w in (("oncall", "override", "primary", "boss", "--for", "1h", "--reason", "swap"),
                                  ("oncall", "override", "primary", "nobody"), ("oncall", "override", "secondary", "bob"))]
    ok([x.returncode for x in r] == [0, 1, 1] and "boss is on call for primary" in r[0].stdout,
       "who is on call is changed for a while; a stranger or an unknown rotation is refused", [x.stdout + x.stderr for x in r])
    told_by = wait_for("both know", lambda: all("put there by ann" in healctl(n, "oncall", "primary").stdout for n in (0, 1)))
    escalate("swapped")
    wait_for("the call", lambda: calls("swapped"))
    ok(told_by and calls("swapped")[0] == ("called", "desk", "boss"), "and is called", calls("swapped"))
    r = healctl(1, "oncall", "clear", "primary")
    wait_for("neither has it", lambda: not any("put there" in healctl(n, "oncall").stdout for n in (0, 1)))
    escalate("back")
    wait_for("the call", lambda: calls("back"))
    ok(r.returncode == 0 and calls("back")[0] == ("called", "desk", "ann"), "until it is cleared", (r.stderr, calls("back")))

    # A question about something hard.
    send("plan", "asked", {"id": "p1", "incident": "asked", "attempt": 1, "steps": [{"tool": "restart", "target": "web-1"}]})
    send("approval", "asked", {"id": "ask1", "incident": "asked", "plan_id": "p1", "plan_digest": "ab" * 32, "level": "hard",
                               "rendered": ["systemctl restart web"], "asked_at_ms": now_ms(), "deadline_ms": now_ms() + 600000})
    wait_for("the second call", lambda: len(calls("asked", "approval")) >= 2)
    got = [n for n in notices("asked") if n["state"] == "queued" and n["to"]]
    ok([n["approval"] for n in got[:2]] == ["ask1", "ask1"] and "systemctl restart web" in got[0]["text"],
       "a question is asked of whom it calls, as a question", got)
    r = healctl(1, "deny", "ask1")
    before = calls("asked", "approval")
    escalate("later", "slow")
    wait_for("a call after it", lambda: len(calls("later")) == 1)
    ok(r.returncode == 0 and len(before) <= 3 and calls("asked", "approval") == before, "and nobody after it is decided",
       (r.stderr, before, calls("asked", "approval")))

    # Healbus itself: a message that nobody can read.
    with open(base + "/dead.json", "w") as f:
        json.dump({"id": "d1", "stage": "monitor", "subject": "raw.x", "seq": 7, "error": "not JSON", "at_ms": now_ms()}, f)
    with open(base + "/dead", "wb") as f:
        subprocess.run([BUSCTL, "pack", "dead", base + "/dead.json"], stdout=f, check=True, timeout=60)
    busctl("pub", "dead.monitor", base + "/dead")
    told = wait_for("the notice about it", lambda: [n for n in notices("*") if n["kind"] == "health"], 90)
    ok("1 message could not be read" in told[0]["subject"] and told[0]["severity"] == "warning" and told[0]["channel"] == "desk",
       "a dead letter is told", told)
    seen = [json.loads(line)["message"] for line in busctl("dump", "STORY", "heal.control.health").splitlines()]
    ok([m["health"]["dead_seq"] for m in seen] == [1], "two notifiers say it once", seen)
finally:
    for p in reversed(procs):
        if p.poll() is None:
            p.terminate()
            p.wait()
    phone.shutdown()
    if failures():
        for n in (0, 1):
            with open("%s/%d/log" % (base, n)) as f:
                print("".join("# " + line for line in f.readlines()[-15:]))
    shutil.rmtree(base)
sys.exit(done())
