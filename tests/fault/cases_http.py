"""Peers that misbehave: those we call (channels, actions, checks), their TLS and DNS, and those that
call us at the webhook port."""
import http.client
import json
import os
import socket
import time

from badpeer import Dns, Peer, make_certificates, tls_peer
from kit import alert, case, cpu_seconds, descriptors, in_parallel, peak_mib, rss_mib, wait_for, webhook

CASES = []
HOSTILE = ("hang", "slow", "slow-head", "garbage", "endless", "headers", "bad-chunks", "huge-chunk",
           "half", "no-answer", "too-many", "broken", "loop", "metadata", "elsewhere", "gzip-bomb")
MEMORY_MIB = 96


def channels(urls, more=""):
    """Notifier options: one receiver a channel, all told of everything, the last resort a file."""
    lines = ["give_up_after: 6s", "channels:"]
    for name, url in urls.items():
        lines.append("  - {name: %s, type: webhook, url: '%s', timeout: 1s%s}" % (name, url, more))
    lines += ["  - {name: file, type: terminal, path: /dev/null}", "receivers:",
              "  - {name: none, channels: [file]}"]
    lines += ["  - {name: r-%s, channels: [%s], fallback: [file]}" % (n, n) for n in urls]
    lines += ["route:", "  receiver: none", "  group_wait: 0s", "  routes:"]
    lines += ["    - {receiver: r-%s, continue: true}" % n for n in urls]
    return "\n".join(lines) + "\n"


@case(CASES, 17, "channel-peers", "chat peers that hang, flood, lie: others are told at once, memory stays small")
def channel_peers(k):
    peer = Peer()
    k.cleanups.append(peer.close)
    ways = ("good",) + tuple(way for way in HOSTILE if way != "elsewhere")  # 16 routes at most
    w = k.world(options={"notifier": channels({n: peer.url(n) for n in ways})})
    run = w.send(1)[0]
    k.until("the good one is told", lambda: peer.came("good"), 60)
    w.judge([run])

    def settled():
        told = {}
        for m in w.dump("STORY", "heal.notice.>"):
            n = m["message"]
            told.setdefault((n.get("channel"), n.get("kind")), set()).add(n.get("state"))
        opened = {c: s for (c, kind), s in told.items() if kind == "opened" and c in ways}
        return len(opened) == len(ways) and all(s & {"sent", "failed"} for s in opened.values())

    k.until("every notice ends as sent or failed", settled, 120)
    k.check(not peer.came("trap") and not peer.came("loop")[20:], "no redirect was followed")
    peak = peak_mib(w.pid("notifier"))
    k.check(peak < MEMORY_MIB, "the notifier stays under %d MiB" % MEMORY_MIB, peak)
    k.check(w.ready("notifier"), "the notifier is well")
    k.note("peak %.0f MiB, %d requests" % (peak, len(peer.hits)))


HTTP_TOOL = """
name: call
summary: Calls a peer
level: soft
runner: http
params: {way: {type: string}}
method: POST
url: "{{ .target.base }}/{{ .params.way }}"
body: "x"
timeout: 2s
"""
HTTP_RUNBOOK = """
name: call
priority: 500
description: calls a peer
match: ['alertname=~"Fault.*"', 'way!=""']
target: peer
max_attempts: 1
cooldown: 0s
attempts:
  - why: 'calls {{ .labels.way }}'
    steps: [{tool: call, params: {way: '{{ .labels.way }}'}}]
"""
CALLED = {"good": "healed", "hang": "unknown", "slow": "unknown", "slow-head": "unknown",
          "garbage": "unknown", "no-answer": "unknown", "half": "unknown", "endless": "unknown",
          "headers": "unknown", "bad-chunks": "unknown", "huge-chunk": "unknown",
          "too-many": "failed", "broken": "failed", "loop": "failed", "metadata": "failed",
          "elsewhere": "failed"}


