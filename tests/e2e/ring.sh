#!/bin/bash
# FUSE over io_uring: a daemon written with liburing, the same on read and write, and natively where
# the host's kernel has the ring.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
. tests/libfuse.sh

parameter=/sys/module/fuse/parameters/enable_uring
if ! pkg-config --exists liburing; then
	skip "FUSE over io_uring" "liburing-dev is not installed"
	summary
	exit
fi
gcc -O2 -w -o "$tmp/daemon" tests/ring/daemon.c -luring -lpthread || fail "tests/ring/daemon.c does not build"

# Prints what clients see. $1: option of the daemon, $2: mount point, $3: the daemon's program.
cat >"$tmp/clients" <<'END'
mode=$1 m=$2 daemon=$3 out=$2.out
mkdir -p $m
$daemon $mode $m >$out 2>&1 & pid=$!
until grep -qs . $out; do sleep 0.05; done
cat $out
cp -r /usr/include/linux/netfilter $m/tree && diff -r /usr/include/linux/netfilter $m/tree && echo equal
find $m/tree | wc -l
for i in 1 2 3 4; do (cd $m && tar cf - tree | tar xf - --one-top-level=copy$i) & copies="${copies:-} $!"; done
wait $copies
for i in 1 2 3 4; do diff -r $m/tree $m/copy$i/tree || echo differs; done
head -c 5000000 /dev/urandom >$out.big && cp $out.big $m/big && cmp $out.big $m/big && echo same
ln -s target $m/link && readlink $m/link
mv $m/link $m/moved && ls $m/moved && truncate -s 3 $m/big && stat -c %s $m/big
cat $m/nothing 2>&1 | grep -o 'No such file.*'
rmdir $m/tree 2>&1 | grep -o 'Directory not empty'
rm -rf $m/tree $m/copy? $m/big && ls $m
umount $m && wait $pid
cat $out
END

# The parameter is the sandbox's own; a daemon that wants a ring must be refused without it.
expect "off as on Linux" $'N\nthe kernel does not offer FUSE over io_uring\n3' \
	box --user 0 --tmpfs /w --bind "$tmp:/opt/t:ro" -- bash -c "cat $parameter; mkdir /w/m; /opt/t/daemon -r /w/m; echo \$?"

sandbox() { # MODE
	box --user 0 --tmpfs /w --bind "$tmp:/opt/t:ro" -- \
		bash -c "echo Y >$parameter; bash /opt/t/clients '$1' /w/m /opt/t/daemon"
}
want=$(printf '%s\n' ready equal "$(find /usr/include/linux/netfilter | wc -l)" same target \
	MOUNT/moved 3 'No such file or directory' 'Directory not empty' moved ready ended)
expect "a daemon on read and write" "${want//MOUNT//w/m}" sandbox ""
expect "the same daemon on the ring, one queue per processor" "${want//MOUNT//w/m}" sandbox -r
expect "a deep ring with more entries than requests" "${want//MOUNT//w/m}" sandbox "-r -d 64"

native() {
	local was
	was=$(cat $parameter)
	echo Y >$parameter || return
	bash "$tmp/clients" -r "$tmp/m" "$tmp/daemon"
	echo "$was" >$parameter
}
if [ "$(id -u)" -eq 0 ] && [ "${WHO:-root}" = root ] && [ -w $parameter ] && [ -w /dev/fuse ]; then
	expect "the same natively" "${want//MOUNT/$tmp/m}" native
else
	skip "the ring natively" "needs root and a kernel with $parameter"
fi

