#!/usr/bin/env python3
"""The agent's way from a red build to a pull request, end to end: the four stages on a real bus, GitHub's double with real
git, and the shipped agent_claude.yaml whose program is lib_agent.py. A good agent is wrong at first, proved wrong in the
sandbox, and right then; eight hostile ones (workflows, writes outside, links, secrets, hanging, processes left behind,
network, 7 MiB of patch) get nothing through. On a fork's pull request no agent works, nothing is pushed, and a comment
says what was found. TAP."""
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "tests/fault"), os.path.join(ROOT, "tests/integration"),
                os.path.join(ROOT, "tests/e2e")]
import lib_github  # noqa: E402
from world import World, missing, wait_for  # noqa: E402
from lib import done, failures, ok  # noqa: E402

TOKEN = "ghp_" + os.urandom(18).hex()
KEY = "sk-ant-" + os.urandom(20).hex()
MARK = "m" + uuid.uuid4().hex
HOSTILE = ("workflow", "outside", "links", "secrets", "hang", "network", "huge")
ALL = ("fix", "leftover", "fork", *HOSTILE)
DEADLINE_S = 240


class Ears:
    """A port of this machine, which no agent should reach."""

    def __init__(self):
        self.heard, self.socket = 0, socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                self.socket.accept()[0].close()
            except OSError:
                return
            self.heard += 1


class Forge:
    """GitHub's double, with a repository for each behaviour: octo-org/NAME, whose branch `topic` fails."""

    def __init__(self, w, wants):
        self.w, self.sha = w, {}
        os.makedirs(w.path("git/octo-org"))
        for name in ALL:
            self.make(name, wants.get(name, []))
        self.server = lib_github.start(w.path("git"), token=TOKEN)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        for n, name in enumerate(ALL, 1):
            self.repository(name).jobs[n] = {
                "id": n, "run_id": n, "name": "test", "head_sha": self.sha[name], "conclusion": "failure", "log": self.log(),
                "steps": [{"name": "make test", "number": 2, "status": "completed", "conclusion": "failure"}]}

    def repository(self, name):
        return self.server.hub.repository("octo-org/" + name)

    def git(self, where, *args):
        env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="Kim",
                   GIT_AUTHOR_EMAIL="k@example.org", GIT_COMMITTER_NAME="Kim", GIT_COMMITTER_EMAIL="k@example.org")
        r = subprocess.run(["git", "-c", "safe.directory=*", *args], cwd=where, env=env, check=True, capture_output=True,
                           text=True)
        return r.stdout.strip()

    def make(self, name, wants):
        work = self.w.path("work-" + name)
        shutil.copytree(os.path.join(ROOT, "deploy/demo/calc"), work)
        with open(os.path.join(work, "AGENT"), "w") as f:
            f.write(" ".join([name, MARK, *wants]) + "\n")
        for args in (("init", "-q", "-b", "topic"), ("add", "."), ("commit", "-qm", "Add add()"),
                     ("clone", "-q", "--bare", ".", self.w.path("git/octo-org", name + ".git"))):
            self.git(work, *args)
        self.sha[name] = self.git(work, "rev-parse", "HEAD")

    def log(self):
        r = subprocess.run(["make", "-C", os.path.join(self.w.dir, "work-fix"), "test"], capture_output=True, text=True)
        return "".join("2026-11-21T12:00:30.0000000Z %s\n" % line
                       for line in [*r.stdout.splitlines(), *r.stderr.splitlines(),
                                    "##[error]Process completed with exit code 2."])

    def branches(self, name):
        where = self.w.path("git/octo-org", name + ".git")
        return dict(line.split() for line in self.git(where, "for-each-ref", "--format=%(refname:short) %(objectname)",
                                                      "refs").splitlines())


def failed(n, name, sha):
    return {"action": "completed", "workflow_job": {
        "id": n, "run_id": n, "run_attempt": 1, "name": "test", "workflow_name": "CI", "head_branch": "topic",
        "head_sha": sha, "status": "completed", "conclusion": "failure", "started_at": "2026-11-21T12:00:00Z",
        "completed_at": "2026-11-21T12:00:40Z", "html_url": "https://github.example/octo-org/x/actions/runs/%d" % n,
        "steps": [{"name": "make test", "number": 2, "status": "completed", "conclusion": "failure"}]},
        "repository": {"full_name": "octo-org/" + name, "default_branch": "topic"},
        "sender": {"login": "kim", "type": "User"}, "installation": {"id": 7}}


def succeeded(n, name, sha):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"action": "completed", "workflow_run": {
        "id": n, "run_attempt": 1, "name": "CI", "head_branch": "topic", "head_sha": sha, "status": "completed",
        "conclusion": "success", "run_started_at": now, "updated_at": now, "head_commit": {"message": "Let add() add"},
        "pull_requests": []}, "repository": {"full_name": "octo-org/" + name, "default_branch": "topic"},
        "sender": {"login": "kim", "type": "User"}, "installation": {"id": 7}}


