# Shell functions of the demo and of the end-to-end tests: a whole private healbus in one temporary directory.
# Sourced by bash; callers set $root and $build. Sets $dir, $bus_port, $web_port, $pids, $incident.
# shellcheck shell=bash disable=SC2034,SC2154

say() {
	if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
		printf '\033[1m%s\033[0m\n' "$*"
	else
		printf '%s\n' "$*"
	fi
}

fail() {
	say "NOT HEALED: $*"
	local log
	for log in "$dir"/log/*; do
		[ -s "$log" ] && { echo "--- last lines of $(basename "$log")"; tail -n 8 "$log"; }
	done
	exit 1
}

demo_begin() { # keep
	dir=$(mktemp -d "${TMPDIR:-/tmp}/healbus-demo.XXXXXX") || exit 70
	keep_dir=$1
	pids=()
	mkdir -p "$dir"/{log,state,bus,config,secret}
	chmod 700 "$dir"
	read -r bus_port web_port monitor_port reasoner_port executor_port notifier_port prometheus_port am_port github_port \
		model_port < <(free_ports 10)
	export HEALBUS_URL=http://127.0.0.1:$notifier_port
}

# Ports nobody listens on now, from a range that the kernel does not hand out to clients.
free_ports() { # count
	local n=$1 port found=()
	while [ ${#found[@]} -lt "$n" ]; do
		port=$((10240 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
		case " ${found[*]:-} " in *" $port "*) continue ;; esac
		found+=("$port")
	done
	echo "${found[*]}"
}

# Starts a program in the background, its output in log/NAME; remembers its pid in $pids and pid_NAME.
launch() { # name command...
	local name=$1
	shift
	"$@" >>"$dir/log/$name" 2>&1 </dev/null &
	pids+=($!)
	printf -v "pid_${name//-/_}" '%s' $!
}

# Runs a command or function, in a subshell of its own, so that Ctrl-C is heard at once: bash forgets an interrupt that
# comes while a child in the foreground ends well.
apart() { # command...
	"$@" &
	pid_apart=$!
	wait "$pid_apart"
}

wait_for() { # seconds what command...
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until apart "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || fail "waited in vain: $what"
		read -rt 0.05 <> <(:) || :
	done
}

secret_of() { # user: makes a password once, prints it
	local file=$dir/secret/$1
	[ -s "$file" ] || {
		od -An -N18 -tx1 /dev/urandom | tr -d ' \n' | sed 's/^/p/' >"$file"
		chmod 600 "$file"
	}
	cat "$file"
}

port_open() { # port
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# As on a host of one's own: TLS, and a key for each program.
start_bus() {
	# An ack of nats-server 2.9 does not wait for the disk; files that inherit +S are written through.
	chattr +S "$dir/bus" 2>/dev/null
	"$build/healctl" init "$dir/healbus.d" --listen "127.0.0.1:$bus_port" --store "$dir/bus" >"$dir/log/init" 2>&1 ||
		fail "healctl init made no keys"
	# Its port for monitoring may be another nats-server's.
	sed -i '/^http:/d' "$dir/healbus.d/nats/nats-server.conf"
	launch nats-server nats-server -c "$dir/healbus.d/nats/nats-server.conf"
	cat >"$dir/config/bus.yaml" <<-END
		url: tls://127.0.0.1:$bus_port
		nkey_file: $dir/healbus.d/keys/{stage}.nk
		ca_file: $dir/healbus.d/tls/ca.pem
	END
	wait_for 10 "nats-server listens" port_open "$bus_port"
	"$build/healctl" doctor --fix --only bus -c "$dir/config" \
		>"$dir/log/doctor" 2>&1 || fail "the streams could not be made"
}

start_web() {
	mkdir -p "$dir/web" "$dir/www/html" "$dir/www/tmp"
	echo "it works" >"$dir/www/html/index.html"
	printf '# TYPE demo_web_up gauge\ndemo_web_up 1\n' >"$dir/www/html/metrics"
	cat >"$dir/www/nginx.conf" <<-END
		daemon off;
		pid $dir/www/nginx.pid;
		error_log $dir/log/nginx-errors;
		worker_processes 1;
		events { worker_connections 64; }
		http {
			access_log off;
			default_type text/plain;
			client_body_temp_path $dir/www/tmp/body;
			proxy_temp_path $dir/www/tmp/proxy;
			fastcgi_temp_path $dir/www/tmp/fastcgi;
			uwsgi_temp_path $dir/www/tmp/uwsgi;
			scgi_temp_path $dir/www/tmp/scgi;
			server { listen 127.0.0.1:$web_port; root $dir/www/html; }
		}
	END
	cat >"$dir/web/run" <<-END
		#!/bin/sh
		exec nginx -c "$dir/www/nginx.conf" -p "$dir/www" -e "$dir/log/nginx-errors" 2>&1
	END
	chmod 755 "$dir/web/run"
	[ "$(id -u)" -ne 0 ] || sed -i '1i user root;' "$dir/www/nginx.conf"
	launch runsv runsv "$dir/web"
	wait_for 10 "nginx answers" web_answers
}

web_answers() {
	curl -fsS --max-time 2 "http://127.0.0.1:$web_port/"
}

web_state() {
	curl -sS --max-time 2 -o /dev/null -w 'HTTP %{http_code}' "http://127.0.0.1:$web_port/" 2>&1 | tail -n 1
}

break_web() {
	local master
	sv once "$dir/web" >/dev/null
	master=$(cat "$dir/www/nginx.pid")
	# shellcheck disable=SC2046 # a list of pids
	kill -9 "$master" $(cat "/proc/$master/task/$master/children")
	wait_for 5 "nginx is gone" web_is_gone
}

web_is_gone() {
	! port_open "$web_port"
}

# The configuration of the demo: every stage's example defaults, and what this private house needs.
write_config() {
	cat >"$dir/config/monitor.yaml" <<-END
		state_dir: $dir/state/monitor
		http: { listen: "127.0.0.1:$monitor_port" }
		sources_dir: $root/monitor/sources
		group_wait: 100ms
		group_interval: 5s
		checks: ${1:-[]}
	END
	cat >"$dir/config/reasoner.yaml" <<-END
		state_dir: $dir/state/reasoner
		http: { listen: "127.0.0.1:$reasoner_port" }
		runbooks_dir: $root/reasoner/runbooks
	END
	cat >"$dir/config/executor.yaml" <<-END
		state_dir: $dir/state/executor
		http: { listen: "127.0.0.1:$executor_port" }
		tools_dir: $root/executor/tools
		decision_key_file: $dir/state/notifier/decision.key.pub
		autonomy: approve
		rules:
		  # Only this service may be repaired without asking.
		  - { match: ['service="web"', 'target="web"'], autonomy: auto, max_level: soft }
		targets:
		  - id: web
		    kind: service
		    manager: runit
		    tools: [$([ -n "${DEMO_SABOTAGE:-}" ] || echo '"service_*",') http_probe]
		    hosts: ["127.0.0.1:$web_port"]
		    attributes: { service_dir: "$dir/web", url: "http://127.0.0.1:$web_port/" }
	END
	cat >"$dir/config/notifier.yaml" <<-END
		state_dir: $dir/state/notifier
		http: { listen: "127.0.0.1:$notifier_port" }
		channels:
		  - { name: log, type: terminal, path: $dir/log/notices }
		receivers:
		  - { name: operators, channels: [log] }
		route: { receiver: operators, group_wait: 0s }
	END
}

web_check() {
	echo "[{ name: WebDown, type: http, url: \"http://127.0.0.1:$web_port/\", service: web, instance: \"http://127.0.0.1:$web_port/\"," \
		"interval: 500ms, timeout: 400ms, failures: 1, severity: critical," \
		"summary: \"nginx does not answer\" }]"
}

start_stages() {
	[ -s "$dir/config/monitor.yaml" ] || write_config "$([ "${alertmanager:-no}" = yes ] || web_check)"
	local stage port
	for stage in notifier monitor reasoner executor; do
		launch $stage "$build/healbus-$stage" -c "$dir/config"
	done
	for stage in notifier monitor reasoner executor; do
		port=${stage}_port
		wait_for 15 "$stage is ready" curl -fsS --max-time 2 "http://127.0.0.1:${!port}/readyz"
	done
}

start_alertmanager() {
	cat >"$dir/config/alertmanager.yml" <<-END
		route: { receiver: healbus, group_by: [alertname, service], group_wait: 0s, group_interval: 1s, repeat_interval: 1m }
		receivers:
		  - name: healbus
		    webhook_configs: [{ url: "http://127.0.0.1:$monitor_port/webhook/alertmanager", send_resolved: true }]
	END
	cat >"$dir/config/prometheus.yml" <<-END
		global: { scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s }
		rule_files: [$dir/config/rules.yml]
		alerting: { alertmanagers: [{ static_configs: [{ targets: ["127.0.0.1:$am_port"] }] }] }
		scrape_configs:
		  - { job_name: web, static_configs: [{ targets: ["127.0.0.1:$web_port"], labels: { service: web } }] }
	END
	cat >"$dir/config/rules.yml" <<-END
		groups:
		  - name: web
		    rules:
		      - { alert: ServiceDown, expr: up == 0, labels: { severity: critical }, annotations: { summary: "nginx does not answer" } }
	END
	mkdir -p "$dir/prometheus" "$dir/alertmanager"
	launch alertmanager prometheus-alertmanager --config.file="$dir/config/alertmanager.yml" --storage.path="$dir/alertmanager" \
		--web.listen-address="127.0.0.1:$am_port" --cluster.listen-address=
	launch prometheus prometheus --config.file="$dir/config/prometheus.yml" --storage.tsdb.path="$dir/prometheus" \
		--web.listen-address="127.0.0.1:$prometheus_port"
	wait_for 20 "Alertmanager is ready" curl -fsS "http://127.0.0.1:$am_port/-/ready"
	wait_for 20 "Prometheus is ready" curl -fsS "http://127.0.0.1:$prometheus_port/-/ready"
	wait_for 20 "Prometheus has seen nginx up" prometheus_sees_up
}

prometheus_sees_up() {
	curl -fsS "http://127.0.0.1:$prometheus_port/api/v1/query?query=up" | grep -q '"1"'
}

first_incident() {
	"$build/healctl" incidents --json | grep -o '"id": *"[a-z2-7]\{20\}"' | head -n 1 | cut -d'"' -f4 >"$dir/incident"
	[ -s "$dir/incident" ]
}

# Sets $incident to the id of the first one, waiting up to 30 s for it.
wait_incident() {
	wait_for 30 "an incident is opened" first_incident
	read -r incident <"$dir/incident"
}

demo_end() {
	local status=$? pid
	trap '' INT TERM
	[ -d "$dir/web" ] && { sv -w 1 force-shutdown "$dir/web" >/dev/null 2>&1 || :; }
	for pid in "${pid_apart:-}" "${pids[@]:-}"; do
		[ -n "$pid" ] && kill "$pid" 2>/dev/null
	done
	local deadline=$((SECONDS + 5))
	for pid in "${pids[@]:-}"; do
		while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ $SECONDS -lt $deadline ]; do
			read -rt 0.05 <> <(:) || :
		done
		[ -n "$pid" ] && kill -9 "$pid" 2>/dev/null
	done
	wait 2>/dev/null
	if [ "$keep_dir" = yes ]; then
		echo "kept: $dir"
	else
		chattr -R -S "$dir/bus" 2>/dev/null
		rm -rf "$dir"
	fi
	exit $status
}
