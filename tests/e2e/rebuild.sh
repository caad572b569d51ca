#!/usr/bin/env bash
# Delete what monitor, reasoner and notifier remember; start again: every incident and every story is as before, and
# nothing is done or told twice. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 70
root=$PWD
build=${HEALBUS_BUILD:-$PWD/build}
# shellcheck source=deploy/demo/lib.sh
. deploy/demo/lib.sh
# shellcheck source=tests/e2e/lib_world.sh
. tests/e2e/lib_world.sh
{ command -v nginx && command -v runsv; } >/dev/null || { echo "1..0 # skip nginx or runit is missing"; exit 0; }

n=0
result() { # status text
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

incidents() {
	"$build/healctl" incidents --all --json
}
snapshot() { # directory
	local id
	mkdir -p "$1"
	incidents >"$1/incidents"
	"$build/healctl" changes --json >"$1/changes"
	for id in $(jq -r '.incidents[].id' "$1/incidents"); do
		"$build/healctl" story "$id" --json >"$1/story-$id"
	done
}
count_is() { # count jq-filter
	[ "$(incidents | jq "[.incidents[] | select($2)] | length")" -eq "$1" ]
}
story_count() { # messages in the stories of all incidents
	local id
	for id in $(incidents | jq -r '.incidents[].id'); do
		"$build/healctl" story "$id" --json
	done | jq -s 'map(.story | length) | add'
}
settled() { # the stories stop growing: what was to be told has been told
	local now last=''
	now=$(story_count)
	[ ! -e "$dir/last_count" ] || read -r last <"$dir/last_count"
	echo "$now" >"$dir/last_count"
	[ "$now" = "$last" ]
}

stop_stages() {
	local stage pid
	for stage in monitor reasoner executor notifier; do
		pid=pid_$stage
		kill "${!pid}"
		wait "${!pid}" 2>/dev/null
	done
}

demo_begin no
trap demo_end EXIT
echo "1..6"
start_bus
start_web
start_stages
wait_for 20 "nginx answers" web_answers
break_web
wait_for 40 "the service was healed" count_is 1 '.state == "resolved"'
for service in db mail dns; do post HostOutOfDiskSpace $service firing || fail "webhook"; done
post SomethingNobodyKnows cache firing
wait_for 20 "five incidents" count_is 5 true
post HostOutOfDiskSpace db resolved
wait_for 20 "two are resolved" count_is 2 '.state == "resolved"'
wait_for 20 "the others are escalated" count_is 5 '.state == "escalated" or .state == "resolved"'
"$build/healctl" silence add 'service="quiet"' --duration 1h --comment "test" >/dev/null || fail "silence"
wait_for 30 "the stories are complete" settled
snapshot "$dir/before"
nginx_pid=$(cat "$dir/web/supervise/pid")

stop_stages
rm -rf "$dir/state/monitor" "$dir/state/reasoner" "$dir"/state/notifier/*/ "$dir"/state/notifier/*.mdb
start_stages
wait_for 30 "all incidents are back" count_is 5 true
rm -f "$dir/last_count"
wait_for 30 "the stories are complete" settled
snapshot "$dir/after"

cmp "$dir/before/incidents" "$dir/after/incidents"
result $? "healctl incidents --json is identical after a rebuild"
same=0
for file in "$dir"/before/story-*; do
	cmp "$file" "$dir/after/$(basename "$file")" || same=1
done
result $same "every story is identical after a rebuild"
[ "$(find "$dir/before" -name 'story-*' | wc -l)" -eq 5 ]
result $? "there were five stories to compare"
cmp "$dir/before/changes" "$dir/after/changes"
result $? "the changes are identical after a rebuild"
"$build/healctl" silence ls --json | jq -e '[.silences[] | select(.comment == "test")] | length == 1' >/dev/null
result $? "the silence is still there"
[ "$(cat "$dir/web/supervise/pid")" = "$nginx_pid" ] && post HostOutOfDiskSpace mail firing && count_is 5 true
result $? "an alert sent again after the rebuild opens nothing new"
