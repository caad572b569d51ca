"""A NATS client for whoever has an nkey: over TLS, standard library and the openssl program. Shares no code with healbus."""
import base64
import json
import os
import socket
import ssl
import subprocess
import tempfile

# Of RFC 8410, an Ed25519 private key: what stands before the 32 bytes of the seed.
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")


class Refused(Exception):
    pass


def seed_of(text):
    """The 32 bytes in "SU...": base32 of two bytes of type, the seed, and a checksum."""
    text = text.strip()
    return base64.b32decode(text + "=" * (-len(text) % 8))[2:34]


def sign(seed_text, data):
    with tempfile.TemporaryDirectory() as folder:
        key, nonce = os.path.join(folder, "key"), os.path.join(folder, "nonce")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(PKCS8 + seed_of(seed_text))
        with open(nonce, "wb") as f:
            f.write(data)
        done = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key, "-in", nonce],
                              stdout=subprocess.PIPE, check=True)
    return base64.urlsafe_b64encode(done.stdout).decode().rstrip("=")


class Client:
    """public: "U...", seed: "SU...", or neither: a stranger. inbox: prefix of answers."""

    def __init__(self, port, ca, public=None, seed=None, inbox="_INBOX.test"):
        plain = socket.create_connection(("127.0.0.1", port), 10)
        # The server greets before it speaks TLS; byte by byte, so that nothing of the handshake is read away.
        greeting = b""
        while not greeting.endswith(b"\n"):
            byte = plain.recv(1)
            if not byte:
                raise Refused("closed before a greeting")
            greeting += byte
        self.info = json.loads(greeting[5:])
        self.socket = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname="localhost")
        self.file = self.socket.makefile("rwb")
        self.inbox = inbox
        self.errors = []
        login = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "tls_required": True}
        if seed:
            login.update(nkey=public.strip(), sig=sign(seed, self.info["nonce"].encode()))
        self.send(b"CONNECT " + json.dumps(login).encode() + b"\r\nSUB " + inbox.encode() + b".* 1\r\n")
        self.flush()
        if self.errors:
            raise Refused(self.errors[0])

    def close(self):
        self.socket.close()

    def send(self, data):
        self.file.write(data)
        self.file.flush()

    def read(self):
        """A line, but for what only keeps the connection; errors are kept as well."""
        line = self.file.readline()
        if not line:
            raise Refused(self.errors[0] if self.errors else "closed")
        if line.startswith(b"PING"):
            self.send(b"PONG\r\n")
        if line.startswith(b"-ERR"):
            self.errors.append(line.decode("latin-1").strip())
        return line

    def flush(self):
        self.send(b"PING\r\n")
        while not self.read().startswith(b"PONG"):
            pass

    def refused(self, protocol_line, payload=None):
        """What the server says against PUB or SUB; None: it takes it."""
        before = len(self.errors)
        self.send(protocol_line.encode() + b"\r\n" + (b"" if payload is None else payload + b"\r\n"))
        self.flush()
        return self.errors[before] if len(self.errors) > before else None

    def request(self, subject, data, tries=50):
        """The answer's bytes; Refused when the server will not have it."""
        self.send(("PUB %s %s.1 %d\r\n" % (subject, self.inbox, len(data))).encode() + data + b"\r\n")
        for _ in range(tries):
            before = len(self.errors)
            words = self.read().split()
            if len(self.errors) > before:
                raise Refused(self.errors[-1])
            if words and words[0] in (b"MSG", b"HMSG"):
                return self.file.read(int(words[-1]) + 2)[:-2]
        raise Refused("no answer")
