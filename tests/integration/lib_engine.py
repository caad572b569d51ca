"""A double of the Docker Engine on a unix socket, as far as the broker may ask it, and faults that it can be told to
have. It speaks HTTP by itself and shares no code with what it judges."""
import hashlib
import json
import os
import re
import socket
import threading
import time
import urllib.parse

NEVER = "0001-01-01T00:00:00Z"


def frame(stream, text):
    data = text.encode()
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


class Container:
    def __init__(self, name, labels, env=(), log=(), tty=False):
        self.id = hashlib.sha256(name.encode()).hexdigest()
        self.name, self.labels, self.env, self.log, self.tty = name, labels, list(env), list(log), tty
        self.running, self.restarts = True, 0

    def inspect(self):
        return {"Id": self.id, "Name": "/" + self.name, "RestartCount": 0, "Path": "sh", "Args": ["-c", "run --key=SECRET"],
                "State": {"Status": "running" if self.running else "exited", "Running": self.running, "ExitCode": 0,
                          "StartedAt": "2026-01-01T00:00:%02dZ" % (self.restarts % 60), "FinishedAt": NEVER},
                "Config": {"Image": "nginx", "Env": self.env, "Labels": self.labels, "Tty": self.tty, "Cmd": ["SECRET"]},
                "HostConfig": {"Binds": ["/SECRET:/data"], "Memory": 0},
                "Mounts": [{"Type": "bind", "Source": "/SECRET", "Destination": "/data", "RW": True}],
                "NetworkSettings": {"Ports": {}}}

    def listed(self):
        return {"Id": self.id, "Names": ["/" + self.name], "Image": "nginx", "Command": "run --key=SECRET",
                "State": "running" if self.running else "exited", "Labels": self.labels}

    def logs(self, query):
        wanted = {1: query.get("stdout") in ("1", "true"), 2: query.get("stderr") in ("1", "true")}
        lines = [entry for entry in self.log if wanted[entry[0]]]
        if query.get("tail", "all") != "all":
            lines = lines[-int(query["tail"]):] if int(query["tail"]) else []
        return b"".join(text.encode() if self.tty else frame(stream, text) for stream, text in lines)


class Engine:
    """got: (method, target) of every request, as it came. fault: what happens to the next requests whose target matches
    a pattern: a function of (connection, container) that answers by itself and returns True, or None."""

    def __init__(self, path):
        self.path, self.got, self.fault, self.pattern = path, [], None, None
        self.containers, self.heads = [], []
        self.lock = threading.Lock()
        self.listener = None
        self.listen()

    def listen(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def add(self, *args, **more):
        c = Container(*args, **more)
        self.containers.append(c)
        return c

    def find(self, name):
        for c in self.containers:
            if c.name == name or c.id == name:
                return c
        found = [c for c in self.containers if re.fullmatch("[0-9a-f]+", name) and c.id.startswith(name)]
        return found[0] if len(found) == 1 else None

    def asked(self, pattern):
        return [target for _, target in self.got if re.search(pattern, target)]

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                self.answer(connection, head.decode())
        except OSError:
            pass
        finally:
            connection.close()

    def answer(self, connection, head):
        method, target, _ = head.split("\r\n")[0].split(" ")
        path, _, query = target.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        words = re.sub(r"^/v1\.\d+", "", path).strip("/").split("/")
        with self.lock:
            self.got.append((method, target))
            self.heads.append(head)
            fault = self.fault if self.pattern and re.search(self.pattern, target) else None
            container = self.find(words[1]) if len(words) == 3 else None
        if fault and fault(connection, container):
            return
        with self.lock:
            status, body, kind = self.respond(method, words, query, container)
        send(connection, status, body, kind)

    def respond(self, method, words, query, container):
        if words == ["_ping"]:
            return 200, b"OK", "text/plain"
        if words == ["version"]:
            return 200, json.dumps({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux",
                                    "Arch": "amd64", "KernelVersion": "SECRET"}).encode(), "application/json"
        if words == ["containers", "json"]:
            return 200, json.dumps(self.list(query)).encode(), "application/json"
        if len(words) == 3 and container is None:
            return 404, json.dumps({"message": "No such container: " + words[1]}).encode(), "application/json"
        if len(words) == 3 and method == "GET" and words[2] == "json":
            return 200, json.dumps(container.inspect()).encode(), "application/json"
        if len(words) == 3 and method == "GET" and words[2] == "logs":
            return 200, container.logs(query), "application/octet-stream"
        if len(words) == 3 and method == "POST" and words[2] in ("restart", "start", "stop"):
            return self.act(container, words[2]), b"", None
        return 404, b'{"message":"page not found"}', "application/json"

    def list(self, query):
        labels = json.loads(query.get("filters", "{}")).get("label", [])
        return [c.listed() for c in self.containers if (c.running or query.get("all") in ("1", "true"))
                and all(c.labels.get(text.split("=")[0]) == text.split("=", 1)[1] for text in labels)]

    def act(self, container, what):
        was, container.running = container.running, what != "stop"
        container.restarts += what == "restart"
        return 304 if what != "restart" and was == container.running else 204


def send(connection, status, body, kind):
    lines = ["HTTP/1.1 %d X" % status, "Api-Version: 1.41"]
    if status not in (204, 304):
        lines.append("Content-Length: %d" % len(body))
    if kind:
        lines.append("Content-Type: " + kind)
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def message(status, text):
    body = json.dumps({"message": text}).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


# ---- faults ----

def answering(data):
    """These bytes, and the end."""
    def fault(connection, _):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)
        return True
    return fault


def held_until(event, timeout_s=60, drop=False):
    """Nothing before the event; then what it would have been, or nothing at all."""
    def fault(connection, _):
        event.wait(timeout_s)
        if drop:
            connection.shutdown(socket.SHUT_RDWR)
        return drop
    return fault


def endless(connection, _):
    """A body that does not end, as fast as it is taken."""
    try:
        connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = frame(1, "x" * 65527 + "\n")
        while True:
            connection.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
    except OSError:
        return True


def trickling(connection, _):
    """One byte now and then."""
    try:
        connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.05)
    except OSError:
        return True
