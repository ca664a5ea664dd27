#!/bin/bash
# The fuzz runs: the harnesses of tests/fuzz/*.c, each of which draws from its input what a hostile guest
# does, and random system calls against a sentry with sanitizers.
#
#	run.sh replay [RUNS]	every input of tests/fuzz/corpus and RUNS (2000) changed ones, the same
#				each time; with build/asan, as ./check does
#	run.sh			libFuzzer (where clang has it), FUZZ_SECONDS for each harness, then calls
#	run.sh afl		the same harnesses under AFL++, FUZZ_SECONDS each
#
# FUZZ_SECONDS is 60. What was found stays in build/fuzz/found and build/fuzz/afl, the growing corpus in
# build/fuzz/corpus; it begins with tests/fuzz/corpus.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
seconds=${FUZZ_SECONDS:-60}
flags="-O1 -g -w -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined"
mode=${1:-libfuzzer}

harnesses() {
	local source
	for source in tests/fuzz/*.c; do
		basename "$source" .c
	done
}

have_fuzzer() { # COMPILER
	echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }' >"$tmp/probe.c"
	"$1" -fsanitize=fuzzer,address "$tmp/probe.c" -o "$tmp/probe" >/dev/null 2>&1
}

build_harnesses() { # COMPILER TREE
	cmake -G Ninja -S . -B "$2" -DCMAKE_C_COMPILER="$1" -DCMAKE_BUILD_TYPE=Debug -DFB_FUZZ=ON \
		-DFB_LOCK_CHECK=ON -DCMAKE_C_FLAGS="$flags" &&
		ninja -C "$2" $(harnesses | sed 's/^/fuzz_/')
}

with_harnesses() { # COMPILER TREE FUNCTION
	local name
	if ! have_fuzzer "$1"; then
		skip "fuzzing with $1" "it is not there, or has no fuzzer"
	elif ! build_harnesses "$1" "$2" >"$tmp/build" 2>&1; then
		fail "fuzzing with $1: the build failed" "$(tail -n 20 "$tmp/build")"
	else
		for name in $(harnesses); do
			"$3" "$name"
		done
	fi
}

replay() { # NAME RUNS
	succeeds "fuzz: $1" timeout -k 5 120 "build/asan/tests/fuzz/$1" "$2" "tests/fuzz/corpus/$1"/*
}

libfuzzer() { # NAME
	mkdir -p "build/fuzz/corpus/$1" build/fuzz/found
	succeeds "libFuzzer: $1" timeout -k 5 $((seconds + 60)) "build/fuzz/tests/fuzz_$1" -timeout=15 \
		-max_len=1000 -max_total_time="$seconds" -artifact_prefix="build/fuzz/found/$1-" \
		"build/fuzz/corpus/$1" "tests/fuzz/corpus/$1"
}

# With nothing found, the directories of crashes and hangs are empty.
afl() { # NAME
	local out=build/fuzz/afl/$1 found
	rm -rf "$out"
	mkdir -p "$out"
	succeeds "AFL++: $1" env -u LSAN_OPTIONS AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_SKIP_CPUFREQ=1 \
		AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 timeout -k 5 $((seconds + 120)) \
		afl-fuzz -m none -t 15000 -G 1000 -V "$seconds" -i "tests/fuzz/corpus/$1" -o "$out" \
		-- "build/afl/tests/fuzz_$1"
	found=$(find "$out/default/crashes" "$out/default/hangs" -name 'id:*' 2>/dev/null)
	[ -z "$found" ] || fail "AFL++: $1 found something" "$found"
}

random_calls() {
	local isolation seed
	FUSEBOX=$PWD/build/asan/fusebox
	[ -x "$FUSEBOX" ] || FUSEBOX=$PWD/build/release/fusebox
	TEST_TIMEOUT=$((seconds + 60))
	for BACKEND in notify ptrace; do
		for isolation in auto nested; do
			seed=$RANDOM
			succeeds "random calls: $BACKEND, $isolation, seed $seed" box --isolation $isolation \
				-- build/release/tests/fuzz-guest/syscalls "$seconds" $seed
		done
	done
}

case $mode in
replay)
	for name in $(harnesses); do
		replay "$name" "${2:-2000}"
	done
	;;
afl) with_harnesses afl-clang-fast build/afl afl ;;
libfuzzer)
	with_harnesses clang build/fuzz libfuzzer
	random_calls
	;;
*)
	echo "usage: $0 [replay [RUNS] | afl]" >&2
	exit 2
	;;
esac
summary
