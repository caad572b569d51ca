"""A bus, a notifier and a webhook that it tells: for all tests of the notifier."""
import http.server
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

from lib import failures, free_port, now_ms, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
NOTIFIER = os.path.join(BUILD, "healbus-notifier")
DIGEST = "ab" * 32


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets; answers the status the test wants."""
    got = []
    status = 200

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if Hook.status == 200:
            Hook.got.append((self.path, self.headers.get("Idempotency-Key"), json.loads(body)))
        self.send_response(Hook.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="healbus-notifier-")
        self.procs = []
        self.nats_port = free_port()
        self.port = free_port()
        self.hook_port = free_port()
        self.stage = None
        self.hook = None
        self.env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % self.nats_port)

    def start_nats(self):
        self.nats = subprocess.Popen(
            ["nats-server", "-js", "-sd", self.dir + "/nats", "-a", "127.0.0.1",
             "-p", str(self.nats_port)], stderr=open(self.dir + "/nats.log", "a"))
        self.procs.append(self.nats)
        self.busctl("up", "20")

    def busctl(self, *args, data=None):
        r = subprocess.run([BUSCTL, *args], input=data, capture_output=True, text=True,
                           env=self.env, timeout=60)
        if r.returncode:
            print("# busctl", args, r.stdout, r.stderr)
        return r.stdout

    def send(self, kind, token, message, msg_id=None):
        args = ["send", kind, token, "-"]
        if msg_id:
            args += [msg_id]
        self.busctl(*args, data=json.dumps(message))

    def publish_packed(self, kind, subject, message):
        """For subjects that are not on STORY."""
        path = self.dir + "/message"
        with open(path + ".json", "w") as f:
            json.dump(message, f)
        with open(path, "wb") as f:
            subprocess.run([BUSCTL, "pack", kind, path + ".json"], stdout=f, check=True, timeout=60)
        self.busctl("pub", subject, path)

    def dump(self, stream, pattern=">"):
        return [json.loads(line) for line in self.busctl("dump", stream, pattern).splitlines()]

    def configure(self, extra="", token=None):
        os.makedirs(self.dir + "/etc", exist_ok=True)
        with open(self.dir + "/etc/bus.yaml", "w") as f:
            f.write("url: nats://127.0.0.1:%d\n" % self.nats_port)
        with open(self.dir + "/etc/notifier.yaml", "w") as f:
            f.write("""state_dir: %s/state
http:
  listen: 127.0.0.1:%d
%s
decision_key_file: %s/decision.key
approval_give_up_after: 2s
channels:
  - {name: hook, type: webhook, url: 'http://127.0.0.1:%d/hook', timeout: 2s}
  - {name: log, type: terminal, path: %s/told.txt}
receivers:
  - {name: ops, channels: [hook], fallback: [log]}
route: {receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 0s}
%s
""" % (self.dir, self.port, "  token_file: " + token if token else "", self.dir, self.hook_port,
                self.dir, extra))

    def start(self):
        self.stage = subprocess.Popen([NOTIFIER, "-c", self.dir + "/etc"],
                                      stderr=open(self.dir + "/notifier.log", "a"))
        self.procs.append(self.stage)
        return wait_for("the notifier is ready", lambda: self.raw("GET", "/readyz")[0] == 200)

    def stop(self, how=signal.SIGTERM):
        self.stage.send_signal(how)
        return self.stage.wait(timeout=30)

    def hook_on(self):
        self.hook = http.server.ThreadingHTTPServer(("127.0.0.1", self.hook_port), Hook)
        threading.Thread(target=self.hook.serve_forever, daemon=True).start()

    def raw(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + token
        data = json.dumps(body).encode() if body is not None else None
        req = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), data=data,
                                     method=method, headers=headers)
        try:
            with urllib.request.urlopen(req, timeout=15) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except OSError as e:
            return 0, str(e).encode()

    def call(self, method, path, body=None):
        status, text = self.raw(method, path, body)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def caught_up(self):
        def probe():
            status, s = self.call("GET", "/api/status")
            return status == 200 and s["lag"].get("behind") == 0 and s["lag"]["outbox"] == 0
        return wait_for("the projection has read everything", probe)

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                p.kill()
                p.wait()
        if failures():
            with open(self.dir + "/notifier.log") as f:
                print("".join("# " + line for line in f.readlines()[-40:]))
        shutil.rmtree(self.dir, ignore_errors=True)


def incident(name, state="open", revision=1, **more):
    return dict({"id": name, "key": "key-" + name, "state": state, "revision": revision,
                 "title": name + " is down", "severity": "critical",
                 "labels": {"service": name}, "firing": 1, "opened_at_ms": now_ms(),
                 "updated_at_ms": now_ms(), "trusted": True, "set_by": "monitor"}, **more)


def plan(name, of):
    return {"id": name, "incident": of, "attempt": 1, "created_at_ms": now_ms(),
            "steps": [{"tool": "restart", "target": "web-1"}]}


def approval(name, of, plan_id, deadline_ms):
    return {"id": name, "incident": of, "plan_id": plan_id, "plan_digest": DIGEST, "plan_seq": 2,
            "level": "hard", "rendered": ["systemctl restart nginx"], "reasons": ["autonomy"],
            "asked_at_ms": now_ms(), "deadline_ms": deadline_ms}


def outcome(name, of, plan_id, change):
    return {"id": name, "incident": of, "plan_id": plan_id, "plan_digest": DIGEST, "attempt": 1,
            "verdict": "healed", "reason": "it answers", "steps": [
                {"incident": of, "plan_id": plan_id, "step_id": "s1", "phase": "act",
                 "state": "done", "tool": "restart", "target": "web-1"}],
            "changes": [{"id": change, "tool": "restart", "target": "web-1", "what": "restart nginx",
                         "at_ms": now_ms(), "undo": {"tool": "stop", "target": "web-1"}}]}
