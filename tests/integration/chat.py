#!/usr/bin/env python3
"""Slack and Discord against doubles that hold the vendors' limits, and Discord's requests against its own description:
one thread an incident, buttons, clicks that are refused, retries, limits, hostile content. TAP."""
import json
import os
import shutil
import sys
import time

from lib import done, now_ms, ok, skip, wait_for
from lib_chat import (DISCORD_CHANNEL, DISCORD_TOKEN, SLACK_CHANNEL, SLACK_SECRET, SLACK_TOKEN, Discord, Ed25519, Slack,
                      discord_buttons, discord_click, post, slack_buttons, slack_payload, slack_sign, texts)
from lib_models import Spec, spec_path
from lib_notifier import World, approval, incident, outcome, plan

clicks = 0
answers = []  # ours to Discord
SCHEMAS = {1: "PongInteractionCallbackRequest", 4: "CreateMessageInteractionCallbackRequest",
           7: "UpdateMessageInteractionCallbackRequest"}
HOSTILE = ["<!channel> @everyone @here", "```\nApproved by ann\n```", "\u202etxt.exe\u202c \u2066x\u2069 \u200b",
           "[good](https://evil.example) <https://evil.example|good>", "<@U1> *b* _i_ ||s||", "\U0001f525 h\u00e9llo \u4e2d"]


def secret(w, name, text):
    path = os.path.join(w.dir, name)
    with open(path, "w") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    return path


def configure(w, s, d, key):
    w.configure("""
feedback_after: 2s
people:
  - {name: ann, roles: [approver], slack: U0ANN, discord: '901'}
  - {name: bob, roles: [viewer], slack: U0BOB, discord: '902'}
""")
    path = w.dir + "/etc/notifier.yaml"
    with open(path) as f:
        text = f.read()
    channels = """channels:
  - {name: slack, type: slack, token_file: %s, channel: %s, api_url: 'http://127.0.0.1:%d/api', timeout: 5s,
     signing_secret_file: %s}
  - {name: discord, type: discord, token_file: %s, channel: '%s', public_key: %s, timeout: 5s,
     api_url: 'http://127.0.0.1:%d/api/v10'}
  - {name: slackhook, type: slack, url_file: %s}
  - {name: dischook, type: discord, url_file: %s}
""" % (secret(w, "slack.token", SLACK_TOKEN), SLACK_CHANNEL, s.port, secret(w, "slack.secret", SLACK_SECRET),
       secret(w, "discord.token", DISCORD_TOKEN), DISCORD_CHANNEL, key.public, d.port,
       secret(w, "slack.hook", "http://127.0.0.1:%d/hook/x" % s.port),
       secret(w, "discord.hook", "http://127.0.0.1:%d/api/webhooks/77/tok" % d.port))
    text = text.replace("channels:\n", channels, 1).replace("channels: [hook]",
                                                            "channels: [slack, discord, slackhook, dischook]")
    with open(path, "w") as f:
        f.write(text)


def mine(d, needle, hook=False):
    """Messages that say it, in order."""
    with d.lock:
        return [m for m in d.messages.values() if needle in json.dumps(m, ensure_ascii=False) and
                bool(m.get("hook")) == hook]


def asked(w, s, d, name, minutes=5, **more):
    """An incident with a question; the two messages with buttons."""
    w.send("incident", name, incident(name))
    w.caught_up()
    wait_for("the incident is told", lambda: mine(s, name) and mine(d, name))
    w.send("plan", name, plan("plan-" + name, name))
    w.send("approval", name, dict(approval("ask-" + name, name, "plan-" + name, now_ms() + minutes * 60000), **more))
    return wait_for("the question is asked", lambda: [
        ([m for m in mine(s, name) if slack_buttons(m)] or [None])[-1],
        ([m for m in mine(d, name) if "Approve" in discord_buttons(m)] or [None])[-1]]
        if any(slack_buttons(m) for m in mine(s, name)) and any(discord_buttons(m) for m in mine(d, name)) else None)


