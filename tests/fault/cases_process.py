"""Processes that are killed, stopped, asked to end, asked to reload."""
import os
import signal
import time

from kit import HOURLY, STAGES, case, exit_of, in_parallel, restart_dead, wait_for

CASES = []
PAUSED_S = 6  # longer than an executor waits before it asks again whether it may (5 s)
LEASE_S = 35  # longer than lock (30 s), liveness (10 s) and every ack_wait (30 s)


def killed_at(k, w, part, call, n):
    """One alert while the stage dies at its Nth such call; then it is started again."""
    tracer = w.under_strace(part, "%s:signal=KILL:when=%d" % (call, n))
    for _ in range(20):
        w.post(w.new_run("kill"), timeout_s=3, service=w.work[w.runs % len(w.work)])
        if exit_of(w, part, 0.2) is not None:
            break
    w.kill(part)
    tracer.wait()
    restart_dead(w, part)


@case(CASES, 1, "kill-at-syscall", "killed in the middle of a system call: nothing lost, nothing twice")
def kill_at_syscall(k):
    k.need_program("strace")
    w = k.world(targets=HOURLY)
    calls = ("fdatasync", "pwrite64", "sendto")
    points = (1, 2, 4) if k.quick else range(1, 21)
    for i, n in enumerate(points):
        for s, part in enumerate(STAGES):
            for c, call in enumerate(calls):
                if not k.quick or (i + s + c) % 3 == 0:
                    killed_at(k, w, part, call, n)
    w.probe()
    w.judge()
    k.note("%d alerts, %d acts" % (len(w.acked), len(w.entries()) // 2))


@case(CASES, 3, "orphan-action", "executor killed -9: its action dies too, is unknown, and not run again")
def orphan_action(k):
    w = k.world()
    run = w.send(1, hold_ms="15000")[0]
    k.until("the act runs", lambda: w.started(run))
    w.kill("executor-0")
    k.until("the action is gone", lambda: not running_act(w))
    w.start("executor-0")
    w.settled([run])
    k.check(not w.doubles() and not w.ended(run + "/1"), "that act was not run again", w.entries())
    k.check(w.outcomes()[run][0] == "unknown", "nobody claims to know how it ended", w.outcomes())
    w.probe()


def running_act(w):
    """Pids of the ledger's action of this world."""
    found = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                argv = f.read().split(b"\0")
        except OSError:
            continue
        if argv[0].decode(errors="replace") == w.path("bin/act"):
            found.append(int(pid))
    return found


@case(CASES, 6, "stopped-executor", "an executor stopped past its leases wakes: nothing starts twice")
def stopped_executor(k):
    targets = ["web-%d" % i for i in range(6)]
    w = k.world(executors=2, targets=targets)
    for _ in range(1 if k.quick else 4):
        runs = w.send(12, hold_ms="400")
        k.until("some acts run", lambda: len(w.entries()) % 24 > 2)
        w.freeze("executor-0")
        asleep = time.monotonic()
        runs += w.send(6)
        wait_for("the other one does what is left", lambda: w.all_ended(runs), LEASE_S)
        time.sleep(max(0, asleep + LEASE_S - time.monotonic()))
        w.thaw("executor-0")
        w.settled(runs, 120)
    w.judge(acts=False)
    w.probe()


@case(CASES, 6, "stopped-stages", "every stage stopped past its leases: all goes on, nothing twice or lost")
def stopped_stages(k):
    w = k.world(monitors=1, executors=1)
    runs = w.send(3, hold_ms="300")
    for part in w.stages:
        w.freeze(part)
    time.sleep(LEASE_S)
    for part in w.stages:
        w.thaw(part)
    began = time.monotonic()
    w.probe(60)
    k.note("answered %.1f s after the thaw" % (time.monotonic() - began))
    w.judge(set(runs) | w.acked, 90, acts=False)


@case(CASES, 30, "term-under-load", "SIGTERM under load: what runs is finished, nothing new starts, exit 0 in time")
def term_under_load(k):
    w = k.world(targets=["a", "b"])
    runs = w.send(6, hold_ms="1500")
    k.until("acts run", lambda: len(w.entries()) >= 2)
    at = time.clock_gettime(time.CLOCK_BOOTTIME)
    codes = in_parallel([lambda p=p: w.kill(p, signal.SIGTERM, 20) for p in w.stages])
    k.check(codes == [0] * len(w.stages), "each ends with 0", codes)
    late = [e for e in w.entries() if e[0] == "S" and e[2] > at + 0.3]
    k.check(not late, "nothing started after it", late)
    ends = {r for what, r, _ in w.entries() if what == "E"}
    k.check({r for what, r, _ in w.entries() if what == "S"} == ends, "what ran came to its end")
    for part in w.stages:
        w.start(part)
    w.judge(runs)


@case(CASES, 30, "term-twice", "a second SIGTERM stops at once; what ran is unknown, and not run again")
def term_twice(k):
    w = k.world()
    run = w.send(1, hold_ms="15000")[0]
    k.until("the act runs", lambda: w.started(run))
    p = w.process["executor-0"]
    p.send_signal(signal.SIGTERM)
    k.until("it drains", lambda: '"stopping"' in w.log("executor-0"), 5)
    began = time.monotonic()
    p.send_signal(signal.SIGTERM)
    k.check(exit_of(w, "executor-0", 3) is not None, "it stops at once")
    k.note("gone after %.1f s" % (time.monotonic() - began))
    k.until("the action is gone", lambda: not running_act(w), 10)
    w.start("executor-0")
    w.settled([run])
    k.check(not w.doubles() and w.outcomes()[run][0] == "unknown", "unknown, once", w.outcomes())


@case(CASES, 30, "broken-reload", "SIGHUP with a broken configuration: the old one stays, and it says so")
def broken_reload(k):
    w = k.world()
    for part in STAGES:
        good = w.config[part]
        for bad in (good + "no_such_key: 1\n", good + "log_level: [\n", good + "drain_timeout: soon\n"):
            before = w.log(part).count("not reloaded")
            w.config[part] = bad
            w.reload(part)
            k.until(part + " says that the old one stays",
                    lambda: w.log(part).count("not reloaded") > before, 10)
        w.config[part] = good
        w.reload(part)
        k.until(part + " takes a good one", lambda: "configuration reloaded" in w.log(part), 10)
        k.check(w.alive(part), part + " lives")
    w.probe()


@case(CASES, 33, "kill-switch", "paused in a storm: no act starts after the answer, restarts included")
def kill_switch(k):
    targets = ["t%d" % i for i in range(8)]
    w = k.world(executors=2, targets=targets)
    runs = w.send(32, hold_ms="100")
    k.until("the storm is acted upon", lambda: len(w.entries()) > 6)
    status, _ = w.api("POST", "/api/pause", {"by": "tester", "reason": "enough"})
    paused = time.clock_gettime(time.CLOCK_BOOTTIME)
    k.check(status == 200, "the pause is acknowledged", status)
    runs += w.send(10)
    for part in w.stages:
        w.kill(part)
    for part in w.stages:
        w.start(part)
    for part in w.stages:
        w.wait_ready(part)
    runs += w.send(3)
    time.sleep(PAUSED_S)
    late = [e for e in w.entries() if e[0] == "S" and e[2] > paused + 1]
    k.check(not late, "nothing starts while it is paused", late)
    k.check(w.api("GET", "/api/status")[1]["paused"]["on"], "and it says that it is paused")
    k.check(not w.all_ended(runs), "there was something to hold back")
    w.api("POST", "/api/resume", {"by": "tester"})
    w.judge(runs, 150, acts=False)
