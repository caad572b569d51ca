"""Clocks that jump: all stages see another time of day, the bus does not; the time since boot goes
on. Plans that look too old are said to be expired: late is safe."""
import email.utils
import glob
import time

from kit import case, wait_for

CASES = []
JUMP_ABOUT_S = 60  # an answer may be late by less; every jump is larger by far


class Clock:
    """libfaketime in all stages of a world, under the control of one file."""

    def __init__(self, k, w):
        self.kit, self.world = k, w
        libs = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        k.need(libs, "libfaketime is missing")
        self.path = w.path("faketime")
        self.write(0)
        for part in w.stages:
            w.extra_env[part] = {"LD_PRELOAD": libs[0], "FAKETIME_TIMESTAMP_FILE": self.path,
                                 "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}

    def write(self, seconds):
        with open(self.path, "w") as f:
            f.write("%+d\n" % seconds)

    def off(self, part):
        """By how much this part's clock differs from ours, as the date of its answers tells."""
        date = self.world.http(part, "GET", "/healthz", timeout_s=3)[2].get("Date")
        return email.utils.parsedate_to_datetime(date).timestamp() - time.time() if date else float("inf")

    def jump(self, seconds):
        """Until every stage has seen it: the library reads the file once a second."""
        self.write(seconds)
        self.kit.until("every clock has jumped", lambda: all(
            abs(self.off(part) - seconds) < JUMP_ABOUT_S for part in self.world.stages))


def jumped(k, seconds, how):
    """An act under way and a question open while the clock jumps; then new work."""
    w = k.world(start=False, targets=["a", "b"], options={"executor": "approval_deadline: 60s\napproval_deadline_soft: 60s\n"})
    clock = Clock(k, w)
    w.start_all()
    w.judge(w.send(2))
    ask = w.send(1, "ask", **{"class": "ask"})[0]
    running = w.send(1, "running", hold_ms="2500")[0]
    k.until("the question is open", lambda: w.api("GET", "/api/approvals")[1].get("approvals"))
    k.until("the act runs", lambda: w.started(running))
    clock.jump(seconds)
    k.until("the act under way ends", lambda: w.ended(running), 20)
    approval = (w.api("GET", "/api/approvals")[1].get("approvals") or [{}])[0].get("id")
    how(w, ask, approval)
    began = time.monotonic()
    runs = w.send(2)
    w.settled(runs + [running], 60, "new work has an outcome: done, or said to be too late")
    recovery = time.monotonic() - began
    ends = {v for r in runs for v in w.outcomes()[r]}
    k.check(ends <= {"healed", "expired"}, "and no other", ends)
    clock.jump(0)
    w.probe(60, "after the clock is right again a new alert is answered")
    k.check(not w.doubles(), "nothing started twice", w.doubles())
    k.check(all(w.alive(p) for p in w.stages), "all stages live")
    k.note("new work %s, %.1f s after the jump" % ("/".join(sorted(ends)), recovery))


def must_expire(k):
    def look(w, ask, approval):
        if approval:
            w.api("POST", "/api/decisions", {"approval": approval, "verdict": "approve", "by": "ann"})
        k.until("the open question has ended", lambda: w.outcomes().get(ask), 60)
        k.check(not w.started(ask), "an approval past its deadline starts nothing", w.outcomes().get(ask))
    return look


def may_be_approved(k):
    def look(w, ask, approval):
        k.check(not w.started(ask), "nothing starts by itself")
        w.api("POST", "/api/decisions", {"approval": approval, "verdict": "approve", "by": "ann"})
        wait_for("its outcome", lambda: w.outcomes().get(ask), 30)
        k.check(w.started(ask) <= 1, "at most once")
    return look


@case(CASES, 16, "clock-hour-ahead", "clock +1 h: acts go on, questions expire, nothing twice, new work is done")
def hour_ahead(k):
    jumped(k, 3600, must_expire(k))


@case(CASES, 16, "clock-hour-back", "clock -1 h: acts go on, nothing starts by itself, nothing twice, new work is done")
def hour_back(k):
    jumped(k, -3600, may_be_approved(k))


@case(CASES, 16, "clock-ten-years", "clock +10 y and back: questions expire, nothing twice, new work is done after")
def ten_years(k):
    jumped(k, 10 * 365 * 86400, must_expire(k))
