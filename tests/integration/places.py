#!/usr/bin/env python3
"""Cells in a Kubernetes Job and in a run of a TrueFoundry job, against doubles that really run what they get. TAP."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib_cluster  # noqa: E402
from lib import done, ok  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))


def check(name, good, detail=""):
    ok(good, name, detail)


class World:
    """A double, a tree, and the executor's place that is to run something on it."""

    def __init__(self, place, tls=None):
        self.place, self.dir = place, tempfile.mkdtemp(prefix="healbus-places-")
        self.double = lib_cluster.Kubernetes(tls) if place == "kubernetes" else lib_cluster.TrueFoundry(
            os.path.join(ROOT, "deploy/truefoundry/cell.sh"))
        self.tree = os.path.join(self.dir, "tree")
        self.token = os.path.join(self.dir, "token")
        os.mkdir(self.tree)
        with open(os.open(self.token, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(lib_cluster.TOKEN + "\n")
        self.write("a.txt", "one\n")
        self.said = ""

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.double.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        if kind is None:
            check(self.place + ": the double had nothing to object", not self.double.problems, self.double.problems)
            check(self.place + ": the token is in no object and in nothing said", all(
                lib_cluster.TOKEN not in body + path for _, path, body in self.double.requests) and
                lib_cluster.TOKEN not in self.said, self.said)

    def write(self, name, text):
        with open(os.path.join(self.tree, name), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, name):
        try:
            with open(os.path.join(self.tree, name), encoding="utf-8") as f:
                return f.read()
        except OSError as e:
            return repr(e)

    def job(self, shell=None, argv=None, env=(), **more):
        return json.dumps({"place": self.place, "url": self.double.url, "token_file": self.token, "image": "registry.example/cell@sha256:0",
                           "namespace": "healbus-cells", "job": getattr(self.double, "job", None), "network_policy": True,
                           "dir": self.tree, "argv": argv or ["/bin/sh", "-c", shell],
                           "env": ["PATH=/usr/bin:/bin", *env], **more})

    def kill_amid(self, shell, when):
        with subprocess.Popen([os.path.join(BUILD, "tests/integration/placectl")], stdin=subprocess.PIPE, text=True) as p:
            p.stdin.write(self.job(shell))
            p.stdin.close()
            deadline = time.monotonic() + 20
            while not when() and time.monotonic() < deadline:
                time.sleep(0.02)
            p.kill()

    def run(self, shell=None, **more):
        r = subprocess.run([os.path.join(BUILD, "tests/integration/placectl")], input=self.job(shell, **more), text=True,
                           capture_output=True, timeout=120, check=False)
        self.said += r.stdout + r.stderr
        if r.returncode:
            raise RuntimeError("placectl: %d %s" % (r.returncode, r.stderr))
        said = json.loads(r.stdout)
        blameless = said["state"] == "unknown" or "did not start" in said["why"]
        if said["not_tried"] != blameless:
            check(self.place + ": whether the place or the program is to blame", False, said)
        return said

    def nothing_left(self):
        d = self.double
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            left = [*d.jobs, *d.secrets, *d.pods] if self.place == "kubernetes" else list(d.runs)
            if not left:
                break
            time.sleep(0.05)
        check(self.place + ": nothing is left there", not left, left)


def ended(r, code=0):
    return r["state"] == "ended" and r["exit_code"] == code


WORK = "cat a.txt; echo two >>a.txt; mkdir -p n/d; echo y >n/d/c; echo out; echo err >&2; exit 3"
WORDS = ["$(HOME)", "$$", "$(PATH) `id` ; rm -rf /", "a b", "", "'\"\\", "{{nonce}}", "-", "zwölf"]


def same_for_both(place):
    with World(place) as w:
        r = w.run(WORK)
        check(place + ": runs, with exit code and output", ended(r, 3) and r["output"] == "one\nout\nerr\n", r)
        check(place + ": the tree comes back", (w.read("a.txt"), w.read("n/d/c")) == ("one\ntwo\n", "y\n"), os.listdir(w.tree))
        w.nothing_left()

        r = w.run(argv=["/usr/bin/printf", "[%s]\\n", *WORDS], env=["HOME=/tmp", "V=$(PATH) $$ x"])
        check(place + ": arguments are arguments", ended(r) and r["output"] == "".join("[%s]\n" % x for x in WORDS), r)
        r = w.run('printf %s "$V"', env=["V=$(PATH) $$ `x`"])
        check(place + ": values are values", ended(r) and r["output"] == "$(PATH) $$ `x`", r)

        r = w.run("rm a.txt; ln -s /etc/shadow a.txt; mkfifo p; cp /bin/true s; chmod 6755 s; mkdir k; chmod 0 k; "
                  "ln s hard; (sleep 60 & ); echo w >own")
        mode = os.stat(os.path.join(w.tree, "s")).st_mode if ended(r) else 0
        check(place + ": a hostile tree comes back harmless", ended(r) and os.path.islink(os.path.join(w.tree, "a.txt")) and
              not os.path.lexists(os.path.join(w.tree, "p")) and not mode & 0o7000 and w.read("own") == "w\n", r)
        r = w.run("yes abcdefg | head -c 3000000; echo LAST; exit 0", keep_end=True)
        check(place + ": long output: its end", ended(r) and r["truncated"] and len(r["output"]) == 10000 and
              r["output"].endswith("LAST\n"), (r["state"], r["why"], r["output"][-100:]))
        r = w.run("echo FIRST; yes abcdefg | head -c 3000000", keep_end=False)
        check(place + ": long output: its beginning", ended(r) and r["truncated"] and r["output"].startswith("FIRST"), r["why"])
        r = w.run("echo x >gone; echo said", discard=True)
        check(place + ": discarded", ended(r) and r["output"] == "said\n" and not os.path.exists(os.path.join(w.tree, "gone")), r)
        w.write("keep", "kept\n")
        r = w.run("rm keep; head -c 7000000 /dev/urandom >big")
        check(place + ": a tree too large to come back: nothing of it", r["state"] == "failed" and "KiB packed" in r["why"] and
              w.read("keep") == "kept\n", r)
        w.nothing_left()

        before = len(w.double.requests)
        with open(os.path.join(w.tree, "big"), "wb") as f:
            f.write(os.urandom(7 << 20))
        r = w.run("true", disk_bytes=32 << 20)
        check(place + ": a tree too large to go there is refused before anything is asked",
              r["state"] == "failed" and "did not start" in r["why"] and "too large for this place" in r["why"] and
              len(w.double.requests) == before, r)
        os.remove(os.path.join(w.tree, "big"))
        for what, more, word in (("unconfirmed network", {"network_policy": False}, "network_policy"),
                                 ("http to elsewhere", {"url": "http://192.0.2.1"}, "must be https"),
                                 ("no token", {"token_file": None}, "token_file")):
            r = w.run("true", **more)
            check(place + ": refused: " + what, r["state"] == "failed" and word in r["why"] and
                  len(w.double.requests) == before, r)


def kubernetes_objects():
    with World("kubernetes") as w:
        given = os.path.join(w.dir, "input")
        with open(given, "wb") as f:
            f.write(os.urandom(950 << 10).hex().encode()[:1 << 20])
        with open(os.path.join(w.tree, "noise"), "wb") as f:
            f.write(os.urandom(2 << 20))
        r = w.run("wc -c; wc -c <noise; rm noise", input=given, node_selector="pool=cells,zone=a", runtime_class="gvisor")
        check("kubernetes: a tree in several Secrets, with standard input", ended(r) and
              r["output"].split() == ["1048576", str(2 << 20)] and len(w.double.seen_secrets) >= 4, r)
        job = w.double.seen_jobs[0]
        pod = job["spec"]["template"]["spec"]
        check("kubernetes: restricted Pod Security Standard", not lib_cluster.restricted(pod), lib_cluster.restricted(pod))
        check("kubernetes: and more than that", not lib_cluster.stricter(pod), lib_cluster.stricter(pod))
        spec = job["spec"]
        check("kubernetes: ends by itself, once", spec["backoffLimit"] == 0 and spec["activeDeadlineSeconds"] <= 20 + 121 and
              spec["ttlSecondsAfterFinished"] > 0, spec)
        check("kubernetes: node and runtime as configured", pod["nodeSelector"] == {"pool": "cells", "zone": "a"} and
              pod["runtimeClassName"] == "gvisor", pod)
        labels = {json.dumps(o["metadata"]["labels"], sort_keys=True) for o in [job, spec["template"], *w.double.seen_secrets]}
        check("kubernetes: all can be found by one label", len(labels) == 1 and '"healbus"' in labels.pop(), labels)
        nonce = pod["containers"][0]["command"][3]
        others = json.dumps([pod["initContainers"], w.double.seen_secrets])
        check("kubernetes: only the courier knows the nonce", len(nonce) == 20 and nonce not in others, nonce)
        pod = json.loads(json.dumps(pod))
        del pod["initContainers"][1]["securityContext"]["capabilities"]
        pod["hostPID"] = True
        check("control: the check of the standard can fail", len(lib_cluster.restricted(pod)) == 2, lib_cluster.restricted(pod))


def kubernetes_tls():
    with tempfile.TemporaryDirectory() as d:
        for name in ("own", "other"):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-days", "2", "-subj", "/CN=" + name, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                            os.path.join(d, name + ".key"), "-out", os.path.join(d, name + ".pem")],
                           check=True, capture_output=True)
        with World("kubernetes", (os.path.join(d, "own.pem"), os.path.join(d, "own.key"))) as w:
            r = w.run("echo x", ca_file=os.path.join(d, "own.pem"))
            check("kubernetes: https with the cluster's own certificate", ended(r) and r["output"] == "x\n", r)
            before = len(w.double.requests)
            for ca in (os.path.join(d, "other.pem"), None):
                r = w.run("echo x", ca_file=ca)
                check("kubernetes: a certificate of somebody else is sent no token", r["state"] == "failed" and
                      "did not start" in r["why"] and len(w.double.requests) == before, r)


def kubernetes_faults():
    with World("kubernetes") as w:
        d = w.double

        def expect(name, state, *words, change=None, **more):
            t = time.monotonic()
            r = w.run(**{"shell": "echo z >a.txt", **more})
            good = r["state"] == state and all(x in r["why"] for x in words) and time.monotonic() - t < 60
            if state != "ended":
                good = good and w.read("a.txt") == "one\n"
            check("kubernetes: " + name, good, (r, w.read("a.txt")))
            if change:
                change()
            w.write("a.txt", "one\n")
            d.faults.clear()

        d.next("POST .*/jobs", 403, "exceeded quota: cells")
        expect("403: did not start", "failed", "did not start", "403", "exceeded quota: cells")
        d.next("POST .*/jobs", 409, "already exists")
        expect("409: did not start", "failed", "did not start", "409")
        d.next("POST .*/secrets", 403, "forbidden")
        expect("no right to make Secrets: did not start", "failed", "did not start", "forbidden")
        d.next("POST .*/jobs", 429, "slow down", times=2)
        expect("429 is waited out", "ended")
        d.next("GET .*/pods$", 500, "etcd", times=3)
        expect("a server that errs for a while", "ended")
        d.next("GET .*", 200, slow=1, times=3)
        expect("a slow server", "ended")
        d.next("POST .*/jobs", 0)
        expect("a request that was lost: did not start", "failed", "did not start")
        d.next("POST .*/jobs", 0, after=True)
        expect("an answer that was lost: unknown", "unknown", "no answer")
        w.nothing_left()
        d.next("GET .*", 0, times=99)
        expect("a server that is gone: unknown", "unknown", "no answer", shell="sleep 1", timeout_ms=2500)
        d.next("GET .*", 401, "Unauthorized", times=99)
        expect("a token that ends in between: unknown", "unknown", "401")
        w.nothing_left()

        d.evict = "program"
        expect("an evicted pod", "failed", "Evicted", "low on resource")
        d.evict = "unpack"
        expect("evicted before the program: did not start", "failed", "did not start", "Evicted")
        d.evict = None
        for reason, words in (("ImagePullBackOff", ["did not start in time", "ImagePullBackOff"]),
                              ("InvalidImageName", ["did not start", "InvalidImageName"]),
                              ("quota", ["did not start in time", "no pod"])):
            d.pending = reason
            expect("a pod that cannot start: " + reason, "failed", *words, start_timeout_ms=1000)
        d.pending = None
        expect("a deadline", "failed", "timed out", shell="echo z >a.txt; sleep 20", timeout_ms=1500)
        expect("a lock that is lost", "failed", "lock was lost", shell="echo z >a.txt; sleep 20", ticks=6)
        w.nothing_left()

        for name, edit, words in (
                ("a log cut at its beginning, as by rotation", lambda raw: raw[raw.index(b"\n") + 1:], ["cut: line 1"]),
                ("a log cut at its end", lambda raw: raw[:-30], ["cut"]),
                ("no log", lambda raw: b"", ["cut"]),
                ("garbage in a line", lambda raw: raw.replace(b" t ", b" t !", 1), ["damaged"]),
                ("a tree that does not unpack", lambda raw: re.sub(rb" t (....)", rb" t AAAA", raw, count=1), ["whole"]),
                ("no exit code", lambda raw: re.sub(rb" c \d+", b" c ", raw), ["no exit code"]),
                ("lines of another nonce", lambda raw: raw.replace(raw[:20], b"a" * 20), ["cut"])):
            d.edit_log = edit
            expect(name, "failed", *words)
        d.edit_log = lambda raw: b"noise\n" + raw.replace(raw[:20], b"b" * 20) + b"\n".join(
            reversed(raw.strip().split(b"\n"))) + b"\n" + raw
        expect("noise, forged lines, order and repetition do not matter", "ended")
        d.edit_log = lambda raw: raw
        d.next("DELETE .*", 500, times=2)
        expect("a Job that is deleted at the third try", "ended")
        w.nothing_left()
        d.next("DELETE .*", 500, times=9)
        expect("a Job that cannot be deleted is told of, and ends by itself", "ended",
               change=lambda: check("kubernetes: it is named", list(d.jobs)[0] in w.said, w.said[-500:]))
        d.delete_jobs(list(d.jobs)[0], {}, {"propagationPolicy": "Background"})
        w.nothing_left()
        d.faults.clear()
        w.kill_amid("sleep 3", lambda: d.secrets and d.pods)
        check("kubernetes: a kill in between leaves a Job with its Secrets", len(d.jobs) == 1 and d.secrets, d.jobs)
        d.delete_jobs(list(d.jobs)[0], {}, {"propagationPolicy": "Background"})  # as ttlSecondsAfterFinished
        w.nothing_left()


def truefoundry_faults():
    with World("truefoundry") as w:
        d = w.double

        def expect(name, state, *words, **more):
            r = w.run(**{"shell": "echo z >a.txt", **more})
            good = r["state"] == state and all(x in r["why"] for x in words)
            if state != "ended":
                good = good and w.read("a.txt") == "one\n"
            check("truefoundry: " + name, good, (r, w.read("a.txt")))
            w.write("a.txt", "one\n")
            d.faults.clear()

        expect("only harmless characters are parameters", "ended")
        words = "".join(v for p in d.params for v in p.values())
        check("truefoundry: so no shell sees words of ours", re.fullmatch(r"[A-Za-z0-9+/=,-]*", words), words[:200])
        d.next("POST .*trigger", 403, "no access to workspace")
        expect("403: did not start", "failed", "did not start", "no access to workspace")
        d.next("POST .*trigger", 0, after=True)
        expect("a lost answer: unknown", "unknown", "no answer", "healbus-")
        d.runs.clear()
        d.fail_with = "ImagePullBackOff"
        expect("a run that failed before it ran: did not start", "failed", "did not start", "ImagePullBackOff")
        d.fail_with, d.stay = None, "SCHEDULED"
        expect("never scheduled: did not start", "failed", "did not start", "timed out", timeout_ms=1000)
        check("truefoundry: it was stopped", len(d.terminated) == 1, d.terminated)
        d.stay = None
        expect("a deadline", "failed", "timed out", shell="sleep 20", timeout_ms=1500)
        d.next("GET .*runs", 0, times=99)
        expect("a control plane that is gone: unknown", "unknown", "no answer", timeout_ms=1500)
        d.log_delay = 2.5
        expect("logs that come late", "ended")
        d.log_delay = 0
        d.edit_lines = lambda lines: ["noise"] + lines[::-1] + lines
        expect("logs out of order, and twice", "ended")
        d.edit_lines = lambda lines: lines[:-2]
        expect("a log that is cut", "failed", "cut", timeout_ms=3000)
        w.nothing_left()


def main():
    if not lib_cluster.works():
        print("1..0 # skip no bubblewrap that works here")
        return 0
    for part in (lambda: same_for_both("kubernetes"), lambda: same_for_both("truefoundry"), kubernetes_objects, kubernetes_tls,
                 kubernetes_faults, truefoundry_faults):
        try:
            part()
        except Exception:  # pylint: disable=broad-except
            check("ended well", False, traceback.format_exc())
    return done()


if __name__ == "__main__":
    sys.exit(main())
