#!/usr/bin/env python3
"""People, votes, tokens and notifiers that die or run twice, against a real nats-server. TAP."""
import http.server
import json
import os
import shutil
import signal
import sys
import threading

from lib import done, now_ms, ok, wait_for
from lib_notifier import World, approval, incident, outcome

NAMES = ("ann", "bob", "cem", "eve", "ops", "adm")
PEOPLE = """
people:
  - {name: ann, roles: [approver], groups: [db], token_file: DIR/ann.token}
  - {name: bob, roles: [approver, operator], groups: [db], github: bobs-login, token_file: DIR/bob.token}
  - {name: cem, roles: [approver], token_file: DIR/cem.token}
  - {name: eve, roles: [viewer], token_file: DIR/eve.token}
  - {name: ops, roles: [operator], token_file: DIR/ops.token}
  - {name: adm, roles: [admin], token_file: DIR/adm.token}
approvers:
  - {tools: ['drop_*'], people: ['group:db'], count: 2}
  - {tools: [reboot], people: [cem]}
"""


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets. kill: a process that dies after it has sent, before it hears so."""
    got = []
    kill = None
    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if Hook.status == 200:
            Hook.got.append((self.headers.get("Idempotency-Key"), json.loads(body)))
        if Hook.kill:
            os.kill(Hook.kill.pid, signal.SIGKILL)
            Hook.kill.wait()
            Hook.kill = None
            return
        self.send_response(Hook.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def unthrottle(w):
    with open(w.dir + "/etc/notifier.yaml") as f:
        text = f.read()
    with open(w.dir + "/etc/notifier.yaml", "w") as f:
        f.write(text.replace("fallback: [log]}", "fallback: [log], throttle: {limit: 0}}"))


def token_of(name):
    return name * 16


def write_tokens(w):
    for name in NAMES:
        with open("%s/%s.token" % (w.dir, name), "w") as f:
            f.write(token_of(name) + "\n")
        os.chmod(f.name, 0o600)


class People(World):
    """Asks with somebody's own token; what is only read, with ann's."""

    def raw(self, method, path, body=None, token=None):
        by = (body or {}).get("by") if isinstance(body, dict) else None
        return super().raw(method, path, body, token or token_of(by or "ann"))


def hook_start(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def hook_stop(server):
    server.shutdown()
    server.server_close()


def plan(of, tool, target, **more):
    return dict({"id": "plan-" + of, "incident": of, "attempt": 1, "created_at_ms": now_ms(),
                 "steps": [{"tool": tool, "target": target}]}, **more)


def ask(w, name, tool="restart", wait_ms=60000, **more):
    w.send("incident", name, incident(name))
    w.send("plan", name, plan(name, tool, "db-1", **more))
    w.send("approval", name, approval("ask-" + name, name, "plan-" + name, now_ms() + wait_ms))
    w.caught_up()


def answer(w, name, by, verdict="approve"):
    return w.call("POST", "/api/decisions",
                  {"approval": "ask-" + name, "verdict": verdict, "by": by})


def decisions(w, name):
    return [m["message"] for m in w.dump("STORY", "heal.decision." + name)]


def metric(w, name, labels):
    text = w.raw("GET", "/metrics")[1].decode()
    for line in text.splitlines():
        if line.startswith(name + "{") and all(l in line for l in labels):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


def test_two_persons(w):
    ask(w, "two", "drop_table")
    first = answer(w, "two", "ann")
    again = answer(w, "two", "ann")
    ok([first[0], again[0]] == [202, 202] and again[1]["votes"] == 1 and again[1]["needed"] == 2,
       "one yes of two is a vote, however often it is said", (first, again))
    ok(decisions(w, "two") == [], "and decides nothing")
    no = [answer(w, "two", who) for who in ("cem", "eve", "ops", "stranger")]
    ok([s for s, _ in no] == [403, 403, 403, 401], "who may not vote is refused", no)
    last = answer(w, "two", "bob")
    ok(last[0] == 200 and last[1]["decision"]["by"] == "ann, bob", "the second decides", last)
    stored = decisions(w, "two")
    ok(len(stored) == 1 and stored[0]["verdict"] == "approve" and stored[0]["by"] == "ann, bob"
       and len(stored[0]["signature"]) == 128, "one signed decision by both", stored)
    votes = [m["message"]["by"] for m in w.dump("STORY", "heal.control.two")]
    ok(votes == ["ann", "bob"], "each vote is on the bus once", votes)


def test_both_at_once(w):
    """Whoever's vote is stored later sees both."""
    for n in range(5):
        ask(w, "rush%d" % n, "drop_table")
    got = {}

    def give(n, who):
        got[(n, who)] = answer(w, "rush%d" % n, who)

    threads = [threading.Thread(target=give, args=(n, who)) for n in range(5)
               for who in ("ann", "bob")]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    made = [decisions(w, "rush%d" % n) for n in range(5)]
    ok(all(len(d) == 1 and d[0]["by"] == "ann, bob" for d in made),
       "two who vote at once decide, each time", (got, made))


