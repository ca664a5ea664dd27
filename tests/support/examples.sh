#!/bin/bash
# Every example of libfuse, used as its documentation shows: one line per behaviour, the same
# natively and in the sandbox. Runs as the root of its machine, in an empty directory.
#	examples.sh EXAMPLES WORK-DIRECTORY EXERCISE [FUSERMOUNT3]
examples=$1 work=$2 exercise=$3
fusermount=${4:-fusermount3}
cd "$work" || exit 2
export TZ=UTC
mkdir m src && seq 1000 >src/seq && mkdir src/dir && ln -s seq src/link && chmod 751 src/dir

# show WHAT COMMAND...: its output in one line, and its status unless 0
show() {
	local text status
	text=$("${@:2}" 2>&1 </dev/null)
	status=$?
	text=${text//"$work"/WORK}
	printf '%s: %s: %s' "$daemon" "$1" "${text//$'\n'/ | }"
	[ $status -eq 0 ] || printf ' [%s]' $status
	printf '\n'
}
within() { # COMMAND...: tried until it succeeds, for ten seconds
	local end=$((SECONDS + 11))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
	echo yes
}
mounted() { grep -q " $work/$1 fuse" /proc/mounts; }
has() { [ -x "$examples/$1" ] || { echo "$1: not built"; return 1; }; }
# start NAME WHERE [ARGUMENTS]: in the foreground, and put into the background by us
start() {
	daemon=$1
	has "$1" || return 1
	"$examples/$1" -f "${@:3}" "$work/$2" >log 2>&1 </dev/null &
	pid=$!
	within mounted "$2" >/dev/null && return 0
	echo "$daemon: did not mount: $(head -n 3 log)"
	return 1
}
finish() { # WHERE
	show "unmounted" "$fusermount" -u "$work/$1"
	within sh -c "! kill -0 $pid" >/dev/null || { echo "$daemon: did not end"; kill -9 $pid; }
	wait $pid
	printf '%s: exit status: %s\n' "$daemon" $?
}

for name in hello hello_ll; do
	start $name m || continue
	show "the line of /proc/mounts" sh -c "grep ' $work/m fuse' /proc/mounts | cut -d ' ' -f 3-"
	show ls ls -a m
	show stat stat -c '%F %a %h %s' m m/hello
	show read cat m/hello
	show "read of the end" tail -c 7 m/hello
	show "a missing name" cat m/no
	show write sh -c 'echo x >m/hello'
	show create touch m/new
	show mkdir mkdir m/new
	show unlink rm -f m/hello
	show mv mv m/hello m/other
	show chmod chmod 600 m/hello
	show ln ln m/hello m/hard
	show statfs stat -f -c '%T %l %s %b' m
	show append sh -c 'echo x >>m/hello'
	show readlink readlink m/hello
	show "a long name" sh -c 'stat m/$(printf %0300d 0) 2>&1 | grep -o "File name too long"'
	finish m
done
start hello m --name=greeting --contents=text && {
	show "other name and text" sh -c 'ls m; cat m/greeting'
	finish m
}

daemon=hello_ll_uds
has hello_ll_uds && {
	"$examples/hello_ll_uds" -f m >log 2>&1 </dev/null &
	pid=$!
	show "the protocol over a socket" python3 -c '
import os, socket, struct, sys, time
for attempt in range(200):
    s = socket.socket(socket.AF_UNIX)
    try: s.connect("/tmp/libfuse-hello-ll.sock"); break
    except OSError: time.sleep(0.05)
def call(opcode, node, body):
    s.sendall(struct.pack("=IIQQIIIHH", 40 + len(body), opcode, 2, node, 0, 0, 0, 0, 0) + body)
    head = b""
    while len(head) < 16: head += s.recv(16 - len(head))
    length, error, unique = struct.unpack("=IiQ", head)
    out = b""
    while len(out) < length - 16: out += s.recv(length - 16 - len(out))
    return error, out
error, out = call(26, 0, struct.pack("=IIII", 7, 31, 65536, 0) + bytes(48))
print("INIT", error, struct.unpack("=I", out[:4])[0])
error, out = call(1, 1, b"hello\0")
print("LOOKUP", error, struct.unpack("=Q", out[:8])[0], len(out))
error, out = call(1, 1, b"no\0")
print("LOOKUP", error)
error, out = call(14, 2, struct.pack("=II", 0, 0))
print("OPEN", error, len(out))
error, out = call(15, 2, struct.pack("=QQIIQII", 0, 0, 100, 0, 0, 0, 0))
print("READ", error, out.decode().strip())
'
	show "ends with its client" within sh -c "! kill -0 $pid"
	wait $pid
	echo "$daemon: exit status: $?"
	rm -f /tmp/libfuse-hello-ll.sock
}

: >file
start null file && {
	show stat stat -c '%F %a' file
	show zeros sh -c 'head -c 100000 file | tr -d "\0" | wc -c; head -c 100000 file | wc -c'
	show "takes data" sh -c 'seq 100000 | dd of=file bs=64k conv=notrunc status=none'
	show truncate truncate -s 100 file
	finish file
}

for name in passthrough passthrough_fh; do
	start $name m || continue
	show tree diff -r --no-dereference src "m$work/src"
	show exercise bash "$exercise" "m$work/src"
	finish m
done
for options in cache=never cache=auto cache=always cache=always,writeback cache=auto,flock,xattr; do
	start passthrough_ll m -o "source=$work/src,$options" || continue
	daemon="passthrough_ll $options"
	show tree diff -r --no-dereference src m
	show exercise bash "$exercise" m
	show "flock" flock m/seq true
	show "mapped" python3 -c '
import mmap
f = open("m/seq", "r+b"); m = mmap.mmap(f.fileno(), 0); m[0:1] = b"X"; m.flush(); print(open("m/seq").readline().strip())'
	printf 1 | dd of=src/seq conv=notrunc status=none
	finish m
done
daemon=passthrough_hp
has passthrough_hp && {
	# The source stands before the mount point.
	"$examples/passthrough_hp" --nosplice --foreground "$work/src" "$work/m" >log 2>&1 </dev/null &
	pid=$!
	show mounts within mounted m
	show tree diff -r --no-dereference src m
	show exercise bash "$exercise" m
	finish m
}
for name in memfs_ll; do
	start $name m || continue
	show "create, write, read" sh -c 'echo text >m/f; cat m/f; ls m'
	show "mkdir, rename, unlink" sh -c 'mkdir m/d; mv m/f m/d/g; cat m/d/g; rm m/d/g; rmdir m/d; ls m'
	show "a long file" sh -c 'seq 100000 >m/f; seq 100000 | cmp - m/f; stat -c %s m/f'
	finish m
done

start ioctl m && {
	show size "$examples/ioctl_client" m/fioc
	show "set size" "$examples/ioctl_client" m/fioc 12345
	show "new size" "$examples/ioctl_client" m/fioc
	show "seen by stat" stat -c %s m/fioc
	show "another command" python3 -c '
import fcntl
try: fcntl.ioctl(open("m/fioc"), 0x1234)
except OSError as e: print(e.strerror)'
	show "on a directory" python3 -c '
import fcntl, os
try: fcntl.ioctl(os.open("m", os.O_RDONLY), 0x1234)
except OSError as e: print(e.strerror)'
	finish m
}
start poll m && {
	show "sixteen rounds" sh -c "cd m && timeout 40 $examples/poll_client | grep -c '[0-9A-F]:0'"
	show "one reader at a time" sh -c 'exec 5<m/0; cat m/0 >/dev/null'
	show "files" sh -c 'ls m | tr "\n" " "'
	finish m
}

# What changes by itself every second is seen although entries are valid for ever.
changes() { # FILE
	local old
	old=$(cat "$1") && within sh -c '[ "$(cat "$0")" != "$1" ]' "$1" "$old"
}
name_changes() {
	local old
	old=$(ls m) && stat "m/$old" >/dev/null && within sh -c '[ "$(ls m)" != "$0" ] && ! stat "m/$0"' "$old"
}
start notify_inval_entry m --update-interval=1 --timeout=1000 && {
	show "the name changes, the old one is gone" name_changes
	finish m
}
start notify_inval_entry m --update-interval=1 --timeout=1000 --only-expire && {
	show "the name changes, the old one expires" name_changes
	finish m
}
start notify_inval_inode m --update-interval=1 && {
	show "the content changes" changes m/current_time
	show "again" changes m/current_time
	finish m
}
start notify_store_retrieve m --update-interval=1 && {
	show "the content changes" changes m/current_time
	show "again" changes m/current_time
	finish m
}
start invalidate_path m --update-interval=1 && {
	show "names" sh -c 'ls m | tr "\n" " "'
	show "the content changes" changes m/current_time
	show "the file grows" within sh -c '[ "$(wc -c <m/growing)" -gt 2 ]'
	finish m
}

daemon=cuse
if [ ! -c /dev/cuse ]; then
	echo "cuse: no /dev/cuse"
elif has cuse; then
	"$examples/cuse" -f --name=example-device >log 2>&1 </dev/null &
	pid=$!
	show "device appears" within test -c /dev/example-device
	show empty "$examples/cuse_client" /dev/example-device s
	printf hello | "$examples/cuse_client" /dev/example-device w 5 >/dev/null 2>&1
	show size "$examples/cuse_client" /dev/example-device s
	show read sh -c "$examples/cuse_client /dev/example-device r 5 2>/dev/null"
	show "read(2)" head -c 4 /dev/example-device
	kill $pid
	wait $pid
	show "device is gone" within test ! -e /dev/example-device
fi
