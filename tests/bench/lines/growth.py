"""How an event's cost grows with what is remembered: the correlator's fold driven directly, without bus and fsync."""
import math
import os
import shutil

from kit.bench import parse
from kit.rows import Row, at_most
from kit.process import Failed

TITLE = "cost per event as fingerprints and open incidents grow"
GOALS = 2
SIZES = {"fingerprints": ((1000, 10000, 100000), (1000, 10000, 100000, 1000000, 10000000)),
         "incidents": ((1000, 10000, 100000), (1000, 10000, 100000, 1000000))}
GIB_FOR_ALL = 12


def directory():
    """In memory when there is room: what is measured is the fold, not the disk."""
    room = shutil.disk_usage("/dev/shm").free / 2**30 if os.path.isdir("/dev/shm") else 0
    return "/dev/shm" if room > GIB_FOR_ALL else None


def grow(bench, what):
    where = ["-d", directory()] if directory() else []
    text = bench.run("growth", *where, "-n", 20000 if bench.quick else 50000, what, *SIZES[what][not bench.quick],
                     timeout_s=1800)
    return [parse(line) for line in text.splitlines()]


def measure(bench):
    rows = []
    for what in SIZES:
        seen = grow(bench, what)
        if len(seen) < 2:
            raise Failed("growth gave too little")
        first, last = seen[0], seen[-1]
        log_ratio = math.log(last["size"]) / math.log(first["size"])
        rows.append(Row(f"growth.{what}, cost at {last['size']:,.0f} / at {first['size']:,.0f}",
                        last["cpu_us"] / first["cpu_us"], "x", at_most(log_ratio), limit=log_ratio))
        for s in seen:
            rows += [Row(f"growth.{what} {s['size']:,.0f}: events", s["events_s"], "1/s"),
                     Row(f"growth.{what} {s['size']:,.0f}: CPU", s["cpu_us"], "us"),
                     Row(f"growth.{what} {s['size']:,.0f}: p50, one a transaction", s["p50_us"], "us"),
                     Row(f"growth.{what} {s['size']:,.0f}: p99, one a transaction", s["p99_us"], "us")]
    return rows
