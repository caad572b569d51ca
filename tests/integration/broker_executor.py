#!/usr/bin/env python3
"""The docker tools of the real executor through the real broker: to a double of the Engine, killed in the middle and
hanging; and the broker, and that double, against the real Engine where one runs. TAP."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_executor as ex  # noqa: E402
import lib_engine as le  # noqa: E402
from lib_executor import BUILD, World, Executor, outcome, plan, send_plan, step  # noqa: E402
from lib import done, ok, wait_for  # noqa: E402
from lib_broker import LABEL, ROOT, Broker, call  # noqa: E402


HANGS_S = 4  # longer than the broker waits for the Engine


def executor_for(w, b):
    e = Executor.__new__(Executor)
    e.world, e.conf, e.http = w, os.path.join(w.dir, "conf"), ex.free_port()
    e.log = os.path.join(w.dir, "executor.log")
    os.mkdir(e.conf)
    with open(os.path.join(e.conf, "bus.yaml"), "w") as f:
        f.write("url: nats://127.0.0.1:%d\n" % w.port)
    with open(os.path.join(e.conf, "executor.yaml"), "w") as f:
        json.dump({"state_dir": w.dir + "/state", "http": {"listen": "127.0.0.1:%d" % e.http}, "tools_dir": w.tools,
                   "rate": {"cooldown": "0s", "target_per_hour": 500, "global_per_hour": 500},
                   "targets": [{"id": t, "tools": ["docker_*"], "attributes": {"container": t, "docker_socket": b.socket}}
                               for t in ("web", "db")],
                   "rules": [{"match": ['target=~".+"'], "autonomy": "auto", "max_level": "hard"}]}, f)
    e.start()
    return e


def test_executor(e, dir, web):
    w = World()
    try:
        b = Broker(dir, e.path, "act", engine={"timeout": "2s"})
        executor_for(w, b)
        before = web.restarts

        def heal(incident, target, tool):
            send_plan(w, plan(incident, [step(tool, target)]))
            return outcome(w, incident, 60)
        o = heal("plain", "web", "docker_restart")
        ok(o.get("verdict") == "healed" and web.restarts == before + 1, "a restart through the broker heals", o)
        o = heal("stop", "web", "docker_stop")
        ok(o.get("verdict") == "healed" and not web.running, "a stop is checked", o)
        o = heal("start", "web", "docker_start")
        ok(o.get("verdict") == "healed" and web.running, "a start, too", o)
        o = heal("foreign", "db", "docker_restart")
        ok(o.get("verdict") == "failed" and "healbus.manage=true" in json.dumps(o), "a container without the label: failed, and why", o)
        o = heal("prune", "web", "docker_prune")
        ok(o.get("verdict") == "failed", "what the broker refuses fails", o)

        # The broker dies while the Engine restarts the container.
        go, before = threading.Event(), web.restarts
        e.pattern, e.fault = "/restart", le.held_until(go)
        e.got.clear()
        send_plan(w, plan("killed", [step("docker_restart", "web")]))
        wait_for("the restart", lambda: e.asked("/restart"))
        b.stop(signal.SIGKILL)
        go.set()
        b.start()
        o = outcome(w, "killed", 90)
        acts = [s for s in w.of_kind("killed", "step") if s.get("phase") == "act"]
        ok(acts and acts[-1]["state"] == "unknown", "a broker killed in the middle: the step is unknown", acts)
        ok(o.get("verdict") == "healed" and "check holds" in o.get("reason", ""), "and its check settles it", o)
        ok(len(e.asked("/restart")) == 1 and web.restarts == before + 1, "it was asked once", e.got)

        # The Engine never answers: the broker says so, and the check finds it down.
        def falls(_, container):
            container.running = False
            time.sleep(HANGS_S)
            return True
        e.pattern, e.fault = "/restart", falls
        e.got.clear()
        check = {"tool": "docker_status", "target": "web", "deadline_ms": 1000, "interval_ms": 200}
        send_plan(w, plan("hangs", [dict(step("docker_restart", "web"), verify=check)]))
        o = outcome(w, "hangs", 120)
        acts = [s for s in w.of_kind("hangs", "step") if s.get("phase") == "act"]
        ok(acts and acts[-1]["state"] == "unknown" and "504" in acts[-1]["reason"], "an Engine that hangs: unknown", acts)
        ok(o.get("verdict") == "unknown" and len(e.asked("/restart")) == 1, "its check does not hold: a person is told", o)
        e.pattern, web.running = None, True
        b.stop()
    finally:
        shutil.rmtree(w.dir, ignore_errors=True)


# ---- the real Engine ----

def contract(path, name, unlabelled):
    """What a driver of the API sees of these two containers: the same of the double and of the real one."""
    def shape(method, target):
        s, head, body = call(path, method, target, headers="Content-Length: 0\r\n" if method == "POST" else "")
        return s, body
    inspected = json.loads(unchunk(*call(path, "GET", "/containers/%s/json" % name)))
    s404, body404 = shape("POST", "/containers/no-such-container/restart?t=0")
    logs = unchunk(*call(path, "GET", "/containers/%s/logs?stdout=1&stderr=1&tail=5" % name))
    listed = json.loads(unchunk(*call(path, "GET", "/containers/json?all=1&" + "filters=%7B%22label%22%3A%5B%22healbus.manage%3Dtrue%22%5D%7D")))
    return {
        "id": bool(re.fullmatch("[0-9a-f]{64}", inspected["Id"])), "name": inspected["Name"] == "/" + name,
        "keys": {k for k in ("State", "Config", "Mounts", "HostConfig", "NetworkSettings") if k in inspected},
        "running": inspected["State"]["Running"], "tty": inspected["Config"]["Tty"], "label": inspected["Config"]["Labels"].get("healbus.manage"),
        "404": (s404, b"No such container" in body404), "frames": logs[:4] in (b"\1\0\0\0", b"\2\0\0\0"),
        "listed": "/" + name in [c["Names"][0] for c in listed] and "/" + unlabelled not in [c["Names"][0] for c in listed],
        "restart": shape("POST", "/containers/%s/restart?t=0" % name), "running already": shape("POST", "/containers/%s/start" % name)[0],
        "stop": shape("POST", "/containers/%s/stop?t=0" % name), "stopped already": shape("POST", "/containers/%s/stop?t=0" % name)[0],
        "start": shape("POST", "/containers/%s/start" % name),
    }


def unchunk(_, head, body):
    if "chunked" not in head.lower():
        return body
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        out, body = out + body[:int(size, 16)], body[int(size, 16) + 2:]
    return out


def docker(*args):
    return subprocess.run(["docker", *args], capture_output=True, text=True)


def test_real_engine(e, dir):
    real = "/var/run/docker.sock"
    image = docker("images", "-q", "debian").stdout.split() if shutil.which("docker") else []
    if not ROOT or not os.path.exists(real) or docker("info").returncode or not image:
        ok(True, "the real Engine # skip no Docker Engine with a debian image (and root)")
        return
    ours, other = "broker-test-%d" % os.getpid(), "broker-test-%d-other" % os.getpid()
    say = ["sh", "-c", "echo out; echo err >&2; exec sleep 600"]
    try:
        docker("run", "-d", "--name", ours, "--label", "healbus.manage=true", "-e", "PASSWORD=SECRET", image[0], *say)
        docker("run", "-d", "--name", other, image[0], *say)
        e.add(ours, LABEL, log=[(1, "out\n"), (2, "err\n")])
        e.add(other, {})
        wait_for("its log", lambda: "err" in docker("logs", ours).stderr)
        want, have = contract(real, ours, other), contract(e.path, ours, other)
        ok(want == have, "the double answers as the real Engine does", "%s\n%s" % (want, have))
        b = Broker(dir, real, "real")
        started = "{{.State.StartedAt}}"
        before = docker("inspect", "-f", started, ours, other).stdout.split()
        s = b.post("/v1.41/containers/%s/restart?t=0" % ours)[0]
        s2, _, body = b.post("/containers/%s/restart?t=0" % other)
        after = docker("inspect", "-f", started, ours, other).stdout.split()
        ok(s == 204 and before[0] != after[0], "a labelled container restarts", (s, before, after))
        ok(s2 == 403 and before[1] == after[1], "one without the label does not", (s2, body))
        s, _, body = b.get("/containers/%s/json" % ours)
        ok(s == 200 and b"SECRET" not in body and b"PASSWORD=<removed>" in body, "its secrets stay", body)
        s, _, body = b.get("/containers/%s/logs" % ours)
        ok(s == 200 and body.count(b"out\n") >= 2 and b"err\n" in body and b"\0" not in body, "its log is plain text", body)
        os.chmod(b.socket, 0o666)
        env = dict(os.environ, DOCKER_HOST="unix://" + b.socket)
        for args in (["run", "--rm", image[0], "true"], ["exec", ours, "true"], ["rm", "-f", ours], ["kill", ours], ["cp", ours + ":/etc", "/tmp"],
                     ["volume", "create", ours], ["network", "ls"], ["images"]):
            r = subprocess.run(["docker", *args], capture_output=True, text=True, env=env)
            ok(r.returncode != 0 and "healbus-docker-broker: " in r.stderr, "docker %s through it: refused" % args[0], r.stderr)
        r = subprocess.run(["docker", "restart", "-t", "0", ours], capture_output=True, text=True, env=env)
        ok(r.returncode == 0, "docker restart through it works", r.stderr)
        b.stop()
    finally:
        docker("rm", "-f", ours, other)


def main():
    dir = tempfile.mkdtemp(prefix="healbus-broker-")
    os.chmod(dir, 0o755)
    shutil.copy(os.path.join(BUILD, "healbus-docker-broker"), dir)
    e = le.Engine(os.path.join(dir, "engine.sock"))
    web = e.add("web", LABEL)
    e.add("db", {"healbus.manage": "false"})
    try:
        if ROOT and shutil.which("nats-server") and os.path.exists(ex.BUSCTL):
            test_executor(e, dir, web)
        else:
            ok(True, "under the executor # skip needs nats-server, busctl and root")
        test_real_engine(e, dir)
    except Exception:
        import traceback
        ok(False, "the test itself", traceback.format_exc())
    finally:
        ex.kill_all()
        shutil.rmtree(dir, ignore_errors=True)
    sys.exit(done())


main()
