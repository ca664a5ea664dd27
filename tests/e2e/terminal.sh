#!/bin/bash
# A shell on a terminal: job control, the keys that send signals, size, full-screen programs. The
# terminal is tmux's.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

if missing tmux >/dev/null; then
	skip "a shell on a terminal" "$(missing tmux)"
	summary
	exit
fi
term() { tmux -L "fusebox$$" -f /dev/null "$@"; }
trap 'term kill-server 2>/dev/null; rm -rf "$tmp"' EXIT
screen() { term capture-pane -p -t t; }
patience=40 # seconds, for a machine with much else to do
# Waits until a command succeeds.
comes() { # COMMAND...
	local end=$((SECONDS + patience))
	until "$@"; do
		[ $SECONDS -ge $end ] && return 1
		sleep 0.05
	done
}
has() { screen | grep -qE -- "$1"; }
# Waits until the screen has a line that matches.
shows() { comes has "$1"; }
keys() { term send-keys -t t "$@"; }
# The last line is a prompt that waits: a command typed before has ended.
prompted() { [[ $(screen | grep . | tail -n 1) =~ ^box\>\ *$ ]]; }
# Types a line and waits until the screen shows what it leads to.
begins() { # PATTERN LINE
	keys "$2" Enter
	shows "$1"
}
# Presses a key until the screen has a line that matches, or the prompt is back: what it is meant
# for may not be in the foreground yet.
press() { # KEY PATTERN|prompted
	local end=$((SECONDS + patience)) i
	while [ $SECONDS -lt $end ]; do
		keys "$1"
		for i in {1..20}; do
			if [ "$2" = prompted ]; then prompted; else has "$2"; fi && return 0
			sleep 0.05
		done
	done
	return 1
}
# Types a line and checks that the screen comes to show a pattern.
step() { # NAME PATTERN KEYS...
	local name=$1 pattern=$2
	shift 2
	keys "$@"
	if shows "$pattern"; then
		pass "$name"
	else
		fail "$name" "wanted: $pattern
$(screen)"
	fi
	[ "${CLEAR:-yes}" = yes ] && term clear-history -t t
	return 0
}
say() { step "$1" "$2" "$3" Enter; }
# A clean screen, after which the prompt is the only thing to see.
clean() {
	comes prompted
	keys C-l
	comes bare
}
bare() { [ "$(screen | grep -c .)" -le 1 ] && prompted; }

cat >"$tmp/run" <<END
cd $PWD
export BACKEND=$BACKEND WHO=${WHO:-root} FUSEBOX=$FUSEBOX TEST_TIMEOUT=600
. tests/lib.sh
stty -a >$tmp/before
as=; [ "\$WHO" = user ] && [ "\$(id -u)" -eq 0 ] && as=as_user
\$as "\$FUSEBOX" run --backend "\$BACKEND" --env HOME=/tmp --env "PS1=box> " --env TERM=screen \
	--env LESS= --env HISTFILE= -- bash --norc
echo "run ended with \$?"
stty -a >$tmp/after
exec sh
END
chmod 644 "$tmp/run"
term new-session -d -s t -x 80 -y 24 "bash $tmp/run" || { fail "tmux starts"; summary; exit; }
shows '^box>' && pass "the shell shows its prompt" || fail "the shell shows its prompt" "$(screen)"
say "no complaint about job control" '^yes$' 'case $- in *m*) echo yes;; esac'
say "the terminal is one" '/dev/pts/[0-9]' 'tty'
say "stty size" '^24 80$' 'stty size'
clean
step "line editing" '^abXc$' 'echo abc' Left X Enter
say "history" '^abXc$' '!echo'
clean

say "a job in the background" '^\[1\] [0-9]+' 'sleep 300 &'
say "jobs" '^\[1\]\+ +Running +sleep 300' 'jobs'
begins '^sleep 300$' fg
press C-z '^\[1\]\+ +Stopped +sleep 300' && pass "Ctrl-Z stops a job in the foreground" ||
	fail "Ctrl-Z stops a job in the foreground" "$(screen)"
