#!/usr/bin/env bash
# A toy stage against a real nats-server: it survives kill -9 of itself and of the server without
# loss, duplicate or disorder; drains; reloads; rebuilds a deleted state without saying anything
# twice; keeps out a second process; says why it is not ready.
# shellcheck disable=SC2015,SC2317
set -u
cd "$(dirname "$0")/../.." || exit 70
kills=${TORTURE_KILLS:-12}
messages=${TORTURE_MESSAGES:-8000}
# shellcheck source=tests/integration/lib_toy.sh
. tests/integration/lib_toy.sh

start_server
"$toy" -c "$dir" --check >"$dir/out" 2>&1
ok $? "--check accepts the configuration"
"$toy" -c "$dir" provision >"$dir/out" 2>&1
ok $? "streams are created"

# ---- torture ----
start_stage
"$toy" -c "$dir" publish 0 "$messages" >"$dir/publisher.log" 2>&1 &
publisher=$!
disown
RANDOM=${SEED:-$$}
for ((i = 0; i < kills; i++)); do
	sleep "0.$((RANDOM % 8 + 1))"
	if ((RANDOM % 3 == 0)); then
		kill_9 "$server"
		start_server
	else
		kill_9 "$stage"
		start_stage
	fi
done
until_true 60 gone "$publisher"
ok $? "everything is published through $kills kills"
publisher=''
until_true 60 all_said
ok $? "after $kills kill -9: nothing lost, nothing twice, order kept"
until_true 20 ready
ok $? "ready again"
"$toy" -c "$dir" --healthy >"$dir/out" 2>&1 && grep -q '"ready":true' "$dir/out"
ok $? "--healthy says so"
[ "$(cat "$dir/state/monitor-00/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ]
ok $? "the fold's folder notes which start of the machine its last commit is of"

# ---- poison and bad input ----
printf 'x' >"$dir/bad"
"$toy" -c "$dir" put raw.toy bad-one "$dir/bad" >"$dir/out" 2>&1
dead() { [ "$("$toy" -c "$dir" count DEAD)" -ge 1 ]; }
until_true 20 dead
ok $? "what cannot be read is on dead.monitor"

# ---- a second process ----
"$toy" -c "$dir" >"$dir/out" 2>&1
[ $? -eq 75 ]
ok $? "a second process on the same state exits 75"

# ---- reload ----
toy_config debug
kill -HUP "$stage"
reloaded() { grep -q 'configuration reloaded' "$dir/stage.log"; }
until_true 10 reloaded
ok $? "SIGHUP reloads"
echo 'no_such_key: 1' >>"$dir/toy.yaml"
kill -HUP "$stage"
kept() { grep -q 'configuration not reloaded' "$dir/stage.log"; }
until_true 10 kept
ok $? "SIGHUP with a bad file keeps the old configuration"
toy_config info

# ---- drain ----
# The timers of the last events are due 10 s after them.
timers_said() { all_said && grep -q 'waiting 0' "$dir/out" && quiet; }
until_true 30 timers_said
ok $? "ticks let the timers fire when nothing else comes"
stop_stage
ok "$code" "SIGTERM drains and stops"
"$toy" -c "$dir" --healthy >"$dir/out" 2>&1
[ $? -eq 1 ] && grep -q '/readyz: ' "$dir/out"
ok $? "--healthy exits 1 and says why when there is no stage"
"$toy" -c "$dir" hash >"$dir/hash1" 2>"$dir/out"
ok $? "the state can be read"

# ---- rebuild ----
before=$(story_count)
rm -rf "$dir/state"
forget_ids STORY
ok $? "the server forgets the ids of what was said"
start_stage
events=$("$toy" -c "$dir" count EVENTS)
rebuilt() { ready && [ "$(metric 'healbus_messages_total{worker="monitor-')" -ge "$events" ] && quiet; }
until_true 60 rebuilt
ok $? "a deleted state is rebuilt"
stop_stage
[ "$(story_count)" -eq "$before" ]
ok $? "the rebuild said nothing twice ($before messages)"
"$toy" -c "$dir" hash >"$dir/hash2" 2>"$dir/out"
diff "$dir/hash1" "$dir/hash2" >"$dir/out"
ok $? "the rebuilt state is byte-identical"

# ---- a damaged state ----
head -c 8192 /dev/zero | tr '\0' X | dd of="$dir/state/monitor-00/data.mdb" conv=notrunc 2>/dev/null
start_stage
repaired() { ready && [ "$(metric 'healbus_messages_total{worker="monitor-00')" -ge $((messages / 4)) ] && quiet; }
until_true 60 repaired
ok $? "a damaged state is set aside and rebuilt"
find "$dir/state" -name 'set-aside-*' | grep -q .
ok $? "the damaged files are kept"

# ---- not ready, and why ----
kill_9 "$server"
until_true 20 not_ready_for 'bus'
ok $? "/readyz says that the bus is away"
kill -0 "$stage"
ok $? "the stage waits for it"
start_server
until_true 30 ready
ok $? "and goes on by itself"
stop_stage
ok "$code" "SIGTERM stops it"
"$toy" -c "$dir" hash >"$dir/hash3" 2>"$dir/out"
diff "$dir/hash1" "$dir/hash3" >"$dir/out"
ok $? "all that changed no state"
printf 'wrong\n' >"$dir/password"
"$toy" -c "$dir" >"$dir/out" 2>&1
[ $? -eq 69 ]
ok $? "a refused password exits 69"

echo "1..$count"
exit $failed
