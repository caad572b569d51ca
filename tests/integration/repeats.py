#!/usr/bin/env python3
"""What may have come through to a chat is said again, and says so; what came for sure is not said twice. TAP."""
import json
import shutil
import signal
import sys

from chat import mine, secret
from lib import done, now_ms, ok, wait_for
from lib_chat import SLACK_CHANNEL, SLACK_SECRET, SLACK_TOKEN, Slack, slack_buttons, texts
from lib_notifier import World, approval, incident, plan

MARK = "may be a repeat"
SECOND = 2  # messages before a question's second one: the incident's, and its first
LINES = ["step %d: " % i + "<&>`" * 120 for i in range(20)]  # more than one message takes


def configure(w, s):
    w.configure("notice_workers: 1  # another would begin a message anew\n")
    path = w.dir + "/etc/notifier.yaml"
    with open(path) as f:
        text = f.read()
    text = text.replace("channels:\n", "channels:\n  - {name: slack, type: slack, token_file: %s, channel: %s, timeout: 5s, "
                        "api_url: 'http://127.0.0.1:%d/api', signing_secret_file: %s}\n" %
                        (secret(w, "token", SLACK_TOKEN), SLACK_CHANNEL, s.port, secret(w, "secret", SLACK_SECRET)), 1)
    with open(path, "w") as f:
        f.write(text.replace("channels: [hook]", "channels: [slack]").replace("approval_give_up_after: 2s", "approval_give_up_after: 1m"))


def posts(s):
    return s.calls("chat.postMessage")


def shown(s, name):
    return "\n".join(t for m in mine(s, name) for key, t in texts(m["blocks"]) if key == "text")


def ask(w, s, name):
    """An incident, told; then a question that takes several messages."""
    w.send("incident", name, incident(name))
    w.caught_up()
    wait_for("the incident is told", lambda: mine(s, name))
    w.send("plan", name, plan("plan-" + name, name))
    w.send("approval", name, dict(approval("ask-" + name, name, "plan-" + name, now_ms() + 300000), rendered=LINES))


def whole(s, name):
    return wait_for("the question", lambda: any(slack_buttons(m) for m in mine(s, name)), 40)


def test_lost(w, s):
    s.go.set()
    s.next("chat.postMessage", None)
    w.send("incident", "lost", incident("lost"))
    ok(wait_for("again", lambda: len(mine(s, "lost")) == 2, 40), "an answer is lost: it is said again")
    ok([MARK in json.dumps(m) for m in mine(s, "lost")] == [False, True], "and says that it may be a repeat", shown(s, "lost"))


def test_refused(w, s):
    s.next("chat.postMessage", 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "1"})
    w.send("incident", "refused", incident("refused"))
    ok(wait_for("told", lambda: mine(s, "refused")) and MARK not in shown(s, "refused"),
       "what was refused did not come through: no such word", shown(s, "refused"))


def test_half(w, s):
    s.next("chat.postMessage", 200, {"ok": False, "error": "internal_error"}, after=SECOND)
    ask(w, s, "half")
    ok(whole(s, "half"), "a question whose second message failed comes whole")
    text = shown(s, "half")
    ok([text.count("step %d:" % i) for i in range(20)] == [1] * 20 and MARK not in text, "it goes on where it stopped",
       (MARK in text, [text.count("step %d:" % i) for i in range(20)]))


def test_killed(w, s):
    s.go.clear()
    s.next("chat.postMessage", None, after=SECOND)
    before = len(posts(s))
    ask(w, s, "killed")
    wait_for("two messages of it are out", lambda: len(posts(s)) >= before + 3)
    w.stop(signal.SIGKILL)
    s.go.set()
    ok(w.start() and whole(s, "killed"), "killed in the middle of a question: the next one asks it")
    text = shown(s, "killed")
    ok(text.count("step 0:") == 2 and text.count("step 19:") == 1 and text.count(MARK) >= 1,
       "from its beginning, and says that it may be a repeat", [text.count("step %d:" % i) for i in range(20)])


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w, s = World(), Slack()
    try:
        w.start_nats()
        w.busctl("provision")
        configure(w, s)
        ok(w.start(), "starts with a chat")
        test_lost(w, s)
        test_refused(w, s)
        test_half(w, s)
        test_killed(w, s)
    finally:
        s.go.set()
        s.close()
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
