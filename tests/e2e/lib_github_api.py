"""What the double of GitHub answers: its REST API, a function a route, over bare repositories."""
import base64
import datetime
import os
import re
import subprocess
import time

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