def slack_click(w, user, message, value, age_s=0, **how):
    global clicks
    clicks += 1
    body = slack_payload(user, message, value, clicks, how.get("channel", SLACK_CHANNEL))
    at = int(time.time()) - age_s
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Slack-Request-Timestamp": str(at),
               "X-Slack-Signature": how.get("signature") or slack_sign(body, at)}
    return post("http://127.0.0.1:%d/channel/slack" % w.port, body, headers) + (body, headers)


def discord_send(w, key, body, age_s=0, signature=None):
    at = str(int(time.time()) - age_s)
    headers = {"Content-Type": "application/json", "X-Signature-Timestamp": at,
               "X-Signature-Ed25519": signature or key.sign(at.encode() + body)}
    status, text = post("http://127.0.0.1:%d/channel/discord" % w.port, body, headers)
    if status == 200:
        answers.append(json.loads(text))
    return status, text, headers


def said(s, since, needle):
    return wait_for("Slack shows " + needle, lambda: [
        r["body"] for r in s.calls("chat.postEphemeral", since) if needle in json.dumps(r["body"])])


def metric(w, name, *labels):
    for line in w.raw("GET", "/metrics")[1].decode().splitlines():
        if line.startswith(name + "{") and all(x in line for x in labels):
            return float(line.rsplit(" ", 1)[1])
    return 0


def test_thread(w, s, d):
    w.send("incident", "one", incident("one"))
    first = wait_for("told", lambda: mine(s, "one") and mine(d, "one") and mine(d, "one", True))
    ok(first and len(mine(s, "one")) == 1 and len(mine(d, "one")) == 1, "an incident is one message at each")
    recorded = wait_for("recorded", lambda: [m["message"] for m in w.dump("STORY", "heal.notice.one")
                                             if m["message"]["state"] == "sent" and m["message"].get("ref")][2:])
    ok(recorded, "what the vendors call the messages is recorded with SENT", w.dump("STORY", "heal.notice.one"))
    w.caught_up()
    w.send("plan", "one", plan("plan-one", "one"))
    w.send("outcome", "one", outcome("out-one", "one", "plan-one", "change-one"))
    w.send("incident", "one", incident("one", "resolved", 2, resolved_at_ms=now_ms()))
    done = wait_for("resolved", lambda: any("resolved" in m["text"] and m.get("thread_ts") for m in mine(s, "one")) and
                    any("resolved" in m["embeds"][0].get("title", "") and m.get("message_reference")
                        for m in mine(d, "one")))
    # The first message is edited by itself, after or before what follows is sent.
    wait_for("edited", lambda: mine(d, "one", True)[0].get("edited") and all(
        x[0].get("edited") and "resolved" in json.dumps(x[0]) for x in (mine(s, "one"), mine(d, "one"))))
    root, droot = mine(s, "one")[0], mine(d, "one")[0]
    ok(done and not root.get("thread_ts") and
       all(m["thread_ts"] == root["ts"] for m in mine(s, "one")[1:]), "Slack: what follows is in its thread")
    ok(root.get("edited") and "resolved" in root["text"], "and the first says how it stands", root)
    ok(all(m["message_reference"]["message_id"] == droot["id"] for m in mine(d, "one")[1:]),
       "Discord: what follows answers the first", mine(d, "one"))
    ok(droot.get("edited") and "resolved" in json.dumps(droot["embeds"]), "which says how it stands")
    hook = mine(d, "one", True)
    ok(hook and hook[0].get("edited") and not any(m.get("components") for m in hook),
       "a webhook edits too, without buttons")
    ok(not any(m.get("reply_broadcast") and not slack_buttons(m) for m in mine(s, "one")), "nothing to do: not shown outside the thread")


