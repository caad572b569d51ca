#!/usr/bin/env python3
"""What pages hear as it happens: server-sent events, what was missed, how many may listen. TAP."""
import json
import re
import shutil
import socket
import subprocess
import sys
import time

from lib import done, now_ms, ok, wait_for
from lib_notifier import BUSCTL, World, approval, incident, plan
from lib_page import TOKENS, Browser, caught_up, lag, people


def joined(text):
    """Without the seams of the chunked coding, which may be anywhere in a line; whole lines only."""
    whole = re.sub(r"(?<!\r\n)\r\n[0-9A-Fa-f]+\r\n", "", text.decode())
    ends = [m.end() for m in re.finditer(r"(?<!\r)\n", whole)]  # one after \r is half a seam
    return whole[:ends[-1] if ends else 0]


def read_events(sock, until, timeout_s=15):
    """Blocks of a stream of server-sent events, until one of them pleases."""
    sock.settimeout(timeout_s)
    text, end = b"", time.monotonic() + timeout_s
    try:
        while time.monotonic() < end:
            chunk = sock.recv(4096)
            if not chunk:
                break
            text += chunk
            if until(joined(text)):
                break
    except OSError:
        pass
    return joined(text)


def listen(w, last=None, token=None):
    s = socket.create_connection(("127.0.0.1", w.port))
    s.sendall(("GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n%s\r\n" % (
        w.port, token or TOKENS["vic"], "Last-Event-ID: %s\r\n" % last if last is not None else "")).encode())
    return s


def said(text):
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]


def kinds_of(text, name):
    """Without the notices, which come when they come."""
    return [e["kind"] for e in said(text) if e.get("incident") == name and e["kind"] != "notice"]


def test_events(w):
    s = listen(w)
    head = read_events(s, lambda t: "event: hello" in t)
    ok("200 OK" in head and "text/event-stream" in head and "no-store" in head, "events are offered", head)
    seq = said(head)[0]["seq"]
    w.send("incident", "live", incident("live"))
    got = read_events(s, lambda t: '"incident":"live"' in t)
    mine = [e for e in said(got) if e["incident"] == "live"]
    ok(mine and mine[0]["kind"] == "incident" and mine[0]["seq"] > seq, "an incident appears as it happens", got)
    w.send("plan", "live", plan("plan-live", "live"))
    w.send("approval", "live", approval("ask-live", "live", "plan-live", now_ms() + 60000))
    got = read_events(s, lambda t: '"kind":"approval"' in t)
    ok("approval" in kinds_of(got, "live"), "so does a question", got)
    caught_up(w)
    last = '"seq":%d,' % lag(w)["applied_seq"]
    ok(last in got or last in read_events(s, lambda t: last in t), "up to the last message there is", (last, got))
    s.close()
    b = Browser(w.port)
    b.login(TOKENS["ann"])
    r = b.change("/api/decisions", {"approval": "ask-live", "verdict": "deny", "reason": "no"})
    ok(r.status == 200 and r.json["decision"]["by"] == "ann", "it is answered by who is logged in", r.text)
    again = listen(w, last=mine[0]["seq"])
    got = read_events(again, lambda t: '"kind":"decision"' in t)
    seqs = [e["seq"] for e in said(got)][1:]
    ok(kinds_of(got, "live") == ["plan", "approval", "decision"] and
       seqs == sorted(set(seqs)), "who comes again hears what it missed, once", got)
    again.close()
    many = [listen(w) for _ in range(70)]
    first = [read_events(m, lambda t: "\r\n\r\n" in t, 5) for m in many]
    taken = [f for f in first if " 200 " in f[:20]]
    ok(60 <= len(taken) <= 64 and all(" 503 " in f[:20] for f in first if f not in taken),
       "so many pages and no more", [f[:20] for f in first])
    ok(b.ask("GET", "/api/status").status == 200, "while the API answers")
    for m in many:
        m.close()
    ok(" 401 " in read_events(listen(w, token="x" * 40), lambda t: "\r\n\r\n" in t)[:20], "nobody else is told")
    w.send("incident", "after", incident("after"))
    ok(wait_for("room for another page", lambda: " 200 " in read_events(
        listen(w), lambda t: "\r\n\r\n" in t, 2)[:20]), "who has gone makes room")


def flood(w, n):
    """So many messages at once, without a program each."""
    with open(w.dir + "/flood.json", "w") as f:
        json.dump(incident("flood"), f)
    packed = subprocess.run([BUSCTL, "pack", "incident", w.dir + "/flood.json"], capture_output=True,
                            check=True, timeout=30).stdout
    with socket.create_connection(("127.0.0.1", w.nats_port), timeout=30) as s:
        s.sendall(b'CONNECT {"verbose":false}\r\n' + b"PUB heal.incident.flood %d\r\n%s\r\n" % (
            len(packed), packed) * n + b"PING\r\n")
        while not s.recv(4096).endswith(b"PONG\r\n"):
            pass


def gauge(w, name):
    text = Browser(w.port).ask("GET", "/metrics").text.decode()
    return float(re.search(r"^%s (\S+)$" % name, text, re.M).group(1))


def test_far_behind(w):
    flood(w, 1100)
    wait_for("they are stored", lambda: lag(w).get("stream_seq", 0) > 1100)
    caught_up(w)
    applied = lag(w)["applied_seq"]
    wait_for("pages that have gone make room", lambda: gauge(w, "healbus_page_clients") == 0)
    s = listen(w, last=applied - 1000)
    got = read_events(s, lambda t: '"seq":%d,' % applied in t)
    ok(len(kinds_of(got, "flood")) > 900 and "event: reset" not in got, "a thousand missed are told", got[-500:])
    s.close()
    s = listen(w, last=5)
    got = read_events(s, lambda t: "event: reset" in t)
    told = [e["seq"] for e in said(got)]  # the clock's ticks go on meanwhile
    ok(told[:1] == [5] and len(told) > 1 and applied <= told[1] <= lag(w)["applied_seq"], "who missed more begins anew", got[:1000])
    w.send("incident", "new", incident("new"))
    ok('"incident":"new"' in read_events(s, lambda t: '"incident":"new"' in t), "and is told what follows")
    s.close()
    for last in ("x", "-1", "99999999999999999999999", "18446744073709551615", str(applied + 1000), ""):
        with listen(w, last=last) as s:
            got = read_events(s, lambda t: "event: hello" in t, 5)
            ok(said(got) and said(got)[0]["seq"] >= applied, "Last-Event-ID %r is now" % last, got)


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w = World()
    w.hook_on()
    try:
        w.start_nats()
        w.busctl("provision")
        w.configure(people(w))
        ok(w.start(), "starts and is ready")
        caught_up(w)
        test_events(w)
        test_far_behind(w)
        ok(w.stop() == 0, "stops")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
