# What tests share that drive the demo's world by hand. Sourced after deploy/demo/lib.sh; callers set $monitor_port.
# shellcheck shell=bash disable=SC2154
fail() {
	echo "Bail out! $*"
	tail -n 5 "$dir"/log/* | sed 's/^/# /'
	exit 1
}

alert() { # name service status
	printf '{"version":"4","status":"%s","receiver":"r","groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","groupKey":"k","truncatedAlerts":0,"alerts":[{"status":"%s","labels":{"alertname":"%s","service":"%s","severity":"warning"},"annotations":{"summary":"%s of %s"},"startsAt":"2026-11-21T09:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":""}]}' \
		"$3" "$3" "$1" "$2" "$1" "$2"
}
post() { # name service status
	alert "$@" | curl -fsS --max-time 5 -o /dev/null -H 'Content-Type: application/json' --data-binary @- \
		"http://127.0.0.1:$monitor_port/webhook/alertmanager"
}
