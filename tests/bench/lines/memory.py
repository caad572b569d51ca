"""Resident memory of each stage, idle and after the workload, and what idling costs."""
import time

from kit.process import wait_for
from kit.rows import Row, at_most
from kit.world import STAGES, World
from lines.ingest import DOOR, settle

TITLE = "memory of the stages, idle and loaded, and CPU when nothing happens"
GOALS = 4
IDLE_S = (4, 10)  # quick, full
LOOK_S = 0.5


def idle_cpu(w, seconds):
    """Percent of a core, all four stages."""
    before = sum(p.cpu_s(children=True) for p in w.stages.values())
    time.sleep(seconds)
    return (sum(p.cpu_s(children=True) for p in w.stages.values()) - before) / seconds * 100


def started(w):
    """What starts has started: nobody uses the processor any more."""
    wait_for("the stages to be idle", lambda: idle_cpu(w, LOOK_S) <= 2)


def measure(bench):
    with World(bench) as w:
        w.start_all()
        started(w)
        idle = {s: w.stages[s].rss_mib() for s in STAGES}
        together = sum(w.stages[s].pss_mib() for s in STAGES)
        cpu = idle_cpu(w, IDLE_S[not bench.quick])
        bench.load(w.ports["monitor"], DOOR, "w1", 64)
        settle(w)
        w.wait_acts(10 ** 9, 600)
        loaded = {s: w.stages[s].rss_mib() for s in STAGES}
        bus = w.bus.rss_mib()
    rows = [
        Row("memory.idle, the largest stage", max(idle.values()), "MiB", at_most(12)),
        Row("memory.loaded, the largest stage", max(loaded.values()), "MiB", at_most(64)),
        Row("memory.idle, the four together", sum(idle.values()), "MiB", at_most(40)),
        Row("memory.idle, the four, shared pages once", together, "MiB"),
        Row("memory.nats-server, loaded", bus, "MiB"),
        Row("idle CPU, all four", cpu, "%", at_most(0.5)),
    ]
    for s in STAGES:
        rows += [Row(f"memory.idle {s}", idle[s], "MiB"), Row(f"memory.loaded {s}", loaded[s], "MiB")]
    return rows
