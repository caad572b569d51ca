"""Events a second through the monitor's and the reasoner's own logic, from a recording, without a bus."""
import re
import subprocess

from kit.process import Failed, Missing
from kit.rows import Row, at_least
from kit.world import ROOT, World

TITLE = "backtest of a recording of which nine events in ten are repeats, on one core"
GOALS = 1


def call(w, program, *args):
    done = subprocess.run([f"{w.build}/{program}", "-c", w.path("config"), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failed(f"{args[0]}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return done.stderr.decode(errors="replace")


def measure(bench):
    if subprocess.run([f"{bench.build}/healctl", "backtest", "--help"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL, check=False).returncode:
        raise Missing("healctl has no backtest")
    n = 50000 if bench.quick else 200000
    with World(bench) as w:
        w.start_bus().make_streams()
        w.write("config/monitor.yaml", f"state_dir: {w.path('state', 'monitor')}\nsources_dir: {ROOT}/monitor/sources\n")
        w.write("config/reasoner.yaml", f"state_dir: {w.path('state', 'reasoner')}\nrunbooks_dir: {ROOT}/reasoner/runbooks\n")
        bench.run("feed", "-u", w.url, "-n", n, "-k", n // 10)
        call(w, "healbus-monitor", "record", w.path("recording"))

        def once():
            said = call(w, "healctl", "backtest", w.path("recording"))
            return {"rate": float(re.search(r"(\d+) events/s", said)[1])}
        rate = bench.alternate(once)[0]["rate"]
    return [Row("backtest.events", rate, "1/s", at_least(200000))]
