#!/usr/bin/env python3
"""An incident without a runbook, the real reasoner, a real nats-server and a scripted double of a model's API: whatever
the first provider does, the next one answers or a human is told; all of it is on the bus. TAP."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import lib_models
from lib import failures, free_port, ok, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", ROOT + "/build")
EDITS = "<<<<<<< SEARCH a.c\nint x = 1;\n=======\nint x = 2;\n>>>>>>> REPLACE\n"
lib_models.GOOD = {"analysis": "x is wrong", "confidence": 0.8, "edits": EDITS, "title": "Set x", "steps": [],
                   "give_up": ""}
KEY = "sk-canary-4f1d9a7733b2e6c0"
FAULTS = {  # what the first provider does: what the exchange says of it
    "hang": "deadline",
    "slow": "deadline",
    "500": "500",
    "429": "429",
    "garbage": "JSON",
    "truncated": "JSON",
    "400": "400",
    "endless": "large",
    "early": "",
    "refusal": "refus",
}
CONFIG = """
state_dir: %(dir)s/state
http: {listen: "127.0.0.1:%(port)d"}
runbooks_dir: %(dir)s/runbooks
context: {github: {enabled: false}}
models:
  jitter: 0s
  budget: {incident: {tokens: %(tokens)d}}
  providers:
