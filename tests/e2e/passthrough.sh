#!/bin/bash
# Real work on a mount of passthrough_ll: copies, git, gcc, python, sqlite, tar, and processes that
# change one directory at once. LONG=1: the last for a minute.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
TEST_TIMEOUT=240

# The daemon keeps a descriptor of each file that its mount knows.
limit=$(ulimit -Hn)
if [ "$limit" != unlimited ] && [ "$limit" -lt 16384 ]; then
	skip "passthrough_ll" "a limit of 16384 open files (ulimit -Hn: $limit)"
	summary
	exit
fi
ulimit -n "$limit"

# Each call of the daemon costs several times as much under ptrace: the same work on less.
doc='[a-f]*' files=5000 inserts=10000 seconds=5
[ "$BACKEND" = ptrace ] && doc='[a-b]*' files=500 inserts=2000 seconds=2
[ "${WHO:-root}" = user ] && [ "$BACKEND" = notify ] && doc='[a-c]*' files=1000
[ -n "${LONG:-}" ] && doc='*' files=5000 inserts=10000 seconds=60

inside "passthrough_ll" --bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w --chdir /w --env HOME=/w \
	--env "doc=$doc" --env files=$files --env inserts=$inserts --env seconds=$seconds <<'END'
mkdir src m
/opt/examples/passthrough_ll -o source=/w/src,cache=auto /w/m || exit
@within 5 grep -q " /w/m fuse" /proc/mounts
cd m || exit
@is "cp -a /usr/share/doc/$doc in, diff -r" "" sh -c '
	mkdir doc && cp -a /usr/share/doc/$doc doc/ && for i in doc/*; do
		diff -r --no-dereference $i /usr/share/doc/${i#doc/}; done'
@is "what was copied is below, too" "" sh -c '
	for i in doc/*; do diff -rq --no-dereference $i ../src/$i; done'

if command -v git >/dev/null; then
	git config --global user.email a@b.c; git config --global user.name n
	git config --global init.defaultBranch main
	mkdir git && cd git && for i in $(seq 100); do echo "file $i" >f$i; done
	@works "git init, add, commit" sh -c 'git init -q . && git add . && git commit -qm one'
	@works "git fsck" git fsck --strict
	@is "git status is clean" "" git status --short
	@works "git branch, commit, merge, gc" sh -c 'git checkout -qb side && echo s >f1 && git commit -qam s &&
		git checkout -q main && git merge -q side && git gc -q && git fsck'
	@works "git clone to the mount" sh -c 'git clone -q . ../clone && git -C ../clone fsck'
	cd ..
else
	@skip "git" "git is not installed"
fi

cat >hello.c <<'C'
#include <stdio.h>
int main(void) { return puts("compiled on the mount") < 0; }
C
if command -v gcc >/dev/null; then
	@is "gcc compiles and links, the program runs" "compiled on the mount" sh -c 'gcc -o hello hello.c && ./hello'
else
	@skip "gcc" "gcc is not installed"
fi
if python3 -c 'import ensurepip' 2>/dev/null; then
	pip=--without-pip
	[ -n "${LONG:-}" ] && pip=
	@is "python3 -m venv" "/w/m/venv" sh -c "
		python3 -m venv $pip venv && venv/bin/python -c 'import sys, json, sqlite3; print(sys.prefix)'"
else
	@skip "python3 -m venv" "python3-venv is not installed"
fi
if command -v sqlite3 >/dev/null; then
	@is "sqlite3: $inserts inserts, a transaction per hundred" "$inserts ok" sh -c '
		{ for t in $(seq $((inserts / 100))); do echo "begin;"
			seq 100 | sed "s/.*/insert into t values(&, hex(randomblob(20)));/"
			echo "commit;"; done; } >../in
		sqlite3 db "create table t(x, y); create index i on t(y)" && sqlite3 db <../in &&
		echo $(sqlite3 db "select count(*) from t; pragma integrity_check")'
	@is "sqlite3: a transaction per insert" "100 ok" sh -c '
		seq 100 | sed "s/.*/insert into s values(&);/" >../in
		sqlite3 db "create table s(x)" && sqlite3 db <../in &&
		echo $(sqlite3 db "select count(*) from s; pragma integrity_check")'
else
	@skip "sqlite3" "sqlite3 is not installed"
fi

mkdir ../many && cd ../many && python3 -c '
import os, sys
for i in range(int(sys.argv[1])):
    if i % 100 == 0: os.mkdir("d%d" % (i // 100))
    with open("d%d/f%d" % (i // 100, i), "w") as f: f.write("content %d\n" % i * (i % 50))' $files
cd ../m || exit
@is "tar of $files files in" "" sh -c 'mkdir many && tar -C ../many -cf - . | tar -C many -xf - && diff -r ../many many'
@is "tar of $files files out" "" sh -c 'mkdir ../back && tar -C many -cf - . | tar -C ../back -xf - && diff -r ../many ../back'

cat >../churn.py <<'PY'
# Eight processes create, rename, link and remove in one directory; each knows what must be there.
import os, random, sys, time
def work(me, seconds):
    rng, mine, n, end = random.Random(me), {}, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        n += 1
        # passthrough_ll keeps a descriptor for each file that lives: their number must stay small.
        what = rng.random() if len(mine) < 300 else 0.85
        if what < 0.4 or not mine:
            name, text = "p%d-%d" % (me, n), "text %d" % n
            fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            os.write(fd, text.encode()); os.close(fd)
            mine[name] = text
        elif what < 0.7:
            old = rng.choice(list(mine)); new = "p%d-%d" % (me, n)
            os.rename(old, new); mine[new] = mine.pop(old)
        elif what < 0.8:
            old = rng.choice(list(mine)); new = rng.choice(list(mine))
            os.rename(old, new)
            if old != new: mine[new] = mine.pop(old)
        elif what < 0.9:
            name = rng.choice(list(mine)); os.unlink(name); del mine[name]
        else:
            name = rng.choice(list(mine))
            with open(name) as f: assert f.read() == mine[name], name
    there = {name for name in os.listdir(".") if name.startswith("p%d-" % me)}
    assert there == set(mine), (len(there - set(mine)), len(set(mine) - there))
    for name, text in mine.items():
        with open(name) as f: assert f.read() == text, name
    return n
os.mkdir("churn"); os.chdir("churn")
pids = []
for me in range(8):
    pid = os.fork()
    if pid == 0:
        try: n = work(me, float(sys.argv[1]))
        except BaseException as e: print("process", me, repr(e), flush=True); os._exit(1)
        os._exit(0 if n > 5 else 2)
    pids.append(pid)
bad = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
here, below = sorted(os.listdir(".")), sorted(os.listdir("/w/src/churn"))
print("ok" if not bad and here == below else "bad", bad, len(set(here) ^ set(below)))
PY
@is "8 processes in one directory for $seconds s: nothing is lost" "ok 0 0" python3 ../churn.py $seconds
cd ..
rm -rf m/*
@is "rm -r of all: nothing is left, above and below" "" sh -c 'ls -A m; ls -A src'
@works "unmount" fusermount3 -u /w/m
END
summary
