#!/bin/sh
# Prints the path of a nats-server of 2.10 or newer, which three nodes need and Debian 12 does not have: the machine's own,
# or Debian 13's, which is fetched into the build folder (nothing is installed; apt checks the signature).
#   tests/stack/lib_nats210.sh [BUILD_DIR]     exit code 77, and why, where it cannot be had
set -eu
build=${1:-build}
package=nats-server

new_enough() { # PROGRAM
	version=$("$1" --version 2>/dev/null | sed -n 's/.*v\([0-9]*\)\.\([0-9]*\)\..*/\1 \2/p')
	[ -n "$version" ] || return 1
	[ "${version% *}" -gt 2 ] || { [ "${version% *}" -eq 2 ] && [ "${version#* }" -ge 10 ]; }
}

sorry() {
	echo "no nats-server of 2.10 or newer: $*" >&2
	exit 77
}

mkdir -p "$build"
mine=$(cd "$build" && pwd)/nats-2.10/usr/sbin/nats-server
for program in "${HEALBUS_NATS210:-}" "$(command -v nats-server || true)" "$mine"; do
	if [ -n "$program" ] && new_enough "$program"; then
		echo "$program"
		exit 0
	fi
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
	sorry "this is no Debian"
fi
# shellcheck disable=SC2016 # apt's own variables
origin=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Created-By: Packages' 2>/dev/null | head -n 1)
[ -n "$origin" ] || sorry "this machine's list of packages is empty; run apt-get update"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $keys ] || sorry "$keys is missing; install debian-archive-keyring"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/etc/apt.conf.d" "$work/etc/preferences.d" "$work/state/lists/partial" "$work/cache/archives/partial" "$work/deb"
echo "deb [signed-by=$keys] $origin trixie main" >"$work/etc/sources.list"
: >"$work/status"
cat >"$work/apt.conf" <<-END
	Dir "$work";
	Dir::Etc "$work/etc";
	Dir::Etc::sourcelist "$work/etc/sources.list";
	Dir::Etc::sourceparts "/dev/null";
	Dir::State "$work/state";
	Dir::State::status "$work/status";
	Dir::Cache "$work/cache";
	Acquire::Languages "none";
	APT::Sandbox::User "root";
END
export APT_CONFIG="$work/apt.conf"
if ! timeout 120 apt-get update >"$work/out" 2>&1 ||
	! (cd "$work/deb" && timeout 120 apt-get download $package) >>"$work/out" 2>&1; then
	sorry "$(tail -n 1 "$work/out")"
fi
mkdir -p "${mine%/usr/sbin/nats-server}"
dpkg-deb -x "$work"/deb/${package}_*.deb "${mine%/usr/sbin/nats-server}"
new_enough "$mine" || sorry "Debian 13's does not run here, or is older"
echo "$mine"
