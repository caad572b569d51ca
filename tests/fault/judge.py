#!/usr/bin/env python3
"""judge.py DIR: the independent judge of the fault tests. Shares no code with healbus; reads only what others wrote down:

ACKED     what the outside was promised, one line an alert that got a 2xx:      EVENT_ID run|norun|any T [MARK...]
LEDGER    what really ran (act.c):                                              S|E RUN_ID T pid= ppid=
APPROVED  by the approving robot, before it presses:                            RUN_ID PLAN_SHA256 T approve|deny
          and, before anything was sent, what needs an approval at all:         RUN_ID - T ask
OUTCOMES  the product's own words at the end, one line an incident:             EVENT_ID done|failed|unknown|rejected|expired|escalated
RUNS      the product's words on each act, and what settled an unknown one:     RUN_ID done|failed|unknown check|step|human|-
PLANS     each plan, and each outcome of it:                                    PLAN_ID plan|outcome
SEEN      what of it lies on the bus: every mark that was acknowledged:         EVENT_ID MARK
NOTICES   what the product says it has to tell:                                 NOTICE_ID
MUST      what has to be told whatever the product says (*: anything):          EVENT_ID KIND
TOLD      what the receiver of notices got:                                     NOTICE_ID KIND EVENT_ID,...

RUN_ID = EVENT_ID/ATTEMPT. T are seconds since boot. The first four files are required, the others may be missing. A last
line without its end is not there. Exit code 0 when all counters are 0."""
import collections
import os
import sys

COUNTERS = ("lost", "double", "unapproved", "forbidden", "invented", "lied", "missing_notices")
ALSO = ("unsettled", "outcomes")  # unknown acts that nothing settled; plans or incidents without exactly one outcome
ENDS = ("done", "failed", "unknown", "rejected", "expired", "escalated")


def rows(directory, name, required=False):
    path = os.path.join(directory, name)
    if not required and not os.path.exists(path):
        return []
    with open(path) as f:
        return [line.split() for line in f if line.endswith("\n") and line.strip()]


def event_of(run):
    return run.rsplit("/", 1)[0]


class Case:
    def __init__(self, directory):
        self.found = {name: [] for name in COUNTERS + ALSO}
        acked = rows(directory, "ACKED", True)
        self.acked = {r[0]: r[1] for r in acked}
        self.marks = {(r[0], mark) for r in acked for mark in r[3:]}
        self.seen = {tuple(r) for r in rows(directory, "SEEN")}
        self.starts, self.ends = collections.defaultdict(list), collections.defaultdict(list)
        for r in rows(directory, "LEDGER", True):
            (self.starts if r[0] == "S" else self.ends)[r[1]].append(float(r[2]))
        approved = rows(directory, "APPROVED", True)
        self.asked = {r[0] for r in approved}
        self.yes, self.no = {}, set()
        for run, _, at, verdict in approved:
            if verdict == "approve":
                self.yes.setdefault(run, float(at))
            elif verdict == "deny":
                self.no.add(run)
        self.outcomes = collections.defaultdict(list)
        for r in rows(directory, "OUTCOMES", True):
            self.outcomes[r[0]].append(r[1])
        self.runs = {r[0]: (r[1], r[2]) for r in rows(directory, "RUNS")}
        self.plans = collections.Counter()
        for plan, what in rows(directory, "PLANS"):
            self.plans[plan] += 0 if what == "plan" else 1
        self.told_ids, self.told = set(), set()
        for notice, kind, events in rows(directory, "TOLD"):
            self.told_ids.add(notice)
            self.told.update((event, k) for event in events.split(",") for k in (kind, "*"))
        self.notices = [r[0] for r in rows(directory, "NOTICES")]
        self.must = [tuple(r) for r in rows(directory, "MUST")]

    def end(self, event):
        words = self.outcomes.get(event)
        return words[0] if words else None

    def judge_starts(self):
        for run, at in self.starts.items():
            event = event_of(run)
            if len(at) > 1:
                self.found["double"].append(run)
            if event not in self.acked:
                self.found["invented"].append(run)
            elif self.acked[event] == "norun":
                self.found["forbidden"].append(run)
            if run in self.asked and (run not in self.yes or min(at) < self.yes[run] or run in self.no):
                self.found["unapproved"].append(run)

    def judge_words(self):
        """What the product says against what happened."""
        for run in self.starts:
            said = self.runs.get(run, (self.end(event_of(run)), None))[0]
            if run not in self.ends and said == "done":
                self.found["lied"].append(run)
        for run, (said, _) in self.runs.items():
            if said == "done" and run not in self.starts:
                self.found["lied"].append(run)
        self.found["lied"] += [e for e, words in self.outcomes.items() for w in words if w not in ENDS]

    def judge_acked(self):
        started = {event_of(run) for run in self.starts}
        for event, expected in self.acked.items():
            end = self.end(event)
            if end is None or (expected == "run" and event not in started and end == "done"):
                self.found["lost"].append(event)
        self.found["lost"] += ["%s#%s" % mark for mark in sorted(self.marks - self.seen)]

    def judge_rest(self):
        self.found["outcomes"] += [e for e, words in self.outcomes.items() if len(words) > 1]
        self.found["outcomes"] += [plan for plan, n in self.plans.items() if n != 1]
        self.found["unsettled"] += [r for r, (said, by) in self.runs.items() if said == "unknown" and by == "-"]
        self.found["missing_notices"] += [n for n in self.notices if n not in self.told_ids]
        self.found["missing_notices"] += ["%s:%s" % m for m in self.must if m not in self.told]


def judge(directory):
    """{counter: [what was found]}, and how much there was of everything."""
    c = Case(directory)
    c.judge_starts()
    c.judge_words()
    c.judge_acked()
    c.judge_rest()
    size = {"acked": len(c.acked), "starts": sum(map(len, c.starts.values())), "ends": len(c.ends),
            "approved": len(c.yes), "asked": len(c.asked), "outcomes": len(c.outcomes), "plans": len(c.plans),
            "notices": len(c.notices), "unknown": sum(said == "unknown" for said, _ in c.runs.values())}
    return c.found, size


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 64
    found, size = judge(sys.argv[1])
    print("  ".join("%s %d" % item for item in size.items()))
    for name, what in found.items():
        print("%-16s%d" % (name, len(what)), *what[:5])
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
