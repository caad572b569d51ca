"""A private healbus: one directory, one nats-server, the stages that a line needs. Everything of it ends with it."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

from kit.process import Failed, Process, free_port, http_get, need, port_open, wait_for

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
STAGES = ("monitor", "reasoner", "executor", "notifier")
TARGET = "bench"
QUIET_S = 3  # without a further action

# Each alert is an incident of its own, told at once, and no storm or flap is damped: what arrives is acted upon.
EACH = """
group_by: [alertname, instance]
group_wait: 0s
storm_threshold: 0
flap_threshold: 0
"""

RUNBOOK = """
name: bench
description: one call of one tool for each incident
match: ['alertname!=""']
target: %s
attempts:
  - why: 'it fires'
    steps:
      - tool: note
        params: {t0: '{{ .events[0].annotations.t0 }}'}
cooldown: 0s
"""

TOOL = """
name: note
summary: Notes how long ago the alert was posted
level: %(level)s
params: {t0: {type: string, pattern: '[0-9]{19}'}}
argv: [%(act)s, "{{ .params.t0 }}"]
env: {ACT_OUT: %(out)s}
sandbox: %(sandbox)s
"""


class World:
    """Use as a context; stop order is the reverse of start order."""

    def __init__(self, bench):
        self.bench = bench
        self.build = bench.build
        self.dir = tempfile.mkdtemp(prefix="healbus-bench-")
        os.chmod(self.dir, 0o755)
        self.processes, self.ports, self.stages = [], {}, {}
        for name in ("config", "log", "state", "tools", "runbooks"):
            os.mkdir(self.path(name))
        self.out = self.path("act.out")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        return self.path(name)

    def spawn(self, name, argv, env=None, **more):
        p = Process(argv, self.path("log", name), env, **more)
        self.processes.append(p)
        return p

    def stop(self):
        for p in reversed(self.processes):
            p.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- the bus ----

    def start_bus(self):
        self.bus_port = free_port()
        self.url = f"nats://127.0.0.1:{self.bus_port}"
        conf = self.write("config/nats.conf", f'listen: "127.0.0.1:{self.bus_port}"\n'
                          f'jetstream {{ store_dir: "{self.path("js")}", max_file_store: 16GB }}\n')
        self.bus = self.spawn("nats-server", [need("nats-server"), "-c", conf])
        wait_for("nats-server listens", lambda: port_open(self.bus_port), 10)
        self.write("config/bus.yaml", f"url: {self.url}\n")
        return self

    def make_streams(self):
        done = subprocess.run([f"{self.build}/healctl", "doctor", "--fix", "--only", "bus", "-c", self.path("config")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.write("log/doctor", done.stdout.decode(errors="replace"))
        return self

    # ---- stages ----

    def start_stage(self, stage, text=""):
        """Started with this configuration beside what every one needs; returns its process, ready."""
        self.ports[stage] = free_port()
        self.write(f"config/{stage}.yaml", f'state_dir: {self.path("state", stage)}\n'
                   f'http: {{listen: "127.0.0.1:{self.ports[stage]}"}}\n' + text)
        p = self.spawn(stage, [f"{self.build}/healbus-{stage}", "-c", self.path("config")])
        self.stages[stage] = p
        wait_for(f"{stage} is ready: {p.last_words()}",
                 lambda: not p.alive() or http_get(self.ports[stage], "/readyz")[0] == 200)
        if not p.alive():
            raise Failed(f"{stage} ended: {p.last_words()}")
        return p

    def start_monitor(self, text=""):
        return self.start_stage("monitor", f"sources_dir: {ROOT}/monitor/sources\nrate: 1000000\nburst: 1000000\n"
                                           "in_flight_max: 8192\n" + text)

    def start_reasoner(self, runbook=None):
        self.write("runbooks/bench.yaml", runbook or RUNBOOK % TARGET)
        return self.start_stage("reasoner", f"runbooks_dir: {self.path('runbooks')}\nmax_open_plans: 10000\n")

    def start_notifier(self):
        return self.start_stage("notifier", f"channels: [{{name: log, type: terminal, path: {self.path('notices')}}}]\n"
                                            "receivers: [{name: all, channels: [log]}]\nroute: {receiver: all}\n")

    def start_executor(self, tool, targets=f"  - {{id: {TARGET}, tools: ['*']}}\n", sandbox="none", workers=4):
        """Its only tool is this one; `sandbox` as note_tool."""
        self.write("tools/note.yaml", tool)
        return self.start_stage(
            "executor", f"tools_dir: {self.path('tools')}\nautonomy: auto\nworkers: {workers}\n"
            f"allow_unsandboxed: true\nsandbox: {'auto' if sandbox == 'none' else sandbox}\n"
            f"rate: {{cooldown: 0s, target_per_hour: 500, global_per_hour: 500}}\ntargets:\n{targets}")

    def note_tool(self, sandbox="none", level="none"):
        """The tool that runs `act`; sandbox: none, landlock or bwrap."""
        confined = "none" if sandbox == "none" else \
            f"{{user: root, readonly: [{self.build}/tests/bench], writable: [{self.dir}]}}"
        return TOOL % {"level": level, "act": f"{self.build}/tests/bench/act", "out": self.out, "sandbox": confined}

    def start_all(self, sandbox="none", workers=4, level="none"):
        """The four stages as the action lines need them."""
        self.start_bus().make_streams()
        self.start_monitor(EACH)
        self.start_reasoner()
        self.start_executor(self.note_tool(sandbox, level), sandbox=sandbox, workers=workers)
        self.start_notifier()
        return self

    # ---- what they say ----

    def metric(self, stage, name, **labels):
        """The sum of a metric's samples that have these labels."""
        _, text = http_get(self.ports[stage], "/metrics")
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        total = 0.0
        for line in text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.split("{")[0] == name and all(w in head for w in wanted):
                total += float(value)
        return total

    def lag(self, stage):
        return self.metric(stage, "healbus_lag_messages") + self.metric(stage, "healbus_outbox_rows")

    def acts(self):
        """(age, when) of each action, in ns, in the order in which they were noted."""
        try:
            with open(self.out, encoding="ascii") as f:
                return [tuple(map(int, line.split())) for line in f]
        except FileNotFoundError:
            return []

    def wait_acts(self, n, timeout_s=60, none_s=20):
        """The actions, once there are n, or once no more come: for a moment when there were some, else for none_s."""
        seen, since = -1, time.monotonic()

        def settled():
            nonlocal seen, since
            before, seen = seen, len(self.acts())
            if seen != before:
                since = time.monotonic()
            return seen >= n or (time.monotonic() - since > (QUIET_S if seen else none_s))
        wait_for(f"{n} actions", settled, timeout_s, every_s=0.2)
        if not seen:
            raise Failed("no action was started: " + "; ".join(p.last_words() for p in self.stages.values())[-400:])
        return self.acts()

    def post(self, port, path, body):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
