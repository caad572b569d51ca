#!/usr/bin/env python3
"""The stack on three nodes (deploy/cluster.env): healthy, every stream on all of them, and at work while one is down.

TAP. That nothing is lost or done twice when nodes die under load is `cluster.py`'s to show.
"""
import json
import os

from lib_compose import Stack
from lib_nats import Client, Refused
from lib_stack import OURS, ROOT, Tap, build_images, docker, engine_or_skip, remove_images, wait_for

STREAMS = ["RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM", "KV_LOCK", "KV_LIVE"]


def variables():
    with open(os.path.join(ROOT, "deploy/cluster.env")) as f:
        return dict(line.strip().split("=", 1) for line in f if "=" in line and not line.startswith("#"))


def copies(stack):
    """Stream to how many nodes have all of it; empty while nobody can say."""
    try:
        client = Client(stack.port("nats"), os.path.join(stack.secrets, "tls/ca.pem"), stack.secret("keys/operator.pub"),
                        stack.secret("keys/operator.nk"), "_INBOX_operator")
        found = {}
        for stream in STREAMS:
            info = json.loads(client.request("$JS.API.STREAM.INFO." + stream, b""))
            found[stream] = 1 + sum(bool(r.get("current")) for r in info["cluster"].get("replicas", []))
        client.close()
        return found
    except (Refused, OSError, KeyError, ValueError):
        return {}


def told(stack, service):
    """Takes an alert about a service, and its incident is there."""
    taken = wait_for("an alert is taken", lambda: stack.alert("Test", service=service), 30)
    return taken and wait_for("its incident", lambda: any(i["labels"].get("service") == service for i in stack.incidents()), 30)


def play(tap, stack):
    build_images(OURS)
    stack.init("--nodes", "3")
    stack.env.update(variables())
    stack.compose("up", "-d")
    if not tap.ok(stack.all_healthy(), "up: three nodes and every stage are healthy",
                  [stack.unhealthy(), stack.compose("logs", "--tail", "15")]):
        return
    found = wait_for("all copies", lambda: set(copies(stack).values()) == {3} and copies(stack), 30)
    tap.ok(found, "each of %d streams is on three nodes" % len(STREAMS), copies(stack))
    tap.ok(told(stack, "before"), "an alert becomes an incident", stack.logs("monitor"))
    docker("kill", *stack.containers()["nats-2"])
    tap.ok(told(stack, "one-down"), "and while one node is down", stack.logs("monitor"))
    docker("start", *stack.containers()["nats-2"])
    found = stack.all_healthy() and wait_for("all copies again", lambda: set(copies(stack).values()) == {3}, 60)
    tap.ok(found, "it comes back, and has all of it again", [stack.unhealthy(), copies(stack)])


def main():
    tap = Tap()
    engine_or_skip()
    stack = Stack(["cluster"])
    try:
        play(tap, stack)
    finally:
        stack.remove()
        remove_images(OURS)
    tap.end()


main()
