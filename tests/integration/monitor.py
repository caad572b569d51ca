#!/usr/bin/env python3
"""The monitor against a real nats-server: door, corpora, checks, silences, rebuilding, storm. TAP."""
import base64
import datetime
import glob
import hashlib
import hmac
import http.client
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from lib import done, free_port, now_ms, ok, skip, wait_for
from lib_monitor import CONFIG, CORPORA, MARKER, PARTITIONS, SANITIZED, STORM_RATE, STORM_S, World, alert_body


def test_door(w):
    status, text, _ = w.post("alertmanager", alert_body("First", service="web"))
    ok(status == 202 and json.loads(text)["id"], "a body is taken with 202 and its id", text)
    ok(wait_for("incident", lambda: w.incidents_of("First")), "and becomes an incident")
    for method, path, body, want, says in (
            ("POST", "/webhook/nobody", b"{}", 404, "alertmanager"),
            ("POST", "/webhook/check", b"{}", 404, "known"),
            ("POST", "/webhook/alertmanager", b'{"a":', 400, "byte 5"),
            ("POST", "/webhook/alertmanager", b"", 400, "empty"),
            ("POST", "/webhook/alertmanager", b"[" * 1000, 400, "deep"),
            ("POST", "/webhook/alertmanager", b" " * 1030000 + b"{}", 413, ""),
            ("POST", "/webhook/secret", b"{}", 401, "token"),
            ("GET", "/webhook/alertmanager", None, 405, "")):
        status, text, _ = w.request(method, path, body)
        ok(status == want and says in text, "%s %s: %d" % (method, path, want), (status, text))
    body = json.dumps({"name": "Sealed", "status": "firing"}).encode()
    digest = hmac.new(b"k3y", body, hashlib.sha256).hexdigest()
    for headers, want in (({"Authorization": "Bearer s3cret"}, 202),
                          ({"Authorization": "Bearer s3cres"}, 401),
                          ({"X-Hub-Signature-256": "sha256=" + digest}, 202),
                          ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, 401)):
        status, text, _ = w.post("secret", body, headers)
        ok(status == want, "a source with secrets: %d" % want, (headers, status, text))
    answers = [w.post("slow", {"name": "n%d" % i, "status": "firing"}) for i in range(12)]
    ok(429 in [a[0] for a in answers] and answers[0][0] == 202, "over its rate: 429")
    late = [a for a in answers if a[0] == 429][0]
    ok(int(late[2].get("Retry-After", 0)) >= 1, "with Retry-After", late)
    w.post("stranger", {"name": "Odd", "status": "firing", "labels": {"alertname": "Odd"}})
    w.post("custom", {"what": "Mapped", "state": "firing", "svc": "x"})
    w.settle()
    ok(not w.incidents_of("Odd")[0]["trusted"], "an untrusted source gives untrusted incidents")
    ok(w.incidents_of("First")[0]["trusted"], "and a trusted one trusted ones")
    ok(any(i.get("title", "").startswith("Mapped") for i in w.incidents()),
       "a mapping from the configuration works")


SOURCE_OF = {"prometheus_v3": "alertmanager", "gcpmonitoring": "gcp", "stackdriver": "gcp"}


def corpus_bodies():
    for path in sorted(glob.glob(CORPORA + "/alertmanager/*.json")):
        if not path.endswith(".headers.json"):
            yield path, "alertmanager", open(path, "rb").read(), {}
    for path in sorted(glob.glob(CORPORA + "/vendor-webhooks/*.json")):
        name = os.path.basename(path)[:-5].split("-", 1)[1]
        source = next((v for k, v in SOURCE_OF.items() if name.startswith(k)),
                      name.replace("_", "-").split("-")[0])
        yield path, source, json.dumps(json.load(open(path))["payload"]).encode(), {}
    for path in sorted(glob.glob(CORPORA + "/cloudevents/*.json")):
        item = json.load(open(path))
        body = item["body"].encode()
        if item.get("body_is_base64"):
            body = base64.b64decode(item["body"])
        # What http.client cannot put in a header, the binding percent-encodes.
        headers = {k: "".join(c if " " <= c <= "~" else "".join("%%%02X" % b for b in c.encode())
                              for c in v) for k, v in item["headers"].items()}
        yield path, "cloudevents", body, headers


