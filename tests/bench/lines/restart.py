"""A process dies; how long until its successor's main()."""
import os
import signal
import subprocess
import time

from kit.bench import parse
from kit.process import Failed, Missing, free_port, need, wait_for
from kit.rows import Row, at_most, skipped
from kit.world import EACH, World

TITLE = "dead process started again: told by an event, found by a 1 s check; pidfd (limit), runit, monit (peers)"
GOALS = 2
RUNSV_S = 1.1  # runsv waits a second before it starts again what lived for less

# What the executor starts ends with the tool that started it, so a supervisor is asked, as in life.
TOOL = """
name: start
summary: Starts the target's service again
level: soft
argv: [%(sv)s, once, "{{ .target.dir }}"]
sandbox: %(sandbox)s
"""
CONFINED = '{user: root, readonly: ["{{ .target.dir }}"]}'

RUNBOOK = """
name: bench
description: starts what is down
match: ['alertname=~"ServiceDown.*"']
target: '{{ .labels.service }}'
attempts:
  - why: 'it is down'
    steps: [{tool: start}]
cooldown: 0s
"""

BODY = ('{"version":"4","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"ServiceDown",'
        '"service":"%s","instance":"%s"},"annotations":{"summary":"it is down"},'
        '"startsAt":"2025-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z"}]}\n')


class Services:
    """As many as there are kills: a second death within minutes would be the same incident, and its fix in doubt.
    Each has a runsv of its own, told to start it once."""

    def __init__(self, bench, world, n):
        self.world = world
        self.ports = {f"s{i}": free_port() for i in range(n)}
        for name, port in self.ports.items():
            os.mkdir(world.path(name))
            world.write(f"{name}/down", "")
            run = world.write(f"{name}/run", f"#!/bin/sh\nexec {bench.tool('svc')} {self.stamps(name)} {port}\n")
            os.chmod(run, 0o755)
            world.spawn("runsv", [need("runsv", "runit"), world.path(name)])
        for name in self.ports:
            wait_for("runsv listens", lambda name=name: once(world.path(name)), 10)
            wait_for("the service runs", lambda name=name: os.path.exists(self.stamps(name)), 10)

    def stamps(self, name):
        return self.world.path(name + ".stamps")

    def all_stamps(self):
        return [self.stamps(name) for name in self.ports]

    def targets(self):
        return "".join(f"  - {{id: {name}, tools: ['*'], attributes: {{dir: {self.world.path(name)}}}}}\n"
                       for name in self.ports)

    def checks(self):
        return "checks:\n" + "".join(
            f"  - {{name: ServiceDown-{name}, type: tcp, host: 127.0.0.1, port: {port}, service: {name}, instance: {name}, "
            "interval: 1s, timeout: 500ms, failures: 1, severity: critical}\n" for name, port in self.ports.items())


def once(directory):
    return subprocess.run([need("sv", "runit"), "once", directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def kill_last(path):
    """The last life that a stamps file tells of."""
    try:
        with open(path, encoding="ascii") as f:
            os.kill(int(f.read().split()[-2]), signal.SIGKILL)
    except (OSError, IndexError, ValueError):
        pass


def healbus(bench, kills, checked, sandbox="none"):
    with World(bench) as w:
        services = Services(bench, w, kills)
        try:
            w.start_bus().make_streams()
            w.start_monitor(EACH + (services.checks() if checked else ""))
            w.start_reasoner(RUNBOOK)
            w.start_executor(TOOL % {"sv": need("sv", "runit"), "sandbox": CONFINED if sandbox != "none" else "none"},
                             services.targets(), sandbox)
            w.start_notifier()
            time.sleep(RUNSV_S)
            bodies = w.write("bodies", "".join(BODY % (name, name) for name in services.ports))
            told = ["-g", 200] if checked else ["-g", 20, "-p", w.ports["monitor"], "-b", bodies]
            return figures(bench.run("restart", "-n", kills, *told, *services.all_stamps()))
        finally:
            for path in services.all_stamps():
                kill_last(path)


def figures(text):
    r = parse(text)
    if not r["n"]:
        raise Failed("nothing was started again")
    return {"p50": r["p50_us"] / 1e3, "p99": r["p99_us"] / 1e3, "lost": r["lost"]}


def pidfd(bench):
    with World(bench) as w:
        return figures(bench.run("restart", "-n", 50, "-s", bench.tool("svc"), w.path("stamps")))


def runit(bench, kills):
    with World(bench) as w:
        stamps = w.path("stamps")
        os.mkdir(w.path("service"))
        run = w.write("service/run", f"#!/bin/sh\nexec {bench.tool('svc')} {stamps}\n")
        os.chmod(run, 0o755)
        w.spawn("runsv", [need("runsv", "runit"), w.path("service")])
        wait_for("runsv starts the service", lambda: os.path.exists(stamps), 10)
        r = figures(bench.run("restart", "-n", kills, "-g", int(RUNSV_S * 1000), stamps))
    kill_last(stamps)
    return r


def monit(bench, kills):
    with World(bench) as w:
        stamps, pid = w.path("stamps"), w.path("pid")
        script = w.write("start", f"#!/bin/sh\nn=$(wc -l <{stamps})\n{bench.tool('svc')} -d {stamps}\n"
                                  f"while [ \"$(wc -l <{stamps})\" = \"$n\" ]; do sleep 0.01; done\n"
                                  f"tail -n 1 {stamps} | cut -d' ' -f1 >{pid}\n")
        w.write("stamps", "")
        os.chmod(script, 0o755)
        conf = w.write("config/monitrc", f"set daemon 1\nset log {w.path('log', 'monitrc')}\nset pidfile {w.path('m.pid')}\n"
                       f"set idfile {w.path('m.id')}\nset statefile {w.path('m.state')}\n"
                       f"check process svc with pidfile {pid}\n  start program = \"{script}\"\n  stop program = \"/bin/true\"\n")
        os.chmod(conf, 0o600)
        w.spawn("monit", [need("monit"), "-c", conf, "-I"])
        try:
            wait_for("monit starts the service", lambda: os.path.exists(pid) and os.path.getsize(pid) > 0, 20)
            return figures(bench.run("restart", "-n", kills, "-g", 1500, stamps))
        finally:
            kill_last(stamps)


def peer(name, call, *args):
    """Its row without a goal, and its median for ours to stand beside."""
    try:
        r = call(*args)
        return r["p50"], [Row(f"restart p50, {name}", r["p50"], "ms")]
    except Missing as why:
        return None, [skipped(f"restart p50, {name}", str(why))]


def measure(bench):
    kills = 8 if bench.quick else 20
    told, floor = bench.alternate(lambda: healbus(bench, kills, False), lambda: pidfd(bench))
    boxed = healbus(bench, kills, False, "bwrap")
    found = healbus(bench, kills, True)
    by_runit, runit_rows = peer("runit", runit, bench, 4 if bench.quick else 8)
    by_monit, monit_rows = peer("monit, 1 s poll", monit, bench, 3 if bench.quick else 8)
    return [
        Row("restart.event p50", told["p50"], "ms", at_most(10), floor["p50"], by_runit),
        Row("restart.event p99", told["p99"], "ms", None, floor["p99"]),
        Row("restart.event p50, bubblewrap", boxed["p50"], "ms", None, floor["p50"], by_runit),
        Row("restart.check p50, 1 s", found["p50"], "ms", at_most(600), floor["p50"], by_monit),
        Row("restart.lost", told["lost"] + boxed["lost"] + found["lost"], ""),
        *runit_rows, *monit_rows]
