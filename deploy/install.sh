#!/bin/sh
# make install: programs, systemd units, man pages, completions, runbooks, failure types, prompts, tools, mappings; example configuration where none is.
#   deploy/install.sh --build DIR [--prefix /usr/local] [--destdir DIR]
set -eu
cd "$(dirname "$0")/.."
build=build prefix=/usr/local destdir=
while [ $# -gt 0 ]; do
	case $1 in
	--build) build=$2 ;;
	--prefix) prefix=$2 ;;
	--destdir) destdir=$2 ;;
	*) sed -n '2,3s/^# //p' "$0"; exit 64 ;;
	esac
	shift 2
done
bin=$destdir$prefix/bin lib=$destdir$prefix/lib share=$destdir$prefix/share etc=$destdir/etc/healbus
install -d "$bin" "$share/healbus/runbooks" "$share/healbus/failures" "$share/healbus/prompts" "$share/healbus/tools" "$share/healbus/sources" "$share/healbus/web" "$share/healbus/prometheus" "$share/healbus/truefoundry" "$share/healbus/grafana" "$lib/systemd/system" "$lib/sysusers.d" "$lib/tmpfiles.d" "$share/man/man1" \
	"$share/bash-completion/completions" "$share/zsh/site-functions" "$etc"
install -m 755 "$build"/healbus-monitor "$build"/healbus-reasoner "$build"/healbus-executor \
	"$build"/healbus-notifier "$build"/healbus-docker-broker "$build"/healctl "$bin"
install -m 644 reasoner/runbooks/*.yaml "$share/healbus/runbooks"
install -m 644 reasoner/failures/*.yaml "$share/healbus/failures"
install -m 644 reasoner/prompts/*.md "$share/healbus/prompts"
install -m 644 reasoner/specialists.yaml "$share/healbus"
install -m 644 executor/tools/*.yaml "$share/healbus/tools"
install -m 644 monitor/sources/*.yaml "$share/healbus/sources"
install -m 644 notifier/web/*.html notifier/web/*.js notifier/web/*.css notifier/web/*.svg "$share/healbus/web"
install -m 644 deploy/prometheus/rules.yml "$share/healbus/prometheus"
install -m 644 notifier/openapi.yaml "$share/healbus"
install -m 644 deploy/truefoundry/job.yaml "$share/healbus/truefoundry"
install -m 644 deploy/grafana/dashboards/*.json "$share/healbus/grafana"
install -m 755 deploy/truefoundry/cell.sh "$share/healbus/truefoundry"
for unit in deploy/systemd/*.service deploy/systemd/*.target; do
	sed "s|/usr/local/bin/|$prefix/bin/|" "$unit" >"$lib/systemd/system/${unit##*/}"
done
install -m 644 deploy/systemd/sysusers.conf "$lib/sysusers.d/healbus.conf"
install -m 644 deploy/systemd/tmpfiles.conf "$lib/tmpfiles.d/healbus.conf"
"$build/healctl" completion bash >"$share/bash-completion/completions/healctl"
"$build/healctl" completion zsh >"$share/zsh/site-functions/_healctl"
for page in healctl healbus-monitor healbus-reasoner healbus-executor healbus-notifier healbus-docker-broker; do
	"$build/healctl" manual "$page" --config "$build" >"$share/man/man1/$page.1"
done
for file in bus monitor reasoner executor notifier broker; do
	[ -e "$etc/$file.yaml" ] || install -m 640 "deploy/config/$file.yaml" "$etc/$file.yaml"
done
echo "Installed under $destdir$prefix; configuration in $etc. Next: healctl doctor"
