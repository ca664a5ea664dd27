#!/bin/bash
# The command line of `fusebox run`: exit statuses, each option, standard input and output.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

export -f box as_user
export FUSEBOX TEST_TIMEOUT

# Exit statuses.
expect_status "the command's exit status is the run's" 7 box -- sh -c 'exit 7'
expect_status "a command killed by a signal gives 128+N" 137 box -- sh -c 'kill -9 $$'
expect_status "SIGTERM gives 143" 143 box -- sh -c 'kill $$'
expect_status "SIGSEGV gives 139" 139 box -- python3 -c 'import os; os.kill(os.getpid(), 11)'
expect_status "a command that is not found gives 127" 127 box -- /no/such/program
expect_status "a name that is not in PATH gives 127" 127 box --env PATH=/usr/bin:/bin -- no-such-program
expect_status "a directory as command gives 126" 126 box -- /etc
expect_status "a file without the execute bit gives 126" 126 box -- /etc/passwd
expect_status "no command gives 125" 125 box
expect_status "a missing root gives 125" 125 box --root /no/such/dir -- true
printf 'echo script without interpreter\n' >"$tmp/plain"
chmod 755 "$tmp/plain"
expect "an executable text without #! is run by the shell, as execvp(3) does" \
	"script without interpreter" box -- "$tmp/plain"

# Errors name option and cause.
complains() { # NAME PATTERN OPTIONS...
	local name=$1 pattern=$2 got status
	shift 2
	got=$(box "$@" 2>&1)
	status=$?
	if [ $status -eq 125 ] && grep -qE -- "$pattern" <<<"$got"; then
		pass "error: $name"
	else
		fail "error: $name" "status $status: $got"
	fi
}
complains "unknown option" "unknown option '--nonsense'" --nonsense -- true
complains "unknown short option" "unknown option '-x'" -x -- true
complains "missing argument" "--chdir needs an argument" --chdir
complains "argument not wanted" "--ro takes no argument" --ro=1 -- true
complains "--root that does not exist" "--root: '/no/dir': No such file" --root /no/dir -- true
complains "--root that is a file" "--root: '/etc/passwd': Not a directory" --root /etc/passwd -- true
complains "--bind without target" "--bind: '/etc' is not SRC:DST" --bind /etc -- true
complains "--bind of nothing" "--bind: '/no/src': No such file" --bind /no/src:/mnt -- true
complains "--bind with an unknown mode" "--bind: .*unknown mode 'rx'" --bind /etc:/mnt:rx -- true
complains "--bind to a relative target" "--bind: 'mnt' is not an absolute" --bind /etc:mnt -- true
complains "--bind of a directory over a file" "--bind: .*Not a directory" \
	--bind /etc:/etc/passwd -- true
complains "--tmpfs with a relative path" "--tmpfs: 'x' is not an absolute" --tmpfs x -- true
complains "--chdir to nowhere" "--chdir: '/no/dir': No such file" --chdir /no/dir -- true
complains "--env without a name" "--env: '=x' has no name" --env =x -- true
complains "--user with a name" "--user: 'bob' is not UID" --user bob -- true
complains "--user with a bad group" "--user: '0:x' has a bad GID" --user 0:x -- true
complains "--limit of nothing known" "--limit: 'foo=1': there is no such limit" --limit foo=1 -- true
complains "--limit without a number" "--limit: 'cpu=x': the value is not" --limit cpu=x -- true
complains "--limit without room" "--limit: 'tasks=0': there must be room" --limit tasks=0 -- true
complains "--limit too large" "too large" --limit as=9223372036854775807K -- true
complains "--hostname too long" "--hostname: .*64" --hostname "$(printf %065d 0)" -- true
complains "--hostname empty" "--hostname: " --hostname '' -- true
complains "--backend unknown" "--backend: 'magic' is not" --backend magic -- true
complains "--isolation unknown" "--isolation: 'no' is not" --isolation no -- true
complains "--require unknown" "--require: 'half' is not" --require half -- true
complains "--trace to a file that cannot be made" "--trace: '/no/dir/t': No such file" \
	--trace=/no/dir/t -- true
complains "--fuse without a command" "--fuse: '/m' is not DST=COMMAND" --fuse /m -- true
complains "--fuse with a daemon that fails" "--fuse: 'false.*' ended with status 1" \
	--fuse /tmp/m=false -- true
