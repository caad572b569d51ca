#!/usr/bin/env python3
"""Gathering context from a scripted double of each service over HTTP, and from a real Prometheus: what comes, what is
said to be missing when it does not, what never leaves. TAP."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
import lib_context  # noqa: E402
from lib import done, ok, skip  # noqa: E402
from lib_context import FAULTS, LEAKS, SERVICES  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))
CORPORA = os.environ.get("HEALBUS_CORPORA", "")
SPECS = os.environ.get("HEALBUS_SPECS", os.path.join(os.path.dirname(CORPORA), "specs"))
GITHUB_TOKEN = "canary-github-token-value"
GENEROUS_S = 60  # far above every deadline here
LABELS = {"alertname": "CIFailure", "repository": "o/r", "branch": "add", "service": "web", "application": "web",
          "namespace": "prod", "pod": "web-1"}
QUERIES = """
    queries:
      - {name: up, query: 'up{service="{{ .labels.service }}"}', range: 10m}
      - {name: now, query: 'errors{service="{{ .labels.service }}"}'}
      - {name: none, query: 'x{y="{{ .labels.y }}"}'}"""
LINES = """
    tenant: team
    queries:
      - {name: errors, query: '{app="{{ .labels.service }}"} |= "error"'}"""


def check(name, good, detail=""):
    ok(good, name, detail)


class World:
    """A configuration, and a program that gathers."""

    def __init__(self, double, services=SERVICES, more="", urls=None, hasty=None):
        self.double, self.dir = double, tempfile.mkdtemp(prefix="healbus-context-")
        self.token = self.secret("github", GITHUB_TOKEN)
        bearer = self.secret("bearer", LEAKS["bearer"])
        lines = ["context:"] + ["  " + m for m in more.splitlines()]
        for s in services:
            hurry = ["    timeout: 500ms"] if s == hasty else []
            if s == "github":
                lines += ["  github:"] + hurry if hurry else []
                continue
            url = (urls or {}).get(s, double.url + "/" + s)
            lines += ["  %s:" % s, "    url: " + url, *hurry, "    token_file: " + bearer]
            lines[-1] += {"prometheus": QUERIES, "loki": LINES}.get(s, "")
        if "github" not in services:
            lines += ["  github: {enabled: false}"]
        with open(os.path.join(self.dir, "reasoner.yaml"), "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        self.program = subprocess.Popen(
            [os.path.join(BUILD, "tests/integration/contextask"), self.dir, double.url + "/github", self.token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def secret(self, name, value):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(value + "\n")
        return path

    def ask(self, annotations=None, labels=None, threads=1):
        incident = {"labels": LABELS if labels is None else labels, "threads": threads,
                    "annotations": {"job_id": "11", "pr": "5", "sha": "a" * 40} if annotations is None else annotations}
        self.program.stdin.write(json.dumps(incident) + "\n")
        self.program.stdin.flush()
        return [json.loads(self.program.stdout.readline() or "{}") for _ in range(threads)][-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stdin.close()
        self.program.stdout.close()
        status = self.program.wait(GENEROUS_S)
        shutil.rmtree(self.dir)
        if status:
            check("contextask ends well", False, "status %d" % status)


def of(got, source):
    return "\n".join(i["title"] + "\n" + i["text"] for i in got.get("items", []) if i["source"] == source)


def leaks(got):
    text = json.dumps(got, ensure_ascii=False)
    return [k for k, v in dict(LEAKS, github=GITHUB_TOKEN).items() if v in text]


def test_all(double):
    with World(double) as w:
        got = w.ask()
    check("everything is gathered", got.get("rc") == "ok" and got["missing"] == [], got)
    wanted = {"github": ["Run make test: failure", "wrong sum", "Add numbers", "Why three?", "+return a + b + 1;", "Begin",
                         "file src/add.c\nint add", "file test/add_test.c, lines 140 to 260\nline 140 of"],
              "prometheus": ['up{service=\\"web\\"}', "now 0, first 0, min 0, max 1, mean 0.4 of 5", 'errors{'],
              "loki": ["10:11:12 out of memory"], "argocd": ["sync OutOfSync, health Degraded"],
              "kubernetes": ["terminated (OOMKilled) exit 137", "killed", "BackOff (3x): restarting"],
              "grafana": ["deploy 4.2 #deploy", "HighLoad active"]}
    for source, texts in wanted.items():
        text = of(got, source).replace('"', '\\"')
        check("what %s says is there" % source, all(t in text for t in texts), text)
    check("a query without its label is not asked", not any("x%7By" in r["query"] for r in double.seen))
    check("the failing job's log, clean", "FAIL test_add" in got["log"] and "\\u{202e}evil \\x00 bytes" in got["log"], got["log"])
    check("no secret of the log, the pull request or ours", leaks(got) == [], leaks(got))
    facts = {k: got[k] for k in ("files", "pr", "base", "default_branch", "job", "step", "workflow")}
    check("facts", facts == {"files": ["src/add.c"], "pr": 5, "base": "main", "default_branch": "main", "job": "test (20)",
                             "step": "Run make test", "workflow": "CI"}, facts)
    check("a line a source", {g.split(":")[0] for g in got["gathered"]} == set(SERVICES), got["gathered"])


def test_headers(double):
    seen = double.seen
    blobs = [r for r in seen if r["path"].startswith("/blob/")]
    others = [r for r in seen if r["path"].startswith(("/prometheus", "/loki", "/argocd", "/kubernetes", "/grafana"))]
    check("logs are fetched without credentials", blobs and not any("authorization" in r["headers"] for r in blobs), blobs)
    check("others get their own token", others and all(r["headers"].get("authorization") == "Bearer " + LEAKS["bearer"]
                                                       for r in others), others)
    check("Loki gets its tenant", any(r["headers"].get("x-scope-orgid") == "team" for r in others))
    check("only GET is sent", {r["method"] for r in seen} == {"GET"})


def test_ways_to_the_job(double):
    with World(double, ["github"]) as w:
        for name, annotations in (("run", {"run_id": "7"}), ("attempt", {"run_id": "7", "run_attempt": "2"}),
                                  ("commit", {"sha": "c" * 40, "base": "main"})):
            got = w.ask(annotations)
            check("the job by its " + name, got["job"] == "test (20)" and "FAIL test_add" in got["log"], got)
        check("the pull request of a commit", got["pr"] == 5, got)
        got = w.ask({"sha": "c" * 40, "base": "main", "default_branch": "add"})
        check("the diff from the base", "diff from the base" in of(got, "github") and got["files"] == ["src/add.c"], got)
        got = w.ask({}, {"alertname": "x", "repository": "o/r"})
        check("nothing to go by", got["rc"] == "ok" and not got["log"], got)
        got = w.ask({"job_id": "11"}, {"repository": "o/r/../../x"})
        check("no repository", got["rc"] == "ok" and not got["items"] and not got["missing"], got)


def test_alerts(double):
    sha = {"sha": "a" * 40, "default_branch": "main"}
    with World(double, ["github"]) as w:
        got = w.ask(sha, {"alertname": "DependabotAlert", "repository": "o/r", "number": "3", "branch": "main"})
        text = of(got, "github")
        check("a Dependabot alert and its manifest", "package left (npm) in package.json, high: < 2" in text
              and "file package.json" in text, got)
        got = w.ask(sha, {"alertname": "SecretScanningAlert", "repository": "o/r", "number": "4"})
        check("a secret alert without the secret", "AWS key, open" in of(got, "github") and leaks(got) == []
              and "file src/add.c" in of(got, "github"), got)
        got = w.ask(sha, {"alertname": "CodeScanningAlert", "repository": "o/r", "number": "9"})
        check("an alert that is gone", any("security alert" in m and "404" in m for m in got["missing"]), got["missing"])


def test_archives(double):
    blobs = dict(double.blobs)
    bomb = lib_context.packed({"0_test (20).txt": b"a" * (100 << 20)})
    try:
        with World(double, ["github"], "log_max_bytes: 1MiB") as w:
            del double.blobs["log"]
            got = w.ask()
            check("without a log the archive's", "FAIL test_add" in got["log"] and not got["missing"], got)
            double.blobs["zip"] = bomb
            got = w.ask()
            check("a bomb is cut", 0 < len(got["log"]) <= 1 << 20 and any("goes on" in g for g in got["gathered"]), got["gathered"])
            for name, data in (("garbage", b"PK\5\6" + b"\xff" * 100), ("cut", blobs["zip"][:200]), ("empty", b"")):
                double.blobs["zip"] = data
                got = w.ask()
                check("an archive that is " + name, got["rc"] == "ok" and not got["log"] and any(
                    m.startswith("github: log of the job: the run's archive") for m in got["missing"]), got["missing"])
            double.blobs.update(blobs, log=None)
            got = w.ask()
            check("of an endless log the archive's", "FAIL test_add" in got["log"] and len(got["log"]) < 10000, len(got["log"]))
            del double.blobs["zip"]
            got = w.ask()
            check("of an endless log the beginning", 1000 < len(got["log"]) <= 1 << 20, (len(got["log"]), got["missing"]))
    finally:
        double.blobs = blobs


def test_faults(double):
    for service in SERVICES:
        with World(double, hasty=service) as w:
            for fault in FAULTS + ("odd",):
                fault_of(double, w, service, fault)
            double.modes = {}
            # This one has half a second for its answer, which a busy machine may need: it is asked until it has.
            missing = []
            well = lib.wait_for("all is well", lambda: missing.append(w.ask()["missing"]) or missing[-1] == [])
            check("%s: and again all is well" % service, well, missing)
    with World(double, more="source_timeout: 500ms") as w:
        double.modes = dict.fromkeys(SERVICES, "hang")
        began = time.monotonic()
        got = w.ask()
        check("all hang", time.monotonic() - began < GENEROUS_S and len(got["missing"]) == len(SERVICES), got)
        double.modes = {}


def fault_of(double, w, service, fault):
    double.modes = {service: fault}
    began = time.monotonic()
    got = w.ask()
    took = time.monotonic() - began
    others = [s for s in SERVICES if s != service]
    good = (got.get("rc") == "ok" and all(of(got, s) for s in others) and took < GENEROUS_S
            and not any(m.split(":")[0] in others for m in got["missing"]) and leaks(got) == [])
    good = good and (fault == "odd" or any(m.startswith(service + ": ") for m in got["missing"]))
    if fault in ("hang", "slow"):
        good = good and any("timed out after" in m for m in got["missing"])
    check("%s: %s" % (service, fault), good, (took, got.get("missing"), leaks(got), got))


def test_limits(double):
    files = lib_context.FILES[0]
    whole = dict(files)
    try:
        files["patch"] = "\n".join("+line %d" % i for i in range(100000))
        with World(double, more="max_bytes: 1KiB\nsource_max_bytes: 2KiB") as w:
            got = w.ask()
    finally:
        files.update(whole)
    size = sum(len(i["text"].encode()) for i in got["items"])
    each = max(len(of(got, s).encode()) for s in SERVICES)
    check("bounded", size <= 1024 + 100 and each <= 2048 + 600, (size, each))
    check("what is left out is said", "left out" in json.dumps(got), got)
    check("each source has its first", all(of(got, s) for s in SERVICES), [i["title"] for i in got["items"]])


def test_threads(double):
    with World(double) as w:
        got = w.ask(threads=8)
        check("eight at a time", got["missing"] == [] and got["log"], got)


def test_stop(double):
    double.modes = {"loki": "hang"}
    seen = len(double.seen)
    with World(double, ["loki"], "source_timeout: 50s\ntimeout: 50s") as w:
        w.program.stdin.write(json.dumps({"labels": LABELS}) + "\n")
        w.program.stdin.flush()
        lib.wait_for("the request", lambda: len(double.seen) > seen)
        w.program.send_signal(signal.SIGTERM)
        got = json.loads(w.program.stdout.readline())
        check("stops with the process", got == {"rc": "closed"}, got)
    double.modes = {}


def test_nothing(double):
    with World(double, []) as w:
        got = w.ask()
        check("nothing configured, nothing asked", got["rc"] == "ok" and not got["items"] and not got["missing"], got)
    down = "http://127.0.0.1:%d" % lib.free_port()
    with World(double, ["loki"], urls={"loki": down}) as w:
        got = w.ask()
        check("nobody listens", got["missing"] and got["missing"][0].startswith("loki: "), got)


def test_specification(double):
    path = os.path.join(SPECS, "github.json")
    if not os.path.exists(path):
        return skip("requests as GitHub's OpenAPI describes them", "no specs")
    spec = lib_context.Spec(path)
    asked = {(r["path"][len("/github"):], r["query"]) for r in double.seen if r["path"].startswith("/github/")}
    errors = [e for p, q in sorted(asked) for e in spec.errors(p, q)]
    check("%d requests as GitHub's OpenAPI describes them" % len(asked), asked and not errors, errors)
    wrong = (("/repos/o/r/jobs/1", ""), ("/repos/o/r/actions/jobs/x", ""), ("/repos/o/r/commits", "nope=1"))
    check("and it knows wrong ones", all(spec.errors(p, q) for p, q in wrong))


def test_real_prometheus(double):
    program = shutil.which("prometheus")
    if not program:
        return skip("a real Prometheus", "not installed")
    port, home = lib.free_port(), tempfile.mkdtemp(prefix="healbus-prometheus-")
    url = "http://127.0.0.1:%d" % port
    with open(home + "/p.yml", "w", encoding="ascii") as f:
        f.write("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: web, static_configs: "
                "[{targets: ['127.0.0.1:%d'], labels: {service: web}}]}]\n" % port)
    server = subprocess.Popen([program, "--config.file=" + home + "/p.yml", "--storage.tsdb.path=" + home + "/data",
                               "--web.listen-address=127.0.0.1:%d" % port, "--log.level=error"])
    try:
        def scraped():
            try:
                with urllib.request.urlopen(url + "/api/v1/query?query=up", timeout=5) as answer:
                    return json.load(answer)["data"]["result"]
            except OSError:
                return None
        lib.wait_for("a scrape", scraped, GENEROUS_S)
        with World(double, ["prometheus"], urls={"prometheus": url}) as w:
            got = w.ask()
            text = of(got, "prometheus")
            check("a real Prometheus", "now 1, first 1, min 1, max 1, mean 1 of " in text and "no series" in text and not got["missing"], got)
    finally:
        server.terminate()
        server.wait(GENEROUS_S)
        shutil.rmtree(home, ignore_errors=True)


def main():
    double = lib_context.Double()
    for test in (test_all, test_headers, test_ways_to_the_job, test_alerts, test_archives, test_faults, test_limits, test_threads,
                 test_stop, test_nothing, test_specification, test_real_prometheus):
        try:
            test(double)
        except Exception:  # pylint: disable=broad-except
            check(test.__name__, False, traceback.format_exc())
            double.modes = {}
    double.close()
    sys.exit(done())


if __name__ == "__main__":
    main()
