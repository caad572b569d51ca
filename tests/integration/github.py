#!/usr/bin/env python3
"""GitHub's webhooks against the real monitor and a real nats-server: signatures, one incident a build,
replays, commands, every payload of the corpus, the remediation API. TAP."""
import hashlib
import hmac
import json
import os
import shutil
import sys
import uuid

from lib import done, now_ms, ok, skip, wait_for
from lib_monitor import CORPORA, PARTITIONS, World

SECRET, OLD_SECRET = b"n3w-s3cret", b"old-s3cret"
SHA1, SHA2 = "1" * 40, "2" * 40
CONFIG = """
group_interval: 200ms
github:
  secret_file: hooks
  own_login: healbus[bot]
remediate_wait: %s
"""


def frame(**body):
    return dict({"repository": {"full_name": "octo-org/web", "default_branch": "main"},
                 "sender": {"login": "ada", "type": "User"}, "installation": {"id": 7}}, **body)


def clock(minute, second=0):
    return "2026-11-21T12:%02d:%02dZ" % (minute, second)


def job(conclusion="failure", branch="main", sha=SHA1, minute=0, run=100):
    return "workflow_job", frame(action="completed", workflow_job={
        "id": run * 10, "run_id": run, "run_attempt": 1, "name": "test", "workflow_name": "Test",
        "head_branch": branch, "head_sha": sha, "conclusion": conclusion, "steps": [],
        "started_at": clock(minute, 5), "completed_at": clock(minute, 40)})


def run(conclusion="failure", branch="main", sha=SHA1, minute=0, number=100):
    return "workflow_run", frame(action="completed", workflow_run={
        "id": number, "run_attempt": 1, "name": "Test", "head_branch": branch, "head_sha": sha,
        "conclusion": conclusion, "run_started_at": clock(minute), "updated_at": clock(minute, 50),
        "head_commit": {"message": "a change"}, "pull_requests": []})


def check(branch="main", sha=SHA1):
    return "check_run", frame(action="completed", check_run={
        "id": 1, "name": "test", "head_sha": sha, "conclusion": "failure", "started_at": clock(0, 6),
        "completed_at": clock(0, 41), "app": {"slug": "github-actions"},
        "details_url": "https://github.com/octo-org/web/actions/runs/100/job/1000",
        "check_suite": {"head_branch": branch},
        "pull_requests": [{"number": 4, "head": {"ref": branch}, "base": {"ref": "main"}}]})


def suite(branch="main", sha=SHA1):
    return "check_suite", frame(action="completed", check_suite={
        "id": 2, "head_branch": branch, "head_sha": sha, "conclusion": "failure",
        "app": {"slug": "github-actions"}, "updated_at": clock(0, 45), "pull_requests": []})


def status(branch="main", sha=SHA1):
    return "status", frame(id=3, sha=sha, context="ci", state="failure", updated_at=clock(0, 44),
                           target_url="https://github.com/octo-org/web/actions/runs/100",
                           branches=[{"name": branch}], commit={"commit": {"message": "a change"}})


def comment(text, login="ada", association="OWNER", pull=4):
    return "issue_comment", frame(
        action="created", issue={"number": pull, "pull_request": {}}, sender={"login": login, "type": "User"},
        comment={"id": 5, "user": {"login": login, "type": "User"}, "body": text,
                 "author_association": association})


def push(branch, login="ada", kind="User", message="a change", sha=SHA2):
    return "push", frame(ref="refs/heads/" + branch, after=sha, deleted=False,
                         sender={"login": login, "type": kind}, head_commit={"message": message})


