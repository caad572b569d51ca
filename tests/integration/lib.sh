# What the shell drivers of the integration tests share. To be sourced from the repository's root.
# shellcheck shell=bash
free_port() {
	python3 tests/integration/lib.py free_port
}

# Until the command succeeds, at most $1 seconds.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		read -rt 0.05 <> <(:) || :
	done
}
