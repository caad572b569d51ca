"""A scripted double of GitHub, Prometheus, Loki, Argo CD, Kubernetes and Grafana, over real HTTP, and a judge of
GitHub requests against its OpenAPI description. Shares no code with what it judges."""
import http.server
import io
import json
import re
import threading
import urllib.parse
import zipfile

STAMP = "2024-11-25T10:11:12.1234567Z "
# Made up, in halves, so that no scanner of repositories takes them for leaks.
LEAKS = {
    "token": "gh" + "p_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5",
    "password": "correct-battery-7",
    "aws": "AK" + "IAIOSFODNN7EXAMPLE",
    "bearer": "canary0bearer0value",
}
LOG = "".join(STAMP + line + "\n" for line in (
    "##[group]Run actions/checkout@v4", "ok", "##[endgroup]", "##[group]Run make test", "##[endgroup]",
    "\x1b[31mFAIL\x1b[0m test_add: 1 + 1 gives 3", "  at /home/runner/work/r/r/test/add_test.c:200:7, node_modules/x/y.js:1", "DB_PASSWORD=" + LEAKS["password"],
    "remote: https://x-access-token:%s@github.com" % LEAKS["token"], "\u202eevil \x00 bytes",
    "##[error]Process completed with exit code 2."))
JOB = {"id": 11, "run_id": 7, "name": "test (20)", "workflow_name": "CI", "conclusion": "failure", "head_sha": "a" * 40,
       "steps": [{"number": 1, "name": "Run actions/checkout@v4", "conclusion": "success"},
                 {"number": 2, "name": "Run make test", "conclusion": "failure"}]}
PULL = {"number": 5, "title": "Add numbers", "state": "open", "body": "My key is " + LEAKS["aws"], "comments": 1,
        "user": {"login": "jo"}, "head": {"ref": "add"}, "base": {"ref": "main", "repo": {"default_branch": "main"}}}
FILES = [{"filename": "src/add.c", "status": "modified", "additions": 1, "deletions": 1,
          "patch": "@@ -1 +1 @@\n-return a + b;\n+return a + b + 1;"}]
SERVICES = ("github", "prometheus", "loki", "argocd", "kubernetes", "grafana")
FAULTS = ("404", "403", "500", "garbage", "html", "cut", "hang", "slow", "endless")


