"""A bus and a monitor: for the tests of what it is sent."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from lib import failures, free_port, now_ms, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
MONITOR = os.path.join(BUILD, "healbus-monitor")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPORA = os.environ.get("HEALBUS_CORPORA", os.path.join(ROOT, "../shared/corpora"))
STORM_S = float(os.environ.get("HEALBUS_STORM_S", "2"))
STORM_RATE = int(os.environ.get("HEALBUS_STORM_RATE", "10000"))
SANITIZED = "san" in os.path.basename(BUILD.rstrip("/"))


MARKER, PARTITIONS = "Marker", 16


def in_each_partition(pattern):
    """Numbers for PATTERN: its text with the first goes to partition 0, with the second to 1, ... (common/id.h)."""
    found, n = {}, 0
    while len(found) < PARTITIONS:
        digest = 14695981039346656037
        for byte in (pattern % n).encode():
            digest = (digest ^ byte) * 1099511628211 % (1 << 64)
        found.setdefault(digest % PARTITIONS, n)
        n += 1
    return [found[p] for p in range(PARTITIONS)]


def alert_body(name, status="firing", starts="2026-11-21T09:00:00Z", **labels):
    alert = {"status": status, "labels": dict(labels, alertname=name), "annotations": {},
             "startsAt": starts, "endsAt": "0001-01-01T00:00:00Z"}
    return {"version": "4", "status": status, "alerts": [alert]}


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="healbus-monitor-")
        self.nats_port = free_port()
        self.port = free_port()
        self.procs = []
        self.nats = None
        self.stage = None
        self.env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % self.nats_port)

    def start_nats(self):
        self.nats = subprocess.Popen(
            ["nats-server", "-js", "-sd", self.dir + "/nats", "-a", "127.0.0.1",
             "-p", str(self.nats_port)], stderr=open(self.dir + "/nats.log", "a"))
        self.procs.append(self.nats)
        self.busctl("up", "20")

    def busctl(self, *args, data=None):
        if isinstance(data, str):
            data = data.encode()
        r = subprocess.run([BUSCTL, *args], input=data, capture_output=True, env=self.env,
                           timeout=120)
        if r.returncode:
            print("# busctl", args, r.stdout[:300], r.stderr[:300])
        return r.stdout.decode()

    def dump(self, stream, pattern=">"):
        return [json.loads(line) for line in self.busctl("dump", stream, pattern).splitlines()]

    def state(self, stream):
        return json.loads(self.busctl("state", stream))

    def incidents(self):
        return [row["message"] for row in self.dump("STORY", "heal.incident.>")]

    def incidents_of(self, name):
        return [i for i in self.incidents() if i.get("labels", {}).get("alertname") == name]

    def configure(self, extra):
        os.makedirs(self.dir + "/etc", exist_ok=True)
        with open(self.dir + "/etc/bus.yaml", "w") as f:
            f.write("url: nats://127.0.0.1:%d\n" % self.nats_port)
        with open(self.dir + "/etc/monitor.yaml", "w") as f:
            f.write("state_dir: %s/state\nhttp: {listen: '127.0.0.1:%d'}\nsources_dir: %s\n"
                    "group_wait: 50ms\n%s" %
                    (self.dir, self.port, ROOT + "/monitor/sources", extra))

    def start(self):
        self.stage = subprocess.Popen([MONITOR, "-c", self.dir + "/etc"],
                                      stderr=open(self.dir + "/monitor.log", "a"))
        self.procs.append(self.stage)
        return wait_for("monitor ready", lambda: self.get("/readyz")[0] == 200)

    def stop(self, sig=signal.SIGTERM):
        self.stage.send_signal(sig)
        return self.stage.wait(20)

    def get(self, path):
        return self.request("GET", path)

    def request(self, method, path, body=None, headers=None):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            text = r.read()
            c.close()
            return r.status, text.decode("utf-8", "replace"), dict(r.getheaders())
        except OSError as e:
            return 0, str(e), {}

    def post(self, source, body, headers=None):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        return self.request("POST", "/webhook/" + source, body,
                            dict({"Content-Type": "application/json"}, **(headers or {})))

    def settle(self, mark=[0]):
        """All that was posted before is normalised, folded and told: one normaliser, and a marker behind it in each
        partition, whose folds go on side by side. A marker opens an incident."""
        mark[0] += 1
        pattern = "%s%d-%%d" % (MARKER, mark[0])
        names = [pattern % n for n in in_each_partition(pattern)]
        alerts = [alert_body(name, service=name)["alerts"][0] for name in names]
        self.post("alertmanager", {"version": "4", "status": "firing", "alerts": alerts})
        wait_for("markers", lambda: set(names) <= {i.get("labels", {}).get("alertname") for i in self.incidents()})

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.kill()
                p.wait()
        if failures():
            sys.stdout.write("".join("# " + line for line in open(self.dir + "/monitor.log")
                                     .readlines()[-30:]))
        shutil.rmtree(self.dir, ignore_errors=True)


CONFIG = """
rate: 100000
burst: 100000
group_interval: 1s
sources:
  secret: {format: event, token_file: token, hmac_file: key}
  slow: {format: event, rate: 1, burst: 5}
  stranger: {format: event, trusted: false}
  outside: {format: alertmanager, trusted: false}
  custom:
    map: '{name: .what, status: .state, labels: {service: .svc}}'
"""
