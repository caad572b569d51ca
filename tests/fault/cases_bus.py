"""The bus: killed, cut off, put back to an earlier state, its streams and consumers taken away."""
import shutil
import time

from kit import Load, case, cpu_seconds, exit_of, restart_dead, wait_for
from natsadmin import NatsError

CASES = []
UNAVAILABLE = {202, 503, 0}
# How long a fault lasts: that is the fault, not a wait for something.
CUT_S, WHOLE_S = 0.2, 0.8  # connections are reset, and live before the next time: not enough to catch up in
GARBAGE_S = 1.5
DELETED_S = 1  # between two times: some are there again, some are not


@case(CASES, 7, "bus-killed", "nats-server killed and back: 503 meanwhile, nothing acknowledged is lost")
def bus_killed(k):
    w = k.world(targets=["a", "b", "c"])
    load = Load(w)
    recovery = []
    for away_s in (0, 2) if k.quick else (0, 2, 15, 60):
        k.until("alerts are taken", lambda: load.answers[202] > 3 + 10 * len(recovery))
        w.kill("nats")
        refused = load.answers[503]
        if away_s:
            k.until("without the bus the answer is 503", lambda: load.answers[503] > refused, 15)
            time.sleep(away_s)
        w.start("nats")
        recovery.append(w.probe(15, "answered within 10 s of the bus coming back"))
    load.stop()
    k.check(set(load.answers) <= UNAVAILABLE, "only 202 and 503", load.answers)
    w.judge()
    k.note("answered %.1f s after its return at most; %d of %d alerts taken" % (
        max(recovery), load.answers[202], sum(load.answers.values())))


def cut_off(k, mode, seconds):
    """All stages lose the bus in this way and get it back; load goes on."""
    w = k.world(start=False, targets=["a", "b"])
    w.through_proxies()
    w.start_all()
    w.send(2)
    load = Load(w, 0.2)
    k.until("alerts are taken", lambda: load.answers[202] > 2)
    used = {p: cpu_seconds(w.pid(p)) for p in w.stages}
    began = time.monotonic()
    w.network(mode)
    time.sleep(seconds)
    took = time.monotonic() - began
    busy = {p: 100 * (cpu_seconds(w.pid(p)) - used[p]) / took for p in w.stages}
    k.check(max(busy.values()) < 15, "nobody spins meanwhile", busy)
    w.network("pass")
    recovery = w.probe(40, "answered again once the network is back")
    load.stop()
    w.judge()
    k.check(all(w.alive(p) for p in w.stages), "all stages live")
    k.note("answered %.1f s after; %.1f %% of a core at most meanwhile; answers %s" % (
        recovery, max(busy.values()), dict(load.answers)))


@case(CASES, 8, "network-stalls", "the bus accepts and says nothing: no loss, no spinning, back within seconds")
def network_stalls(k):
    cut_off(k, "stall", 8 if k.quick else 45)


@case(CASES, 8, "network-one-way", "the bus hears us and is not heard: no loss, nothing twice")
def network_one_way(k):
    cut_off(k, "oneway", 8 if k.quick else 45)


@case(CASES, 8, "network-trickles", "one byte at a time: no loss, nothing twice")
def network_trickles(k):
    cut_off(k, "trickle", 8 if k.quick else 45)


@case(CASES, 8, "network-cut", "connections reset again and again: no loss, nothing twice")
def network_cut(k):
    w = k.world(start=False, targets=["a", "b"])
    w.through_proxies()
    w.start_all()
    load = Load(w, 0.1)
    for _ in range(6 if k.quick else 40):
        w.network("cut")
        time.sleep(CUT_S)
        w.network("pass")
        time.sleep(WHOLE_S)
    recovery = w.probe(20)
    load.stop()
    w.judge()
    k.note("answered %.1f s after; answers %s" % (recovery, dict(load.answers)))


@case(CASES, 8, "network-garbage", "the bus talks garbage: no crash, no loss, back within seconds")
def network_garbage(k):
    w = k.world(start=False)
    w.through_proxies()
    w.start_all()
    w.send(2)
    for _ in range(3 if k.quick else 10):
        w.network("garbage")
        time.sleep(GARBAGE_S)
        w.network("cut")
        w.network("pass")
    w.probe(40)
    w.judge()
    k.check(all(w.alive(p) for p in w.stages), "all stages live")


@case(CASES, 8, "one-stage-cut-off", "one executor alone cut off: the other does its work, nothing twice")
def one_stage_cut_off(k):
    w = k.world(start=False, executors=2, targets=["t%d" % i for i in range(6)])
    w.through_proxies("executor-0")
    w.start_all()
    runs = w.send(12, hold_ms="600")
    k.until("acts run", lambda: len(w.entries()) > 3)
    w.network("stall")
    runs += w.send(6)
    wait_for("the rest is done", lambda: w.all_ended(runs), 45)
    w.network("pass")
    w.judge(runs, 120, acts=False)
    k.note("%d acts for %d alerts" % (sum(1 for e in w.entries() if e[0] == "S"), len(runs)))


# ---- the bus forgets ----

def copy_store(w, name):
    shutil.copytree(w.path("bus"), w.path(name))


