#!/usr/bin/env python3
"""The stack in a real Docker Engine: up, healthy, confined; rights at the bus; an alert of a real Alertmanager heals a
stopped container; four executors and no action twice; each container crashes and comes back; down, up: the same incidents.

TAP. Who acted how often is told by the Engine's own events, not by healbus. Skipped, saying why, where no engine can be had.
"""
import os
import re
import subprocess
import time

from lib_compose import Stack, crash, health, status_of
from lib_nats import Client, Refused
from lib_stack import OTHERS, OURS, STAGES, Tap, build_images, docker, engine_or_skip, image, inspect, remove_images, wait_for

WORK = 12
COPIES = {"executor": 4, "monitor": 2, "reasoner": 2, "notifier": 2}
BROKER = "/run/healbus-broker/docker.sock"
# What no publisher may say: (subject, why anybody would want to).
FORBIDDEN = ["raw.alertmanager", "raw", "event.00.test", "heal.incident.x", "heal.plan.x", "heal.decision.x", "heal.approval.x",
             "heal.control.pause", "heal.outcome.x", "dead.monitor", "$KV.CLAIM.x", "$KV.LOCK.x", "$JS.API.STREAM.DELETE.RAW",
             "$JS.API.STREAM.PURGE.STORY", "$JS.API.STREAM.MSG.GET.STORY", "$JS.API.CONSUMER.CREATE.RAW",
             "$JS.API.CONSUMER.MSG.NEXT.STORY.plans", "$JS.ACK.STORY.plans.1.1.1.1.1", "$SYS.REQ.SERVER.PING"]
UNHEARD = [">", "raw.>", "heal.>", "_INBOX.>", "_INBOX_monitor.>", "_INBOX_executor.>", "$SYS.>", "$JS.EVENT.>"]


