"""How an event's cost grows with what is remembered: the correlator's fold driven directly, without bus and fsync."""
import math
import os
import tempfile

from kit.bench import parse
from kit.rows import Row, at_most
from kit.process import Failed

TITLE = "cost per event as fingerprints and open incidents grow"
GOALS = 2
SIZES = {"fingerprints": ((1000, 10000, 100000), (1000, 10000, 100000, 1000000, 10000000)),
         "incidents": ((1000, 10000, 100000), (1000, 10000, 100000, 1000000))}
LARGEST_MAX = 1000000  # unless there are
GIB_FOR_ALL = 14  # of memory
NOISE = 1.25


def available_gib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("MemAvailable")) / 2**20


def grow(bench, what):
    """In memory when there is room: what is measured is the fold, not the disk."""
    sizes, where = SIZES[what][not bench.quick], None
    if available_gib() < GIB_FOR_ALL:
        sizes = [s for s in sizes if s <= LARGEST_MAX]
    elif os.path.isdir("/dev/shm"):
        where = "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="healbus-bench-growth-", dir=where) as directory:
        text = bench.run("growth", "-d", directory, "-n", 20000 if bench.quick else 50000, what, *sizes, timeout_s=1800)
    return [parse(line) for line in text.splitlines()]


def on_a_log_line(seen):
    """What the largest size would cost if the smaller ones' costs went on along a straight line over log n."""
    xs, ys = [math.log(s["size"]) for s in seen[:-1]], [s["cpu_us"] for s in seen[:-1]]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)
    return mean_y + slope * (math.log(seen[-1]["size"]) - mean_x)


def measure(bench):
    rows = []
    for what in SIZES:
        seen = grow(bench, what)
        if len(seen) < 3:
            raise Failed("growth gave too little")
        last = seen[-1]
        rows.append(Row(f"growth.{what}: CPU at {last['size']:,.0f} / log line of the others", last["cpu_us"], "us",
                        at_most(NOISE, "limit"), limit=on_a_log_line(seen)))
        for s in seen:
            rows += [Row(f"growth.{what} {s['size']:,.0f}: events", s["events_s"], "1/s"),
                     Row(f"growth.{what} {s['size']:,.0f}: CPU", s["cpu_us"], "us"),
                     Row(f"growth.{what} {s['size']:,.0f}: p50, one a transaction", s["p50_us"], "us"),
                     Row(f"growth.{what} {s['size']:,.0f}: p99, one a transaction", s["p99_us"], "us")]
    return rows
