#!/bin/bash
# kill -9 of the daemon, of a client, of fusebox itself, at any moment: nothing hangs, nothing is
# left. And signals to fusebox reach the command.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
mark=fbkill$$

inside "killed daemons and clients" --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w \
	--user 1000:1000 --chdir /w <<'END'
PATH=/opt/examples:$PATH
mounted() { grep -q " /w/m fuse" /proc/mounts; }
begin() { hello -f /w/m 2>/dev/null & pid=$!; @within 5 mounted && cat m/hello >/dev/null; }
# At least so many requests are not answered.
waiting() { [ "$(cat /sys/fs/fuse/connections/*/waiting)" -ge "$1" ]; }
mkdir m
begin
kill -9 $pid; wait $pid 2>/dev/null
@is "killed daemon: stat, open, ls, mkdir and statfs get ENOTCONN" 5 sh -c '
	{ stat m; cat m/hello; ls m; mkdir m/d; stat -f m; } 2>&1 | grep -c "endpoint is not connected"'
@works "killed daemon: the mount can be taken away" fusermount3 -u /w/m
@is "killed daemon: mounted anew" "Hello World!" sh -c 'hello /w/m && cat m/hello && fusermount3 -u /w/m'

begin
exec 5<m
kill -9 $pid; wait $pid 2>/dev/null
@is "killed daemon: an open directory gets ENOTCONN" 1 sh -c 'stat /proc/self/fd/5/hello 2>&1 | grep -c connected'
exec 5<&-
fusermount3 -u /w/m

begin
kill -STOP $pid
cat m/hello >out 2>&1 & client=$!
stat m/other >out2 2>&1 & client2=$!
@within 5 waiting 2 && @ok "stopped daemon: clients wait" || @no "stopped daemon: clients wait"
kill -9 $pid
wait $client; status=$?; wait $client2; wait $pid 2>/dev/null
@is "daemon killed with requests under way: the clients get an error" "1 2" \
	sh -c "echo $status \$(cat out out2 | grep -cE 'not connected|connection abort')"
fusermount3 -u /w/m

begin
kill -STOP $pid
cat m/hello >out 2>&1 & client=$!
@within 5 waiting 1
kill -9 $client
wait $client 2>/dev/null
@is "client killed in the middle of a request to a stopped daemon: it is gone at once" 137 echo $?
cat m/hello >out 2>&1 & client=$!
sleep 0.2
kill -INT $client; kill -TERM $client
@within 2 sh -c "! kill -0 $client" && @ok "client ended by SIGTERM while the daemon is stopped" ||
	@no "client ended by SIGTERM while the daemon is stopped"
wait $client 2>/dev/null
for sig in KILL TERM; do
	kill -CONT $pid
	sleep 1000 <m/hello & client=$!
	@within 5 pgrep -x sleep >/dev/null
	kill -STOP $pid; kill -$sig $client; wait $client; status=$?
	@is "client that has a file open, ended by SIG$sig: nobody waits for FLUSH" \
		"$((128 + $(kill -l $sig)))" echo $status
done
timeout -k 1 0.3 cat m/hello >/dev/null 2>&1
@is "client ended by a timeout while the daemon is stopped" 124 echo $?
kill -CONT $pid
@is "the mount is usable after SIGCONT" "Hello World!" cat m/hello
cat m/hello m/hello m/hello >/dev/null & 
kill -STOP $pid; sleep 0.1; kill -CONT $pid
wait $! && @ok "stop and continue in the middle of reading" || @no "stop and continue in the middle of reading"
@works "unmounted after all that" fusermount3 -u /w/m

