#!/usr/bin/env bash
# healctl classify: the reasoner's classifier for people, without a bus or a notifier. TAP.
set -u
cd "$(dirname "$0")/../.." || exit 70
build=${HEALBUS_BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0 bad=0

check() { # name command...
	n=$((n + 1))
	if "${@:2}" >"$dir/why" 2>&1; then
		echo "ok $n - $1"
	else
		bad=$((bad + 1))
		echo "not ok $n - $1"
		sed 's/^/# /' "$dir/why" | head -20
	fi
}

classify() { # arguments...: healctl's exit code; its output is in $dir/out
	"$build/healctl" -c "$dir" classify --failures reasoner/failures --specialists reasoner/specialists.yaml "$@" \
		>"$dir/out" 2>"$dir/err"
	local rc=$?
	cat "$dir/out" "$dir/err"
	return $rc
}

cat >"$dir/log" <<'END'
2024-01-02T03:04:05.1234567Z ##[group]Run npm test
2024-01-02T03:04:05.1234567Z ##[endgroup]
2024-01-02T03:04:06.1234567Z FAIL src/cart.test.js
2024-01-02T03:04:06.1234567Z Authorization: Bearer 0123456789abcdefghijklmnopqrstuv Test Suites: 1 failed
2024-01-02T03:04:06.1234567Z Test Suites: 1 failed, 3 passed, 4 total
2024-01-02T03:04:06.1234567Z ##[error]Process completed with exit code 1.
END

as_json() {
	classify --json "$dir/log" && jq -e '.failure_type == "js_test" and .label == "frontend" and .specialist == "blaze"
		and .route == "front-end" and .confidence > 0.9 and .confidence <= 1
		and (.evidence[] | select(.rule == "jest_suites") | .line == 5 and .text == "Test Suites: 1 failed, 3 passed, 4 total")' \
		"$dir/out"
}
for_people() {
	classify "$dir/log" && grep -q '^js_test' "$dir/out" && grep -q '^specialist  blaze' "$dir/out" &&
		grep -q ' 5  Test Suites: 1 failed' "$dir/out"
}
packed_and_piped() {
	gzip -k "$dir/log" && classify --json "$dir/log.gz" && cp "$dir/out" "$dir/packed" &&
		classify --json - <"$dir/log" && cmp "$dir/out" "$dir/packed"
}
context_alone() {
	classify --json --step 'Run cargo clippy' --job lint - </dev/null && jq -e '.failure_type == "rust_lint"' "$dir/out" &&
		classify --json --files Cargo.lock,src/main.rs - </dev/null &&
		jq -e '.failure_type == "unknown" and .specialist == "rex" and .route == "unknown-rust-change"' "$dir/out"
}
secrets_stay() {
	printf '$ deploy\nerror: password=hunter2-hunter2-9981 was refused\nERROR: Job failed: exit code 1\n' |
		classify --json - && ! grep -q hunter2 "$dir/out"
}
no_such_log() {
	classify "$dir/none"
	[ $? -eq 1 ] && grep -q 'none' "$dir/err" && grep -q '  do: ' "$dir/err"
}
broken_data() {
	printf 'family: x\nlabel: y\ncolour: red\n' >"$dir/broken.yaml"
	"$build/healctl" -c "$dir" classify --failures "$dir/broken.yaml" "$dir/log" 2>"$dir/err"
	[ $? -eq 1 ] && grep -q 'broken.yaml:3: ' "$dir/err"
}
finds_its_data() { # beside the program, when nothing is installed
	"$build/healctl" -c "$dir" classify --json "$dir/log" >"$dir/out" && jq -e '.failure_type == "js_test"' "$dir/out"
}

check "says it as JSON" as_json
check "says it to people" for_people
check "takes packed logs and standard input" packed_and_piped
check "takes what is known beside the log" context_alone
check "shows no secret" secrets_stay
check "says which log is missing" no_such_log
check "says where the data is broken" broken_data
check "finds its data without configuration" finds_its_data
echo "1..$n"
[ $bad -eq 0 ]
