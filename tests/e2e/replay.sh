#!/usr/bin/env bash
# A live run of all stages is recorded. Replayed into fresh buses with fresh stages, and in a backtest, monitor and
# reasoner say the same again, byte for byte; and their state has the same hash. TAP.
# shellcheck disable=SC2154
set -u
cd "$(dirname "$0")/../.." || exit 70
root=$PWD
build=${HEALBUS_BUILD:-$PWD/build}
# shellcheck source=deploy/demo/lib.sh
. deploy/demo/lib.sh
# shellcheck source=tests/e2e/lib_world.sh
. tests/e2e/lib_world.sh
{ command -v nginx && command -v runsv; } >/dev/null || { echo "1..0 # skip nginx or runit is missing"; exit 0; }

n=0 failed=0
result() { # status text
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
		failed=1
		echo "not ok $n - $2"
		[ -s "$dir/out" ] && tail -n 30 "$dir/out" | cut -c1-400 | sed 's/^/# /'
	fi
}
count_is() { # count jq-filter
	[ "$("$build/healctl" incidents --all --json | jq "[.incidents[] | select($2)] | length")" -eq "$1" ]
}
id_of() { # service
	"$build/healctl" incidents --all --json | jq -r ".incidents[] | select(.labels.service == \"$1\") | .id"
}
stop_stages() { # stage...
	local stage pid
	for stage in "$@"; do
		pid=pid_$stage
		kill "${!pid}"
		wait "${!pid}" 2>/dev/null
	done
}

# A bus with nothing in it, and an empty state beside it.
fresh_bus() { # name
	kill "$pid_nats_server"
	wait "$pid_nats_server" 2>/dev/null
	rm -rf "$dir/bus" "$dir/state/monitor" "$dir/state/reasoner"
	mkdir "$dir/bus"
	start_bus
}
messages_read() { # port worker-pattern count
	curl -fsS --max-time 2 "http://127.0.0.1:$1/metrics" |
		awk -v want="$3" "/^healbus_messages_total.*worker=\"$2/ { n += \$2 } END { exit !(n >= want) }"
}
acked() { # port: the bus has all that the stage has said
	curl -fsS --max-time 2 "http://127.0.0.1:$1/metrics" | awk '/^healbus_outbox_rows/ { n += $2 } END { exit !(NR && n == 0) }'
}
# Starts a stage whose time is what the messages say, until it has read so many.
follow() { # stage port count
	local stage=$1 worker=$1
	[ "$stage" = monitor ] && worker=monitor-
	env "HEALBUS_${stage^^}_TICKS=off" "$build/healbus-$stage" -c "$dir/config" >>"$dir/log/$stage" 2>&1 </dev/null &
	pids+=($!)
	printf -v "pid_$stage" '%s' $!
	wait_for 30 "$stage reads $3 messages" messages_read "$2" "$worker" "$3"
	wait_for 10 "$stage has said everything" acked "$2"
	stop_stages "$stage"
}
counted() { # stream file: messages, as record and replay tell it
	sed -n "s/.*[( ]$1 \([0-9]*\).*/\1/p" "$2"
}
monitor() {
	"$build/healbus-monitor" -c "$dir/config" "$@"
}
same() { # folds a b [renumbered]
	python3 tests/e2e/lib_compare.py "$@" >"$dir/out"
}

demo_begin no
trap demo_end EXIT
start_bus
start_web
start_stages
wait_for 20 "nginx answers" web_answers

# ---- a live run: healed, refused, unknown to all, acknowledged, silenced, resolved by itself ----
break_web
wait_for 40 "the service was healed" count_is 1 '.state == "resolved"'
for service in db mail dns; do post HostOutOfDiskSpace $service firing || fail "webhook"; done
post SomethingNobodyKnows cache firing
wait_for 20 "the others are escalated" count_is 4 '.state == "escalated"'
"$build/healctl" ack "$(id_of mail)" >/dev/null || fail "ack"
post HostOutOfDiskSpace db resolved
wait_for 20 "two are resolved" count_is 2 '.state == "resolved"'
"$build/healctl" silence add 'service="quiet"' --duration 1h --comment "test" >/dev/null || fail "silence"
post HostOutOfDiskSpace quiet firing
wait_for 20 "one is suppressed" count_is 1 '.state == "suppressed"'
post HostOutOfDiskSpace dns resolved
wait_for 20 "three are resolved" count_is 3 '.state == "resolved"'
stop_stages monitor reasoner executor notifier
monitor record "$dir/live" >"$dir/recorded" 2>"$dir/out"
result $? "a run of all stages is recorded"
events=$(counted EVENTS "$dir/recorded") story=$(counted STORY "$dir/recorded")
for stage in monitor reasoner; do "$build/healbus-$stage" -c "$dir/config" hash; done >"$dir/hash"
[ "$(wc -l <"$dir/hash")" -eq 17 ] && [ "${events:-0}" -gt 20 ] && [ "${story:-0}" -gt 20 ]
result $? "17 folds have a state ($events events, $story messages of the story)"

# A stage that reads again runs no checks of its own.
sed -i 's/^checks:.*/checks: []/' "$dir/config/monitor.yaml"

