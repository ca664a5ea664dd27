#!/bin/bash
# Unmodified programs do their work in the sandbox: shells, tools, compilers, languages.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

inside "shell and tools" --tmpfs /w --chdir /w <<'END'
@is "a pipeline of five programs" "3 a" \
	sh -c 'printf "b\na\nc\na\na\n" | grep a | sort | uniq -c | sed "s/^ *//" | cat'
@is "bash: process substitution, here string, arrays, traps" "same x 3 bye" bash -c '
	diff <(seq 5) <(seq 5) && echo -n "same "; read a <<<x; b=(1 2 3)
	trap "echo bye" EXIT; echo -n "$a ${#b[@]} "'
@is "bash: coproc" "ABC 0" bash -c '
	coproc tr a-z A-Z; child=$COPROC_PID
	echo abc >&${COPROC[1]}; exec {COPROC[1]}>&-; read x <&${COPROC[0]}; wait $child; echo $x $?'
@is "bash: wait -n" "5 127" bash -c '(exit 5) & wait -n; echo -n "$? "; wait -n; echo $?'
@is "PIPESTATUS" "1 0 3" bash -c 'false | true | (exit 3); echo ${PIPESTATUS[*]}'
@is "a pipeline of 20" 1 bash -c 'c=cat; for i in {1..18}; do c="$c | cat"; done; echo 1 | eval "$c"'
mkdir d && cd d || exit
seq 100 | while read -r i; do echo $i >f$i; done
@is "find, xargs, wc" 100 sh -c 'find . -type f -print0 | xargs -0 -n 10 cat | wc -l'
@is "find -exec ... +, -size, -newer" "100 0" sh -c '
	touch ../stamp; echo $(find . -type f -exec cat {} + | wc -l) $(find . -newer ../stamp | wc -l)'
@is "find -delete" 50 sh -c 'ls | sort | head -n 50 | xargs rm; find . -type f | wc -l'
cd .. && mkdir t && cd t || exit
@is "cp -a, ls, stat, touch, ln, readlink, du, cmp" "ok" sh -c '
	echo x >a && ln a hard && ln -s a soft && mkfifo fifo && touch -d @1000000000 a && chmod 640 a
	cd .. && cp -a t t2 && cd t2 && [ $(stat -c %h.%a.%Y a) = 2.640.1000000000 ] &&
	[ $(readlink soft) = a ] && [ -p fifo ] && cmp a ../t/a && du -s . >/dev/null && echo ok'
@is "tar through gzip, both ways" "" sh -c '
	mkdir ../x && tar -C .. -czf - t | tar -C ../x -xzf - && diff -r --no-dereference ../t/a ../x/t/a'
@is "dd, head -c, od, split, sha256sum" "ok" sh -c '
	dd if=/dev/zero of=z bs=64k count=20 2>/dev/null; split -b 100k z part.; cat part.* | cmp - z &&
	[ $(head -c 3 z | od -An -tx1 | tr -d " ") = 000000 ] && sha256sum z | sha256sum -c --quiet && echo ok'
@is "install, mktemp, realpath, comm, paste, join" ok sh -c '
	install -m 750 /bin/true ./tt && ./tt && [ $(stat -c %a tt) = 750 ] && f=$(mktemp -p .) &&
	[ -f $f ] && [ $(realpath ./tt) = /w/t/tt ] && echo ok'
@is "timeout, sleep, kill, nohup, nice" "124 ok" sh -c '
	timeout 0.1 sleep 5; echo $? $(nohup nice -n 5 echo ok 2>/dev/null)'
@is "flock between two processes" "1" sh -c 'flock l sh -c "flock -n l true || echo 1"'
@works "ps, pgrep, free, uptime, df, mount, id, w" \
	sh -c 'ps aux && free && uptime && df / && mount && id && nproc && cat /proc/cpuinfo /proc/meminfo'
