#!/usr/bin/env python3
"""Who gets in at the bus that healctl init makes, and whom our programs talk to: strangers, wrong keys, plain text, other
authorities, other hosts, client certificates. Real nats-server. TAP."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import done, free_port, ok, wait_for
from lib_nats import Nats, NatsError, nkey_login, nkey_seed

BUILD = os.environ.get("HEALBUS_BUILD", "build")
HEALCTL = os.path.join(BUILD, "healctl")


def healctl(*words, stdin="{}", prefix=(), **env):
    return subprocess.run([*prefix, HEALCTL, *words], capture_output=True, text=True, input=stdin, timeout=60, env=dict(os.environ, **env))


class Bus:
    def __init__(self, base, name, verify=False):
        self.dir, self.port = os.path.join(base, name), free_port()
        made = healctl("init", self.dir, "--listen", "127.0.0.1:%d" % self.port, "--source", "am")
        if made.returncode:
            raise RuntimeError(made.stderr)
        conf = self.path("nats/nats-server.conf")
        text = open(conf).read().replace(":8222", ":%d" % free_port())
        if verify:
            text = text.replace("\ttimeout: 5\n", "\ttimeout: 5\n\tverify: true\n")
        open(conf, "w").write(text)
        self.server = subprocess.Popen(["nats-server", "-c", conf], stderr=open(self.path("log"), "w"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def seed(self, user):
        return open(self.path("keys/%s.nk" % user)).read().strip()

    def up(self, **env):
        return wait_for("the streams", lambda: healctl("-c", self.dir, "doctor", "--fix", "--only", "bus", **env).returncode == 0)

    def stop(self):
        self.server.kill()
        self.server.wait()


def refuses(connect):
    try:
        connect().close()
    except (NatsError, OSError) as e:
        return str(e) or "closed"
    return None


def strangers(bus):
    ca = bus.path("tls/ca.pem")
    ok(refuses(lambda: Nats(bus.port, seed=bus.seed("monitor"), ca=ca)) is None, "who has a key gets in")
    for text, login in (("nobody", {}), ("a user with a password", {"user": "monitor", "pass": "monitor"}), ("a token", {"auth_token": "x"}),
                        ("an empty name", {"user": "", "pass": ""}), ("a public key without a signature", {
                            "nkey": open(bus.path("keys/monitor.pub")).read().strip()})):
        said = refuses(lambda login=login: Nats(bus.port, ca=ca, login=login))
        ok(said and "Authorization" in said, "refused: " + text, said)
    said = refuses(lambda: Nats(bus.port, seed=nkey_seed(os.urandom(32)), ca=ca))
    ok(said and "Authorization" in said, "refused: a key that nobody knows", said)
    forged = nkey_login(nkey_seed(os.urandom(32)), "x")
    forged["nkey"] = open(bus.path("keys/notifier.pub")).read().strip()
    said = refuses(lambda: Nats(bus.port, ca=ca, login=forged))
    ok(said and "Authorization" in said, "refused: another's name over one's own signature", said)
    stale = nkey_login(bus.seed("notifier"), "an old nonce")
    said = refuses(lambda: Nats(bus.port, ca=ca, login=stale))
    ok(said and "Authorization" in said, "refused: a signature that was heard before", said)
    said = refuses(lambda: Nats(bus.port, seed=bus.seed("monitor")))
    ok(bool(said), "refused: plain text", said)


def ours(bus, other):
    def publish(**env):
        return healctl("-c", bus.dir, "publish", "x", **env)

    url = "tls://%%s:%d" % bus.port
    ok(publish().returncode == 0, "our client by address")
    ok(publish(HEALBUS_BUS_URL=url % "localhost").returncode == 0, "and by name")
    r = publish(HEALBUS_BUS_CA_FILE=other.path("tls/ca.pem"))
    ok(r.returncode == 69 and "certificate" in r.stderr.lower() and "check ca_file" in r.stderr, "our client refuses a server of another authority", r)
    healctl("init", bus.dir, "--renew")
    lines = open("/etc/hosts").read().split()
    strange = next((n for n in lines if n not in ("localhost", "nats") and not n[0].isdigit() and ":" not in n and
                    resolves_here(n)), None)
    if strange:
        r = publish(HEALBUS_BUS_URL=url % strange)
        ok(r.returncode == 69 and "hostname mismatch" in r.stderr, "our client refuses a certificate for another host", r)
    else:
        ok(True, "a certificate for another host # skip no other name of 127.0.0.1 here")
    key = os.path.join(bus.dir, "strange.nk")
    with open(key, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(nkey_seed(os.urandom(32)) + "\n")
    r = publish(HEALBUS_BUS_NKEY_FILE=key)
    ok(r.returncode == 69 and "nkey_file" in r.stderr, "a wrong key is told, and what to look at", r)
    os.chmod(key, 0o644)
    r = publish(HEALBUS_BUS_NKEY_FILE=key)
    ok(r.returncode == 64 and "chmod 600" in r.stderr, "a key that others can read is refused", r)
    os.chmod(key, 0o600)
    secret = bus.seed("operator")
    with open(key, "w") as f:
        f.write(secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    r = publish(HEALBUS_BUS_NKEY_FILE=key)
    ok(r.returncode == 64 and "not the seed" in r.stderr and secret[:-1] not in r.stderr, "a mistyped one too, without telling it", r)
    r = publish(HEALBUS_BUS_USER="operator")
    ok(r.returncode == 64 and "leave out user" in r.stderr, "a key and a user together are refused", r)


def resolves_here(name):
    import socket
    try:
        return any(a[4][0].startswith("127.") for a in socket.getaddrinfo(name, None, socket.AF_INET))
    except OSError:
        return False


def new_key(bus):
    """A key is replaced while the server runs."""
    old = bus.seed("source-am")
    for end in ("nk", "pub"):
        os.unlink(bus.path("keys/source-am." + end))
    healctl("init", bus.dir, "--source", "am")
    bus.server.send_signal(signal.SIGHUP)
    ca = bus.path("tls/ca.pem")
    ok(wait_for("the new key", lambda: refuses(lambda: Nats(bus.port, seed=bus.seed("source-am"), ca=ca)) is None, 10) and
       refuses(lambda: Nats(bus.port, seed=old, ca=ca)), "after a reload the new key is let in, and the old one is not")


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def client_certificates(base, other):
    """Where the server asks for certificates too."""
    bus = Bus(base, "mutual", verify=True)
    try:
        ca, ca_key = bus.path("tls/ca.pem"), bus.path("tls/ca.key")
        own = {"HEALBUS_BUS_CERT_FILE": bus.path("own.pem"), "HEALBUS_BUS_KEY_FILE": bus.path("own.key")}
        for name, (by, by_key) in (("own", (ca, ca_key)), ("foreign", (other.path("tls/ca.pem"), other.path("tls/ca.key")))):
            openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name, "-keyout",
                    bus.path(name + ".key"), "-out", bus.path(name + ".csr"))
            openssl("x509", "-req", "-in", bus.path(name + ".csr"), "-CA", by, "-CAkey", by_key, "-CAcreateserial", "-days", "1", "-out",
                    bus.path(name + ".pem"))
        ok(bus.up(**own), "mutual TLS: with a certificate and a key our client gets in")
        r = healctl("-c", bus.dir, "publish", "x", **own)
        ok(r.returncode == 0, "and publishes", r)
        ok(healctl("-c", bus.dir, "publish", "x").returncode == 69, "without a certificate it does not")
        foreign = {k: v.replace("own.", "foreign.") for k, v in own.items()}
        ok(healctl("-c", bus.dir, "publish", "x", **foreign).returncode == 69, "nor with one of another authority")
        said = refuses(lambda: Nats(bus.port, ca=ca, cert=bus.path("own.pem"), key=bus.path("own.key")))
        ok(said and "Authorization" in said, "nor with a certificate alone", said)
    finally:
        bus.stop()


def warnings(bus):
    """healctl doctor, on days to come."""
    if not shutil.which("faketime"):
        ok(True, "warnings of doctor # skip no faketime")
        return
    for days, word, end in ((300, "ok", "ends in"), (340, "warn", "--renew"), (370, "fail", "has ended")):
        r = healctl("-c", bus.dir, "doctor", "--only", "bus", prefix=("faketime", "-f", "+%dd" % days))
        line = [at for at in r.stdout.splitlines() if at.startswith(word) and "certificate" in at and "nats.pem" in at]
        ok(bool(line) and (end in r.stdout), "after %d days doctor says %s" % (days, word), r)


def main():
    if not shutil.which("nats-server") or not shutil.which("openssl"):
        print("1..0 # skip no nats-server or no openssl")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    base = tempfile.mkdtemp(prefix="healbus-tls-")
    buses = []
    try:
        for name in ("one", "other"):
            buses.append(Bus(base, name))
        bus, other = buses
        ok(bus.up(), "the bus is up")
        strangers(bus)
        ours(bus, other)
        new_key(bus)
        client_certificates(base, other)
        warnings(bus)
    finally:
        for b in buses:
            b.stop()
        shutil.rmtree(base)
    return done()


sys.exit(main())
