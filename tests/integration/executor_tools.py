#!/usr/bin/env python3
"""The shipped tools, really run in the sandbox against what this machine has: files, a runit
service, TLS, HTTP, a docker API on a unix socket, PostgreSQL if it is installed. TAP."""
import glob
import http.server
import os
import shutil
import socketserver
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_executor as ex  # noqa: E402
from lib_executor import World, Executor, outcome, plan, send_plan, step  # noqa: E402
from lib import done, free_port, ok, wait_for  # noqa: E402


class Api(http.server.BaseHTTPRequestHandler):
    """Docker's, RabbitMQ's and a job service's API, as far as the tools use them."""
    got = []
    stopped = False

    def answer(self):
        Api.got.append((self.command, self.path, self.headers.get("Authorization")))
        code, body = 200, b"{}"
        if self.path.endswith("/json"):
            body = b'{"State": {"Running": %s}}' % (b"false" if Api.stopped else b"true")
        elif self.command == "POST" and self.path.startswith("/containers/"):
            Api.stopped = "/stop" in self.path
            code, body = 204, b""
        elif "/logs" in self.path:
            body = b"2026-01-01T00:00:00Z it said this\n"
        elif self.path.endswith("/contents"):
            code, body = 204, b""
        elif "/queues/" in self.path:
            body = b'{"messages": 7}'
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def address_string(self):
        return "peer"

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("peer", 0)


class Rig:
    def __init__(self, w):
        self.w = w
        self.n = 0
        self.files = os.path.join(w.dir, "files")
        self.releases = os.path.join(w.dir, "deploy")
        os.makedirs(os.path.join(self.files, "cache/deep"))
        os.makedirs(os.path.join(self.releases, "releases/v1"))
        self.service = os.path.join(w.dir, "service")
        self.api_port, self.tls_port, self.pg_port = free_port(), free_port(), free_port()
        self.closed_port = free_port()
        self.socket = os.path.join(w.dir, "docker.sock")
        self.secret = os.path.join(w.dir, "queue-auth")
        with open(self.secret, "w") as f:
            f.write("Basic c2VjcmV0\n")
        os.chmod(self.secret, 0o600)
        for server in (http.server.ThreadingHTTPServer(("127.0.0.1", self.api_port), Api),
                       UnixServer(self.socket, Api)):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def config(self):
        return """
  - id: box
    tools: ["*"]
    manager: runit
    paths: [%s]
    read_paths: [/]
    hosts: [127.0.0.1, localhost]
    attributes:
      service_dir: %s
      deploy_root: %s
      container: web
      docker_socket: %s
      engine_socket: %s
      queue_api: http://127.0.0.1:%d
      queue_auth_file: %s
      jobs_api: http://127.0.0.1:%d/jobs
      pg_port: %d
      pg_socket_dir: %s/pg
rules:
  - {match: ['target="box"'], autonomy: auto, max_level: hard}
""" % (self.files, self.service, self.releases, self.socket, self.socket, self.api_port, self.secret,
            self.api_port, self.pg_port, self.w.dir)

    def run(self, tool, expect="healed", **params):
        self.n += 1
        incident = "tool-%d" % self.n
        send_plan(self.w, plan(incident, [step(tool, "box", **params)]))
        o = outcome(self.w, incident, 40)
        ok(o.get("verdict") == expect, "%s %s: %s" % (tool, params or "", expect), o)
        return o


def age(path, hours):
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_files(r):
    r.run("disk_usage", path="/", max_percent=100)
    r.run("disk_usage", path=r.files, max_percent=100)
    r.run("disk_usage", "failed", path="/", max_percent=1)
    old, new = os.path.join(r.files, "cache/deep/old"), os.path.join(r.files, "cache/new")
    outside = os.path.join(r.w.dir, "outside")
    os.mkdir(outside)
    for path in (old, new, os.path.join(outside, "kept")):
        open(path, "w").close()
    for path in (old, os.path.join(outside, "kept")):
        age(path, 50)
    os.symlink(outside, os.path.join(r.files, "cache/link"))
    r.run("clean_tmp", path=os.path.join(r.files, "cache"), older_than_hours=24)
    ok(not os.path.exists(old) and os.path.exists(new), "old files are gone, new ones are not")
    o = r.run("clean_tmp", "failed", path=os.path.join(r.files, "cache/link"))
    ok("symbolic link" in o["reason"] and os.path.exists(os.path.join(outside, "kept")),
       "a link out of the allowed paths is not followed", o)
    log = os.path.join(r.files, "a.log")
    with open(log, "w") as f:
        f.write("x" * 1000)
    r.run("truncate_log", path=log)
    ok(os.path.getsize(log) == 0, "the log is empty")
    r.run("truncate_log", "refused", path="/etc/hostname")
    r.run("deploy_rollback", to="v1")
    ok(os.readlink(os.path.join(r.releases, "current")) == "releases/v1", "the link points there")
    o = r.run("memory_report")
    ok("Mem:" in o["steps"][0]["output"], "the report is in the story", o)


def test_service(r):
    os.mkdir(r.service)
    run = os.path.join(r.service, "run")
    with open(run, "w") as f:
        f.write("#!/bin/sh\nexec sleep " + ex.NAP + "1\n")
    os.chmod(run, 0o755)
    runsv = r.w.spawn(["runsv", r.service], subprocess.DEVNULL)
    wait_for("runsv", lambda: "run:" in subprocess.run(
        ["sv", "status", r.service], capture_output=True, text=True).stdout)
    r.run("service_status")
    r.run("service_stop")
    r.run("service_status", "failed")
    r.run("service_start")
    r.run("service_reload")
    r.run("process_signal", signal="term")
    r.run("service_restart")
    subprocess.run(["sv", "force-shutdown", r.service], capture_output=True)
    runsv.wait()


