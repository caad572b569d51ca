#!/usr/bin/env bash
# The demo is a promise: it heals, says so with its exit code, and leaves nothing behind, also on Ctrl-C. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 70
build=${HEALBUS_BUILD:-$PWD/build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

skip() {
	echo "1..0 # skip $1"
	exit 0
}
for program in nginx runsv bwrap; do
	command -v $program >/dev/null || skip "$program is missing"
done

echo "1..7"
deploy/demo/run --build "$build" >"$scratch.out" 2>&1
result $? "the demo heals its service and exits 0"
grep -q "nginx is gone" "$scratch.out" && grep -q "nginx is back" "$scratch.out"
result $? "it says that the service was gone and is back"
grep -qi "healed" "$scratch.out" && grep -q "service_restart" "$scratch.out"
result $? "the story names what was done"
nothing_left
result $? "no process and no file is left"

DEMO_SABOTAGE=1 deploy/demo/run --build "$build" >"$scratch.out" 2>&1
[ $? -eq 1 ]
result $? "a service that cannot be healed gives exit code 1"

# Ctrl-C in the middle: a signal to the whole process group, as a terminal does it.
: >"$scratch.out" # what is awaited below stands in it from the last time
setsid env --default-signal=INT deploy/demo/run --build "$build" >"$scratch.out" 2>&1 &
pid=$!
deadline=$((SECONDS + 30))
until grep -q "Breaking it" "$scratch.out" || [ $SECONDS -ge $deadline ]; do read -rt 0.1 <> <(:) || :; done
kill -INT -- "-$pid" 2>/dev/null
wait "$pid"
[ $? -eq 130 ]
result $? "Ctrl-C ends it with 130"
nothing_left
result $? "after Ctrl-C no process and no file is left"
rm -f "$scratch.out"
