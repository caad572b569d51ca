#!/usr/bin/env python3
"""Who may what at the bus: for each user that healctl init makes, every kind of subject there is is tried at a real
nats-server, and held against the contract as it is meant (written here, not read from the topic table). What answers do that are sent elsewhere: answers.py. TAP."""
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import done, free_port, ok, wait_for
from lib_nats import Nats, NatsError

BUILD = os.environ.get("HEALBUS_BUILD", "build")
HEALCTL = os.path.join(BUILD, "healctl")
USERS = ["monitor", "reasoner", "executor", "notifier", "operator", "source-am", "source-other"]
STREAMS = ["RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM", "KV_LOCK", "KV_LIVE", "OTHER"]
PARTS = ["%02d" % n for n in range(16)]
KINDS = ["incident", "plan", "approval", "decision", "step", "outcome", "model", "notice", "control"]
CONTROLS = ["pause", "silence", "catalogue", "call", "tick", "health", "abc"]
INCIDENT = "a2inc2aaaaaaaaaaaaaa"
FOLDS = ["monitor-" + p for p in PARTS + ["16"]] + [s + n for s in ("reasoner", "notifier") for n in ("", "-2", "-3", "-4", "-5")]


# ---- the contract ----

# What each says: patterns of whole subjects.
SAYS = {
    "monitor": [r"raw\.[^.]+", r"event\.[^.]+\.[^.]+", r"heal\.incident\.[^.]+", r"dead\.monitor",
                r"\$KV\.LIVE\.monitor\.[^.]+", r"\$KV\.CLAIM\.fold\.monitor-(0\d|1[0-5])"],
    "reasoner": [r"heal\.(incident|plan|model)\.[^.]+", r"heal\.control\.tick", r"dead\.reasoner",
                 r"\$KV\.LIVE\.reasoner\.[^.]+", r"\$KV\.CLAIM\.fold\.reasoner(-[234])?"],
    "executor": [r"heal\.(approval|step|outcome)\.[^.]+", r"heal\.control\.(catalogue|call)", r"dead\.executor",
                 r"\$KV\.(CLAIM|LOCK|LIVE)\..+"],
    "notifier": [r"heal\.(decision|notice|control)\.[^.]+", r"raw\.[^.]+", r"dead\.notifier",
                 r"\$KV\.LIVE\.notifier\.[^.]+", r"\$KV\.CLAIM\.fold\.notifier(-[234])?"],
    "operator": [r"raw\.[^.]+", r"event\.[^.]+\.[^.]+", r"heal\.[^.]+\.[^.]+", r"dead\.[^.]+", r"\$KV\.CLAIM\..+"],
    "source-am": [r"raw\.am"],
    "source-other": [r"raw\.other"],
}
# What each reads, message by message, and through which consumers of its own.
READS = {
    "monitor": ["RAW", "EVENTS", "STORY", "KV_CLAIM", "KV_LIVE"],
    "reasoner": ["STORY", "KV_CLAIM", "KV_LIVE"],
    "executor": ["STORY", "KV_CLAIM", "KV_LOCK", "KV_LIVE"],
    "notifier": ["STORY", "DEAD", "KV_CLAIM", "KV_LIVE"],
    "operator": ["RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM", "KV_LOCK", "KV_LIVE"],
}


def replicas(stage):
    return [stage + n + end for n in ("", "-2", "-3", "-4") for end in ("", "-rebuild")]


CONSUMERS = {
    "monitor": {("RAW", "normaliser"), ("STORY", "relay")} | {("EVENTS", "monitor-" + p) for p in PARTS} |
               {("STORY", "monitor-%s-rebuild" % p) for p in PARTS},
    "reasoner": {("STORY", n) for n in replicas("reasoner") + ["diagnoses"]},
    "executor": {("STORY", n) for n in ("plans", "decisions")},
    "notifier": {("STORY", n) for n in replicas("notifier") + ["notices"]},
    "operator": {(s, "healctl") for s in ("RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM")},
}
# What a restore makes at the places where they were.
LAYS = {("RAW", "normaliser")} | {("STORY", n) for n in ("relay", "plans", "decisions", "diagnoses", "notices")}
# Whose consumers each may look at, to see whether they are behind.
LOOKS = {
    "notifier": {("RAW", "normaliser"), ("STORY", "reasoner"), ("STORY", "plans"), ("STORY", "decisions")},
    "operator": {(s, c) for s in ("RAW", "EVENTS", "STORY", "DEAD") for c in
                 sorted({n for own in CONSUMERS.values() for _, n in own} | {"evil"})},
}
EVERY_CONSUMER = sorted({c for own in CONSUMERS.values() for c in own} |
                        {(s, n) for s in STREAMS for n in ("evil", "plans", "reasoner", "healctl")})


