#!/usr/bin/env python3
"""Routing trees by chance, asked of ours and of Alertmanager's own tool (amtool config routes test). TAP.
HEALBUS_SEED repeats a run."""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

from lib import done, ok

BUILD = os.environ.get("HEALBUS_BUILD", "build")
ROUTEASK = os.path.join(BUILD, "tests/integration/routeask")
SEED = int(os.environ.get("HEALBUS_SEED", random.randrange(1 << 30)))
TREES, ASKED = 12, 12
rnd = random.Random(SEED)
LABELS = {"service": ["db", "web", "dns"], "severity": ["info", "warning", "critical"], "team": ["a", "b"]}


if not shutil.which("amtool"):
    print("1..0 # skip no amtool (Debian: prometheus-alertmanager)")
    sys.exit(0)
print("# HEALBUS_SEED=%d" % SEED)


def matchers():
    """In one of the three spellings, as YAML."""
    name = rnd.choice(list(LABELS))
    value = rnd.choice(LABELS[name])
    regex = rnd.choice([value, value[0] + ".*", "(%s)" % "|".join(rnd.sample(LABELS[name], 2)), ".+", ".*", ""])
    how = rnd.randrange(6)
    if how == 0:
        return "match: {%s: %s}" % (name, value)
    if how == 1:
        return "match_re: {%s: '%s'}" % (name, regex)
    return "matchers: ['%s%s\"%s\"']" % (name, ["=", "!=", "=~", "!~"][how - 2], regex if how > 3 else rnd.choice([value, ""]))


def tree(depth, numbers):
    lines = ["receiver: r%d" % next(numbers)]
    if depth:
        lines.append(matchers())
        if rnd.random() < 0.4:
            lines.append("continue: true")
    children = [] if depth == 3 else [tree(depth + 1, numbers) for _ in range(rnd.randrange(4 - depth))]
    if children:
        lines.append("routes:")
        for child in children:
            body = child.splitlines()
            lines += ["- " + body[0]] + ["  " + line for line in body[1:]]
    return "\n".join(lines)


def labels():
    return " ".join("%s=%s" % (n, rnd.choice(v)) for n, v in LABELS.items() if rnd.random() < 0.8) or "other=x"


FIXED = """receiver: r0
routes:
- receiver: r1
  match: {service: db}
  continue: true
- receiver: r2
  match_re: {service: 'd.'}"""
base = tempfile.mkdtemp(prefix="healbus-routing-")
try:
    several = 0
    for n in range(TREES):
        text = "route:\n" + "".join("  %s\n" % line for line in (tree(0, iter(range(1000))) if n else FIXED).splitlines())
        receivers = re.findall(r"receiver: (r\d+)", text)
        with open(base + "/ours.yaml", "w") as f:
            f.write(text)
        with open(base + "/theirs.yml", "w") as f:
            f.write(text + "receivers:\n" + "".join("- name: %s\n" % r for r in receivers))
        asked = [labels() for _ in range(ASKED)] + ["service=db"]
        r = subprocess.run([ROUTEASK, base + "/ours.yaml"], input="\n".join(asked) + "\n", text=True, capture_output=True, timeout=60)
        ours = r.stdout.splitlines()
        theirs = []
        for one in asked:
            t = subprocess.run(["amtool", "config", "routes", "test", "--config.file=" + base + "/theirs.yml", *one.split()],
                               text=True, capture_output=True, timeout=60)
            theirs.append(t.stdout.strip() if t.returncode == 0 else "error: " + t.stderr)
        several += sum("," in line for line in theirs)
        ok(ours == theirs, "tree %d of %d routes" % (n, len(receivers)),
           (text, [x for x in zip(asked, ours, theirs) if x[1] != x[2]], r.stderr))
    ok(several > 0, "some take several routes", several)
finally:
    shutil.rmtree(base)
sys.exit(done())
