"""Disks that are full, fail or lie: state directories, the bus's store, LMDB files."""
import os
import random
import shutil
import signal

from kit import STAGES, SmallDisk, case, exit_of, restart_dead, wait_for

CASES = []
MIB = 1 << 20
STOPPED_ITSELF = (70, 75, 78)  # internal, locked, configuration: said in the log


def data_files(w, part):
    """The LMDB files of a stage."""
    found = []
    for where, _, names in os.walk(w.path("state", part)):
        if "set-aside" not in where:
            found += [os.path.join(where, n) for n in names if n == "data.mdb"]
    return sorted(found)


def said_full(w, part):
    return '"full"' in w.log(part) or ": full" in w.log(part)


@case(CASES, 12, "state-disk-full", "a stage's disk full: it waits and says so, and goes on when there is room")
def state_disk_full(k):
    w = k.world(start=False)
    disks = {p: SmallDisk(k, w.path("state", p), 24 * MIB) for p in STAGES}
    w.start_all()
    w.judge(w.send(2))
    for part in STAGES:
        disks[part].fill()
        runs = []
        while not said_full(w, part) and len(runs) < 60 and w.alive(part):
            runs += w.send(2)
        k.until(part + " says that its disk is full, or needs no more",
                lambda: said_full(w, part) or w.all_ended(runs), 20)
        k.check(w.alive(part), part + " lives on")
        disks[part].empty()
        w.probe(20, "after there is room again for %s all works" % part)
        w.judge(runs)
    w.judge()


@case(CASES, 12, "bus-disk-full", "the bus's disk full: 503, nothing acknowledged lost, goes on when there is room")
def bus_disk_full(k):
    w = k.world(start=False)
    disk = SmallDisk(k, w.path("bus"), 24 * MIB)
    w.start_all()
    w.judge(w.send(3))
    disk.fill()
    refused = wait_for("an alert is refused", lambda: w.post(w.new_run()) == 503, 30)
    k.check(refused, "without room the answer is 503")
    k.check(all(w.alive(p) for p in w.stages), "all stages live")
    disk.empty()
    if not wait_for("the bus takes messages again", lambda: w.post(w.new_run()) == 202, 10):
        w.kill("nats")  # nats-server 2.9 does not always recover by itself
        w.start("nats")
        w.wait_ready("nats")
        k.note("nats-server had to be restarted")
    w.probe(60)
    w.judge()


@case(CASES, 12, "bus-limit", "the bus's store at its own limit: 503 and a reason, no crash")
def bus_limit(k):
    w = k.world()
    admin = w.admin()
    config = admin.api("STREAM.INFO.RAW")["config"]
    config["max_bytes"] = 2000
    admin.api("STREAM.UPDATE.RAW", config)
    k.until("alerts are refused with 503", lambda: w.post(w.new_run()) == 503, 15)
    taken = set(w.acked)
    config["max_bytes"] = 1 << 30
    admin.api("STREAM.UPDATE.RAW", config)
    w.probe(20)
    w.judge(taken | w.acked)


def until_it_ends(w, part):
    """Gives it work until it stops by itself; its exit code."""
    for _ in range(30):
        w.post(w.new_run("e"), timeout_s=3)
        code = exit_of(w, part, 0.3)
        if code is not None:
            return code
    return None


@case(CASES, 13, "fsync-fails", "EIO from fsync: the stage stops and says so, a restart goes on, nothing twice")
def fsync_fails(k):
    k.need_program("strace")
    w = k.world()
    for part in STAGES:
        tracer = w.under_strace(part, "fdatasync,msync,fsync:error=EIO:when=1")
        code = until_it_ends(w, part)
        k.check(code in STOPPED_ITSELF, part + " stops by itself", code)
        k.check('"level":"error"' in w.tail(part), part + " says why", w.tail(part, 4))
        if code is None:
            w.kill(part)
        tracer.wait()
        w.start(part)
        w.wait_ready(part)
    w.probe(40)
    w.judge(acts=False)


@case(CASES, 13, "writes-fail", "EIO and ENOSPC from pwrite: nothing half done, nothing twice, work goes on")
def writes_fail(k):
    k.need_program("strace")
    w = k.world()
    ended = 0
    for part in STAGES:
        for error in ("EIO", "ENOSPC"):
            for nth in (1, 2) if k.quick else (1, 2, 3, 4, 5, 8):
                tracer = w.under_strace(part, "pwrite64,pwritev:error=%s:when=%d" % (error, nth))
                for _ in range(3):
                    w.post(w.new_run("e"), timeout_s=3)
                code = exit_of(w, part, 1)
                if code is None and not w.ready(part):
                    code = exit_of(w, part, 10)
                tracer.terminate()
                tracer.wait()
                k.check(code is None or code in STOPPED_ITSELF, part + " does not crash", (code, w.tail(part, 4)))
                ended += code is not None
                restart_dead(w, *STAGES)
    w.probe(40)
    restart_dead(w, *STAGES)
    w.judge(acts=False)
    k.note("stages stopped themselves %d times" % ended)


