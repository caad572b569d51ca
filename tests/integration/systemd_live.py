#!/usr/bin/env python3
"""The units under a real systemd, in namespaces of its own: the file system is an overlay that is thrown away, the
network its own, /proc/sys read-only. Follows the recipe of deploy/README.md. TAP."""
import os
import shutil
import subprocess
import sys
import tempfile

from lib import done, ok

BUILD = os.path.abspath(os.environ.get("HEALBUS_BUILD", "build"))
SYSTEMD = "/lib/systemd/systemd"
GROUPS = "/sys/fs/cgroup/systemd"
STAGES = ("monitor", "reasoner", "executor", "notifier")
# Units of this machine that would do something to it, or to nobody.
MASKED = """systemd-udevd.service systemd-udev-trigger.service systemd-sysctl.service systemd-modules-load.service
systemd-remount-fs.service systemd-random-seed.service systemd-update-utmp.service systemd-binfmt.service
systemd-machine-id-commit.service systemd-logind.service systemd-timesyncd.service systemd-networkd.service
systemd-resolved.service systemd-pstore.service kmod-static-nodes.service dbus.service docker.service containerd.service
dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount systemd-udevd-kernel.socket systemd-udevd-control.socket
dbus.socket docker.socket""".split()
INSIDE = r"""
set -e
dir=$1; shift
mount --make-rprivate /
mkdir "$dir/layers" && mount -t tmpfs none "$dir/layers" && mkdir "$dir"/layers/{up,work,root}
root=$dir/layers/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/layers/up,workdir=$dir/layers/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys" && mount -o remount,bind,ro "$root/proc/sys"
mount -t tmpfs -o mode=755 none "$root/run" && mkdir "$root/run/lock"
mount -t tmpfs -o mode=1777 none "$root/tmp"
mount -t tmpfs -o mode=755 none "$root/dev"
for d in null zero full random urandom tty; do touch "$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; done
mkdir "$root/dev/pts" "$root/dev/shm" && mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"; ln -s /proc/self/fd "$root/dev/fd"; mount -t tmpfs none "$root/dev/shm"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 none "$root/sys/fs/cgroup" && mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
for u in "$@"; do ln -sf /dev/null "$root/etc/systemd/system/$u"; done
cp -r "$dir/stage/." "$root/" && cp "$dir/driver" "$root/driver" && : >"$root/etc/fstab"
cat >"$root/etc/systemd/system/driver.service" <<END
[Unit]
DefaultDependencies=no
After=basic.target
Wants=basic.target
[Service]
Type=oneshot
ExecStart=/bin/bash /driver
END
mkdir "$root/out" && mount --bind "$dir/out" "$root/out"
cd "$root" && mkdir old && pivot_root . old && umount -l /old
mount --make-rshared /
ip link set lo up
exec env -i container=other "PATH=$PATH" SYSTEMD --unit=driver.service --log-target=null --show-status=no \
	</dev/null >/dev/null 2>&1
""".replace("SYSTEMD", SYSTEMD)
DRIVER = r"""
exec >/out/log 2>&1
fact() { echo "$*" >>/out/facts; }
show() { systemctl show -p "$2" --value "healbus-$1"; }
until_true() { # at most $1 tenths of a second
	local n=$1; shift
	until "$@"; do n=$((n - 1)); [ $n -gt 0 ] || return 1; sleep 0.1; done
}
healctl init /etc/healbus/private --store /var/lib/nats
systemd-sysusers && systemd-tmpfiles --create healbus.conf
fact users "$(getent passwd | grep -c '^healbus-.*nologin$')"
install -d -o nats -g nats /var/lib/nats
echo 'include "healbus/private/nats/nats-server.conf"' >/etc/nats-server.conf
systemctl daemon-reload
systemctl start --no-block healbus-executor
waits() { case $(show executor StatusText) in *bus*) ;; *) false ;; esac; }
until_true 300 waits; fact waiting "$(show executor ActiveState) $(show executor StatusText)"
systemctl start nats-server
made() { healctl -c /etc/healbus/private doctor --fix --only bus; }
until_true 300 made; fact streams $?
timeout 120 systemctl start healbus.target healbus-monitor healbus-reasoner healbus-executor healbus-notifier; fact started $?
for s in monitor reasoner executor notifier; do
	pid=$(show $s MainPID)
	fact $s "$(show $s ActiveState) $(show $s StatusText)" "$(stat -c %U "/proc/$pid")" \
		"$(sed -n 's/^CapEff:\t*//p;s/^NoNewPrivs:\t*/nnp=/p' "/proc/$pid/status" | tr '\n' ' ')"
	fact $s-secrets "$(cd "/proc/$pid/root/run/credentials/healbus-$s.service" && echo *)"
done
fact sandbox "$(journalctl -u healbus-executor --no-pager -o cat | grep -o '"sandbox":"[a-z]*"')"
systemctl reload healbus-monitor; fact reload $? "$(show monitor ActiveState)"
kill -STOP "$(show monitor MainPID)"
again() { [ "$(show monitor NRestarts)" = 1 ] && [ "$(show monitor ActiveState)" = active ]; }
until_true 600 again; fact watchdog "$(show monitor NRestarts) $(show monitor ActiveState)"
timeout 120 systemctl stop healbus-monitor healbus-reasoner healbus-executor healbus-notifier
for s in monitor reasoner executor notifier; do fact $s-ended "$(show $s Result) $(show $s ExecMainStatus)"; done
journalctl --no-pager >/out/journal
systemctl stop nats-server
systemctl exit --no-block 0 || systemctl poweroff --no-block --force
"""


