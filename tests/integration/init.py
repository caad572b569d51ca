#!/usr/bin/env python3
"""healctl init: what it makes, that it never writes over it, and that a real nats-server and the real programs live on it. TAP."""
import glob
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import done, free_port, ok, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
HEALCTL = os.path.join(BUILD, "healctl")
servers = []


def healctl(*words, stdin="", **env):
    return subprocess.run([HEALCTL, *words], capture_output=True, text=True, input=stdin, timeout=60,
                          env=dict(os.environ, **env))


def tree(base):
    """Each file and folder below: mode, and digest of its bytes."""
    found = {}
    for top, folders, files in os.walk(base):
        for name in folders + files:
            path = os.path.join(top, name)
            mode = stat.S_IMODE(os.lstat(path).st_mode)
            data = b"" if os.path.isdir(path) else open(path, "rb").read()
            found[os.path.relpath(path, base)] = (mode, hashlib.sha256(data).hexdigest())
    return found


def start(conf, log):
    server = subprocess.Popen(["nats-server", "-c", conf], stderr=open(log, "a"), stdout=subprocess.DEVNULL)
    servers.append(server)
    return server


def openssl(*words):
    return subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=60)


EXPECTED = ["keys/%s.%s" % (u, e) for u in ("monitor", "reasoner", "executor", "notifier", "operator", "source-am") for e in ("nk", "pub")] + [
    "keys/decision.key", "keys/decision.key.pub", "keys/token.key", "tls/ca.pem", "tls/ca.key", "tls/nats.pem", "tls/nats.key",
    "nats/nats-server.conf", "nats/stack.conf", "nats/users.conf", "bus.yaml", ".gitignore", "keys", "nats", "tls", "tokens"] + [
    "tokens/" + s for s in ("monitor", "reasoner", "executor", "notifier")]


def files(base):
    d = os.path.join(base, "made")
    port = free_port()
    r = healctl("init", d, "--source", "am", "--listen", "127.0.0.1:%d" % port)
    ok(r.returncode == 0 and "Next:" in r.stdout and "doctor --fix" in r.stdout, "init makes a folder and says what is next", r)
    first = tree(d)
    ok(sorted(first) == sorted(EXPECTED), "exactly these files", sorted(set(first) ^ set(EXPECTED)))
    wrong = {n: oct(m) for n, (m, _) in first.items() if m & 0o077 and n != "keys/decision.key.pub"}
    ok(not wrong and stat.S_IMODE(os.stat(d).st_mode) == 0o700, "for its owner only", wrong)
    secrets = [open(os.path.join(d, n)).read().strip() for n in first if n.endswith((".nk", "token.key")) or n.startswith("tokens/")]
    ok(len(set(secrets)) == len(secrets) and not any(s in r.stdout + r.stderr for s in secrets), "secrets differ and are not shown")
    conf = open(os.path.join(d, "nats/users.conf")).read()
    ok(not any(s in conf for s in secrets) and conf.count("nkey: U") == 6, "users.conf holds public keys only")

    r = healctl("init", d)
    ok(r.returncode == 0 and tree(d) == first and "nothing was changed" in r.stdout, "a second run changes nothing", (r, tree(d) == first))
    with open(os.path.join(d, "nats/nats-server.conf"), "a") as f:
        f.write("# mine\n")
    os.unlink(os.path.join(d, "tokens/executor"))
    mine = tree(d)
    r = healctl("init", d, "--source", "one", "--source", "two,three", "--json")
    now = tree(d)
    changed = sorted(n for n in mine if now[n] != mine[n])
    ok(r.returncode == 0 and changed == ["nats/users.conf"], "another run adds what is missing and writes over nothing else", (r, changed))
    added = sorted(set(now) - set(mine))
    ok(added == sorted(["tokens/executor"] + ["keys/source-%s.%s" % (s, e) for s in ("one", "two", "three") for e in ("nk", "pub")]),
       "three sources, and what had been lost", added)
    os.unlink(os.path.join(d, "keys/source-one.nk"))
    before = open(os.path.join(d, "nats/users.conf")).read()
    healctl("init", d)
    ok(before == open(os.path.join(d, "nats/users.conf")).read() and not os.path.exists(os.path.join(d, "keys/source-one.nk")),
       "whose secret was given away stays a user")
    os.unlink(os.path.join(d, "keys/source-one.pub"))
    healctl("init", d)
    ok("raw.one" in before and "raw.one" not in open(os.path.join(d, "nats/users.conf")).read(), "whose two halves are gone is none")
    shutil.copy(os.path.join(d, "keys/source-two.pub"), os.path.join(d, "keys/monitor.pub"))
    r = healctl("init", d)
    ok(r.returncode == 1 and "keys/monitor.nk and .pub are no pair" in r.stderr, "halves that are no pair are told", r)
    os.unlink(os.path.join(d, "keys/monitor.pub"))
    ok(healctl("init", d).returncode == 0 and tree(d)["keys/monitor.pub"] == first["keys/monitor.pub"], "and the right half comes from the secret")
    leftovers = [n for n in tree(d) if n not in EXPECTED and "source-" not in n]
    ok(not leftovers, "no temporary files stay", leftovers)
    return d


