# What the tests of the demonstrations share: a result each, and that nothing is left. Sourced by bash; callers set
# $scratch (the directory that everything lives in) and let the output go to $scratch.out.
# shellcheck shell=bash disable=SC2154
n=0

result() { # status text
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		[ -f "$scratch.out" ] && sed 's/^/# /' "$scratch.out" | tail -n 60
	fi
}

leftovers() { # files in the scratch directory, processes that name it
	find "$scratch" -mindepth 1 -maxdepth 1
	pgrep -af "$scratch" | grep -v "^$$ "
}

nothing_left() {
	local deadline=$((SECONDS + 10))
	while [ -n "$(leftovers)" ]; do
		[ $SECONDS -lt $deadline ] || { leftovers >>"$scratch.out"; return 1; }
		read -rt 0.1 <> <(:) || :
	done
}
