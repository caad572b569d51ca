#!/usr/bin/env python3
"""The reasoner's memory: learned from what happened, asked by HTTP, told to and asked from other memories (doubles,
and a real Chroma where it is installed), rebuilt from the bus. TAP."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

import lib_memory
import lib_models
from lib import done, free_port, now_ms, ok, skip, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
BUSCTL = os.path.join(BUILD, "tests/integration/busctl")
CHROMA = os.path.join(BUILD, "peers/chroma/node_modules/.bin/chroma")


if not shutil.which("nats-server"):
    print("1..0 # skip no nats-server")
    sys.exit(0)

base = tempfile.mkdtemp(prefix="healbus-memory-")
nats_port, port = free_port(), free_port()
env = dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % nats_port,
           HEALBUS_REASONER_URL="http://127.0.0.1:%d" % port)
procs = []
RUNBOOK = """
name: any
description: whatever it is
match: ['service!=""']
target: '{{ .labels.service }}'
cooldown: 0
attempts:
  - {why: 'Restart {{ .labels.service }}.', steps: [{tool: service_restart}]}
  - {why: 'Start it clean.', steps: [{tool: service_clean}]}
"""


def start(name, argv, log):
    p = subprocess.Popen(argv, env=env, stdout=open(base + "/" + log, "a"), stderr=subprocess.STDOUT)
    procs.append(p)
    return p


def stop(p):
    p.terminate()
    p.wait(30)
    procs.remove(p)


def get(path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read() or b"{}")
    except (OSError, ValueError) as e:
        return 0, str(e)


def like(text, more=""):
    return get("/memory?like=%s&k=3%s" % (urllib.parse.quote(text), more))[1]


def send(kind, token, message, name):
    r = subprocess.run([BUSCTL, "send", kind, token, "-", name], env=env, text=True, input=json.dumps(message),
                       capture_output=True)
    if r.returncode:
        ok(False, "a message is sent", (message, r.stderr))


def incident(name, state, revision, title, alert):
    send("incident", name, {"id": name, "key": "k-" + name, "state": state, "revision": revision, "trusted": True,
                            "set_by": "monitor", "severity": "critical", "title": title, "opened_at_ms": now_ms() - 60000,
                            "labels": {"alertname": alert, "service": "web"}}, "%s-%d" % (name, revision))


def wait_plan(name, n):
    r = subprocess.run([BUSCTL, "wait", "STORY", "heal.plan." + name, str(n), "20"], env=env, text=True, capture_output=True)
    return [json.loads(line)["message"] for line in r.stdout.splitlines()]


def outcome(name, plan, verdict, reason, tool, state):
    send("outcome", name, {"id": "o-" + plan["id"], "incident": name, "incident_key": "k-" + name, "plan_id": plan["id"],
                           "plan_digest": "ab" * 32, "verdict": verdict, "reason": reason, "attempt": plan["attempt"],
                           "steps": [{"incident": name, "plan_id": plan["id"], "step_id": "s-" + plan["id"], "tool": tool,
                                      "phase": "act", "state": state}]}, "o-" + plan["id"])


def live_through(name, title, alert):
    """Opened, one attempt in vain, one that heals, resolved."""
    incident(name, "open", 1, title, alert)
    plans = wait_plan(name, 1)
    outcome(name, plans[0], "failed", "exit code 1", "service_restart", "failed")
    plans = wait_plan(name, 2)
    outcome(name, plans[1], "healed", "", "service_clean", "done")
    incident(name, "resolved", 2, title, alert)


def configure(stores, embeddings=""):
    with open(base + "/reasoner.yaml", "w") as f:
        f.write('state_dir: %s/state\nhttp: {listen: "127.0.0.1:%d"}\nrunbooks_dir: %s/runbooks\nmemory:\n'
                '  recall: 3\n%s  stores: [%s]\n' % (base, port, base, embeddings, ", ".join(stores)))


def reasoner():
    p = start("reasoner", [os.path.join(BUILD, "healbus-reasoner"), "-c", base], "reasoner.log")
    wait_for("the reasoner is ready", lambda: get("/readyz")[0] == 200)
    return p


def remembered(n):
    return wait_for("%d memories" % n, lambda: get("/memory")[1].get("count") == n)


def test_learned():
    live_through("i1", "Disk 93 % full on web-1", "DiskFull")
    live_through("i2", "Certificate of web expires in 3 days", "CertificateExpires")
    ok(remembered(2), "incidents that were worked on are remembered when they close", get("/memory"))
    status, one = get("/memory/i1")
    ok(status == 200 and one["healed"] and one["took_ms"] >= 60000 and one["labels"]["alertname"] == "DiskFull"
       and one["tried"][0]["reason"] == "exit code 1" and one["steps"][0]["tool"] == "service_clean",
       "with what worked, what did not and why, and how long it took", one)
    ok("93" not in one["signature"] and "disk" in one["signature"], "its signature holds no numbers", one)
    ok(get("/memory/nobody")[0] == 404, "an unknown one is not found")
    found = like("disk 12% full on db-7")["memories"]
    ok(found and found[0]["incident"] == "i1" and 0 < found[0]["similarity"] <= 1 and "steps" not in found[0],
       "the most alike comes first", found)
    rates = {r["tool"]: r for r in get("/statistics")[1]["statistics"]}
    ok((rates["service_clean"]["successes"], rates["service_clean"]["failures"]) == (2, 0)
       and (rates["service_restart"]["successes"], rates["service_restart"]["failures"]) == (0, 2)
       and rates[""]["successes"] == rates[""]["failures"] == 2, "successes and failures are counted", rates)
    ok(abs(rates["service_clean"]["mean"] - 0.75) < 1e-6 and rates["service_clean"]["lower"] < 0.5 <
       rates["service_clean"]["mean"], "and judged with care", rates)


def healctl(*words):
    return subprocess.run([os.path.join(BUILD, "healctl")] + list(words), env=dict(env, HOME=base), capture_output=True, text=True,
                          timeout=60)


def test_healctl():
    r = healctl("memory", "--like", "disk 5% full")
    ok(r.returncode == 0 and "service_clean(web)" in r.stdout and "2 incidents are remembered" in r.stdout and
       "i1" in r.stdout, "healctl memory --like", (r.stdout, r.stderr))
    r = healctl("memory", "i1")
    ok(r.returncode == 0 and "healed after" in r.stdout and "failed: service_restart(web): exit code 1" in r.stdout,
       "healctl memory INCIDENT", (r.stdout, r.stderr))
    r = healctl("rates")
    ok(r.returncode == 0 and "2 of 2" in r.stdout and "75 %" in r.stdout, "healctl rates", (r.stdout, r.stderr))
    r = healctl("rates", "--json")
    ok(r.returncode == 0 and len(json.loads(r.stdout)["statistics"]) == 3, "and as JSON", (r.stdout, r.stderr))
    r = healctl("memory", "--reasoner", "http://127.0.0.1:1")
    ok(r.returncode == 69 and "healbus-reasoner" in r.stderr, "without a reasoner it says so", r.stderr)
    ok(healctl("memory", "nobody").returncode == 1, "and what is not there")


def test_told(double):
    told = double.wait_paths(2, "/upsert")
    ok(len(told) == 2 and told[0][1]["ids"] == ["i1"] and "service_clean(web)" in told[0][1]["documents"][0],
       "a Chroma is told each memory", told)
    told = double.wait_paths(2, "/memory/add")
    ok(len(told) == 2 and told[1][1]["content"].startswith("incident: i2\n") and told[1][2] == "Bearer sesame",
       "and an OpenMemory, with its token", told)
    embedded = double.wait_paths(2, "/v1/embeddings")
    ok(len(embedded) >= 2 and embedded[0][1]["model"] == "tiny", "with vectors of the configured API", embedded[:1])


def test_asked(double):
    theirs = ("incident: elsewhere\ntype: disk-full\nspecialist: bolt\nhealed: yes\ntook_ms: 7\n\n"
              "cleaned the disk of another house\n\nlog\tdisk full on web")
    double.records["elsewhere"] = (unit(double.embed("log disk full on web")), theirs)
    found = like("disk full on web", "&others=1")
    names = [m["incident"] for m in found["memories"]]
    ok(set(names) >= {"i1", "elsewhere"} and found["missing"] == [], "what others remember is merged", found)
    ok(len(names) == len(set(names)), "each incident once", names)
    ok("elsewhere" not in [m["incident"] for m in like("disk full on web")["memories"]], "only when they are asked")
    for mode in ("down", "garbage"):
        double.mode = mode
        found = like("disk full on web", "&others=1")
        ok(found["memories"][0]["incident"] == "i1" and len(found["missing"]) == 2,
           "others %s: it is said, and ours answers" % mode, found)
    double.mode = "hang"
    found = like("disk full on web", "&others=1")
    ok(found["memories"][0]["incident"] == "i1" and len(found["missing"]) == 2, "others hang: the same", found)
    double.mode = "ok"


def unit(vector):
    size = sum(x * x for x in vector) ** 0.5
    return [x / size for x in vector]


def test_outage(double, process):
    """Told later what was missed; told nothing twice by a restart."""
    double.mode = "down"
    live_through("i3", "Queue of web is 900 long", "QueueLong")
    remembered(3)
    before = len(double.wait_paths(1, "/memory/add"))
    stop(process)
    double.mode = "ok"
    process = reasoner()
    told = wait_for("the missed memory", lambda: [s for s in double.seen[:] if s[0] == "/memory/add"
                                                  and s[1]["content"].startswith("incident: i3\n")] or None)
    ok(told, "a store that was away is told what it missed")
    again = [s for s in double.seen if s[0] == "/memory/add" and s[1]["content"].startswith("incident: i1\n")]
    ok(len(again) == 1 and before >= 2, "and nothing twice", again)
    return process


def test_rebuilt(process):
    before = subprocess.run([os.path.join(BUILD, "healbus-reasoner"), "-c", base, "hash"], env=env, capture_output=True,
                            text=True).stdout if stop(process) is None else ""
    shutil.rmtree(base + "/state")
    process = reasoner()
    ok(remembered(3) and get("/memory/i1")[1]["healed"], "deleted, the memory comes back from the bus")
    stop(process)
    after = subprocess.run([os.path.join(BUILD, "healbus-reasoner"), "-c", base, "hash"], env=env, capture_output=True,
                           text=True).stdout
    ok(before and before == after, "to the byte", (before, after))


def test_requests(double):
    for name, paths in (("chroma.json", {"/collections": "/collections", "/upsert": "/collections/{collection_id}/upsert",
                                         "/query": "/collections/{collection_id}/query"}),
                        ("openai.json", {"/v1/embeddings": "/v1/embeddings"})):
        path = lib_models.spec_path(name)
        if not os.path.exists(path):
            skip("requests as in " + name, "no specs")
            continue
        spec, wrong, judged = lib_models.Spec(path), [], 0
        for end, template in paths.items():
            prefix = "/api/v2/tenants/{tenant}/databases/{database}" if name == "chroma.json" else ""
            schema = spec.body_schema(prefix + template)
            for seen in double.seen:
                if seen[0].endswith(end) and not seen[0].startswith("/memory/"):
                    judged += 1
                    wrong += spec.errors(schema, seen[1])
        ok(judged > 3 and not wrong, "requests as in " + name, (judged, wrong[:5]))
        ok(spec.errors(schema, {"query_embeddings": 5, "input": 5}), "and the judge sees a wrong one in " + name)


def test_real_chroma():
    if not os.path.exists(CHROMA):
        for text in ("a real Chroma is told", "and asked"):
            skip(text, "no chroma (make peers)")
        return
    at = free_port()
    chroma = start("chroma", [CHROMA, "run", "--path", base + "/chroma", "--port", str(at), "--host", "127.0.0.1"], "chroma.log")

    def beats():
        try:
            return urllib.request.urlopen("http://127.0.0.1:%d/api/v2/heartbeat" % at, timeout=5).status == 200
        except OSError:
            return False
    wait_for("Chroma", beats)
    configure(["{name: real, kind: chroma, url: 'http://127.0.0.1:%d'}" % at])
    process = reasoner()
    remembered(3)
    cursor = base + "/state/memories/real"
    told = wait_for("three memories told", lambda: os.path.exists(cursor) and open(cursor).read().strip() == "3")
    ok(told, "a real Chroma is told", open(base + "/reasoner.log").read()[-1500:])
    found = like("disk full", "&others=1")
    url = "http://127.0.0.1:%d/api/v2/tenants/default_tenant/databases/default_database/collections" % at
    collection = json.load(urllib.request.urlopen(url))[0]
    n = json.load(urllib.request.urlopen(url + "/" + collection["id"] + "/count"))
    ok(found["missing"] == [] and n == 3 and found["memories"][0]["incident"] == "i1", "and asked", (found, n))
    stop(process)
    stop(chroma)


double = lib_memory.Double()
try:
    os.mkdir(base + "/runbooks")
    with open(base + "/runbooks/any.yaml", "w") as f:
        f.write(RUNBOOK)
    with open(base + "/token", "w") as f:
        f.write("sesame\n")
    os.chmod(base + "/token", 0o600)
    start("nats", ["nats-server", "-js", "-sd", base + "/js", "-a", "127.0.0.1", "-p", str(nats_port)], "nats.log")
    subprocess.run([BUSCTL, "up", "20"], env=env, check=True, capture_output=True)
    subprocess.run([BUSCTL, "provision"], env=env, check=True, capture_output=True)
    configure(["{name: c, kind: chroma, url: '%s', timeout: 2s}" % double.url,
               "{name: o, kind: openmemory, url: '%s', token_file: token, timeout: 2s}" % double.url],
              "  embeddings: {url: '%s/v1', model: tiny, timeout: 2s}\n" % double.url)
    the_reasoner = reasoner()
    ok(get("/memory")[1] == {"count": 0, "memories": []} and get("/statistics")[1] == {"statistics": [], "misrouted": []},
       "nothing is remembered at first")
    test_learned()
    test_healctl()
    test_told(double)
    test_asked(double)
    the_reasoner = test_outage(double, the_reasoner)
    test_rebuilt(the_reasoner)
    test_requests(double)
    test_real_chroma()
finally:
    double.close()
    for p in procs:
        p.kill()
        p.wait()
    shutil.rmtree(base, ignore_errors=True)

sys.exit(done())