def why_not():
    if os.geteuid() != 0:
        return "needs root"
    for program in (SYSTEMD, "/usr/bin/unshare", "/usr/sbin/nats-server", "/usr/bin/bwrap"):
        if not os.path.exists(program):
            return "no " + program
    if not os.access(GROUPS, os.W_OK) or not os.path.exists(GROUPS + "/cgroup.procs"):
        return "no writable cgroup hierarchy name=systemd"
    probe = "t=$(mktemp -d) && mount -t tmpfs none $t && mkdir $t/u $t/w $t/r && " \
            "mount -t overlay overlay -o lowerdir=/,upperdir=$t/u,workdir=$t/w $t/r; e=$?; umount -l $t; rmdir $t; exit $e"
    r = subprocess.run(["unshare", "-m", "-p", "-f", "-u", "-i", "-n", "-C", "sh", "-c", probe], capture_output=True, timeout=60)
    return "" if r.returncode == 0 else "namespaces or overlays are not to be had here"


def boot(where, group):
    os.makedirs(where + "/out")
    for name, text in (("inside", INSIDE), ("driver", DRIVER)):
        with open(where + "/" + name, "w") as f:
            f.write(text)
    subprocess.run(["deploy/install.sh", "--build", BUILD, "--destdir", where + "/stage"], check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    drop_in = where + "/stage/usr/local/lib/systemd/system/healbus-monitor.service.d"
    os.makedirs(drop_in)
    with open(drop_in + "/short.conf", "w") as f:
        f.write("[Service]\nWatchdogSec=8s\n")
    os.mkdir(group)
    enter = 'echo $$ >"$1/cgroup.procs"; shift; exec unshare -m -p -f -u -i -n -C --kill-child bash "$@"'
    with open(where + "/out/boot", "wb") as log:
        subprocess.run(["sh", "-c", enter, "sh", group, where + "/inside", where, *MASKED], stdout=log, stderr=log,
                       timeout=400)


def read(where, name):
    try:
        with open("%s/out/%s" % (where, name), errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def judge(where):
    facts = {}
    for line in read(where, "facts").splitlines():
        facts[line.split(" ")[0]] = line.partition(" ")[2].strip()
    log = read(where, "boot") + read(where, "log") + read(where, "journal")
    ok(facts.get("users") == "5", "sysusers.d makes five users without a shell", log)
    ok(facts.get("waiting", "").startswith("activating ") and "bus" in facts["waiting"],
       "without a bus the start waits, and its status says for what", facts)
    ok(facts.get("streams") == "0" and facts.get("started") == "0", "with it, everything starts", log)
    for stage in STAGES:
        ok(facts.get(stage) == "active ready healbus-%s 0000000000000000 nnp=1" % stage or
           facts.get(stage) == "active ready healbus-%s nnp=1 0000000000000000" % stage,
           "%s: active and ready, as its own user, with no capability" % stage, facts.get(stage, log))
    ok(facts.get("monitor-secrets") == "bus.nk ca.pem token", "a stage sees its own secrets only", facts)
    ok(facts.get("sandbox") == '"sandbox":"full"', "the executor's sandbox is whole under its unit", facts)
    ok(facts.get("reload") == "0 active", "systemctl reload", facts)
    ok(facts.get("watchdog") == "1 active", "systemd's watchdog starts again what hangs", facts)
    for stage in STAGES:
        ok(facts.get(stage + "-ended") == "success 0", "%s: systemctl stop ends it as it should" % stage, facts)


def main():
    why = why_not()
    if why:
        print("1..0 # skip no systemd of its own here: " + why)
        return 0
    where = tempfile.mkdtemp(prefix="healbus-systemd-")
    group = "%s/healbus-test-%d" % (GROUPS, os.getpid())
    try:
        boot(where, group)
        judge(where)
    finally:
        shutil.rmtree(where, ignore_errors=True)
        for folder, _, _ in os.walk(group, topdown=False):
            os.rmdir(folder)
    return done()


if __name__ == "__main__":
    sys.exit(main())
