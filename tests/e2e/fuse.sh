#!/bin/bash
# Unmodified FUSE daemons, mounted and used inside the sandbox: libfuse's examples and daemons of
# Debian, as root of the sandbox and as an ordinary user with the set-uid fusermount3.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

cat >"$tmp/prelude" <<'END'
PATH=/opt/examples:$PATH:/usr/sbin:/sbin
cd /w || exit
mounted() { grep -q " $1 fuse" /proc/mounts; }
gone() { ! grep -q " $1 fuse" /proc/mounts; }
start() { # MOUNT-POINT COMMAND...: the command puts itself into the background
	"${@:2}" >/w/daemon.log 2>&1 </dev/null && @within 5 mounted "$1" && return 0
	@no "$who: ${*:2}" "did not mount $1: $(head -n 5 /w/daemon.log)"
	return 1
}
ended() { # NAME: no daemon of that name is left
	@within 5 sh -c "! pgrep -x $1" || { @no "$who: the daemon $1 ends after its unmount"; pkill -9 -x "$1"; }
}
catches_term() { # NAME: the daemon has a handler for signal 15
	grep -qE '^SigCgt:.*[4-7c-f][0-9a-f]{3}$' "/proc/$(pgrep -x "$1")/status"
}
mkdir m a b c src
mkdir -p src/dir/deep && seq 1000 >src/seq && ln -s seq src/link && echo x >src/dir/deep/x && chmod 751 src/dir
printf '#!/bin/sh\necho run "$0" $1\n' >src/script && chmod 755 src/script
END
fuse() { # NAME [OPTIONS] <<script: as `inside`, once as root and once as a user of the sandbox
	local name=$1 id ids="0 1000"
	# Under ptrace all takes several times as long: one of the two.
	[ "$BACKEND" = ptrace ] && [ "${WHO:-root}" = root ] && ids=0
	[ "$BACKEND" = ptrace ] && [ "${WHO:-root}" = user ] && ids=1000
	shift
	cat "$tmp/prelude" - >"$tmp/fuse-script"
	for id in $ids; do
		inside "$name, uid $id" --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w \
			--bind "$PWD/tests/support/exercise.sh:/opt/exercise:ro" --env "who=uid $id" --user $id:$id "$@" \
			<"$tmp/fuse-script"
	done
}

fuse "hello and its like" <<'END'
for daemon in hello hello_ll; do
	start /w/m $daemon /w/m || continue
	@is "$who: $daemon: read" "Hello World!" cat m/hello
	@is "$who: $daemon: ls" "hello" ls m
	@is "$who: $daemon: stat" "regular file 444 13" stat -c '%F %a %s' m/hello
	@is "$who: $daemon: a missing name" "cat: m/no: No such file or directory" sh -c 'cat m/no || :'
	@is "$who: $daemon: writing is refused" "denied" bash -c '(echo x >m/hello) 2>/dev/null || echo denied'
	@is "$who: $daemon: mounts and mountinfo" "1 1" \
		sh -c 'echo $(grep -c " /w/m fuse" /proc/mounts) $(grep -c " /w/m .* - fuse" /proc/self/mountinfo)'
	@works "$who: $daemon: fusermount3 -u" fusermount3 -u /w/m
	@is "$who: $daemon: the place is empty again" "" ls -A m
	ended $daemon
done
if start /w/m hello -o default_permissions,ro,fsname=greet,subtype=word /w/m; then
	@is "$who: hello: fsname and subtype" "greet fuse.word" \
		sh -c 'grep " /w/m " /proc/mounts | cut -d " " -f 1,3'
	@is "$who: hello: ro" "touch: cannot touch 'm/x': Read-only file system" sh -c 'touch m/x || :'
	fusermount3 -u /w/m
	ended hello
fi
hello -f -s /w/m & pid=$!
@works "$who: hello in the foreground, single-threaded, mounts" @within 5 mounted /w/m
@is "$who: hello in the foreground: read" "Hello World!" cat m/hello
kill $pid; wait $pid
@is "$who: hello ends with libfuse's status 8 and unmounts at SIGTERM" "8" \
	sh -c "echo $? \$(grep ' /w/m fuse' /proc/mounts)"
