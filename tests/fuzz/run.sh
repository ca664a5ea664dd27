#!/bin/bash
# The long fuzz runs: libFuzzer's harnesses (tests/fuzz/*.c, where clang has libFuzzer), and random
# system calls against a sentry with sanitizers. FUZZ_SECONDS: for each of them. What was found stays
# in build/fuzz/found, the corpus in build/fuzz/corpus; it begins with tests/fuzz/corpus.
set -u
cd "$(dirname "$0")/../.." || exit 2
. tests/lib.sh
seconds=${FUZZ_SECONDS:-60}
flags="-O1 -g -w -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined"

have_libfuzzer() {
	echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }' >"$tmp/probe.c"
	clang -fsanitize=fuzzer,address "$tmp/probe.c" -o "$tmp/probe" 2>/dev/null
}

build_harnesses() {
	cmake -G Ninja -S . -B build/fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DFB_FUZZ=ON \
		-DFB_LOCK_CHECK=ON -DCMAKE_C_FLAGS="$flags" &&
		for source in tests/fuzz/*.c; do
			ninja -C build/fuzz "fuzz_$(basename "$source" .c)" || return 1
		done
}

harness() { # NAME
	local seeds=
	mkdir -p "build/fuzz/corpus/$1" build/fuzz/found
	[ -d "tests/fuzz/corpus/$1" ] && seeds=tests/fuzz/corpus/$1
	succeeds "libFuzzer: $1" timeout -k 5 $((seconds + 60)) "build/fuzz/tests/fuzz_$1" -timeout=15 \
		-max_len=1000 -max_total_time="$seconds" -artifact_prefix="build/fuzz/found/$1-" \
		"build/fuzz/corpus/$1" $seeds
}

if ! have_libfuzzer; then
	skip "libFuzzer" "no clang with it"
elif ! build_harnesses >"$tmp/build" 2>&1; then
	fail "libFuzzer: the build failed" "$(tail -n 20 "$tmp/build")"
else
	for source in tests/fuzz/*.c; do
		harness "$(basename "$source" .c)"
	done
fi

FUSEBOX=$PWD/build/asan/fusebox
[ -x "$FUSEBOX" ] || FUSEBOX=$PWD/build/release/fusebox
TEST_TIMEOUT=$((seconds + 60))
for BACKEND in notify ptrace; do
	for isolation in auto nested; do
		seed=$RANDOM
		succeeds "random calls: $BACKEND, $isolation, seed $seed" \
			box --isolation $isolation -- build/release/tests/fuzz-guest/syscalls "$seconds" $seed
	done
done
summary