class Engine:
    """What the Engine itself saw: every start of a container, from now on. It remembers few events, so it is listened to."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "starts")
        self.file = open(self.path, "w")
        self.listener = subprocess.Popen(["docker", "events", "--since", "%.9f" % time.time(), "--filter", "type=container", "--filter",
                                          "event=start", "--format", '{{index .Actor.Attributes "name"}}'],
                                         stdout=self.file, stdin=subprocess.DEVNULL)

    def starts(self, container):
        with open(self.path) as f:
            return f.read().split("\n").count(container)

    def close(self):
        self.listener.kill()
        self.listener.wait()
        self.file.close()


def configure(stack):
    """The shipped configuration, with more targets, faster, and without a pause between two repairs of one target."""
    path = os.path.join(stack.config, "executor.yaml")
    with open(path) as f:
        text = f.read()
    text = text.replace("container: healbus-demo", "container: " + stack.demo)
    text = text.replace("target=\"demo\"", "target=~\"demo|work-.*\"")
    for i in range(WORK):
        text += "  - {id: work-%d, kind: container, tools: [\"docker_*\"], attributes: {container: %s, docker_socket: %s}}\n" % (
            i, work(stack, i), BROKER)
    text += "rate: {cooldown: 0s, target_per_hour: 100, global_per_hour: 0}\nworkers: 2\n"
    with open(path, "w") as f:
        f.write(text)
    with open(os.path.join(stack.config, "monitor.yaml"), "a") as f:
        f.write("group_wait: 200ms\ngroup_interval: 1s\ncooldown: 0s\n")


def work(stack, i):
    return "%s-work-%d" % (stack.project, i)


# ---- confined ----

def look_at_container(tap, service, name):
    about = inspect(name)
    host = about["HostConfig"]
    wrong = []
    status = status_of(about["State"]["Pid"])
    if "0" in status["Uid"].split() or "0" in status["Gid"].split():
        wrong.append("root: " + status["Uid"])
    if int(status["CapEff"], 16) or int(status["CapBnd"], 16):
        wrong.append("capabilities: " + status["CapBnd"])
    if status["NoNewPrivs"] != "1" or status["Seccomp"] != "2":
        wrong.append("no_new_privs %s, seccomp %s" % (status["NoNewPrivs"], status["Seccomp"]))
    users = {line.split()[1] for line in docker("top", name, "-eo", "pid,uid").splitlines()[1:]}
    if "0" in users:
        wrong.append("a process of root: %s" % users)
    if not host["ReadonlyRootfs"]:
        wrong.append("may write to its root")
    if not host["Memory"] or not host["PidsLimit"] or not host["NanoCpus"]:
        wrong.append("memory, processes or CPU without limit")
    if not host["LogConfig"]["Config"].get("max-size"):
        wrong.append("a log without end")
    if any(m["Source"].endswith("docker.sock") for m in about["Mounts"]) and service != "broker":
        wrong.append("the Engine's socket")
    tap.ok(not wrong, "%s: no root, no capability, nothing to write to, limits" % service, wrong)


def confined(tap, stack):
    for service, names in sorted(stack.containers().items()):
        look_at_container(tap, service, names[0])
    log = docker("logs", stack.containers()["executor"][0])
    tap.ok('"sandbox":"full"' in log, "executor: the whole sandbox works in its container", log)


# ---- the bus ----

def publisher(stack, name):
    return Client(stack.port("nats"), os.path.join(stack.secrets, "tls/ca.pem"), stack.secret("keys/%s.pub" % name),
                  stack.secret("keys/%s.nk" % name), "_INBOX_" + name)


def strangers(tap, stack):
    try:
        Client(stack.port("nats"), os.path.join(stack.secrets, "tls/ca.pem")).close()
        tap.ok(False, "who has no key is refused")
    except (Refused, OSError) as e:
        tap.ok("uthorization" in str(e), "who has no key is refused", e)


def external(tap, stack):
    client = publisher(stack, "source-test")
    answer = client.request("raw.test", b'{"name": "Test"}')
    tap.ok(b'"stream":"RAW"' in answer.replace(b" ", b""), "an external publisher's alert is stored", answer)
    taken = [s for s in FORBIDDEN if not client.refused("PUB %s 0" % s, b"")]
    tap.ok(not taken, "and on %d other subjects it is refused" % len(FORBIDDEN), taken)
    heard = [s for s in UNHEARD if not client.refused("SUB %s 9" % s)]
    tap.ok(not heard, "and hears nobody else (%d subjects)" % len(UNHEARD), heard)
    client.close()


# ---- healing ----

def incident_of(stack, **labels):
    """The newest incident with these labels."""
    for i in stack.incidents():
        if all(i["labels"].get(k) == v for k, v in labels.items()):
            return i
    return None


def scraped(stack):
    found = stack.http("prometheus", "/api/v1/query?query=up%7Bjob%3D%22demo%22%7D")[1]
    return isinstance(found, dict) and [r["value"][1] for r in found["data"]["result"]] == ["1"]


def heals_demo(tap, stack, engine, when):
    before = engine.starts(stack.demo)
    wait_for("Prometheus sees the demo", lambda: scraped(stack), 30)
    docker("kill", stack.demo)
    good = wait_for("the demo runs again", lambda: engine.starts(stack.demo) > before and health(stack.demo) == "healthy", 60)
    tap.ok(good, "%s: a real Alertmanager's alert heals the stopped demo" % when, stack.logs("executor") + stack.logs("broker"))
    incident = wait_for("its incident is over", lambda: (incident_of(stack, service="demo") or {}).get("state") == "resolved"
                        and incident_of(stack, service="demo"), 60)
    story = stack.story(incident["id"]) if incident else []
    verdicts = [m.get("verdict") for kind, m in story if kind == "outcome"]
    tap.ok(verdicts == ["healed"], "%s: and its story ends well" % when, verdicts or stack.incidents())
    count = engine.starts(stack.demo) - before
    tap.ok(count == 1, "%s: the Engine saw one start" % when, count)


def outcome_of(stack, i):
    incident = incident_of(stack, service="work-%d" % i)
    story = stack.story(incident["id"]) if incident else []
    ends = [m for kind, m in story if kind == "outcome"]
    starts = [m for kind, m in story if kind == "step" and m["phase"] == "act" and m["state"] == "started"]
    return (ends, starts) if ends else None


def scale(tap, stack, engine):
    names = [work(stack, i) for i in range(WORK)]
    for name in names:
        docker("run", "-d", "--name", name, "--label", "healbus.manage=true", "--read-only", "--env", "LIFE=100000", image("demo"))
    stack.scale(COPIES)
    counts = {service: len(stack.containers()[service]) for service in COPIES}
    tap.ok(stack.all_healthy() and counts == COPIES, "scaled: %s" % ", ".join("%d %ss" % (COPIES[s], s) for s in COPIES),
           [counts, stack.unhealthy()] + [stack.logs(service, 5) for service in COPIES])
    before = [engine.starts(name) for name in names]
    docker("kill", *names)
    sent = [wait_for("an alert is taken", lambda i=i: stack.alert("ContainerDown", service="work-%d" % i, container="work-%d" % i), 20)
            for i in range(WORK)]
    tap.ok(all(sent), "%d alerts at once" % WORK)
    wait_for("each has an outcome", lambda: all(outcome_of(stack, i) for i in range(WORK)), 90)
    found = [outcome_of(stack, i) or ([], []) for i in range(WORK)]
    verdicts = [[m["verdict"] for m in ends] for ends, _ in found]
    tap.ok(verdicts == [["healed"]] * WORK, "each is healed, once", [verdicts, stack.logs("executor", 60)])
    who = {m["executor"] for ends, _ in found for m in ends}
    tap.ok(len(who) > 1, "by %d of %d executors" % (len(who), COPIES["executor"]), who)
    record = [engine.starts(name) - before[i] for i, name in enumerate(names)]
    told = [len(starts) for _, starts in found]
    tap.ok(record == told == [1] * WORK, "the Engine saw each start once, and so do the stories", [record, told])


# ---- faults ----

def back(container, restarts):
    return inspect(container)["RestartCount"] > restarts and health(container) == "healthy"


def crashes(tap, stack):
    for service, names in sorted(stack.containers().items()):
        if service == "demo":
            continue
        before = {name: inspect(name)["RestartCount"] for name in names}
        for name in names:
            crash(name)
        good = wait_for("%s is back" % service, lambda: all(back(name, n) for name, n in before.items()), 60)
        tap.ok(good, "%s (%d) crashes and comes back" % (service, len(names)), stack.logs(service))
    tap.ok(stack.all_healthy(), "all are healthy again", stack.unhealthy())


def backup(tap, stack):
    folder = os.path.join(stack.dir, "backup")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    said = stack.compose("exec", "-T", "executor", "/usr/local/bin/healbus-executor", "backup", "/var/lib/healbus/copy", check=False)
    said += stack.compose("run", "--rm", "-T", "ctl", "backup", "/backup/all", "--with", "/executor/copy", check=False)
    said += stack.compose("run", "--rm", "-T", "ctl", "verify", "/backup/all", check=False)
    tap.ok(os.path.exists(os.path.join(folder, "all")) and "whole" in said, "a backup is taken while all runs", said)


def down_up(tap, stack):
    before = {i["id"]: i["state"] for i in stack.incidents()}
    stages = [name for service, names in stack.containers().items() if service in STAGES for name in names]
    stack.compose("stop")
    codes = {name: inspect(name)["State"]["ExitCode"] for name in stages}
    tap.ok(len(codes) >= len(STAGES) and not any(codes.values()), "told to stop, each stage ends well", codes)
    stack.down()
    gone = not stack.names()
    stack.scale(COPIES)
    tap.ok(gone and stack.all_healthy(), "down, up: healthy", stack.unhealthy())
    after = wait_for("the incidents", lambda: {i["id"]: i["state"] for i in stack.incidents()}, 20) or {}
    kept = all(after.get(i) == state for i, state in before.items() if state == "resolved")
    tap.ok(before and set(before) <= set(after) and kept, "the same %d incidents are there" % len(before), [before, after])


def play(tap, stack, engine):
    build_images(OURS + OTHERS)
    tap.say("images are built")
    stack.init("--source", "test")
    configure(stack)
    stack.compose("up", "-d")
    if not tap.ok(stack.all_healthy(), "up: every container is healthy", [stack.unhealthy(), stack.compose("logs", "--tail", "15")]):
        return
    for part in (confined, strangers, external):
        part(tap, stack)
    tap.say("confined, and the bus asked")
    heals_demo(tap, stack, engine, "one executor")
    tap.say("healed")
    scale(tap, stack, engine)
    tap.say("scaled")
    crashes(tap, stack)
    heals_demo(tap, stack, engine, "after the crashes")
    tap.say("crashed and healed")
    backup(tap, stack)
    down_up(tap, stack)
    tap.say("down and up")


def main():
    tap = Tap()
    engine_or_skip()
    stack = Stack(["observe", "demo"])
    engine = Engine(stack.dir)
    try:
        play(tap, stack, engine)
    finally:
        engine.close()
        found = docker("ps", "-aq", "--filter", "name=^%s-work-" % re.escape(stack.project)).split()
        if found:
            docker("rm", "-f", *found, check=False)
        stack.remove()
        remove_images(OURS + OTHERS)
    tap.end()


main()
