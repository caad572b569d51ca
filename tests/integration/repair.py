#!/usr/bin/env python3
"""From edits to a pull request, by the real executor: a real git repository over smart HTTP, a
double of GitHub's API with state, checks in the sandbox. A wrong fix fails there, a right one is
pushed and told in a pull request; a person's push wins; the token is nowhere it should not be; what
is asked of GitHub is held against its published description. TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
import lib_github  # noqa: E402
from lib import done, failures, free_port, now_ms, ok, skip, wait_for  # noqa: E402
from lib_openapi import Calls, spec_path  # noqa: E402

BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
TOKEN = "ghp_CanaryCanaryCanaryCanaryCanaryCanary"


def block(path, old, new):
    return "<<<<<<< SEARCH %s\n%s=======\n%s>>>>>>> REPLACE\n" % (path, old, new)


WRONG = block("calc.sh", "\techo $(($1 - $2))\n", "\techo $(($1 * $2))\n")
RIGHT = block("calc.sh", "\techo $(($1 - $2))\n", "\techo $(($1 + $2))\n")


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="healbus-repair-")
        os.chmod(self.dir, 0o711)
        self.children, self.n = [], 0
        self.repositories()
        self.app_key = os.path.join(self.dir, "app.pem")
        subprocess.run(["openssl", "genrsa", "-out", self.app_key, "2048"], check=True, capture_output=True)
        os.chmod(self.app_key, 0o600)
        public = os.path.join(self.dir, "app.pub")
        subprocess.run(["openssl", "rsa", "-in", self.app_key, "-pubout", "-out", public], check=True,
                       capture_output=True)
        self.github = lib_github.start(os.path.join(self.dir, "git"), token=TOKEN, app="77:" + public)
        self.hub, self.url = self.github.hub, "http://127.0.0.1:%d" % self.github.server_port
        self.secure()
        self.token = os.path.join(self.dir, "token")
        with open(self.token, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(TOKEN + "\n")
        self.port = free_port()
        self.env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % self.port)
        self.spawn(["nats-server", "-js", "-a", "127.0.0.1", "-p", str(self.port), "-sd",
                    os.path.join(self.dir, "js")], "nats.log")
        wait_for("nats-server", lambda: subprocess.run(
            [BUSCTL, "up", "1"], env=self.env, stderr=subprocess.DEVNULL).returncode == 0)
        subprocess.run([BUSCTL, "provision"], env=self.env, stderr=subprocess.DEVNULL)

    def secure(self):
        """The same GitHub over https."""
        self.cert, key = os.path.join(self.dir, "cert.pem"), os.path.join(self.dir, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.cert], check=True,
                       capture_output=True)
        both = os.path.join(self.dir, "both.pem")
        with open(both, "w") as f:
            for name in (key, self.cert):
                with open(name) as g:
                    f.write(g.read())
        self.tls = lib_github.start(os.path.join(self.dir, "git"), tls=both)
        self.tls.RequestHandlerClass.hub = self.hub
        self.tls_url = "https://127.0.0.1:%d" % self.tls.server_port

    def git(self, *args):
        env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="P",
                   GIT_AUTHOR_EMAIL="p@example.org", GIT_COMMITTER_NAME="P", GIT_COMMITTER_EMAIL="p@example.org")
        return subprocess.run(["git", *args], cwd=self.work, env=env, check=True, capture_output=True,
                              text=True).stdout.strip()

    def repositories(self):
        self.bare = os.path.join(self.dir, "git/octo-org/octo.repo.git")
        self.work = os.path.join(self.dir, "w")
        os.makedirs(self.work)
        os.makedirs(os.path.dirname(self.bare))
        self.git("init", "-q", "--bare", "-b", "main", self.bare)
        self.git("--git-dir", self.bare, "config", "http.receivepack", "true")
        self.git("init", "-q", "-b", "main", ".")
        self.write("calc.sh", "add() {\n\techo $(($1 - $2))\n}\n")
        self.write("test.sh", "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'\n. ./calc.sh\n"
                   "if [ \"$(add 2 3)\" = 5 ]; then echo \"ok 1 - adds\"; else echo \"not ok 1 - adds\"; "
                   "exit 1; fi\n")
        self.git("add", "-A")
        self.git("commit", "-qm", "A calculator")
        self.git("push", "-q", self.bare, "main")
        self.sha = self.git("rev-parse", "HEAD")

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w") as f:
            f.write(text)

    def spawn(self, argv, log):
        with open(os.path.join(self.dir, log), "a") as out:
            p = subprocess.Popen(argv, stdout=out, stderr=out, env=self.env)
        self.children.append(p)
        return p

    def executor(self, url, github, git=""):
        conf, http = os.path.join(self.dir, "conf"), free_port()
        os.makedirs(conf, exist_ok=True)
        with open(os.path.join(conf, "bus.yaml"), "w") as f:
            f.write("url: nats://127.0.0.1:%d\n" % self.port)
        with open(os.path.join(conf, "executor.yaml"), "w") as f:
            f.write("""