def may_ask(user, subject):
    """The API of JetStream."""
    words = subject.split(".")[2:]
    verb = ".".join(words[:2])
    if user.startswith("source-"):
        return False
    if words == ["INFO"]:
        return True
    if verb in ("STREAM.NAMES", "STREAM.LIST"):
        return user == "operator" and len(words) == 2
    if verb == "STREAM.INFO":
        return words[2] in READS[user]
    if verb in ("STREAM.CREATE", "STREAM.UPDATE"):
        return user == "operator" and words[2] in READS[user]
    if verb == "STREAM.PURGE":  # which every stream forbids, but while it is laid anew
        return user == "operator" and words[2] in ("RAW", "EVENTS", "STORY", "DEAD")
    if words[:3] == ["STREAM", "MSG", "GET"] or verb == "DIRECT.GET":
        return words[3 if verb == "STREAM.MSG" else 2] in READS[user]
    if verb in ("CONSUMER.NAMES", "CONSUMER.LIST"):
        return user == "operator" and words[2] in READS[user] and not words[2].startswith("KV_")
    return may_consume(user, words)


def may_consume(user, words):
    own = CONSUMERS[user]
    if words[:2] == ["CONSUMER", "CREATE"]:
        return len(words) > 3 and (words[2], words[3]) in own
    if words[:2] == ["CONSUMER", "DELETE"]:
        return (words[2], words[3]) in own
    if words[:2] == ["CONSUMER", "INFO"]:
        return (words[2], words[3]) in own | LOOKS.get(user, set())
    if words[:3] == ["CONSUMER", "DURABLE", "CREATE"]:
        return (words[3], words[4]) in own | (LAYS if user == "operator" else set())
    if words[:3] == ["CONSUMER", "MSG", "NEXT"]:
        return (words[3], words[4]) in own
    return False


def may_publish(user, subject):
    if subject.startswith("$JS.API."):
        return may_ask(user, subject)
    if subject.startswith("$JS.ACK."):
        return tuple(subject.split(".")[2:4]) in CONSUMERS.get(user, set())
    return any(re.fullmatch(p, subject) for p in SAYS[user])


def may_subscribe(user, subject):
    """Answers to what one asked, and nothing else: all reading is asking."""
    return subject.startswith("_INBOX_%s." % user)


# ---- every subject ----

def said_subjects():
    yield from ("raw.am", "raw.other", "raw.monitor", "raw.am.deep", "raw", "dead.x", "dead.monitor.x", "heal.plan", "heal.plan.a.b",
                "heal.new.abc", "event.00", "event.03.am.x", "anything", "OTHER.x")
    yield from ("event.%s.%s" % pair for pair in itertools.product(PARTS, ("am", "tick", "control")))
    yield from ("heal.%s.%s" % pair for pair in itertools.product(KINDS, CONTROLS + [INCIDENT]))
    yield from ("dead." + s for s in ("monitor", "reasoner", "executor", "notifier", "operator"))
    yield from ("$KV.%s.%s" % pair for pair in itertools.product(
        ("CLAIM", "LOCK", "LIVE", "OTHER"), ["key", "a.b", "fold", "fold.monitor-00.x"] + ["fold." + f for f in FOLDS] + [s + ".x" for s in SAYS]))


def api_subjects():
    yield from ("$JS.API." + t for t in (
        "INFO", "STREAM.NAMES", "STREAM.LIST", "ACCOUNT.PURGE.HEAL", "ACCOUNT.PURGE.OTHER", "ACCOUNT.STREAM.MOVE.HEAL.RAW",
        "ACCOUNT.STREAM.CANCEL_MOVE.HEAL.RAW", "SERVER.REMOVE", "META.LEADER.STEPDOWN", "STREAM.TEMPLATE.CREATE.x", "STREAM.TEMPLATE.NAMES",
        "STREAM.TEMPLATE.INFO.x", "STREAM.TEMPLATE.DELETE.x"))
    for verb in ("CREATE", "UPDATE", "INFO", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "MSG.GET", "MSG.DELETE", "PEER.REMOVE",
                 "LEADER.STEPDOWN"):
        yield from ("$JS.API.STREAM.%s.%s" % (verb, s) for s in STREAMS)
    for s in STREAMS:
        yield from ("$JS.API.%s.%s" % (verb, s) for verb in ("DIRECT.GET", "CONSUMER.NAMES", "CONSUMER.LIST", "CONSUMER.CREATE"))
        yield "$JS.API.DIRECT.GET.%s.heal.plan.abc" % s
    for s, c in EVERY_CONSUMER:
        for form in ("CONSUMER.CREATE.%s.%s", "CONSUMER.CREATE.%s.%s.heal.plan.abc", "CONSUMER.DURABLE.CREATE.%s.%s", "CONSUMER.DELETE.%s.%s",
                     "CONSUMER.INFO.%s.%s", "CONSUMER.MSG.NEXT.%s.%s", "CONSUMER.LEADER.STEPDOWN.%s.%s", "CONSUMER.PAUSE.%s.%s"):
            yield "$JS.API." + form % (s, c)
        yield "$JS.ACK.%s.%s.1.1.1.1.0" % (s, c)
        yield "$JS.ACK._.hash.%s.%s.1.1.1.1.0" % (s, c)


