"""Actions a second with claims, journal, audit and reports, against starting the same program bare."""
import os

from kit.bench import parse
from kit.process import need, wait_for
from kit.rows import Row, at_least, exactly
from kit.world import EACH, RUNBOOK, World
from lines.ingest import DOOR

TITLE = "actions a second, against bare bubblewrap and bare posix_spawn (limit); a storm's actions"
GOALS = 3
WORKERS = 8
TARGETS = 20  # that what changes something takes its locks on


def bubblewrap(world):
    """What the executor gives bubblewrap, as far as it costs time: namespaces, a root of its own, the two binds."""
    return [need("bwrap", "bubblewrap"), "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts",
            "--unshare-cgroup-try", "--unshare-net", "--disable-userns", "--die-with-parent", "--new-session",
            "--cap-drop", "ALL", "--hostname", "bench", "--size", "1048576", "--tmpfs", "/",
            "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
            "--symlink", "usr/lib64", "/lib64", "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
            "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--size", "16777216", "--tmpfs", "/tmp",
            "--ro-bind", f"{world.build}/tests/bench", f"{world.build}/tests/bench", "--bind", world.dir, world.dir,
            "--setenv", "ACT_OUT", world.out, "--remount-ro", "/", "--chdir", "/tmp", "--"]


def bare(bench, wrapped):
    """The best rate of a few numbers of workers: the limit is what the machine can, not what one loop does."""
    with World(bench) as w:
        argv = [*(bubblewrap(w) if wrapped else []), bench.tool("act"), "0" * 19]
        best = max((launch(bench, w, workers, argv) for workers in (2, 4)), key=lambda r: r["rate"])
        return {"rate": best["rate"], "cpu_us": best["cpu_us"]}


def launch(bench, w, workers, argv):
    os.environ["ACT_OUT"] = w.out
    try:
        return parse(bench.run("launch", "-w", workers, "-d", bench.secs, *argv))
    finally:
        del os.environ["ACT_OUT"]


def storm(bench, sandbox, level="none", events=None):
    """A storm's plans are on the bus before the executor starts, so that it alone is measured."""
    with World(bench) as w:
        w.start_bus().make_streams()
        w.start_monitor(EACH)
        w.start_reasoner(RUNBOOK % "'t{{ .events[0].annotations.seq | tonumber % 20 }}'")
        options = {"n": events} if events else {}
        r = bench.load(w.ports["monitor"], DOOR, "storm", d=60, **options)
        n = int(r["n"])
        wait_for("all plans are made", lambda: w.lag("monitor") == 0 and w.lag("reasoner") == 0 and plans(w) >= n, 120, 0.2)
        w.stages["monitor"].pause()
        targets = "".join(f"  - {{id: t{i}, tools: ['*']}}\n" for i in range(TARGETS))
        executor = w.start_executor(w.note_tool(sandbox, level), targets, sandbox, WORKERS)
        acts = w.wait_acts(n, 180)
        whens = sorted(when for _, when in acts)
        cpu = executor.cpu_s(children=True)
        w.stages["monitor"].resume()
        return {"rate": (len(whens) - 1) / ((whens[-1] - whens[0]) / 1e9), "acts": len(acts) / n,
                "cpu_us": cpu * 1e6 / n}


def plans(w):
    """Messages of the story that the reasoner has written and read back: an incident and a plan each."""
    return w.metric("reasoner", "healbus_messages_total", worker="reasoner") / 2


def whole_storm(bench):
    """All four stages at once, from the post to the last action."""
    with World(bench) as w:
        w.start_all(workers=WORKERS)
        r = bench.load(w.ports["monitor"], DOOR, "storm", d=60)
        acts = w.wait_acts(int(r["n"]), 180)
        whens = sorted(when for _, when in acts)
        return {"rate": (len(whens) - 1) / ((whens[-1] - whens[0]) / 1e9), "acts": len(acts) / r["n"]}


def measure(bench):
    boxed, bwrap, free, spawn = bench.alternate(
        lambda: storm(bench, "bwrap", events=500), lambda: bare(bench, True), lambda: storm(bench, "none"),
        lambda: bare(bench, False))
    soft, locked = bench.alternate(lambda: storm(bench, "none", "soft", 400), lambda: storm(bench, "landlock"))
    whole = whole_storm(bench)
    return [
        Row("actions.bubblewrap / bare bubblewrap", boxed["rate"], "1/s", at_least(0.8, "limit"), bwrap["rate"]),
        Row("actions.unconfined / bare posix_spawn", free["rate"], "1/s", at_least(0.3, "limit"), spawn["rate"]),
        Row("actions.storm / oracle", whole["acts"], "", exactly(1)),
        Row("actions.storm, all four stages at once", whole["rate"], "1/s", None, spawn["rate"]),
        Row("actions.bubblewrap CPU", boxed["cpu_us"], "us", None, bwrap["cpu_us"]),
        Row("actions.unconfined CPU", free["cpu_us"], "us", None, spawn["cpu_us"]),
        Row("actions.landlock / bare posix_spawn", locked["rate"], "1/s", None, spawn["rate"]),
        Row("actions.changing, with locks and rates", soft["rate"], "1/s", None, spawn["rate"]),
    ]
