# For tests of the toy stage: a server with the topic table's rights, the stage, and TAP. To be
# sourced from the repository's root.
# shellcheck shell=bash disable=SC2034,SC2154
toy=${HEALBUS_BUILD:-build}/tests/integration/toystage
if ! command -v nats-server >/dev/null; then
	echo "1..0 # skip no nats-server"
	exit 0
fi
if ! [ -x "$toy" ]; then
	echo "Bail out! $toy is not built"
	exit 70
fi

. tests/integration/lib.sh
dir=$(mktemp -d)
server='' stage='' publisher=''
end() {
	for p in $publisher $stage $server; do kill -9 "$p" 2>/dev/null; done
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
		sed 's/^/# /' "$dir/out" 2>/dev/null | tail -n 30
		tail -n 15 "$dir/stage.log" 2>/dev/null | sed 's/^/# stage: /'
	fi
}

port=$(free_port)
http=$(free_port)
for user in MONITOR REASONER EXECUTOR NOTIFIER OPERATOR; do
	export "HEALBUS_${user}_PASSWORD=right"
done
printf 'right\n' >"$dir/password"
chmod 600 "$dir/password"
{
	printf 'listen: "127.0.0.1:%s"\njetstream { store_dir: "%s/js" }\n' "$port" "$dir"
	"$toy" nats-users
} >"$dir/nats.conf"
cat >"$dir/bus.yaml" <<END
url: nats://127.0.0.1:$port
user: "{stage}"
password_file: password
END
toy_config() { # log level
	cat >"$dir/toy.yaml" <<END
state_dir: $dir/state
http: {listen: "127.0.0.1:$http"}
log_level: $1
outbox_retain: 3s
END
}
toy_config info

start_server() {
	nats-server -c "$dir/nats.conf" >>"$dir/nats.log" 2>&1 &
	server=$!
	disown
}
start_stage() {
	"$toy" -c "$dir" >>"$dir/stage.log" 2>&1 &
	stage=$!
	disown
}
kill_9() { # pid
	kill -9 "$1"
	while kill -0 "$1" 2>/dev/null; do sleep 0.01; done
}
stop_stage() { # the exit code is in $code
	kill -TERM "$stage"
	until_true 15 gone "$stage"
	code=$?
	stage=''
}
gone() { ! kill -0 "$1" 2>/dev/null; }
ready() { curl -fsS "http://127.0.0.1:$http/readyz" >"$dir/out" 2>&1; }
not_ready_for() { curl -sS "http://127.0.0.1:$http/readyz" 2>&1 | tee "$dir/out" | grep -q "$1"; }
metric() { curl -sS "http://127.0.0.1:$http/metrics" | awk -v m="$1" 'index($1, m) == 1 { n += $2 } END { printf "%d", n }'; }
# $messages went in: each was said once, in order.
all_said() { "$toy" -c "$dir" verify "$messages" >"$dir/out" 2>&1; }
quiet() { [ "$(metric healbus_outbox_rows)" -eq 0 ] && [ "$(metric healbus_lag_messages)" -eq 0 ]; }
story_count() { "$toy" -c "$dir" count STORY; }

# The server forgets which ids it has seen on the stream $1: from now on only we can tell.
forget_ids() {
	python3 - "$port" "$1" <<'END'
import json, socket, sys

port, stream = int(sys.argv[1]), sys.argv[2]
s = socket.create_connection(("127.0.0.1", port), 10)
f = s.makefile("rwb")


def request(subject, body):
    f.write(b"PUB %s _INBOX_operator.t %d\r\n%s\r\n" % (subject.encode(), len(body), body))
    f.flush()
    while True:
        line = f.readline().split()
        if line[0] == b"PING":
            f.write(b"PONG\r\n")
            f.flush()
        if line[0] == b"MSG":
            return json.loads(f.read(int(line[-1]) + 2))


f.readline()
login = {"user": "operator", "pass": "right", "verbose": False, "pedantic": False}
f.write(b"CONNECT " + json.dumps(login).encode() + b"\r\nSUB _INBOX_operator.t 1\r\n")
config = request("$JS.API.STREAM.INFO." + stream, b"")["config"]
config["duplicate_window"] = 100_000_000
answer = request("$JS.API.STREAM.UPDATE." + stream, json.dumps(config).encode())
sys.exit("error" in answer)
END
}
