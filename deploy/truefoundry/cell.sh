#!/bin/sh
# The command of the job whose runs are healbus's cells on TrueFoundry, inside its image:
#     cell.sh NONCE OUTPUT_BYTES,tail|head,TREE_BYTES SPEC TREE...
# SPEC: base64 of environment and arguments, each ended by a NUL. TREE: pieces of the base64 of a .tar.gz; "-" is none.
# The tree, the program's output and its exit code come back in the log, as executor/sandboxes/parcel.h says.
# Needs GNU tar, xargs, gzip, base64, awk, sed.
umask 022
nonce=$1 say=$2 spec=$3
shift 3
dir=$(mktemp -d) && mkdir "$dir/work" "$dir/out" && cd "$dir/work" || exit 1
printf %s "$@" | tr -d - | base64 -d | gzip -dc | tar -xf - || exit 1
printf %s "$spec" | base64 -d >"$dir/spec" || exit 1
# shellcheck disable=SC2016 # the inner shell's
xargs -0 -a "$dir/spec" sh -c 'env -i "$@" >"$0/text" 2>&1 </dev/null; echo $? >"$0/code"' "$dir/out"
# What it left running must not change what is being taken; only where nobody else's processes are.
[ $$ -ne 1 ] || kill -KILL -1 2>/dev/null
text=$dir/out/text code=$dir/out/code
IFS=,
# shellcheck disable=SC2086 # three words
set -- $say
chmod -R u+rwX . 2>/dev/null
{
	printf 'c '
	head -c 3 "$code" | tr -cd 0-9
	echo
	if [ -f "$text" ] && [ ! -L "$text" ]; then
		printf 's '
		wc -c <"$text"
		"$2" -c "$1" "$text" | gzip -c | base64 -w 3000 | sed 's/^/o /'
	fi
	[ "$3" = 0 ] || tar -cf - --hard-dereference --ignore-failed-read . 2>/dev/null | gzip -c | head -c "$3" |
		base64 -w 3000 | sed 's/^/t /'
} | awk -v n="$nonce" '{print n, NR, $0} END {print n, NR + 1, "e"}'