state_dir: %s/state
http: {listen: "127.0.0.1:%d"}
tools_dir: %s/executor/tools
autonomy: auto
rate: {cooldown: 0s, target_per_hour: 100, global_per_hour: 500}
rules: [{match: ['kind="repository"'], autonomy: auto, max_level: hard}]
git: {protocols: "http, https"%s}
github: {api_url: "%s/api/v3", %s}
targets:
  - id: octo-org_octo_repo
    kind: repository
    tools: ["code_*", "pull_request_*", checks_wait]
    attributes:
      url: %s/octo-org/octo.repo.git
      repository: octo-org/octo.repo
      checks: [[/bin/sh, test.sh]]
""" % (self.dir, http, ROOT, git, url, github, url))
        p = self.spawn([os.path.join(BUILD, "healbus-executor"), "-c", conf], "executor.log")

        def ready():
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % http, timeout=1) as r:
                    return r.status == 200
            except OSError:
                return False
        wait_for("the executor", ready)
        return p

    def stop(self, p):
        p.terminate()
        p.wait()
        self.children.remove(p)

    def busctl(self, *args, data=None):
        return subprocess.run([BUSCTL, *args], env=self.env, input=data, check=True, capture_output=True).stdout

    def run(self, *steps):
        """Runs a plan of these steps; its outcome."""
        return self.outcome(self.send(*steps))

    def outcome(self, name, deadline_s=120):
        found = wait_for("outcome of " + name, lambda: self.of_kind(name, "outcome"), deadline_s)
        return found[0] if found else {}

    def send(self, *steps):
        self.n += 1
        name = "r%d" % self.n
        p = {"id": "plan-" + name, "incident": name, "incident_key": "key-" + name, "attempt": 1, "max_attempts": 3,
             "provenance": "model", "why": "a test", "confidence": 1.0, "created_at_ms": now_ms(),
             "not_after_ms": now_ms() + 3600000, "trusted": True, "severity": "warning",
             "steps": [{"tool": t, "target": "octo-org_octo_repo",
                        "params": [dict(v, name=k) for k, v in params.items()]} for t, params in steps]}
        self.busctl("send", "plan", name, "-", p["id"], data=json.dumps(p).encode())
        return name

    def story(self, incident):
        out = self.busctl("dump", "STORY", "heal.*." + incident).decode()
        return [json.loads(line) for line in out.splitlines()]

    def of_kind(self, incident, kind):
        return [m["message"] for m in self.story(incident) if m["subject"].split(".")[1] == kind]

    def scene(self, what, **body):
        r = urllib.request.Request(self.url + "/_test/" + what, json.dumps(body).encode())
        with urllib.request.urlopen(r) as answer:
            return json.load(answer)

    def close(self):
        for p in self.children:
            p.kill()
            p.wait()
        self.github.shutdown()
        self.tls.shutdown()
        shutil.rmtree(self.dir, ignore_errors=True)


def s(value):
    return {"string_value": value}


def text(value):
    return {"text_value": value}


def num(value):
    return {"int_value": value}


def fix(w, edits, **more):
    return ("code_fix", dict({"sha": s(w.sha), "branch": s("main"), "message": text("Add, do not subtract"),
                              "incident": s("inc1"), "edits": text(edits)}, **more))


def push(branch, expect=""):
    return ("code_push", {"branch": s(branch), "expect": s(expect)})


def pull(head, body):
    return ("pull_request_open", {"head": s(head), "base": s("main"), "title": s("Fix the build"), "body": text(body)})


def pulls(w):
    return w.scene("get", repository="octo-org/octo.repo")["pulls"]


def test_story(w):
    o = w.run(fix(w, WRONG), push("fix/test-1"), pull("fix/test-1", "one"))
    ok(o.get("verdict") == "failed" and "check 1 of 1 failed: /bin/sh test.sh: exit code 1" in o.get("reason", ""),
       "a wrong fix fails in the sandbox", o)
    step = o["steps"][0]
    ok("tests: 0 passed, 1 failed" in step["output"] and "not ok 1 - adds" in step["output"],
       "and the story says which test", step)
    sent = [m for m in w.of_kind("r1", "step") if m.get("patch")]
    ok(sent and "+\techo $(($1 * $2))" in sent[0]["patch"] and "patch" not in step,
       "its patch is told once, and not again in the outcome", sent)
    ok(pulls(w) == [] and "fix" not in w.git("ls-remote", w.bare), "nothing left the machine")

    o = w.run(fix(w, RIGHT), push("fix/test-1"), pull("fix/test-1", "Attempt 1 failed. **Attempt 2** holds."))
    ok(o.get("verdict") == "healed", "a right fix is pushed and told", o)
    p = pulls(w)
    ok(len(p) == 1 and p[0]["head"] == "fix/test-1" and p[0]["body"] == "Attempt 1 failed. **Attempt 2** holds.",
       "there is one pull request, with the text", p)
    urls = [x.get("url") for x in o["steps"] if x.get("url")]
    ok(urls and urls[0].endswith("/octo-org/octo.repo/pull/1"), "the story has its address", urls)
    head = w.git("--git-dir", w.bare, "log", "-1", "--format=%P|%an|%B", "fix/test-1")
    ok(head == "%s|healbus|Add, do not subtract\n\nHealbus-Incident: inc1" % w.sha, "one commit on the pinned one", head)
    ok(w.git("--git-dir", w.bare, "diff", "--stat", "main", "fix/test-1").count("calc.sh") == 1 and
       "1 file changed" in w.git("--git-dir", w.bare, "diff", "--stat", "main", "fix/test-1"), "that changes one file")
    ok(wait_for("empty workspaces", lambda: os.listdir(os.path.join(w.dir, "state/work")) == []), "the workspaces are gone")

    again = RIGHT.replace("$1 + $2", "$2 + $1")
    o = w.run(fix(w, again), push("fix/test-1"), pull("fix/test-1", "Attempt 3."))
    p = pulls(w)
    ok(o.get("verdict") == "healed" and len(p) == 1 and p[0]["body"] == "Attempt 3.",
       "the same branch again: the open pull request is updated", (o, p))


def test_person(w):
    w.git("checkout", "-q", "-b", "topic")
    w.write("notes", "mine\n")
    w.git("add", "-A")
    w.git("commit", "-qm", "A person's work")
    w.git("push", "-q", w.bare, "topic")
    w.git("checkout", "-q", "main")
    o = w.run(fix(w, RIGHT), push("topic", w.sha))
    ok(o.get("verdict") == "failed" and "a person pushed to topic" in o.get("reason", ""), "a person's push wins", o)
    ok(w.git("--git-dir", w.bare, "log", "-1", "--format=%s", "topic") == "A person's work", "and is left alone")
    w.git("push", "-q", "-f", w.bare, "main:fix/test-1")
    o = w.run(fix(w, RIGHT), push("fix/test-1"))
    ok(o.get("verdict") == "failed" and "a person pushed to fix/test-1" in o.get("reason", ""),
       "even to a branch that was ours", o)
    o = w.run(fix(w, RIGHT), push("fix/test-1", w.sha))
    ok(o.get("verdict") == "healed", "where it is where it must be, it moves", o)


def test_refusals(w):
    rows = [("another commit", fix(w, RIGHT, sha=s("a" * 40)), "failed", "cannot"),
            ("a path outside", fix(w, block("../x", "", "x\n")), "refused", "may not be touched"),
            ("edits that do not fit", fix(w, block("calc.sh", "nothing like it\n", "x\n")), "failed", "do not apply"),
            ("a key", fix(w, RIGHT + block("key.txt", "", "AKIA" + "QWERTYUIOPASDFGH\n")), "refused",
             "refuse: secret: key.txt")]
    for name, step, verdict, reason in rows:
        o = w.run(step)
        ok(o.get("verdict") == verdict and reason in o.get("reason", ""), "%s: %s" % (name, reason), o)


def test_pull_requests(w):
    sha = w.git("--git-dir", w.bare, "rev-parse", "fix/test-1")
    comment = ("pull_request_comment", {"number": num(1), "body": text("First word."), "key": s("inc1")})
    o = w.run(comment, ("pull_request_label", {"number": num(1), "labels": s("healbus, ci fix")}))
    comment[1]["body"] = text("Second word.")
    o2 = w.run(comment)
    got = w.scene("get", repository="octo-org/octo.repo")
    ok(o.get("verdict") == "healed" and o2.get("verdict") == "healed" and len(got["comments"]) == 1 and
       got["comments"][0]["body"] == "Second word.\n\n<!-- healbus inc1 -->", "a comment with a key is changed, not repeated",
       (o, o2, got))
    ok(got["labels"] == {"1": ["healbus", "ci fix"]}, "labels", got)

    merge = ("pull_request_merge", {"number": num(1), "sha": s(sha)})
    o = w.run(merge)
    ok(o.get("verdict") == "failed" and "checks are not over" in o["reason"], "nothing is merged unchecked", o)
    w.scene("check_run", repository="octo-org/octo.repo", sha=sha, name="test", conclusion="failure")
    o = w.run(merge)
    ok(o.get("verdict") == "failed" and "checks failed: test" in o["reason"], "nor when a check failed", o)
    o = w.run(("checks_wait", {"sha": s(sha)}))
    ok(o.get("verdict") == "failed" and "1 failed, 0 not over; failed: test" in o["steps"][0]["output"],
       "waiting for checks names what failed", o)
    w.scene("check_run", repository="octo-org/octo.repo", sha=sha, name="test", conclusion="success")
    w.scene("status", repository="octo-org/octo.repo", sha=sha, context="deploy", state="success")
    o = w.run(("pull_request_merge", {"number": num(1), "sha": s(w.sha)}))
    ok(o.get("verdict") == "failed" and "a person pushed" in o["reason"], "nor another commit than the proven one", o)
    o = w.run(("checks_wait", {"sha": s(sha)}), merge)
    ok(o.get("verdict") == "healed" and pulls(w)[0]["merged"], "passed, it is merged", o)
    o = w.run(("pull_request_revert", {"number": num(1)}))
    p = pulls(w)
    ok(o.get("verdict") == "healed" and len(p) == 2 and p[1]["title"].startswith('Revert "'), "and can be taken back", o)
    ok(w.git("--git-dir", w.bare, "diff", "--stat", w.sha, p[1]["head"]) == "" if len(p) == 2 else False,
       "to exactly what was before")
    test_rebased(w)


def on_branch(w, branch, parent, name):
    """A commit more, with a file of that name, on a branch of the repository; its id."""
    git = ("--git-dir", w.bare)
    blob = w.git(*git, "hash-object", "-w", os.path.join(ROOT, "README.md"))
    made = "100644 blob %s\t%s\n" % (blob, name)
    entries = w.git(*git, "ls-tree", parent) + "\n" + made
    tree = subprocess.run(["git", *git, "mktree"], input=entries, check=True, capture_output=True, text=True).stdout.strip()
    sha = w.git(*git, "-c", "user.name=kim", "-c", "user.email=k@example.org", "commit-tree", tree, "-p", parent, "-m", name)
    w.git(*git, "update-ref", "refs/heads/" + branch, sha)
    return sha


def test_rebased(w):
    """A merge that rebases brings several commits, and later work is nobody's to take back."""
    before = w.git("--git-dir", w.bare, "rev-parse", "main")
    head = on_branch(w, "two", on_branch(w, "two", before, "one.txt"), "two.txt")
    o = w.run(("pull_request_open", {"head": s("two"), "base": s("main"), "title": s("Two"), "body": text("x")}))
    number = len(pulls(w))
    w.scene("check_run", repository="octo-org/octo.repo", sha=head, name="test", conclusion="success")
    o = w.run(("pull_request_merge", {"number": num(number), "sha": s(head), "method": s("rebase")}))
    ok(o.get("verdict") == "healed" and w.git("--git-dir", w.bare, "rev-list", "--count", before + "..main") == "2",
       "a pull request of two commits is merged by rebasing", o)
    o = w.run(("pull_request_revert", {"number": num(number)}))
    p = pulls(w)
    ok(o.get("verdict") == "healed" and len(p) == number + 1 and
       w.git("--git-dir", w.bare, "diff", "--stat", before, p[-1]["head"]) == "", "both commits are taken back", o)
    on_branch(w, "main", w.git("--git-dir", w.bare, "rev-parse", "main"), "later.txt")
    o = w.run(("pull_request_revert", {"number": num(number)}))
    ok(o.get("verdict") == "failed" and "main has moved on since the merge" in o.get("reason", "") and
       "by hand (git revert " in o.get("reason", "") and len(pulls(w)) == number + 1,
       "when others have come after, a person is told how, and nothing is opened", o)