def test_network(r):
    r.run("tcp_probe", host="127.0.0.1", port=r.api_port)
    r.run("tcp_probe", "failed", host="127.0.0.1", port=r.closed_port)
    r.run("tcp_probe", "refused", host="192.0.2.1", port=80)
    r.run("http_probe", url="http://127.0.0.1:%d/health" % r.api_port)
    r.run("http_probe", "failed", url="http://127.0.0.1:%d/" % r.api_port, status=503)
    r.run("http_probe", "refused", url="http://192.0.2.1/")
    r.run("dns_check", name="localhost")
    r.run("dns_check", "failed", name="no-such-name.invalid")
    cert = os.path.join(r.w.dir, "tls.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                    "/CN=localhost", "-keyout", cert + ".key", "-out", cert], check=True,
                   stderr=subprocess.DEVNULL)
    r.w.spawn(["openssl", "s_server", "-accept", "127.0.0.1:%d" % r.tls_port, "-cert", cert, "-key",
               cert + ".key", "-quiet"], subprocess.DEVNULL)
    wait_for("s_server", lambda: subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % r.tls_port], stdin=subprocess.DEVNULL,
        capture_output=True).returncode == 0)
    r.run("cert_check", host="localhost", port=r.tls_port, min_days=7)
    r.run("cert_check", "failed", host="localhost", port=r.tls_port, min_days=60)


def test_apis(r):
    r.run("docker_status")
    r.run("docker_restart")
    r.run("docker_stop")
    r.run("docker_stopped")
    r.run("docker_status", "failed")
    r.run("docker_start")
    o = r.run("docker_logs", lines=7)
    ok("it said this" in o["steps"][0]["output"], "the log is in the story", o)
    o = r.run("docker_inspect")
    ok("Running" in o["steps"][0]["output"], "and so is the inspection", o)
    r.run("docker_prune")
    r.run("queue_depth", queue="mail", max_messages=10)
    r.run("queue_depth", "failed", queue="mail", max_messages=5)
    r.run("queue_purge_stuck", queue="mail")
    r.run("job_cancel", job="17")
    asked = [(m, p) for m, p, _ in Api.got]
    ok(("POST", "/containers/web/restart?t=5") in asked and ("POST", "/containers/web/stop?t=10") in asked and ("POST", "/jobs/17/cancel") in asked
       and ("DELETE", "/api/queues/%2F/mail/contents") in asked, "the requests were these", asked)
    secrets = {a for _, p, a in Api.got if "/queues/" in p}
    ok(secrets == {"Basic c2VjcmV0"}, "the secret came from its file", secrets)
    told = r.w.busctl("dump", "STORY").decode()
    ok("c2VjcmV0" not in told, "and is not in any story")


def test_postgres(r):
    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not binaries:
        ok(True, "pg_* # skip no PostgreSQL")
        return
    data, sockets = os.path.join(r.w.dir, "pgdata"), os.path.join(r.w.dir, "pg")
    for path in (data, sockets):
        os.mkdir(path)
        shutil.chown(path, "postgres", "postgres")
    os.chmod(r.w.dir, 0o755)

    def as_postgres(*argv, **more):
        return subprocess.run(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                               *argv], capture_output=True, text=True, cwd=sockets, **more)
    as_postgres(binaries[-1] + "/initdb", "-D", data, "-A", "peer", "--no-sync", check=True)
    r.w.spawn(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
               binaries[-1] + "/postgres", "-D", data, "-p", str(r.pg_port), "-k", sockets, "-c",
               "listen_addresses="], subprocess.DEVNULL)
    sql = ["psql", "-h", sockets, "-p", str(r.pg_port), "-Atc"]
    wait_for("postgres", lambda: as_postgres(*sql, "select 1").returncode == 0)
    r.run("pg_reload")
    r.run("pg_terminate_idle", idle_minutes=30)
    r.run("pg_replication_status", "failed", max_lag_seconds=60)  # no standby at all


def main():
    if not shutil.which("nats-server") or not os.path.exists(ex.BUSCTL) or os.geteuid() != 0:
        print("1..0 # skip needs nats-server, busctl and root")
        return
    w = World()
    try:
        r = Rig(w)
        e = Executor.__new__(Executor)
        e.world, e.conf, e.http = w, os.path.join(w.dir, "conf"), free_port()
        e.log = os.path.join(w.dir, "executor.log")
        os.mkdir(e.conf)
        with open(os.path.join(e.conf, "bus.yaml"), "w") as f:
            f.write("url: nats://127.0.0.1:%d\n" % w.port)
        with open(os.path.join(e.conf, "executor.yaml"), "w") as f:
            f.write("state_dir: %s/state\nhttp: {listen: '127.0.0.1:%d'}\ntools_dir: %s\n"
                    "rate: {cooldown: 0s, target_per_hour: 500, global_per_hour: 500}\ntargets:%s"
                    % (w.dir, e.http, w.tools, r.config()))
        e.start()
        test_files(r)
        test_service(r)
        test_network(r)
        test_apis(r)
        test_postgres(r)
    except Exception:
        import traceback
        ok(False, "the test itself", traceback.format_exc())
        print("# " + e.tail().replace("\n", "\n# "))
    finally:
        ex.kill_all()
        shutil.rmtree(w.dir, ignore_errors=True)
    sys.exit(done())


main()
