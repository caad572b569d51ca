#!/usr/bin/env python3
"""The benchmark's own instruments: the generator gives the specified bytes and counts, the load driver counts and
stamps what it sends, rows and goals add up. Nothing here looks at a clock."""
import collections
import hashlib
import http.server
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))
from kit import rows  # noqa: E402
from kit.bench import medians, parse, quantile  # noqa: E402
from kit.sniff import Reader, name  # noqa: E402
from lib import done, ok  # noqa: E402

BUILD = os.environ.get("HEALBUS_BUILD", "build")
W1_MD5 = "1aaeb848477a93e32a95ed2054baa4ab"
W1_ORACLE = {"events": 200000, "transitions": 20000, "firing_transitions": 14994, "resolved_transitions": 5006,
             "duplicates": 180000, "distinct_fingerprints": 10000}


def bench(program, *args):
    return subprocess.run([f"{BUILD}/tests/bench/{program}", *map(str, args)], stdout=subprocess.PIPE, check=False)


def pairs(output):
    return {k: float(v) for k, v in (word.split("=") for word in output.decode().split())}


# ---- the generator ----

def counted(lines):
    """The oracle's counts, from the text lines alone: an event is a transition when its alert's state changed."""
    state, c = {}, collections.Counter()
    for line in lines:
        fp, status = re.match(r"ALERT fp=(\S+) status=(\S+)", line).groups()
        c["events"] += 1
        if state.get(fp) == status:
            c["duplicates"] += 1
            continue
        c["transitions"] += 1
        c[f"{status}_transitions"] += 1
        state[fp] = status
    c["distinct_fingerprints"] = len(state)
    return c


def test_generator():
    bodies = bench("gen", "-e", 1000).stdout
    ok(hashlib.md5(bodies).hexdigest() == W1_MD5, "1,000 events of W1 are the specified bytes")
    ok(all(len(b) == 3072 for b in bodies.splitlines()), "each body is 3072 bytes long")
    ok(pairs(bench("gen", "-f", "oracle", "-e", 200000).stdout) == W1_ORACLE, "the oracle counts W1")
    lines = bench("gen", "-f", "line", "-e", 30000).stdout.decode().splitlines()
    oracle = pairs(bench("gen", "-f", "oracle", "-e", 30000).stdout)
    ok(counted(lines) == oracle, "a naive count of the lines agrees with the oracle")
    storm = bench("gen", "-f", "line", "-d", 0, "-r", 0, "-n", 300, "-e", 300).stdout.decode().splitlines()
    ok(counted(storm)["firing_transitions"] == 300, "in a storm each event is a firing of its own")
    ok(bench("gen", "-f", "nonsense").returncode == 64, "an unknown format is refused")


# ---- the load driver ----

