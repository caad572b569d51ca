"""Beside Alertmanager: the same alerts, posted one, ten and a hundred a body."""
import time

from kit.peers import ALERTS, start_alertmanager, start_floor
from kit.rows import Row, at_least, at_most
from kit.world import World
from lines.ingest import DOOR, settle

TITLE = "alerts taken, grouped and told, against Alertmanager (peer)"
GOALS = 4
SINGLE = "['...']"
GROUPED = "[alertname, cluster]"
TELL_S = 1.5  # group_interval is a second: what it has to tell is told by then


def alertmanager(bench, size, group_by):
    with World(bench) as w:
        hook, _ = start_floor(w, "answer")
        port, p = start_alertmanager(w, group_by, f"http://127.0.0.1:{hook}/")
        before = p.cpu_s()
        r = bench.load(port, ALERTS, f"am-{size}")
        time.sleep(TELL_S)
        return figures(r, size, p.cpu_s() - before)


def figures(r, size, cpu_s, more_s=0):
    n = r["n"] * size
    return {"rate": r["req_s"] * size, "cpu_us": cpu_s * 1e6 / n, "all_us": (cpu_s + more_s) * 1e6 / n}


def healbus(bench, size):
    with World(bench) as w:
        w.start_bus().make_streams()
        p = w.start_monitor()
        before, bus = p.cpu_s(), w.bus.cpu_s()
        r = bench.load(w.ports["monitor"], DOOR, "w1" if size == 1 else f"w1-{size}")
        settle(w)
        return figures(r, size, p.cpu_s() - before, w.bus.cpu_s() - bus)


def measure(bench):
    ours, theirs = bench.alternate(lambda: healbus(bench, 1), lambda: alertmanager(bench, 1, SINGLE))
    rows = [
        Row("alerts.1 / Alertmanager", ours["rate"], "alerts/s", at_least(3, "peer"), peer=theirs["rate"]),
        Row("alerts.1 CPU / Alertmanager", ours["cpu_us"], "us", at_most(0.25, "peer"), peer=theirs["cpu_us"]),
        Row("alerts.1 CPU with nats-server", ours["all_us"], "us", None, peer=theirs["cpu_us"]),
    ]
    for size in (10, 100):
        ours, theirs = bench.alternate(lambda: healbus(bench, size), lambda: alertmanager(bench, size, GROUPED))
        rows += [
            Row(f"alerts.{size} / Alertmanager, grouped", ours["rate"], "alerts/s", at_least(1.5, "peer"),
                peer=theirs["rate"]),
            Row(f"alerts.{size} CPU / Alertmanager, grouped", ours["cpu_us"], "us", None, peer=theirs["cpu_us"])]
    return rows