def signature(body, secret=SECRET):
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def deliver(w, event, body, secret=SECRET, **headers):
    """(status, answer) of one delivery; headers with _ for -."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"X-GitHub-Event": event, "X-GitHub-Delivery": str(uuid.uuid4())}
    if secret:
        sent["X-Hub-Signature-256"] = signature(data, secret)
    sent.update({k.replace("_", "-"): v for k, v in headers.items()})
    code, text, _ = w.request("POST", "/webhook/github", data,
                              {k: v for k, v in dict({"Content-Type": "application/json"}, **sent).items() if v})
    try:
        return code, json.loads(text)
    except ValueError:
        return code, text


def of(w, branch):
    """Incidents told of this branch, oldest first."""
    return [i for i in w.incidents() if i.get("labels", {}).get("branch") == branch]


def metric(w, start):
    return sum(float(line.split()[-1]) for line in w.get("/metrics")[1].splitlines()
               if line.startswith(start))


def test_door(w):
    event, body = job(branch="door")
    refused = [deliver(w, event, body, secret=None), deliver(w, event, body, secret=b"guess"),
               deliver(w, event, body, secret=None, X_Hub_Signature_256="sha256=" + "0" * 64),
               deliver(w, event, body, secret=None, X_Hub_Signature="sha1=" + "0" * 40),
               deliver(w, event, body, secret=SECRET + b"\n" + OLD_SECRET)]
    ok(all(r[0] == 401 for r in refused) and len({json.dumps(r[1]) for r in refused}) == 1,
       "without a good signature: 401, always the same", refused)
    ok("secret" not in json.dumps(refused), "and nothing is said of why")
    signed = json.dumps(body).encode()
    ok(deliver(w, event, signed + b" ", None, X_Hub_Signature_256=signature(signed))[0] == 401,
       "a changed body: 401")
    ok(not of(w, "door") and w.state("RAW")["messages"] == 0, "nothing of it is stored")
    for secret in (SECRET, OLD_SECRET):
        ok(deliver(w, "ping", {"zen": "Keep it logically awesome."}, secret)[0] == 200,
           "a ping signed with either secret: 200")
    for want, says, args in (
            (400, "X-GitHub-Event", (None, body)),
            (400, "X-GitHub-Event", ("a b", body)),
            (400, "JSON", (event, b'{"action"')),
            (400, "workflow_job.head_sha", (event, frame(action="completed", workflow_job={"name": "x"}))),
            (400, "repository.full_name", ("push", {"ref": "refs/heads/x"})),
            (413, "", (event, b" " * 1030000 + b"{}")),
            (202, "event", ("star", frame(action="created"))),
            (202, "action", ("workflow_job", frame(action="queued"))),
            (202, "conclusion", job("cancelled"))):
        code, answer = deliver(w, *args)
        ok(code == want and says in json.dumps(answer), "%s: %d %s" % (args[0], want, says), (code, answer))
    code, answer = deliver(w, event, body, Content_Type="application/x-www-form-urlencoded")
    ok(code == 400 and "application/json" in json.dumps(answer), "a form: 400, and what to set instead", answer)
    ok(metric(w, 'healbus_monitor_ignored_total{source="github",reason="conclusion"}') == 1,
       "what is ignored is counted by its reason")
    code, answer = deliver(w, *job(branch="old-secret"), secret=OLD_SECRET)
    ok(code == 202 and answer.get("id"), "the older of two secrets signs", answer)
    w.settle()
    ok(len(of(w, "old-secret")) == 1 and of(w, "old-secret")[0]["trusted"], "and is trusted")


def test_one_build(w):
    for event, body in (job(), check(), suite(), run(), status()):
        ok(deliver(w, event, body)[0] == 202, event + " is taken")
    w.settle()
    told = wait_for("four alerts", lambda: [i for i in of(w, "main") if i["fingerprints"] == 4])
    ok(len({i["id"] for i in of(w, "main")}) == 1, "a job, its check run, suite, run and status: one incident")
    ok(told and told[-1]["title"].startswith("CIFailure on octo-org/web"), "with its repository in the title")
    before = of(w, "main")[-1]["revision"]
    deliver(w, *job(sha=SHA2, minute=4, run=101))
    newer = wait_for("a new revision", lambda: [i for i in of(w, "main") if i["revision"] > before])
    shas = [e["annotations"]["sha"] for e in newer[-1]["events"] if e["labels"].get("job") == "test"]
    ok(shas == [SHA2], "a failure of a newer commit is told, with its commit", newer and newer[-1])
    deliver(w, *run("success", sha="3" * 40, minute=9, number=102))
    ok(wait_for("resolved", lambda: of(w, "main")[-1]["state"] == "resolved"), "the run's success ends it")
    ok(len({i["id"] for i in of(w, "main")}) == 1, "and it stayed one")


def test_replay(w):
    event, body = job(branch="main", minute=0)
    data, n = json.dumps(body).encode(), len(w.incidents())
    code, _ = deliver(w, event, data, X_GitHub_Delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958")
    ok(code == 202, "a redelivery is answered 202", code)
    # Past the stream's window for duplicates, a captured body comes in under another id.
    for i in range(3):
        w.busctl("pub", "raw.github", "-", "late-%d" % i, str(now_ms()), "application/json; event=" + event,
                 data=data)
    w.settle()
    ok(len(of(w, "main")) == len([i for i in w.incidents()[:n] if i["labels"].get("branch") == "main"]),
       "and without effect")
    deliver(w, *job(branch="captured", minute=1))
    deliver(w, *job("success", branch="captured", minute=2))
    w.settle()
    deliver(w, *comment("/heal fix it", pull=88))
    w.settle()
    n = len(w.incidents())
    for again in (job(branch="captured", minute=1), comment("/heal fix it", pull=88)):
        ok(deliver(w, *again)[0] == 202, "a captured delivery under another id: 202")
        w.busctl("pub", "raw.github", "-", again[0], str(now_ms()), "application/json; event=" + again[0],
                 data=json.dumps(again[1]))
    w.settle()
    ok(len(w.incidents()) == n + PARTITIONS, "only the markers are new", len(w.incidents()) - n)


def test_commands(w):
    deliver(w, *check(branch="topic"))
    w.settle()
    for body, reason in ((comment("/heal stop", "eve", "NONE"), "not_allowed"),
                         (comment("/heal stop", "eve", "CONTRIBUTOR"), "not_allowed"),
                         (comment("x\n> /heal stop"), "no_command"),
                         (comment("/heal explode"), "unknown_command"),
                         (push("topic", "healbus[bot]", "Bot"), "own_push"),
                         (push("topic", "dependabot[bot]", "Bot"), "bot"),
                         (comment("/heal fix", "dependabot[bot]"), "bot")):
        code, answer = deliver(w, *body)
        ok(code == 202 and answer == {"ignored": reason}, "ignored: " + reason, answer)
    ok(deliver(w, *comment("Hm.\n\n/heal retry another way"))[0] == 202, "an owner's command is taken")
    told = wait_for("command", lambda: [i for i in of(w, "topic") if i.get("command")])
    ok(told and told[-1]["command"]["verb"] == "retry" and told[-1]["command"]["text"] == "another way"
       and told[-1]["command"]["by"] == "ada", "and is with the incident of the pull request's branch", told)
    deliver(w, *push("topic"))
    ok(wait_for("push", lambda: of(w, "topic")[-1].get("command", {}).get("verb") == "push"),
       "a person's push is told")
    ok(len({i["id"] for i in of(w, "topic")}) == 1, "all in one incident")


def test_own_branch(w):
    owner = of(w, "topic")[-1]
    branch = "fix/test-11111111"
    deliver(w, *push(branch, "healbus[bot]", "Bot", "Fix\n\nHealbus-Incident: " + owner["id"]))
    deliver(w, *job(branch=branch, sha=SHA2, minute=20, run=300))
    told = wait_for("told", lambda: [i for i in of(w, "topic") if any(
        e["labels"]["branch"] == branch for e in i["events"])])
    ok(told and told[-1]["firing"] == owner["firing"], "a failure on our own branch is told with its incident")
    ok(not of(w, branch), "and opens none")


def test_status(w):
    code, text, _ = w.get("/api/status")
    answer = json.loads(text)
    mine = [i for i in answer["incidents"] if i["branch"] == "topic"]
    ok(code == 200 and len(mine) == 1 and mine[0]["state"] == "open" and mine[0]["age_ms"] >= 0
       and mine[0]["repository"] == "octo-org/web", "GET /api/status lists what goes on", answer)
    ok(answer["counts"]["open"] == len([i for i in answer["incidents"] if i["state"] == "open"]),
       "and counts it", answer["counts"])


def remediate(w, branch, number, **fields):
    body = {"workflow_run": dict({"id": number, "name": "Test", "conclusion": "failure", "head_branch": branch,
                                  "html_url": "https://github.com/octo-org/web/actions/runs/1", "head_sha": SHA1,
                                  "head_commit": {"message": "a change"}}, **fields),
            "repository": {"full_name": "octo-org/web"}}
    code, text, _ = w.request("POST", "/api/remediate/ci-failure", json.dumps(body).encode())
    return code, json.loads(text)


def test_remediate(w):
    code, answer = remediate(w, "asked", 501)
    ok(code == 202 and answer["status"] == "accepted" and answer["dedup_status"] == "new"
       and answer["specialist"] is None, "a failed run by the API: accepted, new", (code, answer))
    incident = answer["incident"]
    ok(wait_for("incident", lambda: [i for i in of(w, "asked") if i["id"] == incident]), "with its incident")
    w.busctl("send", "model", incident, "-", "ask-1", str(now_ms()), data=json.dumps(
        {"id": "m1", "incident": incident, "state": "answered", "ask": "a1", "diagnosis": {
            "failure_type": "test_failure", "specialist": "rex", "confidence": 0.9}}))
    code, answer = remediate(w, "asked", 502)
    ok((code, answer) == (200, {"status": "diagnosed", "incident": incident, "specialist": "rex",
                                "failure_type": "test_failure", "dedup_status": "existing"}),
       "again: the same incident, and what the reasoner found", (code, answer))
    for fields, says in (({"conclusion": "success"}, "success"), ({"conclusion": "cancelled"}, "conclusion"),
                         ({"head_commit": {"message": "no [skip-heal]"}}, "skip")):
        code, answer = remediate(w, "asked", 503, **fields)
        ok(code == 200 and answer["dedup_status"] == "skipped" and answer["reason"] == says,
           "skipped: " + says, (code, answer))
    w.nats.kill()
    w.nats.wait()
    code, answer = remediate(w, "asked", 505)
    ok(code == 503, "without the bus: 503", (code, answer))
    w.start_nats()
    ok(wait_for("taken", lambda: deliver(w, *job(branch="again", minute=30))[0] == 202), "and with it, on")
    code, answer = remediate(w, "asked", 504, head_sha="HEAD")
    ok(code == 400 and "workflow_run.head_sha" in json.dumps(answer), "refused with the field's path", answer)


def test_corpus(w):
    base = CORPORA + "/github-webhooks/"
    if not os.path.exists(base + "index.json"):
        skip("corpus", "no corpus")
        return
    rows, bad, taken, ignored = json.load(open(base + "index.json")), [], 0, {}
    for row in rows:
        code, answer = deliver(w, row["event"], open(base + row["file"], "rb").read())
        if code == 202 and "ignored" in answer:
            ignored[answer["ignored"]] = ignored.get(answer["ignored"], 0) + 1
        elif code in (200, 202):
            taken += 1
        elif not (code == 400 and answer.get("reason")):
            bad.append((row["file"], code, answer))
    print("# %d payloads: %d taken, ignored %s" % (len(rows), taken, json.dumps(ignored, sort_keys=True)))
    ok(not bad and len(rows) > 200, "every payload is accepted or refused for a stated reason", bad)
    w.settle()
    ok(not w.dump("DEAD"), "none died on the way", w.dump("DEAD"))
    ok(w.get("/readyz")[0] == 200, "and the monitor is well")


def test_without_secret(w):
    w.stop()
    w.configure("group_interval: 200ms\n")
    w.start()
    before = w.state("RAW")["messages"]
    answers = [deliver(w, *job(branch="open")), deliver(w, *job(branch="open"), secret=None),
               deliver(w, *job(branch="open"), secret=b"")]
    ok(all(a[0] == 401 for a in answers) and w.state("RAW")["messages"] == before,
       "with no secret configured everything is refused", answers)
    w.stop()
    w.configure("group_interval: 200ms\ngithub: {insecure: true}\n")
    w.start()
    ok(deliver(w, *job(branch="open"), secret=None)[0] == 202, "unless the configuration says insecure")
    w.settle()
    ok(of(w, "open"), "and then it opens an incident")


def main():
    if not shutil.which("nats-server"):
        print("1..1\nok 1 - github # skip no nats-server")
        return 0
    w = World()
    try:
        w.start_nats()
        w.busctl("provision")
        w.configure(CONFIG % "1500ms")
        with open(w.dir + "/etc/hooks", "wb", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(SECRET + b"\n" + OLD_SECRET + b"\n")
        ok(w.start(), "the monitor starts")
        for test in (test_door, test_one_build, test_replay, test_commands, test_own_branch, test_status,
                     test_remediate, test_corpus, test_without_secret):
            test(w)
        ok(w.stop() == 0, "it stops when told to")
    finally:
        w.close()
    return done()


if __name__ == "__main__":
    sys.exit(main())
