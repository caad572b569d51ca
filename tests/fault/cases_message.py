"""Messages that are broken, doubled, out of order, too many, forged."""
import base64
import json
import os
import random
import time

from kit import BUILD, HOURLY, Load, alert, case, cpu_seconds, descriptors, in_parallel, rss_mib, wait_for, webhook
from natsadmin import NatsError

CASES = []


def garbage(rng, i):
    """One of several kinds of bytes that are no message of ours."""
    kinds = (lambda: rng.randbytes(rng.randrange(1, 400)),
             lambda: b"\x0a\xff\xff\xff\xff\x0f" + rng.randbytes(20),           # a length of 4 GiB
             lambda: b"\x0a\x7f" + rng.randbytes(10),                            # cut off
             lambda: b"\x3a\x02" * 5000,                                         # nested without end
             lambda: b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" * 50,       # numbers at their limits
             lambda: b"\xff" * rng.randrange(1, 2000),
             lambda: b"\x0a\x05a\x00b\nc" + b"\x12\x04" + "\u202e".encode() + b"x",
             lambda: b"{\"json\": \"instead\"}",
             lambda: b"")
    return kinds[i % len(kinds)]()


@case(CASES, 22, "malformed", "bytes that are no message, on every subject: dead letters with a reason, all go on")
def malformed(k):
    rng = random.Random(22)
    w = k.world()
    admin = w.admin()
    subjects = ["raw.alertmanager", "raw.event", "event.00.x", "event.07.alertmanager", "event.03.tick",
                "event.03.control"]
    subjects += ["heal.%s.someincident" % kind for kind in (
        "incident", "plan", "approval", "decision", "step", "outcome", "model", "notice", "control")]
    rounds = 18 if k.quick else 400
    sent = 0
    for i in range(rounds):
        for subject in subjects:
            headers = {"Nats-Msg-Id": "bad-%s-%d" % (subject, i)}
            if i % 3 == 0:
                headers["Healbus-Time"] = ("soon", "-1", "99999999999999999999", "0")[i // 3 % 4]
            if i % 5 == 0:
                headers["Healbus-Schema"] = "7"
            admin.store(subject, garbage(rng, i), headers)
            sent += 1
    w.probe(40)
    dead = w.dump("DEAD")
    k.check(all(w.alive(p) for p in w.stages), "all stages live", [p for p in w.stages if not w.alive(p)])
    by_stage = {s: sum(1 for d in dead if d["message"].get("stage") == s)
                for s in ("monitor", "reasoner", "executor", "notifier")}
    k.check(all(by_stage.values()), "each stage wrote dead letters", by_stage)
    k.check(all(d["message"].get("error") for d in dead), "each says why")
    k.check(not w.doubles() and len({e[1] for e in w.entries()}) == 1, "nothing of it was acted upon", w.entries())
    k.note("%d sent, dead letters: %s" % (sent, by_stage))


@case(CASES, 22, "wrong-subject", "well-formed messages of another kind or stage: refused or void, no act")
def wrong_subject(k):
    w = k.world()
    w.judge(w.send(1))
    real = {m["subject"].split(".")[1]: m["seq"] for m in w.dump("STORY")}
    admin = w.admin()
    before = w.entries()
    kinds = ("incident", "plan", "decision", "step", "outcome", "notice", "control")
    for kind in ("incident", "plan", "step", "outcome", "notice"):
        data = raw_message(admin, "STORY", real[kind])
        for other in kinds:
            if other != kind:
                admin.store("heal.%s.elsewhere" % other, data, {"Nats-Msg-Id": "x-%s-%s" % (kind, other)})
        for subject in ("raw.event", "event.01.event"):
            admin.store(subject, data, {"Nats-Msg-Id": "y-%s-%s" % (kind, subject)})
    w.probe(40)
    after = [e for e in w.entries() if "probe" not in e[1]]
    k.check(after == before, "no act came of it", after[len(before):])
    k.check(all(w.alive(p) for p in w.stages), "all stages live")


def raw_message(admin, stream, seq):
    answer = admin.api("STREAM.MSG.GET." + stream, {"seq": seq})
    return base64.b64decode(answer["message"]["data"])


@case(CASES, 23, "poison", "a message on which a stage dies three times: set aside, visible, the rest goes on")
def poison(k):
    program = os.path.join(BUILD, "fault/healbus-reasoner")
    k.need(os.path.exists(program), "no build with failpoints")
    w = k.world()
    w.judge(w.send(1))
    w.kill("reasoner")
    w.program["reasoner"] = program
    victim = w.send(1, "poison")[0]
    k.until("the monitor has told of it", lambda: any(
        m["message"]["labels"].get("run") == victim for m in w.dump("STORY", "heal.incident.>")))
    deaths = 0
    while deaths < 3:
        w.start("reasoner", env={"HEALBUS_FAILPOINT": "in-apply:1"})
        k.until("it dies on the message", lambda: not w.alive("reasoner"), 20)
        deaths += 1
    w.start("reasoner")
    w.wait_ready("reasoner")
    w.probe(40)
    dead = [d for d in w.dump("DEAD") if d["message"].get("stage") == "reasoner"]
    k.check(dead, "it is a dead letter", dead)
    k.note("%d deaths; %s" % (deaths, dead[0]["message"]["error"][:80] if dead else "no letter"))


# ---- doubled ----

@case(CASES, 24, "same-webhook", "one webhook 100 times at once, and again later: one act")
def same_webhook(k):
    w = k.world()
    answers = in_parallel([lambda: w.post("same", service="web") for _ in range(100)])
    k.check(set(answers) <= {202, 503} and 202 in answers, "each is taken", set(answers))
    w.judge({"same"})
    in_parallel([lambda: w.post("same", service="web") for _ in range(20)])
    w.probe()
    k.check(w.started("same") == 1, "one act", w.entries())
    k.check(len(w.outcomes()["same"]) == 1, "one plan, one outcome")


@case(CASES, 24, "same-messages", "every message of the streams sent again under other ids: no act runs twice")
def same_messages(k):
    w = k.world(executors=2)
    w.judge(w.send(4))
    before = w.entries()
    admin = w.admin()
    again = 0
    for stream in ("RAW", "EVENTS", "STORY"):
        for seq in range(1, admin.state(stream)["last_seq"] + 1):
            try:
                m = admin.api("STREAM.MSG.GET." + stream, {"seq": seq})["message"]
            except NatsError:
                continue
            admin.store(m["subject"], raw_message(admin, stream, seq), {"Nats-Msg-Id": "again-%s-%d" % (stream, seq)})
            again += 1
    w.probe(40)
    after = [e for e in w.entries() if "probe" not in e[1]]
    k.check(after == before, "no act ran again", after[len(before):])
    ids = {m["message"]["id"] for m in w.dump("STORY", "heal.outcome.>")}
    k.check(len(ids) <= 5, "no further outcome", len(ids))
    k.note("%d messages sent again" % again)


@case(CASES, 24, "pressed-20-times", "approve pressed 20 times by 3 people at once: one decision, one act")
def pressed_20_times(k):
    w = k.world()
    run = w.send(1, **{"class": "ask"})[0]
    ask = wait_for("the question", lambda: w.api("GET", "/api/approvals")[1].get("approvals"))
    k.check(ask and not w.started(run), "it is asked first")
    people = ("ann", "bob", "eve")
    answers = in_parallel([lambda i=i: w.api("POST", "/api/decisions", {
        "approval": ask[0]["id"], "verdict": "approve", "by": people[i % 3]})[0] for i in range(20)])
    k.check(sorted(answers) == [200] + [409] * 19, "one is first, the others are told", answers)
    w.judge({run})
    k.check(w.started(run) == 1, "one act", w.entries())
    k.check(len(w.dump("STORY", "heal.decision.>")) == 1, "one decision on the bus")


# ---- out of order ----

@case(CASES, 25, "resolved-first", "resolved before firing, of one episode: no act; a later episode is acted upon")
def resolved_first(k):
    w = k.world()
    k.check(w.post("late", "resolved") == 202, "taken")
    w.probe()
    w.post("late", "firing")
    w.probe()
    k.check(w.started("late") == 0, "the firing that came too late is not acted upon", w.entries())
    body = webhook(alert("Faultlate", service="web", run="late", starts="2026-11-22T09:00:00Z"))
    k.check(w.http("monitor-0", "POST", "/webhook/alertmanager", body)[0] == 202, "taken")
    k.until("a new episode is acted upon", lambda: w.ended("late"))


@case(CASES, 25, "decision-first", "a decision before its plan, a result before its start: void, no act, all go on")
def decision_first(k):
    w = k.world()
    base = {"incident": "nobody", "plan_id": "noplan", "plan_digest": "ab" * 32}
    admin_send(w, "decision", "nobody", dict(base, id="d1", plan_seq=999, approval="a", verdict="approve", by="eve",
                                             channel="x", at_ms=1, deadline_ms=int(time.time() * 1000) + 60000))
    admin_send(w, "step", "nobody", {"incident": "nobody", "plan_id": "noplan", "step_id": "s", "index": 0,
                                     "phase": "act", "state": "done", "tool": "ledger_act", "target": "web"})
    admin_send(w, "outcome", "nobody", dict(base, id="o1", attempt=1, verdict="healed", reason="a lie"))
    w.probe()
    k.check(all(w.alive(p) for p in w.stages), "all stages live")
    k.check({e[1].split("/")[0] for e in w.entries()} == {"probe1"}, "no act", w.entries())


def admin_send(w, kind, incident, message):
    w.busctl("send", kind, incident, "-", "%s-%s" % (kind, message.get("id", "x")), data=json.dumps(message).encode())


# ---- too many ----

SENDER_AGAIN_S = 0.1  # a sender that was told 503 comes back after that
IDLE_S = (10, 60)  # quick, full: for how long is measured what idling costs


def storm_body(first, count):
    return webhook(*[alert("FaultStorm", service="s%d" % (i % 500), instance="n%d" % i) for i in
                     range(first, first + count)])


@case(CASES, 26, "storm", "thousands of distinct alerts at once: none lost, few starts, few questions, few notices")
def storm(k):
    total, each = (4000, 50) if k.quick else (20000, 50)
    w = k.world()
    bodies = [json.dumps(storm_body(i, each)) for i in range(0, total, each)]
    began = time.monotonic()

    def send(part):
        taken = 0
        for body in part:
            while True:
                status = w.http("monitor-0", "POST", "/webhook/alertmanager", body)[0]
                if status == 202:
                    taken += 1
                    break
                time.sleep(SENDER_AGAIN_S)
        return taken

    taken = sum(in_parallel([lambda i=i: send(bodies[i::4]) for i in range(4)]))
    took = time.monotonic() - began
    k.check(taken == len(bodies), "all are taken", taken)
    k.until("every alert is an event", lambda: w.admin().state("EVENTS")["messages"] >= total, 120)

    def counted():
        return sum({m["message"]["id"]: m["message"]["fingerprints"]
                    for m in w.dump("STORY", "heal.incident.>")}.values())

    k.until("and is counted in an incident", lambda: counted() >= total, 120)
    plans = len(w.dump("STORY", "heal.plan.>"))
    notices = len({m["message"]["id"] for m in w.dump("STORY", "heal.notice.>")})
    k.check(notices <= 60, "people get few notices", notices)
    w.probe(60)
    k.note("%d alerts in %.1f s: %d plans, %d notices" % (total, took, plans, notices))


@case(CASES, 27, "flapping", "an alert that fires and resolves all the time: few acts, then a human is told")
def flapping(k):
    w = k.world(options={"monitor": "flap_threshold: 4\nflap_window: 10m\n"})
    cycles = 15 if k.quick else 150
    for i in range(cycles):
        starts = "2026-11-21T%02d:%02d:00Z" % (9 + i // 60, i % 60)
        for status in ("firing", "resolved"):
            body = webhook(alert("Faultflap", status, service="web", run="flap", starts=starts), status=status)
            k.check(w.http("monitor-0", "POST", "/webhook/alertmanager", body)[0] == 202, "taken")
        w.probe(15, "others are answered meanwhile")
        if k.broken:
            break
    states = [m["message"] for m in w.dump("STORY", "heal.incident.>") if "flap" in m["message"]["title"]]
    k.check(w.started("flap") <= 6, "few acts", w.started("flap"))
    k.check(any(s.get("suppressed_by") == "flapping" for s in states), "it is known to flap", len(states))
    k.note("%d cycles: %d acts, %d messages about it" % (cycles, w.started("flap"), len(states)))


@case(CASES, 26, "idle", "nothing to do: next to no processor time")
def idle(k):
    w = k.world()
    w.probe()
    used = {p: cpu_seconds(w.pid(p)) for p in w.stages}
    began = time.monotonic()
    time.sleep(IDLE_S[not k.quick])
    took = time.monotonic() - began
    busy = {p: round(100 * (cpu_seconds(w.pid(p)) - used[p]) / took, 1) for p in w.stages}
    k.check(max(busy.values()) < 5, "under 5 % of a core each", busy)
    k.note(str(busy))


@case(CASES, 26, "steady-load", "a steady load for a while: descriptors and memory stay flat", slow=True)
def steady_load(k):
    w = k.world(targets=HOURLY)
    load = Load(w, 0.03)
    k.until("it has warmed up", lambda: load.answers[202] > 600, 90)
    before = {p: (descriptors(w.pid(p)), rss_mib(w.pid(p))) for p in w.stages}
    k.until("a while passes", lambda: load.answers[202] > 4000, 400)
    after = {p: (descriptors(w.pid(p)), rss_mib(w.pid(p))) for p in w.stages}
    load.stop()
    more = {p: after[p][0] - before[p][0] for p in before}
    k.check(all(n < 8 for n in more.values()), "descriptors are flat", more)
    grown = {p: after[p][1] - before[p][1] for p in before}
    k.check(all(n < 24 for n in grown.values()), "memory is flat", grown)
    w.judge(timeout_s=200)
    k.note("MiB more: %s" % {p: round(n, 1) for p, n in grown.items()})
