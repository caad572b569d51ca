#!/usr/bin/env python3
"""The fault list: each fault is made, and what must hold is looked at by something that shares no
code with healbus (the ledger that actions write, the log of what was acknowledged, the streams read
by hand, /proc).

    tests/fault/cases.py [NAME...] [--list] [--full] [--keep] [--jobs N]

Without names: all. --full adds what takes minutes, and does more rounds of the rest. Speaks TAP, and
ends with the table: fault | what must hold | held? | seconds."""
import argparse
import concurrent.futures
import os
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases_action  # noqa: E402
import cases_bus  # noqa: E402
import cases_clock  # noqa: E402
import cases_disk  # noqa: E402
import cases_http  # noqa: E402
import cases_message  # noqa: E402
import cases_process  # noqa: E402
import cases_resource  # noqa: E402
from kit import Kit, NotHere  # noqa: E402

MODULES = (cases_process, cases_bus, cases_disk, cases_clock, cases_http, cases_message, cases_resource,
           cases_action)


REMARK_MAX = 300  # of what did not hold, where it is said in one line


def all_cases():
    found = [c for m in MODULES for c in m.CASES]
    return sorted(found, key=lambda c: c.row)


def run(case, quick, keep):
    """(case, held, remark, seconds, lines); held is None when the case could not be made here."""
    began = time.monotonic()
    kit = None
    try:
        kit = Kit(case, quick, keep)
        case.function(kit)
        held, remark = not kit.broken, "; ".join(kit.broken) or kit.remark
    except NotHere as e:
        held, remark = None, str(e)
    except Exception as e:  # a case that falls over has not shown that anything holds
        held, remark = False, "%s: %s" % (type(e).__name__, e)
        kit.lines += traceback.format_exc().splitlines()
    lines = []
    if kit:
        if held is False:
            kit.keep_logs()
            lines = kit.lines
        kit.close()
    return case, held, remark, time.monotonic() - began, lines


def say(n, result):
    case, held, remark, seconds, lines = result
    text = "".join("# %s\n" % line for line in lines)
    text += "%s %d - %s: %s%s (%.1f s)\n" % (
        "not ok" if held is False else "ok", n, case.name, remark[:REMARK_MAX] if held is False else case.holds,
        " # skip " + remark if held is None else "", seconds)
    if held and remark:
        text += "# %s: %s\n" % (case.name, remark)
    sys.stdout.write(text)
    sys.stdout.flush()


def print_table(rows):
    line = "# %-20s | %-84s | %-8s | %7s"
    print("#\n" + line % ("fault", "what must hold", "held?", "seconds"))
    print("# " + "-" * 20 + "-|-" + "-" * 84 + "-|-" + "-" * 8 + "-|-" + "-" * 7)
    for case, held, remark, seconds, _ in sorted(rows, key=lambda r: (r[0].row, r[0].name)):
        word = {True: "yes", False: "NO", None: "not here"}[held]
        print(line % (case.name, case.holds[:84], word, "%.1f" % seconds))
        if held is not True:
            print("# %-20s |   %s" % ("", remark[:100]))
    print("# faults: %d held, %d did not, %d could not be made here" % (
        sum(1 for r in rows if r[1]), sum(1 for r in rows if r[1] is False),
        sum(1 for r in rows if r[1] is None)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the directories")
    parser.add_argument("--jobs", type=int, default=4, help="cases at once; most of them wait")
    args = parser.parse_args()
    cases = [c for c in all_cases() if not args.names or c.name in args.names]
    if args.list:
        for c in cases:
            print("%2d  %-20s %s%s" % (c.row, c.name, c.holds, "  (slow)" if c.slow else ""))
        return 0
    cases = [c for c in cases if args.names or not (c.slow and not args.full)]
    if not cases:
        print("no such case", file=sys.stderr)
        return 64
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda *_: sys.exit(130))
    print("1..%d" % len(cases), flush=True)
    rows = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        under_way = [pool.submit(run, c, not args.full, args.keep) for c in cases]
        for done in concurrent.futures.as_completed(under_way):
            rows.append(done.result())
            say(len(rows), rows[-1])
    print_table(rows)
    return 1 if any(r[1] is False for r in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
