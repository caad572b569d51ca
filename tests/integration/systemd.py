#!/usr/bin/env python3
"""The systemd units: systemd reads them, scores them, and what they take away is not what their programs need. TAP."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from lib import done, free_port, ok, wait_for

BUILD = os.path.abspath(os.environ.get("HEALBUS_BUILD", "build"))
UNITS = "deploy/systemd"
WORST = {"monitor": 1.5, "reasoner": 1.5, "notifier": 1.5, "executor": 3.5, "docker-broker": 1.5}
STAGES = ("monitor", "reasoner", "executor", "notifier")
OPTIONS = {"monitor": "sources_dir: %s/monitor/sources\n", "reasoner": "runbooks_dir: %s/reasoner/runbooks\n",
           "executor": "tools_dir: %s/executor/tools\n", "notifier": ""}
SANDBOX = ("bwrap --unshare-user --unshare-ipc --unshare-pid --unshare-uts --unshare-net --unshare-cgroup-try "
           "--disable-userns --die-with-parent --new-session --cap-drop ALL --hostname healbus --size 1048576 --tmpfs / "
           "--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc "
           "--dev /dev --remount-ro /dev --remount-ro / -- /bin/true").split()
# What ProtectSystem, ProtectHome, PrivateTmp and User do to the mounts and rights of a service. Words: the state's
# directory, what else to do, the command.
SHUT_IN = r"""
set -e
state=$1 also=$2
shift 2
mount --make-rprivate /
mount --bind / /media && mount --rbind /proc /media/proc && mount --rbind /dev /media/dev
mount --bind "$state" "/media$state"
mount -o remount,bind,ro /media
for hidden in /home /root; do mount -t tmpfs -o mode=000 none "/media$hidden"; done
eval "$also"
cd /media && mkdir -p "/media$state/old" && pivot_root . ".$state/old" && umount -l "$state/old"
cd "$state"
exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def run(*args, **more):
    return subprocess.run(args, capture_output=True, text=True, timeout=120, **more)


def settings(name):
    """{key: [values]} of a unit."""
    found = {}
    with open("%s/%s" % (UNITS, name)) as f:
        for line in f:
            match = re.match(r"(\w+)=(.*)$", line)
            if match:
                found.setdefault(match[1], []).append(match[2])
    return found


def test_units(where):
    """As installed, but with the programs of this build."""
    names = sorted(os.listdir(UNITS))
    for name in [n for n in names if n.endswith((".service", ".target"))]:
        with open("%s/%s" % (UNITS, name)) as f, open("%s/%s" % (where, name), "w") as out:
            out.write(f.read().replace("/usr/local/bin", BUILD))
    units = [os.path.join(where, n) for n in os.listdir(where)]
    r = run("systemd-analyze", "verify", "--man=no", *units, env=dict(os.environ, SYSTEMD_UNIT_PATH=where + ":"))
    # What other packages' units are scolded for is not ours.
    ours = [line for line in r.stderr.splitlines() if "healbus" in line]
    ok(r.returncode == 0 and not ours, "systemd-analyze verify is content", r.stderr)
    for name, worst in WORST.items():
        r = run("systemd-analyze", "security", "--offline=true", "--no-pager", "%s/healbus-%s.service" % (where, name))
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", r.stdout)
        score = float(found[1]) if found else 10.0
        ok(score <= worst, "healbus-%s: exposure %.1f of at most %.1f" % (name, score, worst), r.stdout + r.stderr)


def test_words():
    for name in WORST:
        s = settings("healbus-%s.service" % name)
        user = "healbus-" + name.replace("docker-", "")
        ok(s["User"] == [user] and s["NoNewPrivileges"] == ["yes"] and s["CapabilityBoundingSet"] == [""] and
           s["LimitCORE"] == ["0"] and "MemoryMax" in s and "TasksMax" in s and "StartLimitBurst" in s,
           "%s: a user of its own, no rights, limits" % name, s)
        with open(UNITS + "/sysusers.conf") as f:
            ok(re.search(r"^u %s " % user, f.read(), re.M), "%s: sysusers.d makes that user" % name)
        if name == "docker-broker":
            continue
        files = dict(v.split(":", 1) for v in s["LoadCredential"])
        used = [v for v in s["Environment"] if "%d/" in v]
        # The notifier's public key is looked for beside the other.
        ok({v.split("%d/")[1] for v in used} == set(files) - {"decision.key.pub"}, "%s: is told where each of its secrets is" % name,
           (used, files))


