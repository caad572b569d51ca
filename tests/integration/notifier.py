#!/usr/bin/env python3
"""The notifier against a real nats-server: API, decisions, expiry, rebuilding, channels. TAP."""
import json
import os
import shutil
import signal
import sys
import threading

from lib import done, now_ms, ok, wait_for
from lib_notifier import DIGEST, Hook, World, approval, incident, outcome, plan


def ask(w, name, deadline_ms):
    w.send("incident", name, incident(name))
    w.send("plan", name, plan("plan-" + name, name))
    w.send("approval", name, approval("ask-" + name, name, "plan-" + name, deadline_ms))
    w.caught_up()


def test_race(w):
    ask(w, "race", now_ms() + 60000)
    status, body = w.call("GET", "/api/approvals")
    ok(status == 200 and [a["id"] for a in body["approvals"]] == ["ask-race"],
       "the approval waits", body)
    answers = []

    def decide(n):
        answers.append(w.call("POST", "/api/decisions", {
            "incident": "race", "verdict": "approve" if n % 2 else "deny", "by": "human%d" % n}))

    threads = [threading.Thread(target=decide, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    won = [b for s, b in answers if s == 200]
    lost = [b for s, b in answers if s == 409]
    ok(len(won) == 1 and len(lost) == 19, "of 20 decisions at once one is taken", answers)
    winner = won[0]["decision"]["by"] if won else "?"
    ok(all(winner + " at" in b["reason"] for b in lost), "the others are told who decided", lost)
    stored = w.dump("STORY", "heal.decision.race")
    ok(len(stored) == 1 and stored[0]["message"]["by"] == winner, "the bus holds that one", stored)
    ok(len(stored[0]["message"].get("signature", "")) == 128 and
       stored[0]["message"]["plan_digest"] == DIGEST, "it is signed and bound to the digest")
    key = w.dir + "/decision.key"
    ok(os.path.exists(key + ".pub") and os.stat(key).st_mode & 0o077 == 0,
       "the key is private, its public half beside it")
    w.caught_up()
    status, body = w.call("POST", "/api/decisions",
                          {"approval": "ask-race", "verdict": "approve", "by": "late"})
    ok(status == 409 and winner in body["reason"], "the projection says so later as well", body)
    status, body = w.call("GET", "/api/plans/race")
    ok(status == 200 and body["state"] in ("approved", "denied") and
       body["plan"]["id"] == "plan-race" and body["decision"]["by"] == winner,
       "the plan shows its decision", body)


def test_expiry(w):
    ask(w, "slow", now_ms() + 1500)
    expired = wait_for("the decision of the deadline",
                       lambda: w.dump("STORY", "heal.decision.slow"))
    ok(expired and expired[0]["message"]["verdict"] == "expired" and
       expired[0]["message"]["by"] == "deadline", "silence until the deadline is a no", expired)
    status, body = w.call("POST", "/api/decisions",
                          {"plan": "plan-slow", "verdict": "approve", "by": "ann"})
    ok(status == 409 and "reason" in body, "an answer after the deadline is refused", body)
    ok(len(w.dump("STORY", "heal.decision.slow")) == 1, "and not stored")


def test_refusals(w):
    cases = [
        ({"approval": "nope", "verdict": "approve", "by": "ann"}, 404),
        ({"verdict": "approve", "by": "ann"}, 400),
        ({"approval": "ask-race", "verdict": "maybe", "by": "ann"}, 400),
        ({"approval": "ask-race", "verdict": "approve"}, 400),
        ({"approval": "ask-race", "verdict": "approve", "by": "a\nb"}, 400),
        ({"approval": "ask-", "verdict": "approve", "by": "ann"}, 409),
    ]
    got = [w.call("POST", "/api/decisions", body)[0] for body, _ in cases]
    ok(got == [want for _, want in cases], "wrong questions are refused by kind", got)
    ok(w.raw("GET", "/api/incidents/none")[0] == 404 and w.raw("POST", "/api/status")[0] == 405 and
       w.raw("POST", "/api/pause", ["x"])[0] == 400, "404, 405 and 400")


def test_controls(w):
    status, body = w.call("POST", "/api/pause", {"by": "ann", "reason": "deploy"})
    ok(status == 200 and body["paused"]["on"] is True, "pause", body)
    w.caught_up()
    paused = w.call("GET", "/api/status")[1]["paused"]
    ok(paused["on"] and paused["by"] == "ann" and paused["reason"] == "deploy", "status says so")
    w.call("POST", "/api/resume", {"by": "ann"})
    w.caught_up()
    ok(w.call("GET", "/api/status")[1]["paused"]["on"] is False, "resume")
    status, made = w.call("POST", "/api/silences", {
        "matchers": ["service=\"db\"", "severity=~\"warning|info\""], "duration": "2h",
        "by": "ann", "comment": "planned"})
    ok(status == 200 and made["id"], "a silence", made)
    w.caught_up()
    listed = w.call("GET", "/api/silences")[1]["silences"]
    ok([s["id"] for s in listed] == [made["id"]] and len(listed[0]["matchers"]) == 2,
       "is listed", listed)
    bad = [w.raw("POST", "/api/silences", b)[0] for b in (
        {"matchers": [], "duration": "2h", "by": "ann"},
        {"matchers": ["a=\"b\""], "duration": "x", "by": "ann"},
        {"matchers": ["a~b"], "duration": "1h", "by": "ann"},
        {"matchers": ["a=\"b\""], "duration": "1h"})]
    ok(bad == [400] * 4, "bad silences are refused", bad)
    status, _ = w.call("DELETE", "/api/silences/%s?by=ann" % made["id"][:8])
    w.caught_up()
    ok(status == 200 and w.call("GET", "/api/silences")[1]["silences"] == [] and
       len(w.call("GET", "/api/silences?all=1")[1]["silences"]) == 1, "and expired")


def test_changes(w):
    w.send("incident", "chg", incident("chg"))
    w.send("plan", "chg", plan("plan-chg", "chg"))
    w.send("outcome", "chg", outcome("out-chg", "chg", "plan-chg", "change-1"))
    w.caught_up()
    changes = w.call("GET", "/api/changes")[1]["changes"]
    ok(len(changes) == 1 and changes[0]["undoable"] is True and changes[0]["incident"] == "chg",
       "a change is listed and can be undone", changes)
    status, body = w.call("POST", "/api/undo", {"change": "change", "by": "ann", "reason": "oops"})
    asked = w.dump("STORY", "heal.control.chg")
    ok(status == 202 and asked[0]["message"]["kind"] == "undo" and
       asked[0]["message"]["change"] == "change-1", "undo is asked for on the bus", asked)
    status, body = w.call("POST", "/api/rehearse", {"plan": "plan-chg", "by": "ann"})
    asked = w.dump("STORY", "heal.decision.chg")
    ok(status == 202 and asked[0]["message"]["verdict"] == "rehearse", "so is a rehearsal", asked)


def test_ack(w):
    w.send("incident", "ack-one", incident("ack-one"))
    w.send("incident", "ack-two", incident("ack-two"))
    w.caught_up()
    status, body = w.call("POST", "/api/ack", {"incident": "ack-o", "by": "ann", "reason": "mine"})
    said = [m["message"] for m in w.dump("STORY", "heal.control.ack-one")]
    ok(status == 200 and body == {"incident": "ack-one", "by": "ann"}, "an incident is taken", body)
    ok(len(said) == 1 and [said[0].get(k) for k in ("kind", "incident", "by", "reason")] ==
       ["ack", "ack-one", "ann", "mine"], "the bus says who has it", said)
    w.caught_up()
    story = w.call("GET", "/api/story/ack-one")[1]["story"]
    ok("control" in [e["kind"] for e in story], "so does its story", story)
    bad = [w.raw("POST", "/api/ack", b)[0] for b in (
        {"incident": "ack-", "by": "ann"}, {"incident": "none", "by": "ann"}, {"by": "ann"},
        {"incident": "ack-one"})]
    ok(bad == [409, 404, 404, 400], "of several, none, or by nobody: refused", bad)
    ok([len(w.dump("STORY", "heal.control." + i)) for i in ("ack-one", "ack-two")] == [1, 0],
       "and not said")


def test_tools(w):
    w.send("control", "catalogue", {"id": "cat", "kind": "catalogue", "at_ms": now_ms(),
                                    "executor": "host:1",
                                    "tools": [{"name": "restart", "level": "soft"}]})
    w.caught_up()
    tools = w.call("GET", "/api/tools")[1]["tools"]
    ok(len(tools) == 1 and tools[0]["name"] == "restart" and tools[0]["level"] == "soft",
       "the catalogue's tools", tools)


def test_dead(w):
    w.publish_packed("dead", "dead.monitor", {"id": "d1", "stage": "monitor", "subject": "raw.check", "seq": 7,
                               "error": "event.name: too long", "at_ms": now_ms(),
                               "content_type": "application/json; trust=none",
                               "data": b"{\"a\":1}".hex()})
    w.publish_packed("dead", "dead.reasoner", {"id": "d2", "stage": "reasoner", "subject": "heal.plan.x",
                                "error": "x", "at_ms": now_ms(), "data": "ff00"})
    dead = w.call("GET", "/api/dead")[1]["dead"]
    ok([d["stage"] for d in dead] == ["reasoner", "monitor"] and dead[1]["bytes"] == 7,
       "dead messages, newest first", dead)
    one = w.call("GET", "/api/dead/%d" % dead[1]["seq"])[1]
    other = w.call("GET", "/api/dead/%d" % dead[0]["seq"])[1]
    ok(one["data"] == "{\"a\":1}" and other["data"] == "ff00" and other["encoding"] == "hex",
       "with their bytes", (one, other))
    back = w.raw("POST", "/api/dead/%d/requeue" % dead[1]["seq"], {"by": "ann"})[0]
    no = w.raw("POST", "/api/dead/%d/requeue" % dead[0]["seq"], {"by": "ann"})[0]
    ok(back == 202 and no == 409, "raw messages can be put back, others not", (back, no))
    again = w.dump("RAW", "raw.check")
    ok(len(again) == 1 and again[0].get("content_type") == "application/json; trust=none",
       "it is on the bus again, as little trusted as before", again)


def snapshot(w):
    texts = [w.raw("GET", "/api/incidents?all=1")[1]]
    for i in json.loads(texts[0])["incidents"]:
        texts.append(w.raw("GET", "/api/story/" + i["id"])[1])
        texts.append(w.raw("GET", "/api/incidents/" + i["id"])[1])
    texts.append(w.raw("GET", "/api/changes")[1])
    return texts


def undecided(w):
    """Notices that will soon become SENT or FAILED: the questions, and what the fallback gets."""
    notices = [m["message"] for m in w.dump("STORY", "heal.notice.>")]
    final = {n["id"] for n in notices if n["state"] != "queued"}
    return [n for n in notices if n["state"] == "queued" and n["id"] not in final and
            (n["kind"] == "approval" or n["channel"] == "log")]


def said(w):
    """Without what the stage says now and then about the bus's health."""
    return [m for m in w.dump("STORY") if m["subject"] != "heal.control.health"]


def test_rebuild(w):
    wait_for("the bus is quiet", lambda: not undecided(w))
    w.caught_up()
    before = snapshot(w)
    messages = len(said(w))
    ok(w.stop() == 0, "SIGTERM drains and exits 0")
    shutil.rmtree(w.dir + "/state")
    w.start()
    w.caught_up()
    after = snapshot(w)
    ok(b'"message":null' not in b"".join(before), "stories are read back from the bus")
    ok(len(before) >= 8 and before == after, "without its LMDB every incident and story is the same",
       [(a, b) for a, b in zip(before, after) if a != b][:1])
    ok(len(said(w)) == messages, "and nothing is said twice on the bus",
       [m["subject"] for m in said(w)[messages:]])


def told():
    return [key for _, key, _ in Hook.got]


def test_dead_channel(w):
    """The hook is down; approvals go to the fallback; it comes back; the process dies meanwhile."""
    for n in range(5):
        w.send("incident", "dead%d" % n, incident("dead%d" % n))
    w.caught_up()
    wait_for("retries", lambda: b'result="retried"' in w.raw("GET", "/metrics")[1])
    w.stop(signal.SIGKILL)
    w.start()
    w.hook_on()
    wait_for("every incident is known", lambda: len(due_on_hook(w)) >= 5)
    wait_for("every notice", lambda: set(told()) >= due_on_hook(w), 90)
    due = due_on_hook(w)
    ok(set(told()) == due and len(told()) == len(due),
       "after the channel is back each notice came once", (len(due), len(told())))
    sent = wait_for("the records", lambda: len([
        m for m in w.dump("STORY", "heal.notice.>") if m["message"]["state"] == "sent" and
        m["message"]["channel"] == "hook"]) == len(due))
    ok(sent, "each is recorded as sent")


def due_on_hook(w):
    notices = [m["message"] for m in w.dump("STORY", "heal.notice.>")]
    failed = {n["id"] for n in notices if n["state"] == "failed"}
    return {n["id"] for n in notices
            if n["state"] == "queued" and n["channel"] == "hook" and n["id"] not in failed}


def test_fallback(w):
    """Questions do not wait for a dead channel."""
    ask(w, "lost", now_ms() + 600000)  # not to be decided in the middle of what follows

    def probe():
        try:
            with open(w.dir + "/told.txt") as f:
                return "healctl approve ask-lost" in f.read()
        except OSError:
            return False
    asked = wait_for("the fallback", probe)
    ok(asked, "a question whose channel is dead went to the fallback")


def test_token(w):
    token = w.dir + "/token"
    with open(token, "w") as f:
        f.write("sesame\n")
    os.chmod(token, 0o600)
    w.stop()
    w.configure(token=token)
    w.start()
    ok(w.raw("GET", "/api/status")[0] == 401, "with a token file nobody is let in without")
    ok(w.raw("GET", "/api/status", token="sesame")[0] == 200, "and with it one is")


def test_models(w):
    """What the reasoner says of its exchanges: a model that fails, a budget that is used up."""
    for n in range(5):
        w.send("model", "asked", {"id": "x%d" % n, "incident": "asked", "state": "exchanged", "provider": "north", "prompt": "why?",
                                  "error": "HTTP 500: boom", "started_at_ms": now_ms(), "budget_permille": 1000})
    def texts(word):
        return [n["message"] for n in w.dump("STORY", "heal.notice.>") if word in n["message"].get("text", "")]
    ok(wait_for("the notices", lambda: texts("used up"), 90), "that the day's budget is used up is told")
    ok(wait_for("the other", lambda: texts("north since"), 90), "and a model that fails", texts("Healbus"))


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w = World()
    try:
        w.start_nats()
        w.busctl("provision")
        w.configure()
        ok(w.start(), "starts and is ready")
        status, body = w.call("GET", "/api/status")
        ok(status == 200 and body["bus"]["connected"] and body["bus"]["version"], "status", body)
        for test in (test_race, test_expiry, test_refusals, test_controls, test_changes, test_ack,
                     test_tools, test_dead, test_fallback, test_rebuild, test_dead_channel, test_token,
                     test_models):
            test(w)
        ok(w.stop() == 0, "stops")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
