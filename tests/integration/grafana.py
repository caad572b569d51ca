#!/usr/bin/env python3
"""Dashboards, rules and the configuration of Prometheus and Alertmanager: every metric and label in them is one of ours,
promtool and amtool read them, and no panel leaves its reader to guess. TAP."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from lib import done, ok

FOLDERS = ("common", "monitor", "reasoner", "executor", "notifier")
PROMETHEUS = "deploy/prometheus"
# What Prometheus adds, and what our alerts carry.
FREE_LABELS = {"job", "instance", "le", "alertname"}
FREE_METRICS = {"up": set()}
WORDS = set("""sum max min count avg by without on ignoring group_left group_right and or unless offset bool rate increase
histogram_quantile topk vector max_over_time clamp_min absent time""".split())


def metrics():
    """{name: labels} of the metrics in the code; histograms by the names that they are exported with."""
    found = dict(FREE_METRICS)
    string = r'"((?:[^"\\]|\\.)*)"'
    row = re.compile(r"METRIC_(COUNTER|GAUGE|HISTOGRAM)\(\s*%s\s*,\s*((?:%s\s*)+)((?:,\s*%s\s*)*)" %
                     (string, string, string))
    for folder in FOLDERS:
        for path in glob.glob(folder + "/**/*.c", recursive=True):
            with open(path) as f:
                text = f.read()
            for m in row.finditer(text):
                kind, name, labels = m[1], m[2], set(re.findall(string, m[5]))
                for end in ("_bucket", "_sum", "_count") if kind == "HISTOGRAM" else ("",):
                    found.setdefault(name + end, set()).update(labels)
    return found


def strangers(expr, known):
    """What an expression speaks of that nobody exports: metrics, and labels that its metrics do not have."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
    bare = re.sub(r"\[[^]]*\]", "", bare)
    found, labels = set(), set(FREE_LABELS)
    names = {n for n in re.findall(r"(?<![\w{,(=~!-])([a-z_]\w*)(?=\s*(?:\{|\)|$|[-+*/=<>!]|unless|or\b|and\b|offset))", bare)}
    names |= set(re.findall(r"\bhealbus_\w+|\bprocess_\w+", bare))
    for name in names - WORDS:
        if name in known:
            labels |= known[name]
        elif name.startswith(("healbus_", "process_")) or name == "up":
            found.add(name)
    used = {l for block in re.findall(r"\{([^}]*)\}", bare) for l in re.findall(r"(\w+)\s*(?:=|!)", block)}
    used |= {l.strip() for block in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare)
             for l in block.split(",") if l.strip()}
    return found | {"label " + l for l in used - labels}


def run(*args):
    return subprocess.run(args, capture_output=True, text=True, timeout=60)


def dashboards():
    for path in sorted(glob.glob("deploy/grafana/dashboards/*.json")):
        with open(path) as f:
            yield os.path.basename(path)[:-5], json.load(f)


def concrete(expr):
    """As Grafana sends it."""
    return expr.replace("$__rate_interval", "1m").replace("$__range", "1h")


def test_panels(known):
    uids, exprs = set(), []
    for name, d in dashboards():
        uids.add(d["uid"])
        vague = [p.get("title", "?") for p in d["panels"] if not (
            p.get("title") and len(p.get("description", "")) > 10 and p["description"].endswith(".") and
            p["fieldConfig"]["defaults"].get("unit") and p["targets"])]
        ok(d["uid"].startswith("healbus-") and d["description"] and not vague,
           "%s: every panel says what it shows, and in which unit" % name, vague)
        boxes = [(p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"], p["gridPos"]["h"]) for p in d["panels"]]
        clash = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]
                 if a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]]
        ok(not clash and all(x + w <= 24 for x, _, w, _ in boxes) and
           len({p["id"] for p in d["panels"]}) == len(boxes), "%s: no panel lies upon another" % name, clash)
        own = [t for p in d["panels"] for t in p["targets"]]
        exprs += [(name, t["expr"]) for t in own]
        odd = {t["expr"]: strangers(t["expr"], known) for t in own if strangers(t["expr"], known)}
        ok(not odd, "%s: %d expressions speak of metrics and labels that we export" % (name, len(own)), odd)
        shown = {t["expr"]: set(re.findall(r"\{\{(\w+)\}\}", t["legendFormat"])) for p in d["panels"]
                 for t in p["targets"] if p["type"] != "stat"}
        blank = {e: names for e, names in shown.items() if not all(re.search(r"by \([^)]*\b%s\b" % n, e) for n in names)}
        ok(not blank, "%s: legends name labels that the result has" % name, blank)
        sources = {p["datasource"]["uid"] for p in d["panels"]} | {t["datasource"]["uid"] for t in own}
        with open("deploy/grafana/provisioning/datasources/prometheus.yaml") as f:
            ok(sources == {re.search(r"uid: (\S+)", f.read())[1]}, "%s: asks the data source that is provisioned" % name)
    ok(len(uids) == 5, "five dashboards", uids)
    return exprs


