"""What the fault tests hear while it happens: a small NATS client of their own that listens to every story, and the
receiver of notices. Both only listen; what is judged at the end is asked for then. Standard library only."""
import http.server
import json
import random
import re
import socket
import threading
import time


def boot_s():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def fields(data):
    """The fields of a protobuf message: {number: [values]}, ints or bytes; as far as it can be read."""
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    try:
        while at < len(data):
            key = varint()
            kind = key & 7
            if kind == 0:
                value = varint()
            elif kind == 2:
                size = varint()
                value = data[at:at + size]
                at += size
            else:
                size = 8 if kind == 1 else 4
                value = data[at:at + size]
                at += size
            out.setdefault(key >> 3, []).append(value)
    except IndexError:
        pass
    return out


def text(message, number):
    value = message.get(number, [b""])[0]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


PHASE_ACT, STEP_STARTED = 2, 2  # healbus.proto
VERDICTS = ("unknown", "healed", "failed", "rolled-back", "refused", "denied", "expired", "observed",
            "rollback-failed", "rehearsed")


class Ears(threading.Thread):
    """Hears heal.>: which incident belongs to which run, how plans end, which process has which plan under way."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world = world
        self.lock = threading.Lock()
        self.connected = False
        self.incident_of, self.run_of = {}, {}  # run -> incident and back
        self.state = {}      # incident -> last state said (number)
        self.verdict = {}    # incident -> verdict of its last outcome
        self.partition = {}  # run -> partition
        self.alerts = {}     # incident -> different alerts in it
        self.under_way = {}  # plan -> instance that started it
        self.plans = set()   # incidents with a plan
        self.acted = {}      # instance -> monotonic time of the last word
        self.heard_at = time.monotonic()

    def run(self):
        while not self.world.closed:
            try:
                self.listen()
            except (OSError, ValueError):
                self.connected = False
                time.sleep(0.01)

    def listen(self):
        with open(self.world.path("secret/judge")) as f:
            password = f.read()
        nodes = [n for n in self.world.nodes if self.world.alive(n)] or self.world.nodes
        with socket.create_connection(("127.0.0.1", self.world.ports[nodes[0]]), 2) as s:
            s.settimeout(15)
            stream = s.makefile("rb")
            stream.readline()  # INFO
            s.sendall(b"CONNECT %s\r\nSUB heal.> 1\r\nPING\r\n" % json.dumps(
                {"user": "judge", "pass": password, "verbose": False, "pedantic": False, "headers": True,
                 "name": "ears"}).encode())
            while True:
                self.line(s, stream)

    def line(self, s, stream):
        words = stream.readline().split()
        if not words:
            raise OSError("closed")
        if words[0] == b"PING":
            s.sendall(b"PONG\r\n")
        elif words[0] == b"PONG":
            self.connected = True
        elif words[0] == b"MSG":
            body = stream.read(int(words[-1]) + 2)[:-2]
            self.hear(words[1].decode(), body)
        elif words[0] == b"HMSG":
            body = stream.read(int(words[-1]) + 2)[:-2]
            self.hear(words[1].decode(), body[int(words[-2]):])

    def hear(self, subject, body):
        _, kind, incident = subject.split(".", 2)
        self.heard_at = time.monotonic()
        hear = getattr(self, "hear_" + kind, None)
        if hear:
            with self.lock:
                hear(incident, fields(body))

    def hear_incident(self, incident, message):
        for label in message.get(7, []):
            label = fields(label)
            if text(label, 1) == "run":
                self.incident_of[text(label, 2)] = incident
                self.run_of[incident] = text(label, 2)
                self.partition[text(label, 2)] = message.get(18, [0])[0]
        self.alerts[incident] = message.get(10, [0])[0]
        state = message.get(3, [0])[0]
        if not (self.state.get(incident) == 2 and state == 4):  # the end is the monitor's to say
            self.state[incident] = state

    def hear_plan(self, incident, _):
        self.plans.add(incident)

    def hear_step(self, _, message):
        self.acted[text(message, 16)] = time.monotonic()
        if message.get(5) == [PHASE_ACT] and message.get(6) == [STEP_STARTED]:
            self.under_way[text(message, 2)] = text(message, 16)

    def hear_outcome(self, incident, message):
        self.acted[text(message, 13 - 1)] = time.monotonic()
        self.under_way.pop(text(message, 4), None)
        self.verdict[incident] = VERDICTS[message.get(7, [0])[0]]

    def plans_of(self, instance_end):
        """Plans that a process (by the end of its name, -PID) has begun and not ended."""
        with self.lock:
            return [plan for plan, who in self.under_way.items() if who.endswith(instance_end)]

    def last_word(self, instance_end):
        with self.lock:
            return max((at for who, at in self.acted.items() if who.endswith(instance_end)), default=0)

    def incident(self, run):
        with self.lock:
            return self.incident_of.get(run)

    def is_open(self, run):
        return self.incident(run) is not None

    def has_plan(self, run):
        return self.incident(run) in self.plans

    def has_all(self, run, alerts):
        return self.alerts.get(self.incident(run), 0) >= alerts

    def is_over(self, run):
        """Acted upon for the last time, as far as was heard: healed, or a human was told, or resolved."""
        incident = self.incident(run)
        return incident is not None and (self.state.get(incident) in (2, 4) or self.verdict.get(incident) == "healed")


RUN_LABEL = re.compile(r"\brun=([A-Za-z0-9]+)")


class Receiver:
    """The webhook that notices go to. What was told is written down before it is acknowledged; now and then it is busy."""

    def __init__(self, path, seed=0, busy=0.01):
        told = open(path, "a", buffering=1)
        lock, dice = threading.Lock(), random.Random(seed)
        self.told = {}  # run -> monotonic time of the first notice
        self.last = time.monotonic()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    status = 503 if dice.random() < busy else 200
                    if status == 200:
                        receiver.write(told, self.headers.get("Idempotency-Key"), json.loads(body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # whoever was killed hangs up
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def write(self, told, key, notice):
        runs = sorted(set(RUN_LABEL.findall(notice.get("text", ""))))
        told.write("%s %s %s\n" % (key, notice.get("kind"), ",".join(runs) or "-"))
        self.last = time.monotonic()
        for run in runs:
            self.told.setdefault(run, self.last)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
