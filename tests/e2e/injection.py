#!/usr/bin/env python3
"""Attacks by words against the whole of healbus: the cases of tests/injection, told by alerts, and by failed builds with
their logs, commits, files and diffs on a double of GitHub; the model, over real HTTP, obeys whatever it can read. The
ledger, which an allowed tool writes, holds only what was asked for without an attack. TAP."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import traceback
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "tests/fault"), os.path.join(ROOT, "tests/integration"),
                os.path.join(ROOT, "tests/e2e")]
import lib_github  # noqa: E402
from world import World, missing, wait_for  # noqa: E402
from lib import done, failures, ok  # noqa: E402

CANARY = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
TOKEN = "ghp_0nLyF0rTheD0ubleOfGithub000000000000"
REPOSITORY = "octo-org/app"
GOOD = "CalmPlease"  # the name of the alert that the model may take for an order
DEADLINE_S = 240


# ---- the model ----

ALIKE = dict(zip("аеорсухі", "aeopcyxi"))
HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")


def letter(c):
    n = ord(c)
    if 0xe0020 <= n < 0xe007f:
        return chr(n - 0xe0000)
    if 0xff01 <= n <= 0xff5e:
        return chr(n - 0xff01 + 0x21)
    return ALIKE.get(c, c)


def plain(text):
    text = "".join(letter(c) for c in HIDDEN.sub("", text)).lower()
    return re.sub(r"[\s\-_=+/]+", " ", text)


def decoded(text):
    for run in re.findall(r"[A-Za-z0-9+/]{16,}", text):
        try:
            yield base64.b64decode(run[:len(run) // 4 * 4]).decode("utf-8", "replace")
            yield bytes.fromhex(run[:len(run) // 2 * 2]).decode("utf-8", "replace")
        except ValueError:
            pass


def reads(text):
    return plain(text + "\n" + "\n".join(decoded(text)))


class Model:
    """Answers what the first order that it can read wants; otherwise that a human should look."""

    def __init__(self, cases):
        self.orders = [(c["id"], plain(c["obey"]).strip()) for c in cases]
        self.asked, self.obeyed, self.leaks = [], [], 0
        self.lock = threading.Lock()
        model = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                data = json.dumps(model.answer(json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        text = "\n".join(m["content"] for m in request["messages"])
        seen = reads(text)
        found = [name for name, order in self.orders if order in seen]
        if not found and GOOD in text:
            found = ["good"]
        with self.lock:
            self.asked.append(text)
            self.obeyed += [f for f in found if f != "good"]
            self.leaks += CANARY in text
        answer = {"analysis": "As it says", "confidence": 1, "edits": "", "title": "", "give_up": "", "steps": []}
        if found:
            run = re.sub("[^a-z0-9]", "", found[0])[:40]
            answer["steps"] = [{"tool": "ledger_act", "target": "web", "params": [
                {"name": "run", "value": run}, {"name": "attempt", "value": "1"}]}]
        else:
            answer["give_up"] = "A human should look: " + " ".join("<MSG_%d>" % n for n in range(1, 9))
        content = json.dumps(answer)
        return {"id": "x", "object": "chat.completion", "created": 1, "model": "gullible",
                "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                             "message": {"role": "assistant", "content": content, "refusal": None}}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


# ---- where the attacks stand ----

def alert(c, text):
    """Labels and annotations of an alert, or None when the place is one of a build."""
    labels, notes = {}, {"summary": "it failed"}
    place = c["place"]
    if place in ("label", "container", "host"):
        labels[{"label": "component", "container": "container", "host": "instance"}[place]] = text
    elif place == "annotation_url":
        notes["runbook_url"] = text
    elif place in ("annotation", "events", "user_agent", "mcp_result", "attempt", "mcp_description"):
        notes["description"] = text
    else:
        return None
    return labels, notes


class Builds:
    """A repository, with a commit and a failed job for each case that is one of a build."""

    def __init__(self, w):
        self.work, self.bare = w.path("work"), w.path("git/" + REPOSITORY + ".git")
        os.makedirs(self.work)
        os.makedirs(os.path.dirname(self.bare))
        self.git("init", "-q", "-b", "main", ".")
        self.commit({"src/app.c": "int main(void) { return 0; }\n"}, "Begin")
        subprocess.run(["git", "clone", "-q", "--bare", self.work, self.bare], check=True)
        self.server = lib_github.start(w.path("git"), token=TOKEN)
        self.repo = self.server.hub.repository(REPOSITORY)
        self.url = "http://127.0.0.1:%d" % self.server.server_port

    def git(self, *args):
        env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="M",
                   GIT_AUTHOR_EMAIL="m@example.org", GIT_COMMITTER_NAME="M", GIT_COMMITTER_EMAIL="m@example.org")
        return subprocess.run(["git", *args], cwd=self.work, env=env, check=True, capture_output=True,
                              text=True).stdout.strip()

    def commit(self, files, message):
        for name, text in files.items():
            path = os.path.join(self.work, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def add(self, n, c):
        """The body of the webhook that tells of it."""
        place, text = c["place"], c["text"]
        files = {"src/app.c": "int main(void) { return %d; } /* %s */\n" % (n, CANARY)}
        log = ["export DEPLOY_KEY=" + CANARY, "src/app.c:1:5: error: expected ';' before 'return'"]
        message = text if place == "commit" else "Change %d" % n
        if place == "file":
            files[text.lstrip("/")] = "x\n"
        elif place == "patch":
            files["src/app.c"] += "// %s\nchar *s = \"%s\";\n/* %s */\n%s\n" % (text, text, text, text)
        elif place == "stack":
            log += ['  File "src/app.py", line 3, in main', text]
        elif place == "test_name":
            log.append("FAILED tests/test_a.py::%s - AssertionError: assert 4 == 5" % text)
        elif place == "log":
            log += text.split("\n")
        log.append("##[error]Process completed with exit code 1.")
        branch = text if place == "branch" else "case-%d" % n
        sha = self.commit(files, message)
        self.repo.jobs[n] = {
            "id": n, "run_id": n, "name": "test", "head_sha": sha, "conclusion": "failure",
            "log": "\n".join("2026-11-21T12:00:30.0000000Z " + line for line in log) + "\n",
            "steps": [{"name": "make test", "number": 2, "status": "completed", "conclusion": "failure"}]}
        return {"action": "completed", "workflow_job": {
            "id": n, "run_id": n, "run_attempt": 1, "name": "test", "workflow_name": "CI", "head_branch": branch,
            "head_sha": sha, "status": "completed", "conclusion": "failure", "started_at": "2026-11-21T12:00:00Z",
            "completed_at": "2026-11-21T12:00:40Z",
            "html_url": "https://github.example/octo-org/app/actions/runs/%d" % n,
            "steps": [{"name": "make test", "number": 2, "status": "completed", "conclusion": "failure"}]},
            "repository": {"full_name": REPOSITORY, "default_branch": "main"},
            "sender": {"login": "kim", "type": "User"}, "installation": {"id": 7}}

    def push(self):
        self.git("push", "-q", self.bare, "main")


# ---- telling ----

def post_alerts(w, name, variants):
    alerts = [{"status": "firing", "labels": dict({"alertname": name, "service": "web", "severity": "critical",
                                                   "part": str(i)}, **labels), "annotations": notes,
               "startsAt": "2026-11-21T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
               "fingerprint": "%016x" % (hash((name, i)) & (2 ** 64 - 1))} for i, (labels, notes) in enumerate(variants)]
    status, text, _ = w.http("monitor-0", "POST", "/webhook/alertmanager", {
        "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "healbus",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "alerts": alerts})
    return status < 300, text


def post_build(w, secret, body):
    data = json.dumps(body).encode()
    status, text, _ = w.http("monitor-0", "POST", "/webhook/github", data, {
        "X-GitHub-Event": "workflow_job", "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, data, hashlib.sha256).hexdigest()})
    return status < 300, text


def tell(w, builds, secret, cases):
    told = []
    for n, c in enumerate(cases, 1):
        parts = c.get("parts") or [c["text"]]
        place = alert(c, parts[0])
        if place:
            good, text = post_alerts(w, "Strange%03d" % n, [alert(c, p) for p in parts])
        else:
            body = builds.add(n, c)
            builds.push()
            good, text = post_build(w, secret, body)
        told.append((c["id"], good, text))
    return told


# ---- judging ----

def exchanges(w):
    return [m["message"] for m in w.dump("STORY", "heal.model.>")]


def answered(w):
    return {m["incident"] for m in exchanges(w) if m.get("state") == "answered"}


def check(w, model, cases, told):
    refused = [t for t in told if not t[1]]
    ok(refused == [], "every case is told", refused)
    wait_for("every incident is answered", lambda: len(answered(w)) >= len(cases) + 1, DEADLINE_S)
    got = len(answered(w))
    ok(got == len(cases) + 1, "%d incidents are looked into" % got, got)
    wait_for("the control's act", lambda: open(w.ledger).read().count("good"), 60)
    ok(len(model.asked) >= got, "the model was asked %d times" % len(model.asked), got)
    ok(model.obeyed == [], "and found no order to obey", model.obeyed)
    ledger = open(w.ledger).read().split("\n")
    runs = {line.split()[1] for line in ledger if len(line.split()) > 1}
    ok(runs and all(r.startswith("good") for r in runs), "the ledger holds what was asked for, and nothing else", ledger)
    plans = [m["message"] for m in w.dump("STORY", "heal.plan.>")]
    ok(len(plans) == 1, "one plan was made", [p.get("steps") for p in plans])
    leaks = ["prompt"] if model.leaks else []
    for kind in ("model", "plan", "step", "outcome", "approval", "notice"):
        leaks += [m["subject"] for m in w.dump("STORY", "heal.%s.>" % kind) if CANARY in json.dumps(m)]
    for part in w.stages:
        with open(w.path("log", part), errors="replace") as f:
            leaks += [part] if CANARY in f.read() else []
    ok(leaks == [], "the canary is in no prompt, message or log", leaks)
    log = sum(text.count("expected ';' before 'return'") > 0 for text in model.asked)
    ok(log > 20, "though the builds' logs were read (%d)" % log)


def options(builds_url, model_port):
    return {
        "monitor": "github: {secret_file: @DIR@/secret/hook, own_login: 'healbus[bot]'}",
        "reasoner": """prompts_dir: %s/reasoner/prompts
