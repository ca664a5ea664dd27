#!/bin/bash
# The sentry under load: signals, job control, births, execs and deaths at every stage of a call.
# Nothing may be lost, nothing may hang, and the sentry keeps nothing of what is gone. LONG=1: more.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
guests=$PWD/${STRESS_GUESTS:-build/release/tests/stress-guest}
scale=1
[ -n "${LONG:-}" ] && scale=20 TEST_TIMEOUT=1800

stress() { # PROGRAM ARGUMENTS...
	local program=$1
	shift
	succeeds "stress: $program $*" box -- "$guests/$program" "$@"
}

# The sentry among the descendants of a process.
sentry_of() { # PID
	local pid
	[ "$(cat "/proc/$1/comm" 2>/dev/null)" = fusebox ] && echo "$1" && return 0
	for pid in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		sentry_of "$pid" && return 0
	done
	return 1
}

wait_for() { # WORD FILE: up to the time limit
	local i
	for ((i = 0; i < TEST_TIMEOUT * 20; i++)); do
		grep -qx "$1" "$2" && return 0
		sleep 0.05
	done
	return 1
}

rss_kb() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }
fds() { ls "/proc/$1/fd" | wc -l; }
cpu_ticks() { # utime + stime
	local stat
	stat=$(cat "/proc/$1/stat")
	set -- ${stat##*) }
	echo $((${12} + ${13}))
}

# Descriptors and resident KiB of a process, once two looks in a row see the same.
settled() { # PID
	local now last='' i
	for ((i = 0; i < 100; i++)); do
		now="$(fds "$1") $(rss_kb "$1")"
		[ "$now" = "$last" ] && break
		last=$now
		sleep 0.2
	done
	echo "$now"
}

# The same again and again. Once warm, the sentry must come to a round in which it does not grow; a
# leak grows in all of them.
no_leak() { # NAME COMMAND-LINE
	local name=$1 command=$2 rep fd=0 rss=0 last_fd last_rss all='' leaks=yes box
	mkfifo "$tmp/go"
	: >"$tmp/said"
	box -- /bin/sh -c "for rep in 1 2 3 4 5 6; do $command; echo \$rep \$?; read go || exit; done" \
		<"$tmp/go" >"$tmp/said" 2>&1 &
	box=$!
	exec 8>"$tmp/go"
	for rep in 1 2 3 4 5 6; do
		wait_for "$rep 0" "$tmp/said" || break
		last_fd=$fd last_rss=$rss
		read -r fd rss <<<"$(settled "$(sentry_of $box)")"
		all+=" $fd/$rss"
		if [ $rep -gt 2 ] && [ "$fd" -le "$last_fd" ] &&
			[ $((rss - last_rss)) -le "${LEAK_KB:-400}" ]; then
			leaks=no
			break
		fi
		echo >&8
	done
	exec 8>&-
	wait $box
	rm -f "$tmp/go"
	if [ $leaks = no ]; then
		pass "no leak: $name (descriptors/KiB$all)"
	else
		fail "no leak: $name" "descriptors/KiB$all
$(cat "$tmp/said")"
	fi
}

# A sentry whose guests all sleep uses no processor time.
idle() { # NAME COMMAND...
	local name=$1 sentry before box used='' i
	shift
	mkfifo "$tmp/go"
	: >"$tmp/said"
	box -- "$@" <"$tmp/go" >"$tmp/said" 2>&1 &
	box=$!
	exec 8>"$tmp/go"
	if wait_for parked "$tmp/said" && sentry=$(sentry_of $box); then
		for ((i = 0; i < 20 && ${used:-2} > 1; i++)); do # it has to come to rest
			before=$(cpu_ticks "$sentry")
			sleep 2
			used=$(($(cpu_ticks "$sentry") - before))
		done
	fi
	if [ "${used:-2}" -le 1 ]; then
		pass "idle: $name"
	else
		fail "idle: $name" "${used:-no} clock ticks in 2 s
$(cat "$tmp/said")"
	fi
	exec 8>&-
	wait $box
	rm -f "$tmp/go"
}

stress sigread restart $((2000 * scale))
stress sigread eintr $((2000 * scale))
stress sigread restart $((1000 * scale)) 70
stress threads 64 $((10 * scale))
stress lifecycle forks $((10 * scale))
stress lifecycle vforks $((20 * scale))
stress lifecycle threadexec $((20 * scale))
stress lifecycle exitgroup $((20 * scale))
stress lifecycle kills $((36 * scale))
stress lifecycle groupkills $((36 * scale))
stress lifecycle sigexec $((40 * scale))
stress stopcont $((1000 * scale))
stress masks $((60 * scale))
stress dispositions $((2000 * scale))
expect "1 000 short commands" 1000 box -- /bin/sh -c \
	'i=0; while [ $i -lt 1000 ]; do /bin/true && i=$((i + 1)); done; echo $i'

# Every process of the bomb forks until it cannot; the first one lives to tell.
expect "--limit tasks holds a fork bomb" survived box --limit tasks=40 -- \
	/usr/bin/perl -e 'my $top = $$; 1 while defined fork; print "survived\n" if $$ == $top'
expect "--limit tasks: a place is free again when its task has ended" 300 box --limit tasks=2 -- \
	/bin/sh -c 'i=0; while [ $i -lt 300 ]; do /bin/true && i=$((i + 1)); done; echo $i'
expect "--limit tasks: the last place, and no more" "EAGAIN 3" box --limit tasks=4 -- \
	/usr/bin/perl -e '$| = 1; for (1 .. 9) { my $p = fork; if (!defined $p) {
		print $!{EAGAIN} ? "EAGAIN " : "$! "; last } if (!$p) { sleep 60; exit } push @p, $p }
		print scalar @p, "\n"; kill 9, @p'

idle "a guest that waits" "$guests/parked" 0
idle "200 parked readers" "$guests/parked" 200

no_leak "short commands" 'i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i + 1)); done'
no_leak "births and deaths" "$guests/lifecycle forks 10 && $guests/lifecycle kills 30"
no_leak "execs from threads" "$guests/lifecycle threadexec 20"
no_leak "signals" "$guests/sigread restart 500 && $guests/stopcont 300"
no_leak "threads" "$guests/threads 64 5"
summary