succeeds "--help ends with status 0" box --help
expect "--version says fusebox" 1 sh -c "'$FUSEBOX' --version | grep -c '^fusebox [0-9]'"
succeeds "--list-syscalls lists more than 300 calls" \
	sh -c "[ \$('$FUSEBOX' --list-syscalls | wc -l) -gt 300 ]"

# The root.
root=$(open_dir root)
mkdir -p "$root"/{bin,lib,lib64,tmp,data,dev,proc,sys}
cp /bin/busybox "$root/bin/"
for name in sh ls cat id echo touch pwd env hostname; do ln "$root/bin/busybox" "$root/bin/$name"; done
echo lower >"$root/data/file"
chmod 777 "$root" "$root/tmp" "$root/data"
chmod 666 "$root/data/file"
expect "--root shows only that directory" "bin data dev lib lib64 proc sys tmp" \
	box --root "$root" -- sh -c 'cd / && echo $(ls)'
expect "a --root other than / starts in /" / box --root "$root" -- pwd
expect "overlay: writes are seen inside" "upper yes" box --root "$root" -- sh -c '
	echo upper >/data/file; touch /data/new; echo $(cat /data/file) $([ -e /data/new ] && echo yes)'
expect "overlay: nothing is written to the host" "lower file" \
	sh -c "echo \$(cat '$root/data/file') \$(ls '$root/data')"
expect "overlay: removal and rename stay inside" "moved" \
	box --root "$root" --overlay -- sh -c '
		cd /data && busybox mv file moved && busybox rm -r /lib64 && ls'
expect "overlay: the host's file is as it was" "file lower 666" \
	sh -c "echo \$(ls '$root/data') \$(cat '$root/data/file') \$(stat -c %a '$root/data/file')"
expect "--ro: writing fails" "sh: can't create /data/file: Read-only file system" \
	box --root "$root" --ro -- sh -c 'echo x >/data/file; :'
expect "--ro: /dev/null, /dev/shm and --tmpfs can be written" ok \
	box --root "$root" --ro --tmpfs /tmp -- sh -c '
		echo x >/dev/null && echo x >/tmp/f && echo x >/dev/shm/f && echo ok'
expect "--rw: writes reach the host" "" box --root "$root" --rw -- sh -c 'echo written >/data/out'
expect "--rw: the host has what was written" written cat "$root/data/out"
rm -f "$root/data/out"

# Binds and mounts.
bind=$(open_dir bind)
mkdir "$bind/dir"
echo one >"$bind/dir/a"
echo file >"$bind/file"
chmod -R a+rwX "$bind"
expect "--bind of a directory is shared for writing" "one" \
	box --bind "$bind/dir:/mnt" -- sh -c 'cat /mnt/a && echo two >/mnt/b'
expect "--bind: the host sees the new file" two cat "$bind/dir/b"
expect "--bind :ro refuses writing" "one 1" box --bind "$bind/dir:/mnt:ro" -- sh -c '
	touch /mnt/c 2>/dev/null; denied=$?; echo $(cat /mnt/a) $denied'
expect "--bind :ro: the host has no new file" "a b" sh -c "echo \$(ls '$bind/dir')"
expect "--bind of a file" "file" \
	box --bind "$bind/file:/etc/motd" -- sh -c 'cat /etc/motd && echo changed >/etc/motd'
expect "--bind of a file: written through" changed cat "$bind/file"
expect "--bind of a file :ro" "changed" box --bind "$bind/file:/etc/motd:ro" -- sh -c '
	(echo x >/etc/motd) 2>/dev/null; cat /etc/motd'
expect "--bind makes missing targets" "one changed" \
	box --bind "$bind/dir:/no/such/place" --bind "$bind/file:/no/other/file" -- \
	sh -c 'echo $(cat /no/such/place/a) $(cat /no/other/file)'
expect "--bind does not let .. out" "bin boot" box --bind "$bind/dir:/mnt" -- \
	sh -c 'cd /mnt/../ && echo $(ls | head -n 2)'
ln -s /etc/passwd "$bind/dir/link"
expect "a link in a bind is followed inside" "$(head -n 1 /etc/passwd)" \
	box --bind "$bind/dir:/mnt" -- head -n 1 /mnt/link