def test_secrets(where):
    """What the units load is what healctl init makes, and what their variables name is understood."""
    etc = where + "/etc"
    os.mkdir(etc)
    r = run(BUILD + "/healctl", "init", etc + "/private")
    ok(r.returncode == 0, "healctl init", r.stderr)
    for stage in STAGES:
        s = settings("healbus-%s.service" % stage)
        files = dict(v.split(":", 1) for v in s["LoadCredential"])
        missing = [p for p in files.values() if not os.path.exists(p.replace("/etc/healbus", etc))]
        ok(not missing, "%s: healctl init makes all that it loads" % stage, missing)
        with open("%s/%s.yaml" % (etc, stage), "w") as f:
            f.write(OPTIONS[stage] % os.getcwd() if OPTIONS[stage] else "")
        shutil.copy("deploy/config/bus.yaml", etc)
        env = dict(os.environ)
        for key, value in (v.split("=", 1) for v in s["Environment"]):
            name = value.replace("%d/", "")
            env[key] = files.get(name, value).replace("/etc/healbus", etc)
        shown = run("%s/healbus-%s" % (BUILD, stage), "-c", etc, "--print-config", env=env)
        shown_bus = run("%s/healbus-%s" % (BUILD, stage), "-c", etc, "--print-config=bus", env=env)
        text = shown.stdout + shown_bus.stdout
        unknown = [p for n, p in files.items() if n != "decision.key.pub" and p.replace("/etc/healbus", etc) not in text]
        ok(shown.returncode == 0 and not unknown, "%s: its variables set these files" % stage,
           (unknown, shown.stderr, shown_bus.stderr))


def expand(names):
    """System calls that a list of names and @groups means."""
    calls = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
            continue
        r = run("systemd-analyze", "--no-pager", "syscall-filter", name)
        calls |= expand(line.strip() for line in r.stdout.splitlines()[1:] if line.strip() and "#" not in line)
    return calls


def allowed(unit):
    calls = set()
    for line in settings(unit)["SystemCallFilter"]:
        names = expand(line.lstrip("~").split())
        calls = calls - names if line.startswith("~") else calls | names
    return calls | expand(["@default"])


def shut_in(state, also, *command):
    return ["unshare", "-m", "sh", "-c", SHUT_IN, "sh", state, also, *command]


def called(path):
    """System calls in a trace, of which those that fail without harm are left out."""
    with open(path, errors="replace") as f:
        return set(re.findall(r"^(?:\d+ +)?(\w+)\(", f.read(), re.M))


# glibc asks for what it can do without, and so do libraries.
OPTIONAL = {"rseq", "set_robust_list", "sched_setscheduler", "sched_setattr", "setpriority"}


def traced(program, where, trace, started):
    """The log of a program that is started and stopped under strace."""
    with open(where + "/log", "wb") as log:
        p = subprocess.Popen(["strace", "-f", "-qq", "-o", trace, *program], stderr=log)
    try:
        wait_for("it starts", lambda: started in open(where + "/log", "rb").read() or p.poll() is not None, 60)
        with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
            for child in f.read().split():
                os.kill(int(child), signal.SIGTERM)
        p.wait(timeout=60)
    finally:
        if p.poll() is None:
            p.kill()
    with open(where + "/log", errors="replace") as f:
        return f.read()


def test_broker(where):
    etc, trace = where + "/broker", where + "/broker.trace"
    os.mkdir(etc)
    with open(etc + "/broker.yaml", "w") as f:
        f.write("listen: %s/docker.sock\nallow_root: true\ngroup: %d\nallow_users: '65534'\n" % (etc, os.getgid()))
    text = traced([BUILD + "/healbus-docker-broker", "-c", etc], etc, trace, b'"msg":"started"')
    ok('"msg":"stopped"' in text and "not confined" not in text, "broker: started, confined, and stopped under strace", text)
    extra = called(trace) - allowed("healbus-docker-broker.service") - OPTIONAL
    ok(not extra, "broker: every system call it made is allowed", sorted(extra))