def test_one_no(w):
    ask(w, "no", "drop_table")
    answer(w, "no", "ann")
    status, body = answer(w, "no", "cem", "deny")
    ok(status == 200 and body["decision"]["verdict"] == "deny" and
       body["decision"]["by"] == "cem", "one no of any approver is enough", body)
    status, body = answer(w, "no", "bob")
    ok(status == 409 and "denied by cem" in body["reason"], "who comes later is told by whom", body)


def test_rights(w):
    ask(w, "own", requested_by="ann")
    ask(w, "login", requested_by="bobs-login")
    own = answer(w, "own", "ann")
    ok(own[0] == 403 and "asked for this plan" in own[1]["reason"],
       "who asked for a plan cannot approve it", own)
    ok(answer(w, "login", "bob")[0] == 403, "nor under the login it was asked with")
    ok(answer(w, "own", "bob")[0] == 200, "somebody else can")
    ask(w, "boot", "reboot")
    status, body = answer(w, "boot", "ann")
    ok(status == 403 and "cem may" in body["reason"], "a tool's approvers are named", body)
    ok(answer(w, "boot", "cem")[0] == 200, "and may")
    ok(metric(w, "healbus_answers_total", ['channel="api"', 'result="denied"']) >= 4,
       "refusals are counted by why")
    status, body = w.raw("GET", "/api/people", token=token_of("adm"))
    body = json.loads(body)
    ok(status == 200 and [p["name"] for p in body["people"]] == list(NAMES)
       and body["people"][1]["known_to"] == ["github"] and "bobs-login" not in json.dumps(body),
       "people are listed without their ids elsewhere", body)


def test_late(w):
    ask(w, "late", wait_ms=1000)
    wait_for("the deadline", lambda: decisions(w, "late"))
    status, body = answer(w, "late", "ann")
    ok(status == 409 and decisions(w, "late")[0]["verdict"] == "expired",
       "after the deadline nobody can say yes", body)


def test_door(w):
    got = [w.raw("POST", "/channel/" + n, {})[0] for n in ("nope", "log", "hook")]
    ok(got == [404, 404, 404], "channels that take no requests have no door", got)
    ok(w.raw("POST", "/channel/hook/more", {})[0] == 404 and w.raw("PUT", "/channel/hook")[0] == 405,
       "the path is exact, the method too")


def crashed_votes(w):
    """The last voter's notifier died between the vote and the decision."""
    ask(w, "crash", "drop_table")

    def say(token, who, msg_id):
        w.send("control", token, {"id": "v-" + who, "kind": "vote", "by": who, "approval": "ask-crash", "incident": "crash",
                                  "at_ms": now_ms()}, msg_id)

    for who in ("ann", "bob"):
        say("crash", who, "forged-" + who)
    w.env["BUSCTL_SIGN_KEY"] = w.dir + "/decision.key"
    for who in ("ann", "bob"):
        say("tick", who, "elsewhere-" + who)
    say("crash", "bob", "vote:ask-crash:bob")
    say("crash", "eve", "vote:ask-crash:eve")
    buried = wait_for("the misplaced", lambda: [d for d in w.dump("DEAD") if "vote belongs on" in d["message"].get("error", "")])
    ok(len(buried or []) == 2 and not decisions(w, "crash"), "votes that no notifier signed, or said where they do not belong, count for nothing",
       (buried, decisions(w, "crash")))
    say("crash", "ann", "vote:ask-crash:ann")
    del w.env["BUSCTL_SIGN_KEY"]
    made = wait_for("the decision", lambda: decisions(w, "crash"))
    ok(made and made[0]["by"] == "ann, bob" and made[0]["verdict"] == "approve",
       "votes that nobody counted are counted", made)