def other_subjects():
    yield from ("_INBOX_%s.x" % u for u in USERS + ["doctor"])
    yield from ("_INBOX.x", "_R_.x", "_GR_.x", "$JS.FC.STORY.x", "$JS.EVENT.ADVISORY.API", "$JSC.R.x", "$G.x", "$MQTT.x", "$GR.x")
    yield from ("$SYS." + t for t in ("REQ.SERVER.PING", "REQ.SERVER.PING.VARZ", "REQ.ACCOUNT.PING.CONNZ", "REQ.ACCOUNT.HEAL.INFO",
                                      "REQ.USER.INFO", "REQ.CLAIMS.UPDATE", "ACCOUNT.HEAL.CONNECT", "SERVER.x.SHUTDOWN", "DEBUG.SUBSCRIBERS"))


def publish_subjects():
    return sorted(set(said_subjects()) | set(api_subjects()) | set(other_subjects()))


def subscribe_subjects():
    wide = [">", "*", "*.>", "raw.>", "raw.*", "event.>", "heal.>", "heal.*.*", "heal.plan.>", "dead.>", "$JS.>", "$JS.API.>", "$JS.ACK.>",
            "$JS.EVENT.>", "$KV.>", "$KV.CLAIM.>", "$SYS.>", "_INBOX.>", "_INBOX_*.>", "_INBOX_*.x"] + ["_INBOX_%s.>" % u for u in USERS]
    return sorted(set(said_subjects()) | set(api_subjects()) | set(other_subjects()) | set(wide))


# ---- trying ----

def refused(client, verb):
    """The subjects that the server has refused since the last call."""
    found = set()
    for error in client.take_errors():
        match = re.search(r"Permissions Violation for %s (?:to )?\"([^\"]+)\"" % verb, error)
        if not match:
            raise NatsError(error)
        found.add(match.group(1))
    return found


def in_pieces(items, n=200):
    return (items[i:i + n] for i in range(0, len(items), n))


def try_publishing(client, subjects):
    no = set()
    for piece in in_pieces(subjects):
        for s in piece:
            client.publish(s)
        no |= refused(client, "Publish")
    return no


def try_subscribing(client, subjects, queue=""):
    no = set()
    for piece in in_pieces(list(enumerate(subjects, 1))):
        for sid, s in piece:
            client.subscribe(s, sid, queue)
        no |= refused(client, "Subscription")
        for sid, _ in piece:
            client.unsubscribe(sid)
    return no


def compare(subjects, no, may):
    """What is not as the contract says, as lines."""
    return ["%s: %s, and should be %s" % (s, "refused" if s in no else "allowed", "allowed" if may(s) else "refused")
            for s in subjects if (s in no) == may(s)]


def matrix(connect):
    publish, subscribe = publish_subjects(), subscribe_subjects()
    for user in USERS:
        client = connect(user)
        wrong = compare(publish, try_publishing(client, publish), lambda s: may_publish(user, s))
        allowed = sum(may_publish(user, s) for s in publish)
        ok(not wrong and allowed > 0, "%s: of %d subjects it may say %d, and no other" % (user, len(publish), allowed), wrong[:20])
        for queue in ("", "q"):
            wrong = compare(subscribe, try_subscribing(client, subscribe, queue), lambda s: may_subscribe(user, s))
            ok(not wrong, "%s: of %d subjects it may hear its own inbox%s" % (user, len(subscribe), " (as a queue)" if queue else ""), wrong[:20])
        client.close()


# ---- what the rule is for, by name ----

