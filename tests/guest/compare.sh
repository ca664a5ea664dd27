#!/bin/bash
# Every guest program prints one line per behaviour. It runs natively and in the sandbox; the lines
# must be equal: the kernel is the specification. Differences that are meant are listed in
# tests/guest/differences (PROGRAM: text of the line, reason).
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
guests=${GUESTS:-build/release/tests/guest}

run_one() { # PROGRAM native|sandbox: runs in a fresh directory
	local program=$1 where=$2 who=
	rm -rf "${tmp:?}/$where" && mkdir "$tmp/$where" && chmod 1777 "$tmp/$where"
	case $where in
	native)
		[ "${WHO:-root}" = user ] && [ "$(id -u)" -eq 0 ] && who=as_user
		$who sh -c 'cd "$0" && exec timeout -k 5 "$@"' "$tmp/$where" "$TEST_TIMEOUT" "$program"
		;;
	sandbox) box --chdir "$tmp/$where" -- "$program" ;;
	esac
}

for program in "$guests"/*; do
	[ -x "$program" ] && [ -f "$program" ] || continue
	name=$(basename "$program")
	[ -n "${ONLY:-}" ] && [ "$name" != "$ONLY" ] && continue
	program=$PWD/${program#"$PWD"/}
	native=$(run_one "$program" native 2>&1)
	status_native=$?
	case $native in
	"skip: "*) # this kernel cannot be compared with
		skip "$name" "${native#skip: }"
		continue
		;;
	esac
	sandbox=$(run_one "$program" sandbox 2>&1)
	status_sandbox=$?
	wanted=$native
	if [ -f tests/guest/differences ]; then
		grep "^$name: " tests/guest/differences | sed "s/^$name: //; s/ *| .*//" >"$tmp/diff"
		wanted=$(printf '%s\n' "$native" | grep -vxFf "$tmp/diff")
		sandbox=$(printf '%s\n' "$sandbox" | grep -vxFf "$tmp/diff")
	fi
	if [ "$wanted" = "$sandbox" ] && [ $status_native -eq $status_sandbox ]; then
		pass "$name ($(printf '%s\n' "$native" | wc -l) behaviours)"
	else
		fail "$name: sandbox differs from native (status $status_native, $status_sandbox)" \
			"$(diff <(printf '%s\n' "$wanted") <(printf '%s\n' "$sandbox"))"
	fi
done
summary