def told(kind, of):
    return [b for _, b in Hook.got if b.get("kind") == kind and b.get("incident") == of]


def test_decided(w):
    ask(w, "tell")
    wait_for("the question", lambda: told("approval", "tell"))
    wait_for("its record", lambda: sent(w, "tell", "approval"))
    answer(w, "tell", "ann")
    news = wait_for("the news", lambda: told("decided", "tell"))
    ok(news and news[0]["subject"] == "approved by ann: tell is down",
       "whoever was asked is told by whom it was answered", news)


def sent(w, of, kind):
    return [m["message"] for m in w.dump("STORY", "heal.notice." + of)
            if m["message"]["state"] == "sent" and m["message"]["kind"] == kind]


def test_feedback(w):
    w.send("incident", "fb", incident("fb"))
    w.send("plan", "fb", plan("fb", "restart", "web-1"))
    w.send("outcome", "fb", outcome("out-fb", "fb", "plan-fb", "chg-fb"))
    asked = wait_for("the question", lambda: told("feedback", "fb"))
    ok(asked and asked[0]["subject"] == "did it hold? fb is down", "a repair is asked about", asked)

    def say(by, held):
        return w.call("POST", "/api/feedback", {"incident": "fb", "by": by, "held": held})

    ok([say("eve", True)[0], say("stranger", True)[0], say("ann", "yes")[0]] == [403, 401, 400],
       "not everybody may say, nor anything")
    ok(say("ops", False)[0] == 200, "an operator says that it did not hold")
    w.caught_up()
    status, body = say("ann", True)
    ok(status == 409 and "ops said already" in body["reason"], "the first word stands", body)
    said = [m["message"] for m in w.dump("STORY", "heal.control.fb")]
    ok(len(said) == 1 and said[0]["kind"] == "feedback" and said[0]["held"] is False,
       "and is on the bus", said)


def test_killed_between_send_and_record(w):
    for n in range(3):
        name = "kill%d" % n
        Hook.kill = w.stage
        w.send("incident", name, incident(name))
        died = wait_for("the death", lambda: w.stage.poll() is not None)
        w.start()
        wait_for("the record", lambda: sent(w, name, "opened"))
        got = [(key, b) for key, b in Hook.got if b.get("incident") == name]
        keys = {key for key, _ in got}
        ok(died and len(got) == 2 and len(keys) == 1,
           "killed between sending and recording: one repeat, under the same key", got)
        ok(got and "repeat" not in got[0][1]["subject"] and
           got[-1][1]["subject"].startswith("(may be a repeat) "), "and it says so", got)
        ok(sent(w, name, "opened")[0].get("repeated") is True, "on the bus as well")


class Second(People):
    """Another notifier on the same bus, with the same keys."""

    def __init__(self, first):
        super().__init__()
        self.nats_port = first.nats_port
        self.hook_port = first.hook_port
        self.env = first.env
        self.first = first

    def configure(self, extra="", token=None):
        os.makedirs(self.dir + "/etc", exist_ok=True)
        shutil.copy(self.first.dir + "/etc/bus.yaml", self.dir + "/etc/bus.yaml")
        with open(self.first.dir + "/etc/notifier.yaml") as f:
            text = f.read()
        text = text.replace("state_dir: " + self.first.dir, "state_dir: " + self.dir)
        text = text.replace("listen: 127.0.0.1:%d" % self.first.port,
                            "listen: 127.0.0.1:%d" % self.port)
        with open(self.dir + "/etc/notifier.yaml", "w") as f:
            f.write(text + "\nreplica: 2\n")


def view(w):
    return [w.raw("GET", "/api/incidents?all=1")[1], w.raw("GET", "/api/changes")[1]]


def resets(w):
    return sum(
        float(l.rsplit(" ", 1)[1]) for l in w.raw("GET", "/metrics")[1].decode().splitlines()
        if "resets" in l and not l.startswith("#"))


