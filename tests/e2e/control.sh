#!/bin/bash
# Seeing and ending what hangs: fusectl, --fuse-timeout, `fusebox ps --fuse`, SIGQUIT.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh

opt=(--bind "$PWD/build/examples:/opt/examples:ro" --tmpfs /w --env "PATH=/opt/examples:/usr/bin:/bin")
export FUSEBOX
XDG_RUNTIME_DIR=$tmp/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
export XDG_RUNTIME_DIR

# A daemon that is stopped.
cat >"$tmp/stopped" <<'END'
hello -f /w/m >/dev/null 2>&1 & pid=$!
until [ -e /w/m/hello ]; do sleep 0.05; done
kill -STOP $pid
stat /w/m/nothing 2>&1 | grep -o 'timed out'
cat /sys/fs/fuse/connections/*/waiting
kill -CONT $pid
until [ "$(cat /sys/fs/fuse/connections/*/waiting)" = 0 ]; do sleep 0.05; done
cat /w/m/hello
echo 1 | tee /sys/fs/fuse/connections/*/abort >/dev/null
cat /w/m/hello 2>&1 | grep -o 'not connected'
wait $pid
END
expect "--fuse-timeout: the client gets an error, the connection lives, fusectl ends it" \
	$'timed out\n1\nHello World!\nnot connected' \
	box "${opt[@]}" --user 0 --tmpfs /w/m --fuse-timeout 1 -- bash -c "$(cat "$tmp/stopped")"
expect_status "--fuse-timeout: 0 is refused" 125 box --fuse-timeout 0 -- true

expect "SYNC_INIT, PASSTHROUGH and SIGIO, with a daemon on the raw protocol" \
	"$(printf '%s\n' 'mount waited for INIT: True' "read b'5678901234' wrote 3 backing has b'ABC34'" \
		"mapped b'ABC34' b'9xyz3'" 'SIGIO True' 'READ or WRITE asked: False')" \
	box --user 0 --tmpfs /w --bind "$PWD/tests/support/rawdaemon.py:/opt/raw.py:ro" -- python3 /opt/raw.py

# One client waits for a stopped daemon, another for a daemon that looks into its own mount.
cat >"$tmp/hangs" <<'END'
mkdir /w/a /w/b
hello -f /w/a >/dev/null 2>&1 & one=$!
passthrough_ll -s -f -o source=/ /w/b >/dev/null 2>&1 & two=$!
until [ -e /w/a/hello ] && [ -e /w/b/etc ]; do sleep 0.05; done
kill -STOP $one
stat /w/a/x >/dev/null 2>&1 &
stat /w/b/w/b/etc >/dev/null 2>&1 &
read -r line
kill -9 $one $two
END
mkfifo "$tmp/in"
timeout -k 2 60 "$FUSEBOX" run --backend "$BACKEND" "${opt[@]}" -- bash -c "$(cat "$tmp/hangs")" \
	<"$tmp/in" >"$tmp/out" 2>&1 &
exec 7>"$tmp/in"
for _ in $(seq 400); do
	seen=$("$FUSEBOX" ps --fuse)
	[[ $seen == *SELF-DEADLOCK* && $seen == *"(hello)"* ]] && break
	sleep 0.1
done
shows() { # NAME PATTERN TEXT
	if grep -qE "$2" <<<"$3"; then pass "$1"; else fail "$1" "$3"; fi
}
shows "ps: pid, isolation, backend, tasks, command" '^ *[0-9]+ (full|nested) +(notify|ptrace) +[0-9]+ bash' "$seen"
shows "ps --fuse: age, opcode, client, connection, daemon" \
	'^ +[0-9.]+ s  LOOKUP +node 1  #[0-9]+  [0-9]+ \(stat\) -> connection [0-9]+ -> [0-9]+ \(hello\)$' "$seen"
shows "ps --fuse: a daemon that waits for itself is named" \
	'SELF-DEADLOCK: [0-9]+ \(passthrough_ll\) serves connection' "$seen"
shows "ps: the socket is the user's alone" '^srw-------' "$(ls -l "$XDG_RUNTIME_DIR"/fusebox/)"
kill -QUIT "$("$FUSEBOX" ps | awk '/bash/ { print $1 }')"
for _ in $(seq 400); do
	grep -q SELF-DEADLOCK "$tmp/out" && break
	sleep 0.1
done
shows "SIGQUIT prints the same" 'SELF-DEADLOCK: [0-9]+ \(passthrough_ll\)' "$(cat "$tmp/out")"
echo >&7
exec 7>&-
wait
expect "ps: a sandbox that has ended is gone" 1 bash -c '"$FUSEBOX" ps | wc -l; ls "$XDG_RUNTIME_DIR"/fusebox'
"$FUSEBOX" run -- sleep 100 >/dev/null 2>&1 &
for _ in $(seq 400); do
	[ "$("$FUSEBOX" ps | wc -l)" = 2 ] && break
	sleep 0.1
done
kill -9 $!
wait 2>/dev/null
expect "ps: what a killed sandbox leaves behind is removed" 1 \
	bash -c '"$FUSEBOX" ps | wc -l; ls "$XDG_RUNTIME_DIR"/fusebox'
summary
