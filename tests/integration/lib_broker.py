"""What the tests of the Docker broker share: a client that sends bytes as they are, and a broker."""
import json
import os
import re
import signal
import socket
import subprocess

import lib_executor as ex
from lib import wait_for

LABEL = {"healbus.manage": "true"}
NOBODY = 65534
ROOT = os.geteuid() == 0


def complete(data):
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    if re.match(rb"HTTP/1\.1 (204|304)", head):
        return True
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if length:
        return len(body) >= int(length.group(1))
    return b"chunked" in head.lower() and body.endswith(b"0\r\n\r\n")


def ask(path, request, timeout_s=30):
    """Sends these bytes; (status, head, body) of the one answer that comes back; status 0: none did."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout_s)
    data = b""
    try:
        s.connect(path)
        s.sendall(request)
        while not complete(data):
            more = s.recv(65536)
            if not more:
                break
            data += more
    except OSError:
        pass
    finally:
        s.close()
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d+)", head)
    return (int(found.group(1)) if found else 0), head.decode(), body


def call(path, method, target, headers="", body=b"", timeout_s=30):
    head = "%s %s HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n%s\r\n" % (method, target, headers)
    return ask(path, head.encode() + body, timeout_s)


def reason(body):
    try:
        return json.loads(body).get("message", "")
    except ValueError:
        return ""


class Broker:
    """As nobody, where we may say so; else as who we are."""

    def __init__(self, dir, at, name="b", **config):
        self.dir, self.conf = dir, os.path.join(dir, "conf-" + name)
        run = os.path.join(dir, "run-" + name)
        self.socket, self.log = os.path.join(run, "docker.sock"), os.path.join(dir, name + ".log")
        for d in (self.conf, run):
            os.makedirs(d, exist_ok=True)
        if ROOT:
            os.chown(run, NOBODY, NOBODY)
        self.at = at
        self.configure(**config)
        self.group = str(os.stat(at).st_gid) if os.path.exists(at) else str(NOBODY)
        self.start()

    def configure(self, **config):
        config.setdefault("engine", {})["socket"] = self.at
        config.setdefault("listen", self.socket)
        with open(os.path.join(self.conf, "broker.yaml"), "w") as f:
            json.dump(config, f)

    def reload(self):
        """What it says about it: "configuration reloaded", or that it was not."""
        before = len(self.lines())
        self.p.send_signal(signal.SIGHUP)
        return wait_for("a word about the configuration", lambda: [
            x["msg"] for x in self.lines()[before:] if x["msg"].startswith("configuration ")])

    def start(self):
        program = [os.path.join(self.dir, "healbus-docker-broker"), "-c", self.conf]
        if ROOT:
            program = ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--groups=" + self.group, *program]
        self.p = subprocess.Popen(program, stdin=subprocess.DEVNULL, stderr=open(self.log, "a"))
        ex.children.append(self.p)
        wait_for("the broker", lambda: call(self.socket, "GET", "/healthz")[0] == 200)

    def get(self, target, **more):
        return call(self.socket, "GET", target, **more)

    def post(self, target, **more):
        return call(self.socket, "POST", target, headers="Content-Length: 0\r\n", **more)

    def lines(self):
        with open(self.log) as f:
            return [json.loads(line) for line in f if line.startswith("{")]

    def stop(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        return self.p.wait()