def fork_tells(w, forge, secret):
    """A pull request of mallory's fork, and its failed run, which names no pull request."""
    sha, whose = forge.sha["fork"], {"full_name": "mallory/fork"}
    forge.repository("fork").pulls.append({
        "number": 1, "id": 1, "state": "open", "title": "Add", "at": "2026-11-21T12:00:00Z", "body": "", "head": "topic",
        "base": "main", "merged": False, "merge_sha": None, "head_sha": sha})
    deliver(w, secret, "pull_request", dict(failed(0, "fork", sha), action="opened", number=1, pull_request={
        "number": 1, "head": {"ref": "topic", "sha": sha, "repo": whose}, "base": {"ref": "main"}}))
    run = succeeded(80, "fork", sha)
    run["workflow_run"].update(conclusion="failure", head_repository=whose)
    deliver(w, secret, "workflow_run", run)


def deliver(w, secret, event, body):
    data = json.dumps(body).encode()
    status, text, _ = w.http("monitor-0", "POST", "/webhook/github", data, {
        "X-GitHub-Event": event, "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, data, hashlib.sha256).hexdigest()})
    if status >= 300:
        raise RuntimeError("the monitor does not take it: " + text)


# ---- the world ----

def keep(w, name, text):
    with open(w.path("secret", name), "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(text)


def place_agent(w):
    """The shipped tool; only where the program and its key are is said anew, and how long it may take."""
    shutil.copytree(os.path.join(ROOT, "executor/tools"), w.path("tools"), dirs_exist_ok=True)
    os.makedirs(w.path("agent"))
    shutil.copy(os.path.join(ROOT, "tests/e2e/lib_agent.py"), w.path("agent/claude"))
    os.chmod(w.path("agent/claude"), 0o755)
    with open(w.path("tools/agent_claude.yaml")) as f:
        text = f.read()
    for old, new in (("/usr/local/bin/claude", w.path("agent/claude")), ("timeout: 15m", "timeout: 20s"),
                     ("/etc/healbus/agent_claude.key", w.path("secret/agent"))):
        if old not in text:
            raise RuntimeError("agent_claude.yaml does not name " + old)
        text = text.replace(old, new)
    with open(w.path("tools/agent_claude.yaml"), "w") as f:
        f.write(text + "readonly: [%s]\n" % w.path("agent"))


def configure(w, forge):
    github = 'github: {api_url: "%s/api/v3", token_file: %s}\n' % (forge.url, w.path("secret/github"))
    w.config["monitor-0"] += "github: {secret_file: %s, own_login: 'healbus[bot]'}\n" % w.path("secret/hook")
    w.config["reasoner"] += github + """prompts_dir: %s/reasoner/prompts
failures_dir: %s/reasoner/failures
specialists_file: %s/reasoner/specialists.yaml
diagnosis: {of: repositories, agent: agent_claude, max_attempts: 2, workers: 2}
""" % (ROOT, ROOT, ROOT)
    w.config["executor-0"] = github + "git: {protocols: http}\n" + w.config["executor-0"] + "".join("""
  - id: octo-org_%s
    kind: repository
    tools: [agent_claude, "code_*", "pull_request_*"]
    attributes: {repository: octo-org/%s, url: "%s/octo-org/%s.git", default_branch: topic, checks: [[/usr/bin/make, test]]}
""" % (n, n, forge.url, n) for n in ALL)


# ---- judging ----

def incidents(w):
    """{name: its last state} of the repositories' incidents."""
    found = {}
    for m in w.dump("STORY", "heal.incident.>"):
        i = m["message"]
        name = i["labels"].get("repository", "/").split("/")[1]
        found[name] = dict(i, escalated=i.get("escalation") or found.get(name, {}).get("escalated"))
    return found


def steps_of(w, incident):
    return [m["message"] for m in w.dump("STORY", "heal.step.%s" % incident)]


def check_fix(w, forge, secret):
    wait_for("the good agent's pull request", lambda: forge.repository("fix").pulls, DEADLINE_S)
    pulls = forge.repository("fix").pulls
    if not ok(len(pulls) == 1, "the good agent's second patch becomes a pull request", pulls):
        return
    head = forge.branches("fix").get(pulls[0]["head"])
    where = w.path("git/octo-org/fix.git")
    ok("return a + b;" in forge.git(where, "show", head + ":calc.c"), "its branch holds the right fix")
    ok("Attempt 1 did not help" in pulls[0]["body"], "it tells of the first attempt", pulls[0]["body"])
    incident = incidents(w)["fix"]["id"]
    wanted = [("agent_claude", "done"), ("code_fix", "failed"), ("agent_claude", "done"), ("code_fix", "done"),
              ("code_push", "done"), ("pull_request_open", "done")]

    def ended():
        return [(s["tool"], s["state"]) for s in steps_of(w, incident) if (s["tool"], s["state"]) in wanted]

    wait_for("the report of the pull request", lambda: wanted[-1] in ended(), DEADLINE_S)
    steps = ended()
    ok(steps == wanted, "the first patch failed in the sandbox, and only the second left it", steps)
    deliver(w, secret, "workflow_run", succeeded(90, "fix", head))
    ok(wait_for("it closes", lambda: incidents(w)["fix"]["state"] == "resolved", 60),
       "the later success closes the incident")


def check_fork(w, forge):
    fork = forge.repository("fork")
    ok(wait_for("the comment", lambda: fork.comments, DEADLINE_S), "fork: its pull request gets a comment")
    ok(wait_for("a human", lambda: incidents(w)["fork"]["id"] in escalated(w), 60), "fork: and a human is told")
    body = fork.comments[0]["body"] if fork.comments else ""
    ok("pushes nothing" in body and "Failure:" in body and len(fork.comments) == 1, "fork: which says what was found", body)
    tools = {s.get("tool") for s in steps_of(w, incidents(w)["fork"]["id"])}
    ok(tools == {"pull_request_comment"} and list(forge.branches("fork")) == ["topic"],
       "fork: no agent worked on it, and nothing is pushed", (tools, forge.branches("fork")))


def check_hostile(w, forge, name):
    i = incidents(w).get(name)
    reasons = [m["message"].get("reason", "") for m in w.dump("STORY", "heal.step.%s" % i["id"])]
    print("# %s: %s" % (name, "; ".join(sorted({r[:150] for r in reasons if r}))))
    new = [b for b in forge.branches(name) if b != "topic"]
    ok(not new and forge.branches(name)["topic"] == forge.sha[name] and not forge.repository(name).pulls,
       "%s: nothing is pushed or proposed, a human is asked" % name, (new, forge.repository(name).pulls))


def traces(w):
    """Where the mark of an agent is outside of what it was given."""
    found = [p for p in ("/", "/etc", "/usr/bin", "/var/tmp", "/tmp", w.dir, w.path("agent"), w.path("books"),
                         os.path.dirname(w.dir)) if os.path.lexists(os.path.join(p, MARK))]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                found += [pid] if MARK.encode() in f.read() else []
        except OSError:
            pass
    return found


def leaks(w, forge):
    secrets = {"key": KEY, "token": TOKEN}
    found = []
    for m in w.dump("STORY"):
        found += [(m["subject"], n) for n, s in secrets.items() if s in json.dumps(m)]
    for part in w.stages:
        with open(w.path("log", part), errors="replace") as f:
            text = f.read()
        found += [(part, n) for n, s in secrets.items() if s in text]
    found += ["github" for r in forge.server.hub.requests if KEY in json.dumps(r)]
    return found


def escalated(w):
    return {m["message"].get("incident") or m["message"].get("id") for m in w.dump("STORY", "heal.incident.>")
            if re.search("escalat", json.dumps(m["message"]))}


def check(w, forge, secret, ears):
    check_fix(w, forge, secret)
    ok(wait_for("the pull request of the one that leaves processes", lambda: forge.repository("leftover").pulls, DEADLINE_S),
       "leftover: its patch is right, so it is proposed")
    ok(wait_for("humans are asked", lambda: all(incidents(w)[n]["id"] in escalated(w) for n in HOSTILE), DEADLINE_S),
       "a human is asked about each hostile one", {n: incidents(w)[n]["id"] in escalated(w) for n in HOSTILE})
    check_fork(w, forge)
    for name in HOSTILE:
        check_hostile(w, forge, name)
    ok(traces(w) == [], "no file outside, and no process is left", traces(w))
    ok(ears.heard == 0, "nobody reached a port of this machine", ears.heard)
    ok(leaks(w, forge) == [], "neither the agent's key nor the token is in a message, a log or a request", leaks(w, forge))


def main():
    why = missing() or next((p + " is missing" for p in ("git", "make", "gcc") if not shutil.which(p)), "")
    if why:
        print("1..0 # skip " + why)
        return
    ears = Ears()
    try:
        with World() as w:
            keep(w, "github", TOKEN)
            keep(w, "agent", KEY)
            secret = os.urandom(12).hex().encode()
            keep(w, "hook", secret.decode())
            forge = Forge(w, {"outside": [w.dir, w.path("agent"), w.path("books")], "network": [str(ears.port)],
                              "secrets": [w.path("secret/github"), w.path("secret/agent")]})
            place_agent(w)
            configure(w, forge)
            w.start_all()
            for n, name in enumerate(ALL, 1):
                if name != "fork":
                    deliver(w, secret, "workflow_job", failed(n, name, forge.sha[name]))
            fork_tells(w, forge, secret)
            check(w, forge, secret, ears)
            if failures():
                w.show_logs()
            forge.server.shutdown()
    except Exception:
        ok(False, "the test itself", traceback.format_exc())
    ears.socket.close()
    sys.exit(done())


if __name__ == "__main__":
    main()
