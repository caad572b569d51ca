#!/usr/bin/env python3
"""What the stages tell systemd, on a real datagram socket, against a real nats-server: ready only when they are, a
watchdog that knows a thread that hangs from one that has nothing to do. TAP."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from lib import done, free_port, ok, wait_for

BUILD = os.environ.get("HEALBUS_BUILD", "build")
STAGES = ("notifier", "monitor", "reasoner", "executor")
WATCHDOG_S = 8  # a thread that has not turned for half of that hangs: room for a slow machine
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


class Manager:
    """The service manager's end of one service: what it was told, and when."""

    def __init__(self, where, name):
        self.address = name if name.startswith("@") else os.path.join(where, name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.address[1:] if name.startswith("@") else self.address)
        self.heard = []  # (monotonic time, {name: value})
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            lines = [line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines()]
            self.heard.append((time.monotonic(), dict(lines)))

    def heard_all(self):
        """Until all is heard that was said by now; the time of that."""
        mark = str(time.monotonic())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(("MARK=" + mark).encode(), self.socket.getsockname())
        return (wait_for("the mark", lambda: self.said("MARK", mark)) or [time.monotonic()])[0]

    def said(self, name, value, since=0.0):
        return [t for t, words in list(self.heard) if t >= since and words.get(name) == value]

    def status(self):
        texts = [words["STATUS"] for _, words in list(self.heard) if "STATUS" in words]
        return texts[-1] if texts else ""


class Service:
    def __init__(self, world, stage, number, told=None):
        self.stage, self.port, self.dir = stage, free_port(), os.path.join(world.dir, stage)
        # Both forms that systemd uses.
        self.manager = Manager(world.dir, "@healbus-%d-%s" % (os.getpid(), stage) if number % 2 else stage + ".notify")
        os.mkdir(self.dir)
        with open(self.dir + "/bus.yaml", "w") as f:
            f.write("url: nats://127.0.0.1:%d\n" % world.port)
        with open("%s/%s.yaml" % (self.dir, stage), "w") as f:
            f.write("state_dir: %s/state\nhttp: {listen: '127.0.0.1:%d'}\n" % (self.dir, self.port))
            f.write(OPTIONS[stage].replace("@ROOT@", os.getcwd()))
        if told is None:
            told = {"NOTIFY_SOCKET": self.manager.address, "WATCHDOG_USEC": str(WATCHDOG_S * 1000000)}
        world.services.append(self)
        env = dict(os.environ, **told)
        self.log = open(self.dir + "/log", "wb")
        self.process = subprocess.Popen(["%s/healbus-%s" % (BUILD, stage), "-c", self.dir], env=env, stderr=self.log)

    def text(self):
        with open(self.dir + "/log", encoding="utf-8") as f:
            return f.read()

    def get(self, path):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d%s" % (self.port, path), timeout=10) as r:
                return r.status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0

    def thread(self, name):
        """The id of a thread of that name."""
        tasks = "/proc/%d/task" % self.process.pid
        for tid in os.listdir(tasks):
            with open("%s/%s/comm" % (tasks, tid)) as f:
                if f.read().strip() == name:
                    return int(tid)
        return 0


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="healbus-service-")
        self.port = free_port()
        self.nats = None
        self.services = []

    def start_nats(self):
        self.nats = subprocess.Popen(["nats-server", "-js", "-sd", self.dir + "/nats", "-a", "127.0.0.1", "-p",
                                      str(self.port)], stderr=subprocess.DEVNULL)
        for words in (["up", "20"], ["provision"]):
            subprocess.run([BUILD + "/tests/integration/busctl", *words], stdout=subprocess.DEVNULL, timeout=60,
                           env=dict(os.environ, HEALBUS_BUS_URL="nats://127.0.0.1:%d" % self.port), check=True)

    def close(self):
        for process in [s.process for s in self.services] + [self.nats]:
            if process and process.poll() is None:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


OPTIONS = {"monitor": "sources_dir: @ROOT@/monitor/sources\n",
           "reasoner": "runbooks_dir: @ROOT@/reasoner/runbooks\nspecialists_file: @ROOT@/reasoner/specialists.yaml\n"
                       "prompts_dir: @ROOT@/reasoner/prompts\nfailures_dir: @ROOT@/reasoner/failures\n",
           "executor": "tools_dir: @ROOT@/executor/tools\n",
           "notifier": ""}


