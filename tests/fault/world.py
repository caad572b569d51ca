"""A whole private healbus for the fault tests: a real nats-server with its users and streams, monitors that share the
partitions, reasoner, executors, notifier; in one temporary directory, on free ports. Every part can be killed, stopped
and started again by its name. Standard library only; shares no code with what it drives.

    with World(monitors=4, executors=2) as w:
        w.start_all()
        w.kill("executor-0"); w.start("executor-0"); w.wait_ready("executor-0")

Parts: nats, monitor-0.., reasoner, executor-0.., notifier. Before start_all, w.config[PART] holds the text of its YAML
(to be changed or added to), w.bus_port[PART] the port at which it looks for the bus (a proxy's, say), w.wrap[PART] and
w.extra_env[PART] what its command begins with and what is added to its environment.
"""
import atexit
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build")))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))
from lib import now_ms, wait_for  # noqa: E402,F401

PARTITIONS = 16
USERS = ("monitor", "reasoner", "executor", "notifier", "operator", "judge", "source")
SOURCE = """		{ user: "source-alertmanager", password: $HEALBUS_SOURCE_PASSWORD, permissions: {
			publish: { allow: ["raw.alertmanager"] }, subscribe: { allow: ["_INBOX_source-alertmanager.>"] } } }"""
LAST = 25  # lines of each log that a failure shows


def missing():
    """Why no world can be made here; "" when one can."""
    for program in ("nats-server", "bwrap"):
        if not shutil.which(program):
            return program + " is missing"
    for program in ("healbus-monitor", "tests/fault/act", "tests/integration/busctl"):
        if not os.path.exists(os.path.join(BUILD, program)):
            return program + " is not built"
    return "" if os.geteuid() == 0 else "needs root, for the sandbox's users"


_held = []


def free_ports(count):
    """Ports that nobody listens on, below those that the kernel gives to clients: a part that is started again finds
    its own still free. They stay bound, so that no other test is given them while this process lives; who listens on
    one must have said SO_REUSEADDR, as servers do."""
    found = []
    while len(found) < count:
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", random.SystemRandom().randrange(10240, 30240)))
        except OSError:
            s.close()
            continue
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: who else holds it has said so too
        _held.append(s)
        found.append(s.getsockname()[1])
    return found


