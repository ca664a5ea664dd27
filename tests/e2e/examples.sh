#!/bin/bash
# Every example of libfuse behaves in the sandbox as natively: tests/support/examples.sh prints a line
# per behaviour, recorded in tests/golden/examples.txt (--record: anew, with the newer libfuse). With
# Debian's libfuse, whose package has no C++ examples, and with the newest that can be had.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
. tests/packages.sh
. tests/libfuse.sh
TEST_TIMEOUT=240

# Under ptrace all takes several times as long: once.
[ "$BACKEND" = ptrace ] && [ "${WHO:-root}" = root ] && { summary; exit; }

here() { # EXAMPLES SUBDIRECTORY
	box --user 0 --bind "$1:/opt/libfuse:ro" --bind "$PWD/tests/support:/opt/support:ro" --tmpfs /w -- \
		bash /opt/support/examples.sh /opt/libfuse/"$2" /w /opt/support/exercise.sh
}
there() {
	rm -rf "$tmp/w" && mkdir "$tmp/w"
	timeout -k 2 "$TEST_TIMEOUT" unshare --mount --pid --fork --mount-proc \
		bash tests/support/examples.sh "$1/$2" "$tmp/w" \
		"$PWD/tests/support/exercise.sh"
}
if [ "${1:-}" = --record ]; then
	newer_libfuse || exit 1
	there "$PWD/build/libfuse" example | sed '/^cuse: no/d' >tests/golden/examples.txt
	exit
fi
cuse='cuse: device appears: yes
cuse: empty: 0
cuse: size: 5
cuse: read: hello
cuse: read(2): hell
cuse: device is gone: yes'

compare() { # WHAT EXAMPLES SUBDIRECTORY LINES-LEFT-OUT
	local line
	here "$2" "$3" >"$tmp/here" 2>&1
	expect "$1: cuse" "$cuse" grep ^cuse: "$tmp/here"
	expect "$1" "" diff <(grep -vE "$4" tests/golden/examples.txt) <(grep -vE "$4|^cuse:" "$tmp/here")
	# Once: the machine's kernel does not change with the backend.
	[ "$BACKEND" = ptrace ] || [ "${WHO:-root}" = user ] && return
	if [ "$(id -u)" -ne 0 ] || [ ! -w /dev/fuse ]; then
		skip "$1, natively" "/dev/fuse of the host, or root"
	else
		there "$2" "$3" >"$tmp/there" 2>&1
		expect "$1, natively" "" \
			diff <(grep -vE "$4" tests/golden/examples.txt) <(grep -vE "$4|^cuse:" "$tmp/there")
	fi
}
build_examples
compare "examples of the system's libfuse" "$PWD/build/examples" . '^(passthrough_hp|memfs_ll):'
[ "$BACKEND" = ptrace ] && { summary; exit; }
if why=$(newer_libfuse); then
	compare "examples of the newest libfuse" "$PWD/build/libfuse" example '^$'
else
	skip "examples of the newest libfuse" "$why"
fi
summary