hello -d /w/m >log 2>&1 & pid=$!
@within 5 mounted /w/m
cat m/hello >/dev/null
fusermount3 -u /w/m; wait $pid
@works "$who: hello -d logs its requests" sh -c 'grep -q "INIT: 7.45" log && grep -qE "READ.* (bytes|from)|opcode: READ" log'
touch nullfile
if start /w/nullfile null /w/nullfile; then
	@is "$who: null: a mount on a file gives zeros" "0000000 000000 000000 0000010" \
		sh -c 'head -c 8 nullfile | od -v -w4 | cut -d " " -f 1,2 | paste -sd" " | sed "s/0000004 //"'
	@works "$who: null: takes data" sh -c 'seq 100000 | dd of=nullfile bs=64k conv=notrunc 2>/dev/null'
	@is "$who: null: a megabyte of zeros" 1048576 sh -c 'head -c 1048576 nullfile | tr -d "\1-\377" | wc -c'
	@works "$who: null: unmount" fusermount3 -u /w/nullfile
	ended null
fi
@is "$who: printcap: protocol 7.45" "Protocol version: 7.45" sh -c 'printcap 2>/dev/null | grep Protocol'
END

fuse "passthrough and passthrough_fh" <<'END'
for daemon in passthrough passthrough_fh; do
	start /w/m $daemon /w/m || continue
	@is "$who: $daemon: tree" "" diff -r --no-dereference src m/w/src
	@is "$who: $daemon: modes" "751 1000" sh -c 'echo $(stat -c %a m/w/src/dir) $(wc -l <m/w/src/link)'
	@is "$who: $daemon: executes" "run m/w/src/script y" m/w/src/script y
	@is "$who: $daemon: exercise" good bash /opt/exercise m/w/a
	@works "$who: $daemon: unmount" fusermount3 -u /w/m
	ended $daemon
done
END

fuse "passthrough_ll" <<'END'
ll() { # NAME ARGS...
	local name=$1
	shift
	start /w/m passthrough_ll "$@" /w/m || return
	@is "$who: passthrough_ll $name: tree" "" diff -r --no-dereference src m/w/src
	@is "$who: passthrough_ll $name: executes" "run m/w/src/script y" m/w/src/script y
	@is "$who: passthrough_ll $name: exercise" good bash /opt/exercise m/w/a
	@works "$who: passthrough_ll $name: unmount" fusermount3 -u /w/m
	ended passthrough_ll
}
ll "cache=never" -o cache=never
ll "cache=auto" -o cache=auto
ll "cache=always" -o cache=always
ll "writeback" -o writeback,cache=always
ll "single-threaded" -s -o cache=auto
ll "flock, xattr" -o flock,xattr
passthrough_ll -f -o source=/w/src /w/m & pid=$!
@within 5 mounted /w/m
@is "$who: passthrough_ll -f -o source" "" diff -r --no-dereference src m
kill $pid; wait $pid
passthrough_ll -d -o source=/w/src /w/m >log 2>&1 & pid=$!
@within 5 mounted /w/m
@is "$who: passthrough_ll -d" "" diff -r --no-dereference src m
fusermount3 -u /w/m; wait $pid
@works "$who: passthrough_ll -d logs" grep -q READDIRPLUS log
END

