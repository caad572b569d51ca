#!/usr/bin/env python3
"""A double of GitHub: its REST API with state, under /api/v3, and git over smart HTTP (git's own
http-backend) of the bare repositories ROOT/OWNER/NAME.git, under /OWNER/NAME.git.

    lib_github.py ROOT [--port P] [--token T] [--app ID:PUBLIC_KEY.pem] [--requests FILE.jsonl]

Prints "PORT" and serves until it is killed. Everything but /_test wants the token, the API as
"Bearer T", git as basic auth x-access-token:T. Each request is a line of FILE: method, path, query,
headers (of credentials only the kind), body. Tests set the scene by POST /_test/NAME with JSON:
    check_run {repository, sha, name, status, conclusion}   status {repository, sha, context, state}
    job {repository, id, name, head_sha, steps, log, ...}   an Actions job and its log
    next {status, headers, body, times, match, late}        what the next matching requests get; late: although it is done
    hold {match}, release {}                                git requests whose path matches wait between the two
    held {}                                                 how many wait
    get {repository}                                        pulls, comments, labels
Used by tests and by the demonstration; shares no code with what they judge."""
import argparse
import base64
import datetime
import gzip
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

API = "/api/v3"
ZERO = "0" * 40


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Refused(Exception):
    def __init__(self, status, message, **more):
        super().__init__(message)
        self.status, self.body = status, dict(message=message, documentation_url="https://docs.github.com/rest", **more)


class Repository:
    def __init__(self, path, name):
        self.path, self.name = path, name
        self.pulls, self.comments, self.labels = [], [], {}
        self.check_runs, self.statuses, self.jobs = {}, {}, {}

    def git(self, *args, data=None, ok=True):
        r = subprocess.run(["git", "-c", "safe.directory=*", "-C", self.path, *args], input=data,
                           capture_output=True)
        if r.returncode and ok:
            raise Refused(422, r.stderr.decode(errors="replace").strip()[:200])
        return r.stdout.decode(errors="replace").strip() if r.returncode == 0 else ""

    def head(self, branch):
        return self.git("rev-parse", "--verify", "--quiet", "refs/heads/" + branch, ok=False)

    def resolve(self, ref):
        sha = self.head(ref) or self.git("rev-parse", "--verify", "--quiet", ref + "^{commit}", ok=False)
        if not sha:
            raise Refused(404, "No commit found for SHA: " + ref)
        return sha


class Github:
    def __init__(self, root, token="", app="", requests=None):
        self.root, self.token, self.requests_path = root, token, requests
        self.app_id, _, self.app_key = app.partition(":")
        self.lock = threading.RLock()
        self.repositories, self.requests, self.scripted, self.tokens = {}, [], [], {}
        self.ids, self.hold, self.held, self.go = 1000, None, 0, threading.Event()

    def repository(self, name):
        path = os.path.join(self.root, name + ".git")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or not os.path.isdir(path):
            raise Refused(404, "Not Found")
        return self.repositories.setdefault(name, Repository(path, name))

    def next_id(self):
        self.ids += 1
        return self.ids

    def may(self, header):
        """What kind of credential this is, or None."""
        kind, _, value = (header or "").partition(" ")
        if kind.lower() == "basic":
            value = base64.b64decode(value).decode(errors="replace").partition(":")[2]
        if kind.lower() not in ("bearer", "token", "basic"):
            return None
        if self.token and value == self.token:
            return "token"
        if self.tokens.get(value, 0) > time.time():
            return "installation"
        return "app" if self.app_id and kind == "Bearer" and self.is_jwt(value) else None

    def is_jwt(self, value):
        parts = value.split(".")
        if len(parts) != 3:
            return False

        def decode(text):
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        claims = json.loads(decode(parts[1]))
        signed, signature = os.path.join(self.root, ".signed"), os.path.join(self.root, ".signature")
        with open(signed, "wb") as f, open(signature, "wb") as g:
            f.write((parts[0] + "." + parts[1]).encode())
            g.write(decode(parts[2]))
        good = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.app_key, "-signature", signature, signed],
                              capture_output=True).returncode == 0
        return good and claims["iss"] == self.app_id and claims["iat"] <= time.time() <= claims["exp"] <= \
            claims["iat"] + 660


