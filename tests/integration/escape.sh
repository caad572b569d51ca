#!/usr/bin/env bash
# The sandbox-escape suite through our sandbox and our way of taking results out: every attempt is contained. Its control,
# without a sandbox, escapes: the attempts really bite. HEALBUS_ESCAPE says where the suite is.
cd "$(dirname "$0")/../.." || exit 70
suite=${HEALBUS_ESCAPE:-$PWD/../shared/sandbox-escape}
ctl=$(readlink -f "${HEALBUS_BUILD:-build}/tests/integration/sandboxctl")
skip() {
	echo "1..0 # skip $1"
	exit 0
}
[ -f "$suite/run.sh" ] || skip "no escape suite"
[ "$(id -u)" = 0 ] || skip "the suite needs root"
command -v bwrap >/dev/null || skip "no bubblewrap"

dir=$(mktemp -d /var/tmp/healbus-escape-XXXXXX)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cp -r "$suite/." "$dir/"
gcc -static -O1 -w -o "$dir/probe" "$dir/probe.c" || skip "the probe does not build"
printf '#!/bin/bash\nexec %q run "$1" /usr/bin/env "${@:2}"\n' "$ctl" >"$dir/our-run.sh"
printf '#!/bin/bash\nexec %q "$@"\n' "$ctl" >"$dir/our-host.sh"
chmod 755 "$dir"/our-*.sh
# A user of its own: the suite looks for what this one leaves running.
export SBX_UID=$((40000 + RANDOM % 20000)) SBX_WALL=5

echo 1..2
SBX_RUN=$dir/our-run.sh SBX_HOST=$dir/our-host.sh "$dir/run.sh" >"$dir/ours.txt" 2>&1
last=$(tail -n 1 "$dir/ours.txt")
if [[ $last =~ ^([0-9]+)\ attempts,\ ([0-9]+)\ contained,\ 0\ ESCAPED,\ 0\ BROKEN,\ 0\ skipped ]] &&
	[ "${BASH_REMATCH[1]}" -ge 100 ]; then
	echo "ok 1 - ${BASH_REMATCH[2]} contained"
else
	echo "not ok 1 - $last"
	grep -v '^contained' "$dir/ours.txt" | sed 's/^/# /'
fi

# Only attempts that do no harm to a machine that does not contain them.
harmless='^(read-host-file|symlink-out|write-host-file|env-inherited|host-loopback|unix-socket-path|artifact-symlink|tar-symlink)$'
SBX_RUN=$dir/wrap-none.sh SBX_HOST=$dir/host-naive.sh "$dir/run.sh" -k "$harmless" >"$dir/control.txt" 2>&1
last=$(tail -n 1 "$dir/control.txt")
if [[ $last =~ \ ([0-9]+)\ ESCAPED ]] && [ "${BASH_REMATCH[1]}" -ge 6 ]; then
	echo "ok 2 - without a sandbox ${BASH_REMATCH[1]} escape"
else
	echo "not ok 2 - the control is contained: $last"
	sed 's/^/# /' "$dir/control.txt"
fi
