"""A small NATS client for what an operator, or an attacker with the admin's password, can do:
publish any bytes on any subject, delete and purge, read a stream. Shares no code with healbus."""
import json
import socket


class NatsError(Exception):
    pass


class NotStored(NatsError):
    pass


class Admin:
    def __init__(self, port, user=None, password=None, timeout_s=10, inbox="_INBOX_admin.fault"):
        self._s = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._f = self._s.makefile("rwb")
        self._inbox = inbox
        self.info = json.loads(self._f.readline()[5:])
        login = {"verbose": False, "pedantic": False, "headers": True}
        if user:
            login.update({"user": user, "pass": password})
        self._write(b"CONNECT " + json.dumps(login).encode() + b"\r\nSUB %s 1\r\nPING\r\n" %
                    self._inbox.encode())
        self._until_pong()

    def close(self):
        self._s.close()

    def _write(self, data):
        self._f.write(data)
        self._f.flush()

    def _line(self):
        line = self._f.readline()
        if not line:
            raise NatsError("closed")
        if line.startswith(b"PING"):
            self._write(b"PONG\r\n")
        if line.startswith(b"-ERR"):
            raise NatsError(line.decode("latin-1").strip())
        return line

    def _until_pong(self):
        while not self._line().startswith(b"PONG"):
            pass

    def publish(self, subject, data, headers=None, reply=""):
        """Fire and forget; flush() waits until the server has read it."""
        if headers:
            head = b"NATS/1.0\r\n" + b"".join(
                b"%s: %s\r\n" % (k.encode(), v.encode()) for k, v in headers.items()) + b"\r\n"
            self._f.write(b"HPUB %s %s %d %d\r\n" % (subject.encode(), reply.encode(), len(head),
                                                      len(head) + len(data)) + head + data + b"\r\n")
        else:
            self._f.write(b"PUB %s %s %d\r\n" % (subject.encode(), reply.encode(), len(data)) + data
                          + b"\r\n")

    def flush(self):
        self._write(b"PING\r\n")
        self._until_pong()

    def request(self, subject, data=b"", headers=None):
        """(headers as bytes, body) of the answer."""
        self.publish(subject, data, headers, self._inbox)
        self._f.flush()
        while True:
            words = self._line().split()
            if words and words[0] == b"MSG":
                body = self._f.read(int(words[-1]) + 2)[:-2]
                return b"", body
            if words and words[0] == b"HMSG":
                whole = self._f.read(int(words[-1]) + 2)[:-2]
                return whole[:int(words[-2])], whole[int(words[-2]):]

    def store(self, subject, data, headers=None):
        """Publishes and waits until the stream has it; its sequence number."""
        answer = json.loads(self.request(subject, data, headers)[1])
        if "error" in answer:
            raise NatsError(answer["error"])
        if not answer["seq"]:  # the id is known, but no majority has taken the message yet
            raise NotStored("not stored yet")
        return answer["seq"]

    def api(self, what, body=None):
        answer = json.loads(self.request("$JS.API." + what, json.dumps(body).encode() if body
                                         else b"")[1])
        if "error" in answer:
            raise NatsError("%s: %s" % (what, answer["error"].get("description")))
        return answer

    def state(self, stream):
        return self.api("STREAM.INFO." + stream)["state"]

    def purge(self, stream):
        return self.api("STREAM.PURGE." + stream)

    def delete_stream(self, stream):
        return self.api("STREAM.DELETE." + stream)

    def delete_consumer(self, stream, name):
        return self.api("CONSUMER.DELETE.%s.%s" % (stream, name))

    def consumers(self, stream):
        return self.api("CONSUMER.NAMES." + stream)["consumers"] or []
