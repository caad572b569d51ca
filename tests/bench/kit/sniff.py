"""Listens to everything on a bus. What arrives is only noted with its time, and read afterwards."""
import re
import socket
import threading
import time

HEAD = re.compile(rb"MSG (\S+) \S+ (?:(\S+) )?(\d+)\r\n|HMSG (\S+) \S+ (?:(\S+) )?\d+ (\d+)\r\n")
IDS = re.compile(r"[a-z0-9]{20}")


class Reader:
    """Takes the server's bytes as they come."""

    def __init__(self):
        self.rest = b""

    def messages(self, data):
        """(subject, reply) of each message that is whole by now; whatever else the server says is passed over."""
        self.rest += data
        while b"\r\n" in self.rest:
            match = HEAD.match(self.rest)
            if not match:
                self.rest = self.rest[self.rest.find(b"\r\n") + 2:]
                continue
            subject, reply, size = (match.group(i) or match.group(i + 3) for i in (1, 2, 3))
            end = match.end() + int(size) + 2
            if len(self.rest) < end:
                return
            self.rest = self.rest[end:]
            yield subject.decode(), (reply or b"").decode()


class Sniffer:
    def __init__(self, port):
        self.chunks, self.reader = [], Reader()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB > 1\r\nPING\r\n')
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            data = self.socket.recv(1 << 20)
            now = time.time_ns()
            if not data:
                return
            self.chunks.append((now, data))
            if b"PING\r\n" in data:
                self.socket.sendall(b"PONG\r\n")

    def named(self, since_ns=0):
        """(when, who, what) of what came since the last call."""
        chunks, self.chunks = self.chunks, []
        asked, found = {}, []
        for when, data in chunks:
            for subject, reply in self.reader.messages(data):
                who, what = name(subject, reply, asked)
                found.append((when, who, what))
        return [f for f in found if f[0] >= since_ns]


def owner(inbox):
    """Whose inbox it is: the client's name is in it."""
    return inbox.split(".")[0].removeprefix("_INBOX_").split("-")[0] if inbox.startswith("_INBOX_") else ""


def shorten(subject):
    parts = subject.split(".")
    if subject.startswith("$KV."):
        return f"put {parts[1].lower()} " + re.sub(r"^(plan|rate|target|group)-.*", r"\1-*", IDS.sub("*", parts[2]))
    if subject.startswith("$JS.ACK."):
        return f"ack {parts[2]} {parts[3]}"
    if subject.startswith("$JS.API."):
        return IDS.sub("*", ".".join(parts[2:]))
    if parts[0] in ("heal", "event", "raw"):
        return ".".join(parts[:2] if parts[0] == "heal" else parts[:1])
    return IDS.sub("*", subject)


def name(subject, reply, asked):
    """(who, what); an answer is named after its question, which is remembered in `asked`."""
    if subject in asked:
        who, what = asked[subject]
        return who, f"... answer: {what}"
    if reply.startswith("$JS.ACK."):
        return "nats-server", f"delivers {shorten(subject)}"
    if subject.startswith("_INBOX_"):
        return "nats-server", f"a word to {owner(subject)}"
    who, what = owner(reply), shorten(subject)
    if reply:
        asked[reply] = (who, what)
    return who, what
