#!/bin/sh
# What healctl init made, as Secrets of the namespace healbus: to each program its own. Secrets that are there are replaced.
#   healctl init healbus.d --host nats.healbus.svc --host nats-0.nats-nodes --host nats-1.nats-nodes --host nats-2.nats-nodes
#   deploy/kubernetes/secrets.sh healbus.d
set -eu
dir=${1:?the folder that healctl init made}
[ -f "$dir/keys/operator.nk" ] || {
	echo "$dir: not made by healctl init" >&2
	exit 66
}
put() { # name file...
	name=$1
	shift
	for pair in "$@"; do
		shift
		set -- "$@" "--from-file=${pair%%:*}=$dir/${pair#*:}"
	done
	kubectl -n healbus create secret generic "$name" "$@" --dry-run=client -o yaml | kubectl apply -f -
}
put nats nats.pem:tls/nats.pem nats.key:tls/nats.key ca.pem:tls/ca.pem
put nats-users users.conf:nats/users.conf
put operator bus.nk:keys/operator.nk ca.pem:tls/ca.pem
put monitor bus.nk:keys/monitor.nk ca.pem:tls/ca.pem token:tokens/monitor
put reasoner bus.nk:keys/reasoner.nk ca.pem:tls/ca.pem token:tokens/reasoner
put executor bus.nk:keys/executor.nk ca.pem:tls/ca.pem token:tokens/executor decision.pub:keys/decision.key.pub
put notifier bus.nk:keys/notifier.nk ca.pem:tls/ca.pem token:tokens/notifier decision.key:keys/decision.key \
	decision.key.pub:keys/decision.key.pub \
	token.key:keys/token.key