%(providers)s
"""


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="healbus-diagnosis-")
        self.nats_port, self.port, self.stage, self.n = free_port(), free_port(), None, 0
        self.double = lib_models.Double()
        self.env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % self.nats_port)
        for name in ("etc", "runbooks"):
            os.mkdir(self.dir + "/" + name)
        with open(self.dir + "/key", "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(KEY + "\n")
        self.nats = subprocess.Popen(["nats-server", "-js", "-sd", self.dir + "/nats", "-a", "127.0.0.1", "-p",
                                      str(self.nats_port)], stderr=subprocess.DEVNULL)
        self.busctl("up", "20")
        self.busctl("provision")

    def busctl(self, *args, data=None):
        return subprocess.run([BUILD + "/tests/integration/busctl", *args], input=data, capture_output=True,
                              env=self.env, timeout=60).stdout.decode()

    def story(self, kind, incident):
        return [json.loads(line)["message"] for line in
                self.busctl("dump", "STORY", "heal.%s.%s" % (kind, incident)).splitlines()]

    def start(self, *names, tokens=1000000):
        self.stop()
        providers = "".join(
            '    - {name: "%s", kind: openai_chat, url: "http://127.0.0.1:%d/%s/v1/chat/completions", model: m,'
            " timeout: 1s, key_file: %s/key, max_tokens: 1000}\n" % (name, self.double.port, name, self.dir)
            for name in names)
        with open(self.dir + "/etc/reasoner.yaml", "w") as f:
            f.write((CONFIG if names else CONFIG.partition("models:")[0]) % {"dir": self.dir, "port": self.port, "tokens": tokens, "providers": providers})
        self.log = open(self.dir + "/log", "ab")
        self.stage = subprocess.Popen([BUILD + "/healbus-reasoner", "-c", self.dir + "/etc"], stderr=self.log,
                                      env=self.env)
        wait_for("the reasoner is ready", lambda: subprocess.run(
            ["curl", "-sf", "-m", "2", "http://127.0.0.1:%d/readyz" % self.port], capture_output=True).returncode == 0)

    def stop(self):
        if self.stage:
            self.stage.send_signal(signal.SIGTERM)
            self.stage.wait(20)
            self.stage = None

    def build_fails(self):
        self.n += 1
        incident = {"id": "i%d" % self.n, "key": "k%d" % self.n, "state": "open", "revision": 1, "trusted": True,
                    "severity": "error", "set_by": "monitor", "title": "build failed",
                    "labels": {"alertname": "CIFailure", "branch": "topic", "repository": "octo-org/web",
                               "job": "test", "workflow": "CI"},
                    "events": [{"id": "e%d" % self.n, "source": "github", "fingerprint": "0123456789abcdef",
                                "status": "firing", "annotations": {"sha": "a" * 40, "pr": "7", "base": "main"}}]}
        self.busctl("send", "incident", incident["id"], "-", "m-" + incident["id"],
                    data=json.dumps(incident).encode())
        return incident["id"]

    def close(self):
        self.stop()
        self.double.close()
        self.nats.kill()
        self.nats.wait()
        os.environ.get("KEEP") or shutil.rmtree(self.dir, ignore_errors=True)


def exchanges(w, incident):
    return [m for m in w.story("model", incident) if m.get("state") == "exchanged"]


def answered(w, incident):
    return [m for m in w.story("model", incident) if m.get("state") == "answered"]


def test_next_provider(w):
    for fault, says in FAULTS.items():
        w.double.modes = {"first": fault, "second": "ok"}
        w.start("first", "second")
        i = w.build_fails()
        plans = wait_for("a plan", lambda: w.story("plan", i), 30)
        told = exchanges(w, i)
        first = [e for e in told if e.get("provider") == "first"]
        good = [e for e in told if e.get("provider") == "second"]
        ok(len(plans) == 1 and plans[0]["provenance"] == "model" and good and not good[-1].get("error"),
           "%s: the next provider answers" % fault, (plans, told))
        ok(first and all(e.get("error") for e in first) and says in first[0]["error"],
           "%s: the exchange says so" % fault, first)
        ok([len(answered(w, i)), plans[0]["diagnosis"] == answered(w, i)[0]["id"]] == [1, True],
           "%s: one diagnosis, and the plan names it" % fault)


def test_nobody(w):
    for fault in ("500", "garbage", "hang"):
        w.double.modes = {"only": fault}
        w.start("only")
        i = w.build_fails()
        told = wait_for("an escalation", lambda: [m for m in w.story("incident", i) if m["state"] == "escalated"], 30)
        ok("only" in told[0]["reason"] and not w.story("plan", i),
           "%s and nobody else: a human is told who failed" % fault, told)


def test_refused(w):
    """The shape is right, what is proposed is not."""
    w.double.modes = {"only": "wrong_schema"}
    w.start("only")
    i = w.build_fails()
    told = wait_for("an escalation", lambda: [m for m in w.story("incident", i) if m["state"] == "escalated"], 30)
    ok("confidence" in told[0]["reason"] and not w.story("plan", i), "a proposal against the rules: no plan, and why",
       told)


def test_budget(w):
    w.double.modes, before = {"only": "ok"}, len(w.double.seen)
    w.start("only", tokens=100)
    i = w.build_fails()
    told = wait_for("an escalation", lambda: [m for m in w.story("incident", i) if m["state"] == "escalated"], 30)
    ok("budget" in told[0]["reason"] and len(w.double.seen) == before, "a budget too small: nothing is asked", told)


def test_none(w):
    w.start()
    i = w.build_fails()
    told = wait_for("an escalation", lambda: [m for m in w.story("incident", i) if m["state"] == "escalated"], 30)
    ok("no model is configured" in told[0]["reason"] and answered(w, i)[0]["diagnosis"].get("failure_type"),
       "without models it still classifies, routes and escalates", told)


def test_killed(w):
    """kill -9 while the model is asked: the question is asked again, one diagnosis comes."""
    w.double.modes = {"first": "hang", "second": "ok"}
    w.start("first", "second")
    i = w.build_fails()
    wait_for("the question is under way", lambda: any(s["name"] == "first" and s["body"] for s in w.double.seen[-1:]))
    w.stage.kill()
    w.stage.wait()
    w.stage = None
    w.start("first", "second")
    plans = wait_for("a plan", lambda: w.story("plan", i), 60)
    ok(len(plans) == 1 and len(answered(w, i)) == 1, "killed while asking: one diagnosis, one plan", plans)


def test_secrets(w):
    everything = w.busctl("dump", "STORY", ">") + open(w.dir + "/log", errors="replace").read()
    bodies = b"".join(s["raw"] for s in w.double.seen)
    ok(KEY not in everything and KEY.encode() not in bodies, "the key is in no message, log or prompt")


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip nats-server is missing")
        return 0
    print("1..%d" % (3 * len(FAULTS) + 8))
    w = World()
    try:
        for test in (test_next_provider, test_nobody, test_refused, test_budget, test_none, test_killed, test_secrets):
            test(w)
    finally:
        w.close()
    return 1 if failures() else 0


sys.exit(main())
