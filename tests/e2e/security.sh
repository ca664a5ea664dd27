#!/bin/bash
# Guests as attackers: programs of tests/guest-attack, a race of the host against path walks, and a
# few seconds of random system calls.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
export -f box as_user
export FUSEBOX TEST_TIMEOUT BACKEND
attacks=${ATTACKS:-$PWD/build/release/tests/guest-attack}
fuzz=${FUZZ:-$PWD/build/release/tests/fuzz-guest/syscalls}

# A process outside, of the user who runs the sandbox.
outside() {
	local who=
	[ "${WHO:-root}" = user ] && [ "$(id -u)" -eq 0 ] && who="setpriv --reuid 65534 --regid 65534 --clear-groups"
	$who sleep 300 >/dev/null 2>&1 </dev/null &
	echo $!
}
victim=$(outside)
for isolation in auto nested; do
	# What the sentry logs about a guest that it killed is no part of the answer.
	expect "a guest gets nothing that no guest may have: $isolation" "0 things that no guest may have" \
		bash -c 'box "$@" 2>/dev/null' bash --isolation $isolation -- "$attacks/refusals" "$victim"
done
succeeds "the process outside has come to no harm" kill -0 "$victim"
kill "$victim" 2>/dev/null

# The code under a call is written over: death of the guest is right, a call of the host's is not.
box -- "$attacks/swapcode" 2 >"$tmp/out" 2>&1
status=$?
case $status in
0 | 137) pass "code written over under a trapped call brings no call of the guest's choice" ;;
*) fail "code written over under a trapped call" "status $status: $(head -n 5 "$tmp/out")" ;;
esac

# Garbage in the memory of rings, and too much of everything.
expect "rings full of garbage harm nobody else" "0 children hung
rings 0
requests 0
workers 0
completions 0" bash -c 'box -- "$@" 2>/dev/null' bash "$attacks/uring"

# Host side: a directory of a bind changes into a symbolic link that leads out, and back.
# The secret lies outside of the sandbox's root: only a link that the host follows leads there.
root=$(open_dir root)
mkdir -p "$root"/{bin,mnt,tmp,dev,proc,sys}
cp /bin/busybox "$root/bin/sh"
bind=$(open_dir bind)
away=$(open_dir away)
mkdir "$bind/a" "$bind/b"
echo inside >"$bind/a/file"
echo secret >"$away/file"
ln -s "$away" "$bind/link"
chmod 755 "$away"
(
	for i in $(seq 400); do
		mv -T "$bind/a" "$bind/b/kept" && mv -T "$bind/link" "$bind/a"
		mv -T "$bind/a" "$bind/link" && mv -T "$bind/b/kept" "$bind/a"
	done
) 2>/dev/null &
racer=$!
box --root "$root" --bind "$bind:/mnt" -- sh -c '
	n=0
	while [ $n -lt 3000 ]; do
		n=$((n + 1))
		read -r line </mnt/a/file && [ "$line" = secret ] && echo "read the secret"
		read -r line </mnt/link/file && [ "$line" = secret ] && echo "read the secret by link"
	done 2>/dev/null
	echo end' >"$tmp/out" 2>&1 </dev/null
wait $racer
expect "the host's renames lead no walk out of a bind" end sed -n '1,5p' "$tmp/out"

# Host side: which of the host's descriptors a guest's process has.
leaked() { # WRAPPER...
	local pid seconds=100.$RANDOM
	"$@" timeout -k 5 "$TEST_TIMEOUT" "$FUSEBOX" run --backend "$BACKEND" -- sleep "$seconds" 47</etc/passwd &
	for _ in $(seq 400); do
		sleep 0.05
		# The guest's arguments are the last ones: the sentry has them too, behind its own.
		pid=$(pgrep -f "^sleep $seconds\$") && break
	done
	[ -n "$pid" ] || echo "no guest"
	ls /proc/$pid/fd | grep -vE '^10(1[6-9]|2[0-3])$'
	kill -9 "$pid"
	wait
	true
} 2>/dev/null
if [ "${WHO:-root}" = root ] && [ "$(ulimit -Hn)" -ge 1024 ]; then
	expect "a guest's process has none of the sentry's descriptors" "" leaked
	expect "nor where the host refuses close_range(2)" "" leaked "$attacks/no_close_range"
fi

# Clean-up that recursed would end the sentry.
expect "chains of sockets, directories and mounts come apart" "1 1 1" \
	bash -c 'box "$@" 2>/dev/null' bash --tmpfs /tmp -- "$attacks/deep" 3000

# A user of the sandbox who is not its root.
inside "other users" <<'end'
as() { python3 -c 'import os, sys; os.setgroups([]); os.setgid(1000); os.setuid(1000); os.execvp(sys.argv[1], sys.argv[1:])' "$@"; }
refused() {
	local name=$1
	shift
	if "$@" >/dev/null 2>&1 </dev/null; then @no "$name" "it was not"; else @ok "$name"; fi
}
sleep 100 & other=$!
for name in fd root cwd; do
	refused "/proc/PID/$name of another user is refused" as ls /proc/$other/$name/
done
for name in exe mem environ maps auxv; do
	refused "/proc/PID/$name of another user is refused" as head -c 1 /proc/$other/$name
done
refused "mount(2) is refused to a user" as mount -t tmpfs none /mnt
refused "kill of another user's process is refused" as kill $other
refused "mknod of a device is refused to a user" as mknod /tmp/zero c 1 5
kill $other
refused "TIOCSTI is refused without a terminal of one's own" python3 -c 'import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b"x")'
end

# A sanitized sentry must survive what follows.
[ -x build/asan/fusebox ] && FUSEBOX=$PWD/build/asan/fusebox
expect "descriptors are taken out of a process whose tables come and go" "" box -- "$attacks/getfd" 2
seed=${SEED:-$RANDOM}
box -- "$fuzz" 5 "$seed" >"$tmp/out" 2>&1 </dev/null
status=$?
if [ $status -eq 0 ] && grep -q batches "$tmp/out" && ! grep -qE 'Sanitizer|runtime error:' "$tmp/out"; then
	pass "the sentry survives random calls"
else
	fail "the sentry survives random calls: seed $seed, status $status" "$(tail -n 30 "$tmp/out")"
fi
summary
