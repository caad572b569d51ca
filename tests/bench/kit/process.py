"""Child processes: started with their output in a file, measured through /proc, stopped by pid."""
import glob
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A program that is needed is not here."""


class Failed(Exception):
    """Something did not do what it must; the row says what."""


_held = []


def free_port():
    """A port that nobody listens on now, below those that the kernel hands out to clients, and that nobody is given
    again: it stays bound. Who listens on it must have said SO_REUSEADDR, as servers do."""
    while True:
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", random.randrange(10240, 30240)))
        except OSError:
            s.close()
            continue
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: who else holds it has said so too
        _held.append(s)
        return s.getsockname()[1]


def need(program, package=None):
    """Its path, or Missing."""
    found = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise Missing(f"{package or program} is not installed (make deps-bench)")
    return found


def wait_for(what, probe, timeout_s=30, every_s=0.02):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = probe()
        if value:
            return value
        time.sleep(every_s)
    raise Failed(f"waited in vain: {what}")


def port_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def http_get(port, path):
    """(status, text); (0, "") when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def cpu_fields(pid):
    """Seconds: user, system, and the same of the children it has waited for; nothing for one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return []
    return [int(x) / TICKS for x in fields[11:15]]


def descendants(pid):
    found = []
    for file in glob.glob(f"/proc/{pid}/task/*/children"):
        try:
            with open(file, encoding="ascii") as f:
                for child in f.read().split():
                    found += [int(child), *descendants(child)]
        except OSError:
            pass
    return found


class Process:
    """Started with argv; `env` is added to ours."""

    def __init__(self, argv, log, env=None, stdin=subprocess.DEVNULL):
        self.name, self.log = os.path.basename(argv[0]), log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=out, env={**os.environ, **(env or {})})
        self.pid = self.child.pid

    def cpu_s(self, children=False):
        """User and system time so far; with `children`, also of its descendants, those that ended included."""
        fields = cpu_fields(self.pid)
        if not fields:
            raise Failed(f"{self.name} has died: {self.last_words()}")
        if not children:
            return sum(fields[:2])
        return sum(fields) + sum(sum(cpu_fields(pid)) for pid in descendants(self.pid))

    def rss_mib(self):
        return self.status_kib("status", "VmRSS") / 1024

    def pss_mib(self):
        """Its share: pages that several processes map count for each in part."""
        return self.status_kib("smaps_rollup", "Pss") / 1024

    def status_kib(self, file, name):
        with open(f"/proc/{self.pid}/{file}", encoding="ascii") as f:
            for line in f:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
        return 0

    def last_words(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return " | ".join(f.read().splitlines()[-3:])[:400]
        except OSError:
            return ""

    def alive(self):
        return self.child.poll() is None

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self, timeout_s=15):
        if not self.alive():
            return
        self.child.terminate()
        try:
            self.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
