#!/bin/bash
# Daemons that die and are started again on kept mounts (--fuse-keep, -o keep): their clients see a
# pause and no error, and not a byte is lost.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

# kept NAME [LINE] <<script: LINE and the script run in a sandbox with these helpers.
kept() {
	{ printf '%s\n' "$helpers" "${2:-}"; cat; } >"$tmp/script"
	inside "$1" --fuse-keep --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w \
		--user 1000:1000 --chdir /w <"$tmp/script"
}
helpers=$(cat <<'END'
PATH=/opt/examples:$PATH
mkdir m src
# The kept mount's state: 1 = a daemon is there, 2 = it waits for one; nothing when it is gone.
state() {
	local dev at
	while read -r _ _ dev _ at _; do
		[ "$at" = /w/m ] && cat "/sys/fs/fuse/connections/${dev#*:}/keep"
	done </proc/self/mountinfo
	return 0
}
alive() { [ "$(state)" = 1 ]; }
orphaned() { [ "$(state)" = 2 ]; }
begin() { "$@" /w/m 2>>log 5<&- 6>&- & pid=$!; @within 20 alive; }
crash() { kill -9 $pid; wait $pid 2>/dev/null; orphaned; }
end() { fusermount3 -u /w/m; wait $pid; }
# again KILLS COMMAND...: the daemon is killed so often, and started again each time, while the
# rest of the script goes on; `killed` is there when that is over.
again() {
	local kills=$1
	rm -f killed
	shift
	(for ((i = 0; i < kills; i++)); do
		begin "$@"
		sleep 0.0$((RANDOM % 10))
		crash || echo "no state 2 after a crash" >>log
	done
	begin "$@"
	echo $pid >killed
	wait $pid) &
	killer=$!
	@within 20 alive
}
ended() { @within 60 test -s killed; fusermount3 -u /w/m; wait $killer; }
END
)

kept "kept mounts" <<'END'
begin hello -f
exec 5<m/hello
read -r -u 5 line
crash
cat m/hello >out & client=$!
@is "daemon killed: the mount waits for another" 2 state
@works "daemon killed: stat, access and statfs of the root do not wait" timeout 10 sh -c 'stat m && test -x m && stat -f m'
@is "daemon killed: a client waits, and can be killed" 124 sh -c 'timeout -k 1 0.3 cat m/hello; echo $?'
@is "daemon killed: a client waits, and can be interrupted by a fatal signal" 143 sh -c '
	cat m/hello & sleep 0.2; kill $!; wait $! 2>/dev/null; echo $?'
begin hello -f
wait $client
@is "daemon restarted: who had waited has got what he wanted" "Hello World!" cat out
@is "daemon restarted: the open file reads on" "Hello World!" cat /proc/self/fd/5
@is "daemon restarted: nothing was stacked" 1 grep -c " /w/m " /proc/mounts
exec 5<&-
end
@is "daemon restarted and mount taken away: nothing is left" 0 sh -c 'grep -c " /w/m " /proc/mounts; true'

# An orderly end is an end.
begin hello -f
kill -TERM $pid; wait $pid
@is "daemon ended by SIGTERM: the mount is gone" "" state
begin hello -f
exec 5<m/hello
crash
fusermount3 -uz /w/m
@works "daemon killed, lazy umount: nobody waits any more" timeout 10 sh -c '! head -c 1 <&5'
exec 5<&-
begin hello -f
crash
cat m/hello >out 2>&1 & client=$!
echo 1 >/sys/fs/fuse/connections/$(stat -c %d m)/abort
wait $client
@is "daemon killed, abort: the waiting client gets an error" 1 grep -c "not connected" out
fusermount3 -u /w/m
begin hello -f
crash
cat m/hello >out 2>&1 & client=$!
echo 0 >/sys/fs/fuse/connections/$(stat -c %d m)/keep
wait $client
@is "daemon killed, no longer kept: the waiting client gets an error" 1 grep -c "not connected" out
fusermount3 -u /w/m
begin hello -f
echo 0 >/sys/fs/fuse/connections/$(stat -c %d m)/keep
kill -9 $pid; wait $pid
@is "not kept at its daemon's death: an error at once" 1 sh -c 'cat m/hello 2>&1 | grep -c "not connected"'
fusermount3 -u /w/m
begin hello -f
crash
passthrough_ll -f -o source=/w/src /w/m 2>>log & pid=$!
@is "another daemon, which negotiates other features: refused" 1 sh -c 'cat m/hello 2>&1 | grep -c "not connected"'
fusermount3 -u /w/m; wait $pid
END

for daemon in "passthrough_ll -f -o source=/w/src" "passthrough_ll -f -o source=/w/src,cache=never" \
	"passthrough_ll -f -o source=/w/src,writeback" "passthrough_ll -f -o source=/w/src -o clone_fd" \
	"passthrough -f -o modules=subdir,subdir=/w/src" "passthrough_fh -f -o modules=subdir,subdir=/w/src"; do
	kept "killed under load: $daemon" "daemon='$daemon'" <<'END'
head -c 6000000 /dev/urandom >src/big
mkdir -p src/tree/a/b/c
for i in 1 2 3 4 5 6 7 8 9; do
	head -c $((i * 3000)) /dev/urandom >src/tree/f$i; cp src/tree/f$i src/tree/a/g$i
	cp src/tree/f$i src/tree/a/b/c; ln -s ../f$i src/tree/a/l$i; ln src/tree/f$i src/tree/a/b/h$i
