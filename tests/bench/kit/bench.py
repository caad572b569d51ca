"""One run of the benchmark: its size, its workload files, its drivers."""
import os
import shutil
import statistics
import subprocess
import tempfile

from kit.process import Failed

# Workload files: options of gen, for the full run and for the quick one.
WORKLOADS = {
    "w1": (["-e", "200000"], ["-e", "100000"]),
    "new": (["-d", "0", "-r", "0", "-n", "100000", "-e", "100000"], ["-d", "0", "-r", "0", "-n", "50000", "-e", "50000"]),
    "storm": (["-d", "0", "-r", "0", "-n", "3000", "-e", "3000"], ["-d", "0", "-r", "0", "-n", "1000", "-e", "1000"]),
    "w1-10": (["-e", "200000", "-b", "10", "-B", "0"], ["-e", "200000", "-b", "10", "-B", "0"]),
    "w1-100": (["-e", "400000", "-b", "100", "-B", "0"], ["-e", "400000", "-b", "100", "-B", "0"]),
    "am-1": (["-f", "am", "-e", "60000"], ["-f", "am", "-e", "60000"]),
    "am-10": (["-f", "am", "-e", "200000", "-b", "10", "-B", "0"],) * 2,
    "am-100": (["-f", "am", "-e", "400000", "-b", "100", "-B", "0"],) * 2,
    "lines": (["-f", "line", "-e", "20000"], ["-f", "line", "-e", "10000"]),
}


def parse(text):
    """The name=value pairs that our drivers print."""
    found = {}
    for word in text.split():
        name, _, value = word.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            pass
    return found


class Bench:
    def __init__(self, build, quick):
        self.build = os.path.abspath(build)
        self.quick = quick
        self.reps = 1 if quick else 3
        self.secs = 1 if quick else 2
        self.dir = tempfile.mkdtemp(prefix="healbus-bench-data-")

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def tool(self, name):
        return f"{self.build}/tests/bench/{name}"

    def run(self, name, *args, stdin=None, timeout_s=600):
        done = subprocess.run([self.tool(name), *map(str, args)], stdin=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout_s, check=False)
        if done.returncode:
            raise Failed(f"{name}: exit code {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}")
        return done.stdout.decode()

    def file(self, workload):
        """The path of a workload's bodies, made once a run."""
        path = os.path.join(self.dir, workload)
        if not os.path.exists(path):
            with open(path, "wb") as f:
                subprocess.run([self.tool("gen"), *WORKLOADS[workload][self.quick]], stdout=f, check=True)
        return path

    def oracle(self, events):
        """What the first so many events of W1 must lead to."""
        return parse(self.run("gen", "-f", "oracle", "-e", int(events)))

    def load(self, port, path, bodies, connections=16, **options):
        """Posts; options as load's: d (seconds, default of the run), n, r. Every answer must be a 2xx."""
        args = ["-c", connections, "-d", options.pop("d", self.secs)]
        for name, value in options.items():
            args += ["-" + name, value]
        r = parse(self.run("load", *args, "-p", port, path, self.file(bodies)))
        if r["bad"] or r["err"]:
            statuses = " ".join(f"{k}={v:.0f}" for k, v in r.items() if k.startswith("status_"))
            raise Failed(f"{path}: {r['err']:.0f} without an answer, {statuses}")
        return r

    def alternate(self, *sides):
        """Calls each side once a repetition, in turn from the front and from the back, so that what drifts hits all
        alike; returns for each side the median of every figure it gave."""
        seen = [[] for _ in sides]
        for rep in range(self.reps):
            order = range(len(sides)) if rep % 2 == 0 else range(len(sides) - 1, -1, -1)
            for i in order:
                seen[i].append(sides[i]())
        return [medians(s) for s in seen]


def medians(dicts):
    return {k: statistics.median(d[k] for d in dicts) for k in dicts[0]}


def quantile(values, q):
    ordered = sorted(values)
    return ordered[int((len(ordered) - 1) * q)]