expect "--limit: ours and the host's" "77 2097152 60" box --limit nofile=77 --limit as=2G \
	--limit cpu=60 -- /bin/bash -c 'echo $(ulimit -n) $(ulimit -v) $(ulimit -t)'
expect "--tmpfs is empty, and of type tmpfs" "tmpfs 1777" box --tmpfs /opt/t -- sh -c '
	ls -A /opt/t; echo $(stat -f -c %T /opt/t) $(stat -c %a /opt/t)'
expect "two --tmpfs are two file systems" differ box --tmpfs /opt/a --tmpfs /opt/b -- sh -c '
	[ $(stat -c %d /opt/a) != $(stat -c %d /opt/b) ] && echo differ'

# Environment, directory, user, names.
expect "--chdir" /usr/bin box --chdir /usr/bin -- pwd
expect "the working directory is the host's" "$PWD" box -- pwd
expect "--env sets, the last one wins" "b c" \
	box --env A=a --env A=b --env "C=c" -- sh -c 'echo $A $C'
expect "--env with an equals sign and blanks in the value" "x=y z" \
	box --env "A=x=y z" -- sh -c 'echo "$A"'
expect "--env NAME unsets" "unset" env FOO=1 bash -c '. tests/lib.sh
	box --env FOO -- sh -c "echo \${FOO-unset}"'
expect "the environment is passed on" "1" env FOO=1 bash -c '. tests/lib.sh
	box -- sh -c "echo \$FOO"'
expect "--clear-env leaves only what --env says" "A=1" box --clear-env --env A=1 -- /usr/bin/env
expect "--user 0 is root inside" "uid=0(root) gid=0(root) groups=0(root)" box --user 0 -- id
expect "--user 0 may do what root may" "7:7 ok" box --user 0 --tmpfs /t -- sh -c '
	cd /t && touch f && chown 7:7 f && mount -t tmpfs x /mnt && echo $(stat -c %u:%g f) ok'
expect "--user 1000:1000" "1000 1000 1000" box --user 1000:1000 -- \
	sh -c 'echo $(id -u) $(id -g) $(id -G)'
expect "--user 1000 takes 1000 as group too" "1000:1000" box --user 1000 -- \
	sh -c 'echo $(id -u):$(id -g)'
expect "--user 1000 may not read what only root may" "denied" box --user 1000 -- sh -c '
	cat /etc/shadow 2>/dev/null || echo denied'
expect "--hostname" "box17 box17" box --hostname box17 -- sh -c 'echo $(hostname) $(uname -n)'
expect "the host name without the option" fusebox box -- uname -n

# What was chosen, what was counted, what was called.
got=$(box --verbose -- true 2>&1)
if grep -q "^fusebox: backend: $BACKEND" <<<"$got" && grep -q '^fusebox: isolation: ' <<<"$got"; then
	pass "--verbose names backend and isolation"
else
	fail "--verbose names backend and isolation" "$got"
fi
got=$(box --isolation=nested --verbose -- sh -c 'echo works' 2>&1)
if grep -q '^fusebox: isolation: nested' <<<"$got" && grep -q '^works$' <<<"$got"; then
	pass "--isolation=nested"
else
	fail "--isolation=nested" "$got"
fi
if [ "${WHO:-root}" = root ] && [ "$(id -u)" -ne 0 ] && ! unshare --user true 2>/dev/null; then
	skip "--require=full where full is possible" "root, or user namespaces"
elif [ "${WHO:-root}" = root ]; then
	expect "--require=full where full is possible" full box --require=full -- echo full
	complains "--require=full with --isolation=nested" "(--require|--isolation|full)" \
		--require=full --isolation=nested -- true
else
	complains "--require=full where full is impossible" "namespace" --require=full -- true
fi
got=$(box --stats -- cat /etc/passwd 2>&1 >/dev/null)
if [ "$(grep -cE '^(trapped calls|programs executed|guest memory reads|bytes to guests|fuse requests) +[0-9]+$' \
	<<<"$got")" -eq 5 ]; then
	pass "--stats prints counters"
else
	fail "--stats prints counters" "$got"