def test_feedback(w, s, d, key):
    """A while after the repair of the first."""
    asked = wait_for("did it hold?", lambda: [m for m in mine(d, "one") if "It held" in discord_buttons(m)])
    buttons = discord_buttons(asked[0])
    answer = json.loads(discord_send(w, key, discord_click("901", buttons["It held"], 11))[1])
    told = [m["message"] for m in w.dump("STORY", "heal.control.one") if m["message"]["kind"] == "feedback"]
    ok(len(told) == 1 and told[0]["held"] and told[0]["by"] == "ann" and told[0]["channel"] == "discord" and
       answer["type"] == 7 and answer["data"]["components"] == [], "whether it held is answered by a button", (told, answer))
    sm = wait_for("asked", lambda: [m for m in mine(s, "one") if "held" in slack_buttons(m)])
    since = len(s.seen)
    w.caught_up()
    slack_click(w, "U0ANN", sm[0], slack_buttons(sm[0])["not_held"]["value"])
    ok(said(s, since, "said already"), "and counts once")
    gone = wait_for("no buttons", lambda: not slack_buttons(s.messages[sm[0]["ts"]]))
    ok(gone and "did it hold" in json.dumps(s.messages[sm[0]["ts"]]["blocks"]), "Slack: the buttons go when they are used, the words stay",
       s.messages[sm[0]["ts"]])


def test_approve(w, s, d, key):
    sm, dm = asked(w, s, d, "two")
    buttons, dbuttons = slack_buttons(sm), discord_buttons(dm)
    ok(sorted(buttons) == ["approve", "deny", "info"] and "confirm" in buttons["approve"] and
       sm.get("thread_ts") and sm.get("reply_broadcast"), "Slack: three buttons, hard asks twice, shown in the channel", sm)
    ok(sorted(discord_buttons(dm)) == ["Approve", "Deny", "More info"] and
       all(len(v) <= 100 for v in discord_buttons(dm).values()), "Discord: three buttons", dm)
    ok("plan-two" not in json.dumps(buttons), "a button carries no plan")
    since = len(s.seen)
    start = time.monotonic()
    status, text, _, _ = slack_click(w, "U0ANN", sm, buttons["info"]["value"])
    ok(status == 200 and text == b"" and time.monotonic() - start < 3, "More info is taken within three seconds")
    shown = said(s, since, "systemctl restart nginx")
    ok(shown and shown[0]["user"] == "U0ANN" and shown[0].get("thread_ts") == sm["thread_ts"],
       "and shown to who asked, in the thread", shown)
    status, text, _ = discord_send(w, key, discord_click("902", discord_buttons(dm)["More info"], 21))
    answer = json.loads(text)
    ok(status == 200 and answer["type"] == 4 and answer["data"]["flags"] == 64 and
       "systemctl restart nginx" in json.dumps(answer) and not Discord.errors(answer["data"]),
       "Discord: the same, for a viewer's eyes only", answer)
    since = len(s.seen)
    status = slack_click(w, "U0ANN", sm, buttons["approve"]["value"])[0]
    stored = wait_for("the decision", lambda: w.dump("STORY", "heal.decision.two"))
    ok(status == 200 and stored and stored[0]["message"]["by"] == "ann" and
       stored[0]["message"]["verdict"] == "approve" and stored[0]["message"]["channel"] == "slack",
       "a click approves, by name", stored)
    ok(said(s, since, "ann"), "who clicked is told")
    ok(wait_for("the buttons go", lambda: not slack_buttons(s.messages[sm["ts"]]) and
                "ann" in json.dumps(s.messages[sm["ts"]])), "Slack: the buttons go, and it says by whom")
    ok(wait_for("the buttons go", lambda: not discord_buttons(d.messages[dm["id"]]) and
                "ann" in json.dumps(d.messages[dm["id"]])), "Discord: there as well")
    status, text, _ = discord_send(w, key, discord_click("901", dbuttons["Deny"], 22))
    answer = json.loads(text)
    ok(status == 200 and "ann" in json.dumps(answer) and answer["type"] == 7 and answer["data"]["components"] == [],
       "a click that comes second is told who was first, and loses its buttons", answer)
    ok(len(w.dump("STORY", "heal.decision.two")) == 1, "one decision wins")


