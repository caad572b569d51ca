"""What the tests of the stack share: an engine, images, TAP. Standard library only; shares no code with what it judges."""
import json
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))
BASE = "debian:trixie-slim"
STAGES = ["monitor", "reasoner", "executor", "notifier"]
OURS = ["nats"] + STAGES + ["broker", "ctl"]
OTHERS = ["prometheus", "alertmanager", "demo"]


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0
        self.begun = time.monotonic()
        # Told to end, a test takes away what it made.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def ok(self, good, text, detail=None):
        self.count += 1
        self.failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", self.count, text), flush=True)
        if not good and detail is not None:
            for line in str(detail).splitlines()[-40:]:
                print("#", line[:300], flush=True)
        return good

    def say(self, text):
        print("# %4d s: %s" % (time.monotonic() - self.begun, text), flush=True)

    def end(self):
        print("1..%d" % self.count)
        sys.exit(1 if self.failed else 0)


def engine_or_skip():
    """Ends the test, saying why, where no engine can be had."""
    done = subprocess.run([os.path.join(ROOT, "tests/stack/engine.sh")], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print("1..0 # skip", (done.stdout.strip().splitlines() or ["no Docker Engine"])[-1])
        sys.exit(0)


def run(*argv, check=True, **more):
    """Output of a program (both streams, in their order); raises with it when that fails, unless check is False."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, **more)
    if check and done.returncode:
        raise RuntimeError("%s: exit code %d\n%s" % (" ".join(argv[:6]), done.returncode, done.stdout[-4000:]))
    return done.stdout


def docker(*argv, **more):
    return run("docker", *argv, **more)


def inspect(what):
    return json.loads(subprocess.run(["docker", "inspect", what], check=True, stdout=subprocess.PIPE).stdout)[0]


def wait_for(what, probe, timeout_s):
    """What probe() gives, once it is true; None, and a line that says so, when it never was."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = probe()
        if value:
            return value
        time.sleep(0.2)
    print("# timed out:", what, flush=True)
    return None


def image(target):
    return "healbus-test-%s:%d" % (target, os.getpid())


def build_images(targets):
    for target in targets:
        docker("build", "-q", "-f", "deploy/Dockerfile", "--target", target, "-t", image(target), ".", cwd=ROOT)


def remove_images(targets):
    for target in targets:
        docker("rmi", "--no-prune", image(target), check=False)