@is "awk, sed -i, tee, tr, cut, rev, fold" "5050 Y" sh -c '
	seq 100 | tee s | awk "{n+=\$1} END {print n}" | tr "\n" " "; echo x >e; sed -i s/x/y/ e; tr y Y <e'
mkfifo fifo2
@is "FIFO between two processes" "through" sh -c 'echo through >fifo2 & cat fifo2'

printf '#!/bin/sh\necho "sh:$0:$*"\n' >/w/one
printf '#!/w/one arg of one\n' >/w/two
printf '#!/w/two\n' >/w/three
printf '#!/usr/bin/env -S python3 -u\nprint("py")\n' >/w/four
chmod 755 /w/one /w/two /w/three /w/four
@is "script" "sh:/w/one:x y" /w/one x y
@is "script whose interpreter is a script" "sh:/w/one:arg of one /w/two x" /w/two x
@is "nested three deep" "sh:/w/one:arg of one /w/two /w/three z" /w/three z
@is "env -S" py /w/four
printf '#!/w/loop\n' >/w/loop && chmod 755 /w/loop
@is "a script that is its own interpreter gives ELOOP" 40 python3 -c '
import os
try: os.execv("/w/loop", ["loop"])
except OSError as e: print(e.errno)'
@is "busybox, static" "3 static" busybox sh -c 'echo $(seq 3 | busybox wc -l) static'
@is "1 000 short commands" 1000 sh -c '
	i=0; while [ $i -lt 1000 ]; do i=$((i+1)); /bin/true; done; echo $i'
END

inside "compilers" --tmpfs /w --chdir /w --env HOME=/w <<'END'
if ! command -v gcc >/dev/null || ! command -v make >/dev/null; then
	@skip "gcc and make" "gcc or make is not installed"
else
	cat >main.c <<'C'
#include <pthread.h>
#include <stdio.h>
int part(int);
static void *run(void *arg) { *(int *)arg = part(*(int *)arg); return 0; }
int main(void)
{
	pthread_t t[4]; int v[4] = { 1, 2, 3, 4 }, sum = 0;
	for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, run, &v[i]);
	for (int i = 0; i < 4; i++) { pthread_join(t[i], 0); sum += v[i]; }
	printf("%d\n", sum);
	return 0;
}
C
	echo 'int part(int x) { return x * x; }' >part.c
	for i in 1 2 3 4; do echo "int f$i(void) { return $i; }" >f$i.c; done
	printf '%s\n' 'prog: main.o part.o f1.o f2.o f3.o f4.o' \
		"	gcc -o \$@ \$^ -pthread" '%.o: %.c' "	gcc -O1 -c -o \$@ \$<" >Makefile
	@works "make -j4 with gcc" make -j4 -s
	@is "the program runs" 30 ./prog
	@is "make finds nothing to do" "make: 'prog' is up to date." make
	@works "touch and make again" sh -c 'touch part.c && make -s -j4 && [ prog -nt part.c ]'
	gcc -static-pie -O1 -o spie main.c part.c -pthread && @is "static-PIE" 30 ./spie
	gcc -static -O1 -o stat main.c part.c -pthread && @is "static" 30 ./stat
	gcc -shared -fPIC -o libpart.so part.c && gcc -o dyn main.c -L. -lpart -pthread &&
		@is "own shared library by LD_LIBRARY_PATH" 30 env LD_LIBRARY_PATH=/w ./dyn
fi
END

inside "set-uid" --user 0 <<'END'
mount -t tmpfs -o mode=755 x /mnt && cp /usr/bin/id /mnt/id && chown 0:0 /mnt/id && chmod 4755 /mnt/id
ids() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
@is "a set-uid program gets its owner's rights" "0 1000" ids sh -c 'echo $(/mnt/id -u) $(/mnt/id -ru)'
@is "a set-uid program does not with no_new_privs" "1000 1000" \
	ids --no-new-privs sh -c 'echo $(/mnt/id -u) $(/mnt/id -ru)'