ROUTES = []


def route(method, pattern, status=200):
    regex = re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern).replace("(?P<rest>[^/]+)", "(?P<rest>.+)") + "$")

    def add(f):
        ROUTES.append((method, regex, status, f))
        return f
    return add


R = "/repos/{owner}/{name}"


def user():
    return {"login": "healbus[bot]", "id": 7, "type": "Bot"}


def pull_json(c, repo, p):
    head = repo.head(p["head"]) or p["head_sha"]
    p["head_sha"] = head
    side = {"repo": {"full_name": repo.name, "default_branch": "main"}, "user": user()}
    return {"number": p["number"], "id": p["id"], "state": p["state"], "title": p["title"], "body": p["body"],
            "draft": False, "merged": p["merged"], "mergeable": True, "merge_commit_sha": p["merge_sha"],
            "html_url": "%s/%s/pull/%d" % (c.base, repo.name, p["number"]), "user": user(),
            "url": "%s%s/repos/%s/pulls/%d" % (c.base, API, repo.name, p["number"]),
            "head": dict(side, ref=p["head"], sha=head, label="%s:%s" % (repo.name.split("/")[0], p["head"])),
            "base": dict(side, ref=p["base"], sha=repo.head(p["base"]), label=p["base"]),
            "labels": [{"name": n} for n in repo.labels.get(p["number"], [])], "created_at": p["at"], "merged_at": p.get("merged_at"),
            "comments": sum(1 for x in repo.comments if x["issue"] == p["number"]), "commits": 1}


def find_pull(repo, number):
    for p in repo.pulls:
        if p["number"] == int(number):
            return p
    raise Refused(404, "Not Found")


@route("GET", R)
def get_repository(c, repo):
    return {"full_name": repo.name, "name": repo.name.split("/")[1], "default_branch": "main", "private": True,
            "permissions": {"push": True}}


@route("GET", R + "/pulls")
def list_pulls(c, repo):
    state, head, base = c.query.get("state", "open"), c.query.get("head"), c.query.get("base")
    found = [p for p in repo.pulls if state in ("all", p["state"])]
    if head:
        found = [p for p in found if repo.name.split("/")[0] + ":" + p["head"] == head]
    return [pull_json(c, repo, p) for p in found if not base or p["base"] == base]


@route("POST", R + "/pulls", 201)
def open_pull(c, repo):
    b = c.body
    if not repo.head(b["head"]) or not repo.head(b["base"]):
        raise Refused(422, "Validation Failed", errors=[
            {"resource": "PullRequest", "field": "base" if repo.head(b["head"]) else "head", "code": "invalid"}])
    if any(p["state"] == "open" and p["head"] == b["head"] and p["base"] == b["base"] for p in repo.pulls):
        raise Refused(422, "Validation Failed", errors=[
            {"resource": "PullRequest", "code": "custom",
             "message": "A pull request already exists for %s:%s." % (repo.name.split("/")[0], b["head"])}])
    if repo.head(b["head"]) == repo.head(b["base"]):
        raise Refused(422, "Validation Failed", errors=[
            {"resource": "PullRequest", "code": "custom", "message": "No commits between them"}])
    p = {"number": len(repo.pulls) + 1, "id": c.hub.next_id(), "state": "open", "title": b["title"], "at": now(),
         "body": b.get("body") or "", "head": b["head"], "base": b["base"], "merged": False, "merge_sha": None,
         "head_sha": ZERO}
    repo.pulls.append(p)
    return pull_json(c, repo, p)


@route("GET", R + "/pulls/{number}")
def get_pull(c, repo, number):
    return pull_json(c, repo, find_pull(repo, number))


@route("PATCH", R + "/pulls/{number}")
def change_pull(c, repo, number):
    p = find_pull(repo, number)
    for key in ("title", "body", "state", "base"):
        p[key] = c.body.get(key, p[key])
    return pull_json(c, repo, p)