def test_corpora(w):
    bodies = list(corpus_bodies())
    if not bodies:
        skip("corpora", "no corpus")
        return
    refused = []
    for path, source, body, headers in bodies:
        status, text, _ = w.post(source, body, headers)
        if status != 202 and not (400 <= status < 500 and json.loads(text).get("reason")):
            ok(False, "accepted or refused with a reason: " + path, (status, text))
        if status != 202:
            refused.append((path, text))
    w.settle()
    dead = w.dump("DEAD")
    ok(all(d["message"].get("error") for d in dead), "what is dead says why")
    reasons = [d["message"]["error"] for d in dead]
    ok(len(bodies) >= 50, "%d bodies: %d refused at the door, %d with a reason in dead.monitor" %
       (len(bodies), len(refused), len(dead)), refused)
    ok(any("SubscriptionConfirmation" in r for r in reasons), "SubscriptionConfirmation is one",
       reasons)
    ok(len(dead) == 1, "and it is the only one", reasons)
    before = w.incidents()
    for path, source, body, headers in bodies:
        w.post(source, body, headers)
    # Past the stream's window for duplicates a body comes in anew: another message id.
    for i, (path, source, body, headers) in enumerate(bodies):
        if "ce-id" not in headers:
            w.busctl("pub", "raw." + source, "-", "again-%d" % i, str(now_ms()), data=body)
    w.settle()
    known = {i["id"] for i in before}
    opened = {i["labels"].get("alertname", ""): i for i in w.incidents() if i["id"] not in known}
    ok(len(opened) == PARTITIONS and all(name.startswith(MARKER) for name in opened),
       "sent again, only the markers open something", [i for n, i in opened.items() if not n.startswith(MARKER)])
    parts = {e["subject"].split(".")[1] for e in w.dump("EVENTS") if e["message"].get("name") in opened}
    ok(len(parts) == PARTITIONS, "one in each partition", parts)


