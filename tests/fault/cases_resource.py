"""Memory and descriptors that run out; and what this build has no subject for."""
import os
import resource
import signal
import socket
import time

from kit import BUILD, STAGES, NotHere, case, cpu_seconds, descriptors, exit_of, restart_dead, wait_for

CASES = []
SHIM = os.path.join(BUILD, "tests/fault/oomshim.so")
ORDERLY = {-signal.SIGABRT: "abort", 70: "exit 70", 78: "exit 78", 69: "exit 69"}


def death(code):
    return ORDERLY.get(code, "signal %d" % -code if code is not None and code < 0 else "exit %s" % code)


def starved(k, w, part, at, deaths):
    """One allocation fails, or every one from there on; the stage goes on or ends."""
    arm = w.path("arm")
    w.kill(part)
    w.start(part, env={"LD_PRELOAD": SHIM, "OOM_AT": str(at), "OOM_ARM": arm})
    w.wait_ready(part)
    open(arm, "w").close()
    for _ in range(2):
        w.post(w.new_run("o"), timeout_s=3)
    code = exit_of(w, part, 0.4)
    os.unlink(arm)
    if code is not None:
        deaths[part + ": " + death(code)] = deaths.get(part + ": " + death(code), 0) + 1
        k.check(code != 0, part + " does not pretend that all is well")
        restart_dead(w, part)
    return code


@case(CASES, 28, "malloc-fails", "the Nth malloc fails, in every stage: goes on or ends, nothing lost or twice")
def malloc_fails(k):
    k.need(os.path.exists(SHIM), "oomshim.so is not built")
    w = k.world()
    points = (1, 7, 40, 150, 600, 2500) if k.quick else [int(1.25 ** i) for i in range(1, 42)]
    deaths = {}
    rounds = 0
    for part in STAGES:
        for at in points:
            starved(k, w, part, at, deaths)
            rounds += 1
    for part in STAGES:
        w.kill(part)
    restart_dead(w, *STAGES)
    w.probe(60)
    w.judge(timeout_s=120, acts=False)
    k.check(not [d for d in deaths if "signal" in d], "none crashes", deaths)
    k.note("%d failures: %s" % (rounds, deaths))


@case(CASES, 28, "address-space", "RLIMIT_AS reached under load: ends or goes on, a restart goes on, nothing twice")
def address_space(k):
    w = k.world()
    w.judge(w.send(2))
    for part in STAGES:
        with open("/proc/%d/status" % w.pid(part)) as f:
            size = [int(line.split()[1]) for line in f if line.startswith("VmSize")][0] * 1024
        resource.prlimit(w.pid(part), resource.RLIMIT_AS, (size, size))
        for _ in range(10):
            w.post(w.new_run("as"), timeout_s=3)
        code = exit_of(w, part, 1)
        k.check(code is None or death(code) in ORDERLY.values(), part + " does not crash", code)
        w.kill(part)
        restart_dead(w, part)
    w.probe(60)
    w.judge(timeout_s=120, acts=False)


@case(CASES, 29, "descriptors-gone", "no descriptor left: no spinning, acts end well, all works when there are some")
def descriptors_gone(k):
    w = k.world()
    run = w.send(1, hold_ms="3000")[0]
    k.until("an act runs", lambda: w.started(run))
    used, began = {}, time.monotonic()
    for part in STAGES:
        limit = descriptors(w.pid(part))
        resource.prlimit(w.pid(part), resource.RLIMIT_NOFILE, (limit, 4096))
        used[part] = cpu_seconds(w.pid(part))
    held = []
    for _ in range(30):
        try:
            held.append(socket.create_connection(("127.0.0.1", w.ports["monitor-0"]), 2))
        except OSError:
            pass
    k.until("the act comes to its end", lambda: w.ended(run), 20)
    time.sleep(max(0, began + 6 - time.monotonic()))
    took = time.monotonic() - began
    busy = {p: round(100 * (cpu_seconds(w.pid(p)) - used[p]) / took) for p in STAGES if w.alive(p)}
    k.check(all(w.alive(p) for p in STAGES), "all stages live", {p: w.tail(p, 2) for p in STAGES if not w.alive(p)})
    k.check(max(busy.values()) < 30, "nobody spins", busy)
    for part in STAGES:
        if w.alive(part):
            resource.prlimit(w.pid(part), resource.RLIMIT_NOFILE, (4096, 4096))
    for s in held:
        s.close()
    restart_dead(w, *STAGES)
    w.probe(60)
    w.judge(timeout_s=120)
    k.note("%% of a core meanwhile: %s" % busy)


@case(CASES, 14, "map-full", "an LMDB map at its limit: it says so, others go on, nothing twice", slow=True)
def map_full(k):
    w = k.world(options={"reasoner": "map_size: 1MiB\n"})
    w.judge(w.send(2))
    big = "x" * 3000
    for i in range(4000):
        w.post("big%d" % i, **{"big%d" % n: big for n in range(16)})
        if i % 100 == 0 and "full" in w.log("reasoner"):
            break
    k.check(all(w.alive(p) for p in w.stages), "all stages live")
    k.check(not w.doubles(), "nothing twice")
    k.note("%d large incidents" % i)


@case(CASES, 10, "power-cut", "a power cut of store and bus at once: nothing acknowledged lost, nothing twice", slow=True)
def power_cut(_):
    raise NotHere("no power is cut here; lost-tail is its effect on the bus")