@route("PUT", R + "/pulls/{number}/merge")
def merge_pull(c, repo, number):
    p = find_pull(repo, number)
    head, base = repo.head(p["head"]), repo.head(p["base"])
    if c.body.get("sha", head) != head:
        raise Refused(409, "Head branch was modified. Review and try the merge again.")
    if p["merged"] or p["state"] != "open" or repo.git("merge-base", head, base) != base:
        raise Refused(405, "Pull Request is not mergeable")
    method = c.body.get("merge_method", "merge")
    brought = []
    if method == "rebase":
        for old in repo.git("rev-list", "--reverse", base + ".." + head).split():
            message = repo.git("show", "-s", "--format=%B", old)
            brought.append(commit_tree(repo, message, old + "^{tree}", ["-p", brought[-1] if brought else base]))
    else:
        parents = ["-p", base] + (["-p", head] if method == "merge" else [])
        brought.append(commit_tree(repo, "%s (#%d)" % (p["title"], p["number"]), head + "^{tree}", parents))
    sha = brought[-1]
    repo.git("update-ref", "refs/heads/" + p["base"], sha, base)
    p.update(merged=True, state="closed", merge_sha=sha, brought=brought, merged_at=now())
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


@route("GET", R + "/pulls/{number}/files")
def pull_files(c, repo, number):
    p = find_pull(repo, number)
    return files_between(repo, repo.git("merge-base", p["base"], p["head"]), p["head"])


@route("GET", R + "/issues/{number}/comments")
def list_comments(c, repo, number):
    return [x for x in repo.comments if x["issue"] == int(number)]


@route("POST", R + "/issues/{number}/comments", 201)
def comment(c, repo, number):
    find_pull(repo, number)
    x = {"id": c.hub.next_id(), "issue": int(number), "body": c.body["body"], "user": user(), "created_at": now()}
    x["html_url"] = "%s/%s/pull/%s#issuecomment-%d" % (c.base, repo.name, number, x["id"])
    repo.comments.append(x)
    return x


@route("PATCH", R + "/issues/comments/{number}")
def change_comment(c, repo, number):
    for x in repo.comments:
        if x["id"] == int(number):
            x["body"] = c.body["body"]
            return x
    raise Refused(404, "Not Found")


@route("POST", R + "/issues/{number}/labels")
def label(c, repo, number):
    find_pull(repo, number)
    have = repo.labels.setdefault(int(number), [])
    have += [n for n in c.body["labels"] if n not in have]
    return [{"name": n} for n in have]


@route("GET", R + "/commits/{sha}/check-runs")
def check_runs(c, repo, sha):
    runs = repo.check_runs.get(repo.resolve(sha), [])
    return {"total_count": len(runs), "check_runs": runs}


@route("GET", R + "/commits/{sha}/status")
def combined_status(c, repo, sha):
    sha = repo.resolve(sha)
    have = repo.statuses.get(sha, [])
    states = {s["state"] for s in have}
    state = "failure" if states & {"failure", "error"} else "success" if states == {"success"} else "pending"
    return {"sha": sha, "state": state, "statuses": have, "total_count": len(have)}


@route("GET", R + "/commits/{sha}/pulls")
def pulls_of_commit(c, repo, sha):
    sha = repo.resolve(sha)
    return [pull_json(c, repo, p) for p in repo.pulls if sha in [repo.head(p["head"]), *p.get("brought", [])]]


@route("GET", R + "/check-runs/{number}/annotations")
def annotations(c, repo, number):
    return []


# ---- commits and refs, from git ----

def commit_tree(repo, message, tree, parents):
    return repo.git("-c", "user.name=healbus", "-c", "user.email=healbus@localhost", "commit-tree", tree, *parents,
                    "-m", message)


def commit_json(c, repo, sha):
    text = repo.git("show", "-s", "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%B", sha).split("\0")
    person = {"name": text[3], "email": text[4], "date": text[5]}
    parents = [{"sha": p} for p in text[2].split()]
    inner = {"message": text[6].strip(), "author": person, "committer": person, "tree": {"sha": text[1]}}
    return {"sha": text[0], "commit": inner, "parents": parents, "author": user(), "tree": inner["tree"],
            "message": inner["message"], "html_url": "%s/%s/commit/%s" % (c.base, repo.name, text[0])}


