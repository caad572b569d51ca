#!/usr/bin/env python3
"""What a stolen key makes the server say. The server sends its answers (of JetStream's API, acknowledgements, deliveries)
to whatever subject the asker names: for each user that healctl init makes, every answer there is is asked for at every
kind of subject that the user may not say, and the bus must stay as it was. The same against users who share an account
with the streams shows that the attacks work where nothing is in their way. TAP."""
import base64
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import done, free_port, ok, wait_for
from lib_nats import Nats, NatsError

BUILD = os.environ.get("HEALBUS_BUILD", "build")
HEALCTL = os.path.join(BUILD, "healctl")
NATS = os.environ.get("HEALBUS_NATS", "nats-server")
STREAMS = ["RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM", "KV_LOCK", "KV_LIVE"]
INCIDENT = "a2inc2aaaaaaaaaaaaaa"


# ---- the contract, as far as it matters here ----

# What each may say; a subject of which its key can fill a stream that it may also read; the durable for that.
USERS = {
    "monitor": (r"raw\.[^.]+|event\.[^.]+\.[^.]+|heal\.incident\.[^.]+|dead\.monitor|\$KV\.LIVE\.monitor\..+|\$KV\.CLAIM\.fold\.monitor-.+",
                "event.00.am", "EVENTS", "monitor-00"),
    "reasoner": (r"heal\.(incident|plan|model)\.[^.]+|heal\.control\.tick|dead\.reasoner|\$KV\.LIVE\.reasoner\..+|\$KV\.CLAIM\.fold\.reasoner.*",
                 "heal.model." + INCIDENT, "STORY", "diagnoses"),
    "executor": (r"heal\.(approval|step|outcome)\.[^.]+|heal\.control\.(catalogue|call)|dead\.executor|\$KV\..+",
                 "heal.step." + INCIDENT, "STORY", "decisions"),
    "notifier": (r"heal\.(decision|notice|control)\.[^.]+|raw\.[^.]+|dead\.notifier|\$KV\.LIVE\.notifier\..+|\$KV\.CLAIM\.fold\.notifier.*",
                 "heal.notice." + INCIDENT, "STORY", "notices"),
    "operator": (r"raw\.[^.]+|event\.[^.]+\.[^.]+|heal\.[^.]+\.[^.]+|dead\.[^.]+|\$KV\.CLAIM\..+", "heal.notice." + INCIDENT, "STORY", "healctl"),
    "source-am": (r"raw\.am", "raw.am", None, None),
}
# Where answers do harm: as somebody's message, and as a call of the API.
SAID = ["heal.%s.x" % k for k in ("incident", "plan", "approval", "decision", "step", "outcome", "control")] + [
    "heal.control.pause", "heal.control.silence", "event.00.am", "raw.other", "$KV.CLAIM.x", "$KV.CLAIM.restored", "$KV.LOCK.x", "$KV.LIVE.x"]
CALLS = ["$JS.API." + c for c in (
    "STREAM.CREATE.EVIL", "STREAM.UPDATE.KV_LOCK", "STREAM.PURGE.KV_CLAIM", "STREAM.PURGE.KV_LIVE", "STREAM.MSG.DELETE.STORY",
    "STREAM.MSG.DELETE.RAW", "CONSUMER.DURABLE.CREATE.DEAD.evil", "CONSUMER.CREATE.DEAD.evil", "CONSUMER.DELETE.STORY.plans",
    "CONSUMER.DELETE.RAW.normaliser", "STREAM.DELETE.KV_LOCK", "STREAM.DELETE.DEAD")]
# Requests of which some call of the API makes sense. An answer that brings one's own message brings one of these.
BODIES = [b"", {"name": "EVIL", "subjects": ["evil.>"], "storage": "memory"}, {"stream_name": "DEAD", "config": {
    "durable_name": "evil", "name": "evil", "ack_policy": "explicit"}}, {"seq": 1}, {"name": "KV_LOCK", "subjects": ["$KV.LOCK.>"], "max_msgs": 1}]


