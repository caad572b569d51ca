#!/usr/bin/env bash
# healctl doctor and publish against a real nats-server. TAP.
cd "$(dirname "$0")/../.." || exit 70
command -v nats-server >/dev/null || {
	echo "1..0 # skip no nats-server"
	exit 0
}
build=${HEALBUS_BUILD:-build}
. tests/integration/lib.sh
dir=$(mktemp -d)
n=0 bad=0 server=
stop_server() {
	[ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
	server=
}
trap 'stop_server; rm -rf "$dir"' EXIT

ctl() { # words of healctl; says what came into $dir/out
	"$build/healctl" "$@" -c "$dir/config" --url http://127.0.0.1:1 >"$dir/out" 2>&1
}
check() { # text expected-exit-code actual pattern...
	local text=$1 want=$2 got=$3 ok=1 pattern
	shift 3
	n=$((n + 1))
	[ "$want" = "$got" ] || ok=0
	for pattern in "$@"; do
		case $pattern in
		!*) ! grep -qE -- "${pattern#!}" "$dir/out" || ok=0 ;;
		*) grep -qE -- "$pattern" "$dir/out" || ok=0 ;;
		esac
	done
	[ $ok = 1 ] && echo "ok $n - $text" && return
	sed 's/^/# /' "$dir/out"
	echo "# exit code $got, want $want"
	echo "not ok $n - $text"
	bad=1
}
wait_port() {
	local deadline=$((SECONDS + 10))
	until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
		[ $SECONDS -lt $deadline ] || return 1
		read -rt 0.05 <> <(:) || :
	done
}
start_server() { # configuration file
	nats-server -c "$1" >"$dir/server.log" 2>&1 &
	server=$!
	wait_port "$port"
}

port=$(free_port)
mkdir -p "$dir/config" "$dir/secret" "$dir/store" "$dir/open"
{
	echo "listen: 127.0.0.1:$port"
	echo "jetstream { store_dir: \"$dir/store\", max_file_store: 8GB }"
	"$build/healctl" topics --nats-users
} >"$dir/nats.conf"
for user in monitor reasoner executor notifier operator; do
	echo "p${user}9x7" >"$dir/secret/$user"
	chmod 600 "$dir/secret/$user"
	export "HEALBUS_${user^^}_PASSWORD=p${user}9x7"
done
cat >"$dir/config/bus.yaml" <<-END
	url: nats://127.0.0.1:$port
	user: "{stage}"
	password_file: $dir/secret/{stage}
END

ctl doctor --only bus
check "nobody there: fail, and what to do" 1 $? '^fail +bus ' 'is nats-server running'
ctl publish demo <(echo '{"a":1}')
check "publish to nobody: 69" 69 $? 'is nats-server running'

start_server "$dir/nats.conf" || echo "# nats-server does not start: $(tail -n 3 "$dir/server.log")"
ctl doctor --only bus
check "an empty bus: every stream is missing" 1 $? '^fail +streams +RAW: missing' '^fail +streams +STORY: missing' 'doctor --fix' \
	'^ok +permissions +the bus refuses strangers' 'nats-server 2\.' '^warn +durability'
ctl publish demo <(echo '{"a":1}')
check "nothing is called stored without a stream" 69 $? 'healctl: raw.demo' 'nothing is certain'
HEALBUS_BUS_PASSWORD_FILE=$dir/secret/monitor ctl doctor --fix --only bus
check "the wrong password cannot repair it" 1 $? '^fail +fix'
ctl doctor --fix --only bus
check "--fix makes streams and buckets" 0 $? '^ok +streams +streams and buckets are as declared'
ctl doctor --only bus
check "then the bus is well" 0 $? '^ok +streams' '!^fail'
ctl doctor --fix --only bus
check "--fix again changes nothing" 0 $? '^ok +streams'
ctl doctor --only bus --json
check "doctor --json is JSON" 0 "$(python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(0 if d["fails"] == 0 and d["findings"] else 1)' "$dir/out")"

ctl publish demo <(echo '{"alert":"x"}')
check "publish says where it is stored" 0 $? '^stored as 1 of RAW'
echo '{"alert":"y"}' >"$dir/alert.json"
ctl publish demo "$dir/alert.json" --id one
check "publish FILE" 0 $? '^stored as 2 of RAW'
ctl publish demo "$dir/alert.json" --id one
check "the same id is stored once" 0 $? '^stored as 2 of RAW'
ctl publish demo --json <"$dir/alert.json"
check "publish reads standard input" 0 $? '"seq": 3'
ctl publish demo <(echo '{"alert":')
check "broken JSON is not sent" 1 $? 'not JSON: line 2'
ctl publish demo "$dir/none"
check "no such file" 1 $? 'No such file'
python3 -c 'print("\"" + "x" * 1100000 + "\"")' >"$dir/large.json"
ctl publish demo "$dir/large.json"
check "too large" 1 $? 'want 1 to'

sed -i 's/{stage}/nobody/' "$dir/config/bus.yaml"
echo wrong >"$dir/secret/nobody"
chmod 600 "$dir/secret/nobody"
ctl doctor --only bus
check "a wrong user is told from a bus that is away" 1 $? '^fail +bus' 'user and password_file'
ctl publish demo "$dir/alert.json"
check "publish with a wrong user: 69" 69 $? 'user and password_file'
echo 'nonsense: 1' >>"$dir/config/bus.yaml"
ctl doctor --only bus
check "a broken bus.yaml is named with its line" 1 $? '^fail +bus' 'bus.yaml:4'

stop_server
printf 'listen: 127.0.0.1:%s\njetstream { store_dir: "%s" }\n' "$port" "$dir/open" >"$dir/open.conf"
echo "url: nats://127.0.0.1:$port" >"$dir/config/bus.yaml"
start_server "$dir/open.conf"
ctl doctor --fix --only bus
check "a bus that lets strangers in is a failure" 1 $? '^ok +streams' '^fail +permissions' 'CVE-2023-47090'

ctl doctor --only sandbox
check "the sandbox is examined" "$?" "$?" '(ok|fail) +sandbox' 'Landlock'
ctl doctor --only clock
check "the clock is examined" 0 $? '(ok|warn) +clock'
ctl doctor --only notifier
check "a notifier that is away is a failure" 1 $? '^fail +notifier'
if [ -x "$build/healbus-monitor" ]; then
	ctl doctor --only configuration
	check "configurations are checked by their programs" "$?" "$?" '(ok|fail) +configuration +healbus-monitor'
	echo 'no_such_key: 1' >"$dir/config/monitor.yaml"
	ctl doctor --only configuration
	check "a broken configuration is named with its line" 1 $? '^fail +configuration +healbus-monitor: .*monitor.yaml:1'
fi
if [ -x "$build/healbus-docker-broker" ]; then
	engine() { HEALBUS_BROKER_LISTEN=$dir/no-broker HEALBUS_BROKER_ENGINE_SOCKET=$1 ctl doctor --only docker; }
	engine "$dir/no-engine"
	check "without a Docker Engine there is nothing to say" 0 $? '^ok +docker +no Engine at'
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$dir/engine"
	chmod 660 "$dir/engine"
	engine "$dir/engine"
	check "an Engine without a broker is a warning" 0 $? '^warn +docker +there is an Engine, and no broker'
	chmod 666 "$dir/engine"
	engine "$dir/engine"
	check "an Engine that anybody may use is a failure" 1 $? '^fail +docker +anybody may use'
fi
ctl doctor --only nothing
check "no such part: 64" 64 $? 'no such part'
echo "1..$n"
exit $bad