say "bg continues it" '^\[1\]\+ sleep 300 &' 'bg'
clean
say "it runs" '^\[1\]\+ +Running +sleep 300' 'jobs'
begins '^sleep 300$' fg
press C-c prompted
say "Ctrl-C ends it" '^status 130$' 'echo status $?'
clean
say "no job is left" '^none$' 'jobs; echo none'
keys 'cat' Enter
keys 'typed' Enter
shows '^typed$' && keys C-d
say "Ctrl-D is end of file" '^status 0$' 'echo status $?'
clean
begins '^begun$' 'echo begun; sleep 300 | cat'
press C-c prompted
say "Ctrl-C ends a whole pipeline" '^status 130$' 'echo status $?'
clean
begins '^begun$' 'echo begun; sleep 300'
press 'C-\' prompted
say "Ctrl-\\ sends SIGQUIT" '^status 131$' 'echo status $?'
clean
keys 'cat &' Enter
press Enter 'Stopped +cat' && pass "reading in the background stops a job" ||
	fail "reading in the background stops a job" "$(screen)"
keys 'kill %1; wait' Enter
clean
begins '^begun$' '(trap "echo caught" INT; echo begun; while :; do sleep 0.1; done)'
step "a handler of SIGINT runs" '^caught$|\^Ccaught' C-c
press 'C-\' prompted
clean
keys 'stty tostop; (echo background) &' Enter
press Enter 'Stopped' && pass "stty tostop stops a writer in the background" ||
	fail "stty tostop stops a writer in the background" "$(screen)"
keys 'stty -tostop; kill -9 %1; wait' Enter
clean
begins '^begun$' 'stty -echo; echo begun; read x; stty echo; echo "got $x"'
say "stty -echo and read" '^got secret$' secret
say "stty raw and sane" '^sane$' 'stty raw; stty sane; echo sane'
clean

begins '^set$' 'trap "echo winch \$(stty size)" WINCH; echo set'
comes prompted
term resize-window -t t -x 100 -y 30
press Enter 'winch 30 100' && pass "resize: SIGWINCH and the new size" ||
	fail "resize: SIGWINCH and the new size" "$(screen)"
say "resize: COLUMNS" '^100 30$' 'echo $COLUMNS $LINES'
term resize-window -t t -x 80 -y 24
keys 'trap - WINCH' Enter
clean

if command -v less >/dev/null; then
	step "less shows a file" '^(/tmp/l|:)' 'seq 500 | sed s/^/line/ >/tmp/l; less /tmp/l' Enter
	shows '^line23$' && pass "less fills the screen" || fail "less fills the screen" "$(screen)"
	step "less pages" '^line46$' ' '
	step "less searches" '^line300$' '/line300' Enter
	step "less quits" '^box>' q
else
	skip "less" "less is not installed"
fi
clean
vi=$(command -v vi || command -v vim.tiny || command -v vim)
if [ -n "$vi" ]; then
	step "vi starts" '^~' "$vi -u NONE /tmp/v" Enter
	step "vi shows what is typed" '^written in vi' i 'written in vi' Escape
	step "vi writes and quits" '^box>' ':wq' Enter
	say "vi wrote the file" '^written in vi$' 'clear; cat /tmp/v'
else
	skip "vi" "vim-tiny is not installed"
fi
clean
if command -v top >/dev/null; then
	step "top shows the processes" ' bash' 'top -d 1' Enter
	shows 'PID +USER' && pass "top has its header" || fail "top has its header" "$(screen)"
	step "top quits" '^box>' q
else
	skip "top" "procps is not installed"
fi
clean
keys 'exec 3<>/dev/tty; echo to the terminal >&3' Enter
shows '^to the terminal' && pass "/dev/tty" || fail "/dev/tty" "$(screen)"
say "a program makes a terminal of its own" '^/dev/pts/[1-9]' "python3 -c 'import pty; pty.spawn(\"tty\")'"
keys 'stty -echo -icanon' Enter 'exit 7' Enter
shows '^run ended with 7$' && pass "exit ends the run with its status" ||
	fail "exit ends the run with its status" "$(screen)"
comes test -s "$tmp/after"
expect "the terminal's settings are as before" "" diff "$tmp/before" "$tmp/after"
summary
