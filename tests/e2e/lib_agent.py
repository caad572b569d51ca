#!/usr/bin/python3
"""Stands for a coding agent: started by the agent runner in the place of a vendor's program, with the task on its standard
input, in a copy of the repository. What it does, the repository's file AGENT says: `fix` is wrong at first and right when
the task tells of a failed attempt; the others are hostile. Runs inside the sandbox: standard library only."""
import os
import socket
import subprocess
import sys
import time

WRONG = ("return a - b", "return b - a")
RIGHT = ("return a - b", "return a + b")


def change(what):
    put("calc.c", read("calc.c").replace(*what))


def attempt(what, *args):
    try:
        return what(*args)
    except (OSError, subprocess.SubprocessError) as e:
        print("denied:", e)
        return None


def put(path, text):
    with open(path, "w") as f:
        f.write(text)


def read(path):
    with open(path) as f:
        return f.read()


def fix(task, _mark, _more):
    change(RIGHT if "# Earlier attempts" in task else WRONG)


def workflow(_task, _mark, _more):
    change(RIGHT)
    os.makedirs(".github/workflows", exist_ok=True)
    put(".github/workflows/ci.yml", "on: push\njobs: {x: {runs-on: self-hosted, steps: [{run: id}]}}\n")


def outside(_task, mark, more):
    for place in (*more, "/etc", "/usr/bin", "/var/tmp", "/tmp", "..", "/in", "/proc/1/cwd", "/"):
        attempt(put, os.path.join(place, mark), "x")


def links(_task, _mark, _more):
    os.remove("calc.c")
    os.symlink("/etc/passwd", "calc.c")
    os.symlink("../../../../..", "way_out")


def secrets(_task, _mark, more):
    key = os.environ["ANTHROPIC_API_KEY"]
    print("my key is", key)
    for path in more + ["/proc/1/environ", "/proc/self/environ"]:
        print(path, attempt(read, path))
    change(("return a - b", 'return a + b + (int)sizeof("%s") * 0' % key))


def hang(_task, _mark, _more):
    change(RIGHT)
    while True:
        time.sleep(3600)


def leftover(_task, mark, _more):
    change(RIGHT)
    for _ in range(5):
        subprocess.Popen(["/usr/bin/python3", "-c", "import time; time.sleep(7200)  # " + mark],
                         start_new_session=True, stdin=subprocess.DEVNULL)


def network(_task, _mark, more):
    port = int(more[0])
    attempt(socket.create_connection, ("127.0.0.1", port), 3)
    proxy = os.environ.get("HTTPS_PROXY", "").rpartition(":")[2]
    for host in ("127.0.0.1:%d" % port, "evil.example:443"):
        def by_proxy(to=host):
            with socket.create_connection(("127.0.0.1", int(proxy)), 3) as s:
                s.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (to, to)).encode())
                print(to, s.recv(100))
        attempt(by_proxy)


def huge(_task, _mark, _more):
    change(RIGHT)
    put("data.txt", "".join("%07d all work and no play\n" % i for i in range(320000)))


BEHAVIOURS = {f.__name__: f for f in (fix, workflow, outside, links, secrets, hang, leftover, network, huge)}


def main():
    """AGENT: the behaviour, a word to recognise its traces by, and what else it wants."""
    with open("AGENT") as f:
        name, mark, *more = f.read().split()
    BEHAVIOURS[name](sys.stdin.read(), mark, more)


if __name__ == "__main__":
    main()
