"""HTTP servers that misbehave, one way a path; TLS servers that must not be believed; a DNS server
that lies. Each remembers who came. Shares no code with healbus."""
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
METADATA = "http://169.254.169.254/latest/meta-data/"


def _for_ever(s, chunk, pause_s=0.0, limit=1 << 30):
    sent = 0
    while sent < limit:
        s.sendall(chunk)
        sent += len(chunk)
        if pause_s:
            time.sleep(pause_s)


def hang(peer, s):
    peer.stop.wait(600)


def slow(peer, s):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not peer.stop.wait(1):
        s.sendall(b"x")


def slow_head(peer, s):
    for b in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: yes\r\n" * 1000:
        s.sendall(bytes([b]))
        if peer.stop.wait(0.5):
            return


def garbage(peer, s):
    s.sendall(os.urandom(4096))


def endless(peer, s):
    s.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    _for_ever(s, b"A" * 65536)


def headers(peer, s):
    s.sendall(b"HTTP/1.1 200 OK\r\n")
    for i in range(100000):
        s.sendall(b"X-Header-%d: %s\r\n" % (i, b"v" * 100))
    s.sendall(b"Content-Length: 2\r\n\r\nok")


def bad_chunks(peer, s):
    s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a size\r\n")


def huge_chunk(peer, s):
    s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n")
    _for_ever(s, b"A" * 65536)


def half(peer, s):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
    s.shutdown(socket.SHUT_WR)


def no_answer(peer, s):
    s.close()


def too_many(peer, s):
    s.sendall(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1000000000\r\n"
              b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def broken(peer, s):
    s.sendall(b"HTTP/1.1 500 Internal Server Error\r\nRetry-After: 99999999999999999999\r\n"
              b"Content-Length: 0\r\nConnection: close\r\n\r\n")


def loop(peer, s):
    s.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/loop\r\n"
              b"Content-Length: 0\r\nConnection: close\r\n\r\n" % peer.port)


def metadata(peer, s):
    s.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + METADATA.encode() +
              b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def elsewhere(peer, s):
    s.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%d/trap\r\n"
              b"Content-Length: 0\r\nConnection: close\r\n\r\n" % peer.port)


def good(peer, s):
    s.sendall(OK)


def gzip_bomb(peer, s):
    import zlib
    z = zlib.compressobj(9, zlib.DEFLATED, 31)
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
    for _ in range(1024):
        s.sendall(z.compress(b"\0" * (1 << 20)))
    s.sendall(z.flush())


WAYS = {"/" + f.__name__.replace("_", "-"): f for f in (
    hang, slow, slow_head, garbage, endless, headers, bad_chunks, huge_chunk, half, no_answer,
    too_many, broken, loop, metadata, elsewhere, good, gzip_bomb)}
WAYS["/trap"] = good


class Peer:
    """One server for all ways; the first part of the path says which. .hits: [(path, body)]. A test adds
    its own ways to .more."""

    def __init__(self, wrap=None):
        self.hits = []
        self.more = {}
        self.connections = 0
        self.stop = threading.Event()
        self._wrap = wrap
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, way):
        return "http://127.0.0.1:%d/%s" % (self.port, way)

    def came(self, way):
        return [h for h in self.hits if h[0].split("?")[0] == "/" + way]

    def close(self):
        self.stop.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def _accept(self):
        while not self.stop.is_set():
            try:
                s = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            if self._wrap:
                s = self._wrap(s)
            s.settimeout(60)
            path, body = _read_request(s)
            if path:
                self.hits.append((path, body))
                path = path.split("?")[0]
                self.more.get(path, WAYS.get(path, no_answer))(self, s)
        except OSError:
            pass
        finally:
            s.close()


def _read_request(s):
    data = b""
    while b"\r\n\r\n" not in data:
        part = s.recv(65536)
        if not part or len(data) > 1 << 20:
            return None, b""
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"expect":
            s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < length:
        part = s.recv(65536)
        if not part:
            break
        body += part
    return head.split(b" ")[1].decode("latin-1"), body


