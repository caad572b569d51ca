#!/usr/bin/env bash
# Finds a Docker Engine for the tests of the stack, or starts one, and makes the base images that no registry is asked for.
#   tests/stack/engine.sh [SUITE ...]     SUITE: a Debian release (default: trixie); its image is debian:SUITE-slim
#   tests/stack/engine.sh stop            stops the engine that this script started, and no other
# An engine is started only where HEALBUS_TEST_ENGINE=start says so, and by root; never beside one that runs.
# Exit code 0: it answers, and the images are there. 1: no; why, and what to do, on the last line of stdout.
set -u
cd "$(dirname "$0")/../.." || exit 70
data=${HEALBUS_ENGINE_DIR:-/var/lib/healbus-engine}
pid_file=/run/healbus-engine.pid
log=/tmp/healbus-engine.log
readonly start_s=60

no() {
	echo "no Docker Engine: $*"
	exit 1
}

answers() {
	docker info >/dev/null 2>&1
}

until_true() { # seconds command ...
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		read -rt 0.2 <> <(:) || :
	done
}

stopped() {
	! kill -0 "$1" 2>/dev/null
}

stop() {
	local pid
	[ -s "$pid_file" ] || exit 0
	pid=$(cat "$pid_file")
	rm -f "$pid_file"
	grep -qz dockerd "/proc/$pid/cmdline" 2>/dev/null || exit 0
	kill "$pid"
	until_true "$start_s" stopped "$pid" || echo "the engine ($pid) does not stop"
	exit 0
}

start() {
	local nofile
	[ "${HEALBUS_TEST_ENGINE:-}" = start ] ||
		no "none answers here. Start one, or say HEALBUS_TEST_ENGINE=start as root (make compose-test does)"
	[ "$(id -u)" -eq 0 ] || no "only root can start one: sudo make compose-test, or join the group of one that runs"
	deploy/deps.sh stack >/dev/null || no "its packages cannot be installed: deploy/deps.sh stack says why"
	nofile=$(ulimit -Hn)
	# vfs, the driver of last resort, copies every layer whole.
	setsid dockerd --storage-driver overlay2 --data-root "$data" --pidfile "$pid_file" --default-ulimit "nofile=$nofile:$nofile" >"$log" 2>&1 </dev/null &
	until_true "$start_s" answers || no "dockerd does not come up here: $(grep -v level=info "$log" | tail -n 1 | cut -c1-300)"
}

make_base() { # suite
	local root image=debian:$1-slim
	docker image inspect "$image" >/dev/null 2>&1 && return 0
	docker pull -q "$image" >/dev/null 2>&1 && return 0
	[ "$(id -u)" -eq 0 ] || no "$image is neither here nor in a registry that answers, and only root can make it"
	deploy/deps.sh stack >/dev/null || no "debootstrap cannot be installed: deploy/deps.sh stack says why"
	root=$(mktemp -d)
	debootstrap --variant=minbase "$1" "$root" >"$log.$1" 2>&1 ||
		{ rm -rf "$root"; no "$image: debootstrap: $(tail -n 1 "$log.$1")"; }
	rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	tar -C "$root" -c . | docker import - "$image" >/dev/null || { rm -rf "$root"; no "$image cannot be imported"; }
	rm -rf "$root"
}

# An engine may answer and yet be of no use: no mounts, no bridge, no mirror behind it.
try() { # suite
	local said
	said=$(docker run --rm "debian:$1-slim" true 2>&1) || no "it runs no container: $(tail -n 1 <<<"$said" | cut -c1-300)"
	said=$(docker run --rm "debian:$1-slim" apt-get update -qq -o Acquire::Retries=2 -o APT::Update::Error-Mode=any 2>&1) ||
		no "no Debian mirror answers inside a container: $(tail -n 1 <<<"$said" | cut -c1-300)"
}

[ "${1:-}" != stop ] || stop
command -v docker >/dev/null || [ "${HEALBUS_TEST_ENGINE:-}" = start ] ||
	no "the docker command is missing (Debian: docker.io docker-compose)"
answers || start
for suite in "${@:-trixie}"; do
	make_base "$suite"
	try "$suite"
done
docker info --format 'engine {{.ServerVersion}}, {{.Driver}}'
