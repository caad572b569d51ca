#!/usr/bin/env python3
"""The judge is judged: one fault planted at a time into a clean set of files; each must be found, and only it. TAP."""
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from judge import judge  # noqa: E402

# a: runs by itself. b: asked, approved. c: asked, denied. d: forbidden. e: started, end unknown, check says done in a
# second attempt. f: nobody knows a runbook. a2: a second alert of a's incident.
CLEAN = {
    "ACKED": ["a run 10.0", "a2 any 10.1", "b run 11.0", "c norun 12.0", "d norun 13.0", "e run 14.0", "f any 15.0",
              "a run 16.0 2 firing"],
    "LEDGER": ["S a/1 20.0 pid=1 ppid=1", "E a/1 20.5 pid=1 ppid=1", "S b/1 31.0 pid=2 ppid=1",
               "E b/1 31.1 pid=2 ppid=1", "S e/1 40.0 pid=3 ppid=1", "S e/2 50.0 pid=4 ppid=1",
               "E e/2 50.1 pid=4 ppid=1"],
    "APPROVED": ["b/1 - 1.0 ask", "c/1 - 1.0 ask", "b/1 aa 30.0 approve", "c/1 bb 30.0 deny"],
    "OUTCOMES": ["a done", "a2 done", "b done", "c rejected", "d rejected", "e done", "f escalated"],
    "RUNS": ["a/1 done -", "b/1 done -", "e/1 unknown step", "e/2 done -"],
    "PLANS": ["p1 plan", "p1 outcome", "p2 plan", "p2 outcome"],
    "SEEN": ["a 1", "a 2", "a firing"],
    "NOTICES": ["n1", "n2", "n3"],
    "MUST": ["a opened", "f escalated", "c *"],
    "TOLD": ["n1 opened a", "n2 escalated f,c", "n3 opened b", "n1 opened a"],
}

# what is planted: file, line to take away ("" none), line to add ("" none), the counter that must see it
FAULTS = [
    ("an acknowledged alert without an outcome", "OUTCOMES", "a2 done", "", "lost"),
    ("an acknowledged repeat that never reached the bus", "SEEN", "a 2", "", "lost"),
    ("an acknowledged alert that was never normalised", "SEEN", "a firing", "", "lost"),
    ("an act that was started twice", "LEDGER", "", "S a/1 21.0 pid=9 ppid=1", "double"),
    ("a start after its unknown start", "LEDGER", "", "S e/1 49.0 pid=9 ppid=1", "double"),
    ("a start before the approval", "APPROVED", "b/1 aa 30.0 approve", "b/1 aa 31.5 approve", "unapproved"),
    ("a start without any answer", "APPROVED", "b/1 aa 30.0 approve", "", "unapproved"),
    ("a start although a no was pressed as well", "APPROVED", "", "b/1 aa 30.5 deny", "unapproved"),
    ("a start on a forbidden target", "LEDGER", "", "S d/1 60.0 pid=9 ppid=1\nE d/1 60.1 pid=9 ppid=1", "forbidden"),
    ("a start for an alert that nobody sent", "LEDGER", "", "S x/1 60.0 pid=9 ppid=1\nE x/1 60.1 pid=9 ppid=1",
     "invented"),
    ("an act without an end that is called done", "RUNS", "e/1 unknown step", "e/1 done -", "lied"),
    ("an act that never started and is called done", "RUNS", "", "f/1 done -", "lied"),
    ("an act without an end, of which only the incident speaks", "RUNS", "e/1 unknown step", "", "lied"),
    ("a word that is no outcome", "OUTCOMES", "f escalated", "f perhaps", "lied"),
    ("a notice that never came", "TOLD", "n3 opened b", "", "missing_notices"),
    ("an escalation that nobody heard of", "TOLD", "n2 escalated f,c", "n2 escalated c", "missing_notices"),
    ("an incident of which nobody was told anything", "TOLD", "n2 escalated f,c", "n2 escalated f", "missing_notices"),
    ("a notice of another kind than it must be", "TOLD", "n2 escalated f,c", "n2 opened f,c", "missing_notices"),
    ("an unknown act that nothing settled", "RUNS", "e/1 unknown step", "e/1 unknown -", "unsettled"),
    ("two outcomes of one incident", "OUTCOMES", "", "a failed", "outcomes"),
    ("two outcomes of one plan", "PLANS", "", "p1 outcome", "outcomes"),
    ("a plan without an outcome", "PLANS", "p2 outcome", "", "outcomes"),
]


def write(directory, files):
    for name, lines in files.items():
        with open(os.path.join(directory, name), "w") as f:
            f.write("".join(line + "\n" for line in lines))


def planted(fault):
    """The clean set with one fault in it."""
    _, name, gone, added, _ = fault
    files = {k: list(v) for k, v in CLEAN.items()}
    if gone:
        files[name].remove(gone)
    if added:
        files[name] += added.split("\n")
    return files


def not_run_but_done():
    files = planted(("", "LEDGER", "S b/1 31.0 pid=2 ppid=1", "", ""))
    files["LEDGER"].remove("E b/1 31.1 pid=2 ppid=1")
    files["RUNS"].remove("b/1 done -")
    return files


def main():
    cases = [("a clean set", CLEAN, None)]
    cases += [(f[0], planted(f), f[4]) for f in FAULTS if f[4]]
    cases.append(("an incident that is called done and never ran", not_run_but_done(), "lost"))
    cases.append(("a run that need not have run", planted(("", "ACKED", "", "f run 17.0", "")), None))
    failed = 0
    directory = tempfile.mkdtemp(prefix="healbus-judge-")
    try:
        for n, (text, files, counter) in enumerate(cases, 1):
            write(directory, files)
            found = {k: v for k, v in judge(directory)[0].items() if v}
            good = set(found) == ({counter} if counter else set())
            failed += not good
            print("%s %d - %s: %s%s" % ("ok" if good else "not ok", n, text, counter or "nothing found",
                                        "" if good else " # " + str(found)))
        write(directory, CLEAN)
        with open(os.path.join(directory, "LEDGER"), "a") as f:
            f.write("S a/1 99.0 pid=1")  # a write that was cut off
        torn = judge(directory)[0]
        failed += bool(torn["double"])
        print("%s %d - a line without its end is not there" % ("not ok" if torn["double"] else "ok", len(cases) + 1))
        print("1..%d" % (len(cases) + 1))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if failed else 0


sys.exit(main())