def test_two_notifiers(w):
    second = Second(w)
    second.configure()
    try:
        ok(second.start(), "a second notifier starts on the same bus")
        second.caught_up()
        before = len(Hook.got)
        names = ["pair%d" % n for n in range(30)]
        for name in names:
            w.send("incident", name, incident(name))
        for each in (w, second):
            each.caught_up()
        wait_for("every notice", lambda: all(told("opened", n) for n in names))
        wait_for("every record", lambda: all(sent(w, n, "opened") for n in names))
        per = [len(told("opened", n)) for n in names]
        ok(per == [1] * len(names), "of two notifiers one sends each notice", per)
        queued = [m["message"]["id"] for m in w.dump("STORY", "heal.notice.>")
                  if m["message"]["state"] == "queued"]
        ok(len(queued) == len(set(queued)), "both queue it, the bus keeps one")
        ok(view(w) == view(second), "both know the same")
        ok([resets(w), resets(second)] == [1.0, 1.0], "neither takes the other's place",
           (resets(w), resets(second)))
        ask(w, "half", "drop_table")
        second.caught_up()
        one, two = answer(w, "half", "ann"), answer(second, "half", "bob")
        ok(one[0] == 202 and two[0] == 200 and two[1]["decision"]["by"] == "ann, bob",
           "a vote at each, and the second decides", (one, two))
        w.stop(signal.SIGKILL)
        for name in ("alone1", "alone2"):
            w.send("incident", name, incident(name))
        alone = wait_for("the other", lambda: told("opened", "alone1") and told("opened", "alone2"))
        ok(alone, "when one is killed the other goes on")
        w.start()
        w.caught_up()
        second.caught_up()
        wait_for("the records", lambda: sent(w, "alone1", "opened"))
        ok([len(told("opened", n)) for n in ("alone1", "alone2")] == [1, 1],
           "and nothing is said twice when it is back")
        second.stop()
    finally:
        second.close()


def test_every_channel_dead(w, server):
    """The hook is gone, and the fallback's file cannot be written."""
    hook_stop(server)
    os.rename(w.dir + "/told.txt", w.dir + "/told.away") if os.path.exists(
        w.dir + "/told.txt") else None
    os.mkdir(w.dir + "/told.txt")
    ask(w, "deaf-hard", wait_ms=12000)  # it is to be seen before its end
    ask(w, "deaf-told", wait_ms=60000)
    status, body = w.call("GET", "/api/approvals")
    ok({"ask-deaf-hard", "ask-deaf-told"} <= {a["id"] for a in body["approvals"]},
       "with every channel dead the questions wait, and can be seen", body)
    ok(answer(w, "deaf-told", "ann")[0] == 200, "and answered without a channel")
    gone = wait_for("silence", lambda: decisions(w, "deaf-hard"), 60)
    ok(gone and gone[0]["verdict"] == "expired", "what nobody answers is a no", gone)
    failed = wait_for("the records", lambda: [
        m["message"] for m in w.dump("STORY", "heal.notice.deaf-hard")
        if m["message"]["state"] == "failed" and m["message"]["kind"] == "approval"], 60)
    ok(failed, "a question that reached nobody is recorded as failed", failed)
    server = hook_start(w.hook_port)
    back = wait_for("the rest", lambda: told("opened", "deaf-hard") and told("opened", "deaf-told"),
                    120)
    ok(back, "when the channel is back everything else that was to be told is told")
    os.rmdir(w.dir + "/told.txt")
    return server


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w = People()
    server = hook_start(w.hook_port)
    try:
        w.start_nats()
        w.busctl("provision")
        write_tokens(w)
        w.configure(PEOPLE.replace("DIR", w.dir) + "token_key_file: %s/token.key\nfeedback_after: 1s\n" % w.dir)
        unthrottle(w)
        ok(w.start(), "starts and is ready")
        for test in (test_two_persons, test_both_at_once, test_one_no, test_rights, test_late,
                     test_door, crashed_votes, test_decided, test_feedback,
                     test_killed_between_send_and_record, test_two_notifiers):
            test(w)
        server = test_every_channel_dead(w, server)
        ok(w.stop() == 0, "stops")
    finally:
        w.close()
        hook_stop(server)
    return done()


if __name__ == "__main__":
    sys.exit(main())