@case(CASES, 17, "action-peers", "an action's peer that lies or hangs: called once; no answer read is unknown")
def action_peers(k):
    peer = Peer()
    k.cleanups.append(peer.close)
    w = k.world(start=False)
    w.config["executor-0"] += "  - {id: peer, tools: [call], hosts: ['127.0.0.1:%d'], attributes: {base: '%s'}}\n" % (
        peer.port, peer.url("")[:-1])
    with open(w.path("tools/call.yaml"), "w") as f:
        f.write(HTTP_TOOL.lstrip())
    with open(w.path("runbooks/call.yaml"), "w") as f:
        f.write(HTTP_RUNBOOK.lstrip())
    w.start_all()
    runs = {}
    for way in CALLED:
        run = w.new_run("call")
        k.check(w.post(run, way=way, service="peer") == 202, "taken")
        runs[way] = run
    w.settled(runs.values(), 120)
    outcomes = w.outcomes()
    got = {way: outcomes[run] for way, run in runs.items()}
    k.check(got == {way: [v] for way, v in CALLED.items()}, "each has the outcome that is true",
            {way: v for way, v in got.items() if v != [CALLED[way]]})
    often = {way: len(peer.came(way)) for way in CALLED if len(peer.came(way)) != 1}
    k.check(not often, "each was called exactly once", often)
    k.check(not peer.came("trap"), "no redirect was followed")
    k.check(peak_mib(w.pid("executor-0")) < MEMORY_MIB, "the executor stays small",
            peak_mib(w.pid("executor-0")))
    w.probe()
    k.note("peak %.0f MiB" % peak_mib(w.pid("executor-0")))


def proposal(tool, target, **params):
    return json.dumps({"analysis": "It must be so.", "confidence": 1.0, "title": "Do it", "edits": "", "give_up": "",
                       "steps": [{"tool": tool, "target": target,
                                  "params": [{"name": n, "value": str(v)} for n, v in params.items()]}]})


LIES = {
    "not listed": proposal("shell", "web", command="rm -rf /"),
    "forbidden": proposal("ledger_never", "web", run="lie", attempt=1),
    "another's target": proposal("ledger_act", "never", run="lie", attempt=1),
    "a path for a target": proposal("ledger_act", "../web", run="lie", attempt=1),
    "a parameter too many": proposal("ledger_act", "web", run="lie", attempt=1, sudo=True),
    "out of range": proposal("ledger_act", "web", run="lie", attempt=1000000),
    "no JSON": "Certainly! Run `systemctl restart web` and all is well.",
    "nothing": "",
}


def models(urls):
    """Reasoner options: every incident without a runbook is asked about, of these providers in turn."""
    lines = ["diagnosis: {of: all}", "models:", "  jitter: 0s", "  cache: {ttl: 0s}", "  providers:"]
    lines += ["    - {name: %s, kind: openai_chat, url: '%s', model: m, timeout: 1s, max_tokens: 1000}" % row
              for row in urls.items()]
    return {"reasoner": "\n".join(lines) + "\n"}


def riddle(k, w, name):
    """An alert that no runbook answers; returns when a human was told of it."""
    def told():
        found = [i["message"] for i in w.dump("STORY", "heal.incident.>")
                 if i["message"]["labels"]["alertname"] == name]
        return found and found[-1]["state"] == "escalated"

    body = webhook(alert(name, "firing", service="web", run=name))
    k.check(w.http("monitor-0", "POST", "/webhook/alertmanager", body)[0] == 202, "taken")
    k.until("a human is told: " + name, told, 90)


@case(CASES, 18, "model-lies", "answers of models that are not JSON, not listed, out of range: a human, no act")
def model_lies(k):
    peer = Peer()
    k.cleanups.append(peer.close)
    lie = {}

    def liar(_, s):
        answer = json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": lie["text"]}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (len(answer), answer))

    peer.more["/liar"] = liar
    w = k.world(options=models({"liar": peer.url("liar")}))
    for n, text in enumerate(LIES.values()):
        lie["text"] = text
        riddle(k, w, "Riddle%d" % n)
    k.check(not w.entries(), "nothing was done", w.entries())
    k.check(len(peer.came("liar")) >= len(LIES), "each was told", len(peer.came("liar")))
    lie["text"] = proposal("ledger_act", "web", run="truth", attempt=1)
    body = webhook(alert("RiddleTrue", "firing", service="web"))
    k.check(w.http("monitor-0", "POST", "/webhook/alertmanager", body)[0] == 202, "taken")
    k.until("an honest answer is acted upon", lambda: w.started("truth"), 10)
    w.probe()


