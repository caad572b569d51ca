#!/usr/bin/env bash
# What deploy/ ships is what the programs say: examples load and are current, the bus configuration parses, and
# `make install` puts everything where the documentation says. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 70
build=${HEALBUS_BUILD:-$PWD/build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
result() { # status text
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "$dir/out" 2>/dev/null | tail -n 20; fi
}

for stage in monitor reasoner executor notifier; do
	"$build/healbus-$stage" --example-config >"$dir/$stage.yaml"
	cmp "$dir/$stage.yaml" "deploy/config/$stage.yaml" >"$dir/out" 2>&1
	result $? "deploy/config/$stage.yaml is what --example-config prints (make examples)"
done
"$build/healbus-docker-broker" --example-config >"$dir/broker.yaml"
cmp "$dir/broker.yaml" deploy/config/broker.yaml >"$dir/out" 2>&1
result $? "deploy/config/broker.yaml is what --example-config prints (make examples)"
"$build/healbus-monitor" --example-config=bus >"$dir/bus.yaml"
cmp "$dir/bus.yaml" deploy/config/bus.yaml >"$dir/out" 2>&1
result $? "deploy/config/bus.yaml is what --example-config=bus prints"
deploy/install.sh --build "$build" --prefix /usr/local --destdir "$dir/root" >"$dir/out" 2>&1
result $? "make install works into an empty root"
share=$dir/root/usr/local/share/healbus
export HEALBUS_REASONER_RUNBOOKS_DIR=$share/runbooks HEALBUS_EXECUTOR_TOOLS_DIR=$share/tools HEALBUS_MONITOR_SOURCES_DIR=$share/sources
for stage in monitor reasoner executor notifier docker-broker; do
	"$dir/root/usr/local/bin/healbus-$stage" -c "$dir/root/etc/healbus" --check >"$dir/out" 2>&1
	result $? "the installed healbus-$stage accepts the installed configuration"
done
echo 'not jq (((' >"$dir/.jq"
HOME=$dir "$dir/root/usr/local/bin/healbus-reasoner" -c "$dir/root/etc/healbus" --check >"$dir/out" 2>&1
result $? "expressions do not read ~/.jq"
bad=0
for page in "$dir"/root/usr/local/share/man/man1/*.1; do
	grep -q '^\.TH ' "$page" && grep -q '^\.SH NAME' "$page" || { echo "$page" >>"$dir/out"; bad=1; }
done
[ "$(find "$dir/root/usr/local/share/man/man1" -name '*.1' | wc -l)" -eq 6 ] || bad=1
result $bad "six man pages are installed"
lib=$dir/root/usr/local/lib
bad=0
for unit in monitor reasoner executor notifier docker-broker; do
	grep -q "^ExecStart=/usr/local/bin/healbus-$unit -c" "$lib/systemd/system/healbus-$unit.service" || bad=1
done
for file in lib/systemd/system/healbus.target lib/sysusers.d/healbus.conf lib/tmpfiles.d/healbus.conf \
	share/healbus/truefoundry/cell.sh share/healbus/grafana/overview.json share/healbus/prometheus/rules.yml; do
	[ -s "$dir/root/usr/local/$file" ] || { echo "$file is missing" >>"$dir/out"; bad=1; }
done
result $bad "units, users, modes, dashboards and the TrueFoundry job are installed"
bash -n "$dir/root/usr/local/share/bash-completion/completions/healctl" >"$dir/out" 2>&1
result $? "the bash completion parses"
deploy/install.sh --build "$build" --prefix /usr/local --destdir "$dir/root" >"$dir/out" 2>&1 &&
	echo "# mine" >>"$dir/root/etc/healbus/monitor.yaml" &&
	deploy/install.sh --build "$build" --prefix /usr/local --destdir "$dir/root" >"$dir/out" 2>&1 &&
	grep -q '# mine' "$dir/root/etc/healbus/monitor.yaml"
result $? "a second installation keeps the operator's configuration"
echo "1..$n"