fi
traces=$(open_dir traces)
box --trace="$traces/t" -- sh -c 'cat /etc/hostname; exit 3' >/dev/null 2>&1
expect "--trace: every line is [PID] NAME(ARGS) = RESULT" "" sh -c \
	"grep -vE '^\[[0-9]+\] [a-z0-9_]+\(.*\) = (-?[0-9]+|0x[0-9a-f]+|\?)( .*)?\$' '$traces/t' | head -n 5"
expect "--trace shows a path, its flags and the result" 1 sh -c \
	"grep -cE 'openat\(AT_FDCWD, \"/etc/hostname\", O_RDONLY[^)]*\) = [0-9]' '$traces/t'"
expect "--trace shows data" 1 sh -c "grep -cE 'write\(1, \"$(cat /etc/hostname)' '$traces/t'"
succeeds "--trace names errors" grep -qE '= -1 ENOENT \(No such file or directory\)' "$traces/t"
succeeds "--trace shows programs being executed" grep -qE 'execve\("' "$traces/t"
got=$(box --trace -- true 2>&1 >/dev/null | grep -c '^\[')
[ "$got" -gt 3 ] && pass "--trace without a file writes to stderr" ||
	fail "--trace without a file writes to stderr" "$got lines"

# Standard input and output.
head -c 3000000 /dev/urandom >"$tmp/random"
sum=$(sha256sum <"$tmp/random")
io=$(open_dir io)
export io
expect "binary data through pipes" "$sum" bash -c "cat '$tmp/random' | box -- cat | sha256sum"
expect "binary data from a file to a file" "$sum" \
	bash -c "box -- cat <'$tmp/random' >\$io/out && sha256sum <\$io/out"
printf 'one\ntwo\n' >"$io/in"
expect "the offset of stdin is shared with the caller" "one two" bash -c '
	{ echo $(box -- sh -c "read line; echo \$line") $(cat); } <$io/in'
expect "stdout is appended to" "first second" bash -c '
	echo first >$io/log; box -- echo second >>$io/log; echo $(cat $io/log)'
expect "stderr is separate from stdout" "out" bash -c 'box -- sh -c "echo out; echo err >&2" 2>/dev/null'
expect "stderr arrives" "err" bash -c 'box -- sh -c "echo out; echo err >&2" 2>&1 >/dev/null'
expect "stdin closed" "closed" bash -c '
	box -- bash -c "[ -e /proc/self/fd/0 ] || echo closed" <&-'
expect "stdout closed" "closed" bash -c '
	box -- bash -c "[ -e /proc/self/fd/1 ] || echo closed >&2" 2>&1 >&-'
expect "stderr closed" "closed" bash -c 'box -- bash -c "[ -e /proc/self/fd/2 ] || echo closed" 2>&-'
expect "all three closed" "" bash -c 'box -- sh -c "exit 0" <&- >&- 2>&-'
expect "end of file on stdin" "0" bash -c 'box -- wc -c </dev/null'
expect "a large output arrives whole" "20000000" bash -c 'box -- head -c 20000000 /dev/zero | wc -c'
expect "the reader of stdout goes away: SIGPIPE ends the command" "y 141" bash -c '
	first=$(box -- yes | head -n 1; exit ${PIPESTATUS[0]}); echo "$first $?"'
expect "the reader of stdout goes away: EPIPE with SIGPIPE ignored" "EPIPE" bash -c '
	{ box -- python3 -c "
import os
try:
    while True: os.write(1, b\"x\" * 65536)
except BrokenPipeError: os.write(2, b\"EPIPE\")" | head -c 1 >/dev/null; } 2>&1'
expect "a full device gives ENOSPC" "1" bash -c '
	box -- cat /etc/passwd 2>&1 >/dev/full | grep -c "No space left"'
expect "other descriptors of the caller are not passed on" "0 1 2 3" bash -c '
	exec 7</etc/passwd 9</etc/group; box -- ls /proc/self/fd | paste -sd" "'
expect "many writers on one stdout: whole lines" "8000 8" bash -c '
	box -- sh -c "for i in 1 2 3 4 5 6 7 8; do
		(n=1000; while [ \$n -gt 0 ]; do n=\$((n-1)); echo line\$i-writer; done) & done; wait" >$io/lines
	echo $(wc -l <$io/lines) $(sort -u $io/lines | wc -l)'
summary
