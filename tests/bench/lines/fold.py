"""The correlator alone: repeats that are on the bus already, against pulling and acknowledging them."""
import time

from kit.bench import parse
from kit.process import wait_for
from kit.rows import Row, at_least
from kit.world import World

TITLE = "folding repeats from the bus, against pulling and acknowledging the same messages (limit)"
GOALS = 1
FINGERPRINTS = 1000


def measure(bench):
    n = 50000 if bench.quick else 150000
    seen = []
    for _ in range(bench.reps):
        with World(bench) as w:
            w.start_bus().make_streams()
            p = w.start_monitor()
            seen.append(both(bench, w, p, n))
    rate, cpu, raw, raw_cpu = (sorted(column)[len(seen) // 2] for column in zip(*seen))
    return [Row("fold.repeats / raw pull and ack", rate, "msg/s", at_least(0.5, "limit"), raw),
            Row("fold.repeats CPU / raw pull and ack", cpu, "us", None, raw_cpu)]


def both(bench, w, monitor, n):
    """The monitor stands still while the messages are put there, so that only folding is measured."""
    before = w.metric("monitor", "healbus_messages_total", worker="monitor-00")
    monitor.pause()
    bench.run("feed", "-u", w.url, "-n", n, "-k", FINGERPRINTS)
    cpu = monitor.cpu_s()
    monitor.resume()
    start = time.monotonic()
    wait_for("all is folded", lambda: w.metric("monitor", "healbus_messages_total", worker="monitor-00") >= before + n,
             120, 0.03)
    took, cpu = time.monotonic() - start, monitor.cpu_s() - cpu
    raw = parse(bench.run("pull", "-u", w.url, "-s", "EVENTS", "-n", n))
    return n / took, cpu * 1e6 / n, raw["msg_s"], raw["cpu_us"]
