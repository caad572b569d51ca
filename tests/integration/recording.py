#!/usr/bin/env python3
"""healbus-monitor record and replay against real servers, with the rights of the topic table. TAP."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_recording
from lib import done, free_port, now_ms, ok, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
MONITOR = os.path.join(BUILD, "healbus-monitor")
HEALCTL = os.path.join(BUILD, "healctl")
USERS = ["monitor", "reasoner", "executor", "notifier", "operator"]


class Bus:
    """A server of its own, with one user a stage."""

    def __init__(self, base, name):
        self.dir = os.path.join(base, name)
        os.mkdir(self.dir)
        self.port = free_port()
        env = dict(os.environ)
        for user in USERS:
            env["HEALBUS_%s_PASSWORD" % user.upper()] = "pw" + user
            path = self.path("secret-" + user)
            with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write("pw" + user)
        rights = subprocess.run([HEALCTL, "topics", "--nats-users"], capture_output=True, text=True, check=True).stdout
        with open(self.path("nats.conf"), "w") as f:
            f.write('listen: "127.0.0.1:%d"\njetstream { store_dir: "%s" }\n%s' % (self.port, self.path("js"), rights))
        with open(self.path("bus.yaml"), "w") as f:
            f.write('url: nats://127.0.0.1:%d\nuser: "{stage}"\npassword_file: %s/secret-{stage}\n' % (self.port, self.dir))
        self.env = env
        self.server = None
        self.start()
        wait_for("the streams", lambda: subprocess.run(
            [HEALCTL, "doctor", "--fix", "--only", "bus", "-c", self.dir], capture_output=True).returncode == 0)

    def start(self):
        self.server = subprocess.Popen(["nats-server", "-c", self.path("nats.conf")], env=self.env,
                                       stderr=open(self.path("nats.log"), "a"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, *words):
        return subprocess.run([MONITOR, "-c", self.dir] + list(words), capture_output=True, text=True, timeout=60)

    def stop(self):
        self.server.kill()
        self.server.wait()


def message(i, stream, subject, data, after_ms=0, **more):
    ms = BASE_MS + after_ms
    return dict({"stream": stream, "seq": i, "stream_ns": ms * 1000000 + i, "time_ms": ms, "subject": subject,
                 "id": "%s-%d" % (stream.lower(), i), "cause": "", "content_type": "", "data": data}, **more)


def essence(records):
    return [{k: v for k, v in r.items() if k not in ("seq", "stream_ns", "offset")} for r in records]


def of(records, *streams):
    return [r for r in records if r["stream"] in streams]


if not shutil.which("nats-server"):
    print("1..0 # skip no nats-server")
    sys.exit(0)

BASE_MS = now_ms() - 3600000
base = tempfile.mkdtemp(prefix="healbus-recording-")
buses = []
try:
    first = Bus(base, "first")
    buses.append(first)
    tick = b"\x0a\x07monitor\x10\x01\x18\x01"
    sample = []
    for i in range(1, 301):
        sample.append(message(i, "RAW", "raw.alertmanager", b'{"n":%d,"pad":"%s"}' % (i, b"x" * (i * 7 % 3000)), i,
                              content_type="application/json; trust=none"))
        sample.append(message(i, "EVENTS", "event.%02d.tick" % (i % 16), tick, i, cause="raw-%d" % i))
    sample.append(message(1, "STORY", "heal.control.tick", b"", 300, id="x:monitor:0"))
    sample.append(message(3, "STORY", "heal.control.tick", b"", 300, id="x:monitor:0:notifier:10"))
    sample.append(message(2, "STORY", "heal.plan.i1", b"", 300, id=""))
    made = first.path("made")
    lib_recording.write(made, sample)

    r = first.run("replay", "--to-stream", "all", made)
    ok(r.returncode == 0 and "replayed 603 messages (RAW, EVENTS, STORY): 603 new, 0 duplicates" in r.stdout,
       "a recording written by someone else is replayed into a fresh bus", (r.stdout, r.stderr))

    whole = first.path("whole")
    r = first.run("record", whole)
    ok(r.returncode == 0 and "recorded 603 messages (RAW 300, EVENTS 300, STORY 3)" in r.stdout,
       "what the bus holds is recorded", (r.stdout, r.stderr))
    got = lib_recording.read(whole)
    ok([essence(of(got, s)) for s in lib_recording.STREAMS] == [essence(of(sample, s)) for s in lib_recording.STREAMS],
       "subjects, ids, causes, types, times and bytes are the same in each stream")
    ok([r["stream_ns"] for r in got] == sorted(r["stream_ns"] for r in got), "in the order of the bus's time")
    ok(os.stat(whole).st_mode & 0o777 == 0o600, "nobody else may read the file")

    r = first.run("record", whole)
    ok(r.returncode == 1 and "File exists" in r.stderr, "an existing file is not overwritten", r.stderr)
    r = first.run("record", "--stream=RAW", "--from", "10", "--to", "20", first.path("range"))
    part = lib_recording.read(first.path("range"))
    ok(r.returncode == 0 and [p["seq"] for p in part] == list(range(10, 21)), "a range by sequence", (r.stderr, len(part)))
    r = first.run("record", "--from", "10", first.path("no"))
    ok(r.returncode == 64 and "sequence numbers are those of one --stream" in r.stderr, "of one stream only", r.stderr)
    r = first.run("record", "--stream", "EVENTS,STORY", "--from", "1h", "--to", "2020-01-01T00:00:00Z", first.path("past"))
    ok(r.returncode == 0 and lib_recording.read(first.path("past")) == [], "a range by time that holds nothing", r.stderr)
    r = first.run("record", "--stream", "EVENTS,STORY", "--from", "30m", first.path("recent"))
    ok(r.returncode == 0 and len(lib_recording.read(first.path("recent"))) == 303, "a range by time", r.stderr)
    r = first.run("record", "--stream", "NONSENSE", first.path("no"))
    ok(r.returncode == 64 and "RAW, EVENTS, STORY" in r.stderr, "an unknown stream", r.stderr)

    r = first.run("replay", whole)
    ok(r.returncode == 0 and "replayed 300 messages (RAW): 0 new, 300 duplicates" in r.stdout,
       "by default the first stream; the bus drops what it has", (r.stdout, r.stderr))
    r = first.run("replay", "--user", "reasoner", "--to-stream", "EVENTS", whole)
    ok(r.returncode != 0 and " 0 new" in r.stdout, "a user without the right replays nothing", (r.stdout, r.stderr))

    second = Bus(base, "second")
    buses.append(second)
    r = second.run("replay", "--to-stream", "all", "--without", "monitor", whole)
    ok(r.returncode == 0 and "602 new, 0 duplicates" in r.stdout and "1 left out" in r.stdout,
       "into another bus, without what a fold said", (r.stdout, r.stderr))
    again = second.path("again")
    second.run("record", again)
    ok([essence(of(lib_recording.read(again), s)) for s in ("RAW", "EVENTS")] ==
       [essence(of(sample, s)) for s in ("RAW", "EVENTS")], "recorded there, it is the same again")

    with open(whole, "rb") as f:
        data = f.read()
    offset = lib_recording.read(whole)[-1]["offset"]
    torn = first.path("torn")
    with open(torn, "wb") as f:
        f.write(data[:-3])
    third = Bus(base, "third")
    buses.append(third)
    r = third.run("replay", "--to-stream", "all", torn)
    ok(r.returncode == 1 and "602 new" in r.stdout and "the record at byte %d is cut short" % offset in r.stderr,
       "of a torn file everything before the tear is replayed", (r.stdout, r.stderr))
    with open(torn, "wb") as f:
        f.write(b"text")
    r = third.run("replay", torn)
    ok(r.returncode == 1 and "not a recording" in r.stderr, "a file of another kind", r.stderr)

    slow = [message(i, "RAW", "raw.slow", b"{}", after, id="slow-%d-" % i) for i, after in ((1, 0), (2, 700), (3, 1400))]
    lib_recording.write(first.path("slow"), slow)
    took = []
    for speed in ("1", "2"):
        lib_recording.write(first.path("slow" + speed), [dict(m, id=m["id"] + speed) for m in slow])
        began = time.monotonic()
        r = third.run("replay", "--speed", speed, first.path("slow" + speed))
        took.append(time.monotonic() - began)
        ok(r.returncode == 0 and "3 new" in r.stdout, "at speed %s" % speed, (r.stdout, r.stderr))
    ok(took[0] >= 1.4 and took[1] >= 0.7, "a replay is never faster than its speed says", took)
    r = third.run("replay", "--speed", "0", first.path("slow"))
    ok(r.returncode == 64, "a speed of nothing is refused", r.stderr)

    # The server goes away and comes back in the middle.
    many = [message(i, "RAW", "raw.many", b"x" * 4000, i * 2, id="many-%d" % i) for i in range(1, 1001)]
    lib_recording.write(first.path("many"), many)
    p = subprocess.Popen([MONITOR, "-c", third.dir, "replay", "--speed", "1", first.path("many")],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    probe = lambda: third.run("record", "--stream", "RAW", third.path("probe%d" % now_ms())).stdout.count("RAW") and \
        sum(r["subject"] == "raw.many" for r in lib_recording.read(
            sorted((third.path(n) for n in os.listdir(third.dir) if n.startswith("probe")))[-1], False)) > 50
    wait_for("the replay is under way", probe)
    third.server.send_signal(signal.SIGKILL)
    third.server.wait()
    third.start()
    out, err = p.communicate(timeout=60)
    ok(p.returncode == 0 and "replayed 1000 messages" in out and "1000 new" in out,
       "a server that was killed meanwhile loses nothing", (out, err))
    third.run("record", "--stream", "RAW", third.path("end"))
    ids = [r["id"] for r in lib_recording.read(third.path("end"), False) if r["subject"] == "raw.many"]
    ok(sorted(set(ids)) == sorted(m["id"] for m in many) and len(ids) == 1000,
       "each message is there once", (len(ids), len(set(ids))))
finally:
    for bus in buses:
        bus.stop()
    shutil.rmtree(base, ignore_errors=True)

sys.exit(done())