def packed(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


# ---- attacks: each gets the client, whose key it has, and where the answer shall go ----

PULLS, numbers = "_INBOX_%s.pulls", itertools.count()


def ask(client, user, subject, body=b"", timeout_s=5):
    """The answer as JSON, among deliveries that come meanwhile; NatsError when it is refused or never comes."""
    inbox, end = "_INBOX_%s.%d" % (user, next(numbers)), time.monotonic() + timeout_s
    client.publish(subject, packed(body), inbox)
    while True:
        errors = client.take_errors()
        found = [data for to, data in client.messages if to == inbox]
        client.messages.clear()
        if found:
            return json.loads(found[0])
        if errors or time.monotonic() > end:
            raise NatsError(errors[0] if errors else "no answer from " + subject)


def own_consumer(client, user, more=None):
    _, _, stream, name = USERS[user]
    config = dict({"durable_name": name, "ack_policy": "explicit", "deliver_policy": "all", "max_ack_pending": 100000}, **(more or {}))
    try:
        ask(client, user, "$JS.API.CONSUMER.DELETE.%s.%s" % (stream, name))
        return ask(client, user, "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s" % (stream, name), {"stream_name": stream, "config": config})
    except NatsError as e:
        return {"error": str(e)}


def by_puback(client, user, target):
    client.publish(USERS[user][1], b"x", target)


def by_reading(client, user, target):
    _, own, stream, _ = USERS[user]
    for body in BODIES:
        seq = ask(client, user, own, packed(body))["seq"]
        client.publish("$JS.API.DIRECT.GET." + stream, b'{"seq":%d}' % seq, target)
        client.publish("$JS.API.STREAM.MSG.GET." + stream, b'{"seq":%d}' % seq, target)


def by_pulling(client, user, target):
    _, own, stream, name = USERS[user]
    own_consumer(client, user, {"deliver_policy": "new"})
    for body in BODIES:
        client.publish(own, packed(body))
    for body in (b"%d" % len(BODIES), b'{"batch":1,"no_wait":true}', b"nonsense"):
        client.publish("$JS.API.CONSUMER.MSG.NEXT.%s.%s" % (stream, name), body, target)


def by_settling(client, user, target):
    _, own, stream, name = USERS[user]
    own_consumer(client, user, {"deliver_policy": "new"})
    for body in BODIES * 2:
        client.publish(own, packed(body))
    client.publish("$JS.API.CONSUMER.MSG.NEXT.%s.%s" % (stream, name), b'{"batch":6,"no_wait":true}', PULLS % user)
    client.take_errors()
    seq = ask(client, user, "$JS.API.STREAM.INFO." + stream)["state"]["last_seq"]
    for n, what in enumerate((b"+ACK", b"-NAK", b"+WPI", b"+NXT", b"+TERM", b'+NXT {"batch":2,"no_wait":true}'), 1):
        client.publish("$JS.ACK.%s.%s.1.%d.%d.%d.0" % (stream, name, seq - 10 + n, n, time.time_ns()), what, target)


def by_asking(client, user, target):
    _, _, stream, name = USERS[user]
    for call in ("$JS.API.INFO", "$JS.API.STREAM.INFO." + stream, "$JS.API.CONSUMER.INFO.%s.%s" % (stream, name),
                 "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s" % (stream, name), "$JS.API.CONSUMER.DELETE.%s.%s" % (stream, name)):
        client.publish(call, b"", target)


def by_pushing(client, user, target):
    own_consumer(client, user, {"deliver_subject": target, "idle_heartbeat": 100000000, "flow_control": True})


ATTACKS = [by_puback, by_reading, by_pulling, by_settling, by_asking, by_pushing]


# ---- what may not change ----

def bus_state(eyes, user):
    """Of every stream: how it is made, the messages of each subject that the thief may not say, and others' consumers."""
    may, _, _, own = USERS[user]
    found = {}
    names = ask(eyes, "operator", "$JS.API.STREAM.NAMES")["streams"]
    for name in sorted(set(names) | set(STREAMS)):
        if name not in STREAMS or name not in names:
            found[name] = "is" if name in names else "is not"
            continue
        info = ask(eyes, "operator", "$JS.API.STREAM.INFO." + name, {"subjects_filter": ">"})
        subjects = {s: n for s, n in (info["state"].get("subjects") or {}).items() if not re.fullmatch(may, s)}
        if name.startswith("KV_"):  # where the last message of a key replaces others
            found[name] = (info["config"], subjects, info["state"]["last_seq"])
        else:
            found[name] = (info["config"], subjects)
            found[name + " consumers"] = sorted(set(ask(eyes, "operator", "$JS.API.CONSUMER.NAMES." + name)["consumers"] or []) - {own})
    return found


def lay_out(connect, user):
    """Something of everybody else's, to be harmed."""
    operator, executor, monitor = connect("operator"), connect("executor"), connect("monitor")
    for client, subjects in ((operator, ["heal.plan.x", "heal.control.pause", "raw.other", "dead.x", "$KV.CLAIM.x"]), (executor, ["$KV.LOCK.x", "$KV.LIVE.x"])):
        for s in subjects:
            client.publish(s, b"{}")
        client.take_errors()
    for client, who, stream, names in ((executor, "executor", "STORY", ("plans", "decisions")), (monitor, "monitor", "RAW", ("normaliser",))):
        client.subscribe("_INBOX_%s.*" % who, 1)
        for name in names:
            ask(client, who, "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s" % (stream, name),
                {"stream_name": stream, "config": {"durable_name": name, "ack_policy": "explicit"}})
    thief = connect(user)
    thief.subscribe("_INBOX_%s.*" % user, 1)
    if USERS[user][2]:
        own_consumer(thief, user)
    for c in (operator, executor, monitor):
        c.close()
    return thief


# Calls that are the user's own right.
RIGHTS = {"monitor": r"CONSUMER.*normaliser", "executor": r"CONSUMER.*plans", "operator": r"STREAM\.(UPDATE|PURGE)"}


def targets(user):
    may, calls = USERS[user][0], RIGHTS.get(user, "none")
    return [s for s in SAID if not re.fullmatch(may, s)] + [c for c in CALLS if not re.search(calls, c)] + ["_INBOX_victim.x"]


def differences(before, after):
    return ["%s: %s, was %s" % (n, after.get(n), before.get(n)) for n in sorted(set(before) | set(after)) if before.get(n) != after.get(n)]


def rob(connect, user, attacks, where):
    """What has changed, by attack; and how many answers were asked for elsewhere, at least."""
    thief, eyes = lay_out(connect, user), connect("operator")
    eyes.subscribe("_INBOX_operator.*", 1)
    changed = {}
    for attack in attacks:
        before = bus_state(eyes, user)
        for target in where:
            attack(thief, user, target)
            errors = thief.take_errors()
            if errors:
                raise NatsError("%s: %s" % (attack.__name__, errors[0]))
        settle(thief, eyes, user)
        if attack is by_pushing:
            own_consumer(thief, user)
        found = differences(before, bus_state(eyes, user))
        if found:
            changed[attack.__name__] = found
    thief.close()
    eyes.close()
    return changed


def settle(thief, eyes, user):
    """What the server was asked before this, it has done, as good as certainly: what it says to itself waits in a queue
    beside that of what it is told, and each time it chooses."""
    for _ in range(16):
        ask(thief, user, USERS[user][1], b"last")
        ask(eyes, "operator", "$JS.API.STREAM.INFO.STORY")


# ---- two buses ----

def one_account(text):
    """The users of users.conf with the same rights, all in the account of the streams."""
    users = re.findall(r"\{ nkey: .*?\n\t\t\} \}", text, re.S)
    assert len(users) == len(USERS), text
    return "accounts {\n\tHEAL {\n\t\tjetstream: enabled\n\t\tusers: [\n%s\n\t\t]\n\t}\n}\n" % "\n".join(users)


class Bus:
    def __init__(self, base, shared):
        self.d = os.path.join(base, "shared" if shared else "own")
        self.port = free_port()
        subprocess.run([HEALCTL, "init", self.d, "--source", "am", "--listen", "127.0.0.1:%d" % self.port], check=True, stdout=subprocess.DEVNULL)
        conf = os.path.join(self.d, "nats/nats-server.conf")
        with open(conf) as f:
            text = f.read().replace(":8222", ":%d" % free_port())
        with open(conf, "w") as f:
            f.write(text)
        if shared:
            users = os.path.join(self.d, "nats/users.conf")
            with open(users) as f:
                text = f.read()
            with open(users, "w") as f:
                f.write(one_account(text))
        self.server = subprocess.Popen([NATS, "-c", conf], stderr=open(os.path.join(self.d, "log"), "w"))

    def up(self):
        return wait_for("the streams", lambda: subprocess.run([HEALCTL, "-c", self.d, "doctor", "--fix", "--only", "bus"],
                                                              capture_output=True).returncode == 0)

    def connect(self, user):
        with open(os.path.join(self.d, "keys", user + ".nk")) as f:
            return Nats(self.port, seed=f.read().strip(), ca=os.path.join(self.d, "tls/ca.pem"))

    def kill(self):
        self.server.kill()
        self.server.wait()


def test_thieves(base):
    bus = Bus(base, False)
    try:
        ok(bus.up(), "a bus as healctl init makes it")
        for user in USERS:
            attacks, where = ATTACKS if USERS[user][2] else [by_puback], targets(user)
            changed = rob(bus.connect, user, attacks, where)
            ok(not changed and len(where) > 9, "a stolen key of %s: of answers of %d kinds sent to %d other places none does anything" % (
                user, len(attacks), len(where)), list(changed.items()))
    finally:
        bus.kill()


# What each attack does where nothing is in its way.
WORKS = [
    ("source-am", by_puback, "$JS.API.STREAM.PURGE.KV_CLAIM", "forgets what was done"),
    ("source-am", by_puback, "$JS.API.STREAM.MSG.DELETE.STORY", "takes a message out of the story"),
    ("reasoner", by_puback, "heal.decision.x", "is heard as somebody else"),
    ("reasoner", by_reading, "$JS.API.STREAM.CREATE.EVIL", "makes a stream of its own"),
    ("notifier", by_settling, "$JS.API.CONSUMER.DELETE.STORY.plans", "takes the plans from the executors"),
    ("reasoner", by_settling, "$JS.API.STREAM.DELETE.DEAD", "deletes a stream"),
    ("reasoner", by_asking, "$KV.CLAIM.x", "spoils a claim"),
]


def test_why(base):
    """A test that finds nothing must be able to find something."""
    for user, attack, where, what in WORKS:
        bus = Bus(base, True)
        try:
            found = rob(bus.connect, user, [attack], [where]) if bus.up() else {}
            ok(found, "in one account with the streams a stolen key of %s %s: %s to %s" % (user, what, attack.__name__, where))
        finally:
            bus.kill()
            shutil.rmtree(bus.d)


# ---- who reads them ----

def packed_message(base, kind, message):
    path = os.path.join(base, "message.json")
    with open(path, "w") as f:
        json.dump(message, f)
    return subprocess.run([os.path.join(BUILD, "tests/integration/busctl"), "pack", kind, path], check=True, capture_output=True).stdout


def status(port):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/api/status" % port, timeout=5) as r:
            return json.load(r)
    except OSError:
        return None


def test_belief(base, bus):
    """On a bus of somebody else's the users may share an account: there such answers are stored, and nobody believes them."""
    d, http, now = bus.d, free_port(), int(time.time() * 1000)
    with open(os.path.join(d, "notifier.yaml"), "w") as f:
        f.write('{state_dir: "%s/state", http: {listen: "127.0.0.1:%d"}, receivers: [{name: r, channels: [t]}], route: {receiver: r}, '
                'channels: [{name: t, type: terminal, path: "%s/told"}]}\n' % (base, http, base))
    thief, watcher = bus.connect("reasoner"), bus.connect("operator")
    notifier = subprocess.Popen([os.path.join(BUILD, "healbus-notifier"), "-c", d], stderr=open(os.path.join(base, "notifier.log"), "w"))
    try:
        ok(wait_for("the notifier", lambda: status(http)), "a notifier runs with its own key")
        thief.subscribe("_INBOX_reasoner.*", 1)
        watcher.subscribe("_INBOX_operator.*", 1)

        def state(stream):
            return watcher.request("$JS.API.STREAM.INFO." + stream, b"", "_INBOX_operator.1")["state"]

        before = {s: state(s)["messages"] for s in ("STORY", "DEAD")}
        forged = packed_message(base, "control", {"id": "forged", "kind": "pause", "by": "nobody", "at_ms": now})
        seq = thief.request("heal.model." + INCIDENT, forged, "_INBOX_reasoner.1")["seq"]
        thief.publish("$JS.API.DIRECT.GET.STORY", b'{"seq":%d}' % seq, "heal.control.pause")
        thief.publish("$JS.API.STREAM.MSG.GET.STORY", b'{"seq":%d}' % seq, "heal.control.silence")
        thief.publish("heal.model." + INCIDENT, forged, "heal.decision." + INCIDENT)
        thief.take_errors()
        ok(wait_for("three answers", lambda: state("STORY")["messages"] >= before["STORY"] + 5), "the server stores its answers where it is told to")
        ok(wait_for("what was buried", lambda: state("DEAD")["messages"] >= before["DEAD"] + 5),
           "all of it is buried, what was stolen first and all answers", (before, state("DEAD")))
        errors = [m["message"].get("error", "") for m in dump_dead(watcher)]
        ok(sum("an answer of the bus" in e for e in errors) == 1, "an answer with another's bytes is told as what it is", errors)
        ok(status(http)["paused"].get("on") is False, "and nothing is paused", status(http))
        ok(run_restarted(notifier, d, http), "a notifier that starts after that is well, too")
    finally:
        for p in (notifier, *restarted):
            p.kill()
            p.wait()
        thief.close()
        watcher.close()


restarted = []


def run_restarted(notifier, d, http):
    notifier.kill()
    notifier.wait()
    restarted.append(subprocess.Popen([os.path.join(BUILD, "healbus-notifier"), "-c", d], stderr=subprocess.DEVNULL))
    return wait_for("the notifier again", lambda: (status(http) or {}).get("bus", {}).get("connected"))


def dump_dead(watcher):
    last = watcher.request("$JS.API.STREAM.INFO.DEAD", b"", "_INBOX_operator.1")["state"]["last_seq"]
    for seq in range(1, last + 1):
        got = watcher.request("$JS.API.STREAM.MSG.GET.DEAD", {"seq": seq}, "_INBOX_operator.1")["message"]
        yield {"message": {"error": base64.b64decode(got.get("data", "")).decode("latin-1")}}


def main():
    if not shutil.which(NATS):
        print("1..0 # skip no nats-server")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    base = tempfile.mkdtemp(prefix="healbus-answers-")
    try:
        test_thieves(base)
        test_why(base)
        bus = Bus(base, True)
        try:
            ok(bus.up(), "a bus where all share an account")
            test_belief(base, bus)
        finally:
            bus.kill()
    finally:
        shutil.rmtree(base)
    return done()


if __name__ == "__main__":
    sys.exit(main())
