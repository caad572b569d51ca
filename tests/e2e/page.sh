#!/usr/bin/env bash
# The page in a real Chromium, before four real stages: an incident appears live, its diff is read, it is approved, and
# the story ends healed; deny and pause likewise; hostile words do nothing; axe judges each view. TAP; screenshots go to
# build/screenshots. With --serve it only builds that world and stays, for looking at the page by hand.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 70
build=${HEALBUS_BUILD:-$PWD/build}
# shellcheck source=deploy/demo/lib.sh
. deploy/demo/lib.sh
# shellcheck source=deploy/demo/lib_ci.sh
. deploy/demo/lib_ci.sh

skip() {
	echo "1..0 # skip $1"
	exit 0
}
for program in nats-server bwrap nginx runsv git jq openssl make node; do
	command -v $program >/dev/null || skip "$program is missing"
done
chromium=$(command -v chromium || command -v chromium-browser) || skip "no chromium"
[ -d "$build/peers/browser/node_modules/playwright-core" ] || skip "no playwright-core (make peers)"

# Everything is asked here: the repository, and the service, once softly and once as something that interrupts.
write_page_config() {
	write_ci_config
	cat >"$dir/config/monitor.yaml.tmp" <<-END
		$(sed '/^checks:/d' "$dir/config/monitor.yaml")
		checks: $(web_check)
	END
	mv "$dir/config/monitor.yaml.tmp" "$dir/config/monitor.yaml"
	mkdir -p "$dir/runbooks"
	cat >"$dir/runbooks/web.yaml" <<-END
		name: web-down
		description: nginx does not answer; restart it.
		match: ['service="web"']
		target: web
		attempts:
		  - why: 'nginx does not answer: restart it.'
		    steps: [{tool: service_restart, timeout: 1m}]
		    verify: {tool: http_probe, params: {url: '{{ .labels.instance }}', status: 200}, deadline: 20s, interval: 500ms}
		  - why: 'It was not restarted: stop it, then start it clean.'
		    steps: [{tool: service_stop, timeout: 1m, keep_going: true}, {tool: service_start, timeout: 1m}]
		cooldown: 1s
		confidence: 0.9
		escalate: Look at what nginx depends on.
	END
	cat >"$dir/runbooks/hard.yaml" <<-END
		name: web-stop
		description: Something must be interrupted.
		match: ['service="hard"']
		target: web
		attempts:
		  - why: 'Stop it before it does more harm.'
		    steps: [{tool: service_stop, timeout: 1m}]
		cooldown: 1s
		confidence: 0.9
		escalate: Look at it.
	END
	cat >"$dir/runbooks/keys.yaml" <<-END
		name: web-again
		description: Something may be restarted.
		match: ['service="keys"']
		target: web
		attempts:
		  - why: 'Start it anew.'
		    steps: [{tool: service_restart, timeout: 1m}]
		cooldown: 1s
		confidence: 0.9
		escalate: Look at it.
	END
	sed -i "s|^runbooks_dir:.*|runbooks_dir: $dir/runbooks|" "$dir/config/reasoner.yaml"
	sed -i '/^rules:/,/autonomy: auto/d' "$dir/config/executor.yaml"
	cat >>"$dir/config/executor.yaml" <<-END
		  - id: web
		    kind: service
		    manager: runit
		    tools: ["service_*", http_probe]
		    hosts: ["127.0.0.1:$web_port"]
		    attributes: { service_dir: "$dir/web", url: "http://127.0.0.1:$web_port/" }
	END
}

# Three people: who may all, who may decide, who may look. Something hard wants two of them.
add_people() {
	local name
	for name in ann bob vic; do secret_of "token-$name" >/dev/null; done
	cat >>"$dir/config/notifier.yaml" <<-END
		oidc_header: X-Auth-Subject
		trusted_proxies: [127.0.0.1]
		people:
		  - { name: ann, roles: [admin, approver], token_file: $dir/secret/token-ann, oidc: ann@idp }
		  - { name: bob, roles: [approver], token_file: $dir/secret/token-bob }
		  - { name: vic, roles: [viewer], token_file: $dir/secret/token-vic }
		approvers:
		  - { levels: [hard], people: [ann, bob], count: 2 }
		oncall:
		  - { name: night, rotation: [bob], shift: 7d, start: "2026-01-05T09:00" }
	END
}

alert() { # json of alerts: as Alertmanager posts them
	curl -fsS -X POST -H 'Content-Type: application/json' -d "{\"version\":\"4\",\"status\":\"firing\",\"alerts\":$1}" \
		"http://127.0.0.1:$monitor_port/webhook/alertmanager" >>"$dir/log/alerts" 2>&1
}

act() { # what the driver asks for, one line each
	case $1 in
	break-web) break_web ;;
	start-web) sv up "$dir/web" >/dev/null ;;
	fail-job) deliver workflow_job "$(job_failed)" ;;
	run-succeeded) deliver workflow_run "$(run_succeeded "$(pushed)")" ;;
	alert\ *) alert "${1#alert }" ;;
	*) echo "# unknown command: $1" ;;
	esac
}

demo_begin no
chmod 711 "$dir" # the repository's checks run as nobody, in a workspace below it
trap demo_end EXIT
trap 'exit 130' INT TERM
start_bus
start_web
start_github
start_model
write_page_config
add_people
start_stages
if [ "${1:-}" = --serve ]; then
	echo "$dir notifier $HEALBUS_URL nats $bus_port"
	while read -r command; do act "$command"; done
	exit 0
fi
mkdir -p "$build/screenshots" "$dir/proxy"
launch proxy python3 tests/e2e/lib_tls_proxy.py "$dir/proxy" "${HEALBUS_URL##*:}" ann@idp
wait_for 30 "the proxy that logs people in" test -s "$dir/proxy/port"
launch proxy-open python3 tests/e2e/lib_tls_proxy.py "$dir/proxy" "${HEALBUS_URL##*:}"
wait_for 30 "the proxy that does not" test -s "$dir/proxy/port-open"
# Its third descriptor says what to do; the end of it is the end of the driver.
exec 5>&1
exec 4< <(exec node tests/e2e/lib_page.mjs "$HEALBUS_URL" "$chromium" "$build/screenshots" "$build/peers/browser" \
	"$dir/secret" 3>&1 >&5)
driver=$!
while read -r -u 4 command; do act "$command"; done
wait $driver
