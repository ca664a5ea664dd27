#!/bin/bash
# Random operations on passthrough_ll in each of its cache modes, and on a daemon with a ring: a file against a copy in memory
# (fsx), many processes on one tree (fstree), the mount against its source. Meanwhile signals come,
# other mounts come, are aborted and go. LONG=1: more; PERCENT=10: a tenth, for a sentry with sanitizers.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
percent=${PERCENT:-100}
[ -n "${LONG:-}" ] && percent=2000 TEST_TIMEOUT=1800
seed=${SEED:-$RANDOM}

pkg-config --exists liburing && gcc -O2 -w -o "$tmp/ring_daemon" tests/ring/daemon.c -luring -lpthread
inside "seed $seed" --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w --chdir /w --user 0 \
	--bind "$PWD/${STRESS_GUESTS:-build/release/tests/stress-guest}:/opt/stress:ro" \
	--bind "$tmp:/opt/t:ro" --env "seed=$seed" --env "percent=$percent" <<'END'
PATH=/opt/examples:/opt/stress:$PATH
mounted() { grep -q " $1 fuse" /proc/mounts; }
gone() { ! mounted "$1"; }

# Until the file /w/over exists: mounts of its own, whose clients are killed and connections aborted.
disturb() {
	local daemon client rounds=0
	mkdir -p /w/other
	until [ -e /w/over ]; do
		passthrough_ll -f -o source=/w/src /w/other & daemon=$!
		@within 5 mounted /w/other
		(while ls -lR /w/other && cat /w/other/f*; do :; done) & client=$!
		case $((RANDOM % 4)) in
		0) kill -9 $daemon ;;
		1) kill -9 $client ;;
		2) kill -STOP $daemon; sleep 0.02; kill -CONT $daemon ;;
		3) umount -f /w/other ;;
		esac
		kill -9 $client
		wait $client
		fusermount3 -u -z /w/other
		kill -9 $daemon
		wait $daemon
		rounds=$((rounds + 1))
	done >/dev/null 2>&1
	[ $rounds -gt 0 ]
}

# What is mounted at /w/m is used by several at a time.
load() { # NAME
	local name=$1
	disturb & disturber=$!
	fsx m/f1 $seed $((6 * percent)) signals >fsx1 2>&1 & one=$!
	fsx m/f2 $((seed + 1)) $((6 * percent)) >fsx2 2>&1 & two=$!
	@works "$name: fstree" fstree /w/m $seed 5 $((250 * percent / 100))
	wait $one; first=$?
	wait $two; second=$?
	@is "$name: fsx, seed $seed" "0 0" sh -c "tail -qn 12 fsx1 fsx2; echo $first $second"
	>over
	wait $disturber || @no "$name: no other mount came and went"
}

round() { # NAME MOUNT-OPTIONS
	local name=$1
	rm -rf src m over; mkdir src m
	passthrough_ll -f -o "source=/w/src,$2" ${3:-} /w/m >/dev/null 2>&1 & pid=$!
	@within 5 mounted /w/m || { @no "$name: mounted"; return; }
	load "$name"
	@is "$name: the source has what the mount shows" "" diff -r --no-dereference m src
	@works "$name: unmounted" fusermount3 -u /w/m
	wait $pid
}

ring_round() {
	rm -rf src m over; mkdir src m
	echo Y >/sys/module/fuse/parameters/enable_uring
	/opt/t/ring_daemon -r -d 4 /w/m >ring.out 2>&1 & pid=$!
	@within 5 grep -qs ready ring.out || { @no "ring: mounted"; return; }
	load ring
	@works "ring: unmounted" umount /w/m
	wait $pid
}
round "cache=never" cache=never
round "cache=auto" cache=auto
round "cache=always" cache=always
round "cache=always, cloned descriptors" cache=always "-o clone_fd"
round "writeback" writeback "-o clone_fd"
if [ -x /opt/t/ring_daemon ]; then
	ring_round
else
	@skip "the ring" "liburing-dev is not installed"
fi
END
summary
