"""lib_compare.py FOLDS A B [renumbered]: what these folds (comma-separated) said must be the same in both recordings, by id
and byte for byte, each once. An output's id is <id of the input>@<its sequence>:<fold>:<n>; of a stream that has other
sequence numbers now, they are left out. Prints how many messages; exit 1 with the differences."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import lib_recording


def said(path, folds, renumbered):
    out = {}
    for r in lib_recording.read(path):
        if r["stream"] != "STORY" or not re.search(":(%s):[0-9]+$" % "|".join(folds), r["id"]):
            continue
        key = re.sub("@[0-9]+", "", r["id"]) if renumbered else r["id"]
        if key in out:
            print("# %s: %s is there twice" % (path, key))
        out[key] = (r["subject"], r["time_ms"], r["data"])
    return out


folds = sys.argv[1].split(",")
renumbered = sys.argv[4:] == ["renumbered"]
a, b = said(sys.argv[2], folds, renumbered), said(sys.argv[3], folds, renumbered)
bad = 0
for key in sorted(set(a) | set(b)):
    if a.get(key) != b.get(key):
        bad += 1
        print("# differs: %s\n#   %r\n#   %r" % (key, a.get(key), b.get(key)))
print("# %d messages, %d differ" % (len(a), bad))
sys.exit(1 if bad or not a else 0)
