#!/bin/bash
# The fast lane: a daemon to which everything happens while its calls take it, real daemons and whether they
# get it, and a guest that writes garbage into it. With the ptrace backend there is none, and all else holds.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
guests=$PWD/build/release/tests/stress-guest
attacks=$PWD/build/release/tests/guest-attack
rounds=1500
[ -n "${LONG:-}" ] && rounds=30000 TEST_TIMEOUT=1800

for lane in off auto eager; do
	expect "a daemon with signals, stops, children and threads: lane $lane" good \
		box --user 0 --lane $lane --tmpfs /tmp -- "$guests/lane" $rounds
done

# Whether programs may set %gs: bit 1 of AT_HWCAP2.
words="no lane"
[ "$BACKEND" != ptrace ] && (($(LD_SHOW_AUXV=1 /bin/true | sed -n 's/^AT_HWCAP2: *//p') & 2)) && words=lane

by_lane() { # MODE: how many calls took it
	box --user 0 --lane "$1" --stats --tmpfs /w --bind "$PWD/build/examples:/opt/examples:ro" -- bash -c '
		mkdir /w/m
		/opt/examples/passthrough_ll -o source=/w,cache=never /w/m
		for i in $(seq 200); do read -r x < /w/m/w 2>/dev/null; done
		python3 -c "import os
for i in range(3000): os.stat(\"/w/m\")"
		umount /w/m' 2>&1 | awk '/^calls by the lane/ { print $5 }'
}
for mode in off eager; do
	calls=$(by_lane $mode)
	if [ "$mode $words" = "eager lane" ]; then
		succeeds "an eager lane takes a daemon's calls (${calls:-none})" [ "${calls:-0}" -gt 500 ]
	else
		succeeds "no call takes a lane that is not there (${calls:-none})" [ "${calls:-1}" -eq 0 ]
	fi
done

expect "garbage in the slots harms nobody else" "10 children, $words" \
	bash -c "$(declare -f box as_user); box \"\$@\" 2>/dev/null" bash --user 0 --lane eager --tmpfs /tmp -- "$attacks/lane" 10
summary
