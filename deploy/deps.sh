#!/bin/sh
# Installs the Debian packages that a purpose needs, or says which one command does.
#   deploy/deps.sh build|demo|demo-ci|test|lint|stack|bench [...]     several purposes add up
# As root it installs; else through sudo when that works without a password; else it prints the command, exit 69.
set -eu

build="gcc libc6-dev make pkg-config libnats-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler liblmdb-dev
	libmicrohttpd-dev libfyaml-dev libjq-dev libjansson-dev libcurl4-openssl-dev libssl-dev libpcre2-dev libseccomp-dev
	zlib1g-dev"
demo="nats-server bubblewrap git nginx-light runit curl ca-certificates"
demo_ci="nats-server bubblewrap git curl ca-certificates jq openssl python3"
alertmanager="prometheus prometheus-alertmanager"
test="$demo $alertmanager systemd python3-yaml libcmocka-dev python3 jq openssl procps redis-server strace libfaketime"
lint="clang clang-tidy clang-format cppcheck shellcheck libclang-rt-14-dev gcovr"
stack="docker.io iptables debootstrap python3 openssl"
command -v docker-compose >/dev/null 2>&1 || docker compose version >/dev/null 2>&1 || stack="$stack docker-compose"
bench="sec webhook monit linux-perf"
# A browser is of use only with what drives it, which comes from npm.
command -v npm >/dev/null 2>&1 && test="$test chromium"
# npm comes with nodejs or apart from it, by who packed it.
command -v npm >/dev/null 2>&1 || bench="$bench nodejs npm"

want=""
for purpose in "$@"; do
	case $purpose in
	build) want="$want $build" ;;
	demo) want="$want $build $demo" ;;
	demo-ci) want="$want $build $demo_ci" ;;
	alertmanager) want="$want $build $demo $alertmanager" ;;
	test) want="$want $build $test" ;;
	lint) want="$want $build $lint" ;;
	stack) want="$want $stack" ;;
	bench) want="$want $build $test $bench" ;;
	*) echo "deps.sh: unknown purpose '$purpose' (build, demo, demo-ci, alertmanager, test, lint, stack, bench)" >&2; exit 64 ;;
	esac
done

missing=""
for package in $want; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
	sudo=""
elif sudo -n true 2>/dev/null; then
	sudo="sudo -n"
else
	echo "Packages are missing. Run this once, then again what you ran:" >&2
	echo "  sudo apt-get update && sudo $command" >&2
	exit 69
fi
echo "Installing:$missing" >&2
# Services that a package would start are not wanted: we start private instances.
policy=/usr/sbin/policy-rc.d
made=no
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
	$sudo chmod 755 $policy
	made=yes
fi
status=0
log=$(mktemp)
# shellcheck disable=SC2086 # $command is a list of words
{ $sudo apt-get update -q && $sudo env DEBIAN_FRONTEND=noninteractive $command -q; } >"$log" 2>&1 || status=$?
[ $made = no ] || $sudo rm -f $policy
if [ $status -ne 0 ]; then
	tail -n 20 "$log" >&2
	echo "deps.sh: installation failed; the whole output is in $log" >&2
	exit 69
fi
rm -f "$log"