def files_between(repo, old, new):
    names = {"A": "added", "M": "modified", "D": "removed", "R": "renamed", "T": "changed"}
    files = []
    for line in repo.git("diff", "--name-status", "-M", old, new).splitlines():
        kind, *paths = line.split("\t")
        patch = repo.git("diff", "-M", old, new, "--", *paths)
        cut = patch.find("\n@@")
        patch = patch[cut + 1:] if cut >= 0 else ""
        lines = patch.splitlines()
        files.append({"filename": paths[-1], "status": names[kind[0]], "patch": patch,
                      "additions": sum(1 for x in lines if x.startswith("+")),
                      "deletions": sum(1 for x in lines if x.startswith("-")), "changes": len(lines)})
        if len(paths) > 1:
            files[-1]["previous_filename"] = paths[0]
    return files


@route("GET", R + "/commits")
def list_commits(c, repo):
    sha = repo.resolve(c.query.get("sha", "main"))
    out = repo.git("rev-list", "-n", c.query.get("per_page", "30"), sha)
    return [commit_json(c, repo, s) for s in out.split()]


@route("GET", R + "/commits/{sha}")
def get_commit(c, repo, sha):
    sha = repo.resolve(sha)
    parent = repo.git("rev-parse", "--verify", "--quiet", sha + "^", ok=False) or \
        repo.git("hash-object", "-t", "tree", "/dev/null")
    return dict(commit_json(c, repo, sha), files=files_between(repo, parent, sha))


@route("GET", R + "/compare/{refs}")
def compare(c, repo, refs):
    base, _, head = refs.partition("...")
    base, head = repo.resolve(base), repo.resolve(head)
    merge_base = repo.git("merge-base", base, head)
    commits = repo.git("rev-list", merge_base + ".." + head).split()
    return {"status": "ahead", "ahead_by": len(commits), "behind_by": 0, "total_commits": len(commits),
            "commits": [commit_json(c, repo, s) for s in commits[:250]],
            "files": files_between(repo, merge_base, head)}


@route("GET", R + "/git/ref/{rest}")
def get_ref(c, repo, rest):
    sha = repo.git("rev-parse", "--verify", "--quiet", "refs/" + rest, ok=False)
    if not sha:
        raise Refused(404, "Not Found")
    return {"ref": "refs/" + rest, "object": {"type": "commit", "sha": sha}}


@route("GET", R + "/git/commits/{sha}")
def get_git_commit(c, repo, sha):
    return commit_json(c, repo, repo.resolve(sha))


@route("POST", R + "/git/commits", 201)
def make_git_commit(c, repo):
    parents = [x for p in c.body.get("parents", []) for x in ("-p", p)]
    return commit_json(c, repo, commit_tree(repo, c.body["message"], c.body["tree"], parents))


@route("POST", R + "/git/refs", 201)
def make_ref(c, repo):
    repo.git("update-ref", c.body["ref"], c.body["sha"], ZERO)
    return {"ref": c.body["ref"], "object": {"type": "commit", "sha": c.body["sha"]}}


# ---- Actions ----

def job_json(c, repo, j):
    job = {"id": j["id"], "run_id": j.get("run_id", 1), "name": j["name"], "head_sha": j["head_sha"],
           "workflow_name": j.get("workflow_name", "CI"), "status": "completed",
           "conclusion": j.get("conclusion", "failure"), "steps": j.get("steps", []), "run_attempt": 1}
    return dict(job, html_url="%s/%s/actions/runs/%d/job/%d" % (c.base, repo.name, job["run_id"], job["id"]))


@route("GET", R + "/actions/jobs/{number}")
def get_job(c, repo, number):
    if int(number) not in repo.jobs:
        raise Refused(404, "Not Found")
    return job_json(c, repo, repo.jobs[int(number)])


@route("GET", R + "/actions/runs/{run}/jobs")
@route("GET", R + "/actions/runs/{run}/attempts/{attempt}/jobs")
def run_jobs(c, repo, run, attempt=None):
    jobs = [job_json(c, repo, j) for j in repo.jobs.values() if j.get("run_id", 1) == int(run)]
    return {"total_count": len(jobs), "jobs": jobs}


