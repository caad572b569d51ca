"""A NATS client for tests that knows nkeys and TLS. Standard library only; shares no code with what it judges."""
import base64
import hashlib
import json
import socket
import ssl
import time

# ---- Ed25519 (RFC 8032), enough to sign ----

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
G_Y = 4 * pow(5, P - 2, P) % P
G_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
G = (G_X, G_Y, 1, G_X * G_Y % P)


def _add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _mul(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = _add(q, p)
        p = _add(p, p)
        n >>= 1
    return q


def _pack(p):
    z = pow(p[2], P - 2, P)
    return ((p[1] * z % P) | ((p[0] * z % P) & 1) << 255).to_bytes(32, "little")


def ed25519(secret, data):
    """(public key, signature)."""
    h = hashlib.sha512(secret).digest()
    a = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    public = _pack(_mul(a, G))
    r = int.from_bytes(hashlib.sha512(h[32:] + data).digest(), "little") % L
    big_r = _pack(_mul(r, G))
    k = int.from_bytes(hashlib.sha512(big_r + public + data).digest(), "little") % L
    return public, big_r + ((r + k * a) % L).to_bytes(32, "little")


# ---- nkeys ----

def _crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc.to_bytes(2, "little")


def _base32(data):
    return base64.b32encode(data + _crc16(data)).decode().rstrip("=")


def nkey_login(seed, nonce):
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    public, signature = ed25519(raw[2:34], nonce.encode())
    return {"nkey": _base32(bytes([20 << 3]) + public), "sig": base64.urlsafe_b64encode(signature).decode().rstrip("=")}


def nkey_seed(secret):
    """The seed of a user's nkey with these 32 bytes."""
    return _base32(bytes([18 << 3 | 20 << 3 >> 5, (20 << 3 & 31) << 3]) + secret)


# ---- the client ----

class NatsError(Exception):
    pass


class Nats:
    """Connected as who the seed says, or as nobody."""

    def __init__(self, port, seed=None, ca=None, cert=None, key=None, login=None):
        self._s = socket.create_connection(("127.0.0.1", port), 10)
        try:
            self._connect(seed, ca, cert, key, login or {})
        except BaseException:
            self._s.close()
            raise

    def _connect(self, seed, ca, cert, key, login):
        # The greeting comes before TLS; nothing may be read ahead.
        line = b""
        while not line.endswith(b"\n"):
            byte = self._s.recv(1)
            if not byte:
                raise NatsError("closed")
            line += byte
        self.info = json.loads(line[5:])
        if ca:
            context = ssl.create_default_context(cafile=ca)
            if cert:
                context.load_cert_chain(cert, key)
            self._s = context.wrap_socket(self._s, server_hostname="127.0.0.1")
        self._f = self._s.makefile("rwb")
        self.errors, self.messages = [], []
        login = dict({"verbose": False, "pedantic": False, "headers": True, "no_responders": False, "lang": "test"}, **login)
        if seed:
            login.update(nkey_login(seed, self.info.get("nonce", "")))
        self._f.write(b"CONNECT " + json.dumps(login).encode() + b"\r\n")
        self.flush()
        if self.errors:
            raise NatsError(self.errors[0])

    def close(self):
        self._f.close()
        self._s.close()

    def flush(self):
        """Everything written has been judged: self.errors, self.messages."""
        self._f.write(b"PING\r\n")
        self._f.flush()
        while True:
            line = self._f.readline()
            if not line:
                raise NatsError((self.errors or ["closed"])[0])
            words = line.split()
            if words[0] == b"PONG":
                return
            if words[0] == b"PING":
                self._f.write(b"PONG\r\n")
                self._f.flush()
            elif words[0] == b"-ERR":
                self.errors.append(line[5:].decode().strip())
            elif words[0] in (b"MSG", b"HMSG"):
                body = self._f.read(int(words[-1]) + 2)[:-2]
                self.messages.append((words[1].decode(), body[int(words[-2]):] if words[0] == b"HMSG" else body))

    def publish(self, subject, data=b"", reply=""):
        self._f.write(b"PUB %s %s %d\r\n" % (subject.encode(), reply.encode(), len(data)) + data + b"\r\n")

    def subscribe(self, subject, sid, queue=""):
        self._f.write(b"SUB %s %s %s\r\n" % (subject.encode(), queue.encode(), str(sid).encode()))

    def unsubscribe(self, sid):
        self._f.write(b"UNSUB %s\r\n" % str(sid).encode())

    def take_errors(self):
        self.flush()
        errors, self.errors = self.errors, []
        return errors

    def request(self, subject, body, inbox, timeout_s=5):
        """The answer as JSON; NatsError when it is refused or never comes."""
        self.messages = []
        self.publish(subject, body if isinstance(body, bytes) else json.dumps(body).encode(), inbox)
        end = time.monotonic() + timeout_s
        while not self.messages:
            errors = self.take_errors()
            if errors or time.monotonic() > end:
                raise NatsError(errors[0] if errors else "no answer from " + subject)
        return json.loads(self.messages[0][1])
