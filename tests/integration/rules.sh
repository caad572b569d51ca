#!/usr/bin/env bash
# The Prometheus rules: promtool reads them, runs their tests, and they speak of metrics that exist. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 70
rules=deploy/prometheus/rules.yml
if ! command -v promtool >/dev/null; then
	echo "1..0 # skip no promtool (Debian: prometheus)"
	exit 0
fi
dir=$(mktemp -d /tmp/healbus-rules.XXXXXX)
trap 'rm -rf "$dir"' EXIT
count=0 failed=0
ok() { # status text
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$dir/out" | tail -n 40
		echo "not ok $count - $2"
	fi
}

promtool check rules "$rules" >"$dir/out" 2>&1
ok $? "promtool reads the rules"
cp "$rules" tests/integration/rules.test.yml "$dir"
promtool test rules "$dir/rules.test.yml" >"$dir/out" 2>&1
ok $? "each alert fires when it should"
sed 's/> 0\.3$/> 0.4/' "$rules" >"$dir/rules.yml"
promtool test rules "$dir/rules.test.yml" >"$dir/out" 2>&1
[ $? -ne 0 ]
ok $? "and with another limit the tests would fail"

# An alert that no test lets fire proves nothing.
sed -n 's/^ *- alert: //p' "$rules" | sort >"$dir/alerts"
grep -B1 -A1 'exp_alerts:$' tests/integration/rules.test.yml | sed -n 's/^ *alertname: //p' | sort -u >"$dir/tested"
diff "$dir/alerts" "$dir/tested" >"$dir/out"
ok $? "every alert has a test in which it fires"

grep -ohE 'healbus_[a-z_]+' "$rules" | sort -u >"$dir/used"
grep -rohE '"healbus_[a-z_]+"' common monitor reasoner executor notifier --include='*.c' | tr -d '"' | sort -u >"$dir/made"
comm -23 "$dir/used" "$dir/made" >"$dir/out"
[ ! -s "$dir/out" ]
ok $? "every metric in them is one of ours"
echo "1..$count"
[ $failed -eq 0 ]