def test_bus_away(w):
    accepted, refusals = set(), []
    stop = threading.Event()

    def sender(worker):
        i = 0
        while not stop.is_set():
            name = "Away%d-%d" % (worker, i)
            status, text, headers = w.post("event", {"name": name, "status": "firing",
                                                     "labels": {"alertname": name}})
            if status == 202:
                accepted.add(name)
            elif status:
                refusals.append((status, headers.get("Retry-After")))
            i += 1

    threads = [threading.Thread(target=sender, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    wait_for("some are taken", lambda: len(accepted) > 50)
    w.nats.kill()
    w.nats.wait()
    ok(wait_for("503", lambda: len(refusals) > 20), "without the bus nothing is taken")
    w.start_nats()
    again = len(accepted)
    ok(wait_for("taken again", lambda: len(accepted) > again + 50), "and with it, all is again")
    w.stage.send_signal(signal.SIGKILL)
    w.stage.wait()
    stop.set()
    for t in threads:
        t.join()
    ok(refusals and all(s == 503 and int(r) >= 1 for s, r in refusals),
       "every refusal is 503 with Retry-After", set(refusals))
    ok(w.start(), "the monitor starts after kill -9")
    w.settle()
    # What was being normalised when it died is delivered again after ack_wait.
    def lost():
        names = {e["message"].get("name") for e in w.dump("EVENTS", "event.*.event")}
        return accepted - names
    wait_for("the rest", lambda: not lost(), 90)
    ok(not lost(), "none of %d acknowledged bodies is lost" % len(accepted), sorted(lost())[:10])
    w.settle()
    w.nats.kill()
    w.nats.wait()
    w.start_nats()
    posted = wait_for("202", lambda: w.post("alertmanager", alert_body("AfterIdle", service="web"))[0] == 202)
    ok(posted and wait_for("incident", lambda: w.incidents_of("AfterIdle")),
       "the bus was gone while nothing was under way: bodies are normalised again")


def printed(number, note="", status="firing", **labels):
    """A body with one alert as Alertmanager sends it: with its fingerprint."""
    body = alert_body("Repeated", status=status, service="rep%d" % number, **labels)
    body["alerts"][0].update(fingerprint="%016x" % number, annotations={"note": note})
    return body


def posts_join(w, number):
    """Four posts of one alert while the bus holds its breath. Two may come at the same instant and
    both be new; the later ones join."""
    results = [None] * 4
    counter = 'healbus_monitor_repeats_total{source="alertmanager",of="under_way"}'

    def joined():
        return sum(int(line.split()[-1]) for line in w.get("/metrics")[1].splitlines()
                   if line.startswith(counter))

    def send(i):
        results[i] = w.post("alertmanager", printed(number, note=str(i)))

    def stopped(pid):
        return all(open("/proc/%d/task/%s/stat" % (pid, t)).read().rsplit(")", 1)[1].split()[0] == "T"
                   for t in os.listdir("/proc/%d/task" % pid))

    before = joined()
    w.nats.send_signal(signal.SIGSTOP)
    wait_for("the bus stands still", lambda: stopped(w.nats.pid))
    threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    ok(wait_for("joined", lambda: joined() >= before + 2), "repeats of what is under way join it")
    ok(all(t.is_alive() for t in threads), "and wait")
    return threads, results


def test_repeats(w):
    def raw():
        return w.state("RAW")["messages"]

    def answer(source, body):
        status, text, _ = w.post(source, body)
        return status, json.loads(text)

    before = raw()
    first = answer("alertmanager", printed(1))
    again = answer("alertmanager", printed(1, note="another"))
    ok(first[0] == 202 and "id" in first[1] and again == (202, {"repeat": True}),
       "a repeat is taken without being stored", (first, again))
    ok(raw() == before + 1, "the stream has it once", raw() - before)
    both = printed(1)
    both["alerts"] += printed(2)["alerts"]
    stored = [answer("alertmanager", both), answer("outside", printed(1)),
              answer("alertmanager", printed(1)), answer("alertmanager", printed(1, severity="page")),
              answer("alertmanager", printed(1, status="resolved")), answer("alertmanager", printed(1)),
              answer("alertmanager", dict(printed(1), version="9")),
              answer("alertmanager", printed(1))]
    ok(all(s == 202 and "id" in a for s, a in stored),
       "with a new alert beside it, from a stranger, changed, resolved, unreadable: stored", stored)
    threads, results = posts_join(w, 3)
    w.nats.send_signal(signal.SIGCONT)
    for t in threads:
        t.join()
    ok(all(r[0] == 202 for r in results) and sum("id" in r[1] for r in results) in (1, 2),
       "until all are answered with it", results)
    threads, results = posts_join(w, 4)
    w.nats.kill()
    w.nats.wait()
    for t in threads:
        t.join()
    ok(all(r[0] == 503 for r in results), "or fails with it", results)
    w.start_nats()
    ok(wait_for("stored", lambda: "id" in w.post("alertmanager", printed(4))[1]),
       "and is stored when it comes again")
    ok("id" in w.post("alertmanager", printed(3))[1],
       "a new connection forgets: the bus may have lost something")
    w.settle()


def test_bus_restarts_idle(w):
    """The connection breaks while nothing is under way: the next body must not need a second one."""
    w.nats.kill()
    w.nats.wait()
    w.start_nats()
    name = "Idle"
    ok(wait_for("taken", lambda: w.post("event", {"name": name, "status": "firing",
                                                  "labels": {"alertname": name}})[0] == 202),
       "after the bus restarted while idle, bodies are taken")
    ok(wait_for("normalised", lambda: w.incidents_of(name), 20), "and become incidents")


def wait_quiet(w):
    """Timers may still have something to tell."""
    last = [None, 0]

    def still():
        now, n = time.monotonic(), w.state("STORY")["messages"]
        if n != last[0]:
            last[:] = n, now
        return now - last[1] > 3  # longer than group_interval

    wait_for("nothing more to be told", still, 60)


def test_rebuild(w):
    wait_quiet(w)
    before = w.dump("STORY", "heal.incident.>")
    w.stop()
    shutil.rmtree(w.dir + "/state")
    w.start()
    w.settle()
    after = w.dump("STORY", "heal.incident.>")
    ok(after[:len(before)] == before, "without its LMDB the monitor says nothing again")
    ok(len(after) == len(before) + PARTITIONS, "and goes on with new incidents", len(after) - len(before))
    ids = [r["id"] for r in after]
    ok(len(set(ids)) == len(ids), "no message twice")
    w.post("alertmanager", alert_body("First", status="resolved", service="web"))
    ok(wait_for("resolved", lambda: w.incidents_of("First")[-1]["state"] == "resolved"),
       "the rebuilt state still knows what is open")


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def test_checks(w):
    port = free_port()
    flag = w.dir + "/flag"
    open(flag, "w").close()
    w.configure(CONFIG + """
checks:
  - {name: page, type: http, url: 'http://127.0.0.1:%d/', interval: 100ms, failures: 1, service: page,
     timeout: 10s, contains: ok}
  - {name: door, type: tcp, host: 127.0.0.1, port: %d, interval: 100ms, failures: 2, timeout: 1s}
  - {name: flag, type: command, command: [/usr/bin/test, -e, '%s'], interval: 100ms, failures: 1,
     severity: warning, labels: {team: ops}}
  - {name: hang, type: command, command: [/bin/sleep, '600'], interval: 1s, failures: 1, timeout: 200ms}
  - {name: cert, type: tls, host: 127.0.0.1, port: %d, interval: 200ms, failures: 1, timeout: 1s}
""" % (port, port, flag, w.nats_port))
    w.stop()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    w.start()
    ok(wait_for("hang", lambda: w.incidents_of("hang")), "a command that hangs is killed and fires")
    ok(wait_for("cert", lambda: w.incidents_of("cert")), "what does not speak TLS fires")
    ok(not w.incidents_of("page") and not w.incidents_of("flag"), "what is well says nothing")
    server.shutdown()
    server.server_close()
    ok(wait_for("page down", lambda: w.incidents_of("page")), "http: a dead service fires")
    ok(wait_for("tcp down", lambda: w.incidents_of("door")), "tcp: a closed port fires")
    ok(w.incidents_of("page")[0]["trusted"], "checks are trusted")
    os.unlink(flag)
    down = wait_for("flag", lambda: w.incidents_of("flag"))
    ok(down and down[0]["severity"] == "warning" and down[0]["labels"].get("team") == "ops",
       "command: its exit status counts; severity and labels are the configured ones", down)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ok(wait_for("page up", lambda: w.incidents_of("page")[-1]["state"] == "resolved"),
       "and resolves when it is back")
    server.shutdown()
    server.server_close()
    ok(wait_for("page down", lambda: w.incidents_of("page")[-1]["state"] == "open"), "down again")
    return port


def test_silence(w):
    w.busctl("send", "control", "silence", "-", "sil-1", data=json.dumps(
        {"id": "c1", "kind": "silence", "by": "tester", "at_ms": now_ms(),
         "silence": {"id": "q1", "created_by": "tester", "starts_at_ms": now_ms() - 1000,
                     "ends_at_ms": now_ms() + 3600000,
                     "matchers": [{"name": "alertname", "op": "equal", "value": "page"}]}}))
    ok(wait_for("suppressed", lambda: w.incidents_of("page")[-1]["state"] == "suppressed"),
       "a silence suppresses an open incident", w.incidents_of("page")[-1])
    w.busctl("send", "control", "silence", "-", "sil-2", data=json.dumps(
        {"id": "c2", "kind": "silence_expire", "by": "tester", "at_ms": now_ms(),
         "silence": {"id": "q1"}}))
    ok(wait_for("open again", lambda: w.incidents_of("page")[-1]["state"] == "open"),
       "and its end opens it again")


def test_alertmanager(w):
    program = shutil.which("prometheus-alertmanager")
    if not program:
        skip("a real Alertmanager", "not installed")
        return
    port = free_port()
    with open(w.dir + "/am.yml", "w") as f:
        f.write("route: {receiver: hb, group_by: [alertname], group_wait: 0s, group_interval: 1s, "
                "repeat_interval: 1h}\nreceivers: [{name: hb, webhook_configs: [{url: "
                "'http://127.0.0.1:%d/webhook/alertmanager', max_alerts: 5}]}]\n" % w.port)
    am = subprocess.Popen([program, "--config.file=" + w.dir + "/am.yml",
                           "--storage.path=" + w.dir + "/am", "--cluster.listen-address=",
                           "--web.listen-address=127.0.0.1:%d" % port],
                          stderr=open(w.dir + "/am.log", "w"))
    w.procs.append(am)

    def call(alerts):
        try:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            c.request("POST", "/api/v2/alerts", json.dumps(alerts),
                      {"Content-Type": "application/json"})
            return c.getresponse().status == 200
        except OSError:
            return False

    def alert(i, **more):
        return dict({"labels": {"alertname": "RealAm", "instance": "n%d" % i, "service": "am"}},
                    **more)

    wait_for("alertmanager", lambda: call([alert(i) for i in range(8)]))
    # Its alerts may be folded a moment apart: the first message can count fewer than the group has.
    whole = wait_for("its incident", lambda: w.incidents_of("RealAm")
                     and w.incidents_of("RealAm")[-1]["firing"] == 5, 60)
    got = w.incidents_of("RealAm")
    ok(whole and len({i["id"] for i in got}) == 1,
       "a real Alertmanager's group is one incident", got)
    ended = datetime.datetime.now(datetime.timezone.utc).isoformat()
    wait_for("end", lambda: call([alert(i, endsAt=ended) for i in range(8)]))
    ok(wait_for("resolved", lambda: w.incidents_of("RealAm")[-1]["state"] == "resolved", 40),
       "and resolves with it", w.incidents_of("RealAm")[-1:])
    am.kill()
    am.wait()


def storm_sender(port, bodies, pace_s, results):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    start = time.monotonic()
    for i, body in enumerate(bodies):
        delay = start + i * pace_s - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        c.request("POST", "/webhook/alertmanager", body, {"Content-Type": "application/json"})
        r = c.getresponse()
        text = r.read()
        results.append((r.status, text, r.headers.get("Retry-After")))
    c.close()


def storm_body(worker, i):
    alerts = [dict(alert_body("Storm%d" % (k % 4), instance="n%d" % ((i * 20 + k) % 500),
                              service="shop", pod="%d-%d-%d" % (worker, i, k))["alerts"][0])
              for k in range(20)]
    return json.dumps({"version": "4", "status": "firing", "alerts": alerts})


def rss_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


def test_storm(w):
    workers, per_body = 8, 20
    per_worker = max(1, int(STORM_RATE * STORM_S / per_body / workers))
    w.settle()
    before = w.state("RAW")["last_seq"]
    known = {i["id"] for i in w.incidents()}
    results = []
    threads = [threading.Thread(target=storm_sender, args=(
        w.port, [storm_body(n, i) for i in range(per_worker)], STORM_S / per_worker, results))
        for n in range(workers)]
    start = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - start
    taken = [r for r in results if r[0] == 202]
    ids = {json.loads(r[1])["id"] for r in taken}
    print("# %d alerts in %.1f s, %d bodies taken, %d KiB resident" %
          (len(results) * per_body, took, len(taken), rss_kib(w.stage.pid)))
    ok(all(r[0] == 202 or (r[0] == 503 and r[2]) for r in results),
       "a storm is answered with 202, or 503 and Retry-After", {r[0] for r in results})
    ok(w.state("RAW")["last_seq"] - before >= len(ids) and len(ids) == len(taken),
       "each body taken is in the stream", (w.state("RAW"), before, len(ids)))
    w.settle()
    fold = {}
    for i in w.incidents():
        if i["id"] not in known and i["labels"].get("alertname", "").startswith("Storm"):
            fold[i["id"]] = i
    ok(0 < len(fold) <= 8, "the storm is %d incidents" % len(fold), len(fold))
    ok(wait_for("counted", lambda: sum(
        {i["id"]: i["fingerprints"] for i in w.incidents() if i["id"] in fold}.values())
        == len(ids) * per_body, 60), "that count every alert")
    if SANITIZED:
        skip("in less than 64 MiB", "a sanitizer needs more")
    else:
        ok(rss_kib(w.stage.pid) < 64 * 1024, "in less than 64 MiB", rss_kib(w.stage.pid))


def main():
    for program in ("nats-server",):
        if not shutil.which(program):
            print("1..1\nok 1 - monitor # skip no " + program)
            return 0
    w = World()
    try:
        w.start_nats()
        w.busctl("provision")
        w.configure(CONFIG)
        for name, text in (("token", "s3cret"), ("key", "k3y")):
            with open(w.dir + "/etc/" + name, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write(text)
        ok(w.start(), "the monitor starts")
        test_door(w)
        test_corpora(w)
        test_bus_away(w)
        test_repeats(w)
        test_bus_restarts_idle(w)
        test_rebuild(w)
        test_checks(w)
        test_silence(w)
        test_alertmanager(w)
        test_storm(w)
        ok(w.stop() == 0, "it stops when told to")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
