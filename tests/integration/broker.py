#!/usr/bin/env python3
"""The Docker broker against a double of the Engine that records what it is asked, has every fault, and is itself held
against the real Engine where one runs; and under the real executor. TAP."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_executor as ex  # noqa: E402
import lib_engine as le  # noqa: E402
from lib_executor import BUILD  # noqa: E402
from lib import done, free_port, ok, wait_for  # noqa: E402
from lib_broker import LABEL, NOBODY, ROOT, Broker, ask, call, reason  # noqa: E402


# ---- what it forwards, and in which words ----

def test_allowed(e, b, web):
    web_id = web.id
    s, head, body = b.get("/_ping")
    ok(s == 200 and body == b"OK" and "Api-Version: 1.41" in head, "a ping is answered", head)
    s, _, body = call(b.socket, "HEAD", "/_ping")
    ok(s == 200 and body == b"", "and so is its head")
    s, _, body = b.get("/v1.41/version")
    ok(s == 200 and json.loads(body)["ApiVersion"] == "1.41" and b"SECRET" not in body, "the version, no more", body)
    s, _, body = b.get("/containers/json?all=1")
    names = [c["Names"][0] for c in json.loads(body)]
    ok(s == 200 and names == ["/web", "/job"] and b"SECRET" not in body, "the list holds labelled ones only", body)
    s, _, body = b.get("/containers/web/json")
    seen = json.loads(body)
    ok(s == 200 and seen["State"]["Running"] and b"SECRET" not in body, "the inspection holds no secret", body)
    ok(seen["Config"]["Env"] == ["PASSWORD=<removed>", "MODE=<removed>"] and seen["Mounts"][0]["Destination"] == "/data",
       "but names of variables, and where mounts are", body)
    s, _, body = b.get("/containers/web/logs?tail=3")
    ok(s == 200 and body == b"line 97\nerror 98\nline 99\n", "the log is plain text, in order", body)
    s, _, body = b.get("/containers/web/logs?stderr=1&tail=1")
    ok(body == b"error 98\n", "one stream of it alone", body)
    e.got.clear()
    for target in ("/v1.41/containers/web/restart?t=1", "/containers/web/stop", "/containers/" + web_id[:12] + "/start"):
        s, _, body = b.post(target)
        ok(s == 204 and body == b"", "POST %s: 204" % target, body)
    acted = [t for m, t in e.got if m == "POST"]
    ok(acted == ["/v1.41/containers/%s/restart?t=1" % web_id, "/containers/%s/stop?t=10" % web_id,
                 "/containers/%s/start" % web_id], "each went to the full id, with a bound", acted)
    ok(b.post("/containers/web/start")[0] == 304, "what runs already is not started: 304")
    ok(not [h for h in e.heads if re.search("(?i)x-secret|cookie|authorization", h)], "no header was passed on")
    lines = [x for x in b.lines() if x.get("action") == "restart"]
    ok(len(lines) == 1 and lines[0]["uid"] == os.getuid() and lines[0]["container"] == "web"
       and lines[0]["id"] == web_id[:12] and lines[0]["status"] == 204, "an act is one line: who, what, which, how", lines)


def test_label(e, b):
    e.got.clear()
    for method, target in (("GET", "/containers/db/json"), ("GET", "/containers/db/logs"), ("POST", "/containers/db/restart"),
                           ("POST", "/containers/db/stop"), ("POST", "/containers/off/start"),
                           ("POST", "/containers/" + e.find("db").id + "/restart")):
        s, _, body = call(b.socket, method, target, headers="Content-Length: 0\r\n")
        ok(s == 403 and "does not carry the label healbus.manage=true" in reason(body), "%s %s: 403" % (method, target), body)
    ok(not [m for m, _ in e.got if m == "POST"] and not e.asked("logs"), "nothing but inspections was asked", e.got)
    s, _, body = b.post("/containers/nosuch/restart")
    ok(s == 404 and "No such container" in reason(body), "one that is not there: 404, in the Engine's words", body)


def test_rename_in_between(e, b):
    """Once looked at, it is its id; who has its name then is not meant."""
    blue, db = e.find("job"), e.find("db")
    old, other = blue.name, db.name

    def swap(connection, container):
        le.send(connection, 200, json.dumps(container.inspect()).encode(), "application/json")
        with e.lock:
            blue.name, db.name = "elsewhere", old
        return True
    e.pattern, e.fault = "job/json", swap
    before = (blue.restarts, db.restarts)
    s, _, _ = b.post("/containers/job/restart")
    e.pattern = None
    ok(s == 204 and (blue.restarts, db.restarts) == (before[0] + 1, before[1]),
       "a rename between look and act changes nothing", (blue.restarts, db.restarts))
    blue.name, db.name = old, other


# ---- what it does not ----

R = "POST /containers/web/restart HTTP/1.1\r\nHost: docker\r\n"
TRICKS = [
    ("create", "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", "root on the host"),
    ("exec", "POST /containers/web/exec HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", "root on the host"),
    ("exec start", "POST /v1.41/exec/0a/start HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", "root on"),
    ("build", "POST /build?t=x HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "root on the host"),
    ("attach", "POST /containers/web/attach?stream=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n", "terminal"),
    ("delete", "DELETE /containers/web?force=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "method DELETE"),
    ("kill", "POST /containers/web/kill HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "stop gives"),
    ("images", "GET /images/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "images"),
    ("events", "GET /events HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "without end"),
    ("follow", "GET /containers/web/logs?follow=1 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "logs takes"),
    ("upgrade", R + "Upgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", "Upgrade"),
    ("h2c", R + "Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n\r\n", "Upgrade"),
    ("body", R + "Content-Length: 2\r\nConnection: close\r\n\r\n{}", "a body"),
    ("chunked", R + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
    ("chunked body", R + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding"),
    ("escaped slash", "POST /containers/web%2frestart HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "escape"),
    ("escaped dots", "POST /containers/%2e%2e/restart HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", None),
    ("dots", "GET /containers/../images/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", None),
    ("double slash", "GET //containers/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", None),
    ("absolute", "GET http://docker/_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", None),
    ("case", "POST /containers/web/RESTART HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "not forwarded"),
    ("query", "POST /containers/web/restart?t=5&signal=KILL HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
     "restart takes t"),
    ("pattern", "GET /containers/.+/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "a byte besides"),
    ("long id", "GET /containers/" + "a" * 129 + "/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", "at most 128"),
    ("huge body", R + "Content-Length: 100000000\r\nConnection: close\r\n\r\n{}", None),
    ("two lengths", R + "Content-Length: 0\r\nContent-Length: 44\r\nConnection: close\r\n\r\n"
     "POST /containers/web/stop HTTP/1.1\r\nHost: d\r\n\r\n", None),
    ("length and chunks", R + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"
     "POST /containers/web/stop HTTP/1.1\r\nHost: d\r\n\r\n", None),
    ("odd coding", R + "Transfer-Encoding: xchunked\r\nConnection: close\r\n\r\n0\r\n\r\n", None),
    ("folded header", R + "X: y\r\n Content-Length: 9\r\nTransfer-Encoding:\r\n chunked\r\nConnection: close\r\n\r\n", None),
    ("space before the colon", R + "Transfer-Encoding : chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", None),
    ("bare line feeds", "POST /containers/create HTTP/1.1\nHost: d\nContent-Length: 0\nConnection: close\n\n", None),
    ("line feed in the target", "GET /_ping\nX: HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", None),
    ("no version", "GET /containers/json\r\n\r\n", None),
    ("noise", "\x00\x01\x02\xff\r\n\r\n", None),
]


def test_tricks(e, b, web):
    for name, request, why in TRICKS:
        e.got.clear()
        before = (web.restarts, web.running)
        s, _, body = ask(b.socket, request.encode("latin-1"), 30 if why else 2)  # what is understood is answered
        refused = s == 403 and why in reason(body) if why else s in (0, 400, 403, 404, 405, 413, 501, 505)
        ok(refused and not e.got and before == (web.restarts, web.running),
           "%s: refused, and the Engine never heard of it" % name, (s, body, e.got))
    # One connection, and in the body of a refused request another one: it stays a body.
    inner = R + "Content-Length: 0\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(10)
        c.connect(b.socket)
        c.sendall(("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n%s"
                   "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n" % (len(inner), inner)).encode())
        data = b"".join(iter(lambda: c.recv(65536), b""))
    ok(re.findall(rb"HTTP/1\.1 (\d+)", data) == [b"403", b"200"] and e.got == [("GET", "/_ping")],
       "a request inside a body is none", (data, e.got))
    ok(b.p.poll() is None, "it lives")
    lines = [x for x in b.lines() if x["msg"] == "refused" and "containers/create" in x.get("target", "")]
    ok(lines and lines[0]["uid"] == os.getuid() and lines[0]["status"] == 403, "a refusal is a line, too", lines)


# ---- an Engine that is ill ----

def test_faults(e, b, web):
    hold = threading.Event()
    reads = [
        ("no HTTP", le.answering(b"garbage\r\n\r\n"), (502,)),
        ("nothing", le.answering(b""), (502,)),
        ("no JSON", le.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>"), (502,)),
        ("half an answer", le.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), (502,)),
        ("a huge answer", le.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"), (502,)),
        ("a huge header", le.answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500000 + b"\r\n\r\n"), (502,)),
        ("no end", le.endless, (502, 504)),
        ("one byte now and then", le.trickling, (504,)),
        ("silence", le.held_until(hold, drop=True), (504,)),
        ("a redirection", le.answering(b"HTTP/1.1 302 X\r\nLocation: http://docker/containers/db/json\r\nContent-Length: 0\r\n\r\n"),
         (502,)),
        ("another protocol", le.answering(b"HTTP/1.1 101 X\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n"), (502, 504)),
        ("an id that is none", le.answering(b'HTTP/1.1 200 OK\r\nContent-Length: 68\r\n\r\n'
                                            b'{"Id":"../x","Config":{"Labels":{"healbus.manage":"true"}}}         '), (502,)),
    ]
    for name, fault, statuses in reads:
        e.pattern, e.fault = "web/json", fault
        e.got.clear()
        s, _, body = b.post("/containers/web/restart")
        ok(s in statuses and reason(body) and not [m for m, _ in e.got if m == "POST"],
           "%s for an inspection: %s, and nothing is done" % (name, statuses), (s, body))
    before = web.restarts
    for name, fault, status in (("no HTTP", le.answering(b"garbage\r\n\r\n"), 502), ("nothing", le.answering(b""), 502),
                                ("silence", le.held_until(hold, drop=True), 504),
                                ("a strange status", le.answering(b"HTTP/1.1 202 X\r\nContent-Length: 0\r\n\r\n"), 502)):
        e.pattern, e.fault = "/restart", fault
        e.got.clear()
        s, _, body = b.post("/containers/web/restart?t=0")
        unknown = "nobody knows" in reason(body) or "answered 202" in reason(body)
        ok(s == status and unknown and len(e.asked("/restart")) == 1, "%s for a restart: %d, and it is asked once" % (name, status), (s, body))
    e.pattern, e.fault = "/restart", le.answering(le.message(500, "Cannot restart: no such bin"))
    s, _, body = b.post("/containers/web/restart?t=0")
    ok(s == 500 and "Cannot restart" in reason(body), "what the Engine says of itself goes back", (s, body))
    e.pattern, e.fault = "/logs", le.endless
    s, head, body = b.get("/containers/web/logs")
    ok(s in (200, 504) and len(body) < 100000, "a log without end ends", (s, len(body)))
    e.pattern, e.fault = "/logs", le.answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno frames")
    ok(b.get("/containers/web/logs")[0] == 502, "a log without frames is none")
    e.pattern = None
    s, head, body = b.get("/containers/job/logs?tail=1000")
    ok(s == 200 and len(body) <= 4096 and "X-Healbus-Truncated: true" in head and body.endswith(b"line 999\n")
       and body.startswith(b"line "), "of a long log the end is answered, whole lines", (head, len(body)))
    hold.set()
    e.close()
    s, head, body = b.post("/containers/web/restart")
    ok(s == 503 and "Retry-After" in head and "nothing was done" in reason(body), "no Engine: 503, nothing was done", (s, body))
    ok(b.get("/readyz")[0] == 503 and b.get("/healthz")[0] == 200, "then it is healthy, but not ready")
    e.listen()
    ok(b.get("/readyz")[0] == 200 and b.post("/containers/web/restart?t=0")[0] == 204 and web.restarts == before + 1,
       "and goes on when it is back", web.restarts)


def test_slow_ones_hold_up_nobody(e, b, web):
    go, status = threading.Event(), []
    e.pattern, e.fault = "/restart", le.held_until(go)
    t = threading.Thread(target=lambda: status.append(b.post("/containers/web/restart?t=0")[0]))
    t.start()
    wait_for("the restart", lambda: e.asked("/restart"))
    ok(b.get("/_ping")[0] == 200 and b.get("/containers/job/json")[0] == 200, "while one waits, others are answered")
    b.p.send_signal(signal.SIGTERM)
    wait_for("the socket to go", lambda: not os.path.exists(b.socket))
    ok(b.p.poll() is None, "asked to stop, it waits for what is under way")
    go.set()
    t.join()
    ok(status == [204] and b.p.wait() == 0, "which is answered before it ends", status)
    e.pattern = None


def test_queue(e, dir):
    go = threading.Event()
    b = Broker(dir, e.path, "queue", workers=1)
    e.pattern, e.fault = "_ping", le.held_until(go)
    found = []
    threads = [threading.Thread(target=lambda: found.append(b.get("/_ping")[0])) for _ in range(80)]
    for t in threads:
        t.start()
    ok(wait_for("a refusal", lambda: 503 in found), "what cannot wait is told so at once", found)
    e.pattern = None
    go.set()
    for t in threads:
        t.join()
    ok(set(found) == {200, 503} and found.count(200) >= 64, "and what waited is answered", found)
    b.stop()


def test_rates(e, dir):
    b = Broker(dir, e.path, "rate", rate={"container_per_hour": 2, "global_per_hour": 3, "requests_per_minute": 40})
    found = [b.post("/containers/web/restart?t=0")[0] for _ in range(2)]
    s, head, body = b.post("/containers/web/restart?t=0")
    ok(found == [204, 204] and s == 429 and "container_per_hour" in reason(body) and "Retry-After" in head,
       "too many acts on one container: 429", (found, head, body))
    s = b.post("/containers/job/stop")[0]
    s2, _, body = b.post("/containers/job/start")
    ok(s == 204 and s2 == 429 and "global_per_hour" in reason(body), "on all of them: 429", (s, s2, body))
    found = [b.get("/info")[0] for _ in range(40)]
    ok(found[0] == 403 and found[-1] == 429, "too many requests of any kind: 429", found)
    ok(len([x for x in b.lines() if x["msg"] == "refused"]) < 41, "which do not fill the log")
    ok(b.get("/healthz")[0] == 200, "its own health costs nothing")
    b.stop()
    e.find("job").running = True


# ---- who, and as whom ----

def test_users(e, dir):
    b = Broker(dir, e.path, "users", allow_users="%d" % (os.getuid() + 1))
    s, _, body = b.get("/_ping")
    ok(s == 403 and "is not one of allow_users" in reason(body), "a user who is not listed is refused", body)
    b.stop()
    b = Broker(dir, e.path, "users", allow_users="1,%d" % os.getuid())
    ok(b.get("/_ping")[0] == 200, "one who is listed is served")
    mode = os.stat(b.socket).st_mode & 0o777
    ok(mode == 0o660, "the socket's mode is 0660", oct(mode))
    with open("/proc/%d/status" % b.p.pid) as f:
        status = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    if "sanitize" in os.environ.get("HEALBUS_BUILD", "") or re.search("/(asan|tsan)", BUILD):
        ok(True, "confinement # skip sanitizers need what it takes")
    else:
        ok(status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", "system calls are filtered", status["Seccomp"])
    ok(not ROOT or set(status["Uid"].split()) == {str(NOBODY)} and int(status["CapEff"], 16) == 0, "it is nobody, with no capability")
    r = subprocess.run([os.path.join(BUILD, "healbus-docker-broker"), "-c", b.conf, "--healthy"], capture_output=True)
    ok(r.returncode == 0, "--healthy says so", r.stderr)
    s, _, body = b.get("/metrics")
    ok(s == 200 and b'healbus_broker_requests_total{action="ping",status="200"}' in body, "it counts", body[:500])
    second = subprocess.run([os.path.join(dir, "healbus-docker-broker"), "-c", b.conf], capture_output=True, text=True,
                            env=dict(os.environ, HEALBUS_BROKER_ALLOW_ROOT="true"))
    ok(second.returncode == 78 and "somebody listens there" in second.stderr, "a second one does not take its place", second.stderr)
    b.stop(signal.SIGKILL)
    ok(os.path.exists(b.socket), "killed, it leaves its socket")
    b.start()
    ok(b.get("/_ping")[0] == 200, "which the next one replaces")
    b.stop()
    r = subprocess.run([os.path.join(BUILD, "healbus-docker-broker"), "-c", b.conf, "--healthy"], capture_output=True)
    ok(r.returncode == 1, "when it is gone, --healthy says that")
    if ROOT:
        r = subprocess.run([os.path.join(BUILD, "healbus-docker-broker"), "-c", b.conf], capture_output=True, text=True)
        ok(r.returncode == 78 and "will not run as root" in r.stderr, "it does not run as root unasked", r.stderr)


def test_reload(e, dir):
    b = Broker(dir, e.path, "reload", rate={"container_per_hour": 1})
    ok(b.post("/containers/web/restart?t=0")[0] == 204 and b.post("/containers/web/restart?t=0")[0] == 429, "one act, then no more")
    b.configure(rate={"container_per_hour": 1}, logs={"default_lines": 2})
    said = b.reload()
    s, _, body = b.get("/containers/web/logs")
    ok(said == ["configuration reloaded"] and s == 200 and body.count(b"\n") == 2, "SIGHUP: other bounds from now on", (said, s, body))
    ok(b.post("/containers/web/restart?t=0")[0] == 429, "the same rates go on counting")
    b.configure(rate={"container_per_hour": 2}, workers=2, allow_users="root,%d" % os.getuid())
    said = b.reload()
    fixed = [x["key"] for x in b.lines() if x["msg"] == "a change that needs a restart"]
    ok(said == ["configuration reloaded"] and b.post("/containers/web/restart?t=0")[0] == 204, "others begin anew, and names are looked up", said)
    ok(fixed == ["workers"], "it says what needs a restart", fixed)
    b.configure(label="no label")
    said = b.reload()
    why = [x.get("why", "") for x in b.lines() if x["msg"].startswith("configuration not")]
    ok(said and said[0].startswith("configuration not") and "label" in why[0] and b.get("/containers/web/json")[0] == 200,
       "a bad one is refused, and the old one stays", (said, why))
    b.configure(allow_users="%d" % (os.getuid() + 1))
    said = b.reload()
    s, _, body = b.get("/_ping")
    ok(said == ["configuration reloaded"] and s == 403 and "allow_users" in reason(body), "who may no more ask is refused", (said, s))
    ok(b.stop() == 0, "and it ends as it should")


def test_http_listen(e, dir):
    port = free_port()
    b = Broker(dir, e.path, "tcp", http={"listen": "127.0.0.1:%d" % port})
    found = {}
    for path in ("/healthz", "/readyz", "/metrics", "/_ping", "/containers/json"):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10) as r:
                found[path] = r.status
        except urllib.error.HTTPError as error:
            found[path] = error.code
    ok(list(found.values()) == [200, 200, 200, 404, 404], "over TCP there is its health, and nothing of the Engine's", found)
    b.stop()


def test_configuration(dir):
    conf = os.path.join(dir, "conf-bad")
    os.mkdir(conf)
    for text, why in (("label: healbus", "label: want name=value"), ("label: 'a=b\"c'", "label: letters"),
                      ("listen: /var/run/docker.sock", "that is engine.socket"), ("allow_users: no-such-user", "allow_users"),
                      ("group: no-such-group", "group"), ("rate: {container_per_hour: 0}", "container_per_hour"),
                      ("socket: x", "socket"), ("listen: /" + "x" * 120, "listen: over")):
        with open(os.path.join(conf, "broker.yaml"), "w") as f:
            f.write(text + "\n")
        r = subprocess.run([os.path.join(BUILD, "healbus-docker-broker"), "-c", conf, "--check"], capture_output=True, text=True)
        ok(r.returncode == 78 and why in r.stderr, "%.40s: %s" % (text, why), r.stderr)


def main():
    dir = tempfile.mkdtemp(prefix="healbus-broker-")
    os.chmod(dir, 0o755)
    shutil.copy(os.path.join(BUILD, "healbus-docker-broker"), dir)
    e = le.Engine(os.path.join(dir, "engine.sock"))
    web = e.add("web", LABEL, env=["PASSWORD=SECRET", "MODE=SECRET"],
                log=[(2 if i == 98 else 1, "%s %d\n" % ("error" if i == 98 else "line", i)) for i in range(100)])
    e.add("job", dict(LABEL, other="SECRET"), log=[(1, "line %d\n" % i) for i in range(1000)])
    e.add("db", {"healbus.manage": "false"})
    e.add("off", {})
    try:
        b = Broker(dir, e.path, engine={"timeout": "1s", "answer_max": "64KiB"}, logs={"max_bytes": "4KiB"},
                   rate={"container_per_hour": 1000, "global_per_hour": 1000, "requests_per_minute": 10000})
        test_allowed(e, b, web)
        test_label(e, b)
        test_rename_in_between(e, b)
        test_tricks(e, b, web)
        test_faults(e, b, web)
        ok(b.stop() == 0, "after all that it ends as it should")
        b = Broker(dir, e.path)
        test_slow_ones_hold_up_nobody(e, b, web)
        test_queue(e, dir)
        test_rates(e, dir)
        test_users(e, dir)
        test_reload(e, dir)
        test_http_listen(e, dir)
        test_configuration(dir)
    except Exception:
        import traceback
        ok(False, "the test itself", traceback.format_exc())
    finally:
        ex.kill_all()
        shutil.rmtree(dir, ignore_errors=True)
    sys.exit(done())


main()