# ---- TLS ----

def _openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def make_certificates(d):
    """A CA in d/ca.pem and servers' certificates: good, expired and wronghost are signed by it,
    selfsigned is not."""
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", d + "/ca.key", "-out",
             d + "/ca.pem", "-days", "30", "-subj", "/CN=test authority")
    # -not_after of `openssl x509` is newer than Debian 12's: `openssl ca` knows dates.
    with open(d + "/ca.conf", "w") as f:
        f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index\nnew_certs_dir=%s\nrand_serial=yes\n"
                "default_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n"
                "[p]\ncommonName=supplied\n" % (d, d))
    open(d + "/index", "w").close()
    for name, san, end in (("good", "DNS:localhost,IP:127.0.0.1", "20990101000000Z"),
                           ("expired", "DNS:localhost,IP:127.0.0.1", "20210101000000Z"),
                           ("wronghost", "DNS:elsewhere.test", "20990101000000Z")):
        _openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "%s/%s.key" % (d, name), "-out",
                 "%s/%s.csr" % (d, name), "-subj", "/CN=" + name, "-addext", "subjectAltName=" + san)
        _openssl("ca", "-batch", "-config", d + "/ca.conf", "-cert", d + "/ca.pem", "-keyfile",
                 d + "/ca.key", "-in", "%s/%s.csr" % (d, name), "-out", "%s/%s.pem" % (d, name),
                 "-startdate", "20200101000000Z", "-enddate", end, "-notext")
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", d + "/selfsigned.key",
             "-out", d + "/selfsigned.pem", "-days", "30", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1")


def tls_peer(d, name):
    """A Peer that speaks TLS with the certificate of that name; "old" speaks TLS 1.0 only, "mute"
    closes after it was greeted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = "good" if name == "old" else name
    if name == "mute":
        def wrap(s):
            s.recv(1)
            s.close()
            raise OSError("closed after ClientHello")
        return Peer(wrap)
    context.load_cert_chain("%s/%s.pem" % (d, certificate), "%s/%s.key" % (d, certificate))
    if name == "old":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    return Peer(lambda s: context.wrap_socket(s, server_side=True))


# ---- DNS ----

class Dns:
    """Answers A questions: gone.* does not exist, silent.* is never answered, flip.* is the first
    of `flip` the first time and the second ever after; all else is 127.0.0.1. Needs port 53 of
    `address` (a loopback address nobody uses)."""

    def __init__(self, address, flip=("127.0.0.1", "169.254.169.254")):
        self.asked = []
        self.flip = list(flip)
        self.flipped = 0
        self._s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._s.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._s.close()

    def _serve(self):
        while True:
            try:
                question, who = self._s.recvfrom(2048)
                answer = self._answer(question)
                if answer:
                    self._s.sendto(answer, who)
            except OSError:
                return

    def _answer(self, q):
        labels, at = [], 12
        while q[at]:
            labels.append(q[at + 1:at + 1 + q[at]].decode("latin-1"))
            at += 1 + q[at]
        kind = struct.unpack(">H", q[at + 1:at + 3])[0]
        name = ".".join(labels)
        self.asked.append((name, kind))
        head, body = q[:2], q[12:at + 5]
        if labels[0] == "silent":
            return None
        if labels[0] == "gone":
            return head + b"\x81\x83\0\x01\0\0\0\0\0\0" + body
        if kind != 1:
            return head + b"\x81\x80\0\x01\0\0\0\0\0\0" + body
        ip = "127.0.0.1"
        if labels[0] == "flip":
            ip = self.flip[min(self.flipped, 1)]
            self.flipped += 1
        return (head + b"\x81\x80\0\x01\0\x01\0\0\0\0" + body + b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04"
                + socket.inet_aton(ip))