# ---- state deleted, read again ----
rm -rf "$dir/state/monitor" "$dir/state/reasoner"
follow monitor "$monitor_port" "$events"
follow reasoner "$reasoner_port" "$story"
for stage in monitor reasoner; do "$build/healbus-$stage" -c "$dir/config" hash; done >"$dir/hash-again"
diff "$dir/hash" "$dir/hash-again" >"$dir/out"
result $? "state deleted and read again from the bus: the same hashes"
monitor record --stream STORY "$dir/story-again" >"$dir/out" 2>&1
[ "$(counted STORY "$dir/out")" = "$story" ]
result $? "and nothing was said twice"

# ---- replayed into fresh buses ----
fresh_bus
monitor replay --to-stream EVENTS "$dir/live" >"$dir/out" 2>&1
result $? "the events are replayed into a fresh bus"
follow monitor "$monitor_port" "$events"
monitor record --stream STORY "$dir/replayed-events" >/dev/null
same monitor "$dir/live" "$dir/replayed-events"
result $? "a fresh monitor makes the same incidents of them ($(tail -n 1 "$dir/out"))"
"$build/healbus-monitor" -c "$dir/config" hash | diff <(grep monitor "$dir/hash") - >"$dir/out"
result $? "with the same state hashes"

fresh_bus
monitor replay --to-stream STORY --without reasoner "$dir/live" >"$dir/out" 2>&1
result $? "the story is replayed into a fresh bus, without what the reasoner said"
follow reasoner "$reasoner_port" "$(monitor record --stream STORY "$dir/part" | sed -n 's/recorded \([0-9]*\).*/\1/p')"
monitor record --stream STORY "$dir/replayed-story" >/dev/null
same reasoner "$dir/live" "$dir/replayed-story" renumbered
result $? "a fresh reasoner makes the same plans and escalations ($(tail -n 1 "$dir/out"))"
"$build/healbus-reasoner" -c "$dir/config" hash | cut -c1-78 | diff <(grep reasoner "$dir/hash" | cut -c1-78) - >"$dir/out"
result $? "with the same state hash"

# ---- backtest ----
backtest() {
	"$build/healctl" backtest -c "$dir/config" "$@"
}
backtest "$dir/live" --write "$dir/backtested" >"$dir/first" 2>"$dir/out"
result $? "a backtest of the recording"
same monitor,reasoner "$dir/live" "$dir/backtested"
result $? "it says what the live run said, byte for byte ($(tail -n 1 "$dir/out"))"
backtest "$dir/live" >"$dir/second" 2>/dev/null && cmp "$dir/first" "$dir/second" >"$dir/out" &&
	backtest "$dir/live" --json >"$dir/first.json" 2>/dev/null && backtest "$dir/live" --json 2>/dev/null | cmp - "$dir/first.json" >>"$dir/out"
result $? "two backtests are identical"
jq -c '[.incidents[] | {id, said: [.said[] | [.kind, .result]]}]' "$dir/first.json" >"$dir/out"
jq -e '(.incidents | length) == 6 and .unmatched == 0 and .unusable == 0 and
	([.incidents[].said[] | select(.kind == "plan") | .recorded] | all) and
	([.incidents[].said[] | select(.result == "healed")] | length) == 1' "$dir/first.json" >/dev/null
result $? "every plan is one that was recorded, with its outcome"

ids() {
	jq -r '.incidents[].id' | sort
}
for stream in EVENTS RAW; do
	python3 - "$dir/live" "$dir/only-$stream" $stream <<-'END'
		import sys
		sys.path.insert(0, "tests/integration")
		import lib_recording
		lib_recording.write(sys.argv[2], [r for r in lib_recording.read(sys.argv[1]) if r["stream"] == sys.argv[3]])
	END
	backtest "$dir/only-$stream" --settle 10s --json 2>"$dir/out" | ids | diff - <(ids <"$dir/first.json") >>"$dir/out"
	result $? "of $stream alone come the same incidents"
done

# ---- other runbooks ----
cp -r reasoner/runbooks "$dir/runbooks"
for f in "$dir"/runbooks/*.yaml; do echo "# a remark" >>"$f"; done
backtest "$dir/live" --against "$dir/runbooks" >"$dir/out" 2>&1
result $? "a remark in every runbook changes nothing"
runbook=disk-full
touched=$(jq -r ".incidents[] | select(.said | any(.runbook == \"$runbook\")) | .id" "$dir/first.json" | sort)
sed -i 's/^enabled:.*//; $a enabled: false' "$dir/runbooks/$runbook.yaml"
backtest "$dir/live" --against "$dir/runbooks" --json >"$dir/out" 2>/dev/null
[ $? -eq 1 ] && [ -n "$touched" ] && [ "$(ids <"$dir/out")" = "$touched" ]
result $? "a runbook that is switched off touches exactly the incidents it answered ($(echo "$touched" | wc -l) of 6)"
backtest "$dir/live" --against "$dir/runbooks" 2>/dev/null | grep -c '^  -.*attempt' >"$dir/out"
[ "$(cat "$dir/out")" -ge "$(echo "$touched" | wc -l)" ]
result $? "and shows both answers"

echo "1..$n"
exit $failed
