"""Webhooks in, each answered after the stream has acknowledged what had to be stored."""
from kit.peers import start_floor
from kit.process import wait_for
from kit.rows import Row, at_least, at_most
from kit.world import World

DOOR = "/webhook/alertmanager"
TITLE = "webhook ingest at 16 connections, against bare servers on the same libraries (limit)"
GOALS = 4


def floor(bench, mode, bodies="w1", *more):
    """A bare server's figures. Its CPU is its own; the bus's stands beside it."""
    with World(bench) as w:
        w.start_bus()
        port, p = start_floor(w, mode, "-u", w.url, *more)
        before, bus = p.cpu_s(), w.bus.cpu_s()
        r = bench.load(port, "/", bodies)
        return figures(r, p.cpu_s() - before, w.bus.cpu_s() - bus)


def figures(r, cpu_s, bus_s):
    return {"rate": r["req_s"], "cpu_us": cpu_s * 1e6 / r["n"], "bus_us": bus_s * 1e6 / r["n"], "p99_ms": r["p99_us"] / 1e3}


def door(bench, bodies):
    """The monitor's: the load's CPU ends when all of it is folded."""
    with World(bench) as w:
        w.start_bus().make_streams()
        p = w.start_monitor()
        before, bus = p.cpu_s(), w.bus.cpu_s()
        r = bench.load(w.ports["monitor"], DOOR, bodies)
        at_door = p.cpu_s() - before
        settle(w)
        return {**figures(r, p.cpu_s() - before, w.bus.cpu_s() - bus), "door_us": at_door * 1e6 / r["n"]}


def settle(w):
    """Until everything that was taken is folded and told: nothing changes in the monitor any more."""
    seen = None

    def still():
        nonlocal seen
        before = seen
        seen = (w.metric("monitor", "healbus_messages_total"), w.metric("monitor", "healbus_monitor_bodies_total"))
        return seen == before and w.lag("monitor") == 0
    wait_for("the monitor has folded all", still, 120, 0.25)


def measure(bench):
    store, fold, w1, new, store_new = bench.alternate(
        lambda: floor(bench, "store"), lambda: floor(bench, "fold"), lambda: door(bench, "w1"),
        lambda: door(bench, "new"), lambda: floor(bench, "store", "new"))
    bare = floor(bench, "answer")
    packed = floor(bench, "fold", "w1", "-F")
    return [
        Row("ingest.w1 / every body stored", w1["rate"], "req/s", at_least(1.0, "limit"), store["rate"]),
        Row("ingest.new / every body stored", new["rate"], "req/s", at_least(0.7, "limit"), store_new["rate"]),
        Row("ingest.w1 / parsed and folded", w1["rate"], "req/s", at_least(0.5, "limit"), fold["rate"]),
        Row("ingest.w1 CPU / parsed and folded", w1["cpu_us"], "us", at_most(2, "limit"), fold["cpu_us"]),
        Row("ingest.w1 CPU while posting", w1["door_us"], "us", None, fold["cpu_us"]),
        Row("ingest.new CPU / every body stored", new["cpu_us"], "us", None, store_new["cpu_us"]),
        Row("ingest.w1 CPU of nats-server", w1["bus_us"], "us", None, fold["bus_us"]),
        Row("ingest.w1 p99", w1["p99_ms"], "ms", None, fold["p99_ms"]),
        Row("ingest.w1 / no work at all", w1["rate"], "req/s", None, bare["rate"]),
        Row("ingest.w1 / folded, packing flusher", w1["rate"], "req/s", None, packed["rate"]),
    ]
