# Shared by the test scripts: counting, running natively and in the sandbox, as root or as an
# ordinary user. A script sources it, calls the functions, and ends with `summary`.

passed=0
failed=0
skipped=0
: "${FUSEBOX:=$PWD/build/release/fusebox}"
: "${BACKEND:=auto}"
: "${TEST_TIMEOUT:=180}"
export FUSEBOX BACKEND TEST_TIMEOUT
tmp=$(mktemp -d /tmp/fusebox-test.XXXXXX)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

pass() {
	passed=$((passed + 1))
	[ -n "${VERBOSE:-}" ] && echo "ok      $1"
	return 0
}
fail() {
	failed=$((failed + 1))
	echo "FAILED  $1"
	[ -n "${2:-}" ] && printf '%s\n' "$2" | head -n "${FAIL_LINES:-30}" | sed 's/^/        /'
	return 0
}
skip() {
	skipped=$((skipped + 1))
	echo "skipped $1${2:+: $2}"
}
summary() {
	echo "@@ $passed $failed $skipped"
	[ "$failed" -eq 0 ]
}

# as_user COMMAND...: the user nobody, with no_new_privs, /dev/fuse hidden, and no user namespaces:
# the kernel refuses them to a process in a chroot. Needs root to set up.
as_user() {
	mkdir -p /tmp/fusebox-chroot
	unshare --mount sh -c '
		mount --rbind / /tmp/fusebox-chroot &&
			mount --bind /dev/null /tmp/fusebox-chroot/dev/fuse
		exec setpriv --no-new-privs chroot --userspec=65534:65534 --groups= \
			/tmp/fusebox-chroot /bin/sh -c "cd \"\$0\" && exec \"\$@\"" "$PWD" "$@"' sh "$@"
}

# box [OPTIONS] -- COMMAND...: runs in the sandbox, with a time limit; WHO=user: as that user.
box() {
	local who=
	[ "${WHO:-root}" = user ] && [ "$(id -u)" -eq 0 ] && who=as_user
	$who timeout -k 5 "$TEST_TIMEOUT" "$FUSEBOX" run --backend "$BACKEND" ${BOX_OPTIONS:-} "$@"
}

# expect NAME EXPECTED-OUTPUT COMMAND...: output (stdout and stderr) must be equal, status 0.
expect() {
	local name=$1 want=$2 got status
	shift 2
	got=$("$@" 2>&1)
	status=$?
	if [ $status -eq 0 ] && [ "$got" = "$want" ]; then
		pass "$name"
	else
		fail "$name" "$(printf 'status %s\n--- wanted\n%s\n--- got\n%s' "$status" "$want" "$got")"
	fi
}

# expect_status NAME STATUS COMMAND...
expect_status() {
	local name=$1 want=$2 got status
	shift 2
	got=$("$@" 2>&1)
	status=$?
	if [ $status -eq "$want" ]; then
		pass "$name"
	else
		fail "$name" "$(printf 'status %s, wanted %s\n%s' "$status" "$want" "$got")"
	fi
}

# succeeds NAME COMMAND...
succeeds() {
	local name=$1
	shift
	expect_status "$name" 0 "$@"
}

# inside NAME [OPTIONS of box] <<script: the script runs under bash in one sandbox, with the checks of
# tests/support/inside.sh. A script that does not reach its end is one more failed check.
inside() {
	local name=$1 line failing='' detail=''
	shift
	{ cat tests/support/inside.sh -; echo 'echo @end'; } >"$tmp/inside"
	chmod 644 "$tmp/inside"
	box "$@" -- bash "$tmp/inside" >"$tmp/inside.out" 2>"$tmp/inside.err" </dev/null
	echo "@status $?" >>"$tmp/inside.out"
	if grep -q Sanitizer "$tmp/inside.err"; then
		fail "a report of a sanitizer" "$(grep -A "${FAIL_LINES:-30}" Sanitizer "$tmp/inside.err")"
	fi
	while IFS= read -r line; do
		if [ -n "$failing" ] && [ "${line#@| }" = "$line" ]; then
			fail "$failing" "$detail"
			failing='' detail=''
		fi
		case $line in
		'@ok '*) pass "${line#@ok }" ;;
		'@no '*) failing=${line#@no } ;;
		'@| '*) detail+=${line#@| }$'\n' ;;
		'@skip '*) skip "${line#@skip }" ;;
		@end) name= ;;
		'@status '*) [ -z "$name" ] || fail "$name: the script ended early, ${line#@}" \
			"$(tail -n 5 "$tmp/inside.out"; tail -n 10 "$tmp/inside.err")" ;;
		esac
	done < <(tr -d '\000' <"$tmp/inside.out")
}

# open_dir NAME: an empty directory that the user of WHO may write; its path is printed.
open_dir() {
	rm -rf "${tmp:?}/$1"
	mkdir "$tmp/$1"
	chmod 1777 "$tmp/$1"
	echo "$tmp/$1"
}

# missing PROGRAM...: whether one of the programs is not on this machine; says which.
missing() {
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || { echo "$program is not installed"; return 0; }
	done
	return 1
}