class Frozen:
    """One thread of a process stands still, as if it hung; the others run on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long

    def __init__(self, tid):
        self.tid = tid
        self.held = self.libc.ptrace(PTRACE_SEIZE, tid, None, None) == 0
        self.held = self.held and self.libc.ptrace(PTRACE_INTERRUPT, tid, None, None) == 0
        if self.held:
            os.waitpid(tid, 0x40000000)  # __WALL: it has stopped

    def release(self):
        self.libc.ptrace(PTRACE_DETACH, self.tid, None, None)


def test_start(w):
    for number, stage in enumerate(STAGES):
        Service(w, stage, number)
    for s in w.services:
        m = s.manager
        waits = wait_for(s.stage + " asks for time", lambda m=m: [1 for _, x in list(m.heard) if "EXTEND_TIMEOUT_USEC" in x])
        ok(waits and not m.said("READY", "1") and s.process.poll() is None,
           "%s: without a bus it is not ready, says so, and asks for more time" % s.stage, s.text())
        ok("bus" in m.status() or "reading" in m.status(), "%s: its status says what it waits for" % s.stage, m.status())
    w.start_nats()
    for s in w.services:
        wait_for(s.stage + " is ready", lambda s=s: s.manager.said("READY", "1"), 60)
        ok(len(s.manager.said("READY", "1")) == 1 and s.get("/readyz") == 200,
           "%s: READY=1 once, when /readyz says so" % s.stage, s.text())
        ok(not s.manager.said("WATCHDOG", "1") or
           min(s.manager.said("WATCHDOG", "1")) >= min(s.manager.said("READY", "1")),
           "%s: no watchdog before that" % s.stage)


def served(s, since):
    """The watchdog hears of it again and again, for longer than it would wait, and of nobody who hangs."""
    heard = wait_for(s.stage + " serves the watchdog", lambda: len(s.manager.said("WATCHDOG", "1", since)) >= 5, 60)
    return heard and not [w for _, w in list(s.manager.heard) if "hangs" in w.get("STATUS", "")]


def test_idle(w):
    since = time.monotonic()
    for s in w.services:
        ok(served(s, since), "%s: idle, and the watchdog hears of it" % s.stage, s.manager.heard[-5:])


def test_bus_away(w):
    """Who waits for the bus does not hang."""
    w.nats.kill()
    w.nats.wait()
    since = time.monotonic()
    for s in w.services:
        ok(served(s, since), "%s: the bus is away, the watchdog is served" % s.stage, s.manager.heard[-5:])
        ok("bus" in s.manager.status(), "%s: and its status says that" % s.stage, s.manager.status())
    w.start_nats()
    for s in w.services:
        ok(wait_for(s.stage, lambda s=s: s.manager.status() == "ready", 60), "%s: ready again" % s.stage,
           s.manager.status())


def test_hang(s, thread):
    """One thread stands still while all the others go on."""
    frozen = Frozen(s.thread(thread))
    if not frozen.held:
        print("ok # skip this user may not stop a thread of its own process")
        return
    hangs = wait_for("silence", lambda: "hangs" in s.manager.status(), 30)
    since = time.monotonic()
    ok(hangs and s.manager.status().startswith(thread), "%s: its status names the thread that hangs: %s" %
       (s.stage, thread), s.manager.status())
    wait_for("time passes", lambda: time.monotonic() > since + WATCHDOG_S)
    ok(not s.manager.said("WATCHDOG", "1", since), "%s: while %s hangs, the watchdog hears nothing" % (s.stage, thread))
    ok(s.get("/metrics") == 200, "%s: though the rest of it answers" % s.stage)
    frozen.release()
    ok(wait_for("the watchdog", lambda: s.manager.said("WATCHDOG", "1", since), 30),
       "%s: it moves again, and the watchdog hears of it" % s.stage)


def test_stopped(s):
    s.process.send_signal(signal.SIGSTOP)
    os.waitpid(s.process.pid, os.WUNTRACED)
    since = s.manager.heard_all()
    wait_for("time passes", lambda: time.monotonic() > since + WATCHDOG_S)
    ok(not s.manager.said("WATCHDOG", "1", since), "%s: stopped as a whole, it says nothing" % s.stage)
    s.process.send_signal(signal.SIGCONT)
    ok(wait_for("the watchdog", lambda: s.manager.said("WATCHDOG", "1", since), 30), "%s: and goes on" % s.stage)


def test_reload(s):
    since = time.monotonic()
    s.process.send_signal(signal.SIGHUP)
    again = wait_for("reloaded", lambda: s.manager.said("READY", "1", since), 30)
    begun = s.manager.said("RELOADING", "1", since)
    ok(again and begun and begun[0] <= again[0], "%s: SIGHUP: RELOADING=1, then READY=1" % s.stage)
    stamp = [int(x["MONOTONIC_USEC"]) for _, x in list(s.manager.heard) if "RELOADING" in x]
    ok(stamp and abs(stamp[-1] / 1e6 - since) < 60, "%s: with the time at which it began" % s.stage, stamp)


def test_no_manager():
    """Without systemd the main thread waits for signals alone, and for long: it must not miss one."""
    w = World()
    try:
        s = Service(w, "notifier", 0, {})
        ok(wait_for("started", lambda: '"started"' in s.text()), "no manager: it starts", s.text())
        s.process.send_signal(signal.SIGHUP)
        ok(wait_for("reloaded", lambda: "configuration reloaded" in s.text()), "no manager: SIGHUP reloads", s.text())
        s.process.terminate()
        ok(wait_for("stopping", lambda: '"stopping"' in s.text(), 20), "no manager: SIGTERM stops it", s.text())
        s.process.wait(timeout=60)
        ok(not s.manager.heard, "no manager: nobody is told")
    finally:
        w.close()


def test_end_with_tls():
    """libnats and OpenSSL clean up after each other at the end of a process."""
    where = tempfile.mkdtemp(prefix="healbus-service-")
    port, etc = free_port(), where + "/healbus.d"
    subprocess.run([BUILD + "/healctl", "init", etc, "--listen", "127.0.0.1:%d" % port], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    with open(etc + "/nats/nats-server.conf") as f:
        text = f.read().replace('http: "127.0.0.1:8222"', "")
    with open(etc + "/nats/nats-server.conf", "w") as f:
        f.write(text)
    with open(etc + "/notifier.yaml", "w") as f:
        f.write("state_dir: %s/state\nhttp: {listen: '127.0.0.1:%d'}\n" % (where, free_port()))
    nats = subprocess.Popen(["nats-server", "-c", etc + "/nats/nats-server.conf"], stderr=subprocess.DEVNULL)
    codes, said = [], []
    try:
        wait_for("streams", lambda: subprocess.run([BUILD + "/healctl", "-c", etc, "doctor", "--fix", "--only", "bus"],
                                                   stdout=subprocess.DEVNULL, timeout=60).returncode == 0)
        for i in range(8):
            with open("%s/log-%d" % (where, i), "w+", encoding="utf-8") as log:
                p = subprocess.Popen([BUILD + "/healbus-notifier", "-c", etc], stderr=log)
                ready = [BUILD + "/healbus-notifier", "-c", etc, "--healthy"]
                wait_for("ready", lambda: p.poll() is not None or
                         subprocess.run(ready, capture_output=True, timeout=60).returncode == 0)
                p.terminate()
                codes.append(p.wait(timeout=60))
                log.seek(0)
                said.append(log.read() if codes[-1] else "")
    finally:
        nats.kill()
        nats.wait()
        shutil.rmtree(where, ignore_errors=True)
    ok(codes == [0] * 8, "with TLS a stage ends eight times as it should", "%s\n%s" % (codes, "".join(said)))


def test_stop(s):
    s.process.terminate()
    code = s.process.wait(timeout=60)
    s.manager.heard_all()
    stopping = s.manager.said("STOPPING", "1")
    ok(code == 0 and len(stopping) == 1 and not s.manager.said("READY", "1", stopping[0]),
       "%s: SIGTERM: STOPPING=1, and nothing but the end after it" % s.stage, (code, s.text()))


def main():
    if not shutil.which("nats-server"):
        print("1..0 # skip no nats-server")
        return 0
    w = World()
    try:
        test_start(w)
        test_idle(w)
        test_bus_away(w)
        by_name = {s.stage: s for s in w.services}
        test_hang(by_name["monitor"], "monitor-03")
        test_hang(by_name["executor"], "beat")
        test_stopped(by_name["reasoner"])
        test_reload(by_name["notifier"])
        for s in w.services:
            test_stop(s)
    finally:
        w.close()
    test_no_manager()
    test_end_with_tls()
    return done()


if __name__ == "__main__":
    sys.exit(main())