# ---- corrupted files ----

def flip(path, rng, bits):
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        for _ in range(bits):
            at = rng.randrange(min(size, 256 * 1024))
            f.seek(at)
            byte = f.read(1)[0] ^ (1 << rng.randrange(8))
            f.seek(at)
            f.write(bytes([byte]))


def wipe_header(path, _):
    with open(path, "r+b") as f:
        f.write(b"\xff" * 8192)


def cut_in_half(path, _):
    os.truncate(path, os.path.getsize(path) // 2)


def empty_file(path, _):
    os.truncate(path, 0)


def no_file(path, _):
    os.unlink(path)


def stale_lock(path, rng):
    with open(os.path.join(os.path.dirname(path), "lock.mdb"), "wb") as f:
        f.write(rng.randbytes(8192))


def one_bit(path, rng):
    flip(path, rng, 1)


def many_bits(path, rng):
    flip(path, rng, 200)


DAMAGES = (wipe_header, cut_in_half, empty_file, no_file, stale_lock, many_bits)


def start_on_damage(k, w, part, damage, rng):
    """Stops it, damages its files, starts it; its exit code when it refuses, None when it runs."""
    w.kill(part, signal.SIGTERM)
    kept = w.path("kept")
    shutil.copytree(w.path("state", part), kept)
    for path in data_files(w, part):
        damage(path, rng)
    w.start(part)
    wait_for("%s is ready or gives up" % part, lambda: w.ready(part) or not w.alive(part), 30)
    code = exit_of(w, part, 0.1)
    what = "%s after %s" % (part, damage.__name__)
    k.check(code is None or code > 0, what + " does not crash", (code, w.tail(part, 3)))
    if code is not None:
        k.check("data.mdb" in w.tail(part, 3) or "/state/" in w.tail(part, 3),
                what + " names the file and the way out", w.tail(part, 3))
        shutil.rmtree(w.path("state", part))
        os.rename(kept, w.path("state", part))
        w.start(part)
        w.wait_ready(part)
    else:
        shutil.rmtree(kept)
    return code


@case(CASES, 15, "corrupt-projection", "LMDB damaged: rebuilt from the bus or refused with a reason, nothing again")
def corrupt_projection(k):
    rng = random.Random(15)
    w = k.world()
    refusals = rebuilt = 0
    w.judge(w.send(4))
    before = w.entries()
    for part in ("monitor-0", "reasoner", "notifier"):
        damages = DAMAGES if k.quick else DAMAGES + (one_bit,) * 100
        for damage in damages:
            code = start_on_damage(k, w, part, damage, rng)
            refusals += code is not None
            rebuilt += code is None
        w.probe(40, "after the damages of %s a new alert is answered" % part)
    after = [e for e in w.entries() if "probe" not in e[1]]
    k.check(after == before, "no act ran again", after[len(before):])
    k.check(not w.doubles(), "no act started twice")
    k.note("%d damages: %d went on, %d refused to start" % (refusals + rebuilt, rebuilt, refusals))


@case(CASES, 15, "corrupt-journal", "the executor's journal damaged: it refuses to act and says so, nothing twice")
def corrupt_journal(k):
    rng = random.Random(15)
    w = k.world()
    w.judge(w.send(3))
    refusals = rounds = 0
    for damage in DAMAGES if k.quick else DAMAGES + (one_bit,) * 100:
        rounds += 1
        code = start_on_damage(k, w, "executor-0", damage, rng)
        refusals += code is not None
        if damage in (wipe_header, cut_in_half, empty_file):
            k.check(code in STOPPED_ITSELF, damage.__name__ + " is refused", code)
    w.probe(60)
    k.check(not w.doubles(), "no act started twice", w.doubles())
    k.note("%d damages: %d refused" % (rounds, refusals))


@case(CASES, 15, "wrong-owner", "a state directory that is not ours: refused with its name, exit code not 0")
def wrong_owner(k):
    w = k.world()
    for part in STAGES:
        w.kill(part, signal.SIGTERM)
        directory = w.path("state", part)
        w.wrap[part] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for name in ("config/" + part, "secret", "config"):
            os.chmod(w.path(name), 0o755)
        for name in os.listdir(w.path("secret")):
            os.chown(w.path("secret", name), 65534, 65534)
        w.start(part)
        code = exit_of(w, part, 15)
        k.check(code is not None and code > 0, part + " refuses", code)
        k.check(directory in w.tail(part, 3), part + " names the directory", w.tail(part, 3))
        if code is None:
            w.kill(part)
        del w.wrap[part]
        for name in os.listdir(w.path("secret")):
            os.chown(w.path("secret", name), 0, 0)
        w.start(part)
        w.wait_ready(part)
    w.probe(40)
