#!/usr/bin/env python3
"""healctl against an API that answers from a table: what it asks, shows, and returns. TAP."""
import fcntl
import http.server
import json
import os
import pty
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

from lib import done, ok, skip

BUILD = os.environ.get("HEALBUS_BUILD", "build")
HEALCTL = os.path.join(BUILD, "healctl")
NOW = int(time.time() * 1000)


# ---- an API that answers from a table ----

EVIL = "evil \x1b[31mred\x1b[0m \u202egnp.exe\x07"
INC = "a2inc2aaaaaaaaaaaaaa"
PLAN = "b3plan3bbbbbbbbbbbbb"
ASK = "c4ask4cccccccccccccc"
STEP = "d5step5ddddddddddddd"

incident = {
    "id": INC, "state": "open", "severity": "critical", "title": "nginx is down", "revision": 1,
    "opened_at_ms": NOW - 60000, "firing": 3, "fingerprints": 3,
    "labels": {"service": "nginx", "instance": "web-1"},
    "events": [{"summary": "no answer on port 8080 since 09:03"}],
}
plan = {
    "id": PLAN, "incident": INC, "attempt": 1, "max_attempts": 3, "provenance": "runbook",
    "runbook": "service-down", "why": "the service does not answer", "not_after_ms": NOW + 3600000,
    "steps": [{"tool": "restart_service", "target": "nginx", "params": {"grace": 5},
               "rollback": {"tool": "stop_service", "target": "nginx"}}],
    "verify": {"tool": "http_check", "target": "nginx"},
}
approval = {
    "id": ASK, "incident": INC, "plan_id": PLAN, "level": "hard", "title": "nginx is down",
    "reasons": ["level hard"], "rendered": ["/usr/bin/sv restart nginx"], "rollback": ["/usr/bin/sv stop nginx"],
    "deadline_ms": NOW + 240000,
}
outcome = {"verdict": "healed", "reason": "verified", "plan_id": PLAN, "incident": INC}


def step(state, phase="act", **more):
    return dict({"incident": INC, "plan_id": PLAN, "step_id": STEP, "phase": phase, "state": state,
                 "tool": "restart_service", "target": "nginx", "exit_code": 0,
                 "started_at_ms": NOW - 50000, "ended_at_ms": NOW - 48800}, **more)


def entry(seq, after_s, kind, message):
    return {"seq": seq, "time_ms": NOW - 60000 + after_s * 1000, "kind": kind, "message": message}


def story(n=None):
    full = [
        entry(10, 0, "incident", incident),
        entry(11, 0, "incident", dict(incident, revision=2, firing=9)),
        entry(12, 0, "plan", plan),
        entry(13, 1, "approval", approval),
        entry(14, 1, "notice", {"channel": "slack-ops", "state": "queued", "subject": "nginx is down"}),
        entry(15, 2, "notice", {"channel": "slack-ops", "state": "sent", "subject": "nginx is down"}),
        entry(16, 8, "decision", {"verdict": "approve", "by": "ann", "channel": "api", "approval": ASK}),
        entry(17, 10, "step", step("started", rendered="/usr/bin/sv restart nginx")),
        entry(18, 11, "step", step("done")),
        entry(19, 12, "step", step("done", phase="verify", tool="http_check", step_id="x")),
        entry(20, 12, "outcome", outcome),
        entry(21, 14, "incident", dict(incident, state="resolved", reason="all alerts resolved")),
        entry(22, 14, "future", {"x": 1}),
        entry(23, 14, "plan", None),
    ]
    return full if n is None else full[:n]