def test_calls(where, stage):
    """A stage starts, serves and stops; the executor tries its sandbox. All that it calls, its unit allows."""
    etc, trace = "%s/%s" % (where, stage), "%s/%s.trace" % (where, stage)
    os.mkdir(etc)
    with open(etc + "/bus.yaml", "w") as f:
        f.write("url: nats://127.0.0.1:%d\n" % free_port())
    with open("%s/%s.yaml" % (etc, stage), "w") as f:
        f.write("state_dir: %s/state\nhttp: {listen: '127.0.0.1:%d'}\n" % (etc, free_port()))
        f.write(OPTIONS[stage] % os.getcwd() if OPTIONS[stage] else "")
    program = [BUILD + "/healbus-" + stage, "-c", etc]
    if stage == "executor" and os.geteuid() == 0:
        for path in (etc, etc + "/bus.yaml", etc + "/executor.yaml"):
            os.chown(path, 65534, 65534)
        program = shut_in(etc, "", *program)
    text = traced(program, etc, trace, b'"msg":"started"')
    ok('"msg":"started"' in text and '"msg":"stopped"' in text, "%s: started and stopped under strace" % stage, text)
    if stage == "executor":
        levels = [json.loads(line).get("sandbox") for line in text.splitlines() if "executor ready" in line]
        ok(levels == ["full"], "executor: with its mounts and rights as in its unit, its sandbox is whole", text)
    extra = called(trace) - allowed("healbus-%s.service" % stage) - OPTIONAL
    ok(not extra, "%s: every system call it made is allowed" % stage, sorted(extra))


def test_sandbox(where):
    """Why the executor's unit leaves /proc alone."""
    state = where + "/sandbox"
    os.mkdir(state)
    os.chmod(state, 0o777)
    trace = where + "/bwrap.trace"
    r = run(*shut_in(state, "", "strace", "-f", "-qq", "-o", state + "/bwrap.trace", *SANDBOX))
    ok(r.returncode == 0, "bubblewrap makes its sandbox, with a /proc of its own", r.stderr)
    shutil.move(state + "/bwrap.trace", trace)
    extra = called(trace) - allowed("healbus-executor.service") - OPTIONAL
    ok(not extra, "and calls nothing that the executor's unit forbids", sorted(extra))
    missing = called(trace) - allowed("healbus-monitor.service")
    ok("mount" in missing and "pivot_root" in missing, "which another stage's unit would", sorted(missing))
    for what, also in (("ProtectKernelTunables", "mount --bind -o ro /media/proc/sys /media/proc/sys"),
                       ("ProtectKernelLogs", "mount --bind /dev/null /media/proc/kmsg")):
        r = run(*shut_in(state, also, *SANDBOX))
        ok(r.returncode != 0 and "proc" in r.stderr, "with %s it could not" % what, r.stderr)
        ok(what not in settings("healbus-executor.service"), "so the executor's unit has no %s" % what)
    nothing = settings("healbus-executor.service")
    ok(not {"ProtectProc", "ProcSubset", "ProtectHostname"} & set(nothing) and
       "AF_NETLINK" in nothing["RestrictAddressFamilies"][0] and "user" in nothing["RestrictNamespaces"][0],
       "nor anything else that bubblewrap cannot do without")


def main():
    for program in ("systemd-analyze", "strace"):
        if not shutil.which(program):
            print("1..0 # skip no %s (Debian: %s)" % (program, program.split("-")[0]))
            return 0
    where = tempfile.mkdtemp(prefix="healbus-units-")
    os.chmod(where, 0o755)
    os.mkdir(where + "/units")
    try:
        test_units(where + "/units")
        test_words()
        test_secrets(where)
        for stage in STAGES:
            test_calls(where, stage)
        test_broker(where)
        if os.geteuid() == 0 and shutil.which("bwrap"):
            test_sandbox(where)
        else:
            print("# not root, or no bubblewrap: the sandbox under the executor's unit was not tried")
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return done()


if __name__ == "__main__":
    sys.exit(main())