@case(CASES, 18, "model-peers", "models' peers that hang, flood, break off: a human is told, rules go on, memory stays small")
def model_peers(k):
    peer = Peer()
    k.cleanups.append(peer.close)
    ways = tuple(way for way in HOSTILE if way != "elsewhere")  # 16 providers at most
    w = k.world(options=models({way: peer.url(way) for way in ways}))
    riddle(k, w, "Riddle")
    silent = [way for way in ways if not peer.came(way)]
    k.check(not silent, "each was asked", silent)
    k.check(not w.entries(), "nothing was done", w.entries())
    k.check(not peer.came("trap") and not peer.came("loop")[20:], "no redirect was followed")
    k.check(peak_mib(w.pid("reasoner")) < MEMORY_MIB, "the reasoner stays small", peak_mib(w.pid("reasoner")))
    w.probe()
    k.note("peak %.0f MiB, %d requests" % (peak_mib(w.pid("reasoner")), len(peer.hits)))


@case(CASES, 17, "check-peers", "a watched peer that misbehaves: its check fires in time, others are not delayed")
def check_peers(k):
    peer = Peer()
    k.cleanups.append(peer.close)
    lines = ["checks:"]
    ways = ("good",) + HOSTILE
    lines += ["  - {name: %s, type: http, url: '%s', interval: 500ms, failures: 1, timeout: 1s, service: w, status: 200}"
              % (n, peer.url(n)) for n in ways]
    w = k.world(options={"monitor": "\n".join(lines) + "\n"})
    sick = set(HOSTILE) - {"gzip-bomb"}

    def fired():
        return {i["message"]["labels"]["alertname"] for i in w.dump("STORY", "heal.incident.>")}

    k.until("all that are sick fire", lambda: sick <= fired(), 60)
    k.check("good" not in fired(), "the one that is well does not")
    k.check(not peer.came("trap"), "no redirect was followed")
    often = len(peer.came("good"))
    k.until("the one that is well goes on being looked at", lambda: len(peer.came("good")) > often + 3, 20)
    k.check(peak_mib(w.pid("monitor-0")) < MEMORY_MIB, "the monitor stays small", peak_mib(w.pid("monitor-0")))
    w.probe()
    k.note("peak %.0f MiB" % peak_mib(w.pid("monitor-0")))


@case(CASES, 20, "tls-peers", "TLS expired, wrong host, self-signed, old, mute: refused, nothing was sent")
def tls_peers(k):
    w = k.world(start=False)
    where = w.path("tls")
    os.mkdir(where)
    make_certificates(where)
    names = ("good", "expired", "wronghost", "selfsigned", "old", "mute")
    peers = {n: tls_peer(where, n) for n in names}
    for p in peers.values():
        k.cleanups.append(p.close)
    w.config["notifier"] = w.config["notifier"].split("channels:")[0] + channels(
        {n: "https://localhost:%d/good" % p.port for n, p in peers.items()},
        ", ca_file: %s/ca.pem" % where)
    w.start_all()
    w.judge(w.send(1))
    k.until("the good one is told", lambda: peers["good"].hits, 60)
    for n in names[1:]:
        k.until("somebody tried " + n, lambda n=n: peers[n].connections, 30)
        k.check(not peers[n].hits, n + " got nothing", peers[n].hits[:1])

    def reasons():
        return {m["message"]["channel"]: m["message"].get("error", "")
                for m in w.dump("STORY", "heal.notice.>") if m["message"].get("state") == "failed"}

    k.until("each refusal is on the bus", lambda: set(names[1:]) <= set(reasons()), 90)
    k.note("; ".join("%s: %s" % (n, r[:60]) for n, r in sorted(reasons().items())))


