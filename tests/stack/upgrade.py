#!/usr/bin/env python3
"""Releases beside each other: while alerts flow and questions are answered, each stage is replaced by the coming release's
and by this one's again, one process at a time, killed or asked to end; with --full also in the reverse order, and by the
release before. Then the independent judge of the fault tests says what was lost, done twice or told wrongly, and what a
newer release put into messages is looked for in what older ones made of them. Speaks TAP; the last line begins with
"upgrade:".

    tests/stack/upgrade.py [--full] [--seed N] [--keep]"""
import base64
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests/fault")]
import chaos  # noqa: E402
import lib_release  # noqa: E402
from ears import fields, text  # noqa: E402
from judge import ALSO, COUNTERS  # noqa: E402
from natsadmin import Admin  # noqa: E402
from world import BUILD, missing, wait_for  # noqa: E402

SEVERITY_NEXT = 5
NEW_KIND = "heal.forecast.x"  # of messages; nobody here knows it


class Upgrade(chaos.Chaos):
    def __init__(self, args, releases):
        super().__init__(args)
        self.releases = releases  # {name: folder of programs}
        self.answers, self.swaps, self.newer = [], 0, {}
        self.refused = self.turns_back = 0
        self.last = None  # message on STORY that this release can answer for

    # ---- replacing ----

    def swap(self, part, release):
        """Another release takes the place of a part. Half of them are killed, the others may end what they do."""
        began, stage = time.monotonic(), part.split("-")[0]
        self.world.program[part] = os.path.join(self.releases[release], "healbus-" + stage)
        old = self.world.process[part]
        self.held.add(part)
        old.send_signal(signal.SIGKILL if self.swaps % 2 else signal.SIGTERM)
        wait_for("%s has ended" % part, lambda: old.poll() is not None, 60)
        if self.newer.get(part) and release != "next" and stage != "executor":
            self.back(part)
        self.newer[part] = release == "next"
        self.held.discard(part)
        good = wait_for("%s of %s is ready" % (part, release), lambda: self.world.process[part] is not old
                        and self.world.ready(part), chaos.RECOVER_S)
        self.swaps += 1
        self.recoveries.append((part, int((time.monotonic() - began) * 1000), 0))
        if not good:
            self.answers.append(("%s of %s becomes ready" % (part, release), False))

    def back(self, part):
        """An older release does not take what a later one wrote for its own: it says what to do, and that is done."""
        process = self.world.start(part)
        wait_for("%s refuses its state" % part, lambda: process.poll() is not None, 60)
        self.refused += process.poll() not in (None, 0) and "a later release wrote it" in self.world.tail(part, 3) \
            and "it is rebuilt from the bus" in self.world.tail(part, 3)
        self.turns_back += 1
        state = self.world.path("state", part)
        for name in os.listdir(state):
            if os.path.exists(os.path.join(state, name, "data.mdb")):
                os.rename(os.path.join(state, name), self.world.path("away-%d-%s-%s" % (self.swaps, part, name)))

    def roll(self, stages, release):
        """One part after the other; after each stage an alert goes through all of it."""
        began = time.monotonic()
        for stage in stages:
            for part in self.world.stages:
                if part.split("-")[0] == stage:
                    self.swap(part, release)
            one = self.probe()
            good = wait_for("an alert heals while %s is of %s" % (stage, release),
                            lambda o=one: self.ears.is_over(o.run), chaos.RECOVER_S)
            self.answers.append(("%s of %s beside the others: an alert heals" % (stage, release), good))
        chaos.say("rolled %s to %s in %.0f s" % (", ".join(stages), release, time.monotonic() - began))

    def kill_all(self):
        order = list(lib_release.STAGES)
        with open(self.world.path("secret/judge")) as f:
            self.admin = Admin(self.world.ports["nats"], "judge", f.read())
        self.admin.store(NEW_KIND, b"\x0a\x01x", {"Nats-Msg-Id": "forecast", "Healbus-Schema": "1"})
        if "previous" in self.releases:
            self.roll(["reasoner"], "previous")
            self.roll(["reasoner"], "this")
        self.roll(order, "next")
        self.roll(order, "this")
        if self.args.full:
            self.roll(order[::-1], "next")
            self.roll(order[::-1], "this")
        if self.args.full and "previous" in self.releases:
            self.last = self.admin.state("STORY")["last_seq"]
            self.roll(order, "previous")
            self.roll(order, "this")
        wait_for("the load is done", self.loaded, 120)

    # ---- what became of what a newer release had put in ----

    def raw(self, stream):
        """Every message of a stream as the bytes it is: [(subject, fields)]."""
        state = self.admin.state(stream)
        last = self.last if stream == "STORY" and self.last else state["last_seq"]
        for seq in range(state["first_seq"], last + 1):
            m = self.admin.api("STREAM.MSG.GET." + stream, {"seq": seq})["message"]
            yield m["subject"], fields(base64.b64decode(m.get("data", "")))

    def look_at_messages(self):
        numbers = lib_release.schema(self.releases["next folder"])
        note = {name: f[lib_release.NOTE] for name, f in numbers.items()}
        self.found = {"written": 0, "forwarded": 0, "dropped": [], "severities": 0, "severities dropped": []}
        self.note, self.numbers = note, numbers
        events = {text(e, 1): e for s, e in self.raw("EVENTS") if not s.endswith((".tick", ".control"))}
        story = list(self.raw("STORY"))
        decisions = {text(m, 1): m for s, m in story if s.startswith("heal.decision.")}
        for subject, m in story:
            kind = {"incident": "Incident", "outcome": "Outcome"}.get(subject.split(".")[1])
            if kind == "Incident":
                self.copies(events, m, kind, "events", "Event")
            elif kind == "Outcome":
                self.copies(decisions, m, kind, "decision", "Decision")

    def copies(self, sources, message, kind, field, of):
        """Messages inside of another one, against what they are copies of."""
        old_writer = self.note[kind] not in message
        for packed in message.get(self.numbers[kind][field], []):
            copy = fields(packed)
            source = sources.get(text(copy, 1))
            if not source or self.note[of] not in source:
                continue
            self.found["written"] += 1
            self.found["forwarded"] += old_writer
            if copy.get(self.note[of]) != source[self.note[of]]:
                self.found["dropped"].append("%s of %s %s" % (of, kind, text(message, 1)))
            severity = self.numbers[of].get("severity")
            if severity and source.get(severity) == [SEVERITY_NEXT]:
                self.found["severities"] += old_writer
                if copy.get(severity) != [SEVERITY_NEXT]:
                    self.found["severities dropped"].append("%s of %s %s" % (of, kind, text(message, 1)))

    def judge(self):
        found, size = super().judge()
        self.look_at_messages()
        f = self.found
        chaos.say("of the coming release: %d messages inside of others, %d of them in one that this release wrote, %d "
                  "with a severity that it does not know" % (f["written"], f["forwarded"], f["severities"]))
        for name in ("dropped", "severities dropped"):
            if f[name]:
                chaos.say(name, len(f[name]), *f[name][:3])
        dead = self.world.dump("DEAD")
        for row in dead[:5]:
            chaos.say("dead:", row["subject"], row["message"].get("error"), row["message"].get("subject"))
        self.answers += [
            ("each older program refused the state of a newer one, and said what to do: %d of %d" % (
                self.refused, self.turns_back), 0 < self.turns_back == self.refused),
            ("unknown fields are still in what this release forwards", f["forwarded"] > 0 and not f["dropped"]),
            ("so are values of an enum that it does not know", f["severities"] > 0 and not f["severities dropped"]),
            ("nothing was unreadable to anyone, nor was a kind of message that nobody knows", not dead)]
        return found, size


