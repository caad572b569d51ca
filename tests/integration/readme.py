#!/usr/bin/env python3
"""What READMEs say is so: files and folders that they link to are there, commands, options and make's targets exist, and
their examples of configuration load. TAP."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from lib import done, ok

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HEALBUS_BUILD", os.path.join(ROOT, "build"))
LINES_MAX = 100  # about a page
# What READMEs call by these names is somebody else's.
FOREIGN = {"--inbox-prefix", "--nkey", "--tlsca", "--no-deps"}


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def readmes():
    for where, folders, names in os.walk(ROOT):
        folders[:] = sorted(d for d in folders if not d.startswith(".") and d not in ("build", "node_modules"))
        if "README.md" in names:
            yield os.path.relpath(os.path.join(where, "README.md"), ROOT)


def examples(path):
    return re.findall(r"^```yaml\n(.*?)^```", read(path), re.S | re.M)


def code(text):
    return "\n".join(re.findall(r"```[a-z]*\n(.*?)```", text, re.S) + re.findall(r"`([^`\n]+)`", text) +
                     re.findall(r"^ {4}(.*)$", text, re.M))


# ---- names ----

def test_links(all):
    dead = [(p, link) for p in all for link in re.findall(r"\]\(([^)#]+)\)", read(p)) if "://" not in link
            and not os.path.exists(os.path.join(ROOT, os.path.dirname(p), link))]
    ok(not dead, "every link leads somewhere", dead)
    parts = [d for d in ("common", "deploy", "executor", "monitor", "notifier", "proto", "reasoner", "tests")
             if d + "/README.md" not in all]
    ok(not parts, "every folder of the top has a README", parts)
    long = [(p, read(p).count("\n")) for p in all if read(p).count("\n") > LINES_MAX]
    ok(not long, "each is about a page", long)


def test_files(all):
    """Names of source files in backquotes: below the README's folder, or by their path from the top."""
    missing = []
    for p in all:
        here = os.path.join(ROOT, os.path.dirname(p))
        for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:c|h|py|sh|proto))`", read(p)):
            if not (os.path.exists(os.path.join(ROOT, name)) or os.path.exists(os.path.join(ROOT, "tests", name)) or
                    glob.glob(os.path.join(here, "**", name), recursive=True) or
                    glob.glob(os.path.join(ROOT, "*", "**", name), recursive=True)):
                missing.append((p, name))
    ok(not missing, "every source file that is named is there", missing)


def test_commands(all):
    targets = set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.M))
    named = {(p, t) for p in all for t in re.findall(r"(?:^|[`\s&(])make ([a-z][a-z-]+)", code(read(p)))}
    odd = [x for x in named if x[1] not in targets]
    ok(named and not odd, "make knows its targets", odd)
    unknown = []
    for p in all:
        for words in set(re.findall(r"healctl(?: -c \S+)? ([a-z]+(?: [a-z]+)?)", code(read(p)))):
            two = words.split()
            known = any(subprocess.run([BUILD + "/healctl", "help", *two[:n]], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL).returncode == 0 for n in range(len(two), 0, -1))
            if not known:
                unknown.append((p, words))
    ok(not unknown, "healctl knows its commands", unknown)


def test_options(all):
    text = "".join(read(os.path.relpath(f, ROOT)) for d in ("notifier/ctl", "common", "monitor", "executor", "reasoner")
                   for f in glob.glob(os.path.join(ROOT, d, "**/*.c"), recursive=True))
    unknown = [(p, o) for p in all for o in set(re.findall(r"(?<!\S)(--[a-z][a-z-]+)", "\n".join(
        line for line in code(read(p)).splitlines() if re.search(r"heal(ctl|bus-)", line))))
        if o not in FOREIGN and '"%s"' % o[2:] not in text and '"%s"' % o not in text and o not in text]
    ok(not unknown, "our programs know their options", unknown)


# ---- examples ----

def check(stage, where):
    return subprocess.run([BUILD + "/healbus-" + stage, "-c", where, "--check"], capture_output=True, text=True, cwd=ROOT)


def write(where, name, text):
    os.makedirs(os.path.dirname(os.path.join(where, name)), exist_ok=True)
    with open(os.path.join(where, name), "w") as f:
        f.write(text)
    os.chmod(os.path.join(where, name), 0o600)


def secrets(where, text):
    """Files that the text names, which are everybody's own."""
    for name in re.findall(r"\b(?:\w+_file): ([\w.]+)", text):
        write(where, name, "https://hooks.example.org/secret-of-a-test\n" if "url_file: " + name in text else "secret-of-a-test\n")


def test_reasoner(where):
    runbook, failures, models = (examples("reasoner/%s/README.md" % d)[0] for d in ("runbooks", "failures", "models"))
    write(where, "runbooks/web-down.yaml", runbook)
    write(where, "failures/rust.yaml", failures)
    base = ("state_dir: %s/state\nrunbooks_dir: %s/runbooks\nfailures_dir: %s/failures\nprompts_dir: reasoner/prompts\n"
            "specialists_file: reasoner/specialists.yaml\n" % (where, where, where))
    write(where, "reasoner.yaml", base + models)
    secrets(where, models)
    r = check("reasoner", where)
    ok(r.returncode == 0, "the example of a runbook, of a failure and of models load", r.stderr)
    write(where, "runbooks/web-down.yaml", runbook.replace("cooldown:", "cooldwn:"))
    ok(check("reasoner", where).returncode == 78, "and would not with a slip of the pen")


def test_notifier(where):
    blocks = examples("notifier/channels/README.md")
    text = "".join(blocks).replace("64 hex digits", "ab" * 32)
    write(where, "notifier.yaml", "state_dir: %s/state\n%s" % (where, text))
    secrets(where, text)
    r = check("notifier", where)
    ok(len(blocks) == 3 and r.returncode == 0, "the examples of channels load", r.stderr)


def main():
    where = tempfile.mkdtemp(prefix="healbus-readme-")
    all = list(readmes())
    try:
        write(where, "bus.yaml", "url: nats://127.0.0.1:4222\n")
        for test in (test_links, test_files, test_commands, test_options):
            test(all)
        for test in (test_reasoner, test_notifier):
            test(where)
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return done()


if __name__ == "__main__":
    sys.exit(main())
