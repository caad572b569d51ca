"""What the drivers of the integration tests share. Shares no code with what they judge."""
import random
import socket
import sys
import time

# ---- TAP: one program, one plan ----

said = bad = 0
DETAIL = 2000  # characters shown of either end of what explains a bad result


def ok(condition, text, detail=""):
    """One result; what explains a bad one goes before it. Gives the condition as a bool."""
    global said, bad
    said += 1
    if not condition:
        bad += 1
        shown = str(detail)
        if len(shown) > 2 * DETAIL:
            shown = shown[:DETAIL] + "\n[...]\n" + shown[-DETAIL:]
        for line in shown.splitlines():
            print("#", line)
    print("%s %d - %s" % ("ok" if condition else "not ok", said, text), flush=True)
    return bool(condition)


def skip(text, why):
    """A result that cannot be had here."""
    global said
    said += 1
    print("ok %d - %s # skip %s" % (said, text, why), flush=True)


def failures():
    """How many results were bad so far."""
    return bad


def done():
    """Says how many results there were; the exit code."""
    print("1..%d" % said)
    return 1 if bad else 0


# ---- ports, waiting, time ----

# Below those that the kernel hands out to clients: whoever connects meanwhile cannot get it.
PORTS = range(10240, 30240)
_held = []


def free_port():
    """A port that nobody listens on now, and that no other test is given while this process lives: it stays bound.
    Who listens on it must have said SO_REUSEADDR, as servers do."""
    while True:
        s = socket.socket()
        try:
            s.bind(("127.0.0.1", random.choice(PORTS)))
        except OSError:
            s.close()
            continue
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: who else holds it has said so too
        _held.append(s)
        return s.getsockname()[1]


def wait_for(what, probe, timeout_s=30):
    """What probe() gives, once it is true; None, and a line that says so, when it never was."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = probe()
        if value:
            return value
        time.sleep(0.02)
    print("# timed out:", what, flush=True)
    return None


def now_ms():
    return int(time.time() * 1000)


if __name__ == "__main__" and sys.argv[1:] == ["free_port"]:
    print(free_port())