def test_kill(w, p, start):
    """kill -9 while the push is on its way: nobody knows, so the remote is asked, and nothing is pushed twice."""
    w.scene("hold", match="POST .*git-receive-pack")
    name = w.send(fix(w, RIGHT), push("fix/kill"))
    ok(wait_for("the push", lambda: w.scene("held")["held"]), "a push is on its way")
    p.kill()
    p.wait()
    w.children.remove(p)
    w.scene("release")
    arrived = wait_for("the branch", lambda: w.git("ls-remote", w.bare, "refs/heads/fix/kill"))
    p = start()
    o = w.outcome(name)
    ok(arrived and o.get("verdict") == "healed", "killed and started again: the remote has it, which its check finds", o)
    made = w.git("--git-dir", w.bare, "rev-list", "--count", w.sha + "..fix/kill")
    ok(made == "1", "once", made)
    return p


def test_race(w):
    """A person pushes after we have looked and before we push."""
    w.scene("hold", match="GET .*service=git-receive-pack")
    name = w.send(fix(w, RIGHT.replace("$1 + $2", "$2+$1")), push("fix/kill"))
    ok(wait_for("the push", lambda: w.scene("held")["held"]), "a push begins")
    w.git("push", "-q", "-f", w.bare, "topic:fix/kill")
    w.scene("release")
    o = w.outcome(name)
    ok(o.get("verdict") == "failed" and "a person pushed to fix/kill meanwhile" in o.get("reason", ""),
       "a person was faster: the lease is lost", o)
    ok(w.git("--git-dir", w.bare, "log", "-1", "--format=%s", "fix/kill") == "A person's work", "and wins")