def test_refused(w, s, d, key):
    sm, dm = asked(w, s, d, "three")
    yes = slack_buttons(sm)["approve"]["value"]
    dyes = discord_buttons(dm)["Approve"]
    bad = slack_click(w, "U0ANN", sm, yes, signature="v0=" + "0" * 64)[0]
    ok(bad == 401, "Slack: a wrong signature is 401", bad)
    old = slack_click(w, "U0ANN", sm, yes, age_s=301)[0]
    ok(old == 401, "one that is older than five minutes is refused", old)
    ahead = slack_click(w, "U0ANN", sm, yes, age_s=-310)[0]
    ok(ahead == 401, "or from the future", ahead)
    since = len(s.seen)
    status = slack_click(w, "U0BOB", sm, yes)[0]
    ok(status == 200 and said(s, since, "bob"), "who may not approve is told so")
    since = len(s.seen)
    status, _, body, headers = slack_click(w, "U0XXX", sm, yes)
    ok(status == 200 and said(s, since, "nobody in this notifier"), "so is a stranger")
    again = post("http://127.0.0.1:%d/channel/slack" % w.port, body, headers)[0]
    ok(again == 409, "a click that is sent again is refused", again)
    since = len(s.seen)
    slack_click(w, "U0ANN", sm, dyes)
    ok(said(s, since, "not one of ours"), "Discord's token is none at Slack")
    ok(metric(w, "healbus_channel_requests_total", 'channel="slack"', 'result="unauthenticated"') >= 3 and
       metric(w, "healbus_channel_requests_total", 'channel="slack"', 'result="conflict"') >= 1 and
       metric(w, "healbus_answers_total", 'channel="slack"', 'result="denied"') >= 2, "each is counted")
    other = Ed25519(w.dir, "other")
    click = discord_click("901", dyes, 31)
    ok(discord_send(w, other, click)[0] == 401 and discord_send(w, key, click, signature="00" * 64)[0] == 401,
       "Discord: a wrong signature is 401, as its probes want")
    ok(discord_send(w, key, click, age_s=301)[0] == 401, "an old one is refused")
    status, text, _ = discord_send(w, key, json.dumps({"type": 1, "id": "1"}).encode())
    ok(status == 200 and json.loads(text) == {"type": 1}, "PING is answered by PONG")
    status, text, headers = discord_send(w, key, discord_click("902", dyes, 32))
    answer = json.loads(text)
    ok(status == 200 and answer["type"] == 4 and answer["data"]["flags"] == 64 and "bob" in text.decode(),
       "who may not approve is told so", answer)
    again = post("http://127.0.0.1:%d/channel/discord" % w.port, discord_click("902", dyes, 32), headers)[0]
    ok(again == 409, "a click that is sent again is refused", again)
    ok(json.loads(discord_send(w, key, discord_click("999", dyes, 33))[1])["type"] == 4, "so is a stranger")
    ok(not w.dump("STORY", "heal.decision.three"), "and nothing was decided")
    ok(post("http://127.0.0.1:%d/channel/slackhook" % w.port, b"x", {})[0] == 404 and
       post("http://127.0.0.1:%d/channel/nope" % w.port, b"x", {})[0] == 404, "channels without clicks have no door")


def test_expired(w, s, d, key):
    w.send("incident", "four", incident("four"))
    w.send("plan", "four", plan("plan-four", "four"))
    w.send("approval", "four", approval("ask-four", "four", "plan-four", now_ms() + 8000))  # time to be seen, too
    sm = wait_for("asked", lambda: [m for m in mine(s, "four") if slack_buttons(m)])
    yes = slack_buttons(dict(sm[0]))["approve"]["value"] if sm else ""
    wait_for("the deadline", lambda: w.dump("STORY", "heal.decision.four"))
    w.caught_up()
    since = len(s.seen)
    status = slack_click(w, "U0ANN", sm[0], yes)[0]
    shown = wait_for("told", lambda: s.calls("chat.postEphemeral", since))
    ok(status == 200 and shown and len(w.dump("STORY", "heal.decision.four")) == 1 and
       w.dump("STORY", "heal.decision.four")[0]["message"]["verdict"] == "expired", "an expired button decides nothing and says so", shown)