def packed(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items():
            z.writestr(name, text)
    return out.getvalue()


def matrix(query):
    value = [[1732529472 + i * 60, str(i % 2)] for i in range(5)]
    return {"status": "success", "data": {"resultType": "matrix", "result": [
        {"metric": {"__name__": "up", "query": query}, "values": value}]}}


def streams(query):
    return {"status": "success", "data": {"resultType": "streams", "result": [
        {"stream": {"app": query}, "values": [["1732529472000000000", "out of memory " + LEAKS["aws"]]]}]}}


POD = {"metadata": {"name": "web-1"}, "spec": {"nodeName": "n1"}, "status": {
    "phase": "Running", "containerStatuses": [
        {"name": "web", "image": "web:1", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
         "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}}
SOURCE = b"int add(int a, int b)\n{\n\treturn a + b + 1;\n}\n"
TEST_SOURCE = b"".join(b"line %d of the test\n" % i for i in range(1, 1001))
DEPENDABOT = {"number": 3, "dependency": {"package": {"name": "left", "ecosystem": "npm"}, "manifest_path": "package.json"},
              "security_advisory": {"ghsa_id": "GHSA-x", "summary": "Bad"}, "security_vulnerability": {
                  "severity": "high", "vulnerable_version_range": "< 2", "first_patched_version": {"identifier": "2.0"}}}
SCANNED = {"number": 4, "secret": LEAKS["aws"], "secret_type_display_name": "AWS key", "state": "open",
           "first_location_detected": {"path": "src/add.c", "start_line": 3}}
EVENTS = {"kind": "EventList", "items": [{"type": "Warning", "reason": "BackOff", "count": 3, "message": "restarting",
                                          "involvedObject": {"kind": "Pod", "name": "web-1"}}]}
APPLICATION = {"spec": {"source": {"repoURL": "https://git/x"}}, "status": {
    "sync": {"status": "OutOfSync"}, "health": {"status": "Degraded"}}}
ANSWERS = [  # the first pattern that matches; {q} is the query
    (r"/github/repos/o/r/actions/jobs/11", lambda q: JOB),
    (r"/github/repos/o/r/actions/runs/7(/attempts/2)?/jobs", lambda q: {"total_count": 1, "jobs": [JOB]}),
    (r"/github/repos/o/r/actions/runs", lambda q: {"workflow_runs": [{"id": 7, "name": "CI"}]}),
    (r"/github/repos/o/r/check-runs/11/annotations", lambda q: [
        {"path": "src/add.c", "start_line": 3, "annotation_level": "failure", "message": "wrong sum"}]),
    (r"/github/repos/o/r/commits/\w+/pulls", lambda q: [PULL]),
    (r"/github/repos/o/r/pulls/5/files", lambda q: FILES),
    (r"/github/repos/o/r/pulls/5", lambda q: PULL),
    (r"/github/repos/o/r/issues/5/comments", lambda q: [{"user": {"login": "al"}, "body": "Why three?"}]),
    (r"/github/repos/o/r/compare/main\.\.\.\w+", lambda q: {"files": FILES}),
    (r"/github/repos/o/r/commits/\w+", lambda q: {"files": FILES}),
    (r"/github/repos/o/r/commits", lambda q: [{"sha": "b" * 40, "commit": {"message": "Begin", "author": {}}}]),
    (r"/github/repos/o/r/contents/src/add.c", lambda q: SOURCE),
    (r"/github/repos/o/r/contents/test/add_test.c", lambda q: TEST_SOURCE),
    (r"/github/repos/o/r/contents/package.json", lambda q: b"{}"),
    (r"/github/repos/o/r/dependabot/alerts/3", lambda q: DEPENDABOT),
    (r"/github/repos/o/r/secret-scanning/alerts/4", lambda q: SCANNED),
    (r"/prometheus/api/v1/query_range", lambda q: matrix(q["query"][0])),
    (r"/prometheus/api/v1/query", lambda q: {"status": "success", "data": {"resultType": "vector", "result": [
        {"metric": {"job": q["query"][0]}, "value": [1, "0"]}]}}),
    (r"/loki/loki/api/v1/query_range", lambda q: streams(q["query"][0])),
    (r"/argocd/api/v1/applications/web", lambda q: APPLICATION),
    (r"/kubernetes/api/v1/namespaces/prod/pods/web-1", lambda q: POD),
    (r"/kubernetes/api/v1/namespaces/prod/events", lambda q: EVENTS),
    (r"/kubernetes/api/v1/namespaces/prod/pods/web-1/log", lambda q: b"2024 killed\n"),
    (r"/grafana/api/annotations", lambda q: [{"time": 1732529472000, "text": "deploy 4.2", "tags": ["deploy"]}]),
    (r"/grafana/api/alertmanager/grafana/api/v2/alerts", lambda q: [
        {"labels": {"alertname": "HighLoad"}, "status": {"state": "active"}, "annotations": {}}]),
]


class Double:
    """modes[service] says how it behaves; blobs[name] what lies at /blob/name, where logs are redirected to."""

    def __init__(self):
        self.modes, self.seen, self.lock = {}, [], threading.Lock()
        self.blobs = {"log": LOG.encode(), "zip": packed({"0_test (20).txt": LOG, "test (20)/1_x.txt": "step"})}
        self.stopping = threading.Event()
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                path, _, query = self.path.partition("?")
                with double.lock:
                    double.seen.append({"method": self.command, "path": path, "query": query,
                                        "headers": {k.lower(): v for k, v in self.headers.items()}})
                try:
                    double.answer(self, path, urllib.parse.parse_qs(query))
                except OSError:
                    self.close_connection = True

            do_POST = do_PUT = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.stopping.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def send(self, h, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        h.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
            h.send_header(name, value)
        h.end_headers()
        h.wfile.write(data)

    def answer(self, h, path, query):
        service = path.split("/")[1]
        mode = self.modes.get(service, "ok")
        if mode != "ok":
            h.close_connection = True
            getattr(self, "be_" + mode)(h)
        elif service == "blob":
            self.blob(h, path.split("/")[2])
        elif re.fullmatch(r"/github/repos/o/r/actions/(jobs/11|runs/7)/logs", path):
            name = "log" if "/jobs/" in path else "zip"
            if name in self.blobs:
                self.send(h, 302, b"", (("Location", "%s/blob/%s" % (self.url, name)),))
            else:
                self.send(h, 404, {"message": "Not Found"})
        else:
            for pattern, body in ANSWERS:
                if re.fullmatch(pattern, urllib.parse.unquote(path)):
                    return self.send(h, 200, body(query))
            self.send(h, 404, {"message": "Not Found"})

    def blob(self, h, name):
        data = self.blobs[name]
        if data is None:
            return self.be_endless(h)
        self.send(h, 200, data)

    # ---- faults ----
    def be_404(self, h):
        self.send(h, 404, {"message": "Not Found"})

    def be_403(self, h):
        self.send(h, 403, {"message": "Forbidden: %s" % h.headers.get("Authorization")})

    def be_500(self, h):
        self.send(h, 500, b"boom \x1b[31m\xff")

    def be_garbage(self, h):
        self.send(h, 200, b"[[[[{\xff\x00")

    def be_html(self, h):
        self.send(h, 200, b"<html>Please log in</html>")

    def be_odd(self, h):
        self.send(h, 200, b'[1, null, {"data": 7, "status": [], "items": {"a": 1}, "jobs": "x", "files": 3}]')

    def be_cut(self, h):
        h.send_response(200)
        h.send_header("Content-Length", "1000")
        h.end_headers()
        h.wfile.write(b'{"status": "succ')

    def be_hang(self, h):
        self.stopping.wait(60)

    def be_slow(self, h):
        h.send_response(200)
        h.send_header("Content-Length", "100000")
        h.end_headers()
        while not self.stopping.wait(0.1):
            h.wfile.write(b"[")

    def be_endless(self, h):
        h.send_response(200)
        h.send_header("Connection", "close")
        h.end_headers()
        block = (STAMP + "and on and on\n").encode() * 1000
        while not self.stopping.is_set():
            h.wfile.write(block)


class Spec:
    """GET requests against an OpenAPI description: the path, its parameters, the query's names and values."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.doc = json.load(f)
        self.paths = []
        for template, item in self.doc["paths"].items():
            if "get" in item:
                shape = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template).replace("\\{basehead\\}", "(?P<basehead>.+)")
                               .replace("\\{path\\}", "(?P<path>.+)"))
                self.paths.append((template.count("{"), re.compile(shape + "$"), item))
        self.paths.sort(key=lambda p: p[0])

    def parameters(self, item):
        for p in item["get"].get("parameters", []) + item.get("parameters", []):
            if "$ref" in p:
                p = self.doc["components"]["parameters"][p["$ref"].split("/")[-1]]
            yield p

    @staticmethod
    def fits(schema, value):
        if schema.get("type") == "integer" and not re.fullmatch(r"-?\d+", value):
            return False
        if schema.get("type") == "integer" and not schema.get("minimum", 0) <= int(value) <= schema.get("maximum", 1 << 62):
            return False
        return "enum" not in schema or value in schema["enum"]

    def errors(self, path, query):
        for _, shape, item in self.paths:
            m = shape.match(path)
            if not m:
                continue
            known = {(p["in"], p["name"]): p for p in self.parameters(item)}
            given = {("query", k): v for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True)}
            given.update({("path", k): urllib.parse.unquote(v) for k, v in m.groupdict().items()})
            found = ["%s: no parameter %s in the %s" % (path, k[1], k[0]) for k in given if k not in known]
            found += ["%s: %s=%s" % (path, k[1], v) for k, v in given.items()
                      if k in known and not self.fits(known[k].get("schema", {}), v)]
            return found
        return ["%s: no such path" % path]
