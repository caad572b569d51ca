#!/usr/bin/env bash
# The bus loses its tail, as after a power cut: its files are put back to an earlier moment while the
# stage remembers more. What was lost comes again, and nothing is missing or said twice.
# shellcheck disable=SC2015,SC2317
set -u
cd "$(dirname "$0")/../.." || exit 70
messages=900
export HEALBUS_TOY_WORKERS=1
# shellcheck source=tests/integration/lib_toy.sh
. tests/integration/lib_toy.sh

stop_server() {
	kill -TERM "$server"
	until_true 20 gone "$server"
}

start_server
"$toy" -c "$dir" provision >"$dir/out" 2>&1
ok $? "streams are created"
sed -i 's/outbox_retain: .*/outbox_retain: 10m/' "$dir/toy.yaml"
start_stage
messages=300
"$toy" -c "$dir" publish 0 300 >"$dir/out" 2>&1
until_true 30 all_said
ok $? "300 messages are read"
stop_server
cp -r "$dir/jetstream" "$dir/earlier" 2>/dev/null || cp -r "$dir/js" "$dir/earlier"
start_server
messages=900
"$toy" -c "$dir" publish 300 900 >"$dir/out" 2>&1
until_true 30 all_said
ok $? "900 messages are read"

kill_9 "$server"
if [ -d "$dir/jetstream" ]; then store=$dir/jetstream; else store=$dir/js; fi
rm -rf "$store"
cp -r "$dir/earlier" "$store"
start_server
until_true 30 ready
ok $? "the stage goes on although the bus went back"
went_back() { grep -q 'the bus lost messages that were read' "$dir/stage.log"; }
until_true 20 went_back
ok $? "it noticed"
story_is_whole() { [ "$(story_count)" -ge 900 ]; }
until_true 20 story_is_whole
ok $? "outputs that the bus had acknowledged are sent again"
# The sender has not heard of it and sends its last hour again; so does a sender after a restart.
"$toy" -c "$dir" publish 0 900 >"$dir/out" 2>&1
until_true 60 all_said
ok $? "nothing is missing, nothing was said twice, the order is kept"
kill_9 "$stage"
start_stage
"$toy" -c "$dir" publish 880 900 >"$dir/out" 2>&1
until_true 30 ready
until_true 30 quiet
all_said
ok $? "not after a restart either"
"$toy" -c "$dir" publish 900 950 >"$dir/out" 2>&1
messages=950
until_true 30 all_said
ok $? "new messages are read"

echo "1..$count"
exit $failed