@case(CASES, 19, "dns", "names that do not exist, never resolve, change: bounded wait, others are told")
def dns(k):
    address = "127.%d.%d.53" % (os.getpid() // 250 % 250 + 1, os.getpid() % 250 + 1)
    try:
        server = Dns(address)
    except OSError as e:
        k.need(False, "no port 53 here: %s" % e)
    k.cleanups.append(server.close)
    k.need_program("unshare")
    peer = Peer()
    k.cleanups.append(peer.close)
    ways = {"gone": "http://gone.test:%d/good" % peer.port, "silent": "http://silent.test:%d/good" % peer.port,
            "flip": "http://flip.test:%d/good?flip" % peer.port, "good": "http://well.test:%d/good?well" % peer.port}
    w = k.world(start=False, options={"notifier": channels(ways)})
    with open(w.path("resolv.conf"), "w") as f:
        f.write("nameserver %s\noptions timeout:30 attempts:3\n" % address)
    with open(w.path("nsswitch.conf"), "w") as f:
        f.write("passwd: files\ngroup: files\nhosts: files dns\n")
    w.wrap["notifier"] = ["unshare", "-m", "sh", "-c", "mount --bind %s /etc/resolv.conf && mount --bind %s "
                          "/etc/nsswitch.conf && exec \"$@\"" % (w.path("resolv.conf"), w.path("nsswitch.conf")), "sh"]
    w.start_all()
    began = time.monotonic()
    w.judge(w.send(1))
    k.until("the good name is told", lambda: any("well" in h[0] for h in peer.hits), 60)
    k.note("told after %.1f s, %d questions" % (time.monotonic() - began, len(server.asked)))

    def failed():
        return {m["message"]["channel"] for m in w.dump("STORY", "heal.notice.>")
                if m["message"].get("state") == "failed"}

    k.until("the others are given up", lambda: {"gone", "silent"} <= failed(), 60)
    k.check(w.ready("notifier"), "the notifier is well")


# ---- the webhook port ----

def raw(port, data, timeout_s=5):
    """Sends bytes, returns the status of the first answer, 0 when the connection was just closed."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as s:
            s.settimeout(timeout_s)
            try:
                s.sendall(data)
            except OSError:
                pass
            answer = b""
            while b"\r\n" not in answer:
                part = s.recv(4096)
                if not part:
                    break
                answer += part
            return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0
    except (OSError, ValueError, IndexError):
        return 0


def request(*headers, body=b"", path=b"/webhook/alertmanager", method=b"POST"):
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", b"Content-Type: application/json"]
    return b"\r\n".join(lines + list(headers)) + b"\r\n\r\n" + body


@case(CASES, 21, "slowloris", "1000 slow and idle connections: other senders are answered, fds and memory bounded")
def slowloris(k):
    w = k.world()
    port = w.ports["monitor-0"]
    w.probe()
    held = []
    k.cleanups.append(lambda: [s.close() for s in held])
    used, began = cpu_seconds(w.pid("monitor-0")), time.monotonic()
    slowest, taken = 0, 0
    for i in range(1000):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        held.append(s)
        if i % 50 == 49:
            for h in held[i % 2::2]:  # half of them trickle, half say nothing at all
                try:
                    h.send(b"POST /webhook/alertmanager HTTP/1.1\r\nX: " if i < 100 else b"x")
                except OSError:
                    pass
            at = time.monotonic()
            taken += w.post(w.new_run("slow"), service="probe", timeout_s=15) == 202
            slowest = max(slowest, time.monotonic() - at)
    took = time.monotonic() - began
    k.check(taken >= 15, "senders are served meanwhile", taken)
    k.check(descriptors(w.pid("monitor-0")) < 1100, "descriptors are bounded", descriptors(w.pid("monitor-0")))
    k.check(rss_mib(w.pid("monitor-0")) < MEMORY_MIB, "memory is bounded", rss_mib(w.pid("monitor-0")))
    busy = 100 * (cpu_seconds(w.pid("monitor-0")) - used) / took
    k.note("%d of 20 answered, the slowest after %.1f s; %.0f %% of a core" % (taken, slowest, busy))
    w.probe()
    w.judge()


@case(CASES, 21, "hostile-requests", "oversize, torn, ambiguous requests: refused with the right status, no crash")
def hostile_requests(k):
    w = k.world()
    port = w.ports["monitor-0"]
    good = json.dumps(webhook(alert("Nothing"))).encode()
    wanted = {
        "a body over the limit": (request(b"Content-Length: 3000000", body=b"x" * 3000000), {413, 0}),
        "a length over the limit": (request(b"Content-Length: 99999999999"), {413}),
        "a length that is no number": (request(b"Content-Length: -1", body=good), {400}),
        "two lengths": (request(b"Content-Length: 5", b"Content-Length: 6", body=b"aaaaaa"), {400}),
        "length and chunks": (request(b"Content-Length: 5", b"Transfer-Encoding: chunked",
                                      body=b"0\r\n\r\n"), {400}),
        "chunks without a size": (request(b"Transfer-Encoding: chunked", body=b"zz\r\nxx\r\n"), {400, 0}),
        "a huge header": (request(b"X: " + b"y" * 70000), {431, 0}),
        "100,000 headers": (request(*[b"X-%d: y" % i for i in range(100000)]), {431, 0}),
        "a path with dots": (request(path=b"/webhook/../v1/executor", method=b"GET"), {400, 404}),
        "a path with NUL": (request(path=b"/webhook/a%00b", method=b"GET"), {400, 404, 405}),
        "no HTTP": (b"\x16\x03\x01" + os.urandom(200), {400, 0}),
        "another method": (request(method=b"BREW"), {405, 400, 501}),
        "no JSON": (request(b"Content-Length: 3", body=b"{{{"), {400}),
        "deep JSON": (request(b"Content-Length: 200000", body=b"[" * 100000 + b"]" * 100000), {400, 413}),
        "an unknown source": (request(b"Content-Length: 2", body=b"{}", path=b"/webhook/nobody"), {404}),
        "NUL in a string": (request(b"Content-Length: 16", body=b'{"a":"b\\u0000c"}'), {400, 202}),
    }
    for what, (data, statuses) in wanted.items():
        got = raw(port, data)
        k.check(got in statuses, "%s: %s" % (what, sorted(statuses)), got)
        k.check(w.alive("monitor-0"), what + ": the monitor lives")
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    pipelined = request(b"Content-Length: %d" % len(good), body=good) * 50
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.sendall(pipelined)
        s.settimeout(10)
        answer = b""
        while answer.count(b"HTTP/1.1 2") < 50:
            part = s.recv(65536)
            if not part:
                break
            answer += part
    k.check(answer.count(b"HTTP/1.1 202") == 50, "50 pipelined requests get 50 answers",
            answer.count(b"HTTP/1.1 202"))
    c.close()
    w.probe()


@case(CASES, 21, "torn-requests", "bodies cut off in the middle by 200 clients: nothing stored, no connection kept")
def torn_requests(k):
    w = k.world()
    w.probe()
    before = w.admin().state("RAW")["last_seq"]
    idle = descriptors(w.pid("monitor-0"))
    body = json.dumps(webhook(alert("Torn"))).encode()

    def tear(i):
        with socket.create_connection(("127.0.0.1", w.ports["monitor-0"]), 10) as s:
            s.sendall(request(b"Content-Length: %d" % len(body), body=body[:len(body) * (i % 10) // 10]))

    in_parallel([lambda i=i: tear(i) for i in range(200)])
    k.check(w.admin().state("RAW")["last_seq"] == before, "nothing of it is stored")
    k.until("the descriptors are free again", lambda: descriptors(w.pid("monitor-0")) <= idle + 5, 30)
    wait_for("it is ready", lambda: w.ready("monitor-0"))
    w.probe()