RESOLVED = dict(incident, state="resolved", resolved_at_ms=NOW - 46000)
answers = {}   # (method, path) -> (status, object) or a function of (path, body)
asked = []     # (method, path with query, body, headers)


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(body) if body else None
        asked.append((self.command, self.path, body, dict(self.headers)))
        found = answers.get((self.command, self.path.split("?")[0]), (404, {"error": "not_found", "reason": "nothing has this id"}))
        status, value = found(self.path, body) if callable(found) else found
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
URL = "http://127.0.0.1:%d" % server.server_address[1]
home = tempfile.mkdtemp(prefix="healbus-ctl-")
ENV = {"PATH": os.environ["PATH"], "HOME": home, "HEALBUS_URL": URL, "TZ": "UTC", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
for name in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
    if name in os.environ:
        ENV[name] = os.environ[name]


def ctl(*args, stdin="", env=None):
    asked.clear()
    p = subprocess.run([HEALCTL, *args], input=stdin, capture_output=True, text=True, timeout=60, env=dict(ENV, **(env or {})))
    return p.returncode, p.stdout, p.stderr


def on_terminal(*args, columns=80, env=None):
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(HEALCTL, [HEALCTL, *args], dict(ENV, **(env or {})))
    out = b""
    while True:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        out += chunk
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode().replace("\r\n", "\n")


def plain(text):
    import re
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# ---- status, incidents, tools ----

status = {"stage": "notifier", "paused": {"on": True, "by": "bob", "at_ms": NOW - 120000, "reason": "release"},
          "bus": {"connected": True, "version": "2.9.10"}, "incidents": {"open": 2, "escalated": 1, "resolved": 7, "suppressed": 0},
          "approvals_pending": 1, "lag": {"behind": 0}, "executors": [{"executor": "ex-1", "tools": 24, "at_ms": NOW - 5000}]}
answers[("GET", "/api/status")] = (200, status)
rc, out, err = ctl("status")
ok(rc == 0 and "2 open, 1 escalated" in out and "PAUSED by bob" in out and "release" in out and "healctl resume" in out,
   "status says what counts", out + err)
rc, out, err = ctl("status", "--json")
ok(rc == 0 and json.loads(out) == status, "status --json is the API's answer", out + err)

answers[("GET", "/api/incidents")] = (200, {"incidents": [incident, dict(RESOLVED, id="z" * 20, title=EVIL)]})
rc, out, err = ctl("incidents", "--all", "--state", "open")
ok(rc == 0 and INC[:8] in out and "nginx is down" in out and asked[0][1] == "/api/incidents?all=1&state=open",
   "incidents lists and asks for what was wanted", (out, asked))
ok("\x1b" not in out and "\u202e" not in out and "\\x1b" in out, "a hostile title cannot act on the terminal", out)
rc, out = on_terminal("incidents")
ok(rc == 0 and "\x1b[31mred" not in out and "\x1b[1;31mopen" in out, "colours on a terminal are ours only", out)
rc, out = on_terminal("incidents", env={"NO_COLOR": "1"})
ok("\x1b" not in out, "NO_COLOR is heard", out)
rc, out = on_terminal("incidents", "--no-color")
ok("\x1b" not in out, "--no-color is heard", out)
rc, out = on_terminal("incidents", "--json")
ok("\u202e" not in out and "\x1b" not in out and json.loads(out)["incidents"][1]["title"] == EVIL, "JSON on a terminal is escaped", out)
answers[("GET", "/api/incidents")] = (200, {"incidents": []})
rc, out, err = ctl("incidents")
ok(rc == 0 and out == "no incidents\n", "no incidents is said", out)

answers[("GET", "/api/tools")] = (200, {"tools": [{"name": "restart_service", "level": "soft", "runner": "command", "params": ["grace:int"], "can_undo": True, "summary": "Restart it"}]})
rc, out, err = ctl("tools")
ok(rc == 0 and "restart_service" in out and "grace:int" in out and "soft" in out, "tools", out)
answers[("GET", "/api/tools")] = (200, {"tools": []})
rc, out, err = ctl("tools")
ok(rc == 1 and "do: start healbus-executor" in err, "no tools: says what to do", err)

# ---- story ----

answers[("GET", "/api/story/" + INC[:6])] = (200, {"incident": RESOLVED, "story": story()})
rc, out, err = ctl("story", INC[:6])
lines = out.splitlines()
head = out[:out.index("20" + time.strftime("%y", time.gmtime()) + "-")] if rc == 0 else ""
for question, answer in (("what broke", "nginx is down"), ("what was done", "restart_service(nginx, grace=5)"),
                         ("did it help", "yes: done and verified; resolved after 14s"), ("needed of you", "nothing")):
    ok(question in out and answer in out, "story answers: " + question, out)
ok("no answer on port 8080" in out and "service=nginx" in out, "story shows the summary and the labels", out)
ok("approved" in out and "by ann (api)" in out and "may I?" in out, "story shows question and answer", out)
ok(out.count("restart_service(nginx) ") == 1 and "started" not in out, "a step that ended is told once", out)
ok(out.count("told") == 1, "a notice is told once", out)
ok("kind future, which this healctl does not know" in out and "the bus no longer has" in out, "unknown and lost messages are named", out)
ok(all(len(line) <= 100 for line in lines), "lines are wrapped at 100 columns without a terminal", [l for l in lines if len(l) > 100])
rc, out, err = ctl("story", INC[:6], "--all")
ok("started" in out and out.count("told") == 2, "story --all leaves nothing out", out)
rc, out = on_terminal("story", INC[:6], columns=60)
ok(rc == 0 and "●" in out and "✔" in out and all(len(l) <= 60 for l in plain(out).splitlines()), "icons on a terminal, wrapped at its width",
   [l for l in plain(out).splitlines() if len(l) > 60])
rc, out, err = ctl("story", INC[:6], "--json")
ok(rc == 0 and [e["seq"] for e in json.loads(out)["story"]] == list(range(10, 24)), "story --json", out[:200])

answers[("GET", "/api/story/w")] = (200, {"incident": incident, "story": story(4)})
rc, out, err = ctl("story", "w")
ok("an answer until" in out and "healctl approve " + ASK[:8] in out and "waits for your answer" in out, "a waiting story says what to type", out)
answers[("GET", "/api/story/e")] = (200, {"incident": dict(incident, state="escalated", reason="three attempts failed"),
                                          "story": story(3) + [entry(14, 3, "outcome", dict(outcome, verdict="failed", reason="exit 1"))]})
rc, out, err = ctl("story", "e")
ok("look at it: three attempts failed" in out and "no: it failed (exit 1)" in out, "an escalated story says so", out)
taken = entry(15, 9, "control", {"kind": "ack", "by": "ann", "reason": "mine", "incident": INC})
answers[("GET", "/api/story/t")] = (200, {"incident": dict(incident, state="escalated", reason="three attempts failed"),
                                          "story": story(3) + [taken]})
rc, out, err = ctl("story", "t")
ok("taken by ann: mine" in out and "nothing: taken by ann\n" in out and "look at it" not in out, "a story says who has taken it", out)
answers[("GET", "/api/story/u")] = (200, {"incident": incident, "story": story(3) + [entry(14, 3, "step", step("unknown"))]})
rc, out, err = ctl("story", "u")
ok("look at nginx: nobody knows how restart_service ended" in out, "an unknown step needs a look", out)

followed = {"n": 4}


def growing(path, body):
    after = int(path.split("after=")[1]) if "after=" in path else 0
    if after:
        followed["n"] += 4
    now = story(followed["n"])
    state = RESOLVED if followed["n"] >= 12 else incident
    return 200, {"incident": state, "story": [e for e in now if e["seq"] > after]}


answers[("GET", "/api/story/" + INC)] = growing
rc, out, err = ctl("story", INC, "--follow", "--until", "closed", "--timeout", "30s")
ok(rc == 0 and out.count(" asks ") == 1 and out.count("approved") == 1 and out.rstrip().endswith("nothing"),
   "story --follow tells each message once and ends with the answers", out + err)
followed["n"] = 4
rc, out, err = ctl("story", INC, "--follow", "--json")
ok(rc == 0 and [json.loads(l)["seq"] for l in out.splitlines()][:12] == list(range(10, 22)), "story --follow --json is one entry a line", out[:300])
answers[("GET", "/api/story/x")] = (200, {"incident": incident, "story": story(3)})
rc, out, err = ctl("story", "x", "-f", "--timeout", "1s")
ok(rc == 1 and "not over within 1s" in err, "story --follow --timeout gives up", err)
rc, out, err = ctl("story", "e", "-f", "--until=closed")
ok(rc == 1, "an escalated story ends with 1", err)

# ---- plan, approvals, decisions ----

answers[("GET", "/api/plans/" + INC)] = (200, {"plan": plan, "digest": "ab" * 32, "seq": 12, "state": "pending", "approval": approval})
rc, out, err = ctl("plan", INC)
ok(rc == 0 and "restart_service(nginx, grace=5)" in out and "undo with stop_service(nginx)" in out and "ab" * 32 in out
   and "/usr/bin/sv restart nginx" in out and "http_check(nginx)" in out, "plan", out + err)
answers[("POST", "/api/rehearse")] = (202, {"plan": PLAN})
rc, out, err = ctl("plan", INC, "--dry-run")
ok(rc == 0 and asked[-1][2]["plan"] == PLAN and asked[-1][2]["by"] and "nothing is changed" in out, "plan --dry-run", (out, asked))

answers[("GET", "/api/approvals")] = (200, {"approvals": [approval, dict(approval, id="y" * 20, plan_id="y" * 20, incident="a2other" + "x" * 13)]})
rc, out, err = ctl("approvals")
ok(rc == 0 and "/usr/bin/sv restart nginx" in out and "healctl approve " + ASK[:8] in out, "approvals", out)
answers[("POST", "/api/decisions")] = lambda path, body: (200, {"decision": {"by": body["by"], "incident": INC, "verdict": body["verdict"]}})
for word in (ASK[:5], PLAN[:5], INC[:6]):
    rc, out, err = ctl("approve", word, "--reason", "looks right")
    ok(rc == 0 and asked[-1][2]["approval"] == ASK and asked[-1][2]["verdict"] == "approve" and asked[-1][2]["reason"] == "looks right"
       and "/usr/bin/sv restart nginx" in out, "approve by " + word, (out, err, asked))
rc, out, err = ctl("deny", ASK)
ok(rc == 0 and asked[-1][2]["verdict"] == "deny" and "denied by" in out, "deny", out)
rc, out, err = ctl("approve", "a2")
ok(rc == 1 and "more than one" in err and len(asked) == 1, "an ambiguous approve decides nothing", (err, asked))
answers[("POST", "/api/decisions")] = lambda path, body: (
    (409, {"error": "conflict", "reason": "ann denied it at 09:03"}) if "plan" in body else (404, {"error": "not_found", "reason": "no"}))
rc, out, err = ctl("approve", "old")
ok(rc == 1 and "ann denied it" in err, "a second decision is told who decided", err)
answers[("POST", "/api/decisions")] = (404, {"error": "not_found", "reason": "no"})
rc, out, err = ctl("approve", "gone")
ok(rc == 1 and "nothing waits" in err and "do: healctl approvals" in err, "nothing to approve", err)

# ---- silences, pause, changes, dead ----

answers[("POST", "/api/silences")] = (200, {"id": "s" * 20, "ends_at_ms": NOW + 1800000})
rc, out, err = ctl("silence", "add", 'service="db"', 'env=~"dev.*"', "--duration", "30m", "--comment", "moving")
ok(rc == 0 and asked[-1][2]["matchers"] == ['service="db"', 'env=~"dev.*"'] and asked[-1][2]["duration"] == "30m" and "s" * 20 in out, "silence add", (out, err))
rc, out, err = ctl("silence", "add", "service=~(", "-d", "30m")
ok(rc == 64 and not asked, "a broken matcher is refused before asking", (err, asked))
answers[("GET", "/api/silences")] = (200, {"silences": [{"id": "s" * 20, "ends_at_ms": NOW + 1800000, "created_by": "ann", "comment": "moving",
                                                        "matchers": [{"name": "service", "op": "equal", "value": "db"}, {"name": "env", "op": "not_regex", "value": "dev.*"}]}]})
for words in (["silence"], ["silence", "ls", "--all"]):
    rc, out, err = ctl(*words)
    ok(rc == 0 and 'service="db" env!~"dev.*"' in out and "ann" in out, " ".join(words), out + err)
answers[("DELETE", "/api/silences/ssss")] = (200, {"id": "s" * 20})
rc, out, err = ctl("silence", "expire", "ssss")
ok(rc == 0 and asked[-1][0] == "DELETE" and "by=" in asked[-1][1], "silence expire", (out, err, asked))

answers[("POST", "/api/pause")] = answers[("POST", "/api/resume")] = (200, {"paused": {"on": True}})
rc, out, err = ctl("pause", "--reason", "fire")
ok(rc == 0 and asked[-1][1] == "/api/pause" and asked[-1][2]["reason"] == "fire" and "no new action starts" in out, "pause", out)
rc, out, err = ctl("resume")
ok(rc == 0 and asked[-1][1] == "/api/resume" and "resumed" in out, "resume", out)

answers[("POST", "/api/ack")] = lambda path, body: (200, {"incident": INC, "by": body["by"]})
rc, out, err = ctl("ack", INC[:6], "--reason", "mine")
ok(rc == 0 and asked[-1][2]["incident"] == INC[:6] and asked[-1][2]["reason"] == "mine" and "taken by " + asked[-1][2]["by"] in out
   and INC[:8] in out, "ack", (out, err, asked))
answers[("POST", "/api/ack")] = (409, {"error": "conflict", "reason": "ambiguous: a2inc2, a2other"})
rc, out, err = ctl("ack", "a2")
ok(rc == 1 and "a2other" in err, "an ambiguous ack takes nothing", (rc, err))

answers[("GET", "/api/changes")] = (200, {"changes": [{"id": STEP, "tool": "restart_service", "target": "nginx", "what": "/usr/bin/sv restart nginx", "at_ms": NOW,
                                                       "incident": INC, "undoable": True, "undone_by": None}]})
rc, out, err = ctl("changes", "--limit", "5")
ok(rc == 0 and STEP[:8] in out and "sv restart" in out and " yes " in out and asked[-1][1].endswith("limit=5"), "changes", out)
answers[("POST", "/api/undo")] = (202, {"change": STEP, "incident": INC})
rc, out, err = ctl("undo", STEP[:8])
ok(rc == 0 and asked[-1][2]["change"] == STEP[:8] and "story " + INC[:8] in out, "undo", out)

answers[("GET", "/api/dead")] = (200, {"dead": [{"seq": 7, "stage": "monitor", "subject": "raw.demo", "error": "labels: not an object", "at_ms": NOW, "bytes": 12}]})
for words in (["dead"], ["dead", "ls"]):
    rc, out, err = ctl(*words)
    ok(rc == 0 and "labels: not an object" in out and "raw.demo" in out, " ".join(words), out + err)
answers[("GET", "/api/dead/7")] = (200, {"seq": 7, "stage": "monitor", "subject": "raw.demo", "error": "bad", "at_ms": NOW, "bytes": 12, "encoding": "text", "data": "{\x1b[2J"})
rc, out, err = ctl("dead", "show", "7")
ok(rc == 0 and "\x1b" not in out and "{\\x1b[2J" in out, "dead show", out)
answers[("POST", "/api/dead/7/requeue")] = (202, {"seq": 7})
rc, out, err = ctl("dead", "requeue", "7")
ok(rc == 0 and asked[-1][1] == "/api/dead/7/requeue", "dead requeue", out)
rc, out, err = ctl("dead", "show", "../status")
ok(rc == 64 and not asked, "a sequence number is a number", (err, asked))
rc, out, err = ctl("story", "../../healthz")
ok(rc == 1 and asked[-1][1] == "/api/story/..%2F..%2Fhealthz", "an id cannot name another resource", asked)

# ---- errors and exit codes ----

for status_code, expect, hint in ((401, 1, "token"), (403, 1, "healctl people"), (409, 1, "longer prefix"), (500, 1, "log"), (503, 69, "doctor")):
    answers[("GET", "/api/status")] = (status_code, {"error": "x", "reason": "because " + EVIL, "candidates": ["abc", "abd"]})
    rc, out, err = ctl("status")
    ok(rc == expect and "because" in err and "  do: " in err and hint in err and "\x1b" not in err and "abd" in err, "HTTP %d is explained" % status_code, (rc, err))
answers[("GET", "/api/status")] = (200, b"<html>")
rc, out, err = ctl("status")
ok(rc == 69 and "not a healbus notifier" in err, "something else answers", err)
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    closed = "http://127.0.0.1:%d" % s.getsockname()[1]
rc, out, err = ctl("status", "--url", closed)
ok(rc == 69 and "is healbus-notifier running?" in err, "nobody there: 69", err)
for words in (["nope"], ["ack"], ["story"], ["story", "a", "b"], ["status", "--nope"], ["status", "--url"], ["incidents", "--all=1"], ["help", "nope"],
              ["story", "x", "--timeout", "soon"], ["completion", "fish"], ["publish", "no.dots"]):
    rc, out, err = ctl(*words)
    ok(rc == 64 and "  do: " in err and not out, "wrong usage: " + " ".join(words), (rc, out, err))

token = os.path.join(home, "token")
with open(token, "w") as f:
    f.write("sesame\n")
os.chmod(token, 0o600)
answers[("GET", "/api/status")] = (200, status)
rc, out, err = ctl("--token-file", token, "status")
ok(rc == 0 and asked[-1][3].get("Authorization") == "Bearer sesame", "the token is sent", asked)
rc, out, err = ctl("status", env={"HEALBUS_TOKEN_FILE": token})
ok(rc == 0 and asked[-1][3].get("Authorization") == "Bearer sesame", "HEALBUS_TOKEN_FILE", asked)
os.makedirs(home + "/.config/healbus")
shutil.copy(token, home + "/.config/healbus/token")
rc, out, err = ctl("status")
ok(rc == 0 and asked[-1][3].get("Authorization") == "Bearer sesame", "~/.config/healbus/token", asked)
os.chmod(home + "/.config/healbus/token", 0o644)
rc, out, err = ctl("status")
ok(rc == 64 and "chmod 600" in err and not asked, "a token that others can read is not used", (rc, err))
os.unlink(home + "/.config/healbus/token")

# ---- help, completion, manual, topics ----

rc, out, err = ctl("help")
commands = [line.split("  ")[1] for line in out.splitlines() if line.startswith("  ") and line[2:3].islower()]
ok(rc == 0 and len(commands) >= 24, "help lists the commands", out)
for name in ("status", "incidents", "story", "plan", "approve", "deny", "ack", "tools", "topics", "publish", "silence add", "pause", "resume", "changes",
             "undo", "dead ls", "doctor", "completion"):
    rc, out, err = ctl(*name.split(), "--help")
    ok(rc == 0 and out.startswith("healctl " + name), name + " --help", (rc, out, err))
rc, out, err = ctl("topics")
ok(rc == 0 and "heal.plan.<incident>" in out, "topics", out)
rc, out, err = ctl("topics", "--nats-users")
ok(rc == 0 and "accounts" in out and '"heal.decision.*"' in out, "topics --nats-users", out)
rc, out, err = ctl("--version")
ok(rc == 0 and out.startswith("healctl "), "--version", out)

answers[("GET", "/api/incidents")] = (200, {"incidents": [incident]})
rc, script, err = ctl("completion", "bash")


def complete(*words):
    test = script + '\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\n_healctl\nprintf "%%s\\n" "${COMPREPLY[@]}"\n' % (" ".join("'%s'" % w for w in words), len(words) - 1)
    p = subprocess.run(["bash", "-c", test], capture_output=True, text=True, env=dict(ENV, PATH=os.path.abspath(BUILD) + ":" + ENV["PATH"]), timeout=30)
    return p.stdout.split()


ok("silence" in complete("healctl", "si") and "story" in complete("healctl", "st"), "bash completes commands", complete("healctl", ""))
ok(complete("healctl", "silence", "") == ["add", "ls", "expire"], "bash completes second words", complete("healctl", "silence", ""))
ok("--follow" in complete("healctl", "story", "--f"), "bash completes options", complete("healctl", "story", "--f"))
ok(complete("healctl", "story", "a2") == [INC], "bash completes ids", complete("healctl", "story", "a2"))
if shutil.which("zsh"):
    rc, script, err = ctl("completion", "zsh")
    ok(subprocess.run(["zsh", "-n"], input=script, text=True).returncode == 0, "the zsh script parses")
else:
    skip("the zsh script parses", "no zsh")
rc, out, err = ctl("manual")
ok(rc == 0 and out.startswith(".TH healctl 1") and ".SS story INCIDENT" in out, "manual", out[:200])
rc, out, err = ctl("manual", "healbus-executor")
ok(rc == 0 and ".TH healbus-executor 1" in out and "http.listen" in out.replace("\\-", "-"), "manual of a stage shows its options", (rc, out[:500], err))
if shutil.which("groff"):
    for page in ([], ["healbus-monitor"]):
        rc, out, err = ctl("manual", *page)
        p = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=out, capture_output=True, text=True)
        ok(p.returncode == 0 and not p.stderr, "groff has nothing to say about the man page %s" % " ".join(page), p.stderr)

server.shutdown()
shutil.rmtree(home)
sys.exit(done())