failures_dir: %s/reasoner/failures
specialists_file: %s/reasoner/specialists.yaml
github: {api_url: "%s/api/v3", token_file: @DIR@/secret/github}
diagnosis: {of: all, workers: 4}
models:
  providers:
    - {name: gullible, kind: openai_chat, url: "http://127.0.0.1:%d/v1/chat/completions", model: gullible,
       key_file: @DIR@/secret/github, max_tokens: 1000}
  budget: {day: {tokens: 0, usd: 0}, incident: {tokens: 0, usd: 0}}
  jitter: 0s
  cache: {ttl: 0s}
""" % (ROOT, ROOT, ROOT, builds_url, model_port)}


def main():
    why = missing()
    if why:
        print("1..0 # skip " + why)
        return
    with open(os.path.join(ROOT, "tests/injection/cases.json")) as f:
        cases = json.load(f)
    model = Model(cases)
    try:
        ok(all(order in reads(c["text"]) for c, (_, order) in zip(cases, model.orders)),
           "in the raw texts the model reads every order")
        with World() as w:
            builds = Builds(w)
            secret = b"hook" + os.urandom(12).hex().encode()
            for name, text in (("hook", secret.decode()), ("github", TOKEN)):
                with open(w.path("secret", name), "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                    f.write(text)
            for stage, text in options(builds.url, model.server.server_port).items():
                part = "monitor-0" if stage == "monitor" else stage
                w.config[part] += text.replace("@DIR@", w.dir) + "\n"
            w.start_all()
            post_alerts(w, GOOD, [({}, {})])
            check(w, model, cases, tell(w, builds, secret, cases))
            if failures():
                w.show_logs()
            builds.server.shutdown()
    except Exception:
        ok(False, "the test itself", traceback.format_exc())
    model.server.shutdown()
    sys.exit(done())


if __name__ == "__main__":
    main()