def test_limits(w):
    w.scene("next", status=403, headers={"Retry-After": "1"}, body={"message": "secondary rate limit"}, match="GET .*/pulls")
    o = w.run(pull("topic", "after a while"))
    ok(o.get("verdict") == "healed", "a short rate limit is waited for", o)
    w.scene("next", status=429, headers={"Retry-After": "3000"}, body={"message": "slow down"}, match="GET .*/pulls")
    before = len(w.hub.requests)
    o = w.run(pull("topic", "never"))
    o2 = w.run(pull("topic", "never"))
    ok(o.get("verdict") == "failed" and o2.get("verdict") == "failed" and len(w.hub.requests) == before + 1,
       "a long one ends it, and nothing more is asked", (o, o2, len(w.hub.requests) - before))


def asked(w, since, method, end):
    return sum(r["method"] == method and r["path"].endswith(end) for r in w.hub.requests[since:])


def test_passing(w):
    """What GitHub cannot do just now is begun again where a look tells whether it was done."""
    main = w.git("--git-dir", w.bare, "rev-parse", "main")
    for name in ("passing", "late"):
        on_branch(w, "fix/" + name, main, name)
    w.scene("check_run", repository="octo-org/octo.repo", sha=w.sha, name="test", conclusion="success")
    start, before = len(w.hub.requests), len(pulls(w))
    w.scene("next", status=502, match="GET .*/check-runs")
    w.scene("next", status=500, match="POST .*/pulls$")
    o = w.run(("checks_wait", {"sha": s(w.sha)}), pull("fix/passing", "once more"))
    ok(o.get("verdict") == "healed" and asked(w, start, "POST", "/pulls") == 2 and len(pulls(w)) == before + 1,
       "GitHub is ill for a moment: waited for, and one pull request", (o, asked(w, start, "POST", "/pulls")))
    start, before = len(w.hub.requests), len(pulls(w))
    w.scene("next", status=502, match="POST .*/pulls$", late=True)
    o = w.run(pull("fix/late", "answered late"))
    ok(o.get("verdict") == "healed" and asked(w, start, "POST", "/pulls") == 1 and len(pulls(w)) == before + 1,
       "an answer is lost, the pull request is there: not opened twice", (o, asked(w, start, "POST", "/pulls")))
    start = len(w.hub.requests)
    w.scene("next", status=502, match="POST .*/comments$")
    o = w.run(("pull_request_comment", {"number": num(1), "body": text("No key.")}))
    ok(o.get("verdict") != "healed" and asked(w, start, "POST", "/comments") == 1,
       "a comment that cannot be found again is not said again", (o, asked(w, start, "POST", "/comments")))


