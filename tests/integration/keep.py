#!/usr/bin/env python3
"""How long and how much the bus keeps: from bus.yaml, changed on a live server by healctl doctor --fix, and said by
healctl doctor before anything is refused or thrown away unread. TAP."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../fault")]
from natsadmin import Admin  # noqa: E402
from world import BUILD, World, missing, wait_for  # noqa: E402
from lib import done, ok  # noqa: E402

HOUR = 3600 * 10 ** 9
DAY = 24 * HOUR


class Lab(World):
    def healctl(self, *args, data=None):
        return subprocess.run([os.path.join(BUILD, "healctl"), *args, "-c", self.path("config/admin")], input=data,
                              capture_output=True, text=True, timeout=60)

    def write_keep(self, text):
        """Writes bus.yaml anew with this below keep."""
        self._bus_yaml(self.path("config/admin"), 0)
        with open(self.path("config/admin/bus.yaml"), "a") as f:
            f.write("keep: {%s}\n" % text)

    def doctor(self, *more):
        """(level, what) of each finding about the bus."""
        r = self.healctl("doctor", "--only", "bus", "--json", *more)
        return [(f["level"], f["what"]) for f in json.loads(r.stdout)["findings"]]

    def says(self, level, *words):
        return any(at == level and all(w in what for w in words) for at, what in self.doctor())

    def admin(self):
        with open(self.path("secret/judge")) as f:
            return Admin(self.ports["nats"], "judge", f.read())

    def kept(self, stream):
        c = self.admin().api("STREAM.INFO." + stream)["config"]
        return c["max_age"], c["max_bytes"]

    def publish(self, size):
        return self.healctl("publish", "keep", data=json.dumps({"a": "x" * size}))


def test_defaults(w):
    ok(w.kept("STORY") == (90 * DAY, 2 << 30) and w.kept("RAW") == (72 * HOUR, 1 << 30) and w.kept("DEAD")[0] == 90 * DAY,
       "streams keep what the topic table says", w.kept("STORY"))
    ok(w.kept("KV_CLAIM") == (97 * DAY, 640 << 20), "claims outlive the plans that they guard", w.kept("KV_CLAIM"))
    ok(w.says("ok", "as declared") and w.says("ok", "no stream is more than 80 % full") and w.says("ok", "everybody has read"),
       "doctor finds all well", w.doctor())


def test_change(w):
    ok(w.publish(1000).returncode == 0, "a message is stored")
    w.write_keep("story_age: 48h, raw_bytes: 4MiB, claim_bytes: 64MiB")
    ok(w.says("fail", "STORY", "max_age") and w.says("fail", "RAW", "max_bytes") and w.says("fail", "KV_CLAIM", "max_age"),
       "doctor says what differs from bus.yaml", w.doctor())
    w.doctor("--fix")
    ok(w.kept("STORY") == (48 * HOUR, 2 << 30) and w.kept("RAW") == (72 * HOUR, 4 << 20), "doctor --fix changes it while all runs")
    ok(w.kept("KV_CLAIM") == (9 * DAY, 64 << 20), "claims follow STORY, a week behind", w.kept("KV_CLAIM"))
    ok(w.says("ok", "as declared") and len(w.dump("RAW")) == 1, "then all is as declared, and nothing was lost", w.doctor())
    w.write_keep("story_age: 20h")
    r = w.healctl("doctor", "--only", "bus")
    ok(r.returncode == 1 and "keep.story_age" in r.stdout + r.stderr, "less than its window for duplicates is refused", r.stdout)
    w.write_keep("raw_bytes: 4MiB")


def test_room(w):
    w.doctor("--fix")
    while w.publish(500000).returncode == 0 and not w.says("warn", "RAW is", "% full"):
        pass
    ok(w.says("warn", "RAW is", "% full"), "a stream that is filling up is warned of", w.doctor())
    for _ in range(3):
        r = w.publish(500000)
    ok(r.returncode != 0, "a full one refuses, rather than throw away", r.stderr)
    held = len(w.dump("RAW"))
    w.write_keep("raw_bytes: 16MiB")
    w.doctor("--fix")
    ok(w.publish(500000).returncode == 0 and len(w.dump("RAW")) == held + 1, "more room, and it goes on")


def test_reader(w):
    w.start("monitor-0")
    w.wait_ready("monitor-0")

    def all_read():
        c = w.admin().api("CONSUMER.INFO.RAW.normaliser")
        return c["num_pending"] == 0 and c["num_ack_pending"] == 0
    wait_for("read", all_read)
    w.kill("monitor-0")
    ok(w.says("ok", "everybody has read"), "a reader that is done is none to warn of", w.doctor())
    c = w.admin().api("STREAM.INFO.RAW")["config"]
    c["max_age"], c["duplicate_window"] = 6 * 10 ** 9, 10 ** 9
    w.admin().api("STREAM.UPDATE.RAW", c)
    w.publish(10)
    ok(wait_for("finding", lambda: w.says("fail", "normaliser has not read", "thrown away")),
       "who will miss what is thrown away is named", w.doctor())


def main():
    why = missing()
    if why:
        print("1..0 # skip " + why)
        return
    with Lab() as w:
        w.start_bus()
        for test in (test_defaults, test_change, test_room, test_reader):
            test(w)
    sys.exit(done())


main()