def quiet(w):
    """No notice is on its way: what is counted from here on is what the test asks for."""
    def probe():
        notices = [m["message"] for m in w.dump("STORY", "heal.notice.>")]
        return {n["id"] for n in notices} == {n["id"] for n in notices if n["state"] != "queued"}
    w.caught_up()
    wait_for("all notices are told", probe)


def test_faults(w, s, d):
    quiet(w)
    s.next("chat.postMessage", 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
    s.next("chat.postMessage", 200, {"ok": False, "error": "internal_error"})
    d.next("/messages", 429, {"message": "You are being rate limited.", "retry_after": 0.65, "global": False},
           {"X-RateLimit-Reset-After": "0.65"})
    d.next("/messages", 502, b"<html>Bad gateway</html>")
    start, before = time.monotonic(), (len(s.calls("chat.postMessage")), len(d.calls("/messages")))
    w.send("incident", "five", incident("five"))
    told = wait_for("told after all", lambda: mine(s, "five") and mine(d, "five"), 40)
    ok(told and time.monotonic() - start >= 1, "429 with Retry-After, and errors that pass, are tried again")
    ok(len(s.calls("chat.postMessage")) - before[0] == 3 and len(mine(s, "five")) == 1 and len(mine(d, "five")) == 1,
       "three calls, one message")
    s.next("chat.postMessage", 200, {"ok": False, "error": "channel_not_found"})
    d.next("/messages", 400, b'{"message": "Invalid Form Body \x1b[2J"}')
    w.send("incident", "six", incident("six"))

    def given_up():
        failed = [m["message"]["error"] for m in w.dump("STORY", "heal.notice.six") if m["message"]["state"] == "failed"]
        return failed if len(failed) == 2 else None
    failed = wait_for("given up", given_up)
    errors = json.dumps(failed)
    ok(failed and "channel_not_found" in errors and "Invalid Form Body" in errors and "\\\\x1b" in errors,
       "what the vendor refused is failed at once, and why is recorded", failed)
    root = mine(s, "five")[0]
    w.caught_up()
    with s.lock:
        del s.messages[root["ts"]]
    droot = mine(d, "five")[0]
    with d.lock:
        del d.messages[droot["id"]]
    w.send("incident", "five", incident("five", "resolved", 2, resolved_at_ms=now_ms()))
    ok(wait_for("told anew", lambda: mine(s, "five") and mine(d, "five")), "a deleted first message is no obstacle")


def test_long(w, s, d):
    name, lines = "long", ["step %d: " % i + "\u00e9<&>`" * 120 for i in range(20)]
    sm, dm = asked(w, s, d, name, rendered=lines)
    whole = [m for m in mine(s, name) if "approval needed" in json.dumps(m)]
    dwhole = [m for m in mine(d, name) if m["embeds"] and "```" in m["embeds"][0].get("description", "")]
    text = "".join(t for m in whole for k, t in texts(m["blocks"]) if k == "text")
    dtext = "".join(m["embeds"][0]["description"] for m in dwhole)
    ok(all("step %d:" % i in text for i in range(20)) and "ask-long" in text, "Slack: a long plan comes whole, in parts",
       len(whole))
    ok(all("step %d:" % i in dtext for i in range(20)) and "ask-long" in dtext, "so at Discord", len(dwhole))
    ok(slack_buttons(sm) and sum(bool(slack_buttons(m)) for m in whole) == 1 and
       sum("Approve" in discord_buttons(m) for m in mine(d, name)) == 1, "the buttons are under the last part, once")


def test_hostile(w, s, d):
    for i, bad in enumerate(HOSTILE):
        w.send("incident", "bad%d" % i, incident("bad%d" % i, title=bad, labels={"service": bad, "n": "bad%d" % i}))
    ok(wait_for("all are told", lambda: all(mine(s, "n=bad%d" % i) and mine(d, "n=bad%d" % i)
                                            for i in range(len(HOSTILE)))), "hostile titles and labels are told")
    shown = [t for m in s.messages.values() for k, t in texts(m.get("blocks", [])) + [("text", m["text"])]]
    ok(not any(c in t for t in shown for c in "<>\x1b\u202e\u202c") and
       all(t.count("```") in (0, 2) for t in shown if t.startswith("```")), "Slack: none formats, links, mentions or hides")
    dshown = [(k, t) for m in d.messages.values() for k, t in texts(m["embeds"])]
    ok(not any(c in t for k, t in dshown for c in "\x1b\u202e\u202c") and
       all(t.count("```") == 2 for k, t in dshown if k == "description") and
       all(m["allowed_mentions"] == {"parse": []} for m in d.messages.values()), "nor at Discord")
    ok(any("\U0001f525 h\u00e9llo \u4e2d" in t for t in shown) and any("\U0001f525 h\u00e9llo \u4e2d" in t for _, t in dshown),
       "what is only unicode stays")
    ok(all(r["body"].get("link_names") is False for r in s.seen if r["path"].startswith("/hook")),
       "the incoming webhook's too")


def properties(spec, schema):
    """Every property that a schema or one of its alternatives names."""
    parts = schema.get("anyOf", []) + schema.get("oneOf", [])
    if "$ref" in schema:
        return properties(spec, spec.at(schema["$ref"]))
    return set(schema.get("properties", {})).union(*[properties(spec, p) for p in parts])


def test_published(s, d):
    ok(not s.wrong and not d.wrong, "no request was over a published limit", s.wrong + d.wrong)
    path = spec_path("discord.json")
    if not os.path.exists(path):
        skip("requests against Discord's description", "no specs")
        return
    spec = Spec(path)
    found = []
    for method, template, body in d.judged:
        schema = spec.doc["paths"][template][method]["requestBody"]["content"]["application/json"]["schema"]
        names = properties(spec, schema)
        found += ["%s %s: %s" % (method, template, e) for e in spec.errors(schema, body)]
        found += ["%s %s: %s is no property" % (method, template, k) for k in body if k not in names]
    ok(len({(m, t) for m, t, _ in d.judged}) == 4 and not found,
       "%d requests agree with Discord's description" % len(d.judged), found[:5])
    found = []
    for answer in answers:
        schema = {"$ref": "#/components/schemas/" + SCHEMAS[answer["type"]]}
        names = properties(spec, spec.doc["components"]["schemas"][SCHEMAS[answer["type"]]]["properties"].get("data", {}))
        found += spec.errors(schema, answer) + [k for k in answer.get("data", {}) if k not in names]
    ok({a["type"] for a in answers} == {1, 4, 7} and not found, "so do %d answers to clicks" % len(answers), found[:5])


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w, s, d = World(), Slack(), Discord()
    try:
        key = Ed25519(w.dir)
        w.start_nats()
        w.busctl("provision")
        configure(w, s, d, key)
        ok(w.start(), "starts with the chats configured")
        test_thread(w, s, d)
        test_feedback(w, s, d, key)
        test_approve(w, s, d, key)
        test_refused(w, s, d, key)
        test_expired(w, s, d, key)
        test_faults(w, s, d)
        test_long(w, s, d)
        test_hostile(w, s, d)
        test_published(s, d)
        ok(w.stop() == 0, "stops")
        with open(w.dir + "/notifier.log") as f:
            log = f.read()
        ok(not any(x in log for x in (SLACK_TOKEN, SLACK_SECRET, DISCORD_TOKEN, "webhooks/77/tok")), "no secret in the log")
    finally:
        s.close()
        d.close()
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
