#!/bin/bash
# The mount helpers, fusermount3 and mount.fuse3, do in the sandbox what they do natively: the lines of
# tests/support/helpers.sh, recorded in tests/golden/helpers.txt with libfuse 3.14 (--record), as root
# of the sandbox and as a user of it. Then daemons that are built on libfuse 2.
# M20, M23-M28, M31, M33 and C08
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
TEST_TIMEOUT=150

here() {
	box --user 0 --bind "$PWD/build/examples:/opt/examples:ro" --bind "$PWD/tests/support:/opt/support:ro" \
		--tmpfs /w -- bash -c 'mkdir /w/h; bash /opt/support/helpers.sh /opt/examples /opt/support /w/h'
}
# Without the FUSE mounts that the machine has: they count towards mount_max.
there() {
	rm -rf "$tmp/h" && mkdir "$tmp/h"
	timeout -k 2 "$TEST_TIMEOUT" unshare --mount --pid --fork --mount-proc bash -c '
		for dir in $(awk "\$3 ~ /^fuse/ { print \$2 }" /proc/mounts); do umount -l "$dir"; done
		exec bash tests/support/helpers.sh "$@"' bash \
		"$PWD/build/examples" "$PWD/tests/support" "$tmp/h"
}
if [ "${1:-}" = --record ]; then
	there >tests/golden/helpers.txt 2>&1
	exit
fi
# Under ptrace all takes several times as long: once.
if [ "$BACKEND" != ptrace ] || [ "${WHO:-root}" = user ]; then
	case $(fusermount3 -V 2>&1) in
	*' 3.14.'*)
		expect "mount helpers" "" diff tests/golden/helpers.txt <(here 2>&1)
		;;
	*) skip "mount helpers" "fusermount3 of libfuse 3.14" ;;
	esac
fi
if [ "$BACKEND" != ptrace ] && [ "${WHO:-root}" = root ]; then
	if [ "$(id -u)" -ne 0 ] || [ ! -w /dev/fuse ]; then
		skip "mount helpers, natively" "/dev/fuse of the host, or root"
	else
		expect "mount helpers, natively" "" diff tests/golden/helpers.txt <(there 2>&1)
	fi
fi

for who in 0 1000; do
	if missing unionfs disorderfs >/dev/null; then
		skip "libfuse 2, uid $who" "$(missing unionfs disorderfs)"
		continue
	fi
	inside "libfuse 2, uid $who" --user $who:$who --tmpfs /w --env "who=uid $who" \
		--bind "$PWD/tests/support/exercise.sh:/opt/exercise:ro" <<'END'
cd /w && mkdir lower upper m && seq 1000 >lower/seq && ln -s seq lower/link
mounted() { grep -q " /w/m fuse" /proc/mounts; }
unionfs -o cow /w/upper=RW:/w/lower=RO /w/m && @within 5 mounted || @no "$who: unionfs mounts"
@is "$who: unionfs: tree" "" diff -r --no-dereference lower m
@is "$who: unionfs: exercise" good bash /opt/exercise m
@is "$who: unionfs: copied up" "new 1000" sh -c 'echo new >m/seq; echo $(cat upper/seq) $(wc -l <lower/seq)'
@works "$who: unionfs: unmount" fusermount -u /w/m
disorderfs --reverse-dirents=yes --shuffle-dirents=no /w/lower /w/m >/dev/null && @within 5 mounted ||
	@no "$who: disorderfs mounts"
@is "$who: disorderfs: tree" "" diff -r --no-dereference lower m
@works "$who: disorderfs: every name, in another order" sh -c '
	[ "$(ls -U m)" != "$(ls -U lower)" ] && [ "$(ls m)" = "$(ls lower)" ]'
@is "$who: disorderfs: exercise" good bash /opt/exercise m
@works "$who: disorderfs: unmount" fusermount -u /w/m
END
done

# The mode of a CUSE device decides, and nothing else.
inside "cuse modes" --user 0 --bind "$PWD/build/examples:/opt/examples:ro" <<'END'
as() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
/opt/examples/cuse --name=modes && @within 5 test -c /dev/modes || @no "cuse: the device appears"
@is "C08: a user may not open a device of mode 600" denied sh -c '
	setpriv --reuid 1000 --regid 1000 --clear-groups head -c 1 /dev/modes 2>/dev/null || echo denied'
chmod 666 /dev/modes
@works "C08: of mode 666 he may" as head -c 1 /dev/modes
chown 1000 /dev/modes && chmod 400 /dev/modes
@works "C08: the owner may read" as head -c 1 /dev/modes
@is "C08: but not write" denied as bash -c '(echo x >/dev/modes) 2>/dev/null || echo denied'
pkill -x cuse
END
summary
