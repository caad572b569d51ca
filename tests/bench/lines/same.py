"""One workload, every program: W1 in, an action for each episode out, and the count compared with the oracle's."""
import subprocess
import time

from kit.peers import ALERTS, sec_argv, start_alertmanager, start_node_red, start_webhook
from kit.process import Missing
from kit.rows import Row, exactly, skipped
from kit.world import World
from lines.ingest import DOOR

TITLE = "W1 with actions through healbus, Alertmanager + webhook, SEC and Node-RED: events/s, CPU, actions / oracle"
GOALS = 1
ORDERED = 10  # a transition and the next are so far apart: no resolution overtakes its firing


def events(bench):
    return 10000 if bench.quick else 20000


def finish(bench, w, n, start_ns, processes, before):
    """Events a second until the last action; CPU per event, children's and the bus's included."""
    wanted = bench.oracle(n)["firing_transitions"]
    acts = w.wait_acts(int(wanted), 120)
    last = max(when for _, when in acts)
    cpu = sum(p.cpu_s(children=True) for p in processes) - before
    return {"rate": n / ((last - start_ns) / 1e9), "cpu_us": cpu * 1e6 / n, "acts": len(acts) / wanted}


def cpu_of(processes):
    return sum(p.cpu_s(children=True) for p in processes)


def posted(bench, w, port, path, bodies, processes):
    before, start = cpu_of(processes), time.time_ns()
    n = events(bench)
    bench.load(port, path, bodies, d=60, n=n, W=ORDERED)
    return finish(bench, w, n, start, processes, before)


def healbus(bench):
    with World(bench) as w:
        w.start_all(workers=8)
        return posted(bench, w, w.ports["monitor"], DOOR, "w1", [*w.stages.values(), w.bus])


def chain(bench):
    with World(bench) as w:
        hook, path, runner = start_webhook(w)
        port, p = start_alertmanager(w, "['...']", f"http://127.0.0.1:{hook}{path}")
        return posted(bench, w, port, ALERTS, "am-1", [p, runner])


def node_red(bench):
    with World(bench) as w:
        port, path, p = start_node_red(w)
        return posted(bench, w, port, path, "w1", [p])


def sec(bench):
    with World(bench) as w, open(bench.file("lines"), "rb") as lines:
        n, start = sum(1 for _ in lines), time.time_ns()
        lines.seek(0)
        p = w.spawn("sec", sec_argv(w, True), {"ACT_OUT": w.out}, stdin=subprocess.PIPE)
        for chunk in iter(lambda: lines.read(1 << 16), b""):
            p.child.stdin.write(chunk)
        p.child.stdin.flush()
        r = finish(bench, w, n, start, [p], 0)
        p.child.stdin.close()
        return r


def measure(bench):
    ours = healbus(bench)
    rows = [Row("same.actions / oracle, healbus", ours["acts"], "", exactly(1)),
            Row("same.events, healbus", ours["rate"], "1/s"), Row("same.CPU, healbus and nats-server", ours["cpu_us"], "us")]
    for name, call in (("Alertmanager + webhook", chain), ("SEC", sec), ("Node-RED", node_red)):
        try:
            r = call(bench)
        except Missing as why:
            rows.append(skipped(f"same.events, {name}", str(why)))
            continue
        rows += [Row(f"same.actions / oracle, {name}", r["acts"], ""), Row(f"same.events, {name}", r["rate"], "1/s"),
                 Row(f"same.CPU, {name}", r["cpu_us"], "us")]
    return rows
