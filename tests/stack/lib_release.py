"""Other releases of healbus, built beside this one in the build folder. Standard library only.

next      this one's sources as the coming release might change them: each message has one more field, an enum one more
          value, and both are filled in where messages are made; the folds' stores have a version of their own
previous  the release that deploy/PREVIOUS names, as the history has it; the release before it may lack"""
import os
import re
import shutil
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
FOLDERS = ("Makefile", "common", "monitor", "reasoner", "executor", "notifier", "proto")
STAGES = ("monitor", "reasoner", "executor", "notifier")
NOTE = "next_note"
# Fast to build rather than fast to run; what the Makefile would add as warnings is this release's business.
CFLAGS = "-std=gnu17 -O0 -w -fPIE -I. -Ibuild -DHEALBUS_VERSION='\"%s\"'"


class Missing(Exception):
    """Why a release cannot be had here."""


# ---- the schema ----

def messages(text):
    """{message: {field: number}} of a .proto file."""
    found = {}
    for name, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.M | re.S):
        found[name] = {f: int(n) for f, n in re.findall(r"^\s+(?:optional|repeated) [\w.]+ (\w+) = (\d+);", body, re.M)}
    return found


def schema(folder=ROOT):
    with open(os.path.join(folder, "proto/healbus.proto")) as f:
        return messages(f.read())


def add_to_proto(text):
    """One more field to each message, one more value to Severity."""
    def field(match):
        number = max(messages(match.group(0)).popitem()[1].values()) + 1
        return match.group(0)[:-1] + "  optional string %s = %d;\n}" % (NOTE, number)
    text = re.sub(r"^message \w+ \{\n.*?^\}", field, text, flags=re.M | re.S)
    return re.sub(r"(^enum Severity \{\n.*?)^\}", r"\1  SEVERITY_NEXT = 5;\n}", text, flags=re.M | re.S)


# ---- what makes messages ----

FILL = """
/* The coming release: fills in what only it knows. What is forwarded below a decision is not its own. */
static void next_fill(ProtobufCMessage *msg)
{
	const ProtobufCMessageDescriptor *d = msg->descriptor;
	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		char *at = (char *)msg + f->offset;
		if (strcmp(f->name, "next_note") == 0 && !*(char **)at)
			*(char **)at = (char *)"of the next release";
		if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->descriptor == &healbus__decision__descriptor)
			continue;
		for (size_t j = 0, n = wire_field_count(msg, f); j < n; j++) {
			struct wire_value v = wire_field_value(msg, f, j);
			next_fill((ProtobufCMessage *)(uintptr_t)wire_value_message(&v));
		}
	}
	if (d == &healbus__event__descriptor && ((Healbus__Event *)msg)->id && ((Healbus__Event *)msg)->id[0] < 'm')
		SET((Healbus__Event *)msg, severity, HEALBUS__SEVERITY__SEVERITY_NEXT);
}
void wire_next_fill(const ProtobufCMessage *msg);
void wire_next_fill(const ProtobufCMessage *msg)
{
	next_fill((ProtobufCMessage *)(uintptr_t)msg);
}
"""


def replaced(path, old, new, every=False):
    with open(path) as f:
        text = f.read()
    if text.count(old) != 1 and not (every and old in text):
        raise RuntimeError("%s: %r is there %d times: tests/stack/lib_release.py must follow" % (path, old, text.count(old)))
    with open(path, "w") as f:
        f.write(text.replace(old, new))


def patch(folder):
    """Makes the coming release of a copy of this one's sources."""
    proto = os.path.join(folder, "proto/healbus.proto")
    with open(proto) as f:
        text = f.read()
    with open(proto, "w") as f:
        f.write(add_to_proto(text))
    rules = os.path.join(folder, "common/wire_rules.c")
    with open(rules) as f:
        text = f.read()
    with open(rules, "w") as f:
        f.write(re.sub(r"(^static const struct wire_rule \w+_rules\[\] = \{\n.*?)^\};",
                       r'\1	R_TEXT("%s", 64),\n};' % NOTE, text, flags=re.M | re.S))
    wire = os.path.join(folder, "common/wire.c")
    check = "int wire_check(enum kind kind, const ProtobufCMessage *msg, struct why *out_why)\n{\n"
    replaced(wire, check, FILL + check + "\twire_next_fill(msg);\n")
    # What is signed is what is sent.
    for what, name in (("signed", "d"), ("control", "c")):
        old = "\t%s_bytes(%s, &bytes);\n\tint rc = sign_bytes(" % (what, name)
        replaced(os.path.join(folder, "common/wire_sign.c"), old,
                 "\tvoid wire_next_fill(const ProtobufCMessage *msg);\n\twire_next_fill(&%s->base);\n%s" % (name, old))
    replaced(os.path.join(folder, "common/fold.c"), 'fold_meta_table = {"fold_meta", 2', 'fold_meta_table = {"fold_meta", 3')


# ---- building ----

def copy_sources(folder):
    """Only what changed is written, so that a second build is short."""
    fresh = folder + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    for name in FOLDERS:
        path = os.path.join(ROOT, name)
        (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, os.path.join(fresh, name))
    return fresh


def history(folder):
    """The sources of the release before."""
    try:
        with open(os.path.join(ROOT, "deploy/PREVIOUS")) as f:
            name = f.read().split()[0]
    except (OSError, IndexError) as e:
        raise Missing("deploy/PREVIOUS names no release") from e
    if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", name + "^{commit}"], capture_output=True).returncode:
        raise Missing("the history here does not have %s (a shallow clone?)" % name)
    fresh = folder + ".new"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    archive = subprocess.Popen(["git", "-C", ROOT, "archive", name, *FOLDERS], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=archive.stdout, mode="r|") as tar:
        tar.extractall(fresh)
    if archive.wait():
        raise Missing("git archive of %s fails" % name)
    return fresh


def take_over(fresh, folder):
    """Moves what differs from `fresh` into `folder`; what is equal keeps its time, and its object."""
    for base, _, names in os.walk(fresh):
        to = os.path.join(folder, os.path.relpath(base, fresh))
        os.makedirs(to, exist_ok=True)
        for name in names:
            a, b = os.path.join(base, name), os.path.join(to, name)
            with open(a, "rb") as f:
                new = f.read()
            old = None
            if os.path.exists(b):
                with open(b, "rb") as f:
                    old = f.read()
            if old != new:
                shutil.copy(a, b)
    for base, _, names in os.walk(folder):
        inside = os.path.relpath(base, folder)
        if inside.split(os.sep)[0] == "build":
            continue
        for name in names:
            if not os.path.exists(os.path.join(fresh, inside, name)):
                os.unlink(os.path.join(base, name))
    shutil.rmtree(fresh)


def build(release, builds):
    """The folder with the programs of "next" or "previous", built below `builds`; Missing when there is none."""
    folder = os.path.join(builds, "releases", release)
    if release == "next":
        fresh = copy_sources(folder)
        patch(fresh)
    else:
        fresh = history(folder)
    take_over(fresh, folder)
    programs = ["build/healbus-" + s for s in STAGES]
    r = subprocess.run(["make", "-s", "-j2", "CFLAGS=" + CFLAGS % release, *programs], cwd=folder, capture_output=True,
                       text=True, env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "B")})
    if r.returncode:
        raise RuntimeError("%s does not build:\n%s" % (release, (r.stdout + r.stderr)[-3000:]))
    return os.path.join(folder, "build")


if __name__ == "__main__":
    print(build(sys.argv[1], os.path.abspath(sys.argv[2])))