def refusals(base):
    for words, said in ((["--source", "a b"], "--source a b"), (["--source", "tick"], "tick"), (["--host", "a b"], "--host a b"),
                        (["--host", "a,DNS:b"], "--host DNS:b"), (["--nodes", "2"], "--nodes 2"), (["--owner", "root"], "--owner root"),
                        (["--server", "3"], "--server 3"), (["--listen", 'a":1'], "--listen")):
        r = healctl("init", os.path.join(base, "no"), *words)
        ok(r.returncode in (1, 64) and said in r.stderr and "do:" in r.stderr, "refused: " + " ".join(words), r)
    os.mkdir(os.path.join(base, "open"))
    os.chmod(os.path.join(base, "open"), 0o755)
    r = healctl("init", os.path.join(base, "open"))
    ok(r.returncode == 1 and "chmod 700" in r.stderr, "a folder that others can read is refused", r)
    r = healctl("init", os.path.join(base, "a/b/c"))
    ok(r.returncode == 1 and "make the folder above" in r.stderr, "a folder without one above it is refused", r)


def versions(base):
    for server, syncs in (("2.9", False), ("2.10", True), ("2.10.27", True), ("2.11", True)):
        d = os.path.join(base, "v" + server)
        healctl("init", d, "--server", server)
        text = open(os.path.join(d, "nats/nats-server.conf")).read()
        ok(("\tsync_interval: always" in text) == syncs, "sync_interval: always for %s: %s" % (server, syncs), text)
        stack = open(os.path.join(d, "nats/stack.conf")).read()
        ok("\tsync_interval: always" in stack and "/etc/healbus/tls/nats.pem" in stack and d not in stack, "and always in the stack's", stack)
    texts = "".join(open(n).read() for n in glob.glob(os.path.join(base, "v*/nats/*.conf")))
    plain = "\n".join(line.split("#")[0] for line in texts.splitlines())
    ok("authorization" not in plain and "no_auth_user" not in plain and "$G" not in plain and "password" not in plain and
       plain.count("users: [") == 4 * 7 and plain.count("users: []") == 4 and 'http: "127.0.0.1:8222"' in plain and "0.0.0.0:8222" not in plain,
       "nothing anonymous, no authorization {}, monitoring on loopback")


def certificates(d):
    ca, cert = os.path.join(d, "tls/ca.pem"), os.path.join(d, "tls/nats.pem")
    ok(openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, cert).returncode == 0 and
       openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, cert).returncode == 0, "the certificate is good, strictly")
    for name, good in (("localhost", True), ("nats", True), ("nats-3", True), ("nats-0.nats", True), ("bus.example.net", False)):
        ok((openssl("verify", "-CAfile", ca, "-verify_hostname", name, cert).returncode == 0) == good, "it names %s: %s" % (name, good))
    ok(openssl("verify", "-CAfile", ca, "-verify_ip", "127.0.0.1", cert).returncode == 0, "it names 127.0.0.1")
    before = tree(d)
    r = healctl("init", d, "--host", "bus.example.net")
    ok(r.returncode == 1 and "--renew" in r.stderr and tree(d) == before, "a name that comes later asks for --renew", r)
    r = healctl("init", d, "--renew", "--host", "bus.example.net", "--host", "10.1.2.3", "--host", "fd00::7")
    changed = sorted(n for n, v in tree(d).items() if before.get(n) != v)
    ok(r.returncode == 0 and changed == ["tls/nats.pem"], "--renew writes a certificate and nothing else", (r, changed))
    ok(all(openssl("verify", "-CAfile", ca, "-verify_hostname", n, cert).returncode == 0 for n in ("bus.example.net", "nats-1")) and
       all(openssl("verify", "-CAfile", ca, "-verify_ip", n, cert).returncode == 0 for n in ("10.1.2.3", "fd00::7", "127.0.0.1")),
       "for the old names and the new ones")
    ends = openssl("x509", "-in", cert, "-noout", "-checkend", str(364 * 86400)).returncode
    ends_not = openssl("x509", "-in", cert, "-noout", "-checkend", str(366 * 86400)).returncode
    ok(ends == 0 and ends_not == 1, "for a year")
    shutil.move(os.path.join(d, "tls/ca.key"), os.path.join(d, "../ca.key"))
    r = healctl("init", d, "--renew")
    ok(r.returncode == 1 and "tls/ca.key" in r.stderr and "put it back" in r.stderr, "without the authority's key it cannot", r)
    ok(healctl("init", d).returncode == 0, "but all else goes on")
    shutil.move(os.path.join(d, "../ca.key"), os.path.join(d, "tls/ca.key"))


