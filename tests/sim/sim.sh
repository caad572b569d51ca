#!/usr/bin/env bash
# A small number of the simulation's schedules, and the proof that it sees what it must: each fault
# that is planted in its bus, its stores or the product's checks is found.
set -u
cd "$(dirname "$0")/../.." || exit 70
sim=${HEALBUS_BUILD:-$PWD/build}/tests/sim/sim
log=$(mktemp)
trap 'rm -f "$log" "$log.again"' EXIT
n=0

check() { # WORDS ...: of the test; what went before decides
	local rc=$?
	n=$((n + 1))
	[ $rc -eq 0 ] && echo "ok $n - $*" || { echo "not ok $n - $*"; sed 's/^/# /' "$log" | head -n 30; }
}

found() { # PLANT SCHEDULES
	"$sim" --plant "$1" --schedules "$2" --seed 7 >"$log" 2>&1
	[ $? -eq 1 ] && grep -q '^FAILED' "$log"
}

"$sim" --schedules "${SIM_SCHEDULES:-20000}" --seed "${SIM_SEED:-$(date +%s)}" >"$log" 2>&1
rc=$?
sed 's/^/# /' "$log"
[ $rc -eq 0 ]
check "no rule is broken"

"$sim" --one 4711 --kind whole -v 2>&1 | grep -v 'of CPU' >"$log"
"$sim" --one 4711 --kind whole -v 2>&1 | grep -v 'of CPU' >"$log.again"
[ "$(wc -l <"$log")" -gt 20 ] && cmp "$log" "$log.again"
check "a seed repeats its schedule"

for plant in start-again blind-claims ignore-lock ignore-pause ignore-digest ignore-signature \
	ack-first drop-output skip-delivery offset-first; do
	found "$plant" 5000
	check "a planted fault is found: $plant"
done
echo "1..$n"
