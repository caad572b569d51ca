"""What the drivers of the integration tests share. Shares no code with what they judge."""
import socket
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
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