cp /usr/bin/id /mnt/gid && chown 0:42 /mnt/gid && chmod 2755 /mnt/gid
@is "a set-gid program gets its group's rights" "42 1000" ids sh -c 'echo $(/mnt/gid -g) $(/mnt/gid -rg)'
mount -o remount,nosuid /mnt
@is "a set-uid program does not from a nosuid mount" "1000 1000" \
	ids sh -c 'echo $(/mnt/id -u) $(/mnt/id -ru)'
END

inside "git" --tmpfs /w --chdir /w --env HOME=/w <<'END'
if ! command -v git >/dev/null; then
	@skip "git" "git is not installed"
else
	git config --global user.email a@b.c && git config --global user.name n
	git config --global init.defaultBranch main
	mkdir r && cd r && for i in $(seq 50); do echo "file $i" >f$i; done
	@works "git init, add, commit" sh -c 'git init -q . && git add . && git commit -qm one'
	@works "git commit, branch, merge" sh -c 'git checkout -qb side && echo s >side &&
		git add side && git commit -qm side && git checkout -q main && echo m >>f1 &&
		git commit -qam m && git merge -q --no-edit side'
	@is "git status is clean" "" git status --short
	@works "git gc and fsck" sh -c 'git gc -q && git fsck --strict'
	@works "git clone, local and by file://" sh -c '
		git clone -q . ../c1 && git clone -q file:///w/r ../c2 && git -C ../c2 fsck'
	@is "the clone has the files" "51 m" sh -c 'echo $(ls ../c2 | wc -l) $(tail -n 1 ../c2/f1)'
	@is "git log and grep" "4 1" sh -c 'echo $(git log --oneline | wc -l) $(git grep "file 17" | wc -l)'
fi
END

inside "languages" --tmpfs /w --chdir /w --env HOME=/w <<'END'
cat >t.py <<'PY'
import multiprocessing, os, queue, socket, subprocess, sys, tempfile, threading, asyncio, signal, mmap
def square(x): return x * x
def check(name, what): print(("@ok" if what else "@no") + " python3: " + name, flush=True)
if __name__ == "__main__":
    check("subprocess", subprocess.run(["tr", "a-z", "A-Z"], input=b"abc", capture_output=True).stdout == b"ABC")
    q = queue.Queue()
    ts = [threading.Thread(target=lambda i=i: q.put(i)) for i in range(32)]
    [t.start() for t in ts]; [t.join() for t in ts]
    check("32 threads and a queue", sorted(q.queue) == list(range(32)))
    with multiprocessing.Pool(3) as p:
        check("multiprocessing.Pool by fork", p.map(square, range(50)) == [x * x for x in range(50)])
    ctx = multiprocessing.get_context("spawn")
    with ctx.Pool(1) as p:
        check("multiprocessing.Pool by spawn", p.map(square, [3]) == [9])
    check("multiprocessing.Value in shared memory", multiprocessing.Value("i", 7).value == 7)
    a, b = socket.socketpair(); a.send(b"x")
    check("socketpair", b.recv(1) == b"x")
    async def main():
        p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
        out, _ = await p.communicate(b"hello"); await asyncio.sleep(0.01); return out
    check("asyncio with a subprocess", asyncio.run(main()) == b"hello")
    hits = []
    signal.signal(signal.SIGALRM, lambda *a: hits.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.1)
    signal.pause(); check("setitimer and a signal handler", hits == [1])
    with tempfile.TemporaryFile() as f:
        f.write(b"x" * 8192); f.flush(); m = mmap.mmap(f.fileno(), 8192); m[0:3] = b"abc"; m.flush()
        f.seek(0); check("shared mmap of a temporary file", f.read(3) == b"abc")
    r, w = os.pipe(); pid = os.fork()
    if pid == 0: os.write(w, b"c"); os._exit(3)
    check("fork, pipe, waitpid", os.read(r, 1) == b"c" and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3)