def test_app(w):
    """Another executor, as a GitHub App, over https: tokens made for one repository; git's only way
    out of the sandbox is to that host."""
    start = len(w.hub.requests)
    o = w.run(fix(w, RIGHT), push("fix/app"), pull("fix/app", "by an App"))
    ok(o.get("verdict") == "healed", "a GitHub App clones, pushes and opens", o)
    made = [r for r in w.hub.requests[start:] if r["path"].endswith("/access_tokens")]
    ok(made and len(made) <= 2 and made[0]["body"] == {"repositories": ["octo.repo"]},
       "with a token for this repository only, kept while it lasts", made)


def test_secrets(w):
    leaks = []
    for name in ("executor.log", "nats.log"):
        with open(os.path.join(w.dir, name), errors="replace") as f:
            if TOKEN in f.read() or "eC1hY2Nlc3MtdG9rZW4" in f.read():
                leaks.append(name)
    for n in range(1, w.n + 1):
        story = json.dumps(w.story("r%d" % n))
        if TOKEN in story or "eC1hY2Nlc3MtdG9rZW4" in story or "ghs_" in story:
            leaks.append("story of r%d" % n)
    ok(leaks == [], "the token is in no log and no message", leaks)
    o = w.of_kind("r2", "step")
    seen = [x for x in o if "CI=true" in x.get("output", "")]
    first = w.of_kind("r1", "outcome")[0]["steps"][0]["output"]
    ok("CI=true" in first or seen, "though the checks told their environment", first)