# libfuse on the ring. Debian's package is built without it.
cat >"$tmp/libfuse" <<'END'
echo Y >/sys/module/fuse/parameters/enable_uring
mkdir /w/m /w/from
cp -r /usr/include/linux/netfilter /w/from/x
/opt/l/example/passthrough_ll -o io_uring -o source=/w/from -f /w/m & pid=$!
until [ -d /w/m/x ]; do sleep 0.05; done
grep -qs fuse-ring /proc/$pid/task/*/comm && echo ring
cp -r /w/m/x /w/m/y && diff -r /w/m/x /w/m/y && diff -r /w/from/x /w/from/y && echo equal
umount /w/m && wait $pid && echo ended
END
if ! why=$(newer_libfuse); then
	skip "libfuse >= 3.18 on the ring" "$why"
elif [ ! -e build/libfuse/uring ]; then
	skip "libfuse >= 3.18 on the ring" "its source was built without liburing or libnuma"
else
	expect "passthrough_ll of libfuse >= 3.18 on the ring" $'ring\nequal\nended' \
		box --user 0 --tmpfs /w --bind "$tmp:/opt/t:ro" --bind "$PWD/build/libfuse:/opt/l:ro" -- \
		bash /opt/t/libfuse
fi

# Which road is taken: traps tell. Read and write are two per request, the ring is one.
cat >"$tmp/stats" <<'END'
echo Y >/sys/module/fuse/parameters/enable_uring
mkdir /w/m
/opt/t/daemon $1 /w/m >/w/out & pid=$!
until grep -qs . /w/out; do sleep 0.05; done
echo >/w/m/file
python3 -c 'import os
for i in range(5000): os.stat("/w/m/file")'
umount /w/m
wait $pid
END
traps() {
	box --stats --lane off --user 0 --tmpfs /w --bind "$tmp:/opt/t:ro" -- bash /opt/t/stats "$1" 2>&1 |
		awk '/^trapped calls/ { print $3 }'
}
by_ring=$(traps -r) by_read=$(traps "-t 1")
if [ "${by_ring:-0}" -gt 0 ] && [ $((by_read - by_ring)) -gt 4000 ]; then
	pass "a request over the ring needs a trap less"
else
	fail "a request over the ring needs a trap less" "5000 stats: $by_read traps by read and write, $by_ring by ring"
fi

# Deaths. The clients get errors, nobody hangs.
cat >"$tmp/deaths" <<'END'
echo Y >/sys/module/fuse/parameters/enable_uring
mkdir /w/m
start() {
	rm -f /w/out
	/opt/t/daemon -r /w/m >/w/out & pid=$!
	until grep -qs . /w/out; do sleep 0.05; done
}
start
kill -9 $pid
wait $pid 2>/dev/null
stat /w/m/x 2>&1 | grep -o 'not connected'
umount /w/m
start
stat /w/m >/dev/null # waits for the ring: who waits when the abort comes has not sent anything
kill -STOP $pid
stat /w/m/x 2>/dev/null & client=$!
until [ "$(cat /sys/fs/fuse/connections/*/waiting)" = 1 ]; do sleep 0.05; done
kill -9 $client
wait $client 2>/dev/null
echo "killed: $?"
kill -CONT $pid # what was handed out is answered
until [ "$(cat /sys/fs/fuse/connections/*/waiting)" = 0 ]; do sleep 0.05; done
kill -STOP $pid
stat /w/m/x >/w/err 2>&1 & client=$!
until [ "$(cat /sys/fs/fuse/connections/*/waiting)" = 1 ]; do sleep 0.05; done
echo 1 | tee /sys/fs/fuse/connections/*/abort >/dev/null
wait $client
grep -oE 'Software caused connection abort|not connected' /w/err
kill -CONT $pid
wait $pid
cat /w/out
END
expect "a daemon that dies, stops, and is aborted" \
	$'not connected\nkilled: 137\nSoftware caused connection abort\nready\nended' \
	box --user 0 --tmpfs /w --bind "$tmp:/opt/t:ro" -- bash /opt/t/deaths

# A kept connection: the next daemon sets up a ring of its own, and gets what the dead one had.
cat >"$tmp/kept" <<'END'
echo Y >/sys/module/fuse/parameters/enable_uring
mkdir /w/m
start() {
	/opt/t/daemon -r /w/m >"$1" 2>&1 & pid=$!
	until grep -qs . "$1"; do sleep 0.05; done
}
start /w/one
stat -c %F /w/m
kill -STOP $pid
stat -c %F /w/m & client=$!
until [ "$(cat /sys/fs/fuse/connections/*/waiting)" = 1 ]; do sleep 0.05; done
kill -9 $pid
wait $pid 2>/dev/null
until [ "$(cat /sys/fs/fuse/connections/*/keep)" = 2 ]; do sleep 0.05; done
start /w/two
wait $client && echo answered
echo text >/w/m/file && cat /w/m/file
umount /w/m && wait $pid && cat /w/one /w/two
END
expect "a daemon on the ring dies and another takes over" \
	$'directory\ndirectory\nanswered\ntext\nready\nready\nended' \
	box --user 0 --tmpfs /w --fuse-keep --bind "$tmp:/opt/t:ro" -- bash /opt/t/kept
summary
