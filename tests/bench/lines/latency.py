"""From the webhook's post to the action's first instruction, every hop durable, at a rate that does not wait."""
from kit.bench import quantile
from kit.peers import ALERTS, start_alertmanager, start_node_red, start_webhook
from kit.process import Missing
from kit.rows import Row, at_most, skipped
from kit.world import World
from lines.ingest import DOOR

TITLE = "webhook to action started at 100/s and 1,000/s, against Alertmanager + webhook and Node-RED (peers)"
GOALS = 4
RATES = (100, 1000)


def seconds(bench):
    return 3 if bench.quick else 6


def paced(bench, w, port, path, bodies, rate):
    """Posts at the rate; the age of each action, and how many of the oracle's there were."""
    r = bench.load(port, path, bodies, d=seconds(bench), r=rate)
    wanted = int(bench.oracle(r["n"])["firing_transitions"])
    ages = [age / 1e6 for age, _ in w.wait_acts(wanted)]
    return {"p50": quantile(ages, 0.5), "p99": quantile(ages, 0.99), "acts": len(ages) / wanted}


def healbus(bench, rate, sandbox):
    with World(bench) as w:
        w.start_all(sandbox)
        return paced(bench, w, w.ports["monitor"], DOOR, "w1", rate)


def chain(bench, rate):
    with World(bench) as w:
        hook, path, _ = start_webhook(w)
        port, _ = start_alertmanager(w, "['...']", f"http://127.0.0.1:{hook}{path}")
        return paced(bench, w, port, ALERTS, "am-1", rate)


def node_red(bench, rate):
    with World(bench) as w:
        port, path, _ = start_node_red(w)
        return paced(bench, w, port, path, "w1", rate)


def peer_rows(bench, rate, name, call):
    try:
        r = call(bench, rate)
    except Missing as why:
        return [skipped(f"latency.{rate} {name}", str(why))]
    return [Row(f"latency.{rate} p50, {name}", r["p50"], "ms"), Row(f"latency.{rate} p99, {name}", r["p99"], "ms"),
            Row(f"latency.{rate} actions / oracle, {name}", r["acts"], "")]


def measure(bench):
    rows = []
    for rate in RATES:
        bare, boxed, peer = bench.alternate(lambda: healbus(bench, rate, "none"), lambda: healbus(bench, rate, "bwrap"),
                                            lambda: chain(bench, rate))
        rows += [Row(f"latency.{rate} p50", bare["p50"], "ms", at_most(4), peer=peer["p50"]),
                 Row(f"latency.{rate} p99", bare["p99"], "ms", at_most(8), peer=peer["p99"]),
                 Row(f"latency.{rate} actions / oracle", bare["acts"], "", None, peer=peer["acts"]),
                 Row(f"latency.{rate} p50, bubblewrap", boxed["p50"], "ms", None, peer=peer["p50"]),
                 Row(f"latency.{rate} p99, bubblewrap", boxed["p99"], "ms", None, peer=peer["p99"])]
    return rows + peer_rows(bench, RATES[0], "Node-RED", node_red)