def test_description(w):
    path = spec_path("github.json")
    if not os.path.exists(path):
        skip("requests against GitHub's description", "no specs")
        return
    calls, bad = Calls(path, lib_github.API), []
    for r in w.hub.requests:
        bad += ["%s %s: %s" % (r["method"], r["path"], v) for v in calls.violations(r)]
    kinds = {(r["method"], r["path"]) for r in w.hub.requests}
    ok(bad == [] and len(kinds) >= 15, "%d requests, %d kinds: no violation of GitHub's description"
       % (len(w.hub.requests), len(kinds)), "\n".join(sorted(set(bad))[:20]) or kinds)
    planted = [dict(r, body=dict(r["body"] or {}, head=7)) for r in w.hub.requests if r["path"].endswith("/pulls") and r["body"]]
    ok(planted and calls.violations(planted[0]), "and a planted one is seen")


def main():
    if shutil.which("nats-server") is None or shutil.which("git") is None:
        print("1..0 # skip no nats-server or git")
        return
    w = World()
    try:
        def start():
            return w.executor(w.url, 'token_file: "%s"' % w.token)
        p = start()
        test_story(w)
        test_person(w)
        test_refusals(w)
        test_pull_requests(w)
        p = test_kill(w, p, start)
        test_race(w)
        test_passing(w)
        test_limits(w)
        w.stop(p)
        w.executor(w.tls_url, 'app_id: "77", app_key_file: "%s", ca_file: "%s"' % (w.app_key, w.cert),
                   ', ca_file: "%s"' % w.cert)
        test_app(w)
        test_secrets(w)
        test_description(w)
    except Exception:
        ok(False, "the test itself", traceback.format_exc())
    if failures():
        with open(os.path.join(w.dir, "executor.log")) as f:
            for line in f.readlines()[-15:]:
                print("# log", line.rstrip()[:300])
    w.close()
    sys.exit(done())


if __name__ == "__main__":
    main()
