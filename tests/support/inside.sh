# Checks made by a script that runs inside the sandbox: many checks for one start of a sandbox.
# `inside` of tests/lib.sh puts this before the script and counts the lines that begin with @.

@ok() {
	echo "@ok $1"
}
@no() { # NAME [DETAIL]
	echo "@no $1"
	[ -n "${2:-}" ] && printf '%s\n' "$2" | head -n 20 | sed 's/^/@| /'
	return 0
}
@skip() { # NAME MISSING
	echo "@skip $1: $2"
}
# @works NAME COMMAND...: status 0
@works() {
	@status "$1" 0 "${@:2}"
}
# @status NAME STATUS COMMAND...
@status() {
	local got status
	got=$("${@:3}" 2>&1 </dev/null)
	status=$?
	if [ $status -eq "$2" ]; then
		@ok "$1"
	else
		@no "$1" "status $status, wanted $2
$got"
	fi
}
# @is NAME EXPECTED-OUTPUT COMMAND...: output (stdout and stderr) equal, status 0
@is() {
	local got status
	got=$("${@:3}" 2>&1 </dev/null)
	status=$?
	if [ $status -eq 0 ] && [ "$got" = "$2" ]; then
		@ok "$1"
	else
		@no "$1" "status $status
--- wanted
$2
--- got
$got"
	fi
}
# @within SECONDS COMMAND...: tries until the command succeeds, on a busy machine ten times as long
@within() {
	local end=$((SECONDS + $1 * 10))
	until "${@:2}" >/dev/null 2>&1; do
		[ $SECONDS -ge $end ] && return 1
		sleep 0.05
	done
}
