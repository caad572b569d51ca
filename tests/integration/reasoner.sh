#!/usr/bin/env bash
# The reasoner against a real nats-server: incidents in, plans out; killed, its state deleted,
# reloaded, drained.
# shellcheck disable=SC2015
set -u
cd "$(dirname "$0")/../.." || exit 70
build=${HEALBUS_BUILD:-build}
busctl=$build/tests/integration/busctl
if ! command -v nats-server >/dev/null || ! command -v jq >/dev/null; then
	echo "1..0 # skip no nats-server or no jq"
	exit 0
fi

. tests/integration/lib.sh
dir=$(mktemp -d)
server='' stage=''
end() {
	for p in $stage $server; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 130' INT TERM

count=0 failed=0
ok() { # status text
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		failed=1
		echo "not ok $count - $2"
		tail -n 20 "$dir/stage.log" | sed 's/^/# stage: /'
		"$busctl" dump STORY 2>&1 | cut -c1-300 | sed 's/^/# /'
	fi
}

port=$(free_port)
http=$(free_port)
export HEALBUS_BUS_URL=nats://127.0.0.1:$port
nats-server -js -a 127.0.0.1 -p "$port" -sd "$dir/js" >"$dir/server.log" 2>&1 &
server=$!
until_true 10 "$busctl" up 1 2>/dev/null
"$busctl" provision 2>"$dir/out"
ok $? "the streams are there"

mkdir "$dir/conf" "$dir/runbooks"
cat >"$dir/conf/reasoner.yaml" <<-YAML
	state_dir: $dir/state
	http: {listen: "127.0.0.1:$http"}
	runbooks_dir: $dir/runbooks
YAML
cat >"$dir/runbooks/web.yaml" <<-'YAML'
	name: web-down
	description: the web server is down
	match: ['alertname="WebDown"']
	target: '{{ .labels.service }}'
	attempts:
	  - {why: 'restart {{ .labels.service }}', steps: [{tool: service_restart}]}
	  - {why: 'start clean', steps: [{tool: service_stop}, {tool: service_start}]}
	cooldown: 0
	escalate: 'call somebody'
YAML

start() {
	"$build/healbus-reasoner" -c "$dir/conf" >>"$dir/stage.log" 2>&1 &
	stage=$!
	until_true 20 ready
}
ready() {
	curl -sf -m 2 "http://127.0.0.1:$http/readyz" >/dev/null
}
incident() { # id key state revision
	jq -nc --arg id "$1" --arg key "$2" --arg state "$3" --argjson rev "$4" '{id: $id, key: $key,
		state: $state, revision: $rev, severity: "critical", trusted: true, set_by: "monitor",
		title: "web is down", labels: {alertname: "WebDown", service: "web"}}' |
		"$busctl" send incident "$1" - "$1-$3-$4" >/dev/null
}
stories() { # kind incident count
	"$busctl" wait STORY "heal.$1.$2" "$3" 10 >"$dir/out" 2>&1
}
field() { # jq filter on the last message found
	tail -n 1 "$dir/out" | jq -r ".message$1"
}
outcome() { # incident verdict reason
	stories plan "$1" 1
	local plan
	plan=$(field .id)
	jq -nc --arg i "$1" --arg p "$plan" --arg v "$2" --arg r "$3" '{id: ("o" + $p), incident: $i,
		plan_id: $p, plan_digest: ("00" * 32), verdict: $v, reason: $r}' |
		"$busctl" send outcome "$1" - "outcome:$plan" >/dev/null
}

start
ok $? "it becomes ready"

incident i1 k1 open 1
stories plan i1 1 && [ "$(field .why)" = "restart web" ] && [ "$(field '.steps[0].target')" = web ]
ok $? "an incident is answered with the runbook's plan"

outcome i1 failed "exit code 1"
stories plan i1 2 && [ "$(field '.steps[1].tool')" = service_start ] &&
	[ "$(field '.tried[0].reason')" = "exit code 1" ]
ok $? "the next attempt differs and knows what failed"

outcome i1 denied "alice said no"
stories incident i1 2 && [ "$(field .state)" = escalated ] &&
	[[ "$(field .reason)" == *"alice said no"*"call somebody" ]] && [ "$(field '.tried | length')" = 2 ]
ok $? "a denied plan escalates with everything gathered"

incident i2 k2 open 1
stories plan i2 1
before=$("$busctl" dump STORY | sha256sum)
kill -9 $stage
wait $stage 2>/dev/null
rm -rf "$dir/state"
start
ok $? "killed, state deleted: it becomes ready again"
incident i3 k3 open 1
stories plan i3 1
after=$("$busctl" dump STORY | head -n -2 | sha256sum)
[ "$before" = "$after" ]
ok $? "nothing was said twice"
outcome i2 failed "no"
stories plan i2 2 && [ "$(field .attempt)" = 2 ]
ok $? "and it knows where it was"

sed -i 's/restart {{/RESTART {{/' "$dir/runbooks/web.yaml"
kill -HUP $stage
reloaded() {
	n=$((n + 1))
	incident "r$n" "kr$n" open 1
	stories plan "r$n" 1 && [ "$(field .why)" = "RESTART web" ]
}
n=0
until_true 20 reloaded
ok $? "SIGHUP reads the runbooks anew"
echo 'colour: red' >>"$dir/runbooks/web.yaml"
"$build/healbus-reasoner" -c "$dir/conf" --check >"$dir/out" 2>&1
[ $? -eq 78 ] && grep -q 'web.yaml:10: .*colour' "$dir/out"
ok $? "--check names file and line of what is wrong"
kill -HUP $stage
until_true 10 grep -q 'web.yaml:10' "$dir/stage.log"
incident i4 k4 open 1
stories plan i4 1 && [ "$(field .why)" = "RESTART web" ]
ok $? "a reload that fails keeps the old runbooks"

kill -TERM $stage
wait $stage
ok $? "SIGTERM ends it with 0"
stage=''
sed -i '$d' "$dir/runbooks/web.yaml"
echo "runbooks_dir: $PWD/reasoner/runbooks" >"$dir/conf/reasoner.yaml"
"$build/healbus-reasoner" -c "$dir/conf" --check >"$dir/out" 2>&1
ok $? "the shipped runbooks load"

echo "1..$count"
exit $failed