def bus(d):
    conf, log = os.path.join(d, "nats/nats-server.conf"), os.path.join(d, "../nats.log")
    with open(conf) as f:
        text = f.read().replace(":8222", ":%d" % free_port())
    with open(conf, "w") as f:
        f.write(text)
    start(conf, log)
    wait_for("the streams", lambda: healctl("-c", d, "doctor", "--fix", "--only", "bus").returncode == 0)
    r = healctl("-c", d, "doctor", "--only", "bus")
    ok(r.returncode == 0 and "streams and buckets are as declared" in r.stdout and "refuses strangers" in r.stdout,
       "a real nats-server, TLS, and healctl by its nkey", r)
    r = healctl("-c", d, "publish", "demo", stdin="{}")
    ok(r.returncode == 0 and "stored as 1 of RAW" in r.stdout, "and it can publish", r)
    env = {"HEALBUS_BUS_NKEY_FILE": os.path.join(d, "keys/source-two.nk")}
    r = healctl("-c", d, "publish", "demo", stdin="{}", **env)
    ok(r.returncode != 0, "a source's key is not the operator's", r)
    return conf, log


def node(d, other, n, ports, base):
    """stack-N.conf as a container of that name would see it; its store and ports are here."""
    text = open(os.path.join(d, "nats/stack-%d.conf" % n)).read()
    text = text.replace("/etc/healbus/", other + "/").replace("/data", os.path.join(base, "node-%s-%d" % (os.path.basename(other), n)))
    text = text.replace("\tsync_interval: always\n", "").replace("127.0.0.1:8222", "127.0.0.1:%d" % ports["http"][n])
    text = text.replace("0.0.0.0:4222", "127.0.0.1:%d" % ports["client"][n]).replace("0.0.0.0:6222", "127.0.0.1:%d" % ports["route"][n])
    for i in (1, 2, 3):
        text = text.replace("tls://nats-%d:6222" % i, "tls://127.0.0.1:%d" % ports["route"][i])
    # In nats/, for users.conf.
    conf = os.path.join(d, "nats/here-%d-%s.conf" % (n, os.path.basename(other)))
    with open(conf, "w") as f:
        f.write(text)
    return start(conf, os.path.join(base, "node-%d.log" % n))


def routes(port):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/routez" % port, timeout=5) as r:
            return {route["remote_id"] for route in json.load(r)["routes"]}
    except OSError:
        return set()


def cluster(base):
    d, stranger = os.path.join(base, "three"), os.path.join(base, "stranger")
    ok(healctl("init", d, "--nodes", "3").returncode == 0 and healctl("init", stranger).returncode == 0, "configuration of three nodes")
    ports = {kind: {n: free_port() for n in (1, 2, 3)} for kind in ("client", "route", "http")}
    node(d, d, 1, ports, base)
    node(d, d, 2, ports, base)
    ok(wait_for("two nodes", lambda: len(routes(ports["http"][1])) == 1 and len(routes(ports["http"][2])) == 1), "two of them find each other")
    foreign = node(d, stranger, 3, ports, base)
    log = os.path.join(base, "node-3.log")
    ok(wait_for("the refusal", lambda: "TLS route handshake error" in open(log).read()) and len(routes(ports["http"][1])) == 1,
       "one with a certificate of another authority is no node")
    foreign.kill()
    foreign.wait()
    node(d, d, 3, ports, base)
    ok(wait_for("three nodes", lambda: all(len(routes(ports["http"][n])) == 2 for n in (1, 2, 3))), "the third is, with its own")


def main():
    if not shutil.which("nats-server") or not shutil.which("openssl"):
        print("1..0 # skip no nats-server or no openssl")
        return 0
    base = tempfile.mkdtemp(prefix="healbus-init-")
    try:
        d = files(base)
        refusals(base)
        versions(base)
        certificates(d)
        bus(d)
        cluster(base)
    finally:
        for s in servers:
            s.send_signal(signal.SIGKILL)
            s.wait()
        shutil.rmtree(base)
    return done()


sys.exit(main())