def put_back(w, name):
    """nats-server finds the files of an earlier moment."""
    w.kill("nats")
    shutil.rmtree(w.path("bus"))
    shutil.copytree(w.path(name), w.path("bus"))
    w.start("nats")
    w.wait_ready("nats")


@case(CASES, 9, "lost-tail", "the streams lose their tail: noticed, said again, no act runs twice")
def lost_tail(k):
    w = k.world(targets=["a", "b"])
    w.judge(w.send(6))
    w.kill("nats")
    copy_store(w, "earlier")
    w.start("nats")
    w.wait_ready("nats")
    later = w.send(6)
    w.judge(later)
    before = w.entries()
    put_back(w, "earlier")
    k.until("a stage notices", lambda: any("the bus lost messages" in w.log(p) for p in w.stages))
    w.settled(later, 60, "the outcomes are on the bus again")
    w.probe(40)
    after = [e for e in w.entries() if "probe" not in e[1]]
    k.check(after == before, "no act ran again", after[len(before):])
    w.judge()


def lose_tail_with_two(k, stages_die):
    """Which executor gets a plan again is chance: mostly not the one whose journal knows it."""
    w = k.world(executors=2, targets=["t%d" % i for i in range(8)])
    w.judge(w.send(8))
    w.kill("nats")
    copy_store(w, "earlier")
    w.start("nats")
    w.wait_ready("nats")
    w.judge(w.send(16))
    before = w.entries()
    if stages_die:
        for part in w.stages:
            w.kill(part)
    put_back(w, "earlier")
    if stages_die:
        restart_dead(w, *w.stages)
    w.probe(40)
    w.judge()
    after = [e for e in w.entries() if "probe" not in e[1]]
    k.check(after == before, "no act ran again", after[len(before):])


@case(CASES, 9, "lost-tail-executors", "the streams lose their tail, claims too, with two executors: no act runs twice")
def lost_tail_executors(k):
    lose_tail_with_two(k, False)


@case(CASES, 9, "lost-tail-all", "the same, and every stage dies at that moment: no act runs twice")
def lost_tail_all(k):
    lose_tail_with_two(k, True)


# ---- an operator's hand ----

@case(CASES, 11, "consumers-deleted", "every consumer deleted under load: made anew, nothing lost or twice")
def consumers_deleted(k):
    w = k.world(targets=["a", "b"])
    load = Load(w, 0.1, hold_ms="50")  # a worker that is busy asks its consumer for nothing
    admin = w.admin()
    gone = 0
    for _ in range(3 if k.quick else 15):
        for stream in ("RAW", "EVENTS", "STORY"):
            for name in admin.consumers(stream):
                admin.delete_consumer(stream, name)
                gone += 1
        time.sleep(DELETED_S)
    recovery = w.probe(40)
    load.stop()
    w.judge()
    k.note("%d deleted; answered %.1f s after" % (gone, recovery))


@case(CASES, 11, "streams-purged", "a stream purged: refused, or new work is done and nothing is done again")
def streams_purged(k):
    w = k.world()
    refused = []
    for stream in ("RAW", "EVENTS", "STORY", "DEAD", "KV_CLAIM", "KV_LOCK", "KV_LIVE"):
        w.judge(w.send(2))
        before = w.entries()
        try:
            w.admin().purge(stream)
        except NatsError:
            refused.append(stream)
            continue
        w.probe(40, "a new alert is answered after %s was purged" % stream)
        after = [e for e in w.entries() if "probe" not in e[1]]
        k.check(after == [e for e in before if "probe" not in e[1]], "no act ran again", after)
    for part in w.stages:
        w.restart(part)
    w.probe(40, "and after a restart of all")
    k.check(not w.doubles(), "no act started twice", w.doubles())
    k.note("refused by " + " ".join(refused))


@case(CASES, 11, "streams-deleted", "streams deleted and made anew: 503 while they are gone, then all works")
def streams_deleted(k):
    w = k.world()
    w.judge(w.send(3))
    before = w.entries()
    admin = w.admin()
    for stream in ("RAW", "EVENTS", "STORY"):
        admin.delete_stream(stream)
    k.until("alerts are refused with 503", lambda: w.post("lost") == 503, 15)
    w.provision()
    w.probe(60, "a new alert is answered once the streams are there")
    after = [e for e in w.entries() if "probe" not in e[1]]
    k.check(after == before, "no act ran again", after)
    k.check(all(w.alive(p) for p in w.stages), "all stages live")
    for part in w.stages:
        w.restart(part)
    w.probe(60, "and after a restart of all")


@case(CASES, 11, "wrong-password", "the bus refuses a stage's password: it says so, and works once it is right")
def wrong_password(k):
    w = k.world()
    secret = w.path("secret/executor")
    right = open(secret).read()
    w.kill("executor-0")
    with open(secret, "w") as f:
        f.write("wrong")
    w.start("executor-0")
    code = exit_of(w, "executor-0", 15)
    k.check(code == 69, "it ends with 69", code)
    k.check("uthorization" in w.tail("executor-0") or "denied" in w.tail("executor-0"), "and says why",
            w.tail("executor-0"))
    with open(secret, "w") as f:
        f.write(right)
    w.start("executor-0")
    w.wait_ready("executor-0")
    w.probe(40)