NAMED = [
    ("reasoner", "decide", ["heal.decision." + INCIDENT]),
    ("reasoner", "approve by a vote, or speak for a person", ["heal.control." + INCIDENT]),
    ("reasoner", "ask people in the executor's name", ["heal.approval." + INCIDENT]),
    ("reasoner", "say that something was executed", ["heal.step." + INCIDENT, "heal.outcome." + INCIDENT]),
    ("reasoner", "claim or lock what an executor is to run", ["$KV.CLAIM.x", "$KV.LOCK.x", "$KV.LIVE.x", "$KV.LIVE.executor.x"]),
    ("reasoner", "take another stage's fold", ["$KV.CLAIM.fold.notifier", "$KV.CLAIM.fold.monitor-00", "$KV.LIVE.notifier.x"]),
    ("reasoner", "take plans or decisions away from the executors",
     ["$JS.API.CONSUMER.MSG.NEXT.STORY.plans", "$JS.API.CONSUMER.DELETE.STORY.decisions", "$JS.ACK.STORY.decisions.1.1.1.1.0"]),
    ("reasoner", "resume what was paused, or silence", ["heal.control.pause", "heal.control.silence"]),
    ("reasoner", "bring in alerts", ["raw.am", "event.00.am"]),
    ("reasoner", "remove what was said", ["$JS.API.STREAM.PURGE.STORY", "$JS.API.STREAM.DELETE.STORY", "$JS.API.STREAM.MSG.DELETE.STORY"]),
    ("monitor", "plan, decide or act", ["heal.plan.abc", "heal.decision.abc", "heal.step.abc", "heal.control.abc", "$KV.CLAIM.x"]),
    ("executor", "plan, or decide its own plans", ["heal.plan.abc", "heal.decision.abc", "heal.control.abc"]),
    ("notifier", "plan, or act", ["heal.plan.abc", "heal.step.abc", "heal.outcome.abc", "$KV.CLAIM.x"]),
    ("source-am", "publish to another source, or read anything",
     ["raw.other", "raw.monitor", "$JS.API.STREAM.INFO.RAW", "$JS.API.INFO", "$JS.API.CONSUMER.CREATE.RAW.x", "_INBOX_source-other.x"]),
]


def named(connect):
    for user, what, subjects in NAMED:
        client = connect(user)
        no = try_publishing(client, subjects)
        ok(no == set(subjects), "a stolen key of %s cannot %s" % (user, what), sorted(set(subjects) - no))
        client.close()


def inboxes(connect):
    """An answer goes to who asked, and a source hears that its alert was stored."""
    client = connect("source-am")
    client.subscribe("_INBOX_source-am.*", 1)
    answer = client.request("raw.am", b"{}", "_INBOX_source-am.1")
    ok(answer.get("stream") == "RAW" and answer.get("seq", 0) > 0, "a source hears that its alert is stored", answer)
    client.close()


def late(d, server, connect):
    """Who is added while the server runs is heard after a reload; who is locked out is not."""
    subprocess.run([HEALCTL, "init", d, "--source", "late"], check=True, stdout=subprocess.DEVNULL)
    server.send_signal(signal.SIGHUP)

    def stored():
        try:
            client = connect("source-late")
        except (NatsError, OSError):
            return None
        client.subscribe("_INBOX_source-late.*", 1)
        try:
            return client.request("raw.late", b"{}", "_INBOX_source-late.1", 1)
        except NatsError:
            return None
        finally:
            client.close()

    ok(wait_for("the source that was added", stored), "a source that is added is heard after a reload")
    with open(os.path.join(d, "keys/source-late.nk")) as f:
        seed = f.read().strip()
    for end in ("nk", "pub"):
        os.unlink(os.path.join(d, "keys/source-late." + end))
    subprocess.run([HEALCTL, "init", d], check=True, stdout=subprocess.DEVNULL)
    server.send_signal(signal.SIGHUP)

    def refused_now():
        try:
            connect("source-late", seed).close()
        except (NatsError, OSError):
            return True
        return False

    ok(wait_for("the source that is locked out", refused_now), "and one that is removed is locked out after another")


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    base = tempfile.mkdtemp(prefix="healbus-permissions-")
    server = None
    try:
        port, d = free_port(), os.path.join(base, "d")
        subprocess.run([HEALCTL, "init", d, "--source", "am", "--source", "other", "--listen", "127.0.0.1:%d" % port], check=True,
                       stdout=subprocess.DEVNULL)
        conf = os.path.join(d, "nats/nats-server.conf")
        text = open(conf).read().replace(":8222", ":%d" % free_port())
        open(conf, "w").write(text)
        server = subprocess.Popen(["nats-server", "-c", conf], stderr=open(os.path.join(base, "log"), "w"))
        ok(wait_for("the streams", lambda: subprocess.run([HEALCTL, "-c", d, "doctor", "--fix", "--only", "bus"],
                                                          capture_output=True).returncode == 0), "the bus is up")
        ca = os.path.join(d, "tls/ca.pem")

        def connect(user, seed=None):
            return Nats(port, seed=seed or open(os.path.join(d, "keys", user + ".nk")).read().strip(), ca=ca)

        inboxes(connect)
        named(connect)
        matrix(connect)
        late(d, server, connect)
    finally:
        if server:
            server.kill()
            server.wait()
        shutil.rmtree(base)
    return done()


if __name__ == "__main__":
    sys.exit(main())