PY
@works "python3 runs its checks to the end" sh -c 'python3 t.py >out 2>&1 || { cat out; exit 1; }'
grep '^@' out
if python3 -c 'import ensurepip' 2>/dev/null; then
	@is "python3 -m venv --without-pip" /w/v sh -c '
		python3 -m venv --without-pip v && v/bin/python -c "import sys; print(sys.prefix)"'
else
	@skip "python3 -m venv" "python3-venv is not installed"
fi
@is "perl: child, sort, regex" "child a-b 3" perl -e '
	open(my $p, "-|", "echo child") or die; print scalar(<$p>) =~ s/\n/ /r;
	$_ = "a b"; s/ /-/; print "$_ ", scalar(grep { $_ > 1 } (1, 2, 3, 4)), "\n"'
if command -v sqlite3 >/dev/null; then
	@is "sqlite3: 10 000 inserts in 100 transactions" "10000 ok" sh -c '
		{ for t in $(seq 100); do echo "begin;"; seq 100 | sed "s/.*/insert into t values(&);/"
			echo "commit;"; done; } >in
		sqlite3 db "create table t(x)" && sqlite3 db <in &&
		echo $(sqlite3 db "select count(*) from t; pragma integrity_check")'
	@is "sqlite3: write-ahead log and two processes" "$(printf 'wal\n2')" sh -c '
		echo $(sqlite3 w "pragma journal_mode=wal; create table t(x)")
		sqlite3 w ".timeout 5000" "insert into t values(1)" &
		sqlite3 w ".timeout 5000" "insert into t values(2)"; wait
		sqlite3 w "select count(*) from t"'
else
	@skip "sqlite3" "sqlite3 is not installed"
fi
END

# The Go program is compiled once, on the host.
cat >"$tmp/t.go" <<'END'
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

func check(name string, ok bool) {
	if ok {
		fmt.Println("@ok Go: " + name)
	} else {
		fmt.Println("@no Go: " + name)
	}
}

func main() {
	var wg sync.WaitGroup
	c := make(chan int, 10)
	for i := 0; i < 1000; i++ {
		wg.Add(1)
		go func(i int) { defer wg.Done(); time.Sleep(time.Millisecond); c <- i }(i)
	}
	go func() { wg.Wait(); close(c) }()
	sum := 0
	for v := range c {
		sum += v
	}
	check("1000 goroutines and a channel", sum == 499500)
	out, err := exec.Command("sh", "-c", "echo child; exit 0").Output()
	check("os/exec", err == nil && string(out) == "child\n")
	err = exec.Command("sh", "-c", "exit 4").Run()
	e, ok := err.(*exec.ExitError)
	check("exit status of a child", ok && e.ExitCode() == 4)
	s := make(chan os.Signal, 1)
	signal.Notify(s, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	check("os/signal", <-s == syscall.SIGUSR1)
	r, w, _ := os.Pipe()
	go func() { w.Write([]byte("x")); w.Close() }()
	b := make([]byte, 4)
	n, _ := r.Read(b)
	check("pipe between goroutines", n == 1)
	end := time.Now().Add(50 * time.Millisecond)
	go func() { for time.Now().Before(end) {} }()
	for time.Now().Before(end) {
		x := make([]byte, 1<<16)
		_ = x
	}
	check("garbage collection and preemption", true)
}
END
if missing go >/dev/null; then
	skip "Go program" "$(missing go)"
elif [ -x build/tests-go ] || CGO_ENABLED=0 GOCACHE="$tmp/gocache" GO111MODULE=off \
	go build -o build/tests-go "$tmp/t.go" >"$tmp/go.out" 2>&1; then
	inside "Go program" <<'END'
build/tests-go
END
else
	fail "Go program does not compile" "$(cat "$tmp/go.out")"
fi
summary