class World:
    def __init__(self, monitors=1, executors=1, targets=("web",), never=(), options=None, keep=False, nodes=1,
                 nats=os.environ.get("HEALBUS_NATS", "nats-server")):
        """targets: what ledger_act may act upon; never: targets on which nothing is allowed. options: extra YAML lines
        for {monitor, reasoner, executor, notifier}. keep: leave the directory behind. nodes: of the bus; several are
        parts nats-0, nats-1, ..., one is nats. nats: the server's program; any but the machine's own is of 2.10 or
        newer, and told to sync always."""
        self.dir = tempfile.mkdtemp(prefix="healbus-fault-")
        self.keep = keep
        self.monitors = ["monitor-%d" % i for i in range(monitors)]
        self.executors = ["executor-%d" % i for i in range(executors)]
        self.stages = ["notifier", *self.monitors, "reasoner", *self.executors]
        self.nodes, self.nats = ["nats"] if nodes == 1 else ["nats-%d" % i for i in range(nodes)], nats
        self.parts = [*self.nodes, *self.stages]
        routes = ["route " + n for n in self.nodes] if nodes > 1 else []
        self.ports = dict(zip(self.parts + routes, free_ports(len(self.parts + routes))))
        self.bus_port = {part: self.ports["nats"] if nodes == 1 else 0 for part in self.stages}  # 0: all nodes
        self.program = {}
        self.config, self.wrap, self.extra_env = {}, {}, {}
        self.process, self.log_file = {}, {}
        self.others = []  # further children: proxies, loads
        self.lock = threading.RLock()
        self.closed = False
        self.targets, self.never = list(targets), list(never)
        self.options = options or {}
        for name in ("log", "secret", "bus", "bin", "books/marks", "state", "tools", "runbooks"):
            os.makedirs(os.path.join(self.dir, name))
        os.chmod(self.dir, 0o755)
        self.ledger = os.path.join(self.dir, "books/ledger")
        self.marks = os.path.join(self.dir, "books/marks")
        open(self.ledger, "w").close()
        atexit.register(self.close)
        for sig in (signal.SIGTERM, signal.SIGHUP):
            if threading.current_thread() is threading.main_thread():
                signal.signal(sig, lambda *_: sys.exit(130))
        self._files()
        self._config()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind and kind is not KeyboardInterrupt:
            self.show_logs()
        self.close()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    # ---- files ----

    def _files(self):
        shutil.copy(os.path.join(BUILD, "tests/fault/act"), self.path("bin/act"))
        for kind in ("tools", "runbooks"):
            for name in os.listdir(os.path.join(HERE, kind)):
                with open(os.path.join(HERE, kind, name)) as f:
                    text = f.read().replace("@ACT@", self.path("bin/act")).replace("@BIN@", self.path("bin"))
                with open(self.path(kind, name), "w") as f:
                    f.write(text)
        for user in USERS:
            with open(self.path("secret", user), "w") as f:
                f.write("p" + os.urandom(18).hex())
            os.chmod(self.path("secret", user), 0o600)

    def _config(self):
        for part in self.stages:
            stage = part.split("-")[0]
            self.program[part] = os.path.join(BUILD, "healbus-" + stage)
            self.config[part] = "state_dir: %s\nhttp: {listen: '127.0.0.1:%d'}\n%s%s\n" % (
                self.path("state", part), self.ports[part], getattr(self, "_" + stage)(part),
                self.options.get(stage, ""))

    def _monitor(self, part):
        n, i = len(self.monitors), self.monitors.index(part)
        mine = [str(p) for p in range(PARTITIONS) if p % n == i]
        return ("sources_dir: %s/monitor/sources\npartitions: '%s'\ngroup_wait: 0s\nstorm_threshold: 0\n"
                % (ROOT, ",".join(mine)))

    def _reasoner(self, _):
        return "runbooks_dir: %s\n" % self.path("runbooks")

    def _executor(self, _):
        lines = ["tools_dir: " + self.path("tools"),
                 "decision_key_file: " + self.path("state/notifier/decision.key.pub"), "rules:",
                 "  - {match: ['class=\"ask\"'], autonomy: approve}",
                 "  - {match: ['class!=\"ask\"'], autonomy: auto, max_level: soft}",
                 "rate: {cooldown: 0s, target_per_hour: 500, global_per_hour: 0}", "targets:"]
        attributes = "attributes: {ledger: %s, marks: %s, books: %s}" % (self.ledger, self.marks, self.path("books"))
        lines += ["  - {id: %s, tools: ['ledger_*'], %s}" % (t, attributes) for t in self.targets]
        lines += ["  - {id: %s, tools: [], %s}" % (t, attributes) for t in self.never]
        return "\n".join(lines) + "\n"

    def _notifier(self, _):
        if "channels:" in self.options.get("notifier", ""):
            return ""
        return ("channels: [{name: log, type: terminal, path: %s}]\nreceivers: [{name: ops, channels: [log]}]\n"
                "route: {receiver: ops, group_wait: 0s}\n" % self.path("log/notices"))

    def write_config(self, part):
        where = self.path("config", part)
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, part.split("-")[0] + ".yaml"), "w") as f:
            f.write(self.config[part])
        self._bus_yaml(where, self.bus_port[part])

    def _bus_yaml(self, where, port):
        with open(os.path.join(where, "bus.yaml"), "w") as f:
            f.write("url: %s\nuser: '{stage}'\npassword_file: %s/{stage}\n%s"
                    % (self.urls(port), self.path("secret"), "replicas: 3\n" if len(self.nodes) > 1 else ""))

    def urls(self, port=0):
        return ",".join("nats://127.0.0.1:%d" % p for p in ([port] if port else [self.ports[n] for n in self.nodes]))

    # ---- the bus ----

    def _nats_command(self, node):
        conf = self.path(node + ".conf")
        if not os.path.exists(conf):
            users = subprocess.run([os.path.join(BUILD, "healctl"), "topics", "--nats-users"], check=True,
                                   capture_output=True, text=True).stdout
            # Two more: the tests' own eyes, who may see everything, and an alerter on the bus.
            users = users.replace("users: [", 'users: [\n\t\t{ user: "judge", password: $HEALBUS_JUDGE_PASSWORD }\n' + SOURCE, 1)
            with open(conf, "w") as f:
                f.write('listen: 127.0.0.1:%d\njetstream { store_dir: "%s", max_file_store: 8GB%s }\n%s%s' % (
                    self.ports[node], self.path("bus", *([node] if len(self.nodes) > 1 else [])),
                    "" if self.nats == "nats-server" else ", sync_interval: always", self._cluster(node), users))
        return [self.nats, "-c", conf]

    def _cluster(self, node):
        if len(self.nodes) == 1:
            return ""
        others = ["nats://127.0.0.1:%d" % self.ports["route " + n] for n in self.nodes if n != node]
        return 'server_name: "%s"\ncluster { name: healbus, listen: 127.0.0.1:%d, routes: [%s] }\n' % (
            node, self.ports["route " + node], ", ".join(others))

    def _nats_env(self):
        env = {}
        for user in USERS:
            with open(self.path("secret", user)) as f:
                env["HEALBUS_%s_PASSWORD" % user.upper()] = f.read()
        return env

    def provision(self):
        """Makes the streams and buckets."""
        where = self.path("config/admin")
        os.makedirs(where, exist_ok=True)
        self._bus_yaml(where, 0)
        r = subprocess.run([os.path.join(BUILD, "healctl"), "doctor", "--fix", "--only", "bus", "-c", where],
                           capture_output=True, text=True, timeout=60)
        if r.returncode:
            raise RuntimeError("the streams could not be made:\n" + r.stdout + r.stderr)

    def busctl(self, *args, data=None, timeout_s=120):
        """busctl, with all rights; its output."""
        env = dict(os.environ, HEALBUS_BUS_URL=self.urls(),
                   HEALBUS_BUS_USER="judge", HEALBUS_BUS_PASSWORD_FILE=self.path("secret/judge"))
        r = subprocess.run([os.path.join(BUILD, "tests/integration/busctl"), *args], env=env, input=data,
                           capture_output=True, timeout=timeout_s)
        if r.returncode:
            raise RuntimeError("busctl %s: %s" % (args, r.stderr.decode()[:500]))
        return r.stdout.decode()

    def dump(self, stream, pattern=">"):
        """The messages of a stream: [{seq, subject, id, cause, time_ms, message}]."""
        return [json.loads(line) for line in self.busctl("dump", stream, pattern).splitlines()]

    # ---- parts ----

    def start(self, part, env=None):
        """Starts it; does not wait. env: added to its environment this once."""
        with self.lock:
            if self.closed:
                return None
            if self.alive(part):
                raise RuntimeError(part + " runs already")
            if part in self.nodes:
                argv, more = self._nats_command(part), self._nats_env()
            else:
                self.write_config(part)
                argv, more = [self.program[part], "-c", self.path("config", part)], {}
            log = self.log_file.setdefault(part, open(self.path("log", part), "a"))
            self.process[part] = subprocess.Popen(
                self.wrap.get(part, []) + argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=dict(os.environ, **more, **self.extra_env.get(part, {}), **(env or {})))
            return self.process[part]

    def start_bus(self, timeout_s=30):
        for node in self.nodes:
            self.start(node)
        for node in self.nodes:
            self.wait_ready(node, timeout_s)
        # A cluster has to find its leader first.
        failed, end = None, time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                self.provision()
                return
            except RuntimeError as e:
                if len(self.nodes) == 1:
                    raise
                failed = e
                time.sleep(0.2)
        raise failed

    def start_all(self, timeout_s=60):
        """The bus, the streams, all stages; returns when all are ready."""
        self.start_bus(timeout_s)
        for part in self.stages:
            self.start(part)
        for part in self.stages:
            self.wait_ready(part, timeout_s)

    def alive(self, part):
        p = self.process.get(part)
        return p is not None and p.poll() is None

    def kill(self, part, sig=signal.SIGKILL, timeout_s=30):
        """Sends a signal that ends it, and waits for that; its exit code (negative: the signal)."""
        p = self.process[part]
        if p.poll() is None:
            p.send_signal(sig)
        return p.wait(timeout_s)

    def freeze(self, part):
        self.process[part].send_signal(signal.SIGSTOP)

    def thaw(self, part):
        self.process[part].send_signal(signal.SIGCONT)

    def restart(self, part, sig=signal.SIGKILL, timeout_s=60):
        self.kill(part, sig)
        self.start(part)
        self.wait_ready(part, timeout_s)

    def http(self, part, method, path, body=None, headers=None, timeout_s=10):
        """(status, body as text, headers); status 0 when there was no answer."""
        c = http.client.HTTPConnection("127.0.0.1", self.ports[part], timeout=timeout_s)
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            c.request(method, path, body, dict({"Content-Type": "application/json"}, **(headers or {})))
            r = c.getresponse()
            return r.status, r.read().decode("utf-8", "replace"), dict(r.getheaders())
        except (OSError, http.client.HTTPException) as e:
            return 0, str(e), {}
        finally:
            c.close()

    def api(self, method, path, body=None, timeout_s=30):
        """(status, parsed answer) of the notifier."""
        status, text, _ = self.http("notifier", method, path, body, timeout_s=timeout_s)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def ready(self, part):
        if not self.alive(part):
            return False
        if part not in self.nodes:
            return self.http(part, "GET", "/readyz", timeout_s=2)[0] == 200
        try:
            with socket.create_connection(("127.0.0.1", self.ports[part]), 1) as s:
                return s.recv(5) == b"INFO "
        except OSError:
            return False

    def wait_ready(self, part, timeout_s=60):
        if not wait_for(part + " is ready", lambda: self.ready(part) or not self.alive(part), timeout_s) \
                or not self.alive(part):
            raise RuntimeError("%s is not ready:\n%s" % (part, self.tail(part)))

    def tail(self, part, lines=LAST):
        try:
            with open(self.path("log", part), errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def show_logs(self, lines=LAST):
        for part in self.parts:
            print("".join("# %s: %s\n" % (part, line) for line in self.tail(part, lines).splitlines()), end="")
        sys.stdout.flush()

    def spawn(self, argv, name, **more):
        """Any other program that ends with this world; its output is in log/NAME."""
        with open(self.path("log", name), "a") as log:
            p = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **more)
        self.others.append(p)
        return p

    def close(self):
        with self.lock:
            if self.closed:
                return
            self.closed = True
        held = {}
        if threading.current_thread() is threading.main_thread():  # a second signal must not leave anything behind
            held = {sig: signal.signal(sig, signal.SIG_IGN) for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
        self._end_all()
        for sig, handler in held.items():
            signal.signal(sig, handler)

    def _end_all(self):
        every = [p for p in [*self.process.values(), *self.others] if p.poll() is None]
        for p in every:
            p.kill()  # also ends one that is stopped
        for p in every:
            p.wait()
        for f in self.log_file.values():
            f.close()
        if self.keep:
            print("# kept: " + self.dir, flush=True)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


# ---- alerts ----

def alert(name, status="firing", starts="2026-11-21T09:00:00Z", summary="a test", **labels):
    """One alert as Alertmanager sends it."""
    return {"status": status, "labels": dict(labels, alertname=name), "annotations": {"summary": summary},
            "startsAt": starts, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": ""}


def webhook(*alerts, status="firing"):
    """The body of POST /webhook/alertmanager."""
    return {"version": "4", "status": status, "receiver": "healbus", "groupKey": "k", "truncatedAlerts": 0,
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "",
            "alerts": list(alerts)}