@route("GET", R + "/actions/runs")
def runs(c, repo):
    sha = c.query.get("head_sha")
    found = {j.get("run_id", 1): j for j in repo.jobs.values() if not sha or j["head_sha"] == sha}
    return {"total_count": len(found), "workflow_runs": [
        {"id": i, "name": j.get("workflow_name", "CI"), "head_sha": j["head_sha"], "conclusion": "failure"}
        for i, j in found.items()]}


@route("GET", R + "/actions/jobs/{number}/logs", 302)
def job_log(c, repo, number):
    if int(number) not in repo.jobs:
        raise Refused(404, "Not Found")
    c.extra["Location"] = "%s/_logs/%s/%s?sig=x" % (c.base, repo.name, number)
    return None


# ---- App ----

@route("GET", R + "/installation")
def installation(c, repo):
    if c.credential != "app":
        raise Refused(401, "A JSON web token could not be decoded")
    return {"id": 5, "account": user(), "app_id": 1}


@route("POST", "/app/installations/{number}/access_tokens", 201)
def access_token(c, repo, number):
    if c.credential != "app":
        raise Refused(401, "A JSON web token could not be decoded")
    token = "ghs_" + base64.b32encode(os.urandom(20)).decode()
    c.hub.tokens[token] = time.time() + 3600
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    return {"token": token, "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "permissions": {"contents": "write"}, "repository_selection": "selected"}


# ---- what tests say ----

def scene(hub, name, b):
    if name == "requests":
        return hub.requests
    if name == "hold":
        hub.hold, hub.held = b["match"], 0
        hub.go.clear()
        return {}
    if name == "release":
        hub.hold = None
        hub.go.set()
        return {}
    if name == "held":
        return {"held": hub.held}
    if name == "next":
        hub.scripted += [b] * b.get("times", 1)
        return {}
    repo = hub.repository(b["repository"])
    if name == "get":
        return {"pulls": repo.pulls, "comments": repo.comments, "labels": repo.labels}
    if name == "check_run":
        have = repo.check_runs.setdefault(b["sha"], [])
        have[:] = [x for x in have if x["name"] != b["name"]]
        have.append({"id": hub.next_id(), "name": b["name"], "status": b.get("status", "completed"),
                     "conclusion": b.get("conclusion")})
    elif name == "status":
        have = repo.statuses.setdefault(b["sha"], [])
        have[:] = [x for x in have if x["context"] != b["context"]]
        have.append({"context": b["context"], "state": b["state"]})
    elif name == "job":
        repo.jobs[b["id"]] = b
    else:
        raise Refused(404, "no scene " + name)
    return {}


# ---- HTTP ----

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    scheme = "http"

    def log_message(self, *args):
        pass

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, status, value, headers=()):
        body = b"" if value is None else json.dumps(value).encode()
        self.answer(status, body, [("Content-Type", "application/json; charset=utf-8"), *headers])

    def note(self, url, body):
        headers = {k.lower(): v for k, v in self.headers.items()}
        if "authorization" in headers:
            headers["authorization"] = headers["authorization"].split(" ")[0]
        try:
            data = json.loads(body) if body else None
        except ValueError:
            data = None
        line = {"method": self.command, "path": url.path, "query": parse_qs(url.query, keep_blank_values=True),
                "headers": headers, "body": data}
        self.hub.requests.append(line)
        if self.hub.requests_path:
            with open(self.hub.requests_path, "a", encoding="utf-8") as f:
                f.write(json.dumps(line) + "\n")

    def handle_any(self):
        url, body = urlsplit(self.path), self.read_body()
        self.base = self.scheme + "://" + self.headers.get("Host", "127.0.0.1")
        try:
            if url.path.startswith("/_test/"):
                with self.hub.lock:
                    self.answer_json(200, scene(self.hub, url.path[7:], json.loads(body or b"{}")))
            elif url.path.startswith("/_logs/"):
                self.log(url)
            elif url.path.startswith(API + "/"):
                with self.hub.lock:
                    self.note(url, body)
                    self.api(url, body)
            else:
                self.git(url, body)
        except Refused as e:
            self.answer_json(e.status, e.body)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any

    def log(self, url):
        owner, name, number = url.path[len("/_logs/"):].split("/")
        job = self.hub.repository(owner + "/" + name).jobs[int(number)]
        if self.headers.get("Authorization"):  # as the real store does
            raise Refused(400, "InvalidAuthenticationInfo")
        self.answer(200, job.get("log", "").encode(), [("Content-Type", "text/plain")])

    def script(self, path):
        for i, s in enumerate(self.hub.scripted):
            if re.search(s.get("match", ""), self.command + " " + path):
                del self.hub.scripted[i]
                return s
        return None

    def api(self, url, body):
        path = url.path[len(API):]
        scripted = self.script(path)
        if scripted and not scripted.get("late"):
            self.answer_json(scripted["status"], scripted.get("body"), list(scripted.get("headers", {}).items()))
            return
        self.credential = self.hub.may(self.headers.get("Authorization"))
        if not self.credential:
            raise Refused(401, "Bad credentials")
        if not self.headers.get("User-Agent"):
            raise Refused(403, "Request forbidden by administrative rules.")
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}
        self.body = json.loads(body) if body else {}
        self.extra = {"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": str(int(time.time()) + 3600)}
        for method, regex, status, f in ROUTES:
            found = regex.match(path)
            if method != self.command or not found:
                continue
            args = {k: unquote(v) for k, v in found.groupdict().items()}
            owner, name = args.pop("owner", None), args.pop("name", None)
            repo = self.hub.repository(owner + "/" + name) if owner else None
            result = self.paged(f(self, repo, **args))
            if scripted:
                status, result = scripted["status"], scripted.get("body")
            self.answer_json(status, result, list(self.extra.items()))
            return
        raise Refused(404, "Not Found")

    def paged(self, result):
        if not isinstance(result, list) or self.command != "GET":
            return result
        size, page = int(self.query.get("per_page", 30)), int(self.query.get("page", 1))
        if len(result) > page * size:
            others = "&".join("%s=%s" % (k, v) for k, v in self.query.items() if k != "page")
            self.extra["Link"] = '<%s%s?%s&page=%d>; rel="next"' % (self.base, urlsplit(self.path).path, others,
                                                                    page + 1)
        return result[(page - 1) * size:page * size]

    def git(self, url, body):
        if not self.hub.may(self.headers.get("Authorization")):
            self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="git"')])
            return
        if self.hub.hold and re.search(self.hub.hold, self.command + " " + self.path):
            self.hub.held += 1
            self.hub.go.wait(60)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.hub.root, "GIT_HTTP_EXPORT_ALL": "1",
               "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
               "GIT_CONFIG_KEY_1": "uploadpack.allowFilter", "GIT_CONFIG_VALUE_1": "true",
               "PATH_INFO": url.path, "QUERY_STRING": url.query, "REQUEST_METHOD": self.command,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
               "REMOTE_USER": "x-access-token", "REMOTE_ADDR": "127.0.0.1",
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = [int(v.split()[0]) for k, v in headers if k == "Status"] or [200]
        self.answer(status[0], rest, [(k, v) for k, v in headers if k not in ("Status", "Content-Length")])


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], OSError):  # who went away, went away
            super().handle_error(request, address)


def start(root, port=0, tls=None, **options):
    """Serves in a thread; the server has .hub and .server_port; stop with .shutdown(). tls: a file of
    certificate and key, for https."""
    handler = type("Handler", (Handler,), {"hub": Github(root, **options), "scheme": "https" if tls else "http"})
    server = Server(("127.0.0.1", port), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.hub = handler.hub
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    p = argparse.ArgumentParser()
    p.add_argument("root")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--token", default="")
    p.add_argument("--app", default="")
    p.add_argument("--requests")
    a = p.parse_args()
    server = start(os.path.abspath(a.root), a.port, token=a.token, app=a.app, requests=a.requests)
    print(server.server_port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