class Server(http.server.ThreadingHTTPServer):
    """Answers 202, and 503 to every tenth request; remembers bodies; closes every 50th connection."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.bodies, self.headers = threading.Lock(), [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.headers.add(self.headers.get("X-Test"))
            n = len(self.server.bodies)
        self.send_response(503 if n % 10 == 0 else 202)
        self.send_header("Content-Length", "2")
        if n % 50 == 0:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


def unstamped(body):
    return re.sub(rb'"t0":"\d{19}"', b'"t0":"' + b"0" * 19 + b'"', body)


def test_load(directory):
    path = f"{directory}/bodies"
    with open(path, "wb") as f:
        f.write(bench("gen", "-e", 300, "-b", 3).stdout)
    with open(path, "rb") as f:
        sent = f.read().splitlines()
    server = Server()
    port = server.server_address[1]
    r = pairs(bench("load", "-c", 4, "-d", 60, "-p", port, "-H", "X-Test: yes", "/x", path).stdout)
    ok((r["n"], r["ok"], r["bad"], r["err"]) == (100, 90, 10, 0), "each body is sent once, and its answer counted")
    ok((r["status_202"], r["status_503"]) == (90, 10), "answers are counted by status")
    ok(sorted(map(unstamped, server.bodies)) == sorted(sent), "but for their stamps, what arrives is the file")
    stamps = [int(s) for b in server.bodies for s in re.findall(rb'"t0":"(\d{19})"', b)]
    ok(len(stamps) == 300 and min(stamps) > 0, "every alert of a body is stamped")
    ok(server.headers == {"yes"}, "the header is sent")

    server.bodies.clear()
    r = pairs(bench("load", "-c", 3, "-d", 60, "-n", 120, "-r", 2000, "-w", "-o", f"{directory}/ns", "-p", port, "/x",
                    path).stdout)
    stamps = sorted(int(re.search(rb'"t0":"(\d{19})"', b)[1]) for b in server.bodies)
    steps = {b - a for a, b in zip(stamps, stamps[1:])}
    ok(r["n"] == 120, "-w begins the file anew, -n stops it")
    ok(steps == {500000}, "at a rate, stamps are the times that were due, whatever the server did")
    with open(f"{directory}/ns") as f:
        ok(len(f.read().split()) == 120, "-o writes each latency")

    server.bodies.clear()
    bench("load", "-c", 8, "-d", 60, "-W", 1, "-p", port, "/x", path)
    ok([unstamped(b) for b in server.bodies] == sent, "with a window of 1 all arrive in order")
    server.shutdown()
    ok(bench("load", "-p", port).returncode == 64, "without bodies it says how it is used")


def test_action(directory):
    env = {**os.environ, "ACT_OUT": f"{directory}/act"}
    ran = [subprocess.run([f"{BUILD}/tests/bench/act", a], env=env, check=False).returncode
           for a in ("1000000000000000000", "seen t0=1000000000000000000", "0000000000000000000")]
    with open(f"{directory}/act") as f:
        notes = [tuple(map(int, line.split())) for line in f]
    ages = [now - age for age, now in notes[:2]]
    ok(ran == [0, 0, 0] and ages == [10**18, 10**18] and notes[2][0] == 0, "the action notes its stamp's age")


def test_rows():
    some = [
        rows.Row("fast / limit", 90.0, "1/s", rows.at_least(0.8, "limit"), limit=100.0),
        rows.Row("slow / limit", 79.9, "1/s", rows.at_least(0.8, "limit"), limit=100.0),
        rows.Row("cheap / peer", 25.0, "us", rows.at_most(0.25, "peer"), peer=100.0),
        rows.Row("small", 12.0, "MiB", rows.at_most(12)),
        rows.Row("whole", 1.0, "", rows.exactly(1)),
        rows.Row("doubled", 1.001, "", rows.exactly(1)),
        rows.Row("beside", 5.0, "ms"),
        rows.skipped("absent", "peer is not installed", rows.at_least(3, "peer"))]
    ok([r.reached() for r in some] == [True, False, True, True, True, False, None, None],
          "goals: at least, at most, exactly; of a limit, of a peer, of themselves; none")
    ok(rows.verdict(some, 9) == "bench: 4 of 9 goals reached", "what was not measured is not reached")
    listed = json.loads(rows.to_json(some))
    keys = ["line", "value", "unit", "goal", "reached", "limit", "peer"]
    ok(all(list(r) == keys for r in listed), "the JSON has its keys, in order")
    ok(listed[0]["goal"] == ">= 0.8 x limit" and listed[0]["reached"] is True and listed[7]["value"] is None,
          "the JSON says goals as text, and null for what was not measured")
    text = rows.table(some).splitlines()
    ok(len(text) == len(some) + 1 and "skipped: peer is not installed" in text[-1], "the table has a line a row")
    ok(text[1].index("yes (0.90)") == text[2].index("NO (0.80)") == text[0].index("reached"), "columns are aligned")
    ok(medians([{"a": 1, "b": 9}, {"a": 5, "b": 8}, {"a": 3, "b": 7}]) == {"a": 3, "b": 8}, "medians by figure")
    ok(quantile(range(100, 0, -1), 0.99) == 99, "a quantile of what is not sorted")
    ok(parse("rate=2.5 n=3 status_202=1 junk") == {"rate": 2.5, "n": 3, "status_202": 1}, "figures of a driver are read")


def test_sniffer():
    """The bytes of a bus, whole and torn anywhere, are the same messages."""
    said = (b"INFO {}\r\nPONG\r\nMSG heal.plan.x 1 _INBOX_executor-1.abc 4\r\nMSG \r\n"
            b"HMSG $KV.CLAIM.plan-abc 1 _INBOX_executor.r 12 15\r\nNATS/1.0\r\n\r\nabc\r\nMSG _INBOX_executor.r 1 2\r\n{}\r\n")
    wanted = [("heal.plan.x", "_INBOX_executor-1.abc"), ("$KV.CLAIM.plan-abc", "_INBOX_executor.r"), ("_INBOX_executor.r", "")]
    torn = []
    for at in range(len(said)):
        reader = Reader()
        torn.append([*reader.messages(said[:at]), *reader.messages(said[at:])])
    ok(torn == [wanted] * len(said), "messages are told apart wherever their bytes are torn")
    asked = {}
    ok([name(*m, asked) for m in wanted] == [("executor", "heal.plan"), ("executor", "put claim plan-*"),
          ("executor", "... answer: put claim plan-*")], "an answer is named after its question")


def test_runner():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "run")
    listed = subprocess.run([here, "--list"], stdout=subprocess.PIPE, check=False).stdout.decode().splitlines()
    ok(len(listed) >= 10 and all(len(line.split()) > 3 for line in listed), "every group of lines says what it is")
    ok(subprocess.run([here, "nonsense"], stderr=subprocess.DEVNULL, check=False).returncode == 2,
          "an unknown line is refused")


def test_scale():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "scale")
    loader = importlib.machinery.SourceFileLoader("scale", path)
    scale = importlib.util.module_from_spec(importlib.util.spec_from_loader("scale", loader))
    loader.exec_module(scale)
    ok([round(x, 9) for x in scale.fit([1, 2, 4], [10, 12, 16])] == [10, 2], "a line through points: the first, and each more")
    cost = dict.fromkeys(scale.KINDS, 10.0)
    cost.update(bus_messages=2.0, bus_bytes=100.0, disk_bytes=0.0, threads={"reasoner/reasoner": 1000.0})
    row = {"event": cost, "incident": cost, "idle": {"cpu": dict.fromkeys(scale.KINDS, 0.0)}, "per_incident_story": 10}
    need = scale.needs(row, 1000, 0.1)
    ok(abs(need["cores"]["nats"] - 0.011) < 1e-9 and abs(need["bus_messages_s"] - 2200) < 1e-6, "what a rate needs")
    bends = dict((what.split("'")[0], at) for what, at in scale.serial(row, 0.001, 0.1))
    ok(abs(bends["the reasoner"] - 10000) < 1e-6, "where the reasoner's fold has a whole core")


def main():
    with tempfile.TemporaryDirectory() as directory:
        test_generator()
        test_load(directory)
        test_action(directory)
    test_rows()
    test_sniffer()
    test_runner()
    test_scale()
    return done()


if __name__ == "__main__":
    sys.exit(main())