def test_judge(known):
    """The judge itself."""
    rows = [("healbus_nothing", {"healbus_nothing"}), ("sum(rate(healbus_effect_seconds[5m]))", {"healbus_effect_seconds"}),
            ('healbus_incidents{colour="red"}', {"label colour"}), ("sum by (colour) (healbus_incidents)", {"label colour"}),
            ("max by (job, state) (healbus_incidents)", set()), ("healbus_effect_seconds_bucket", set()),
            ("a_b_c or healbus_incidents", set())]
    wrong = [(e, strangers(e, known)) for e, want in rows if strangers(e, known) != want]
    ok(not wrong and len(known) > 60, "the judge knows a stranger (%d names in the code)" % len(known), wrong)


def test_promtool(exprs, where):
    path = where + "/panels.yml"
    with open(path, "w") as f:
        json.dump({"groups": [{"name": n, "rules": [{"record": "panel:%d" % i, "expr": concrete(e)}
                                                     for i, (of, e) in enumerate(exprs) if of == n]}
                              for n in sorted({n for n, _ in exprs})]}, f)
    r = run("promtool", "check", "rules", path)
    ok(r.returncode == 0, "promtool parses all %d expressions" % len(exprs), r.stdout + r.stderr)
    with open(path, "a+") as f:
        f.seek(0)
        text = f.read().replace("sum by (", "sum by ((", 1)
    with open(path, "w") as f:
        f.write(text)
    ok(run("promtool", "check", "rules", path).returncode != 0, "and would not parse a broken one")


def test_rules(known):
    with open(PROMETHEUS + "/rules.yml") as f:
        text = f.read()
    exprs = re.findall(r"expr: \|\n((?: {10,}.*\n)+)|expr: (.+)", text)
    odd = [strangers(a or b, known) for a, b in exprs if strangers(a or b, known)]
    ok(len(exprs) > 10 and not odd, "rules.yml: %d expressions speak of what we export" % len(exprs), odd)


def test_config(where):
    """The files as they are mounted."""
    for name in os.listdir(PROMETHEUS):
        shutil.copy(os.path.join(PROMETHEUS, name), where)
    r = run("promtool", "check", "config", where + "/prometheus.yml")
    ok(r.returncode == 0, "promtool takes prometheus.yml, with its rules", r.stdout + r.stderr)
    with open(where + "/prometheus.yml") as f:
        text = f.read()
    with open("deploy/kubernetes/base/networkpolicy.yaml") as f:
        ports = set(re.findall(r"port: (909\d)", f.read()))
    for stage, port in (("monitor", "9095"), ("reasoner", "9096"), ("executor", "9097"), ("notifier", "9098")):
        ok(re.search(r"job_name: healbus-%s\b(?:(?!job_name)[\s\S])*\b%s\b" % (stage, port), text) and port in ports,
           "it scrapes each %s at its port" % stage)
    ok("alertmanager:9093" in text, "it tells Alertmanager")
    if not shutil.which("amtool"):
        print("# no amtool (Debian: prometheus-alertmanager): alertmanager.yml was not read")
        return
    r = run("amtool", "check-config", where + "/alertmanager.yml")
    ok(r.returncode == 0, "amtool takes alertmanager.yml", r.stdout + r.stderr)
    with open(where + "/alertmanager.yml") as f:
        text = f.read()
    ok("monitor:9095/webhook/alertmanager" in text and "credentials_file:" in text,
       "it tells the monitor, with its token from a file")
    r = run("amtool", "config", "routes", "test", "--config.file", where + "/alertmanager.yml", "alertname=X", "service=shop")
    ok(r.returncode == 0 and r.stdout.split() == ["healbus"], "an alert goes to healbus", r.stdout + r.stderr)


def main():
    known = metrics()
    where = tempfile.mkdtemp(prefix="healbus-grafana-")
    try:
        test_judge(known)
        exprs = test_panels(known)
        test_rules(known)
        if shutil.which("promtool"):
            test_promtool(exprs, where)
            test_config(where)
        else:
            print("# no promtool (Debian: prometheus): expressions were not parsed")
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return done()


if __name__ == "__main__":
    sys.exit(main())
