#!/bin/bash
# What Linux answers to good and bad daemons, call by call: the programs tests/golden/device.c and
# notify.c, a daemon and its clients in one, print in the sandbox what they printed on Linux 6.18
# (tests/golden/device.txt, notify.txt). As root with a /dev/fuse the recordings are checked against
# this machine's kernel, too; --record writes them.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

native() {
	mkdir -p "$tmp/m"
	timeout -k 2 90 "$tmp/$1" "$tmp/m"
}
sandbox() {
	box --user 0 --bind "$tmp/$1:/$1:ro" --tmpfs /w -- sh -c "mkdir /w/m; /$1 /w/m"
}
for program in device notify; do
	gcc -w -O1 -I. -o "$tmp/$program" "tests/golden/$program.c" || exit 1
	if [ "${1:-}" = --record ]; then
		native $program >"tests/golden/$program.txt" || exit 1
		continue
	fi
	sandbox $program >"$tmp/here"
	expect "daemon's calls, $program" "" diff "tests/golden/$program.txt" "$tmp/here"
	if [ "$(id -u)" -ne 0 ] || [ ! -w /dev/fuse ]; then
		skip "daemon's calls on this kernel, $program" "/dev/fuse of the host, or root"
	elif [[ $(uname -r) != 6.18.* ]]; then
		skip "daemon's calls on this kernel, $program" "Linux 6.18"
	else
		native $program >"$tmp/there"
		expect "daemon's calls on this kernel, $program" "" diff "tests/golden/$program.txt" "$tmp/there"
	fi
done
summary