done
chmod 755 src/tree/f1
again 6 $daemon
rounds=0 bad=
until [ -s killed ] && [ $rounds -gt 0 ]; do
	rounds=$((rounds + 1))
	cp -a m/tree m/copy 2>err || bad+="cp -a: $(cat err) "
	cp m/big m/big2 2>err || bad+="cp: $(cat err) "
	diff -r src/tree src/copy >/dev/null 2>&1 || bad+="the tree differs "
	[ -n "$bad" ] || cmp src/big m/big2 2>err || bad+="cmp: $(cat err) "
	mv m/copy m/moved 2>err || bad+="mv: $(cat err) "
	rm -r m/moved m/big2 2>err || bad+="rm: $(cat err) "
	[ -z "$bad" ] || break
done
ended
[ -z "$bad" ] && @ok "killed 6 times while trees are copied, moved and removed: $daemon" ||
	@no "killed 6 times while trees are copied, moved and removed: $daemon" "$bad"
END
done

kept "mapped files" <<'END'
mkdir src/tree; head -c 3000 /dev/urandom >src/tree/f1; mkdir src/tree/a
cat >mapped.py <<'PY'
import mmap, os, sys
def read(): # a line from the test: it has killed and restarted the daemon
    print("ready", flush=True); sys.stdin.readline()
f = open("m/mapped", "w+b"); f.truncate(1 << 20)
m = mmap.mmap(f.fileno(), 0)
d = os.open("m/tree", os.O_RDONLY | os.O_DIRECTORY)
m[:6] = b"before"
read()
m[4096:4101] = b"after"; m.flush(); f.write(b"written"); f.flush(); os.fsync(f.fileno())
print(sorted(os.listdir(d))[:2], os.stat("f1", dir_fd=d).st_size, flush=True)
PY
begin passthrough_ll -f -o source=/w/src
mkfifo go
python3 mapped.py <go >out 2>&1 & client=$!
exec 6>go
@within 20 grep -q ready out
crash
begin passthrough_ll -f -o source=/w/src
echo >&6
wait $client
exec 6>&-
@is "a mapping, an open directory and an open file go on" "ready ['a', 'f1'] 3000" sh -c 'echo $(cat out)'
@is "what was written before and after is there" "written after" sh -c '
	head -c 7 src/mapped; printf " "; dd if=src/mapped bs=4096 skip=1 count=1 2>/dev/null | head -c 5'
end
END

# The command line starts the daemon again.
out=$tmp/out
src=$(open_dir src)
box --fuse-keep --tmpfs /w --bind "$src:/src" --bind "$PWD/build/examples:/opt/examples:ro" \
	--fuse "/w/m=/opt/examples/passthrough_ll -f -o source=/src" -- bash -c '
	head -c 20000000 /dev/urandom >/src/a
	for i in 1 2 3; do
		cp /w/m/a /w/m/b & copy=$!
		until [ -s /src/b ]; do :; done
		pkill -9 -x passthrough_ll
		wait $copy && cmp /src/a /src/b || exit 1
		rm /w/m/b # through the mount: it knows the name for a second
	done' >"$out" 2>&1
status=$?
[ $status -eq 0 ] && [ "$(grep -c "has died (status 137), starting it again" "$out")" -eq 3 ] &&
	pass "--fuse-keep: a daemon killed in the middle of three copies is started again" ||
	fail "--fuse-keep: a daemon killed in the middle of three copies is started again" \
		"status $status, $(cat "$out")"
succeeds "--fuse-keep: a daemon in the background is started again" \
	box --fuse-keep --tmpfs /w --bind "$PWD/build/examples:/opt/examples:ro" --fuse "/w/m=/opt/examples/hello" -- \
	bash -c 'for i in 1 2 3; do cat /w/m/hello && pkill -9 -x hello || exit 1; done; cat /w/m/hello'
box --fuse-keep --tmpfs /w --bind "$PWD/build/examples:/opt/examples:ro" \
	--fuse "/w/m=test -e /tmp/dead || { /opt/examples/hello -f {}; touch /tmp/dead; }; false" -- \
	bash -c 'pkill -9 -x hello; cat /w/m/hello; echo "cat: $?"' >"$out" 2>&1
grep -q "dies again and again, giving up" "$out" && grep -q "^cat: 1$" "$out" &&
	pass "--fuse-keep: a daemon that cannot be started again is given up, its clients get an error" ||
	fail "--fuse-keep: a daemon that cannot be started again is given up, its clients get an error" \
		"$(cat "$out")"
expect_status "--fuse: the status of a daemon that does not start, with --fuse-keep too" 125 \
	box --fuse-keep --tmpfs /w --fuse "/w/m=false" -- true
box --fuse-keep --tmpfs /w --bind "$PWD/build/examples:/opt/examples:ro" --fuse "/w/m=/opt/examples/hello -f" -- \
	sh -c 'exit 7' >"$out" 2>&1
[ $? -eq 7 ] && ! grep -q fusebox: "$out" && pass "--fuse-keep: nothing is started again at the end" ||
	fail "--fuse-keep: nothing is started again at the end" "$(cat "$out")"
summary