def run(args):
    began = time.monotonic()
    releases = {"this": BUILD, "next": lib_release.build("next", BUILD)}
    releases["next folder"] = os.path.dirname(releases["next"])
    if args.full:
        try:
            releases["previous"] = lib_release.build("previous", BUILD)
        except lib_release.Missing as e:
            chaos.say("without the release before: %s" % e)
    chaos.say("the other releases were built in %.0f s" % (time.monotonic() - began))
    upgrade = Upgrade(args, releases)
    chaos.say("seed", args.seed, "incidents", args.incidents, "alerts", args.alerts, upgrade.world.dir)
    with upgrade.world:
        found, size = upgrade.run()
        upgrade.receiver.close()
    results = [(chaos.TEXTS[name], not found[name]) for name in COUNTERS + ALSO] + upgrade.answers
    for n, (what, good) in enumerate(results, 1):
        print("%s %d - %s" % ("ok" if good else "not ok", n, what))
    print("1..%d" % len(results))
    print(chaos.last_line(args, upgrade, found, size).replace("fault:", "upgrade:"), flush=True)
    return 0 if all(good for _, good in results) else 1


def main():
    args = chaos.arguments(small=(60, 400))
    args.kills = 60 if args.full else 10  # alerts come for as long as it would take to kill so often
    why = missing()
    if why:
        print("1..0 # skip " + why)
        return 0
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