# A daemon that has FLUSH; hello refuses it, and is not asked again.
mkdir src; echo text >src/file; mkfifo go come
passthrough_ll -f -o source=/w/src /w/m >/dev/null 2>&1 & pid=$!
@within 5 mounted
bash -c 'exec 5<m/file; echo >go; read -r line <come; exit 7' & client=$!
read -r line <go
kill -STOP $pid; left=$(cat /sys/fs/fuse/connections/*/waiting); echo >come
@works "client that exits: it waits for FLUSH" @within 5 waiting $((left + 1))
kill -9 $client; wait $client; status=$?
@is "client that waits for FLUSH at its exit: SIGKILL ends the wait" 7 echo $status
kill -CONT $pid
@works "unmounted after that" fusermount3 -u /w/m
wait $pid
mkdir src; seq 100000 >src/f
for i in 1 2 3 4 5 6; do
	passthrough_ll -f -o source=/w/src,cache=never /w/m 2>/dev/null & pid=$!
	@within 5 mounted
	for j in 1 2 3 4; do (while cat m/f >/dev/null 2>&1; do :; done) & done
	sleep 0.$((RANDOM % 3))$((RANDOM % 10))
	kill -9 $pid
	wait 2>/dev/null
	fusermount3 -u /w/m || break
done 2>/dev/null
@is "daemon killed six times under load: all clients end" "6 0" sh -c "echo $i \$(grep -c /w/m /proc/mounts)"
END

# fusebox itself.
tree() { # PID: it and all below it
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do tree "$child"; done
}
alive() { # PID...: those that still run
	local pid
	for pid in "$@"; do
		[ -e "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null && echo "$pid"
	done
}
within() { # SECONDS COMMAND...: on a busy machine ten times as long
	local end=$((SECONDS + $1 * 10))
	until "${@:2}"; do
		[ $SECONDS -ge $end ] && return 1
		sleep 0.05
	done
}
begin() { # [OPTIONS] -- COMMAND...: in the background; sets job and front
	local who=
	[ "${WHO:-root}" = user ] && [ "$(id -u)" -eq 0 ] && who=as_user
	$who env --default-signal=INT,QUIT timeout -s KILL "$TEST_TIMEOUT" "$FUSEBOX" run --backend "$BACKEND" "$@" &
	job=$!
	within 5 started || fail "fusebox starts"
}
started() {
	local pid
	for pid in $(tree $job); do
		[ "$(cat /proc/"$pid"/comm 2>/dev/null)" = fusebox ] && front=$pid && return 0
	done
	return 1
}
gone() { [ -z "$(alive "$@")" ] && ! pgrep -f "^[^ ]+ .*$mark" >/dev/null; }

# Not those of other tests, which mount natively.
ours() { grep -E "fusebox|/w/|hello" /proc/self/mounts | grep -v /fusebox-test || true; }
mounts=$(ours)
sleep 1000 & keep=$!
ok=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	begin --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w -- bash -c "
		: $mark; mkdir /w/m; sleep 1000 &
		while :; do
			/opt/examples/hello /w/m; cat /w/m/hello; ls -lR /w | sort; fusermount3 -u /w/m
			(exec python3 -c 'import threading, time
for i in range(4): threading.Thread(target=time.sleep, args=(0.1,)).start()')
		done" >/dev/null 2>&1
	sleep 0.0$((RANDOM % 10))
	[ $i -gt 3 ] && sleep 0.$((RANDOM % 8))
	all=$(tree $job)
	set -- $(for pid in $all; do [ "$(cat /proc/"$pid"/comm 2>/dev/null)" = fusebox ] && echo "$pid"; done)
	shift $((RANDOM % $#))
	kill -9 "$1"
	wait $job 2>/dev/null
	if within 4 gone $all; then
		ok=$((ok + 1))
	else
		left=$(ps -o pid,ppid,stat,comm,args -p "$(echo $(alive $all) $(pgrep -f "^[^ ]+ .*$mark") | tr ' ' ,)")
		kill -9 $(alive $all) 2>/dev/null
	fi
done 2>/dev/null
[ $ok -eq 10 ] && pass "fusebox killed ten times at any moment: no process is left" ||
	fail "fusebox killed ten times at any moment: no process is left" "clean: $ok of 10
${left:-}"
expect "fusebox killed: no mount is left on the host" "$mounts" ours
kill -0 $keep && pass "others' processes live on" || fail "others' processes live on"
kill $keep
wait $keep 2>/dev/null

# Signals.
signalled() { # SIGNAL: to fusebox, whose command has a handler for it
	local out=$tmp/signal.$1
	begin -- bash -c "trap 'echo got $1; exit 3' $1; echo ready; while :; do sleep 0.05; done" >"$out" 2>&1
	within 5 grep -q ready "$out"
	kill -"$1" "$front"
	wait $job
	expect "$1 to fusebox reaches the command" "3 ready got $1" \
		echo $? $(grep -E 'ready|got' "$out" | sed 's/.*got/got/')
}
for signal in TERM INT HUP USR2; do # QUIT prints what the sandbox does: control.sh
	signalled $signal
done
begin -- sh -c 'echo ready; exec sleep 1000' >"$tmp/ready"
within 5 grep -q ready "$tmp/ready"
kill -TERM "$front"
wait $job
expect "SIGTERM ends a command that does not handle it" 143 echo $?

# The command's end is the run's end.
expect_status "the command ends: its children are killed" 3 box -- sh -c "
	sh -c ': $mark; sleep 1000' & sh -c ': $mark; trap \"\" TERM HUP INT; sleep 1000' & exit 3"
within 3 gone && pass "the command ended: none of its children is left" ||
	fail "the command ended: none of its children is left" "$(pgrep -fa "$mark")"
expect_status "the command ends while a daemon is mounted and busy" 0 \
	box --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w -- sh -c '
		mkdir /w/m && /opt/examples/hello /w/m && (while :; do cat /w/m/hello >/dev/null; done) & 
		sleep 0.3; exit 0'
expect_status "the command is killed while its threads are busy" 137 box -- python3 -c '
import os, threading, time
def work():
    while True: os.stat("/"); open("/dev/null").close()
for i in range(4): threading.Thread(target=work, daemon=True).start()
time.sleep(0.2); os.kill(os.getpid(), 9)'
expect_status "a time limit from outside" 124 sh -c "timeout -k 5 0.5 '$FUSEBOX' run --backend '$BACKEND' -- sleep 1000"
summary