# Random operations on one file, by descriptors and a mapping, beside a model of it in memory.
cat >"$tmp/model.py" <<'END'
import mmap, os, random, sys
r = random.Random(int(sys.argv[1]))
model = bytearray()
fd = os.open("x", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
for n in range(600):
    op = r.randrange(11)
    size = len(model)
    if op < 4:
        pos = r.randrange(200000)
        data = r.randbytes(r.choice([r.randrange(1, 30000), r.randrange(1, 20)]))
        model.extend(bytes(max(0, pos - size)))
        model[pos:pos + len(data)] = data
        assert os.pwrite(fd, data, pos) == len(data)
    elif op == 4:
        new = r.randrange(220000)
        os.ftruncate(fd, new)
        del model[new:]
        model.extend(bytes(new - len(model)))
    elif op == 5 and size:
        pos, length = r.randrange(size), r.randrange(1, 20000)
        assert os.pread(fd, length, pos) == bytes(model[pos:pos + length]), (n, "read")
    elif op == 6 and size:
        pos = r.randrange(size)
        data = r.randbytes(min(size - pos, r.randrange(1, 9000)))
        m = mmap.mmap(fd, size)
        m[pos:pos + len(data)] = data
        model[pos:pos + len(data)] = data
        if r.random() < .3:
            m.flush()
        m.close()
    elif op == 7:
        os.fsync(fd)
        assert open("/w/src/x", "rb").read() == bytes(model), (n, "fsync")
    elif op == 8:
        os.close(fd)
        assert os.stat("/w/src/x").st_size == size, (n, "size behind the mount")
        fd = os.open("x", os.O_RDWR)
    elif op == 9:
        other = os.open("x", os.O_WRONLY | os.O_APPEND)
        data = r.randbytes(r.randrange(1, 5000))
        os.write(other, data)
        model.extend(data)
        os.close(other)
    elif op == 10:
        assert os.fstat(fd).st_size == size, (n, "size")
assert os.pread(fd, len(model) + 10, 0) == bytes(model), "at the end"
os.close(fd)
print("same" if open("/w/src/x", "rb").read() == bytes(model) else "differs behind the mount")
END
fuse "every way to write, beside a model" --bind "$tmp/model.py:/opt/model.py" <<'END'
for how in cache=auto cache=always,writeback writeback; do
	start /w/m passthrough_ll -o $how /w/m || continue
	cd m/w/src
	for seed in 1 2; do
		@is "$who: passthrough_ll $how: model, seed $seed" same python3 /opt/model.py $seed
	done
	cd /w
	@works "$who: passthrough_ll $how: unmount after the model" fusermount3 -u /w/m
	ended passthrough_ll
done
END

fuse "programs that map files" <<'END'
start /w/m passthrough_ll /w/m && {
	cd m/w/src && export HOME=/w
	@is "$who: mmap: msync, fork, exit and munmap bring changes to the daemon" "XYZ QC Q e" python3 -c '
import mmap, os
f = open("mapped", "w+b")
f.write(b"a" * 10000); f.flush()
m = mmap.mmap(f.fileno(), 0)
m[5000:5003] = b"XYZ"; m.flush()
print(open("/w/src/mapped", "rb").read()[5000:5003].decode(), end=" ")
m[0:1] = b"Q"
if os.fork() == 0:
    m[1:2] = b"C"
    os._exit(0)
os.wait()
print(m[0:2].decode(), end=" ")
f.close()
print(open("/w/src/mapped", "rb").read()[0:1].decode(), end=" ")
m[9999:10000] = b"e"
m.close()
import time; time.sleep(1)
print(open("/w/src/mapped", "rb").read()[9999:10000].decode())'
	@is "$who: mmap: mprotect makes a shared mapping writable" "p" python3 -c '
import ctypes, mmap, os
fd = os.open("mapped", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, 4096, 1, 1, fd, 0)
assert libc.mprotect(ctypes.c_void_p(at), 4096, 3) == 0
ctypes.memset(at, ord("p"), 1)
os.close(fd)
print(open("mapped").read(1))'
	@is "$who: mmap: a large file, filled as it is touched" "0 True 95" python3 -c '
import mmap, os
with open("large", "wb") as f:
    for i in range(96):
        f.write(bytes([i]) * (1 << 20))
fd = os.open("large", os.O_RDONLY)
m = mmap.mmap(fd, 96 << 20, prot=mmap.PROT_READ)
assert m[0] == 0 and m[(50 << 20) + 1] == 50
if os.fork() == 0:
    os._exit(m[70 << 20] != 70)
print(os.wait()[1], end=" ")
out = os.open("/w/large", os.O_CREAT | os.O_RDWR)
view, n = memoryview(m)[80 << 20:83 << 20], 0
while n < len(view):
    n += os.write(out, view[n:])
print(os.pread(out, 4 << 20, 0) == bytes(view), m[-1])'
	rm -f large /w/large
	@is "$who: sqlite in WAL mode, several writers" "wal 12 ok" sh -c '
		{ sqlite3 db "pragma journal_mode=wal; create table t(a)"
		for i in 1 2 3; do (for k in 1 2 3 4; do
			sqlite3 -cmd ".timeout 20000" db "insert into t values(1)"; done) & done; wait
		sqlite3 db "select sum(a) from t; pragma integrity_check"; } | xargs'
	@is "$who: sqlite: the database behind the mount" "12 ok" \
		sh -c 'sqlite3 /w/src/db "select sum(a) from t; pragma integrity_check" | xargs'
	printf '#include <stdio.h>\nint main(void) { return puts("built") < 0; }\n' >prog.c
	@is "$who: gcc compiles and links on the mount" built sh -c 'gcc -c prog.c && gcc prog.o -o prog && ./prog'
	@is "$who: the gold linker, which maps its output" built \
		sh -c 'gcc -fuse-ld=gold prog.o -o prog2 && ./prog2'
	@is "$who: git: a repository on the mount" "0 2" sh -c '
		git init -q r && cd r && seq 100000 >a && cp /bin/sh b && git add . &&
		git -c user.name=a -c user.email=a@b commit -qm x && git gc -q && git fsck 2>&1 &&
		echo $(git status -s | wc -l) $(git ls-files | wc -l)'
	@is "$who: 6 GiB, sparse: read, written and mapped" "end end Z 0 few" sh -c '
		truncate -s 6G big && python3 -c "
import mmap, os
end = 6 << 30
fd = os.open(\"big\", os.O_RDWR)
os.pwrite(fd, b\"end\", end - 3)
print(os.pread(fd, 3, end - 3).decode(), end=\" \")
m = mmap.mmap(fd, 4096, offset=end - 4096)
print(m[-3:].decode(), end=\" \")
m[0:1] = b\"Z\"
m.close()
m = mmap.mmap(fd, 0)
print(m[-4096:-4095].decode(), m[1 << 30], end=\" \")" &&
		[ $(stat -c %b /w/src/big) -le 64 ] && echo few'
	cd /w
	@works "$who: mmap: unmount right after" fusermount3 -u /w/m
	ended passthrough_ll
}
END

fuse "ioctl, poll, cuse" <<'END'
if start /w/m ioctl /w/m; then
	@is "$who: ioctl: size" 0 ioctl_client m/fioc
	@works "$who: ioctl: set size" ioctl_client m/fioc 12345
	@is "$who: ioctl: new size" 12345 ioctl_client m/fioc
	fusermount3 -u /w/m; ended ioctl
fi
# In the foreground: its thread would not survive the fork.
poll -f /w/m >/w/daemon.log 2>&1 & pid=$!
if @within 5 mounted /w/m; then
	@is "$who: poll: sixteen rounds, in each of which something was readable" 16 \
		sh -c 'cd m && timeout 30 poll_client | grep -c "[0-9A-F]:0"'
	fusermount3 -u /w/m; wait $pid
	@works "$who: poll: the daemon was asked to notify" grep -q NOTIFY /w/daemon.log
fi
if [ "$who" = "uid 0" ]; then
	cuse --name=one && @within 5 test -c /dev/one || @no "cuse: the device appears"
	@is "cuse: node" "character special file 600 fe" stat -c '%F %a %t' /dev/one
	@is "cuse: sysfs" "254:0 0 abort dev power subsystem uevent waiting" \
		sh -c 'cd /sys/class/cuse/one && echo $(cat dev waiting) $(ls)'
	@is "cuse: empty" 0 cuse_client /dev/one s
	printf hello | cuse_client /dev/one w 5 2>/dev/null
	@is "cuse: what was written by ioctl" hello sh -c 'cuse_client /dev/one r 5 2>/dev/null'
	@works "cuse: set size" cuse_client /dev/one s 100000
	@is "cuse: new size" 100000 cuse_client /dev/one s
	seq 20000 | head -c 100000 >data
	cuse_client /dev/one w 100000 <data 2>/dev/null
	@works "cuse: 100000 bytes by ioctl" sh -c 'cuse_client /dev/one r 100000 2>/dev/null | cmp - data'
	@is "cuse: read(2) starts at 0" hello sh -c 'printf hello >/dev/one && head -c 5 /dev/one'
	@is "cuse: too much for one ioctl" "ioctl: Cannot allocate memory" sh -c 'cuse_client /dev/one r 200000 || :'
	@is "cuse: another command" 22 python3 -c '
import fcntl
try: fcntl.ioctl(open("/dev/one"), 0x1234)
except OSError as e: print(e.errno)'
	cuse --name=sub/two --maj=240 --min=7 && @within 5 test -c /dev/sub/two || @no "cuse: the second device"
	@is "cuse: a number of one's own, a directory" "f0 7 one sub!two" \
		sh -c 'echo $(stat -c "%t %T" /dev/sub/two) $(ls /sys/class/cuse)'
	exec 5</dev/one
	pkill -9 -x cuse; ended cuse
	@is "cuse: all gone with the daemons" 0 sh -c 'ls /dev | grep -cE "one|sub" || :'
	@is "cuse: nothing in sysfs" "" ls /sys/class/cuse
	@is "cuse: a file still open" 1 sh -c 'cat <&5 2>&1 | grep -c "not connected"'
	exec 5<&-
else
	@is "$who: cuse: /dev/cuse is root's" "1" sh -c 'cuse -f --name=one 2>&1 | grep -c "Permission denied"'
fi
END

fuse "mounts" <<'END'
start /w/m hello /w/m && {
	exec 5<m/hello
	@status "$who: umount of a busy mount is refused" 1 fusermount3 -u /w/m
	@works "$who: lazy unmount" fusermount3 -u -z /w/m
	@is "$who: lazily unmounted: not listed, not there" 0 sh -c 'echo $(grep -c " /w/m fuse" /proc/mounts) $(ls m)'
	read -r line <&5
	[ "$line" = "Hello World!" ] && @ok "$who: lazily unmounted: read" || @no "$who: lazily unmounted: read" "$line"
	exec 5<&-
	ended hello
}
if [ "$who" = "uid 0" ]; then
	start /w/m hello /w/m && @works "$who: umount" umount /w/m && ended hello
	start /w/m hello /w/m && @works "$who: umount -l" umount -l /w/m && ended hello
	start /w/m hello /w/m && {
		@is "$who: another user may not look" "denied" setpriv --reuid 1000 --regid 1000 --clear-groups \
			sh -c 'cat /w/m/hello 2>/dev/null || echo denied'
		fusermount3 -u /w/m; ended hello
	}
	start /w/m hello -o allow_other /w/m && {
		@is "$who: allow_other: another user may look" "Hello World!" \
			setpriv --reuid 1000 --regid 1000 --clear-groups cat /w/m/hello
		@status "$who: another user may not unmount" 1 \
			setpriv --reuid 1000 --regid 1000 --clear-groups fusermount3 -u /w/m
		fusermount3 -u /w/m; ended hello
	}
	start /w/a hello -o allow_other /w/a && mount --bind /w/a /w/b && {
		@is "$who: bind mount of a FUSE mount" "Hello World!" cat b/hello
		umount /w/a
		@is "$who: the bind stays after umount of the first" "Hello World!" cat b/hello
		umount /w/b; ended hello
	}
else
	start /w/m hello /w/m && {
		@works "$who: umount of one's own FUSE mount, set-uid" umount /w/m
		ended hello
	}
	@is "$who: allow_other needs user_allow_other" 1 sh -c '
		hello -o allow_other /w/m 2>&1 | grep -c "user_allow_other"'
	@is "$who: no mount on a directory of another" "1" sh -c 'hello /usr 2>&1 | grep -c "no write access"'
fi
start /w/m hello /w/m && {
	@within 5 catches_term hello # libfuse goes into the background before it catches signals
	pkill -x hello
	@works "$who: SIGTERM to the daemon unmounts" @within 5 gone /w/m
	ended hello
}
start /w/m hello /w/m && {
	pkill -9 -x hello; ended hello
	@is "$who: SIGKILL of the daemon: ENOTCONN" "1" \
		sh -c 'cat m/hello 2>&1 | grep -c "Transport endpoint is not connected"'
	@works "$who: SIGKILL of the daemon: unmount" fusermount3 -u /w/m
}
start /w/m hello -o auto_unmount /w/m && {
	@is "$who: auto_unmount: read" "Hello World!" cat m/hello
	pkill -9 -x hello
	if [ "$who" = "uid 0" ]; then
		@works "$who: auto_unmount after SIGKILL" @within 5 gone /w/m
	else # libfuse 3.14's helper may not look into a user's mount, natively neither
		@works "$who: auto_unmount after SIGKILL: by hand" sh -c \
			'sleep 0.3; fusermount3 -u /w/m'
	fi
	@within 5 sh -c '! pgrep fusermount3' || @no "$who: auto_unmount's fusermount3 ends"
}
start /w/a hello /w/a && start /w/b hello_ll /w/b && start /w/c passthrough_ll -o source=/w/src /w/c && {
	@is "$who: three daemons at once" "Hello World! Hello World! 1000" \
		sh -c 'echo $(cat a/hello) $(cat b/hello) $(wc -l <c/seq)'
	for i in a b c; do fusermount3 -u /w/$i; done
	ended hello; ended hello_ll; ended passthrough_ll
}
start /w/a passthrough_ll -o source=/w/src /w/a && start /w/b passthrough_ll -o source=/w/a /w/b &&
	start /w/c passthrough_ll -o source=/w/b /w/c && {
	@is "$who: a daemon on a daemon on a daemon: tree" "" diff -r --no-dereference src c
	@is "$who: a daemon on a daemon on a daemon: exercise" good bash /opt/exercise /w/c
	@works "$who: unmounted from the top: the first" fusermount3 -u /w/c
	# A daemon holds its source until it has ended.
	@works "$who: unmounted from the top: the second" @within 5 fusermount3 -u /w/b
	@works "$who: unmounted from the top: the third" @within 5 fusermount3 -u /w/a
	ended passthrough_ll
}
mkdir -p src/inner
[ "$who" = "uid 0" ] && # libfuse: fusermount3's effective user may not look into a user's mount
	start /w/a passthrough_ll -o source=/w/src /w/a && start /w/a/inner hello /w/a/inner && {
	@is "$who: a mount on a directory of a mount" "Hello World!" cat a/inner/hello
	@status "$who: the outer one is busy" 1 fusermount3 -u /w/a
	@works "$who: inner, then outer" sh -c 'fusermount3 -u /w/a/inner && fusermount3 -u /w/a'
	ended hello; ended passthrough_ll
}
for i in 1 2 3 4 5 6 7 8 9 10; do hello /w/m && cat m/hello && fusermount3 -u /w/m; done >/w/out 2>&1
@is "$who: ten times mount, read, unmount" 10 grep -c Hello /w/out
ended hello
END

# user_allow_other, as the administrator of the sandbox says.
echo user_allow_other >"$tmp/fuse.conf"
chmod 644 "$tmp/fuse.conf"
inside "user_allow_other" --bind "$PWD/build/examples:/opt/examples:ro" --user 0 --tmpfs /w \
	--bind "$tmp/fuse.conf:/etc/fuse.conf:ro" <<'END'
mkdir -m 777 /w/m && chown 1000:1000 /w/m
as() { setpriv --reuid $1 --regid $1 --clear-groups "${@:2}"; }
@works "allow_other of a user is allowed by fuse.conf" as 1000 /opt/examples/hello -o allow_other /w/m
@is "another user may look" "Hello World!" as 1001 cat /w/m/hello
@works "unmounting as that user" as 1000 fusermount3 -u /w/m
@works "allow_other and auto_unmount of a user" as 1000 /opt/examples/hello -o allow_other,auto_unmount /w/m
pkill -9 -x hello
@works "auto_unmount of a user after SIGKILL" @within 5 sh -c '! grep -q " /w/m fuse" /proc/mounts'
END

# The capabilities offered at INIT: what the kernel offers, less what is not built.
caps() { grep -oE 'FUSE_CAP_[A-Z_]*' | sort; }
here=$(box -- build/examples/printcap 2>/dev/null | caps)
if [ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ] && native=$(build/examples/printcap 2>/dev/null | caps) &&
	[ -n "$native" ]; then
	expect "printcap: nothing that the kernel does not offer" "" \
		comm -13 <(printf '%s\n' "$native") <(printf '%s\n' "$here")
	expect "printcap: known what is not offered yet" "" \
		bash -c 'comm -23 <(printf "%s\n" "$1") <(printf "%s\n" "$2") | grep -vxE "$3"; :' sh \
		"$native" "$here" \
		'FUSE_CAP_(CACHE_SYMLINKS|EXPORT_SUPPORT|POSIX_ACL|WRITEBACK_CACHE)'
else
	skip "printcap compared with the kernel's" "/dev/fuse of the host, or root"
fi

# --fuse DST=COMMAND
opt=(--bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w --env "PATH=/opt/examples:/usr/bin:/bin")
expect "--fuse: the mount is there when the command starts" "Hello World!" \
	box "${opt[@]}" --fuse /w/m=hello -- cat /w/m/hello
expect "--fuse: two daemons, with options" "Hello World! hello" box "${opt[@]}" \
	--fuse "/w/a=hello -s" --fuse "/w/b=passthrough_ll -o source=/w/a" -- \
	sh -c 'echo $(cat /w/b/hello) $(ls /w/a)'
expect "--fuse: {} says where the mount point stands" "Hello World!" \
	box "${opt[@]}" --fuse '/w/m=hello {} -o default_permissions' -- cat /w/m/hello
expect "--fuse: a daemon in the foreground" "Hello World!" \
	box "${opt[@]}" --fuse '/w/m=hello -f {} 2>/dev/null' -- cat /w/m/hello
expect_status "--fuse: the command's exit status" 9 \
	box "${opt[@]}" --fuse /w/m=hello -- sh -c 'exit 9'
expect_status "--fuse: a command that is not found" 127 \
	box "${opt[@]}" --fuse /w/m=hello -- no-such-command
expect_status "--fuse: a command that a signal ends" 143 \
	box "${opt[@]}" --fuse /w/m=hello -- sh -c 'kill $$'
expect "--fuse: a mount point with a blank" "Hello World!" \
	box "${opt[@]}" --fuse '/w/a b=hello' -- cat '/w/a b/hello'
expect "--fuse: as root of the sandbox" "Hello World!" \
	box "${opt[@]}" --user 0 --fuse /w/m=hello -- cat /w/m/hello
expect "--fuse: stdin is the command's" "text" \
	bash -c '. tests/lib.sh; echo text | box "$@" --fuse /w/m=hello -- cat' sh "${opt[@]}"

# Daemons of Debian.
if missing bindfs >/dev/null; then
	skip "bindfs" "$(missing bindfs)"
else
	fuse "bindfs" <<'END'
start /w/m bindfs --no-allow-other /w/src /w/m && {
	@is "$who: bindfs: tree" "" diff -r --no-dereference src m
	@is "$who: bindfs: exercise" good bash /opt/exercise m
	@works "$who: bindfs: unmount" fusermount3 -u /w/m
	ended bindfs
}
start /w/m bindfs --no-allow-other -r -p a=rX,u+w /w/src /w/m && {
	@is "$who: bindfs: permissions changed, read-only" "644 755 Read-only" sh -c '
		echo $(stat -c %a m/seq m/dir) $(touch m/x 2>&1 | grep -o Read-only)'
	fusermount3 -u /w/m
	ended bindfs
}
END
fi
if missing mksquashfs squashfuse >/dev/null; then
	skip "squashfuse" "$(missing mksquashfs squashfuse)"
else
	fuse "squashfuse" <<'END'
cp -a /usr/share/doc/[a-b]* src/ 2>/dev/null
@works "$who: mksquashfs" mksquashfs src s.img -quiet -no-progress
start /w/m squashfuse s.img /w/m && {
	@is "$who: squashfuse: tree" "" diff -r --no-dereference src m
	@is "$who: squashfuse: sums by four readers" "1" sh -c '
		for i in 1 2 3 4; do (cd m && find . -type f | sort | xargs sha256sum | sha256sum) >sum$i & done
		wait; cat sum? | sort -u | wc -l'
	@works "$who: squashfuse: unmount" fusermount3 -u /w/m
	ended squashfuse
}
END
fi
if missing fuse-overlayfs >/dev/null; then
	skip "fuse-overlayfs" "$(missing fuse-overlayfs)"
else
	fuse "fuse-overlayfs" <<'END'
mkdir upper work
start /w/m fuse-overlayfs -o lowerdir=/w/src,upperdir=/w/upper,workdir=/w/work /w/m && {
	@is "$who: fuse-overlayfs: tree" "" diff -r --no-dereference src m
	@is "$who: fuse-overlayfs: exercise" good bash /opt/exercise m
	@is "$who: fuse-overlayfs: writes go to the upper layer" "new 1000" sh -c '
		echo new >m/seq && echo $(cat upper/seq) $(wc -l <src/seq)'
	@is "$who: fuse-overlayfs: removed, and still below" "gone 0" sh -c '
		rm -r m/dir && ls m/dir 2>/dev/null || echo gone $([ -e src/dir ]; echo $?)'
	@works "$who: fuse-overlayfs: unmount" fusermount3 -u /w/m
	ended fuse-overlayfs
}
END
fi
summary
